//! `shmx demo`: a producer, two consumers and an inspector, each what its command would be.

use crate::args::parse::{positive_time, rate};
use crate::args::region::Checksum;
use crate::common;
use crate::exit;
use crate::json;
use crate::progress::Progress;
use crate::serve::{ECHO, FILL, FILL_LEN, GRACE, TICK_SEQ, TICK_SIM, fill};
use crate::source::{Attached, Taken};
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use shmx::abi::TLV_CONTROL_USER;
use shmx::error::SendError;
use shmx::{Inspector, OwnedFrame, Server};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Run a producer, a fast and a slow reader and an inspector, and say what each saw.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done; 1 failed or interrupted; 2 wrong usage.

Examples:
  shmx demo
  shmx demo --seconds 10 --hz 1000")]
pub(crate) struct Demo {
    /// How long the readers run.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = positive_time)]
    seconds: Duration,
    /// Frames per second.
    #[arg(long, default_value = "100", value_parser = rate, allow_negative_numbers = true)]
    hz: f64,
    /// Which frames carry a checksum; `auto`: those of up to 4 KiB, and larger ones when a reader needs it.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    checksum: Checksum,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
}

/// A reader of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoReader {
    name: String,
    #[arg(long, value_name = "TIME", value_parser = positive_time, allow_negative_numbers = true)]
    seconds: Duration,
    #[arg(long)]
    hz: f64,
    #[arg(long, default_value_t = 0)]
    hold_ms: u64,
}

/// How long the slow consumer holds each frame.
const HOLD_MS: u64 = 40;
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// A process of ours that ends when its stdin closes, and is killed if it does not.
struct Part {
    what: &'static str,
    child: Child,
}

impl Part {
    fn start(what: &'static str, args: &[String]) -> anyhow::Result<Self> {
        let exe = std::env::current_exe().context("cannot find the path of this program")?;
        let mut command = Command::new(exe);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start the {what}"))?;
        Ok(Self { what, child })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn ended_by(&mut self, until: Instant) -> anyhow::Result<bool> {
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            if Instant::now() >= until || !stop::sleep_until(Instant::now() + Duration::from_millis(2)) {
                return Ok(false);
            }
        }
    }

    /// Ends it if it has not ended, and takes its report.
    fn report(mut self) -> anyhow::Result<Value> {
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(2);
        while self.child.try_wait()?.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.child.try_wait()?.is_none() {
            bail!("the {} did not end in time", self.what);
        }
        let (mut out, mut err) = (String::new(), String::new());
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut out)?;
        }
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut err)?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the {} failed ({status}): {}", self.what, err.trim());
        }
        serde_json::from_str(&out).with_context(|| format!("the report of the {} makes no sense: `{out}`", self.what))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Removes the region if the producer had to be killed.
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        if Inspector::open(&self.0).is_ok() {
            drop(Server::builder(&self.0).replace(true).create());
        }
    }
}

pub(crate) fn run(a: &Demo) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let name = format!("shmx-demo-{}-{:08x}", std::process::id(), shmx_os::random_u64() as u32);
    let _cleanup = Cleanup(name.clone());
    let hz = a.hz.to_string();
    let secs = a.seconds.as_secs_f64();
    let arg = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
    let most = (secs + GRACE.as_secs_f64() * 3.0).to_string();
    let bytes = "131072";
    let (list, secs_arg, hold) = (["serve", &name, "--demo", "--hz", &hz], secs.to_string(), HOLD_MS.to_string());
    let serve =
        [&list[..], &["--seconds", &most, "--slots", "6", "--frame-bytes", bytes, "--checksum", a.checksum.word()]]
            .concat();
    let fast = ["demo-reader", &name, "--hz", &hz, "--seconds", &secs_arg];
    let slow = [&fast[..], &["--hold-ms", &hold]].concat();
    if !a.json {
        writeln!(out, "region `{name}`: a producer at {hz} Hz, a fast and a slow consumer, {secs} s")?;
    }
    let mut producer = Part::start("producer", &arg(&serve))?;
    let mut consumers = [Part::start("fast consumer", &arg(&fast))?, Part::start("slow consumer", &arg(&slow))?];

    let progress = Progress::of_time(a.seconds, "at work");
    let half = Instant::now() + a.seconds / 2;
    while Instant::now() < half && !producer.has_ended() && stop::sleep_until(half.min(Instant::now() + common::SLICE))
    {
        progress.tick();
    }
    let seen = look(&name, &mut producer);
    // One that could not begin says why; the consumers would only miss it. A signal comes to all of them.
    if producer.has_ended() && stop::sleep_until(Instant::now() + common::SLICE) {
        drop(progress);
        producer.report()?;
        bail!("the producer ended before its time");
    }
    let until = half + a.seconds / 2 + OPEN_WAIT + GRACE;
    while Instant::now() < half + a.seconds / 2 && stop::sleep_until(Instant::now() + common::SLICE) {
        progress.tick();
    }
    drop(progress);
    for c in &mut consumers {
        c.ended_by(until)?;
    }
    if stop::requested() {
        return Err(exit::interrupted("the demonstration was not finished"));
    }
    let [fast, slow] = consumers;
    let (fast, slow) = (fast.report()?, slow.report()?);
    let producer = producer.report()?;
    let n = |v: &Value, key: &str| v.get(key).and_then(Value::as_u64).unwrap_or(0);
    let ms = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64).unwrap_or(0.0);

    let torn = n(&fast, "torn") + n(&slow, "torn");
    let received = n(&fast, "received") + n(&slow, "received");
    if a.json {
        let all = json!({"producer": producer, "fast": fast, "slow": slow, "torn": torn, "received": received});
        return json::line(&mut out, "demo", all).map_err(Into::into).and_then(|()| verdict_of(&fast, &slow, torn));
    }
    writeln!(
        out,
        "producer       {} published, {} without a free slot, {} heard, {} answered",
        units::count(n(&producer, "published"), "frame"),
        units::count(n(&producer, "without_slot"), "tick"),
        units::count(n(&producer, "messages"), "message"),
        n(&producer, "echoed")
    )?;
    for (what, r) in [("fast consumer", &fast), ("slow consumer", &slow)] {
        writeln!(
            out,
            "{what}  {} received, {} missed, {:.1} frames/s, {} (median {:.2} ms, longest {:.2} ms), \
             torn {}",
            n(r, "received"),
            n(r, "missed"),
            ms(r, "rate"),
            units::count(n(r, "round_trips"), "control round trip"),
            ms(r, "median_ms"),
            ms(r, "longest_ms"),
            n(r, "torn")
        )?;
    }
    let seen = seen.context("the inspector could not look midway")?;
    writeln!(out, "inspector      {seen}")?;
    let trips = n(&fast, "round_trips") + n(&slow, "round_trips");
    let verdict = if torn == 0 && n(&fast, "received") > 0 && n(&slow, "received") > 0 { "ok" } else { "FAILED" };
    writeln!(
        out,
        "summary: {verdict}, {} published, {received} received, {}, {torn} torn",
        units::count(n(&producer, "published"), "frame"),
        units::count(trips, "control round trip")
    )?;
    verdict_of(&fast, &slow, torn)
}

