//! What readers send, followed from outside: whole, in order, and the server gets it all the same.

use crate::common::{LIMIT, unique};
use shmx::{Client, ControlTap, Inspector, SeenControls, Server, Tap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const USER: u32 = shmx::abi::TLV_CONTROL_USER;

fn open(tag: &str) -> (Server, Client, ControlTap) {
    let name = unique(tag);
    let server = Server::builder(&name).reader_slots(2).control_bytes(272).create().unwrap();
    let client = Client::open(&name).unwrap();
    let tap = Tap::open(&name).unwrap().control().unwrap();
    (server, client, tap)
}

fn bodies(seen: &SeenControls) -> Vec<&[u8]> {
    seen.messages.iter().map(|m| m.message.data.as_slice()).collect()
}

#[test]
fn what_waits_is_seen_at_once_and_stays_the_servers() {
    let (server, client, mut tap) = open("seen");
    client.control_send(USER, b"one").unwrap();
    client.control_send(USER + 1, b"").unwrap();
    let before = Inspector::open(server.name()).unwrap().dump();
    let seen = tap.poll();
    assert_eq!(Inspector::open(server.name()).unwrap().dump(), before, "every byte is as it was");
    assert_eq!((bodies(&seen), seen.lost), (vec![&b"one"[..], b""], 0));
    let taken = server.poll_control(16).messages;
    assert_eq!(seen.messages.iter().map(|m| m.message.clone()).collect::<Vec<_>>(), taken);
    assert_eq!((taken[1].ty, taken[1].reader_index), (USER + 1, 0));
    assert_eq!(tap.poll(), SeenControls::default(), "once");
    // Who comes later begins with what waits.
    client.control_send(USER, b"two").unwrap();
    let mut late = Tap::open(server.name()).unwrap().control().unwrap();
    assert_eq!(bodies(&late.poll()), [b"two"]);
}

#[test]
fn what_was_taken_already_is_handed_on_when_it_is_certain() {
    let (server, client, mut tap) = open("taken");
    let send = |body: &[u8]| {
        client.control_send(USER, body).unwrap();
        assert_eq!(server.poll_control(16).messages.len(), 1);
    };
    send(b"one");
    let first = tap.poll();
    if first.messages.is_empty() {
        send(b"two");
        assert_eq!(bodies(&tap.poll()), [b"one"], "the sender has gone on");
    } else {
        // Kept from the processor for a second.
        send(b"two");
        drop(tap.poll());
    }
    drop(client);
    // The last one, as the sender has left; nobody needs to wait for it.
    let rest = tap.poll();
    assert!(rest.messages.len() <= 1 && rest.lost == 0, "{rest:?}");
    assert_eq!(tap.finish(), SeenControls::default());
}

#[test]
fn what_was_written_over_is_counted_and_the_rest_is_right() {
    let (server, client, mut tap) = open("over");
    for n in 0..100_u8 {
        client.control_send(USER, &[n; 40]).unwrap();
        if n < 98 {
            assert_eq!(server.poll_control(16).messages.len(), 1);
        }
    }
    let seen = tap.poll();
    assert_eq!(bodies(&seen), [&[98; 40], &[99; 40]]);
    assert!(seen.lost > 90 * 48, "{}", seen.lost);
    client.control_send(USER, b"on").unwrap();
    let seen = tap.poll();
    assert_eq!((bodies(&seen), seen.lost), (vec![&b"on"[..]], 0));
}

/// Each message says by its number and length what every one of its bytes is.
#[test]
fn a_message_is_never_torn_and_never_out_of_order() {
    let (server, client, mut tap) = open("race");
    let flag = AtomicBool::new(false);
    let stop = &flag;
    let (mut seen, mut last) = (0_u64, 0_u64);
    std::thread::scope(|s| {
        s.spawn(move || {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let mut body = vec![(n + 1) as u8; 8 + (n * 37 % 200) as usize];
                body[..8].copy_from_slice(&(n + 1).to_ne_bytes());
                // Full until the server has taken some.
                n += u64::from(client.control_send(USER, &body).is_ok());
            }
        });
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(server.poll_control(3));
            }
        });
        let end = Instant::now() + LIMIT;
        while seen < 300 && Instant::now() < end {
            for m in tap.poll().messages {
                let body = &m.message.data;
                let n = u64::from_ne_bytes(body[..8].try_into().unwrap());
                assert!(n > last, "{n} after {last}");
                assert_eq!(body.len() as u64, 8 + (n - 1) * 37 % 200, "message {n}");
                assert!(body[8..].iter().all(|&b| b == n as u8), "message {n} is torn");
                (last, seen) = (n, seen + 1);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen > 0, "{last}");
}

#[test]
fn without_rings_there_is_nothing_to_follow() {
    let name = unique("none");
    let _server = Server::builder(&name).control_bytes(0).create().unwrap();
    assert!(Tap::open(&name).unwrap().control().is_none());
}
