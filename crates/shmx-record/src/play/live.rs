//! A region that is replayed: its server, and the frames that wait for a slot.

use super::options::PlayOptions;
use crate::error::PlayError;
use crate::read::RecordedFrame;
use shmx::abi::frame::Streams;
use shmx::error::{AppendError, BeginError};
use shmx::{Checksum, Directory, Server};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How soon a frame that found no slot tries again.
pub(super) const RETRY: Duration = Duration::from_micros(200);
/// Frames of a region that wait for slots, at most: the next one holds up the replay.
const MOST_WAITING: usize = 64;

/// An instant so much later; instants cannot go arbitrarily far.
pub(super) fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + Duration::from_secs(1 << 30))
}

pub(super) struct Live {
    pub(super) region: String,
    pub(super) segment: u32,
    pub(super) session_id: u64,
    pub(super) directory_len: usize,
    pub(super) server: Server,
    /// Ids of the streams that are wanted; all if none.
    pub(super) wanted: Option<Vec<u32>>,
    /// Frames that found no slot, and until when each waits for one.
    waiting: VecDeque<(RecordedFrame, Instant)>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Published,
    Skipped,
    /// None of the streams that were asked for is in it.
    LeftOut,
    NoSlot,
}

impl Live {
    pub(super) const fn new(region: String, segment: u32, session_id: u64, server: Server) -> Self {
        Self { region, segment, session_id, directory_len: 0, server, wanted: None, waiting: VecDeque::new() }
    }

    /// Finds the streams that are wanted in the directory as it is now.
    pub(super) fn choose(&mut self, streams: &[String]) {
        let chosen = |d: &Directory| {
            let named = |id: u32, name: &str| streams.iter().any(|s| s == name || s.parse() == Ok(id));
            d.streams.iter().filter(|s| named(s.id, &s.name_lossy())).map(|s| s.id).collect()
        };
        self.wanted = (!streams.is_empty()).then(|| chosen(&self.server.directory()));
    }

    /// Forgets the frames that wait.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    pub(super) fn wait(&mut self, frame: RecordedFrame, until: Instant) {
        self.waiting.push_back((frame, until));
    }

    /// Tries the frame that waits longest. `None`: it goes on waiting, or none does.
    pub(super) fn retry(&mut self, options: &PlayOptions) -> Result<Option<Put>, PlayError> {
        let Some((frame, until)) = self.waiting.pop_front() else { return Ok(None) };
        match self.put(&frame, options)? {
            Put::NoSlot if Instant::now() < until => {
                self.waiting.push_front((frame, until));
                Ok(None)
            }
            Put::NoSlot => Ok(Some(Put::Skipped)),
            done => {
                // Without a pace of its own the replay goes as fast as the readers let it.
                if options.rate.is_infinite() {
                    let until = later(Instant::now(), options.slot_wait);
                    self.waiting.iter_mut().for_each(|w| w.1 = until);
                }
                Ok(Some(done))
            }
        }
    }

    /// Publishes a frame now.
    pub(super) fn put(&mut self, frame: &RecordedFrame, options: &PlayOptions) -> Result<Put, PlayError> {
        let frame_id = frame.head.frame_id;
        let name = self.region.clone();
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| PlayError::Frame { name, frame_id, source };
        if frame.payload().is_empty() {
            return Ok(Put::Skipped);
        }
        let wanted = |ids: &Vec<u32>| {
            let all = Streams::new(frame.payload()).map_while(Result::ok);
            all.filter(|s| ids.contains(&s.stream_id)).collect::<Vec<_>>()
        };
        let part = self.wanted.as_ref().map(wanted);
        // Nothing of it was asked for.
        if part.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Put::LeftOut);
        }
        let mut slot = match self.server.begin_frame() {
            Ok(slot) => slot,
            Err(BeginError::NoFreeSlot { .. }) => return Ok(Put::NoSlot),
            Err(e) => return Err(fail(Box::new(e))),
        };
        let appended = match &part {
            None => slot.append_records(frame.payload(), frame.head.tlv_count),
            Some(part) => part.iter().try_for_each(|s| slot.append_raw(s.stream_id, s.elem_count, s.data)),
        };
        match appended {
            Ok(()) => {}
            // A recording that contradicts itself: the frame is larger than its region.
            Err(AppendError::Records { .. }) => return Ok(Put::Skipped),
            Err(_) if part.is_some() => return Ok(Put::Skipped),
            Err(e) => return Err(fail(Box::new(e))),
        }
        let checksum = frame.head.checksum.is_some() || options.checksum == Some(Checksum::Always);
        slot.publish_recorded(frame.head.sim_time(), checksum).map_err(|e| fail(Box::new(e)))?;
        Ok(Put::Published)
    }
}
