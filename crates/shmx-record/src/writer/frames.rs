//! Frames: of live regions, and out of other recordings, whose times they keep.

use super::choice::Cut;
use super::{RecordWriter, RegionIndex, Times};
use crate::error::RecordError;
use crate::format::{FrameHead, RecordedControl, RegionEvent};
use crate::read::RecordedFrame;
use shmx::{OwnedFrame, SeenControl};

impl RecordWriter {
    /// Writes a frame taken at `taken_ticks` of the wire clock, and the messages of its streams.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn frame(&mut self, region: RegionIndex, frame: &OwnedFrame, taken_ticks: u64) -> Result<(), RecordError> {
        let Some(segment) = self.regions[region.0].open.as_ref().map(|o| o.segment.number) else { return Ok(()) };
        let head = FrameHead::of(frame, segment, taken_ticks);
        self.raw_frame(region, &head, frame.payload())
    }

    /// The same for a frame out of another recording.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn raw_frame(&mut self, region: RegionIndex, head: &FrameHead, payload: &[u8]) -> Result<(), RecordError> {
        // A new file may have another clock.
        self.rotate_if_due(payload.len() as u64)?;
        let of = |ticks| self.clock.of(ticks);
        let times = Times { log: of(head.taken_ticks), publish: of(head.publish_ticks.unwrap_or(head.taken_ticks)) };
        self.put_frame(region, head, payload, times)
    }

    fn put_frame(
        &mut self,
        region: RegionIndex,
        head: &FrameHead,
        payload: &[u8],
        times: Times,
    ) -> Result<(), RecordError> {
        let r = &mut self.regions[region.0];
        let Some(open) = r.open.as_mut() else { return Ok(()) };
        // Put back before this returns.
        let mut choice = open.choice.take();
        let cut = choice.as_mut().map(|choice| choice.cut(head, payload));
        let result = match &cut {
            None => self.put_part(region, head, payload, times),
            Some(Cut::Left(head, payload)) => self.put_part(region, head, payload, times),
            Some(Cut::Nothing) => {
                self.written.left_out += 1;
                Ok(())
            }
            Some(Cut::Damaged) => {
                self.rejected(region, 1);
                Ok(())
            }
        };
        if let Some(open) = self.regions[region.0].open.as_mut() {
            open.choice = choice;
        }
        result
    }

    fn put_part(
        &mut self,
        region: RegionIndex,
        head: &FrameHead,
        payload: &[u8],
        times: Times,
    ) -> Result<(), RecordError> {
        let r = &mut self.regions[region.0];
        let Some(open) = r.open.as_mut() else { return Ok(()) };
        if let Some(file) = &mut self.file {
            file.take_over()?;
        }
        open.counts.frames += 1;
        open.counts.missed = open.counts.missed.saturating_add(head.missed_before);
        // Times of a region never go back, whatever resolution its producer gives.
        r.last_time = times.publish.max(r.last_time);
        let (publish, channel) = (r.last_time, open.channel);
        let times = Times { log: self.next_log(times.log), publish };
        let mut message = std::mem::take(&mut self.message);
        let result = if self.options.views {
            self.viewed_frame(region, head, times, payload, &mut message)
        } else {
            head.encode(payload, &mut message);
            self.message(channel, head, times, &message)
        };
        self.message = message;
        result?;
        self.written.frames += 1;
        let chunk_bytes = self.options.chunk_bytes;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.frames += 1;
        if file.pending >= chunk_bytes || file.pending_since.is_some_and(|t| t.elapsed() >= self.options.flush_after) {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what readers have sent to the region's server, and how many bytes of it were not seen whole.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn control(&mut self, region: RegionIndex, seen: &[SeenControl], lost: u64) -> Result<(), RecordError> {
        self.rotate_if_due(0)?;
        let of = |s: &SeenControl| RecordedControl {
            time: self.clock.of(s.ticks),
            reader_index: s.message.reader_index,
            reader_id: s.message.reader_id,
            ty: s.message.ty,
            data: s.message.data.clone(),
        };
        let messages = seen.iter().map(of).collect();
        self.copy_control(region, messages, lost)
    }

    /// The same out of another recording.
    pub(crate) fn copy_control(
        &mut self,
        region: RegionIndex,
        messages: Vec<RecordedControl>,
        lost: u64,
    ) -> Result<(), RecordError> {
        self.rotate_if_crowded()?;
        let Some(open) = self.regions[region.0].open.as_ref() else { return Ok(()) };
        if messages.is_empty() && lost == 0 {
            return Ok(());
        }
        self.written.control += messages.len() as u64;
        let time = messages.iter().map(|m| m.time).max().unwrap_or_else(|| self.now_wall());
        let (name, segment) = (open.segment.region.clone(), open.segment.number);
        self.event(region.0, &RegionEvent::Control { time, region: name, segment, messages, lost })
    }

    /// The time of what is written next, nanoseconds since 1970: from now on nothing here asks the clock.
    pub(crate) const fn set_time(&mut self, wall: u64) {
        self.copied_at = Some(wall);
    }

    /// The same by the wire clock.
    pub(crate) fn set_ticks(&mut self, ticks: u64) {
        self.copied_at = Some(self.clock.of(ticks));
    }

    /// The time of events.
    pub(super) fn now_wall(&self) -> u64 {
        self.copied_at.unwrap_or_else(|| self.clock.now_wall())
    }

    /// Whether a segment of this session is open.
    pub(crate) fn has_session(&self, region: RegionIndex, session_id: u64) -> bool {
        self.regions[region.0].open.as_ref().is_some_and(|o| o.segment.session_id == session_id)
    }

    /// Copies a frame of another recording into the segment that is open. Says whether one is.
    pub(crate) fn copy_frame(&mut self, region: RegionIndex, frame: &RecordedFrame) -> Result<bool, RecordError> {
        let Some(segment) = self.regions[region.0].open.as_ref().map(|o| o.segment.number) else { return Ok(false) };
        self.rotate_if_due(frame.payload().len() as u64)?;
        let head = FrameHead { segment, ..frame.head };
        let times = Times { log: frame.log.max(frame.time), publish: frame.time };
        self.put_frame(region, &head, frame.payload(), times)?;
        Ok(true)
    }

    /// Adds to the directory of the open segment what another recording says was added at this place.
    pub(crate) fn add_to_directory(&mut self, region: RegionIndex, at: u32, bytes: &[u8]) -> Result<(), RecordError> {
        let Some(open) = &self.regions[region.0].open else { return Ok(()) };
        if open.directory.len() != at as usize {
            return Ok(());
        }
        let whole = [open.directory.as_slice(), bytes].concat();
        self.directory(region, &whole)
    }
}
