//! The figures of a run: a page with all tables and plots, and the headlines in a document.

use crate::contenders::Kind;
use crate::duel::What;
use crate::plan::{CAMERA, SIZES};
use crate::plot::{Plot, Series, Style};
use crate::report::{CellReport, EntryReport, Report, Verdict};
use crate::targets::{size, time};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// Keeps a run beside the document, in the folder named like it: as JSON, and as a page with its plots. The headlines
/// go into the document, between the marks for runs on that kind of cores.
pub(crate) fn render(json: &Path, document: &Path) -> Result<()> {
    let report = Report::load(json)?;
    let cores = report.cores().context("a bare line was not measured, so the kind of cores is unknown")?.0.name();
    let (begin, end) = (format!("<!-- {cores} cores: begin -->"), format!("<!-- {cores} cores: end -->"));
    let old = std::fs::read_to_string(document).with_context(|| format!("read {}", document.display()))?;
    let (head, rest) = old.split_once(&begin).with_context(|| format!("{} has no {begin}", document.display()))?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("{} has no {end}", document.display()))?;
    let (folder, name) = (document.with_extension(""), report.name());
    let beside = folder.file_name().and_then(|n| n.to_str()).context("a document without name")?;
    let plots = folder.join(&name);
    std::fs::create_dir_all(&plots)?;
    report.save(&folder.join(format!("{name}.json")))?;
    let mut page = Page { report: &report, out: String::new(), folder: &plots, name: &name };
    page.all()?;
    std::fs::write(folder.join(format!("{name}.md")), format!("{}\n", page.out.trim_end()))?;
    page.out.clear();
    page.headlines(beside);
    std::fs::write(document, format!("{head}{begin}\n{}\n{end}{tail}", page.out.trim_end()))?;
    println!("{} is new, and {name} in {}", document.display(), folder.display());
    Ok(())
}

/// The table that most readers come for.
const LATENCY: &str = "Half a round trip, written and read in full";

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

/// A figure of an entry, if it has it.
type Value<'a> = dyn Fn(&EntryReport) -> Option<f64> + 'a;

