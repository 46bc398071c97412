//! Random operations against plain models: the slot ring, reader slots, the doorbell and control rings, over buffers
//! of this process. Counters start near their wraps.
//!
//! One thread does everything, so each step has one right answer; what several threads may see is the business of
//! `loom.rs`.
#![cfg(not(loom))]

use proptest::collection::vec;
use proptest::prelude::*;
use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_abi::extension::FrameMarks;
use shmx_ring::control::{Receiver, RingCorrupt, RingMemory, send};
use shmx_ring::reader::{self, Disturbed, FrameSnapshot};
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::{ControlHead, FrameView, HeaderView, ReaderView, Slot, Slots};
use shmx_ring::writer::{Claim, Claimer, FrameMeta, NoFreeSlot, Publisher, Sequence};
use shmx_ring::{bytes, doorbell, readers};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

const WORDS: usize = 3;
/// Indices of readers: both ends of both words of lease bits, and the first without a bit.
const READERS: [u32; 6] = [0, 1, 63, 64, 127, 128];

struct Ring {
    header: HeaderView,
    slots: Vec<(FrameView, [AtomicU64; WORDS])>,
}

impl Ring {
    fn new(slots: u32) -> Self {
        let slot = || (FrameView::new(), [const { AtomicU64::new(0) }; WORDS]);
        Self { header: HeaderView::new(), slots: (0..slots).map(|_| slot()).collect() }
    }
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

/// What a slot holds, as the format's document says it.
#[derive(Clone, Default)]
struct Place {
    claimed: bool,
    /// Claims so far: what was read under another count is void.
    claims: u64,
    leases: BTreeSet<u32>,
    frame: Option<FrameMeta>,
    frame_id: u64,
    words: [u64; WORDS],
}

#[derive(Clone, Debug)]
enum Op {
    Claim { alone: bool },
    Publish { which: usize, value: u64, len: u32 },
    Abandon { which: usize },
    Lease { slot: usize, reader: usize },
    EndLease { slot: usize, reader: usize },
    ClearLeases { reader: usize },
    BeginCopy { slot: usize },
    FinishCopy { which: usize },
    Sleep,
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..16_usize;
    prop_oneof![
        4 => any::<bool>().prop_map(|alone| Op::Claim { alone }),
        4 => (n(), any::<u64>(), 0..=(WORDS as u32 * 8))
            .prop_map(|(which, value, len)| Op::Publish { which, value, len }),
        1 => n().prop_map(|which| Op::Abandon { which }),
        3 => (n(), n()).prop_map(|(slot, reader)| Op::Lease { slot, reader }),
        3 => (n(), n()).prop_map(|(slot, reader)| Op::EndLease { slot, reader }),
        1 => n().prop_map(|reader| Op::ClearLeases { reader }),
        2 => n().prop_map(|slot| Op::BeginCopy { slot }),
        2 => n().prop_map(|which| Op::FinishCopy { which }),
        1 => Just(Op::Sleep),
    ]
}

struct World {
    ring: Ring,
    claimer: Claimer,
    publisher: Publisher,
    claims: Vec<(Claim, u64)>,
    copies: Vec<(u32, u64, FrameSnapshot)>,
    // The model.
    places: Vec<Place>,
    next_ticket: u64,
    newest: Option<u64>,
    published: u64,
    period: u64,
    asleep: bool,
}

impl World {
    /// A ring whose first ticket is `back` before the end of the `lap`-th period of sequence numbers.
    fn new(slots: u32, lap: u64, back: u64, bell: u32) -> Self {
        // Written out from section 6.1: the largest multiple of `slots` that is at most 2^32 - 1.
        let period = u64::from(u32::MAX) - u64::from(u32::MAX) % u64::from(slots);
        let ticket = (lap * period).saturating_sub(back);
        let ring = Ring::new(slots);
        ring.header.ext_doorbell.store(bell & !1, Ordering::Relaxed);
        Self {
            ring,
            claimer: Claimer::starting_at(slots, ticket),
            publisher: Publisher::new(slots),
            claims: Vec::new(),
            copies: Vec::new(),
            places: vec![Place::default(); slots as usize],
            next_ticket: ticket,
            newest: None,
            published: 0,
            period,
            asleep: false,
        }
    }

    fn slots(&self) -> u64 {
        self.places.len() as u64
    }

