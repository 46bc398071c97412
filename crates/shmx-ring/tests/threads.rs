//! Real threads over plain data that only the protocol protects.
//!
//! On their own these runs look at values. Under ThreadSanitizer (`cargo xtask tsan`) they look at order: it reports
//! every access to the plain cells that the atomics do not put in order. It does not understand fences: what rests on
//! them (a copy under a stamp, the sleeper's side of the doorbell) is for `loom.rs`.
#![cfg(not(loom))]

use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_ring::control::{Receiver, RingMemory, send};
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::{ControlHead, FrameView, HeaderView, ReaderView, Slot, Slots};
use shmx_ring::writer::{Claimer, FrameMeta, Publisher};
use shmx_ring::{reader, readers};
use std::cell::UnsafeCell;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;

/// A value without any protection of its own.
struct Plain(UnsafeCell<u64>);

// SAFETY: the protocols under test say who may touch the value when; a mistake of theirs is what is looked for.
unsafe impl Sync for Plain {}

impl Plain {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn set(&self, value: u64) {
        // SAFETY: the caller is the only one by the protocol under test.
        unsafe { *self.0.get() = value }
    }

    fn get(&self) -> u64 {
        // SAFETY: nobody writes meanwhile, by the protocol under test.
        unsafe { *self.0.get() }
    }
}

/// The sender fills a cell before it sends its number; the receiver reads it. The cell is filled again only when the
/// ring had room, that is when the receiver is known to be past it.
#[test]
fn a_control_ring_orders_what_is_around_it() {
    const MESSAGES: u64 = 20_000;
    for cap in [48_u32, 71, 80, 400] {
        let geometry = RingGeometry::new(cap).unwrap();
        let (head, bytes) = (ControlHead::new(), (0..cap).map(|_| AtomicU8::new(0)).collect::<Vec<_>>());
        let memory = RingMemory { head: &head, bytes: &bytes };
        // A message takes 16 bytes, so the ring holds no more than this many.
        let cells: Vec<_> = (0..=geometry.usable() / 16).map(|_| Plain::new()).collect();
        let cell = |n: u64| &cells[n as usize % cells.len()];
        thread::scope(|s| {
            s.spawn(|| {
                for n in 0..MESSAGES {
                    cell(n).set(n * 3);
                    loop {
                        match send(geometry, memory, 1 + (n % 7) as u32, &n.to_ne_bytes()) {
                            Ok(()) => break,
                            Err(PlaceError::Full) => thread::yield_now(),
                            Err(e) => panic!("{e:?}"),
                        }
                    }
                }
            });
            let mut receiver = Receiver::new(geometry);
            let mut next = 0;
            while next < MESSAGES {
                let before = next;
                let result = receiver.poll(memory, |m| {
                    let mut body = [0; 8];
                    m.body(&mut body);
                    assert_eq!((m.ty, u64::from_ne_bytes(body)), (1 + (next % 7) as u32, next));
                    assert_eq!(cell(next).get(), next * 3);
                    next += 1;
                    true
                });
                result.expect("an honest sender");
                if next == before {
                    thread::yield_now();
                }
            }
        });
    }
}

fn newcomer(id: u64) -> readers::Newcomer {
    readers::Newcomer { id, pid: id as u32, now: 1, locked: true, verifies: false, every_frame: false }
}

/// Who has attached owns what belongs to the slot until it detaches.
#[test]
fn a_reader_slot_has_one_owner_at_a_time() {
    const ROUNDS: u64 = 5_000;
    let (slot, owned) = (ReaderView::new(), Plain::new());
    thread::scope(|s| {
        for id in 1..=3 {
            let (slot, owned) = (&slot, &owned);
            s.spawn(move || {
                // A header each: the common count would put the owners in order by itself.
                let header = &HeaderView::new();
                for _ in 0..ROUNDS {
                    while readers::attach(header, slot, &newcomer(id)).is_none() {
                        thread::yield_now();
                    }
                    owned.set(owned.get() + 1);
                    assert_eq!(slot.reader_id.load(Ordering::Relaxed), id);
                    readers::detach(header, slot);
                }
                assert_eq!(header.readers_connected.load(Ordering::Relaxed), 0);
            });
        }
    });
    assert_eq!(owned.get(), 3 * ROUNDS);
}

