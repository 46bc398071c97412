//! The directory as a reader has it: read when it is first needed, and again when it has grown.

use crate::error::{DirectoryReadError, LookupError};
use crate::lock::ProcessLock;
use crate::region::{Backing, Mapped};
use crate::schema::directory::{Directory, name_hash_of};
use crate::schema::key::{Key, StreamKey};
use crate::schema::stream::StreamId;
use shmx_abi::Element;
use shmx_ring::load;
use shmx_ring::sync::{AtomicU64, Ordering};
use shmx_ring::view::Slots;
use std::sync::Arc;
use std::sync::atomic::AtomicU32 as Counter;

/// Shared by a reader and the frames that it has given out.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Different for every catalog of this process, as long as it opens fewer than 2^32 regions.
    token: u32,
    session_id: u64,
    /// Generation of what is cached and 1 more; 0 while nothing is. Written under the lock.
    generation: AtomicU64,
    directory: ProcessLock<Result<Arc<Directory>, DirectoryReadError>>,
    /// What the header said when the directory could not be read: generation, bytes used, hash.
    failed: ProcessLock<Option<(u32, u32, u64)>>,
}

/// Where frames come from.
pub(crate) trait Home: std::fmt::Debug + Send + Sync {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError>;
    /// Reads it, if it has changed, for frames that are kept.
    fn refresh(&self);
}

/// What the header says of the directory.
fn words<B: Backing>(region: &Mapped<B>) -> (u32, u32, u64) {
    let h = region.header();
    // Relaxed: only compared with what they were before.
    (h.static_gen.load(Ordering::Relaxed), h.static_bytes_used.load(Ordering::Relaxed), load::count(&h.static_hash))
}

static NEXT_TOKEN: Counter = Counter::new(1);

impl Catalog {
    pub(crate) fn new(session_id: u64) -> Self {
        // Relaxed: only different numbers are needed.
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        Self {
            token,
            session_id,
            generation: AtomicU64::new(0),
            directory: ProcessLock::new(Err(DirectoryReadError::NotRead)),
            failed: ProcessLock::new(None),
        }
    }

    pub(crate) const fn session_id(&self) -> u64 {
        self.session_id
    }

    /// What was read last, or why nothing was.
    pub(crate) fn cached(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.directory.read().ok_or(DirectoryReadError::Forked)?.clone()
    }

    /// Whether what is cached is what the region has now.
    #[inline]
    fn is_current<B: Backing>(&self, region: &Mapped<B>) -> bool {
        // Relaxed: a directory that is changed at this moment is as good before as after.
        let now = u64::from(region.header().static_gen.load(Ordering::Relaxed)) + 1;
        self.generation.load(Ordering::Relaxed) == now
    }

    /// Reads the directory if it has changed, a damaged one no second time. What goes wrong shows when somebody asks.
    #[inline]
    pub(crate) fn refresh<B: Backing>(&self, region: &Mapped<B>) {
        if !self.is_current(region) && self.failed.read().is_some_and(|failed| *failed != Some(words(region))) {
            let _ = self.read(region);
        }
    }

    /// The directory as it is now; read anew only if it has changed.
    pub(crate) fn current<B: Backing>(&self, region: &Mapped<B>) -> Result<Arc<Directory>, DirectoryReadError> {
        if self.is_current(region)
            && let Ok(cached) = self.cached()
        {
            return Ok(cached);
        }
        self.read(region)
    }

    #[cold]
    fn read<B: Backing>(&self, region: &Mapped<B>) -> Result<Arc<Directory>, DirectoryReadError> {
        // First, so that a server that is adding to it will be seen to have changed it.
        let before = words(region);
        let found = self.parse(region);
        // A forked child that cannot have the locks goes without: what it has read is right all the same.
        let Some((mut failed, mut cached)) = self.failed.write().zip(self.directory.write()) else { return found };
        *failed = found.is_err().then_some(before);
        drop(failed);
        match &found {
            Ok(directory) => {
                self.generation.store(u64::from(directory.generation) + 1, Ordering::Relaxed);
                *cached = found.clone();
            }
            // What was known before stays known; nothing is ever taken out of a directory.
            Err(_) if cached.is_ok() => {}
            Err(_) => *cached = found.clone(),
        }
        found
    }

    fn parse<B: Backing>(&self, region: &Mapped<B>) -> Result<Arc<Directory>, DirectoryReadError> {
        let copy = region.directory_copy()?;
        if load::count(&region.header().session_id) != self.session_id {
            return Err(DirectoryReadError::SessionChanged);
        }
        Ok(Arc::new(Directory::parse(self.session_id, copy)?))
    }

    /// A handle for a stream that has elements of type `T`.
    pub(crate) fn resolve<T: Element>(
        &self,
        directory: &Directory,
        stream: impl StreamKey<T>,
    ) -> Result<StreamId<T>, LookupError> {
        let found = directory.find(stream.key())?;
        Directory::check_type::<T>(found)?;
        Ok(StreamId::new(found.id, self.token, name_hash_of(&found.name)))
    }

    /// Number of the stream that `key` names, of elements of type `T`, in `directory`.
    #[inline]
    pub(crate) fn id_of<T: Element>(
        &self,
        key: Key<'_>,
        directory: impl FnOnce() -> Result<Arc<Directory>, LookupError>,
    ) -> Result<u32, LookupError> {
        match key {
            Key::Checked { id, token, .. } if token == self.token => Ok(id),
            _ => {
                let directory = directory()?;
                let found = directory.find(key)?;
                Directory::check_type::<T>(found)?;
                Ok(found.id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that a forked child looks into once waited for ever for a thread of the parent.
    #[test]
    fn a_directory_that_the_parent_was_reading_is_not_waited_for() {
        let mut catalog = Catalog::new(1);
        assert_eq!(catalog.cached().unwrap_err(), DirectoryReadError::NotRead);
        catalog.directory.inherit_locked();
        assert_eq!(catalog.cached().unwrap_err(), DirectoryReadError::Forked);
    }
}
