//! An object mapped for reading alone, or a file in its place.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use crate::dump::Dump;
use crate::error::OpenError;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::owner::Owner;
use crate::sys;
use crate::wake::{Wake, poll};

/// A mapping that cannot change the object, or the contents of a dump file.
///
/// Needs only read permission, and takes no locks.
pub struct ReadOnlyRegion {
    source: Source,
}

enum Source {
    Object { name: RegionName, inner: sys::ReadOnly },
    File(Dump),
}

impl ReadOnlyRegion {
    /// Opens and maps the object that `name` leads to now, without write permission.
    ///
    /// # Errors
    ///
    /// As [`Existing::open`](crate::Existing::open) and [`Existing::map`](crate::Existing::map).
    pub fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { source: Source::Object { name: name.clone(), inner: sys::ReadOnly::open(name)? } })
    }

    /// Reads a whole file into memory that starts at a multiple of 64 bytes. The file is not mapped: what happens to
    /// it later does no harm.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooLarge`] above [`MAX_DUMP_LEN`](crate::MAX_DUMP_LEN), [`OpenError::Empty`], [`OpenError::NotSharedMemory`] for
    /// anything but a regular file, and the system's errors.
    pub fn from_file(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { source: Source::File(Dump::read(path)?) })
    }

    /// Bytes in [`ReadOnlyRegion::bytes`]. Never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Object { inner, .. } => inner.bytes().len(),
            Source::File(dump) => dump.bytes().len(),
        }
    }

    /// The memory, starting at a page boundary (a file: at a multiple of 64 bytes).
    ///
    /// # Safety
    ///
    /// Through the slice, and through wider atomics laid over it, only loads with
    /// [`Relaxed`](std::sync::atomic::Ordering::Relaxed) ordering may be made (followed by `fence(Acquire)` where one
    /// is needed). A store or read-modify-write would fault, and the language permits no other atomic access to memory
    /// that is mapped read-only.
    #[must_use]
    #[inline]
    pub unsafe fn bytes(&self) -> &[AtomicU8] {
        match &self.source {
            Source::Object { inner, .. } => inner.bytes(),
            Source::File(dump) => dump.bytes(),
        }
    }

    /// Whether somebody holds the lock. [`LockState::Unsupported`] for files.
    #[must_use]
    pub fn lock_state(&self, lock: LockByte) -> LockState {
        match &self.source {
            Source::Object { name, inner } => inner.lock_state(name, lock),
            Source::File(_) => LockState::Unsupported,
        }
    }

    /// Whether the name still leads to this very object; see [`Existing::is_current`](crate::Existing::is_current). True for files, which nothing
    /// can replace.
    #[must_use]
    pub fn is_current(&self) -> bool {
        match &self.source {
            Source::Object { name, inner } => inner.is_current(name),
            Source::File(_) => true,
        }
    }

    /// The object's length in bytes now, which another process may have changed since it was mapped; none for files
    /// and where the platform does not tell. Touching the mapping beyond it ends the process by a signal, so whoever
    /// watches an object for long asks before each look (and remains exposed to what happens right after the answer).
    #[must_use]
    pub fn len_now(&self) -> Option<u64> {
        match &self.source {
            Source::Object { inner, .. } => inner.len_now(),
            Source::File(_) => None,
        }
    }

    /// Sleeps while `word`, which lies in this region, holds `expected`, for at most `timeout`; see
    /// [`Region::wait`](crate::Region::wait).
    ///
    /// It needs no write permission, and so cannot tell a producer that somebody sleeps: it is woken by those who wake
    /// after every change. In a file nothing changes: there it is a short sleep.
    #[must_use]
    pub fn wait(&self, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        match &self.source {
            Source::Object { name, inner } => inner.wait(name, word, expected, timeout),
            Source::File(_) => poll(word, expected, timeout),
        }
    }

    /// The object and its name; none for files.
    #[cfg(windows)]
    pub(crate) fn sys(&self) -> Option<(&RegionName, &sys::ReadOnly)> {
        match &self.source {
            Source::Object { name, inner } => Some((name, inner)),
            Source::File(_) => None,
        }
    }

    /// Whose the object is now; none for files and where the platform does not tell.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        match &self.source {
            Source::Object { inner, .. } => inner.owner(),
            Source::File(_) => None,
        }
    }

    /// Whether the process with this id has this very object mapped or open. None where that cannot be known: it is
    /// another user's process, of another process namespace, or the platform does not tell.
    ///
    /// A process id found in shared memory says little: it may be of another namespace, or used again. Ask this before
    /// naming a process to people.
    #[must_use]
    pub fn is_used_by(&self, pid: u32) -> Option<bool> {
        match &self.source {
            Source::Object { inner, .. } => inner.is_used_by(pid),
            Source::File(_) => None,
        }
    }

    /// The object's name; none for files.
    #[must_use]
    pub fn name(&self) -> Option<&RegionName> {
        match &self.source {
            Source::Object { name, .. } => Some(name),
            Source::File(_) => None,
        }
    }
}

impl fmt::Debug for ReadOnlyRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnlyRegion").field("name", &self.name()).field("len", &self.len()).finish_non_exhaustive()
    }
}
