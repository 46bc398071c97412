//! A neighbour that scribbles over the region: every party survives with errors, none panics or hangs.

use proptest::prelude::*;
use shmx::error::SendError;
use shmx::{Client, Config, Inspector, Server, StaticStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn unique() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-hostile-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

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

/// Everything each party can do; results do not matter, coming back does.
fn exercise(server: &Server, client: &mut Client, inspector: &Inspector) {
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
        let _ = client.refresh_static();
        let _ = server.poll_control(100);
        let _ = server.add_stream(&StaticStream::of::<u8>(77, "x"));
        let _ = server.reap_stale_readers(u64::MAX, 1);
        let _ = server.snapshot_readers();
        look(inspector);
    }
}

fn look(inspector: &Inspector) {
    let _ = inspector.decode_static_dir();
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
        let name = unique();
        let config = Config { reader_slots: 2, control_per_reader: 96, frame_bytes_cap: 256, static_bytes_cap: 256,
                              ..Config::new(&name) };
        let server = Server::create(&config, &[StaticStream::of::<u64>(1, "t")]).unwrap();
        let mut client = Client::open(&name).unwrap();
        let inspector = Inspector::open(&name).unwrap();
        let neighbour = shmx::os::Region::open(&shmx::os::RegionName::new(&name).unwrap()).unwrap();
        exercise(&server, &mut client, &inspector);
        for s in &list {
            apply(neighbour.bytes(), s);
            exercise(&server, &mut client, &inspector);
        }
        let _ = Client::open(&name).map(|mut c| c.latest().is_ok());
        let _ = Inspector::open(&name).map(|i| look(&i));
        drop((client, server));
        neighbour.remove().unwrap();
    }

    #[test]
    fn damaged_dumps_are_errors(list in scribbles(), cut in any::<u32>()) {
        let name = unique();
        let config = Config { reader_slots: 2, control_per_reader: 96, frame_bytes_cap: 256, ..Config::new(&name) };
        let server = Server::create(&config, &[StaticStream::of::<u64>(1, "t")]).unwrap();
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
    let name = unique();
    let server = Server::create(&Config::new(&name), &[StaticStream::of::<u64>(1, "t")]).unwrap();
    for n in 0..2_u64 {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(1, &[n]).unwrap();
        f.publish_frame(0.0).unwrap();
    }
    let neighbour = shmx::os::Region::open(&shmx::os::RegionName::new(&name).unwrap()).unwrap();
    let write = |at: usize, bytes: &[u8]| {
        for (cell, byte) in neighbour.bytes()[at..].iter().zip(bytes) {
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
    let name = unique();
    let server = Server::create(&Config::new(&name), &[StaticStream::of::<u64>(1, "t")]).unwrap();
    let neighbour = shmx::os::Region::open(&shmx::os::RegionName::new(&name).unwrap()).unwrap();
    let mut client = Client::open(&name).unwrap();
    let ring = server.layout().control_ring(client.reader_index().unwrap()).unwrap();
    let mut heard = Vec::new();
    for (round, stray) in [1 << 40, 1 << 20, 1 << 63].into_iter().enumerate() {
        for (cell, byte) in neighbour.bytes()[ring..].iter().zip(u64::to_ne_bytes(stray)) {
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
