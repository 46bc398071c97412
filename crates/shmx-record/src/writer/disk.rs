//! What reaches the disk, and the room that is left on it.

use super::RecordWriter;
use super::options::Sync;
use crate::error::RecordError;
use std::fs::File;

impl RecordWriter {
    /// A chunk was finished: brings it to the disk if that is wanted, and sees whether there is room for more.
    pub(super) fn chunk_is_done(&mut self) -> Result<(), RecordError> {
        if self.options.sync == Sync::Chunk {
            self.sync()?;
        }
        let Some(wanted) = self.options.min_free.filter(|_| !self.out_of_room) else { return Ok(()) };
        let Some((left, file)) = self.file.as_ref().and_then(|f| Some((free(&f.handle)?, f))) else { return Ok(()) };
        if left >= wanted {
            return Ok(());
        }
        // Told once: the file is then finished with the little that this takes.
        self.out_of_room = true;
        Err(RecordError::Room { path: file.path.clone(), left, wanted })
    }

    /// Brings the present file to the disk.
    pub(super) fn sync(&mut self) -> Result<(), RecordError> {
        let Some(file) = &self.file else { return Ok(()) };
        let fail = |source| RecordError::Write { path: file.path.clone(), kept: file.good, source };
        file.handle.sync_data().map_err(fail)?;
        self.written.syncs += 1;
        Ok(())
    }
}

/// Bytes that this user may still write to the file system of a file; none where the platform does not tell.
#[cfg(unix)]
fn free(file: &File) -> Option<u64> {
    let room = rustix::fs::fstatvfs(file).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &File) -> Option<u64> {
    None
}
