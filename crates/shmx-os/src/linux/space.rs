//! Room for objects, and pages.

use rustix::io::Errno;
use rustix::process::Resource;

use super::invisible::{Strategy, open_invisible};
use super::object::DIRECTORY;
use crate::error::OsError;
use crate::space::Space;

pub(crate) fn space() -> Result<Space, OsError> {
    let fail = |error: Errno| OsError::os("look at /dev/shm", error);
    let fs = rustix::fs::statvfs(DIRECTORY).map_err(fail)?;
    let limited = fs.f_blocks != 0;
    Ok(Space {
        directory: DIRECTORY,
        total: limited.then(|| fs.f_blocks.saturating_mul(fs.f_frsize)),
        available: limited.then(|| fs.f_bavail.saturating_mul(fs.f_frsize)),
        file_size_limit: rustix::process::getrlimit(Resource::Fsize).current,
        nameless_objects: open_invisible(Strategy::Nameless).is_ok(),
    })
}

pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}
