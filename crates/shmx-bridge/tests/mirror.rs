//! One mirror, without a network: frames that are written to a slot of it while they come are seen whole and published,
//! or not at all; and what did not come is counted once.
#![cfg(target_os = "linux")]

mod common;

use common::{V, unique, until};
use shmx::abi::frame::PayloadCursor;
use shmx::abi::hash::checksum32;
use shmx::{ChecksumState, Client, Inspector, Server, SlotState, Stream, Tap, Verify};
use shmx_bridge::keys::Peer;
use shmx_bridge::wire::{Begin, Body, Data, Frame, Geometry, Piece, Welcome};
use shmx_bridge::{Accepted, Arrived, Assembly, Broken, Fed, Mirror, MirrorOptions, PieceError, RejectedFrame, crc_of};
use std::time::Duration;

const DATA: Stream<u8> = Stream::new(2, "data");
const SESSION: u64 = 7;

fn mirror(name: &str, slots: u32, options: &MirrorOptions) -> Mirror {
    let origin = Server::builder(format!("{name}-o")).slots(slots).stream(V, 1).stream(DATA, 1000).create().unwrap();
    let tap = Tap::open(origin.name()).unwrap();
    let (layout, directory) = (tap.layout(), tap.directory().unwrap());
    let (features, features_more) = tap.features().to_wire();
    let geometry = Geometry {
        slots,
        reader_slots: 4,
        static_bytes_cap: layout.static_bytes_cap(),
        frame_bytes_cap: layout.frame_bytes_cap(),
        control_per_reader: layout.control_per_reader(),
        features,
        features_more,
    };
    let welcome = Welcome {
        session: SESSION,
        server_pid: 0,
        geometry,
        every: false,
        window: 1,
        control: false,
        directory: &directory.bytes,
        first: &[],
    };
    let peer = Peer { host: "robot".into(), id: 1 };
    Mirror::create(name, &peer, "region", &welcome, options).unwrap()
}

fn payload(n: u64) -> Vec<u8> {
    let (mut payload, mut cursor) = (vec![0; 2048], PayloadCursor::new());
    cursor.append(&mut payload, 1, 1, &n.to_ne_bytes()).unwrap();
    cursor.append(&mut payload, 2, 1000, &[n as u8; 1000]).unwrap();
    payload.truncate(cursor.used() as usize);
    payload
}

/// A region that is mirrored, and what its origin sends.
struct Way {
    mirror: Mirror,
    assembly: Assembly,
}

impl Way {
    fn new(name: &str, slots: u32) -> Self {
        let mirror = mirror(name, slots, &MirrorOptions::default());
        let mut assembly = Assembly::default();
        assembly.expect(4096);
        assembly.write_to(&mirror);
        Self { mirror, assembly }
    }

    fn frame(n: u64) -> Frame<'static> {
        Frame { seq: n, frame_id: n, session: SESSION, tlv_count: 2, body: Body::Whole(&[]), ..Frame::default() }
    }

    /// A frame in two pieces, the second of which may be changed.
    fn send(&mut self, n: u64, payload: &[u8], change: impl Fn(&mut Piece<'_>)) -> Result<Fed, Broken> {
        let begin = Begin { frame: Self::frame(n), len: payload.len() as u32, own: None };
        // What was begun before it breaks off.
        let _ = self.assembly.feed(&Data::Begin(begin));
        let (one, two) = payload.split_at(512);
        let first = Piece { seq: n, at: 0, checksum: crc_of(0, one), data: one };
        assert!(matches!(self.assembly.feed(&Data::Piece(first)), Ok(Fed::More)));
        let mut second = Piece { seq: n, at: 512, checksum: crc_of(0, payload), data: two };
        change(&mut second);
        self.assembly.feed(&Data::Piece(second))
    }

    fn publish(&mut self, n: u64, arrived: Arrived) -> Result<Accepted, RejectedFrame> {
        let frame = Frame { has_checksum: true, ..Self::frame(n) };
        let done = match arrived {
            Arrived::Slot(draft) => self.mirror.accept_draft(&frame, draft, None),
            Arrived::Memory(body) => {
                let done = self.mirror.accept_whole(
                    &Frame { body: Body::Whole(&body), ..frame },
                    None,
                    &shmx_bridge::NoCodecs,
                );
                self.assembly.give_back(body);
                done
            }
            _ => unreachable!("there are two places"),
        };
        done.expect("the mirror goes on")
    }

    fn whole(&mut self, n: u64) -> Arrived {
        match self.send(n, &payload(n), |_| {}) {
            Ok(Fed::Whole { body, .. }) => body,
            other => panic!("frame {n}: {other:?}"),
        }
    }
}

