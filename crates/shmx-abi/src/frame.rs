//! The payload of a frame: stream records, read and written (wire-format.md, section 5.3).

use crate::consts::{FRAME_STREAM_HEADER_LEN, TLV_ALIGN, TLV_FRAME_STREAM, TLV_HEADER_LEN};
use crate::tlv::{self, TlvError, Tlvs};
use crate::wire::{FrameStreamHeader, TlvHeader, read_at};
use core::mem::offset_of;
use zerocopy::IntoBytes;

/// Bytes from the start of a stream's record to its data.
pub const DATA_OFFSET: u32 = TLV_HEADER_LEN + FRAME_STREAM_HEADER_LEN;

/// One stream's data in a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StreamData<'a> {
    /// The stream's number.
    pub stream_id: u32,
    /// Number of elements, as the producer counted them.
    pub elem_count: u32,
    /// The data; 8-byte aligned when the payload is.
    pub data: &'a [u8],
}

/// The length of the data only: an image's bytes would fill a log.
impl core::fmt::Debug for StreamData<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut debug = f.debug_struct("StreamData");
        debug.field("stream_id", &self.stream_id).field("elem_count", &self.elem_count);
        debug.field("data", &format_args!("{} bytes", self.data.len())).finish()
    }
}

/// Why a frame's payload could not be read on. The walk ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A record runs past the payload.
    Truncated(TlvError),
    /// A stream record is shorter than its fixed part, or than the data it claims.
    BadStream {
        /// Byte offset of the record in the payload.
        offset: usize,
        /// Bytes of its body.
        length: usize,
    },
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated(e) => write!(f, "frame payload: {e}"),
            Self::BadStream { offset, length } => {
                write!(
                    f,
                    "frame payload: the stream at byte {offset} claims more data than its record of {length} bytes holds"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Walks over the streams of a payload. Records of other types are skipped; ends after the first error.
#[derive(Clone, Debug)]
pub struct Streams<'a> {
    tlvs: Tlvs<'a>,
    failed: bool,
}

impl<'a> Streams<'a> {
    /// Walks over the `payload_bytes` bytes of a frame.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { tlvs: Tlvs::new(payload), failed: false }
    }
}

impl<'a> Iterator for Streams<'a> {
    type Item = Result<StreamData<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let tlv = match self.tlvs.next()? {
                Ok(tlv) if tlv.ty == TLV_FRAME_STREAM => tlv,
                Ok(_) => continue,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(FrameError::Truncated(e)));
                }
            };
            let stream = parse_stream(tlv.body);
            self.failed = stream.is_none();
            return Some(stream.ok_or(FrameError::BadStream { offset: tlv.offset, length: tlv.body.len() }));
        }
        None
    }
}

impl core::iter::FusedIterator for Streams<'_> {}

#[inline]
fn parse_stream(body: &[u8]) -> Option<StreamData<'_>> {
    // Word by word: a frame that was copied just now is in the processor's store buffer, which serves no load across
    // the pieces it was stored in.
    let word = |at| read_at::<u32>(body, at);
    let bytes = word(offset_of!(FrameStreamHeader, bytes_payload))?;
    let data = body.get(size_of::<FrameStreamHeader>()..)?.get(..usize::try_from(bytes).ok()?)?;
    let stream_id = word(offset_of!(FrameStreamHeader, stream_id))?;
    let elem_count = word(offset_of!(FrameStreamHeader, elem_count))?;
    Some(StreamData { stream_id, elem_count, data })
}

/// A stream of a frame that is still being written, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPrefix<'a> {
    /// What there is of the stream: its data may be shorter than `bytes`.
    pub stream: StreamData<'a>,
    /// Bytes of data that it will have.
    pub bytes: u32,
}

