//! Room for objects, which is not told here, and pages.

use super::mapping::PAGE;
use crate::error::OsError;
use crate::space::Space;

pub(crate) fn space() -> Result<Space, OsError> {
    Err(OsError::Unsupported { step: "tell the room for shared memory" })
}

pub(crate) fn page_size() -> usize {
    PAGE
}
