//! `cargo xtask chaos` and `soak`: producers and readers that are killed and stopped at random.

use crate::interop::output;
use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn run(tally: &mut Tally, seconds: f64, seed: Option<u64>) -> Result<()> {
    let Some(mut peer) = peer(tally, seconds)? else { return Ok(()) };
    // Its last line has the totals; the seed in it makes the same dice fall again.
    if let Some(seed) = seed {
        peer.args(["--seed", &seed.to_string()]);
    }
    step::command(tally, "chaos", &mut peer)
}

fn peer(tally: &mut Tally, seconds: f64) -> Result<Option<Command>> {
    if !cfg!(target_os = "linux") {
        step::skip(tally, "chaos", "its signals are those of Linux", false)?;
        return Ok(None);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let mut peer = Command::new(target_dir()?.join("release/shmx-ipc-peer"));
    peer.args(["chaos", "--seconds", &seconds.to_string()]);
    Ok(Some(peer))
}

/// Time of one run, whose totals are kept when it ends.
const RUN: Duration = Duration::from_secs(300);
const HEADING: &str = "commit\tseconds\tkills\tstops\tpublished\tchecked\tbytes\tagain\tviolations";
/// Column of the frames that were checked.
const CHECKED: usize = 5;

/// `cargo xtask soak`: run after run for so many hours.
pub(crate) fn soak(tally: &mut Tally, hours: f64) -> Result<()> {
    let end = Instant::now() + Duration::try_from_secs_f64(hours * 3600.0)?;
    let file = target_dir()?.join("soak.tsv");
    let commit = output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        // A run of a few seconds proves nothing.
        let seconds = RUN.min(left).as_secs().max(20);
        let Some(mut peer) = peer(tally, seconds as f64)? else { return Ok(()) };
        peer.arg("--soak");
        step::check(tally, "soak", || one(&mut peer, &format!("{}\t{seconds}", commit.trim()), &file))?;
        println!("   {} frames checked in all runs of {}", sum(&file)?, file.display());
    }
    Ok(())
}

/// One run, whose figures are kept even if it fails.
fn one(peer: &mut Command, what: &str, file: &Path) -> Result<()> {
    let mut child = peer.stdout(Stdio::piped()).spawn().context("start the peer")?;
    let mut figures = None;
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        match line.strip_prefix("figures ") {
            Some(line) => figures = Some(line.replace(' ', "\t")),
            None => println!("{line}"),
        }
    }
    let status = child.wait()?;
    let figures = figures.with_context(|| format!("no figures, {status}"))?;
    let is_new = !file.exists();
    let mut log = File::options().create(true).append(true).open(file)?;
    if is_new {
        writeln!(log, "{HEADING}")?;
    }
    writeln!(log, "{what}\t{figures}")?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// Frames that were checked in all runs so far.
fn sum(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    Ok(text.lines().skip(1).filter_map(|l| l.split('\t').nth(CHECKED)?.parse::<u64>().ok()).sum())
}
