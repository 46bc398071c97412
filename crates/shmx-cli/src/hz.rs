//! `shmx hz`: rate, jitter, latency and bandwidth of a region, measured from outside.

use crate::acquired::Acquired;
use crate::args::parse::positive_time;
use crate::args::waiting::WaitServer;
use crate::common::{self, SLICE};
use crate::complete::regions;
use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::names;
use crate::progress::Progress;
use crate::seen::{PUBLISH_STEP, Seen};
use crate::source;
use crate::stop;
use crate::units;
use anyhow::anyhow;
use clap::Args;
use clap_complete::ArgValueCompleter;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use shmx::error::{ReadError, ServerEnd};
use shmx::{Inspector, ServerState, Start, Tap, Token, Verify, WaitSet};
use shmx_os::clock::ticks;
use std::io::Write;
use std::time::{Duration, Instant};

/// Measure rate, jitter, latency, bandwidth and missed frames.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line each second, and a summary after --seconds or on SIGINT. Interval: from one publish to the next. Jitter: \
the difference between an interval and the one before. Acquired: from acquisition to publish, where a stream carries \
acquisition times. Seen after: from publish until this command has the frame, which includes the pause between its \
polls. Taken after: from publish until a reader has the frame, as that reader's slot says. Read-only: it polls often \
enough to see each frame before it is overwritten, and counts those that it missed.

Exit codes: 0 done; 1 no frame came, the server left before --seconds were over, or failed; 2 wrong usage.

Examples:
  shmx hz clock
  shmx hz clock --seconds 2
  shmx hz 'clock*' --seconds 1
  shmx hz clock --seconds 1 --json | jq .interval.p99_ns")]
pub(crate) struct Hz {
    /// Regions to measure. For a pattern, those that are live at the start.
    #[arg(required = true, value_name = "NAME|PATTERN", value_parser = names::pattern, add = ArgValueCompleter::new(regions))]
    names: Vec<String>,
    /// End after this time. Without it, go on until interrupted.
    #[arg(long, value_name = "TIME", value_parser = positive_time, allow_negative_numbers = true)]
    seconds: Option<Duration>,
    #[command(flatten)]
    server: WaitServer,
    /// Print only the summary, as a JSON object for each region.
    #[arg(long)]
    json: bool,
}

/// Longest time that the histograms tell apart, nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Times in nanoseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> anyhow::Result<Self> {
        let h = Histogram::new_with_bounds(1, LONGEST, 3);
        Ok(Self(h.map_err(|e| anyhow!("cannot set up the statistics: {e}"))?))
    }

    fn add(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

    fn json(&self) -> Value {
        let h = &self.0;
        if h.is_empty() {
            return Value::Null;
        }
        let q = |q| h.value_at_quantile(q);
        json!({
            "count": h.len(), "mean_ns": h.mean().round() as u64, "min_ns": h.min(), "p50_ns": q(0.5),
            "p90_ns": q(0.9), "p99_ns": q(0.99), "p999_ns": q(0.999), "max_ns": h.max(),
            "stddev_ns": h.stdev().round() as u64,
        })
    }

    fn text(&self) -> String {
        let h = &self.0;
        if h.is_empty() {
            return "not known".into();
        }
        // Publish times have steps, and nothing is known below them.
        let time = |n: u64| {
            if n < PUBLISH_STEP { format!("<{}", units::ns(PUBLISH_STEP)) } else { units::ns(n) }
        };
        let mut text = format!("mean {}, min {}", time(h.mean() as u64), time(h.min()));
        for (name, q) in Self::QUANTILES {
            text.push_str(&format!(", {name} {}", time(h.value_at_quantile(q))));
        }
        format!("{text}, max {}", time(h.max()))
    }
}

/// How long a reader takes, from its slot.
struct Reader {
    index: u32,
    id: u64,
    pid: u32,
    last_frame: u64,
    heartbeat: u64,
    missed_before: u64,
    missed: u64,
    taken: Times,
}

struct Measure {
    began: u64,
    first: Option<Seen>,
    last: Option<Seen>,
    received: u64,
    bytes: u64,
    interval: Times,
    /// Difference of each interval to the one before.
    jitter: Times,
    last_interval: Option<u64>,
    latency: Times,
    /// From acquisition to publish, the frames whose time lies ahead, and the stream that tells it.
    acquired: Times,
    ahead: u64,
    acquisition: Option<(Acquired, String)>,
    polls: u64,
    readers: Vec<Reader>,
    /// Publish times of the newest frames, for the readers' latencies.
    recent: std::collections::VecDeque<(u64, u64)>,
    /// Whether frames carry publish times.
    timed: bool,
}

