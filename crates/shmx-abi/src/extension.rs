//! Words that our processes add in bytes the original format leaves alone (wire-format.md, sections 3.2 to 3.4).

use crate::wire::{GlobalHeader, ReaderSlot};

/// What a server announces: the feature word at offset 20 of the global header, and the second one at offset 100.
///
/// First word: flags in the high 8 bits, a digest of the session id in the low 24. A server of the original kind that
/// re-initialises a region in place draws a new session id and leaves the gaps alone, so stale flags stop matching and
/// are not believed. Second word: flags in the low 16 bits, believed where the first word says [`Features::MORE`]; its
/// high 16 bits count what readers change ([`READERS_CHANGED`]), and one of its flags is no promise ([`SERVER_WAITS`]).
///
/// ```
/// use shmx_abi::extension::Features;
///
/// let features = Features::new(7, Features::STAMPS | Features::FRAME_MARKS);
/// let (word, more) = features.to_wire();
/// assert!(Features::from_wire(word, more, 7).has(Features::FRAME_MARKS));
/// assert!(!Features::from_wire(word, more, 8).is_extended());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// Slots carry stamps and lease bits.
    pub const STAMPS: u64 = 1 << 24;
    /// The server rings the doorbell after publishing.
    pub const DOORBELL: u64 = 1 << 25;
    /// The server holds its liveness lock for as long as it lives.
    pub const LOCKS: u64 = 1 << 26;
    /// Frames carry a publish time.
    pub const PUBLISH_TIME: u64 = 1 << 27;
    /// No frame carries a checksum; the field is zero and must not be checked.
    pub const NO_CHECKSUM: u64 = 1 << 28;
    /// The second feature word is in use.
    pub const MORE: u64 = 1 << 29;
    /// With [`Features::CLOSED`]: the server did not leave but died, and somebody else has found it dead.
    pub const DIED: u64 = 1 << 30;
    /// Nothing will be published any more.
    pub const CLOSED: u64 = 1 << 31;
    /// Stamps carry [`FrameMarks`]. The first flag of the second word.
    pub const FRAME_MARKS: u64 = 1 << 32;
    /// The server changes the doorbell and wakes after every frame, whoever sleeps: for readers that may not write.
    pub const RING_ALWAYS: u64 = 1 << 33;
    /// The server sleeps on the second word when it waits for its readers, and these wake it ([`SERVER_WAITS`]).
    pub const CONTROL_BELL: u64 = 1 << 35;
    /// The server may announce how far a frame has come that is being written ([`STAMP_OPEN`]).
    pub const PROGRESS: u64 = 1 << 36;

    const DIGEST_MASK: u64 = (1 << 24) - 1;
    const FIRST: u64 = (1 << 32) - 1;
    /// The flags of the second word, as they stand here, without the one that comes and goes.
    const SECOND: u64 = (0xFFFF & !SERVER_WAITS as u64) << 32;

    /// What a server with `session_id` announces with these `flags` (constants of this type, or-ed).
    #[must_use]
    pub const fn new(session_id: u64, flags: u64) -> Self {
        let more = if flags & Self::SECOND == 0 { 0 } else { Self::MORE };
        Self((flags & !Self::DIGEST_MASK) & (Self::FIRST | Self::SECOND) | more | Self::digest(session_id))
    }

    /// Reads the words found in a region whose session is `session_id`; flags of another session count as none.
    #[must_use]
    pub const fn from_wire(word: u32, more: u32, session_id: u64) -> Self {
        let word = word as u64;
        if word & !Self::DIGEST_MASK == 0 || word & Self::DIGEST_MASK != Self::digest(session_id) {
            return Self(0);
        }
        let more = if word & Self::MORE == 0 { 0 } else { (more as u64) << 32 & Self::SECOND };
        Self(word | more)
    }

    /// The features that a header announces.
    #[must_use]
    pub const fn of(header: &GlobalHeader) -> Self {
        Self::from_wire(header.ext_features, header.ext_more, header.session_id)
    }

    /// The two words as they are written, the count in the second one left at zero.
    #[must_use]
    pub const fn to_wire(self) -> (u32, u32) {
        (self.0 as u32, ((self.0 & Self::SECOND) >> 32) as u32)
    }

    /// Whether every flag in `flags` is set.
    #[must_use]
    #[inline]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags == flags
    }

    /// Whether the server speaks the extension at all.
    #[must_use]
    #[inline]
    pub const fn is_extended(self) -> bool {
        self.has(Self::STAMPS)
    }

    /// Whether the frame under this stamp carries a checksum.
    #[must_use]
    #[inline]
    pub const fn has_checksum(self, stamp: u64) -> bool {
        !self.has(Self::NO_CHECKSUM) && (!self.has(Self::FRAME_MARKS) || FrameMarks::of(stamp).has_checksum())
    }

    /// The publish time of the frame under this stamp, whose header has `low`; `None` if the server gives none.
    #[must_use]
    #[inline]
    pub const fn publish_time(self, low: u32, stamp: u64) -> Option<PublishTime> {
        if self.has(Self::PUBLISH_TIME | Self::FRAME_MARKS) {
            PublishTime::from_wire(low, FrameMarks::of(stamp))
        } else {
            None
        }
    }

    /// Top 24 bits of the session id times the 64-bit golden ratio (a multiplicative hash).
    const fn digest(session_id: u64) -> u64 {
        session_id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
    }
}

