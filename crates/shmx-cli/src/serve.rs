//! `shmx serve`: a clock for tests and demonstrations.

use crate::args::Serve;
use crate::common::{self, Pace, SLICE, say};
use crate::stop;
use anyhow::Context;
use shmx::error::BeginError;
use shmx::{Server, StaticStream};
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) const TICK_SEQ: u32 = 42;
pub(crate) const TICK_SIM: u32 = 43;
pub(crate) const ECHO: u32 = 44;
pub(crate) const FILL: u32 = 45;
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
    let mut streams =
        vec![StaticStream::of::<u64>(TICK_SEQ, "tick_seq"), StaticStream::of::<f64>(TICK_SIM, "tick_sim")];
    if a.echo || a.demo {
        streams.push(StaticStream::of::<u64>(ECHO, "echo"));
    }
    if a.demo {
        streams.push(StaticStream::of::<u64>(FILL, "fill"));
    }
    let server = common::create(&common::config(&a.name, &a.region, a.frame_bytes), &streams)?;
    say(format_args!("serving `{}` at {} Hz, session {:#x}", server.name(), a.hz, server.session_id()));
    let mut tally = Tally { echo: vec![0; a.region.readers as usize], ..Tally::default() };
    let result = publish(&server, a, &mut tally);
    let published = server.frames_published();
    server.destroy();
    result?;
    say(format_args!("served {published} frames of `{}`", a.name));
    if a.demo {
        let report = serde_json::json!({
            "published": published, "skipped": tally.skipped, "messages": tally.messages, "echoed": tally.echoed,
        });
        writeln!(std::io::stdout(), "{report}")?;
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
    skipped: u64,
}

fn publish(server: &Server, a: &Serve, tally: &mut Tally) -> anyhow::Result<()> {
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
                tally.skipped += 1;
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
            frame.reserve_stream::<u64>(FILL, FILL_LEN).context("--frame-bytes is too small")?.fill(fill(seq));
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
