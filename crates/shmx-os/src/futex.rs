//! Sleeping until another process changes a word of shared memory: [`Region::wait`](crate::Region::wait) and
//! [`Region::wake_all`](crate::Region::wake_all).

use crate::sys;

pub use crate::wake::Wake;

/// Whether a wait can be woken. Where it is false, waiting is a short sleep to build a poll on.
pub const SUPPORTED: bool = sys::FUTEX_SUPPORTED;
