//! Which frames carry a checksum, and who looks at it.

use crate::common::{self, LIMIT, Other, WORDS, serve, within_limit};
use shmx::{Checksum, ChecksumState, Client, Inspector, Server, Tap, Verify};
use shmx_ring::readers::{self, Newcomer};
use std::sync::atomic::Ordering;

fn publish(server: &mut Server, words: usize) {
    let mut frame = server.begin_frame().unwrap();
    frame.reserve_stream(WORDS, words).unwrap().fill(words as u64);
    frame.publish_frame(0.0).unwrap();
}

const SMALL: usize = 50;
const LARGE: usize = 1000;

fn newest(server: &Server) -> ChecksumState {
    let inspector = Inspector::open(server.name()).unwrap();
    let frame = inspector.latest().unwrap().unwrap();
    let found = inspector.checksum_of(frame.slot()).unwrap().unwrap();
    assert_eq!(found, (frame.frame_id(), frame.checksum()), "in place as by copy");
    frame.checksum()
}

#[test]
fn large_frames_carry_one_while_somebody_needs_it() {
    let (mut server, name) = serve("auto", 4);
    publish(&mut server, LARGE);
    assert_eq!(newest(&server), ChecksumState::Verified, "the first, for who looks in");
    // One every so often; in between none.
    assert!(within_limit(|| {
        publish(&mut server, LARGE);
        newest(&server) == ChecksumState::Absent
    }));
    assert!(within_limit(|| {
        publish(&mut server, LARGE);
        newest(&server) == ChecksumState::Verified
    }));
    let every_one = |server: &mut Server| {
        for _ in 0..50 {
            publish(server, LARGE);
            assert_eq!(newest(server), ChecksumState::Verified);
        }
    };
    let verifying = Client::options().verify(Verify::Always).open(&name).unwrap();
    every_one(&mut server);
    drop(verifying);
    let ours = Client::open(&name).unwrap();
    assert!(within_limit(|| {
        publish(&mut server, LARGE);
        newest(&server) == ChecksumState::Absent
    }));
    // A reader of ours leaves and one of the reference comes, between two frames.
    drop(ours);
    let other = Other::of(&server);
    let reference = Newcomer { id: 5, pid: 0, now: 1, locked: false, verifies: false, every_frame: false };
    assert!(readers::attach(other.header(), other.reader(0), &reference).is_some());
    every_one(&mut server);
}

#[test]
fn a_frame_without_one_is_not_damaged_when_it_is_computed_from_outside() {
    let (mut server, name) = serve("outside", 4);
    let inspector = Inspector::open(&name).unwrap();
    let computed = || {
        let frame = inspector.latest().unwrap().unwrap();
        let (id, state) = inspector.checksum_of(frame.slot()).unwrap().unwrap();
        assert_eq!((id, state), (frame.frame_id(), frame.checksum()));
        state
    };
    publish(&mut server, LARGE);
    assert_eq!(computed(), ChecksumState::Verified, "the first, for who looks in");
    assert!(within_limit(|| {
        publish(&mut server, LARGE);
        computed() == ChecksumState::Absent
    }));
}

/// Who looks in at a slow producer finds a checksum in every frame.
#[test]
fn rare_large_frames_carry_one_each() {
    let (mut server, _) = serve("rare", 4);
    for _ in 0..4 {
        publish(&mut server, LARGE);
        assert_eq!(newest(&server), ChecksumState::Verified);
        // Longer than a frame goes without one.
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
}

#[test]
fn small_frames_always_carry_one() {
    let (mut server, _) = serve("small", 4);
    for _ in 0..100 {
        publish(&mut server, SMALL);
        assert_eq!(newest(&server), ChecksumState::Verified);
    }
}

#[test]
fn always_and_never_are_what_they_say() {
    for (policy, state) in [(Checksum::Always, ChecksumState::Verified), (Checksum::Never, ChecksumState::Absent)] {
        let name = common::unique("policy");
        let mut server = Server::builder(&name).stream(WORDS, LARGE as u32).checksum(policy).create().unwrap();
        for words in [SMALL, LARGE, LARGE, SMALL] {
            publish(&mut server, words);
            assert_eq!(newest(&server), state);
        }
    }
}

/// A frame that is published again, as a player does it, has the checksum that it had, whatever its size.
#[test]
fn a_frame_is_published_as_it_was_recorded() {
    let (mut server, name) = serve("recorded", 4);
    let again = |server: &mut Server, words, had_checksum| {
        let mut frame = server.begin_frame().unwrap();
        frame.reserve_stream(WORDS, words).unwrap().fill(1);
        frame.publish_recorded(0.0, had_checksum).unwrap();
        newest(server)
    };
    for words in [SMALL, LARGE] {
        for _ in 0..20 {
            assert_eq!(again(&mut server, words, false), ChecksumState::Absent);
            assert_eq!(again(&mut server, words, true), ChecksumState::Verified);
        }
    }
    let verifying = Client::options().verify(Verify::Always).open(&name).unwrap();
    assert_eq!(again(&mut server, LARGE, false), ChecksumState::Verified, "somebody needs it");
    drop(verifying);
    let mut never =
        Server::builder(common::unique("never")).stream(WORDS, 50).checksum(Checksum::Never).create().unwrap();
    assert_eq!(again(&mut never, SMALL, true), ChecksumState::Absent, "its region says that there is none");
}

/// One byte of a frame's payload, changed by a stray store.
fn spoil(server: &Server) {
    let other = Other::of(server);
    let at = server.layout().frame_slot(0).unwrap() + 64 + 24;
    common::memory::bytes(&other.0)[at].fetch_xor(1, Ordering::SeqCst);
}

#[test]
fn a_reader_compares_them_if_asked() {
    let (mut server, name) = serve("verify", 1);
    let mut trusting = Client::open(&name).unwrap();
    let mut verifying = Client::options().verify(Verify::Always).open(&name).unwrap();
    publish(&mut server, SMALL);
    assert_eq!(trusting.wait(LIMIT).unwrap().unwrap().checksum(), ChecksumState::Unverified);
    let frame = verifying.wait(LIMIT).unwrap().unwrap();
    assert_eq!((frame.checksum(), frame.stored_checksum().is_some()), (ChecksumState::Verified, true));
    drop(frame);
    spoil(&server);
    assert!(trusting.latest().unwrap().is_some(), "stamps say that it is whole");
    assert!(verifying.latest().is_err());
    assert_eq!(verifying.stats().rejected, 1);
    assert_eq!(newest(&server), ChecksumState::Mismatch);
    assert!(Tap::options().verify(Verify::Always).open(&name).unwrap().try_next().is_err());
    assert!(Tap::open(&name).unwrap().try_next().unwrap().is_some());
}

/// Where stamps prove nothing, everything is compared by default.
#[test]
fn a_region_without_stamps_is_verified() {
    let (mut server, name) = serve("unstamped", 2);
    publish(&mut server, SMALL);
    let other = Other::of(&server);
    other.header().ext_features.store(0, Ordering::SeqCst);
    let mut client = Client::open(&name).unwrap();
    let frame = client.latest().unwrap().unwrap();
    assert_eq!((frame.checksum(), frame.is_leased()), (ChecksumState::Verified, false));
    drop(frame);
    spoil(&server);
    assert!(client.latest().is_err());
}