/// What a reader of ours adds to the second feature word, [`GlobalHeader::ext_more`], when it comes, when it goes, and
/// when it wakes the server. The server compares the word to learn that it must look at the reader slots again.
pub const READERS_CHANGED: u32 = 1 << 16;

/// Flag of the second feature word that comes and goes: the server may be asleep on that word. Only where it announces
/// [`Features::CONTROL_BELL`].
pub const SERVER_WAITS: u32 = 1 << 2;

/// Set in a stamp whose count is odd: the slot's owner announces, in the field of the checksum, how many bytes of the
/// payload are final ([`Features::PROGRESS`]).
pub const STAMP_OPEN: u64 = 1 << 48;

/// A slot's stamp as it is stored: the seqlock's count, and above it what is known of the frame.
///
/// Readers compare whole stamps, so a mark costs them nothing. Marks are zero while the count is odd, but for
/// [`STAMP_OPEN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameMarks(u64);

impl FrameMarks {
    /// The bits of a stamp that count.
    pub const COUNT: u64 = (1 << 48) - 1;
    const NO_CHECKSUM: u64 = 1 << 48;
    const TIME_SHIFT: u32 = 49;

    /// Marks of a frame with or without checksum; `time` as it is given in the frame header.
    #[must_use]
    #[inline]
    pub const fn new(has_checksum: bool, time: Option<PublishTime>) -> Self {
        let mark = if has_checksum { 0 } else { Self::NO_CHECKSUM };
        let time = match time {
            Some(time) => (time.0 >> 32) << Self::TIME_SHIFT,
            None => 0,
        };
        Self(mark | time)
    }

    /// The marks of a stamp; of a server that announces [`Features::FRAME_MARKS`].
    #[must_use]
    #[inline]
    pub const fn of(stamp: u64) -> Self {
        Self(stamp & !Self::COUNT)
    }

    /// The bits to add to the count.
    #[must_use]
    #[inline]
    pub const fn to_wire(self) -> u64 {
        self.0
    }

    /// Whether the frame carries a checksum.
    #[must_use]
    #[inline]
    pub const fn has_checksum(self) -> bool {
        self.0 & Self::NO_CHECKSUM == 0
    }
}

/// A frame's publish time: units of 1024 ns of the wire clock, modulo 2^47 (4.5 years).
///
/// The low 32 bits lie in the frame header, where 0 means that there is none, the others in the [`FrameMarks`].
///
/// ```
/// use shmx_abi::extension::{FrameMarks, PublishTime};
///
/// let hour = 3_600_000_000_000;
/// let time = PublishTime::from_ticks(5 * hour);
/// let found = PublishTime::from_wire(time.to_wire(), FrameMarks::new(true, Some(time)));
/// assert!(found.and_then(|t| t.age_ns(8 * hour)).is_some_and(|age| age.abs_diff(3 * hour) <= 2048));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishTime(u64);

impl PublishTime {
    const MASK: u64 = (1 << 47) - 1;
    /// A publish time may be this far ahead of the present, in units: the clock was read on another processor, or
    /// before the frame.
    const AHEAD: u64 = 1000;

    /// The time at `ticks` nanoseconds of the wire clock.
    #[must_use]
    #[inline]
    pub const fn from_ticks(ticks: u64) -> Self {
        let t = ticks >> 10;
        // One unit early where the low half would say that there is no time.
        Self((if t as u32 == 0 { t.wrapping_sub(1) } else { t }) & Self::MASK)
    }

    /// The time found in a frame header and its marks; `None` if the producer gave none.
    #[must_use]
    #[inline]
    pub const fn from_wire(low: u32, marks: FrameMarks) -> Option<Self> {
        if low == 0 { None } else { Some(Self(low as u64 | marks.0 >> FrameMarks::TIME_SHIFT << 32)) }
    }

    /// The low half, as it is written to the frame header.
    #[must_use]
    #[inline]
    pub const fn to_wire(self) -> u32 {
        self.0 as u32
    }