/// Each contender's figure in each cell.
fn by_kind<'c>(
    cells: impl Iterator<Item = &'c CellReport> + Clone,
    value: &Value<'_>,
) -> Vec<(Kind, Vec<Option<f64>>)> {
    let of = |kind: Kind| -> Vec<Option<f64>> {
        cells.clone().map(|c| c.entries.iter().find(|e| e.contender == kind).and_then(value)).collect()
    };
    let all = Kind::ALL.into_iter().map(|kind| (kind, of(kind)));
    all.filter(|(_, values)| values.iter().any(Option::is_some)).collect()
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
            c.what == what && c.touch == touch && c.block == block && !c.load && common
        };
        self.report.cells.iter().filter(same).collect()
    }

    /// What a reader of the document wants to know first; the rest is on the run's page in the folder `beside` it.
    fn headlines(&mut self, beside: &str) {
        let (m, name) = (&self.report.machine, self.name);
        let (cores, line) = self.report.cores().map_or(("unknown", f64::NAN), |(c, line)| (c.name(), line));
        let quick = if m.quick { ", with few rounds" } else { "" };
        let text = format!(
            "Run [{name}]({beside}/{name}.md) ([raw]({beside}/{name}.json)):\n{}, {cores} cores, a bare line takes {}, \
             commit {}{quick}.\nThe page has targets and tables.",
            m.processor,
            time(line),
            m.commit
        );
        self.line(&text);
        self.line(&format!("\n![{LATENCY}, by size]({beside}/{name}/latency.svg)"));
    }

    fn all(&mut self) -> Result<()> {
        let title = format!("# {}\n\nA run of `cargo xtask bench`; [how it is measured](method.md).\n", self.name);
        self.line(&title);
        self.machine();
        self.line("\n## To reach\n");
        self.line("Ratios are medians over the rounds. `x` is times as fast, `<=` times as long.");
        self.targets();
        let plain = |e: &EntryReport| Some(e.middle_ns);
        self.by_size(LATENCY, "latency", (What::PingPong, true, false), plain)?;
        self.by_size("Half a round trip, untouched", "hand-over", (What::PingPong, false, false), plain)?;
        let rates = |e: &EntryReport| e.gb_per_s;
        self.by_size("One way, written and read in full", "throughput", (What::OneWay, true, false), rates)?;
        let asleep = "Half a round trip, readers asleep, written and read in full";
        self.by_size(asleep, "sleeping", (What::PingPong, true, true), plain)?;
        self.distribution();
        self.wake_ups();
        self.readers();
        self.readouts();
        self.camera();
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
            (
                "cores",
                self.report.cores().map_or("unknown".to_owned(), |(cores, line)| {
                    format!("{}: a bare line takes {}", cores.name(), time(line))
                }),
            ),
            ("rounds", format!("up to {} of about {:.0} ms for each figure, interleaved", m.rounds, m.round_ms)),
            ("priority", if m.priority { "raised" } else { "normal" }.to_owned()),
            ("load average", format!("{:.2} before, {:.2} after", m.load_before, m.load_after)),
            ("interrupted", format!("{interrupted} of {rounds} rounds, after repeating")),
            ("reading the clock", format!("{:.1} ns", m.clock_ns)),
        ];
        self.line("| | |\n|---|---|");
        for (name, value) in rows {
            self.row(&[name, &value]);
        }
        if interrupted * 4 > rounds {
            self.line("\n**The machine was not quiet**: more than a quarter of the rounds were interrupted.");
        }
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
    }

    /// A plot over the sizes, and a table where readers are awake and one frame is on its way.
    fn by_size(
        &mut self,
        title: &str,
        file: &str,
        (what, touch, block): (What, bool, bool),
        value: impl Fn(&EntryReport) -> Option<f64>,
    ) -> Result<()> {
        let cells: Vec<CellReport> = self.cells(what, touch, block).into_iter().cloned().collect();
        if cells.is_empty() {
            return Ok(());
        }
        let sizes: Vec<usize> = cells.iter().map(|c| c.entries[0].bytes).collect();
        let lines = by_kind(cells.iter(), &value);
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
        let name = self.name;
        self.line(&format!("\n## {title}\n\n![{title}]({name}/{file}.svg)"));
        if what == What::PingPong && !block {
            self.size_table(&cells, &value);
        }
        Ok(())
    }

    fn size_table(&mut self, cells: &[CellReport], value: &Value<'_>) {
        let names: Vec<String> = cells.iter().map(|c| size(c.entries[0].bytes)).collect();
        let mut columns = vec![""];
        columns.extend(names.iter().map(String::as_str));
        self.head(&columns);
        for (kind, values) in by_kind(cells.iter(), value) {
            let mut row = vec![kind.name().to_owned()];
            row.extend(values.into_iter().map(|v| v.map_or(String::new(), time)));
            self.row(&row);
        }
    }

    fn distribution(&mut self) {
        let smallest = |c: &&&CellReport| c.entries[0].bytes == SIZES[0];
        let cells = self.cells(What::PingPong, true, false);
        let Some(cell) = cells.iter().find(smallest).copied().cloned() else { return };
        let bytes = size(SIZES[0]);
        self.line(&format!("\n## Half a round trip of {bytes}, written and read in full: distribution"));
        self.head(&["", "p50", "p99", "p99.9", "max", "rounds interrupted"]);
        for e in &cell.entries {
            let name = e.contender.name().to_owned();
            let times = [e.p50_ns, e.p99_ns, e.p99_9_ns, e.max_ns].map(time);
            let rounds = format!("{} of {}", e.interrupted_rounds, e.rounds.len());
            self.row(&[&[name], &times[..], &[rounds]].concat());
        }
    }

    fn wake_ups(&mut self) {
        let Some(cell) = self.cells(What::WakeUp, true, true).first().copied().cloned() else { return };
        self.line("\n## Wake-up of a sleeping reader, 64 B");
        self.head(&["", "p50", "p99", "sleeps per frame"]);
        for e in &cell.entries {
            let times = [e.p50_ns, e.p99_ns].map(time);
            let name = if e.contender == Kind::Raw { "bare futex" } else { e.contender.name() }.to_owned();
            self.row(&[&[name], &times[..], &[format!("{:.2}", e.sleeps_per_frame)]].concat());
        }
    }

    fn readers(&mut self) {
        let publish = self.cells(What::Publish, true, false).into_iter().flat_map(|c| c.entries.clone());
        let (small, large): (Vec<_>, Vec<_>) = publish.partition(|e| e.bytes == SIZES[0]);
        self.by_readers("Publishing 64 B while readers are attached that do nothing", small);
        self.by_readers("Publishing 64 KiB in pieces while followers are attached that do nothing", large);
        let fan = self.cells(What::FanOut, true, true).into_iter().flat_map(|c| c.entries.clone()).collect();
        self.by_readers("Until the last of several sleeping readers has read 64 KiB, all on one processor", fan);
    }

    fn readouts(&mut self) {
        let Some(cell) = self.cells(What::Readout, true, false).first().copied().cloned() else { return };
        self.line("\n## 8 MiB that take 5 ms to fill, from the last byte written to the awake reader's result");
        self.head(&["", "p50", "p99", "max"]);
        for e in &cell.entries {
            let name = e.contender.name().to_owned();
            self.row(&[&[name], &[e.p50_ns, e.p99_ns, e.max_ns].map(time)[..]].concat());
        }
    }

    /// A camera with default settings; these contenders have a cell of their own.
    fn camera(&mut self) {
        let of = |block: bool| {
            let is = |c: &&CellReport| c.block == block && c.entries.first().is_some_and(|e| e.bytes == CAMERA);
            self.report.cells.iter().find(is).cloned()
        };
        let cells: Vec<CellReport> = [of(false), of(true)].into_iter().flatten().collect();
        if cells.is_empty() {
            return;
        }
        self.line("\n## A camera: 640x480 RGB, default settings, half a round trip");
        let mut columns = vec![""];
        columns.extend(cells.iter().map(|c| if c.block { "reader asleep" } else { "reader awake" }));
        self.head(&columns);
        for (kind, values) in by_kind(cells.iter(), &|e| Some(e.middle_ns)) {
            let mut row = vec![kind.name().to_owned()];
            row.extend(values.into_iter().map(|v| v.map_or(String::new(), time)));
            self.row(&row);
        }
    }

    fn by_readers(&mut self, title: &str, entries: Vec<EntryReport>) {
        if entries.is_empty() {
            return;
        }
        let mut counts: Vec<usize> = entries.iter().map(|e| e.readers).collect();
        counts.sort_unstable();
        counts.dedup();
        self.line(&format!("\n## {title}"));
        let names: Vec<String> =
            counts.iter().map(|&n| if n == 1 { "1 reader".to_owned() } else { format!("{n} readers") }).collect();
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
        self.line("\n## The hash by itself, one core, GB/s");
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
