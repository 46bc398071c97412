//! Files of one recording: put together where they were opened one by one, and as one row of times where the clock was
//! set back between them.

use super::recording::{Entry, RecordedFrame, Recording};
use crate::format::Identity;

/// What goes back by less is no clock that was set: in old versions files of a rotation lie a little across each other.
const SET: u64 = 1_000_000_000;

impl Recording {
    /// The same with those of one recording as one, in the order of their files.
    pub(crate) fn join(recordings: Vec<Self>) -> Vec<Self> {
        let mut groups: Vec<Vec<Self>> = Vec::new();
        for recording in recordings {
            match groups.iter_mut().find(|group| group.iter().all(|r| r.goes_with(&recording))) {
                Some(group) => group.push(recording),
                None => groups.push(vec![recording]),
            }
        }
        let together = |mut group: Vec<Self>| {
            group.sort_by_key(|r| r.identities().next().map(|i| i.file));
            group.into_iter().reduce(|mut all, next| {
                all.append(next);
                all
            })
        };
        groups.into_iter().filter_map(together).collect()
    }

    fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.files.iter().filter_map(|f| f.identity.as_ref())
    }

    /// Whether both have files of the same recording, and not the same ones.
    fn goes_with(&self, other: &Self) -> bool {
        let all = || self.identities().chain(other.identities());
        let known = all().count() == self.files.len() + other.files.len();
        let one = all().next().is_some_and(|first| all().all(|i| i.recording == first.recording));
        known && one && !self.identities().any(|i| other.identities().any(|o| o.file == i.file))
    }

    fn append(&mut self, mut other: Self) {
        let (first, files) = (self.entries.len(), self.files.len());
        let regions: Vec<usize> = other.regions.iter().map(|name| self.region_index(name)).collect();
        for file in &mut other.files {
            file.channels.values_mut().chain(file.carriers.values_mut()).for_each(|region| *region = regions[*region]);
            file.without_checksums = file.without_checksums.drain().map(|(r, number)| (regions[r], number)).collect();
        }
        for entry in &mut other.entries {
            let Entry::Chunk(chunk) = entry else { continue };
            chunk.file += files;
            chunk.across.iter_mut().for_each(|c| c.file += files);
        }
        self.files.append(&mut other.files);
        self.entries.append(&mut other.entries);
        self.problems.append(&mut other.problems);
        self.bytes += other.bytes;
        self.carry_on(files, first);
        self.span = self.find_span();
    }

    /// Where the clock was set back before a file was begun, its times are made to go on as those of the one before:
    /// by the wire clock, which nobody sets. It is the `file`-th, and its entries are those from `first` on.
    pub(super) fn carry_on(&mut self, file: usize, first: usize) {
        let recording = |at: Option<usize>| Some(&self.files.get(at?)?.identity.as_ref()?.recording);
        if recording(Some(file)).is_none() || recording(Some(file)) != recording(file.checked_sub(1)) {
            return;
        }
        let (before, after) = self.entries.split_at(first);
        let end = before.iter().filter_map(Entry::chunk).map(|c| c.end).max();
        let start = after.iter().filter_map(Entry::chunk).map(|c| c.start).min();
        let (Some(end), Some(start)) = (end, start) else { return };
        if start.saturating_add(SET) >= end {
            return;
        }
        let last = (0..first).rev().find_map(|i| self.load(i).into_iter().max_by_key(|f| f.log));
        let next = (first..self.entries.len()).find_map(|i| self.load(i).into_iter().min_by_key(|f| f.log));
        // What a file adds to the wire clock.
        let offset = |f: RecordedFrame| {
            let ticks = f.head.publish_ticks.unwrap_or(f.head.taken_ticks);
            i128::from(f.time) - i128::from(ticks)
        };
        let told = last.zip(next).map(|(last, next)| offset(last) - offset(next));
        // Behind it in any case.
        let least = i128::from(end) - i128::from(start) + 1;
        let shift = told.filter(|&t| t >= least - i128::from(SET)).unwrap_or(least);
        let Ok(shift) = i64::try_from(shift) else { return };
        self.files[file..].iter_mut().for_each(|f| f.shift = f.shift.saturating_add(shift));
        self.entries[first..].iter_mut().for_each(|entry| match entry {
            Entry::Event(event) => event.shift(shift),
            Entry::Chunk(chunk) => {
                chunk.shift(shift);
                chunk.across.iter_mut().for_each(|c| c.shift(shift));
            }
        });
    }
}
