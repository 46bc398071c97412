//! `shmx serve`: a clock for tests and demonstrations.

use crate::args::parse::{rate, size_u32, time};
use crate::args::region::Region;
use crate::common::{self, Pace, SLICE, say};
use crate::json;
use crate::stop;
use crate::units;
use anyhow::Context;
use clap::Args;
use shmx::error::BeginError;
use shmx::{Server, Stream};
use std::time::{Duration, Instant};

/// Publish a clock: streams tick_seq (42, u64) and tick_sim (43, f64).
#[derive(Debug, Args)]
#[command(after_help = "\
Ends after --seconds, or on SIGINT, SIGTERM or SIGHUP, and removes the region.

Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx serve clock
  shmx serve clock --hz 120 --seconds 10 --slots 8
  shmx serve clock --mode 0660 --group root --seconds 1")]
pub(crate) struct Serve {
    /// Name of the region.
    name: String,
    /// Frames per second.
    #[arg(long, default_value = "30", value_parser = rate, allow_negative_numbers = true)]
    hz: f64,
    /// End after this time. Without it, go on until interrupted.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    seconds: Option<Duration>,
    /// Largest payload of a frame.
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size_u32)]
    frame_bytes: u32,
    /// Also publish `echo` (44, u64): for each reader slot the number that its reader last sent (type 0x3000, 8 bytes).
    #[arg(long)]
    echo: bool,
    /// The producer of the demo: echo and a filling, ends when stdin closes, reports on stdout.
    #[arg(long, hide = true)]
    demo: bool,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    region: Region,
}

pub(crate) const TICK_SEQ: Stream<u64> = Stream::new(42, "tick_seq");
pub(crate) const TICK_SIM: Stream<f64> = Stream::new(43, "tick_sim");
pub(crate) const ECHO: Stream<u64> = Stream::new(44, "echo");
pub(crate) const FILL: Stream<u64> = Stream::new(45, "fill");
/// Values of the demo's filling: enough that a torn frame would be noticed.
pub(crate) const FILL_LEN: usize = 4096;

/// What every value of the filling is in frame `seq`.
pub(crate) const fn fill(seq: u64) -> u64 {
    seq.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub(crate) fn run(a: &Serve) -> anyhow::Result<()> {
    if a.demo {
        stop::when_stdin_closes();
    }
    let mut builder = a.region.builder(&a.name).frame_bytes(a.frame_bytes);
    builder = builder.stream(TICK_SEQ, 1).stream(TICK_SIM, 1);
    if a.echo || a.demo {
        builder = builder.stream(ECHO, a.region.readers);
    }
    if a.demo {
        builder = builder.stream(FILL, FILL_LEN as u32);
    }
    let mut server = common::create(&a.name, &builder)?;
    say(format_args!("serving `{}` at {} Hz, session {:#x}", server.name(), a.hz, server.session_id()));
    let mut tally = Tally { echo: vec![0; a.region.readers as usize], ..Tally::default() };
    let result = publish(&mut server, a, &mut tally);
    let published = server.frames_published();
    server.destroy();
    result?;
    say(format_args!("served {} of `{}`", units::count(published, "frame"), a.name));
    if a.demo || a.json {
        let report = serde_json::json!({
            "region": a.name, "published": published, "without_slot": tally.without_slot,
            "messages": tally.messages, "echoed": tally.echoed,
        });
        json::print("serve", report)?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    /// Per reader slot, the number last heard.
    echo: Vec<u64>,
    messages: u64,
    echoed: u64,
    /// Ticks without a frame because readers held every slot.
    without_slot: u64,
}

fn publish(server: &mut Server, a: &Serve, tally: &mut Tally) -> anyhow::Result<()> {
    let end = a.seconds.map(|s| Instant::now() + s);
    let mut pace = Pace::new(a.hz);
    for seq in 0_u64.. {
        let due = pace.next_due();
        // Long pauses are cut, so that readers are heard and reaped meanwhile.
        loop {
            let now = Instant::now();
            if end.is_some_and(|e| now >= e) {
                return Ok(());
            }
            let until = end.map_or(due, |e| due.min(e)).min(now + SLICE);
            if !stop::sleep_until(until) {
                return Ok(());
            }
            attend(server, tally);
            if Instant::now() >= due {
                break;
            }
        }
        let mut frame = match server.begin_frame() {
            Ok(frame) => frame,
            Err(e @ BeginError::NoFreeSlot { .. }) => {
                tally.without_slot += 1;
                tracing::warn!("tick {seq} has no frame: {e}");
                continue;
            }
            Err(e) => return Err(e).context("cannot publish on"),
        };
        let sim = seq as f64 / a.hz;
        frame.append_stream(TICK_SEQ, &[seq]).context("--frame-bytes is too small")?;
        frame.append_stream(TICK_SIM, &[sim]).context("--frame-bytes is too small")?;
        if (a.echo || a.demo) && !tally.echo.is_empty() {
            frame.append_stream(ECHO, &tally.echo).context("--frame-bytes is too small")?;
        }
        if a.demo {
            frame.reserve_stream(FILL, FILL_LEN).context("--frame-bytes is too small")?.fill(fill(seq));
        }
        frame.publish_frame(sim).context("cannot publish on")?;
    }
    Ok(())
}

fn attend(server: &Server, tally: &mut Tally) {
    common::attend(server, |m| {
        tally.messages += 1;
        let number = m.data.first_chunk().map(|b| u64::from_le_bytes(*b));
        if let (Some(n), Some(place)) = (number, tally.echo.get_mut(m.reader_index as usize)) {
            *place = n;
            tally.echoed += 1;
        }
        tracing::info!(reader = m.reader_index, ty = m.ty, bytes = m.data.len(), "message");
    });
}

/// Time the demo gives a child beyond what it asked for.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
