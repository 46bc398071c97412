//! What readers that want every frame have taken, so that a producer that asks overwrites nothing else.
//!
//! Steps K1 to K3: see the head of the crate.

use crate::load;
use crate::sync::{AtomicU64, Ordering, fence};
use crate::view::{HeaderView, ReaderView, Slots};
use shmx_abi::extension::READER_EVERY_FRAME;

/// A reader that wants every frame has counted its coming: who claims a slot from now on finds it.
pub(crate) fn announced() {
    // K1 [P7 every frame]. SeqCst: the count and the loads of stamps in `first_frames` must not change places; pairs
    // with `Taken::permits`.
    fence(Ordering::SeqCst);
}

/// What a reader that wants every frame can begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFrames {
    /// The oldest frame from which on none can be lost any more. One more than `published` where all can.
    pub oldest: u64,
    /// Frames published.
    pub published: u64,
}

/// What a reader that has attached as one that wants every frame finds safe. `[P7 every frame]`
///
/// A frame is safe if its slot is not claimed: whoever claims it later finds the reader.
#[must_use]
pub fn first_frames<S: Slots>(slots: &S) -> FirstFrames {
    let published = slots.header().frame_seq.load(Ordering::Acquire);
    let mut oldest = published.wrapping_add(1);
    // Each round finds the frame before the oldest one known. There are as many as slots.
    for _ in 0..slots.slot_count() {
        let before = oldest.wrapping_sub(1);
        let safe = (0..slots.slot_count()).map(|i| slots.slot(i)).any(|slot| {
            // Relaxed and fences: the id is that of the stamp, which was even after the fence of K1.
            let stamp = load::count(&slot.head.ext_stamp);
            fence(Ordering::Acquire);
            let id = load::count(&slot.head.frame_id);
            fence(Ordering::Acquire);
            id == before && stamp.is_multiple_of(2) && load::count(&slot.head.ext_stamp) == stamp
        });
        if before == 0 || !safe {
            break;
        }
        oldest = before;
    }
    FirstFrames { oldest, published }
}

/// Whether the slot's owner wants every frame, and the last one that it has taken.
#[must_use]
pub fn taken(slot: &ReaderView) -> Option<u64> {
    if slot.in_use.load(Ordering::Acquire) == 0 {
        return None;
    }
    // Acquire, pairs with `attach`: who sees the id sees the tag and the flags.
    let id = slot.reader_id.load(Ordering::Acquire);
    let ours = id != 0 && slot.ext_tag.load(Ordering::Relaxed) == id;
    // K3. Acquire: the reader's copy of the frame stays before our overwrite.
    let last = slot.last_frame_seen.load(Ordering::Acquire);
    (ours && slot.ext_rejected_flags.load(Ordering::Relaxed) & READER_EVERY_FRAME != 0).then_some(last)
}

/// Whether the slot's owner never rings the server: a reader of another implementation, or one that is just coming.
#[must_use]
pub fn is_silent(slot: &ReaderView) -> bool {
    let id = slot.reader_id.load(Ordering::Acquire);
    slot.in_use.load(Ordering::Acquire) != 0 && (id == 0 || slot.ext_tag.load(Ordering::Relaxed) != id)
}

/// What all of them have taken, as far as the server has looked. Threads share it.
#[derive(Debug)]
pub struct Taken {
    /// The count of changes for which `least` holds, and 1 more.
    seen: AtomicU64,
    /// A frame up to which each of them has taken all: what they take only grows, so that it stays right until another
    /// reader comes.
    least: AtomicU64,
}

impl Taken {
    /// Nothing is known yet.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { seen: AtomicU64::new(0), least: AtomicU64::new(0) }
    }

    /// Whether a slot that holds this frame may be overwritten, as far as it is known. `[P7 every frame]`
    ///
    /// If not, [`Taken::scan`] and ask again. Ask once before claiming the slot and once more between W2 and W3.
    #[inline]
    pub fn permits(&self, header: &HeaderView, frame_id: u64) -> bool {
        // Acquire, pairs with `scan`: the frame that is read after the count is that of the same scan or of a later
        // one, which leaves out only readers that have gone.
        frame_id == 0
            || self.seen.load(Ordering::Acquire) == changes(header) && frame_id <= self.least.load(Ordering::Relaxed)
    }

    /// Looks at the reader slots, which `readers` gives. One thread at a time: two could mix what they store.
    pub fn scan<'a>(&self, header: &HeaderView, readers: impl IntoIterator<Item = &'a ReaderView>) {
        // Before the slots: a reader that is not found has another count.
        let now = changes(header);
        let least = readers.into_iter().filter_map(taken).min().unwrap_or(u64::MAX);
        self.least.store(least, Ordering::Relaxed);
        // Release, as above.
        self.seen.store(now, Ordering::Release);
    }

    /// What all have taken, as the last scan found it.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.least.load(Ordering::Relaxed)
    }
}

/// Never 0.
#[inline]
fn changes(header: &HeaderView) -> u64 {
    // K2 [P7 every frame]. SeqCst, after W1: either this finds the reader's count, and then its slot too, or the reader
    // finds the odd stamp.
    let more = header.ext_more.load(Ordering::SeqCst);
    let connected = header.readers_connected.load(Ordering::Relaxed);
    u64::from(connected) << 32 | u64::from(more >> 16) << 1 | 1
}
