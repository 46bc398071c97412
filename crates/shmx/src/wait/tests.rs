//! No wake-up is lost: each side answers the other, and nothing but a wake-up ends a sleep here ([`super::SLICE`]).

use crate::abi::TLV_CONTROL_USER;
use crate::{Client, Hold, Server, Stream, WaitSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use shmx_os::{WaitFd, WaitFdKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

const TICK: Stream<u64> = Stream::new(1, "tick");
const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 3000;

fn name(tag: &str) -> String {
    format!("shmx-wakes-{tag}-{}", std::process::id())
}

fn publish(mut frame: crate::FrameWriter<'_>, tick: u64) -> u64 {
    frame.append_value(TICK, tick).unwrap();
    frame.publish_frame(0.0).unwrap()
}

fn is_readable(fd: &OwnedFd) -> bool {
    let end = Instant::now() + LIMIT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let time = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&time)) {
            Ok(count) => return count == 1,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Each frame taken is answered by the next. What `prepare` gives waits for possible news; false: there were none.
fn frames_are_answered<W: FnMut() -> bool>(tag: &str, prepare: impl FnOnce(&mut Client) -> W) {
    let name = name(tag);
    let mut server = Server::builder(&name).stream(TICK, 1).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    let mut is_woken = prepare(&mut client);
    let (taken, take) = sync_channel(1);
    let producer = std::thread::spawn(move || {
        for tick in 1..=ROUNDS {
            publish(server.begin_frame().unwrap(), tick);
            take.recv().unwrap();
        }
        server
    });
    let mut last = 0;
    while last < ROUNDS {
        assert!(is_woken(), "the frame after {last} was slept through");
        while let Some(frame) = client.try_next().unwrap() {
            last = frame.value(TICK).unwrap();
            taken.send(()).unwrap();
        }
    }
    drop(producer.join().unwrap());
}

#[test]
fn descriptors_sleep_through_no_frame() {
    for kind in [WaitFdKind::Thread, WaitFdKind::IoUring] {
        if let Err(error) = WaitFd::with_kind(kind) {
            println!("skipped: no {kind:?} here: {error}");
            continue;
        }
        frames_are_answered("fd", |client| {
            let fd = client.wait_fd_of_kind(kind).unwrap().try_clone_to_owned().unwrap();
            move || is_readable(&fd)
        });
    }
}

#[test]
fn sets_sleep_through_no_frame() {
    frames_are_answered("set", |client| {
        let mut set = WaitSet::new().unwrap();
        set.add(client);
        move || !set.wait(LIMIT).is_empty()
    });
}

#[test]
fn readers_and_producers_that_wait_for_each_other_sleep_through_nothing() {
    let name = name("taken");
    let mut server = Server::builder(&name).slots(3).stream(TICK, 1).create().unwrap();
    let options = Client::options().every_frame(true).hold(Hold::Copy).spin(Duration::ZERO);
    let mut client = options.open(&name).unwrap();
    let reader = std::thread::spawn(move || {
        for tick in 1..=ROUNDS {
            assert_eq!(client.next(LIMIT).unwrap().expect("a frame").value(TICK), Ok(tick));
        }
        client
    });
    for tick in 1..=ROUNDS {
        let id = publish(server.begin_frame_when_taken(LIMIT).unwrap(), tick);
        if tick % 8 < 4 {
            server.wait_taken(id, LIMIT).unwrap();
        }
    }
    drop(reader.join().unwrap());
}

/// `wait` waits until there may be messages; false: there were none.
fn messages_are_answered(tag: &str, wait: impl Fn(&Server) -> Option<Vec<crate::ControlMsg>>) {
    let name = name(tag);
    let server = Server::builder(&name).create().unwrap();
    let client = Client::open(&name).unwrap();
    let (heard, hear) = sync_channel(1);
    let sender = std::thread::spawn(move || {
        for n in 0..ROUNDS {
            client.control_send(TLV_CONTROL_USER, &n.to_ne_bytes()).unwrap();
            hear.recv().unwrap();
        }
        client
    });
    let mut next = 0;
    while next < ROUNDS {
        let messages = wait(&server);
        for message in messages.unwrap_or_else(|| panic!("message {next} was slept through")) {
            assert_eq!(message.value::<u64>(), Ok(next));
            next += 1;
            heard.send(()).unwrap();
        }
    }
    drop(sender.join().unwrap());
}

#[test]
fn servers_sleep_through_no_message() {
    messages_are_answered("server", |server| {
        let batch = server.wait_control(16, LIMIT).unwrap();
        (!batch.is_empty()).then_some(batch.messages)
    });
    messages_are_answered("server-fd", |server| {
        let fd = server.control_fd().unwrap();
        is_readable(&fd).then(|| server.poll_control(16).messages)
    });
}
