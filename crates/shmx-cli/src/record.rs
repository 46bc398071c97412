//! `shmx record`: regions into a file.

use crate::args::parse;
use crate::common::say;
use crate::complete::regions;
use crate::exit;
use crate::json;
use crate::names;
use crate::progress::Progress;
use crate::recording;
use crate::stop;
use crate::units;
use anyhow::bail;
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use shmx_record::{
    Compression, Every, Recorder, RecorderEvent, RecorderOptions, RecorderStatus, RegionStatus, Selection, Sync,
};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Record regions into an MCAP file, without disturbing them.
#[derive(Debug, Args)]
#[command(after_help = "\
Records every frame once, in order, and counts those that it missed. Regions need not be there yet and may restart, \
which begins a new segment in the same file. It sleeps between frames if all servers ring always (--ring-always); \
otherwise it polls. `shmx play` replays the file, and viewers of MCAP files show its numbers, images and points. A \
recorder that is killed leaves a file that is readable up to its last finished chunk, which is at most --flush old. \
Only those who may read the regions may read the file.

Exit codes: 0 ended by --seconds, --frames, --until-gone or a signal, and no frame was missed; 1 failed, or a region \
never came, or a snapshot could not be written (what was written is kept); 2 wrong usage; 3 recorded, but frames were missed or rejected, or control \
messages given up.

Examples:
  shmx record clock -o clock.mcap --seconds 2
  shmx record clock -o clock.mcap --frames 50 --compress zstd
  shmx record clock -o run.mcap --seconds 1 --rotate-size 1M --keep-size 20M
  shmx record 'clock*' --exclude '*-raw' --every 0.1s --seconds 1")]
pub(crate) struct Record {
    /// Regions to record. A pattern also matches regions that appear later.
    #[arg(value_name = "NAME|PATTERN", value_parser = names::pattern, required_unless_present = "all", add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
    /// Record all regions, also those that appear later.
    #[arg(long)]
    all: bool,
    /// Leave out regions that match this, of those found by patterns and --all; may be repeated.
    #[arg(long, value_name = "NAME|PATTERN", value_parser = names::pattern)]
    exclude: Vec<String>,
    /// Record only this stream of each region, by name or number; may be repeated. Frames without it are left out.
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// File to write. Without it, shmx-DATE-TIME.mcap (UTC). With rotation, run.mcap becomes run-0001.mcap,
    /// run-0002.mcap and so on.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Record only every N-th frame of each region, or at most one per TIME; the others are skipped.
    #[arg(long, value_name = "N|TIME", value_parser = parse::every)]
    every: Option<parse::Every>,
    /// End after this time. Without it, go on until interrupted.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    seconds: Option<Duration>,
    /// End after this many frames, counted over all regions, with those that --stream leaves out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Write nothing yet: keep the frames of the last TIME in memory (at most --backlog), and write them to a file of
    /// their own (run-0001.mcap and so on) on each SIGUSR1.
    #[arg(long, value_name = "TIME", value_parser = parse::time,
        conflicts_with_all = ["rotate_size", "rotate_every", "keep_size"])]
    #[cfg(unix)]
    snapshot: Option<Duration>,
    /// With --snapshot: also on each control message of this type (`shmx send NAME TYPE`), once a second at most.
    #[arg(long, value_name = "TYPE", requires = "snapshot", value_parser = parse::message_type)]
    #[cfg(unix)]
    snapshot_on: Option<u32>,
    /// End once every region has been there and its server is gone, instead of waiting for it to come back.
    #[arg(long)]
    until_gone: bool,
    /// Also record the frames that are in the rings at the start. Without it, begin with the newest frame.
    #[arg(long)]
    ring: bool,
    /// Also record the control messages that readers send to the servers; `shmx play --control` sends them again.
    #[arg(long)]
    control: bool,
    /// Fail if no region has appeared after this time. Without it, keep waiting.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    wait_server: Option<Duration>,
    /// Compress the file.
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    compress: Compress,
    /// How hard to compress: 1 to 22 for zstd, 1 to 12 for lz4. Without it, 3 for zstd and the fastest for lz4.
    #[arg(long, value_name = "N", requires = "compress", value_parser = clap::value_parser!(u32).range(1..=22))]
    level: Option<u32>,
    /// Begin a new file when one has reached this size. Without it, when its index has 32 MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    rotate_size: Option<u64>,
    /// Begin a new file when one is this old. Without it, never.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    rotate_every: Option<Duration>,
    /// Remove the oldest files of this recording, so that together they have at most this size. Without it, keep all.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    keep_size: Option<u64>,
    /// End, with the files complete, when the disk has less free space than this; with --snapshot, that snapshot fails.
    /// Without it, when it is full.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    min_free: Option<u64>,
    /// When to force the file to disk, so that it survives a power failure.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "never")]
    sync: SyncWhen,
    /// Memory for frames waiting to be written; when it is full, frames are missed.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse::size)]
    backlog: u64,
    /// Finish a chunk at least this often; a killed recorder loses no more than that.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::time)]
    flush: Duration,
    /// Record whole frames only, no messages for viewers; the file replays all the same.
    #[arg(long)]
    no_views: bool,
    /// Make no messages for viewers, of numbers or points, that are longer than this.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse::size)]
    view_limit: u64,
    /// Do not check the checksums of frames.
    #[arg(long)]
    no_verify: bool,
    /// Replace files that exist, once there is a frame.
    #[arg(long)]
    overwrite: bool,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Compress {
    None,
    Lz4,
    Zstd,
}