/// Walks over the streams of the first bytes of a payload. The last one may be there in part; one whose header is not
/// there yet is left out. Ends after the first damaged one.
///
/// ```
/// use shmx_abi::frame::{PayloadCursor, StreamPrefixes};
///
/// let mut payload = [0; 64];
/// PayloadCursor::new().append(&mut payload, 7, 8, b"12345678").unwrap();
/// let part = StreamPrefixes::new(&payload[..27]).next().unwrap().unwrap();
/// assert_eq!((part.stream.data, part.bytes), (&b"123"[..], 8));
/// assert!(StreamPrefixes::new(&payload[..23]).next().is_none());
/// ```
#[derive(Clone, Debug)]
pub struct StreamPrefixes<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> StreamPrefixes<'a> {
    /// Walks over the first bytes of a payload.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for StreamPrefixes<'a> {
    type Item = Result<StreamPrefix<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = usize::try_from(self.at).ok()?;
            let record = self.bytes.get(offset..)?;
            let TlvHeader { ty, length } = read_at(record, 0)?;
            self.at += tlv::step(length);
            if ty != TLV_FRAME_STREAM {
                continue;
            }
            // Until it is known to be sound, the last one.
            let next = core::mem::replace(&mut self.at, u64::MAX);
            let bad = FrameError::BadStream { offset, length: length as usize };
            let Some(room) = length.checked_sub(FRAME_STREAM_HEADER_LEN) else { return Some(Err(bad)) };
            let header: FrameStreamHeader = read_at(record, size_of::<TlvHeader>())?;
            let bytes = header.bytes_payload;
            if bytes > room {
                return Some(Err(bad));
            }
            self.at = next;
            let there = record.get(DATA_OFFSET as usize..)?;
            let data = there.get(..bytes as usize).unwrap_or(there);
            let stream = StreamData { stream_id: header.stream_id, elem_count: header.elem_count, data };
            return Some(Ok(StreamPrefix { stream, bytes }));
        }
    }
}

impl core::iter::FusedIterator for StreamPrefixes<'_> {}

/// Bytes that a stream with `data_len` bytes of data takes in a payload; `None` if that exceeds a `u32`.
#[must_use]
#[inline]
pub fn stream_len(data_len: usize) -> Option<u32> {
    let body = u32::try_from(data_len).ok()?.checked_add(FRAME_STREAM_HEADER_LEN)?;
    u32::try_from(tlv::step(body)).ok()
}

/// Builds a payload, one stream after the other, in memory that the caller holds.
///
/// The cursor keeps only the counts, so the same code serves a slot of a region and a buffer in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadCursor {
    used: u32,
    tlv_count: u32,
}

/// A stream did not fit into what is left of a frame. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFull {
    /// Bytes the stream needs, header and padding included; `u64::MAX` when they cannot be counted in a `u32`.
    pub needed: u64,
    /// Bytes left.
    pub available: u64,
}

impl core::fmt::Display for PayloadFull {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the stream needs {} bytes of the frame and {} are left", self.needed, self.available)
    }
}

impl core::error::Error for PayloadFull {}

impl PayloadCursor {
    /// A cursor at the start of an empty payload.
    #[must_use]
    pub const fn new() -> Self {
        Self { used: 0, tlv_count: 0 }
    }

    /// Bytes used so far: the frame's `payload_bytes`.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Records written so far: the frame's `tlv_count`.
    #[must_use]
    pub const fn tlv_count(&self) -> u32 {
        self.tlv_count
    }

