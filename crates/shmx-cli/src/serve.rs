//! `shmx serve`: a clock for tests and demonstrations.

use crate::args::Serve;
use crate::common::{self, Pace, SLICE, say};
use crate::json;
use crate::stop;
use anyhow::Context;
use shmx::error::BeginError;
use shmx::{Server, Stream};
use std::time::{Duration, Instant};

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
    say(format_args!("served {published} frames of `{}`", a.name));
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
