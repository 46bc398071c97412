//! The wire clock as wall time.

use shmx::Frame;
use std::time::{SystemTime, UNIX_EPOCH};

/// When a frame was published, nanoseconds since 1970; now, for frames without a publish time.
pub(crate) fn published(frame: &Frame<'_>) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let age = frame.age().unwrap_or_default().as_nanos();
    now.saturating_sub(u64::try_from(age).unwrap_or(u64::MAX))
}