    /// Writes the record of a stream with `data_len` bytes of data and returns the place for the data.
    ///
    /// `buf` is the whole payload area of `frame_bytes_cap` bytes. The data bytes hold anything; the padding behind
    /// them is zeroed.
    ///
    /// # Errors
    ///
    /// [`PayloadFull`] if the record does not fit.
    #[inline]
    pub fn reserve<'b>(
        &mut self,
        buf: &'b mut [u8],
        stream_id: u32,
        elem_count: u32,
        data_len: usize,
    ) -> Result<&'b mut [u8], PayloadFull> {
        self.reserve_behind(0, buf, stream_id, elem_count, data_len)
    }

    /// [`PayloadCursor::reserve`] where `buf` is what lies behind the first `base` bytes of the payload area, which were
    /// used before.
    ///
    /// # Errors
    ///
    /// [`PayloadFull`] if the record does not fit.
    #[inline]
    pub fn reserve_behind<'b>(
        &mut self,
        base: u32,
        buf: &'b mut [u8],
        stream_id: u32,
        elem_count: u32,
        data_len: usize,
    ) -> Result<&'b mut [u8], PayloadFull> {
        let used = (self.used - base.min(self.used)) as usize;
        let room = buf.get_mut(used..).unwrap_or(&mut []);
        let available = room.len() as u64;
        let full = |needed: u64| PayloadFull { needed, available };
        let need = stream_len(data_len).ok_or(full(u64::MAX))?;
        let next = self.used.checked_add(need).ok_or(full(u64::from(need)))?;
        let record = room.get_mut(..need as usize).ok_or(full(u64::from(need)))?;
        // The padding is less than the alignment of records. Zeroing just that much, with what lies before it, is one
        // store; as many bytes as the padding has would be a call.
        if let Some(end) = record.last_chunk_mut::<{ TLV_ALIGN as usize }>() {
            *end = [0; _];
        }
        let (head, rest) = record.split_at_mut(DATA_OFFSET as usize);
        let data = &mut rest[..data_len];
        // `stream_len` bounds data_len by u32::MAX, so the casts below keep every bit.
        let tlv = TlvHeader { ty: TLV_FRAME_STREAM, length: FRAME_STREAM_HEADER_LEN + data_len as u32 };
        let stream = FrameStreamHeader { stream_id, elem_count, bytes_payload: data_len as u32, reserved: 0 };
        let (a, b) = head.split_at_mut(size_of::<TlvHeader>());
        a.copy_from_slice(tlv.as_bytes());
        b.copy_from_slice(stream.as_bytes());
        self.used = next;
        // Whoever appends records says how many they are.
        self.tlv_count = self.tlv_count.saturating_add(1);
        Ok(data)
    }

    /// Appends a stream by copying its data.
    ///
    /// # Errors
    ///
    /// [`PayloadFull`] if it does not fit.
    pub fn append(&mut self, buf: &mut [u8], stream_id: u32, elem_count: u32, data: &[u8]) -> Result<(), PayloadFull> {
        self.reserve(buf, stream_id, elem_count, data.len())?.copy_from_slice(data);
        Ok(())
    }

    /// Appends bytes that are records already, `count` of them as their producer counted, unchecked and as they are, to
    /// the start of `room`, which is what is left of the payload area.
    ///
    /// # Errors
    ///
    /// [`PayloadFull`] if they do not fit.
    pub fn append_records(&mut self, room: &mut [u8], records: &[u8], count: u32) -> Result<(), PayloadFull> {
        let full = PayloadFull { needed: records.len() as u64, available: room.len() as u64 };
        let next = u32::try_from(records.len()).ok().and_then(|n| self.used.checked_add(n)).ok_or(full)?;
        room.get_mut(..records.len()).ok_or(full)?.copy_from_slice(records);
        self.used = next;
        self.tlv_count = self.tlv_count.saturating_add(count);
        Ok(())
    }

    /// Takes `len` bytes that were written behind the used ones as records, `count` of them, unchecked and as they are.
    /// The payload area has `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`PayloadFull`] if there are not that many bytes.
    pub fn commit_records(&mut self, capacity: u32, len: u32, count: u32) -> Result<(), PayloadFull> {
        let available = u64::from(capacity.saturating_sub(self.used));
        let full = PayloadFull { needed: len.into(), available };
        let next = self.used.checked_add(len).filter(|_| u64::from(len) <= available).ok_or(full)?;
        self.used = next;
        self.tlv_count = self.tlv_count.saturating_add(count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back() {
        let mut buf = [0xAA_u8; 128];
        let mut cursor = PayloadCursor::new();
        cursor.append(&mut buf, 42, 1, &8_u64.to_le_bytes()).unwrap();
        cursor.append(&mut buf, 43, 3, b"abc").unwrap();
        assert_eq!((cursor.used(), cursor.tlv_count()), (64, 2));
        let mut streams = Streams::new(&buf[..64]);
        assert_eq!(streams.next(), Some(Ok(StreamData { stream_id: 42, elem_count: 1, data: &8_u64.to_le_bytes() })));
        assert_eq!(streams.next(), Some(Ok(StreamData { stream_id: 43, elem_count: 3, data: b"abc" })));
        assert_eq!(streams.next(), None);
        assert!(buf[59..64].iter().all(|&b| b == 0), "padding is zeroed");
    }

    #[test]
    fn a_walk_over_what_is_there_agrees_with_one_over_all_and_ends_once() {
        let mut buf = [0_u8; 160];
        let mut cursor = PayloadCursor::new();
        cursor.append(&mut buf, 1, 5, b"12345").unwrap();
        cursor.append(&mut buf, 2, 1, &[7; 40]).unwrap();
        cursor.append(&mut buf, 3, 0, &[]).unwrap();
        let payload = &buf[..cursor.used() as usize];
        let whole: std::vec::Vec<_> = Streams::new(payload).take(9).map(Result::unwrap).collect();
        for len in 0..=payload.len() {
            let mut walk = StreamPrefixes::new(&payload[..len]);
            let mut found = 0;
            for part in walk.by_ref() {
                let StreamPrefix { stream, bytes } = part.unwrap();
                let all = &whole[found];
                assert_eq!(
                    (stream.stream_id, stream.elem_count, bytes as usize),
                    (all.stream_id, all.elem_count, all.data.len())
                );
                assert!(all.data.starts_with(stream.data), "{len} bytes");
                found += 1;
            }
            assert!(walk.next().is_none() && (len < payload.len() || found == whole.len()));
        }
        // A record that is too short for a stream, and one that claims more than it has.
        for (at, word) in [(4, 15_u32), (16, 6)] {
            let mut bad = buf;
            bad[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            for len in [20, 24, 64, 160] {
                let mut walk = StreamPrefixes::new(&bad[..len]);
                assert!(!matches!(walk.next(), Some(Ok(_))), "{len} bytes");
                assert!(walk.next().is_none());
            }
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut buf = [0_u8; 64];
        let mut cursor = PayloadCursor::new();
        cursor.append(&mut buf, 1, 1, &[7; 8]).unwrap();
        let before = (buf, cursor);
        assert_eq!(cursor.append(&mut buf, 2, 1, &[9; 9]), Err(PayloadFull { needed: 48, available: 32 }));
        assert_eq!((buf, cursor), before);
        assert!(cursor.append(&mut buf, 2, 1, &[9; 8]).is_ok());
    }

    #[test]
    fn a_stream_prints_the_length_of_its_data() {
        let stream = StreamData { stream_id: 7, elem_count: 500, data: &[9; 1000] };
        let expected = "StreamData { stream_id: 7, elem_count: 500, data: 1000 bytes }";
        assert_eq!(std::format!("{stream:?}"), expected);
    }

    #[test]
    fn a_count_of_records_that_is_not_so_stays_at_its_greatest() {
        let mut buf = [0_u8; 64];
        let mut cursor = PayloadCursor::new();
        cursor.append_records(&mut [], &[], u32::MAX).unwrap();
        cursor.append(&mut buf, 1, 1, &[7; 8]).unwrap();
        cursor.append_records(&mut [], &[], 1).unwrap();
        assert_eq!((cursor.used(), cursor.tlv_count()), (32, u32::MAX));
        let stream = StreamData { stream_id: 1, elem_count: 1, data: &[7; 8] };
        assert_eq!(Streams::new(&buf[..32]).next(), Some(Ok(stream)));
    }

    #[test]
    fn records_go_behind_those_that_lie_elsewhere() {
        let mut whole = [0xEE_u8; 128];
        let mut cursor = PayloadCursor::new();
        cursor.append(&mut whole, 1, 1, b"one").unwrap();
        let (_, behind) = whole.split_at_mut(32);
        for (id, data) in [(2, b"two"), (3, b"six")] {
            cursor.reserve_behind(32, behind, id, 3, 3).unwrap().copy_from_slice(data);
        }
        assert_eq!((cursor.used(), cursor.tlv_count()), (96, 3));
        let full = PayloadFull { needed: 48, available: 32 };
        assert_eq!(cursor.reserve_behind(32, behind, 4, 1, 9), Err(full));
        let ids = Streams::new(&whole[..96]).map(|s| s.map(|s| (s.stream_id, s.data)));
        assert!(ids.eq([(1, &b"one"[..]), (2, b"two"), (3, b"six")].map(Ok)));
        assert!(whole[96..].iter().all(|&b| b == 0xEE));
    }

    #[test]
    fn records_that_were_written_elsewhere_are_taken_as_far_as_there_is_room() {
        let mut cursor = PayloadCursor::new();
        cursor.commit_records(100, 60, 2).unwrap();
        assert_eq!((cursor.used(), cursor.tlv_count()), (60, 2));
        assert_eq!(cursor.commit_records(100, 41, 1), Err(PayloadFull { needed: 41, available: 40 }));
        assert_eq!(cursor.commit_records(59, 1, 1), Err(PayloadFull { needed: 1, available: 0 }));
        assert_eq!((cursor.used(), cursor.tlv_count()), (60, 2), "nothing was taken");
        cursor.commit_records(100, 40, 1).unwrap();
        assert_eq!((cursor.used(), cursor.tlv_count()), (100, 3));
        assert!(cursor.commit_records(u32::MAX, u32::MAX, 1).is_err());
    }
}
