//! A directory whose bytes somebody has changed: what is typed says so, what is raw works, and keeping frames is cheap.

use crate::common::{LIMIT, Other, WORDS, memory, publish, serve};
use shmx::error::{DirectoryReadError, LookupError, ValueError};
use shmx::{Client, Server, Tap};
use std::sync::atomic::Ordering;

/// One bit of the directory's name of the stream.
fn flip(server: &Server) {
    let other = Other::of(server);
    let bytes = memory::bytes(&other.0);
    let at = other.header().load().static_offset as usize;
    bytes[at + 12].fetch_xor(1, Ordering::SeqCst);
}

fn damaged() -> ValueError {
    ValueError::Stream(LookupError::Directory(DirectoryReadError::HashMismatch))
}

#[test]
fn typed_reads_say_that_it_is_damaged_and_raw_ones_work() {
    let (mut server, name) = serve("damaged", 8);
    flip(&server);
    let mut client = Client::open(&name).unwrap();
    let mut tap = Tap::open(&name).unwrap();
    publish(&mut server, 7);
    assert_eq!(client.directory().unwrap_err(), DirectoryReadError::HashMismatch);
    assert!(client.stream(WORDS).is_err());
    let frame = client.wait(LIMIT).unwrap().unwrap();
    assert_eq!(frame.get(WORDS).unwrap_err(), damaged());
    assert_eq!(frame.get::<u64>(1).unwrap_err(), damaged());
    let raw: Vec<u8> = [7_u64; 50].into_iter().flat_map(u64::to_ne_bytes).collect();
    assert_eq!(frame.stream(1).unwrap().unwrap().data, raw);
    assert_eq!(frame.decode().unwrap().len(), 1);
    let kept = frame.keep();
    assert_eq!(kept.get(WORDS).unwrap_err(), damaged());
    assert_eq!(kept.stream(1).unwrap().unwrap().data, raw);
    let frame = tap.try_next().unwrap().unwrap();
    assert_eq!(frame.get(WORDS).unwrap_err(), damaged());
    assert_eq!(frame.stream(1).unwrap().unwrap().data, raw);
}

/// Reading a damaged one takes a hundred tries, each with a hash of all of it. Whoever asks gets them, and keeping does
/// not: it does not even notice that the bytes are right again.
#[test]
fn keeping_frames_reads_a_damaged_one_once() {
    let (mut server, name) = serve("once", 8);
    flip(&server);
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    let keep = |client: &mut Client| client.latest().unwrap().unwrap().keep();
    assert_eq!(keep(&mut client).get(WORDS).unwrap_err(), damaged());
    flip(&server);
    assert_eq!(keep(&mut client).get(WORDS).unwrap_err(), damaged(), "not read again");
    assert_eq!(client.latest().unwrap().unwrap().get(WORDS).unwrap(), [1; 50], "who asks has it read");
    assert_eq!(keep(&mut client).get(WORDS).unwrap(), [1; 50]);
    // A directory that grows is read again.
    let mut client = Client::open(&name).unwrap();
    flip(&server);
    assert_eq!(keep(&mut client).get(WORDS).unwrap_err(), damaged());
    flip(&server);
    server.add_stream(shmx::StreamSpec::of::<u8>(2, "more")).unwrap();
    assert_eq!(keep(&mut client).get(WORDS).unwrap(), [1; 50]);
}
