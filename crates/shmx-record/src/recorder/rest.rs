//! How the taking thread rests: on the doorbells of servers that ring for everybody, otherwise by polling.

use super::work::Shared;
use shmx::{Tap, WaitSet};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What a region's turn leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be more at once.
    More,
    /// The writer is behind and gives memory back soon.
    Memory,
    /// Frames may come, which only a poll after this time finds.
    Poll(Duration),
    /// Nothing but what its doorbell tells; or another look after this time.
    Asleep(Duration),
}

/// How long it rests without a region.
const QUIET: Duration = Duration::from_millis(5);
/// How soon memory that the writer gives back is looked for.
const MEMORY: Duration = Duration::from_millis(1);

/// The doorbells of the open regions, where there are any.
pub(super) struct Bells(Option<WaitSet>);

impl Bells {
    pub(super) fn new() -> Self {
        // Where the system has no means for it, all are polled.
        Self(WaitSet::new().ok())
    }

    /// Takes a region in, if its server rings for those that only look, too. Says whether it does.
    pub(super) fn add(&mut self, tap: &mut Tap) -> bool {
        match &mut self.0 {
            Some(set) if tap.can_sleep() => {
                set.add(tap);
                true
            }
            _ => false,
        }
    }

    /// Rests until there may be something to do, and counts it. Says of which region the writer has freed a frame.
    pub(super) fn rest(&mut self, next: &[Next], free: &Receiver<usize>, shared: &Shared) -> Option<usize> {
        if next.contains(&Next::More) {
            return None;
        }
        shared.sleeps.fetch_add(1, Ordering::Relaxed);
        let time = |n: &Next| match *n {
            Next::More | Next::Memory => MEMORY,
            Next::Poll(time) | Next::Asleep(time) => time,
        };
        let pause = next.iter().map(time).min().unwrap_or(QUIET);
        match &mut self.0 {
            Some(set) if next.iter().all(|n| matches!(n, Next::Asleep(_))) => {
                set.wait(pause);
                None
            }
            // Memory that comes back ends the wait: there may be frames in the ring.
            _ => free.recv_timeout(pause).ok(),
        }
    }
}

/// What a region without a frame to take waits for.
pub(super) fn dry(tap: &Tap, rings: bool, look: Duration) -> Next {
    if rings && tap.is_better_asleep() { Next::Asleep(look) } else { Next::Poll(tap.pause()) }
}
