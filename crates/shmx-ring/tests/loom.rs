//! Models of the slot protocol, the doorbell and the control ring under every interleaving that loom explores.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p shmx-ring --test loom`
//!
//! Length: one model after the other, over one ring.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;
use shmx_abi::control::RingGeometry;
use shmx_abi::extension::{Features, READERS_CHANGED};
use shmx_ring::control::{Receiver, RingMemory, send};
use shmx_ring::control_bell;
#[cfg(not(loom_weak_sc))]
use shmx_ring::doorbell;
use shmx_ring::every_frame::{self, Taken};
use shmx_ring::hold::Holds;
use shmx_ring::progress::{self, Progress};
use shmx_ring::reader::{self, FrameSnapshot};
use shmx_ring::readers::{self, Newcomer};
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::{ControlHead, FrameView, HeaderView, ReaderView, Slot, Slots};
use shmx_ring::writer::{Claimer, FrameMeta, NoFreeSlot, Publisher};

struct Ring {
    header: HeaderView,
    slots: Vec<(FrameView, [AtomicU64; 2])>,
    /// Per slot, a plain value that only the owner of a claim writes and only the holder of a lease reads. Loom
    /// reports any access to it that the protocol does not order.
    plain: Vec<UnsafeCell<u64>>,
    /// Another one, for the second half of a frame that is read while it is written.
    second: Vec<UnsafeCell<u64>>,
}

// SAFETY: the cells are what the protocol under test must protect; loom checks every access to them.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

impl Ring {
    fn new(slots: u32) -> Self {
        let slot = || (FrameView::new(), [AtomicU64::new(0), AtomicU64::new(0)]);
        let cells = || (0..slots).map(|_| UnsafeCell::new(0)).collect();
        let slots = (0..slots).map(|_| slot()).collect();
        Self { header: HeaderView::new(), slots, plain: cells(), second: cells() }
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

/// Publishes a frame whose two words and whose time are all `value`. False if no slot is free.
fn publish(ring: &Ring, claimer: &Claimer, publisher: &Mutex<Publisher>, value: u64) -> bool {
    let Ok(claim) = claimer.claim(&ring) else { return false };
    for word in ring.slot(claim.slot()).payload {
        word.store(value, Ordering::Relaxed);
    }
    write(&ring.plain[claim.slot() as usize], value);
    let meta = FrameMeta { session_id: 1, sim_time_bits: value, payload_bytes: 16, ..FrameMeta::default() };
    let _ = publisher.lock().unwrap().publish(&ring, claimer, claim, &meta);
    true
}

fn read(cell: &UnsafeCell<u64>) -> u64 {
    cell.with(|p| {
        // SAFETY: the lease keeps writers away; loom checks that.
        unsafe { *p }
    })
}

fn write(cell: &UnsafeCell<u64>, value: u64) {
    cell.with_mut(|p| {
        // SAFETY: the claim makes us the only one; loom checks that.
        unsafe { *p = value }
    });
}

/// The plain value of a leased slot.
fn plain(ring: &Ring, slot: usize) -> u64 {
    read(&ring.plain[slot])
}

fn newest_slot(ring: &Ring) -> Option<u32> {
    reader::newest(&ring).checked_sub(1).map(|n| n % ring.slot_count())
}

// Models that rest on the order of sequentially consistent accesses are left out under `loom_weak_sc`; see
// `shmx_ring::sync::sc_access_fence`.
//
// Writers run on the model's first thread and readers on the second. Loom keeps one last access per atomic: a writer
// that looks at a word before it stores it would hide a reader's earlier load, and the model would explore nothing.

#[test]
fn a_copy_is_never_torn() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let Some(slot) = newest_slot(&ring) else { return };
                let slot = ring.slot(slot);
                let Ok(seen) = reader::begin(slot) else { return };
                let mut copy = [0; 16];
                if reader::copy_payload(slot, &seen, &mut copy).is_ok() && seen.payload_bytes != 0 {
                    let expected = seen.sim_time_bits.to_ne_bytes();
                    assert_eq!(copy[..8], expected, "first word");
                    assert_eq!(copy[8..], expected, "second word");
                    assert_ne!(seen.frame_id, 0);
                }
            })
        };
        let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
        assert!(publish(&ring, &claimer, &publisher, 1));
        assert!(publish(&ring, &claimer, &publisher, 2));
        reader.join().unwrap();
    });
}

