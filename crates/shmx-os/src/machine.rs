//! What this machine has for shared memory, for tools that diagnose.

use crate::error::OsError;
use crate::space::{MemoryLimit, Space};
use crate::sys;

/// The room for shared memory now.
///
/// # Errors
///
/// [`OsError::Unsupported`] where the platform has no such notion (Windows, macOS), [`OsError::Os`] where the
/// directory of the objects is missing or cannot be looked at.
pub fn space() -> Result<Space, OsError> {
    sys::space()
}

/// The memory limits of the control groups that this process is in, from the innermost out; none where there are no
/// such groups.
#[must_use]
pub fn memory_limits() -> Vec<MemoryLimit> {
    sys::memory_limits()
}

/// The group of this process, by number; 0 where there is no such thing.
#[must_use]
pub fn group_of_process() -> u32 {
    sys::group_of_process()
}

/// Bytes of a page of memory: mappings and their protection come in multiples of it.
#[must_use]
pub fn page_size() -> usize {
    sys::page_size()
}
