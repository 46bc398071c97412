//! Events that are messages: found in their chunks, and put between the frames by their log times.
//!
//! Tools sort, filter, merge and re-chunk messages. What they keep is each message's log time, and each frame and event
//! has one of its own; so it alone says what came before what.

use super::chunk::ChunkRef;
use super::recording::{Entry, Recording};
use crate::format::RegionEvent;
use std::collections::HashMap;

/// Chunks of at most this many bytes are read when a file is opened.
const SMALL: u64 = 16 << 10;

impl Recording {
    /// Puts the events in the chunks of a file, whose entries begin at `first`, between its frames. Says whether there
    /// are any.
    ///
    /// `messages` says which channels have messages in which chunk. Chunks without lifecycle messages are not read.
    pub(super) fn place_events(&mut self, first: usize, messages: &HashMap<u64, Vec<u16>>) -> bool {
        let mut chunks: Vec<ChunkRef> = self.entries[first..].iter().filter_map(Entry::chunk).cloned().collect();
        let mut events: Vec<(u64, RegionEvent)> = Vec::new();
        for chunk in &chunks {
            let file = &self.files[chunk.file];
            let unknown = |id: &u16| !file.known.contains(id) || file.lifecycles.contains(id);
            // One whose index is missing may hold anything, and so may one whose index is damaged: those that could
            // hold nothing but an event are read in any case.
            let told = messages.get(&chunk.at).is_some_and(|ids| !ids.iter().any(unknown));
            if told && chunk.len > SMALL {
                continue;
            }
            match self.unpack(chunk) {
                Ok((_, found, bad)) => {
                    events.extend(found);
                    if let Some(what) = bad {
                        self.note(chunk, what);
                    }
                }
                Err(what) => self.note(chunk, what),
            }
        }
        if events.is_empty() {
            return false;
        }
        events.sort_by_key(|e| e.0);
        chunks.sort_by_key(|c| c.start);
        self.entries.truncate(first);
        let mut from = 0;
        for (at, event) in events {
            self.place_frames(&chunks, from, at);
            self.entries.push(Entry::Event(event));
            from = at;
        }
        self.place_frames(&chunks, from, u64::MAX);
        true
    }

    /// Adds the parts of chunks with log times from `from` to before `to`. They are sorted by their beginnings.
    fn place_frames(&mut self, chunks: &[ChunkRef], from: u64, to: u64) {
        // Chunks that lie across each other, which no recorder writes but a tool may.
        let mut together: Vec<&ChunkRef> = Vec::new();
        let mut end = 0;
        for chunk in chunks.iter().filter(|c| c.start < to && c.end >= from) {
            if !together.is_empty() && chunk.start > end {
                self.place_group(&together, from, to);
                together.clear();
            }
            end = end.max(chunk.end);
            together.push(chunk);
        }
        self.place_group(&together, from, to);
    }

    /// Adds chunks that lie across each other, cut into pieces in each of which the same ones have messages.
    fn place_group(&mut self, group: &[&ChunkRef], from: u64, to: u64) {
        let ends = group.iter().flat_map(|c| [c.start, c.end.saturating_add(1)]);
        let mut cuts: Vec<u64> = ends.map(|t| t.clamp(from, to)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        for piece in cuts.windows(2) {
            let (from, to) = (piece[0], piece[1]);
            let mut within = group.iter().filter(|c| c.start < to && c.end >= from).map(|&c| c.clone());
            let Some(first) = within.next() else { continue };
            self.entries.push(Entry::Chunk(ChunkRef { window: Some((from, to)), across: within.collect(), ..first }));
        }
    }

    /// The times of the first and the last frame, where log times are others. The first is among those that lay in the
    /// rings when they were opened; the last is in one of the last chunks.
    pub(super) fn find_span(&mut self) -> Option<(u64, u64)> {
        let windowed = |e: &Entry| e.chunk().is_some_and(|c| c.window.is_some());
        if !self.entries.iter().any(windowed) {
            return None;
        }
        let first = (0..self.entries.len()).find_map(|i| self.load(i).iter().map(|f| f.time).min())?;
        let last = (0..self.entries.len()).rev().find_map(|i| self.load(i).iter().map(|f| f.time).max())?;
        Some((first, last.max(first)))
    }
}
