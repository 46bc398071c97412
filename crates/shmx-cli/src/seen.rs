//! A frame as a follower saw it: what rates and latencies are computed from.

use shmx::Frame;

/// Steps of publish times, nanoseconds.
pub(crate) const PUBLISH_STEP: u64 = 1024;

/// A frame as it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    /// When it was published, wire clock in nanoseconds, in steps of 1024; none if the producer gives no time.
    pub(crate) published: Option<u64>,
    /// When it was seen.
    pub(crate) seen: u64,
    pub(crate) bytes: u32,
}

impl Seen {
    pub(crate) fn of(frame: &Frame<'_>, now: u64) -> Self {
        let age = frame.publish_time().and_then(|t| t.age_ns(now));
        Self {
            id: frame.frame_id(),
            published: age.map(|age| now.saturating_sub(age) & !(PUBLISH_STEP - 1)),
            seen: now,
            bytes: u32::try_from(frame.payload().len()).unwrap_or(u32::MAX),
        }
    }

    /// The best time there is for it.
    pub(crate) fn time(&self) -> u64 {
        self.published.unwrap_or(self.seen)
    }
}
