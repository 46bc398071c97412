//! Type-length-value records, read and written (wire-format.md, section 5.1).

use crate::consts::{TLV_ALIGN, TLV_HEADER_LEN};
use crate::wire::{TlvHeader, read_at};

/// One record: its type, its body, and where it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What the body is.
    pub ty: u32,
    /// The body, without header and padding.
    pub body: &'a [u8],
    /// Byte offset of the record's header in the sequence.
    pub offset: usize,
}

/// A record whose length points past the end of the sequence; nothing behind it can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvError {
    /// Byte offset of the record's header.
    pub offset: usize,
    /// The length it claims for its body.
    pub length: u32,
    /// Bytes the body could have had.
    pub available: usize,
}

impl core::fmt::Display for TlvError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "the record at byte {} claims {} bytes where {} are left; the data is damaged from there on",
            self.offset, self.length, self.available
        )
    }
}

impl core::error::Error for TlvError {}

/// Bytes from a record with a body of `length` to the next one: `round_up(8 + length, 16)`.
#[must_use]
#[inline]
pub const fn step(length: u32) -> u64 {
    (TLV_HEADER_LEN as u64 + length as u64).next_multiple_of(TLV_ALIGN as u64)
}

/// Walks over the records of a sequence. Ends after the first damaged one.
///
/// Fewer than eight bytes at the end are padding and end the walk without an error, as in the original.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tlvs<'a> {
    /// Walks over `bytes`, whose first byte is a record's first.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        let header: TlvHeader = read_at(self.bytes, offset)?;
        let rest = self.bytes.get(offset + size_of::<TlvHeader>()..).unwrap_or(&[]);
        let Some(body) = usize::try_from(header.length).ok().and_then(|n| rest.get(..n)) else {
            self.at = self.bytes.len();
            return Some(Err(TlvError { offset, length: header.length, available: rest.len() }));
        };
        let next = offset as u64 + step(header.length);
        self.at = usize::try_from(next).unwrap_or(usize::MAX).min(self.bytes.len());
        Some(Ok(Tlv { ty: header.ty, body, offset }))
    }
}

impl core::iter::FusedIterator for Tlvs<'_> {}
