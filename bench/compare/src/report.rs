//! What was measured, as data.

use crate::contenders::Kind;
use crate::duel::{Entry, What};
use crate::stats::{Outcome, RoundStat, median};
use serde::{Deserialize, Serialize};

/// Everything of one run. Times are nanoseconds for one way from one process to the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) targets: Vec<Target>,
    pub(crate) cells: Vec<CellReport>,
    pub(crate) hash: Vec<HashRow>,
    pub(crate) skipped: Vec<Skip>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    /// The two that were used.
    pub(crate) used: [usize; 2],
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) cxx: String,
    pub(crate) versions: Vec<String>,
    pub(crate) build: String,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) round_ms: f64,
    /// Whether the processes ran before others that wanted their processors.
    pub(crate) priority: bool,
    /// Tasks running or waiting to, over the last minute; these processes keep it at 2 or so by themselves.
    pub(crate) load_before: f64,
    pub(crate) load_after: f64,
    /// What it takes to read the clock.
    pub(crate) clock_ns: f64,
    pub(crate) hash_kernel: String,
    pub(crate) seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CellReport {
    pub(crate) what: What,
    /// Whether payloads were written and read in full.
    pub(crate) touch: bool,
    /// Whether readers slept.
    pub(crate) block: bool,
    pub(crate) entries: Vec<EntryReport>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EntryReport {
    pub(crate) contender: Kind,
    pub(crate) bytes: usize,
    pub(crate) readers: usize,
    /// Median over the rounds of the mean of each round's middle half.
    pub(crate) middle_ns: f64,
    /// Median over the rounds of each round's median.
    pub(crate) p50_ns: f64,
    /// Percentiles and maximum over all samples; interruptions are among them.
    pub(crate) p99_ns: f64,
    pub(crate) p99_9_ns: f64,
    pub(crate) max_ns: f64,
    /// Payload over `middle_ns`, where frames follow each other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) gb_per_s: Option<f64>,
    /// Share of samples above ten times the median.
    pub(crate) outliers: f64,
    /// Rounds in which a process was interrupted.
    pub(crate) interrupted_rounds: usize,
    /// Sleeps of the readers per frame.
    pub(crate) sleeps_per_frame: f64,
    pub(crate) rounds: Vec<RoundStat>,
}

impl EntryReport {
    pub(crate) fn new(what: What, entry: &Entry, outcome: &Outcome) -> Self {
        let rounds = &outcome.rounds;
        let over = |f: fn(&RoundStat) -> f64| median(rounds.iter().map(f).collect());
        let (middle_ns, p50_ns) = (over(|r| r.middle), over(|r| r.p50));
        let sum = |f: fn(&RoundStat) -> u64| rounds.iter().map(f).sum::<u64>() as f64;
        Self {
            contender: entry.kind,
            bytes: entry.bytes,
            readers: entry.readers,
            middle_ns,
            p50_ns,
            p99_ns: outcome.percentile(99.0),
            p99_9_ns: outcome.percentile(99.9),
            max_ns: outcome.max(),
            gb_per_s: (what == What::OneWay).then(|| entry.bytes as f64 / middle_ns),
            outliers: outcome.share_above(10.0 * p50_ns),
            interrupted_rounds: rounds.iter().filter(|r| r.interrupted > 0).count(),
            sleeps_per_frame: sum(|r| r.slept) / sum(|r| r.frames).max(1.0),
            rounds: rounds.clone(),
        }
    }

    /// How many times as long as `other` this takes: median over the rounds, which were interleaved. Rounds in which
    /// nobody was interrupted, if there are enough of them.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        let pairs = || self.rounds.iter().zip(&other.rounds);
        let ratio = |(a, b): (&RoundStat, &RoundStat)| a.middle / b.middle;
        let quiet: Vec<f64> = pairs().filter(|(a, b)| a.interrupted + b.interrupted == 0).map(ratio).collect();
        median(if quiet.len() >= 3 { quiet } else { pairs().map(ratio).collect() })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HashRow {
    pub(crate) kernel: String,
    pub(crate) bytes: usize,
    pub(crate) gb_per_s: f64,
    /// Times as fast as byte after byte, median over the rounds.
    pub(crate) over_scalar: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Skip {
    pub(crate) what: String,
    pub(crate) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Hoped,
    Reached,
    Missed,
    NotMeasured,
}

/// One line of what is to be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) against: String,
    /// Whether more is better (times as fast) or less (times as long).
    pub(crate) more_is_better: bool,
    pub(crate) ratio: Option<f64>,
    pub(crate) at_least: f64,
    pub(crate) hoped: f64,
    pub(crate) verdict: Verdict,
    /// The two figures.
    pub(crate) detail: String,
}
