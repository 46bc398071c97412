//! Reads recordings, whole or damaged: a scan over the records of the files, and a cursor over events and frames.

use crate::error::OpenRecordingError;
use crate::format::{Counts, EndReason, FrameHead, RECORDING, REGION, RegionEvent, Segment, VERSION, parse_directory};
use mcap::records::{Record, op};
use shmx::StaticState;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest record outside of chunks that is looked into.
const RECORD_LIMIT: u64 = 256 << 20;
/// Longest chunk that is unpacked: a frame has less than 4 GiB, and may be there twice.
const CHUNK_LIMIT: u64 = 16 << 30;
const OP_LEN: u64 = 9;

/// Something in a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no end: its recorder was killed or could not write on, or it was cut.
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Where reading ended.
        at: u64,
        /// Bytes from there that are not a whole record.
        left: u64,
    },
    /// From here on the file makes no sense.
    Lost {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// Bytes from there to the end.
        left: u64,
        /// What was found.
        what: String,
    },
    /// A record or a chunk is damaged; reading went on behind it.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        at: u64,
        /// Its bytes.
        len: u64,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { path, at, left } => {
                write!(f, "{}: not finished; readable up to byte {at}", path.display())?;
                if *left > 0 { write!(f, ", {left} bytes behind it are half a record") } else { Ok(()) }
            }
            Self::Lost { path, at, left, what } => {
                write!(f, "{}: {what} at byte {at}; the {left} bytes from there cannot be read", path.display())
            }
            Self::Damaged { path, at, len, what } => {
                write!(f, "{}: {what} in the {len} bytes from byte {at}; left out", path.display())
            }
        }
    }
}

#[derive(Clone, Debug)]
struct ChunkRef {
    file: usize,
    /// Where the chunk's record begins.
    at: u64,
    /// Bytes of its body.
    len: u64,
    start: u64,
    end: u64,
}

#[derive(Clone, Debug)]
enum Entry {
    Chunk(ChunkRef),
    Event(RegionEvent),
}

/// A segment as a recording has it.
#[derive(Clone, Debug)]
pub struct SegmentSummary {
    /// What it is.
    pub segment: Segment,
    /// The stream directory at its end.
    pub directory: StaticState,
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
    chunk: Arc<Vec<u8>>,
    payload: Range<usize>,
}

impl RecordedFrame {
    /// The payload, byte for byte.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.chunk.get(self.payload.clone()).unwrap_or(&[])
    }
}

/// An opened recording of one or more files, read in the order given.
#[derive(Debug)]
pub struct Recording {
    files: Vec<(PathBuf, BufReader<File>)>,
    entries: Vec<Entry>,
    regions: Vec<String>,
    channels: Vec<HashMap<u16, usize>>,
    problems: Vec<Problem>,
    bytes: u64,
}

