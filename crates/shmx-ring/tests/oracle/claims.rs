//! Claims with a producer's own flags, claims that spare some frames, and headers that change under a reader.

use crate::world::Ring;
use shmx_ring::sync::{AtomicU8, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, Claimer, FrameMeta, NoFreeSlot, Publisher};
use shmx_ring::{progress, reader};

type Flagged = Claimer<[AtomicU8; 4]>;

/// A ring of four slots and what its producer keeps.
struct Producer {
    ring: Ring,
    claimer: Flagged,
    publisher: Publisher,
}

impl Producer {
    fn new() -> Self {
        let claimer = Claimer::with_flags(4, [const { AtomicU8::new(0) }; 4]);
        Self { ring: Ring::new(4), claimer, publisher: Publisher::new(4) }
    }

    fn publish(&mut self, claim: Claim) {
        let _ = self.publisher.publish(&self.ring, &self.claimer, claim, &FrameMeta::default());
    }

    /// By one of the ways to a slot.
    fn claim(&mut self, way: usize, may: impl Fn(u64) -> bool) -> Result<Claim, NoFreeSlot> {
        match way {
            0 => self.claimer.claim(&self.ring),
            1 => self.claimer.claim_mut(&self.ring),
            2 => self.claimer.claim_where(&self.ring, may),
            _ => self.claimer.claim_where_mut(&self.ring, may),
        }
    }
}

/// Another process makes the stamps even; the flags know better.
#[test]
fn a_slot_has_one_owner_whatever_its_stamp_says() {
    for way in 0..4 {
        let mut p = Producer::new();
        let mut claims = Vec::new();
        for held in 1..=4 {
            claims.push(p.claim(way, |_| true).unwrap());
            for slot in 0..4 {
                p.ring.slot(slot).head.ext_stamp.store(2, Ordering::Relaxed);
            }
            let mut owned: Vec<u32> = claims.iter().map(Claim::slot).collect();
            owned.sort_unstable();
            owned.dedup();
            assert_eq!(owned.len(), held, "way {way}");
        }
        assert_eq!(p.claim(way, |_| true).unwrap_err(), NoFreeSlot { leased: 0, writing: 4, needed: 0 });
        // Given back by either end, and by a claim that met a lease.
        let last = claims.pop().unwrap();
        let free = last.slot();
        p.claimer.abandon(&p.ring, last);
        reader::lease(p.ring.slot(free), 3).unwrap();
        assert_eq!(p.claim(way, |_| true).unwrap_err(), NoFreeSlot { leased: 1, writing: 3, needed: 0 });
        reader::end_lease(p.ring.slot(free), 3);
        let again = p.claim(way, |_| true).unwrap();
        assert_eq!(again.slot(), free);
        p.publish(again);
        assert_eq!(p.claim(way, |_| true).unwrap().slot(), free, "way {way}");
    }
}

/// Slots come in turn, the newest frame's last, and each has the next number.
#[test]
fn slots_come_in_turn() {
    for way in 0..4 {
        let mut p = Producer::new();
        for number in 1..=12 {
            let claim = p.claim(way, |_| true).unwrap();
            assert_eq!(claim.slot(), (number - 1) % 4, "way {way}");
            p.publish(claim);
            assert_eq!(reader::newest(&p.ring), number, "way {way}");
        }
        // The slot that is next has the newest frame: it is passed by, and its number is skipped.
        for slot in [0, 1, 2] {
            reader::lease(p.ring.slot(slot), 3).unwrap();
        }
        let newest = p.claim(way, |_| true).unwrap();
        assert_eq!(newest.slot(), 3, "there is no other");
        p.publish(newest);
        assert_eq!(reader::newest(&p.ring) % 4, 0);
    }
}

/// An abandoned claim has had its turn; so the newest frame's comes before others were written again.
#[test]
fn the_newest_frame_is_passed_by_when_its_turn_comes() {
    for way in 0..4 {
        let mut p = Producer::new();
        let first = p.claim(way, |_| true).unwrap();
        p.publish(first);
        for slot in [1, 2, 3, 1, 2, 3, 1] {
            let claim = p.claim(way, |_| true).unwrap();
            assert_eq!(claim.slot(), slot, "way {way}");
            p.claimer.abandon(&p.ring, claim);
        }
    }
}

#[test]
fn frames_that_are_needed_are_passed_by() {
    // So many frames, and the slots of the oldest and of the oldest but one.
    for (way, frames, oldest, next) in [(2, 6, 2, 3), (3, 6, 2, 3), (2, 7, 3, 0), (3, 8, 0, 1)] {
        let mut p = Producer::new();
        for _ in 0..frames {
            let claim = p.claim(0, |_| true).unwrap();
            p.publish(claim);
        }
        let before = reader::newest(&p.ring);
        assert_eq!(p.claim(way, |_| false).unwrap_err(), NoFreeSlot { leased: 0, writing: 0, needed: 4 });
        let claim = p.claim(way, |id| id != frames - 3).unwrap();
        assert_eq!(claim.slot(), next, "the oldest that may go");
        p.publish(claim);
        let number = reader::newest(&p.ring);
        assert!(number > before && (number - 1) % 4 == next, "{number}");
        assert_eq!(p.claim(way, |id| id == frames - 3).unwrap().slot(), oldest);
        let left = NoFreeSlot { leased: 0, writing: 1, needed: 3 };
        assert_eq!(p.claim(way, |_| false).unwrap_err(), left);
    }
}

#[test]
fn who_keeps_few_frames_claims_so_alone_too() {
    let (ring, mut claimer) = (Ring::new(4), Claimer::new(4).with_history(1));
    let mut publisher = Publisher::new(4);
    for _ in 0..12 {
        let claim = claimer.claim_mut(&ring).unwrap();
        let _ = publisher.publish(&ring, &claimer, claim, &FrameMeta::default());
    }
    let used = (0..4).filter(|&i| ring.slot(i).head.frame_id.load(Ordering::Relaxed) > 0).count();
    assert_eq!(used, 2);
}

/// Without stamps every word of the header counts.
#[test]
fn a_changed_header_makes_a_copy_void() {
    let ring = Ring::new(1);
    let head = ring.slot(0).head;
    let changes: [&dyn Fn(); 8] = [
        &|| head.ext_stamp.store(9, Ordering::Relaxed),
        &|| head.payload_bytes.store(9, Ordering::Relaxed),
        &|| head.session_id_copy.store(9, Ordering::Relaxed),
        &|| head.frame_id.store(9, Ordering::Relaxed),
        &|| head.sim_time.store(9, Ordering::Relaxed),
        &|| head.tlv_count.store(9, Ordering::Relaxed),
        &|| head.checksum.store(9, Ordering::Relaxed),
        &|| head.ext_publish_time.store(9, Ordering::Relaxed),
    ];
    for change in changes {
        let seen = reader::begin_unstamped(ring.slot(0));
        assert_eq!(reader::validate(ring.slot(0), &seen), Ok(()));
        change();
        assert!(reader::validate(ring.slot(0), &seen).is_err());
    }
}

#[test]
fn a_lease_that_comes_too_late_keeps_the_others() {
    let ring = Ring::new(1);
    reader::lease(ring.slot(0), 5).unwrap();
    reader::lease(ring.slot(0), 70).unwrap();
    for index in [4, 6, 71] {
        assert!(progress::follow(ring.slot(0), index, 3).is_err(), "it is not open");
        assert_eq!(reader::leases(ring.slot(0)), 1 << 5 | 1 << 70);
    }
}