/// Slots that are being written.
fn claimed(name: &str) -> usize {
    let all = Inspector::open(name).unwrap().list_slots();
    all.iter().filter(|s| matches!(s.state, SlotState::Writing)).count()
}

fn newest(client: &mut Client) -> (u64, Vec<u8>) {
    let frame = client.latest().unwrap().expect("there is one");
    (frame.value(V).unwrap(), frame.get(DATA).unwrap().to_vec())
}

#[test]
fn quick_ones_go_into_a_slot_and_are_what_was_sent() {
    let name = unique("drafts");
    let mut way = Way::new(&name, 4);
    let mut client = Client::open(&name).unwrap();
    // Nothing is known of the link before the first one.
    let first = way.whole(1);
    assert!(matches!(first, Arrived::Memory(_)), "{first:?}");
    assert!(matches!(way.publish(1, first), Ok(Accepted::Published(1))));
    let mut in_slots = 0;
    for n in 2..200 {
        let arrived = way.whole(n);
        // One that was held up on its way may be in memory.
        in_slots += u32::from(matches!(arrived, Arrived::Slot(_)));
        assert_eq!(newest(&mut client).0, n - 1, "it is not seen before it is published");
        assert!(matches!(way.publish(n, arrived), Ok(Accepted::Published(_))));
        assert_eq!(newest(&mut client), (n, vec![n as u8; 1000]));
        let frame = client.latest().unwrap().unwrap();
        assert_eq!(common::origin(&frame).frame_id, n);
        assert_eq!(common::payload_of(&frame), payload(n));
    }
    assert!(in_slots > 0);
    assert_eq!((way.mirror.counts().published, way.mirror.counts().rejected), (199, 0));
}

#[test]
fn what_is_wrong_is_never_seen_and_holds_no_slot() {
    let name = unique("wrong-drafts");
    let mut way = Way::new(&name, 4);
    let mut client = Client::open(&name).unwrap();
    let first = way.whole(1);
    way.publish(1, first).unwrap();
    // More often than there are slots.
    for n in 2..30 {
        let bad = way.send(n, &payload(n), |p| p.checksum ^= 1);
        assert!(matches!(bad, Err(Broken { error: PieceError::Checksum, .. })), "{bad:?}");
        let mut lies = payload(n);
        lies[0] ^= 0xFF;
        let Ok(Fed::Whole { body, .. }) = way.send(n, &lies, |_| {}) else { panic!("it is what was sent") };
        assert!(matches!(way.publish(n, body), Err(RejectedFrame::Unsound(_))));
        // One that is begun and never goes on.
        let begin = Begin { frame: Way::frame(n), len: 1000, own: None };
        assert!(way.assembly.feed(&Data::Begin(begin)).is_ok());
        assert!(matches!(way.assembly.feed(&Data::GivenUp { seq: n }), Err(Broken { error: PieceError::GivenUp, .. })));
        assert_eq!(newest(&mut client), (1, vec![1; 1000]));
    }
    let good = way.whole(30);
    way.publish(30, good).unwrap();
    assert_eq!(newest(&mut client), (30, vec![30; 1000]));
}

#[test]
fn it_may_wait_for_a_slot_as_long_as_one_likes() {
    let name = unique("patient");
    let mut mirror = mirror(&name, 2, &MirrorOptions { slot_wait: Duration::MAX, ..MirrorOptions::default() });
    let payload = payload(1);
    let frame = Frame { checksum: checksum32(&payload), body: Body::Whole(&payload), ..Way::frame(1) };
    let accepted = mirror.accept(&frame, None, &shmx_bridge::NoCodecs).unwrap().unwrap();
    assert_eq!(accepted, Accepted::Published(1));
}

/// Messages may be larger than frames: they can bring the whole directory.
#[test]
fn one_that_no_slot_has_room_for_is_told_as_what_it_is() {
    let name = unique("large-drafts");
    let mut way = Way::new(&name, 4);
    for n in 1..20 {
        let first = way.whole(n);
        way.publish(n, first).unwrap();
    }
    let large = [payload(20), payload(20), payload(20)].concat();
    let Ok(Fed::Whole { body, .. }) = way.send(20, &large, |_| {}) else { panic!("it is what was sent") };
    let rejected = way.publish(20, body).unwrap_err();
    assert!(matches!(rejected, RejectedFrame::Unsound(_)), "{rejected}");
}

