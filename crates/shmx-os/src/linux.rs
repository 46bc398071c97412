//! Linux: files of the tmpfs at `/dev/shm`, which is what `shm_open` means there.

mod cgroup;
mod fork;
mod lock;
mod pages;
mod signal;
mod users;
mod view;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mm::{MprotectFlags, ProtFlags};
use rustix::process::{Pid, Resource};
use rustix::thread::futex;
use rustix::time::ClockId;

pub(crate) use self::cgroup::memory_limits;
use self::fork::Ready;
use self::lock::LockFile;
pub(crate) use self::signal::{explain_bus_errors, restore_terminal_on_bus_error, signal_is_ignored};
use self::view::Mapping;
use crate::error::{CreateError, OpenError, OsError, Refusal};
use crate::futex::Wake;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::region::{CreateOptions, Owner, RegionEntry};
use crate::space::Space;

/// Where the objects are.
pub(crate) const DIRECTORY: &str = "/dev/shm";

use crate::region::PENDING_MARK;

/// Bytes reserved by one system call. `fallocate` undoes its work when a signal arrives, so one call for a large
/// object might never get through under a profiler's timer; small steps keep what they have done.
const RESERVE_STEP: u64 = 16 << 20;

const LOOK: &str = "look at the object";
const MAP: &str = "map the object";
const PREPARE: &str = "prepare for forks";

const OPEN_FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Which object: device and inode number. No other object can have it while this one is open or mapped somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ObjectId {
    device: u64,
    inode: u64,
}

