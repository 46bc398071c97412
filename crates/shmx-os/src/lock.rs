//! Which liveness locks there are.

/// First byte of the range that the locks use, in bytes from the start of the object.
///
/// It lies far beyond the end of any object, so that no lock ever covers data and no tool that locks real bytes
/// meets ours.
pub const LOCK_BASE: u64 = 0x4000_0000_0000_0000;

/// One liveness lock of an object.
///
/// Each lock is exclusive. It is held by a [`Region`](crate::Region) or an [`Existing`](crate::Existing), not by a
/// thread or a process: two of them in one process conflict like two processes do. The kernel releases it when the
/// holder is dropped or its process ends, by whatever cause, at once and without any clock. It is therefore immune
/// to the re-use of process ids.
///
/// # Forked children
///
/// On Linux the locks are open-file-description locks. Left alone, a forked child would share the description and
/// keep a dead parent's lock alive, so children close these descriptors in a `pthread_atfork` handler, before `fork`
/// returns in them. Programs started by [`std::process::Command`] lose them by close-on-exec.
///
/// What remains is the moment between the birth of the child and that handler, or that `exec`: a parent that is killed
/// in it keeps its locks until the child has been scheduled. A parent that drops its object releases the locks
/// explicitly and is not affected.
///
/// Not covered, because no handler runs: a child made by the raw `clone`, `clone3`, `fork` or `vfork` system call
/// that goes on without `exec`, and a descriptor passed on by `SCM_RIGHTS` or `pidfd_getfd`. Such a duplicate holds
/// the lock for as long as it is open after the *death* of the holder; an orderly drop releases the lock even then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockByte {
    /// The serving side, at [`LOCK_BASE`].
    Server,
    /// The reader with this slot index, at [`LOCK_BASE`]` + 1 + index`.
    Reader(u32),
}

impl LockByte {
    /// The byte of the object that stands for this lock, from the object's start.
    #[must_use]
    pub fn offset(self) -> u64 {
        match self {
            Self::Server => LOCK_BASE,
            // At most LOCK_BASE + 2^32: no overflow of i64, the kernel's file offset.
            Self::Reader(index) => LOCK_BASE + 1 + u64::from(index),
        }
    }
}

/// Whether somebody holds a lock.
///
/// A snapshot: it can be stale when the call returns, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockState {
    /// Nobody holds it.
    Free,
    /// Somebody holds it: the asker itself, another object of this process, or another process.
    Held,
    /// It cannot be known: the platform or the kernel has no such locks, this is a dump file, or the asker was
    /// inherited by a forked child.
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_distinct_and_fit_the_kernel() {
        assert_eq!(LockByte::Server.offset(), LOCK_BASE);
        assert_eq!(LockByte::Reader(0).offset(), LOCK_BASE + 1);
        let last = LockByte::Reader(u32::MAX).offset();
        assert!(i64::try_from(last).is_ok());
        assert!(last > LockByte::Reader(u32::MAX - 1).offset());
    }
}
