//! Sleeping until another process changes a word of shared memory.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::sys;

/// Whether [`wait`] can be woken by [`wake_all`]. Where it is false, [`wait`] is a short sleep to build a poll on.
pub const SUPPORTED: bool = sys::FUTEX_SUPPORTED;

/// Why [`wait`] returned. None of the answers says what the word holds now: read it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// Somebody woke the word, or the kernel woke us for no reason.
    Woken,
    /// The word did not hold the expected value, so there was no sleep.
    ValueChanged,
    /// The timeout has passed; or, where [`SUPPORTED`] is false or the kernel refused to wait, one polling interval
    /// of at most a millisecond. Callers with a deadline check their own clock.
    TimedOut,
    /// A signal arrived. Treat it like [`Wake::Woken`].
    Interrupted,
}

/// Sleeps while `word` holds `expected`, for at most `timeout`.
///
/// The comparison and the falling asleep are one step for [`wake_all`]: a wake-up that follows a change of the word
/// is never missed. `word` may lie in memory shared with other processes; the wait is keyed by the underlying
/// object, so that different mappings of it meet. Timeouts beyond a hundred years are cut to that.
#[must_use]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    sys::futex_wait(word, expected, timeout)
}

/// Wakes everybody who sleeps on `word`, in this and in other processes. Returns how many there were, 0 where
/// [`SUPPORTED`] is false.
///
/// Sequence: change the word first, then wake.
pub fn wake_all(word: &AtomicU32) -> usize {
    sys::futex_wake_all(word)
}

/// The wait of platforms without futexes: one polling interval.
pub(crate) fn poll(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    // Relaxed: only the value decides, and the caller reads again with the ordering it needs.
    if word.load(std::sync::atomic::Ordering::Relaxed) != expected {
        return Wake::ValueChanged;
    }
    std::thread::sleep(timeout.min(Duration::from_millis(1)));
    Wake::TimedOut
}
