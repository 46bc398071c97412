//! `shmx rm` and `shmx prune`: names whose servers are gone.

use crate::common::{complain, interruptible, one_line, say};
use crate::complete::regions;
use crate::escape::safe;
use crate::exit::{self, usage};
use crate::json;
use crate::units;
use anyhow::{Context, bail};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::json;
use shmx::error::RemoveError;
use shmx::{Listed, RegionKind, Removed, ServerState};
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

/// Remove regions whose server is dead.
#[derive(Debug, Args)]
#[command(after_help = "\
The region of a live server is never removed. Processes that have a region open keep it.

Exit codes: 0 removed; 1 refused or failed; 2 wrong usage.

Examples:
  shmx rm old
  shmx rm --force made-by-the-reference")]
pub(crate) struct Rm {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
    /// Also remove what has no lock: reference-made regions, whose servers may be running, and objects that are not
    /// regions.
    #[arg(long)]
    force: bool,
    /// Print what became of each as a JSON object.
    #[arg(long)]
    json: bool,
}

/// Remove every region whose server is dead, and what killed creators have left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
It asks first. Regions of live servers and reference-made ones are left alone.

Exit codes: 0 done; 1 failed or interrupted; 2 wrong usage, or nobody there to ask.

Examples:
  shmx prune --dry-run
  shmx prune --yes robot-")]
pub(crate) struct Prune {
    /// Only regions whose names begin with this.
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be removed.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print what became of each as a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(a: &Rm) -> anyhow::Result<()> {
    let (mut failed, mut only) = (0, None);
    for name in &a.names {
        tracing::info!(name = %safe(name), force = a.force, "to be removed");
        let (word, error) = match shmx::remove(name, a.force) {
            Ok(Removed::Nothing) => {
                say(format_args!("`{name}` was gone already"));
                ("gone", None)
            }
            Ok(_) => {
                say(format_args!("`{name}` removed"));
                ("removed", None)
            }
            Err(e) => {
                failed += 1;
                let hint = match e {
                    RemoveError::ReferenceMade { .. } | RemoveError::NotARegion { .. } => " (--force)",
                    _ => "",
                };
                let text = one_line(&anyhow::Error::new(e).context(format!("cannot remove `{name}`")));
                let words = format!("{text}{hint}");
                match a.names.len() {
                    1 => only = Some(words),
                    _ => complain(format_args!("shmx: {words}")),
                }
                ("refused", Some(text))
            }
        };
        if a.json {
            json::print("rm", json!({"name": name, "result": word, "error": error}))?;
        }
    }
    match only {
        Some(words) => bail!(words),
        None if failed > 0 => bail!("{failed} of {} not removed", units::count(a.names.len() as u64, "region")),
        None => Ok(()),
    }
}

/// A creator is done with its object long before this time; what is older was left by one that was killed.
pub(crate) const PENDING_AGE: Duration = Duration::from_secs(60);

/// Whether it is an object that a creator was killed over.
pub(crate) fn is_left_over(l: &Listed) -> bool {
    let old = l.object.modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > PENDING_AGE);
    let locked = matches!(&l.kind, RegionKind::Region { server: ServerState::Live, .. });
    l.object.is_pending() && old && !locked
}

/// What `prune` takes away.
struct Dead {
    name: String,
    bytes: u64,
    what: &'static str,
}

fn dead(l: &Listed) -> Option<Dead> {
    let what = match &l.kind {
        _ if is_left_over(l) => "unfinished",
        _ if l.object.is_pending() => return None,
        RegionKind::Region { server: ServerState::Died, .. } => "dead",
        RegionKind::Region { server: ServerState::Closed, .. } => "closed",
        _ => return None,
    };
    Some(Dead { name: l.object.name.to_string(), bytes: l.object.len, what })
}

pub(crate) fn prune(a: &Prune) -> anyhow::Result<()> {
    let prefix = a.prefix.trim_start_matches('/');
    let all = shmx::list()?;
    tracing::info!(objects = all.len(), "listed");
    let dead: Vec<Dead> = all.iter().filter(|l| l.object.name.as_str().starts_with(prefix)).filter_map(dead).collect();
    if dead.is_empty() {
        say(format_args!("no dead regions"));
        return Ok(());
    }
    let total = units::bytes(dead.iter().map(|d| d.bytes).sum());
    if !a.json {
        for d in &dead {
            writeln!(std::io::stdout(), "{}  {}  {}", safe(&d.name), d.what, units::bytes(d.bytes))?;
        }
    }
    let show = |d: &Dead, result: &str| match a.json {
        true => json::print("prune", json!({"name": d.name, "state": d.what, "bytes": d.bytes, "result": result})),
        false => Ok(()),
    };
    let what = units::count(dead.len() as u64, "dead region");
    if a.dry_run {
        dead.iter().try_for_each(|d| show(d, "kept"))?;
        say(format_args!("{what}, {total}; nothing was removed"));
        return Ok(());
    }
    if !a.yes && !agreed(&what, &total)? {
        dead.iter().try_for_each(|d| show(d, "kept"))?;
        say(format_args!("nothing was removed"));
        return Ok(());
    }
    let (mut removed, mut failed) = (0, 0);
    for d in &dead {
        // An unfinished object may have no magic yet.
        match shmx::remove(&d.name, d.what == "unfinished") {
            Ok(Removed::Nothing) | Err(RemoveError::Open(shmx_os::OpenError::NotFound { .. })) => show(d, "gone")?,
            Ok(_) => {
                removed += 1;
                show(d, "removed")?;
            }
            Err(e) => {
                failed += 1;
                show(d, "refused")?;
                let e = anyhow::Error::new(e).context(format!("cannot remove `{}`", d.name));
                complain(format_args!("shmx: {}", one_line(&e)));
            }
        }
    }
    say(format_args!("{} removed", units::count(removed, "dead region")));
    if failed > 0 {
        bail!("{} could not be removed", units::count(failed, "region"));
    }
    Ok(())
}

/// Asks whoever is at the terminal.
fn agreed(what: &str, total: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!("there is no terminal to ask whether to remove {what}; add --yes or --dry-run")));
    }
    let mut err = std::io::stderr();
    write!(err, "remove {what}, {total}? [y/N] ")?;
    err.flush()?;
    let read = || {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    };
    let Some(answer) = interruptible(read) else {
        let _ = writeln!(std::io::stderr());
        return Err(exit::interrupted("nothing was removed"));
    };
    let answer = answer.context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
