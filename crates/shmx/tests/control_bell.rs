//! Servers that sleep until readers have something for them.
#![cfg(any(target_os = "linux", windows))]

use crate::common::{LIMIT, Other, WORDS, unique, within_limit};
use shmx::abi::TLV_CONTROL_USER;
use shmx::abi::extension::{Features, SERVER_WAITS};
use shmx::{Client, Server, SharedServer};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn serve(reader_slots: u32) -> (SharedServer, String) {
    let name = unique("bell");
    let server = Server::builder(&name).reader_slots(reader_slots).stream(WORDS, 50).create().unwrap();
    (server.into_shared(), name)
}

fn is_asleep(server: &Server) -> bool {
    server.header().ext_more & SERVER_WAITS != 0
}

#[test]
fn messages_comers_and_goers_wake_a_server() {
    let (server, name) = serve(4);
    let waits = |what: &str| {
        let batch = server.wait_control(16, LIMIT).unwrap();
        assert!(!batch.is_empty(), "{what}");
        batch
    };
    std::thread::scope(|s| {
        let waiting = s.spawn(|| waits("it comes"));
        assert!(within_limit(|| is_asleep(&server)));
        let client = Client::open(&name).unwrap();
        let batch = waiting.join().unwrap();
        let [id] = batch.came[..] else { panic!("{batch:?}") };
        assert!(batch.left.is_empty() && batch.messages.is_empty());

        let other = Other::of(&server);
        let more = &other.header().ext_more;
        // What the last sleep has left.
        more.fetch_and(!SERVER_WAITS, Ordering::Relaxed);
        let waiting = s.spawn(|| waits("a message"));
        assert!(within_limit(|| is_asleep(&server)));
        client.control_send(TLV_CONTROL_USER, b"now").unwrap();
        let batch = waiting.join().unwrap();
        assert_eq!((batch.messages.len(), &batch.messages[0].data[..]), (1, &b"now"[..]));
        assert_eq!(batch.messages[0].reader_id, id);

        more.fetch_and(!SERVER_WAITS, Ordering::Relaxed);
        let waiting = s.spawn(|| waits("it goes"));
        assert!(within_limit(|| is_asleep(&server)));
        drop(client);
        assert_eq!(waiting.join().unwrap().left, [id]);
    });
    assert_eq!(server.wait_control(16, Duration::ZERO).unwrap(), shmx::ControlBatch::default());
}

#[test]
fn readers_ring_only_a_server_that_sleeps() {
    let (server, name) = serve(4);
    let client = Client::open(&name).unwrap();
    let before = server.header().ext_more;
    assert!(server.directory().streams.len() == 1 && client.features().has(Features::CONTROL_BELL));
    client.control_send(TLV_CONTROL_USER, b"x").unwrap();
    assert_eq!(server.header().ext_more, before, "nobody sleeps");
    assert_eq!(server.poll_control(4).messages.len(), 1);
    // The time may be up before it sleeps.
    let asleep =
        within_limit(|| server.wait_control(4, Duration::from_millis(1)).unwrap().is_empty() && is_asleep(&server));
    assert!(asleep, "a wait in vain leaves the flag");
    client.control_send(TLV_CONTROL_USER, b"y").unwrap();
    let rung = server.header().ext_more;
    assert_eq!((rung & SERVER_WAITS, rung >> 16), (0, (before >> 16) + 1));
    // What comes and goes is no promise, and no reader.
    assert_eq!(server.poll_control(4).came.len(), 0);
    assert_eq!(Client::open(&name).unwrap().features(), client.features());
}

#[test]
fn a_wait_in_vain_ends_in_time_and_several_threads_may_wait() {
    let (server, name) = serve(4);
    let client = Client::open(&name).unwrap();
    assert_eq!(server.poll_control(4).came.len(), 1);
    let (start, patience) = (Instant::now(), Duration::from_millis(30));
    assert!(server.wait_control(4, patience).unwrap().is_empty());
    assert!(start.elapsed() >= patience);
    std::thread::scope(|s| {
        let waiting: Vec<_> = (0..3).map(|_| s.spawn(|| server.wait_control(1, LIMIT).unwrap())).collect();
        for n in 0..3_u8 {
            client.control_send(TLV_CONTROL_USER, &[n]).unwrap();
        }
        let mut got: Vec<u8> = waiting.into_iter().map(|w| w.join().unwrap().messages[0].data[0]).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
    });
}

#[test]
fn dead_readers_are_noticed_while_the_server_waits() {
    let (server, name) = serve(4);
    let client = Client::open(&name).unwrap();
    let index = client.reader_index().unwrap();
    let id = server.poll_control(4).came[0];
    // It dies: the lock goes and the slot stays.
    let other = Other::of(&server);
    let slot = other.reader(index);
    let kept = (slot.reader_id.load(Ordering::Relaxed), slot.ext_tag.load(Ordering::Relaxed));
    drop(client);
    slot.reader_id.store(kept.0, Ordering::Relaxed);
    slot.ext_tag.store(kept.1, Ordering::Relaxed);
    slot.in_use.store(1, Ordering::Relaxed);
    let mut left = Vec::new();
    assert!(within_limit(|| {
        left.extend(server.wait_control(4, Duration::from_millis(200)).unwrap().left);
        !left.is_empty()
    }));
    assert_eq!(left, [id]);
}

#[test]
fn a_reader_that_does_not_ring_is_heard_soon() {
    let (server, name) = serve(4);
    let client = Client::open(&name).unwrap();
    assert_eq!(server.poll_control(4).came.len(), 1);
    let other = Other::of(&server);
    // Of the reference: no tag, and it changes no word of ours.
    other.reader(client.reader_index().unwrap()).ext_tag.store(0, Ordering::Relaxed);
    std::thread::scope(|s| {
        let waiting = s.spawn(|| server.wait_control(4, LIMIT).unwrap());
        other.header().ext_more.fetch_and(!((Features::CONTROL_BELL >> 32) as u32), Ordering::Relaxed);
        client.control_send(TLV_CONTROL_USER, b"quiet").unwrap();
        assert_eq!(waiting.join().unwrap().messages.len(), 1);
    });
}
