//! Control rings: where records lie and how positions move (wire-format.md, section 9).
//!
//! Only arithmetic, no memory: `shmx-ring` drives it with atomic accesses, [`ControlRing`] with a plain copy.

use crate::consts::{CONTROL_HEAD_LEN, TLV_HEADER_LEN, TLV_PAD};
use crate::tlv;
use crate::wire::{TlvHeader, read_at};

/// Geometry of one ring of `cap` bytes, of which the first 16 hold the positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingGeometry {
    cap: u32,
}

/// What the receiver finds at its position, before it has looked at any byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Too near the end for a record: go on at this position.
    Skip(u64),
    /// A record's header lies at this byte offset within the ring.
    Header(usize),
}

/// What a record means for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Padding: go on at this position.
    Skip(u64),
    /// A message.
    Message {
        /// Its type.
        ty: u32,
        /// Byte offset of its body within the ring.
        offset: usize,
        /// Bytes of its body.
        len: usize,
        /// Position of the next record.
        next: u64,
    },
    /// A length that cannot be: everything up to the write position is lost.
    Corrupt,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// What to do at the end of the ring first, if the message does not fit there.
    pub wrap: Option<Wrap>,
    /// Byte offset of the message's header within the ring; `None` when only the wrap fits and the ring is full then.
    pub offset: Option<usize>,
    /// Write position once the message is there.
    pub next: u64,
}

/// The skip to the start of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// Padding record to write: byte offset and header. `None` when fewer than eight bytes are left.
    pub pad: Option<(usize, TlvHeader)>,
    /// Write position after it. Store it before the message is placed if there is a padding record; without one it
    /// must become visible only together with the message, or receivers of the reference read a stale record.
    pub position: u64,
}

/// Why a message cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceError {
    /// It could not fit even into an empty ring.
    TooLong,
    /// There is no room until the receiver has taken something.
    Full,
    /// The positions are impossible: more bytes are waiting than the ring holds.
    Corrupt,
}

impl RingGeometry {
    /// The geometry of a ring of `cap` bytes; `None` if there is no room behind the positions.
    #[must_use]
    pub const fn new(cap: u32) -> Option<Self> {
        if cap > CONTROL_HEAD_LEN { Some(Self { cap }) } else { None }
    }

    /// Bytes of the data area.
    #[must_use]
    pub const fn usable(&self) -> u64 {
        (self.cap - CONTROL_HEAD_LEN) as u64
    }

    /// Longest message body that can ever be sent; `None` if not even an empty one can.
    #[must_use]
    pub const fn longest_message(&self) -> Option<u32> {
        ((self.usable() / 16 * 16) as u32).checked_sub(TLV_HEADER_LEN)
    }

    /// Bytes waiting between two positions; `None` if that cannot be.
    #[must_use]
    pub const fn waiting(&self, read: u64, write: u64) -> Option<u64> {
        let n = write.wrapping_sub(read);
        if n <= self.usable() { Some(n) } else { None }
    }

    const fn left(&self, position: u64) -> u64 {
        self.usable() - position % self.usable()
    }

    const fn offset(&self, position: u64) -> usize {
        CONTROL_HEAD_LEN as usize + (position % self.usable()) as usize
    }

    /// Where the record at `read` has its header.
    #[must_use]
    pub const fn place(&self, read: u64) -> Place {
        let left = self.left(read);
        if left < TLV_HEADER_LEN as u64 {
            Place::Skip(read.wrapping_add(left))
        } else {
            Place::Header(self.offset(read))
        }
    }

    /// What the `header` found at `read` means.
    #[must_use]
    pub const fn record(&self, read: u64, header: TlvHeader) -> Record {
        let left = self.left(read);
        let step = tlv::step(header.length);
        if step > left {
            return if header.ty == TLV_PAD { Record::Skip(read.wrapping_add(left)) } else { Record::Corrupt };
        }
        let next = read.wrapping_add(step);
        if header.ty == TLV_PAD {
            return Record::Skip(next);
        }
        Record::Message {
            ty: header.ty,
            offset: self.offset(read) + TLV_HEADER_LEN as usize,
            len: header.length as usize,
            next,
        }
    }

