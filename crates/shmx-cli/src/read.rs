//! `shmx read`: frames as lines.

use crate::args::{Every, Read};
use crate::common;
use crate::exit;
use crate::json::{self, SCHEMA};
use crate::source::{self, Source, Taken};
use crate::units;
use crate::values;
use anyhow::Context;
use shmx::{Directory, OwnedFrame};
use std::io::{BufWriter, Write};
use std::time::Instant;

pub(crate) fn run(a: &Read) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.wait_server, a.attach, wants_all(a))? else {
        return Err(exit::interrupted("no frame was read"));
    };
    let mut skipped = 0;
    let result = lines(a, &mut source, &mut skipped);
    let s = source.end();
    let (n, missed, rejected) = (s.delivered, s.missed, s.rejected);
    let left_out = if a.every.is_some() { format!(", {skipped} skipped by --every") } else { String::new() };
    common::say(format_args!("{n} frames received, {missed} missed, {rejected} rejected{left_out}"));
    result?;
    if a.all && missed + rejected > 0 {
        return Err(exit::incomplete(format!(
            "of `{}` {} missed and {rejected} rejected despite --all; read less of each (--stream, --limit), --attach \
             to a `publish --lossless`, or give the region more slots",
            a.name,
            units::were(missed, "frame")
        )));
    }
    Ok(())
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
    let mut line = Vec::new();
    // With --every: the next frame id, or the next moment, to print.
    let (mut next_id, mut next_time) = (0, Instant::now());
    while a.frames.is_none_or(|n| got < n) {
        let all = wants_all(a);
        let frame = match source.take(all, Instant::now() + a.timeout)? {
            Taken::Frame(f) => f,
            end => return source::end_of_frames(&a.name, end, got, a.frames, a.timeout),
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
            line.clear();
            json_line(&mut line, a, &dir, &frame, missed, only.as_deref())?;
            out.write_all(&line)?;
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

fn json_line(
    out: &mut Vec<u8>,
    a: &Read,
    dir: &Directory,
    frame: &OwnedFrame,
    missed: u64,
    only: Option<&[u32]>,
) -> anyhow::Result<()> {
    write!(out, "{{\"schema\":{SCHEMA},\"kind\":\"frame\",\"frame_id\":{},\"sim_time\":", frame.frame_id())?;
    json::write(out, &frame.sim_time().into())?;
    write!(out, ",\"missed\":{missed},\"streams\":{{")?;
    let mut first = true;
    for (name, s) in values::streams(dir, frame)? {
        if only.is_some_and(|ids| !ids.contains(&s.stream_id)) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        json::write(out, &name.into())?;
        out.push(b':');
        values::write_stream(out, dir.stream(s.stream_id), s.elem_count, s.data, a.data.into())?;
    }
    out.extend_from_slice(b"}}\n");
    Ok(())
}
