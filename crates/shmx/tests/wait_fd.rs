//! Descriptors to wait on: no wake-up is lost, and they work in one loop with sockets and timers.
#![cfg(target_os = "linux")]

#[path = "../examples/event_loop.rs"]
mod event_loop;

use crate::common::loops::{self, PART, TICK, publish, server, start_server};
use crate::common::{self, LIMIT, unique};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, Tap};
use shmx_os::WaitFdKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

const KINDS: [WaitFdKind; 2] = [WaitFdKind::IoUring, WaitFdKind::Thread];

/// Waits until the descriptor is readable; false if it is not in time.
fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&timeout)) {
            Ok(n) => return n == 1,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// Runs `test` with each kind of descriptor that there is here.
fn with_each_kind(test: impl Fn(WaitFdKind)) {
    let mut ran = 0;
    for kind in KINDS {
        match shmx_os::WaitFd::with_kind(kind) {
            Ok(_) => {
                test(kind);
                ran += 1;
            }
            Err(e) => println!("skipped: no {kind:?} here: {e}"),
        }
    }
    assert!(ran > 0);
}

#[test]
fn it_is_readable_until_a_poll_finds_nothing() {
    with_each_kind(|kind| {
        let name = unique("fd");
        let mut server = server(&name);
        let mut client = Client::open(&name).unwrap();
        let fd = client.wait_fd_of_kind(kind).unwrap().try_clone_to_owned().unwrap();
        assert_eq!(client.wait_fd_kind(), Some(kind));
        assert!(readable(fd.as_fd(), Duration::ZERO), "nothing was polled yet");
        publish(&mut server, 1);
        publish(&mut server, 2);
        assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(1));
        assert!(readable(fd.as_fd(), Duration::ZERO), "until a poll comes back empty");
        assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(2));
        assert!(client.try_next().unwrap().is_none());
        publish(&mut server, 3);
        publish(&mut server, 4);
        assert!(readable(fd.as_fd(), LIMIT));
        assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(3));
        assert!(readable(fd.as_fd(), Duration::ZERO), "there is another one");
        assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(4));
        assert!(client.try_next().unwrap().is_none());
        drop(server);
        assert!(readable(fd.as_fd(), LIMIT));
        let gone = ReadError::ServerGone { end: ServerEnd::Closed };
        assert_eq!(client.try_next().unwrap_err(), gone);
        assert!(readable(fd.as_fd(), Duration::ZERO), "the end stays news");
    });
}

/// A producer that answers each frame taken by the next one, so that each wake-up that is lost stops both.
#[test]
fn no_wake_up_is_lost() {
    with_each_kind(|kind| {
        let frames = if common::emulated() { 1000 } else { 20_000 };
        let name = unique("wake");
        let mut server = server(&name);
        let mut client = Client::open(&name).unwrap();
        let fd = client.wait_fd_of_kind(kind).unwrap().try_clone_to_owned().unwrap();
        let (taken, take) = std::sync::mpsc::sync_channel(1);
        let producer = std::thread::spawn(move || {
            for tick in 1..=frames {
                publish(&mut server, tick);
                take.recv().unwrap();
            }
            server
        });
        let begun = Instant::now();
        let (mut last, mut woken) = (0, 0);
        while last < frames {
            assert!(begun.elapsed() < LIMIT, "no news after frame {last}");
            assert!(readable(fd.as_fd(), LIMIT));
            woken += 1;
            while let Some(frame) = client.try_next().unwrap() {
                last = frame.value(TICK).unwrap();
                taken.send(()).unwrap();
            }
        }
        println!("{kind:?}: {frames} frames, {woken} wake-ups, {:?}", begun.elapsed());
        producer.join().unwrap();
    });
}

#[test]
fn a_server_that_is_killed_is_noticed() {
    let name = unique("kill");
    let mut child = start_server(&name);
    let mut client = Client::open_within(&name, LIMIT).unwrap();
    let fd = client.wait_fd().unwrap().try_clone_to_owned().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    let error = loop {
        assert!(begun.elapsed() < LIMIT);
        assert!(readable(fd.as_fd(), LIMIT));
        if let Err(e) = client.try_next() {
            break e;
        }
    };
    assert_eq!(error, ReadError::ServerGone { end: ServerEnd::Died });
    shmx::remove(&name, false).unwrap();
}

#[test]
fn a_tap_has_a_timer() {
    let name = unique("tap");
    let mut server = server(&name);
    let mut tap = Tap::open(&name).unwrap();
    let fd = tap.wait_fd().unwrap().try_clone_to_owned().unwrap();
    for tick in 1..=50 {
        publish(&mut server, tick);
        let begun = Instant::now();
        let got = loop {
            assert!(begun.elapsed() < LIMIT);
            assert!(readable(fd.as_fd(), LIMIT));
            if let Some(frame) = tap.try_next().unwrap() {
                break frame.value(TICK);
            }
        };
        assert_eq!(got, Ok(tick));
    }
}

#[test]
fn it_outlives_reopening_and_ends_with_the_client() {
    let name = unique("reopen");
    let first = server(&name);
    let mut client = Client::open(&name).unwrap();
    let fd = client.wait_fd().unwrap().try_clone_to_owned().unwrap();
    assert!(client.try_next().unwrap().is_none());
    drop(first);
    let mut second = server(&name);
    client.reopen().unwrap();
    publish(&mut second, 5);
    assert!(readable(fd.as_fd(), LIMIT));
    assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(5));
    assert!(client.try_next().unwrap().is_none());
    drop(client);
    assert!(second.snapshot_readers().iter().all(|r| !r.in_use), "nothing of the descriptor holds the reader slot");
}

/// Not a test by itself.
#[test]
fn one_loop() {
    if std::env::var(PART).as_deref() == Ok("loop") {
        event_loop::main().unwrap();
    }
}

/// The example: three regions, of which one dies and comes back, a socket and a timer, without another thread.
#[test]
fn three_regions_a_socket_and_a_timer_in_one_loop() {
    // The harness has a thread for the test and its main one.
    let kind = shmx_os::WaitFd::new().unwrap().kind();
    let threads = loops::loop_answers("wait_fd::one_loop");
    if common::emulated() {
        println!("threads not counted: an emulator has some of its own");
    } else {
        assert_eq!(threads, if kind == WaitFdKind::IoUring { 2 } else { 5 }, "{kind:?}");
    }
}