    /// Nanoseconds from the publish time to `now` (wire clock), in steps of 1024; `None` if it lies in the future, so
    /// that the two clocks are not one (time namespaces, a dump from another machine).
    #[must_use]
    pub const fn age_ns(self, now: u64) -> Option<u64> {
        let units = (now >> 10).wrapping_sub(self.0) & Self::MASK;
        if units <= Self::MASK / 2 {
            Some(units << 10)
        } else if units > Self::MASK - Self::AHEAD {
            Some(0)
        } else {
            None
        }
    }
}

/// Mask of the rejected-frames counter in [`ReaderSlot::ext_rejected_flags`].
pub const REJECTED_MASK: u64 = (1 << 48) - 1;
/// Flag in [`ReaderSlot::ext_rejected_flags`]: the reader is asleep, waiting for a frame.
pub const READER_WAITING: u64 = 1 << 63;
/// Flag in [`ReaderSlot::ext_rejected_flags`]: the reader compares the checksum of every frame that has one.
pub const READER_VERIFIES: u64 = 1 << 62;
/// Flag in [`ReaderSlot::ext_rejected_flags`]: the reader wants no frame overwritten before it has taken it.
pub const READER_EVERY_FRAME: u64 = 1 << 61;
/// Flag in [`ReaderSlot::ext_rejected_flags`]: the reader reads frames while they are written.
pub const READER_FOLLOWS: u64 = 1 << 60;

