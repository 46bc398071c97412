//! A neighbour that scribbles while the parties work, and not only between their calls: what was checked may change
//! before it is used. Every call must come back; frames may be spoilt.

use crate::common::memory::bytes;
use shmx::error::ReadError;
use shmx::{Client, Hold, Inspector, OwnedFrame, Server, SharedServer, SlotState, StreamSpec, Verify};
use shmx_os::{Region, RegionName};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
}

fn store(memory: &[AtomicU8], at: usize, bytes: &[u8]) {
    for (cell, byte) in memory.iter().skip(at).zip(bytes) {
        cell.store(*byte, Ordering::Relaxed);
    }
}

/// Words of the header, frame headers, payloads, reader slots and rings, in turn with quiet times, in which the header
/// is as it was.
fn scribble(memory: &[AtomicU8], server: &SharedServer, seed: u64, done: &AtomicBool) {
    let mut random = Random(seed);
    let layout = *server.layout();
    let header: Vec<u8> = memory[..128].iter().map(|b| b.load(Ordering::Relaxed)).collect();
    while !done.load(Ordering::Relaxed) {
        for _ in 0..random.below(200) {
            let word = match random.below(5) {
                0 => 0,
                1 => u32::MAX,
                2 => random.below(512) as u32,
                _ => random.next() as u32,
            };
            let pick = |n: u32, random: &mut Random| random.below(n as usize) as u32;
            let within = random.below(16) * 4;
            let at = match random.below(6) {
                0 => Some(random.below(32) * 4),
                1 => layout.frame_slot(pick(layout.slots(), &mut random)).map(|at| at + within),
                2 => layout.frame_slot(pick(layout.slots(), &mut random)).map(|at| at + 64 + within),
                3 => layout.reader_slot(pick(layout.reader_slots(), &mut random)).map(|at| at + within),
                4 => layout.control_ring(pick(layout.reader_slots(), &mut random)).map(|at| at + within),
                _ => Some(random.below(memory.len() / 4) * 4),
            };
            store(memory, at.unwrap_or(0), &word.to_ne_bytes());
        }
        // Give everybody something to do again: geometry and session as they were, slots even and without leases.
        store(memory, 0, &header);
        for at in (0..layout.slots()).filter_map(|i| layout.frame_slot(i)) {
            store(memory, at + 40, &[0; 24]);
        }
        for _ in 0..random.below(2000) {
            std::hint::spin_loop();
        }
    }
}

