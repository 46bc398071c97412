//! Sleeping until any of several words changes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::OsError;
use crate::many_wake::ManyWake;
use crate::wait_word::WaitWord;
use crate::waits;

/// Sleeping on many words at once, in one thread.
///
/// | words | Linux | Windows | elsewhere |
/// |---|---|---|---|
/// | up to 63 | sleeps (`futex_waitv`, Linux 5.16) | sleeps (an event for each) | polls |
/// | up to 127 | sleeps | polls | polls |
/// | more | sleeps (io_uring, Linux 6.7), else polls | polls | polls |
///
/// Polling is a look at every word once in a millisecond. It is also what happens where a kernel is older or forbids the
/// call, and on Windows as soon as one word lies in no region of this crate (see [`WaitWord::source`]).
/// [`WaitMany::sleeps`] tells which it is.
///
/// Each wait that sleeps costs time in proportion to the number of words.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx_os::{ManyWake, WaitMany, WaitWord};
/// use std::sync::atomic::AtomicU32;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// struct Private(AtomicU32);
/// impl WaitWord for Private {
///     fn word(&self) -> &AtomicU32 {
///         &self.0
///     }
/// }
///
/// let words: [Arc<dyn WaitWord>; 2] = [Arc::new(Private(AtomicU32::new(7))), Arc::new(Private(AtomicU32::new(8)))];
/// let mut many = WaitMany::new()?;
/// let entries = |first, second| [(words[0].clone(), first), (words[1].clone(), second)];
/// assert_eq!(many.wait(&entries(7, 8), Duration::from_millis(1)), ManyWake::TimedOut);
/// assert_eq!(many.wait(&entries(7, 9), Duration::MAX), ManyWake::Ready(1));
///
/// let interrupter = many.interrupter();
/// std::thread::spawn(move || interrupter.interrupt());
/// assert_eq!(many.wait(&entries(7, 8), Duration::MAX), ManyWake::Interrupted);
/// # Ok(())
/// # }
/// ```
pub struct WaitMany {
    inner: waits::WaitMany,
}

// A set moves to the thread that waits with it.
const _: fn() = || {
    const fn is_send<T: Send>() {}
    is_send::<WaitMany>();
};

impl WaitMany {
    /// A wait that can be used again and again.
    ///
    /// # Errors
    ///
    /// [`OsError::Os`], on Windows without handles.
    pub fn new() -> Result<Self, OsError> {
        Ok(Self { inner: waits::WaitMany::new()? })
    }

    /// Sleeps until one of the words is woken or does not hold its value, but for `timeout` at most.
    ///
    /// The comparison and the falling asleep are one step for those who change a word and then wake it. A timeout of zero
    /// looks only; [`Duration::MAX`], or anything beyond a century, never ends. Without entries only the timeout and the
    /// interrupters end it. The same word may be there more than once. When this returns, nothing of the kernel waits
    /// any more.
    pub fn wait(&mut self, entries: &[(Arc<dyn WaitWord>, u32)], timeout: Duration) -> ManyWake {
        self.inner.wait(entries, timeout)
    }

    /// Something to end a wait with from another thread.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { inner: self.inner.interrupter() }
    }

    /// Whether a wait on so many words, all in regions of this crate, sleeps rather than polls, as far as is known before
    /// it was tried.
    #[must_use]
    pub fn sleeps(&mut self, count: usize) -> bool {
        self.inner.sleeps(count)
    }
}

impl fmt::Debug for WaitMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitMany").finish_non_exhaustive()
    }
}

/// Ends the wait of a [`WaitMany`] that is going on, or the next one if none is.
#[derive(Clone)]
pub struct Interrupter {
    inner: waits::Interrupter,
}

impl Interrupter {
    /// Ends the wait. Several calls before the wait returns count as one.
    pub fn interrupt(&self) {
        self.inner.interrupt();
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupter").finish_non_exhaustive()
    }
}
