//! What readers that want every frame begin with, and what they keep from being overwritten.

use crate::world::Ring;
use shmx_ring::every_frame::{self, FirstFrames, Taken};
use shmx_ring::readers::{self, Newcomer};
use shmx_ring::sync::Ordering;
use shmx_ring::view::{HeaderView, ReaderView, Slots};
use shmx_ring::writer::{Claimer, FrameMeta, Publisher};

/// A ring in which this many frames were published.
fn published(slots: u32, frames: u64) -> (Ring, Claimer, Publisher) {
    let (ring, claimer, mut publisher) = (Ring::new(slots), Claimer::new(slots), Publisher::new(slots));
    for _ in 0..frames {
        let claim = claimer.claim(&ring).unwrap();
        let _ = publisher.publish(&ring, &claimer, claim, &FrameMeta::default());
    }
    (ring, claimer, publisher)
}

/// The slot that holds this frame.
fn slot_of(ring: &Ring, frame_id: u64) -> u32 {
    (0..ring.slot_count()).find(|&i| ring.slot(i).head.frame_id.load(Ordering::Relaxed) == frame_id).unwrap()
}

#[test]
fn a_reader_begins_with_the_oldest_frame_that_is_there() {
    for slots in 1..6_u32 {
        for frames in 0..13 {
            let (ring, ..) = published(slots, frames);
            let oldest = frames.saturating_sub(slots.into()) + 1;
            assert_eq!(every_frame::first_frames(&ring), FirstFrames { oldest, published: frames });
        }
    }
}

#[test]
fn a_reader_begins_behind_a_frame_that_is_being_overwritten() {
    for frames in 4..9_u64 {
        for lost in frames - 3..=frames {
            let (ring, claimer, _) = published(4, frames);
            let stamp = &ring.slot(slot_of(&ring, lost)).head.ext_stamp;
            // A claim that has just begun: the frame is still there, and nobody may rely on it.
            stamp.fetch_add(1, Ordering::Relaxed);
            let expected = FirstFrames { oldest: lost + 1, published: frames };
            assert_eq!(every_frame::first_frames(&ring), expected);
            stamp.fetch_sub(1, Ordering::Relaxed);
            assert_eq!(every_frame::first_frames(&ring).oldest, frames - 3, "it has stepped back");
            // A claim that was given up leaves no frame.
            let claim = claimer.claim_where(&ring, |id| id == lost).unwrap();
            assert_eq!(every_frame::first_frames(&ring), expected);
            claimer.abandon(&ring, claim);
            assert_eq!(every_frame::first_frames(&ring), expected);
        }
    }
}

/// The count is a word of the region: it once ended the reader with an overflow.
#[test]
fn a_forged_count_of_frames_is_no_frame() {
    let (ring, ..) = published(3, 2);
    for forged in [u64::MAX, u64::MAX - 1, 7] {
        ring.header.frame_seq.store(forged, Ordering::Relaxed);
        let oldest = forged.wrapping_add(1);
        assert_eq!(every_frame::first_frames(&ring), FirstFrames { oldest, published: forged });
    }
}

fn who(id: u64, locked: bool, every_frame: bool) -> Newcomer {
    Newcomer { id, pid: 1, now: 1, locked, verifies: true, every_frame }
}

/// A reader in a slot of its own that has taken the frames up to `last`.
fn reader(header: &HeaderView, who: &Newcomer, last: u64) -> ReaderView {
    let slot = ReaderView::new();
    readers::attach(header, &slot, who).expect("it is free");
    slot.last_frame_seen.store(last, Ordering::Relaxed);
    slot
}

