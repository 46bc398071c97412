//! The options of `shmx play`.

use crate::args::parse;
use crate::args::region::{Checksum, Made};
use crate::names;
use crate::recording::Files;
use clap::Args;
use std::time::Duration;

/// Replay a recording: rebuild its regions and publish their frames at their times.
#[derive(Debug, Args)]
#[command(after_help = "\
Frames, their order and the directory are as recorded, byte for byte; frame ids count from 1. On a terminal, keys \
pause, step, seek and change the speed. With --loop it goes on until a signal or the key q ends it. Several files play \
one after the other. With --control it acts as a client instead: it sends the control messages that `shmx record \
--control` has seen, each recorded reader as a reader of its own, to the live regions of the same names (or --prefix, \
--remap).

Exit codes: 0 done or ended by a signal or key; 1 failed, nothing could be published, or a part of the file could not \
be read; 2 wrong usage; 3 frames were skipped because readers held every slot.

Examples:
  shmx play clock.mcap
  shmx play clock.mcap --rate 0.5 --prefix slow-
  shmx play clock.mcap --from 0.1 --to 0.5 --json")]
pub(crate) struct Play {
    #[command(flatten)]
    pub(super) files: Files,
    /// Speed: 1 is as recorded, 0.1 ten times slower, `max` as fast as possible.
    #[arg(long, value_name = "SPEED", default_value = "1", value_parser = rate)]
    pub(super) rate: f64,
    /// Begin again when the end is reached.
    #[arg(long = "loop")]
    pub(super) repeat: bool,
    /// Begin this long after the start of the recording.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(super) from: Duration,
    /// End this long after the start of the recording. Without it, play to the end.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(super) to: Option<Duration>,
    /// Replay only this region; may be repeated. Without it, all regions.
    #[arg(long = "region", value_name = "NAME|PATTERN", value_parser = names::pattern)]
    pub(super) regions: Vec<String>,
    /// Put this before each region's name, so that the replay does not take the name of the original.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) prefix: String,
    /// Replay region OLD under the name NEW, without the --prefix; may be repeated.
    #[arg(long = "remap", value_name = "OLD=NEW", value_parser = remap)]
    pub(super) names: Vec<(String, String)>,
    /// Replay only this stream, given by name or number; may be repeated. Without it, all streams.
    #[arg(long = "stream", value_name = "NAME")]
    pub(super) streams: Vec<String>,
    /// How long a frame waits for a slot that no reader holds before it is skipped.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse::time)]
    pub(super) slot_wait: Duration,
    /// Begin paused.
    #[arg(long)]
    pub(super) paused: bool,
    /// Begin once this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) wait_readers: usize,
    /// Publish a frame only once every attached reader has taken the one before, so that none is missed.
    #[arg(long)]
    pub(super) lossless: bool,
    /// Keep the regions for this long after the last frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(super) keep: Duration,
    /// Which frames carry a checksum; `auto`: those that had one.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) checksum: Checksum,
    /// Publish nothing, but send the recorded control messages to live regions, at their times.
    #[arg(long, conflicts_with_all = ["repeat", "streams", "paused", "wait_readers", "lossless", "keep", "checksum"])]
    pub(super) control: bool,
    /// With --control: wait up to this long for the regions to appear.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time, requires = "control")]
    pub(super) wait_server: Duration,
    /// At the end, print what was done as a JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) made: Made,
}

fn rate(s: &str) -> Result<f64, String> {
    if s == "max" {
        return Ok(f64::INFINITY);
    }
    let v: f64 = s.parse().map_err(|_| "give a number, or `max`".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give 0.0001 to 1000000, or `max`".into()) }
}

fn remap(s: &str) -> Result<(String, String), String> {
    let both = s.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
    let name = |s: &str| s.trim_start_matches('/').to_owned();
    both.map(|(old, new)| (name(old), name(new))).ok_or_else(|| format!("`{s}` is not OLD=NEW, as in camera=replayed"))
}
