//! Files that nobody sees, for objects that are not complete yet.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::object::DIRECTORY;
use crate::entry::PENDING_MARK;
use crate::error::CreateError;
use crate::name::{NAME_MAX_LEN, RegionName};
use crate::process::random_u64;

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
    /// A random name that begins with the object's own, for programs that may use such names only.
    Beside,
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

/// A name that stands in where an object cannot be made without one.
fn stand_in(strategy: Strategy, name: &RegionName) -> String {
    let own = if strategy == Strategy::Beside { name.as_str() } else { "" };
    // Names have an end.
    let most = NAME_MAX_LEN - PENDING_MARK.len() - 16;
    let own = own.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most).map(|(_, c)| c);
    format!("{}{PENDING_MARK}{:016x}", own.collect::<String>(), random_u64())
}

fn open_new(path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[cfg(test)]
    confined::check(path)?;
    rustix::fs::open(path, flags, mode)
}

pub(super) fn open_invisible(strategy: Strategy, name: &RegionName) -> Result<(OwnedFd, Option<HiddenName>), Attempt> {
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

/// Stands for the rules of a confined program.
#[cfg(test)]
pub(super) mod confined {
    use std::cell::RefCell;
    use std::path::Path;

    use rustix::io::Errno;

    thread_local! {
        /// Beginning of the names that this thread may make; none: any.
        pub(in super::super) static PREFIX: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    pub(super) fn check(path: &Path) -> Result<(), Errno> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let allowed = PREFIX.with_borrow(|p| p.as_ref().is_none_or(|prefix| name.starts_with(prefix)));
        if allowed { Ok(()) } else { Err(Errno::ACCESS) }
    }
}
