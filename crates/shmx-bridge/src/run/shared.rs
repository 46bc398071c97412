//! What the threads of a bridge share.

use super::event::Event;
use super::options::Options;
use crate::backend::Backend;
use crate::codec::Codecs;
use crate::keys::Peer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a side that has nothing else to say shows that it lives.
pub(super) const PULSE: Duration = Duration::from_secs(1);
/// A side that was not heard for this long is not there.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// Gets what happens.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Shared {
    pub(super) me: Peer,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) codecs: Arc<dyn Codecs>,
    pub(super) options: Options,
    pub(super) tell: Tell,
    pub(super) stop: AtomicBool,
}

impl Shared {
    pub(super) fn tell(&self, event: Event) {
        (self.tell)(event);
    }

    pub(super) fn trouble(&self, about: impl Into<String>, what: impl std::fmt::Display) {
        self.tell(Event::Trouble { about: about.into(), what: what.to_string() });
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// A value that one thread waits for and others change.
#[derive(Debug, Default)]
pub(super) struct Mailbox<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Mailbox<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// Changes the value and wakes who waits.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let r = f(&mut self.lock());
        self.changed.notify_all();
        r
    }

    /// Waits until `done` gives something, or the time is up.
    pub(super) fn wait<R>(&self, timeout: Duration, mut done: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut found = None;
        let guard = self.lock();
        let not_yet = |value: &mut T| {
            found = done(value);
            found.is_none()
        };
        drop(self.changed.wait_timeout_while(guard, timeout, not_yet));
        found
    }
}
