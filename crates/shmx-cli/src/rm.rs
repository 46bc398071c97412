//! `shmx rm` and `shmx prune`: names whose servers are gone.

use crate::args::{Prune, Rm};
use crate::common::{interruptible, say, usage};
use crate::units;
use anyhow::{Context, bail};
use shmx::error::RemoveError;
use shmx::{RegionKind, Removed, ServerState};
use std::io::{BufRead, IsTerminal, Write};

pub(crate) fn run(a: &Rm) -> anyhow::Result<()> {
    let mut failed = 0;
    for name in &a.names {
        match shmx::remove(name, a.force) {
            Ok(Removed::Nothing) => say(format_args!("`{name}` was gone already")),
            Ok(_) => say(format_args!("`{name}` removed")),
            Err(e) => {
                failed += 1;
                let hint = match e {
                    RemoveError::ReferenceMade { .. } | RemoveError::NotARegion { .. } => " (--force)",
                    _ => "",
                };
                let text = crate::common::one_line(&anyhow::Error::new(e).context(format!("cannot remove `{name}`")));
                say(format_args!("shmx: {text}{hint}"));
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} not removed", units::count(a.names.len() as u64, "region"));
    }
    Ok(())
}

pub(crate) fn prune(a: &Prune) -> anyhow::Result<()> {
    let dead: Vec<(String, u64)> = (shmx::list()?.iter())
        .filter(|l| l.object.name.as_str().starts_with(a.prefix.trim_start_matches('/')))
        .filter(|l| matches!(l.kind, RegionKind::Region { server: ServerState::Died | ServerState::Closed, .. }))
        .map(|l| (l.object.name.to_string(), l.object.len))
        .collect();
    if dead.is_empty() {
        say(format_args!("no dead regions"));
        return Ok(());
    }
    let total = units::bytes(dead.iter().map(|d| d.1).sum());
    for (name, len) in &dead {
        writeln!(std::io::stdout(), "{name}  {}", units::bytes(*len))?;
    }
    let what = units::count(dead.len() as u64, "dead region");
    if a.dry_run {
        say(format_args!("{what}, {total}; nothing was removed"));
        return Ok(());
    }
    if !a.yes {
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
            say(format_args!("\nnothing was removed"));
            return Ok(());
        };
        let answer = answer.context("cannot read the answer")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
            say(format_args!("nothing was removed"));
            return Ok(());
        }
    }
    let mut removed = 0;
    let mut failed = 0;
    for (name, _) in &dead {
        match shmx::remove(name, false) {
            Ok(Removed::Nothing) | Err(RemoveError::Open(shmx_os::OpenError::NotFound { .. })) => {}
            Ok(_) => removed += 1,
            Err(e) => {
                failed += 1;
                let e = anyhow::Error::new(e).context(format!("cannot remove `{name}`"));
                say(format_args!("shmx: {}", crate::common::one_line(&e)));
            }
        }
    }
    say(format_args!("{} removed", units::count(removed, "dead region")));
    if failed > 0 {
        bail!("{} could not be removed", units::count(failed, "region"));
    }
    Ok(())
}
