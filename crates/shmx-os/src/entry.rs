//! What a listing says of an object.

use std::time::SystemTime;

use crate::name::RegionName;

/// One object found by [`list`](crate::list), of whatever origin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionEntry {
    /// Its name.
    pub name: RegionName,
    /// Its length in bytes.
    pub len: u64,
    /// When its file was last written by a call or truncated; stores through mappings mostly do not count.
    pub modified: Option<SystemTime>,
    /// The user that owns it; 0 on Windows.
    pub uid: u32,
    /// Its permission bits; 0 on Windows.
    pub mode: u32,
}
