//! Several leases of one reader on one slot: the slot has one bit for the reader, and the last lease to end clears it.
//!
//! One thread at a time begins leases of a reader; any thread may end one. Nobody ever waits: where an end is under way
//! in another thread, the frame can be had by copy.
//!
//! | step | what | ordering and what it forbids |
//! |---|---|---|
//! | H1 | begin: load the count | Acquire, pairs with H5: the bit was cleared before it is set again |
//! | H2 | begin, count 0: lease the slot (R1 to R3), count = 1 | Relaxed: nobody else counts up, or down from 0 |
//! | H3 | begin, count n > 0: n to n + 1 by compare-exchange | Relaxed: the same thread saw the frame before |
//! | H4 | end, n > 1: n to n - 1; n = 1: to "ending" | AcqRel: all reads of all leases stay before the bit is cleared |
//! | H5 | end, ending: clear the bit (R6), count = 0 | Release, pairs with H1 |
//! | H6 | a lease that was not counted is kept: count = 1 | Relaxed: as H2 |
//! | H7 | another lease beside a counted one: n to n + 1 | Relaxed: as H3; the one that is there keeps n from 0 |

use crate::progress;
use crate::reader::{self, Disturbed, FrameSnapshot};
use crate::sync::{AtomicU64, Ordering};
use crate::view::Slot;

/// The last lease is being ended: its bit may still be set.
const ENDING: u64 = 1 << 63;
/// The leaseholder has found the checksum right.
const VERIFIED: u64 = 1 << 62;
const COUNT: u64 = VERIFIED - 1;

/// What one reader holds of one slot. In the reader's private memory.
#[derive(Debug)]
pub struct Holds(AtomicU64);

/// A lease that was begun. It must be ended, by [`Holds::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lease that nobody ends keeps its slot"]
pub struct Hold(u8);

impl Hold {
    /// It is one of the [`Holds`]' count.
    const COUNTED: u8 = 1;
    const VERIFIED: u8 = 2;

    #[inline]
    const fn is_counted(self) -> bool {
        self.0 & Self::COUNTED != 0
    }

    /// All there is to it, below 4.
    #[must_use]
    #[inline]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// What [`Hold::to_bits`] made bits of.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::COUNTED | Self::VERIFIED))
    }

    /// Whether [`Holds::set_verified`] was called for the same frame before.
    #[must_use]
    #[inline]
    pub const fn is_verified(&self) -> bool {
        self.0 & Self::VERIFIED != 0
    }
}

/// No lease was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A writer was faster.
    Disturbed,
    /// Another thread is about to end the last lease of this reader on the slot.
    Ending,
}

impl From<Disturbed> for Refused {
    fn from(_: Disturbed) -> Self {
        Self::Disturbed
    }
}

impl Holds {
    /// None.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins a lease of reader `index` that any thread may end, and reads the frame's header.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was begun then.
    #[inline]
    pub fn begin(&self, slot: Slot<'_>, index: u32, seen: &mut FrameSnapshot) -> Result<Hold, Refused> {
        // H1.
        let mut state = self.0.load(Ordering::Acquire);
        while state & COUNT > 0 {
            // H3. An end of another lease may come in between.
            match self.0.compare_exchange_weak(state, state + 1, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => {
                    let hold = Hold(if state & VERIFIED != 0 { Hold::COUNTED | Hold::VERIFIED } else { Hold::COUNTED });
                    return match reader::begin_into(slot, seen) {
                        Ok(()) => Ok(hold),
                        // No writer of ours does this to a leased slot.
                        Err(Disturbed) => {
                            self.end(slot, index, hold);
                            Err(Refused::Disturbed)
                        }
                    };
                }
                Err(now) => state = now,
            }
        }
        if state & ENDING != 0 {
            return Err(Refused::Ending);
        }
        reader::lease_into(slot, index, seen)?;
        // H2.
        self.0.store(1, Ordering::Relaxed);
        Ok(Hold(Hold::COUNTED))
    }

    /// The same for a lease that ends before the next one begins, which saves the counting.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was begun then.
    #[inline]
    pub fn begin_alone(&self, slot: Slot<'_>, index: u32, seen: &mut FrameSnapshot) -> Result<Hold, Refused> {
        // H1.
        if self.0.load(Ordering::Acquire) == 0 {
            reader::lease_into(slot, index, seen)?;
            return Ok(Hold(0));
        }
        self.begin(slot, index, seen)
    }

    /// Begins a lease on a slot that is open under `stamp` ([`crate::progress`]), for a reader that has none on it. It
    /// ends before the next one begins, or is counted ([`Holds::count`]).
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing was begun then.
    pub fn begin_following(&self, slot: Slot<'_>, index: u32, stamp: u64) -> Result<Hold, Refused> {
        // H1. With a lease on it no writer of ours could have claimed the slot.
        if self.0.load(Ordering::Acquire) != 0 {
            return Err(Refused::Disturbed);
        }
        progress::follow(slot, index, stamp)?;
        Ok(Hold(0))
    }

    /// Turns a lease of [`Holds::begin_alone`] into one that any thread may end, while others begin. Called by the
    /// thread that begins leases, before it begins another one.
    #[inline]
    pub fn count(&self, hold: &mut Hold) {
        if !hold.is_counted() {
            // H6. Relaxed: as H2, the count was 0 when the lease began and nobody else counts up from 0.
            self.0.store(if hold.is_verified() { 1 | VERIFIED } else { 1 }, Ordering::Relaxed);
            hold.0 |= Hold::COUNTED;
        }
    }

    /// Another lease beside `hold`, which is counted from now on; each of the two is ended by itself. Called by the
    /// thread that begins leases.
    pub fn share(&self, hold: &mut Hold) -> Hold {
        self.count(hold);
        // H7.
        self.0.fetch_add(1, Ordering::Relaxed);
        *hold
    }

    /// Notes that the checksum of the frame under `hold` is right, for those who begin while it lasts. Called by the
    /// thread that begins leases, before it ends `hold`.
    #[inline]
    pub fn set_verified(&self, hold: &mut Hold) {
        hold.0 |= Hold::VERIFIED;
        if hold.is_counted() {
            // Relaxed: read by the thread that begins leases, which is the one that writes it.
            self.0.fetch_or(VERIFIED, Ordering::Relaxed);
        }
    }

    /// Ends a lease; its content must not be looked at any more.
    #[inline]
    pub fn end(&self, slot: Slot<'_>, index: u32, hold: Hold) {
        if !hold.is_counted() {
            reader::end_lease(slot, index);
            return;
        }
        // Relaxed: H4 says whether it is still so.
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let last = state & COUNT == 1;
            let next = if last { ENDING } else { state.saturating_sub(1) };
            // H4.
            match self.0.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if last => break,
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        reader::end_lease(slot, index);
        // H5.
        self.0.store(0, Ordering::Release);
    }
}
