//! The regions that a recorder follows: which are looked for, which rest, and what each may hold of the backlog.

use crate::format::EndReason;
use shmx::{ControlTap, SeenControl, Tap};
use std::time::{Duration, Instant};

/// One region to follow.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) tap: Option<Tap>,
    /// Its server rings for the recorder, too.
    pub(super) rings: bool,
    /// Session seen last, so that what a dead server has left is not recorded twice.
    pub(super) last_session: Option<u64>,
    /// Whether the region was looked for and not there: what it publishes before it is opened is then missed.
    pub(super) waited: bool,
    pub(super) segment: u32,
    pub(super) missed_at_open: u64,
    /// Frames missed of the open region, as the frames taken tell it.
    pub(super) told_missed: u64,
    pub(super) rejected: u64,
    /// Frames taken and not written.
    pub(super) held: u64,
    /// Frames that came since the last one recorded, and when that was published.
    pub(super) passed: u64,
    pub(super) recorded: Option<u64>,
    pub(super) next_look: Instant,
    /// The producer was seen to be gone; frames that it left may still be taken.
    pub(super) ended: Option<EndReason>,
    pub(super) last_trouble: String,
    /// That some of the streams that are to be recorded are not there yet; empty if they are.
    pub(super) unlisted: String,
    pub(super) control: Option<Following>,
    /// Found by a pattern, which tells when the region comes again.
    pub(super) found: bool,
    /// Since when it is looked for in vain.
    pub(super) gone_since: Option<Instant>,
    /// It is not looked for any more, until the pattern finds it again.
    pub(super) rests: bool,
}

/// The control rings of an open region.
pub(super) struct Following {
    pub(super) tap: ControlTap,
    pub(super) next: Instant,
    /// What was seen and not handed on, and since when.
    pub(super) seen: Vec<SeenControl>,
    pub(super) lost: u64,
    pub(super) since: Instant,
    /// Messages seen after this time may ask for a snapshot; ticks.
    pub(super) asks_from: u64,
}

/// A region that a pattern has found is looked for as often as one that was named during this time after it is gone:
/// that finds a restart sooner than the pattern does.
const OFTEN: Duration = Duration::from_millis(200);
/// And then this often, until it rests.
const SELDOM: Duration = Duration::from_millis(250);
const REST_AFTER: Duration = Duration::from_secs(3);
/// Beyond so many regions those that are gone give their places to those that come.
const MOST_NAMES: usize = 1000;
/// Frames taken and not written of all regions together, at most.
const MOST_FRAMES: u64 = 4000;

impl Source {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tap: None,
            rings: false,
            last_session: None,
            waited: false,
            segment: 0,
            missed_at_open: 0,
            told_missed: 0,
            rejected: 0,
            held: 0,
            passed: 0,
            recorded: None,
            next_look: Instant::now(),
            ended: None,
            last_trouble: String::new(),
            unlisted: String::new(),
            control: None,
            found: false,
            gone_since: None,
            rests: false,
        }
    }

    /// Notes that the region was looked for in vain. Says whether it rests from now on.
    pub(super) fn is_absent(&mut self, now: Instant) -> bool {
        self.waited = true;
        self.rests = self.ages(now) >= REST_AFTER && self.found;
        self.rests
    }

    /// Notes that the region could not be opened, and says for how long that is so. It does not rest, as nobody tells
    /// when it can be, but is tried seldom, and gives its place to others.
    pub(super) fn ages(&mut self, now: Instant) -> Duration {
        let gone = now.saturating_duration_since(*self.gone_since.get_or_insert(now));
        if self.found && gone >= OFTEN {
            self.next_look = self.next_look.max(now + SELDOM);
        }
        gone
    }

    /// A region of this name has come.
    pub(super) fn wake(&mut self) {
        (self.rests, self.gone_since, self.next_look) = (false, None, Instant::now());
    }

    /// Whether it was there and is gone.
    pub(super) fn is_over(&self) -> bool {
        self.tap.is_none() && (self.segment > 0 || self.rests)
    }
}

/// The place of a region that is gone, where there are too many.
pub(super) fn free(sources: &[Source]) -> Option<usize> {
    if sources.len() < MOST_NAMES {
        return None;
    }
    let gone = |s: &Source| s.gone_since.filter(|_| s.found && s.tap.is_none() && s.held == 0);
    let places = sources.iter().enumerate().filter_map(|(i, s)| Some((gone(s)?, i)));
    places.min().map(|(_, i)| i)
}

/// The part of the backlog of each region that is open or has frames there, in bytes and in frames.
pub(super) fn share(sources: &[Source], backlog_bytes: u64) -> (u64, u64) {
    let shares = sources.iter().filter(|s| s.tap.is_some() || s.held > 0).count().max(1) as u64;
    (backlog_bytes / shares, (MOST_FRAMES / shares).max(2))
}

/// Frames of up to `cap` bytes that may wait to be written, of a region with this share of the backlog.
pub(super) fn most_held((bytes, frames): (u64, u64), cap: u64) -> u64 {
    (bytes / cap.max(1)).clamp(2, frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that a pattern has found, gone since then.
    fn gone(name: usize, since: Instant) -> Source {
        Source { found: true, gone_since: Some(since), ..Source::new(&name.to_string()) }
    }

    #[test]
    fn only_what_a_pattern_found_rests_and_not_at_once() {
        let start = Instant::now();
        let mut source = gone(0, start);
        assert!(!source.is_absent(start) && source.next_look <= Instant::now(), "looked for at once");
        let soon = start + Duration::from_secs(1);
        assert!(!source.is_absent(soon) && source.next_look == soon + SELDOM, "and then seldom");
        assert!(source.is_absent(start + REST_AFTER) && source.rests && source.is_over());
        source.wake();
        assert!(!source.rests && !source.is_over() && source.next_look <= Instant::now());
        assert!(!source.is_absent(start + REST_AFTER), "it is looked for again for a while");
        let mut closed = gone(3, start);
        closed.ages(start + REST_AFTER);
        assert!(!closed.rests && closed.next_look == start + REST_AFTER + SELDOM, "one that cannot be opened does not");
        let mut named = Source { found: false, ..gone(2, start) };
        assert!(!named.is_absent(start + 10 * REST_AFTER) && named.next_look <= Instant::now());
    }

    #[test]
    fn regions_that_are_gone_have_no_share_of_the_backlog() {
        let mut sources: Vec<Source> = (0..1000).map(|n| gone(n, Instant::now())).collect();
        assert_eq!(share(&sources, 256 << 20), (256 << 20, MOST_FRAMES));
        // As long as it has frames there, it has a share.
        sources[7].held = 1;
        sources[8].held = 2;
        assert_eq!(share(&sources, 256 << 20), (128 << 20, MOST_FRAMES / 2));
        assert_eq!(most_held(share(&sources, 256 << 20), 6 << 20), 21);
    }

    #[test]
    fn the_region_that_is_gone_longest_gives_its_place() {
        let start = Instant::now();
        let since = |n: usize| start + Duration::from_secs((MOST_NAMES - n) as u64);
        let mut sources: Vec<Source> = (0..MOST_NAMES).map(|n| gone(n, since(n))).collect();
        assert_eq!(free(&sources), Some(MOST_NAMES - 1));
        // Not one with frames to write, one that was named, or one that is about to be opened.
        sources[MOST_NAMES - 1].held = 1;
        sources[MOST_NAMES - 2].found = false;
        sources[MOST_NAMES - 3].gone_since = None;
        assert_eq!(free(&sources), Some(MOST_NAMES - 4));
        sources.pop();
        assert_eq!(free(&sources), None, "there is room");
    }
}
