//! Which frames of a recording are played.

use super::Player;
use crate::read::{Item, RecordedFrame};

impl Player {
    /// Whether there is a frame to play. What has only beginnings and ends of regions would be played in vain, and
    /// repeated without a pause.
    pub(super) fn has_frame(&mut self) -> bool {
        self.cursor.seek(self.begin);
        while let Some(item) = self.cursor.next_item() {
            let Item::Frame(frame) = item else { continue };
            if self.is_wanted(&frame) {
                return true;
            }
            if self.is_behind(&frame) {
                break;
            }
        }
        false
    }

    pub(super) fn is_wanted(&self, frame: &RecordedFrame) -> bool {
        let region = self.cursor.recording().regions().get(frame.region);
        frame.time <= self.end && region.is_some_and(|r| self.options.is_chosen(r))
    }

    /// Regions are written side by side: behind a frame that comes too late there may be one of another region that
    /// does not.
    pub(super) const fn is_behind(&self, frame: &RecordedFrame) -> bool {
        frame.time > self.end.saturating_add(1_000_000_000)
    }
}
