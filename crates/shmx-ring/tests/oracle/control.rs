//! Control rings.

use proptest::collection::vec;
use proptest::prelude::*;
use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_ring::control::{Receiver, RingCorrupt, RingMemory, send};
use shmx_ring::sync::{AtomicU8, Ordering};
use shmx_ring::view::ControlHead;
use std::collections::VecDeque;

/// Both ends of a ring, and a queue. The model knows positions and free bytes, as section 9 of the format has them,
/// and nothing of how they are computed here.
struct Pipe {
    cap: u64,
    head: ControlHead,
    bytes: Vec<AtomicU8>,
    receiver: Receiver,
    queue: VecDeque<(u32, Vec<u8>, u64)>,
    read: u64,
    write: u64,
}

/// `x` rounded up to whole records.
fn record(len: usize) -> u64 {
    (8 + len as u64).div_ceil(16) * 16
}

impl Pipe {
    fn new(cap: u32, start: u64) -> Self {
        let geometry = RingGeometry::new(cap).expect("room behind the positions");
        let head = ControlHead::new();
        head.read.store(start, Ordering::Relaxed);
        head.write.store(start, Ordering::Relaxed);
        let bytes = (0..cap).map(|_| AtomicU8::new(0xEE)).collect();
        let receiver = Receiver::starting_at(geometry, start);
        Self { cap: u64::from(cap), head, bytes, receiver, queue: VecDeque::new(), read: start, write: start }
    }

    fn usable(&self) -> u64 {
        self.cap - 16
    }

    fn left(&self, position: u64) -> u64 {
        self.usable() - position % self.usable()
    }

    fn send(&mut self, ty: u32, body: &[u8]) {
        let geometry = RingGeometry::new(self.cap as u32).expect("as before");
        let got = send(geometry, RingMemory { head: &self.head, bytes: &self.bytes }, ty, body);
        let need = record(body.len());
        let free = |w: u64| self.usable() - w.wrapping_sub(self.read);
        let expected = if need > self.usable() / 16 * 16 {
            Err(PlaceError::TooLong)
        } else if need > free(self.write) {
            Err(PlaceError::Full)
        } else if need <= self.left(self.write) {
            Ok(self.write)
        } else if self.left(self.write) > free(self.write) {
            Err(PlaceError::Full)
        } else {
            let start = self.write.wrapping_add(self.left(self.write));
            if need <= free(start) {
                Ok(start)
            } else {
                // Padding becomes visible even if the message does not fit behind it; a bare skip does not.
                if self.left(self.write) >= 8 {
                    self.write = start;
                }
                Err(PlaceError::Full)
            }
        };
        assert_eq!(got, expected.map(drop));
        if let Ok(at) = expected {
            self.write = at.wrapping_add(need);
            self.queue.push_back((ty, body.to_vec(), self.write));
        }
        assert_eq!(self.head.write.load(Ordering::Relaxed), self.write);
        assert_eq!(self.head.read.load(Ordering::Relaxed), self.read, "a sender leaves the receiver's word alone");
        assert!(self.bytes[..16].iter().all(|b| b.load(Ordering::Relaxed) == 0xEE));
    }

    fn poll(&mut self, max: usize) {
        let mut got = Vec::new();
        let result = self.receiver.poll(RingMemory { head: &self.head, bytes: &self.bytes }, |m| {
            if got.len() == max {
                return false;
            }
            let mut body = vec![0; m.len()];
            m.body(&mut body);
            assert_eq!(m.is_empty(), body.is_empty());
            got.push((m.ty, body));
            true
        });
        assert_eq!(result, Ok(()));
        let n = max.min(self.queue.len());
        assert_eq!(got.len(), n);
        for (ty, body) in got {
            let (expected_ty, expected, end) = self.queue.pop_front().expect("as many as were sent");
            assert_eq!((ty, body), (expected_ty, expected));
            self.read = end;
        }
        let mirror = self.head.read.load(Ordering::Relaxed);
        if self.queue.is_empty() {
            self.read = self.write; // padding that was visible is skipped too
        } else if mirror != self.read {
            // The receiver has skipped to the start and left the message there.
            assert_eq!(mirror, self.read.wrapping_add(self.left(self.read)));
            self.read = mirror;
        }
        assert_eq!(mirror, self.read);
    }
}

