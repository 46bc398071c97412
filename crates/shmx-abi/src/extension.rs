//! Words that our processes add in bytes the original format leaves alone (wire-format.md, sections 3.2 to 3.4).

use crate::wire::{GlobalHeader, ReaderSlot};

/// The feature word at offset 20 of the global header.
///
/// High 8 bits: flags. Low 24 bits: a digest of the session id. A server of the original kind that re-initialises a
/// region in place draws a new session id and leaves the gaps alone, so stale flags stop matching and are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureWord(u32);

impl FeatureWord {
    /// Slots carry stamps and lease bits.
    pub const STAMPS: u32 = 1 << 24;
    /// The server rings the doorbell after publishing.
    pub const DOORBELL: u32 = 1 << 25;
    /// The server holds its liveness lock for as long as it lives.
    pub const LOCKS: u32 = 1 << 26;
    /// Frames carry a publish time.
    pub const PUBLISH_TIME: u32 = 1 << 27;
    /// Frames carry no checksum; the field is zero and must not be checked.
    pub const NO_CHECKSUM: u32 = 1 << 28;
    /// The server has left in good order.
    pub const CLOSED: u32 = 1 << 31;

    const DIGEST_MASK: u32 = (1 << 24) - 1;

    /// The word a server with `session_id` writes for these `flags` (constants of this type, or-ed).
    #[must_use]
    pub const fn new(session_id: u64, flags: u32) -> Self {
        Self((flags & !Self::DIGEST_MASK) | Self::digest(session_id))
    }

    /// Reads a word found in a region whose session is `session_id`; flags of another session count as none.
    #[must_use]
    pub const fn from_wire(word: u32, session_id: u64) -> Self {
        if word & !Self::DIGEST_MASK != 0 && word & Self::DIGEST_MASK == Self::digest(session_id) {
            Self(word)
        } else {
            Self(0)
        }
    }

    /// The features a header announces.
    #[must_use]
    pub const fn of(header: &GlobalHeader) -> Self {
        Self::from_wire(header.ext_features, header.session_id)
    }

    /// The word as it is written.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// Whether every flag in `flags` is set.
    #[must_use]
    #[inline]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags == flags
    }

    /// Whether the server speaks the extension at all.
    #[must_use]
    #[inline]
    pub const fn is_extended(self) -> bool {
        self.has(Self::STAMPS)
    }

    /// Top 24 bits of the session id times the 64-bit golden ratio (a multiplicative hash).
    const fn digest(session_id: u64) -> u32 {
        (session_id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32
    }
}

/// A frame's publish time: units of 1024 ns of the wire clock, modulo 2^32, never 0.
///
/// Only a difference to the present means anything, and only for frames younger than about 73 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishTime(u32);

impl PublishTime {
    /// The value to write at `ticks` nanoseconds of the wire clock.
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Self {
        let t = (ticks >> 10) as u32;
        // One unit early rather than one late: a publish time in the future would read as an age of 73 minutes.
        Self(if t == 0 { u32::MAX } else { t })
    }

    /// The value found in a frame header; `None` if the producer gave none.
    #[must_use]
    pub const fn from_wire(word: u32) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }

    /// The value as it is written.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// Nanoseconds from the publish time to `now` (wire clock), in steps of 1024.
    #[must_use]
    pub const fn age_ns(self, now: u64) -> u64 {
        (((now >> 10) as u32).wrapping_sub(self.0) as u64) << 10
    }
}

/// Mask of the rejected-frames counter in [`ReaderSlot::ext_rejected_flags`].
pub const REJECTED_MASK: u64 = (1 << 48) - 1;
/// Flag in [`ReaderSlot::ext_rejected_flags`]: the reader is asleep, waiting for a frame.
pub const READER_WAITING: u64 = 1 << 63;

/// The extension's part of a reader slot, once the tag has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderExtension {
    /// Process id of the reader.
    pub pid: u32,
    /// Frames delivered.
    pub delivered: u64,
    /// Frames published while attached that the reader never saw.
    pub dropped: u64,
    /// Frames refused: failed checksum, foreign session, impossible length.
    pub rejected: u64,
    /// Asleep, waiting for a frame.
    pub waiting: bool,
}

impl ReaderExtension {
    /// Reads the extension of a slot; `None` when the owner does not speak it (or the slot is free).
    #[must_use]
    pub const fn of(slot: &ReaderSlot) -> Option<Self> {
        if slot.in_use == 0 || slot.reader_id == 0 || slot.ext_tag != slot.reader_id {
            return None;
        }
        Some(Self {
            pid: slot.ext_pid,
            delivered: slot.ext_delivered,
            dropped: slot.ext_dropped,
            rejected: slot.ext_rejected_flags & REJECTED_MASK,
            waiting: slot.ext_rejected_flags & READER_WAITING != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_flags_are_not_believed() {
        let word = FeatureWord::new(7, FeatureWord::STAMPS | FeatureWord::DOORBELL);
        assert!(FeatureWord::from_wire(word.to_wire(), 7).has(FeatureWord::STAMPS));
        assert!(!FeatureWord::from_wire(word.to_wire(), 8).is_extended());
        assert!(!FeatureWord::from_wire(0, 7).is_extended());
    }

    #[test]
    fn publish_time_survives_its_wrap() {
        let before = (1_u64 << 42) - 2048;
        let t = PublishTime::from_ticks(before);
        assert_eq!(t.age_ns(before + 10 * 1024), 10 * 1024);
        let at_wrap = PublishTime::from_ticks(1 << 42);
        assert_ne!(at_wrap.to_wire(), 0);
        assert_eq!(at_wrap.age_ns(1 << 42), 1024);
    }
}