/// Counters that grow, whose low parts say what their high parts are, and headers copied meanwhile.
#[test]
fn a_loaded_header_holds_nothing_that_was_never_stored() {
    const LOADS: u32 = 200_000;
    let (header, frame, reader, control) = (HeaderView::new(), FrameView::new(), ReaderView::new(), ControlHead::new());
    let words = [&header.frame_seq, &frame.frame_id, &frame.sim_time, &reader.last_frame_seen, &control.write];
    // Each width that a copy might be cut at.
    for bits in [8, 16, 32] {
        let low = |high: u64| high.wrapping_mul(0x9E37_79B9_7F4A_7C15) & ((1 << bits) - 1);
        let store = |high: u64| words.iter().for_each(|w| w.store(high << bits | low(high), Ordering::Relaxed));
        store(0);
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(|| (1..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(store));
            let mut wrong = None;
            for _ in 0..LOADS {
                let frame = frame.load();
                let seen = [
                    header.load().frame_seq,
                    frame.frame_id,
                    frame.sim_time.to_bits(),
                    reader.load().last_frame_seen,
                    control.load().write,
                ];
                wrong = wrong.or(seen.into_iter().find(|v| v & ((1 << bits) - 1) != low(v >> bits)));
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(wrong, None, "cut at {bits} bits");
        });
    }
}

struct Ring {
    header: HeaderView,
    slots: Vec<(FrameView, [AtomicU64; 1])>,
    cells: Vec<Plain>,
}

impl Slots for Ring {
    fn header(&self) -> &HeaderView {
        &self.header
    }
    fn slot_count(&self) -> u32 {
        self.slots.len() as u32
    }
    fn slot(&self, index: u32) -> Slot<'_> {
        let (head, payload) = &self.slots[index as usize];
        Slot { head, payload }
    }
}

/// Two producers and two readers by lease, over plain cells.
#[test]
fn leases_and_claims_exclude_each_other() {
    const FRAMES: u64 = 20_000;
    let ring = Ring {
        header: HeaderView::new(),
        slots: (0..4).map(|_| (FrameView::new(), [AtomicU64::new(0)])).collect(),
        cells: (0..4).map(|_| Plain::new()).collect(),
    };
    let (claimer, publisher) = (Claimer::new(4), Mutex::new(Publisher::new(4)));
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        let mut producers = Vec::new();
        for mine in 1..=2_u64 {
            let (ring, claimer, publisher) = (&ring, &claimer, &publisher);
            producers.push(s.spawn(move || {
                let (mut published, mut abandoned) = (0, false);
                while published < FRAMES {
                    let Ok(claim) = claimer.claim(&ring) else {
                        thread::yield_now();
                        continue;
                    };
                    let value = published << 2 | mine;
                    ring.cells[claim.slot() as usize].set(value);
                    if published % 8 == 3 && !abandoned {
                        claimer.abandon(&ring, claim);
                        abandoned = true;
                        continue;
                    }
                    abandoned = false;
                    let meta = FrameMeta { sim_time_bits: value, payload_bytes: 8, ..FrameMeta::default() };
                    let _ = publisher.lock().unwrap().publish(&ring, claimer, claim, &meta);
                    published += 1;
                }
            }));
        }
        for index in 0..2 {
            let (ring, done) = (&ring, &done);
            s.spawn(move || {
                let mut seen = 0_u64;
                loop {
                    let last = done.load(Ordering::Relaxed);
                    if let Some(n) = reader::newest(&ring).checked_sub(1) {
                        let slot = n % ring.slot_count();
                        if let Ok(frame) = reader::lease(ring.slot(slot), index) {
                            if frame.payload_bytes != 0 {
                                assert_eq!(ring.cells[slot as usize].get(), frame.sim_time_bits);
                                seen += 1;
                            }
                            reader::end_lease(ring.slot(slot), index);
                        }
                    }
                    if last && seen > 0 {
                        break;
                    }
                }
            });
        }
        for producer in producers {
            producer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(publisher.lock().unwrap().published(), 2 * FRAMES);
}