#[test]
fn who_sees_the_number_finds_the_frame() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let Some(slot) = newest_slot(&ring) else { return };
                let seen = reader::begin(ring.slot(slot)).expect("published slots are stable");
                assert_eq!((seen.frame_id, seen.sim_time_bits, seen.payload_bytes), (1, 7, 16));
                let mut copy = [0; 16];
                reader::copy_payload(ring.slot(slot), &seen, &mut copy).expect("nobody writes it again");
                assert_eq!(copy[..8], 7_u64.to_ne_bytes());
            })
        };
        let (claimer, publisher) = (Claimer::new(2), Mutex::new(Publisher::new(2)));
        assert!(publish(&ring, &claimer, &publisher, 7));
        reader.join().unwrap();
    });
}

#[test]
fn who_sees_the_id_finds_the_frame() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                if reader::published(&*ring) == 1 {
                    let seen = reader::begin(ring.slot(0)).expect("published slots are stable");
                    assert_eq!((seen.frame_id, seen.sim_time_bits, seen.payload_bytes), (1, 7, 16));
                }
            })
        };
        assert!(publish(&ring, &Claimer::new(1), &Mutex::new(Publisher::new(1)), 7));
        reader.join().unwrap();
    });
}

#[test]
fn who_sees_the_stamp_finds_the_header() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                if let Ok(seen) = reader::begin(ring.slot(0))
                    && seen.stamp == 2
                {
                    assert_eq!((seen.frame_id, seen.sim_time_bits, seen.payload_bytes), (1, 7, 16));
                }
            })
        };
        assert!(publish(&ring, &Claimer::new(1), &Mutex::new(Publisher::new(1)), 7));
        reader.join().unwrap();
    });
}

#[test]
#[cfg(not(loom_weak_sc))]
fn a_lease_and_a_claim_never_both_succeed() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
        assert!(publish(&ring, &claimer, &publisher, 1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let slot = ring.slot(0);
                let Ok(seen) = reader::lease(slot, 70) else { return };
                assert_eq!(plain(&ring, 0), seen.sim_time_bits);
                // While leased the content stays what the header says, however often it is looked at.
                for _ in 0..2 {
                    for word in slot.payload {
                        assert_eq!(word.load(Ordering::Relaxed), seen.sim_time_bits);
                    }
                }
                reader::end_lease(slot, 70);
            })
        };
        let _ = publish(&ring, &claimer, &publisher, 2);
        reader.join().unwrap();
        assert_eq!(reader::leases(ring.slot(0)), 0, "no bit is left behind");
        assert_eq!(ring.slot(0).head.ext_stamp.load(Ordering::Relaxed) % 2, 0, "no slot is left odd");
    });
}

#[test]
#[cfg(not(loom_weak_sc))]
fn a_leased_frame_is_whole_and_writers_wait_for_its_end() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                if let Ok(seen) = reader::lease(ring.slot(0), 0) {
                    assert_eq!(plain(&ring, 0), seen.sim_time_bits);
                    reader::end_lease(ring.slot(0), 0);
                }
            })
        };
        let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
        let _ = publish(&ring, &claimer, &publisher, 3) && publish(&ring, &claimer, &publisher, 4);
        reader.join().unwrap();
    });
}

/// A ring of one slot with a frame in it, and what one reader holds of that slot.
fn one_frame() -> (Arc<(Ring, Holds)>, Claimer, Mutex<Publisher>) {
    let (ring, claimer, publisher) = (Ring::new(1), Claimer::new(1), Mutex::new(Publisher::new(1)));
    assert!(publish(&ring, &claimer, &publisher, 1));
    (Arc::new((ring, Holds::new())), claimer, publisher)
}

#[test]
fn writers_wait_for_the_last_of_several_leases() {
    loom::model(|| {
        let (shared, claimer, publisher) = one_frame();
        let ((ring, holds), mut seen) = (&*shared, FrameSnapshot::default());
        let [first, second] = [(), ()].map(|()| holds.begin(ring.slot(0), 3, &mut seen).unwrap());
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (ring, holds) = &*shared;
                assert_eq!(plain(ring, 0), 1);
                holds.end(ring.slot(0), 3, second);
            })
        };
        assert_eq!((plain(ring, 0), seen.sim_time_bits), (1, 1));
        holds.end(ring.slot(0), 3, first);
        let _ = publish(ring, &claimer, &publisher, 2);
        other.join().unwrap();
        assert_eq!(reader::leases(ring.slot(0)), 0, "no bit is left behind");
        assert!(publish(ring, &claimer, &publisher, 3));
    });
}

