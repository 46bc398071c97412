//! `shmx record`: regions into a file.

use crate::args::parse;
use crate::common::say;
use crate::complete::regions;
use crate::exit;
use crate::json;
use crate::recording::{self, Line};
use crate::stop;
use anyhow::bail;
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use shmx_record::{Compression, Recorder, RecorderEvent, RecorderOptions, RecorderStatus, RegionStatus};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Names of the regions.
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
    /// The file to write; with rotation `run.mcap` becomes run-0001.mcap, run-0002.mcap and so on.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// End after this time.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    seconds: Option<Duration>,
    /// End after this many frames of all regions together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// End when every region was there and its server is gone, instead of waiting for it to come back.
    #[arg(long)]
    until_gone: bool,
    /// Also what is in the rings when it starts, published before; otherwise it begins with the newest frame.
    #[arg(long)]
    ring: bool,
    /// Fail when no region is there within this time. Without it, wait.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    wait_server: Option<Duration>,
    /// Compress the file.
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    compress: Compress,
    /// Begin a new file when one has this size.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    rotate_size: Option<u64>,
    /// Begin a new file when one is this old.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    rotate_every: Option<Duration>,
    /// Remove the oldest files of this recording, so that all have at most this size together.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    keep_size: Option<u64>,
    /// Memory for frames that wait to be written; when it is full, frames are missed.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse::size)]
    backlog: u64,
    /// Finish a chunk at least this often: what a killed recorder loses at most.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::time)]
    flush: Duration,
    /// Only whole frames, no messages for viewers: half the size, and it can be replayed all the same.
    #[arg(long)]
    no_views: bool,
    /// Streams whose message of numbers or points would be longer than this are in the whole frames only.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse::size)]
    view_limit: u64,
    /// Do not compare the frames' checksums.
    #[arg(long)]
    no_verify: bool,
    /// Replace files that exist.
    #[arg(long)]
    overwrite: bool,
    /// Print a summary as JSON to stdout at the end.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compress {
    None,
    Lz4,
    Zstd,
}

pub(crate) fn run(a: &Record) -> anyhow::Result<()> {
    let mut options = RecorderOptions::default();
    options.backlog_bytes = a.backlog;
    options.verify = !a.no_verify;
    options.until_gone = a.until_gone;
    options.ring = a.ring;
    options.max_frames = a.frames;
    options.writer.compression = match a.compress {
        Compress::None => Compression::None,
        Compress::Lz4 => Compression::Lz4,
        Compress::Zstd => Compression::Zstd,
    };
    options.writer.flush_after = a.flush.max(Duration::from_millis(1));
    options.writer.views = !a.no_views;
    options.writer.view_bytes = usize::try_from(a.view_limit).unwrap_or(usize::MAX);
    options.writer.rotate_bytes = a.rotate_size;
    options.writer.rotate_after = a.rotate_every;
    options.writer.keep_bytes = a.keep_size;
    options.writer.overwrite = a.overwrite;
    options.writer.discard_empty = true;
    let recorder = Recorder::start(&a.names, &a.output, options)?;
    let to = a.output.display();
    say(format_args!("recording {} to {to}; Ctrl-C ends it", a.names.join(", ")));
    let start = Instant::now();
    let end = a.seconds.map(|s| start + s);
    let mut line = Line::new(None);
    let mut rate = Rate::default();
    let mut nobody = false;
    loop {
        while let Some(event) = recorder.next_event() {
            tell(&line, &event);
        }
        let status = recorder.status();
        if status.ended {
            break;
        }
        line.show(rate.line(&status), 0);
        if a.wait_server.is_some_and(|w| start.elapsed() >= w) && status.regions.iter().all(|r| r.segments == 0) {
            nobody = true;
            break;
        }
        let now = Instant::now();
        if end.is_some_and(|e| now >= e)
            || !stop::sleep_until((now + Duration::from_millis(100)).min(end.unwrap_or(now + Duration::from_secs(1))))
        {
            break;
        }
    }
    recorder.stop();
    // What is left is written before the last words.
    while !recorder.status().ended {
        line.show("finishing the file".into(), 0);
        std::thread::sleep(Duration::from_millis(5));
    }
    while let Some(event) = recorder.next_event() {
        tell(&line, &event);
    }
    let status = recorder.status();
    drop(line);
    let written = recorder.finish();
    let seconds = start.elapsed().as_secs_f64();
    let taken: u64 = status.regions.iter().map(|r| r.taken).sum();
    let missed: u64 = status.regions.iter().fold(0, |n, r| n.saturating_add(r.missed));
    let rejected: u64 = status.regions.iter().map(|r| r.rejected).sum();
    let written = written?;
    let files = if written.files == 1 { String::new() } else { format!(" in {} files", written.files) };
    say(format_args!(
        "{} frames written, {missed} missed, {rejected} rejected, {}{files}, {seconds:.1} s",
        written.frames,
        recording::bytes(written.bytes)
    ));
    if written.removed > 0 {
        say(format_args!("{} old files removed to stay within the total size", written.removed));
    }
    if written.unviewed > 0 {
        say(format_args!(
            "{} streams of frames were too large for a viewer's message, or no image as described",
            written.unviewed
        ));
    }
    if a.json {
        let regions: Vec<_> = status
            .regions
            .iter()
            .map(|r| {
                serde_json::json!({
                    "region": r.region, "segments": r.segments, "frames": r.taken, "missed": r.missed,
                    "rejected": r.rejected, "bytes": r.bytes,
                })
            })
            .collect();
        let summary = serde_json::json!({
            "seconds": seconds, "frames": written.frames, "missed": missed, "rejected": rejected,
            "taken": taken, "messages": written.messages, "bytes": written.bytes, "files": written.files,
            "removed": written.removed, "memory_bytes": status.memory_bytes, "sleeps": status.sleeps, "regions": regions,
        });
        json::print("record", summary)?;
    }
    if nobody {
        bail!("none of the regions was there; start their servers, or see `shmx ls`");
    }
    let never = |r: &&RegionStatus| r.segments == 0;
    let missing: Vec<&RegionStatus> = status.regions.iter().filter(never).collect();
    if let Some(first) = missing.first() {
        // Of many the first ones, and one reason.
        let names: Vec<String> = missing.iter().take(5).map(|r| format!("`{}`", r.region)).collect();
        let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
        let why = first.trouble.as_deref().unwrap_or("not there");
        bail!("nothing of {}{more} was recorded: {why}; what was recorded of others is kept", names.join(", "));
    }
    if written.frames == 0 {
        bail!("no frame was recorded; see whether the servers publish");
    }
    match (missed, rejected) {
        (0, 0) => Ok(()),
        (missed, 0) => Err(exit::incomplete(format!("{missed} frames were missed; {HELP}"))),
        (missed, rejected) => {
            let words = format!("{missed} frames were missed, {rejected} rejected as damaged; {HELP}");
            Err(exit::incomplete(words))
        }
    }
}

