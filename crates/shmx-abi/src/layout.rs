//! Where each section of a region starts, computed for a new region and checked for a found one (wire-format.md,
//! sections 4 and 14).

use crate::consts::*;
use crate::wire::GlobalHeader;

/// What a server chooses about its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionParams {
    /// Number of frame slots, at least 1.
    pub slots: u32,
    /// Number of readers that can attach; may be 0.
    pub reader_slots: u32,
    /// Bytes for the stream directory; 0 means exactly what it needs.
    pub static_bytes_cap: u32,
    /// Largest payload of a frame in bytes, at least 1.
    pub frame_bytes_cap: u32,
    /// Bytes of one reader's control ring including 16 for its positions; 0 means no ring.
    pub control_per_reader: u32,
}

/// A region's geometry: every offset, stride and count, consistent with each other and with the size of the region.
///
/// A value of this type is proof that the checks were made, so its accessors hand out offsets without further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionLayout {
    static_offset: u32,
    static_bytes_cap: u32,
    readers_offset: u32,
    reader_slots: u32,
    reader_slot_stride: u32,
    control_offset: u32,
    control_per_reader: u32,
    control_stride: u32,
    slots_offset: u32,
    slots: u32,
    slot_stride: u32,
    frame_bytes_cap: u32,
    total_bytes: u32,
}

/// Why there is no valid layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The bytes end before the header does.
    ShorterThanHeader {
        /// Bytes there are.
        available: u64,
    },
    /// The region does not start with the magic number.
    BadMagic {
        /// What it starts with.
        found: u64,
    },
    /// The region has another version of the format.
    BadVersion {
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// The region was written by a machine of another byte order, or is damaged.
    BadEndianness {
        /// What stands in place of [`ENDIAN_TAG`].
        found: u32,
    },
    /// A count or capacity is zero that must not be.
    Zero {
        /// Its name.
        field: &'static str,
    },
    /// An offset or stride is not a multiple of 64.
    Misaligned {
        /// Its name.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// A section starts inside the one before it, or is smaller than what it must hold.
    Overlap {
        /// The section's name.
        section: &'static str,
        /// Where it starts.
        offset: u64,
        /// The first byte it may start at.
        earliest: u64,
    },
    /// A stride is smaller than what lies at each step.
    StrideTooSmall {
        /// Its name.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The least value it could have.
        least: u64,
    },
    /// The region would need 4 GiB or more, which the format's 32-bit offsets cannot address.
    TooLarge {
        /// Bytes it would need.
        total: u64,
    },
    /// The header describes more bytes than there are.
    Truncated {
        /// Bytes the header describes.
        total: u64,
        /// Bytes there are.
        available: u64,
    },
    /// The directory does not fit into the configured capacity.
    DirectoryTooLarge {
        /// Bytes it needs.
        needed: u32,
        /// Configured capacity.
        capacity: u32,
    },
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::ShorterThanHeader { available } => {
                write!(f, "the region has {available} bytes, less than its header of {GLOBAL_HEADER_LEN}")
            }
            Self::BadMagic { found } => {
                write!(f, "not an SHMX region: it starts with {found:#018x} instead of {MAGIC:#018x}")
            }
            Self::BadVersion { major, minor } => write!(
                f,
                "the region has format version {major}.{minor}, this program reads {VERSION_MAJOR}.{VERSION_MINOR} only"
            ),
            Self::BadEndianness { found } => {
                write!(f, "the region has another byte order or is damaged: its endian tag is {found:#010x}")
            }
            Self::Zero { field } => write!(f, "{field} is 0 and must be at least 1"),
            Self::Misaligned { field, value } => {
                write!(f, "{field} is {value}, which is not a multiple of 64")
            }
            Self::Overlap { section, offset, earliest } => {
                write!(f, "the {section} start at byte {offset}, before byte {earliest} where the section before ends")
            }
            Self::StrideTooSmall { field, value, least } => {
                write!(f, "{field} is {value}, less than the {least} needed")
            }
            Self::TooLarge { total } => write!(
                f,
                "the region would take {total} bytes and the format ends below 4 GiB; use fewer slots or smaller capacities"
            ),
            Self::Truncated { total, available } => {
                write!(f, "the header describes {total} bytes but the region has {available}")
            }
            Self::DirectoryTooLarge { needed, capacity } => write!(
                f,
                "the stream directory takes {needed} bytes and static_bytes_cap is {capacity}; raise it or set it to 0"
            ),
        }
    }
}

