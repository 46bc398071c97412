//! Frames cut down to some of their streams.

use crate::format::{FrameHead, parse_directory};
use crate::rebuild::chosen;
use shmx::abi::frame::{FrameError, PayloadCursor, Streams, stream_len};
use shmx::abi::hash;

/// The streams that are recorded of a region, and what is left of its last frame.
#[derive(Default)]
pub(super) struct Choice {
    ids: Vec<u32>,
    payload: Vec<u8>,
    /// Frames missed before one of which nothing was left: the next one tells of them.
    missed: u64,
}

/// What is left of a frame.
pub(super) enum Cut<'a> {
    /// The streams that are recorded.
    Left(FrameHead, &'a [u8]),
    /// It has none of them.
    Nothing,
    /// Its records make no sense, so nobody knows which streams it has.
    Damaged,
}

/// Why a payload cannot be cut down.
pub(crate) fn damage(payload: &[u8]) -> Option<FrameError> {
    Streams::new(payload).find_map(Result::err)
}

impl Choice {
    /// Looks up the streams that are called so in the directory as it is now.
    pub(super) fn look_up(&mut self, names: &[String], session_id: u64, directory: &[u8]) {
        self.ids = chosen(&parse_directory(session_id, directory), names);
    }

    /// Cuts a frame down. The checksum is made anew where the frame's is right; where it is not, there is none, as a new
    /// one would hide the damage.
    pub(super) fn cut(&mut self, head: &FrameHead, payload: &[u8]) -> Cut<'_> {
        let missed_before = head.missed_before.saturating_add(self.missed);
        self.missed = missed_before;
        if damage(payload).is_some() {
            return Cut::Damaged;
        }
        self.payload.clear();
        let mut cursor = PayloadCursor::new();
        for s in Streams::new(payload).flatten().filter(|s| self.ids.contains(&s.stream_id)) {
            let Some(need) = stream_len(s.data.len()).and_then(|len| len.checked_add(cursor.used())) else {
                return Cut::Damaged;
            };
            self.payload.resize(need as usize, 0);
            if cursor.append(&mut self.payload, s.stream_id, s.elem_count, s.data).is_err() {
                return Cut::Damaged;
            }
        }
        if cursor.tlv_count() == 0 {
            return Cut::Nothing;
        }
        self.missed = 0;
        let right = head.checksum.filter(|&sum| sum == hash::checksum32(payload));
        let checksum = right.map(|_| hash::checksum32(&self.payload));
        Cut::Left(FrameHead { missed_before, checksum, tlv_count: cursor.tlv_count(), ..*head }, &self.payload)
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
        assert!(matches!(choice.cut(&head, &other), Cut::Nothing) && choice.missed() == 3);
        // Its second record is cut short.
        assert!(matches!(choice.cut(&head, &payload[..payload.len() - 8]), Cut::Damaged) && choice.missed() == 6);
        let Cut::Left(cut, left) = choice.cut(&head, &payload) else { panic!("one stream is left") };
        assert_eq!((cut.missed_before, cut.tlv_count, cut.checksum), (9, 1, Some(hash::checksum32(left))));
        assert_eq!(Streams::new(left).map(|s| s.unwrap().data.to_vec()).collect::<Vec<_>>(), [[2; 4]]);
        assert_eq!(choice.missed(), 0);
        let damaged = FrameHead { checksum: Some(!head.checksum.unwrap()), ..head };
        let Cut::Left(cut, _) = choice.cut(&damaged, &payload) else { panic!("one stream is left") };
        assert_eq!(cut.checksum, None);
    }
}
