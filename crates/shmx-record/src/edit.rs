//! Recordings made out of recordings: a part of one, several in one, what is readable of a damaged one, another
//! compression.

mod overlap;

use crate::error::RecordError;
use crate::format::{RegionEvent, Segment};
use crate::read::{Cursor, Item, Problem, Recording};
use crate::recorder::Selection;
use crate::writer::{Inputs, RecordWriter, RegionIndex, WriterOptions, Written};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is copied, and how it is written.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EditOptions {
    /// Where to begin, from the first frame of all.
    pub from: Duration,
    /// Where to end, from the first frame of all.
    pub to: Option<Duration>,
    /// Regions to copy, by name or pattern ([`Selection`]); all if empty.
    pub regions: Vec<String>,
    /// The files.
    pub writer: WriterOptions,
}

/// What was written, and what could not be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Edited {
    /// What was written.
    pub written: Written,
    /// The files it is in.
    pub files: Vec<PathBuf>,
    /// Frames that are not in it, since the recording has no beginning of their segment: it is damaged.
    pub left_out: u64,
    /// What could not be read, and is not in it.
    pub problems: Vec<Problem>,
}

/// One of the recordings.
struct Input {
    cursor: Cursor,
    next: Option<(u64, Item)>,
    time: u64,
}

impl Input {
    /// Goes on to the next item; an event without a time has that of what came before.
    fn go_on(&mut self) {
        self.next = self.cursor.next_item().map(|item| {
            let time = match &item {
                Item::Frame(f) => f.log.max(f.time),
                // What has no time has that of what came before.
                Item::Event(e) => e.time().unwrap_or(self.time),
            };
            self.time = self.time.max(time);
            (self.time, item)
        });
    }
}

/// Writes a recording with what the given ones hold, in the order in which it was recorded: frames byte for byte and
/// with their times, and what became of their regions. Calls `progress` with the frames copied so far; it ends early,
/// with what is copied by then, when that returns false.
///
/// Give each file as a recording of its own. Lives of a region that several of them have become segments one after the
/// other, and must not overlap in time; the files of a rotating recording become one.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx_record::{EditOptions, Recording, edit};
/// use std::time::Duration;
/// # let (all, part) = (std::path::Path::new("all.mcap"), std::path::Path::new("part.mcap"));
/// let mut options = EditOptions::default();
/// options.to = Some(Duration::from_secs(60));
/// let edited = edit(vec![Recording::open(&[all])?], part, &options, |_| true)?;
/// println!("{} frames of the first minute", edited.written.frames);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`RecordError`]: a region that is in none of them, or in two of them at the same time, or a file that cannot be
/// written, or is one of those that are read.
pub fn edit(
    recordings: Vec<Recording>,
    path: &Path,
    options: &EditOptions,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Edited, RecordError> {
    let mut all: Vec<String> = recordings.iter().flat_map(Recording::regions).cloned().collect();
    all.sort_unstable();
    all.dedup();
    let chosen: HashSet<&str> = match Selection::choose(&options.regions, &all) {
        Ok(chosen) => chosen.into_iter().collect(),
        Err(wanted) => {
            let has = all.join(", ");
            return Err(RecordError::Options(format!("no recording has the region `{wanted}`; they have: {has}")));
        }
    };
    let recordings = Recording::join(recordings);
    let first = recordings.iter().filter_map(|r| Some(r.times()?.0)).min().unwrap_or(0);
    let at = |d: Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    let window = (at(options.from), options.to.map_or(u64::MAX, at));
    let mode = recordings.iter().filter_map(Recording::mode).reduce(|a, b| a & b);
    let mut cursors: Vec<Cursor> = recordings.into_iter().map(Cursor::new).collect();
    overlap::check(&mut cursors, |region| chosen.contains(region), window, &mut progress)?;
    let mut inputs: Vec<Input> = cursors.into_iter().map(|cursor| Input { cursor, next: None, time: 0 }).collect();
    let mut read = Inputs::default();
    inputs.iter().for_each(|i| i.cursor.recording().note_files(&mut read));
    let writer = RecordWriter::create_beside(path, options.writer.clone(), read)?;
    let whole = options.from.is_zero() && options.to.is_none();
    let mut copy = Copy { writer, regions: HashMap::new(), chosen, window, whole, left_out: 0 };
    copy.writer.restrict(mode.unwrap_or(0o600))?;
    inputs.iter_mut().for_each(Input::go_on);
    let mut copied = 0;
    loop {
        let earliest = inputs.iter_mut().enumerate().filter(|i| i.1.next.is_some()).min_by_key(|i| i.1.time);
        let Some((number, input)) = earliest else { break };
        let Some((time, item)) = input.next.take() else { break };
        copied += u64::from(copy.item(time, item, number, input.cursor.recording())?);
        input.go_on();
        if !progress(copied) {
            break;
        }
    }
    let left_out = copy.left_out;
    let (written, files) = copy.writer.finish_files()?;
    let problems = inputs.iter().flat_map(|i| i.cursor.recording().problems()).cloned().collect();
    Ok(Edited { written, files, left_out, problems })
}

/// A segment of an input: the input, and its number there.
type Origin = (usize, u32);

/// Where a region is written.
struct Place {
    index: RegionIndex,
    /// Frames missed that its frames have told of in this segment.
    told: u64,
    /// What the open segment is made of: several where files of one recording go on with it.
    of: Vec<Origin>,
    /// One that begins behind the end. Frames that lay in its ring may still be wanted.
    late: Option<Late>,
}

struct Late {
    time: u64,
    of: Origin,
    segment: Segment,
    directory: Vec<u8>,
}

struct Copy<'a> {
    writer: RecordWriter,
    regions: HashMap<String, Place>,
    chosen: HashSet<&'a str>,
    window: (u64, u64),
    /// Nothing is cut off, so that the counts stay true.
    whole: bool,
    left_out: u64,
}