/// The extension's part of a reader slot, once the tag has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderExtension {
    /// Process id of the reader.
    pub pid: u32,
    /// Frames delivered.
    pub delivered: u64,
    /// Frames published while attached that the reader never took.
    pub missed: u64,
    /// Frames rejected: wrong checksum, foreign session, impossible length.
    pub rejected: u64,
    /// Asleep, waiting for a frame.
    pub waiting: bool,
    /// Compares checksums.
    pub verifies: bool,
    /// Wants no frame overwritten before it has taken it.
    pub every_frame: bool,
    /// Reads frames while they are written.
    pub follows: bool,
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
            missed: slot.ext_missed,
            rejected: slot.ext_rejected_flags & REJECTED_MASK,
            waiting: slot.ext_rejected_flags & READER_WAITING != 0,
            verifies: slot.ext_rejected_flags & READER_VERIFIES != 0,
            every_frame: slot.ext_rejected_flags & READER_EVERY_FRAME != 0,
            follows: slot.ext_rejected_flags & READER_FOLLOWS != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_flags_are_not_believed() {
        let (word, more) = Features::new(7, Features::STAMPS | Features::DOORBELL).to_wire();
        assert_eq!(more, 0);
        assert!(Features::from_wire(word, more, 7).has(Features::STAMPS));
        assert!(!Features::from_wire(word, more, 8).is_extended());
        assert!(!Features::from_wire(0, 0, 7).is_extended());
        assert!(!Features::from_wire(word, u32::MAX, 7).has(Features::FRAME_MARKS), "nothing says that it is in use");
    }

    #[test]
    fn the_second_word_has_flags_and_a_count() {
        let (word, more) = Features::new(7, Features::STAMPS | Features::FRAME_MARKS).to_wire();
        let counted = more.wrapping_sub(READERS_CHANGED);
        let found = Features::from_wire(word, counted, 7);
        assert!(found.has(Features::FRAME_MARKS | Features::MORE));
        assert_eq!(found.to_wire(), (word, more), "the count is no flag");
        assert_eq!(Features::from_wire(word, counted | SERVER_WAITS, 7), found, "what comes and goes is no promise");
        let more = Features::RING_ALWAYS | Features::CONTROL_BELL;
        let (word, second) = Features::new(7, Features::STAMPS | more).to_wire();
        assert_eq!(second & SERVER_WAITS, 0);
        assert!(Features::from_wire(word, second, 7).has(more));
    }

    /// Section 3.2 of the format: which bit of which word says what.
    #[test]
    fn flags_are_the_bits_of_the_document() {
        use Features as F;
        let first = [F::STAMPS, F::DOORBELL, F::LOCKS, F::PUBLISH_TIME, F::NO_CHECKSUM, F::MORE, F::DIED, F::CLOSED]
            .into_iter();
        let (digest, _) = F::new(7, 0).to_wire();
        for (bit, flag) in (24..32).zip(first) {
            assert_eq!(F::new(7, flag).to_wire(), (1 << bit | digest, 0));
            assert!(F::from_wire(1 << bit | digest, 0, 7).has(flag));
        }
        for (bit, flag) in [(0, F::FRAME_MARKS), (1, F::RING_ALWAYS), (3, F::CONTROL_BELL), (4, F::PROGRESS)] {
            assert_eq!(F::new(7, flag).to_wire(), (1 << 29 | digest, 1 << bit));
            assert!(F::from_wire(1 << 29 | digest, 1 << bit, 7).has(flag));
        }
        assert_eq!((SERVER_WAITS, READERS_CHANGED), (4, 0x1_0000));
        // Sections 3.3 and 3.4.
        assert_eq!((FrameMarks::COUNT, STAMP_OPEN), (0xFFFF_FFFF_FFFF, 0x1_0000_0000_0000));
        assert_eq!(REJECTED_MASK, 0xFFFF_FFFF_FFFF);
        let reader = [READER_FOLLOWS, READER_EVERY_FRAME, READER_VERIFIES, READER_WAITING];
        assert_eq!(reader.map(u64::trailing_zeros), [60, 61, 62, 63]);
    }

    #[test]
    fn only_flags_make_a_server_extended() {
        assert!(Features::new(7, Features::STAMPS).is_extended());
        assert!(!Features::new(7, Features::LOCKS).is_extended());
        // Of all sessions, this one's digest is 0.
        for flags in [Features::STAMPS, 0xFF << 24] {
            let (word, more) = Features::new(0, flags).to_wire();
            assert_eq!(u64::from(word), flags);
            assert!(Features::from_wire(word, more, 0).is_extended());
        }
        // A word without flags says nothing, whether its digest is right or not.
        let (digest, _) = Features::new(7, 0).to_wire();
        assert_eq!(Features::from_wire(digest, 0, 7), Features::from_wire(0, 0, 7));
    }

    #[test]
    fn a_checksum_is_compared_only_where_there_is_one() {
        let (with, without) = (FrameMarks::new(true, None).to_wire() | 12, FrameMarks::new(false, None).to_wire() | 12);
        let marks = Features::new(7, Features::FRAME_MARKS);
        assert!(marks.has_checksum(with) && !marks.has_checksum(without), "the frame says so");
        let plain = Features::new(7, Features::STAMPS);
        assert!(plain.has_checksum(with) && plain.has_checksum(without), "such a server's stamps only count");
        for flags in [Features::NO_CHECKSUM, Features::NO_CHECKSUM | Features::FRAME_MARKS] {
            let none = Features::new(7, flags);
            assert!(!none.has_checksum(with) && !none.has_checksum(without), "no frame has one");
        }
    }

    #[test]
    fn a_publish_time_takes_a_server_that_gives_it_whole() {
        let time = PublishTime::from_ticks(5 << 50);
        let (low, stamp) = (time.to_wire(), FrameMarks::new(true, Some(time)).to_wire() | 12);
        let of = |flags, low| Features::new(7, flags).publish_time(low, stamp);
        assert_eq!(of(Features::PUBLISH_TIME | Features::FRAME_MARKS, low), Some(time));
        assert_eq!(of(Features::PUBLISH_TIME | Features::FRAME_MARKS, 0), None, "not given");
        assert_eq!(of(Features::PUBLISH_TIME, low), None, "half of it is not there");
        assert_eq!(of(Features::FRAME_MARKS, low), None);
    }

    #[test]
    fn publish_time_survives_the_wrap_of_its_halves() {
        let written = |ticks| {
            let time = PublishTime::from_ticks(ticks);
            PublishTime::from_wire(time.to_wire(), FrameMarks::new(false, Some(time))).expect("never 0")
        };
        for wrap in [1_u64 << 42, 5 << 42, 1 << 57] {
            assert_eq!(written(wrap - 2048).age_ns(wrap + 8 * 1024), Some(10 * 1024));
            assert_eq!(written(wrap).age_ns(wrap), Some(1024));
        }
        let day = 86_400_000_000_000;
        assert_eq!(written(1024).age_ns(1024 + 400 * day), Some(400 * day / 1024 * 1024));
        assert_eq!(written(day).age_ns(day - 5000), Some(0));
        assert_eq!(written(day).age_ns(day - 5_000_000), None, "from the future");
        // Section 3.3: up to 1000 units ahead; and what lies as far behind as ahead is behind no more.
        let unit = 1 << 10;
        assert_eq!(written(5000 * unit).age_ns(4000 * unit), Some(0));
        assert_eq!(written(5000 * unit).age_ns(3999 * unit), None);
        let half = 1 << 46;
        assert_eq!(written(unit).age_ns(half * unit), Some((half - 1) * unit));
        assert_eq!(written(unit).age_ns((half + 1) * unit), None);
    }

    #[test]
    fn marks_leave_the_count_alone() {
        let time = PublishTime::from_ticks(u64::MAX);
        let marks = FrameMarks::new(false, Some(time));
        assert_eq!(marks.to_wire() & FrameMarks::COUNT, 0);
        let found = FrameMarks::of(marks.to_wire() | (FrameMarks::COUNT - 1));
        assert!(!found.has_checksum());
        assert_eq!(PublishTime::from_wire(time.to_wire(), found), Some(time));
        assert!(FrameMarks::of(12).has_checksum());
    }
}
