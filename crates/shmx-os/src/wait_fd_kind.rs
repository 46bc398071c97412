//! How a descriptor to wait with is served.

/// How a [`WaitFd`](crate::WaitFd) is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitFdKind {
    /// The kernel waits on the word itself (io_uring, Linux 6.7). Nothing of this process runs until the word is woken.
    IoUring,
    /// A thread of its own sleeps on the word and then makes an eventfd readable.
    Thread,
    /// A timer: no wake-up is noticed, the descriptor becomes readable when its time has passed. For readers that
    /// have no word to sleep on.
    Timer,
}
