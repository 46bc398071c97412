//! An object that is open and not mapped.

use std::fmt;
use std::io;

use crate::error::{OpenError, OsError};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::region::Region;
use crate::sys;

/// An existing object, opened for reading and writing but not mapped.
///
/// For looking before mapping: its length, its first bytes, whether its server lives. Dropping it releases the locks
/// taken through it.
pub struct Existing {
    name: RegionName,
    inner: sys::Existing,
}

impl Existing {
    /// Opens the object that `name` leads to now. Its contents are not looked at.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotFound`], [`OpenError::PermissionDenied`], [`OpenError::NotSharedMemory`] for a directory, a
    /// link or the like, [`OpenError::Os`] otherwise. An empty object opens, but does not map.
    pub fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { name: name.clone(), inner: sys::Existing::open(name)? })
    }

    /// The name it was opened by.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.name
    }

    /// The object's length in bytes now. On Windows that of an object made by another program is rounded up to whole
    /// pages.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child, [`OsError::Os`] when the system fails.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length is a question to the system that can fail, not a property"
    )]
    pub fn len(&self) -> Result<u64, OsError> {
        self.inner.len()
    }

    /// Whether the process with this id has this very object mapped or open; see
    /// [`ReadOnlyRegion::is_used_by`](crate::ReadOnlyRegion::is_used_by).
    #[must_use]
    pub fn is_used_by(&self, pid: u32) -> Option<bool> {
        self.inner.is_used_by(pid)
    }

    /// Copies bytes out of the object without mapping it, so that an object that shrinks meanwhile gives a short
    /// answer instead of a signal. Returns how many bytes were copied, 0 at or after the end.
    ///
    /// The copy is not atomic: another process may write meanwhile. On Windows and macOS it reads through a mapping.
    ///
    /// # Errors
    ///
    /// The system's, or [`io::ErrorKind::Unsupported`] in a forked child.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, buf)
    }

    /// Takes a liveness lock if it is free; see [`Region::try_lock`]. It stays with the [`Region`] that
    /// [`Existing::map`] makes.
    ///
    /// # Errors
    ///
    /// As [`Region::try_lock`].
    pub fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.inner.try_lock(lock)
    }

    /// Whether somebody, this object included, holds the lock.
    #[must_use]
    pub fn lock_state(&self, lock: LockByte) -> LockState {
        self.inner.lock_state(lock)
    }

    /// Whether the name still leads to this very object. True also where the system fails to say (no memory, no
    /// permission): only a name that is known to be lost is worth giving anything up for.
    ///
    /// Can be stale when it returns, unless the caller excludes whoever could replace the object.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.inner.is_current(&self.name)
    }

    /// Removes the name if it still leads to this object, and releases the locks taken through it. See
    /// [`Region::remove`].
    ///
    /// # Errors
    ///
    /// As [`Region::remove`].
    pub fn remove(self) -> Result<bool, OsError> {
        self.inner.remove(&self.name)
    }

    /// Maps the object read-write, whole: this very object, even where the name leads elsewhere by now.
    ///
    /// # Errors
    ///
    /// [`OpenError::Empty`] for an object of 0 bytes, [`OpenError::TooLarge`], [`OpenError::Os`];
    /// [`OpenError::Replaced`] on macOS, and on Linux without `/proc`, when the name does not lead to this object any
    /// more (open it again). On an error the locks are released.
    pub fn map(self) -> Result<Region, OpenError> {
        let inner = self.inner.map(&self.name)?;
        Ok(Region { name: self.name, inner })
    }

    /// Maps the object as [`Existing::map`] does, and keeps this one with its locks. The region has locks of its own.
    ///
    /// # Errors
    ///
    /// As [`Existing::map`]; nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx_os::{CreateOptions, Existing, LockByte, Pending, RegionName};
    ///
    /// let name = RegionName::new(&format!("/shmx-doc-again-{}", shmx_os::process_id()))?;
    /// Pending::create(&name, &CreateOptions { len: 4096, ..CreateOptions::default() })?.publish()?;
    /// let existing = Existing::open(&name)?;
    /// assert!(existing.try_lock(LockByte::Server)?);
    /// let region = existing.map_again()?;
    /// assert!(!region.try_lock(LockByte::Server)?);
    /// # existing.remove()?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    pub fn map_again(&self) -> Result<Region, OpenError> {
        let inner = self.inner.again(&self.name)?.map(&self.name)?;
        Ok(Region { name: self.name.clone(), inner })
    }
}

impl fmt::Debug for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Existing").field("name", &self.name).finish_non_exhaustive()
    }
}
