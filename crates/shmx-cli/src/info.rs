//! `shmx info`: what a recording holds.

use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::progress::Progress;
use crate::recording::{self, Files};
use crate::stop;
use crate::units;
use crate::values;
use clap::Args;
use serde_json::{Value, json};
use shmx_record::{Counts, ImageInfo, Recording, SegmentSummary};
use std::io::Write;

/// Show what a recording holds.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads everything, and says of a truncated or damaged file what can be read and what cannot.

Exit codes: 0 all of it is readable; 1 not all, or nothing, or interrupted; 2 wrong usage.

Examples:
  shmx info clock.mcap
  shmx info clock.mcap --json | jq .regions[0].frames_read")]
pub(crate) struct Info {
    #[command(flatten)]
    files: Files,
    /// Leave the frames unread: fast, but finds no damaged ones.
    #[arg(long)]
    quick: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(a: &Info) -> anyhow::Result<()> {
    let mut rec = a.files.open()?;
    let read = if a.quick {
        None
    } else {
        let line = Progress::of_bytes(rec.bytes(), "reading");
        Some(rec.verify(|done| {
            line.set(done);
            !stop::requested()
        }))
    };
    if stop::requested() {
        return Err(exit::interrupted("the recording was not read to its end"));
    }
    let mut out = std::io::stdout().lock();
    if a.json {
        json::line(&mut out, "recording", as_json(&rec, read.as_deref()))?;
    } else {
        write!(out, "{}", as_text(&rec, read.as_deref()))?;
    }
    out.flush()?;
    recording::judge(rec.problems())
}

/// `2026-11-24 06:30:22 UTC`.
fn date(ns: u64) -> String {
    let [year, month, day, hour, minute, second] = units::utc(ns / 1_000_000_000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn kind(s: &shmx::StreamInfo) -> String {
    let shape = values::type_text(s);
    match ImageInfo::of(s) {
        Some(i) => format!("{shape} image {}x{} {}", i.width, i.height, i.encoding),
        None => shape,
    }
}

fn as_text(rec: &Recording, read: Option<&[Counts]>) -> String {
    use std::fmt::Write;
    let mut t = String::new();
    let size = units::bytes(rec.bytes());
    if let Some((first, last)) = rec.times() {
        let seconds = (last - first) as f64 / 1e9;
        let _ = writeln!(t, "{} to {}, {seconds:.3} s, {size}", date(first), date(last));
    } else {
        let _ = writeln!(t, "no frames, {size}");
    }
    for (i, region) in rec.regions().iter().enumerate() {
        let _ = write!(t, "region `{}`", safe(region));
        if let Some(c) = read.and_then(|r| r.get(i)) {
            let _ = write!(t, ": {}", units::count(c.frames, "frame"));
            if c.missed > 0 {
                let _ = write!(t, ", {} missed between them", c.missed);
            }
        }
        let messages = rec.control(region).len() as u64;
        if messages > 0 {
            let _ = write!(t, ", {}", units::count(messages, "control message"));
        }
        t.push('\n');
        for s in rec.segments().iter().filter(|s| s.segment.region == *region) {
            let g = &s.segment;
            let _ = write!(
                t,
                "  segment {}, session {:#018x}, {} of {} bytes",
                g.number,
                g.session_id,
                units::count(g.slots.into(), "slot"),
                g.frame_bytes_cap
            );
            match s.end {
                Some((reason, c)) => {
                    let frames = units::count(c.frames, "frame");
                    let _ = writeln!(t, ": {frames}, {} missed, {} rejected, {reason}", c.missed, c.rejected);
                }
                None => t.push_str(": the recording has no end marker\n"),
            }
            for stream in &s.directory.streams {
                let _ = writeln!(t, "    {:>6}  {}  {}", stream.id, safe(&stream.name_lossy()), kind(stream));
            }
        }
    }
    t
}

fn segment_json(s: &SegmentSummary) -> Value {
    let g = &s.segment;
    let streams: Vec<Value> = s
        .directory
        .streams
        .iter()
        .map(|s| json!({"id": s.id, "name": s.name_lossy(), "type": kind(s), "bytes_per_elem": s.bytes_per_elem}))
        .collect();
    json!({
        "segment": g.number,
        "session_id": format!("{:#018x}", g.session_id),
        "server_pid": g.server_pid,
        "slots": g.slots,
        "frame_bytes_cap": g.frame_bytes_cap,
        "checksums": g.has_checksums(),
        "ended": s.end.map(|(r, _)| r.to_string()),
        "frames": s.end.map(|(_, c)| c.frames),
        "missed": s.end.map(|(_, c)| c.missed),
        "rejected": s.end.map(|(_, c)| c.rejected),
        "streams": streams,
    })
}

fn as_json(rec: &Recording, read: Option<&[Counts]>) -> Value {
    let segments = rec.segments();
    let regions: Vec<Value> = rec
        .regions()
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let own: Vec<Value> = segments.iter().filter(|s| s.segment.region == *name).map(segment_json).collect();
            let c = read.and_then(|r| r.get(i));
            json!({
                "region": name, "frames_read": c.map(|c| c.frames), "missed": c.map(|c| c.missed),
                "control": rec.control(name).len(), "segments": own,
            })
        })
        .collect();
    let times = rec.times();
    let problems: Vec<String> = rec.problems().iter().map(ToString::to_string).collect();
    json!({
        "bytes": rec.bytes(),
        "first_ns": times.map(|t| t.0),
        "last_ns": times.map(|t| t.1),
        "regions": regions,
        "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        assert_eq!(super::date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(super::date(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(super::date(1_795_501_822_000_000_000), "2026-11-24 06:30:22 UTC");
    }
}
