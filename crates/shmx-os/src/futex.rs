//! Sleeping until another process changes a word of shared memory: [`Region::wait`](crate::Region::wait) and
//! [`Region::wake_all`](crate::Region::wake_all).

use crate::sys;

pub use crate::wake::Wake;

/// Whether a wait can be woken: always on Linux and Windows, and on macOS from 14.4 on. Where it cannot, waiting is a
/// short sleep to build a poll on.
#[must_use]
#[inline]
pub fn is_supported() -> bool {
    sys::can_wait()
}