impl Recording {
    /// Opens files and finds what is in them. Damage is no error but listed, see [`Recording::problems`].
    ///
    /// Chunks are not read yet: their damage shows when they are, or in [`Recording::verify`].
    ///
    /// # Errors
    ///
    /// [`OpenRecordingError`] if there is nothing of a recording at all.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, OpenRecordingError> {
        let mut rec = Self {
            files: Vec::new(),
            entries: Vec::new(),
            regions: Vec::new(),
            channels: Vec::new(),
            problems: Vec::new(),
            bytes: 0,
        };
        if paths.is_empty() {
            return Err(OpenRecordingError::NoFiles);
        }
        for path in paths {
            rec.scan(path.as_ref())?;
        }
        Ok(rec)
    }

    /// The regions recorded.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// What could not be read, as far as it is known by now.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Bytes of the files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// First and last time in the recording, nanoseconds since 1970; `None` without frames.
    #[must_use]
    pub fn times(&self) -> Option<(u64, u64)> {
        let chunks = || self.entries.iter().filter_map(Entry::chunk);
        Some((chunks().map(|c| c.start).min()?, chunks().map(|c| c.end).max()?))
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
                        let directory_state = StaticState::default();
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
            }
        }
        let finish = |(mut s, bytes): (SegmentSummary, Vec<u8>)| {
            s.directory = parse_directory(s.segment.session_id, &bytes);
            s
        };
        found.into_iter().map(finish).collect()
    }

    fn region_index(&mut self, name: &str) -> usize {
        self.regions.iter().position(|r| r == name).unwrap_or_else(|| {
            self.regions.push(name.to_owned());
            self.regions.len() - 1
        })
    }

    fn scan(&mut self, path: &Path) -> Result<(), OpenRecordingError> {
        let fail = |source| OpenRecordingError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if !meta.is_file() {
            return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        }
        let len = meta.len();
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut magic = [0; 8];
        if read_full(&mut reader, &mut magic).map_err(fail)? < 8 || magic != *mcap::MAGIC {
            return Err(OpenRecordingError::NotMcap { path: path.to_owned() });
        }
        let index = self.files.len();
        self.files.push((path.to_owned(), reader));
        self.channels.push(HashMap::new());
        self.bytes += len;
        let mut scan = Scan {
            path,
            len,
            file: index,
            profile: String::new(),
            known: false,
            index: Vec::new(),
            metadata: Vec::new(),
        };
        let end = scan.records(self).map_err(fail)?;
        scan.compare(self);
        if let Some(version) = end.version.filter(|v| v != VERSION) {
            return Err(OpenRecordingError::Version { path: path.to_owned(), found: version });
        }
        if !scan.known {
            return Err(OpenRecordingError::Foreign { path: path.to_owned(), profile: scan.profile });
        }
        Ok(())
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
    fn load(&mut self, entry: usize) -> Vec<RecordedFrame> {
        let Some(Entry::Chunk(chunk)) = self.entries.get(entry).cloned() else { return Vec::new() };
        match self.unpack(&chunk) {
            Ok((frames, bad)) => {
                if let Some(what) = bad {
                    self.note(&chunk, what);
                }
                frames
            }
            Err(what) => {
                self.note(&chunk, what);
                Vec::new()
            }
        }
    }

    fn note(&mut self, chunk: &ChunkRef, what: String) {
        let path = self.files[chunk.file].0.clone();
        let problem = Problem::Damaged { path, at: chunk.at, len: chunk.len + OP_LEN, what };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The frames of a chunk, and what is wrong with the rest of it.
    fn unpack(&mut self, chunk: &ChunkRef) -> Result<(Vec<RecordedFrame>, Option<String>), String> {
        let reader = &mut self.files[chunk.file].1;
        let io_error = |e: io::Error| format!("cannot be read ({e})");
        reader.seek(SeekFrom::Start(chunk.at + OP_LEN)).map_err(io_error)?;
        let mut body = Vec::new();
        reader.take(chunk.len).read_to_end(&mut body).map_err(io_error)?;
        if (body.len() as u64) < chunk.len {
            return Err("the file has become shorter".into());
        }
        let head = ChunkHead::parse(&body).ok_or("a chunk without a head")?;
        let data = body.split_off(head.data.start);
        let compressed = data.get(..head.data.len()).ok_or("a chunk shorter than its head says")?;
        let bytes = match head.compression.as_str() {
            "" => {
                let mut data = data;
                data.truncate(head.data.len());
                data
            }
            #[cfg(feature = "zstd")]
            "zstd" => {
                let decoder = zstd::stream::read::Decoder::new(compressed);
                let decoder = decoder.map_err(|e| format!("a chunk that zstd refuses ({e})"))?;
                decompress(decoder, head.uncompressed)?
            }
            #[cfg(feature = "lz4")]
            "lz4" => {
                let decoder = lz4::Decoder::new(compressed);
                let decoder = decoder.map_err(|e| format!("a chunk that lz4 refuses ({e})"))?;
                decompress(decoder, head.uncompressed)?
            }
            other => return Err(format!("a chunk of unknown compression `{}`", other.escape_debug())),
        };
        if bytes.len() as u64 != head.uncompressed {
            return Err("a chunk of another length than its head says".into());
        }
        if head.crc != 0 && crc32fast::hash(&bytes) != head.crc {
            return Err("a chunk with a wrong checksum".into());
        }
        Ok(self.frames(chunk.file, Arc::new(bytes)))
    }

    fn frames(&mut self, file: usize, bytes: Arc<Vec<u8>>) -> (Vec<RecordedFrame>, Option<String>) {
        let mut frames = Vec::new();
        let mut at = 0_usize;
        while at < bytes.len() {
            let Some((opcode, range)) = record_at(&bytes, at) else {
                return (frames, Some("half a record".into()));
            };
            at = range.end;
            let body = &bytes[range.clone()];
            match opcode {
                op::CHANNEL => self.learn_channel(file, body),
                op::MESSAGE => {
                    let (Some(channel), Some(time)) = (le16(body, 0), le64(body, 6)) else {
                        return (frames, Some("a message without a head".into()));
                    };
                    let Some(&region) = self.channels[file].get(&channel) else { continue };
                    let Some((head, payload)) = body.get(22..).and_then(FrameHead::decode) else {
                        return (frames, Some("a damaged frame".into()));
                    };
                    let from = range.start + 22;
                    let payload = from + payload.start..from + payload.end;
                    frames.push(RecordedFrame { time, region, head, chunk: bytes.clone(), payload });
                }
                _ => {}
            }
        }
        (frames, None)
    }

    fn learn_channel(&mut self, file: usize, body: &[u8]) {
        if let Ok(Record::Channel(c)) = mcap::read::parse_record(op::CHANNEL, body)
            && let Some(name) = c.metadata.get("region")
            && c.topic.strip_prefix('/') == Some(name)
        {
            let region = self.region_index(name);
            self.channels[file].insert(c.id, region);
        }
    }
}

impl Entry {
    const fn chunk(&self) -> Option<&ChunkRef> {
        match self {
            Self::Chunk(c) => Some(c),
            Self::Event(_) => None,
        }
    }

    const fn event(&self) -> Option<&RegionEvent> {
        match self {
            Self::Event(e) => Some(e),
            Self::Chunk(_) => None,
        }
    }
}

fn le16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

fn le32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

fn le64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// Opcode and body of the record at `at`; `None` if it does not fit.
fn record_at(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let opcode = *bytes.get(at)?;
    let len = usize::try_from(le64(bytes, at + 1)?).ok()?;
    let start = at + OP_LEN as usize;
    let end = start.checked_add(len).filter(|&e| e <= bytes.len())?;
    Some((opcode, start..end))
}

#[cfg(any(feature = "zstd", feature = "lz4"))]
fn decompress(decoder: impl Read, len: u64) -> Result<Vec<u8>, String> {
    // Grows with what comes, so that a wrong length costs no memory.
    let mut bytes = Vec::with_capacity(usize::try_from(len.min(64 << 20)).unwrap_or(0));
    let read = decoder.take(len.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| format!("a chunk that cannot be unpacked ({e})"))?;
    Ok(bytes)
}

/// The head of a chunk: times, length, checksum, and where its data lies.
struct ChunkHead {
    start: u64,
    end: u64,
    uncompressed: u64,
    crc: u32,
    compression: String,
    data: Range<usize>,
}

impl ChunkHead {
    /// Longest head that is believed.
    const LONGEST: usize = 40 + 64;

    fn parse(body: &[u8]) -> Option<Self> {
        let name_len = le32(body, 28)? as usize;
        if name_len > 64 {
            return None;
        }
        let name = body.get(32..32 + name_len)?;
        let data = 40 + name_len;
        let compressed = usize::try_from(le64(body, 32 + name_len)?).ok()?;
        let uncompressed = le64(body, 16)?;
        if uncompressed > CHUNK_LIMIT {
            return None;
        }
        Some(Self {
            start: le64(body, 0)?,
            end: le64(body, 8)?,
            uncompressed,
            crc: le32(body, 24)?,
            compression: String::from_utf8_lossy(name).into_owned(),
            data: data..data.checked_add(compressed)?,
        })
    }
}

fn read_full(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match reader.read(&mut buf[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// A record that the summary lists: place, bytes, and times if it is a chunk.
type Indexed = (u64, u64, Option<(u64, u64)>);

/// The walk over the records of one file.
struct Scan<'a> {
    path: &'a Path,
    len: u64,
    file: usize,
    profile: String,
    /// Whether a record of ours was found.
    known: bool,
    /// What the summary says: where chunks and metadata are, and the times of chunks.
    index: Vec<Indexed>,
    /// Where metadata was found.
    metadata: Vec<u64>,
}

#[derive(Default)]
struct ScanEnd {
    version: Option<String>,
}

impl Scan<'_> {
    fn records(&mut self, rec: &mut Recording) -> io::Result<ScanEnd> {
        let mut end = ScanEnd::default();
        let mut at = 8_u64;
        let path = || self.path.to_owned();
        loop {
            let left = self.len - at;
            let mut head = [0; OP_LEN as usize];
            let reader = &mut rec.files[self.file].1;
            // Relative, so that the buffer is kept where the next record is in it.
            let position = reader.stream_position()?;
            reader.seek_relative(at.cast_signed() - position.cast_signed())?;
            let have = read_full(reader, &mut head)?;
            let opcode = head[0];
            let len = u64::from_le_bytes(*head[1..].first_chunk().unwrap_or(&[0; 8]));
            if have == 0 || have < head.len() || (opcode != 0 && len > left - OP_LEN && opcode < 0x10) {
                rec.problems.push(Problem::Unfinished { path: path(), at, left });
                return Ok(end);
            }
            if opcode == 0 || len > left - OP_LEN {
                let what = format!("no record (opcode {opcode}, length {len})");
                rec.problems.push(Problem::Lost { path: path(), at, left, what });
                return Ok(end);
            }
            if opcode == op::CHUNK {
                let mut head = vec![0; ChunkHead::LONGEST.min(len as usize)];
                read_full(reader, &mut head)?;
                match ChunkHead::parse(&head) {
                    Some(h) => {
                        let chunk = ChunkRef { file: self.file, at, len, start: h.start, end: h.end.max(h.start) };
                        // A chunk without messages carries channels only.
                        if h.start == 0 && h.end == 0 {
                            let _ = rec.unpack(&chunk);
                        } else {
                            rec.entries.push(Entry::Chunk(chunk));
                        }
                    }
                    None => self.damaged(rec, at, len, "a chunk without a head"),
                }
            } else if matches!(opcode, op::HEADER | op::METADATA | op::CHANNEL) {
                if len > RECORD_LIMIT {
                    self.damaged(rec, at, len, "a record of impossible length");
                } else {
                    let mut body = Vec::new();
                    reader.take(len).read_to_end(&mut body)?;
                    self.record(rec, opcode, &body, at, &mut end);
                }
            } else if opcode == op::CHUNK_INDEX || opcode == op::METADATA_INDEX {
                let mut body = [0; 32];
                let have = read_full(&mut reader.take(len.min(32)), &mut body)?;
                let word = |i: usize| le64(&body, 8 * i).unwrap_or(0);
                match opcode {
                    op::CHUNK_INDEX if have == 32 => self.index.push((word(2), word(3), Some((word(0), word(1))))),
                    op::METADATA_INDEX if have >= 16 => self.index.push((word(0), word(1), None)),
                    _ => {}
                }
            } else if opcode == op::FOOTER {
                let tail = at + OP_LEN + len;
                let mut magic = [0; 8];
                reader.seek_relative(len.cast_signed())?;
                let have = read_full(reader, &mut magic)?;
                if have < 8 || magic != *mcap::MAGIC {
                    rec.problems.push(Problem::Unfinished { path: path(), at: tail, left: self.len - tail });
                } else if tail + 8 < self.len {
                    let left = self.len - tail - 8;
                    let what = "something behind the end of the recording".to_owned();
                    rec.problems.push(Problem::Lost { path: path(), at: tail + 8, left, what });
                }
                return Ok(end);
            }
            at += OP_LEN + len;
        }
    }

    /// What the summary lists and the walk did not find was damaged so that it looked like something else.
    fn compare(&self, rec: &mut Recording) {
        let mut found: HashMap<u64, usize> = HashMap::new();
        for (i, e) in rec.entries.iter().enumerate() {
            if let Some(c) = e.chunk().filter(|c| c.file == self.file) {
                found.insert(c.at, i);
            }
        }
        let mut lost = Vec::new();
        for &(at, len, times) in &self.index {
            let chunk = found.get(&at).and_then(|&i| rec.entries.get_mut(i));
            match (times, chunk) {
                // Chunks without messages are no entries.
                (Some((0, 0)), _) => {}
                (Some((start, end)), Some(Entry::Chunk(c))) => {
                    if (c.start, c.end) != (start, end) {
                        (c.start, c.end) = (start, end.max(start));
                        lost.push((at, 16, "other times than the index has"));
                    }
                }
                (Some(_), _) => lost.push((at, len.saturating_sub(OP_LEN), "no chunk where the index has one")),
                (None, _) if !self.metadata.contains(&at) => {
                    lost.push((at, len.saturating_sub(OP_LEN), "no metadata where the index has some"));
                }
                (None, _) => {}
            }
        }
        for (at, len, what) in lost {
            if !rec.problems.iter().any(|p| matches!(p, Problem::Damaged { at: known, .. } if *known == at)) {
                self.damaged(rec, at, len, what);
            }
        }
    }

    fn damaged(&self, rec: &mut Recording, at: u64, len: u64, what: &str) {
        let what = what.to_owned();
        rec.problems.push(Problem::Damaged { path: self.path.to_owned(), at, len: len + OP_LEN, what });
    }

    fn record(&mut self, rec: &mut Recording, opcode: u8, body: &[u8], at: u64, end: &mut ScanEnd) {
        if opcode == op::METADATA {
            self.metadata.push(at);
        }
        match mcap::read::parse_record(opcode, body) {
            Ok(Record::Header(h)) => self.profile = h.profile,
            Ok(Record::Channel(_)) => rec.learn_channel(self.file, body),
            Ok(Record::Metadata(m)) if m.name == RECORDING => {
                end.version = Some(m.metadata.get("version").cloned().unwrap_or_default());
            }
            Ok(Record::Metadata(m)) if m.name == REGION => match RegionEvent::from_map(&m.metadata) {
                Ok(event) => {
                    self.known = true;
                    let region = rec.region_index(event.region());
                    if let RegionEvent::Begin { channel, .. } = &event {
                        rec.channels[self.file].insert(*channel, region);
                    }
                    rec.entries.push(Entry::Event(event));
                }
                Err(key) => self.damaged(rec, at, body.len() as u64, &format!("a wrong `{key}` of a region")),
            },
            Ok(_) => {}
            Err(e) => self.damaged(rec, at, body.len() as u64, &format!("a damaged record ({e})")),
        }
    }
}

/// A region as it stands at some place of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionState {
    /// Its segment.
    pub segment: Segment,
    /// Its directory, byte for byte.
    pub directory: Vec<u8>,
}

/// What comes next in a recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A region changed.
    Event(RegionEvent),
    /// A frame.
    Frame(RecordedFrame),
}