impl Measure {
    fn new(began: u64) -> anyhow::Result<Self> {
        Ok(Self {
            began,
            first: None,
            last: None,
            received: 0,
            bytes: 0,
            interval: Times::new()?,
            jitter: Times::new()?,
            last_interval: None,
            latency: Times::new()?,
            acquired: Times::new()?,
            ahead: 0,
            acquisition: None,
            polls: 0,
            readers: Vec::new(),
            recent: std::collections::VecDeque::new(),
            timed: true,
        })
    }

    fn take(&mut self, f: Seen) {
        let at = f.time();
        self.timed &= f.published.is_some();
        if let Some(last) = self.last {
            let before = last.time();
            if f.id == last.id + 1 {
                let interval = at.saturating_sub(before);
                self.interval.add(interval);
                if let Some(one) = self.last_interval {
                    self.jitter.add(interval.abs_diff(one));
                }
                self.last_interval = Some(interval);
            } else {
                self.last_interval = None;
            }
        }
        if let Some(p) = f.published {
            self.latency.add(f.seen.saturating_sub(p));
            self.recent.push_back((f.id, p));
            if self.recent.len() > 4096 {
                self.recent.pop_front();
            }
        }
        self.received += 1;
        self.bytes += u64::from(f.bytes);
        self.first.get_or_insert(f);
        self.last = Some(f);
    }

    /// Notes when the frame's data was acquired, if a stream tells.
    fn note_acquisition(&mut self, data: Option<&[u8]>, published: u64) {
        let acquired = self.acquisition.as_ref().zip(data).and_then(|((a, _), data)| a.before(data, published));
        match acquired.map(u64::try_from) {
            Some(Ok(ns)) => self.acquired.add(ns),
            Some(Err(_)) => self.ahead += 1,
            None => {}
        }
    }

    /// Notes which frames the readers have taken since the last poll, and when.
    fn look_at_readers(&mut self, inspector: &Inspector) -> anyhow::Result<()> {
        for info in inspector.snapshot_readers() {
            let known = self.readers.iter().position(|r| r.index == info.index && r.id == info.reader_id);
            let Some(e) = info.extension.filter(|_| info.in_use) else { continue };
            let Some(at) = known else {
                self.readers.push(Reader {
                    index: info.index,
                    id: info.reader_id,
                    pid: e.pid,
                    last_frame: info.last_frame_seen,
                    heartbeat: info.heartbeat,
                    missed_before: e.missed,
                    missed: e.missed,
                    taken: Times::new()?,
                });
                continue;
            };
            let r = &mut self.readers[at];
            r.missed = e.missed;
            let (frame, beat) = (info.last_frame_seen, info.heartbeat);
            // The reader notes the frame and then the time. Only where both have moved do they belong together.
            if frame != r.last_frame && beat != r.heartbeat {
                let published = self.recent.iter().rev().find(|&&(id, _)| id == frame).map(|&(_, p)| p);
                if let Some(p) = published.filter(|&p| beat >= p) {
                    r.taken.add(beat - p);
                }
            }
            (r.last_frame, r.heartbeat) = (frame, beat);
        }
        Ok(())
    }

    /// Frames published per second between the first and the last one received.
    fn rate(&self) -> Option<f64> {
        let (a, b) = (self.first?, self.last?);
        let time = b.time().saturating_sub(a.time());
        (time > 0).then(|| (b.id - a.id) as f64 * 1e9 / time as f64)
    }

    /// Payload bytes per second; missed frames count with the mean size of the others.
    fn bandwidth(&self) -> Option<f64> {
        Some(self.rate()? * self.bytes as f64 / self.received.max(1) as f64)
    }
}

/// Opens the region twice: for its frames from now on, and for its readers.
fn open(name: &str) -> Result<((Inspector, Tap), ServerState), shmx::error::OpenError> {
    let inspector = Inspector::open(name)?;
    let h = inspector.header();
    let start = Start::After { session_id: h.session_id, frame_id: h.frame_seq };
    let tap = Tap::options().start(start).verify(Verify::Never).open(name)?;
    let state = tap.state();
    Ok(((inspector, tap), state))
}

/// A region that is measured.
struct Target<'a> {
    name: &'a str,
    inspector: Inspector,
    tap: Tap,
    m: Measure,
    /// When a line was last written, and what had come by then.
    told: (Instant, u64, u64),
    /// When its server's life is looked at next.
    life: Instant,
    /// It has ended: in order, or why it failed.
    ended: Option<anyhow::Result<()>>,
}

