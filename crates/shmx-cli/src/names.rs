//! Names of regions, and patterns of names: `*` and `?`, or a regular expression behind `re:`.

use crate::complete::regions;
use crate::exit;
use crate::stop;
use anyhow::{Context, bail};
use clap::Args;
use clap_complete::ArgValueCompleter;
use shmx::{Inspector, ServerState};
use shmx_record::Selection;
use std::time::{Duration, Instant};

/// The regions that a command is about.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Only {
    /// Show only these regions. Without any, all.
    #[arg(value_name = "NAME|PATTERN", value_parser = pattern, add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
}

impl Only {
    pub(crate) fn is_all(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_all() || selection(&self.names).has(name)
    }
}

fn selection(patterns: &[String]) -> Selection {
    Selection { patterns: patterns.to_vec(), except: Vec::new() }
}

/// A name or a pattern, as it is given.
pub(crate) fn pattern(s: &str) -> Result<String, String> {
    let given = [s.to_owned()];
    selection(&given).check().map_err(|e| e.to_string())?;
    Ok(s.to_owned())
}

/// Names as they are given, and for each pattern those of the live regions that match it; for a while it waits for the
/// first of them.
pub(crate) fn live(given: &[String], wait: Duration) -> anyhow::Result<Vec<String>> {
    let until = Instant::now() + wait;
    let mut names = Vec::new();
    for text in given {
        let found = if Selection::is_pattern(text) { matching(text, until)? } else { vec![text.clone()] };
        names.extend(found.into_iter().filter(|n| !names.contains(n)).collect::<Vec<_>>());
    }
    Ok(names)
}

fn matching(pattern: &str, until: Instant) -> anyhow::Result<Vec<String>> {
    loop {
        let over = |i: &Inspector| matches!(i.server_state(), ServerState::Died | ServerState::Closed);
        let mut found = objects(pattern)?;
        found.retain(|name| Inspector::open(name).is_ok_and(|i| i.is_whole() && !over(&i)));
        if !found.is_empty() {
            return Ok(found);
        }
        if Instant::now() >= until {
            bail!("no live region matches `{pattern}`; see `shmx ls`");
        }
        if !stop::sleep_until(Instant::now() + Duration::from_millis(5)) {
            return Err(exit::interrupted(&format!("no live region matches `{pattern}` yet")));
        }
    }
}

/// Names of shared-memory objects that match, regions or not. Nothing else is opened.
pub(crate) fn objects(pattern: &str) -> anyhow::Result<Vec<String>> {
    let wanted = selection(&[pattern.to_owned()]);
    let all = shmx_os::list().context("give names: patterns need the list of all regions")?;
    Ok(all.iter().map(|o| o.name.as_str()).filter(|n| wanted.has(n)).map(str::to_owned).collect())
}