    fn step(&mut self, op: &Op) {
        let count = self.places.len();
        match *op {
            Op::Claim { alone } => self.claim(alone),
            Op::Publish { which, value, len } if !self.claims.is_empty() => {
                let (claim, ticket) = self.claims.swap_remove(which % self.claims.len());
                let index = claim.slot();
                let words = std::array::from_fn(|i| value.wrapping_mul(i as u64 + 1));
                for (cell, word) in self.ring.slot(index).payload.iter().zip(words) {
                    cell.store(word, Ordering::Relaxed);
                }
                let meta = FrameMeta {
                    session_id: value ^ 1,
                    sim_time_bits: value,
                    payload_bytes: len,
                    tlv_count: len / 2,
                    checksum: value as u32,
                    publish_time: len,
                    marks: FrameMarks::of(value),
                };
                let said = self.publisher.publish(&self.ring, &self.claimer, claim, &meta);
                self.published += 1;
                assert_eq!((said.frame_id, said.wake.is_some()), (self.published, self.asleep));
                self.asleep = false;
                self.newest = Some(self.newest.map_or(ticket, |n| n.max(ticket)));
                let place = &mut self.places[index as usize];
                (place.claimed, place.frame, place.frame_id, place.words) = (false, Some(meta), self.published, words);
            }
            Op::Abandon { which } if !self.claims.is_empty() => {
                let (claim, _) = self.claims.swap_remove(which % self.claims.len());
                self.places[claim.slot() as usize].claimed = false;
                self.claimer.abandon(&self.ring, claim);
            }
            Op::Lease { slot, reader } => {
                let (slot, reader) = (slot % count, READERS[reader % READERS.len()]);
                let got = reader::lease(self.ring.slot(slot as u32), reader);
                let place = &mut self.places[slot];
                if place.claimed || reader >= 128 {
                    assert_eq!(got, Err(Disturbed));
                    // A reader that leases twice counts for itself; a failed try of it clears the bit.
                } else {
                    let seen = got.expect("nobody writes the slot");
                    matches(&seen, place);
                    place.leases.insert(reader);
                }
            }
            Op::EndLease { slot, reader } => {
                let (slot, reader) = (slot % count, READERS[reader % READERS.len()]);
                reader::end_lease(self.ring.slot(slot as u32), reader);
                self.places[slot].leases.remove(&reader);
            }
            Op::ClearLeases { reader } => {
                let reader = READERS[reader % READERS.len()];
                readers::clear_leases(&self.ring, reader);
                for place in &mut self.places {
                    place.leases.remove(&reader);
                }
            }
            Op::BeginCopy { slot } => {
                let slot = slot % count;
                match reader::begin(self.ring.slot(slot as u32)) {
                    Ok(seen) => {
                        assert!(!self.places[slot].claimed);
                        matches(&seen, &self.places[slot]);
                        self.copies.push((slot as u32, self.places[slot].claims, seen));
                    }
                    Err(Disturbed) => assert!(self.places[slot].claimed),
                }
            }
            Op::FinishCopy { which } if !self.copies.is_empty() => {
                let (slot, claims, seen) = self.copies.swap_remove(which % self.copies.len());
                let mut copy = vec![0; seen.payload_bytes as usize];
                let got = reader::copy_payload(self.ring.slot(slot), &seen, &mut copy);
                let place = &self.places[slot as usize];
                assert_eq!(got.is_ok(), place.claims == claims, "a copy is good unless the slot was claimed since");
                if got.is_ok() {
                    let all: Vec<u8> = place.words.iter().flat_map(|w| w.to_ne_bytes()).collect();
                    assert_eq!(copy, all[..copy.len()]);
                }
            }
            Op::Sleep => {
                let bell = &self.ring.header.ext_doorbell;
                let before = bell.load(Ordering::Relaxed);
                assert_eq!(doorbell::prepare_to_sleep(bell), before | 1);
                self.asleep = true;
            }
            Op::Publish { .. } | Op::Abandon { .. } | Op::FinishCopy { .. } => {}
        }
        self.check();
    }

