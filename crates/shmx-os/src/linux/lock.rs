//! Liveness locks: open-file-description locks on bytes past the object's end.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::fork::{Guarded, Ready};
use crate::error::OsError;
use crate::lock::{LOCK_BASE, LockByte, LockState};

const STEP: &str = "lock a byte of the object";

#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
use libc::flock as Flock;
/// The C library's 32-bit interface has 32-bit file offsets, which our bytes lie beyond; the kernel's has not.
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
use libc::flock64 as Flock;

/// # Safety
///
/// `command` is one of those that want a `struct flock` of 64-bit offsets, and `request` is valid for reads and writes.
unsafe fn lock_call(fd: BorrowedFd<'_>, command: i32, request: *mut Flock) -> i64 {
    #[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
    // SAFETY: the descriptor is open for as long as `fd`; the rest is this function's contract.
    return unsafe { libc::syscall(libc::SYS_fcntl64, fd.as_raw_fd(), command, request) }.into();
    #[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
    // SAFETY: the descriptor is open for as long as `fd`; the rest is this function's contract.
    return unsafe { libc::fcntl(fd.as_raw_fd(), command, request) }.into();
}

/// A descriptor with the locks held through it. It has a description of its own: it is not a duplicate, and it was
/// never mapped.
pub(super) struct LockFile {
    file: Guarded,
    /// The kernel does not count a description's own locks as conflicts, so it cannot be asked about these. Held during
    /// the system calls, so that set and kernel agree. Not touched in forked children, where its lock may be stuck.
    held: Mutex<BTreeSet<LockByte>>,
}

impl LockFile {
    /// `open` must make a new description.
    pub(super) fn open<E>(ready: Ready, open: impl FnOnce() -> Result<OwnedFd, E>) -> Result<Self, E> {
        Ok(Self { file: Guarded::open(ready, open)?, held: Mutex::new(BTreeSet::new()) })
    }

    pub(super) fn fd(&self, step: &'static str) -> Result<BorrowedFd<'_>, OsError> {
        self.file.fd(step)
    }

    #[inline]
    pub(super) fn is_forked(&self) -> bool {
        self.file.is_forked()
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<LockByte>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        let fd = self.file.fd(STEP)?;
        let mut held = self.held();
        match set(fd, libc::F_WRLCK, lock.offset(), 1) {
            Ok(()) => {
                held.insert(lock);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::OVERFLOW) => {
                Err(OsError::Unsupported { step: STEP })
            }
            Err(error) => Err(OsError::os(STEP, error)),
        }
    }

    pub(super) fn unlock(&self, lock: LockByte) {
        let Ok(fd) = self.file.fd(STEP) else { return };
        let mut held = self.held();
        if held.remove(&lock) {
            // Fails only for arguments that `try_lock` would have failed for.
            let _ = set(fd, libc::F_UNLCK, lock.offset(), 1);
        }
    }

    pub(super) fn state(&self, lock: LockByte) -> LockState {
        let Ok(fd) = self.file.fd(STEP) else {
            return LockState::Unsupported;
        };
        let held = self.held();
        if held.contains(&lock) {
            return LockState::Held;
        }
        query(fd, lock)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing releases the locks where ours is the only descriptor of the description. Releasing them first also
        // covers duplicates that the fork handlers could not see. In a forked child there is no descriptor, and the
        // parent's locks must stay.
        if let Ok(fd) = self.file.fd(STEP) {
            // Length 0: to the end of the range.
            let _ = set(fd, libc::F_UNLCK, LOCK_BASE, 0);
        }
    }
}

/// Whether a description other than `fd`'s holds the lock. Works without write permission.
pub(super) fn query(fd: BorrowedFd<'_>, lock: LockByte) -> LockState {
    let Ok(mut request) = request(libc::F_WRLCK, lock.offset(), 1) else {
        return LockState::Unsupported;
    };
    // SAFETY: such a command, and valid for the duration of the call.
    let result = unsafe { lock_call(fd, libc::F_OFD_GETLK, &raw mut request) };
    if result == -1 {
        return LockState::Unsupported;
    }
    if i32::from(request.l_type) == libc::F_UNLCK { LockState::Free } else { LockState::Held }
}

fn request(kind: i32, start: u64, len: u8) -> Result<Flock, Errno> {
    // SAFETY: a C struct of integers, for which all zeros is a value.
    let mut request: Flock = unsafe { std::mem::zeroed() };
    request.l_type = kind.try_into().map_err(|_| Errno::INVAL)?;
    request.l_whence = libc::SEEK_SET.try_into().map_err(|_| Errno::INVAL)?;
    // Fails where file offsets have 32 bits.
    request.l_start = start.try_into().map_err(|_| Errno::OVERFLOW)?;
    request.l_len = len.into();
    // `l_pid` must be 0 for these commands.
    Ok(request)
}

fn set(fd: BorrowedFd<'_>, kind: i32, start: u64, len: u8) -> Result<(), Errno> {
    let mut request = request(kind, start, len)?;
    loop {
        // SAFETY: such a command, and valid for the duration of the call.
        let result = unsafe { lock_call(fd, libc::F_OFD_SETLK, &raw mut request) };
        if result != -1 {
            return Ok(());
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INTR) => {}
            Some(error) => return Err(error),
            None => return Err(Errno::IO),
        }
    }
}
