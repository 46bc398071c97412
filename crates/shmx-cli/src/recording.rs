//! What record, play, info and view share.

use crate::common::say;
use crate::escape::safe;
use crate::units;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shmx_record::{Problem, Recording};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files of a recording.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Files made by `shmx record`; those of one rotating recording in order.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn open(&self) -> anyhow::Result<Recording> {
        open(&self.files)
    }
}

/// Opens the files of a recording, and logs what they hold.
pub(crate) fn open<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Recording> {
    let recording = Recording::open(files)?;
    tracing::info!(
        files = files.len(),
        bytes = recording.bytes(),
        regions = %safe(&recording.regions().join(", ")),
        segments = recording.segments().len(),
        problems = recording.problems().len(),
        "recording opened"
    );
    Ok(recording)
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
        n => {
            let places = units::count(n as u64, "place");
            Err(anyhow::anyhow!("{places} of the recording could not be read; the readable part is shown above"))
        }
    }
}