    /// Section 6.2: a lap of tickets without the newest frame's slot, then each slot once, the newest frame's last.
    fn claim(&mut self, alone: bool) {
        let slots = self.slots();
        let newest = self.newest.map(|t| t % slots);
        let free = |place: &Place| !place.claimed && place.leases.is_empty();
        let by_ticket = (self.next_ticket..self.next_ticket + slots)
            .find(|t| newest != Some(t % slots) && free(&self.places[(t % slots) as usize]));
        let (mut expected, mut refused) = (by_ticket.map(|t| (t, t % slots)), (0, 0));
        self.next_ticket = by_ticket.map_or(self.next_ticket + slots, |t| t + 1);
        if expected.is_none() {
            let lap = self.next_ticket..self.next_ticket + slots;
            let (last, others): (Vec<_>, Vec<_>) = lap.partition(|t| newest == Some(t % slots));
            expected =
                others.iter().chain(&last).find(|t| free(&self.places[(*t % slots) as usize])).map(|t| (*t, t % slots));
            if expected.is_some() {
                self.next_ticket += slots;
            }
            let claimed = self.places.iter().filter(|p| p.claimed).count() as u32;
            refused = (slots as u32 - claimed, claimed);
        }
        let got = if alone { self.claimer.claim_mut(&self.ring) } else { self.claimer.claim(&self.ring) };
        match (got, expected) {
            (Ok(claim), Some((ticket, index))) => {
                assert_eq!(u64::from(claim.slot()), index);
                let place = &mut self.places[index as usize];
                (place.claimed, place.frame, place.frame_id) = (true, None, 0);
                place.claims += 1;
                self.claims.push((claim, ticket));
            }
            (Err(e), None) => assert_eq!(e, NoFreeSlot { leased: refused.0, writing: refused.1 }),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    /// Everything that lies in the region is what the model says.
    fn check(&self) {
        let number = self.newest.map_or(0, |t| (t % self.period) as u32 + 1);
        assert_eq!(reader::newest(&self.ring), number);
        assert_eq!(reader::published(&self.ring), self.published);
        assert_eq!(self.publisher.published(), self.published);
        if let Some(ticket) = self.newest {
            assert!(number != 0 && u64::from(number - 1) % self.slots() == ticket % self.slots());
        }
        assert_eq!(self.ring.header.ext_doorbell.load(Ordering::Relaxed) % 2 == 1, self.asleep);
        for (index, place) in (0..).zip(&self.places) {
            let slot = self.ring.slot(index);
            assert_eq!(slot.head.ext_stamp.load(Ordering::Relaxed) % 2 == 1, place.claimed);
            let bits = place.leases.iter().fold(0, |all, r| all | 1_u128 << r);
            assert_eq!(reader::leases(slot), bits);
            matches(&reader::begin_unstamped(slot), place);
            // What somebody leases does not move.
            if !place.leases.is_empty() {
                assert!(slot.payload.iter().zip(place.words).all(|(c, w)| c.load(Ordering::Relaxed) == w));
            }
        }
    }
}

/// Slots that another thread is busy with: it takes a ticket, and gives its slot back, whenever one of them is tried.
struct Contended<'a> {
    ring: &'a Ring,
    claimer: &'a Claimer,
    busy: Cell<bool>,
    tried: RefCell<Vec<u32>>,
}

impl Slots for Contended<'_> {
    fn header(&self) -> &HeaderView {
        self.ring.header()
    }
    fn slot_count(&self) -> u32 {
        self.ring.slot_count()
    }
    fn slot(&self, index: u32) -> Slot<'_> {
        self.tried.borrow_mut().push(index);
        if self.busy.get()
            && let Ok(claim) = self.claimer.claim(self.ring)
        {
            self.claimer.abandon(self.ring, claim);
        }
        self.ring.slot(index)
    }
}

/// Threads share tickets: the one free slot's once went to another thread each time, and the claim failed.
#[test]
fn the_one_free_slot_is_found_whatever_tickets_others_take() {
    for slots in 2..6 {
        for free in 0..slots {
            let (ring, claimer) = (Ring::new(slots), Claimer::new(slots));
            for leased in (0..slots).filter(|&i| i != free) {
                reader::lease(ring.slot(leased), 3).unwrap();
            }
            let contended =
                Contended { ring: &ring, claimer: &claimer, busy: Cell::new(true), tried: RefCell::default() };
            let mut publisher = Publisher::new(slots);
            let mut last = 0;
            for id in 1..=10 {
                let claim = claimer.claim(&contended).expect("a slot is free each time one is tried");
                assert_eq!(claim.slot(), free);
                let said = publisher.publish(&ring, &claimer, claim, &FrameMeta::default());
                assert_eq!(said.frame_id, id);
                // I4, and the number leads to the frame.
                let number = reader::newest(&ring);
                assert!(number > last && (number - 1) % slots == free, "{last}, then {number} of {slots} slots");
                last = number;
            }
        }
    }
}

