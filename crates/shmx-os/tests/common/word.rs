//! A word of a region, to wait on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use shmx_os::{ReadOnlyRegion, Region, WaitSource, WaitWord};

pub(crate) enum Memory {
    Shared(Arc<Region>),
    #[allow(dead_code, reason = "not every test program reads only")]
    ReadOnly(Arc<ReadOnlyRegion>),
}

/// Word `index` of a region of the tests'.
pub(crate) struct Word {
    memory: Memory,
    index: usize,
}

impl Word {
    pub(crate) fn new(memory: Memory, index: usize) -> Arc<Self> {
        Arc::new(Self { memory, index })
    }

    pub(crate) fn of(region: &Arc<Region>, index: usize) -> Arc<Self> {
        Self::new(Memory::Shared(Arc::clone(region)), index)
    }

    /// As a producer: changes the word, then wakes.
    pub(crate) fn ring(&self, value: u32) {
        let Memory::Shared(region) = &self.memory else { panic!("the memory is read-only") };
        let before = self.word().swap(value, Ordering::SeqCst);
        region.wake_all(self.word(), before);
    }
}

impl WaitWord for Word {
    fn word(&self) -> &AtomicU32 {
        let bytes: &[AtomicU8] = match &self.memory {
            // SAFETY: no test of this crate makes plain slices of an object.
            Memory::Shared(region) => unsafe { region.bytes() },
            // SAFETY: as above, and the tests only load.
            Memory::ReadOnly(region) => unsafe { region.bytes() },
        };
        let bytes = &bytes[self.index * 4..][..4];
        // SAFETY: four bytes at a multiple of four from a page boundary, borrowed from the region, which `self` keeps;
        // they are accessed in this width alone.
        unsafe { &*bytes.as_ptr().cast::<AtomicU32>() }
    }

    fn source(&self) -> WaitSource<'_> {
        match &self.memory {
            Memory::Shared(region) => WaitSource::Region(region),
            Memory::ReadOnly(region) => WaitSource::ReadOnly(region),
        }
    }
}