impl Copy<'_> {
    /// Copies one item of an input. Says whether it was a frame, and is copied.
    fn item(&mut self, time: u64, item: Item, input: usize, from: &Recording) -> Result<bool, RecordError> {
        let (window, whole, writer) = (self.window, self.whole, &mut self.writer);
        let region = match &item {
            Item::Frame(frame) => from.regions().get(frame.region).map_or("", String::as_str),
            Item::Event(event) => event.region(),
        };
        if !self.chosen.contains(region) {
            return Ok(false);
        }
        if !self.regions.contains_key(region) {
            let place = Place { index: writer.add_region(), told: 0, of: Vec::new(), late: None };
            self.regions.insert(region.to_owned(), place);
        }
        let Some(place) = self.regions.get_mut(region) else { return Ok(false) };
        match item {
            Item::Frame(frame) => {
                place.told = place.told.saturating_add(frame.head.missed_before);
                if !(window.0..=window.1).contains(&frame.time) {
                    return Ok(false);
                }
                let session = frame.head.session_id;
                if let Some(late) = place.late.take_if(|l| l.of.0 == input && l.segment.session_id == session) {
                    writer.set_time(late.time);
                    place.of = vec![late.of];
                    writer.begin(place.index, late.segment, &late.directory)?;
                }
                let open = place.of.iter().any(|of| of.0 == input) && writer.has_session(place.index, session);
                if !open || !writer.copy_frame(place.index, &frame)? {
                    self.left_out += 1;
                    return Ok(false);
                }
                self.behind(time);
                return Ok(true);
            }
            Item::Event(RegionEvent::Begin { segment, directory, continued, .. }) => {
                let of = (input, segment.number);
                // A later file of the recording says again what it goes on with.
                if continued && writer.has_session(place.index, segment.session_id) {
                    place.of.push(of);
                    writer.directory(place.index, &directory)?;
                } else if time > window.1 {
                    place.late = Some(Late { time, of, segment, directory });
                } else {
                    (place.told, place.of) = (0, vec![of]);
                    writer.set_time(time.max(window.0));
                    writer.begin(place.index, segment, &directory)?;
                }
            }
            Item::Event(RegionEvent::Directory { segment, at, bytes, .. }) => {
                let of = (input, segment);
                if place.of.contains(&of) {
                    writer.set_time(time.max(window.0));
                    writer.add_to_directory(place.index, at, &bytes)?;
                } else if let Some(late) = place.late.as_mut().filter(|l| l.of == of)
                    && late.directory.len() == at as usize
                {
                    late.directory.extend(bytes);
                }
            }
            // Behind the end nothing becomes of a region any more.
            Item::Event(_) if time > window.1 => {}
            Item::Event(RegionEvent::Control { segment, mut messages, lost, .. }) => {
                if place.of.contains(&(input, segment)) {
                    messages.retain(|m| (window.0..=window.1).contains(&m.time));
                    writer.set_time(time.max(window.0));
                    writer.copy_control(place.index, messages, if whole { lost } else { 0 })?;
                }
            }
            Item::Event(RegionEvent::End { segment, reason, counts, .. }) => {
                if place.of.contains(&(input, segment)) {
                    writer.set_time(time.max(window.0));
                    let missed = if whole { counts.missed.saturating_sub(place.told) } else { 0 };
                    writer.end(place.index, reason, missed, if whole { counts.rejected } else { 0 })?;
                }
            }
        }
        self.behind(time);
        Ok(false)
    }

    /// A file that is begun now, or an end that is written, comes behind all that was copied.
    fn behind(&mut self, time: u64) {
        self.writer.set_time(time.max(self.window.0).saturating_add(1));
    }
}
