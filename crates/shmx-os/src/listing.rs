//! Objects seen without opening them for good.

use crate::entry::RegionEntry;
use crate::error::{OpenError, OsError};
use crate::name::RegionName;
use crate::sys;

/// All shared-memory objects of the machine, sorted by name: on Linux the regular files of `/dev/shm`; on Windows the
/// named sections of this session, and with the prefix `Global\` the global ones, as far as they may be read.
///
/// Whether an object is a SHMX region is for the caller to find out. Objects whose names are not a [`RegionName`] (not
/// UTF-8, say) are left out, and so are objects that vanish during the listing.
///
/// # Errors
///
/// [`OsError::Unsupported`] where the platform cannot list (macOS); [`OsError::Os`] otherwise.
pub fn list() -> Result<Vec<RegionEntry>, OsError> {
    let mut entries = sys::list()?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Copies the first bytes of an object and tells its length, without write permission and (on Linux) without mapping
/// it: an object that shrinks meanwhile gives a short answer instead of a signal.
///
/// Returns how many bytes were copied and the object's length. An empty object is no error here.
///
/// # Errors
///
/// As [`Existing::open`](crate::Existing::open).
pub fn peek(name: &RegionName, buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    sys::peek(name, buf)
}
