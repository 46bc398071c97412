//! Names by the list of objects, read again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::OsError;
use crate::name::RegionName;
use crate::name_changes::{NameChanges, NameWatchKind, differing};

/// Compares the list of objects with what was known of it.
pub(crate) struct NameWatch {
    known: Listing,
}

/// Lengths by name: all that tells objects apart.
type Listing = BTreeMap<RegionName, u64>;

/// Between two looks at the list.
const LIST_INTERVAL: Duration = Duration::from_millis(20);

impl NameWatch {
    pub(crate) fn new() -> Result<Self, OsError> {
        Self::polling()
    }

    pub(crate) fn polling() -> Result<Self, OsError> {
        Ok(Self { known: listing()? })
    }

    pub(crate) fn kind(&self) -> NameWatchKind {
        NameWatchKind::Polling
    }

    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<NameChanges>, OsError> {
        // None: never.
        let end = Instant::now().checked_add(timeout);
        loop {
            let before = std::mem::replace(&mut self.known, listing()?);
            let names = differing(&self.known, &before);
            if !names.is_empty() {
                return Ok(Some(NameChanges::Names(names)));
            }
            let left = end.map_or(LIST_INTERVAL, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(left.min(LIST_INTERVAL));
        }
    }
}

fn listing() -> Result<Listing, OsError> {
    Ok(crate::list()?.into_iter().map(|entry| (entry.name, entry.len)).collect())
}