/// As above, of leases that were made of one: a frame that is followed, and what was kept of it.
#[test]
fn writers_wait_for_the_last_share_of_a_lease() {
    loom::model(|| {
        let (shared, claimer, publisher) = one_frame();
        let ((ring, holds), mut seen) = (&*shared, FrameSnapshot::default());
        let mut first = holds.begin_alone(ring.slot(0), 3, &mut seen).unwrap();
        let [second, third] = [(), ()].map(|()| holds.share(&mut first));
        holds.end(ring.slot(0), 3, second);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (ring, holds) = &*shared;
                assert_eq!(plain(ring, 0), 1);
                holds.end(ring.slot(0), 3, third);
            })
        };
        let fourth = holds.share(&mut first);
        holds.end(ring.slot(0), 3, first);
        assert_eq!(plain(ring, 0), 1);
        holds.end(ring.slot(0), 3, fourth);
        let _ = publish(ring, &claimer, &publisher, 2);
        other.join().unwrap();
        assert_eq!(reader::leases(ring.slot(0)), 0, "no bit is left behind");
        assert!(publish(ring, &claimer, &publisher, 3));
    });
}

#[test]
#[cfg(not(loom_weak_sc))]
fn a_lease_that_ends_takes_no_bit_from_one_that_begins() {
    loom::model(|| {
        let (shared, claimer, publisher) = one_frame();
        let ((ring, holds), mut seen) = (&*shared, FrameSnapshot::default());
        let old = holds.begin(ring.slot(0), 3, &mut seen).unwrap();
        let ending = {
            let shared = shared.clone();
            thread::spawn(move || shared.1.end(shared.0.slot(0), 3, old))
        };
        if let Ok(hold) = holds.begin_alone(ring.slot(0), 3, &mut seen) {
            ending.join().unwrap();
            // The old lease is gone and the new one holds.
            assert!(!publish(ring, &claimer, &publisher, 2), "the slot is leased");
            assert_eq!(plain(ring, 0), seen.sim_time_bits);
            holds.end(ring.slot(0), 3, hold);
        } else {
            ending.join().unwrap();
        }
        assert!(publish(ring, &claimer, &publisher, 3));
    });
}

#[test]
fn a_lease_finds_the_frame_whole() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                // The writer claims before there is anything to lease, so nothing but the stamp is between the two.
                if newest_slot(&ring).is_none() && ring.slot(0).head.ext_stamp.load(Ordering::Relaxed) != 2 {
                    return;
                }
                if let Ok(seen) = reader::lease(ring.slot(0), 0) {
                    // The length is loaded first, so nothing but the acquire of the stamp is in front of it.
                    assert_eq!((seen.payload_bytes, seen.frame_id, seen.sim_time_bits, plain(&ring, 0)), (16, 1, 7, 7));
                }
            })
        };
        assert!(publish(&ring, &Claimer::new(1), &Mutex::new(Publisher::new(1)), 7));
        reader.join().unwrap();
    });
}

#[test]
fn two_writers_take_turns_on_one_slot() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let claimer = Arc::new(Claimer::new(1));
        // Each with a publisher of its own, so that nothing but the stamp orders their writes.
        let other = {
            let (ring, claimer) = (ring.clone(), claimer.clone());
            thread::spawn(move || publish(&ring, &claimer, &Mutex::new(Publisher::new(1)), 5))
        };
        let mine = publish(&ring, &claimer, &Mutex::new(Publisher::new(1)), 6);
        assert!(mine | other.join().unwrap(), "one of them finds the slot free");
    });
}

