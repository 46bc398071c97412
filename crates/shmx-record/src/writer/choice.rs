//! Frames cut down to some of their streams.

use crate::format::{FrameHead, parse_directory};
use crate::rebuild::chosen;
use shmx::abi::frame::{PayloadCursor, Streams, stream_len};
use shmx::abi::hash;

/// The streams that are recorded of a region, and what is left of its last frame.
#[derive(Default)]
pub(super) struct Choice {
    ids: Vec<u32>,
    payload: Vec<u8>,
    /// Frames missed before one of which nothing was left: the next one tells of them.
    missed: u64,
}

impl Choice {
    /// Looks up the streams that are called so in the directory as it is now.
    pub(super) fn look_up(&mut self, names: &[String], session_id: u64, directory: &[u8]) {
        self.ids = chosen(&parse_directory(session_id, directory), names);
    }

    /// Cuts a frame down. None if none of its streams is wanted. The checksum is made anew where the frame's is right;
    /// where it is not, there is none, as a new one would hide the damage.
    pub(super) fn cut(&mut self, head: &FrameHead, payload: &[u8]) -> Option<(FrameHead, &[u8])> {
        self.payload.clear();
        let mut cursor = PayloadCursor::new();
        for s in Streams::new(payload).map_while(Result::ok).filter(|s| self.ids.contains(&s.stream_id)) {
            let need = stream_len(s.data.len())?.checked_add(cursor.used())?;
            self.payload.resize(need as usize, 0);
            cursor.append(&mut self.payload, s.stream_id, s.elem_count, s.data).ok()?;
        }
        let missed_before = head.missed_before.saturating_add(self.missed);
        if cursor.tlv_count() == 0 {
            self.missed = missed_before;
            return None;
        }
        self.missed = 0;
        let right = head.checksum.filter(|&sum| sum == hash::checksum32(payload));
        let checksum = right.map(|_| hash::checksum32(&self.payload));
        let head = FrameHead { missed_before, checksum, tlv_count: cursor.tlv_count(), ..*head };
        Some((head, &self.payload))
    }

    /// What no frame has told of.
    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_told_later_and_damage_is_not_hidden() {
        let (mut cursor, mut payload) = (PayloadCursor::new(), vec![0; 64]);
        cursor.append(&mut payload, 1, 1, &[1; 8]).unwrap();
        let other = payload[..cursor.used() as usize].to_vec();
        cursor.append(&mut payload, 2, 1, &[2; 4]).unwrap();
        payload.truncate(cursor.used() as usize);
        let mut choice = Choice { ids: vec![2], ..Choice::default() };
        let head = FrameHead { missed_before: 3, checksum: Some(hash::checksum32(&payload)), ..FrameHead::default() };
        assert!(choice.cut(&head, &other).is_none() && choice.missed() == 3);
        let (cut, left) = choice.cut(&head, &payload).unwrap();
        assert_eq!((cut.missed_before, cut.tlv_count, cut.checksum), (6, 1, Some(hash::checksum32(left))));
        assert_eq!(Streams::new(left).map(|s| s.unwrap().data.to_vec()).collect::<Vec<_>>(), [[2; 4]]);
        assert_eq!(choice.missed(), 0);
        let damaged = FrameHead { checksum: Some(!head.checksum.unwrap()), ..head };
        assert_eq!(choice.cut(&damaged, &payload).unwrap().0.checksum, None);
    }
}
