//! SHMX beside its peers: two processes on two processors, one transport after the other, in short rounds.

mod contenders;
mod duel;
mod end;
mod memory;
mod payload;
mod peer;
mod stats;
mod transport;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use contenders::Kind;
use duel::{Bench, Cell, Effort, What};

#[derive(Parser)]
#[command(about, version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures.
    Run {
        /// Within two minutes.
        #[arg(long)]
        quick: bool,
        /// Only contenders whose name contains one of these.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Only these payload sizes, bytes.
        #[arg(long, value_delimiter = ',')]
        bytes: Vec<usize>,
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

/// The first two processors that this process may use.
fn cores() -> Result<[usize; 2]> {
    let allowed = rustix::thread::sched_getaffinity(None).context("which processors there are")?;
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&c| allowed.is_set(c)).take(2).collect();
    ensure!(cores.len() == 2, "two processors are needed, and this process may use {}", cores.len());
    Ok([cores[0], cores[1]])
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Peer { core, board } => peer::serve(core, &board),
        Command::Run { quick, only, bytes } => run(quick, &only, &bytes),
    }
}

fn run(quick: bool, only: &[String], bytes: &[usize]) -> Result<()> {
    let [here, there] = cores()?;
    peer::pin(here)?;
    let mut bench = Bench::new(there)?;
    let effort = if quick { Effort { rounds: 5, round_ns: 20e6 } } else { Effort { rounds: 15, round_ns: 100e6 } };
    let sizes = if bytes.is_empty() { vec![64, 4 << 10, 64 << 10, 1 << 20, 8 << 20] } else { bytes.to_vec() };
    let wanted = |k: &Kind| only.is_empty() || only.iter().any(|o| k.name().contains(o.as_str()));
    for bytes in sizes {
        for touch in [true, false] {
            let kinds: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|k| if k.carries() { touch || k.can_leave_untouched() } else { bytes == 64 })
                .filter(wanted)
                .collect();
            for what in [What::PingPong, What::OneWay] {
                let cell = Cell { what, bytes, touch, block: false };
                println!("{what:?}, {bytes} B, {}", if touch { "written and read in full" } else { "untouched" });
                for (kind, o) in bench.cell(&cell, &kinds, &effort)? {
                    println!(
                        "  {:<16} {:>10.1} ns  p50 {:>10.1}  p99 {:>10.1}  p99.9 {:>10.1}  max {:>12.1}  disturbed {}/{}",
                        kind.name(),
                        o.middle(),
                        o.p50(),
                        o.percentile(99.0),
                        o.percentile(99.9),
                        o.max(),
                        o.disturbed(),
                        o.rounds.len()
                    );
                }
            }
        }
    }
    Ok(())
}
