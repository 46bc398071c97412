//! A slot ring in plain memory, beside a model of it, and the operations that both go through.

use proptest::prelude::*;
use shmx_abi::extension::FrameMarks;
use shmx_ring::progress::{self, Progress};
use shmx_ring::reader::{self, Disturbed, FrameSnapshot};
use shmx_ring::sync::{AtomicU64, Ordering};
use shmx_ring::view::{FrameView, HeaderView, Slot, Slots};
use shmx_ring::writer::{Claim, Claimer, FrameMeta, NoFreeSlot, Publisher};
use shmx_ring::{doorbell, readers};
use std::collections::BTreeSet;

pub(crate) const WORDS: usize = 3;
/// Indices of readers: both ends of both words of lease bits, and the first without a bit.
pub(crate) const READERS: [u32; 6] = [0, 1, 63, 64, 127, 128];

pub(crate) struct Ring {
    pub(crate) header: HeaderView,
    pub(crate) slots: Vec<(FrameView, [AtomicU64; WORDS])>,
}

impl Ring {
    pub(crate) fn new(slots: u32) -> Self {
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
pub(crate) struct Place {
    pub(crate) claimed: bool,
    /// Claims so far: what was read under another count is void.
    pub(crate) claims: u64,
    pub(crate) leases: BTreeSet<u32>,
    pub(crate) frame: Option<FrameMeta>,
    pub(crate) frame_id: u64,
    pub(crate) words: [u64; WORDS],
    /// Whether it is open to followers, and how many words they were told of.
    pub(crate) open: bool,
    pub(crate) announced: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Claim { alone: bool },
    Publish { which: usize, value: u64, len: u32 },
    Abandon { which: usize },
    Lease { slot: usize, reader: usize },
    EndLease { slot: usize, reader: usize },
    ClearLeases { reader: usize },
    BeginCopy { slot: usize },
    FinishCopy { which: usize },
    Announce { which: usize, value: u64, words: usize },
    Follow { slot: usize, reader: usize },
    Look { which: usize },
    Sleep,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
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
        3 => (n(), any::<u64>(), 0..=WORDS).prop_map(|(which, value, words)| Op::Announce { which, value, words }),
        2 => (n(), n()).prop_map(|(slot, reader)| Op::Follow { slot, reader }),
        3 => n().prop_map(|which| Op::Look { which }),
        1 => Just(Op::Sleep),
    ]
}

pub(crate) struct World {
    pub(crate) ring: Ring,
    pub(crate) claimer: Claimer,
    pub(crate) publisher: Publisher,
    pub(crate) claims: Vec<(Claim, u64)>,
    pub(crate) copies: Vec<(u32, u64, FrameSnapshot)>,
    /// Slot, stamp, and the claims so far.
    pub(crate) followed: Vec<(u32, u64, u64)>,
    // The model.
    pub(crate) places: Vec<Place>,
    pub(crate) next_ticket: u64,
    pub(crate) newest: Option<u64>,
    pub(crate) published: u64,
    pub(crate) period: u64,
    pub(crate) asleep: bool,
}

impl World {
    /// A ring whose first ticket is `back` before the end of the `lap`-th period of sequence numbers.
    pub(crate) fn new(slots: u32, lap: u64, back: u64, bell: u32) -> Self {
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
            followed: Vec::new(),
            places: vec![Place::default(); slots as usize],
            next_ticket: ticket,
            newest: None,
            published: 0,
            period,
            asleep: false,
        }
    }

    pub(crate) fn slots(&self) -> u64 {
        self.places.len() as u64
    }

    pub(crate) fn step(&mut self, op: &Op) {
        let count = self.places.len();
        match *op {
            Op::Claim { alone } => self.claim(alone),
            Op::Publish { which, value, len } if !self.claims.is_empty() => {
                let (claim, ticket) = self.claims.swap_remove(which % self.claims.len());
                let index = claim.slot();
                let Place { announced, words: before, .. } = self.places[index as usize];
                // What was announced stays, and the frame is at least that long.
                let words =
                    std::array::from_fn(|i| if i < announced { before[i] } else { value.wrapping_mul(i as u64 + 1) });
                let len = len.max(announced as u32 * 8);
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
                (place.open, place.announced) = (false, 0);
            }
            Op::Abandon { which } if !self.claims.is_empty() => {
                let (claim, _) = self.claims.swap_remove(which % self.claims.len());
                let place = &mut self.places[claim.slot() as usize];
                (place.claimed, place.open, place.announced) = (false, false, 0);
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
            Op::Announce { which, value, words } if !self.claims.is_empty() => {
                let which = which % self.claims.len();
                let claim = &mut self.claims[which].0;
                let slot = self.ring.slot(claim.slot());
                let place = &mut self.places[claim.slot() as usize];
                assert_eq!(claim.is_open(), place.open);
                if !place.open {
                    claim.open(slot);
                    place.open = true;
                }
                for i in place.announced..words {
                    place.words[i] = value.wrapping_mul(i as u64 + 3);
                    slot.payload[i].store(place.words[i], Ordering::Relaxed);
                }
                place.announced = place.announced.max(words);
                let wake = claim.announce(&self.ring, place.announced as u32 * 8);
                assert_eq!(wake.is_some(), self.asleep);
                self.asleep = false;
            }
            Op::Follow { slot, reader } => {
                let (slot, reader) = (slot % count, READERS[reader % READERS.len()]);
                let view = self.ring.slot(slot as u32);
                let place = &mut self.places[slot];
                let stamp = progress::open_stamp(view);
                assert_eq!(stamp.is_some(), place.open);
                let Some(stamp) = stamp else { return };
                let got = progress::follow(view, reader, stamp);
                assert_eq!(got.is_ok(), reader < 128);
                if got.is_ok() {
                    place.leases.insert(reader);
                    self.followed.push((slot as u32, stamp, place.claims));
                }
            }
            Op::Look { which } if !self.followed.is_empty() => {
                let (slot, stamp, claims) = self.followed[which % self.followed.len()];
                let (view, place) = (self.ring.slot(slot), &self.places[slot as usize]);
                match progress::look(view, stamp) {
                    Progress::Bytes(n) => {
                        assert!(place.claimed && place.claims == claims);
                        assert_eq!(n as usize, place.announced * 8);
                    }
                    Progress::Over(now) => {
                        assert!(!place.claimed && place.claims == claims);
                        let mut seen = FrameSnapshot::default();
                        progress::header_into(view, now, &mut seen);
                        matches(&seen, place);
                    }
                    // Only once the leases are gone.
                    Progress::Damaged => assert!(place.claims > claims),
                    Progress::Sealed => panic!("nobody is publishing"),
                }
            }
            Op::Publish { .. } | Op::Abandon { .. } | Op::FinishCopy { .. } | Op::Announce { .. } | Op::Look { .. } => {
            }
        }
        self.check();
    }

    /// Section 6.2: a lap of tickets without the newest frame's slot, then each slot once, the newest frame's last.
    pub(crate) fn claim(&mut self, alone: bool) {
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
            (Err(e), None) => assert_eq!(e, NoFreeSlot { leased: refused.0, writing: refused.1, needed: 0 }),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    /// Everything that lies in the region is what the model says.
    pub(crate) fn check(&self) {
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

/// A header is that of the frame that the model has there. Without a frame the length says so.
pub(crate) fn matches(seen: &FrameSnapshot, place: &Place) {
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
