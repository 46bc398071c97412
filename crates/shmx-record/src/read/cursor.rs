//! Moves over a recording.

use super::recording::{Entry, RecordedFrame, Recording};
use crate::format::{EndReason, RegionEvent, Segment};

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

    /// Moves to the beginning, before all events.
    pub(crate) const fn rewind(&mut self) {
        (self.entry, self.next) = (0, 0);
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
        let _ = (0..count).all(|_| self.step_back());
        self.state()
    }

    /// Moves back to the frame before the present place. False if there is none.
    pub(crate) fn step_back(&mut self) -> bool {
        while self.next == 0 {
            let Some(entry) = (0..self.entry).rev().find(|&e| self.rec.entries[e].chunk().is_some()) else {
                return false;
            };
            self.entry = entry;
            self.next = self.load(entry).len();
        }
        self.next -= 1;
        true
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
        RegionEvent::End { reason: EndReason::Stopped, .. } | RegionEvent::Control { .. } => {}
        RegionEvent::End { region, .. } => state.retain(|s| s.segment.region != *region),
    }
}
