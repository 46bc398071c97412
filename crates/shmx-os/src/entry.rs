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
    /// Its group; 0 on Windows.
    pub gid: u32,
    /// Its permission bits; 0 on Windows.
    pub mode: u32,
}

/// What is in the names that stand in for objects without a name.
pub(crate) const PENDING_MARK: &str = ".shmx-pending-";

impl RegionEntry {
    /// Whether the name is one that stands in while an object is made. Its creator is at work, or was killed.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let digits = self.name.as_str().rsplit_once(PENDING_MARK).map(|(_, digits)| digits);
        digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}
