//! How a wait ends, and the wait of platforms without futexes.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Why a wait returned. None of the answers says what the word holds now: read it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// Somebody woke the word, or the kernel woke us for no reason.
    Woken,
    /// The word did not hold the expected value, so there was no sleep.
    ValueChanged,
    /// The timeout has passed; or, where [`is_supported`](crate::futex::is_supported) is false or the kernel refused to
    /// wait, one polling interval of at most a millisecond. Callers with a deadline check their own clock.
    TimedOut,
    /// A signal arrived. Treat it like [`Wake::Woken`].
    Interrupted,
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
