//! One file after the other: when the next one begins, and which old ones go.

use super::RecordWriter;
use super::file::{OpenFile, WallClock};
use crate::error::RecordError;
use crate::format::{Identity, RECORDING, VERSION};
use std::path::PathBuf;

/// Bytes of memory that a file without a frame may take in any case.
const LEAST: u64 = 1 << 20;

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

    pub(super) fn open_file(&mut self) -> Result<(), RecordError> {
        let number = self.written.files + 1;
        let path = self.path_of(number);
        // Nobody has asked for these files: they make way for others, and are known by their recording's id.
        let unasked = !self.options.rotates() && number > 1;
        let replace = self.options.overwrite && !unasked;
        let create = |path| OpenFile::create(path, &self.options, self.compression, replace, &self.inputs);
        let mut file = create(path);
        let mut spare = number;
        while unasked && matches!(file, Err(RecordError::Exists { .. } | RecordError::NotAFile { .. })) {
            spare = spare.saturating_add(1);
            file = create(self.path_of(spare));
        }
        let mut file = file?;
        if let Some(mode) = self.mode {
            file.restrict(mode)?;
        }
        self.file = Some(file);
        if self.clock.step().is_some() {
            // A file of its own may have times of its own; within one they must not jump.
            self.clock = WallClock::now();
            (self.step_told, self.last_log) = (0, 0);
            self.regions.iter_mut().for_each(|r| r.last_time = 0);
        }
        self.written.files = number;
        self.begin_file()
    }

    /// Says at the head of the present file what it is about, and which regions stand.
    fn begin_file(&mut self) -> Result<(), RecordError> {
        self.regions.iter_mut().for_each(|r| r.lifecycle = None);
        let Identity { recording, file } = self.identity();
        let about = [
            ("version", VERSION.to_owned()),
            ("recording", recording),
            ("file", file.to_string()),
            ("ticks_to_wall_ns", self.clock.offset.to_string()),
            ("pid", std::process::id().to_string()),
        ];
        let metadata = about.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        self.metadata(RECORDING, metadata)?;
        for index in 0..self.regions.len() {
            self.announce(index, self.written.files > 1)?;
        }
        if let Some(file) = &mut self.file {
            (file.begun_with, file.begun_channels) = (file.memory(), file.channels);
        }
        Ok(())
    }

    pub(super) fn rotate_if_due(&mut self, payload: u64) -> Result<(), RecordError> {
        let Some(file) = &self.file else { return Ok(()) };
        // The messages of a frame take about as much as it does, point clouds once more.
        let views = if self.options.views { 2 * payload } else { 0 };
        let next = file.state.written() + file.pending + file.summary + payload + views + (8 << 10);
        let large = self.options.file_limit().is_some_and(|limit| next > limit);
        let old = self.options.rotate_after.is_some_and(|t| file.opened.elapsed() >= t);
        if file.frames > 0 && (large || old) {
            return self.next_file();
        }
        self.rotate_if_crowded()
    }

    /// Goes on in another file before the memory for this one gets large; what is of no frame is then forgotten, where
    /// nothing is kept of a recording without one.
    pub(super) fn rotate_if_crowded(&mut self) -> Result<(), RecordError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // Without a frame it grows by what becomes of regions only.
        let most = self.options.index_bytes.max(if file.frames > 0 { 0 } else { LEAST });
        if !file.is_crowded(most) {
            return Ok(());
        }
        if self.written.frames > 0 || !self.options.discard_empty {
            return self.next_file();
        }
        tracing::debug!(path = %file.path.display(), "begun anew: no frame has come");
        file.begin_again(&self.options, self.compression)?;
        self.written.control_dropped += std::mem::take(&mut self.written.control);
        self.begin_file()
    }

    fn next_file(&mut self) -> Result<(), RecordError> {
        self.close_file()?;
        self.remove_old()?;
        self.open_file()
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
