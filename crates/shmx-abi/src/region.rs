//! A whole region as a byte slice: the entry point of a foreign reader.
//!
//! The slice should be a copy, or a region that nobody writes: nothing here guards against bytes that change while
//! they are looked at. A reader of a live region copies the bytes of one slot and checks its stamp before and after,
//! as `docs/wire-format.md` describes.

use crate::consts::FRAME_HEADER_LEN;
use crate::control::ControlRing;
use crate::directory::Directory;
use crate::extension::Features;
use crate::frame::Streams;
use crate::hash;
use crate::layout::{LayoutError, RegionLayout};
use crate::wire::{FrameHeader, GlobalHeader, ReaderSlot, read_at};

/// A region whose header and layout have been checked.
#[derive(Clone, Copy, Debug)]
pub struct RegionRef<'a> {
    bytes: &'a [u8],
    header: GlobalHeader,
    layout: RegionLayout,
}

/// A frame slot that holds a frame of the region's session.
#[derive(Clone, Copy, Debug)]
pub struct SlotRef<'a> {
    /// Number of the slot.
    pub index: u32,
    /// The frame's header.
    pub header: FrameHeader,
    /// The frame's payload.
    pub payload: &'a [u8],
}

/// Why a slot's frame, or the directory, cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionError {
    /// There is no slot with this number.
    NoSuchSlot {
        /// The number asked for.
        index: u32,
        /// The number of slots.
        slots: u32,
    },
    /// The frame claims more bytes than a frame can have.
    Oversize {
        /// Bytes it claims.
        payload_bytes: u32,
        /// Bytes a frame can have.
        frame_bytes_cap: u32,
    },
    /// The frame was written by another session.
    ForeignSession {
        /// The session in the frame.
        found: u64,
        /// The region's session.
        expected: u64,
    },
    /// The slot is being written.
    BeingWritten,
    /// The directory claims more bytes than its area has.
    DirectoryOversize {
        /// Bytes it claims.
        used: u32,
        /// Bytes of the area.
        capacity: u32,
    },
}

impl core::fmt::Display for RegionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::NoSuchSlot { index, slots } => {
                write!(f, "there is no slot {index}; the region has {slots}")
            }
            Self::Oversize { payload_bytes, frame_bytes_cap } => {
                write!(f, "the frame claims {payload_bytes} bytes and a frame has at most {frame_bytes_cap}")
            }
            Self::ForeignSession { found, expected } => {
                write!(f, "the frame belongs to session {found:#x}, the region to {expected:#x}")
            }
            Self::BeingWritten => f.write_str("the slot is being written"),
            Self::DirectoryOversize { used, capacity } => {
                write!(f, "the stream directory claims {used} bytes and its area has {capacity}")
            }
        }
    }
}

impl core::error::Error for RegionError {}

impl<'a> RegionRef<'a> {
    /// Checks the header and the layout against the length of `bytes`. No alignment is needed.
    ///
    /// # Errors
    ///
    /// [`LayoutError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LayoutError> {
        let available = bytes.len() as u64;
        let header: GlobalHeader = read_at(bytes, 0).ok_or(LayoutError::ShorterThanHeader { available })?;
        let layout = RegionLayout::from_header(&header, available)?;
        Ok(Self { bytes, header, layout })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &GlobalHeader {
        &self.header
    }

    /// The layout.
    #[must_use]
    pub const fn layout(&self) -> &RegionLayout {
        &self.layout
    }

    /// The extension's features that the region's server announces.
    #[must_use]
    pub const fn features(&self) -> Features {
        Features::of(&self.header)
    }

