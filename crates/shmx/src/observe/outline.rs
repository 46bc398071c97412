//! A frame's streams, read from its slot without copying the whole frame.

use shmx_abi::TLV_FRAME_STREAM;
use shmx_abi::extension::PublishTime;
use shmx_abi::frame::FrameError;
use shmx_abi::tlv::{self, TlvError};
use shmx_abi::wire::{self, FrameHeader, FrameStreamHeader, TlvHeader};
use shmx_os::clock;
use shmx_ring::bytes::copy_out;
use shmx_ring::sync::AtomicU64;
use std::ops::Range;
use std::time::Duration;

/// A frame's streams with a part of each one's bytes, read from the slot without copying the whole frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FrameOutline {
    /// Slot the frame lies in.
    pub slot: u32,
    /// Its header.
    pub header: FrameHeader,
    /// The streams in the order in which they were appended.
    pub streams: Vec<StreamPart>,
    /// Why the streams end early, if they do.
    pub error: Option<FrameError>,
    pub(super) published: Option<PublishTime>,
    /// Whether there are more records than were looked at ([`FrameOutline::MOST_RECORDS`]).
    pub cut: bool,
}

impl FrameOutline {
    /// Records looked at.
    pub const MOST_RECORDS: usize = 4096;
    /// Bytes of one stream that are copied at most.
    pub const MOST_BYTES: u32 = 1 << 20;

    /// The producer's own time.
    #[must_use]
    pub const fn sim_time(&self) -> f64 {
        self.header.sim_time
    }

    /// When it was published, as the format has it; `None` if the producer gives no time.
    #[must_use]
    pub const fn publish_time(&self) -> Option<PublishTime> {
        self.published
    }

    /// Time from publishing until now, in steps of 1024 ns; `None` if the producer gives no time.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.published?.age_ns(clock::ticks()).map(Duration::from_nanos)
    }
}

/// A part of a stream in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPart {
    /// The stream's number.
    pub stream_id: u32,
    /// Number of elements, as the producer counted them.
    pub elem_count: u32,
    /// Bytes of the whole stream.
    pub bytes: u32,
    /// Where `part` begins, in bytes from the start of the stream's data.
    pub start: u32,
    /// The bytes asked for, as far as there are such.
    pub part: Vec<u8>,
}

/// Copies `len` bytes from any offset of shared words, as far as there are such.
fn part_of(words: &[AtomicU64], at: usize, len: usize) -> Vec<u8> {
    let len = len.min(size_of_val(words).saturating_sub(at));
    let skip = at % 8;
    let mut bytes = vec![0; skip + len];
    copy_out(words.get(at / 8..).unwrap_or(&[]), &mut bytes);
    bytes.drain(..skip);
    bytes
}

pub(super) type Walked = (Vec<StreamPart>, Option<FrameError>, bool);

/// Walks over a payload's records where they lie. Every length is checked against `len`, the payload's bytes.
pub(super) fn walk(words: &[AtomicU64], len: u32, want: impl Fn(u32, u32) -> Range<u32>) -> Walked {
    let head = size_of::<TlvHeader>() as u64;
    let fixed = size_of::<FrameStreamHeader>() as u64;
    let end = u64::from(len);
    let mut streams = Vec::new();
    let mut at = 0_u64;
    for _ in 0..FrameOutline::MOST_RECORDS {
        if at + head > end {
            return (streams, None, false);
        }
        let bytes = part_of(words, at as usize, (head + fixed) as usize);
        let Some(record) = wire::read_at::<TlvHeader>(&bytes, 0) else { return (streams, None, false) };
        let body = u64::from(record.length);
        let (offset, length) = (at as usize, record.length);
        if at + head + body > end {
            let available = (end - at - head) as usize;
            let e = FrameError::Truncated(TlvError { offset, length, available });
            return (streams, Some(e), false);
        }
        if record.ty == TLV_FRAME_STREAM {
            let stream: Option<FrameStreamHeader> = wire::read_at(&bytes, head as usize);
            let Some(s) = stream.filter(|s| fixed + u64::from(s.bytes_payload) <= body) else {
                let e = FrameError::BadStream { offset, length: length as usize };
                return (streams, Some(e), false);
            };
            let wanted = want(s.stream_id, s.bytes_payload);
            let start = wanted.start.min(s.bytes_payload);
            let count = wanted.end.min(s.bytes_payload).saturating_sub(start).min(FrameOutline::MOST_BYTES);
            let data = at + head + fixed + u64::from(start);
            streams.push(StreamPart {
                stream_id: s.stream_id,
                elem_count: s.elem_count,
                bytes: s.bytes_payload,
                start,
                part: part_of(words, data as usize, count as usize),
            });
        }
        at += tlv::step(record.length);
    }
    (streams, None, at + head <= end)
}
