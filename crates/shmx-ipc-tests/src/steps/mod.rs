//! `steps`: kills a process behind every instruction that others can notice, and lets the others recover.
//!
//! Where chaos rolls dice, this goes through all of them: each operation runs in a victim under ptrace, which is killed
//! or stopped at every [`trace::Point`] in turn, a fresh victim for each.
//!
//! | file | |
//! |---|---|
//! | `trace` | the victim under ptrace: recording its points, and coming back to one |
//! | `clock` | the victim's time, which passes only when it looks |
//! | `acts` | what victims do |
//! | `world` | what is checked, and what others do meanwhile |
//! | `reader_world`, `follow_world`, `server_world`, `name_world` | the surroundings: who lives on |
//! | `kills` | all cases of one operation |
//! | `inject` | system calls that a victim is made to do |
//! | `errors` | system calls that fail |
//! | `watch` | finds who hangs |

mod acts;
mod clock;
mod errors;
mod follow_world;
mod inject;
mod kills;
mod name_world;
mod reader_world;
mod server_world;
mod trace;
mod watch;
mod world;

use crate::opts::Opts;
use acts::OPERATIONS;
use anyhow::{Context, Result, bail, ensure};
use kills::{Case, Figures};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// Operations that are worked on at a time: much of it is waiting for times of grace.
const AT_A_TIME: usize = 4;
/// Every how manieth change a quick run looks at.
const QUICK: usize = 3;

/// `steps-victim OPERATION NAME`: ends with the code that tells how it went.
pub(crate) fn victim(mut args: impl Iterator<Item = String>) -> Result<i32> {
    let (operation, name) = (args.next().context("an operation")?, args.next().context("a name")?);
    acts::act(&operation, &name, args.next().is_some())
}

/// `steps-of OPERATION [--stride N] [--first yes] [--part kills|pairs|errors]`: one operation, in a process of its own.
pub(crate) fn one(operation: &str, opts: &Opts) -> Result<bool> {
    let (operation, place) = *OPERATIONS
        .iter()
        .find(|(known, _)| *known == operation)
        .with_context(|| format!("no operation {operation}"))?;
    trace::keep_addresses()?;
    watch::start();
    let start = Instant::now();
    let (case, stride) = (Case { operation, place, first: opts.text("first").is_some() }, opts.num("stride", 1)?);
    let part = |name| opts.text("part").is_none_or(|part| part == name);
    let mut figures = Figures::default();
    if part("kills") || part("pairs") {
        figures = case.run(stride, part("kills"), part("pairs"))?;
        ensure!(figures.kills > 0 || !part("kills"), "nobody was killed");
    }
    if part("errors") {
        case.errors(stride, &mut figures)?;
    }
    println!("{operation}: {figures} [{:.1} s]", start.elapsed().as_secs_f64());
    println!("figures {}", figures.to_line());
    Ok(figures.failed == 0)
}

/// `steps [--quick] [--only TEXT]`: all of them.
pub(crate) fn run(opts: &Opts) -> Result<bool> {
    let quick = opts.has("quick");
    let only = opts.text("only").unwrap_or("");
    let start = Instant::now();
    let waiting: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).filter(|n| n.contains(only)).rev().collect();
    if waiting.is_empty() {
        bail!("no operation has {only:?} in its name");
    }
    let all = waiting.len();
    if let Err(e) = trace::keep_addresses() {
        // As in some containers.
        println!("SKIPPED: {e:#}\n0 passed, 0 failed, {all} skipped");
        return Ok(true);
    }
    let (waiting, sum) = (Mutex::new(waiting), Mutex::new((0, Figures::default())));
    let next = || waiting.lock().ok().and_then(|mut w| w.pop());
    std::thread::scope(|s| {
        for _ in 0..AT_A_TIME {
            s.spawn(|| {
                while let Some(operation) = next() {
                    match of(operation, quick) {
                        Ok((passed, figures)) => {
                            if let Ok(mut sum) = sum.lock() {
                                sum.0 += usize::from(passed);
                                sum.1.add(figures);
                            }
                        }
                        Err(e) => println!("FAILED {operation}: {e:#}"),
                    }
                }
            });
        }
    });
    let (passed, figures) = *sum.lock().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let used = (used.user_time() + used.system_time()).num_seconds();
    println!("in all {figures} [{:.0} s, {used} s of a processor]", start.elapsed().as_secs_f64());
    println!("{passed} passed, {} failed, 0 skipped", all - passed);
    Ok(passed == all)
}

/// One operation, by a process of its own, of which victims are children; whether it passed.
fn of(operation: &str, quick: bool) -> Result<(bool, Figures)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["steps-of", operation]);
    if quick {
        command.args(["--stride", &QUICK.to_string()]);
    }
    let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    let mut figures = Figures::default();
    for line in said.lines() {
        match line.strip_prefix("figures ") {
            Some(line) => figures = Figures::from_line(line)?,
            None => println!("{line}"),
        }
    }
    if !out.status.success() {
        println!("FAILED {operation}: {}", out.status);
    }
    Ok((out.status.success(), figures))
}