#[test]
fn two_writers_never_share_a_slot_and_ids_follow_each_other() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let claimer = Arc::new(Claimer::new(2));
        let publisher = Arc::new(Mutex::new(Publisher::new(2)));
        let other = {
            let (ring, claimer, publisher) = (ring.clone(), claimer.clone(), publisher.clone());
            thread::spawn(move || publish(&ring, &claimer, &publisher, 5))
        };
        let mine = publish(&ring, &claimer, &publisher, 6);
        let theirs = other.join().unwrap();
        assert!(mine && theirs);
        let mut seen: Vec<_> = (0..2).map(|i| reader::begin(ring.slot(i)).unwrap()).map(|s| s.frame_id).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        for i in 0..2 {
            let head = reader::begin(ring.slot(i)).unwrap();
            for word in ring.slot(i).payload {
                assert_eq!(word.load(Ordering::Relaxed), head.sim_time_bits, "frames never mix");
            }
        }
        assert_eq!(reader::newest(&*ring), 2, "the number never moves back");
        assert_eq!(reader::published(&*ring), 2);
    });
}

#[test]
fn two_writers_and_one_free_slot_fail_only_on_each_other() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let claimer = Arc::new(Claimer::new(2));
        let publisher = Arc::new(Mutex::new(Publisher::new(2)));
        // Slot 0 is leased all the time. By the leaseholder's bit alone, which is all that a claim looks at.
        ring.slot(0).head.ext_lease[0].store(1, Ordering::Relaxed);
        let write = |ring: &Ring, claimer: &Claimer, publisher: &Mutex<Publisher>, value| {
            let claim = claimer.claim(&ring)?;
            assert_eq!(claim.slot(), 1);
            ring.plain[1].with_mut(|p| {
                // SAFETY: the claim makes us the only one; loom checks that.
                unsafe { *p = value }
            });
            let meta = FrameMeta { sim_time_bits: value, payload_bytes: 16, ..FrameMeta::default() };
            let _ = publisher.lock().unwrap().publish(&ring, claimer, claim, &meta);
            Ok::<_, NoFreeSlot>(())
        };
        let other = {
            let (ring, claimer, publisher) = (ring.clone(), claimer.clone(), publisher.clone());
            thread::spawn(move || write(&ring, &claimer, &publisher, 5))
        };
        let results = [write(&ring, &claimer, &publisher, 6), other.join().unwrap()];
        let published = results.iter().filter(|r| r.is_ok()).count() as u64;
        assert!(published > 0, "one of them finds the slot");
        for refused in results.into_iter().filter_map(Result::err) {
            assert_eq!(refused, NoFreeSlot { leased: 1, writing: 1, needed: 0 });
        }
        assert_eq!(reader::published(&*ring), published);
        assert_eq!(newest_slot(&ring), Some(1), "the number leads to the frame");
        let seen = reader::begin(ring.slot(1)).unwrap();
        assert_eq!((seen.frame_id, seen.sim_time_bits), (published, plain(&ring, 1)));
    });
}

#[test]
#[cfg(not(loom_weak_sc))]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let writer = {
            let ring = ring.clone();
            thread::spawn(move || {
                ring.header.frame_seq.swap(1, Ordering::SeqCst);
                doorbell::ring(&ring.header.ext_doorbell)
            })
        };
        let expected = doorbell::prepare_to_sleep(&ring.header.ext_doorbell);
        let news = reader::published(&*ring) == 1;
        let woken = writer.join().unwrap();
        let word_changed = ring.header.ext_doorbell.load(Ordering::Relaxed) != expected;
        assert!(news || (woken == Some(expected) && word_changed), "the sleeper saw nothing and nobody wakes it");
    });
}

/// One that sleeps without permission to write, of a server that rings always and has two producing threads. The second
/// may find the word even and ring for nobody.
#[test]
#[cfg(not(loom_weak_sc))]
fn no_wake_up_is_lost_on_a_bell_that_always_rings() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        ring.header.ext_doorbell.store(1, Ordering::Relaxed);
        let publish = |ring: &Ring, id| {
            ring.header.frame_seq.fetch_max(id, Ordering::SeqCst);
            if doorbell::ring(&ring.header.ext_doorbell).is_some() {
                doorbell::keep_odd(&ring.header.ext_doorbell);
            }
        };
        let sleeper = {
            let ring = ring.clone();
            thread::spawn(move || {
                let expected = doorbell::watch(&ring.header.ext_doorbell);
                (expected, reader::published(&*ring) == 2)
            })
        };
        let other = {
            let ring = ring.clone();
            thread::spawn(move || publish(&ring, 2))
        };
        publish(&ring, 1);
        other.join().unwrap();
        let (expected, news) = sleeper.join().unwrap();
        // Who changes the word wakes after that.
        let changed = ring.header.ext_doorbell.load(Ordering::Relaxed) != expected;
        assert!(news || changed, "the sleeper saw nothing and nobody wakes it");
        assert_eq!(ring.header.ext_doorbell.load(Ordering::Relaxed) % 2, 1, "the next frame rings");
    });
}

