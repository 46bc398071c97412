//! A whole frame as a message.

use crate::pb::{Reader, Value, Writer};
use shmx::OwnedFrame;
use shmx::abi::extension::PublishTime;

/// Field numbers of `shmx.Frame`.
pub(crate) mod field {
    pub(crate) const FRAME_ID: u32 = 1;
    pub(crate) const SIM_TIME: u32 = 2;
    pub(crate) const SESSION_ID: u32 = 3;
    pub(crate) const SEGMENT: u32 = 4;
    pub(crate) const TLV_COUNT: u32 = 5;
    pub(crate) const CHECKSUM: u32 = 6;
    pub(crate) const SLOT: u32 = 7;
    pub(crate) const MISSED_BEFORE: u32 = 8;
    pub(crate) const PUBLISH_TICKS: u32 = 9;
    pub(crate) const TAKEN_TICKS: u32 = 10;
    pub(crate) const DATA_FIELD: u32 = 11;
    pub(crate) const DATA_AT: u32 = 12;
    pub(crate) const PAYLOAD: u32 = 15;
}

/// The field of an image's or a cloud's message that holds the rest of its frame. Viewers pass over it.
pub(crate) const CARRIED: u32 = 1000;

/// A frame inside the message of one of its streams, whose bytes the message has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The field of the message that has the stream's bytes.
    pub(crate) data_field: u32,
    /// Where they lie in the payload.
    pub(crate) data: std::ops::Range<usize>,
}

/// Where a frame's payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// In the message, there.
    At(std::ops::Range<usize>),
    /// Put together from two fields of the message.
    Whole(Vec<u8>),
}

/// The head of a recorded frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameHead {
    /// Id the frame had in its region.
    pub frame_id: u64,
    /// Bits of the producer's own time.
    pub sim_time_bits: u64,
    /// Session that wrote it.
    pub session_id: u64,
    /// Segment of the recording it belongs to, from 1.
    pub segment: u32,
    /// Records, as the producer counted them.
    pub tlv_count: u32,
    /// Checksum that the producer wrote; `None` if it wrote none for this frame, which is no damage.
    pub checksum: Option<u32>,
    /// Slot it lay in.
    pub slot: u32,
    /// Frames missed between the one before and this one.
    pub missed_before: u64,
    /// Wire clock of publishing, nanoseconds; `None` if the producer gave none, or one of another clock.
    pub publish_ticks: Option<u64>,
    /// Wire clock when the recorder took it, nanoseconds.
    pub taken_ticks: u64,
}

impl FrameHead {
    /// The producer's own time.
    #[must_use]
    pub const fn sim_time(&self) -> f64 {
        f64::from_bits(self.sim_time_bits)
    }

    pub(crate) fn of(frame: &OwnedFrame, segment: u32, taken_ticks: u64) -> Self {
        Self {
            frame_id: frame.frame_id(),
            sim_time_bits: frame.sim_time().to_bits(),
            session_id: frame.session_id(),
            segment,
            tlv_count: frame.tlv_count(),
            checksum: frame.stored_checksum(),
            slot: frame.slot(),
            missed_before: frame.missed_before(),
            publish_ticks: published(frame.publish_time(), taken_ticks),
            taken_ticks,
        }
    }

    pub(crate) fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(payload.len() + 128);
        self.encode_fields(out);
        Writer(out).bytes(field::PAYLOAD, payload);
    }

    /// Adds the frame to the message of one of its streams.
    pub(crate) fn encode_carried(&self, payload: &[u8], carried: &Carried, message: &mut Vec<u8>) {
        let (before, after) = (&payload[..carried.data.start], &payload[carried.data.end..]);
        let mut inner = Vec::with_capacity(before.len() + after.len() + 128);
        self.encode_fields(&mut inner);
        let mut w = Writer(&mut inner);
        w.fixed32(field::DATA_FIELD, carried.data_field);
        w.fixed32(field::DATA_AT, before.len() as u32);
        w.length(field::PAYLOAD, before.len() + after.len());
        inner.extend_from_slice(before);
        inner.extend_from_slice(after);
        Writer(message).bytes(CARRIED, &inner);
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.fixed64(field::FRAME_ID, self.frame_id);
        w.fixed64(field::SIM_TIME, self.sim_time_bits);
        w.fixed64(field::SESSION_ID, self.session_id);
        w.fixed32(field::SEGMENT, self.segment);
        w.fixed32(field::TLV_COUNT, self.tlv_count);
        if let Some(v) = self.checksum {
            w.fixed32(field::CHECKSUM, v);
        }
        w.fixed32(field::SLOT, self.slot);
        w.fixed64(field::MISSED_BEFORE, self.missed_before);
        if let Some(t) = self.publish_ticks {
            w.fixed64(field::PUBLISH_TICKS, t);
        }
        w.fixed64(field::TAKEN_TICKS, self.taken_ticks);
    }

    /// The head and the payload's place in the message; `None` if it is no frame.
    pub(crate) fn decode(message: &[u8]) -> Option<(Self, std::ops::Range<usize>)> {
        let mut head = Self::default();
        let mut payload = 0..0;
        let mut reader = Reader(message);
        while let Some(field) = reader.next() {
            match field.ok()? {
                (field::FRAME_ID, Value::Fixed64(v)) => head.frame_id = v,
                (field::SIM_TIME, Value::Fixed64(v)) => head.sim_time_bits = v,
                (field::SESSION_ID, Value::Fixed64(v)) => head.session_id = v,
                (field::SEGMENT, Value::Fixed32(v)) => head.segment = v,
                (field::TLV_COUNT, Value::Fixed32(v)) => head.tlv_count = v,
                (field::CHECKSUM, Value::Fixed32(v)) => head.checksum = Some(v),
                (field::SLOT, Value::Fixed32(v)) => head.slot = v,
                (field::MISSED_BEFORE, Value::Fixed64(v)) => head.missed_before = v,
                (field::PUBLISH_TICKS, Value::Fixed64(v)) => head.publish_ticks = Some(v),
                (field::TAKEN_TICKS, Value::Fixed64(v)) => head.taken_ticks = v,
                (field::PAYLOAD, Value::Bytes(b)) => {
                    let end = message.len() - reader.0.len();
                    payload = end - b.len()..end;
                }
                _ => {}
            }
        }
        Some((head, payload))
    }
}