/// Whether all went well.
fn verdict_of(fast: &Value, slow: &Value, torn: u64) -> anyhow::Result<()> {
    for (what, r) in [("fast", fast), ("slow", slow)] {
        if r.get("received").and_then(Value::as_u64).unwrap_or(0) == 0 {
            bail!("the {what} consumer received no frames; try more --seconds");
        }
    }
    if torn > 0 {
        bail!("{} torn", units::were(torn, "frame"));
    }
    Ok(())
}

/// A snapshot for people.
fn look(name: &str, producer: &mut Part) -> anyhow::Result<String> {
    let until = Instant::now() + OPEN_WAIT;
    let i = loop {
        match Inspector::open(name) {
            Ok(i) => break i,
            Err(e) if Instant::now() >= until || stop::requested() || producer.has_ended() => return Err(e.into()),
            Err(_) => stop::sleep_until(Instant::now() + Duration::from_millis(5)),
        };
    };
    let readers = i.snapshot_readers();
    let seen: Vec<String> = readers
        .iter()
        .filter(|r| r.in_use)
        .map(|r| format!("{} at frame {} holding {}", r.index, r.last_frame_seen, r.leased_slots))
        .collect();
    let newest = i.latest()?.map_or(0, |f| f.frame_id());
    let readers = units::count(seen.len() as u64, "reader");
    Ok(format!("midway: newest frame {newest}, {readers} attached (slot {})", seen.join(", slot ")))
}

pub(crate) fn reader(a: &DemoReader) -> anyhow::Result<()> {
    stop::when_stdin_closes();
    let Some(mut reader) = Attached::open(&a.name, OPEN_WAIT, false)? else { return Ok(()) };
    let place = reader.client.reader_index().context("no reader slot is free")? as usize;
    let start = Instant::now();
    let end = start + a.seconds;
    let mut trips: Vec<Duration> = Vec::new();
    let mut sent: Option<(u64, Instant)> = None;
    let mut number = 0_u64;
    let mut torn = 0_u64;
    while Instant::now() < end {
        if sent.is_none() {
            match reader.client.control_send(TLV_CONTROL_USER, &(number + 1).to_le_bytes()) {
                Ok(()) => {
                    number += 1;
                    sent = Some((number, Instant::now()));
                }
                Err(SendError::Full) => {}
                Err(e) => return Err(e).context("cannot send to the producer"),
            }
        }
        let Taken::Frame(frame) = reader.take(false, end)? else { break };
        if a.hold_ms > 0 && !stop::sleep_until(Instant::now() + Duration::from_millis(a.hold_ms)) {
            break;
        }
        torn += u64::from(!whole(&frame, a.hz));
        let echo = frame.get(ECHO)?.get(place).copied();
        if let Some((_, at)) = sent.filter(|&(n, _)| echo == Some(n)) {
            trips.push(at.elapsed());
            sent = None;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let stats = reader.end();
    let rate = stats.delivered as f64 / seconds;
    trips.sort_unstable();
    let ms = |d: Option<&Duration>| d.map_or(0.0, |d| d.as_secs_f64() * 1e3);
    let report = json!({
        "received": stats.delivered, "missed": stats.missed, "rate": rate, "torn": torn + stats.rejected,
        "round_trips": trips.len(), "median_ms": ms(trips.get(trips.len() / 2)), "longest_ms": ms(trips.last()),
    });
    json::print("demo-reader", report)?;
    Ok(())
}

/// Whether all of a frame is of one and the same tick.
fn whole(frame: &OwnedFrame, hz: f64) -> bool {
    let (Ok([seq]), Ok([sim]), Ok(filling)) = (frame.get(TICK_SEQ), frame.get(TICK_SIM), frame.get(FILL)) else {
        return false;
    };
    let expected = *seq as f64 / hz;
    let value = fill(*seq);
    *sim == expected && frame.sim_time() == expected && filling.len() == FILL_LEN && filling.iter().all(|&v| v == value)
}
