//! What lies between the threads of a recorder.

use super::status::{Forgotten, RegionStatus};
use crate::format::{EndReason, Segment};
use crate::writer::Written;
use shmx::{OwnedFrame, SeenControl};
use shmx_os::clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the taking thread hands to the writing one.
pub(super) enum Work {
    /// A region more, of this name.
    Add(String),
    /// The place of one that is gone is now that of another.
    Rename {
        region: usize,
        name: String,
    },
    Begin {
        region: usize,
        segment: Segment,
        directory: Vec<u8>,
        mode: Option<u32>,
    },
    Directory {
        region: usize,
        bytes: Vec<u8>,
    },
    Frame {
        region: usize,
        frame: OwnedFrame,
        taken_ticks: u64,
    },
    End {
        region: usize,
        reason: EndReason,
        missed: u64,
        rejected: u64,
    },
    /// What readers sent to the server, and how much of it was not seen whole.
    Control {
        region: usize,
        seen: Vec<SeenControl>,
        lost: u64,
    },
    /// What came before is to be written into a file of its own.
    Snapshot,
}

/// What both threads and the recorder share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    /// A snapshot is asked for.
    pub(super) snapshot: AtomicBool,
    /// A reader has asked for one.
    pub(super) asked: AtomicBool,
    /// From when on a reader is given one, by the wire clock; never while one is being written.
    asked_from: AtomicU64,
    /// The writer has failed; taking more is of no use.
    pub(super) broken: AtomicBool,
    pub(super) backlog_frames: AtomicU64,
    pub(super) backlog_bytes: AtomicU64,
    /// Most of these bytes so far.
    pub(super) most_bytes: AtomicU64,
    /// How often the taking thread has gone to rest.
    pub(super) sleeps: AtomicU64,
    /// How often a region was looked for that was not open.
    pub(super) looks: AtomicU64,
    pub(super) regions: Mutex<Regions>,
    pub(super) written: Mutex<Written>,
    pub(super) ended: AtomicBool,
}

/// The regions as others see them.
#[derive(Debug, Default)]
pub(super) struct Regions {
    pub(super) each: Vec<RegionStatus>,
    pub(super) forgotten: Forgotten,
}

impl Regions {
    /// Forgets one, but for what it adds to the sums.
    pub(super) fn replace(&mut self, place: usize, by: RegionStatus) {
        let Some(status) = self.each.get_mut(place) else { return };
        self.forgotten.add(&std::mem::replace(status, by));
    }
}

/// Tells that the writer has ended, however it did.
pub(super) struct Ended<'a>(pub(super) &'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
        self.0.ended.store(true, Ordering::Release);
    }
}

pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Least time from a snapshot to the next one that a reader asks for: readers may ask without end.
const APART_NS: u64 = 1_000_000_000;

impl Shared {
    /// Whether a snapshot is to be taken now. What readers ask for too soon after one is kept for the next, and `last`
    /// says that this is the last chance.
    pub(super) fn wants_snapshot(&self, last: bool) -> bool {
        // Acquire pairs with the Release of who asks: what was published before belongs to the snapshot.
        let own = self.snapshot.swap(false, Ordering::Acquire);
        // Relaxed: whenever it is seen is soon enough.
        let due = own || last || clock::ticks() >= self.asked_from.load(Ordering::Relaxed);
        due && (self.asked.swap(false, Ordering::Acquire) || own)
    }

    /// A snapshot is about to be written.
    pub(super) fn begin_snapshot(&self) {
        self.asked_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// It is written, or could not be.
    pub(super) fn end_snapshot(&self) {
        self.asked_from.store(clock::ticks().saturating_add(APART_NS), Ordering::Relaxed);
    }

    /// A frame of so many bytes was taken.
    pub(super) fn taken(&self, bytes: u64) {
        self.backlog_frames.fetch_add(1, Ordering::Relaxed);
        let held = self.backlog_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most_bytes.fetch_max(held, Ordering::Relaxed);
    }

    /// It was written, and its memory is free.
    pub(super) fn written(&self, bytes: u64) {
        self.backlog_frames.fetch_sub(1, Ordering::Relaxed);
        self.backlog_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
