//! What every platform's wait on many words has.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::wait_word::WaitWord;

/// Why [`WaitMany::wait`](crate::WaitMany::wait) returned. None of the answers says what the words hold now: read them
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ManyWake {
    /// The entry of this index was woken or did not hold its value. Others may have been too.
    Ready(usize),
    /// The timeout has passed.
    TimedOut,
    /// An [`Interrupter`](crate::Interrupter) was used since the last wait that returned this.
    Interrupted,
    /// A signal arrived.
    Signal,
}

/// The first entry whose word does not hold its value.
pub(crate) fn changed(entries: &[(Arc<dyn WaitWord>, u32)]) -> Option<usize> {
    // Relaxed: only the value decides, and the caller reads again with the ordering it needs.
    entries.iter().position(|(word, expected)| word.word().load(Ordering::Relaxed) != *expected)
}
