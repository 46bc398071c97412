//! `shmx read`: frames as lines.

use crate::args::parse::{Every, every};
use crate::args::waiting::Taking;
use crate::common;
use crate::complete::{regions, streams};
use crate::exit;
use crate::json::{self, SCHEMA};
use crate::source::{self, Source, Taken};
use crate::units;
use crate::values::{self, Data};
use anyhow::Context;
use clap::Args;
use clap_complete::ArgValueCompleter;
use shmx::{Directory, OwnedFrame};
use std::io::{BufWriter, Write};
use std::time::Instant;

/// Print decoded frames of a region, the newest one each time.
#[derive(Debug, Args)]
#[command(after_help = "\
Read-only, by polling. With --attach it takes a reader slot and sleeps between frames, and the producer does not \
overwrite the frame being read. Frames that were overwritten or passed over count as missed.

Exit codes: 0 after --frames, or without it on SIGINT or once the server has left in order; 1 failed, no frame within \
--timeout, or the server was gone too early; 2 wrong usage; 3 frames were missed despite --all.

Examples:
  shmx read clock
  shmx read clock --stream tick_seq --every 0.5s
  shmx read clock --frames 20 --every 10 --json
  shmx read clock --frames 100 --json --stream tick_seq --limit 1")]
pub(crate) struct Read {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    name: String,
    #[command(flatten)]
    taking: Taking,
    /// Print only this stream, given by name or number; may be repeated. Without it, all streams.
    #[arg(long = "stream", value_name = "NAME", add = ArgValueCompleter::new(streams))]
    streams: Vec<String>,
    /// Print a JSON object for each frame.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: Data,
    /// Print every frame in order instead of the newest each time.
    #[arg(long)]
    all: bool,
    /// Print only every N-th frame (`10`), or at most one frame per TIME (`0.5s`, `200ms`).
    #[arg(long, value_name = "N|TIME", value_parser = every)]
    every: Option<Every>,
}

pub(crate) fn run(a: &Read) -> anyhow::Result<()> {
    let Some(mut source) = Source::open(&a.name, a.taking.server.wait_server, a.taking.attach, wants_all(a))? else {
        return Err(exit::interrupted("no frame was read"));
    };
    let mut skipped = 0;
    let result = lines(a, &mut source, &mut skipped);
    let s = source.end();
    let (n, missed, rejected) = (s.delivered, s.missed, s.rejected);
    let left_out = if a.every.is_some() { format!(", {skipped} skipped by --every") } else { String::new() };
    let got = units::count(n, "frame");
    common::say(format_args!("{got} received, {missed} missed, {rejected} rejected{left_out}"));
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
    while a.taking.frames.is_none_or(|n| got < n) {
        let all = wants_all(a);
        let frame = match source.take(all, Instant::now() + a.taking.timeout)? {
            Taken::Frame(f) => f,
            end => return source::end_of_frames(&a.name, end, got, a.taking.frames, a.taking.timeout),
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
        if got == 0 && source.is_dead() {
            common::say(format_args!("the server of `{}` died; this is its last frame", a.name));
        }
        let found = source.directory().context("cannot read the stream directory")?;
        if found.generation != dir.generation {
            tracing::info!(streams = found.streams.len(), "the directory has changed");
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
