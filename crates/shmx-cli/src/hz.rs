//! `shmx hz`: rate, jitter, latency and bandwidth of a region, measured from outside.

use crate::args::Hz;
use crate::common;
use crate::progress::Progress;
use crate::source;
use crate::stop;
use crate::units;
use crate::watch::{News, PUBLISH_STEP, Seen, Tracker};
use anyhow::{anyhow, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use shmx::os::clock::ticks;
use shmx::{Inspector, ServerState};
use std::io::Write;
use std::time::{Duration, Instant};

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
    dropped_before: u64,
    dropped: u64,
    taken: Times,
}

struct Measure {
    began: u64,
    first: Option<Seen>,
    last: Option<Seen>,
    seen: u64,
    bytes: u64,
    interval: Times,
    /// Difference of each interval to the one before.
    jitter: Times,
    last_interval: Option<u64>,
    latency: Times,
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
            seen: 0,
            bytes: 0,
            interval: Times::new()?,
            jitter: Times::new()?,
            last_interval: None,
            latency: Times::new()?,
            polls: 0,
            readers: Vec::new(),
            recent: std::collections::VecDeque::new(),
            timed: true,
        })
    }

    fn take(&mut self, f: Seen) {
        let at = f.published.unwrap_or(f.seen);
        self.timed &= f.published.is_some();
        if let Some(last) = self.last {
            let before = last.published.unwrap_or(last.seen);
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
        self.seen += 1;
        self.bytes += u64::from(f.bytes);
        self.first.get_or_insert(f);
        self.last = Some(f);
    }

    /// Notes which frames the readers have taken since the last look, and when.
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
                    dropped_before: e.missed,
                    dropped: e.missed,
                    taken: Times::new()?,
                });
                continue;
            };
            let r = &mut self.readers[at];
            r.dropped = e.missed;
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

    /// Frames published per second between the first and the last one seen.
    fn rate(&self) -> Option<f64> {
        let (a, b) = (self.first?, self.last?);
        let time = b.published.unwrap_or(b.seen).saturating_sub(a.published.unwrap_or(a.seen));
        (time > 0).then(|| (b.id - a.id) as f64 * 1e9 / time as f64)
    }

    /// Payload bytes per second; frames that were not seen count with the mean size of the others.
    fn bandwidth(&self) -> Option<f64> {
        Some(self.rate()? * self.bytes as f64 / self.seen.max(1) as f64)
    }
}

pub(crate) fn run(a: &Hz) -> anyhow::Result<()> {
    let Some(inspector) = source::look(&a.name, a.wait_server)? else { return Ok(()) };
    let mut tracker = Tracker::new(&inspector, false);
    let mut m = Measure::new(ticks())?;
    let end = a.seconds.map(|s| Instant::now() + s);
    let result = measure(a, &inspector, &mut tracker, &mut m, end);
    if m.seen == 0 {
        result?;
        if stop::requested() {
            return Ok(());
        }
        bail!("no frame of `{}` in {:?}; see whether its server publishes", a.name, a.seconds.unwrap_or_default());
    }
    let mut out = std::io::stdout().lock();
    if a.json {
        writeln!(out, "{:#}", summary_json(a, &m, &tracker))?;
    } else {
        summary(a, &m, &tracker, &mut out)?;
    }
    out.flush()?;
    result
}

