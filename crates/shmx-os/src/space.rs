//! How much room there is.

use crate::owner::Owner;

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
    /// Whether the directory lies in memory. Elsewhere, on a disk for instance, everything works and is slower.
    pub in_memory: bool,
    /// Whether the directory is mounted read-only.
    pub read_only: bool,
    /// Objects that can still be made; none where there is no limit.
    pub objects_left: Option<u64>,
    /// Whose the directory is.
    pub owner: Option<Owner>,
}

/// A limit on the memory of this process and others: a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The group, as a folder.
    pub group: String,
    /// Bytes that all its processes may use, shared memory included.
    pub limit: u64,
    /// Bytes left of them, what the kernel can take back counted as free.
    pub available: u64,
}
