//! One file after the other: when the next one begins, and which old ones go.

use super::RecordWriter;
use crate::error::RecordError;
use std::path::PathBuf;

impl RecordWriter {
    pub(super) fn path_of(&self, number: u32) -> PathBuf {
        // One that goes on in another file by itself has begun under the name as it was given.
        if !self.options.rotates() && number == 1 {
            return self.base.clone();
        }
        let stem = self.base.file_stem().unwrap_or_default().to_string_lossy();
        let extension = self.base.extension().map_or("mcap".into(), |e| e.to_string_lossy());
        self.base.with_file_name(format!("{stem}-{number:04}.{extension}"))
    }

    pub(super) fn rotate_if_due(&mut self, payload: u64) -> Result<(), RecordError> {
        let Some(file) = &self.file else { return Ok(()) };
        // The messages of a frame take about as much as it does, point clouds once more.
        let views = if self.options.views { 2 * payload } else { 0 };
        let next = file.state.written() + file.pending + file.summary + payload + views + (8 << 10);
        let large =
            self.options.file_limit().is_some_and(|limit| next > limit) || file.summary > self.options.index_bytes;
        let old = self.options.rotate_after.is_some_and(|t| file.opened.elapsed() >= t);
        if file.frames > 0 && (large || old) {
            self.close_file()?;
            self.remove_old()?;
            self.open_file()?;
        }
        Ok(())
    }

    pub(super) fn remove_old(&mut self) -> Result<(), RecordError> {
        let Some(keep) = self.options.keep_bytes else { return Ok(()) };
        // Room for the file that comes next.
        let room = keep.saturating_sub(self.options.file_limit().unwrap_or(0));
        let mut total: u64 = self.finished.iter().map(|(_, n)| n).sum();
        while total > room {
            let Some((path, len)) = self.finished.pop_front() else { break };
            std::fs::remove_file(&path).map_err(|source| RecordError::Remove { path, source })?;
            self.written.removed += 1;
            total -= len;
        }
        Ok(())
    }

    pub(super) fn close_file(&mut self) -> Result<(), RecordError> {
        self.flush()?;
        self.with(mcap::Writer::finish)?;
        let sync = self.options.sync != super::Sync::Never;
        let Some(file) = self.file.take() else { return Ok(()) };
        let path = file.path;
        // Flushes what the buffer still holds.
        let sink = file.mcap.into_inner().into_inner();
        if let Err(e) = sink {
            let _ = file.handle.set_len(file.good);
            self.failed = true;
            return Err(RecordError::Write { path, kept: file.good, source: e.into_error() });
        }
        if sync {
            let fail = |source| RecordError::Write { path: path.clone(), kept: file.state.written(), source };
            file.handle.sync_data().map_err(fail)?;
            self.written.syncs += 1;
        }
        let len = file.state.written();
        self.before += len;
        self.finished.push_back((path, len));
        Ok(())
    }
}
