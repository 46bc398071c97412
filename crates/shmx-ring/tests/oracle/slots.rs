//! The slot ring, reader slots and the doorbell.

use crate::world::{Ring, World, op};
use proptest::collection::vec;
use proptest::prelude::*;
use shmx_ring::reader;
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::{HeaderView, ReaderView, Slot, Slots};
use shmx_ring::writer::{Claimer, FrameMeta, NoFreeSlot, Publisher, Sequence};
use shmx_ring::{bytes, readers};
use std::cell::{Cell, RefCell};

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
