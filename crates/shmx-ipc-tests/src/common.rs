//! What every scenario uses: names, sizes, small servers.

use crate::frames;
use anyhow::Result;
use shmx::{Server, SharedServer};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const PREFIX: &str = "shmx-ipc-";

/// What every scenario gets.
pub(crate) struct Scale {
    /// Shorter runs.
    pub(crate) quick: bool,
}

impl Scale {
    /// `full`, or a fifth of it in a quick run, and again in an emulated one, which is many times slower.
    pub(crate) fn amount(&self, full: u64) -> u64 {
        let emulated = shmx_testkit::emulated();
        [self.quick, emulated].into_iter().filter(|&less| less).fold(full, |amount, _| amount.div_ceil(5))
    }
}

/// A name no other process uses.
pub(crate) fn unique() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

/// Shared-memory objects with our names; always empty where they cannot be listed.
pub(crate) fn objects(prefix: &str) -> BTreeSet<String> {
    let entries = shmx_os::list().unwrap_or_default();
    entries.iter().map(|e| e.name.to_string()).filter(|n| n.starts_with(prefix)).collect()
}

pub(crate) fn small(slots: u32) -> Result<(SharedServer, String)> {
    let name = unique();
    Ok((frames::server(&name).slots(slots).create().map(Server::into_shared)?, name))
}

pub(crate) fn publish(server: &SharedServer, number: u64) -> Result<(u32, u64)> {
    let mut frame = server.begin_frame()?;
    let slot = frame.slot();
    frames::write(&mut frame, 1, number, 1000, None)?;
    Ok((slot, frame.publish_frame(number as f64)?))
}
