//! Chunks and records as bytes: their heads, compression, checksums.

use std::io::{self, Read};
use std::ops::Range;

/// Longest chunk that is unpacked: a frame has less than 4 GiB, and may be there twice.
const CHUNK_LIMIT: u64 = 16 << 30;
/// Bytes before the body of a record: opcode and length.
pub(super) const OP_LEN: u64 = 9;

/// Where a chunk is.
#[derive(Clone, Debug)]
pub(super) struct ChunkRef {
    pub(super) file: usize,
    /// Where the chunk's record begins.
    pub(super) at: u64,
    /// Bytes of its body.
    pub(super) len: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Only the frames with log times in here, in their order, belong to this piece; none: all, as they lie.
    pub(super) window: Option<(u64, u64)>,
    /// Other chunks with messages in that window.
    pub(super) across: Vec<ChunkRef>,
}

impl ChunkRef {
    /// Its times are later by this.
    pub(super) fn shift(&mut self, by: i64) {
        let later = |t: u64| t.saturating_add_signed(by);
        (self.start, self.end) = (later(self.start), later(self.end));
        // The last piece has no end.
        self.window = self.window.map(|(from, to)| (later(from), if to == u64::MAX { to } else { later(to) }));
    }
}

pub(super) fn le16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

fn le32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

pub(super) fn le64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// Opcode and body of the record at `at`; `None` if it does not fit.
pub(super) fn record_at(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let opcode = *bytes.get(at)?;
    let len = usize::try_from(le64(bytes, at + 1)?).ok()?;
    let start = at + OP_LEN as usize;
    let end = start.checked_add(len).filter(|&e| e <= bytes.len())?;
    Some((opcode, start..end))
}

#[cfg(any(feature = "zstd", feature = "lz4"))]
fn decompress(decoder: impl Read, len: u64) -> Result<Vec<u8>, String> {
    // Grows with what comes, so that a wrong length costs no memory.
    let mut bytes = Vec::with_capacity(usize::try_from(len.min(64 << 20)).unwrap_or(0));
    let read = decoder.take(len.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| format!("a chunk that cannot be unpacked ({e})"))?;
    Ok(bytes)
}

/// The head of a chunk: times, length, checksum, and where its data lies.
pub(super) struct ChunkHead {
    pub(super) start: u64,
    pub(super) end: u64,
    uncompressed: u64,
    crc: u32,
    compression: String,
    data: Range<usize>,
}

impl ChunkHead {
    /// Longest head that is believed.
    pub(super) const LONGEST: usize = 40 + 64;

    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let name_len = le32(body, 28)? as usize;
        if name_len > 64 {
            return None;
        }
        let name = body.get(32..32 + name_len)?;
        let data = 40 + name_len;
        let compressed = usize::try_from(le64(body, 32 + name_len)?).ok()?;
        let uncompressed = le64(body, 16)?;
        if uncompressed > CHUNK_LIMIT {
            return None;
        }
        Some(Self {
            start: le64(body, 0)?,
            end: le64(body, 8)?,
            uncompressed,
            crc: le32(body, 24)?,
            compression: String::from_utf8_lossy(name).into_owned(),
            data: data..data.checked_add(compressed)?,
        })
    }
}

/// The bytes in a chunk's record, checked against its head.
pub(super) fn unpack(mut body: Vec<u8>) -> Result<Vec<u8>, String> {
    let head = ChunkHead::parse(&body).ok_or("a chunk without a head")?;
    let mut data = body.split_off(head.data.start);
    if data.len() < head.data.len() {
        return Err("a chunk shorter than its head says".into());
    }
    data.truncate(head.data.len());
    let bytes = match head.compression.as_str() {
        "" => data,
        #[cfg(feature = "zstd")]
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(data.as_slice());
            let decoder = decoder.map_err(|e| format!("a chunk that zstd rejects ({e})"))?;
            decompress(decoder, head.uncompressed)?
        }
        #[cfg(feature = "lz4")]
        "lz4" => {
            let decoder = lz4::Decoder::new(data.as_slice());
            let decoder = decoder.map_err(|e| format!("a chunk that lz4 rejects ({e})"))?;
            decompress(decoder, head.uncompressed)?
        }
        other => return Err(format!("a chunk of unknown compression `{}`", other.escape_debug())),
    };
    if bytes.len() as u64 != head.uncompressed {
        return Err("a chunk of another length than its head says".into());
    }
    if head.crc != 0 && crc32fast::hash(&bytes) != head.crc {
        return Err("a chunk with a wrong checksum".into());
    }
    Ok(bytes)
}

pub(super) fn read_full(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match reader.read(&mut buf[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}
