//! What the test programs share.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use shmx_os::{CreateOptions, Existing, Pending, Region, RegionName};

/// A name that no other test uses, and that is free again afterwards.
pub(crate) struct Scratch(pub(crate) RegionName);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short: macOS takes 30 bytes.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/shmxt-{}-{number}", shmx_os::process_id());
        Self(RegionName::new(&name).unwrap())
    }

    pub(crate) fn create(&self, len: u64) -> Region {
        self.pending(len).publish().unwrap()
    }

    pub(crate) fn pending(&self, len: u64) -> Pending {
        Pending::create(&self.0, &options(len)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(existing) = Existing::open(&self.0) {
            let _ = existing.remove();
        }
    }
}

pub(crate) fn options(len: u64) -> CreateOptions {
    CreateOptions { len, ..CreateOptions::default() }
}

/// The memory of an object of the tests'.
#[allow(dead_code, reason = "not every test program looks at it")]
pub(crate) trait Shared {
    fn shared(&self) -> &[AtomicU8];
}

impl Shared for Region {
    fn shared(&self) -> &[AtomicU8] {
        // SAFETY: no test of this crate makes plain slices of an object.
        unsafe { self.bytes() }
    }
}

impl Shared for Pending {
    fn shared(&self) -> &[AtomicU8] {
        // SAFETY: as above.
        unsafe { self.bytes() }
    }
}
