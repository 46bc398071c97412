//! Room for objects, and pages.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::process::Resource;

use super::object::{DIRECTORY, ObjectId, owner_of_directory, proc_path};
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
        nameless_objects: can_be_nameless(),
        in_memory: is_in_memory(),
        read_only: fs.f_flag.contains(StatVfsMountFlags::RDONLY),
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

/// The whole way of [`Strategy::Nameless`](super::invisible::Strategy::Nameless): also `/proc`, through which the
/// object gets its locks and its name.
fn can_be_nameless() -> bool {
    let access = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(DIRECTORY, access | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) else { return false };
    let again = rustix::fs::open(proc_path(fd.as_fd()), access, Mode::empty()).and_then(rustix::fs::fstat);
    matches!((again, rustix::fs::fstat(&fd)), (Ok(a), Ok(b)) if ObjectId::of(&a) == ObjectId::of(&b))
}

pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}