#[test]
fn no_free_slot_is_said_after_each_was_tried_with_counts_that_are_true() {
    const SLOTS: u32 = 5;
    let (ring, claimer) = (Ring::new(SLOTS), Claimer::new(SLOTS));
    let mut publisher = Publisher::new(SLOTS);
    let first = claimer.claim(&ring).unwrap();
    let _ = publisher.publish(&ring, &claimer, first, &FrameMeta::default());
    let held: Vec<_> = (0..2).map(|_| claimer.claim(&ring).unwrap()).collect();
    for leased in (0..SLOTS).filter(|i| held.iter().all(|c| c.slot() != *i)) {
        reader::lease(ring.slot(leased), 3).unwrap();
    }
    let contended = Contended { ring: &ring, claimer: &claimer, busy: Cell::new(true), tried: RefCell::default() };
    for _ in 0..20 {
        contended.tried.borrow_mut().clear();
        assert_eq!(claimer.claim(&contended).unwrap_err(), NoFreeSlot { leased: 3, writing: 2 });
        let mut last: Vec<_> = contended.tried.borrow().iter().rev().take(SLOTS as usize).copied().collect();
        assert_eq!(last[0], 0, "the newest frame's slot comes last");
        last.sort_unstable();
        assert_eq!(last, [0, 1, 2, 3, 4]);
    }
    for claim in held {
        claimer.abandon(&ring, claim);
    }
}

