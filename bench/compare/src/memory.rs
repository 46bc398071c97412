//! Plain shared memory: what the raw contenders use, and the board of counters between the processes.

use anyhow::{Context, Result};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64};

pub(crate) const PAGE: usize = 4096;

/// A shared file mapping, all pages present.
pub(crate) struct Memory {
    map: MmapRaw,
    /// Removed on drop by whoever made it.
    made: Option<PathBuf>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/dev/shm").join(name)
}

impl Memory {
    pub(crate) fn create(name: &str, len: usize) -> Result<Self> {
        let path = path(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        let made = Some(path);
        file.set_len(len as u64)?;
        Ok(Self { map: MmapOptions::new().populate().map_raw(&file)?, made })
    }

    pub(crate) fn open(name: &str) -> Result<Self> {
        let path = path(name);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        Ok(Self { map: MmapOptions::new().populate().map_raw(&file)?, made: None })
    }

    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(8) && offset + len <= self.map.len(), "outside the mapping");
        self.map.as_mut_ptr().wrapping_add(offset)
    }

    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        let at = self.at(offset, size_of::<AtomicU32>());
        // SAFETY: inside the mapping and aligned, see `at`; the mapping lives as long as `self`; all access to these
        // bytes, here and in the other process, is atomic.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }

    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        let at = self.at(offset, size_of::<AtomicU64>());
        // SAFETY: as in `u32`.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    /// # Safety
    ///
    /// Nobody writes these words while the slice lives.
    pub(crate) unsafe fn words(&self, offset: usize, count: usize) -> &[u64] {
        let at = self.at(offset, count * size_of::<u64>());
        // SAFETY: inside the mapping and aligned, see `at`; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts(at.cast(), count) }
    }

    /// # Safety
    ///
    /// Nobody else reads or writes these words while the slice lives.
    #[expect(clippy::mut_from_ref, reason = "the memory is shared between processes; the caller vouches")]
    pub(crate) unsafe fn words_mut(&self, offset: usize, count: usize) -> &mut [u64] {
        let at = self.at(offset, count * size_of::<u64>());
        // SAFETY: inside the mapping and aligned, see `at`; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(at.cast(), count) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            let _ = std::fs::remove_file(path);
        }
    }
}
