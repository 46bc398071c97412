//! A progress bar for what takes longer than a second, on a stderr that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);

pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: Cell<bool>,
}

impl Progress {
    pub(crate) fn new(total: u64, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = "{msg} {bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("##."));
        }
        bar.set_message(what);
        Self { bar, start: Instant::now(), shown: Cell::new(false) }
    }

    /// For what takes a known time, in milliseconds.
    pub(crate) fn of_time(total: Duration, what: &'static str) -> Self {
        let progress = Self::new(total.as_millis() as u64, what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {eta} left") {
            progress.bar.set_style(style.progress_chars("##."));
        }
        progress
    }

    /// Says how far a thing of time is.
    pub(crate) fn tick(&self) {
        self.set(self.start.elapsed().as_millis() as u64);
    }

    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
        if !self.shown.get() && self.start.elapsed() > QUIET {
            self.shown.set(true);
            // Hides itself where stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
