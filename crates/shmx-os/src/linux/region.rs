//! An object mapped for reading and writing.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use rustix::mm::MprotectFlags;

use super::futex::{wait, wake_all};
use super::lock::LockFile;
use super::object::{ObjectId, read_at};
use super::shared_word::SharedWord;
use super::view::Mapping;
use crate::error::OsError;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::wake::Wake;

pub(crate) struct Region {
    /// Shared with those who wait on a word of it.
    pub(super) view: Arc<Mapping>,
    pub(super) file: LockFile,
    pub(super) id: ObjectId,
}

impl Region {
    #[inline]
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.file.try_lock(lock)
    }

    pub(crate) fn unlock(&self, lock: LockByte) {
        self.file.unlock(lock);
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.file.state(lock)
    }

    pub(crate) fn is_named(&self, name: &RegionName) -> Result<bool, OsError> {
        self.id.is_named(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        self.file.fd("remove the name")?;
        self.id.remove(name)
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_at(&self.file, offset, buf)
    }

    /// # Safety
    ///
    /// No store is made to those pages from now on.
    pub(crate) unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        let page = rustix::param::page_size();
        let end = range.end.min(self.bytes().len()) / page * page;
        let Some(start) = range.start.checked_next_multiple_of(page) else {
            return Ok(());
        };
        if start >= end {
            return Ok(());
        }
        let address = self.view.base().wrapping_byte_add(start);
        // SAFETY: `start..end` lies inside the mapping, which is this object's alone, and both are page boundaries. The
        // pages stay readable, and the caller vouches that nobody writes them.
        let protected = unsafe { rustix::mm::mprotect(address, end - start, MprotectFlags::READ) };
        protected.map_err(|error| OsError::os("write-protect pages", error))
    }

    pub(crate) fn wait(&self, _name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        wait(word, expected, timeout)
    }

    pub(crate) fn shared_word(&self, word: &AtomicU32) -> Option<SharedWord> {
        SharedWord::new(self.view.clone(), word)
    }

    pub(crate) fn wake_all(&self, _name: &RegionName, word: &AtomicU32, _slept_on: u32) {
        wake_all(word);
    }

    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.file.is_forked()
    }

    pub(crate) fn prefault(&self, huge_pages: bool) {
        let span = self.view.span();
        if huge_pages {
            span.advise_huge();
        }
        // The kernel refuses before Linux 5.14, and where another mapping's pages are in its way.
        if span.populate().is_err() {
            crate::pages::touch(self.bytes(), rustix::param::page_size());
        }
    }

    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        self.view.span().huge_bytes()
    }
}