/// The frame in the message of one of its streams; `None` if it is damaged, and inside that if it has no frame.
pub(crate) fn carried_frame(message: &[u8]) -> Option<Option<(FrameHead, Vec<u8>)>> {
    let mut found = None;
    for field in Reader(message) {
        if let (CARRIED, Value::Bytes(inner)) = field.ok()? {
            found = Some(inner);
        }
    }
    let Some(inner) = found else { return Some(None) };
    let (head, rest) = FrameHead::decode(inner)?;
    let (mut data_field, mut data_at) = (0, 0);
    for field in Reader(inner) {
        match field.ok()? {
            (field::DATA_FIELD, Value::Fixed32(v)) => data_field = v,
            (field::DATA_AT, Value::Fixed32(v)) => data_at = v as usize,
            _ => {}
        }
    }
    let mut data = None;
    for field in Reader(message) {
        match field.ok()? {
            (n, Value::Bytes(b)) if n == data_field => data = Some(b),
            _ => {}
        }
    }
    let (before, after) = inner.get(rest)?.split_at_checked(data_at)?;
    Some(Some((head, [before, data?, after].concat())))
}

/// When a frame that was taken at `taken` was published, ticks. A time of another clock is none.
fn published(time: Option<PublishTime>, taken: u64) -> Option<u64> {
    taken.checked_sub(time?.age_ns(taken)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back() {
        for (publish_ticks, checksum) in [(None, None), (Some(0), Some(0)), (Some(u64::MAX), Some(4))] {
            let head = FrameHead {
                frame_id: 7,
                sim_time_bits: f64::NAN.to_bits() | 0xDEAD,
                session_id: u64::MAX,
                segment: 2,
                tlv_count: 3,
                checksum,
                slot: 5,
                missed_before: 6,
                publish_ticks,
                taken_ticks: 9,
            };
            let mut out = Vec::new();
            head.encode(b"payload", &mut out);
            let (read, at) = FrameHead::decode(&out).unwrap();
            assert_eq!((read, &out[at]), (head, &b"payload"[..]));
            for cut in 0..out.len() {
                let _ = FrameHead::decode(&out[..cut]);
            }
        }
    }

    #[test]
    fn a_frame_in_the_message_of_a_stream_reads_back() {
        let head = FrameHead { frame_id: 7, checksum: Some(0), taken_ticks: 9, ..FrameHead::default() };
        for data in [0..0, 0..7, 2..5, 6..7, 7..7] {
            let payload = b"payload";
            let mut message = Vec::new();
            // A message has other fields, too, one of them with the number of the stream's bytes in the frame.
            Writer(&mut message).fixed32(2, 640);
            Writer(&mut message).bytes(6, &payload[data.clone()]);
            assert_eq!(carried_frame(&message), Some(None), "one without a frame");
            head.encode_carried(payload, &Carried { data_field: 6, data: data.clone() }, &mut message);
            assert_eq!(carried_frame(&message), Some(Some((head, payload.to_vec()))), "{data:?}");
            for cut in 0..message.len() {
                let _ = carried_frame(&message[..cut]);
            }
        }
        // The place of the bytes is behind the end.
        let (mut inner, mut message) = (Vec::new(), Vec::new());
        Writer(&mut inner).fixed32(field::DATA_FIELD, 6);
        Writer(&mut inner).fixed32(field::DATA_AT, u32::MAX);
        Writer(&mut message).bytes(CARRIED, &inner);
        Writer(&mut message).bytes(6, b"x");
        assert_eq!(carried_frame(&message), None);
    }

    #[test]
    fn a_frame_of_unknown_age_gets_no_date() {
        let (day, second) = (86_400_000_000_000, 1_000_000_000);
        let time = Some(PublishTime::from_ticks(day));
        assert!(published(time, day + second).is_some_and(|t| t.abs_diff(day) <= 2048));
        assert_eq!(published(time, day - second), None, "from the future, so of another clock");
        assert_eq!(published(Some(PublishTime::from_ticks(u64::MAX - 1024)), second), None, "before there was time");
        assert_eq!(published(None, day), None);
    }
}
