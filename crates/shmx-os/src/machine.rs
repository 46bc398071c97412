//! What this machine has for shared memory, for tools that diagnose.

use crate::error::OsError;
use crate::space::Space;
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

/// Bytes of a page of memory: mappings and their protection come in multiples of it.
#[must_use]
pub fn page_size() -> usize {
    sys::page_size()
}
