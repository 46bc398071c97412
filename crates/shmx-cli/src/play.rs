//! `shmx play`: a recording becomes regions again.

mod options;
mod steer;

pub(crate) use options::Play;

use crate::args::region::Checksum;
use crate::common::{SLICE, say};
use crate::exit;
use crate::json;
use crate::keys::Keys;
use crate::recording;
use crate::stop;
use crate::units;
use anyhow::bail;
use hdrhistogram::Histogram;
use ratatui::crossterm::event::KeyCode;
use shmx_record::{Next, PlayOptions, Played, Player};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const KEYS: &str = "space pause, right/left step, up/down 5 s, +/- speed, home, q quit";

pub(crate) fn run(a: &Play) -> anyhow::Result<()> {
    let mut options = PlayOptions::default();
    options.rate = a.rate;
    options.repeat = a.repeat;
    options.from = a.from;
    options.to = a.to;
    options.regions.clone_from(&a.regions);
    options.prefix.clone_from(&a.prefix);
    options.names.clone_from(&a.names);
    options.streams.clone_from(&a.streams);
    options.slot_wait = a.slot_wait;
    options.replace = a.made.replace;
    options.mode = a.made.mode;
    options.group = a.made.group;
    options.checksum = (a.checksum != Checksum::Auto).then(|| a.checksum.into());
    if a.control {
        return steer::run(a);
    }
    let mut player = Player::new(a.files.open()?, options)?;
    let names: Vec<String> = player.live_regions().map(|n| format!("`{n}`")).collect();
    say(format_args!("playing {}, {:.3} s", names.join(", "), player.duration().as_secs_f64()));
    while player.readers() < a.wait_readers {
        if !stop::sleep_until(Instant::now() + Duration::from_millis(1)) {
            return Err(exit::interrupted("nothing was played; too few readers came"));
        }
        player.attend();
    }
    let late = {
        let mut keys = Keys::new();
        if keys.on() {
            let _ = write!(std::io::stderr(), "{KEYS}\r\n");
        }
        play(a, &mut player, &mut keys)
    }?;
    if !stop::requested() {
        finish(a, &mut player)?;
    }
    let s = player.stats();
    let at = |q: f64| late.value_at_quantile(q) as f64 / 1e6;
    say(format_args!(
        "{} published, {} skipped, late by {:.3} ms (median), {:.3} ms (p99), {:.3} ms (max)",
        units::count(s.published, "frame"),
        s.skipped,
        at(0.5),
        at(0.99),
        late.max() as f64 / 1e6
    ));
    if a.json {
        let summary = serde_json::json!({
            "published": s.published, "skipped": s.skipped, "segments": s.segments, "loops": s.loops,
            "late_ms": {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": late.max() as f64 / 1e6},
        });
        json::print("play", summary)?;
    }
    recording::judge(player.recording().problems())?;
    match (s.published, s.skipped) {
        (_, 0) => Ok(()),
        (0, n) => bail!(
            "none of {} was published: their regions are not in the recording, or readers hold every slot",
            units::count(n, "frame")
        ),
        (_, n) => Err(exit::incomplete(format!(
            "{} skipped: readers held every slot for {}, or they fit no region of the recording",
            units::were(n, "frame"),
            units::ns(a.slot_wait.as_nanos() as u64)
        ))),
    }
}

/// Plays to the end and returns how late each frame was, in nanoseconds.
fn play(a: &Play, player: &mut Player, keys: &mut Keys) -> anyhow::Result<Histogram<u64>> {
    let mut late = Histogram::new_with_max(60_000_000_000, 3)?;
    let show = std::io::stderr().is_terminal();
    let mut shown = Instant::now();
    player.set_paused(a.paused);
    player.start();
    loop {
        while let Some(key) = keys.next() {
            if !press(player, key)? {
                stop::request();
            }
        }
        if stop::requested() {
            break;
        }
        player.attend();
        if show && keys.on() && shown.elapsed() > SLICE {
            shown = Instant::now();
            status(player);
        }
        let until = match player.next() {
            Next::Due(at) => at,
            Next::Paused => Instant::now() + SLICE / 2,
            // With keys one may go back; without, it is over.
            Next::End if keys.on() && player.is_paused() => Instant::now() + SLICE / 2,
            _ => break,
        };
        // Keys and signals come in between.
        let soon = Instant::now() + SLICE / 2;
        if until > soon {
            stop::sleep_until(soon);
            continue;
        }
        if !stop::sleep_until(until) || player.is_paused() {
            continue;
        }
        if a.lossless && !wait_for_readers(player)? {
            break;
        }
        let now = Instant::now();
        if player.step()? == Played::Frame && a.rate.is_finite() && !a.lossless {
            late.saturating_record(u64::try_from(now.saturating_duration_since(until).as_nanos()).unwrap_or(u64::MAX));
        }
    }
    if show && keys.on() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(late)
}

/// False if the command is to end.
fn wait_for_readers(player: &mut Player) -> anyhow::Result<bool> {
    while !player.wait_seen(SLICE)? {
        if stop::requested() {
            return Ok(false);
        }
        player.attend();
    }
    Ok(true)
}

fn finish(a: &Play, player: &mut Player) -> anyhow::Result<()> {
    if a.lossless {
        wait_for_readers(player)?;
    }
    let end = Instant::now() + a.keep;
    while Instant::now() < end && stop::sleep_until(end.min(Instant::now() + SLICE)) {
        player.attend();
    }
    Ok(())
}

/// Does what a key means; false to end.
fn press(player: &mut Player, key: KeyCode) -> anyhow::Result<bool> {
    let jump = Duration::from_secs(5);
    match key {
        KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
        KeyCode::Char(' ') => player.set_paused(!player.is_paused()),
        KeyCode::Right | KeyCode::Char('.') => {
            player.set_paused(true);
            player.step_frame()?;
        }
        KeyCode::Left | KeyCode::Char(',') => {
            player.set_paused(true);
            player.step_back()?;
            player.step_frame()?;
        }
        KeyCode::Up | KeyCode::PageUp => player.seek(player.position() + jump)?,
        KeyCode::Down | KeyCode::PageDown => player.seek(player.position().saturating_sub(jump))?,
        KeyCode::Home => player.seek(Duration::ZERO)?,
        KeyCode::Char('+' | '=') => player.set_rate((player.rate() * 2.0).min(1e6)),
        KeyCode::Char('-') => player.set_rate((player.rate().min(1e6) / 2.0).max(1e-4)),
        _ => {}
    }
    Ok(true)
}

fn status(player: &Player) {
    let state = if player.is_paused() { "paused" } else { "playing" };
    let _ = write!(
        std::io::stderr(),
        "\r\x1b[K{state} {:.3} of {:.3} s, x{}, {}, {}",
        player.position().as_secs_f64(),
        player.duration().as_secs_f64(),
        player.rate(),
        units::count(player.stats().published, "frame"),
        units::count(player.readers() as u64, "reader")
    );
}
