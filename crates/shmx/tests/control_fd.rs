//! A server that waits for its readers by a descriptor.
#![cfg(target_os = "linux")]

use crate::common::{self, LIMIT, unique};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use shmx::abi::TLV_CONTROL_USER;
use shmx::{Client, NameLoss, Server};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

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

#[test]
fn it_is_readable_until_a_poll_brings_nothing() {
    let name = unique("cfd");
    let server = Server::builder(&name).create().unwrap();
    let fd = server.control_fd().unwrap();
    assert!(readable(fd.as_fd(), Duration::ZERO), "nothing was polled yet");
    assert!(server.poll_control(16).is_empty());
    let client = Client::open(&name).unwrap();
    assert!(readable(fd.as_fd(), LIMIT));
    assert_eq!(server.poll_control(16).came.len(), 1);
    assert!(readable(fd.as_fd(), Duration::ZERO), "until a poll brings nothing");
    assert!(server.poll_control(16).is_empty());
    client.control_send(TLV_CONTROL_USER, b"one").unwrap();
    client.control_send(TLV_CONTROL_USER, b"two").unwrap();
    assert!(readable(fd.as_fd(), LIMIT));
    assert_eq!(server.poll_control(1).messages.len(), 1);
    assert!(readable(fd.as_fd(), Duration::ZERO));
    assert_eq!(server.poll_control(16).messages[0].data, b"two");
    assert!(server.poll_control(16).is_empty());
    drop(client);
    let begun = Instant::now();
    while server.poll_control(16).left.is_empty() {
        assert!(begun.elapsed() < LIMIT && readable(fd.as_fd(), LIMIT));
    }
}

/// Event loops keep what they have; the server may have come back within `begin_frame`.
#[test]
fn it_outlives_coming_back_under_a_lost_name() {
    let name = unique("cfd");
    let mut server = Server::builder(&name).on_name_loss(NameLoss::ComeBack).create().unwrap();
    let fd = server.control_fd().unwrap();
    let kind = server.control_fd_kind();
    assert!(server.poll_control(16).is_empty());
    std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    assert!(server.come_back().unwrap());
    assert_eq!(server.control_fd_kind(), kind);
    assert!(readable(fd.as_fd(), Duration::ZERO), "nothing was polled yet");
    // Each poll in vain arms it anew, for 20 ms at most.
    assert!(common::within_limit(|| server.poll_control(16).is_empty() && !readable(fd.as_fd(), Duration::ZERO)));
    let client = Client::open(&name).unwrap();
    assert!(readable(fd.as_fd(), LIMIT));
    assert_eq!(server.poll_control(16).came.len(), 1);
    drop(client);
}

/// Each message is answered by the next one, so that a wake-up that is lost stops both.
#[test]
fn no_message_is_slept_through() {
    let count = if common::emulated() { 500 } else { 10_000 };
    let name = unique("cfd");
    let server = Server::builder(&name).create().unwrap();
    let client = Client::open(&name).unwrap();
    let fd = server.control_fd().unwrap();
    let (heard, hear) = std::sync::mpsc::sync_channel::<u64>(1);
    let sender = std::thread::spawn(move || {
        for n in 0..count as u64 {
            client.control_send(TLV_CONTROL_USER, &n.to_ne_bytes()).unwrap();
            assert_eq!(hear.recv(), Ok(n));
        }
    });
    let mut next = 0;
    while next < count as u64 {
        assert!(readable(fd.as_fd(), LIMIT), "message {next} woke nobody");
        for message in server.poll_control(16).messages {
            assert_eq!(message.value::<u64>(), Ok(next));
            heard.send(next).unwrap();
            next += 1;
        }
    }
    sender.join().unwrap();
}