impl From<Compress> for Compression {
    fn from(how: Compress) -> Self {
        match how {
            Compress::None => Self::None,
            Compress::Lz4 => Self::Lz4,
            Compress::Zstd => Self::Zstd,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SyncWhen {
    /// When the system decides.
    Never,
    /// When a file is finished.
    File,
    /// With every chunk (--flush).
    Chunk,
}

/// A name for a recording that begins now.
fn default_name(now: SystemTime) -> PathBuf {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let [year, month, day, hour, minute, second] = units::utc(seconds);
    format!("shmx-{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}Z.mcap").into()
}

pub(crate) fn run(a: &Record) -> anyhow::Result<()> {
    let mut options = RecorderOptions::default();
    let (patterns, names): (Vec<String>, Vec<String>) = a.names.iter().cloned().partition(|n| Selection::is_pattern(n));
    options.selection.patterns = patterns;
    if a.all {
        options.selection.patterns.push("*".into());
    }
    options.selection.except.clone_from(&a.exclude);
    options.every = a.every.map(|every| match every {
        parse::Every::Frames(n) => Every::Frames(n),
        parse::Every::Time(time) => Every::Time(time),
    });
    options.writer.streams.clone_from(&a.streams);
    options.writer.min_free = a.min_free;
    options.writer.sync = match a.sync {
        SyncWhen::Never => Sync::Never,
        SyncWhen::File => Sync::File,
        SyncWhen::Chunk => Sync::Chunk,
    };
    options.backlog_bytes = a.backlog;
    options.verify = !a.no_verify;
    options.until_gone = a.until_gone;
    options.ring = a.ring;
    options.control = a.control;
    options.max_frames = a.frames;
    options.writer.compression = a.compress.into();
    options.writer.level = a.level;
    options.writer.flush_after = a.flush.max(Duration::from_millis(1));
    options.writer.views = !a.no_views;
    options.writer.view_bytes = usize::try_from(a.view_limit).unwrap_or(usize::MAX);
    options.writer.rotate_bytes = a.rotate_size;
    options.writer.rotate_after = a.rotate_every;
    options.writer.keep_bytes = a.keep_size;
    options.writer.overwrite = a.overwrite;
    options.writer.discard_empty = true;
    #[cfg(unix)]
    let ask = {
        options.snapshot = a.snapshot;
        options.snapshot_on = a.snapshot_on;
        let ask = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        if a.snapshot.is_some() {
            signal_hook::flag::register(signal_hook::consts::SIGUSR1, ask.clone())?;
        }
        ask
    };
    let keeps = options.snapshot.is_some();
    let output = a.output.clone().unwrap_or_else(|| default_name(SystemTime::now()));
    let rotates = a.rotate_size.is_some() || a.rotate_every.is_some() || a.keep_size.is_some();
    let recorder = Recorder::start(&names, &output, options)?;
    let what = if a.all { "all regions".to_owned() } else { a.names.join(", ") };
    if keeps {
        let (pid, file) = (std::process::id(), output.display());
        say(format_args!("keeping {what}; kill -USR1 {pid} writes it into files named after {file}; Ctrl-C ends it"));
    } else {
        let files = if rotates { "files named after " } else { "" };
        say(format_args!("recording {what} to {files}{}; Ctrl-C ends it", output.display()));
    }
    let mut told_waiting = false;
    let start = Instant::now();
    let end = a.seconds.map(|s| start + s);
    let line = Progress::of_words();
    let mut rate = Rate::default();
    let mut nobody = false;
    let mut logged = start;
    loop {
        while let Some(event) = recorder.next_event() {
            tell(&line, &event);
        }
        let status = recorder.status();
        if status.ended {
            break;
        }
        #[cfg(unix)]
        if ask.swap(false, std::sync::atomic::Ordering::Acquire) {
            recorder.snapshot();
        }
        line.show(rate.line(&status));
        if !told_waiting && start.elapsed() > WAITING {
            told_waiting = true;
            if let Some(words) = waiting(&status, a.all) {
                line.say(format_args!("{words}"));
            }
        }
        if a.wait_server.is_some_and(|w| start.elapsed() >= w) && status.regions.iter().all(|r| r.segments == 0) {
            nobody = true;
            break;
        }
        if logged.elapsed() >= Duration::from_secs(1) {
            logged = Instant::now();
            tracing::info!("{}", rate.line(&status));
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
        line.show("finishing the file".into());
        std::thread::sleep(Duration::from_millis(5));
    }
    while let Some(event) = recorder.next_event() {
        tell(&line, &event);
    }
    let status = recorder.status();
    drop(line);
    let finished = recorder.finish_files();
    let seconds = start.elapsed().as_secs_f64();
    let sums = Sums::of(&status);
    let Sums { missed, rejected, .. } = sums;
    let (written, paths) = finished?;
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let mut left_out = if a.every.is_some() { format!(", {} skipped", sums.skipped) } else { String::new() };
    if !a.streams.is_empty() {
        left_out += &format!(", {} left out", written.left_out);
    }
    let messages =
        if a.control { format!(", {}", units::count(sums.control, "control message")) } else { String::new() };
    say(format_args!(
        "{} written, {missed} missed, {rejected} rejected{left_out}{messages}, {}{}, {seconds:.1} s",
        units::count(written.frames, "frame"),
        units::bytes(written.bytes),
        recording::place(&paths),
    ));
    if written.removed > 0 {
        say(format_args!("{} removed to stay within the total size", units::count(written.removed.into(), "old file")));
    }
    if written.unviewed > 0 {
        say(format_args!(
            "{} no message for viewers: too large, or not the image that the stream describes",
            match written.unviewed {
                1 => "1 stream of a frame has".to_owned(),
                n => format!("{n} streams of frames have"),
            }
        ));
    }
    if a.json {
        let regions: Vec<_> = status
            .regions
            .iter()
            .map(|r| {
                serde_json::json!({
                    "region": r.region, "segments": r.segments, "frames": r.taken, "missed": r.missed,
                    "rejected": r.rejected, "skipped": r.skipped, "bytes": r.bytes, "control": r.control,
                    "control_lost_bytes": r.control_lost,
                })
            })
            .collect();
        let gone = status.forgotten;
        let summary = serde_json::json!({
            "seconds": seconds, "frames": written.frames, "missed": missed, "rejected": rejected,
            "taken": sums.taken, "messages": written.messages, "bytes": written.bytes, "files": written.files,
            "removed": written.removed, "memory_bytes": status.memory_bytes,
            "skipped": sums.skipped, "control": written.control, "syncs": written.syncs, "snapshots": written.snapshots,
            "snapshots_failed": written.snapshots_failed,
            "left_out": written.left_out, "control_dropped": written.control_dropped, "file": paths.first(), "paths": paths,
            "sleeps": status.sleeps, "looks": status.looks, "regions": regions,
            "forgotten": {
                "regions": gone.regions, "frames": gone.taken, "missed": gone.missed, "rejected": gone.rejected,
                "skipped": gone.skipped, "bytes": gone.bytes, "control": gone.control,
                "control_lost_bytes": gone.control_lost,
            },
        });
        json::print("record", summary)?;
    }
    if nobody || status.regions.is_empty() {
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
    if written.frames == 0 && (!keeps || sums.taken == 0 || written.left_out > 0) {
        if written.left_out > 0 {
            let names = a.streams.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
            bail!("no frame has a stream {names}; `shmx inspect` lists the streams of a region");
        }
        bail!("no frame was recorded; see whether the servers publish");
    }
    if written.snapshots_failed > 0 {
        bail!("{} could not be written; why is told above", units::count(written.snapshots_failed, "snapshot"));
    }
    match (missed, rejected) {
        (0, 0) if written.control_dropped > 0 => Err(recording::dropped(written.control_dropped)),
        (0, 0) => Ok(()),
        (missed, 0) => Err(exit::incomplete(format!("{} missed; {HELP}", units::were(missed, "frame")))),
        (missed, rejected) => {
            let words = format!("{} missed, {rejected} rejected as damaged; {HELP}", units::were(missed, "frame"));
            Err(exit::incomplete(words))
        }
    }
}

/// Over all regions, also those that are not listed any more.
#[derive(Clone, Copy)]
struct Sums {
    taken: u64,
    missed: u64,
    rejected: u64,
    skipped: u64,
    control: u64,
}

impl Sums {
    fn of(status: &RecorderStatus) -> Self {
        let f = &status.forgotten;
        let (taken, missed) = (f.taken, f.missed);
        let mut sums = Self { taken, missed, rejected: f.rejected, skipped: f.skipped, control: f.control };
        for r in &status.regions {
            sums.taken += r.taken;
            sums.missed = sums.missed.saturating_add(r.missed);
            sums.rejected += r.rejected;
            sums.skipped += r.skipped;
            sums.control += r.control;
        }
        sums
    }
}

/// What to do about missed frames.
const HELP: &str = "more slots, --no-views or a faster disk give the recorder more time";

/// How long a region may be absent before that is said.
const WAITING: Duration = Duration::from_secs(1);

/// What it waits for; none if everything is there.
fn waiting(status: &RecorderStatus, all: bool) -> Option<String> {
    let absent: Vec<String> =
        status.regions.iter().filter(|r| r.segments == 0).map(|r| format!("`{}`", r.region)).collect();
    match (absent.is_empty(), status.regions.is_empty()) {
        (false, _) => Some(format!("waiting for {}; see `shmx ls`", absent.join(", "))),
        (_, true) if all => Some("waiting: there is no region yet".to_owned()),
        (_, true) => Some("waiting: no region matches yet; see `shmx ls`".to_owned()),
        (true, false) => None,
    }
}

fn tell(line: &Progress, event: &RecorderEvent) {
    match event {
        RecorderEvent::Begin { region, segment: 1, missed: 0 } => line.say(format_args!("`{region}` is there")),
        RecorderEvent::Begin { region, segment, missed } => {
            let lost =
                if *missed > 0 { format!(", {} gone by then", units::were(*missed, "frame")) } else { String::new() };
            let what = if *segment > 1 { "has restarted" } else { "is there" };
            line.say(format_args!("`{region}` {what}: segment {segment}{lost}"));
        }
        RecorderEvent::End { region, segment, reason, counts } => line.say(format_args!(
            "`{region}` segment {segment} ended ({reason}): {}, {} missed",
            units::count(counts.frames, "frame"),
            counts.missed
        )),
        RecorderEvent::ClockSet { step_ns } => line.say(format_args!(
            "the system's clock was set by {:+.1} s, or the machine slept; times in this file go on as they were, and \
             the next file begins with the new time",
            *step_ns as f64 / 1e9
        )),
        RecorderEvent::Snapshot { path: None, .. } => {
            line.say(format_args!("there is no frame to write; nothing was written"))
        }
        RecorderEvent::Snapshot { path: Some(path), frames, reaches } => line.say(format_args!(
            "{} of the last {:.1} s written to {}",
            units::count(*frames, "frame"),
            reaches.as_secs_f64(),
            path.display()
        )),
        RecorderEvent::SnapshotFailed { what } => line.say(format_args!("a snapshot could not be written: {what}")),
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
        let Sums { taken: frames, missed, .. } = Sums::of(s);
        self.seen.push_back((now, frames, s.written.bytes));
        while self.seen.len() > 20 {
            self.seen.pop_front();
        }
        let (t, f, b) = self.seen.front().copied().unwrap_or((now, frames, s.written.bytes));
        let dt = now.duration_since(t).as_secs_f64().max(1e-3);
        let open = s.regions.iter().filter(|r| r.open).count();
        // What a pattern has found and is gone is not waited for.
        let wanted = || s.regions.iter().filter(|r| !r.rests);
        let name = wanted().find(|r| !r.open).map(|r| format!(", waiting for `{}`", r.region)).unwrap_or_default();
        format!(
            "{open}/{}, {}, {:.1}/s, {}/s, backlog {} {}, missed {missed}, {}{name}",
            units::count(wanted().count() as u64, "region"),
            units::count(frames, "frame"),
            (frames - f) as f64 / dt,
            units::bytes(((s.written.bytes.saturating_sub(b)) as f64 / dt) as u64),
            units::count(s.backlog_frames, "frame"),
            units::bytes(s.backlog_bytes),
            units::bytes(s.written.bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_without_a_name_is_named_after_its_beginning() {
        let of = |seconds| default_name(UNIX_EPOCH + Duration::from_secs(seconds)).display().to_string();
        assert_eq!(of(0), "shmx-19700101-000000Z.mcap");
        assert_eq!(of(951_782_399), "shmx-20000228-235959Z.mcap");
        assert_eq!(of(951_782_400), "shmx-20000229-000000Z.mcap");
        assert_eq!(of(1_796_000_000), "shmx-20261130-005320Z.mcap");
        assert_eq!(of(4_107_542_400), "shmx-21000301-000000Z.mcap");
    }
}
