//! Waits by io_uring.

pub(super) mod many;
pub(super) mod one;

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use io_uring::{IoUring, Probe};

use super::Fd;
use crate::error::OsError;
use crate::linux::fork::Birth;

/// A ring that a forked child of its owner leaves alone.
struct Owned {
    // In a child it is not dropped: an unmapping there could hit what took the place of the ring's mappings.
    ring: ManuallyDrop<IoUring>,
    birth: Birth,
}

impl Owned {
    /// A ring for so many entries, on a kernel that knows these operations.
    fn open(birth: Birth, entries: u32, codes: &[u8]) -> Result<Self, OsError> {
        let fail = |error| OsError::os("open an io_uring", error);
        let ring = IoUring::new(entries).map_err(fail)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(fail)?;
        if !codes.iter().all(|code| probe.is_supported(*code)) {
            return Err(OsError::Unsupported { step: "wait by io_uring" });
        }
        Ok(Self { ring: ManuallyDrop::new(ring), birth })
    }

    /// Not in a forked child.
    fn get(&mut self) -> &mut IoUring {
        &mut self.ring
    }

    fn is_forked(&self) -> bool {
        self.birth.is_forked()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and keeps it for as long as it is borrowed here; in a forked child it is
        // closed by the drop.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.is_forked() {
            // SAFETY: this process's copy of the descriptor, which nobody else closes: the ring is not dropped.
            drop(Fd::new(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) }));
            return;
        }
        // SAFETY: dropped here only, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
    }
}
