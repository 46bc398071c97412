//! An object that is open and not mapped.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::mm::ProtFlags;

use super::fork::Ready;
use super::lock::LockFile;
use super::object::{LOOK, MAP, ObjectId, PREPARE, mappable_len, open_object, proc_path, read_at};
use super::region::Region;
use super::users::uses;
use super::view::Mapping;
use crate::error::{OpenError, OsError};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;

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
        uses(pid, self.id)
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
        self.id.is_current(name)
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
        Ok(Region { view: Arc::new(view), file: self.file, id: self.id })
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
