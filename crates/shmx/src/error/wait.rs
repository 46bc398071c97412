//! What can go wrong while waiting.

use super::client::{ReadError, ServerEnd};
use super::debug_is_text;
use shmx_os::OsError;
use thiserror::Error;

debug_is_text!(AlignError, WaitFdError);

/// No descriptor to wait on.
#[derive(Error)]
#[error("no descriptor to wait on: {source}; wait with a timeout, or with a `WaitSet`")]
pub struct WaitFdError {
    /// What the system said.
    #[from]
    pub source: OsError,
}

/// Aligning cannot go on.
#[derive(Error)]
#[non_exhaustive]
pub enum AlignError {
    /// A source has ended, and none of its frames is left.
    #[error(
        "the server of source {index}, `{name}`, {end}; take what is left from the other sources, or start it again"
    )]
    Ended {
        /// Index of the source, in the order in which they were added.
        index: usize,
        /// Name of its region.
        name: String,
        /// How its server ended.
        end: ServerEnd,
    },
    /// A source cannot be read on.
    #[error("source {index}, `{name}`, cannot be read on")]
    Read {
        /// Index of the source.
        index: usize,
        /// Name of its region.
        name: String,
        /// Why.
        #[source]
        cause: ReadError,
    },
    /// There is no way to sleep.
    #[error(transparent)]
    Wait(#[from] WaitFdError),
}