/// The word of a server that sleeps on it.
fn more() -> u32 {
    (Features::CONTROL_BELL >> 32) as u32
}

#[test]
fn the_server_loses_no_wake_up() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        ring.header.ext_more.store(more(), Ordering::Relaxed);
        let taken = Arc::new(AtomicU64::new(0));
        let reader = {
            let (ring, taken) = (ring.clone(), taken.clone());
            thread::spawn(move || {
                taken.store(1, Ordering::Release);
                control_bell::ring(&ring.header.ext_more)
            })
        };
        let expected = control_bell::prepare_to_sleep(&ring.header.ext_more);
        let news = taken.load(Ordering::Acquire) == 1;
        let woken = reader.join().unwrap();
        let word = ring.header.ext_more.load(Ordering::Relaxed);
        assert!(news || (woken == Some(expected) && word != expected), "the server saw nothing and nobody wakes it");
    });
}

#[test]
fn two_readers_and_one_that_comes_wake_the_server() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        ring.header.ext_more.store(more(), Ordering::Relaxed);
        let slot = Arc::new(ReaderView::new());
        let taken = Arc::new(AtomicU64::new(0));
        let reader = {
            let (ring, taken) = (ring.clone(), taken.clone());
            thread::spawn(move || {
                taken.store(1, Ordering::Release);
                control_bell::ring(&ring.header.ext_more)
            })
        };
        let newcomer = {
            let (ring, slot) = (ring.clone(), slot.clone());
            thread::spawn(move || readers::attach(&ring.header, &slot, &who(false)).expect("it is free").wake)
        };
        let expected = control_bell::prepare_to_sleep(&ring.header.ext_more);
        let message = taken.load(Ordering::Acquire) == 1;
        let woken = [reader.join().unwrap(), newcomer.join().unwrap()];
        let word = ring.header.ext_more.load(Ordering::Relaxed);
        // Who changes the word from that value wakes from it.
        assert!(message || (word != expected && woken.contains(&Some(expected))), "{woken:x?} {expected:x} {word:x}");
    });
}

/// One system call for each sleep is enough.
#[test]
fn one_of_two_readers_wakes_a_server_that_sleeps() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        ring.header.ext_more.store(more(), Ordering::Relaxed);
        let asleep = control_bell::prepare_to_sleep(&ring.header.ext_more);
        let other = {
            let ring = ring.clone();
            thread::spawn(move || control_bell::ring(&ring.header.ext_more))
        };
        let mut woken = [control_bell::ring(&ring.header.ext_more), other.join().unwrap()];
        woken.sort_unstable();
        assert_eq!(woken, [None, Some(asleep)]);
        assert_eq!(ring.header.ext_more.load(Ordering::Relaxed), more() + READERS_CHANGED);
    });
}

/// A reader that dies before its system call must not take another's wake-up with it.
#[test]
fn a_newcomer_that_wakes_nobody_takes_no_wake_up() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        ring.header.ext_more.store(more(), Ordering::Relaxed);
        let slot = ReaderView::new();
        let _ = control_bell::prepare_to_sleep(&ring.header.ext_more);
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || control_bell::ring(&ring.header.ext_more))
        };
        let _ = readers::attach(&ring.header, &slot, &who(false));
        assert!(reader.join().unwrap().is_some(), "the server sleeps, and nobody else wakes it");
    });
}

fn who(every_frame: bool) -> Newcomer {
    Newcomer { id: 7, pid: 1, now: 1, locked: true, verifies: false, every_frame }
}

