//! What stderr shows of what takes longer than a second, if it is a terminal and this is no job in its background:
//! there the lines are the shell's.

use crate::common::say;
use crate::job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt::Arguments;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);
/// How often it is asked who has the terminal.
const ASKED: Duration = Duration::from_millis(100);

pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: Cell<bool>,
    asked: Cell<Option<Instant>>,
}

impl Progress {
    fn new(total: Option<u64>, what: &'static str, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##."));
        }
        bar.set_message(what);
        Self { bar, start: Instant::now(), shown: Cell::new(false), asked: Cell::default() }
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
        if self.start.elapsed() > QUIET && self.asked.get().is_none_or(|at| at.elapsed() > ASKED) {
            self.follow(true);
        }
        self.bar.set_position(done);
    }

    /// Shows the line, or not any longer, as whoever has the terminal changes.
    fn follow(&self, shown: bool) {
        self.asked.set(Some(Instant::now()));
        let shown = shown && job::in_foreground(std::io::stderr()) != Some(false);
        if self.shown.replace(shown) != shown {
            // Hides itself where stderr is no terminal.
            let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
            self.bar.set_draw_target(target);
        }
    }

    /// Other words.
    pub(crate) fn show(&self, words: String) {
        self.bar.set_message(words);
        self.set(0);
    }

    /// A message above the line.
    pub(crate) fn say(&self, words: Arguments<'_>) {
        self.follow(self.shown.get());
        self.bar.suspend(|| say(words));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.follow(self.shown.get());
        self.bar.finish_and_clear();
    }
}
