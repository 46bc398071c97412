//! What stderr shows, if it is a terminal, of what takes longer than a second.

use crate::common::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt::Arguments;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);

pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: Cell<bool>,
}

impl Progress {
    fn new(total: Option<u64>, what: &'static str, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##."));
        }
        bar.set_message(what);
        Self { bar, start: Instant::now(), shown: Cell::new(false) }
    }

    /// For so many bytes.
    pub(crate) fn of_bytes(total: u64, what: &'static str) -> Self {
        let style = "{msg} {bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        Self::new(Some(total), what, style)
    }

    /// For what takes a known time.
    pub(crate) fn of_time(total: Duration, what: &'static str) -> Self {
        Self::new(Some(total.as_millis() as u64), what, "{msg} {bar:40} {eta} left")
    }

    /// For what nobody knows the end of: a line of words.
    pub(crate) fn of_words() -> Self {
        Self::new(None, "", "{msg}")
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

    /// Other words.
    pub(crate) fn show(&self, words: String) {
        self.bar.set_message(words);
        self.set(0);
    }

    /// A message above the line.
    pub(crate) fn say(&self, words: Arguments<'_>) {
        self.bar.suspend(|| say(words));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
