//! A server whose region a neighbour scribbles over between its calls. Frames may be spoilt; the server must go on,
//! and what it keeps privately must not change.

use crate::abi::ring_model;
use crate::live::{load, memory, neighbour, remove, store, unique};
use crate::ops::Ops;
use crate::producer::Producer;
use shmx::error::BeginError;
use shmx::{Checksum, Server, StreamSpec};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let mut ops = Ops::new(data.get(..2048.min(data.len())).unwrap_or(&[]));
    let name = unique();
    let reader_slots;
    let builder = {
        let slots = u32::from(ops.below(7)) + 1;
        reader_slots = u32::from(ops.below(4));
        let builder = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "tick"), 1);
        let builder = builder.slots(slots).reader_slots(reader_slots).directory_bytes(u32::from(ops.u8()) + 64);
        let builder = builder.frame_bytes(u32::from(ops.u8()) + 1).control_bytes(u32::from(ops.below(200)));
        let checksum = [Checksum::Never, Checksum::Auto, Checksum::Always][usize::from(ops.below(4)).min(2)];
        builder.checksum(checksum)
    };
    let kind = ops.below(4);
    let builder = builder.publish_time(!kind.is_multiple_of(2));
    let mut server = match builder.create() {
        Ok(server) => Producer::new(server, kind > 1),
        Err(e) => panic!("these parameters are good: {builder:?}: {e}"),
    };
    let Some(scribbler) = neighbour(&name) else { panic!("the region is there") };
    let mut published = 0;
    let mut positions = vec![0; reader_slots as usize];
    while !ops.is_empty() {
        step(&mut server, memory(&scribbler), &mut ops, &mut published, &mut positions);
        assert_eq!(server.frames_published(), published, "the count is private");
        let state = server.directory();
        assert_eq!(state.hash, shmx_abi::hash::fnv1a64(&state.bytes));
        assert_eq!(state.session_id, server.session_id());
        let ids: BTreeSet<u32> = state.streams.iter().map(|s| s.id).collect();
        assert_eq!(ids.len(), state.streams.len(), "stream ids are unique");
    }
    drop(server);
    remove(&name);
}

fn step(server: &mut Producer, memory: &[AtomicU8], ops: &mut Ops<'_>, published: &mut u64, positions: &mut [u64]) {
    let layout = *server.layout();
    match ops.below(14) {
        0 => {
            let Ok(mut frame) = server.begin_frame() else { return };
            let len = usize::from(ops.below(8)) * 8;
            let _ = frame.append_raw(1, len as u32 / 8, &[0x5A; 64][..len]);
            let _ = frame.append_undeclared(ops.word(), 1, &[1; 16][..usize::from(ops.below(17))]);
            if let Ok(id) = frame.publish_frame(0.5) {
                assert_eq!(id, *published + 1, "ids are dense");
                *published = id;
            }
        }
        1 => begin_and_scribble(server, memory, ops, published),
        2 => poll(server, memory, usize::from(ops.below(20)), positions),
        3 => {
            for index in server.reap_dead_readers() {
                assert!(index < layout.reader_slots());
            }
        }
        4 => {
            let timeout = Duration::from_nanos(u64::from(ops.word()) << 32 | u64::from(ops.word()));
            let reaped = server.reap_stale_readers(timeout);
            assert!(reaped.iter().all(|&i| i < layout.reader_slots()));
        }
        5 => {
            let readers = server.snapshot_readers();
            assert_eq!(readers.len(), layout.reader_slots() as usize);
            assert!(readers.iter().all(|r| r.leased_slots <= layout.slots()));
            let _ = (server.readers_connected(), server.header());
        }
        6 => {
            let before = server.directory();
            let id = u32::from(ops.u8());
            let added = server.add_stream(StreamSpec::of::<[f32; 3]>(id, "x"));
            if added.is_err() {
                assert_eq!(server.directory(), before);
            } else {
                assert!(before.stream(id).is_none() && server.directory().stream(id).is_some());
            }
        }
        7 => {
            let len = usize::from(ops.below(64));
            let before = server.directory();
            if server.write_static_append(ops.bytes(len)).is_err() {
                assert_eq!(server.directory(), before);
            }
        }
        // A ring's positions, a reader slot, a frame header, or anywhere.
        8 => {
            let ring = layout.control_ring(u32::from(ops.u8()) % layout.reader_slots().max(1));
            if let Some(at) = ring {
                let value = match ops.below(4) {
                    0 => u64::from(ops.word()) << 32 | u64::from(ops.word()),
                    _ => word(memory, at).wrapping_add(u64::from(ops.u8())),
                };
                store(memory, at + 8 * usize::from(ops.below(8) != 0), &value.to_ne_bytes());
            }
        }
        9 => {
            let ring = layout.control_ring(u32::from(ops.u8()) % layout.reader_slots().max(1));
            if let Some(at) = ring {
                let inside = 16 + usize::from(ops.u8()) % (layout.control_per_reader() as usize - 16).max(1);
                let room = layout.control_per_reader() as usize - inside;
                let len = usize::from(ops.below(16)).min(room);
                store(memory, at + inside, ops.bytes(len));
                if ops.below(2) == 0 && room >= 8 {
                    store(memory, at + inside, &ops.word().to_ne_bytes());
                    store(memory, at + inside + 4, &ops.word().to_ne_bytes());
                }
            }
        }
        10 => {
            let slot = layout.reader_slot(u32::from(ops.u8()) % layout.reader_slots().max(1));
            if let Some(at) = slot {
                store(memory, at + usize::from(ops.below(16)) * 4, &ops.word().to_ne_bytes());
            }
        }
        11 => {
            let slot = layout.frame_slot(u32::from(ops.u8()) % layout.slots());
            let at = slot.expect("in range") + usize::from(ops.below(16)) * 4;
            store(memory, at, &ops.word().to_ne_bytes());
        }
        12 => store(memory, usize::from(ops.below(32)) * 4, &ops.word().to_ne_bytes()),
        _ => store(memory, usize::from(ops.u16()) % memory.len(), &ops.word().to_ne_bytes()),
    }
}

