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

/// Chunks by their beginnings, each with the latest end of all up to it.
struct Sorted {
    chunks: Vec<ChunkRef>,
    ends: Vec<u64>,
}

impl Sorted {
    fn new(mut chunks: Vec<ChunkRef>) -> Self {
        chunks.sort_by_key(|c| c.start);
        let latest = |end: &mut u64, c: &ChunkRef| {
            *end = c.end.max(*end);
            Some(*end)
        };
        let ends = chunks.iter().scan(0, latest).collect();
        Self { chunks, ends }
    }

    /// All chunks that have log times from `from` to before `to`, and few others: a search, not a walk.
    fn between(&self, from: u64, to: u64) -> &[ChunkRef] {
        let first = self.ends.partition_point(|&end| end < from);
        let behind = self.chunks.partition_point(|c| c.start < to);
        self.chunks.get(first..behind).unwrap_or(&[])
    }
}

impl Recording {
    /// Puts the events in the chunks of a file, whose entries begin at `first`, between its frames. Says whether there
    /// are any.
    ///
    /// `messages` says which channels have messages in which chunk. Chunks without lifecycle messages are not read.
    pub(super) fn place_events(&mut self, first: usize, messages: &HashMap<u64, Vec<u16>>) -> bool {
        let chunks: Vec<ChunkRef> = self.entries[first..].iter().filter_map(Entry::chunk).cloned().collect();
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
        let chunks = Sorted::new(chunks);
        self.entries.truncate(first);
        let mut from = 0;
        for (at, event) in events {
            self.place_frames(chunks.between(from, at), from, at);
            self.entries.push(Entry::Event(event));
            from = at;
        }
        self.place_frames(chunks.between(from, u64::MAX), from, u64::MAX);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_between_two_events_are_found_without_a_walk_over_all() {
        let chunk = |start, end| ChunkRef { file: 0, at: start, len: 0, start, end, window: None, across: Vec::new() };
        // As recorders write them, and with some that lie across others.
        let plain = Sorted::new((0..1000).rev().map(|n| chunk(10 * n, 10 * n + 5)).collect());
        let across = Sorted::new((0..1000).map(|n| chunk(10 * n, 10 * n + 5 + n % 7 * 20)).collect());
        for from in (0..10_000).step_by(7) {
            let to = from + 13;
            for (sorted, most) in [(&plain, 2), (&across, 15)] {
                let fits = |c: &&ChunkRef| c.start < to && c.end >= from;
                let found = sorted.between(from, to);
                let starts = |all: &[ChunkRef]| all.iter().filter(fits).map(|c| c.start).collect::<Vec<_>>();
                assert_eq!(starts(found), starts(&sorted.chunks));
                assert!(found.len() <= most, "{from}: {}", found.len());
            }
        }
        assert!(plain.between(20_000, u64::MAX).is_empty());
    }
}
