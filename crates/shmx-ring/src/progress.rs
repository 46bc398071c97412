//! Reading a frame while it is written: the owner of a slot announces how far it has come, and readers follow.
//!
//! | step | who | ordering and what it forbids |
//! |---|---|---|
//! | F1 | owner: progress = 0, then OPEN in the odd stamp | Release, with R3: who finds OPEN finds no old checksum |
//! | F2 | owner: progress = n | Release, with F4; SeqCst, with the load in `ring` (W7) |
//! | F3 | owner that publishes: stamp without OPEN, fence | Release, with F4: who loads a checksum finds OPEN gone |
//! | R2, R3 | follower: set own bit, load stamp | SeqCst `[P3 lease-or-claim]` |
//! | F4 | follower: load progress, fence | Acquire, with F2 and F3 |
//! | F5 | follower: load stamp, fence | Acquire, with W5 |
//!
//! A lease that begins under an odd stamp holds like any other: the owner has looked at the leases for the last time
//! (W2) before it opened the slot, only adds to what it has announced, and its next claim finds the bit.
//!
//! ```
//! use shmx_ring::progress::{self, Progress};
//! # use shmx_ring::sync::AtomicU64;
//! # use shmx_ring::view::{FrameView, HeaderView, Slot, Slots};
//! # use shmx_ring::writer::Claimer;
//! # struct Ring(HeaderView, FrameView, [AtomicU64; 2]);
//! # impl Slots for Ring {
//! #     fn header(&self) -> &HeaderView { &self.0 }
//! #     fn slot_count(&self) -> u32 { 1 }
//! #     fn slot(&self, _: u32) -> Slot<'_> { Slot { head: &self.1, payload: &self.2 } }
//! # }
//! # let ring = Ring(HeaderView::new(), FrameView::new(), [AtomicU64::new(0), AtomicU64::new(0)]);
//! # let claimer = Claimer::new(1);
//! let mut claim = claimer.claim(&ring).unwrap();
//! claim.open(ring.slot(0));
//! let stamp = progress::open_stamp(ring.slot(0)).expect("it is open");
//! progress::follow(ring.slot(0), 3, stamp).unwrap();
//! let _ = claim.announce(&ring, 8);
//! assert_eq!(progress::look(ring.slot(0), stamp), Progress::Bytes(8));
//! claimer.abandon(&ring, claim);
//! assert!(matches!(progress::look(ring.slot(0), stamp), Progress::Over(_)));
//! ```

use crate::doorbell;
use crate::load;
use crate::reader::{self, Disturbed, FrameSnapshot};
use crate::sync::{Ordering, fence};
use crate::view::{Slot, Slots};
use crate::writer::Claim;
use shmx_abi::extension::{FrameMarks, STAMP_OPEN};

impl Claim {
    /// Opens the slot to readers that follow. Nothing is announced yet. Only once.
    pub fn open(&mut self, slot: Slot<'_>) {
        slot.head.checksum.store(0, Ordering::Relaxed);
        // F1. Release: whoever sees OPEN sees the 0, and not the checksum of the slot's last frame.
        slot.head.ext_stamp.store(self.odd_stamp() | STAMP_OPEN, Ordering::Release);
        self.stamp |= 1;
    }

    /// Whether the slot was opened.
    #[must_use]
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.stamp % 2 == 1
    }

    /// Announces that the first `bytes` bytes of the payload are final. Of an open slot; `bytes` only grows.
    ///
    /// Gives the doorbell's value on which somebody may be asleep.
    #[must_use = "sleeping readers must be woken"]
    pub fn announce<S: Slots>(&self, slots: &S, bytes: u32) -> Option<u32> {
        // F2. Release: whoever sees the number sees the bytes. SeqCst for the doorbell, as W6.
        slots.slot(self.slot()).head.checksum.swap(bytes, Ordering::SeqCst);
        doorbell::ring(&slots.header().ext_doorbell)
    }
}

/// What a follower finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of the payload are final. Not checked against anything.
    Bytes(u32),
    /// The frame is about to be published.
    Sealed,
    /// The slot has this stamp now: the frame was published, or abandoned.
    Over(u64),
    /// Somebody who ignores the protocol has written the stamp.
    Damaged,
}

/// The stamp of a slot that is open, for [`follow`].
#[inline]
pub fn open_stamp(slot: Slot<'_>) -> Option<u64> {
    // Relaxed: a hint, R3 says whether it still is so.
    Some(load::count(&slot.head.ext_stamp)).filter(|&stamp| stamp % 2 == 1 && stamp & STAMP_OPEN != 0)
}

/// Sets the lease bit of reader `index` on an open slot, and makes sure that it holds. It is ended as any lease.
///
/// # Errors
///
/// [`Disturbed`] when the slot is not open under this stamp any more; the bit is clear then. Also for an `index`
/// without a bit.
#[inline]
pub fn follow(slot: Slot<'_>, index: u32, stamp: u64) -> Result<(), Disturbed> {
    reader::set_lease(slot, index, stamp)
}

/// How far the frame is that is followed under `stamp`.
#[inline]
pub fn look(slot: Slot<'_>, stamp: u64) -> Progress {
    // F4. Relaxed and a fence, Acquire: the bytes are read after it, and the stamp is loaded after it.
    let bytes = slot.head.checksum.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    // F5. Relaxed and a fence, Acquire: a frame that was published is read after it.
    let now = load::count(&slot.head.ext_stamp);
    fence(Ordering::Acquire);
    let odd = stamp & FrameMarks::COUNT;
    if now == stamp {
        Progress::Bytes(bytes)
    } else if now == odd {
        Progress::Sealed
    } else if now & FrameMarks::COUNT == odd.wrapping_add(1) & FrameMarks::COUNT {
        Progress::Over(now)
    } else {
        Progress::Damaged
    }
}

/// The header of a frame that was followed and is [`Progress::Over`] under `stamp`.
#[inline]
pub fn header_into(slot: Slot<'_>, stamp: u64, seen: &mut FrameSnapshot) {
    reader::snapshot(slot, stamp, seen);
}