impl ObjectId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// What the name leads to now; none if nothing.
    fn named(name: &RegionName) -> Result<Option<Self>, Errno> {
        match rustix::fs::lstat(name.os_path()) {
            Ok(stat) => Ok(Some(Self::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_named(self, name: &RegionName) -> bool {
        Self::named(name) == Ok(Some(self))
    }

    /// Removes the name if it leads to this object.
    fn remove(self, name: &RegionName) -> Result<bool, OsError> {
        let named = Self::named(name).map_err(|e| OsError::os("look up the name", e))?;
        if named != Some(self) {
            return Ok(false);
        }
        match rustix::fs::unlink(name.os_path()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(OsError::os("remove the name", error)),
        }
    }
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Opens an existing object and makes sure that it is one.
fn open_object(name: &RegionName, access: OFlags) -> Result<(OwnedFd, Stat), OpenError> {
    let foreign = || OpenError::NotSharedMemory { name: name.as_str().to_owned() };
    // NONBLOCK: opening a pipe of that name must not wait for its other end. It means nothing for regular files.
    let fd = rustix::fs::open(name.os_path(), access | OPEN_FLAGS, Mode::empty()).map_err(|error| {
        match error {
            // A symbolic link, a directory, a socket or a pipe without other end, a device without driver.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV => foreign(),
            error => OpenError::os(name, "open the object", error),
        }
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|error| OpenError::os(name, LOOK, error))?;
    if !is_regular(&stat) {
        return Err(foreign());
    }
    Ok((fd, stat))
}

/// The length to map, or why there is none.
fn mappable_len(name: &RegionName, stat: &Stat) -> Result<usize, OpenError> {
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    if len == 0 {
        return Err(OpenError::Empty { name: name.as_str().to_owned() });
    }
    match isize::try_from(len) {
        Ok(len) => Ok(len.unsigned_abs()),
        Err(_) => Err(OpenError::TooLarge { name: name.as_str().to_owned(), len, limit: isize::MAX as u64 }),
    }
}

fn read_at(file: &LockFile, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let fd = file.fd("read the object").map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
    loop {
        match rustix::io::pread(fd, &mut *buf, offset) {
            // The kernel refuses ranges that leave its signed offsets. No object reaches that far.
            Err(Errno::INVAL | Errno::OVERFLOW) if i64::try_from(offset.saturating_add(buf.len() as u64)).is_err() => {
                return Ok(0);
            }
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

// ---------------------------------------------------------------------------------------------------- creation

pub(crate) struct Pending {
    mapping: Mapping,
    file: LockFile,
    id: ObjectId,
    /// The hidden name, where there is one.
    hidden: Option<HiddenName>,
}

/// A name that is removed on drop, except in forked children (whose parent still needs it).
struct HiddenName {
    path: PathBuf,
    owner: u32,
}

impl Drop for HiddenName {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            // The name is random and hidden: nobody else would have put another object there.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

/// How to have an object that nobody sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// `O_TMPFILE`, and `/proc/self/fd` to open and link it.
    Nameless,
    /// A random hidden name.
    Hidden,
    /// A random name that begins with the object's own, for programs that may use such names only.
    Beside,
}

/// `/proc/self/fd/N`, which opens and links the very object behind a descriptor.
fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

impl Pending {
    /// Two descriptions of the object are opened. One is mapped and closed; the mapping keeps that description alive,
    /// also in forked children, which inherit it. The other is for locks, and is closed in forked children. With one
    /// description for both, a child's mapping would keep a dead parent's locks.
    pub(crate) fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let mut refused = None;
        for strategy in [Strategy::Nameless, Strategy::Hidden, Strategy::Beside] {
            match Self::create_by(strategy, name, options) {
                Ok(made) => return Ok(made),
                Err(Attempt::NoSuchWay) => {}
                // A confined program may have rights for names that begin with a given text only.
                Err(Attempt::Failed(error @ CreateError::PermissionDenied { .. })) => refused = Some(error),
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
        Err(refused.unwrap_or(CreateError::Unsupported))
    }

    fn create_by(strategy: Strategy, name: &RegionName, options: &CreateOptions) -> Result<Self, Attempt> {
        // The caller has checked that it fits.
        let len = usize::try_from(options.len).unwrap_or(usize::MAX);
        let (memory, hidden) = open_invisible(strategy, name)?;
        let reopen_path = match &hidden {
            Some(hidden) => hidden.path.clone(),
            None => proc_path(memory.as_fd()).into(),
        };
        // Before fchmod, because the final mode may forbid it.
        let ready = Ready::new().map_err(|error| CreateError::os(PREPARE, error))?;
        let file = LockFile::open(ready, || -> Result<OwnedFd, Attempt> {
            // No NOFOLLOW: the /proc path is a link by nature.
            rustix::fs::open(&reopen_path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(
                |error| match strategy {
                    Strategy::Nameless => Attempt::NoSuchWay,
                    Strategy::Hidden | Strategy::Beside => {
                        CreateError::os("open the new object a second time", error).into()
                    }
                },
            )
        })?;
        let stat = rustix::fs::fstat(&memory).map_err(|error| CreateError::os(LOOK, error))?;
        let again = file.fd(LOOK).map(|fd| rustix::fs::fstat(fd).ok());
        if !matches!(again, Ok(Some(again)) if ObjectId::of(&again) == ObjectId::of(&stat)) {
            // /proc is of another process namespace, or somebody replaced the hidden name.
            return Err(Attempt::NoSuchWay);
        }
        if let Some(group) = options.group {
            rustix::fs::fchown(&memory, None, Some(rustix::fs::Gid::from_raw(group)))
                .map_err(|error| CreateError::Os { step: "give the object to the group", source: error.into() })?;
        }
        // By fchmod, so that the umask has no say.
        rustix::fs::fchmod(&memory, Mode::from_raw_mode(options.mode))
            .map_err(|error| CreateError::os("set the file mode", error))?;
        check_room(memory.as_fd(), options.len)?;
        if options.huge_pages {
            // Huge pages come from faults through a mapping with this advice. `fallocate` knows no mapping and would
            // fill the object with small pages, so it comes afterwards and fills what the faults left.
            rustix::fs::ftruncate(&memory, options.len)
                .map_err(|error| no_space_or("set the length", error, memory.as_fd(), options.len))?;
            let mapping = map_new(&memory, len)?;
            mapping.span().advise_huge();
            // Best effort: what this cannot have, `reserve` reports.
            let _ = mapping.span().populate();
            reserve(memory.as_fd(), options.len)?;
            if options.prefault {
                prefault(&mapping)?;
            }
            return Ok(Self::assemble(mapping, file, &stat, hidden));
        }
        reserve(memory.as_fd(), options.len)?;
        let mapping = map_new(&memory, len)?;
        if options.prefault {
            prefault(&mapping)?;
        }
        Ok(Self::assemble(mapping, file, &stat, hidden))
    }

    fn assemble(mapping: Mapping, file: LockFile, stat: &Stat, hidden: Option<HiddenName>) -> Self {
        Self { mapping, file, id: ObjectId::of(stat), hidden }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.file.try_lock(lock)
    }

    pub(crate) fn publish(self, name: &RegionName) -> Result<Region, Refusal<Self>> {
        const STEP: &str = "give the object its name";
        let linked = match self.file.fd(STEP) {
            Err(error) => return Err(Box::new((self, Some(error)))),
            Ok(fd) => {
                let (path, flags) = match &self.hidden {
                    Some(hidden) => (hidden.path.clone(), AtFlags::empty()),
                    None => (proc_path(fd).into(), AtFlags::SYMLINK_FOLLOW),
                };
                // Link, not rename: it fails where the name is taken.
                rustix::fs::linkat(CWD, path, CWD, name.os_path(), flags)
            }
        };
        match linked {
            Ok(()) => Ok(Region {
                view: self.mapping,
                file: self.file,
                id: self.id,
                // The hidden name, where there is one, goes here.
            }),
            Err(Errno::EXIST) => Err(Box::new((self, None))),
            Err(error) => Err(Box::new((self, Some(OsError::os(STEP, error))))),
        }
    }
}

/// Why one way of creating did not work.
enum Attempt {
    /// The system does not offer this way.
    NoSuchWay,
    Failed(CreateError),
}

impl From<CreateError> for Attempt {
    fn from(error: CreateError) -> Self {
        Self::Failed(error)
    }
}

/// A name that stands in where an object cannot be made without one.
fn stand_in(strategy: Strategy, name: &RegionName) -> String {
    let own = if strategy == Strategy::Beside { name.as_str() } else { "" };
    // Names have an end.
    let most = crate::NAME_MAX_LEN - PENDING_MARK.len() - 16;
    let own = own.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most).map(|(_, c)| c);
    format!("{}{PENDING_MARK}{:016x}", own.collect::<String>(), crate::random_u64())
}

fn open_invisible(strategy: Strategy, name: &RegionName) -> Result<(OwnedFd, Option<HiddenName>), Attempt> {
    const STEP: &str = "create a file in /dev/shm";
    // Readable and writable for the owner until the final mode is set.
    let mode = Mode::RUSR | Mode::WUSR;
    let access = OFlags::RDWR | OFlags::CLOEXEC;
    match strategy {
        Strategy::Nameless => match open_new(Path::new(DIRECTORY), access | OFlags::TMPFILE, mode) {
            Ok(fd) => Ok((fd, None)),
            // What kernels and filesystems without it say.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Err(Attempt::NoSuchWay),
            Err(error) => Err(CreateError::os(STEP, error).into()),
        },
        Strategy::Hidden | Strategy::Beside => loop {
            let path = Path::new(DIRECTORY).join(stand_in(strategy, name));
            let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            match open_new(&path, flags, mode) {
                Ok(fd) => {
                    let owner = std::process::id();
                    return Ok((fd, Some(HiddenName { path, owner })));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(CreateError::os(STEP, error).into()),
            }
        },
    }
}

fn open_new(path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[cfg(test)]
    tests::confine(path)?;
    rustix::fs::open(path, flags, mode)
}

/// Bytes free on the filesystem; none where it has no limit of its own.
fn available(fd: BorrowedFd<'_>) -> Option<u64> {
    let fs = rustix::fs::fstatvfs(fd).ok()?;
    // A tmpfs without a limit says 0 blocks in all.
    (fs.f_blocks != 0).then(|| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Refuses what cannot work before anything is taken.
fn check_room(fd: BorrowedFd<'_>, needed: u64) -> Result<(), CreateError> {
    // Going over this limit is not an error but a signal, SIGXFSZ, which ends the process.
    if let Some(limit) = rustix::process::getrlimit(Resource::Fsize).current
        && needed > limit
    {
        return Err(CreateError::FileSizeLimit { needed, limit });
    }
    let tight = memory_limits().into_iter().filter(|l| l.available < needed).min_by_key(|l| l.available);
    if let Some(limit) = tight {
        return Err(CreateError::MemoryLimit { needed, available: limit.available, group: limit.group });
    }
    match available(fd) {
        Some(available) if available < needed => Err(CreateError::NoSpace { needed, available }),
        _ => Ok(()),
    }
}

fn no_space_or(step: &'static str, error: Errno, fd: BorrowedFd<'_>, needed: u64) -> CreateError {
    match error {
        Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::FBIG => {
            CreateError::NoSpace { needed, available: available(fd).unwrap_or(0) }
        }
        error => CreateError::os(step, error),
    }
}

/// Gives the object its length and takes the memory for all of it, so that no later touch can fail for want of it.
fn reserve(fd: BorrowedFd<'_>, len: u64) -> Result<(), CreateError> {
    const STEP: &str = "reserve the object's memory";
    let mut done = 0;
    while done < len {
        let step = RESERVE_STEP.min(len - done);
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), done, step) {
            Ok(()) => done += step,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return reserve_by_writing(fd, done, len),
            Err(error) => return Err(no_space_or(STEP, error, fd, len)),
        }
    }
    Ok(())
}

/// For filesystems without `fallocate`: writing zeros reserves too, and says so when it cannot.
fn reserve_by_writing(fd: BorrowedFd<'_>, mut done: u64, len: u64) -> Result<(), CreateError> {
    let zeros = vec![0_u8; 1 << 16];
    while done < len {
        let count = usize::try_from(len - done).map_or(zeros.len(), |left| left.min(zeros.len()));
        match rustix::io::pwrite(fd, &zeros[..count], done) {
            Ok(0) => return Err(no_space_or("write zeros", Errno::NOSPC, fd, len)),
            Ok(written) => done += written as u64,
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(no_space_or("fill the object with zeros", error, fd, len));
            }
        }
    }
    Ok(())
}

fn map_new(fd: &OwnedFd, len: usize) -> Result<Mapping, CreateError> {
    Mapping::new(fd, len, ProtFlags::READ | ProtFlags::WRITE)
        .map_err(|error| CreateError::os("map the new object", error))
}

/// Enters all pages into the page table. They exist, so this takes no memory but that of the table.
fn prefault(mapping: &Mapping) -> Result<(), CreateError> {
    match mapping.span().populate() {
        Ok(()) => Ok(()),
        // INVAL before Linux 5.14; the others ask for another try.
        Err(Errno::INVAL | Errno::INTR | Errno::AGAIN) => {
            for byte in mapping.bytes().iter().step_by(rustix::param::page_size()) {
                // A write that changes nothing. Relaxed: it orders nothing.
                byte.fetch_or(0, Ordering::Relaxed);
            }
            Ok(())
        }
        Err(error) => Err(CreateError::os("touch the object's pages", error)),
    }
}

// ------------------------------------------------------------------------------------------------------ opening

pub(crate) struct Existing {
    file: LockFile,
    id: ObjectId,
}

impl Existing {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let mut id = None;
        let ready = Ready::new()
            .map_err(|error| OpenError::Os { name: name.as_str().to_owned(), source: OsError::os(PREPARE, error) })?;
        let file = LockFile::open(ready, || {
            let (fd, stat) = open_object(name, OFlags::RDWR)?;
            id = Some(ObjectId::of(&stat));
            Ok::<_, OpenError>(fd)
        })?;
        match id {
            Some(id) => Ok(Self { file, id }),
            // The closure ran, or there would be no file.
            None => Err(OpenError::Replaced { name: name.as_str().to_owned() }),
        }
    }

    fn stat(&self) -> Result<Stat, OsError> {
        rustix::fs::fstat(self.file.fd(LOOK)?).map_err(|error| OsError::os(LOOK, error))
    }

    pub(crate) fn is_used_by(&self, pid: u32) -> Option<bool> {
        users::uses(pid, self.id)
    }

    pub(crate) fn len(&self) -> Result<u64, OsError> {
        Ok(u64::try_from(self.stat()?.st_size).unwrap_or(0))
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_at(&self.file, offset, buf)
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.file.try_lock(lock)
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.file.state(lock)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.id.is_named(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        // A parent's object is the parent's to remove.
        self.file.fd("remove the name")?;
        self.id.remove(name)
    }

    /// Maps this very object, whatever the name leads to by now. What is mapped is a description of its own, see
    /// [`Pending::create`].
    pub(crate) fn map(self, name: &RegionName) -> Result<Region, OpenError> {
        let fail = |source| OpenError::Os { name: name.as_str().to_owned(), source };
        let (fd, stat) = reopen(name, self.file.fd(MAP).map_err(fail)?, self.id)?;
        let len = mappable_len(name, &stat)?;
        let view = Mapping::new(&fd, len, ProtFlags::READ | ProtFlags::WRITE)
            .map_err(|error| OpenError::os(name, MAP, error))?;
        Ok(Region { view, file: self.file, id: self.id })
    }

    /// The same object once more, with locks of its own.
    pub(crate) fn again(&self, name: &RegionName) -> Result<Self, OpenError> {
        let fail = |source| OpenError::Os { name: name.as_str().to_owned(), source };
        let ready = Ready::new().map_err(|error| fail(OsError::os(PREPARE, error)))?;
        let fd = self.file.fd(MAP).map_err(fail)?;
        let file = LockFile::open(ready, || reopen(name, fd, self.id).map(|(fd, _)| fd))?;
        Ok(Self { file, id: self.id })
    }
}

/// Another description of an open object.
fn reopen(name: &RegionName, fd: BorrowedFd<'_>, id: ObjectId) -> Result<(OwnedFd, Stat), OpenError> {
    // No NOFOLLOW: the /proc path is a link by nature. It leads to the object itself.
    let same = rustix::fs::open(proc_path(fd), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .and_then(|fd| rustix::fs::fstat(&fd).map(|stat| (fd, stat)));
    match same {
        Ok((fd, stat)) if ObjectId::of(&stat) == id => return Ok((fd, stat)),
        // Without /proc, or with that of another process namespace, by name; only the same object will do.
        _ => {}
    }
    let replaced = || OpenError::Replaced { name: name.as_str().to_owned() };
    match open_object(name, OFlags::RDWR) {
        Ok((fd, stat)) if ObjectId::of(&stat) == id => Ok((fd, stat)),
        Ok(_) | Err(OpenError::NotFound { .. } | OpenError::NotSharedMemory { .. }) => Err(replaced()),
        Err(error) => Err(error),
    }
}

pub(crate) struct Region {
    view: Mapping,
    file: LockFile,
    id: ObjectId,
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

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
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
        futex_wait(word, expected, timeout)
    }

    pub(crate) fn wake_all(&self, _name: &RegionName, word: &AtomicU32, _slept_on: u32) {
        // Fails only for an address that is not mapped.
        let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
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

/// Holds no locks, so forked children may keep it.
pub(crate) struct ReadOnly {
    mapping: Mapping,
    fd: OwnedFd,
    id: ObjectId,
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let (fd, stat) = open_object(name, OFlags::RDONLY)?;
        let len = mappable_len(name, &stat)?;
        let mapping =
            Mapping::new(&fd, len, ProtFlags::READ).map_err(|error| OpenError::os(name, "map the object", error))?;
        Ok(Self { mapping, fd, id: ObjectId::of(&stat) })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes()
    }

    pub(crate) fn lock_state(&self, _name: &RegionName, lock: LockByte) -> LockState {
        lock::query(self.fd.as_fd(), lock)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.id.is_named(name)
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        rustix::fs::fstat(&self.fd).ok().map(owner)
    }

    pub(crate) fn is_used_by(&self, pid: u32) -> Option<bool> {
        users::uses(pid, self.id)
    }

    pub(crate) fn len_now(&self) -> Option<u64> {
        rustix::fs::fstat(&self.fd).ok().map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
    }
}

pub(crate) fn peek(name: &RegionName, buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    let (fd, stat) = open_object(name, OFlags::RDONLY)?;
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let mut have = 0;
    while have < buf.len() {
        match rustix::io::pread(&fd, &mut buf[have..], have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(OpenError::os(name, "read the object", error)),
        }
    }
    Ok((have, len))
}

pub(crate) fn space() -> Result<Space, OsError> {
    let fail = |error: Errno| OsError::os("look at /dev/shm", error);
    let fs = rustix::fs::statvfs(DIRECTORY).map_err(fail)?;
    let limited = fs.f_blocks != 0;
    Ok(Space {
        directory: DIRECTORY,
        total: limited.then(|| fs.f_blocks.saturating_mul(fs.f_frsize)),
        available: limited.then(|| fs.f_bavail.saturating_mul(fs.f_frsize)),
        file_size_limit: rustix::process::getrlimit(Resource::Fsize).current,
        nameless_objects: can_be_nameless(),
        in_memory: is_in_memory(),
        read_only: fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        objects_left: (fs.f_files != 0).then_some(fs.f_ffree),
        owner: owner_of_directory(),
    })
}

/// Whether the directory's file system is one of memory.
fn is_in_memory() -> bool {
    /// tmpfs, ramfs and hugetlbfs, by their numbers.
    const KINDS: [u32; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];
    // The number has 32 bits, in a field whose width and sign depend on the machine.
    rustix::fs::statfs(DIRECTORY).is_ok_and(|fs| KINDS.contains(&(fs.f_type as u32)))
}

/// The whole way of [`Strategy::Nameless`]: also `/proc`, through which the object gets its locks and its name.
fn can_be_nameless() -> bool {
    let access = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(DIRECTORY, access | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) else { return false };
    let again = rustix::fs::open(proc_path(fd.as_fd()), access, Mode::empty()).and_then(rustix::fs::fstat);
    matches!((again, rustix::fs::fstat(&fd)), (Ok(a), Ok(b)) if ObjectId::of(&a) == ObjectId::of(&b))
}

fn owner(stat: Stat) -> Owner {
    Owner { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 }
}

pub(crate) fn owner_of_directory() -> Option<Owner> {
    rustix::fs::stat(DIRECTORY).ok().map(owner)
}

pub(crate) fn owner_of(name: &RegionName) -> Option<Owner> {
    rustix::fs::lstat(name.os_path()).ok().map(owner)
}

pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

pub(crate) fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    let fail = |source| OsError::Os { step: "list /dev/shm", source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(DIRECTORY).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(name) = entry.file_name().to_str().and_then(|name| RegionName::new(name).ok()) else {
            continue;
        };
        // Does not follow links. An error means that it vanished.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_file() {
            entries.push(RegionEntry {
                name,
                len: metadata.len(),
                modified: metadata.modified().ok(),
                uid: metadata.uid(),
                gid: metadata.gid(),
                mode: metadata.mode() & 0o7777,
            });
        }
    }
    Ok(entries)
}

// ----------------------------------------------------------------------------------------- futex, clock, processes

pub(crate) const FUTEX_SUPPORTED: bool = true;

fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    let timespec = futex::Timespec {
        // 136 years; the kernel adds this to its clock.
        tv_sec: timeout.as_secs().min(u64::from(u32::MAX)) as _,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // No PRIVATE flag: the word is looked up by its object, so that all processes' mappings of it meet.
    match futex::wait(word, futex::Flags::empty(), expected, Some(&timespec)) {
        Ok(()) => Wake::Woken,
        Err(Errno::AGAIN) => Wake::ValueChanged,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::INTR) => Wake::Interrupted,
        // Refused, by a sandbox say.
        Err(_) => crate::futex::poll(word, expected, timeout),
    }
}

pub(crate) fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    // Neither is negative for this clock, and 2^64 ns are 584 years.
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

pub(crate) fn random_u64() -> Option<u64> {
    let mut bytes = [0; 8];
    loop {
        match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => return Some(u64::from_ne_bytes(bytes)),
            // Up to 256 bytes come whole, once the pool is ready.
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

pub(crate) fn group_of_process() -> u32 {
    rustix::process::getegid().as_raw()
}

pub(crate) fn process_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    match rustix::process::test_kill_process(pid) {
        // PERM: it exists and is somebody else's.
        Ok(()) | Err(Errno::PERM) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Beginning of the names that this thread may make; none: any.
        static CONFINED: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
    }

    /// Stands for the rules of a confined program.
    pub(super) fn confine(path: &Path) -> Result<(), Errno> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let allowed = CONFINED.with_borrow(|c| c.as_ref().is_none_or(|prefix| name.starts_with(prefix)));
        if allowed { Ok(()) } else { Err(Errno::ACCESS) }
    }

    #[test]
    fn a_confined_program_uses_names_that_begin_with_its_own() {
        let prefix = format!("snap.shmx-unit-{}.", std::process::id());
        let name = RegionName::new(&format!("{prefix}{}", "é".repeat(100))).unwrap();
        CONFINED.set(Some(prefix.clone()));
        let options = CreateOptions { len: 4096, ..CreateOptions::default() };
        let pending = Pending::create(&name, &options).unwrap();
        let hidden = pending.hidden.as_ref().unwrap().path.clone();
        let own = hidden.file_name().unwrap().to_str().unwrap();
        assert!(own.starts_with(&prefix) && own.contains(PENDING_MARK) && own.len() <= 255, "{own}");
        let region = pending.publish(&name).unwrap_or_else(|refusal| panic!("{:?}", refusal.1));
        assert!(!hidden.exists() && region.remove(&name).unwrap());
        CONFINED.set(Some("other".into()));
        let refused = Pending::create(&name, &options).err().unwrap();
        assert!(matches!(refused, CreateError::PermissionDenied { directory: Some(_), .. }), "{refused}");
        CONFINED.set(None);
    }

    fn created(strategy: Strategy) -> Pending {
        let options = CreateOptions { len: 10_000, ..CreateOptions::default() };
        let name = RegionName::new("shmx-unit").unwrap();
        match Pending::create_by(strategy, &name, &options) {
            Ok(pending) => pending,
            Err(Attempt::NoSuchWay) => panic!("this system lacks what the test needs"),
            Err(Attempt::Failed(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn both_ways_of_creating_publish_the_same() {
        for strategy in [Strategy::Nameless, Strategy::Hidden, Strategy::Beside] {
            let name = RegionName::new(&format!("shmx-unit-{}-{}", std::process::id(), strategy as u8)).unwrap();
            let pending = created(strategy);
            let hidden = pending.hidden.as_ref().map(|hidden| hidden.path.clone());
            assert_eq!(hidden.is_some(), strategy != Strategy::Nameless);
            pending.bytes()[1].store(1, Ordering::Relaxed);
            let region = pending.publish(&name).unwrap_or_else(|refusal| panic!("{:?}", refusal.1));
            assert!(hidden.is_none_or(|path| !path.exists()));
            assert!(region.is_current(&name));
            assert_eq!(region.bytes()[1].load(Ordering::Relaxed), 1);
            // Taken: refused, and no trace is left.
            let second = created(strategy);
            let hidden = second.hidden.as_ref().map(|hidden| hidden.path.clone());
            let Err(refusal) = second.publish(&name) else { panic!("it replaced the first") };
            assert!(refusal.1.is_none());
            drop(refusal);
            assert!(hidden.is_none_or(|path| !path.exists()));
            assert!(region.remove(&name).unwrap());
        }
    }

    #[test]
    fn writing_zeros_reserves_like_fallocate() {
        let name = RegionName::new("shmx-unit").unwrap();
        let Ok((fd, _hidden)) = open_invisible(Strategy::Nameless, &name) else { panic!("no file can be made") };
        reserve_by_writing(fd.as_fd(), 0, 200_001).unwrap();
        let stat = rustix::fs::fstat(&fd).unwrap();
        assert_eq!(stat.st_size, 200_001);
        assert!(stat.st_blocks * 512 >= 200_001);
    }
}
