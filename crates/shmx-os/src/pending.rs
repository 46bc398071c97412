//! A new object, until it has its name.

use std::fmt;
use std::sync::atomic::AtomicU8;

use thiserror::Error;

use crate::create_options::CreateOptions;
use crate::error::{CreateError, OsError};
use crate::lock::LockByte;
use crate::name::RegionName;
use crate::region::Region;
use crate::sys;

/// A new, zeroed object that nobody can see yet.
///
/// The creator writes what belongs into it and then makes it visible, whole, under its name: [`Pending::publish`].
/// Dropping it instead gives the memory back.
///
/// # Platforms
///
/// On Linux the object has no name until it is published, so a creator that is killed leaves nothing behind. (Where
/// the shared-memory filesystem has no `O_TMPFILE`, or `/proc` is not mounted, a random hidden name beginning with
/// `.shmx-pending-` stands in; that one does stay behind after a kill.) On other platforms the name is visible from
/// [`Pending::create`] on, a taken name is an error there, and openers must tell an unfinished object by its contents.
pub struct Pending {
    name: RegionName,
    inner: sys::Pending,
}

impl Pending {
    /// Makes an object of `options.len` bytes, all zero, and maps it read-write. All its memory is reserved.
    ///
    /// `name` is only remembered for [`Pending::publish`]; on Linux it may be taken at this point.
    ///
    /// # Errors
    ///
    /// [`CreateError::NoSpace`] where the memory cannot be reserved; see [`CreateError`] for the others. Nothing is
    /// left behind.
    pub fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let limit = isize::MAX as u64;
        if options.len == 0 || options.len > limit {
            return Err(CreateError::InvalidLength { len: options.len, limit });
        }
        if options.mode & !0o777 != 0 {
            return Err(CreateError::InvalidMode { mode: options.mode });
        }
        Ok(Self { name: name.clone(), inner: sys::Pending::create(name, options)? })
    }

    /// The name it is to be published under.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.name
    }

    /// Bytes in [`Pending::bytes`]: the length that was asked for. Never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an object is never empty")]
    pub fn len(&self) -> usize {
        self.inner.bytes().len()
    }

    /// The memory: `options.len` bytes, starting at a page boundary.
    ///
    /// # Safety
    ///
    /// As for [`Region::bytes`]. While nobody else has opened the object nobody holds a part of it as plain memory, and
    /// every access is sound. That is so until [`Pending::publish`] where objects have no name before; elsewhere, and
    /// where a hidden name stands in, for as long as the caller has stored nothing that makes others use the object.
    #[must_use]
    #[inline]
    pub unsafe fn bytes(&self) -> &[AtomicU8] {
        self.inner.bytes()
    }

    /// Takes a liveness lock before anybody can see the object, so that it is never seen without. The lock stays
    /// with the [`Region`] that [`Pending::publish`] returns. Semantics and errors: [`Region::try_lock`].
    pub fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.inner.try_lock(lock)
    }

    /// Makes the object visible under its name. An existing object is never replaced.
    ///
    /// What was stored before is seen by whoever opens the name afterwards. Of several processes that publish one
    /// name at the same time exactly one succeeds.
    ///
    /// # Errors
    ///
    /// [`PublishError::Exists`] where the name is taken. Every error gives the object back for another try.
    pub fn publish(self) -> Result<Region, PublishError> {
        let Self { name, inner } = self;
        match inner.publish(&name) {
            Ok(inner) => Ok(Region { name, inner }),
            Err(refusal) => {
                let (inner, refused) = *refusal;
                let pending = Box::new(Self { name: name.clone(), inner });
                Err(match refused {
                    None => PublishError::Exists { name, pending },
                    Some(source) => PublishError::Os { source, pending },
                })
            }
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// [`Pending::publish`] failed. The object is given back unchanged, so that the caller can deal with the obstacle
/// and try again: [`PublishError::into_pending`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name leads to another object already. That one was not touched.
    #[error("a shared-memory object named `{name}` exists already; use another name or end its owner first")]
    Exists {
        /// The name.
        name: RegionName,
        /// The object that could not be published.
        pending: Box<Pending>,
    },
    /// A system call failed, or the object belongs to a parent process (see [`OsError::Forked`]).
    #[error("cannot publish shared memory")]
    Os {
        /// What failed.
        source: OsError,
        /// The object that could not be published.
        pending: Box<Pending>,
    },
}

impl PublishError {
    /// The object that could not be published.
    #[must_use]
    pub fn into_pending(self) -> Pending {
        match self {
            Self::Exists { pending, .. } | Self::Os { pending, .. } => *pending,
        }
    }
}