pub(crate) fn run(a: &Hz) -> anyhow::Result<()> {
    let mut all = Vec::new();
    let names = names::live(&a.names, a.server.wait_server)?;
    for name in &names {
        let found = source::look(name, a.server.wait_server, || open(name))?;
        let Some((inspector, tap)) = found else { return Err(exit::interrupted("nothing was measured")) };
        common::opened(name, &tap.header(), tap.layout());
        let now = Instant::now();
        let m = Measure::new(ticks())?;
        all.push(Target { name, inspector, tap, m, told: (now, 0, 0), life: now, ended: None });
    }
    measure(a, &mut all);
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    for t in all {
        if t.m.received == 0 {
            let why = match t.ended {
                Some(Err(e)) => e,
                _ if stop::requested() => exit::interrupted(&format!("no frame of `{}` came", t.name)),
                _ => {
                    let time = units::ns(a.seconds.unwrap_or_default().as_nanos() as u64);
                    anyhow!("no frame of `{}` in {time}; see whether its server publishes", t.name)
                }
            };
            failed = Some(why);
            continue;
        }
        if a.json {
            json::line(&mut out, "rates", summary_json(t.name, &t.m, &t.tap))?;
        } else {
            summary(t.name, &t.m, &t.tap, &t.inspector, &mut out)?;
        }
        failed = t.ended.and_then(Result::err).or(failed);
    }
    out.flush()?;
    failed.map_or(Ok(()), Err)
}

