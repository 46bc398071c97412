//! A descriptor that becomes readable when a word of shared memory changes.

use std::fmt;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::error::OsError;
use crate::wait_fd_kind::WaitFdKind;
use crate::wait_word::WaitWord;
use crate::waits;

/// A descriptor that becomes readable when a word of shared memory is woken or no longer holds an expected value, for
/// epoll, tokio's `AsyncFd`, Qt, asyncio and the like. Linux only; [`WaitFd::new`] fails elsewhere.
///
/// It is *armed* for one event. Once readable it stays so until it is armed again or disarmed. It can be readable for no
/// reason, so look at the word; but it is never unreadable when there is a reason: the comparison and the falling
/// asleep are one step for whoever changes the word and then wakes it ([`Region::wake_all`](crate::Region::wake_all)).
///
/// Edge-triggered pollers (`EPOLLET`) get an edge for every event. Ask for reading only: with io_uring the descriptor is
/// always writable. Do not read from it.
///
/// # Threads
///
/// With [`WaitFdKind::IoUring`] the thread that armed it does the last bit of work when the word is woken. Where that
/// thread sleeps in a system call, the kernel interrupts the sleep; most calls go on by themselves, but `epoll_wait` may
/// return `EINTR`, as for a signal; event loops go on then. When the thread ends, some kernels make the descriptor
/// readable: arm it again from another one.
///
/// # Forked children
///
/// In a child every call fails with [`OsError::Forked`]. The descriptor stays open there until the drop, which changes
/// nothing for the parent. (A child of [`WaitFdKind::Thread`] keeps it, until it ends or calls `exec`.) The descriptor
/// is closed by `exec`.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx_os::{WaitFd, WaitWord};
/// use std::sync::atomic::{AtomicU32, Ordering};
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
/// let word = Arc::new(Private(AtomicU32::new(7)));
/// let mut wait = WaitFd::new()?;
/// wait.arm(Some(word.clone()), 7, Duration::MAX)?;
/// assert!(!wait.is_readable()?);
/// word.0.store(8, Ordering::Release); // and a wake-up, where somebody may sleep already
/// wait.arm(Some(word), 7, Duration::MAX)?;
/// assert!(wait.is_readable()?);
/// # Ok(())
/// # }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
pub struct WaitFd {
    inner: waits::WaitFd,
}

impl WaitFd {
    /// A descriptor of the best kind that the system allows: io_uring, else a thread.
    ///
    /// # Errors
    ///
    /// [`OsError::Unsupported`] elsewhere than on Linux; [`OsError::Os`] without descriptors or threads.
    pub fn new() -> Result<Self, OsError> {
        Ok(Self { inner: waits::WaitFd::new()? })
    }

    /// A descriptor of this kind.
    ///
    /// # Errors
    ///
    /// As [`WaitFd::new`]; [`OsError::Os`] or [`OsError::Unsupported`] where the kernel has no such kind or forbids it,
    /// as containers often forbid io_uring.
    pub fn with_kind(kind: WaitFdKind) -> Result<Self, OsError> {
        Ok(Self { inner: waits::WaitFd::with_kind(kind)? })
    }

    /// How it is served.
    #[must_use]
    pub fn kind(&self) -> WaitFdKind {
        self.inner.kind()
    }

    /// Makes the descriptor unreadable, and then readable as soon as the word does not hold `expected`, is woken, or
    /// `within` has passed. An earlier arming is over.
    ///
    /// `within` of zero makes it readable at once; of [`Duration::MAX`], or anything beyond a century, it never ends.
    /// Where it is armed for the same word and value already, an earlier end of that arming may stay. Without a word only
    /// the time counts, and so it is with [`WaitFdKind::Timer`] if the word holds `expected` now.
    ///
    /// Sequence for a sleeper: prepare the word so that the next change wakes, look for news, arm with the value read
    /// before that look. What changes after the look makes the descriptor readable.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child. [`OsError::Os`] where the kernel refuses, for example because somebody
    /// else closed the descriptor; it is of no use then: drop it.
    pub fn arm(&mut self, word: Option<Arc<dyn WaitWord>>, expected: u32, within: Duration) -> Result<(), OsError> {
        self.inner.arm(word, expected, within)
    }

    /// Makes the descriptor unreadable and lets go of the word: when this returns, nothing of this object holds its
    /// `Arc`.
    ///
    /// # Errors
    ///
    /// As [`WaitFd::arm`].
    pub fn disarm(&mut self) -> Result<(), OsError> {
        self.inner.disarm()
    }

    /// Whether the descriptor is readable now. A system call.
    ///
    /// # Errors
    ///
    /// As [`WaitFd::arm`].
    pub fn is_readable(&self) -> Result<bool, OsError> {
        self.inner.is_readable()
    }
}

#[cfg(unix)]
impl AsFd for WaitFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[cfg(unix)]
impl AsRawFd for WaitFd {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for WaitFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFd").field("kind", &self.kind()).finish_non_exhaustive()
    }
}
