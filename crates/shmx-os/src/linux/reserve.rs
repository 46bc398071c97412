//! Memory for an object, all of it taken before it is used.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::ProtFlags;
use rustix::process::Resource;

use super::cgroup::memory_limits;
use super::view::Mapping;
use crate::error::CreateError;

/// Bytes reserved by one system call. `fallocate` undoes its work when a signal arrives, so one call for a large
/// object might never get through under a profiler's timer; small steps keep what they have done.
const RESERVE_STEP: u64 = 16 << 20;

/// Bytes free on the filesystem; none where it has no limit of its own.
fn available(fd: BorrowedFd<'_>) -> Option<u64> {
    let fs = rustix::fs::fstatvfs(fd).ok()?;
    // A tmpfs without a limit says 0 blocks in all.
    (fs.f_blocks != 0).then(|| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Refuses what cannot work before anything is taken.
pub(super) fn check_room(fd: BorrowedFd<'_>, needed: u64) -> Result<(), CreateError> {
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

pub(super) fn no_space_or(step: &'static str, error: Errno, fd: BorrowedFd<'_>, needed: u64) -> CreateError {
    match error {
        Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::FBIG => {
            CreateError::NoSpace { needed, available: available(fd).unwrap_or(0) }
        }
        error => CreateError::os(step, error),
    }
}

/// Gives the object its length and takes the memory for all of it, so that no later touch can fail for want of it.
pub(super) fn reserve(fd: BorrowedFd<'_>, len: u64) -> Result<(), CreateError> {
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

pub(super) fn map_new(fd: &OwnedFd, len: usize) -> Result<Mapping, CreateError> {
    Mapping::new(fd, len, ProtFlags::READ | ProtFlags::WRITE)
        .map_err(|error| CreateError::os("map the new object", error))
}

/// Enters all pages into the page table. They exist, so this takes no memory but that of the table.
pub(super) fn prefault(mapping: &Mapping) -> Result<(), CreateError> {
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::invisible::{Strategy, open_invisible};
    use super::*;
    use crate::name::RegionName;

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
