//! An object mapped for reading and writing.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use crate::error::{OpenError, OsError};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::region_word::RegionWord;
use crate::sys;
use crate::wake::Wake;

/// A read-write mapping of an object. It can be shared between threads.
///
/// Dropping it unmaps the memory and releases the locks taken through it; the name stays until [`Region::remove`].
/// (On Windows the name goes with its creator: when that drops the region, removes it, or ends.)
///
/// # Forked children
///
/// A child inherits the memory, and [`Region::bytes`] goes on working in it, but the locks stay with the parent alone
/// (see [`LockByte`]). In the child [`Region::is_forked`] is true, locking and removing fail with
/// [`OsError::Forked`], and dropping only unmaps: it changes nothing for the parent.
pub struct Region {
    pub(crate) name: RegionName,
    pub(crate) inner: sys::Region,
}

impl Region {
    /// [`Existing::open`](crate::Existing::open) and [`Existing::map`](crate::Existing::map) in one.
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { name: name.clone(), inner: sys::Existing::open(name)?.map(name)? })
    }

    /// The name it was opened or published by.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.name
    }

    /// Bytes in [`Region::bytes`]: the object's length when it was mapped. Never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub fn len(&self) -> usize {
        self.inner.bytes().len()
    }

    /// The memory, starting at a page boundary. Other processes may write it at any time, with any value.
    ///
    /// # Safety
    ///
    /// Some thread of this process may hold a part of the object's memory as a plain slice, through this mapping or
    /// through another one of the same object: `&[u8]` under a lease, `&mut [u8]` under a claim. For as long as it
    /// does, through the slice returned here and through wider atomics laid over it,
    ///
    /// * nothing is stored to a part held as `&[u8]`; loads are sound;
    /// * nothing is stored to, or loaded from, a part held as `&mut [u8]`. A reader that cannot know whether a claim is
    ///   going on may copy under the stamp (the slot's seqlock word) and must throw the copy away when the stamp moved.
    ///
    /// Parts of which nobody makes plain slices, as all headers, reader slots and control rings of the wire format, may
    /// be loaded and stored at any time, by threads that use one width for each place (an atomic access races with
    /// another of a different width, unless both load).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx_os::{CreateOptions, Pending, RegionName};
    /// use std::sync::atomic::Ordering;
    ///
    /// let name = RegionName::new(&format!("/shmx-doc-bytes-{}", shmx_os::process_id()))?;
    /// let options = CreateOptions { len: 4096, ..CreateOptions::default() };
    /// let region = Pending::create(&name, &options)?.publish()?;
    /// // SAFETY: nobody makes plain slices of this object.
    /// let bytes = unsafe { region.bytes() };
    /// bytes[8].store(1, Ordering::Relaxed);
    /// # region.remove()?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    ///
    /// Code without `unsafe` cannot reach the memory, and so cannot store under a slice that was lent:
    ///
    /// ```compile_fail,E0133
    /// fn scribble(region: &shmx_os::Region) {
    ///     region.bytes()[4096].store(1, std::sync::atomic::Ordering::Relaxed);
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub unsafe fn bytes(&self) -> &[AtomicU8] {
        self.inner.bytes()
    }

    /// Takes a liveness lock if nobody else holds it. Never waits.
    ///
    /// Returns whether this region holds the lock afterwards; so a second call for a lock that this region already
    /// holds returns true again. Another region counts as somebody else even when it is in this process. The lock is
    /// held until [`Region::unlock`], the drop of the region, or the end of the process.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child, [`OsError::Unsupported`] where there are no such locks, [`OsError::Os`]
    /// when the system fails (for example out of lock memory).
    pub fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.inner.try_lock(lock)
    }

    /// Releases a lock. Does nothing when this region does not hold it, or in a forked child.
    pub fn unlock(&self, lock: LockByte) {
        self.inner.unlock(lock);
    }

    /// Whether somebody, this region included, holds the lock.
    #[must_use]
    pub fn lock_state(&self, lock: LockByte) -> LockState {
        self.inner.lock_state(lock)
    }

    /// Whether the name still leads to this very object; see [`Existing::is_current`](crate::Existing::is_current).
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_named().unwrap_or(true)
    }

    /// The same, for who acts on a yes as well.
    ///
    /// # Errors
    ///
    /// [`OsError::Os`] where the system fails to say.
    pub fn is_named(&self) -> Result<bool, OsError> {
        self.inner.is_named(&self.name)
    }

    /// Removes the name if it still leads to this object. Returns whether it did; false means that the name is gone
    /// or another object's. On Windows only the creator can remove it, and it stays, with false, while other programs
    /// hold handles to it.
    ///
    /// Those who have the object mapped keep it. Comparing and removing are two steps: an object published under the
    /// name between them would lose it. Callers keep that from happening by an agreement, such as removing and
    /// publishing only while holding [`LockByte::Server`] of the object that the name leads to.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child; [`OsError::Os`], for example without permission.
    pub fn remove(&self) -> Result<bool, OsError> {
        self.inner.remove(&self.name)
    }

    /// Copies bytes out of the object without the mapping; see [`Existing::read_at`](crate::Existing::read_at).
    ///
    /// # Errors
    ///
    /// As [`Existing::read_at`](crate::Existing::read_at).
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, buf)
    }

    /// Makes the whole pages inside `range` (bytes, cut to the region) read-only in this mapping, so that a stray
    /// store of this process faults instead of corrupting them. Pages that `range` covers only in part are left
    /// alone; with no whole page nothing happens. Other mappings are not affected.
    ///
    /// # Errors
    ///
    /// [`OsError::Os`] or [`OsError::Unsupported`]; the pages are then as before.
    ///
    /// # Safety
    ///
    /// From this call on no store, and no atomic read-modify-write, is made through [`Region::bytes`] to a page
    /// inside `range`, by any thread: it would end the process by a signal, and [`Region::bytes`] hands out references
    /// that otherwise permit it.
    pub unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        // SAFETY: the same contract, passed on.
        unsafe { self.inner.protect_read_only(range) }
    }

    /// Enters every page into this process's page table now instead of on first touch; with `huge_pages`, asks for
    /// huge ones first, see [`CreateOptions::huge_pages`](crate::CreateOptions::huge_pages). Contents stay as they are. Best effort.
    ///
    /// It reads where it cannot do it otherwise, so a region that its owner has shrunk ends the process, as any access
    /// to it would. In an object whose memory is not reserved this takes that memory.
    pub fn prefault(&self, huge_pages: bool) {
        self.inner.prefault(huge_pages);
    }

    /// Bytes of this mapping that huge pages map now, as the kernel has it; `None` where it does not say (elsewhere
    /// than on Linux, or without `/proc`). Takes the kernel a look at all of the process's memory.
    #[must_use]
    pub fn huge_page_bytes(&self) -> Option<u64> {
        self.inner.huge_page_bytes()
    }

    /// Sleeps while `word`, which lies in this region, holds `expected`, for at most `timeout`.
    ///
    /// The comparison and the falling asleep are one step for [`Region::wake_all`]: a wake-up that follows a change of
    /// the word is never missed. The wait is keyed by the underlying object, so that different mappings of it meet.
    /// Timeouts beyond a month are cut to that; on Windows they are rounded up to milliseconds.
    ///
    /// Where [`futex::is_supported`](crate::futex::is_supported) is false it is a short sleep, and so it is on Windows for
    /// objects that other programs made.
    #[must_use]
    pub fn wait(&self, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        self.inner.wait(&self.name, word, expected, timeout)
    }

    /// A word of this region that keeps its memory mapped, for waits that outlast a borrow of the region ([`crate::WaitFd`],
    /// [`crate::WaitMany`]). `None` if it is not one, and on platforms without such waits.
    #[must_use]
    pub fn shared_word(&self, word: &AtomicU32) -> Option<RegionWord> {
        Some(RegionWord { inner: self.inner.shared_word(word)? })
    }

    /// Wakes everybody who sleeps on `word` since it held `slept_on`, in this and in other processes.
    ///
    /// Sequence: change the word away from `slept_on` first, then wake.
    pub fn wake_all(&self, word: &AtomicU32, slept_on: u32) {
        self.inner.wake_all(&self.name, word, slept_on);
    }

    /// Whether this process is a child that was forked after the region was made.
    #[must_use]
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.inner.is_forked()
    }

    #[cfg(windows)]
    pub(crate) fn sys(&self) -> &sys::Region {
        &self.inner
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}