/// What to do about missed frames.
const HELP: &str = "more slots, --no-views or a faster disk give the recorder more time";

fn tell(line: &Line, event: &RecorderEvent) {
    match event {
        RecorderEvent::Begin { region, segment: 1, missed: 0 } => line.say(format_args!("`{region}` is there")),
        RecorderEvent::Begin { region, segment, missed } => {
            let lost = if *missed > 0 { format!(", {missed} frames were gone by then") } else { String::new() };
            let what = if *segment > 1 { "has restarted" } else { "is there" };
            line.say(format_args!("`{region}` {what}: segment {segment}{lost}"));
        }
        RecorderEvent::End { region, segment, reason, counts } => line.say(format_args!(
            "`{region}` segment {segment} ended ({reason}): {} frames, {} missed",
            counts.frames, counts.missed
        )),
        RecorderEvent::ClockSet { step_ns } => line.say(format_args!(
            "the system's clock was set by {:+.1} s, or the machine slept; times in this file go on as they were, and \
             the next file begins with the new time",
            *step_ns as f64 / 1e9
        )),
        RecorderEvent::Trouble { region, what } => line.say(format_args!("`{region}`: {what}")),
        _ => {}
    }
}

/// Rates over the last seconds.
#[derive(Default)]
struct Rate {
    seen: std::collections::VecDeque<(Instant, u64, u64)>,
}

impl Rate {
    fn line(&mut self, s: &RecorderStatus) -> String {
        let now = Instant::now();
        let frames: u64 = s.regions.iter().map(|r| r.taken).sum();
        let missed: u64 = s.regions.iter().fold(0, |n, r| n.saturating_add(r.missed));
        self.seen.push_back((now, frames, s.written.bytes));
        while self.seen.len() > 20 {
            self.seen.pop_front();
        }
        let (t, f, b) = self.seen.front().copied().unwrap_or((now, frames, s.written.bytes));
        let dt = now.duration_since(t).as_secs_f64().max(1e-3);
        let open = s.regions.iter().filter(|r| r.open).count();
        let name =
            s.regions.iter().find(|r| !r.open).map(|r| format!(", waiting for `{}`", r.region)).unwrap_or_default();
        format!(
            "{open}/{} regions, {frames} frames, {:.1}/s, {}/s, backlog {} frames {}, missed {missed}, {}{name}",
            s.regions.len(),
            (frames - f) as f64 / dt,
            recording::bytes(((s.written.bytes.saturating_sub(b)) as f64 / dt) as u64),
            s.backlog_frames,
            recording::bytes(s.backlog_bytes),
            recording::bytes(s.written.bytes),
        )
    }
}
