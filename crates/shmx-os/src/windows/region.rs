//! An object mapped for reading and writing.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use windows_sys::Win32::System::Memory::{PAGE_READONLY, VirtualProtect};

use super::bell;
use super::mapping::PAGE;
use super::object::Object;
use crate::error::OsError;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::no_shared_word::SharedWord;
use crate::wake::Wake;

pub(crate) struct Region {
    pub(super) object: Object,
}

impl Region {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.object.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.object.try_lock(lock)
    }

    pub(crate) fn unlock(&self, lock: LockByte) {
        self.object.unlock(lock);
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.object.state(lock)
    }

    pub(crate) fn is_named(&self, name: &RegionName) -> Result<bool, OsError> {
        self.object.view.is_named(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        Ok(self.object.remove(name))
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.object.view.copy_out(offset, buf))
    }

    /// # Safety
    ///
    /// No store is made to those pages from now on.
    pub(crate) unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        let view = &self.object.view;
        // The page size of every architecture that this system runs on (x86, x86-64, ARM64).
        let end = range.end.min(view.len) / PAGE * PAGE;
        let Some(start) = range.start.checked_next_multiple_of(PAGE) else {
            return Ok(());
        };
        if start >= end {
            return Ok(());
        }
        let address: *const c_void = view.mapping.base.as_ptr().wrapping_add(start).cast();
        let mut before = 0;
        // SAFETY: `start..end` lies inside the view, which is this object's alone, on page boundaries; the pages stay
        // readable, and the caller vouches that nobody writes them. `before` is valid for writes.
        let done = unsafe { VirtualProtect(address, end - start, PAGE_READONLY, &raw mut before) };
        if done == 0 { Err(OsError::os("write-protect pages", io::Error::last_os_error())) } else { Ok(()) }
    }

    pub(crate) fn prefault(&self, _huge_pages: bool) {
        crate::pages::touch(self.bytes(), crate::pages::SMALLEST_PAGE);
    }

    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        None
    }

    pub(crate) fn wait(&self, name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        bell::sleep(&self.object.view, name, word, expected, timeout)
    }

    /// No wait here outlasts a borrow.
    pub(crate) fn shared_word(&self, _word: &AtomicU32) -> Option<SharedWord> {
        None
    }

    pub(crate) fn wake_all(&self, name: &RegionName, word: &AtomicU32, slept_on: u32) {
        if let Some(event) = bell::name(&self.object.view, name, word, slept_on) {
            bell::ring(&event);
        }
    }

    pub(crate) fn is_forked(&self) -> bool {
        false
    }
}
