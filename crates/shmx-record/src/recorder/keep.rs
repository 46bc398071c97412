//! Keeps the last frames in memory, and writes them into a file of their own when asked.

use super::status::RecorderEvent;
use super::work::{Shared, Work, lock};
use crate::error::RecordError;
use crate::format::{Counts, Segment};
use crate::writer::{RecordWriter, RegionIndex, WriterOptions, Written};
use shmx_os::clock;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// How often old frames are dropped where nothing comes.
const LOOK: Duration = Duration::from_millis(20);

/// Files of one name, at most.
const MOST_FILES: u32 = 9999;

/// There is nothing to write.
const NOTHING: RecorderEvent = RecorderEvent::Snapshot { path: None, frames: 0, reaches: Duration::ZERO };

/// A region as it stood before what is kept.
#[derive(Clone)]
struct Standing {
    segment: Segment,
    directory: Vec<u8>,
    mode: Option<u32>,
}

struct Region {
    name: String,
    standing: Option<Standing>,
    /// Of its present life.
    segment: u32,
    counts: Counts,
}

/// What is kept.
pub(super) struct Keeper {
    path: PathBuf,
    options: WriterOptions,
    span: Duration,
    most: u64,
    regions: Vec<Region>,
    /// What was taken, and when; ticks.
    kept: VecDeque<(u64, Work)>,
    bytes: u64,
    /// In the name of the file written last.
    number: u32,
    written: Written,
    files: Vec<PathBuf>,
}

/// Bytes of what there may be any number of.
fn weight(work: &Work) -> u64 {
    match work {
        Work::Frame { frame, .. } => frame.payload().len() as u64,
        Work::Control { seen, .. } => seen.iter().map(|s| (size_of_val(s) + s.message.data.len()) as u64).sum(),
        _ => 0,
    }
}

impl Keeper {
    pub(super) fn new(
        path: &Path,
        options: WriterOptions,
        span: Duration,
        most: u64,
        names: &[String],
    ) -> Result<Self, RecordError> {
        options.check()?;
        let mut keeper = Self {
            path: path.to_owned(),
            // A snapshot is one file, or none.
            options: WriterOptions {
                rotate_bytes: None,
                rotate_after: None,
                keep_bytes: None,
                discard_empty: true,
                ..options
            },
            span,
            most,
            regions: Vec::new(),
            kept: VecDeque::new(),
            bytes: 0,
            number: 0,
            written: Written::default(),
            files: Vec::new(),
        };
        names.iter().for_each(|n| keeper.add(n.clone()));
        Ok(keeper)
    }

    fn add(&mut self, name: String) {
        self.regions.push(Region { name, standing: None, segment: 0, counts: Counts::default() });
    }

    /// The keeping thread.
    pub(super) fn run(
        mut self,
        todo: &Receiver<Work>,
        back: &mpsc::Sender<usize>,
        shared: &Shared,
        tell: &SyncSender<RecorderEvent>,
    ) -> Result<(Written, Vec<PathBuf>), RecordError> {
        loop {
            match todo.recv_timeout(LOOK) {
                Ok(Work::Snapshot) => {
                    self.forget();
                    let event = self.write().unwrap_or_else(|e| {
                        self.written.snapshots_failed += 1;
                        RecorderEvent::SnapshotFailed { what: e.to_string() }
                    });
                    *lock(&shared.written) = self.written;
                    shared.end_snapshot();
                    let _ = tell.try_send(event);
                }
                Ok(work) => {
                    self.take(work, back, shared, tell);
                    self.forget();
                }
                Err(RecvTimeoutError::Timeout) => self.forget(),
                Err(RecvTimeoutError::Disconnected) => return Ok((self.written, self.files)),
            }
        }
    }

    fn take(&mut self, work: Work, back: &mpsc::Sender<usize>, shared: &Shared, tell: &SyncSender<RecorderEvent>) {
        match &work {
            Work::Add(name) => return self.add(name.clone()),
            Work::Rename { region, name } => {
                let r = &mut self.regions[*region];
                r.name.clone_from(name);
                (r.segment, r.counts) = (0, Counts::default());
            }
            Work::Begin { region, .. } => {
                let r = &mut self.regions[*region];
                (r.segment, r.counts) = (r.segment + 1, Counts::default());
            }
            Work::Frame { region, frame, .. } => {
                shared.written(frame.payload().len() as u64);
                let _ = back.send(*region);
                let counts = &mut self.regions[*region].counts;
                counts.frames += 1;
                counts.missed = counts.missed.saturating_add(frame.missed_before());
            }
            Work::End { region, reason, missed, rejected } => {
                let r = &self.regions[*region];
                let missed = r.counts.missed.saturating_add(*missed);
                let counts = Counts { missed, rejected: *rejected, ..r.counts };
                let (region, segment, reason) = (r.name.clone(), r.segment, *reason);
                let _ = tell.try_send(RecorderEvent::End { region, segment, reason, counts });
            }
            Work::Directory { .. } | Work::Control { .. } | Work::Snapshot => {}
        }
        self.bytes += weight(&work);
        self.kept.push_back((clock::ticks(), work));
    }