impl core::error::Error for LayoutError {}

const fn up64(x: u64) -> u64 {
    x.next_multiple_of(SECTION_ALIGN as u64)
}

fn narrow(x: u64) -> Result<u32, LayoutError> {
    u32::try_from(x).map_err(|_| LayoutError::TooLarge { total: x })
}

impl RegionLayout {
    /// The layout of a new region, identical to the one the original writes for the same parameters.
    ///
    /// `directory_bytes` is the size of the directory the region starts with.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Zero`], [`LayoutError::DirectoryTooLarge`] or [`LayoutError::TooLarge`].
    pub fn for_params(params: &RegionParams, directory_bytes: u32) -> Result<Self, LayoutError> {
        let RegionParams { slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader } = *params;
        if slots == 0 {
            return Err(LayoutError::Zero { field: "slots" });
        }
        if frame_bytes_cap == 0 {
            return Err(LayoutError::Zero { field: "frame_bytes_cap" });
        }
        if static_bytes_cap != 0 && directory_bytes > static_bytes_cap {
            return Err(LayoutError::DirectoryTooLarge { needed: directory_bytes, capacity: static_bytes_cap });
        }
        // Saturating: with extreme counts the products pass 2^64, and any value that large is refused by `narrow`.
        let static_cap = up64(u64::from(if static_bytes_cap == 0 { directory_bytes } else { static_bytes_cap }));
        let static_offset = up64(u64::from(GLOBAL_HEADER_LEN));
        let readers_offset = static_offset + static_cap;
        let control_offset = readers_offset + u64::from(reader_slots) * u64::from(READER_SLOT_LEN);
        let control_stride = up64(u64::from(control_per_reader));
        let slots_offset = control_offset.saturating_add(u64::from(reader_slots).saturating_mul(control_stride));
        let slot_stride = u64::from(FRAME_HEADER_LEN) + up64(u64::from(frame_bytes_cap));
        let total = slots_offset.saturating_add(u64::from(slots).saturating_mul(slot_stride));
        let total_bytes = narrow(total)?;
        // Every other value is at most `total`, except strides of sections without elements.
        Ok(Self {
            static_offset: narrow(static_offset)?,
            static_bytes_cap: narrow(static_cap)?,
            readers_offset: narrow(readers_offset)?,
            reader_slots,
            reader_slot_stride: READER_SLOT_LEN,
            control_offset: narrow(control_offset)?,
            control_per_reader,
            control_stride: narrow(control_stride)?,
            slots_offset: narrow(slots_offset)?,
            slots,
            slot_stride: narrow(slot_stride)?,
            frame_bytes_cap,
            total_bytes,
        })
    }

