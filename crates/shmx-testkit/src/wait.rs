//! Waits with an end.

use std::time::{Duration, Instant};

/// Longest wait for anything: what takes as long on a busy machine does not happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(500);

/// Whether it becomes so within a time.
#[must_use]
pub fn within(time: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until it is so.
///
/// # Panics
///
/// If it is not within [`PATIENCE`]; `what` says what did not happen.
#[track_caller]
pub fn until(what: &str, so: impl FnMut() -> bool) {
    assert!(within(PATIENCE, so), "not within {} s: {what}", PATIENCE.as_secs());
}

/// What `look` gives, once that is something.
///
/// # Panics
///
/// As [`until`].
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = look();
        found.is_some()
    });
    found.expect("it was found")
}