    /// Drops what is older than the time that is kept, or more than there is memory for.
    fn forget(&mut self) {
        let span = u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX);
        let now = clock::ticks();
        while let Some((at, _)) = self.kept.front()
            && (now.saturating_sub(*at) >= span || self.bytes > self.most)
        {
            let work = self.kept.pop_front().map(|(_, work)| work);
            self.bytes -= work.as_ref().map_or(0, weight);
            match work {
                Some(Work::Begin { region, segment, directory, mode }) => {
                    self.regions[region].standing = Some(Standing { segment, directory, mode });
                }
                Some(Work::Directory { region, bytes }) => {
                    if let Some(standing) = &mut self.regions[region].standing {
                        standing.directory = bytes;
                    }
                }
                Some(Work::End { region, .. }) => self.regions[region].standing = None,
                Some(
                    Work::Add(_) | Work::Rename { .. } | Work::Frame { .. } | Work::Control { .. } | Work::Snapshot,
                )
                | None => {}
            }
        }
    }

    /// A file that is not there yet, and its number.
    fn create(&self) -> Result<(RecordWriter, PathBuf, u32), RecordError> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map_or("mcap".into(), |e| e.to_string_lossy().into_owned());
        let path = |number| self.path.with_file_name(format!("{stem}-{number:04}.{extension}"));
        for number in self.number + 1..=MOST_FILES {
            let path = path(number);
            match RecordWriter::create(&path, self.options.clone()) {
                Ok(writer) => return Ok((writer, path, number)),
                Err(RecordError::Exists { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Err(RecordError::Exists { path: path(MOST_FILES) })
    }

    /// Writes what is kept.
    fn write(&mut self) -> Result<RecorderEvent, RecordError> {
        if !self.kept.iter().any(|(_, work)| matches!(work, Work::Frame { .. })) {
            return Ok(NOTHING);
        }
        let (mut writer, path, number) = self.create()?;
        let begin = self.kept.front().map_or_else(clock::ticks, |(at, _)| *at);
        let filled = self.fill(&mut writer, begin);
        // There is room enough for the end.
        if !matches!(filled, Ok(()) | Err(RecordError::Room { .. })) {
            return filled.map(|()| NOTHING);
        }
        let (one, files) = writer.finish_files()?;
        self.written.left_out += one.left_out;
        if files.is_empty() {
            // None of the frames has a stream that is recorded.
            return filled.map(|()| NOTHING);
        }
        self.number = number;
        self.files.extend(files);
        self.written.frames += one.frames;
        self.written.messages += one.messages;
        self.written.unviewed += one.unviewed;
        self.written.control += one.control;
        self.written.bytes += one.bytes;
        self.written.kept_bytes += one.bytes;
        self.written.files += one.files;
        self.written.syncs += one.syncs;
        filled?;
        self.written.snapshots += 1;
        let reaches = Duration::from_nanos(clock::ticks().saturating_sub(begin));
        Ok(RecorderEvent::Snapshot { path: Some(path), frames: one.frames, reaches })
    }

    /// Writes what was taken since then into a file.
    fn fill(&self, writer: &mut RecordWriter, begin: u64) -> Result<(), RecordError> {
        let indices: Vec<RegionIndex> = self.regions.iter().map(|_| writer.add_region()).collect();
        writer.set_ticks(begin);
        for (region, index) in self.regions.iter().zip(&indices) {
            if let Some(s) = region.standing.clone() {
                writer.restrict(s.mode.unwrap_or(0o600))?;
                writer.begin(*index, s.segment, &s.directory)?;
            }
        }
        for (at, work) in &self.kept {
            writer.set_ticks(*at);
            match work {
                Work::Begin { region, segment, directory, mode } => {
                    writer.restrict(mode.unwrap_or(0o600))?;
                    writer.begin(indices[*region], segment.clone(), directory)?;
                }
                Work::Directory { region, bytes } => writer.directory(indices[*region], bytes)?,
                Work::Frame { region, frame, taken_ticks } => writer.frame(indices[*region], frame, *taken_ticks)?,
                Work::End { region, reason, missed, rejected } => {
                    writer.end(indices[*region], *reason, *missed, *rejected)?;
                }
                Work::Control { region, seen, lost } => writer.control(indices[*region], seen, *lost)?,
                Work::Rename { region, .. } => writer.renew(indices[*region])?,
                Work::Add(_) | Work::Snapshot => {}
            }
        }
        writer.set_ticks(clock::ticks());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_of_files() {
        let folder = shmx_testkit::Folder::new("most-files");
        let path = folder.file("a.mcap");
        let mut keeper = Keeper::new(&path, WriterOptions::default(), Duration::ZERO, 0, &[]).unwrap();
        keeper.number = MOST_FILES - 2;
        std::fs::write(folder.file("a-9998.mcap"), "mine").unwrap();
        let (writer, last, number) = keeper.create().unwrap();
        assert_eq!((last, number), (folder.file("a-9999.mcap"), MOST_FILES));
        // Not once, but as often as it is tried.
        for _ in 0..2 {
            assert!(matches!(keeper.create(), Err(RecordError::Exists { .. })));
        }
        drop(writer);
        keeper.number = MOST_FILES;
        assert!(matches!(keeper.create(), Err(RecordError::Exists { .. })));
    }
}
