//! Mapped memory seen as atomic bytes.

use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU8;

use windows_sys::Win32::System::Memory::{
    FILE_MAP, MEM_COMMIT, MEMORY_BASIC_INFORMATION, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, UnmapViewOfFile,
    VirtualQuery,
};

/// The smallest page of every Windows architecture. Touching or aligning by less than the true page does no harm, and
/// protecting works on the true ones, see `protect_read_only`.
pub(super) const PAGE: usize = 4096;

/// All of a file mapping, mapped.
pub(super) struct Mapping {
    pub(super) base: NonNull<u8>,
    /// Bytes mapped: the user's, the tail, and what rounding to pages adds.
    pub(super) len: usize,
}

// SAFETY: a view belongs to the process, not to a thread; any thread may unmap it.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` the base and the length are read, which never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `handle`; how long that is, the system says.
    pub(super) fn new(handle: &OwnedHandle, access: FILE_MAP) -> io::Result<Self> {
        // SAFETY: the handle is an open file mapping, and the system chooses the address; 0 bytes means all of it.
        let address = unsafe { MapViewOfFile(handle.as_raw_handle(), access, 0, 0, 0) };
        let Some(base) = NonNull::new(address.Value.cast::<u8>()) else {
            return Err(io::Error::last_os_error());
        };
        // From here on a failure unmaps.
        let mut mapping = Self { base, len: 0 };
        let mut info = MEMORY_BASIC_INFORMATION::default();
        // SAFETY: `info` is valid for writes of the size that is passed.
        let written =
            unsafe { VirtualQuery(base.as_ptr().cast(), &raw mut info, mem::size_of::<MEMORY_BASIC_INFORMATION>()) };
        if written == 0 {
            return Err(io::Error::last_os_error());
        }
        // Pages that its creator has reserved but not committed would fault.
        if info.State != MEM_COMMIT {
            return Err(io::Error::other("its first pages are not committed"));
        }
        mapping.len = info.RegionSize;
        Ok(mapping)
    }

    /// The first `len` bytes, or all where it has fewer.
    pub(super) fn bytes(&self, len: usize) -> &[AtomicU8] {
        // SAFETY: that many bytes are mapped and readable at `base` until `self` is dropped, which the lifetime
        // prevents. No allocation exceeds isize::MAX: creation checks it, and user address space ends before it.
        // `AtomicU8` has the layout of `u8`, and writes by others are allowed behind a shared reference to it.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), len.min(self.len)) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = MEMORY_MAPPED_VIEW_ADDRESS { Value: self.base.as_ptr().cast() };
        // SAFETY: the view was mapped by `new`, is unmapped only here, and every reference into it borrows `self`.
        unsafe { UnmapViewOfFile(address) };
    }
}
