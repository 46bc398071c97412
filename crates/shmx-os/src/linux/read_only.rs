//! Objects for those who only look.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mm::ProtFlags;

use super::futex::wait;
use super::lock::query;
use super::object::{ObjectId, mappable_len, open_object, owner};
use super::users::uses;
use super::view::Mapping;
use crate::error::OpenError;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::owner::Owner;
use crate::wake::Wake;

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
        query(self.fd.as_fd(), lock)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.id.is_current(name)
    }

    pub(crate) fn wait(&self, _name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        wait(word, expected, timeout)
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        rustix::fs::fstat(&self.fd).ok().map(|stat| owner(&stat))
    }

    pub(crate) fn is_used_by(&self, pid: u32) -> Option<bool> {
        uses(pid, self.id)
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
