//! `shmx read`: frames as lines.

use crate::args::{Every, Read};
use crate::common;
use crate::source::{Source, Taken};
use crate::values;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use shmx::{Directory, OwnedFrame};
use std::io::{BufWriter, Write};
use std::time::Instant;

pub(crate) fn run(a: &Read) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.wait_server, a.attach, wants_all(a))? else { return Ok(()) };
    let mut skipped = 0;
    let result = lines(a, &mut source, &mut skipped);
    let s = source.end();
    let (n, missed, rejected) = (s.delivered, s.missed, s.rejected);
    let left_out = if a.every.is_some() { format!(", {skipped} skipped by --every") } else { String::new() };
    common::say(format_args!("{n} frames received, {missed} missed, {rejected} rejected{left_out}"));
    result
}

/// Whether it takes every frame, and not the newest each time.
fn wants_all(a: &Read) -> bool {
    a.all || matches!(a.every, Some(Every::Frames(_)))
}

fn lines(a: &Read, source: &mut Source, skipped: &mut u64) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut dir = source.directory().context("cannot read the stream directory")?;
    let mut only = chosen(a, &dir)?;
    let mut got = 0;
    // With --every: the next frame id, or the next moment, to print.
    let (mut next_id, mut next_time) = (0, Instant::now());
    while a.frames.is_none_or(|n| got < n) {
        let all = wants_all(a);
        let frame = match source.take(all, Instant::now() + a.timeout)? {
            Taken::Frame(f) => f,
            Taken::Stopped => return Ok(()),
            Taken::Closed => bail!("the server of `{}` has left after {got} frames; start it again", a.name),
            Taken::TimedOut => {
                bail!("no frame of `{}` within {:?}; see whether its server publishes", a.name, a.timeout)
            }
        };
        match a.every {
            Some(Every::Frames(_)) if frame.frame_id() < next_id => {
                *skipped += 1;
                continue;
            }
            Some(Every::Time(_)) if Instant::now() < next_time => {
                *skipped += 1;
                continue;
            }
            Some(Every::Frames(n)) => next_id = frame.frame_id().saturating_add(n),
            Some(Every::Time(t)) => next_time = (next_time + t).max(Instant::now()),
            None => {}
        }
        let found = source.directory().context("cannot read the stream directory")?;
        if found.generation != dir.generation {
            dir = found;
            only = chosen(a, &dir)?;
        }
        let missed = source.stats().missed;
        if a.json {
            writeln!(out, "{}", json_line(&dir, &frame, missed, only.as_deref())?)?;
        } else {
            let (id, sim) = (frame.frame_id(), frame.sim_time());
            let text = values::text(&dir, &frame, only.as_deref())?;
            writeln!(out, "frame {id} sim_time={sim} missed={missed}{text}")?;
        }
        out.flush()?;
        got += 1;
    }
    Ok(())
}

/// The numbers of the streams asked for; none means all.
fn chosen(a: &Read, dir: &Directory) -> anyhow::Result<Option<Vec<u32>>> {
    if a.streams.is_empty() {
        return Ok(None);
    }
    let find = |s: &String| values::find_stream(&a.name, dir, s);
    a.streams.iter().map(find).collect::<anyhow::Result<_>>().map(Some)
}

fn json_line(dir: &Directory, frame: &OwnedFrame, missed: u64, only: Option<&[u32]>) -> anyhow::Result<Value> {
    let mut streams = Map::new();
    for (name, s) in values::streams(dir, frame)? {
        if only.is_none_or(|ids| ids.contains(&s.stream_id)) {
            streams.insert(name, values::decode(dir.stream(s.stream_id), s.data, usize::MAX));
        }
    }
    Ok(json!({
        "frame_id": frame.frame_id(), "sim_time": frame.sim_time(), "streams": streams, "missed": missed,
    }))
}