#[test]
fn scribbling_at_any_moment_spoils_frames_and_nothing_else() {
    let until = Instant::now() + Duration::from_secs(120);
    let (mut published, mut delivered, mut opened, mut heard) = (0_u64, 0_u64, 0_u64, 0_u64);
    // However few get anywhere in a round: until each has.
    for round in 0_u64.. {
        if round >= 8 && [published, delivered, opened, heard].iter().all(|n| *n > 20) {
            break;
        }
        let name = format!("shmx-hostile-threads-{}-{round}", std::process::id());
        let builder = Server::builder(&name).slots(1 + round as u32 % 4).reader_slots(3).frame_bytes(512);
        let builder = builder.control_bytes(90 + round as u32).directory_bytes(512);
        let server = builder.stream(StreamSpec::of::<u64>(1, "t"), 50).create().unwrap().into_shared();
        let neighbour = Region::open(&RegionName::new(&name).unwrap()).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(|| scribble(bytes(&neighbour), &server, round * 77 + 1, &done));
            for turn in 0..60_u64 {
                let hold = if turn % 3 != 0 { Hold::Lease } else { Hold::Copy };
                let verify = if turn % 4 != 0 { Verify::Always } else { Verify::Never };
                let client = Client::options().hold(hold).verify(verify).require_slot(false).open(&name);
                let Ok(mut client) = client else { continue };
                opened += 1;
                for n in 0..30_u64 {
                    if let Ok(mut frame) = server.begin_frame() {
                        let _ = frame.append_stream(1, &vec![n; (n % 50) as usize]);
                        let _ = frame.append_undeclared(2, 1, &[7; 40]);
                        published += u64::from(frame.publish_frame(0.0).is_ok());
                    }
                    let mut kept: Vec<OwnedFrame> = Vec::new();
                    for way in 0..4 {
                        let got = match way {
                            0 => client.latest(),
                            1 => client.try_next(),
                            2 => client.wait(Duration::ZERO),
                            _ => client.read_id(n),
                        };
                        if let Ok(Some(frame)) = got {
                            let _ = (frame.decode().is_ok(), frame.get::<u64>(1).is_ok());
                            kept.push(frame.keep());
                        }
                    }
                    for view in &kept {
                        let _ = (view.decode().is_ok(), view.get::<u64>(1).is_ok(), view.age());
                        delivered += 1;
                    }
                    let _ = (client.control_send(0x3000, &[3; 30]).is_ok(), client.directory().is_ok());
                    heard += server.poll_control(50).messages.len() as u64;
                    let _ = (server.reap_stale_readers(Duration::from_nanos(n)), server.snapshot_readers());
                    if n == 20 {
                        let _ = server.add_stream(StreamSpec::of::<u8>(turn as u32, "more"));
                        if let Ok(inspector) = Inspector::open(&name) {
                            for slot in inspector.list_slots() {
                                if let SlotState::Frame(view) = slot.state {
                                    let _ = view.decode();
                                }
                            }
                            for r in inspector.snapshot_readers() {
                                let _ = inspector.peek_control(r.index);
                            }
                            let _ = (inspector.directory().is_ok(), inspector.latest().is_ok());
                        }
                    }
                    assert!(Instant::now() < until, "round {round}, turn {turn}: every call comes back");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        drop(server);
        let _ = neighbour.remove();
        let all = [published, delivered, opened, heard];
        assert!(Instant::now() < until, "published, delivered, opened, heard: {all:?}");
    }
}

/// Payloads are hashed where they lie, some bytes twice; whatever changes meanwhile changes the hash and no more.
#[test]
fn bytes_that_change_while_they_are_hashed_spoil_the_checksum_only() {
    const CAP: u32 = 256 << 10;
    let name = format!("shmx-hostile-hash-{}", std::process::id());
    let builder = Server::builder(&name).slots(3).stream(StreamSpec::of::<u64>(1, "t"), CAP / 8);
    let server = builder.create().unwrap().into_shared();
    let neighbour = Region::open(&RegionName::new(&name).unwrap()).unwrap();
    let values = vec![7_u64; CAP as usize / 8];
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            let mut random = Random(88_172_645_463_325_252);
            while !done.load(Ordering::Relaxed) {
                // Behind the stream's record header, so that only data changes.
                let slot = server.layout().frame_slot(random.below(3) as u32).unwrap() + 64 + 24;
                bytes(&neighbour)[slot + random.below(CAP as usize)].fetch_add(1, Ordering::Relaxed);
            }
        });
        // Clients that lease and clients that copy; both look at the checksum.
        let mut clients = [Hold::Lease, Hold::Copy]
            .map(|hold| Client::options().hold(hold).verify(Verify::Always).open(&name).unwrap());
        let (mut published, mut spoilt) = (0, 0);
        let (least, most) = (Instant::now() + Duration::from_millis(300), Instant::now() + Duration::from_secs(60));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < least || spoilt == 0 {
                assert!(Instant::now() < most, "{published} frames and none spoilt");
                let mut frame = server.begin_frame().unwrap();
                frame.append_stream(1, &values).unwrap();
                published = frame.publish_frame(0.0).unwrap();
                for client in &mut clients {
                    match client.latest() {
                        Ok(Some(view)) => assert_eq!(view.frame_id(), published),
                        Err(ReadError::Checksum { frame_id, .. }) => {
                            assert_eq!(frame_id, published);
                            spoilt += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}
