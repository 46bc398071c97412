//! Writes recordings: regions, their directories and frames, into one MCAP file or a row of them.

mod choice;
mod disk;
mod file;
mod frames;
mod options;
mod rotation;
#[cfg(test)]
mod tests;
mod view_channels;
mod viewed;

pub(crate) use choice::damage;
pub(crate) use file::Inputs;
pub use options::{Compression, Sync, WriterOptions};

use crate::error::RecordError;
use crate::fields::Fields;
use crate::format::{Counts, EndReason, Identity, LIFECYCLE, RegionEvent, Segment, encode_lifecycle};
use crate::schema::{self, PROTOBUF, Schema};
use crate::views::ViewChannel;
use choice::Choice;
use file::{Mcap, OpenFile, WallClock, write_error};
use mcap::records::{MessageHeader, Metadata};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use view_channels::make_views;

/// Identifies a region within a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionIndex(usize);

struct Viewed {
    channel: ViewChannel,
    /// Its channel in the present file, once it has a message.
    id: Option<u16>,
}

struct Open {
    segment: Segment,
    directory: Vec<u8>,
    views: Vec<Viewed>,
    /// Its small streams, and the channel of their message in the present file.
    fields: Fields,
    fields_channel: Option<u16>,
    channel: u16,
    counts: Counts,
    /// If some of its streams are recorded only.
    choice: Option<Choice>,
}

#[derive(Default)]
struct Region {
    open: Option<Open>,
    segments: u32,
    last_time: u64,
    /// The channel of its lifecycle in the present file, once it has a message.
    lifecycle: Option<u16>,
}

/// When a frame was recorded, and when it was published; nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    log: u64,
    publish: u64,
}

/// What was written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Frames.
    pub frames: u64,
    /// Messages for viewers.
    pub messages: u64,
    /// Streams of frames that had no message because they have too many values or do not fit their description.
    pub unviewed: u64,
    /// Bytes of files, those removed meanwhile included.
    pub bytes: u64,
    /// Bytes of files that exist.
    pub kept_bytes: u64,
    /// Files begun.
    pub files: u32,
    /// Files removed to stay within the total size.
    pub removed: u32,
    /// How often a file was brought to the disk.
    pub syncs: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Those that could not be written, or not whole.
    pub snapshots_failed: u64,
    /// Frames that have none of the streams that are recorded ([`WriterOptions::streams`]).
    pub left_out: u64,
    /// Control messages of readers.
    pub control: u64,
    /// Those that came before the first frame and had to be given up: what has no frame yet takes no memory without
    /// bound ([`WriterOptions::index_bytes`]).
    pub control_dropped: u64,
}

/// Writes one recording. Memory is bounded by a chunk and a frame.
///
/// It does no waiting and has no threads; [`crate::Recorder`] feeds one from live regions.
pub struct RecordWriter {
    options: WriterOptions,
    inputs: Inputs,
    compression: Option<mcap::Compression>,
    base: PathBuf,
    file: Option<OpenFile>,
    finished: VecDeque<(PathBuf, u64)>,
    regions: Vec<Region>,
    clock: WallClock,
    written: Written,
    /// Bytes of files that are finished, removed ones included.
    before: u64,
    message: Vec<u8>,
    failed: bool,
    /// When what is written next was recorded, where that is not now.
    copied_at: Option<u64>,
    /// That there is no room was told.
    out_of_room: bool,
    /// Who may read the files: what the regions recorded so far allow, once there is one.
    mode: Option<u32>,
    /// Which recording this is.
    id: u64,
    /// Log time of the last message. Each frame and each event has one of its own, so that tools that sort by it keep
    /// their order.
    last_log: u64,
    /// How far the wall clock was set, as it was last told.
    step_told: i64,
    step: Option<i64>,
}

impl std::fmt::Debug for RecordWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordWriter").field("base", &self.base).field("written", &self.written).finish_non_exhaustive()
    }
}

