//! Room for objects, which is not told here, and pages.

use super::mapping::PAGE;
use crate::error::OsError;
use crate::space::{MemoryLimit, Space};

pub(crate) fn space() -> Result<Space, OsError> {
    Err(OsError::Unsupported { step: "tell the room for shared memory" })
}

pub(crate) fn page_size() -> usize {
    PAGE
}

pub(crate) const fn memory_limits() -> Vec<MemoryLimit> {
    Vec::new()
}

pub(crate) const fn group_of_process() -> u32 {
    0
}

/// Nothing asks here.
pub(crate) const fn signal_is_ignored(_signal: i32) -> bool {
    false
}

pub(crate) const fn explain_bus_errors(_words: &'static str) {}

pub(crate) const fn restore_terminal_on_bus_error(_screen: Option<&'static str>) {}
