//! Who sleeps, and who must be woken.
//!
//! The doorbell is a counter: odd means that somebody may be asleep on it. A reader makes it odd, looks for news once
//! more, and sleeps while it holds that very value. A writer that finds it odd after publishing makes it even and
//! wakes everybody. A flag instead of a counter would lose wake-ups: cleared by the writer and set again by another
//! reader, it would look to the first reader as if nothing had happened. A sleeper that dies leaves an odd value,
//! which costs the writer one needless wake.
//!
//! A server can be asked to ring always. It keeps the word odd itself ([`keep_odd`]), so that nothing changes for the
//! writer, and sleepers need no permission to write ([`watch`]).

use crate::sync::{AtomicU32, Ordering, fence, sc_access_fence};

/// The value to sleep on. Look for news after this and before sleeping. `[P5 doorbell]`
pub fn prepare_to_sleep(doorbell: &AtomicU32) -> u32 {
    let seen = doorbell.fetch_or(1, Ordering::Relaxed) | 1;
    // S2. SeqCst: the store above and the caller's look for news must not change places; pairs with `ring`.
    fence(Ordering::SeqCst);
    seen
}

/// After publishing: the value that sleepers sleep on and must be woken from, if there may be any. `[P5 doorbell]`
///
/// The access that made the news visible must have been a `SeqCst` read-modify-write.
#[must_use]
#[inline]
pub fn ring(doorbell: &AtomicU32) -> Option<u32> {
    // W7. SeqCst: that access and the load below must not change places; pairs with `prepare_to_sleep`.
    sc_access_fence();
    let seen = doorbell.load(Ordering::SeqCst);
    // Relaxed: the value carries no data, the kernel orders the wake. A lost exchange means that another thread rang.
    let rung = seen % 2 == 1
        && doorbell.compare_exchange(seen, seen.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
    rung.then_some(seen)
}

/// The value to sleep on for a reader that may not write, of a server that rings always. Look for news after this and
/// before sleeping; while it is even, the server is between its two steps: pause instead of sleeping. `[P5 doorbell]`
pub fn watch(doorbell: &AtomicU32) -> u32 {
    // Relaxed: it must suit mappings that may only be read.
    let seen = doorbell.load(Ordering::Relaxed);
    // S2. SeqCst: who sees the value that a writer left sees the news of each writer that found it even, and so rang
    // for nobody. Includes Acquire.
    fence(Ordering::SeqCst);
    seen
}

/// After [`ring`], and before the wake, by a server that rings always.
pub fn keep_odd(doorbell: &AtomicU32) {
    // Release, with the load in `ring` and the fence in `watch`: a writer that found the word even before this made its
    // news before this too.
    doorbell.fetch_or(1, Ordering::Release);
}
