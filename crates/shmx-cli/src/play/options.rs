//! The options of `shmx play`.

use crate::args::options::{Checksum, Made};
use crate::args::parse;
use crate::recording::Files;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Play {
    #[command(flatten)]
    pub(super) files: Files,
    /// Speed: 1 as recorded, 0.1 ten times slower, `max` as fast as possible.
    #[arg(long, value_name = "R", default_value = "1", value_parser = rate)]
    pub(super) rate: f64,
    /// Begin again at the end.
    #[arg(long = "loop")]
    pub(super) repeat: bool,
    /// Begin at this time from the beginning of the recording.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(super) from: Duration,
    /// End at this time from the beginning of the recording.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(super) to: Option<Duration>,
    /// Only these regions.
    #[arg(long = "region", value_name = "NAME")]
    pub(super) regions: Vec<String>,
    /// Put this before each region's name, so that it does not meet the one that was recorded.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) prefix: String,
    /// Replay a region under another name; --prefix does not change it then.
    #[arg(long = "remap", value_name = "OLD=NEW", value_parser = remap)]
    pub(super) names: Vec<(String, String)>,
    /// Only these streams, by name or number.
    #[arg(long = "stream", value_name = "NAME")]
    pub(super) streams: Vec<String>,
    /// How long a frame waits for a slot that no reader holds, before it is skipped.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse::time)]
    pub(super) slot_wait: Duration,
    /// Begin paused.
    #[arg(long)]
    pub(super) paused: bool,
    /// Begin when this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) wait_readers: usize,
    /// Publish a frame only when every attached reader has taken the one before; no reader misses any then.
    #[arg(long)]
    pub(super) lossless: bool,
    /// Keep the regions for this time after the last frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time)]
    pub(super) keep: Duration,
    /// Which frames carry a checksum: those that had one (`auto`), or all, or none.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) checksum: Checksum,
    #[command(flatten)]
    pub(super) made: Made,
    /// Publish nothing; send the recorded control messages to the live regions, at their times.
    #[arg(long, conflicts_with_all = ["repeat", "streams", "paused", "wait_readers", "lossless", "keep", "checksum"])]
    pub(super) control: bool,
    /// With --control: keep trying to open the regions for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::time, requires = "control")]
    pub(super) wait_server: Duration,
    /// Print a summary as JSON to stdout at the end.
    #[arg(long)]
    pub(super) json: bool,
}

fn rate(s: &str) -> Result<f64, String> {
    if s == "max" {
        return Ok(f64::INFINITY);
    }
    let v: f64 = s.parse().map_err(|_| "give a number, or `max`".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give between 0.0001 and 1000000, or `max`".into()) }
}

fn remap(s: &str) -> Result<(String, String), String> {
    let both = s.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
    let name = |s: &str| s.trim_start_matches('/').to_owned();
    both.map(|(old, new)| (name(old), name(new))).ok_or_else(|| format!("`{s}` is not OLD=NEW, as in camera=replayed"))
}
