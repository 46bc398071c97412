//! What was measured, as data.

use crate::contenders::Kind;
use crate::duel::{Entry, What};
use crate::stats::{Outcome, RoundStat, median, tenths};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Everything of one run. Times are nanoseconds for one way from one process to the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) targets: Vec<Target>,
    pub(crate) cells: Vec<CellReport>,
    pub(crate) hash: Vec<HashRow>,
    pub(crate) skipped: Vec<Skip>,
}

/// How far the two processors are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    Near,
    Far,
}

/// Nanoseconds that a bare line takes between near cores, at most.
const NEAR_NS: f64 = 120.0;

impl Cores {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

impl Report {
    /// Which kind of cores the run met, by the time that a bare line takes; unknown if that was not measured.
    pub(crate) fn cores(&self) -> Option<(Cores, f64)> {
        let entries = self.cells.iter().filter(|c| c.what == What::PingPong && c.touch && !c.block);
        let line = entries.flat_map(|c| &c.entries).find(|e| e.contender == Kind::Line)?.middle_ns;
        Some((if line <= NEAR_NS { Cores::Near } else { Cores::Far }, line))
    }

    /// What the run is called: its day, the processor and how far the cores are apart.
    pub(crate) fn name(&self) -> String {
        let processor = self.machine.processor.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
        let words = processor.split(|c: char| !c.is_ascii_alphanumeric());
        let words = words.filter(|w| !matches!(*w, "" | "processor" | "cpu"));
        let cores = self.cores().map(|(cores, _)| cores.name());
        let day = self.machine.date.split('T').next();
        day.into_iter().chain(words).chain(cores).collect::<Vec<_>>().join("-")
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        lay_out(&serde_json::to_value(self)?, 0, &mut text);
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// Values deeper than this, and short ones, take one line.
const DEPTH: usize = 4;

/// JSON with a line for each figure: one that a person can look through, and a tenth as long as one for each number.
fn lay_out(value: &Value, depth: usize, out: &mut String) {
    let short = value.to_string();
    let inner: Vec<(String, &Value)> = match value {
        _ if depth >= DEPTH || short.len() <= 100 => Vec::new(),
        Value::Array(values) => values.iter().map(|v| (String::new(), v)).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (format!("{}: ", Value::from(k.as_str())), v)).collect(),
        _ => Vec::new(),
    };
    if inner.is_empty() {
        out.push_str(&short);
        return;
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    for (i, (key, v)) in inner.iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        out.push_str(&" ".repeat(depth + 1));
        out.push_str(key);
        lay_out(v, depth + 1, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(depth));
    out.push(close);
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
    /// Whether other processes wanted both processors.
    #[serde(default)]
    pub(crate) load: bool,
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
    /// At a fixed rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) p99_99_ns: Option<f64>,
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
            middle_ns: tenths(middle_ns),
            p50_ns: tenths(p50_ns),
            p99_ns: outcome.percentile(99.0),
            p99_9_ns: outcome.percentile(99.9),
            p99_99_ns: (what == What::Paced).then(|| outcome.percentile(99.99)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Switches;

    fn report(processor: &str, line: f64) -> Report {
        let mut machine = crate::machine::describe([0, 1]);
        machine.date = "2026-11-24T14:55:07Z".to_owned();
        machine.processor = processor.to_owned();
        (machine.load_after, machine.clock_ns) = (1.5, 8.25);
        let mut outcome = Outcome::default();
        let switches = Switches { forced: 1, slept: 2 };
        outcome.add(vec![line; 9], 9, &switches, true);
        let entry = Entry { kind: Kind::Line, bytes: 64, readers: 1 };
        let entries = vec![EntryReport::new(What::PingPong, &entry, &outcome)];
        let cell = CellReport { what: What::PingPong, touch: true, block: false, load: false, entries };
        Report { machine, targets: Vec::new(), cells: vec![cell], hash: Vec::new(), skipped: Vec::new() }
    }

    #[test]
    fn a_run_is_named_by_day_processor_and_cores() {
        assert_eq!(report("Intel(R) Xeon(R) Processor", 240.0).name(), "2026-11-24-intel-xeon-far");
        assert_eq!(report("AMD EPYC 9R45", 55.0).name(), "2026-11-24-amd-epyc-9r45-near");
    }

    #[test]
    fn what_was_saved_is_what_is_loaded() {
        let path = std::env::temp_dir().join(format!("shmx-bench-{}-report.json", std::process::id()));
        let report = report("AMD EPYC", 55.0);
        report.save(&path).unwrap();
        let loaded = Report::load(&path);
        std::fs::remove_file(&path).unwrap();
        let loaded = loaded.unwrap();
        assert_eq!(loaded.name(), report.name());
        assert_eq!(loaded.cells[0].entries[0].rounds, report.cells[0].entries[0].rounds);
        assert_eq!(loaded.cells[0].entries[0].rounds[0].slept, 2);
    }
}