/// The doorbells of several, if each server rings for those that only look; otherwise they are polled, and one tap
/// sleeps by itself.
fn bells(all: &mut [Target<'_>]) -> Option<(WaitSet, Vec<Token>)> {
    let mut set = (all.len() > 1 && all.iter().all(|t| t.tap.can_sleep())).then(WaitSet::new)?.ok()?;
    let tokens = all.iter_mut().map(|t| set.add(&mut t.tap)).collect();
    Some((set, tokens))
}

/// Measures all until the time is up, a signal comes, or none is left.
fn measure(a: &Hz, all: &mut [Target<'_>]) {
    let progress = a.seconds.filter(|_| a.json).map(|s| Progress::of_time(s, "measuring"));
    let end = a.seconds.map(|s| Instant::now() + s);
    let several = all.len() > 1;
    let mut set = bells(all);
    loop {
        let now = Instant::now();
        let (mut pause, mut more) = (SLICE, false);
        for (i, t) in all.iter_mut().enumerate().filter(|(_, t)| t.ended.is_none()) {
            match t.turn(a, now) {
                Ok(again) => more |= again,
                Err(e) => t.ended = Some(Err(e)),
            }
            // Nobody polls it any more, so it would be reported for ever.
            if let (Some((set, tokens)), Some(_)) = (&mut set, &t.ended) {
                set.remove(tokens[i]);
            }
            if !a.json && t.told.0.elapsed() >= Duration::from_secs(1) && t.tell(several).is_err() {
                return;
            }
            pause = pause.min(t.tap.pause());
        }
        if let Some(p) = &progress {
            p.tick();
        }
        if end.is_some_and(|e| now >= e) || stop::requested() || all.iter().all(|t| t.ended.is_some()) {
            return;
        }
        if !more {
            let left = end.map_or(SLICE, |e| e.saturating_duration_since(Instant::now()).min(SLICE));
            match (&mut set, &mut *all) {
                (Some((set, _)), _) => drop(set.wait(left)),
                (None, [one]) => one.tap.sleep(left),
                (None, _) => std::thread::sleep(left.min(pause)),
            }
        }
    }
}

impl Target<'_> {
    /// Takes what has come; whether there may be more at once.
    fn turn(&mut self, a: &Hz, now: Instant) -> anyhow::Result<bool> {
        // Life first: a frame published just before the end is then still found.
        let mut state = ServerState::Live;
        if now >= self.life {
            self.life = now + Duration::from_millis(20);
            if !self.tap.is_whole() {
                return Err(common::cut_short(self.name));
            }
            state = self.tap.state();
        }
        self.m.polls += 1;
        let taken = take(self.name, &mut self.tap, &mut self.m)?;
        if taken > 0 || self.m.polls.is_multiple_of(8) {
            self.m.look_at_readers(&self.inspector)?;
        }
        match state {
            _ if taken == TURN => {}
            // Without a time to measure for, an orderly end is one.
            ServerState::Closed if a.seconds.is_none() => self.ended = Some(Ok(())),
            ServerState::Closed => return Err(common::gone(self.name, ServerEnd::Closed)),
            ServerState::Died => return Err(common::gone(self.name, ServerEnd::Died)),
            _ => {}
        }
        Ok(taken == TURN)
    }

    /// A line each second while it lasts.
    fn tell(&mut self, several: bool) -> anyhow::Result<()> {
        let (since, frames, bytes) = self.told;
        let passed = since.elapsed();
        let (total, missed) = (published(&self.m, &self.tap), self.tap.stats().missed);
        let hz = (total - frames) as f64 / passed.as_secs_f64();
        let bw = (self.m.bytes - bytes) as f64 / passed.as_secs_f64();
        let name = if several { format!("{:<20} ", safe(self.name)) } else { String::new() };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{name}{:>9}  {:>12}  {missed} missed", units::rate(hz), units::bandwidth(bw))?;
        out.flush()?;
        self.told = (Instant::now(), total, self.m.bytes);
        Ok(())
    }
}

/// Frames taken before readers, signals and the time get their turn.
const TURN: u32 = 64;

/// Takes what frames there are, at most a turn of them, and says how many it came by.
fn take(name: &str, tap: &mut Tap, m: &mut Measure) -> anyhow::Result<u32> {
    match tap.directory_changed() {
        Ok(Some(directory)) => {
            m.acquisition = Acquired::of(&directory).map(|acquired| {
                let name = directory.stream(acquired.stream).map(|s| s.name_lossy().into_owned());
                (acquired, name.unwrap_or_default())
            });
        }
        Ok(None) => {}
        Err(e) => tracing::debug!("directory not read: {e}"),
    }
    for n in 0..TURN {
        match tap.try_next() {
            Ok(Some(frame)) => {
                let seen = Seen::of(&frame, ticks());
                m.take(seen);
                let stream = m.acquisition.as_ref().map(|(a, _)| a.stream);
                let data = stream.and_then(|id| frame.stream(id).ok().flatten()).map(|s| s.data);
                m.note_acquisition(data, seen.time());
            }
            Ok(None) => return Ok(n),
            Err(ReadError::SessionChanged) => return Err(source::taken_over(name)),
            Err(e) if e.is_final() => return Err(anyhow::Error::new(e).context("cannot read on")),
            Err(e) => tracing::warn!("frame rejected: {e}"),
        }
    }
    Ok(TURN)
}

/// Frames published while it measured.
fn published(m: &Measure, tap: &Tap) -> u64 {
    let s = tap.stats();
    m.received + s.missed + s.rejected
}

fn poll_ns(m: &Measure) -> u64 {
    (ticks() - m.began) / m.polls.max(1)
}

fn summary(name: &str, m: &Measure, tap: &Tap, inspector: &Inspector, out: &mut impl Write) -> anyhow::Result<()> {
    let seconds = (ticks() - m.began) as f64 / 1e9;
    let (frames, received, s) = (published(m, tap), m.received, tap.stats());
    let frames = units::count(frames, "frame");
    write!(out, "region     {}: {frames} in {seconds:.2} s, ", safe(name))?;
    writeln!(out, "{received} received, {} missed, {} rejected", s.missed, s.rejected)?;
    match (m.rate(), m.bandwidth()) {
        (Some(r), Some(b)) => {
            let each = m.bytes / m.received.max(1);
            writeln!(out, "rate       {}, {}, {} per frame", units::rate(r), units::bandwidth(b), units::bytes(each))?;
        }
        _ => writeln!(out, "rate       not known from a single frame")?,
    }
    let by = if m.timed { "" } else { " (as seen: the producer gives no publish times)" };
    writeln!(out, "interval   {}{by}", m.interval.text())?;
    writeln!(out, "jitter     {}", m.jitter.text())?;
    if let Some((_, name)) = &m.acquisition {
        let ahead =
            if m.ahead > 0 { format!("; {} acquired after they were published", m.ahead) } else { String::new() };
        let of = if m.timed { "published" } else { "seen" };
        writeln!(out, "acquired   {} before it was {of} (stream `{}`){ahead}", m.acquired.text(), safe(name))?;
    }
    writeln!(out, "seen after {} (polled every {})", m.latency.text(), units::ns(poll_ns(m)))?;
    for r in &m.readers {
        let program = common::program(inspector, r.pid).map(|n| format!(" {n}")).unwrap_or_default();
        let missed = r.missed.saturating_sub(r.missed_before);
        writeln!(out, "reader {:<3} pid {}{program}: {missed} missed; taken after {}", r.index, r.pid, r.taken.text())?;
    }
    Ok(())
}

fn summary_json(name: &str, m: &Measure, tap: &Tap) -> Value {
    let s = tap.stats();
    json!({
        "region": name,
        "seconds": (ticks() - m.began) as f64 / 1e9,
        "frames": published(m, tap), "received": m.received, "missed": s.missed, "rejected": s.rejected,
        "rate_hz": m.rate(), "bytes_per_second": m.bandwidth(), "bytes_per_frame": m.bytes / m.received.max(1),
        "publish_times": m.timed,
        "interval": m.interval.json(), "jitter": m.jitter.json(), "seen_after": m.latency.json(),
        "acquired_before": m.acquisition.as_ref().map(|(_, name)| json!({
            "stream": name, "latency": m.acquired.json(), "ahead": m.ahead,
        })),
        "poll_every_ns": poll_ns(m),
        "readers": m.readers.iter().map(|r| json!({
            "index": r.index, "pid": r.pid, "missed": r.missed.saturating_sub(r.missed_before),
            "taken_after": r.taken.json(),
        })).collect::<Vec<_>>(),
    })
}
