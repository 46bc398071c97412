//! The stream directory in the static area (wire-format.md, sections 5.2 and 8).

use crate::consts::{STATIC_STREAM_DESC_LEN, TLV_HEADER_LEN, TLV_STATIC_DIR};
use crate::element::{ElementLayout, ElementType};
use crate::tlv::{self, TlvError, Tlvs};
use crate::wire::{StaticStreamDesc, TlvHeader, read_at};
use zerocopy::IntoBytes;

/// One stream as the directory describes it. Codes are kept as found: a newer writer may use ones we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEntry<'a> {
    /// The stream's number.
    pub stream_id: u32,
    /// Code of the component type, see [`StreamEntry::element_type`].
    pub element_type_code: u32,
    /// Components of one element.
    pub components: u32,
    /// Code of the layout, see [`StreamEntry::layout`].
    pub layout_code: u32,
    /// Bytes of one whole element.
    pub bytes_per_elem: u32,
    /// The name as found; UTF-8 is promised but not enforced.
    pub name: &'a [u8],
    /// Application data.
    pub extra: &'a [u8],
}

impl<'a> StreamEntry<'a> {
    /// The component type, if the code is known.
    #[must_use]
    pub fn element_type(&self) -> Option<ElementType> {
        ElementType::from_wire(self.element_type_code)
    }

    /// The layout, if the code is known.
    #[must_use]
    pub const fn layout(&self) -> Option<ElementLayout> {
        ElementLayout::from_wire(self.layout_code)
    }

    /// The name, if it is UTF-8.
    #[must_use]
    pub fn name_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.name).ok()
    }

    /// Bytes the entry takes in the static area, padding included; `None` if its lengths exceed a `u32`.
    #[must_use]
    pub fn encoded_len(&self) -> Option<u32> {
        let body = u64::from(STATIC_STREAM_DESC_LEN) + self.name.len() as u64 + self.extra.len() as u64;
        u32::try_from(tlv::step(u32::try_from(body).ok()?)).ok()
    }

    /// Writes the entry at the start of `out` and returns the bytes used; `None` if it does not fit.
    pub fn encode(&self, out: &mut [u8]) -> Option<u32> {
        let total = self.encoded_len()?;
        let out = out.get_mut(..usize::try_from(total).ok()?)?;
        out.fill(0);
        let name_len = u32::try_from(self.name.len()).ok()?;
        let extra_len = u32::try_from(self.extra.len()).ok()?;
        let head = TlvHeader { ty: TLV_STATIC_DIR, length: STATIC_STREAM_DESC_LEN + name_len + extra_len };
        let desc = StaticStreamDesc {
            stream_id: self.stream_id,
            element_type: self.element_type_code,
            components: self.components,
            layout: self.layout_code,
            bytes_per_elem: self.bytes_per_elem,
            reserved: 0,
            name_len,
            extra_len,
        };
        let mut at = 0;
        for part in [head.as_bytes(), desc.as_bytes(), self.name, self.extra] {
            out.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        Some(total)
    }
}

/// Why an entry could not be read. The walk ends there, since what follows cannot be trusted to be aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A record runs past the used part of the static area.
    Truncated(TlvError),
    /// A directory entry is shorter than its fixed part, or than the name and extra bytes it claims.
    BadEntry {
        /// Byte offset of the record in the static area.
        offset: usize,
        /// Bytes of its body.
        length: usize,
    },
}

impl core::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated(e) => write!(f, "stream directory: {e}"),
            Self::BadEntry { offset, length } => write!(
                f,
                "stream directory: the entry at byte {offset} claims a name and extra data longer than its {length} bytes"
            ),
        }
    }
}

impl core::error::Error for DirectoryError {}

/// Walks over the entries of a directory. Records of other types are skipped; ends after the first error.
#[derive(Clone, Debug)]
pub struct Directory<'a> {
    tlvs: Tlvs<'a>,
    failed: bool,
}

impl<'a> Directory<'a> {
    /// Walks over the used bytes of a static area.
    #[must_use]
    pub const fn new(used: &'a [u8]) -> Self {
        Self { tlvs: Tlvs::new(used), failed: false }
    }
}

impl<'a> Iterator for Directory<'a> {
    type Item = Result<StreamEntry<'a>, DirectoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let tlv = match self.tlvs.next()? {
                Ok(tlv) if tlv.ty == TLV_STATIC_DIR => tlv,
                Ok(_) => continue,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(DirectoryError::Truncated(e)));
                }
            };
            let entry = parse_entry(tlv.body);
            self.failed = entry.is_none();
            return Some(entry.ok_or(DirectoryError::BadEntry { offset: tlv.offset, length: tlv.body.len() }));
        }
        None
    }
}

impl core::iter::FusedIterator for Directory<'_> {}

fn parse_entry(body: &[u8]) -> Option<StreamEntry<'_>> {
    let desc: StaticStreamDesc = read_at(body, 0)?;
    let rest = body.get(size_of::<StaticStreamDesc>()..)?;
    let (name, rest) = rest.split_at_checked(usize::try_from(desc.name_len).ok()?)?;
    let extra = rest.get(..usize::try_from(desc.extra_len).ok()?)?;
    Some(StreamEntry {
        stream_id: desc.stream_id,
        element_type_code: desc.element_type,
        components: desc.components,
        layout_code: desc.layout,
        bytes_per_elem: desc.bytes_per_elem,
        name,
        extra,
    })
}

const _: () = assert!(size_of::<TlvHeader>() as u32 == TLV_HEADER_LEN);
const _: () = assert!(size_of::<StaticStreamDesc>() as u32 == STATIC_STREAM_DESC_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_kept_and_named_where_they_are_known() {
        let mut entry = StreamEntry {
            stream_id: 1,
            element_type_code: 12,
            components: 3,
            layout_code: 1,
            bytes_per_elem: 12,
            name: "größe".as_bytes(),
            extra: &[],
        };
        assert_eq!(entry.element_type(), Some(ElementType::F32));
        assert_eq!((entry.layout(), entry.name_str()), (Some(ElementLayout::AosVector), Some("größe")));
        // A newer writer's.
        (entry.element_type_code, entry.layout_code, entry.name) = (99, 2, b"\xFF");
        assert_eq!((entry.element_type(), entry.layout(), entry.name_str()), (None, None, None));
    }
}