#[test]
#[cfg(not(loom_weak_sc))]
fn a_frame_found_safe_is_not_overwritten_before_it_is_taken() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let slot = Arc::new(ReaderView::new());
        let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
        assert!(publish(&ring, &claimer, &publisher, 1));
        let taken = Taken::new();
        taken.scan(&ring.header, [&*slot]);
        let reader = {
            let (ring, slot) = (ring.clone(), slot.clone());
            thread::spawn(move || {
                assert!(readers::attach(&ring.header, &slot, &who(true)).is_some());
                let first = every_frame::first_frames(&*ring);
                if first.oldest > 1 {
                    return false;
                }
                // The frame stays until it is said to be taken. The slot may be odd for a moment.
                let Ok(seen) = reader::begin(ring.slot(0)) else { return true };
                assert_eq!((seen.frame_id, seen.sim_time_bits), (1, 1));
                let mut copy = [0; 16];
                if reader::copy_payload(ring.slot(0), &seen, &mut copy).is_ok() {
                    assert_eq!(copy[..8], 1_u64.to_ne_bytes());
                }
                true
            })
        };
        let may = |id| {
            taken.permits(&ring.header, id) || {
                taken.scan(&ring.header, [&*slot]);
                taken.permits(&ring.header, id)
            }
        };
        let claimed = claimer.claim_where(&*ring, may);
        if let Ok(claim) = &claimed {
            assert_eq!(claim.slot(), 0);
        }
        let safe = reader.join().unwrap();
        assert!(!(safe && claimed.is_ok()), "a frame was found safe and overwritten");
        if claimed.is_err() {
            let seen = reader::begin(ring.slot(0)).expect("the claim has stepped back");
            assert_eq!(seen.frame_id, 1);
        }
    });
}

#[test]
fn a_frame_that_was_taken_is_read_before_it_is_overwritten() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let slot = Arc::new(ReaderView::new());
        let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
        assert!(publish(&ring, &claimer, &publisher, 1));
        assert!(readers::attach(&ring.header, &slot, &who(true)).is_some());
        let reader = {
            let (ring, slot) = (ring.clone(), slot.clone());
            thread::spawn(move || {
                // Loom reports it if the writer's store is not ordered behind this.
                assert_eq!(plain(&ring, 0), 1);
                slot.last_frame_seen.store(1, Ordering::Release);
            })
        };
        let taken = Taken::new();
        taken.scan(&ring.header, [&*slot]);
        if claimer.claim_where(&*ring, |id| taken.permits(&ring.header, id)).is_ok() {
            ring.plain[0].with_mut(|p| {
                // SAFETY: everybody has taken what was there; loom checks that.
                unsafe { *p = 2 }
            });
        }
        reader.join().unwrap();
    });
}

#[test]
fn control_messages_arrive_whole_and_in_order() {
    loom::model(|| {
        const CAP: u32 = 16 + 40; // room for two messages, the third wraps
        let head = Arc::new(ControlHead::new());
        let bytes: Arc<Vec<AtomicU8>> = Arc::new((0..CAP).map(|_| AtomicU8::new(0xEE)).collect());
        let geometry = RingGeometry::new(CAP).unwrap();
        let poll = |receiver: &mut Receiver, head: &ControlHead, bytes: &[AtomicU8], got: &mut u32| {
            receiver
                .poll(RingMemory { head, bytes }, |m| {
                    *got += 1;
                    let mut body = [0; 1];
                    m.body(&mut body);
                    assert_eq!((m.ty, m.len(), u32::from(body[0])), (0x3000 + *got, 1, *got));
                    true
                })
                .expect("an honest sender never corrupts the ring");
        };
        let receiver = {
            let (head, bytes) = (head.clone(), bytes.clone());
            thread::spawn(move || {
                let (mut receiver, mut got) = (Receiver::new(geometry), 0);
                poll(&mut receiver, &head, &bytes, &mut got);
                poll(&mut receiver, &head, &bytes, &mut got);
                (receiver, got)
            })
        };
        let ring = RingMemory { head: &head, bytes: &bytes };
        // The third message wraps and fits only if the receiver has taken the first two.
        let sent = (1..=3_u8).take_while(|&i| send(geometry, ring, 0x3000 + u32::from(i), &[i]).is_ok()).count();
        let (mut receiver, mut got) = receiver.join().unwrap();
        poll(&mut receiver, &head, &bytes, &mut got);
        assert_eq!(got as usize, sent);
        assert!(sent >= 2);
    });
}

/// A checksum that would be taken for a number of bytes.
const SUM: u32 = 1 << 30;

