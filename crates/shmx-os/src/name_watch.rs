//! Learning that a shared-memory object appears, goes or is replaced.

use std::fmt;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::error::OsError;
use crate::name_changes::{NameChanges, NameWatchKind};
use crate::waits;

/// Watches the names of all shared-memory objects of the machine.
///
/// From its making on it tells of every name that is published, made, removed or renamed, and on Linux also when an
/// object's file is closed by somebody who could write (as makers do when they have filled it). Sequence: make the
/// watch, look for the name, then wait for a change, look again; so that nothing is missed in between.
///
/// Linux has it by inotify. Where that is used up (a user may have 128 by default), and on Windows, it polls
/// ([`NameWatch::kind`]). macOS cannot list objects: [`NameWatch::new`] fails there.
///
/// On Linux it is a descriptor for event loops: readable when [`NameWatch::next`] may have something.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx_os::{CreateOptions, NameWatch, Pending, RegionName};
/// use std::time::Duration;
///
/// let name = RegionName::new(&format!("/shmx-doc-watch-{}", shmx_os::process_id()))?;
/// let mut watch = NameWatch::new()?;
/// let region = Pending::create(&name, &CreateOptions { len: 64, ..CreateOptions::default() })?.publish()?;
/// // Other programs may have made other names meanwhile.
/// while !watch.next(Duration::MAX)?.is_some_and(|changes| changes.touch(&name)) {}
/// # region.remove()?;
/// # Ok(())
/// # }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
pub struct NameWatch {
    inner: waits::NameWatch,
}

impl NameWatch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// [`OsError::Unsupported`] where objects cannot be listed (macOS); [`OsError::Os`], for example without
    /// descriptors.
    pub fn new() -> Result<Self, OsError> {
        Ok(Self { inner: waits::NameWatch::new()? })
    }

    /// A watch that polls, whatever the system offers.
    ///
    /// # Errors
    ///
    /// As [`NameWatch::new`].
    pub fn polling() -> Result<Self, OsError> {
        Ok(Self { inner: waits::NameWatch::polling()? })
    }

    /// How it learns of changes.
    #[must_use]
    pub fn kind(&self) -> NameWatchKind {
        self.inner.kind()
    }

    /// The changes since the last call, or the next ones; none if there are none within `timeout`. A signal may end the
    /// wait early, with none.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child, which would take the parent's events; [`OsError::Os`], for example because
    /// somebody else closed the descriptor.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<NameChanges>, OsError> {
        self.inner.next(timeout)
    }
}

#[cfg(target_os = "linux")]
impl AsFd for NameWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl fmt::Debug for NameWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameWatch").field("kind", &self.kind()).finish_non_exhaustive()
    }
}