/// Where a frame is in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    entry: usize,
    nth: usize,
}

/// Moves over a recording, forwards and backwards. Keeps one chunk in memory.
#[derive(Debug)]
pub struct Cursor {
    rec: Recording,
    entry: usize,
    /// The chunk in memory and its frames.
    loaded: Option<(usize, Vec<RecordedFrame>)>,
    next: usize,
}

impl Cursor {
    /// A cursor at the beginning.
    #[must_use]
    pub const fn new(rec: Recording) -> Self {
        Self { rec, entry: 0, loaded: None, next: 0 }
    }

    /// The recording under the cursor.
    #[must_use]
    pub const fn recording(&self) -> &Recording {
        &self.rec
    }

    fn load(&mut self, entry: usize) -> &[RecordedFrame] {
        if self.loaded.as_ref().is_none_or(|(e, _)| *e != entry) {
            self.loaded = None; // one chunk at a time
            self.loaded = Some((entry, self.rec.load(entry)));
        }
        self.loaded.as_ref().map_or(&[], |(_, frames)| frames)
    }

    /// Where the frame is that [`Cursor::next_item`] has just returned.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place { entry: self.entry, nth: self.next.saturating_sub(1) }
    }

    /// The frame at a place. The cursor stays where it is.
    pub fn frame_at(&mut self, place: Place) -> Option<RecordedFrame> {
        self.rec.entries.get(place.entry)?.chunk()?;
        self.load(place.entry).get(place.nth).cloned()
    }

    /// The next event or frame; `None` at the end.
    pub fn next_item(&mut self) -> Option<Item> {
        loop {
            match self.rec.entries.get(self.entry)? {
                Entry::Event(e) => {
                    let item = Item::Event(e.clone());
                    (self.entry, self.next) = (self.entry + 1, 0);
                    return Some(item);
                }
                Entry::Chunk(_) => {
                    let (entry, next) = (self.entry, self.next);
                    if let Some(frame) = self.load(entry).get(next) {
                        let item = Item::Frame(frame.clone());
                        self.next += 1;
                        return Some(item);
                    }
                    (self.entry, self.next) = (self.entry + 1, 0);
                }
            }
        }
    }

    /// Moves to the first frame in file order that is at `time` (nanoseconds since 1970) or later; to the end if
    /// there is none. Returns the regions as they stand there.
    pub fn seek(&mut self, time: u64) -> Vec<RegionState> {
        for entry in 0..self.rec.entries.len() {
            if self.rec.entries[entry].chunk().is_none_or(|c| c.end < time) {
                continue;
            }
            if let Some(i) = self.load(entry).iter().position(|f| f.time >= time) {
                (self.entry, self.next) = (entry, i);
                return self.state();
            }
        }
        (self.entry, self.next) = (self.rec.entries.len(), 0);
        self.state()
    }

    /// Moves back so that the next frame is the `count`-th before the present place, or the first of all. Returns the
    /// regions as they stand there.
    pub fn back(&mut self, count: usize) -> Vec<RegionState> {
        let mut left = count;
        loop {
            let step = left.min(self.next);
            self.next -= step;
            left -= step;
            if left == 0 {
                break;
            }
            let Some(entry) = (0..self.entry).rev().find(|&e| self.rec.entries[e].chunk().is_some()) else {
                self.next = 0;
                break;
            };
            self.entry = entry;
            self.next = self.load(entry).len();
        }
        self.state()
    }

    /// The frame at the present place; `None` where an event or the end comes first.
    pub fn peek(&mut self) -> Option<&RecordedFrame> {
        let (entry, next) = (self.entry, self.next);
        self.rec.entries.get(entry)?.chunk()?;
        self.load(entry).get(next)
    }

    /// The regions as they stand at the present place.
    #[must_use]
    pub fn state(&self) -> Vec<RegionState> {
        let mut state: Vec<RegionState> = Vec::new();
        for event in self.rec.entries.iter().take(self.entry).filter_map(Entry::event) {
            apply(&mut state, event);
        }
        state
    }
}

/// Carries regions on over an event. A region whose recorder was stopped stands as it stood.
pub(crate) fn apply(state: &mut Vec<RegionState>, event: &RegionEvent) {
    match event {
        RegionEvent::Begin { segment, directory, .. } => {
            state.retain(|s| s.segment.region != segment.region);
            state.push(RegionState { segment: segment.clone(), directory: directory.clone() });
        }
        RegionEvent::Directory { region, segment, at, bytes } => {
            let found = state.iter_mut().find(|s| s.segment.region == *region && s.segment.number == *segment);
            if let Some(s) = found.filter(|s| s.directory.len() == *at as usize) {
                s.directory.extend_from_slice(bytes);
            }
        }
        RegionEvent::End { reason: EndReason::Stopped, .. } => {}
        RegionEvent::End { region, .. } => state.retain(|s| s.segment.region != *region),
    }
}