    /// Where a message with a body of `len` bytes goes.
    ///
    /// # Errors
    ///
    /// [`PlaceError`]; nothing may be written then.
    pub const fn send(&self, read: u64, write: u64, len: usize) -> Result<Placement, PlaceError> {
        let need = match self.longest_message() {
            Some(longest) if len <= longest as usize => tlv::step(len as u32),
            _ => return Err(PlaceError::TooLong),
        };
        let Some(waiting) = self.waiting(read, write) else {
            return Err(PlaceError::Corrupt);
        };
        let free = self.usable() - waiting;
        if need > free {
            return Err(PlaceError::Full);
        }
        let left = self.left(write);
        if need <= left {
            return Ok(Placement { wrap: None, offset: Some(self.offset(write)), next: write.wrapping_add(need) });
        }
        // It goes to the start, and the end is left empty: left < need <= free.
        let pad = if left >= TLV_HEADER_LEN as u64 {
            // left < usable < 2^32, so the cast keeps every bit.
            Some((self.offset(write), TlvHeader { ty: TLV_PAD, length: (left - TLV_HEADER_LEN as u64) as u32 }))
        } else {
            None
        };
        let position = write.wrapping_add(left);
        let offset = if need <= free - left { Some(CONTROL_HEAD_LEN as usize) } else { None };
        Ok(Placement { wrap: Some(Wrap { pad, position }), offset, next: position.wrapping_add(need) })
    }
}

/// One message of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMessage<'a> {
    /// Its type; applications use [`crate::TLV_CONTROL_USER`] and above.
    pub ty: u32,
    /// Its body.
    pub data: &'a [u8],
}

/// The ring's positions or a record in it are impossible; what waits there is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCorrupt {
    /// Position of the bad record, or of the reader.
    pub position: u64,
}

impl core::fmt::Display for ControlCorrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the control ring is damaged at position {}; what waited there is lost", self.position)
    }
}

impl core::error::Error for ControlCorrupt {}

/// The messages waiting in a copy of a ring. Ends after the first error.
#[derive(Clone, Debug)]
pub struct ControlRing<'a> {
    geometry: RingGeometry,
    bytes: &'a [u8],
    read: u64,
    write: u64,
    ended: bool,
}

impl<'a> ControlRing<'a> {
    /// Looks at a ring of exactly `bytes.len()` bytes; `None` if there is no room behind the positions.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let geometry = RingGeometry::new(u32::try_from(bytes.len()).ok()?)?;
        Some(Self { geometry, bytes, read: read_at(bytes, 0)?, write: read_at(bytes, 8)?, ended: false })
    }

    /// Bytes waiting, padding included; `None` if the positions are impossible.
    #[must_use]
    pub const fn waiting(&self) -> Option<u64> {
        self.geometry.waiting(self.read, self.write)
    }
}

impl<'a> Iterator for ControlRing<'a> {
    type Item = Result<ControlMessage<'a>, ControlCorrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.waiting() {
                Some(0) => break,
                Some(_) => {}
                None => return self.corrupt(),
            }
            let offset = match self.geometry.place(self.read) {
                Place::Skip(next) => {
                    self.read = next;
                    continue;
                }
                Place::Header(offset) => offset,
            };
            let Some(header) = read_at(self.bytes, offset) else {
                return self.corrupt();
            };
            match self.geometry.record(self.read, header) {
                Record::Skip(next) => self.read = next,
                // A record that ends behind the write position was never written.
                Record::Message { next, .. } if self.geometry.waiting(next, self.write).is_none() => {
                    return self.corrupt();
                }
                Record::Message { ty, offset, len, next } => {
                    let Some(data) = self.bytes.get(offset..offset + len) else {
                        return self.corrupt();
                    };
                    self.read = next;
                    return Some(Ok(ControlMessage { ty, data }));
                }
                Record::Corrupt => return self.corrupt(),
            }
        }
        None
    }
}

impl ControlRing<'_> {
    fn corrupt<T>(&mut self) -> Option<Result<T, ControlCorrupt>> {
        self.ended = true;
        Some(Err(ControlCorrupt { position: self.read }))
    }
}

impl core::iter::FusedIterator for ControlRing<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_finds_a_header_or_goes_on_at_the_start() {
        for usable in 1..40 {
            let ring = RingGeometry::new(usable + 16).unwrap();
            for position in 0..u64::from(usable) * 3 {
                let (at, left) = (position % u64::from(usable), u64::from(usable) - position % u64::from(usable));
                let expected = if left < 8 {
                    Place::Skip(position + left)
                } else {
                    Place::Header(16 + usize::try_from(at).unwrap())
                };
                assert_eq!(ring.place(position), expected, "position {position} of {usable}");
            }
        }
    }

    #[test]
    fn as_much_waits_as_was_sent_and_not_taken() {
        let ring = RingGeometry::new(16 + 64).unwrap();
        for read in [0, 40, u64::MAX - 20] {
            for sent in 0..=64 {
                assert_eq!(ring.waiting(read, read.wrapping_add(sent)), Some(sent));
            }
            assert_eq!(ring.waiting(read, read.wrapping_add(65)), None, "more than it holds");
            assert_eq!(ring.waiting(read, read.wrapping_sub(1)), None, "taken before it was sent");
        }
        assert_eq!(RingGeometry::new(16), None);
    }
}
