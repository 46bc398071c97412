//! Locks and waits without the interpreter's lock.

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Signals are looked at this often in every wait.
pub(crate) const SLICE: Duration = Duration::from_millis(20);

/// Copies above this many bytes are made without the interpreter's lock.
pub(crate) const LARGE: usize = 64 * 1024;

/// Locks a mutex. While another thread has it the interpreter's lock is free, since that thread may need it to go on.
///
/// For locks that nobody holds without the interpreter's lock: so none is held by another thread at a fork. No Python
/// object is made while one is held, since making it may collect garbage, whose finalizers may want the same lock.
#[inline]
pub(crate) fn lock<'a, T: Send>(py: Python<'_>, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    loop {
        if let Some(guard) = mutex.try_lock() {
            return guard;
        }
        py.detach(|| drop(mutex.lock()));
    }
}

/// The same for a lock that is held for whole waits, in a thread without the interpreter's lock. None in a forked child
/// of the process that made the object: there a lock that another thread had at the fork stays locked.
pub(crate) fn lock_of<T>(process: u32, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    loop {
        if let Some(guard) = mutex.try_lock_for(SLICE) {
            return Some(guard);
        }
        if std::process::id() != process {
            return None;
        }
    }
}

/// Does something under such a lock: at once where it is free, unless that may take `long`. None as above.
pub(crate) fn with_lock_of<T: Send, R: Send>(
    py: Python<'_>,
    long: bool,
    process: u32,
    mutex: &Mutex<T>,
    f: impl FnOnce(&mut T) -> R + Send,
) -> Option<R> {
    match if long { None } else { mutex.try_lock() } {
        Some(mut guard) => Some(f(&mut guard)),
        None => py.detach(|| lock_of(process, mutex).map(|mut guard| f(&mut guard))),
    }
}

/// What is shared, if it is.
pub(crate) enum Alone<T> {
    Yes(T),
    No { views: usize },
    Nothing,
}

/// Takes what nobody else has a share of; otherwise it stays where it is.
#[inline]
pub(crate) fn take_alone<T>(held: &mut Option<Arc<T>>) -> Alone<T> {
    match held.take().map(Arc::try_unwrap) {
        Some(Ok(taken)) => Alone::Yes(taken),
        Some(Err(shared)) => {
            let views = Arc::strong_count(&shared) - 1;
            *held = Some(shared);
            Alone::No { views }
        }
        None => Alone::Nothing,
    }
}

/// Runs `f`, without the interpreter's lock if `large`.
#[inline]
pub(crate) fn detached_if<T: Send>(py: Python<'_>, large: bool, f: impl FnOnce() -> T + Send) -> T {
    if large { py.detach(f) } else { f() }
}

/// When a wait ends; never, without a timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    start: Instant,
    timeout: Option<Duration>,
}

impl Deadline {
    /// In `seconds` from now.
    pub(crate) fn new(seconds: Option<f64>) -> PyResult<Self> {
        Ok(Self { start: Instant::now(), timeout: seconds.map(duration).transpose()? })
    }

    /// Time that is left; none if it does not end.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.timeout.map(|t| t.saturating_sub(self.start.elapsed()))
    }

    /// How long to wait until signals are looked at again.
    pub(crate) fn slice(&self) -> Duration {
        self.left().map_or(SLICE, |left| left.min(SLICE))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// Seconds as Python gives them.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    // Whoever waits longer than that waits for ever. (`min` would make a number of NaN.)
    let seconds = if seconds > 1e9 { 1e9 } else { seconds };
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!("a time of {seconds} s; give 0 or more, or None for ever"))
    })
}
