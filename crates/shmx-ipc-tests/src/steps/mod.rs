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
//! | `reader_world`, `server_world`, `name_world` | the surroundings: who lives on |
//! | `kills` | all cases of one operation |
//! | `errors` | system calls that fail |
//! | `watch` | finds who hangs |

mod acts;
mod clock;
mod errors;
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
use std::process::{Command, Stdio};
use std::time::Instant;

/// Operations that are worked on at a time: much of it is waiting for times of grace.
const AT_A_TIME: usize = 3;
/// Every how manieth point a quick run looks at.
const QUICK: usize = 7;

/// `steps-victim OPERATION NAME`: ends with the code that tells how it went.
pub(crate) fn victim(mut args: impl Iterator<Item = String>) -> Result<i32> {
    let (operation, name) = (args.next().context("an operation")?, args.next().context("a name")?);
    acts::act(&operation, &name, args.next().is_some())
}

/// `steps-of OPERATION --stride N [--pairs yes]`: one operation, in a process of its own.
pub(crate) fn one(operation: &str, opts: &Opts) -> Result<bool> {
    let (operation, place) = *OPERATIONS
        .iter()
        .find(|(known, _)| *known == operation)
        .with_context(|| format!("no operation {operation}"))?;
    trace::keep_addresses()?;
    watch::start();
    let start = Instant::now();
    let (case, stride) = (Case { operation, place }, opts.num("stride", 1)?);
    let mut figures = case.run(stride, opts.text("pairs").is_some())?;
    case.errors(stride, &mut figures)?;
    ensure!(figures.kills > 0, "nobody was killed");
    println!("{operation}: {figures} [{:.1} s]", start.elapsed().as_secs_f64());
    println!("figures {}", figures.to_line());
    Ok(figures.failed == 0)
}

/// `steps [--quick] [--only TEXT]`: all of them.
pub(crate) fn run(opts: &Opts) -> Result<bool> {
    let quick = opts.has("quick");
    let only = opts.text("only").unwrap_or("");
    let start = Instant::now();
    let mut waiting: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).filter(|n| n.contains(only)).rev().collect();
    if waiting.is_empty() {
        bail!("no operation has {only:?} in its name");
    }
    let (mut passed, mut failed, mut sum) = (0, 0, Figures::default());
    let mut running = Vec::new();
    loop {
        while running.len() < AT_A_TIME
            && let Some(operation) = waiting.pop()
        {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["steps-of", operation]);
            if quick {
                command.args(["--stride", &QUICK.to_string()]);
            } else {
                command.args(["--pairs", "yes"]);
            }
            running.push((operation, command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?));
        }
        if running.is_empty() {
            break;
        }
        let (operation, child) = running.remove(0);
        let out = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        for line in said.lines() {
            match line.strip_prefix("figures ") {
                Some(figures) => sum.add(Figures::from_line(figures)?)?,
                None => println!("{line}"),
            }
        }
        if out.status.success() {
            passed += 1;
        } else {
            failed += 1;
            println!("FAILED {operation}: {}", out.status);
        }
    }
    println!("in all {sum} [{:.0} s]", start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed, 0 skipped");
    Ok(failed == 0)
}
