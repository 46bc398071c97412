//! How much room there is.

/// Room for shared memory, and what limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Where objects are.
    pub directory: &'static str,
    /// Bytes there are for all objects together; none where there is no limit of its own.
    pub total: Option<u64>,
    /// Bytes still free; none where there is no limit.
    pub available: Option<u64>,
    /// Longest object that this process may make, in bytes (`RLIMIT_FSIZE`); none where there is no limit.
    pub file_size_limit: Option<u64>,
    /// Whether an object can be made without a name, so that a creator that is killed leaves nothing behind.
    pub nameless_objects: bool,
}
