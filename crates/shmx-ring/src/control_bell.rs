//! The server sleeps: on the second feature word, which readers change to wake it.
//!
//! The server sets a flag in the word, looks for news once more, and sleeps while the word holds that very value. A
//! reader that finds the flag after it has made news clears it, counts the word up and wakes the server. The count keeps
//! a second sleeping thread from losing its wake-up, as with the [`doorbell`](crate::doorbell). Readers that come and go
//! count the word up in any case ([`readers`](crate::readers)).
//!
//! | step | who | ordering and what it forbids |
//! |---|---|---|
//! | B1 | server: set the flag, fence, look for news | SeqCst `[P6 control bell]` with B2: one of the two sees the other |
//! | B2 | reader: make news, fence, load the word | SeqCst `[P6 control bell]` with B1 |

use crate::sync::{AtomicU32, Ordering, fence};
use shmx_abi::extension::{Features, READERS_CHANGED, SERVER_WAITS};

/// The flags of the word under which a reader must wake the server.
const ASLEEP: u32 = SERVER_WAITS | (Features::CONTROL_BELL >> 32) as u32;

/// Tries at the word. Each failure is another reader's success, which wakes the server too, or its coming or going.
const ATTEMPTS: u32 = 8;

/// The value for the server to sleep on. Look for news after this and before sleeping. `[P6 control bell]`
pub fn prepare_to_sleep(more: &AtomicU32) -> u32 {
    let seen = more.fetch_or(SERVER_WAITS, Ordering::Relaxed) | SERVER_WAITS;
    // B1. SeqCst: the store above and the caller's look for news must not change places; pairs with `ring`.
    fence(Ordering::SeqCst);
    seen
}

/// After a reader made news (a message, a frame taken): the value that the server sleeps on and must be woken from, if
/// it may be asleep. `[P6 control bell]`
#[must_use]
#[inline]
pub fn ring(more: &AtomicU32) -> Option<u32> {
    // B2. SeqCst: the caller's news and the load below must not change places; pairs with `prepare_to_sleep`.
    fence(Ordering::SeqCst);
    let seen = more.load(Ordering::Relaxed);
    if is_asleep(seen) { wake(more, seen) } else { None }
}

#[cold]
fn wake(more: &AtomicU32, mut seen: u32) -> Option<u32> {
    for _ in 0..ATTEMPTS {
        let awake = (seen & !SERVER_WAITS).wrapping_add(READERS_CHANGED);
        // Relaxed: the value carries no data, the kernel orders the wake.
        match more.compare_exchange(seen, awake, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(seen),
            Err(now) if !is_asleep(now) => return None,
            Err(now) => seen = now,
        }
    }
    None
}

/// Whether the word says that the server may be asleep on it.
#[must_use]
#[inline]
pub const fn is_asleep(more: u32) -> bool {
    more & ASLEEP == ASLEEP
}