/// The claim is the server's whatever is written meanwhile.
fn begin_and_scribble(server: &mut Producer, memory: &[AtomicU8], ops: &mut Ops<'_>, published: &mut u64) {
    let layout = *server.layout();
    let mut frame = match server.begin_frame() {
        Ok(frame) => frame,
        Err(BeginError::NoFreeSlot { leased, writing, .. }) => {
            assert!(leased + writing > 0 && leased + writing <= 2 * layout.slots());
            return;
        }
        Err(BeginError::SessionLost { found, expected }) => {
            assert_ne!(found, expected);
            store(memory, 24, &expected.to_ne_bytes());
            return;
        }
        Err(e) => panic!("{e}"),
    };
    let slot = layout.frame_slot(frame.slot()).expect("a slot that exists");
    for _ in 0..ops.below(4) {
        let within = usize::from(ops.u8()) % layout.slot_stride() as usize;
        store(memory, slot + within, &ops.word().to_ne_bytes());
        let used = frame.used();
        if let Ok(room) = frame.reserve_raw(1, u32::from(ops.below(9))) {
            room.fill(3);
        } else {
            assert_eq!(frame.used(), used, "what fails changes nothing");
        }
    }
    if ops.below(3) == 0 {
        frame.abandon();
    } else if let Ok(id) = frame.publish_frame(f64::NAN) {
        assert_eq!(id, *published + 1, "ids are dense");
        *published = id;
    }
}

fn word(memory: &[AtomicU8], at: usize) -> u64 {
    u64::from_ne_bytes(load(&memory[at..at + 8]).try_into().expect("eight bytes"))
}

/// A poll delivers exactly what a plain walk from the receiver's private position finds.
fn poll(server: &Server, memory: &[AtomicU8], max: usize, positions: &mut [u64]) {
    let layout = server.layout();
    let before = load(memory);
    let batch = server.poll_control(max);
    assert!(batch.messages.len() <= max);
    assert!(batch.messages.iter().all(|m| m.reader_index < layout.reader_slots()));
    for (i, position) in (0..).zip(positions) {
        let Some(at) = layout.control_ring(i) else {
            assert!(batch.messages.is_empty() && batch.damaged.is_empty());
            return;
        };
        let ring = &before[at..at + layout.control_per_reader() as usize];
        let got: Vec<_> = batch.messages.iter().filter(|m| m.reader_index == i).collect();
        // A poll that has its `max` leaves the rest of a ring where it is.
        let limit = if batch.messages.len() < max { usize::MAX } else { got.len() };
        let expected = ring_model(ring, *position, limit).expect("a ring");
        assert!(got.iter().map(|m| (m.ty, &m.data)).eq(expected.messages.iter().map(|(ty, data)| (*ty, data))));
        assert_eq!(batch.damaged.iter().filter(|d| d.reader_index == i).count(), usize::from(expected.damaged));
        if *position != expected.read {
            *position = expected.read;
            assert_eq!(word(memory, at), *position, "the mirror follows");
        }
    }
}
