//! SHMX beside its peers: processes on two processors, one transport after the other, in short rounds.

mod contenders;
mod duel;
mod end;
mod hashes;
mod load;
mod machine;
mod memory;
mod payload;
mod peer;
mod plan;
mod plot;
mod render;
mod report;
mod stats;
mod targets;
mod traces;
mod transport;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use contenders::Kind;
use duel::{Bench, Cell, Effort, What};
use report::{CellReport, EntryReport, Report, Skip, Verdict};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use targets::{size, time};
use traces::Traces;

#[derive(Parser)]
#[command(about, version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures.
    Run(Run),
    /// Puts the figures of a run into a document, and plots beside it.
    Render { json: PathBuf, document: PathBuf },
    /// Keeps a processor busy; for `run` only.
    #[command(hide = true)]
    Load {
        #[arg(long)]
        core: usize,
    },
    /// The other process; for `run` only.
    #[command(hide = true)]
    Peer {
        #[arg(long)]
        core: usize,
        #[arg(long)]
        board: String,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Within two minutes.
    #[arg(long)]
    quick: bool,
    /// Write every figure to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only contenders whose names begin with one of these.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Only these payload sizes.
    #[arg(long, value_delimiter = ',')]
    bytes: Vec<usize>,
    /// Only these measurements.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    what: Vec<String>,
    /// Why the reference is missing.
    #[arg(long, hide = true)]
    no_reference: Option<String>,
}

/// The first two processors that this process may use.
fn cores() -> Result<[usize; 2]> {
    let allowed = rustix::thread::sched_getaffinity(None).context("which processors there are")?;
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&c| allowed.is_set(c)).take(2).collect();
    ensure!(cores.len() == 2, "two processors are needed, and this process may use {}", cores.len());
    Ok([cores[0], cores[1]])
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Load { core } => load::work(core),
        Command::Peer { core, board } => peer::serve(core, &board),
        Command::Render { json, document } => render::render(&json, &document),
        Command::Run(run) => measure(&run),
    }
}

fn title(cell: &Cell) -> String {
    let what = match cell.what {
        What::PingPong => "half a round trip",
        What::OneWay => "one way, per frame",
        What::WakeUp => "wake-up of a sleeping reader",
        What::Publish => "publishing, per frame, with idle readers",
        What::FanOut => "until the last of the sleeping readers has read it",
        What::Readout => "filled within 5 ms, from the last byte to the result",
        What::Paced => "at a fixed rate, from the time at which it was to be sent",
    };
    let wait = if cell.block { "sleeping" } else { "spinning" };
    let touch = if cell.touch { "written and read in full" } else { "untouched" };
    let load = if cell.load { "; under load" } else { "" };
    format!("{what}; {}; {wait}; {touch}{load}", size(cell.entries[0].bytes))
}

/// What `--what` calls it.
fn name(cell: &Cell) -> &'static str {
    match cell.what {
        What::PingPong if cell.entries[0].bytes == plan::CAMERA => "camera",
        What::PingPong => "ping-pong",
        What::OneWay => "one-way",
        What::WakeUp => "wake-up",
        What::Publish => "publish",
        What::FanOut => "fan-out",
        What::Readout => "readout",
        What::Paced => "paced",
    }
}

fn print(cell: &CellReport) {
    for e in &cell.entries {
        let rate = e.gb_per_s.map_or(String::new(), |r| format!("{r:7.2} GB/s"));
        let rare = e.p99_99_ns.map_or(String::new(), |t| format!("  p99.99 {:>9}", time(t)));
        println!(
            "  {:<16}{:>8}{:>3}  {:>9}  p50 {:>9}  p99 {:>9}  p99.9 {:>9}{rare}  max {:>9}{rate}",
            e.contender.name(),
            size(e.bytes),
            e.readers,
            time(e.middle_ns),
            time(e.p50_ns),
            time(e.p99_ns),
            time(e.p99_9_ns),
            time(e.max_ns),
        );
    }
    let of =
        |kind: Kind| cell.entries.iter().find(|e| e.contender == kind && e.bytes == plan::CAMERA).map(|e| e.middle_ns);
    if let (Some(raw), Some(plain)) = (of(Kind::Raw), of(Kind::ShmxDefault)) {
        println!("  default settings take {:.2} times as long as the bare mapping", plain / raw);
    }
    if let (Some(checked), Some(plain)) = (of(Kind::ShmxChecked), of(Kind::ShmxDefault)) {
        println!("  default settings are {:.2} times as fast as with each frame hashed and verified", checked / plain);
    }
}

