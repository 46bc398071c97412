//! Watches a region's frames through a read-only mapping.
//!
//! Every frame that is still in the ring is seen once. A read-only observer cannot arm the doorbell, so it polls: a
//! poll without news costs one look at the header. What comes and goes between two polls is counted, because frame
//! ids are dense, but its time and size stay unknown.

use shmx::abi::extension::{FrameMarks, PublishTime};
use shmx::{Inspector, SlotContent};
use std::time::Duration;

/// A frame as it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) slot: u32,
    /// When it was published, wire clock in nanoseconds, in steps of 1024; none if the producer gives no time.
    pub(crate) published: Option<u64>,
    /// When it was seen.
    pub(crate) seen: u64,
    pub(crate) bytes: u32,
}

/// Follows the frames of one session.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    session: u64,
    /// The newest frame that was seen or counted as missed.
    last: u64,
    /// Frames that came and went unseen.
    pub(crate) missed: u64,
    pause: Duration,
    slots: usize,
}

/// What a poll brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Frames in order; often none.
    Frames(Vec<Seen>),
    /// Another session has the region; the tracker starts anew.
    Restarted,
}

/// Steps of publish times, nanoseconds.
pub(crate) const PUBLISH_STEP: u64 = 1024;

const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(10);

impl Tracker {
    /// Starts with the newest frame that is there, or behind it.
    pub(crate) fn new(inspector: &Inspector, with_newest: bool) -> Self {
        let h = inspector.header();
        let last = h.frame_seq.saturating_sub(u64::from(with_newest));
        let slots = inspector.layout().slots() as usize;
        Self { session: h.session_id, last, missed: 0, pause: Duration::from_millis(1), slots }
    }

    /// How long to wait before the next poll: short enough to see each frame before it is overwritten.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    pub(crate) fn poll(&mut self, inspector: &Inspector, now: u64) -> News {
        let h = inspector.header();
        if h.session_id != self.session || h.frame_seq < self.last {
            *self = Self { session: h.session_id, last: h.frame_seq.saturating_sub(1), missed: 0, ..self.clone() };
            return News::Restarted;
        }
        if h.frame_seq == self.last {
            self.pause = (self.pause + self.pause / 8).min(LONGEST);
            return News::Frames(Vec::new());
        }
        // Frames up to this number were published before the slots are looked at: one that is not found is gone. Later
        // ones wait for the next poll, or a frame published during the look would pass for missed.
        let newest = h.frame_seq;
        let mut frames: Vec<Seen> = (inspector.slot_briefs().iter())
            .filter(|b| b.content == SlotContent::Frame && (self.last + 1..=newest).contains(&b.header.frame_id))
            .map(|b| Seen {
                id: b.header.frame_id,
                slot: b.index,
                published: PublishTime::from_wire(b.header.ext_publish_time, FrameMarks::of(b.header.ext_stamp))
                    .and_then(|t| t.age_ns(now))
                    .map(|age| now.saturating_sub(age) & !(PUBLISH_STEP - 1)),
                seen: now,
                bytes: b.header.payload_bytes,
            })
            .collect();
        frames.sort_unstable_by_key(|f| f.id);
        frames.dedup_by_key(|f| f.id);
        self.missed += newest - self.last - frames.len() as u64;
        if (newest - self.last) as usize * 2 >= self.slots.min(64) {
            self.pause = (self.pause / 2).max(SHORTEST);
        }
        self.last = newest;
        News::Frames(frames)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn each_frame_is_seen_once_and_the_rest_is_counted() {
        let scratch = Scratch::new("track", 4);
        let inspector = Inspector::open(&scratch.name).unwrap();
        let mut tracker = Tracker::new(&inspector, false);
        let ids = |tracker: &mut Tracker| match tracker.poll(&inspector, shmx::os::clock::ticks()) {
            News::Frames(f) => f.iter().map(|s| s.id).collect::<Vec<_>>(),
            News::Restarted => panic!("restarted"),
        };
        assert_eq!(ids(&mut tracker), [0; 0]);
        scratch.publish(3);
        assert_eq!(ids(&mut tracker), [1, 2, 3]);
        assert_eq!(ids(&mut tracker), [0; 0]);
        scratch.publish(10);
        assert_eq!(ids(&mut tracker), [10, 11, 12, 13]);
        assert_eq!(tracker.missed, 6);
        // A slot that is taken for a new frame hides one more.
        scratch.publish(2);
        let frame = scratch.server().begin_frame().unwrap();
        assert_eq!(ids(&mut tracker), [14, 15]);
        drop(frame);
        assert!(tracker.pause() < Duration::from_millis(1));
    }

    #[test]
    fn another_session_is_told() {
        let scratch = Scratch::new("track", 3);
        scratch.publish(5);
        let inspector = Inspector::open(&scratch.name).unwrap();
        let mut tracker = Tracker::new(&inspector, true);
        // As a server of the reference does it: in place.
        scratch.poke(24, &7_u64.to_ne_bytes());
        assert_eq!(tracker.poll(&inspector, 0), News::Restarted);
        assert_eq!(tracker.poll(&inspector, 0), News::Frames(Vec::new()), "the slots are of the old session");
        assert_eq!(tracker.missed, 1);
        // A server leaves what another has taken over; this one shall remove its region.
        scratch.poke(24, &scratch.server().session_id().to_ne_bytes());
    }
}
