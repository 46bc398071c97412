//! Mapped memory seen as atomic bytes.

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU8;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::pages::Span;

/// A mapping made by this crate.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; any thread may unmap it.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` only the base and the length are read, which never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, shared. `len` is neither 0 nor above `isize::MAX`.
    pub(super) fn new(fd: impl AsFd, len: usize, access: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: with a null address the kernel chooses a range that nothing uses, so no memory of this process is
        // affected.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0) }?;
        match NonNull::new(base.cast()) {
            Some(base) => Ok(Self { base, len }),
            None => Err(Errno::NOMEM),
        }
    }

    /// First byte, at a page boundary.
    pub(super) fn base(&self) -> *mut c_void {
        self.base.as_ptr().cast()
    }

    pub(super) fn span(&self) -> Span {
        // SAFETY: the mapping is `len` bytes at `base`; callers use the span while they borrow or own `self`.
        unsafe { Span::new(self.base(), self.len) }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: the mapping is `len` bytes at `base`, not null, readable, at most isize::MAX, and stays until `self`
        // is dropped, which the returned lifetime prevents. `AtomicU8` has the layout of `u8`, every value is valid
        // for it, and writes by others are allowed behind a shared reference to it.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, is unmapped only here, and no reference into it is left, because each
        // borrows `self`.
        let _ = unsafe { rustix::mm::munmap(self.base(), self.len) };
    }
}
