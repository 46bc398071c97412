//! Objects by name and by descriptor: files of `/dev/shm`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::lock::LockFile;
use crate::error::{OpenError, OsError};
use crate::name::RegionName;
use crate::owner::Owner;

/// Where the objects are.
pub(crate) const DIRECTORY: &str = "/dev/shm";

pub(super) const LOOK: &str = "look at the object";
pub(super) const MAP: &str = "map the object";
pub(super) const PREPARE: &str = "prepare for forks";

const OPEN_FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The file that `shm_open` leads to.
pub(super) fn path_of(name: &RegionName) -> PathBuf {
    // A name holds no slash and is neither `.` nor `..`, so the result stays in that directory.
    Path::new(DIRECTORY).join(name.as_str())
}

/// Which object: device and inode number. No other object can have it while this one is open or mapped somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl ObjectId {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// What the name leads to now; none if nothing.
    fn named(name: &RegionName) -> Result<Option<Self>, Errno> {
        match rustix::fs::lstat(path_of(name)) {
            Ok(stat) => Ok(Some(Self::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the name leads to this object.
    pub(super) fn is_named(self, name: &RegionName) -> Result<bool, OsError> {
        Self::named(name).map(|found| found == Some(self)).map_err(|e| OsError::os("look up the name", e))
    }

    /// The same. An error tells nothing, and is taken for yes: who asks gives up what it has for a name that is lost,
    /// and asks again otherwise.
    pub(super) fn is_current(self, name: &RegionName) -> bool {
        self.is_named(name).unwrap_or(true)
    }

    /// Removes the name if it leads to this object.
    pub(super) fn remove(self, name: &RegionName) -> Result<bool, OsError> {
        if !self.is_named(name)? {
            return Ok(false);
        }
        match rustix::fs::unlink(path_of(name)) {
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
pub(super) fn open_object(name: &RegionName, access: OFlags) -> Result<(OwnedFd, Stat), OpenError> {
    let foreign = || OpenError::NotSharedMemory { name: name.as_str().to_owned() };
    // NONBLOCK: opening a pipe of that name must not wait for its other end. It means nothing for regular files.
    let fd = rustix::fs::open(path_of(name), access | OPEN_FLAGS, Mode::empty()).map_err(|error| {
        match error {
            // A symbolic link, a directory, a socket or a pipe without other end, a device without driver.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV => foreign(),
            error => with_owner(OpenError::os(name, "open the object", error), name),
        }
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|error| OpenError::os(name, LOOK, error))?;
    if !is_regular(&stat) {
        return Err(foreign());
    }
    Ok((fd, stat))
}

pub(super) fn owner(stat: &Stat) -> Owner {
    Owner { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 }
}

/// Whose the shared-memory directory is.
pub(super) fn owner_of_directory() -> Option<Owner> {
    rustix::fs::stat(DIRECTORY).ok().map(|stat| owner(&stat))
}

/// An error with whose the object is, where that is the reason.
fn with_owner(error: OpenError, name: &RegionName) -> OpenError {
    match error {
        OpenError::PermissionDenied { name: shown, source, owner: None } => {
            let found = rustix::fs::lstat(path_of(name)).ok().map(|stat| owner(&stat));
            OpenError::PermissionDenied { name: shown, source, owner: found }
        }
        other => other,
    }
}

/// The length to map, or why there is none.
pub(super) fn mappable_len(name: &RegionName, stat: &Stat) -> Result<usize, OpenError> {
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    if len == 0 {
        return Err(OpenError::Empty { name: name.as_str().to_owned() });
    }
    match isize::try_from(len) {
        Ok(len) => Ok(len.unsigned_abs()),
        Err(_) => Err(OpenError::TooLarge { name: name.as_str().to_owned(), len, limit: isize::MAX as u64 }),
    }
}

pub(super) fn read_at(file: &LockFile, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
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

/// `/proc/self/fd/N`, which opens and links the very object behind a descriptor.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