    /// Checks a header found in a region of `available` bytes and takes its layout.
    ///
    /// The header must be a copy: the layout returned is only as good as the bytes looked at.
    ///
    /// # Errors
    ///
    /// The first thing found wrong: magic, version and byte order before anything else is believed.
    pub fn from_header(h: &GlobalHeader, available: u64) -> Result<Self, LayoutError> {
        if h.magic != MAGIC {
            return Err(LayoutError::BadMagic { found: h.magic });
        }
        if h.endianness != ENDIAN_TAG {
            return Err(LayoutError::BadEndianness { found: h.endianness });
        }
        if (h.ver_major, h.ver_minor) != (VERSION_MAJOR, VERSION_MINOR) {
            return Err(LayoutError::BadVersion { major: h.ver_major, minor: h.ver_minor });
        }
        for (field, value) in [("slots", h.slots), ("frame_bytes_cap", h.frame_bytes_cap)] {
            if value == 0 {
                return Err(LayoutError::Zero { field });
            }
        }
        for (field, value) in [
            ("static_offset", h.static_offset),
            ("readers_offset", h.readers_offset),
            ("reader_slot_stride", h.reader_slot_stride),
            ("control_offset", h.control_offset),
            ("control_stride", h.control_stride),
            ("slots_offset", h.slots_offset),
            ("slot_stride", h.slot_stride),
        ] {
            if value % SECTION_ALIGN != 0 {
                return Err(LayoutError::Misaligned { field, value });
            }
        }
        let frame = u64::from(FRAME_HEADER_LEN) + u64::from(h.frame_bytes_cap);
        let reader = if h.reader_slots == 0 { 0 } else { u64::from(READER_SLOT_LEN) };
        let ring = if h.reader_slots == 0 { 0 } else { u64::from(h.control_per_reader) };
        for (field, value, least) in [
            ("slot_stride", h.slot_stride, frame),
            ("reader_slot_stride", h.reader_slot_stride, reader),
            ("control_stride", h.control_stride, ring),
        ] {
            if u64::from(value) < least {
                return Err(LayoutError::StrideTooSmall { field, value, least });
            }
        }
        let mut end = u64::from(GLOBAL_HEADER_LEN);
        for (section, offset, len) in [
            ("stream directory's bytes", h.static_offset, u64::from(h.static_bytes_cap)),
            ("reader slots", h.readers_offset, u64::from(h.reader_slots) * u64::from(h.reader_slot_stride)),
            ("control rings", h.control_offset, u64::from(h.reader_slots) * u64::from(h.control_stride)),
            ("frame slots", h.slots_offset, u64::from(h.slots) * u64::from(h.slot_stride)),
        ] {
            let offset = u64::from(offset);
            if offset < end {
                return Err(LayoutError::Overlap { section, offset, earliest: end });
            }
            end = offset + len;
        }
        let total_bytes = narrow(end)?;
        if end > available {
            return Err(LayoutError::Truncated { total: end, available });
        }
        Ok(Self {
            static_offset: h.static_offset,
            static_bytes_cap: h.static_bytes_cap,
            readers_offset: h.readers_offset,
            reader_slots: h.reader_slots,
            reader_slot_stride: h.reader_slot_stride,
            control_offset: h.control_offset,
            control_per_reader: h.control_per_reader,
            control_stride: h.control_stride,
            slots_offset: h.slots_offset,
            slots: h.slots,
            slot_stride: h.slot_stride,
            frame_bytes_cap: h.frame_bytes_cap,
            total_bytes,
        })
    }

    /// Writes the geometry into a header, leaving every other field alone.
    pub fn fill_header(&self, h: &mut GlobalHeader) {
        h.static_offset = self.static_offset;
        h.static_bytes_cap = self.static_bytes_cap;
        h.slots = self.slots;
        h.slot_stride = self.slot_stride;
        h.slots_offset = self.slots_offset;
        h.frame_bytes_cap = self.frame_bytes_cap;
        h.reader_slots = self.reader_slots;
        h.reader_slot_stride = self.reader_slot_stride;
        h.readers_offset = self.readers_offset;
        h.control_offset = self.control_offset;
        h.control_per_reader = self.control_per_reader;
        h.control_stride = self.control_stride;
    }

    /// Size of the whole region in bytes.
    #[must_use]
    pub const fn total_bytes(&self) -> u32 {
        self.total_bytes
    }
    /// Start of the static area in bytes.
    #[must_use]
    pub const fn static_offset(&self) -> u32 {
        self.static_offset
    }
    /// Capacity of the static area in bytes.
    #[must_use]
    pub const fn static_bytes_cap(&self) -> u32 {
        self.static_bytes_cap
    }
    /// Start of the reader slots in bytes.
    #[must_use]
    pub const fn readers_offset(&self) -> u32 {
        self.readers_offset
    }
    /// Number of reader slots.
    #[must_use]
    pub const fn reader_slots(&self) -> u32 {
        self.reader_slots
    }
    /// Bytes from one reader slot to the next.
    #[must_use]
    pub const fn reader_slot_stride(&self) -> u32 {
        self.reader_slot_stride
    }
    /// Start of the control rings in bytes.
    #[must_use]
    pub const fn control_offset(&self) -> u32 {
        self.control_offset
    }
    /// Bytes of one control ring, positions included.
    #[must_use]
    pub const fn control_per_reader(&self) -> u32 {
        self.control_per_reader
    }
    /// Bytes from one control ring to the next.
    #[must_use]
    pub const fn control_stride(&self) -> u32 {
        self.control_stride
    }
    /// Start of the frame slots in bytes.
    #[must_use]
    pub const fn slots_offset(&self) -> u32 {
        self.slots_offset
    }
    /// Number of frame slots.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }
    /// Bytes from one frame slot to the next.
    #[must_use]
    pub const fn slot_stride(&self) -> u32 {
        self.slot_stride
    }
    /// Largest payload of a frame in bytes.
    #[must_use]
    pub const fn frame_bytes_cap(&self) -> u32 {
        self.frame_bytes_cap
    }

