//! Which frames carry a checksum.
//!
//! Readers of ours know by the protocol whether a frame is whole. A checksum is for readers of the original, which
//! have nothing else, and for those of ours that ask to find stray stores. Hashing takes by far the most of a large
//! frame's time, so large frames are hashed when somebody needs it.

use crate::region::Mapped;
use shmx_os::Region;
use shmx_ring::readers;
use shmx_ring::sync::{AtomicU64, Ordering};
use shmx_ring::view::Slots;

/// Which frames carry a checksum ([`crate::ServerBuilder::checksum`]).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Checksum, Server};
///
/// let name = format!("doc-checksum-{}", std::process::id());
/// let server = Server::builder(&name).checksum(Checksum::Always).create()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksum {
    /// Frames with up to 4096 bytes of payload carry one. Larger ones carry one while a reader is attached that needs
    /// it (of the original, or one that verifies every frame), and otherwise once in 50 ms, for programs that look
    /// without attaching.
    #[default]
    Auto,
    /// Every frame carries one.
    Always,
    /// No frame carries one. Readers of the original reject every frame then.
    Never,
}

/// Largest payload that is always hashed.
pub(super) const SMALL: u32 = 4096;

/// Nanoseconds after which a large frame carries a checksum although nobody attached needs it.
const EVERY: u64 = 50_000_000;

/// Whether somebody attached needs checksums or follows, as far as it is known, and when a large frame had its last
/// checksum.
///
/// Threads share it without a lock. What was found, and the counts of readers for which it was found, lie in one word:
/// a thread that stores an old answer stores the old counts with it, and whoever finds other counts in the region looks
/// again. So an answer is used only while the counts are those that were read *before* the slots were scanned:
///
/// | a reader that needs checksums attaches | what the frame published then gets |
/// |---|---|
/// | before the counts are loaded | the counts differ from those seen: the slots are scanned, the reader is found |
/// | after that, before its slot is scanned | it is found now; its count is news for the next frame |
/// | after its slot was scanned | no checksum; the next frame finds other counts, and carries one |
///
/// So it gets valid frames from the first publish that begins after its attach has become visible. A reader that takes
/// the place of another one changes the second count, unless both are of the original, and then the answer is the same.
/// A reader that died before it counted itself is found by the chores, after which the slots are scanned in any case.
#[derive(Debug)]
pub(super) struct Needs {
    /// [`counts`] with [`SCANNED`], and [`NEEDED`] and [`FOLLOWED`] if somebody was found; 0 before the first scan.
    seen: AtomicU64,
    /// Ticks of the last large frame with a checksum.
    last: AtomicU64,
}

const NEEDED: u64 = 1;
const SCANNED: u64 = 2;
const FOLLOWED: u64 = 4;

/// What changes when readers come and go. The low half of the second word, where the flags are, is left free.
fn counts(region: &Mapped<Region>) -> u64 {
    let (connected, more) = readers::changes(region.header());
    u64::from(connected) << 32 | u64::from(more & 0xFFFF_0000)
}

impl Needs {
    pub(super) const fn new() -> Self {
        Self { seen: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    /// Whether a large frame should carry a checksum at `now`.
    pub(super) fn want_one(&self, region: &Mapped<Region>, now: u64) -> bool {
        // Relaxed: a time by itself; two threads that find it old hash one frame more.
        self.somebody(region) || now.saturating_sub(self.last.load(Ordering::Relaxed)) >= EVERY
    }

    /// Whether somebody attached needs checksums.
    pub(super) fn somebody(&self, region: &Mapped<Region>) -> bool {
        self.what(region) & NEEDED != 0
    }

    /// Whether somebody attached reads frames while they are written.
    #[inline]
    pub(super) fn is_followed(&self, region: &Mapped<Region>) -> bool {
        self.what(region) & FOLLOWED != 0
    }

    /// [`NEEDED`] and [`FOLLOWED`], as far as they are so.
    #[inline]
    fn what(&self, region: &Mapped<Region>) -> u64 {
        let now = counts(region) | SCANNED;
        // Relaxed here and below: the word is complete in itself and no other data depends on it.
        let seen = self.seen.load(Ordering::Relaxed);
        if seen & !(NEEDED | FOLLOWED) == now { seen } else { self.scan(region, now) }
    }

    #[cold]
    fn scan(&self, region: &Mapped<Region>, now: u64) -> u64 {
        // After the counts: `readers::changes` is an acquire.
        let slots = || (0..region.layout.reader_slots()).filter_map(|i| region.reader(i));
        let needed = if slots().any(readers::needs_checksums) { NEEDED } else { 0 };
        let followed = if slots().any(readers::follows) { FOLLOWED } else { 0 };
        self.seen.store(now | needed | followed, Ordering::Relaxed);
        now | needed | followed
    }

    /// A large frame with a checksum is about to be published.
    pub(super) fn one_is_made(&self, now: u64) {
        self.last.store(now, Ordering::Relaxed);
    }

    /// Has the slots scanned again for the next large frame.
    pub(super) fn forget(&self) {
        self.seen.store(0, Ordering::Relaxed);
    }
}
