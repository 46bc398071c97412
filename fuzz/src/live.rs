//! Live objects under names of their own.

use shmx_os::{CreateOptions, Existing, LockByte, Pending, Region, RegionName};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A name that nothing else on the machine uses. Begins with `shmx-fuzz-` and the process id.
#[must_use]
pub fn unique() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-fuzz-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

/// An object with given bytes, removed when dropped.
pub struct Live {
    /// Its name.
    pub name: String,
    region: Region,
}

impl Live {
    /// Makes the object. `locked` holds the server's liveness lock, as a live server does.
    ///
    /// # Panics
    ///
    /// If the system does not let it; that is no finding but leaves nothing to test.
    #[must_use]
    pub fn new(bytes: &[u8], locked: bool) -> Self {
        let name = unique();
        let region_name = RegionName::new(&name).expect("a good name");
        let options = CreateOptions { len: bytes.len() as u64, prefault: false, ..CreateOptions::default() };
        let pending = Pending::create(&region_name, &options).expect("shared memory can be had");
        store(whole(&pending), 0, bytes);
        if locked {
            let _ = pending.try_lock(LockByte::Server);
        }
        let region = pending.publish().expect("the name is free");
        Self { name, region }
    }

    /// The object's memory.
    #[must_use]
    pub fn bytes(&self) -> &[AtomicU8] {
        memory(&self.region)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.region.remove();
    }
}

#[allow(unsafe_code)]
fn whole(pending: &Pending) -> &[AtomicU8] {
    // SAFETY: its name is a moment old and nobody looks for it.
    unsafe { pending.bytes() }
}

/// All bytes of a mapping that the target opened for itself.
#[must_use]
#[allow(unsafe_code)]
pub fn memory(region: &Region) -> &[AtomicU8] {
    // SAFETY: it is the target's own mapping and lends nothing. Stores through it come to the library's mappings as
    // those of another process that ignores the protocol, which is what is fuzzed; nobody stores while the library
    // runs, or compares slices that were lent before a store with what they were.
    unsafe { region.bytes() }
}

/// A second mapping of somebody else's region: the neighbour who scribbles.
#[must_use]
pub fn neighbour(name: &str) -> Option<Region> {
    Region::open(&RegionName::new(name).ok()?).ok()
}

/// Removes a name that is left, whatever it leads to.
pub fn remove(name: &str) {
    if let Ok(existing) = RegionName::new(name).map_err(|_| ()).and_then(|n| Existing::open(&n).map_err(|_| ())) {
        let _ = existing.remove();
    }
}

/// Stores bytes at an offset, as far as they fit.
pub fn store(memory: &[AtomicU8], at: usize, bytes: &[u8]) {
    for (cell, byte) in memory.iter().skip(at).zip(bytes) {
        cell.store(*byte, Ordering::Relaxed);
    }
}

/// A copy of all bytes.
#[must_use]
pub fn load(memory: &[AtomicU8]) -> Vec<u8> {
    memory.iter().map(|b| b.load(Ordering::Relaxed)).collect()
}
