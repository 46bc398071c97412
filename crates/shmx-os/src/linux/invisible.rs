//! Files that nobody sees, for objects that are not complete yet.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::object::DIRECTORY;
use crate::error::CreateError;
use crate::process::random_u64;

/// Beginning of the hidden names that stand in where an object cannot be made without a name.
pub(super) const HIDDEN_PREFIX: &str = ".shmx-pending-";

/// A name that is removed on drop, except in forked children (whose parent still needs it).
pub(super) struct HiddenName {
    pub(super) path: PathBuf,
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
pub(super) enum Strategy {
    /// `O_TMPFILE`, and `/proc/self/fd` to open and link it.
    Nameless,
    /// A random hidden name.
    Hidden,
}

/// Why one way of creating did not work.
pub(super) enum Attempt {
    /// The system does not offer this way.
    NoSuchWay,
    Failed(CreateError),
}

impl From<CreateError> for Attempt {
    fn from(error: CreateError) -> Self {
        Self::Failed(error)
    }
}

pub(super) fn open_invisible(strategy: Strategy) -> Result<(OwnedFd, Option<HiddenName>), Attempt> {
    const STEP: &str = "create a file in /dev/shm";
    // Readable and writable for the owner until the final mode is set.
    let mode = Mode::RUSR | Mode::WUSR;
    let access = OFlags::RDWR | OFlags::CLOEXEC;
    match strategy {
        Strategy::Nameless => match rustix::fs::open(DIRECTORY, access | OFlags::TMPFILE, mode) {
            Ok(fd) => Ok((fd, None)),
            // What kernels and filesystems without it say.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Err(Attempt::NoSuchWay),
            Err(error) => Err(CreateError::os(STEP, error).into()),
        },
        Strategy::Hidden => loop {
            let file_name = format!("{HIDDEN_PREFIX}{:016x}", random_u64());
            let path = Path::new(DIRECTORY).join(file_name);
            let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            match rustix::fs::open(&path, flags, mode) {
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
