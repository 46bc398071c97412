//! `shmx wait`: until regions are there, for scripts.

use crate::args::parse::time;
use crate::common::{self, say};
use crate::complete::regions;
use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::stop;
use crate::units;
use anyhow::anyhow;
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::json;
use shmx::error::OpenError;
use shmx::{Inspector, ServerState};
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
  shmx wait nobody --gone")]
pub(crate) struct Wait {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(regions))]
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
    for name in &a.names {
        let mut told = None;
        loop {
            let Some(missing) = missing(a, name)? else {
                tracing::info!(region = %safe(name), after = %units::ns(start.elapsed().as_nanos() as u64), "as asked for");
                break;
            };
            if told.replace(missing) != Some(missing) {
                tracing::info!("waiting: `{}` {missing}", safe(name));
            }
            let not_yet = || format!("`{name}` {missing}");
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
    say(format_args!("{} {what} after {}", units::count(a.names.len() as u64, "region"), units::ns(waited)));
    if a.json {
        json::print("wait", json!({"regions": a.names, "state": what, "waited_ns": waited}))?;
    }
    Ok(())
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
