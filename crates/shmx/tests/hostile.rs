//! A neighbour that scribbles over the region: every party survives with errors, none panics or hangs.

use crate::common::memory::bytes;
use proptest::prelude::*;
use shmx::error::{BeginError, SendError};
use shmx::{Client, Inspector, Server, ServerBuilder, SharedServer, StreamSpec};
use shmx_testkit::unique;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One write of the neighbour: where (as a fraction of the region, or within its first bytes) and what.
#[derive(Clone, Debug)]
struct Scribble {
    at: u32,
    near_start: bool,
    word: u32,
}

fn scribbles() -> impl Strategy<Value = Vec<Scribble>> {
    let word = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(0x8000_0000), any::<u32>(), 0..4096_u32];
    let one = (any::<u32>(), any::<bool>(), word).prop_map(|(at, near_start, word)| Scribble { at, near_start, word });
    prop::collection::vec(one, 1..40)
}

fn apply(bytes: &[std::sync::atomic::AtomicU8], s: &Scribble) {
    let range = if s.near_start { 128 } else { bytes.len() };
    let at = s.at as usize % (range / 4) * 4;
    for (cell, byte) in bytes[at..at + 4].iter().zip(s.word.to_ne_bytes()) {
        cell.store(byte, Ordering::Relaxed);
    }
}

fn small(name: &str) -> ServerBuilder {
    let builder = Server::builder(name).reader_slots(2).control_bytes(96).frame_bytes(256);
    builder.stream(StreamSpec::of::<u64>(1, "t"), 8)
}

fn serve(name: &str, slots: u32) -> Server {
    Server::builder(name).slots(slots).stream(StreamSpec::of::<u64>(1, "t"), 8).create().unwrap()
}

/// Everything each party can do; results do not matter, coming back does.
fn exercise(server: &SharedServer, client: &mut Client, inspector: &Inspector) {
    for _ in 0..2 {
        if let Ok(mut f) = server.begin_frame() {
            let _ = f.append_stream(1, &[1_u64, 2]);
            let _ = f.publish_frame(0.0);
        }
        let _ = client.control_send(0x3000, &[1; 20]);
        if let Ok(Some(v)) = client.latest() {
            let _ = v.decode();
            let _ = v.get::<u64>(1);
        }
        let _ = client.try_next();
        let _ = client.wait(Duration::from_micros(50));
        let _ = client.directory();
        let _ = server.poll_control(100);
        let _ = server.add_stream(StreamSpec::of::<u8>(77, "x"));
        let _ = server.reap_stale_readers(Duration::from_nanos(1));
        let _ = server.snapshot_readers();
        look(inspector);
    }
}

