//! The figures of a run as tables and plots of the document.

use crate::contenders::Kind;
use crate::duel::What;
use crate::plan::SIZES;
use crate::plot::{Plot, Series, Style};
use crate::report::{CellReport, EntryReport, Report, Verdict};
use crate::targets::{size, time};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Replaces what stands between the two marks of the document, and writes the plots into the folder named like it.
pub(crate) fn render(json: &Path, document: &Path) -> Result<()> {
    let text = std::fs::read_to_string(json).with_context(|| format!("read {}", json.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("understand {}", json.display()))?;
    let old = std::fs::read_to_string(document).with_context(|| format!("read {}", document.display()))?;
    let (head, rest) = old.split_once(BEGIN).with_context(|| format!("{} has no {BEGIN}", document.display()))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("{} has no {END}", document.display()))?;
    let folder = document.with_extension("");
    std::fs::create_dir_all(&folder)?;
    let name = folder.file_name().and_then(|n| n.to_str()).context("a document without name")?;
    let mut page = Page { report: &report, out: String::new(), folder: &folder, name };
    page.all()?;
    std::fs::write(document, format!("{head}{BEGIN}\n{}\n{END}{tail}", page.out.trim_end()))?;
    println!("{} and {} are new", document.display(), folder.display());
    Ok(())
}

struct Page<'a> {
    report: &'a Report,
    out: String,
    folder: &'a Path,
    name: &'a str,
}

/// Colours that people with any kind of colour vision can tell apart, with dashes for the ways of using the same thing.
const fn style(kind: Kind) -> Style {
    let (colour, dashes, width) = match kind {
        Kind::Line => ("#000000", "1 4", 1.5),
        Kind::Raw => ("#000000", "", 1.5),
        Kind::RawMany => ("#000000", "6 4", 1.5),
        Kind::RawCopy => ("#888888", "", 1.5),
        Kind::Ringfire => ("#e69f00", "", 1.5),
        Kind::RingfireBlob => ("#e69f00", "6 4", 1.5),
        Kind::Iceoryx2 => ("#0072b2", "", 1.5),
        Kind::Reference => ("#cc79a7", "", 1.5),
        Kind::ShmxLease | Kind::ShmxLeaseAlways => ("#009e73", "", 3.0),
        Kind::ShmxWarm => ("#009e73", "1 4", 3.0),
        Kind::ShmxFollow => ("#56b4e9", "", 3.0),
        Kind::ShmxFollowHash => ("#56b4e9", "6 4", 3.0),
        Kind::ShmxLeaseHash => ("#d55e00", "", 3.0),
        Kind::ShmxCopy => ("#009e73", "6 4", 2.0),
        Kind::ShmxCopyHash | Kind::ShmxDefault | Kind::ShmxChecked => ("#d55e00", "6 4", 2.0),
    };
    Style { colour, dashes, width }
}