/// The contenders that can be measured here, and why others cannot.
fn contenders(run: &Run) -> (Vec<Kind>, Vec<Skip>) {
    let mut skipped = Vec::new();
    let mut skip = |what: &str, why: &str| skipped.push(Skip { what: what.to_owned(), why: why.to_owned() });
    let mut kinds: Vec<Kind> = Kind::ALL.to_vec();
    if !run.only.is_empty() {
        kinds.retain(|k| run.only.iter().any(|o| k.name().starts_with(o.as_str())));
    }
    if std::env::var_os(contenders::reference::LIBRARY).is_none() && kinds.contains(&Kind::Reference) {
        skip("reference", run.no_reference.as_deref().unwrap_or("its library was not built"));
        kinds.retain(|&k| k != Kind::Reference);
    }
    if !cfg!(feature = "peers") {
        let peers = [Kind::Ringfire, Kind::RingfireBlob, Kind::Iceoryx2];
        skip("iceoryx2, ringfire", "built without them");
        kinds.retain(|k| !peers.contains(k));
    }
    (kinds, skipped)
}

/// Nanoseconds to read the clock.
fn clock_cost(clock: &quanta::Clock) -> f64 {
    const READS: u32 = 1000;
    let times = (0..101).map(|_| {
        let before = clock.raw();
        for _ in 0..READS {
            std::hint::black_box(clock.raw());
        }
        clock.delta_as_nanos(before, clock.raw()) as f64 / f64::from(READS)
    });
    stats::median(times.collect())
}

fn measure(run: &Run) -> Result<()> {
    let traces = Traces::begin()?;
    let start = Instant::now();
    let used = cores()?;
    peer::pin(used[0])?;
    let (kinds, mut skipped) = contenders(run);
    let effort = if run.quick {
        Effort { rounds: 5, again: 1, round_ns: 10e6, whole: Duration::from_secs(105) }
    } else {
        Effort { rounds: 15, again: 3, round_ns: 25e6, whole: Duration::from_secs(560) }
    };
    let sizes = if run.bytes.is_empty() { plan::SIZES.to_vec() } else { run.bytes.clone() };
    let mut bench = Bench::new(used)?;
    let mut machine = machine::describe(used);
    machine.quick = run.quick;
    machine.rounds = effort.rounds;
    machine.round_ms = effort.round_ns / 1e6;
    machine.clock_ns = clock_cost(&bench.clock);
    println!("{}, processors {} and {}, load {:.2}", machine.processor, used[0], used[1], machine.load_before);
    for k in &kinds {
        println!("  {:<16} {}", k.name(), k.about());
    }
    let wanted = |what: &str| run.what.is_empty() || run.what.iter().any(|w| w == what);
    let hash = if wanted("hash") { hashes::measure(&bench.clock, run.quick) } else { Vec::new() };
    for row in &hash {
        let (bytes, times) = (size(row.bytes), row.over_scalar);
        println!("  hash {:<10} {bytes:>8} {:>6.2} GB/s, {times:.2} times byte after byte", row.kernel, row.gb_per_s);
    }
    let mut cells: Vec<CellReport> = Vec::new();
    let mut failed = Vec::new();
    let mut plan = plan::cells(&kinds, &sizes);
    plan.retain(|cell| wanted(name(cell)));
    let mut weight: f64 = plan.iter().map(Cell::weight).sum();
    for cell in plan {
        println!("{}", title(&cell));
        // What others did not use is there for the rest.
        let time = effort.whole.saturating_sub(start.elapsed()).mul_f64((cell.weight() / weight).clamp(0.0, 1.0));
        weight -= cell.weight();
        let outcomes = match bench.cell(&cell, &effort, time) {
            Ok(outcomes) => outcomes,
            Err(e) => {
                // The others go on, with new processes; the end of the run says that it was not whole.
                println!("  FAILED: {e:#}");
                failed.push(Skip { what: title(&cell), why: format!("it failed: {e:#}") });
                drop(bench);
                traces.remove();
                bench = Bench::new(used)?;
                continue;
            }
        };
        let entries = cell.entries.iter().zip(&outcomes).map(|(e, o)| EntryReport::new(cell.what, e, o)).collect();
        let report = CellReport { what: cell.what, touch: cell.touch, block: cell.block, load: cell.load, entries };
        print(&report);
        cells.push(report);
    }
    drop(bench); // the peers end
    let tidy = traces.end();
    machine.load_after = machine::load();
    machine.seconds = start.elapsed().as_secs_f64();
    let failures = failed.len();
    skipped.extend(failed);
    let mut report = Report { machine, targets: Vec::new(), cells, hash, skipped };
    report.targets = targets::judge(&report);
    conclude(&report);
    if let Some(path) = &run.json {
        report.save(path)?;
    }
    tidy?;
    ensure!(failures == 0, "{failures} tables could not be measured");
    if report.cells.is_empty() && report.hash.is_empty() {
        bail!("nothing was measured");
    }
    Ok(())
}

