//! `shmx read`: frames as lines.

use crate::args::{Every, Read};
use crate::common::{self, Taken};
use crate::source::Source;
use crate::values;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use shmx::{FrameView, StaticState};
use std::io::{BufWriter, Write};
use std::time::Instant;

pub(crate) fn run(a: &Read) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.wait_server, a.attach)? else { return Ok(()) };
    let result = lines(a, &mut source);
    let s = source.end();
    common::say(format_args!("{} frames received, {} dropped, {} refused", s.received, s.missed, s.refused));
    result
}

fn lines(a: &Read, source: &mut Source) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut dir = source.directory().context("cannot read the stream directory")?;
    let mut only = chosen(a, &dir)?;
    let mut got = 0;
    // With --every: the next frame id, or the next moment, to print.
    let (mut next_id, mut next_time) = (0, Instant::now());
    while a.frames.is_none_or(|n| got < n) {
        let all = a.all || matches!(a.every, Some(Every::Frames(_)));
        let frame = match source.take(all, Instant::now() + a.timeout)? {
            Taken::Frame(f) => f,
            Taken::Stopped => return Ok(()),
            Taken::Closed => bail!("the server of `{}` has left after {got} frames; start it again", a.name),
            Taken::TimedOut => {
                bail!("no frame of `{}` within {:?}; see whether its server publishes", a.name, a.timeout)
            }
        };
        match a.every {
            Some(Every::Frames(_)) if frame.frame_id() < next_id => continue,
            Some(Every::Frames(n)) => next_id = frame.frame_id() + n,
            Some(Every::Time(_)) if Instant::now() < next_time => continue,
            Some(Every::Time(t)) => next_time = (next_time + t).max(Instant::now()),
            None => {}
        }
        if source.directory_generation() != dir.static_gen {
            dir = source.directory().context("cannot read the stream directory")?;
            only = chosen(a, &dir)?;
        }
        let dropped = source.counts().missed;
        if a.json {
            writeln!(out, "{}", json_line(&dir, &frame, dropped, only.as_deref())?)?;
        } else {
            let (id, sim) = (frame.frame_id(), frame.sim_time());
            let text = values::text(&dir, &frame, only.as_deref())?;
            writeln!(out, "frame {id} sim_time={sim} dropped={dropped}{text}")?;
        }
        out.flush()?;
        got += 1;
    }
    Ok(())
}

/// The numbers of the streams asked for; none means all.
fn chosen(a: &Read, dir: &StaticState) -> anyhow::Result<Option<Vec<u32>>> {
    if a.streams.is_empty() {
        return Ok(None);
    }
    let find = |s: &String| values::find_stream(&a.name, dir, s);
    a.streams.iter().map(find).collect::<anyhow::Result<_>>().map(Some)
}

fn json_line(dir: &StaticState, frame: &FrameView, dropped: u64, only: Option<&[u32]>) -> anyhow::Result<Value> {
    let mut streams = Map::new();
    for (name, s) in values::streams(dir, frame)? {
        if only.is_none_or(|ids| ids.contains(&s.stream_id)) {
            streams.insert(name, values::decode(dir.stream(s.stream_id), s.data, usize::MAX));
        }
    }
    Ok(json!({
        "frame_id": frame.frame_id(), "sim_time": frame.sim_time(), "streams": streams, "dropped": dropped,
    }))
}
