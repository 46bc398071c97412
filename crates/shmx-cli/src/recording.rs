//! What record, play, info and view share.

use crate::common::say;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shmx_record::{Problem, Recording};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Files of a recording.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Files made by `shmx record`; those of one rotating recording in their order.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn open(&self) -> anyhow::Result<Recording> {
        Ok(Recording::open(&self.files)?)
    }
}

/// Seconds, not negative: `1.5`, `1.5s`, `200ms`, `2m`, `1h`.
pub(crate) fn time(s: &str) -> Result<Duration, String> {
    let wrong = || format!("`{s}` is no time; give seconds as 1.5, or 200ms, 2m, 1h");
    let (number, unit) = match s.find(|c: char| c.is_ascii_alphabetic() && c != 'e') {
        Some(at) => s.split_at(at),
        None => (s, "s"),
    };
    let unit = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let v: f64 = number.parse().map_err(|_| wrong())?;
    let d = Duration::try_from_secs_f64(v * unit).map_err(|_| wrong())?;
    // Instants cannot go arbitrarily far.
    Ok(d.min(Duration::from_secs(100 * 365 * 24 * 3600)))
}

/// Bytes: `4096`, `64k`, `10M`, `2G`, `1.5GiB`.
pub(crate) fn size(s: &str) -> Result<u64, String> {
    let wrong = || format!("`{s}` is no size; give bytes as 4096, or 64K, 10M, 2G");
    let (number, unit) = match s.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => s.split_at(at),
        None => (s, ""),
    };
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let v: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = v * (1_u64 << shift) as f64;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

/// A line of progress on a stderr that is a terminal, shown after a second.
pub(crate) struct Line {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Line {
    pub(crate) fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = if total.is_some() { "{msg} {bar:40} {binary_bytes} of {binary_total_bytes}" } else { "{msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##."));
        }
        Self { bar, start: Instant::now(), shown: false }
    }

    pub(crate) fn show(&mut self, message: String, position: u64) {
        self.bar.set_position(position);
        self.bar.set_message(message);
        if !self.shown && self.start.elapsed() > Duration::from_secs(1) {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// Words above the line.
    pub(crate) fn say(&self, words: std::fmt::Arguments<'_>) {
        self.bar.suspend(|| say(words));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells what could not be read; the error makes the exit code 1.
pub(crate) fn judge(problems: &[Problem]) -> anyhow::Result<()> {
    for p in problems {
        say(format_args!("shmx: {p}"));
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(anyhow::anyhow!("one place of the recording could not be read; the readable part is shown above")),
        n => Err(anyhow::anyhow!("{n} places of the recording could not be read; the readable part is shown above")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("1e-3s"), Ok(Duration::from_millis(1)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(
            [size("4096"), size("64k"), size("1.5GiB"), size("2G")],
            [Ok(4096), Ok(65536), Ok(3 << 29), Ok(2 << 30)]
        );
        for bad in ["", "x", "-1", "nan", "inf", "1d", "-5s"] {
            assert!(time(bad).is_err(), "{bad}");
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(size("0").is_err() && size("1X").is_err());
    }
}
