//! A frame as a reader has it.

use crate::buffer::Buffer;
use crate::client::{Client, Lease};
use crate::error::TypedError;
use bytemuck::checked;
use shmx_abi::Element;
use shmx_abi::extension::{FrameMarks, PublishTime};
use shmx_abi::frame::{FrameError, StreamData, Streams};
use shmx_ring::hold::Hold;
use shmx_ring::reader::FrameSnapshot;

/// What is known about a frame's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumState {
    /// Computed and equal to the producer's.
    Verified,
    /// Computed and not equal; only the inspector hands out such a frame.
    Mismatch,
    /// Not computed, because the reader switched verification off.
    Unverified,
    /// The producer writes none.
    Absent,
}

/// A whole frame that cannot change any more: held by lease in shared memory, or copied and validated.
///
/// A leased frame keeps its slot from being reused until it is dropped. It may be kept as long as one likes, but every
/// frame kept is one slot less for the producer. It stays valid after the client is dropped.
#[derive(Debug)]
pub struct FrameView {
    pub(crate) meta: FrameSnapshot,
    pub(crate) slot: u32,
    pub(crate) checksum: ChecksumState,
    pub(crate) data: Data,
}

#[derive(Debug)]
pub(crate) enum Data {
    Leased(Lease),
    Copied(Buffer),
    /// Words, so that stream data is 8-byte aligned as in a slot.
    Small([u64; SMALL_WORDS]),
}

/// Frames of up to this many words are copied into the view itself.
pub(crate) const SMALL_WORDS: usize = 24;

/// What can be asked of a frame, however it is held.
macro_rules! accessors {
    () => {
        /// The frame's id: 1 for the first one published, one more for each.
        #[must_use]
        pub const fn frame_id(&self) -> u64 {
            self.meta().frame_id
        }

        /// The producer's own time.
        #[must_use]
        pub const fn sim_time(&self) -> f64 {
            f64::from_bits(self.meta().sim_time_bits)
        }

        /// Session that wrote the frame.
        #[must_use]
        pub const fn session_id(&self) -> u64 {
            self.meta().session_id
        }

        /// Slot the frame lies or lay in.
        #[must_use]
        pub const fn slot(&self) -> u32 {
            self.slot_and_checksum().0
        }

        /// Number of records, as the producer counted them.
        #[must_use]
        pub const fn tlv_count(&self) -> u32 {
            self.meta().tlv_count
        }

        /// The checksum that the producer wrote.
        #[must_use]
        pub const fn stored_checksum(&self) -> u32 {
            self.meta().checksum
        }

        /// What is known about the checksum.
        #[must_use]
        pub const fn checksum(&self) -> ChecksumState {
            self.slot_and_checksum().1
        }

        /// Nanoseconds from publishing until now, in steps of 1024; `None` if the producer gives no time.
        #[must_use]
        pub fn age_ns(&self) -> Option<u64> {
            PublishTime::from_wire(self.meta().publish_time, FrameMarks::of(self.meta().stamp))
                .and_then(|t| t.age_ns(shmx_os::clock::ticks()))
        }

        /// The streams in the order in which they were appended.
        #[must_use]
        #[inline]
        pub fn streams(&self) -> Streams<'_> {
            Streams::new(self.payload())
        }

        /// All streams at once: the reference's `decode`.
        ///
        /// # Errors
        ///
        /// [`FrameError`] if the payload is damaged although its checksum is right.
        pub fn decode(&self) -> Result<Vec<StreamData<'_>>, FrameError> {
            self.streams().collect()
        }

        /// The stream with this id; `None` if the frame has none.
        ///
        /// # Errors
        ///
        /// [`FrameError`] if the payload is damaged before the stream is found.
        #[inline]
        pub fn stream(&self, id: u32) -> Result<Option<StreamData<'_>>, FrameError> {
            for s in self.streams() {
                let s = s?;
                if s.stream_id == id {
                    return Ok(Some(s));
                }
            }
            Ok(None)
        }

        /// The values of a stream, without a copy.
        ///
        /// The Rust type is the caller's claim; compare it with the directory first if it is not known.
        ///
        /// # Errors
        ///
        /// [`TypedError`]: no such stream, not whole elements, or bytes that are no value of `T` (a bool of 2).
        #[inline]
        pub fn get<T: Element>(&self, id: u32) -> Result<&[T], TypedError> {
            let s = self.stream(id)?.ok_or(TypedError::NoSuchStream { id })?;
            checked::try_cast_slice(s.data).map_err(|_| TypedError::Cast {
                id,
                bytes: s.data.len(),
                ty: std::any::type_name::<T>(),
            })
        }
    };
}

impl FrameView {
    accessors!();

    #[inline]
    const fn meta(&self) -> &FrameSnapshot {
        &self.meta
    }

    #[inline]
    const fn slot_and_checksum(&self) -> (u32, ChecksumState) {
        (self.slot, self.checksum)
    }

    /// Whether the payload lies in shared memory, without a copy.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        matches!(self.data, Data::Leased(_))
    }

    /// The payload: records of streams.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let len = self.meta.payload_bytes as usize;
        match &self.data {
            Data::Leased(lease) => lease.payload(len),
            Data::Copied(words) => bytemuck::cast_slice::<u64, u8>(words).get(..len).unwrap_or(&[]),
            Data::Small(words) => bytemuck::cast_slice(words).get(..len).unwrap_or(&[]),
        }
    }
}

/// A whole frame for as long as its [`crate::Client`] is not used for anything else: held by lease in shared memory, or
/// copied into the client's memory and validated.
///
/// It counts no references and moves no data, so that a small frame costs about half of what it does as a
/// [`FrameView`]. Dropping it ends the lease; one that is forgotten costs its slot until the client is dropped.
pub struct FrameRef<'c> {
    /// Its current frame is this one. No more than this, and small: a frame is returned through memory, and the
    /// processor waits where it reads memory in other pieces than it was written in.
    pub(crate) client: &'c Client,
    /// Whether and how it is leased.
    pub(crate) hold: Option<Hold>,
}

impl FrameRef<'_> {
    accessors!();

    #[inline]
    const fn meta(&self) -> &FrameSnapshot {
        &self.client.current().meta
    }

    #[inline]
    const fn slot_and_checksum(&self) -> (u32, ChecksumState) {
        let current = self.client.current();
        (current.slot, current.checksum)
    }

    /// Whether the payload lies in shared memory, without a copy.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        self.hold.is_some()
    }

    /// The payload: records of streams.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.client.lent_payload(self.hold.as_ref())
    }
}

impl Drop for FrameRef<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(hold) = self.hold {
            self.client.end_lent(hold);
        }
    }
}

impl std::fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slot, checksum) = self.slot_and_checksum();
        let mut debug = f.debug_struct("FrameRef");
        debug.field("meta", self.meta()).field("slot", &slot).field("checksum", &checksum);
        debug.field("leased", &self.is_leased()).finish_non_exhaustive()
    }
}
