//! Read-write mapping of an existing object on macOS, by the `shared_memory` crate.
//!
//! That crate opens by name only, gives no access to its descriptor, cannot map read-only, cannot make an object
//! that is invisible, and neither reserves pages nor sets a mode; so it is used for this one job.

use std::fmt;
use std::io;
use std::ptr::NonNull;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::name::RegionName;

/// A mapping that never removes the name.
pub(crate) struct SharedMapping {
    shmem: Shmem,
    base: NonNull<u8>,
}

// SAFETY: `Shmem` is not Send only because it holds a raw pointer. The mapping and the descriptor behind it belong to
// the process and not to a thread, and dropping it calls munmap and close, which any thread may do.
unsafe impl Send for SharedMapping {}
// SAFETY: through `&SharedMapping` only the base address and the length are read, which never change.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// Maps whatever `name` leads to.
    pub(crate) fn open(name: &RegionName) -> io::Result<Self> {
        let mut shmem = ShmemConf::new().os_id(name.posix_name()).open().map_err(into_io)?;
        // It says false already for an opened object; dropping it must never unlink.
        shmem.set_owner(false);
        let base = NonNull::new(shmem.as_ptr()).ok_or_else(|| io::Error::other("the mapping has no address"))?;
        Ok(Self { shmem, base })
    }

    /// First byte, at a page boundary. The mapping is valid for [`SharedMapping::len`] bytes for as long as `self` is.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes in the mapping.
    pub(crate) fn len(&self) -> usize {
        self.shmem.len()
    }
}

impl fmt::Debug for SharedMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMapping").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// `shared_memory` carries the errno as a `u32` in three of its errors.
fn into_io(error: ShmemError) -> io::Error {
    match error {
        ShmemError::MapOpenFailed(code) | ShmemError::MapCreateFailed(code) | ShmemError::UnknownOsError(code) => {
            match i32::try_from(code) {
                Ok(code) => io::Error::from_raw_os_error(code),
                Err(_) => io::Error::other("unknown error of the mapping library"),
            }
        }
        other => io::Error::other(other.to_string()),
    }
}