#[test]
fn one_that_takes_long_holds_no_slot() {
    let name = unique("late-drafts");
    let mut way = Way::new(&name, 4);
    let mut n = 0;
    let body = until("a slot", || {
        n += 1;
        let whole = way.whole(n);
        way.publish(n, whole).unwrap();
        n += 1;
        let body = payload(n);
        // What was begun before it breaks off.
        let _ = way.assembly.feed(&Data::Begin(Begin { frame: Way::frame(n), len: body.len() as u32, own: None }));
        let half = Piece { seq: n, at: 0, checksum: crc_of(0, &body[..512]), data: &body[..512] };
        way.assembly.feed(&Data::Piece(half)).unwrap();
        (claimed(&name) == 1).then_some(body)
    });
    until("its slot is given back", || {
        way.assembly.give_back_late();
        (claimed(&name) == 0).then_some(())
    });
    // It goes on in memory.
    let rest = Piece { seq: n, at: 512, checksum: crc_of(0, &body), data: &body[512..] };
    let Ok(Fed::Whole { body, .. }) = way.assembly.feed(&Data::Piece(rest)) else { panic!("it is whole") };
    assert!(matches!(body, Arrived::Memory(_)), "{body:?}");
    way.publish(n, body).unwrap();
    assert_eq!(newest(&mut Client::open(&name).unwrap()), (n, vec![n as u8; 1000]));
}

#[test]
fn a_mirror_of_few_slots_lends_none() {
    let name = unique("few-drafts");
    let mut way = Way::new(&name, 2);
    for n in 1..5 {
        let arrived = way.whole(n);
        assert!(matches!(arrived, Arrived::Memory(_)), "{arrived:?}");
        way.publish(n, arrived).unwrap();
    }
}

#[test]
fn its_producers_checksum_is_compared_and_goes_on() {
    let name = unique("own-drafts");
    let mut way = Way::new(&name, 4);
    let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
    for n in 1..20 {
        for wrong in [1, 0] {
            let payload = payload(n);
            let own = Some(checksum32(&payload) ^ wrong);
            let frame = Frame { has_checksum: true, ..Way::frame(n) };
            let _ = way.assembly.feed(&Data::Begin(Begin { frame, len: payload.len() as u32, own }));
            let piece = Piece { seq: n, at: 0, checksum: crc_of(0, &payload), data: &payload };
            match way.assembly.feed(&Data::Piece(piece)) {
                Err(Broken { error: PieceError::Checksum, .. }) => assert_eq!(wrong, 1),
                Ok(Fed::Whole { body, .. }) => {
                    assert_eq!(wrong, 0);
                    way.publish(n, body).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let frame = client.latest().unwrap().expect("one was published");
        assert_eq!((frame.value(V).unwrap(), frame.checksum()), (n, ChecksumState::Verified));
    }
}

#[test]
fn rejected_frames_are_not_counted_as_missed_too() {
    let name = unique("counts");
    let mut way = Way::new(&name, 4);
    let take = |mirror: &mut Mirror, n: u64, session: u64, wrong: u32| {
        let payload = payload(n);
        let checksum = checksum32(&payload) ^ wrong;
        let frame = Frame { session, checksum, body: Body::Whole(&payload), ..Way::frame(n) };
        mirror.accept(&frame, None, &shmx_bridge::NoCodecs).expect("the mirror goes on").is_ok()
    };
    assert!(take(&mut way.mirror, 1, SESSION, 0));
    assert!(!take(&mut way.mirror, 2, SESSION, 1), "its checksum is wrong");
    assert!(!take(&mut way.mirror, 3, SESSION + 1, 0), "it is of another session");
    assert!(take(&mut way.mirror, 4, SESSION, 0));
    // That one is none of its frames; its own third never came.
    assert_eq!((way.mirror.counts().missed, way.mirror.counts().rejected), (1, 2));
    // 5 and 6 never came, and neither did 8; 9 is not believed.
    assert!(take(&mut way.mirror, 7, SESSION, 0));
    assert!(!take(&mut way.mirror, 9, SESSION, 1));
    way.mirror.ended(9);
    let c = way.mirror.counts();
    assert_eq!((c.published, c.missed, c.rejected), (3, 4, 3), "{c:?}");
}
