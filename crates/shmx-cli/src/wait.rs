//! `shmx wait`: until regions are there, for scripts.

use crate::args::parse::time;
use crate::common::{self, say};
use crate::complete::regions;
use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::names;
use crate::stop;
use crate::units;
use anyhow::anyhow;
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::json;
use shmx::error::OpenError;
use shmx::{Inspector, ServerState};
use shmx_record::Selection;
use std::time::{Duration, Instant};

/// Wait until regions are there, or gone; for scripts.
#[derive(Debug, Args)]
#[command(after_help = "\
A region is there when its server is alive and it has the frames and readers asked for. With --gone it waits until no \
server holds any of the names. Read-only.

Exit codes: 0 all are as asked for; 1 not in time, or interrupted; 2 wrong usage.

Examples:
  shmx wait clock --timeout 10s
  shmx wait clock --frames 1 --timeout 10s -q
  shmx wait 'clock*' --timeout 10s
  shmx wait nobody --gone")]
pub(crate) struct Wait {
    /// The regions. Of a pattern one region is enough; with --gone, all that match have to be gone.
    #[arg(required = true, value_name = "NAME|PATTERN", value_parser = names::pattern, add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
    /// Longest time to wait. Without it, there is no limit.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// Wait until each has published this many frames.
    #[arg(long, value_name = "N", default_value_t = 0)]
    frames: u64,
    /// Wait until each has this many readers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    readers: u32,
    /// Wait until no server holds any of the names.
    #[arg(long, conflicts_with_all = ["frames", "readers"])]
    gone: bool,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
}

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(5);

pub(crate) fn run(a: &Wait) -> anyhow::Result<()> {
    let start = Instant::now();
    let until = a.timeout.map(|t| start + t);
    let mut found = Vec::new();
    for name in &a.names {
        let mut told = None;
        loop {
            let state = if Selection::is_pattern(name) { any(a, name)? } else { one(a, name)? };
            let missing = match state {
                Ok(names) => {
                    found.extend(names);
                    let after = units::ns(start.elapsed().as_nanos() as u64);
                    tracing::info!(region = %safe(name), %after, "as asked for");
                    break;
                }
                Err(missing) => missing,
            };
            if told.replace(missing) != Some(missing) {
                tracing::info!("waiting: `{}` {missing}", safe(name));
            }
            let not_yet = || format!("`{}` {missing}", safe(name));
            if until.is_some_and(|u| Instant::now() >= u) {
                let time = units::ns(a.timeout.unwrap_or_default().as_nanos() as u64);
                return Err(anyhow!("{} after {time}; see `shmx ls`", not_yet()));
            }
            let next = Instant::now() + EVERY;
            if !stop::sleep_until(until.map_or(next, |u| next.min(u))) {
                return Err(exit::interrupted(&not_yet()));
            }
        }
    }
    let waited = start.elapsed().as_nanos() as u64;
    let what = if a.gone { "gone" } else { "there" };
    // Of a pattern nothing may be there to be gone.
    let regions = if a.gone { &a.names } else { &found };
    say(format_args!("{} {what} after {}", units::count(regions.len() as u64, "region"), units::ns(waited)));
    if a.json {
        json::print("wait", json!({"regions": a.names, "found": found, "state": what, "waited_ns": waited}))?;
    }
    Ok(())
}

/// Names that are as asked for, or what is missing.
type Found = Result<Vec<String>, &'static str>;

fn one(a: &Wait, name: &str) -> anyhow::Result<Found> {
    let found = if a.gone { Vec::new() } else { vec![name.to_owned()] };
    Ok(missing(a, name)?.map_or(Ok(found), Err))
}

/// One of a pattern is enough; of those that are to be gone, all have to be.
fn any(a: &Wait, pattern: &str) -> anyhow::Result<Found> {
    let mut found = Vec::new();
    let mut lacks = None;
    for name in names::objects(pattern)? {
        match missing(a, &name) {
            Ok(None) => found.push(name),
            Ok(Some(missing)) => lacks = Some(missing),
            Err(e) if a.gone => return Err(e),
            // It may be nothing of ours.
            Err(_) => {}
        }
    }
    Ok(match lacks {
        Some(missing) if a.gone => Err(missing),
        _ if a.gone => Ok(Vec::new()),
        _ if !found.is_empty() => Ok(found),
        missing => Err(missing.unwrap_or("matches no region")),
    })
}

/// What a region lacks; none if it is as asked for.
fn missing(a: &Wait, name: &str) -> anyhow::Result<Option<&'static str>> {
    let inspector = match Inspector::open(name) {
        Ok(i) if i.is_whole() => i,
        // Being created or removed.
        Ok(_) | Err(OpenError::Layout { .. }) => return Ok(if a.gone { None } else { Some("is not complete") }),
        Err(OpenError::Os(shmx_os::OpenError::NotFound { .. } | shmx_os::OpenError::Empty { .. })) => {
            return Ok(if a.gone { None } else { Some("is not there") });
        }
        Err(e) => return Err(anyhow::Error::new(e).context(common::cannot_open(name))),
    };
    let over = matches!(inspector.server_state(), ServerState::Died | ServerState::Closed);
    if a.gone {
        return Ok(if over { None } else { Some("still has a server") });
    }
    if over {
        return Ok(Some("has no server any more"));
    }
    if inspector.header().frame_seq < a.frames {
        return Ok(Some("has too few frames"));
    }
    let readers = inspector.snapshot_readers().iter().filter(|r| r.in_use).count() as u32;
    Ok((readers < a.readers).then_some("has too few readers"))
}
