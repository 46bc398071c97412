//! Reading one frame slot, and the memory that copies go to.

pub(crate) mod buffer;
pub(crate) mod read;
pub(crate) mod verify;
