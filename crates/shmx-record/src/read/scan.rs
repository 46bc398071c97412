//! Opens recordings: a walk over the records of each file.

use super::chunk::{ChunkHead, ChunkRef, OP_LEN, le64, read_full};
use super::order;
use super::problem::Problem;
use super::recording::{Entry, RecordedFile, Recording};
use crate::error::OpenRecordingError;
use crate::format::{Identity, READ, RECORDING, REGION, RegionEvent};
use mcap::records::{Record, op};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// Longest record outside of chunks that is looked into.
const RECORD_LIMIT: u64 = 256 << 20;

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
            problems: Vec::new(),
            bytes: 0,
            span: None,
        };
        if paths.is_empty() {
            return Err(OpenRecordingError::NoFiles);
        }
        let (files, others) = order::in_order(paths.iter().map(AsRef::as_ref));
        rec.problems.extend(others.into_iter().map(|path| Problem::OtherRecording { path }));
        for path in files {
            rec.scan(&path)?;
        }
        rec.span = rec.find_span();
        Ok(rec)
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
        self.files.push(RecordedFile {
            path: path.to_owned(),
            identity: None,
            shift: 0,
            reader,
            channels: HashMap::new(),
            carriers: HashMap::new(),
            lifecycles: HashSet::new(),
            known: HashSet::new(),
            without_checksums: HashSet::new(),
        });
        let first = self.entries.len();
        self.bytes += len;
        let mut scan = Scan {
            path,
            len,
            file: index,
            profile: String::new(),
            known: false,
            index: Vec::new(),
            metadata: Vec::new(),
            messages: HashMap::new(),
        };
        let end = scan.records(self).map_err(fail)?;
        scan.compare(self);
        scan.known |= self.place_events(first, &scan.messages);
        if let Some(version) = end.version.filter(|v| !READ.contains(&v.as_str())) {
            return Err(OpenRecordingError::Version { path: path.to_owned(), found: version });
        }
        if !scan.known {
            return Err(OpenRecordingError::Foreign { path: path.to_owned(), profile: scan.profile });
        }
        self.carry_on(index, first);
        Ok(())
    }
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
    /// Channels that have messages in a chunk, by where the chunk is, as the records behind it say.
    messages: HashMap<u64, Vec<u16>>,
}

#[derive(Default)]
struct ScanEnd {
    version: Option<String>,
}

impl Scan<'_> {
    fn records(&mut self, rec: &mut Recording) -> io::Result<ScanEnd> {
        let mut end = ScanEnd::default();
        let mut at = 8_u64;
        let mut last_chunk = 0;
        let path = || self.path.to_owned();
        loop {
            let left = self.len - at;
            let mut head = [0; OP_LEN as usize];
            let reader = &mut rec.files[self.file].reader;
            // Relative, so that the buffer is kept where the next record is in it.
            let position = reader.stream_position()?;
            reader.seek_relative(at.cast_signed() - position.cast_signed())?;
            let have = read_full(reader, &mut head)?;
            let opcode = head[0];
            let len = u64::from_le_bytes(*head[1..].first_chunk().unwrap_or(&[0; 8]));
            // A recorder may still be writing: what came after the length was asked for does not count.
            if left < OP_LEN || have < head.len() || (opcode != 0 && len > left - OP_LEN && opcode < 0x10) {
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
                        let end = h.end.max(h.start);
                        let chunk = ChunkRef {
                            file: self.file,
                            at,
                            len,
                            start: h.start,
                            end,
                            window: None,
                            across: Vec::new(),
                        };
                        last_chunk = at;
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
            } else if opcode == op::MESSAGE_INDEX {
                let mut body = [0; 6];
                let have = read_full(&mut reader.take(len.min(6)), &mut body)?;
                // One without messages says nothing.
                if have == 6 && body[2..] != [0; 4] {
                    let channel = u16::from_le_bytes([body[0], body[1]]);
                    self.messages.entry(last_chunk).or_default().push(channel);
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
                rec.files[self.file].identity = Identity::of(&m.metadata);
                end.version = Some(m.metadata.get("version").cloned().unwrap_or_default());
            }
            Ok(Record::Metadata(m)) if m.name == REGION => match RegionEvent::from_map(&m.metadata) {
                Ok(event) => {
                    self.known = true;
                    let region = rec.region_index(event.region());
                    if let RegionEvent::Begin { segment, .. } = &event {
                        let file = &mut rec.files[self.file];
                        if let Some(channel) = m.metadata.get("channel").and_then(|c| c.parse().ok()) {
                            file.channels.insert(channel, region);
                        }
                        if !segment.has_checksums() {
                            file.without_checksums.insert((region, segment.number));
                        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose recorder writes on while it is read: once the walk ran past the length that it began with.
    #[test]
    fn what_is_written_behind_the_length_is_not_read() {
        let path = std::env::temp_dir().join(format!("shmx-scan-grows-{}.mcap", std::process::id()));
        // The magic, and a record that nobody knows.
        let mut bytes = mcap::MAGIC.to_vec();
        for _ in 0..3 {
            bytes.extend([0x80, 4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        }
        std::fs::write(&path, &bytes).unwrap();
        for len in 8..bytes.len() as u64 {
            let reader = BufReader::new(File::open(&path).unwrap());
            let (channels, without_checksums) = (HashMap::new(), HashSet::new());
            let (lifecycles, known) = (HashSet::new(), HashSet::new());
            let file = RecordedFile {
                path: path.clone(),
                identity: None,
                shift: 0,
                reader,
                channels,
                carriers: HashMap::new(),
                lifecycles,
                known,
                without_checksums,
            };
            let (entries, regions, problems) = (Vec::new(), Vec::new(), Vec::new());
            let mut rec = Recording { files: vec![file], entries, regions, problems, bytes: len, span: None };
            let (profile, index, metadata) = (String::new(), Vec::new(), Vec::new());
            let mut scan =
                Scan { path: &path, len, file: 0, profile, known: false, index, metadata, messages: HashMap::new() };
            scan.records(&mut rec).unwrap();
            let [Problem::Unfinished { at, left, .. } | Problem::Lost { at, left, .. }] = rec.problems.as_slice()
            else {
                panic!("{len}: {:?}", rec.problems)
            };
            assert_eq!((at + left, (at - 8) % 13), (len, 0), "{len}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
