//! Recordings made out of recordings: a part of one, several in one, what is readable of a damaged one, another
//! compression.

use crate::error::RecordError;
use crate::format::RegionEvent;
use crate::read::{Cursor, Item, Problem, Recording};
use crate::writer::{RecordWriter, RegionIndex, WriterOptions, Written};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// What is copied, and how it is written.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EditOptions {
    /// Where to begin, from the first frame of all.
    pub from: Duration,
    /// Where to end, from the first frame of all.
    pub to: Option<Duration>,
    /// Regions to copy; all if empty.
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
/// other; the files of a rotating recording become one.
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
/// [`RecordError`]: a region that is in none of them, or a file that cannot be written.
pub fn edit(
    recordings: Vec<Recording>,
    path: &Path,
    options: &EditOptions,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Edited, RecordError> {
    let known = |wanted: &String| recordings.iter().any(|r| r.regions().contains(wanted));
    if let Some(wanted) = options.regions.iter().find(|r| !known(r)) {
        let mut has: Vec<&str> = recordings.iter().flat_map(Recording::regions).map(String::as_str).collect();
        has.sort_unstable();
        has.dedup();
        let has = has.join(", ");
        return Err(RecordError::Options(format!("no recording has the region `{wanted}`; they have: {has}")));
    }
    let first = recordings.iter().filter_map(|r| Some(r.times()?.0)).min().unwrap_or(0);
    let at = |d: Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    let window = (at(options.from), options.to.map_or(u64::MAX, at));
    let mode = recordings.iter().filter_map(Recording::mode).reduce(|a, b| a & b);
    let writer = RecordWriter::create(path, options.writer.clone())?;
    let mut copy = Copy { writer, regions: HashMap::new(), options, window, whole: options.from.is_zero() };
    copy.whole &= options.to.is_none();
    copy.writer.restrict(mode.unwrap_or(0o600))?;
    let mut inputs: Vec<Input> =
        recordings.into_iter().map(|r| Input { cursor: Cursor::new(r), next: None, time: 0 }).collect();
    inputs.iter_mut().for_each(Input::go_on);
    let mut copied = 0;
    loop {
        let earliest = inputs.iter_mut().filter(|i| i.next.is_some()).min_by_key(|i| i.time);
        let Some(input) = earliest else { break };
        let Some((time, item)) = input.next.take() else { break };
        copied += u64::from(copy.item(time, item, input.cursor.recording())?);
        input.go_on();
        if !progress(copied) {
            break;
        }
    }
    let written = copy.writer.finish()?;
    let problems = inputs.iter().flat_map(|i| i.cursor.recording().problems()).cloned().collect();
    Ok(Edited { written, problems })
}

struct Copy<'a> {
    writer: RecordWriter,
    /// Where each region is written, and the frames missed that its frames have told of in this segment.
    regions: HashMap<String, (RegionIndex, u64)>,
    options: &'a EditOptions,
    window: (u64, u64),
    /// Nothing is cut off, so that the counts stay true.
    whole: bool,
}

impl Copy<'_> {
    fn of(&mut self, region: &str) -> Option<&mut (RegionIndex, u64)> {
        if !self.options.regions.is_empty() && !self.options.regions.iter().any(|r| r == region) {
            return None;
        }
        let writer = &mut self.writer;
        Some(self.regions.entry(region.to_owned()).or_insert_with(|| (writer.add_region(), 0)))
    }

    /// Copies one item. Says whether it was a frame that is wanted.
    fn item(&mut self, time: u64, item: Item, from: &Recording) -> Result<bool, RecordError> {
        let (window, whole) = (self.window, self.whole);
        match item {
            Item::Frame(frame) => {
                let Some(name) = from.regions().get(frame.region) else { return Ok(false) };
                let Some(place) = self.of(name) else { return Ok(false) };
                place.1 = place.1.saturating_add(frame.head.missed_before);
                let region = place.0;
                if !(window.0..=window.1).contains(&frame.time) {
                    return Ok(false);
                }
                self.writer.copy_frame(region, &frame)?;
                return Ok(true);
            }
            // Behind the end nothing becomes of a region any more.
            Item::Event(_) if time > window.1 => {}
            Item::Event(RegionEvent::Begin { segment, directory, continued, .. }) => {
                let Some(place) = self.of(&segment.region) else { return Ok(false) };
                let region = place.0;
                // A later file of the recording says again what it goes on with.
                if continued && self.writer.has_session(region, segment.session_id) {
                    self.writer.directory(region, &directory)?;
                    return Ok(false);
                }
                if let Some(place) = self.of(&segment.region) {
                    place.1 = 0;
                }
                self.writer.set_time(time.max(window.0));
                self.writer.begin(region, segment, &directory)?;
            }
            Item::Event(RegionEvent::Directory { region, at, bytes, .. }) => {
                let Some(place) = self.of(&region) else { return Ok(false) };
                let region = place.0;
                self.writer.set_time(time.max(window.0));
                self.writer.add_to_directory(region, at, &bytes)?;
            }
            Item::Event(RegionEvent::Control { region, mut messages, lost, .. }) => {
                let Some(place) = self.of(&region) else { return Ok(false) };
                let region = place.0;
                messages.retain(|m| (window.0..=window.1).contains(&m.time));
                self.writer.set_time(time.max(window.0));
                self.writer.copy_control(region, messages, if whole { lost } else { 0 })?;
            }
            Item::Event(RegionEvent::End { region, reason, counts, .. }) => {
                let Some(&mut (region, told)) = self.of(&region) else { return Ok(false) };
                self.writer.set_time(time.max(window.0));
                let (missed, rejected) =
                    if whole { (counts.missed.saturating_sub(told), counts.rejected) } else { (0, 0) };
                self.writer.end(region, reason, missed, rejected)?;
            }
        }
        Ok(false)
    }
}