fn look(inspector: &Inspector) {
    let _ = inspector.directory();
    for r in inspector.snapshot_readers() {
        let _ = inspector.peek_control(r.index);
    }
    let _ = inspector.latest();
    for s in inspector.list_slots() {
        if let shmx::SlotState::Frame(v) = s.state {
            let _ = v.decode();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn scribbling_spoils_frames_and_nothing_else(list in scribbles()) {
        let name = unique("hostile");
        let server = small(&name).slots(3).directory_bytes(256).create().unwrap().into_shared();
        let mut client = Client::open(&name).unwrap();
        let inspector = Inspector::open(&name).unwrap();
        let neighbour = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
        exercise(&server, &mut client, &inspector);
        for s in &list {
            apply(bytes(&neighbour), s);
            exercise(&server, &mut client, &inspector);
        }
        let _ = Client::open(&name).map(|mut c| c.latest().is_ok());
        let _ = Inspector::open(&name).map(|i| look(&i));
        drop((client, server));
        neighbour.remove().unwrap();
    }

    #[test]
    fn damaged_dumps_are_errors(list in scribbles(), cut in any::<u32>()) {
        let name = unique("hostile");
        let mut server = small(&name).slots(3).create().unwrap();
        let mut f = server.begin_frame().unwrap();
        f.append_stream(1, &[1_u64, 2]).unwrap();
        f.publish_frame(0.0).unwrap();
        let mut dump = Inspector::open(&name).unwrap().dump();
        for s in &list {
            let range = if s.near_start { 128 } else { dump.len() };
            let at = s.at as usize % (range / 4) * 4;
            dump[at..at + 4].copy_from_slice(&s.word.to_ne_bytes());
        }
        if cut % 4 == 0 {
            dump.truncate(cut as usize % dump.len());
        }
        let path = std::env::temp_dir().join(format!("{name}.dump"));
        std::fs::write(&path, &dump).unwrap();
        if let Ok(inspector) = Inspector::open_file(&path) {
            look(&inspector);
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// Found by fuzzing: id 0 was taken for the one that follows the greatest id there can be.
#[test]
fn no_frame_follows_the_greatest_id() {
    let name = unique("hostile");
    let mut server = serve(&name, 3);
    for n in 0..2_u64 {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(1, &[n]).unwrap();
        f.publish_frame(0.0).unwrap();
    }
    let neighbour = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
    let write = |at: usize, new: &[u8]| {
        for (cell, byte) in bytes(&neighbour)[at..].iter().zip(new) {
            cell.store(*byte, Ordering::Relaxed);
        }
    };
    let frame_id = |slot: u32| server.layout().frame_slot(slot).unwrap() + 8;
    write(frame_id(0), &u64::MAX.to_ne_bytes());
    write(frame_id(1), &0_u64.to_ne_bytes());
    write(104, &u64::MAX.to_ne_bytes()); // frame_seq
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.try_next().unwrap().map(|v| v.frame_id()), Some(u64::MAX));
    write(112, &1_u32.to_ne_bytes()); // write_index, so that there seem to be news
    assert_eq!(client.try_next().unwrap().map(|v| v.frame_id()), None);
}

/// A store to a ring's read position, while nothing waits, once made every later message impossible.
#[test]
fn a_poll_mends_the_positions_of_a_quiet_ring() {
    let name = unique("hostile");
    let server = serve(&name, 3);
    let neighbour = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
    let client = Client::open(&name).unwrap();
    let ring = server.layout().control_ring(client.reader_index().unwrap()).unwrap();
    let mut heard = Vec::new();
    for (round, stray) in [1 << 40, 1 << 20, 1 << 63].into_iter().enumerate() {
        for (cell, byte) in bytes(&neighbour)[ring..].iter().zip(u64::to_ne_bytes(stray)) {
            cell.store(byte, Ordering::Relaxed);
        }
        assert_eq!(client.control_send(0x3000, &[0]), Err(SendError::Corrupt), "before the poll");
        let batch = server.poll_control(100);
        assert!(batch.messages.is_empty() && batch.damaged.is_empty(), "nothing was sent, nothing lost");
        let body = [round as u8; 5];
        client.control_send(0x3001, &body).unwrap();
        heard.extend(server.poll_control(100).messages.into_iter().map(|m| (m.ty, m.data)));
        assert_eq!(heard.last(), Some(&(0x3001, body.to_vec())));
    }
    assert_eq!(heard.len(), 3);
}

/// A neighbour's stamp once made two frames of one server own the same memory.
#[test]
fn no_stamp_makes_two_frames_own_one_slot() {
    let name = unique("hostile");
    let server = serve(&name, 2).into_shared();
    let neighbour = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
    let layout = *server.layout();
    let stamp_at = |slot: u32| layout.frame_slot(slot).unwrap() + 56;
    let write = |slot: u32, stamp: u64| {
        for (cell, byte) in bytes(&neighbour)[stamp_at(slot)..].iter().zip(stamp.to_ne_bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
    };
    let stamp = |slot: u32| {
        let cells = &bytes(&neighbour)[stamp_at(slot)..][..8];
        u64::from_ne_bytes(std::array::from_fn(|i| cells[i].load(Ordering::Relaxed)))
    };
    let mut client = Client::open(&name).unwrap();
    for round in 0..4_u64 {
        let mut first = server.begin_frame().unwrap();
        write(first.slot(), 2 * round);
        let mut second = server.begin_frame().unwrap();
        assert_ne!(first.slot(), second.slot());
        write(second.slot(), 2 * round);
        let refused = BeginError::NoFreeSlot { leased: 0, writing: 2, holders: Vec::new() };
        assert_eq!(server.begin_frame().err(), Some(refused));
        assert_eq!([0, 1].map(stamp), [2 * round; 2], "as they were found");
        let rooms = [&mut first, &mut second].map(|f| f.reserve_stream::<u64>(1, 3).unwrap());
        for (room, value) in rooms.into_iter().zip([7, 8]) {
            room.fill(value);
        }
        // Given back one way and the other.
        if round % 2 == 0 {
            first.abandon();
        } else {
            first.publish_frame(0.0).unwrap();
        }
        second.publish_frame(0.0).unwrap();
        assert_eq!(client.latest().unwrap().unwrap().get::<u64>(1).unwrap(), [8; 3]);
    }
    // A frame that is forgotten keeps its slot for good, also before a thread that is alone.
    drop((server, client));
    let mut server = serve(&name, 2);
    let neighbour = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
    let write = |slot: u32, stamp: u64| {
        for (cell, byte) in bytes(&neighbour)[stamp_at(slot)..].iter().zip(stamp.to_ne_bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
    };
    let mut client = Client::open(&name).unwrap();
    let forgotten = server.begin_frame().unwrap();
    let slot = forgotten.slot();
    std::mem::forget(forgotten);
    write(slot, 4);
    for value in 0..5_u64 {
        let mut frame = server.begin_frame().unwrap();
        assert_ne!(frame.slot(), slot);
        frame.append_stream(1, &[value]).unwrap();
        frame.publish_frame(0.0).unwrap();
        assert_eq!(client.latest().unwrap().unwrap().get::<u64>(1).unwrap(), [value]);
    }
    let cells = &bytes(&neighbour)[stamp_at(slot)..][..8];
    let stamp = u64::from_ne_bytes(std::array::from_fn(|i| cells[i].load(Ordering::Relaxed)));
    assert_eq!(stamp, 4);
}