/// Publishes a frame in two pieces with followers told of each.
fn publish_in_pieces(ring: &Ring, claimer: &Claimer, publisher: &Mutex<Publisher>, value: u64) -> bool {
    let Ok(mut claim) = claimer.claim(&ring) else { return false };
    let slot = claim.slot() as usize;
    write(&ring.plain[slot], value);
    claim.open(ring.slot(claim.slot()));
    let _ = claim.announce(&ring, 8);
    write(&ring.second[slot], value);
    let _ = claim.announce(&ring, 16);
    let meta =
        FrameMeta { session_id: 1, sim_time_bits: value, payload_bytes: 16, checksum: SUM, ..FrameMeta::default() };
    let _ = publisher.lock().unwrap().publish(&ring, claimer, claim, &meta);
    true
}

/// Follows the frame that is written to slot 0, if it is open, with so many looks at it.
fn follow(ring: &Ring, looks: u32) {
    let slot = ring.slot(0);
    let Some(stamp) = progress::open_stamp(slot) else { return };
    if progress::follow(slot, 0, stamp).is_err() {
        return;
    }
    for _ in 0..looks {
        match progress::look(slot, stamp) {
            Progress::Bytes(n) => {
                assert!(n <= 16, "a checksum was taken for progress");
                if n >= 8 {
                    assert_eq!(read(&ring.plain[0]), 2, "what was announced is final");
                }
                if n >= 16 {
                    assert_eq!(read(&ring.second[0]), 2, "what was announced is final");
                }
            }
            Progress::Sealed => {}
            Progress::Over(now) => {
                let mut seen = FrameSnapshot::default();
                progress::header_into(slot, now, &mut seen);
                assert_eq!((seen.frame_id, seen.sim_time_bits, seen.payload_bytes, seen.checksum), (2, 2, 16, SUM));
                assert_eq!((read(&ring.plain[0]), read(&ring.second[0])), (2, 2));
            }
            Progress::Damaged => panic!("the slot was claimed under a lease"),
        }
    }
    reader::end_lease(slot, 0);
}

/// A ring of one slot with an old frame in it, and one who looks so often at what is written over it.
fn followed(looks: u32) -> (Arc<Ring>, Claimer, Mutex<Publisher>, thread::JoinHandle<()>) {
    let ring = Arc::new(Ring::new(1));
    let (claimer, publisher) = (Claimer::new(1), Mutex::new(Publisher::new(1)));
    let Ok(claim) = claimer.claim(&&*ring) else { panic!("nobody leases it") };
    let meta = FrameMeta { session_id: 1, payload_bytes: 16, checksum: SUM, ..FrameMeta::default() };
    let _ = publisher.lock().unwrap().publish(&&*ring, &claimer, claim, &meta);
    let follower = {
        let ring = ring.clone();
        thread::spawn(move || follow(&ring, looks))
    };
    (ring, claimer, publisher, follower)
}

#[test]
#[cfg(not(loom_weak_sc))]
fn what_is_announced_is_final_and_stays() {
    loom::model(|| {
        let (ring, claimer, publisher, follower) = followed(2);
        let _ = publish_in_pieces(&ring, &claimer, &publisher, 2);
        let _ = publish(&ring, &claimer, &publisher, 3);
        follower.join().unwrap();
        assert_eq!(reader::leases(ring.slot(0)), 0, "no bit is left behind");
    });
}

/// The same without the fences that stand for the order of sequentially consistent accesses, and without a next claim.
#[test]
fn a_follower_finds_what_was_announced() {
    loom::model(|| {
        let (ring, claimer, publisher, follower) = followed(1);
        let _ = publish_in_pieces(&ring, &claimer, &publisher, 2);
        follower.join().unwrap();
    });
}

#[test]
#[cfg(not(loom_weak_sc))]
fn no_wake_up_of_a_follower_is_lost() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        let claimer = Claimer::new(1);
        let Ok(mut claim) = claimer.claim(&&*ring) else { panic!("nobody leases it") };
        claim.open(ring.slot(0));
        let stamp = progress::open_stamp(ring.slot(0)).expect("it is open");
        let writer = {
            let ring = ring.clone();
            thread::spawn(move || claim.announce(&&*ring, 8))
        };
        let expected = doorbell::prepare_to_sleep(&ring.header.ext_doorbell);
        let news = progress::look(ring.slot(0), stamp) == Progress::Bytes(8);
        let woken = writer.join().unwrap();
        assert!(news || woken == Some(expected), "the sleeper saw nothing and nobody wakes it");
    });
}