    /// The used bytes of the static area.
    ///
    /// # Errors
    ///
    /// [`RegionError::DirectoryOversize`].
    pub fn static_bytes(&self) -> Result<&'a [u8], RegionError> {
        let (used, capacity) = (self.header.static_bytes_used, self.layout.static_bytes_cap());
        let start = self.layout.static_offset() as usize;
        let area = self.bytes.get(start..start + capacity as usize);
        area.and_then(|a| a.get(..used as usize)).ok_or(RegionError::DirectoryOversize { used, capacity })
    }

    /// The stream directory.
    ///
    /// # Errors
    ///
    /// [`RegionError::DirectoryOversize`].
    pub fn directory(&self) -> Result<Directory<'a>, RegionError> {
        self.static_bytes().map(Directory::new)
    }

    /// Whether the directory's bytes have the hash that the header gives. An empty one that was never written has.
    #[must_use]
    pub fn static_hash_ok(&self) -> bool {
        match self.static_bytes() {
            Ok([]) => true,
            Ok(bytes) => hash::fnv1a64(bytes) == self.header.static_hash,
            Err(_) => false,
        }
    }

    /// Reader slot `index`; `None` past the last one.
    #[must_use]
    pub fn reader(&self, index: u32) -> Option<ReaderSlot> {
        read_at(self.bytes, self.layout.reader_slot(index)?)
    }

    /// The messages waiting in the control ring of reader `index`; `None` past the last one or without rings.
    #[must_use]
    pub fn control(&self, index: u32) -> Option<ControlRing<'a>> {
        let start = self.layout.control_ring(index)?;
        ControlRing::new(self.bytes.get(start..start + self.layout.control_per_reader() as usize)?)
    }

    /// The header of slot `index` as it lies there, checked for nothing; `None` past the last one.
    #[must_use]
    pub fn slot_header(&self, index: u32) -> Option<FrameHeader> {
        read_at(self.bytes, self.layout.frame_slot(index)?)
    }

    /// The frame in slot `index`; `Ok(None)` if the slot holds none. The checksum is not looked at.
    ///
    /// # Errors
    ///
    /// [`RegionError`] if the slot does not exist or what it holds cannot be a frame of this session.
    pub fn slot(&self, index: u32) -> Result<Option<SlotRef<'a>>, RegionError> {
        let no_slot = RegionError::NoSuchSlot { index, slots: self.layout.slots() };
        let start = self.layout.frame_slot(index).ok_or(no_slot)?;
        let header: FrameHeader = read_at(self.bytes, start).ok_or(no_slot)?;
        if self.features().is_extended() && header.ext_stamp % 2 == 1 {
            return Err(RegionError::BeingWritten);
        }
        if header.payload_bytes == 0 {
            return Ok(None);
        }
        let frame_bytes_cap = self.layout.frame_bytes_cap();
        if header.payload_bytes > frame_bytes_cap {
            return Err(RegionError::Oversize { payload_bytes: header.payload_bytes, frame_bytes_cap });
        }
        if header.session_id_copy != self.header.session_id {
            let (found, expected) = (header.session_id_copy, self.header.session_id);
            return Err(RegionError::ForeignSession { found, expected });
        }
        let at = start + FRAME_HEADER_LEN as usize;
        let payload = self.bytes.get(at..at + header.payload_bytes as usize).ok_or(no_slot)?;
        Ok(Some(SlotRef { index, header, payload }))
    }

    /// The newest frame; `Ok(None)` if there is none yet. The checksum is not looked at.
    ///
    /// # Errors
    ///
    /// [`RegionError`] if what the newest slot holds cannot be a frame of this session.
    pub fn latest(&self) -> Result<Option<SlotRef<'a>>, RegionError> {
        match self.layout.slot_of_sequence(self.header.write_index) {
            Some(index) => self.slot(index),
            None => Ok(None),
        }
    }
}

impl<'a> SlotRef<'a> {
    /// Whether the payload has the checksum that the header gives.
    ///
    /// Not to be asked where [`Features::has_checksum`] says that the frame carries none.
    #[must_use]
    pub fn checksum_ok(&self) -> bool {
        hash::checksum32(self.payload) == self.header.checksum
    }

    /// The streams of the payload.
    #[must_use]
    pub const fn streams(&self) -> Streams<'a> {
        Streams::new(self.payload)
    }
}
