//! Figures out of samples.

use crate::peer::Switches;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One round of one contender; times in nanoseconds for one way. In the JSON its fields in their order, to a tenth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, f64, f64, u64, u64)", into = "(u64, f64, f64, u64, u64)")]
pub(crate) struct RoundStat {
    /// Frames.
    pub(crate) frames: u64,
    pub(crate) p50: f64,
    /// Mean of the middle half: as steady as the median, and finer than the clock's steps.
    pub(crate) middle: f64,
    /// How often the system took the processor from one of the processes.
    pub(crate) interrupted: u64,
    /// How often a reader slept.
    pub(crate) slept: u64,
}

impl From<RoundStat> for (u64, f64, f64, u64, u64) {
    fn from(r: RoundStat) -> Self {
        (r.frames, tenths(r.p50), tenths(r.middle), r.interrupted, r.slept)
    }
}

impl From<(u64, f64, f64, u64, u64)> for RoundStat {
    fn from((frames, p50, middle, interrupted, slept): (u64, f64, f64, u64, u64)) -> Self {
        Self { frames, p50, middle, interrupted, slept }
    }
}

pub(crate) fn tenths(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

/// All rounds of one contender in one cell.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) rounds: Vec<RoundStat>,
    /// All samples, in tenths of nanoseconds.
    histogram: Histogram<u64>,
}

impl Default for Outcome {
    fn default() -> Self {
        // Three digits; grows as needed.
        let histogram = Histogram::new(3).unwrap_or_else(|e| unreachable!("three digits are allowed: {e}"));
        Self { rounds: Vec::new(), histogram }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Mean of the middle half of the values.
pub(crate) fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let quarter = values.len() / 4;
    let inner = &values[quarter..values.len() - quarter];
    inner.iter().sum::<f64>() / inner.len() as f64
}

impl Outcome {
    /// Takes a round's samples, nanoseconds each. A round that is not kept, because it was interrupted and is taken
    /// again, counts for the percentiles over all samples only.
    pub(crate) fn add(&mut self, mut samples: Vec<f64>, frames: u64, switches: &Switches, keep: bool) {
        for ns in &samples {
            // It grows as needed, so this cannot fail.
            let _ = self.histogram.record((ns * 10.0) as u64);
        }
        if !keep {
            return;
        }
        let middle = middle(&mut samples);
        let p50 = median(samples);
        self.rounds.push(RoundStat { frames, p50, middle, interrupted: switches.forced, slept: switches.slept });
    }

    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.histogram.value_at_percentile(percent) as f64 / 10.0
    }

    pub(crate) fn max(&self) -> f64 {
        self.histogram.max() as f64 / 10.0
    }

    /// Share of samples above `limit` nanoseconds.
    pub(crate) fn share_above(&self, limit: f64) -> f64 {
        let within = self.histogram.count_between(0, (limit * 10.0) as u64);
        1.0 - within as f64 / (self.histogram.len().max(1)) as f64
    }
}
