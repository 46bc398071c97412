//! Which regions there are on this machine.

use super::inspector::Inspector;
use super::state::ServerState;
use crate::error::OpenError;
use shmx_abi::wire::{self, GlobalHeader};
use shmx_abi::{LayoutError, MAGIC, RegionLayout};
use shmx_os::{OsError, RegionEntry};

/// A shared-memory object, and what it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Name, length, owner and mode.
    pub object: RegionEntry,
    /// What it is.
    pub kind: RegionKind,
}

/// What a shared-memory object is.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegionKind {
    /// A region, open for looking at.
    Region {
        /// What is known about its server.
        server: ServerState,
        /// The open region.
        inspector: Box<Inspector>,
    },
    /// It starts like a region, and its header makes no sense.
    Damaged(LayoutError),
    /// It cannot be opened, for want of permission say.
    Unreadable(OpenError),
    /// Something else's.
    Foreign,
}

/// All shared-memory objects of the machine with what they are, sorted by name. Nothing is written or locked.
///
/// An object that vanishes meanwhile is left out.
///
/// # Errors
///
/// [`OsError::Unsupported`] where the platform cannot list objects (Windows, macOS); [`OsError::Os`] otherwise.
pub fn list() -> Result<Vec<Listed>, OsError> {
    list_matching(|_| true)
}

/// As [`list`], only those whose names are wanted; no other object is opened.
///
/// ```
/// # if cfg!(target_os = "linux") {
/// # let name = format!("doc-listed-{}", std::process::id());
/// let server = shmx::Server::builder(&name).create()?;
/// let found = shmx::list_matching(|other| other == name)?;
/// assert_eq!(found[0].object.name.as_str(), name);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As for [`list`].
pub fn list_matching(wanted: impl Fn(&str) -> bool) -> Result<Vec<Listed>, OsError> {
    let mut all = Vec::new();
    for object in shmx_os::list()?.into_iter().filter(|o| wanted(o.name.as_str())) {
        match kind_of(&object) {
            RegionKind::Unreadable(OpenError::Os(shmx_os::OpenError::NotFound { .. })) => {}
            kind => all.push(Listed { object, kind }),
        }
    }
    Ok(all)
}

pub(super) fn kind_of(object: &RegionEntry) -> RegionKind {
    let mut head = [0; size_of::<GlobalHeader>()];
    // Foreign objects are not mapped: their owners may shrink them at any time.
    let (have, len) = match shmx_os::peek(&object.name, &mut head) {
        Ok(found) => found,
        Err(e) => return RegionKind::Unreadable(e.into()),
    };
    let magic: Option<u64> = wire::read_at(head.get(..have).unwrap_or(&head), 0);
    if magic != Some(MAGIC) {
        return RegionKind::Foreign;
    }
    let header: Option<GlobalHeader> = wire::read_at(head.get(..have).unwrap_or(&head), 0);
    let Some(header) = header else { return RegionKind::Damaged(LayoutError::ShorterThanHeader { available: len }) };
    if let Err(e) = RegionLayout::from_header(&header, len) {
        return RegionKind::Damaged(e);
    }
    match Inspector::open(object.name.as_str()) {
        Ok(i) => RegionKind::Region { server: i.server_state(), inspector: Box::new(i) },
        Err(OpenError::Layout { cause, .. }) => RegionKind::Damaged(cause),
        Err(e) => RegionKind::Unreadable(e),
    }
}
