//! Tests of SHMX with real processes. One program plays every part: `run` starts the others as its children.
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
mod chaos;
mod child;
mod common;
mod foreign;
mod frames;
#[cfg(target_os = "linux")]
mod hostile;
mod interop;
mod killed;
#[cfg(target_os = "linux")]
mod liveness;
#[cfg(target_os = "linux")]
mod memory;
mod opts;
mod peer;
mod run;
mod scenarios;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod steps;

use anyhow::{Result, bail};
use opts::Opts;
use std::process::ExitCode;

const HELP: &str = "\
usage: shmx-ipc-peer run [--quick] [--only TEXT] [--python PATH] [--foreign PATH] [--readers COMMAND]
       shmx-ipc-peer server NAME [--slots N] [--reader-slots N] [--threads N] [--frames N] [--seconds S] [--rate HZ]
                     [--max-len N] [--seed N] [--await-readers N] [--append-every N]
       shmx-ipc-peer reader NAME --mode latest|wait|next [--copy] [--keep N] [--seed N] [--directory] [--sessions N]
       shmx-ipc-peer storm NAME --rounds N [--seed N]
       shmx-ipc-peer ping NAME --count N [--seed N]
       shmx-ipc-peer hold NAME --frames N
       shmx-ipc-peer creator NAME
       shmx-ipc-peer chaos [--soak] [--seconds N] [--seed N]
       shmx-ipc-peer steps [--quick] [--only TEXT]

run          every scenario; with --python, also those against the reference package in that interpreter; with
             --foreign, those against that build of c/foreign_peer.c; with --readers, the readers of every scenario are
             that build of this program, whose words may begin with an emulator
chaos        kills and stops producers and readers at random and counts what that broke (Linux); --soak: in one region of
             small frames, of which as many as possible are checked
steps        kills processes behind every instruction that others can notice (Linux, x86-64)
the others   one part of a scenario; prints `ready ...` and `result ...` lines of key=value and ends with its stdin

SHMX_RUNNER in the environment: the words of an emulator that children of this program need.";

fn main() -> ExitCode {
    match dispatch() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("shmx-ipc-peer: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<bool> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    if matches!(command.as_str(), "-h" | "--help" | "help") {
        println!("{HELP}");
        return Ok(true);
    }
    #[cfg(target_os = "linux")]
    match command.as_str() {
        // Parts of chaos, which are started by it alone.
        "chaos-part" => return chaos::part(&args.next().unwrap_or_default(), &Opts::parse(args)?).map(|()| true),
        "chaos-drill" => {
            return chaos::drill_part(&args.next().unwrap_or_default(), &Opts::parse(args)?).map(|()| true);
        }
        "hostile-part" => return hostile::part(&args.next().unwrap_or_default(), &Opts::parse(args)?).map(|()| true),
        "chaos" => return chaos::run(&Opts::parse(args)?),
        _ => {}
    }
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    match command.as_str() {
        // Parts of steps, which are started by it alone.
        "steps-victim" => std::process::exit(steps::victim(args)?),
        "steps-of" => return steps::one(&args.next().unwrap_or_default(), &Opts::parse(args)?),
        "steps" => return steps::run(&Opts::parse(args)?),
        _ => {}
    }
    let opts = Opts::parse(args)?;
    match command.as_str() {
        "run" => return run::run(&opts),
        "server" => peer::server(&opts)?,
        "reader" => peer::reader(&opts)?,
        "storm" => peer::storm(&opts)?,
        "ping" => peer::ping(&opts)?,
        "hold" => peer::hold(&opts)?,
        "creator" => peer::creator(&opts)?,
        _ => bail!("unknown command {command:?}\n{HELP}"),
    }
    Ok(true)
}