fn measure(
    a: &Hz,
    inspector: &Inspector,
    tracker: &mut Tracker,
    m: &mut Measure,
    end: Option<Instant>,
) -> anyhow::Result<()> {
    let progress = a.seconds.filter(|_| a.json).map(|s| Progress::of_time(s, "measuring"));
    let mut told = (Instant::now(), 0_u64, 0_u64);
    let mut life = Instant::now();
    loop {
        let now = Instant::now();
        let state = if now >= life {
            if let Some(p) = &progress {
                p.tick();
            }
            life = now + Duration::from_millis(20);
            if !inspector.is_whole() {
                bail!("the object of `{}` was cut short by another process; end its server and start it again", a.name);
            }
            inspector.server_state()
        } else {
            ServerState::Alive
        };
        m.polls += 1;
        match tracker.poll(inspector, ticks()) {
            News::Frames(frames) => {
                if !frames.is_empty() || m.polls.is_multiple_of(8) {
                    frames.into_iter().for_each(|f| m.take(f));
                    m.look_at_readers(inspector)?;
                }
            }
            News::Restarted => bail!("another server has taken `{}` over; start again to measure it", a.name),
        }
        match state {
            ServerState::Closed => bail!("the server of `{}` has left; start it again", a.name),
            ServerState::Dead => return Err(common::died(&a.name)),
            _ => {}
        }
        if end.is_some_and(|e| now >= e) || stop::requested() {
            return Ok(());
        }
        // A line each second while it lasts.
        let (since, frames, bytes) = told;
        let passed = since.elapsed();
        if passed >= Duration::from_secs(1) && !a.json {
            let total = m.seen + tracker.missed;
            let hz = (total - frames) as f64 / passed.as_secs_f64();
            let bw = (m.bytes - bytes) as f64 / passed.as_secs_f64();
            let mut out = std::io::stdout().lock();
            writeln!(out, "{:>9}  {:>12}  {} not seen", units::rate(hz), units::bandwidth(bw), tracker.missed)?;
            out.flush()?;
            told = (Instant::now(), total, m.bytes);
        }
        let pause = Instant::now() + tracker.pause();
        stop::sleep_until(end.map_or(pause, |e| pause.min(e)));
    }
}

fn poll_ns(m: &Measure) -> u64 {
    (ticks() - m.began) / m.polls.max(1)
}

fn summary(a: &Hz, m: &Measure, t: &Tracker, out: &mut impl Write) -> anyhow::Result<()> {
    let seconds = (ticks() - m.began) as f64 / 1e9;
    let (frames, seen) = (m.seen + t.missed, m.seen);
    writeln!(out, "region     {}: {frames} frames in {seconds:.2} s, {seen} seen, {} not seen", a.name, t.missed)?;
    match (m.rate(), m.bandwidth()) {
        (Some(r), Some(b)) => {
            let each = m.bytes / m.seen.max(1);
            writeln!(out, "rate       {}, {}, {} a frame", units::rate(r), units::bandwidth(b), units::bytes(each))?;
        }
        _ => writeln!(out, "rate       not known from a single frame")?,
    }
    let by = if m.timed { "" } else { " (as seen: the producer gives no publish times)" };
    writeln!(out, "interval   {}{by}", m.interval.text())?;
    writeln!(out, "jitter     {}", m.jitter.text())?;
    writeln!(out, "seen after {} (a look each {})", m.latency.text(), units::ns(poll_ns(m)))?;
    for r in &m.readers {
        let program = shmx::os::process_name(r.pid).map(|n| format!(" {n}")).unwrap_or_default();
        let dropped = r.dropped.saturating_sub(r.dropped_before);
        writeln!(
            out,
            "reader {:<3} pid {}{program}: {dropped} dropped; taken after {}",
            r.index,
            r.pid,
            r.taken.text()
        )?;
    }
    Ok(())
}

fn summary_json(a: &Hz, m: &Measure, t: &Tracker) -> Value {
    json!({
        "region": a.name,
        "seconds": (ticks() - m.began) as f64 / 1e9,
        "frames": m.seen + t.missed, "seen": m.seen, "not_seen": t.missed,
        "rate_hz": m.rate(), "bytes_per_second": m.bandwidth(), "bytes_per_frame": m.bytes / m.seen.max(1),
        "publish_times": m.timed,
        "interval": m.interval.json(), "jitter": m.jitter.json(), "seen_after": m.latency.json(),
        "look_every_ns": poll_ns(m),
        "readers": m.readers.iter().map(|r| json!({
            "index": r.index, "pid": r.pid, "dropped": r.dropped.saturating_sub(r.dropped_before),
            "taken_after": r.taken.json(),
        })).collect::<Vec<_>>(),
    })
}
