//! What the test programs share.

use std::sync::atomic::AtomicU8;

use shmx_os::{CreateOptions, Existing, Pending, Region, RegionName};

/// A name that no other test uses, and that is free again afterwards.
pub(crate) struct Scratch(pub(crate) RegionName);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(RegionName::new(&format!("/{}", shmx_testkit::unique("os"))).unwrap())
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
