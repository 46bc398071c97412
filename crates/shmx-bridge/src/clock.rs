//! The difference between the clocks of two hosts, as far as questions and answers tell it.

use crate::wire::Alive;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Answers that are looked at: older ones may be of a time before a clock was set.
const KEPT: usize = 16;

/// Nanoseconds since 1970 by this host's clock.
#[must_use]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How far another host's clock is ahead of this one's, and by how much that may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Nanoseconds that the other clock is ahead.
    pub ahead_ns: i64,
    /// The most by which that is wrong: half of the time that question and answer took.
    pub error_ns: u64,
}

impl Estimate {
    /// A moment of the other clock, by this host's.
    #[must_use]
    pub const fn here(&self, there_ns: u64) -> u64 {
        there_ns.saturating_add_signed(self.ahead_ns.saturating_neg())
    }

    /// The time since a moment of the other clock; zero if it would be negative.
    #[must_use]
    pub const fn age(&self, there_ns: u64, now_ns: u64) -> Duration {
        Duration::from_nanos(now_ns.saturating_sub(self.here(there_ns)))
    }
}

/// Estimates the difference out of answers.
///
/// ```
/// use shmx_bridge::{clock::Offset, wire::Alive};
///
/// let mut offset = Offset::default();
/// assert_eq!(offset.estimate(), None, "nobody knows, so no age is shown");
/// // Asked at 1000, answered at 6010 to 6020 by the other clock, heard at 1040.
/// offset.answered(&Alive { asked_ns: 1000, came_ns: 6010, sent_ns: 6020, published: 0 }, 1040);
/// let estimate = offset.estimate().expect("there was an answer");
/// assert_eq!((estimate.ahead_ns, estimate.error_ns), (4995, 15));
/// ```
#[derive(Debug, Default)]
pub struct Offset {
    answers: VecDeque<Estimate>,
}

impl Offset {
    /// Takes an answer that came at this moment. One that makes no sense is left out.
    pub fn answered(&mut self, alive: &Alive, heard_ns: u64) {
        let Alive { asked_ns, came_ns, sent_ns, .. } = *alive;
        let (Some(whole), Some(there)) = (heard_ns.checked_sub(asked_ns), sent_ns.checked_sub(came_ns)) else { return };
        let Some(on_the_way) = whole.checked_sub(there).filter(|_| asked_ns > 0) else { return };
        // Both legs as long, so the middles are the same moment.
        let middle = |a: u64, b: u64| i128::from(a).midpoint(i128::from(b));
        let Ok(ahead_ns) = i64::try_from(middle(came_ns, sent_ns) - middle(asked_ns, heard_ns)) else { return };
        if self.answers.len() == KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back(Estimate { ahead_ns, error_ns: on_the_way / 2 });
    }

    /// By the quickest of the last answers; `None` before the first.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.answers.iter().min_by_key(|e| e.error_ns).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_counts_and_nonsense_does_not() {
        let mut offset = Offset::default();
        let answer = |asked_ns, came_ns, sent_ns| Alive { asked_ns, came_ns, sent_ns, published: 0 };
        offset.answered(&answer(0, 5, 5), 9);
        offset.answered(&answer(10, 5, 4), 20);
        offset.answered(&answer(20, 5, 5), 10);
        offset.answered(&answer(10, 0, 100), 20);
        assert_eq!(offset.estimate(), None);
        offset.answered(&answer(1000, 3000, 3000), 1100);
        offset.answered(&answer(2000, 4000, 4000), 2002);
        assert_eq!(offset.estimate(), Some(Estimate { ahead_ns: 1999, error_ns: 1 }));
        for i in 0..100 {
            offset.answered(&answer(5000 + i, 9000 + i, 9000 + i), 5010 + i);
        }
        assert_eq!(offset.estimate().map(|e| e.ahead_ns), Some(3995), "clocks are set now and then");
        assert_eq!(offset.answers.len(), KEPT);
        let e = Estimate { ahead_ns: i64::MIN, error_ns: 0 };
        assert_eq!((e.here(u64::MAX), e.age(u64::MAX, 0)), (u64::MAX, Duration::ZERO));
    }
}