fn rate(gb_per_s: f64) -> String {
    if gb_per_s < 0.995 { format!("{:.0} MB/s", gb_per_s * 1e3) } else { format!("{gb_per_s:.2} GB/s") }
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        let _ = writeln!(self.out, "| {} |", cells.join(" | "));
    }

    /// A table's head; all columns but the first are numbers.
    fn head(&mut self, cells: &[&str]) {
        self.line("");
        self.row(cells);
        let mut rule = vec!["---"];
        rule.resize(cells.len(), "---:");
        let _ = writeln!(self.out, "|{}|", rule.join("|"));
    }

    fn cells(&self, what: What, touch: bool, block: bool) -> Vec<&CellReport> {
        let same = |c: &&CellReport| {
            let common = c.entries.iter().all(|e| e.contender.common() && e.bytes == c.entries[0].bytes);
            c.what == what && c.touch == touch && c.block == block && common
        };
        self.report.cells.iter().filter(same).collect()
    }

    fn all(&mut self) -> Result<()> {
        self.machine();
        self.targets();
        let plain = |e: &EntryReport| Some(e.middle_ns);
        self.by_size(
            "Half a round trip, written and read in full",
            "latency",
            (What::PingPong, true, false),
            plain,
            time,
        )?;
        self.by_size("Half a round trip, untouched", "hand-over", (What::PingPong, false, false), plain, time)?;
        let rates = |e: &EntryReport| e.gb_per_s;
        self.by_size("One way, written and read in full", "throughput", (What::OneWay, true, false), rates, rate)?;
        let per_frame = (What::OneWay, false, false);
        self.by_size("One way, untouched, time per frame", "frames", per_frame, plain, time)?;
        self.by_size(
            "Half a round trip, readers asleep, written and read in full",
            "sleeping",
            (What::PingPong, true, true),
            plain,
            time,
        )?;
        self.percentiles();
        self.wake_ups();
        self.readers();
        self.hashes();
        for skip in &self.report.skipped {
            let text = format!("\nNot measured: {} ({}).", skip.what, skip.why);
            self.out.push_str(&text);
            self.out.push('\n');
        }
        Ok(())
    }

    fn machine(&mut self) {
        let m = &self.report.machine;
        let entries = || self.report.cells.iter().flat_map(|c| &c.entries);
        let rounds: usize = entries().map(|e| e.rounds.len()).sum();
        let interrupted: usize = entries().map(|e| e.interrupted_rounds).sum();
        let rows = [
            (
                "run",
                format!("{}, commit {}, {:.0} s{}", m.date, m.commit, m.seconds, if m.quick { ", quick" } else { "" }),
            ),
            (
                "processor",
                format!("{}, {} to use, of which {} and {}", m.processor, m.processors, m.used[0], m.used[1]),
            ),
            ("system", format!("Linux {}", m.kernel)),
            ("compilers", format!("{}; {}", m.rustc, m.cxx)),
            ("build", m.build.clone()),
            ("peers", m.versions.join(", ")),
            ("rounds", format!("{} of about {:.0} ms for each figure, interleaved", m.rounds, m.round_ms)),
            ("priority", if m.priority { "raised" } else { "normal" }.to_owned()),
            ("load average", format!("{:.2} before, {:.2} after", m.load_before, m.load_after)),
            ("interrupted", format!("{interrupted} of {rounds} rounds, after repeating")),
            ("reading the clock", format!("{:.1} ns", m.clock_ns)),
        ];
        self.line("### The run\n\n| | |\n|---|---|");
        for (name, value) in rows {
            self.row(&[name, &value]);
        }
        if interrupted * 4 > rounds {
            self.line("\n**The machine was not quiet**: more than a quarter of the rounds were interrupted.");
        }
        self.line("\n### To reach\n");
        self.line("Ratios are medians over the rounds. `x` is times as fast, `<=` times as long.");
    }

    fn targets(&mut self) {
        self.head(&["what", "against", "at least", "hoped for", "ratio", "verdict"]);
        for t in &self.report.targets {
            let limit = |l: f64| if t.more_is_better { format!("{l}x") } else { format!("<= {l}") };
            let sign = if t.more_is_better { "x" } else { "" };
            let verdict = match t.verdict {
                Verdict::Hoped => "as hoped",
                Verdict::Reached => "reached",
                Verdict::Missed => "**missed**",
                Verdict::NotMeasured => "not measured",
            };
            let ratio = t.ratio.map_or("-".to_owned(), |r| format!("{r:.2}{sign}"));
            let (at_least, hoped) = (limit(t.at_least), limit(t.hoped));
            self.row(&[&t.what, &t.against, &at_least, &hoped, &ratio, verdict]);
        }
        self.line("\nThe figures behind the ratios; of several ways of using the same thing, the fastest.\n");
        for t in self.report.targets.iter().filter(|t| !t.detail.is_empty()) {
            self.line(&format!("* {}, {}: {}", t.what, t.against, t.detail));
        }
    }

    /// A table and a plot over the sizes.
    fn by_size(
        &mut self,
        title: &str,
        file: &str,
        (what, touch, block): (What, bool, bool),
        value: impl Fn(&EntryReport) -> Option<f64>,
        show: fn(f64) -> String,
    ) -> Result<()> {
        let cells = self.cells(what, touch, block);
        if cells.is_empty() {
            return Ok(());
        }
        let sizes: Vec<usize> = cells.iter().map(|c| c.entries[0].bytes).collect();
        let find = |kind: Kind| -> Vec<Option<f64>> {
            let of = |c: &&CellReport| c.entries.iter().find(|e| e.contender == kind).and_then(&value);
            cells.iter().map(of).collect()
        };
        let lines: Vec<(Kind, Vec<Option<f64>>)> = Kind::ALL
            .into_iter()
            .map(|k| (k, find(k)))
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
        let series = lines.iter().map(|(kind, values)| Series {
            name: kind.name().to_owned(),
            points: sizes.iter().zip(values).filter_map(|(&s, v)| Some((s as f64, (*v)?))).collect(),
            style: style(*kind),
        });
        let plot = Plot {
            title: title.to_owned(),
            y_label: if what == What::OneWay && touch { "payload per second" } else { "time" }.to_owned(),
            x_ticks: SIZES.iter().filter(|s| sizes.contains(s)).map(|&s| (s as f64, size(s))).collect(),
            y_tick: if what == What::OneWay && touch {
                |v| if v < 1.0 { format!("{:.0} MB/s", v * 1e3) } else { format!("{v:.0} GB/s") }
            } else {
                |ns| match ns {
                    n if n < 1e3 => format!("{n:.0} ns"),
                    n if n < 1e6 => format!("{:.0} µs", n / 1e3),
                    n => format!("{:.0} ms", n / 1e6),
                }
            },
            series: series.collect(),
        };
        std::fs::write(self.folder.join(format!("{file}.svg")), plot.svg())?;
        let names: Vec<String> = sizes.iter().map(|&s| size(s)).collect();
        let name = self.name;
        self.line(&format!("\n### {title}\n\n![{title}]({name}/{file}.svg)"));
        let mut columns = vec![""];
        columns.extend(names.iter().map(String::as_str));
        self.head(&columns);
        for (kind, values) in lines {
            let mut row = vec![kind.name().to_owned()];
            row.extend(values.into_iter().map(|v| v.map_or(String::new(), show)));
            self.row(&row);
        }
        Ok(())
    }

    fn percentiles(&mut self) {
        let cells: Vec<CellReport> = self.cells(What::PingPong, true, false).into_iter().cloned().collect();
        for cell in cells.iter().filter(|c| matches!(c.entries[0].bytes, 64 | 0x10_0000)) {
            let bytes = size(cell.entries[0].bytes);
            self.line(&format!("\n### Half a round trip of {bytes}, written and read in full: distribution"));
            self.head(&["", "middle", "p50", "p99", "p99.9", "max", "rounds interrupted"]);
            for e in &cell.entries {
                let name = e.contender.name().to_owned();
                let times = [e.middle_ns, e.p50_ns, e.p99_ns, e.p99_9_ns, e.max_ns].map(time);
                let rounds = format!("{} of {}", e.interrupted_rounds, e.rounds.len());
                self.row(&[&[name], &times[..], &[rounds]].concat());
            }
        }
    }

    fn wake_ups(&mut self) {
        let Some(cell) = self.cells(What::WakeUp, true, true).first().copied().cloned() else { return };
        self.line("\n### Wake-up of a sleeping reader, 64 B");
        self.head(&["", "middle", "p50", "p99", "sleeps per frame"]);
        for e in &cell.entries {
            let times = [e.middle_ns, e.p50_ns, e.p99_ns].map(time);
            let name = if e.contender == Kind::Raw { "bare futex" } else { e.contender.name() }.to_owned();
            self.row(&[&[name], &times[..], &[format!("{:.2}", e.sleeps_per_frame)]].concat());
        }
    }

    fn readers(&mut self) {
        let publish = self.cells(What::Publish, true, false).into_iter().flat_map(|c| c.entries.clone()).collect();
        self.by_readers("Publishing 64 B while readers are attached that do nothing", publish);
        let fan = self.cells(What::FanOut, true, true).into_iter().flat_map(|c| c.entries.clone()).collect();
        self.by_readers("Until the last of several sleeping readers has read 64 KiB, all on one processor", fan);
    }

    fn by_readers(&mut self, title: &str, entries: Vec<EntryReport>) {
        if entries.is_empty() {
            return;
        }
        let mut counts: Vec<usize> = entries.iter().map(|e| e.readers).collect();
        counts.sort_unstable();
        counts.dedup();
        self.line(&format!("\n### {title}"));
        let names: Vec<String> = counts.iter().map(|n| format!("{n} readers")).collect();
        let mut columns = vec![""];
        columns.extend(names.iter().map(String::as_str));
        self.head(&columns);
        for kind in Kind::ALL.into_iter().filter(|&k| entries.iter().any(|e| e.contender == k)) {
            let at = |n: usize| entries.iter().find(|e| e.contender == kind && e.readers == n);
            let mut row = vec![if kind == Kind::Raw { "bare futex" } else { kind.name() }.to_owned()];
            row.extend(counts.iter().map(|&n| at(n).map_or(String::new(), |e| time(e.middle_ns))));
            self.row(&row);
        }
    }

    fn hashes(&mut self) {
        let rows = self.report.hash.clone();
        if rows.is_empty() {
            return;
        }
        let mut sizes: Vec<usize> = rows.iter().map(|r| r.bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut kernels: Vec<&str> = Vec::new();
        for row in &rows {
            if !kernels.contains(&row.kernel.as_str()) {
                kernels.push(&row.kernel);
            }
        }
        self.line("\n### The hash by itself, one core, GB/s");
        let names: Vec<String> = sizes.iter().map(|&s| size(s)).collect();
        let mut columns = vec![""];
        columns.extend(names.iter().map(String::as_str));
        self.head(&columns);
        for kernel in kernels {
            let at = |bytes: usize| rows.iter().find(|r| r.kernel == kernel && r.bytes == bytes);
            let mut row = vec![kernel.to_owned()];
            row.extend(sizes.iter().map(|&s| at(s).map_or(String::new(), |r| format!("{:.2}", r.gb_per_s))));
            self.row(&row);
        }
    }
}
