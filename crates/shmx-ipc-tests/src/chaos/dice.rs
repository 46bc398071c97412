//! Reproducible random numbers, and a summary of durations.

use crate::frames::mix;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// 0 to `n - 1`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Up to `max` microseconds, short ones more often.
    pub(crate) fn micros(&mut self, max: u64) -> Duration {
        let top = self.below(max) + 1;
        Duration::from_micros(self.below(top))
    }
}

/// Durations of one kind.
#[derive(Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn add_ns(&mut self, ns: u64) {
        self.0.push(ns);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `median/max ms (count)`.
    pub(crate) fn show(&mut self) -> String {
        self.0.sort_unstable();
        let at = |i: usize| self.0.get(i).copied().unwrap_or(0) as f64 / 1e6;
        format!("{:.2}/{:.1} ms ({})", at(self.0.len() / 2), at(self.0.len().saturating_sub(1)), self.0.len())
    }
}
