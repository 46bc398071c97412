//! A recording: what is in its files, and the frames of its chunks.

use super::chunk::{ChunkRef, OP_LEN, le16, le64, record_at, unpack};
use super::order;
use super::problem::Problem;
use crate::format::{
    CARRIES, Counts, EndReason, FRAMES, FrameHead, Identity, LIFECYCLE, Payload, RecordedControl, RegionEvent, Segment,
    carried_frame, decode_lifecycle, parse_directory,
};
use crate::writer::Inputs;
use mcap::records::{Record, op};
use shmx::Directory;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A piece of a recording, in its place.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Chunk(ChunkRef),
    Event(RegionEvent),
}

/// A segment as a recording has it.
#[derive(Clone, Debug)]
pub struct SegmentSummary {
    /// What it is.
    pub segment: Segment,
    /// The stream directory at its end.
    pub directory: Directory,
    /// Counts and reason, where the end was recorded.
    pub end: Option<(EndReason, Counts)>,
}

/// One recorded frame.
#[derive(Clone, Debug)]
pub struct RecordedFrame {
    /// Wall clock of publishing as recorded, nanoseconds since 1970.
    pub time: u64,
    /// Region, as an index of [`Recording::regions`].
    pub region: usize,
    /// Its head.
    pub head: FrameHead,
    /// When it was recorded, as in `time`.
    pub(crate) log: u64,
    /// The chunk, or the payload alone where it had to be put together.
    bytes: Arc<Vec<u8>>,
    payload: Range<usize>,
}

impl RecordedFrame {
    /// The payload, byte for byte.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or(&[])
    }
}

/// What a chunk holds: frames, events with their log times, and what is wrong with the rest.
pub(super) type Unpacked = (Vec<RecordedFrame>, Vec<(u64, RegionEvent)>, Option<String>);

/// An opened recording of one or more files. Those of one rotating recording are read by their numbers, others in the
/// order given.
#[derive(Debug)]
pub struct Recording {
    pub(super) files: Vec<RecordedFile>,
    pub(super) entries: Vec<Entry>,
    pub(super) regions: Vec<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) bytes: u64,
    /// First and last time of a frame, where log times do not say it.
    pub(super) span: Option<(u64, u64)>,
}

/// One file of a recording.
#[derive(Debug)]
pub(super) struct RecordedFile {
    pub(super) path: PathBuf,
    /// Which recording it is of, and where in it.
    pub(super) identity: Option<Identity>,
    /// What its times are later by than it says, nanoseconds.
    pub(super) shift: i64,
    pub(super) reader: BufReader<File>,
    /// Regions by the channels of their whole frames.
    pub(super) channels: HashMap<u16, usize>,
    /// The same by the channels of streams whose messages carry the rest of their frame.
    pub(super) carriers: HashMap<u16, usize>,
    /// Channels of lifecycles, and all that are known.
    pub(super) lifecycles: HashSet<u16>,
    pub(super) known: HashSet<u16>,
    /// Segments, by region and number, whose frames have no checksum. Version 1 writes a 0 in its place.
    pub(super) without_checksums: HashSet<(usize, u32)>,
}