fn conclude(report: &Report) {
    println!("{:<44} {:<24} {:>8} {:>9} {:>9}  verdict", "what", "against", "ratio", "at least", "hoped for");
    for t in &report.targets {
        let sign = if t.more_is_better { "x" } else { "" };
        let limit = |l: f64| if t.more_is_better { format!("{l}x") } else { format!("<= {l}") };
        println!(
            "{:<44} {:<24} {:>8} {:>9} {:>9}  {:<12} {}",
            t.what,
            t.against,
            t.ratio.map_or("-".to_owned(), |r| format!("{r:.2}{sign}")),
            limit(t.at_least),
            limit(t.hoped),
            match t.verdict {
                Verdict::Hoped => "hoped for",
                Verdict::Reached => "reached",
                Verdict::Missed => "MISSED",
                Verdict::NotMeasured => "not measured",
            },
            t.detail
        );
    }
    for s in &report.skipped {
        println!("SKIPPED {}: {}", s.what, s.why);
    }
    let entries: Vec<_> = report.cells.iter().flat_map(|c| &c.entries).collect();
    let rounds: usize = entries.iter().map(|e| e.rounds.len()).sum();
    let interrupted: usize = entries.iter().map(|e| e.interrupted_rounds).sum();
    let m = &report.machine;
    if let Some((cores, line)) = report.cores() {
        println!("{} cores: a bare line takes {}", cores.name(), time(line));
    }
    println!(
        "load {:.2} before, {:.2} after; {interrupted} of {rounds} rounds interrupted; clock {:.1} ns; {:.0} s",
        m.load_before, m.load_after, m.clock_ns, m.seconds
    );
    for e in report.cells.iter().filter(|c| c.what == What::WakeUp).flat_map(|c| &c.entries) {
        if e.sleeps_per_frame < 0.9 {
            println!("{} was awake at times: {:.2} sleeps per frame", e.contender.name(), e.sleeps_per_frame);
        }
    }
    if interrupted * 4 > rounds {
        println!("NOT A QUIET MACHINE: more than a quarter of the rounds were interrupted; believe the ratios only");
    }
    println!("{} figures, {} targets, {} skipped", entries.len(), report.targets.len(), report.skipped.len());
}