#[test]
fn only_a_reader_that_asked_for_every_frame_keeps_frames() {
    let header = HeaderView::new();
    assert_eq!(every_frame::taken(&ReaderView::new()), None, "nobody is there");
    let asked = reader(&header, &who(7, true, true), 5);
    assert_eq!(every_frame::taken(&asked), Some(5));
    assert_eq!(every_frame::taken(&reader(&header, &who(7, true, false), 5)), None, "it did not ask");
    // Without its id in the tag it is a reader of another implementation, which knows nothing of the flag.
    assert_eq!(every_frame::taken(&reader(&header, &who(7, false, true), 5)), None);
    let coming = ReaderView::new();
    coming.in_use.store(1, Ordering::Relaxed);
    coming.ext_rejected_flags.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(every_frame::taken(&coming), None, "it has not said who it is");
    let left = reader(&header, &who(7, true, true), 5);
    left.in_use.store(0, Ordering::Relaxed);
    assert_eq!(every_frame::taken(&left), None, "what it left in its slot means nothing");
}

#[test]
fn a_silent_reader_is_one_that_never_rings() {
    let header = HeaderView::new();
    assert!(!every_frame::is_silent(&ReaderView::new()), "nobody is there");
    assert!(!every_frame::is_silent(&reader(&header, &who(7, true, true), 0)));
    assert!(!every_frame::is_silent(&reader(&header, &who(7, true, false), 0)));
    assert!(every_frame::is_silent(&reader(&header, &who(7, false, false), 0)), "of another implementation");
    let coming = ReaderView::new();
    coming.in_use.store(1, Ordering::Relaxed);
    assert!(every_frame::is_silent(&coming), "about to say who it is");
}

#[test]
fn a_frame_may_go_once_the_slowest_reader_has_taken_it() {
    let (header, taken) = (HeaderView::new(), Taken::new());
    assert!(taken.permits(&header, 0), "a slot without a frame");
    assert!(!taken.permits(&header, 1), "nothing is known yet");
    taken.scan(&header, []);
    assert!(taken.permits(&header, u64::MAX), "nobody wants anything");

    let slow = reader(&header, &who(7, true, true), 3);
    assert!(!taken.permits(&header, 1), "a reader has come");
    let quick = reader(&header, &who(8, true, true), 9);
    let newest_only = reader(&header, &who(9, true, false), 1);
    let all = [&quick, &slow, &newest_only];
    taken.scan(&header, all);
    assert_eq!(taken.least(), 3);
    let permitted = |upto| (1..=12).all(|id| taken.permits(&header, id) == (id <= upto));
    assert!(permitted(3) && taken.permits(&header, 0));
    slow.last_frame_seen.store(6, Ordering::Relaxed);
    assert!(permitted(3), "as far as the server has looked");
    taken.scan(&header, all);
    assert!(permitted(6));

    readers::detach(&header, &slow);
    assert!(!taken.permits(&header, 1), "a reader has gone");
    taken.scan(&header, all);
    assert!(permitted(9));
}

/// Readers of the original change one word, our own both; a server that has looked finds either change.
#[test]
fn every_change_of_the_readers_is_noticed() {
    let (header, taken) = (HeaderView::new(), Taken::new());
    let noticed = |what: &str| {
        assert!(!taken.permits(&header, 1), "{what}");
        taken.scan(&header, []);
        assert!(taken.permits(&header, 1));
    };
    noticed("nothing is known yet");
    for (connected, more) in [(1, 0), (1, 1 << 16), (2, 1 << 16), (0, 1 << 16), (0, 0xFFFF << 16), (u32::MAX, 0)] {
        header.readers_connected.store(connected, Ordering::Relaxed);
        header.ext_more.store(more, Ordering::Relaxed);
        noticed("another count");
    }
    // What the server itself changes there says nothing of readers.
    header.ext_more.store(0xFFFF, Ordering::Relaxed);
    assert!(taken.permits(&header, 1));
    // Each bit of either count, alone.
    for bit in 0..32 {
        header.readers_connected.store(1 << bit, Ordering::Relaxed);
        header.ext_more.store(0, Ordering::Relaxed);
        noticed("another count of readers");
        if bit >= 16 {
            header.ext_more.store(1 << bit, Ordering::Relaxed);
            noticed("another count of changes");
        }
    }
}
