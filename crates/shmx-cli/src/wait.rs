//! `shmx wait`: until regions are there, for scripts.

use crate::args::Wait;
use crate::common::{self, say};
use crate::exit;
use crate::json;
use crate::stop;
use crate::units;
use anyhow::anyhow;
use serde_json::json;
use shmx::error::OpenError;
use shmx::{Inspector, ServerState};
use std::time::{Duration, Instant};

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(5);

pub(crate) fn run(a: &Wait) -> anyhow::Result<()> {
    let start = Instant::now();
    let until = a.timeout.map(|t| start + t);
    for name in &a.names {
        loop {
            let Some(missing) = missing(a, name)? else { break };
            let not_yet = || match missing {
                "" => format!("`{name}` is not as asked for"),
                what => format!("`{name}` {what}"),
            };
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
