//! All objects there are.

use std::os::unix::fs::MetadataExt;

use super::object::DIRECTORY;
use crate::entry::RegionEntry;
use crate::error::OsError;
use crate::name::RegionName;

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    let fail = |source| OsError::Os { step: "list /dev/shm", source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(DIRECTORY).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(name) = entry.file_name().to_str().and_then(|name| RegionName::new(name).ok()) else {
            continue;
        };
        // Does not follow links. An error means that it vanished.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_file() {
            entries.push(RegionEntry {
                name,
                len: metadata.len(),
                modified: metadata.modified().ok(),
                uid: metadata.uid(),
                gid: metadata.gid(),
                mode: metadata.mode() & 0o7777,
            });
        }
    }
    Ok(entries)
}
