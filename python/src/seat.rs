//! A reader's client, which is lent to a frame that is followed.

use crate::errors;
use crate::wait::lock_of;
use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use shmx::Client;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a reader and a frame that it follows share.
#[derive(Debug)]
pub(crate) struct Seat {
    name: String,
    /// None once it is closed, and while it is lent.
    client: Mutex<Option<Client>>,
    /// That made it.
    process: u32,
    closed: AtomicBool,
}

impl Seat {
    pub(crate) fn new(client: Client) -> Self {
        let name = client.name().to_owned();
        Self { name, client: Mutex::new(Some(client)), process: std::process::id(), closed: AtomicBool::new(false) }
    }

    /// Name of the region.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process that made it.
    pub(crate) const fn process(&self) -> u32 {
        self.process
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The client, in a thread without the interpreter's lock. None in a forked child that cannot have it.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, Option<Client>>> {
        lock_of(self.process, &self.client)
    }

    /// The client, if nobody else has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Option<Client>>> {
        self.client.try_lock()
    }

    /// Takes the client back from a frame that was followed.
    pub(crate) fn give_back(&self, client: Client) {
        let Some(mut place) = self.lock() else { return };
        // `close` says so before it locks.
        if !self.is_closed() {
            *place = Some(client);
        }
    }

    /// Takes the client for good; none if it is lent, and then it is dropped as it comes back.
    pub(crate) fn close(&self) -> Option<Client> {
        self.closed.store(true, Ordering::Relaxed);
        self.lock()?.take()
    }

    /// Why there is no client.
    pub(crate) fn gone(&self, py: Python<'_>) -> PyErr {
        if self.is_closed() { errors::closed(py, &self.name) } else { errors::in_use(py, &self.name) }
    }
}
