//! The objects of this crate, the same on every platform.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::{Duration, SystemTime};

use crate::dump::Dump;
use crate::error::{CreateError, OpenError, OsError, PublishError};
use crate::futex::Wake;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::sys;

/// Longest file that [`ReadOnlyRegion::from_file`] reads, in bytes: 4 GiB, the most that the wire format can address.
pub const MAX_DUMP_LEN: u64 = 1 << 32;

/// What is in the names that stand in for objects without a name; see [`RegionEntry::is_pending`].
pub(crate) const PENDING_MARK: &str = ".shmx-pending-";

/// What [`Pending::create`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Length in bytes; must not be 0. It need not be a multiple of the page size.
    pub len: u64,
    /// The nine permission bits of the object, exactly: the umask does not apply. Default `0o600`, the owner alone.
    /// Ignored on Windows, where the default security of the creator's token applies: the creator's user and the
    /// administrators.
    pub mode: u32,
    /// The group of the object, by number (Unix). Default none: that of the process.
    pub group: Option<u32>,
    /// Enter every page into this process's page table now instead of on first touch. Default true. The memory is
    /// reserved either way; this moves the page faults out of the first lap.
    pub prefault: bool,
    /// Ask for huge pages. Default false. Best effort: on Linux `/dev/shm` must be mounted with `huge=advise`,
    /// `huge=within_size` or `huge=always` (`mount -o remount,huge=advise /dev/shm`; the default is `never`), elsewhere
    /// it is ignored. [`Region::huge_page_bytes`] says what came of it.
    pub huge_pages: bool,
    /// How many reader locks there will be, [`LockByte::Reader`]`(0)` and on. Default 128. Windows keeps room for them
    /// (8 bytes each) and refuses to lock beyond; elsewhere every lock can be taken and this is ignored.
    pub reader_locks: u32,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { len: 0, mode: 0o600, group: None, prefault: true, huge_pages: false, reader_locks: 128 }
    }
}

/// A new, zeroed object that nobody can see yet.
///
/// The creator writes what belongs into it and then makes it visible, whole, under its name: [`Pending::publish`].
/// Dropping it instead gives the memory back.
///
/// # Platforms
///
/// On Linux the object has no name until it is published, so a creator that is killed leaves nothing behind. (Where
/// the shared-memory filesystem has no `O_TMPFILE`, or `/proc` is not mounted, or a rule forbids it, a random name stands
/// in, beginning with `.shmx-pending-` or, where that is forbidden too, with the object's own name: that one does stay
/// behind after a kill, see [`RegionEntry::is_pending`].) On other platforms the name is visible from
/// [`Pending::create`] on, a taken name is an error there, and openers must tell an unfinished object by its contents.
pub struct Pending {
    name: RegionName,
    inner: sys::Pending,
}

