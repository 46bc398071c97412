//! The slot ring, reader slots and the doorbell.

use crate::world::{Ring, World, op};
use proptest::collection::vec;
use proptest::prelude::*;
use shmx_ring::reader;
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::{HeaderView, ReaderView, Slot, Slots};
use shmx_ring::writer::{Claimer, FrameMeta, NoFreeSlot, Publisher, Sequence};
use shmx_ring::{bytes, prefetch, readers};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

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

/// A producer that keeps few frames writes where it wrote last, and goes round what readers hold.
#[test]
fn few_frames_are_kept_in_the_slots_written_last() {
    for (slots, history) in [(4, 1), (4, 2), (8, 1), (8, 3), (3, 2)] {
        let (ring, claimer) = (Ring::new(slots), Claimer::new(slots).with_history(history));
        let mut publisher = Publisher::new(slots);
        let (mut written, mut last) = (Vec::new(), 0);
        let mut publish = |written: &mut Vec<u32>| {
            let claim = claimer.claim(&ring).unwrap();
            let slot = claim.slot();
            assert!(!written.iter().rev().take(history as usize).any(|&w| w == slot), "{slot} of {written:?}");
            written.push(slot);
            let said = publisher.publish(&ring, &claimer, claim, &FrameMeta::default());
            assert_eq!(said.frame_id, written.len() as u64);
            // I4, and the number leads to the frame.
            let number = reader::newest(&ring);
            assert!(number > last && (number - 1) % slots == slot);
            last = number;
        };
        (0..20).for_each(|_| publish(&mut written));
        let used: BTreeSet<u32> = written.iter().copied().collect();
        assert_eq!(used.len() as u32, history + 1, "{written:?}");
        // The newest is held while others follow.
        let held = *written.last().unwrap();
        reader::lease(ring.slot(held), 3).unwrap();
        let before = written.len();
        if slots > history + 1 {
            (0..20).for_each(|_| publish(&mut written));
            assert!(!written[before..].contains(&held), "{written:?}");
            let used: BTreeSet<u32> = written[before..].iter().copied().collect();
            assert_eq!(used.len() as u32, history + 1, "{written:?}");
        }
        reader::end_lease(ring.slot(held), 3);
        (0..20).for_each(|_| publish(&mut written));
    }
}

/// All but the newest frames are held: what is kept goes before nothing can be had.
#[test]
fn history_gives_way_before_there_is_no_slot() {
    let (ring, claimer) = (Ring::new(4), Claimer::new(4).with_history(3));
    let mut publisher = Publisher::new(4);
    for _ in 0..4 {
        let claim = claimer.claim(&ring).unwrap();
        let _ = publisher.publish(&ring, &claimer, claim, &FrameMeta::default());
    }
    let newest = (reader::newest(&ring) - 1) % 4;
    let oldest = (0..4).min_by_key(|&i| ring.slot(i).head.frame_id.load(Ordering::Relaxed)).unwrap();
    reader::lease(ring.slot(oldest), 3).unwrap();
    let claim = claimer.claim(&ring).unwrap();
    assert!(claim.slot() != newest && claim.slot() != oldest);
    for slot in (0..4).filter(|&s| s != claim.slot() && s != oldest && s != newest) {
        reader::lease(ring.slot(slot), 3).unwrap();
    }
    assert_eq!(claimer.claim(&ring).unwrap().slot(), newest, "the newest frame goes last");
    let refused = claimer.claim(&ring).unwrap_err();
    assert_eq!(refused, NoFreeSlot { leased: 2, writing: 2, needed: 0 });
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
        assert_eq!(claimer.claim(&contended).unwrap_err(), NoFreeSlot { leased: 3, writing: 2, needed: 0 });
        let mut last: Vec<_> = contended.tried.borrow().iter().rev().take(SLOTS as usize).copied().collect();
        assert_eq!(last[0], 0, "the newest frame's slot comes last");
        last.sort_unstable();
        assert_eq!(last, [0, 1, 2, 3, 4]);
    }
    for claim in held {
        claimer.abandon(&ring, claim);
    }
}

/// A length is a word of the region: any may stand there.
#[test]
fn asking_for_cache_lines_early_changes_nothing() {
    let ring = Ring::new(1);
    ring.slot(0).head.frame_id.store(5, Ordering::Relaxed);
    for len in [0, 1, 24, 64, 1 << 14, (1 << 14) + 65, u32::MAX] {
        for ask in [prefetch::will_read, prefetch::will_lease, prefetch::will_write] {
            let before = ring.slot(0).head.load();
            ask(ring.slot(0), len);
            assert_eq!(ring.slot(0).head.load(), before);
            assert!(ring.slot(0).payload.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        }
    }
}

/// Of more than a few lines of the cache.
#[test]
fn large_copies_are_whole() {
    for words in [2047_u64, 2048, 2049, 2055, 2056, 5000] {
        let all: Vec<u64> = (1..=words).map(|w| w.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let cells: Vec<_> = all.iter().map(|w| AtomicU64::new(*w)).collect();
        let all: Vec<u8> = all.iter().flat_map(|w| w.to_ne_bytes()).collect();
        for len in [all.len() - 65, all.len() - 3, all.len(), all.len() + 100] {
            let mut out = vec![0xEE; len];
            bytes::copy_out(&cells, &mut out);
            let n = len.min(all.len());
            assert!(out[..n] == all[..n] && out[n..].iter().all(|b| *b == 0xEE), "{words} words, {len} bytes");
        }
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
    fn copies_take_what_both_sides_have(words in vec(any::<u64>(), 0..40), len in 0..340_usize) {
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
                        &readers::Newcomer { id, pid: word, now: id * 3, locked: what == 1, verifies: false, every_frame: false },
                    );
                    prop_assert_eq!(got.is_some(), owners[i].is_none());
                    if got.is_some() {
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