    /// Start of reader slot `index` in bytes; `None` past the last one.
    #[must_use]
    #[inline]
    pub const fn reader_slot(&self, index: u32) -> Option<usize> {
        if index < self.reader_slots {
            Some(self.readers_offset as usize + index as usize * self.reader_slot_stride as usize)
        } else {
            None
        }
    }

    /// Start of the control ring of reader `index` in bytes; `None` past the last one or when there are no rings.
    #[must_use]
    pub const fn control_ring(&self, index: u32) -> Option<usize> {
        if index < self.reader_slots && self.control_per_reader > CONTROL_HEAD_LEN {
            Some(self.control_offset as usize + index as usize * self.control_stride as usize)
        } else {
            None
        }
    }

    /// Start of frame slot `index` (its header) in bytes; `None` past the last one.
    #[must_use]
    #[inline]
    pub const fn frame_slot(&self, index: u32) -> Option<usize> {
        if index < self.slots {
            Some(self.slots_offset as usize + index as usize * self.slot_stride as usize)
        } else {
            None
        }
    }

    /// The slot that holds the frame with this sequence number; `None` for 0, which means no frame.
    #[must_use]
    #[inline]
    pub const fn slot_of_sequence(&self, sequence: u32) -> Option<u32> {
        match sequence.checked_sub(1) {
            Some(s) => Some(s % self.slots),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a new region with so many readers, with `change` made to it, in memory without end.
    fn found(reader_slots: u32, change: impl FnOnce(&mut GlobalHeader)) -> Result<RegionLayout, LayoutError> {
        let params = RegionParams {
            slots: 3,
            reader_slots,
            static_bytes_cap: 128,
            frame_bytes_cap: 100,
            control_per_reader: 80,
        };
        let mut header = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..Default::default() };
        RegionLayout::for_params(&params, 0)?.fill_header(&mut header);
        change(&mut header);
        RegionLayout::from_header(&header, u64::MAX)
    }

    #[test]
    fn each_section_begins_behind_the_one_before_it() {
        // The header, 128 bytes of directory, two reader slots, two rings of 80 bytes, three frames of 100 bytes.
        let layout = found(2, |_| {}).unwrap();
        let sections =
            [layout.static_offset(), layout.readers_offset(), layout.control_offset(), layout.slots_offset()];
        assert_eq!(sections, [128, 256, 384, 640]);
        assert_eq!(layout.total_bytes(), 640 + 3 * (64 + 128));
        let earlier: [fn(&mut GlobalHeader); 4] = [
            |h| h.static_offset -= 64,
            |h| h.readers_offset -= 64,
            |h| h.control_offset -= 64,
            |h| h.slots_offset -= 64,
        ];
        for (change, at) in earlier.into_iter().zip(sections.map(u64::from)) {
            let error = found(2, change).unwrap_err();
            let told =
                matches!(error, LayoutError::Overlap { offset, earliest, .. } if (offset, earliest) == (at - 64, at));
            assert!(told, "{error}");
        }
    }

    #[test]
    fn strides_matter_where_there_are_readers() {
        let no_slot = |h: &mut GlobalHeader| h.reader_slot_stride = 0;
        let no_ring = |h: &mut GlobalHeader| h.control_stride = 64;
        let error = |field, value, least| Err(LayoutError::StrideTooSmall { field, value, least });
        assert_eq!(found(2, no_slot), error("reader_slot_stride", 0, 64));
        assert_eq!(found(2, no_ring), error("control_stride", 64, 80));
        assert!(found(0, no_slot).is_ok() && found(0, no_ring).is_ok());
        assert_eq!(found(0, |h| h.slot_stride = 128), error("slot_stride", 128, 164));
    }

    #[test]
    fn a_ring_has_room_behind_its_positions() {
        for (bytes, ring) in [(0, None), (16, None), (17, Some(384))] {
            assert_eq!(found(2, |h| h.control_per_reader = bytes).unwrap().control_ring(0), ring);
        }
    }
}