/// Padding that claims more than was sent once made the receiver report nearly 2^64 lost bytes.
#[test]
fn padding_past_the_write_position_loses_what_waited() {
    let geometry = RingGeometry::new(80).unwrap();
    let (head, bytes) = (ControlHead::new(), (0..80).map(|_| AtomicU8::new(0)).collect::<Vec<_>>());
    let memory = RingMemory { head: &head, bytes: &bytes };
    bytes[20].store(24, Ordering::Relaxed); // a length of 24: 32 bytes, of which 16 were sent
    head.write.store(16, Ordering::Relaxed);
    let mut receiver = Receiver::new(geometry);
    assert_eq!(receiver.poll(memory, |_| true), Err(RingCorrupt { lost: 16 }));
    assert_eq!(receiver.poll(memory, |_| true), Ok(()));
    send(geometry, memory, 7, b"x").unwrap();
    assert_eq!(receiver.poll(memory, |m| m.ty == 7), Ok(()));
}

/// Every capacity from the least, every length that can be sent, from every offset of a lap.
#[test]
fn every_small_ring_takes_every_length_at_every_offset() {
    let mut sent = 0_u32;
    for cap in 17..=96_u32 {
        let longest = RingGeometry::new(cap).unwrap().longest_message();
        for start in 0..u64::from(cap - 16) {
            for len in 0..=longest.unwrap_or(0) as usize + 9 {
                let mut pipe = Pipe::new(cap, start);
                pipe.send(5, &vec![0x55; len]);
                pipe.send(6, &[]);
                pipe.poll(1);
                pipe.send(7, &vec![0x77; len / 2]);
                pipe.poll(usize::MAX);
                sent += u32::from(pipe.queue.is_empty());
            }
        }
    }
    assert!(sent > 100_000, "{sent} runs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn a_control_ring_agrees_with_a_queue(
        cap in prop_oneof![17..200_u32, Just(4096), 17..3000_u32],
        start in prop_oneof![Just(0_u64), Just(u64::from(u32::MAX) - 40), Just(u64::MAX - 90), any::<u64>()],
        ops in vec((0..5_u8, any::<prop::sample::Index>(), 1..=u32::MAX, 0..24_usize), 0..120),
    ) {
        // Positions wrap at 2^64 only where the length divides it; elsewhere a ring ends long before.
        let usable = u64::from(cap - 16);
        let start = if usable.is_power_of_two() { start } else { start.min(u64::MAX / 2) };
        let mut pipe = Pipe::new(cap, start);
        for (what, index, ty, small) in ops {
            match what {
                0 | 1 => pipe.send(ty, &vec![ty as u8; small]),
                // Near the longest, and beyond.
                2 => pipe.send(ty, &vec![ty as u8; (usable as usize + 20).saturating_sub(small)]),
                3 => pipe.send(ty, &vec![ty as u8; index.index(usable as usize + 1)]),
                _ => pipe.poll(small),
            }
        }
        pipe.poll(usize::MAX);
        prop_assert!(pipe.queue.is_empty());
        // The longest message fits into an empty ring once a skip to its start is taken.
        if let Some(longest) = RingGeometry::new(cap).and_then(|g| g.longest_message()) {
            let sent = |pipe: &mut Pipe| { pipe.send(9, &vec![9; longest as usize]); pipe.queue.len() };
            if sent(&mut pipe) == 0 {
                pipe.poll(1);
                // A bare skip that did not fit together with the message stays: short messages pass it.
                if sent(&mut pipe) == 0 {
                    pipe.send(9, &[]);
                    pipe.poll(1);
                    sent(&mut pipe);
                }
            }
            pipe.poll(usize::MAX);
        }
    }

    #[test]
    fn a_forged_ring_ends_and_goes_on(
        cap in 17..300_u32, noise in vec(any::<u8>(), 300), read in any::<u64>(),
        ahead in prop_oneof![Just(0), 0..320_u64, any::<u64>()],
    ) {
        let geometry = RingGeometry::new(cap).unwrap();
        let head = ControlHead::new();
        let bytes: Vec<_> = noise[..cap as usize].iter().map(|b| AtomicU8::new(b % 3 * (b & 16))).collect();
        let memory = RingMemory { head: &head, bytes: &bytes };
        let write = read.wrapping_add(ahead);
        head.write.store(write, Ordering::Relaxed);
        let mut receiver = Receiver::starting_at(geometry, read);
        let mut delivered = 0;
        let result = receiver.poll(memory, |m| { delivered += record(m.len()); true });
        prop_assert!(delivered <= geometry.usable());
        match result {
            Ok(()) => prop_assert!(ahead <= geometry.usable()),
            Err(RingCorrupt { lost }) => prop_assert!(lost <= ahead),
        }
        // It stands at the write position and hears the next honest sender.
        prop_assert_eq!(head.read.load(Ordering::Relaxed), write);
        if send(geometry, memory, 7, b"x").is_ok() {
            let mut heard = Vec::new();
            prop_assert_eq!(receiver.poll(memory, |m| { heard.push((m.ty, m.len())); true }), Ok(()));
            prop_assert_eq!(heard, [(7, 1)]);
        }
    }
}