/// A header is that of the frame that the model has there. Without a frame the length says so.
fn matches(seen: &FrameSnapshot, place: &Place) {
    assert_eq!(seen.frame_id, place.frame_id);
    let Some(meta) = place.frame else {
        assert_eq!(seen.payload_bytes, 0, "no frame");
        return;
    };
    assert_eq!(
        (seen.session_id, seen.sim_time_bits, seen.payload_bytes, seen.tlv_count, seen.checksum, seen.publish_time),
        (meta.session_id, meta.sim_time_bits, meta.payload_bytes, meta.tlv_count, meta.checksum, meta.publish_time)
    );
    assert_eq!(FrameMarks::of(seen.stamp), meta.marks);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_slot_ring_agrees_with_a_model(
        slots in 1..9_u32, lap in prop_oneof![Just(0_u64), Just(1), Just(2), Just(1 << 20)], back in 0..40_u64,
        bell in prop_oneof![Just(0_u32), Just(u32::MAX - 1), any::<u32>()],
        ops in vec(op(), 0..160),
    ) {
        let mut world = World::new(slots, lap, back, bell);
        ops.iter().for_each(|op| world.step(op));
    }

    #[test]
    fn sequence_numbers_fit_the_format(
        slots in prop_oneof![1..9_u32, any::<u32>()], ticket in any::<u64>(), near in 0..64_u64,
    ) {
        prop_assume!(slots > 0);
        let s = Sequence::new(slots);
        prop_assert!(s.period() <= u64::from(u32::MAX) && s.period().is_multiple_of(u64::from(slots)));
        prop_assert!(s.period() + u64::from(slots) > u64::from(u32::MAX), "the largest such");
        for ticket in [ticket, near, (s.period() + near).saturating_sub(32)] {
            let number = s.number(ticket);
            prop_assert!(number >= 1 && u64::from(number) <= s.period());
            prop_assert_eq!((number - 1) % slots, s.slot(ticket));
            let ended = u64::from(number) == s.period() || ticket == u64::MAX;
            prop_assert_eq!(s.number(ticket.wrapping_add(1)) == 1, ended);
        }
    }

    #[test]
    fn copies_take_what_both_sides_have(words in vec(any::<u64>(), 0..6), len in 0..60_usize) {
        let cells: Vec<_> = words.iter().map(|w| AtomicU64::new(*w)).collect();
        let all: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let mut out = vec![0xEE; len];
        bytes::copy_out(&cells, &mut out);
        let n = len.min(all.len());
        prop_assert_eq!(&out[..n], &all[..n]);
        prop_assert!(out[n..].iter().all(|b| *b == 0xEE));
        let cells: Vec<_> = (0..len).map(|_| AtomicU8::new(0xEE)).collect();
        bytes::store_bytes(&all, &cells);
        let mut back = vec![0; len];
        bytes::load_bytes(&cells, &mut back);
        prop_assert_eq!(&back[..n], &all[..n]);
        prop_assert!(back[n..].iter().all(|b| *b == 0xEE));
    }

    #[test]
    fn reader_slots_agree_with_a_model(ops in vec((0..3_usize, 0..4_u8, any::<u32>()), 0..60), start in 0..2_u32) {
        let header = HeaderView::new();
        header.readers_connected.store(start, Ordering::Relaxed);
        let slots: Vec<_> = (0..3).map(|_| ReaderView::new()).collect();
        let mut owners = [None; 3];
        let mut count = start;
        for (i, what, word) in ops {
            let id = u64::from(word) + 1;
            match what {
                0 | 1 => {
                    let got = readers::attach(
                        &header,
                        &slots[i],
                        &readers::Newcomer { id, pid: word, now: id * 3, locked: what == 1, verifies: false },
                    );
                    prop_assert_eq!(got, owners[i].is_none());
                    if got {
                        owners[i] = Some((id, what == 1, word));
                        count += 1;
                    }
                }
                2 => {
                    readers::detach(&header, &slots[i]);
                    owners[i] = None;
                    count = count.saturating_sub(1);
                }
                _ => slots[i].ext_missed.store(id, Ordering::Relaxed),
            }
            prop_assert_eq!(header.readers_connected.load(Ordering::Relaxed), count);
            for (slot, owner) in slots.iter().zip(owners) {
                let got = (
                    slot.in_use.load(Ordering::Relaxed),
                    slot.reader_id.load(Ordering::Relaxed),
                    slot.ext_tag.load(Ordering::Relaxed),
                    slot.ext_pid.load(Ordering::Relaxed),
                    slot.heartbeat.load(Ordering::Relaxed),
                );
                let expected = owner.map_or((0, 0, 0, 0, 0), |(id, locked, pid)| {
                    (1, id, if locked { id } else { 0 }, pid, id * 3)
                });
                prop_assert_eq!(got, expected);
                prop_assert_eq!(slot.last_frame_seen.load(Ordering::Relaxed), 0);
            }
            if what < 2 && owners[i] == Some((id, what == 1, word)) {
                // A new owner begins at 0, whatever the last one left.
                let counts = [&slots[i].ext_delivered, &slots[i].ext_rejected_flags];
                prop_assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 0));
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ control rings

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

/// Slots under which a frame is published when one of them is first tried, as another thread would do it.
struct Overtaken<'a, F: FnOnce()> {
    ring: &'a Ring,
    publish: Cell<Option<F>>,
}

impl<F: FnOnce()> Slots for Overtaken<'_, F> {
    fn header(&self) -> &HeaderView {
        self.ring.header()
    }
    fn slot_count(&self) -> u32 {
        self.ring.slot_count()
    }
    fn slot(&self, index: u32) -> Slot<'_> {
        if let Some(publish) = self.publish.take() {
            publish();
        }
        self.ring.slot(index)
    }
}

/// The newest frame's slot was once the one that was the newest when the claim began.
#[test]
fn a_slot_that_becomes_the_newest_during_a_claim_comes_last() {
    let (ring, claimer) = (Ring::new(4), Claimer::new(4));
    let mut publisher = Publisher::new(4);
    claimer.abandon(&ring, claimer.claim(&ring).unwrap());
    let other = claimer.claim(&ring).unwrap();
    assert_eq!(other.slot(), 1);
    (0..2).for_each(|_| claimer.abandon(&ring, claimer.claim(&ring).unwrap()));
    // Slot 0, whose turn it is, cannot be had; slot 1, the next one, is published while it is tried.
    reader::lease(ring.slot(0), 3).unwrap();
    let publish = || assert_eq!(publisher.publish(&ring, &claimer, other, &FrameMeta::default()).frame_id, 1);
    let overtaken = Overtaken { ring: &ring, publish: Cell::new(Some(publish)) };
    assert_eq!(claimer.claim(&overtaken).unwrap().slot(), 2);
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