impl Recording {
    /// The regions recorded.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Which of these files [`Recording::open`] would leave out, as they are left over from another recording.
    #[must_use]
    pub fn left_over<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
        order::in_order(paths.iter().map(AsRef::as_ref)).1
    }

    /// What could not be read, as far as it is known by now.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Who may read every file of it, as permission bits; none where there are none.
    #[cfg(unix)]
    pub(crate) fn mode(&self) -> Option<u32> {
        use std::os::unix::fs::PermissionsExt;
        let modes = self.files.iter().map(|f| f.reader.get_ref().metadata().map_or(0o600, |m| m.permissions().mode()));
        modes.reduce(|a, b| a & b)
    }

    /// Permission bits are not for this platform.
    #[cfg(not(unix))]
    #[allow(clippy::unused_self)]
    pub(crate) fn mode(&self) -> Option<u32> {
        None
    }

    /// Bytes of the files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// First and last time in the recording, nanoseconds since 1970; `None` without frames.
    #[must_use]
    pub fn times(&self) -> Option<(u64, u64)> {
        if self.span.is_some() {
            return self.span;
        }
        self.log_times()
    }

    /// First and last log time in the recording.
    pub(crate) fn log_times(&self) -> Option<(u64, u64)> {
        let chunks = || self.entries.iter().filter_map(Entry::chunk);
        Some((chunks().map(|c| c.start).min()?, chunks().map(|c| c.end).max()?))
    }

    /// The first of its files.
    pub(crate) fn path(&self) -> PathBuf {
        self.files.first().map(|f| f.path.clone()).unwrap_or_default()
    }

    /// Tells which files it reads.
    pub(crate) fn note_files(&self, inputs: &mut Inputs) {
        self.files.iter().for_each(|f| inputs.add(f.reader.get_ref(), &f.path));
    }

    /// Every segment, in the order of their beginnings.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentSummary> {
        let mut found: Vec<(SegmentSummary, Vec<u8>)> = Vec::new();
        for event in self.entries.iter().filter_map(Entry::event) {
            let open = |found: &[(SegmentSummary, Vec<u8>)], region: &str, number: u32| {
                found.iter().rposition(|(s, _)| s.segment.region == region && s.segment.number == number)
            };
            match event {
                RegionEvent::Begin { segment, directory, .. } => match open(&found, &segment.region, segment.number) {
                    Some(i) if found[i].0.segment.session_id == segment.session_id => {
                        found[i].1.clone_from(directory);
                    }
                    _ => {
                        let directory_state = Directory::default();
                        let s = SegmentSummary { segment: segment.clone(), directory: directory_state, end: None };
                        found.push((s, directory.clone()));
                    }
                },
                RegionEvent::Directory { region, segment, at, bytes } => {
                    if let Some(i) = open(&found, region, *segment)
                        && found[i].1.len() == *at as usize
                    {
                        found[i].1.extend_from_slice(bytes);
                    }
                }
                RegionEvent::End { region, segment, reason, counts, .. } => {
                    if let Some(i) = open(&found, region, *segment) {
                        found[i].0.end = Some((*reason, *counts));
                    }
                }
                RegionEvent::Control { .. } => {}
            }
        }
        let finish = |(mut s, bytes): (SegmentSummary, Vec<u8>)| {
            s.directory = parse_directory(s.segment.session_id, &bytes);
            s
        };
        found.into_iter().map(finish).collect()
    }

    /// What readers have sent to the server of a region, in the order in which it was seen.
    #[must_use]
    pub fn control(&self, region: &str) -> Vec<RecordedControl> {
        let of = |e: &RegionEvent| match e {
            RegionEvent::Control { region: r, messages, .. } if r == region => Some(messages.clone()),
            _ => None,
        };
        let mut all: Vec<_> = self.entries.iter().filter_map(Entry::event).filter_map(of).flatten().collect();
        all.sort_by_key(|m| m.time);
        all
    }

    pub(super) fn region_index(&mut self, name: &str) -> usize {
        self.regions.iter().position(|r| r == name).unwrap_or_else(|| {
            self.regions.push(name.to_owned());
            self.regions.len() - 1
        })
    }

    /// Reads every chunk. Calls `progress` with the bytes looked at so far; it ends early when that returns false.
    /// Returns what was read, per region as in [`Recording::regions`].
    pub fn verify(&mut self, mut progress: impl FnMut(u64) -> bool) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.regions.len()];
        let mut done = 0;
        for i in 0..self.entries.len() {
            let Some(chunk) = self.entries[i].chunk() else { continue };
            done += chunk.len;
            for f in self.load(i) {
                if let Some(c) = counts.get_mut(f.region) {
                    c.frames += 1;
                    c.missed = c.missed.saturating_add(f.head.missed_before);
                }
            }
            if !progress(done) {
                break;
            }
        }
        counts
    }

    /// The frames of a chunk; what is damaged is noted and left out.
    pub(super) fn load(&mut self, entry: usize) -> Vec<RecordedFrame> {
        let Some(Entry::Chunk(chunk)) = self.entries.get(entry).cloned() else { return Vec::new() };
        let mut frames = Vec::new();
        for part in std::iter::once(&chunk).chain(&chunk.across) {
            match self.unpack(part) {
                Ok((found, _, bad)) => {
                    if let Some(what) = bad {
                        self.note(part, what);
                    }
                    frames.extend(found);
                }
                Err(what) => self.note(part, what),
            }
        }
        if let Some((from, to)) = chunk.window {
            frames.retain(|f: &RecordedFrame| (from..to).contains(&f.log));
            // Tools may write them in another order.
            frames.sort_by_key(|f| f.log);
        }
        merge(&mut frames);
        frames
    }

    pub(super) fn note(&mut self, chunk: &ChunkRef, what: String) {
        let path = self.files[chunk.file].path.clone();
        let problem = Problem::Damaged { path, at: chunk.at, len: chunk.len + OP_LEN, what };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The frames and events of a chunk, and what is wrong with the rest of it.
    pub(super) fn unpack(&mut self, chunk: &ChunkRef) -> Result<Unpacked, String> {
        let reader = &mut self.files[chunk.file].reader;
        let io_error = |e: io::Error| format!("cannot be read ({e})");
        reader.seek(SeekFrom::Start(chunk.at + OP_LEN)).map_err(io_error)?;
        let mut body = Vec::new();
        reader.take(chunk.len).read_to_end(&mut body).map_err(io_error)?;
        if (body.len() as u64) < chunk.len {
            return Err("the file has become shorter".into());
        }
        let bytes = unpack(body)?;
        Ok(self.frames(chunk.file, Arc::new(bytes)))
    }

    fn frames(&mut self, file: usize, bytes: Arc<Vec<u8>>) -> Unpacked {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        let mut at = 0_usize;
        let shift = self.files[file].shift;
        while at < bytes.len() {
            let Some((opcode, range)) = record_at(&bytes, at) else {
                return (frames, events, Some("half a record".into()));
            };
            at = range.end;
            let body = &bytes[range.clone()];
            match opcode {
                op::CHANNEL => self.learn_channel(file, body),
                op::MESSAGE => {
                    let (Some(channel), Some(log), Some(time)) = (le16(body, 0), le64(body, 6), le64(body, 14)) else {
                        return (frames, events, Some("a message without a head".into()));
                    };
                    let [log, time] = [log, time].map(|t| t.saturating_add_signed(shift));
                    if self.files[file].lifecycles.contains(&channel) {
                        let facts = body.get(22..).and_then(decode_lifecycle);
                        match facts.as_ref().map(RegionEvent::from_map) {
                            Some(Ok(mut event)) => {
                                event.shift(shift);
                                self.region_index(event.region());
                                events.push((log, event));
                            }
                            _ => return (frames, events, Some("a damaged event of a region".into())),
                        }
                        continue;
                    }
                    let message = body.get(22..).unwrap_or_default();
                    let whole = self.files[file].channels.get(&channel).copied();
                    let carrier = self.files[file].carriers.get(&channel).copied();
                    let Some(region) = whole.or(carrier) else { continue };
                    let decoded = match carrier {
                        None => FrameHead::decode(message).map(|(head, at)| (head, Payload::At(at))),
                        Some(_) => match carried_frame(message) {
                            Some(None) => continue,
                            Some(Some((head, payload))) => Some((head, Payload::Whole(payload))),
                            None => None,
                        },
                    };
                    let Some((mut head, payload)) = decoded else {
                        return (frames, events, Some("a damaged frame".into()));
                    };
                    if self.files[file].without_checksums.contains(&(region, head.segment)) {
                        head.checksum = None;
                    }
                    let from = range.start + 22;
                    let (bytes, payload) = match payload {
                        Payload::At(at) => (bytes.clone(), from + at.start..from + at.end),
                        Payload::Whole(payload) => {
                            let all = 0..payload.len();
                            (Arc::new(payload), all)
                        }
                    };
                    frames.push(RecordedFrame { time, region, head, log, bytes, payload });
                }
                _ => {}
            }
        }
        (frames, events, None)
    }

    pub(super) fn learn_channel(&mut self, file: usize, body: &[u8]) {
        let Ok(Record::Channel(c)) = mcap::read::parse_record(op::CHANNEL, body) else { return };
        self.files[file].known.insert(c.id);
        let Some(name) = c.metadata.get("region") else { return };
        match c.topic.strip_prefix('/').and_then(|t| t.strip_prefix(name.as_str())) {
            Some("") => {
                let region = self.region_index(name);
                self.files[file].channels.insert(c.id, region);
            }
            Some(rest) if rest.strip_prefix('/') == Some(LIFECYCLE) => {
                self.files[file].lifecycles.insert(c.id);
            }
            Some(_) if c.metadata.get(CARRIES).is_some_and(|what| what == FRAMES) => {
                let region = self.region_index(name);
                self.files[file].carriers.insert(c.id, region);
            }
            _ => {}
        }
    }
}

/// Puts frames of several regions into the order of their publishing: a recorder takes some of one region before it
/// comes to the next. Those of one region keep their order.
fn merge(frames: &mut Vec<RecordedFrame>) {
    let mut newest: HashMap<usize, u64> = HashMap::new();
    let mut timed: Vec<(u64, RecordedFrame)> = frames
        .drain(..)
        .map(|frame| {
            let newest = newest.entry(frame.region).or_default();
            *newest = frame.time.max(*newest);
            (*newest, frame)
        })
        .collect();
    timed.sort_by_key(|t| t.0);
    frames.extend(timed.into_iter().map(|t| t.1));
}

impl Entry {
    pub(super) const fn chunk(&self) -> Option<&ChunkRef> {
        match self {
            Self::Chunk(c) => Some(c),
            Self::Event(_) => None,
        }
    }

    pub(super) const fn event(&self) -> Option<&RegionEvent> {
        match self {
            Self::Event(e) => Some(e),
            Self::Chunk(_) => None,
        }
    }
}