impl RecordWriter {
    /// Creates the first file of a recording. With rotation the files are numbered: `out.mcap` becomes
    /// `out-0001.mcap` and so on.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn create(path: &Path, options: WriterOptions) -> Result<Self, RecordError> {
        Self::create_beside(path, options, Inputs::default())
    }

    /// The same while these files are read.
    pub(crate) fn create_beside(path: &Path, options: WriterOptions, inputs: Inputs) -> Result<Self, RecordError> {
        options.check()?;
        let mut writer = Self {
            compression: options.compression.to_mcap()?,
            options,
            inputs,
            base: path.to_owned(),
            file: None,
            finished: VecDeque::new(),
            regions: Vec::new(),
            clock: WallClock::now(),
            written: Written::default(),
            before: 0,
            message: Vec::new(),
            failed: false,
            copied_at: None,
            out_of_room: false,
            mode: None,
            id: shmx_os::random_u64(),
            last_log: 0,
            step_told: 0,
            step: None,
        };
        writer.open_file()?;
        Ok(writer)
    }

    /// Adds a region that segments can be recorded of.
    pub fn add_region(&mut self) -> RegionIndex {
        self.regions.push(Region::default());
        RegionIndex(self.regions.len() - 1)
    }

    /// The region's place is now that of another one.
    pub(crate) fn renew(&mut self, region: RegionIndex) -> Result<(), RecordError> {
        self.end(region, EndReason::Stopped, 0, 0)?;
        self.regions[region.0] = Region::default();
        Ok(())
    }

    /// What was written so far. Chunks that are not finished are not counted in the bytes.
    #[must_use]
    pub fn written(&self) -> Written {
        let now = self.file.as_ref().map_or(0, |f| f.state.written());
        let finished: u64 = self.finished.iter().map(|(_, n)| n).sum();
        Written { bytes: self.before + now, kept_bytes: finished + now, ..self.written }
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|f| f.path.as_path())
    }

    /// Runs one operation of the MCAP writer; after a failure the file is cut behind its last finished chunk.
    fn with<T>(&mut self, f: impl FnOnce(&mut Mcap) -> mcap::McapResult<T>) -> Result<T, RecordError> {
        let Some(file) = self.file.as_mut().filter(|_| !self.failed) else { return Err(RecordError::Thread) };
        match f(&mut file.mcap) {
            Ok(v) => Ok(v),
            Err(e) => {
                self.failed = true;
                file.state.fail();
                if let Err(error) = file.cut() {
                    tracing::warn!(%error, path = %file.path.display(), "the unfinished chunk could not be cut off");
                }
                Err(write_error(&file.path, file.good, e))
            }
        }
    }

    fn metadata(&mut self, name: &str, metadata: BTreeMap<String, String>) -> Result<(), RecordError> {
        let record = Metadata { name: name.to_owned(), metadata };
        self.with(|m| m.write_metadata(&record))?;
        self.flush()
    }

    /// Finishes the chunk: what was written before is then readable whatever happens.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn flush(&mut self) -> Result<(), RecordError> {
        if let Some(what) = self.file.as_ref().filter(|_| !self.failed).and_then(OpenFile::harm) {
            let path = self.file.as_ref().map(|f| f.path.clone()).unwrap_or_default();
            self.failed = true;
            if let Some(file) = &self.file {
                file.state.fail();
            }
            return Err(RecordError::Changed { path, what });
        }
        self.with(mcap::Writer::flush)?;
        let step = self.clock.step().unwrap_or(0);
        if step.abs_diff(self.step_told) > 1_000_000_000 {
            (self.step_told, self.step) = (step, Some(step));
        }
        if let Some(file) = &mut self.file {
            // The index of a chunk has a place for each channel with messages there.
            file.summary += 128 + 10 * file.channels.min(file.messages);
            (file.pending, file.messages, file.pending_since) = (0, 0, None);
            file.good = file.state.written();
        }
        self.chunk_is_done()
    }

    /// Finishes the chunk if it is old enough; call it when there is nothing else to do.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn tick(&mut self) -> Result<(), RecordError> {
        let file = self.file.as_ref();
        if file.and_then(|f| f.pending_since).is_some_and(|t| t.elapsed() >= self.options.flush_after) {
            self.flush()?;
        }
        Ok(())
    }

    /// By how many nanoseconds the wall clock was set since the file was begun, if that was not asked yet. Times in the
    /// file go on as they were; the next file begins with the clock as it is then.
    pub const fn clock_step(&mut self) -> Option<i64> {
        self.step.take()
    }

    /// Says who may read a region that is recorded, as permission bits. The files may be read by those only who may
    /// read all regions in them, less the umask; before the first region, by this user.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the file's permissions cannot be set.
    pub fn restrict(&mut self, mode: u32) -> Result<(), RecordError> {
        let all = self.mode.map_or(mode, |m| m & mode);
        self.mode = Some(all);
        self.file.as_mut().map_or(Ok(()), |file| file.restrict(all))
    }

    fn add_channel(&mut self, schema: &Schema, topic: &str, about: &[(&str, String)]) -> Result<u16, RecordError> {
        let about = about.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        if let Some(file) = &mut self.file {
            file.channels += 1;
            file.summary += (schema.data.len() + topic.len()) as u64 + 256;
        }
        self.with(|m| {
            let schema = m.add_schema(&schema.name, PROTOBUF, &schema.data)?;
            m.add_channel(schema, topic, PROTOBUF, &about)
        })
    }

    /// Writes the `begin` or `continue` of an open segment into the present file.
    fn announce(&mut self, index: usize, continued: bool) -> Result<(), RecordError> {
        let Some(open) = self.regions[index].open.as_ref() else { return Ok(()) };
        let (segment, directory, time) = (open.segment.clone(), open.directory.clone(), self.now_wall());
        let about = [("region", segment.region.clone())];
        let channel = self.add_channel(&schema::frame(), &format!("/{}", segment.region), &about)?;
        if let Some(open) = self.regions[index].open.as_mut() {
            open.channel = channel;
            open.views.iter_mut().for_each(|v| v.id = None);
            open.fields_channel = None;
        }
        self.event(index, &RegionEvent::Begin { time, segment, directory, continued })
    }

    fn identity(&self) -> Identity {
        Identity { recording: format!("{:016x}", self.id), file: self.written.files }
    }

    /// A log time for what is recorded at this moment, behind that of all before.
    fn next_log(&mut self, wall: u64) -> u64 {
        self.last_log = wall.max(self.last_log + 1);
        self.last_log
    }

    /// Writes what became of a region, in a chunk of its own: readers find it without a look at the frames.
    fn event(&mut self, index: usize, event: &RegionEvent) -> Result<(), RecordError> {
        if self.file.as_ref().is_some_and(|f| f.pending > 0) {
            self.flush()?;
        }
        let channel_id = match self.regions[index].lifecycle {
            Some(id) => id,
            None => {
                let region = event.region().to_owned();
                let topic = format!("/{region}/{LIFECYCLE}");
                let id = self.add_channel(&schema::lifecycle(), &topic, &[("region", region)])?;
                self.regions[index].lifecycle = Some(id);
                id
            }
        };
        let mut message = std::mem::take(&mut self.message);
        encode_lifecycle(event, &self.identity(), &mut message);
        let log_time = self.next_log(self.now_wall());
        let header = MessageHeader { channel_id, sequence: 0, log_time, publish_time: log_time };
        let result = self.with(|m| m.write_to_known_channel(&header, &message));
        self.message = message;
        result?;
        if let Some(file) = &mut self.file {
            file.messages += 1;
        }
        self.flush()
    }

    /// Begins a segment: a region, or a new life of it. `segment.number` is set here.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn begin(&mut self, region: RegionIndex, segment: Segment, directory: &[u8]) -> Result<u32, RecordError> {
        if self.regions[region.0].open.is_some() {
            self.end(region, EndReason::Replaced, 0, 0)?;
        }
        self.rotate_if_crowded()?;
        let r = &mut self.regions[region.0];
        r.segments += 1;
        let number = r.segments;
        let segment = Segment { number, ..segment };
        let mut fields = Fields::default();
        let views = if self.options.views { make_views(&segment, directory, &mut fields).0 } else { Vec::new() };
        let views = views.into_iter().map(|channel| Viewed { channel, id: None }).collect();
        let choice = choice(&self.options.streams, segment.session_id, directory);
        let (directory, counts) = (directory.to_vec(), Counts::default());
        r.open = Some(Open { segment, directory, views, fields, fields_channel: None, channel: 0, counts, choice });
        self.announce(region.0, false)?;
        Ok(number)
    }

    /// Records that the directory now has these bytes. Only additions are possible; other bytes begin a new segment.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn directory(&mut self, region: RegionIndex, directory: &[u8]) -> Result<(), RecordError> {
        self.rotate_if_crowded()?;
        let views = self.options.views;
        let Some(open) = self.regions[region.0].open.as_mut() else { return Ok(()) };
        if open.directory == directory {
            return Ok(());
        }
        let Some(added) = directory.strip_prefix(open.directory.as_slice()) else {
            let segment = open.segment.clone();
            return self.begin(region, segment, directory).map(|_| ());
        };
        let event = RegionEvent::Directory {
            region: open.segment.region.clone(),
            segment: open.segment.number,
            at: open.directory.len() as u32,
            bytes: added.to_vec(),
        };
        open.directory = directory.to_vec();
        if let Some(choice) = &mut open.choice {
            choice.look_up(&self.options.streams, open.segment.session_id, directory);
        }
        if views {
            let known = open.views.len();
            let (all, more) = make_views(&open.segment, directory, &mut open.fields);
            if more {
                open.fields_channel = None;
            }
            open.views.extend(all.into_iter().skip(known).map(|channel| Viewed { channel, id: None }));
        }
        self.event(region.0, &event)
    }

    /// Records that frames were rejected.
    pub fn rejected(&mut self, region: RegionIndex, count: u64) {
        if let Some(open) = self.regions[region.0].open.as_mut() {
            open.counts.rejected += count;
        }
    }

    /// Ends a segment. `missed` and `rejected` are added to what its frames have told.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn end(
        &mut self,
        region: RegionIndex,
        reason: EndReason,
        missed: u64,
        rejected: u64,
    ) -> Result<Counts, RecordError> {
        let Some(open) = self.regions[region.0].open.take() else { return Ok(Counts::default()) };
        let mut counts = open.counts;
        let untold = open.choice.as_ref().map_or(0, Choice::missed);
        counts.missed = counts.missed.saturating_add(missed).saturating_add(untold);
        counts.rejected += rejected;
        let (name, segment, time) = (open.segment.region, open.segment.number, self.now_wall());
        self.event(region.0, &RegionEvent::End { time, region: name, segment, reason, counts })?;
        Ok(counts)
    }

    /// Ends all segments, finishes the file, and says what was written.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn finish(self) -> Result<Written, RecordError> {
        self.finish_files().map(|(written, _)| written)
    }

    /// The same, and which files there are.
    pub(crate) fn finish_files(mut self) -> Result<(Written, Vec<PathBuf>), RecordError> {
        for index in 0..self.regions.len() {
            self.end(RegionIndex(index), EndReason::Stopped, 0, 0)?;
        }
        if self.options.discard_empty && self.written.frames == 0 {
            if let Some(file) = self.file.take() {
                file.drop_empty();
            }
            self.written.files = 0;
        } else {
            self.close_file()?;
        }
        Ok((self.written(), self.finished.iter().map(|(path, _)| path.clone()).collect()))
    }
}

/// None if all streams are recorded.
fn choice(names: &[String], session_id: u64, directory: &[u8]) -> Option<Choice> {
    let mut choice = (!names.is_empty()).then(Choice::default)?;
    choice.look_up(names, session_id, directory);
    Some(choice)
}

impl Drop for RecordWriter {
    fn drop(&mut self) {
        // One that failed before its first frame.
        if let Some(file) = self.file.take().filter(|_| self.options.discard_empty && self.written.frames == 0) {
            file.drop_empty();
        }
    }
}
