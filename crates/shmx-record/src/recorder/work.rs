//! What lies between the threads of a recorder.

use super::status::{Forgotten, RegionStatus};
use crate::format::{EndReason, Segment};
use crate::writer::Written;
use shmx::{OwnedFrame, SeenControl};
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

impl Shared {
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