impl Pending {
    /// Makes an object of `options.len` bytes, all zero, and maps it read-write. All its memory is reserved.
    ///
    /// `name` is only remembered for [`Pending::publish`]; on Linux it may be taken at this point.
    ///
    /// # Errors
    ///
    /// [`CreateError::NoSpace`] where the memory cannot be reserved; see [`CreateError`] for the others. Nothing is
    /// left behind.
    pub fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let limit = isize::MAX as u64;
        if options.len == 0 || options.len > limit {
            return Err(CreateError::InvalidLength { len: options.len, limit });
        }
        if options.mode & !0o777 != 0 {
            return Err(CreateError::InvalidMode { mode: options.mode });
        }
        Ok(Self { name: name.clone(), inner: sys::Pending::create(name, options)? })
    }

    /// The name it is to be published under.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.name
    }

    /// Bytes in [`Pending::bytes`]: the length that was asked for. Never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an object is never empty")]
    pub fn len(&self) -> usize {
        self.inner.bytes().len()
    }

    /// The memory: `options.len` bytes, starting at a page boundary.
    ///
    /// # Safety
    ///
    /// As for [`Region::bytes`]. While nobody else has opened the object nobody holds a part of it as plain memory, and
    /// every access is sound. That is so until [`Pending::publish`] where objects have no name before; elsewhere, and
    /// where a hidden name stands in, for as long as the caller has stored nothing that makes others use the object.
    #[must_use]
    #[inline]
    pub unsafe fn bytes(&self) -> &[AtomicU8] {
        self.inner.bytes()
    }

    /// Takes a liveness lock before anybody can see the object, so that it is never seen without. The lock stays
    /// with the [`Region`] that [`Pending::publish`] returns. Semantics and errors: [`Region::try_lock`].
    pub fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.inner.try_lock(lock)
    }

    /// Makes the object visible under its name. An existing object is never replaced.
    ///
    /// What was stored before is seen by whoever opens the name afterwards. Of several processes that publish one
    /// name at the same time exactly one succeeds.
    ///
    /// # Errors
    ///
    /// [`PublishError::Exists`] where the name is taken. Every error gives the object back for another try.
    pub fn publish(self) -> Result<Region, PublishError> {
        let Self { name, inner } = self;
        match inner.publish(&name) {
            Ok(inner) => Ok(Region { name, inner }),
            Err(refusal) => {
                let (inner, refused) = *refusal;
                let pending = Box::new(Self { name: name.clone(), inner });
                Err(match refused {
                    None => PublishError::Exists { name, pending },
                    Some(source) => PublishError::Os { source, pending },
                })
            }
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

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

    /// Whether the process with this id has this very object mapped or open; see [`ReadOnlyRegion::is_used_by`].
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

    /// Whether the name still leads to this very object. False also when that cannot be found out.
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
    name: RegionName,
    inner: sys::Region,
}

impl Region {
    /// [`Existing::open`] and [`Existing::map`] in one.
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn open(name: &RegionName) -> Result<Self, OpenError> {
        Existing::open(name)?.map()
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

    /// Whether the name still leads to this very object; see [`Existing::is_current`].
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.inner.is_current(&self.name)
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

    /// Copies bytes out of the object without the mapping; see [`Existing::read_at`].
    ///
    /// # Errors
    ///
    /// As [`Existing::read_at`].
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
    /// huge ones first, see [`CreateOptions::huge_pages`]. Contents stay as they are. Best effort.
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
    /// Where [`futex::SUPPORTED`](crate::futex::SUPPORTED) is false it is a short sleep, and so it is on Windows for
    /// objects that other programs made.
    #[must_use]
    pub fn wait(&self, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        self.inner.wait(&self.name, word, expected, timeout)
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
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

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
    /// As [`Existing::open`] and [`Existing::map`].
    pub fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { source: Source::Object { name: name.clone(), inner: sys::ReadOnly::open(name)? } })
    }

    /// Reads a whole file into memory that starts at a multiple of 64 bytes. The file is not mapped: what happens to
    /// it later does no harm.
    ///
    /// # Errors
    ///
    /// [`OpenError::TooLarge`] above [`MAX_DUMP_LEN`], [`OpenError::Empty`], [`OpenError::NotSharedMemory`] for
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

    /// Whether the name still leads to this very object; see [`Existing::is_current`]. True for files, which nothing
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

/// Whose an object is, and what others may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Owner {
    /// Permission bits for a file of this process that copies the object's bytes: nobody may read or write it who may
    /// not do so with the object, but this process's user. The umask is for the caller to apply.
    #[must_use]
    pub fn mode_of_copy(self) -> u32 {
        let others = self.mode & 0o006;
        // Members of another group are others to the object.
        let ours = self.gid == sys::group_of_process();
        let group = self.mode & 0o060 & if ours { 0o060 } else { others << 3 };
        0o600 | group | others
    }
}

/// One object found by [`list`], of whatever origin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionEntry {
    /// Its name.
    pub name: RegionName,
    /// Its length in bytes.
    pub len: u64,
    /// When its file was last written by a call or truncated; stores through mappings mostly do not count.
    pub modified: Option<SystemTime>,
    /// The user that owns it; 0 on Windows.
    pub uid: u32,
    /// Its group; 0 on Windows.
    pub gid: u32,
    /// Its permission bits; 0 on Windows.
    pub mode: u32,
}

impl RegionEntry {
    /// Whether the name is one that stands in while an object is made. Its creator is at work, or was killed.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let digits = self.name.as_str().rsplit_once(PENDING_MARK).map(|(_, digits)| digits);
        digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

/// All shared-memory objects of the machine, sorted by name: on Linux the regular files of `/dev/shm`; on Windows the
/// named sections of this session, and with the prefix `Global\` the global ones, as far as they may be read.
///
/// Whether an object is a SHMX region is for the caller to find out. Objects whose names are not a [`RegionName`] (not
/// UTF-8, say) are left out, and so are objects that vanish during the listing.
///
/// # Errors
///
/// [`OsError::Unsupported`] where the platform cannot list (macOS); [`OsError::Os`] otherwise.
pub fn list() -> Result<Vec<RegionEntry>, OsError> {
    let mut entries = sys::list()?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Copies the first bytes of an object and tells its length, without write permission and (on Linux) without mapping
/// it: an object that shrinks meanwhile gives a short answer instead of a signal.
///
/// Returns how many bytes were copied and the object's length. An empty object is no error here.
///
/// # Errors
///
/// As [`Existing::open`].
pub fn peek(name: &RegionName, buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    sys::peek(name, buf)
}
