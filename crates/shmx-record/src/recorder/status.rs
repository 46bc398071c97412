//! How regions are recorded, and what a recorder tells.

use super::selection::Selection;
use crate::format::{Counts, EndReason};
use crate::writer::{WriterOptions, Written};
use std::path::PathBuf;
use std::time::Duration;

/// Which frames are recorded of those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Every {
    /// One of so many.
    Frames(u64),
    /// At most one in this time, by the times of publishing.
    Time(Duration),
}

/// How regions are recorded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecorderOptions {
    /// The files.
    pub writer: WriterOptions,
    /// Bytes of frames taken and not written yet, shared by all regions; at least two frames of each region are
    /// allowed. When it is full, frames stay in the ring, and those overwritten there count as missed.
    /// Default 256 MiB.
    pub backlog_bytes: u64,
    /// Check the checksum of each frame and reject those where it is wrong; frames without one are taken as they are.
    /// Default true.
    pub verify: bool,
    /// End when every region was there and is gone. Default false: wait for them to come back.
    pub until_gone: bool,
    /// Begin with all frames in the ring of a region that is there when the recorder starts, so that the recording
    /// begins before it was started. Default true; without it, with the newest frame. Of regions that come later
    /// everything is recorded anyway.
    pub ring: bool,
    /// Regions to record besides those that are named, also such as come later. Default none.
    pub selection: Selection,
    /// Record some of the frames only. The others are counted as skipped. Default all.
    pub every: Option<Every>,
    /// Also record what readers send to the servers, as far as it can be seen from outside ([`shmx::ControlTap`]).
    /// Default false.
    pub control: bool,
    /// End after this many frames of all regions together.
    pub max_frames: Option<u64>,
    /// Keep the frames of so much time in memory, in `backlog_bytes` at most, and write them only when asked
    /// ([`crate::Recorder::snapshot`]): each time into a file of its own, `run-0001.mcap` and so on for `run.mcap`.
    pub snapshot: Option<Duration>,
    /// Take a control message of this type, to any of the regions, as being asked for a snapshot: at most once a second,
    /// and messages that come sooner are one request for the next. Those that wait in a region that is there when the
    /// recorder starts do not count. Messages are seen as with `control`, so one of many in a small ring may be
    /// overlooked. Default none.
    pub snapshot_on: Option<u32>,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            writer: WriterOptions::default(),
            backlog_bytes: 256 << 20,
            verify: true,
            until_gone: false,
            ring: true,
            selection: Selection::default(),
            every: None,
            control: false,
            max_frames: None,
            snapshot: None,
            snapshot_on: None,
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecorderEvent {
    /// A region was opened.
    Begin {
        /// Region.
        region: String,
        /// Segment, from 1; more than 1 says that the region was restarted.
        segment: u32,
        /// Frames published before the recorder could open the region.
        missed: u64,
    },
    /// A region is gone.
    End {
        /// Region.
        region: String,
        /// Segment.
        segment: u32,
        /// Why.
        reason: EndReason,
        /// What was recorded of it.
        counts: Counts,
    },
    /// The wall clock was set, or the machine slept: times in the present file go on as before.
    ClockSet {
        /// By how much since the file was begun, nanoseconds.
        step_ns: i64,
    },
    /// What was kept is written.
    Snapshot {
        /// The file; none where there was no frame to write.
        path: Option<PathBuf>,
        /// Frames in it.
        frames: u64,
        /// How far back it reaches.
        reaches: Duration,
    },
    /// A snapshot could not be written, or not all of it. The recorder goes on keeping.
    SnapshotFailed {
        /// Why.
        what: String,
    },
    /// Something is in the way of recording a region; the recorder tries on.
    Trouble {
        /// Region.
        region: String,
        /// What.
        what: String,
    },
}

/// A region at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionStatus {
    /// Its name.
    pub region: String,
    /// Whether it is open now.
    pub open: bool,
    /// Segments so far.
    pub segments: u32,
    /// Frames taken.
    pub taken: u64,
    /// Frames missed.
    pub missed: u64,
    /// Frames rejected.
    pub rejected: u64,
    /// Frames left out on purpose ([`RecorderOptions::every`]).
    pub skipped: u64,
    /// Messages of readers to the server that were seen.
    pub control: u64,
    /// Bytes of such messages that were not seen whole.
    pub control_lost: u64,
    /// Bytes of payloads taken.
    pub bytes: u64,
    /// What was in the way last of recording it, or some of its frames or streams.
    pub trouble: Option<String>,
    /// A pattern has found it and it is gone for some seconds: it is not looked for until it comes again.
    pub rests: bool,
}

/// Sums over regions that patterns have found, that are gone, and that are not listed any more: a recorder lists about
/// a thousand, those that are open among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Regions; one that came again counts again.
    pub regions: u64,
    /// Frames taken.
    pub taken: u64,
    /// Frames missed.
    pub missed: u64,
    /// Frames rejected.
    pub rejected: u64,
    /// Frames left out on purpose.
    pub skipped: u64,
    /// Messages of readers that were seen.
    pub control: u64,
    /// Bytes of such messages that were not seen whole.
    pub control_lost: u64,
    /// Bytes of payloads taken.
    pub bytes: u64,
}

impl Forgotten {
    pub(super) const fn add(&mut self, region: &RegionStatus) {
        self.regions += 1;
        self.taken += region.taken;
        self.missed = self.missed.saturating_add(region.missed);
        self.rejected += region.rejected;
        self.skipped += region.skipped;
        self.control += region.control;
        self.control_lost = self.control_lost.saturating_add(region.control_lost);
        self.bytes += region.bytes;
    }
}

/// The recorder at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Each region.
    pub regions: Vec<RegionStatus>,
    /// Those that are not among them any more.
    pub forgotten: Forgotten,
    /// Frames taken and not written yet.
    pub backlog_frames: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Most bytes of frames that were taken and not written at a time.
    pub memory_bytes: u64,
    /// How often the thread that takes frames has slept: few where servers ring always
    /// ([`shmx::ServerBuilder::ring_always`]), several hundred a second where it has to poll.
    pub sleeps: u64,
    /// How often a region was looked for that was not open.
    pub looks: u64,
    /// What was written.
    pub written: Written,
    /// Whether it has ended, by itself or by an error; see [`crate::Recorder::finish`].
    pub ended: bool,
}
