//! Counters that outlive their process: a shared object of words, one line per actor.
//!
//! An actor that is killed cannot report, so it counts where the conductor can read.

use crate::memory::words;
use anyhow::{Context, Result};
use shmx_os::{CreateOptions, Pending, Region, RegionName};
use shmx_ring::sync::{AtomicU64, Ordering};

/// What a line holds. `Quit` is the conductor's to write, the rest the actor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    /// Not 0: the actor should end.
    Quit,
    /// Moves as long as the actor runs.
    Loops,
    /// Frames published or delivered and checked.
    Frames,
    /// Bytes of them.
    Bytes,
    /// Frames that were not what their producer wrote, at delivery or at the end of their lease.
    Torn,
    /// Ids that went back within a session.
    Backwards,
    /// Errors that nothing explains.
    Unexpected,
    /// Leases checked again at their end.
    Held,
    /// Sessions opened, or created.
    Sessions,
    /// Present session, 0 between two.
    Session,
    /// When the present session's first frame came (wire clock).
    FirstAt,
    /// Newest id of `LastSession`, kept over a kill.
    LastId,
    /// The same of frames that were taken as the newest.
    LastNewest,
    LastSession,
    /// Session that was last seen to end.
    GoneSession,
    /// Reads that gave up on a producer that was faster.
    Lapped,
    /// Attachments without a reader slot.
    Slotless,
    /// Directory reads that met a half-made change.
    HalfDirectory,
    /// Control messages sent, or received whole and in order.
    Messages,
    /// Control messages that were damaged, out of order or lost.
    BadMessages,
    /// Frames that found no free slot.
    Full,
    /// Names found taken by a live server.
    Refused,
    /// Readers reaped.
    Reaped,
    /// Frames that were read before they were published, and came to be.
    Followed,
    /// Frames that were read before they were published, and came to nothing.
    Void,
}

/// Words of a line: two cache lines, and room.
const LINE: usize = 32;

/// The object, mapped.
pub(crate) struct Board(Region);

impl Board {
    pub(crate) fn create(name: &str, lines: usize) -> Result<Self> {
        let options = CreateOptions { len: (lines * LINE * 8) as u64, ..CreateOptions::default() };
        Ok(Self(Pending::create(&RegionName::new(name)?, &options)?.publish().map_err(|e| anyhow::anyhow!("{e}"))?))
    }

    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Self(Region::open(&RegionName::new(name)?)?))
    }

    pub(crate) fn line(&self, index: usize) -> Result<Line<'_>> {
        Ok(Line(words(&self.0, index * LINE * 8, LINE * 8).context("no such line")?))
    }

    pub(crate) fn remove(&self) -> Result<()> {
        self.0.remove()?;
        Ok(())
    }
}

/// One actor's counters. Nothing is ordered by them, so every access is relaxed.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a>(&'a [AtomicU64]);

impl Line<'_> {
    pub(crate) fn get(self, c: Count) -> u64 {
        self.0[c as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn set(self, c: Count, value: u64) {
        self.0[c as usize].store(value, Ordering::Relaxed);
    }

    pub(crate) fn add(self, c: Count, n: u64) {
        self.0[c as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Counts one turn and says whether to go on.
    pub(crate) fn turn(self) -> bool {
        self.add(Count::Loops, 1);
        self.get(Count::Quit) == 0
    }
}
