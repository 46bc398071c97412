//! A region that is replayed: itself, and the frames that wait for a slot.

use super::options::PlayOptions;
use crate::error::PlayError;
use crate::read::RecordedFrame;
use crate::rebuild::{Again, Put, Rebuilt};
use shmx::{Checksum, Server};
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
    pub(super) again: Rebuilt,
    /// Frames that found no slot, and until when each waits for one.
    waiting: VecDeque<(RecordedFrame, Instant)>,
}

impl Live {
    pub(super) const fn new(region: String, segment: u32, session_id: u64, again: Rebuilt) -> Self {
        Self { region, segment, session_id, again, waiting: VecDeque::new() }
    }

    pub(super) fn server(&self) -> &Server {
        &self.again.server
    }

    /// Adds to the directory, if that is where its copy ends.
    pub(super) fn add_to_directory(&mut self, at: usize, added: &[u8], options: &PlayOptions) -> Result<(), PlayError> {
        let fail = |source| PlayError::Directory { name: self.region.clone(), source };
        if self.again.add_to_directory(at, added).map_err(fail)? {
            self.again.choose(&options.streams);
        }
        Ok(())
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
        let put = self.again.put(&Again {
            payload: frame.payload(),
            tlv_count: frame.head.tlv_count,
            sim_time: frame.head.sim_time(),
            checksum: frame.head.checksum.is_some() || options.checksum == Some(Checksum::Always),
            mark: None,
        });
        put.map_err(|source| PlayError::Frame {
            name: self.region.clone(),
            frame_id: frame.head.frame_id,
            source: Box::new(source),
        })
    }
}
