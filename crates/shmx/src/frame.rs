//! A frame in the reader's hands: borrowed, or owned.

use crate::attachment::{Held, Lease};
use crate::error::{LookupError, ValueError};
use crate::schema::catalog::{Catalog, Home};
use crate::schema::key::{Key, StreamKey};
use crate::slot::buffer::{Buffer, Pool};
use crate::slot::read::{Current, Sum};
use bytemuck::checked;
use shmx_abi::extension::{Features, PublishTime};
use shmx_abi::frame::{FrameError, StreamData, Streams};
use shmx_abi::{Element, PlainElement};
use shmx_ring::reader::FrameSnapshot;
use std::sync::Arc;
use std::time::Duration;

/// What is known about a frame's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumState {
    /// Computed and equal to the producer's.
    Verified,
    /// Computed and not equal; only the inspector hands out such a frame.
    Mismatch,
    /// Not computed: wholeness was proven otherwise, or the reader does not want it ([`crate::Verify`]).
    Unverified,
    /// The producer wrote none for this frame. That is no damage.
    Absent,
}

/// The last frame of a reader, and what belongs to it as long as it is borrowed.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) current: Current,
    /// Memory for copies, used again for every frame.
    pub(crate) scratch: Buffer,
    pub(crate) features: Features,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pool: Arc<Pool>,
    /// Asks the region for its directory.
    pub(crate) home: Arc<dyn Home>,
}

impl Taken {
    pub(crate) fn new(features: Features, catalog: Arc<Catalog>, pool: Arc<Pool>, home: Arc<dyn Home>) -> Self {
        Self { current: Current::default(), scratch: pool.take(SMALL_WORDS), features, catalog, pool, home }
    }
}

/// Frames of up to this many words are copied into an owned frame itself.
pub(crate) const SMALL_WORDS: usize = 24;

fn state_of(sum: Sum, features: Features, stamp: u64) -> ChecksumState {
    match sum {
        Sum::Right => ChecksumState::Verified,
        Sum::Wrong => ChecksumState::Mismatch,
        Sum::NotCompared if features.has_checksum(stamp) => ChecksumState::Unverified,
        Sum::NotCompared => ChecksumState::Absent,
    }
}

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
            self.place().0
        }

        /// Frames that the reader missed between the one that it took before and this one.
        #[must_use]
        pub const fn missed_before(&self) -> u64 {
            self.place().1
        }

        /// Number of records, as the producer counted them.
        #[must_use]
        pub const fn tlv_count(&self) -> u32 {
            self.meta().tlv_count
        }

        /// The checksum that the producer wrote; `None` if it wrote none for this frame.
        #[must_use]
        pub fn stored_checksum(&self) -> Option<u32> {
            self.features().has_checksum(self.meta().stamp).then_some(self.meta().checksum)
        }

        /// What is known about the checksum.
        #[must_use]
        pub fn checksum(&self) -> ChecksumState {
            state_of(self.place().2, self.features(), self.meta().stamp)
        }

        /// Time from publishing until now, in steps of 1024 ns. `None` if the producer gives no time, or one of another
        /// clock (a time namespace).
        #[must_use]
        pub fn age(&self) -> Option<Duration> {
            let time = self.features().publish_time(self.meta().publish_time, self.meta().stamp)?;
            time.age_ns(shmx_os::clock::ticks()).map(Duration::from_nanos)
        }

        /// When the frame was published, as the format has it: for ages at a moment of one's own choice.
        #[must_use]
        pub fn publish_time(&self) -> Option<PublishTime> {
            self.features().publish_time(self.meta().publish_time, self.meta().stamp)
        }

        /// The streams in the order in which they were appended, as bytes.
        #[must_use]
        #[inline]
        pub fn streams(&self) -> Streams<'_> {
            Streams::new(self.payload())
        }

        /// All streams at once: the reference's `decode`.
        ///
        /// # Errors
        ///
        /// [`FrameError`] if the payload is damaged.
        pub fn decode(&self) -> Result<Vec<StreamData<'_>>, FrameError> {
            self.streams().collect()
        }

        /// The bytes of the stream with this number; `None` if the frame does not carry it.
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

        /// Whether the frame carries the stream.
        ///
        /// # Errors
        ///
        /// [`ValueError`] if the directory has no such stream, or the payload is damaged.
        pub fn has<T: Element>(&self, stream: impl StreamKey<T>) -> Result<bool, ValueError> {
            let id = self.id_of::<T>(stream.key())?;
            Ok(self.stream(id)?.is_some())
        }

        /// The values of a stream, borrowed where they lie.
        ///
        /// The type is compared with the directory; a stream of vectors may be taken as arrays or flat.
        ///
        /// # Errors
        ///
        /// [`ValueError`]: no such stream or another type, not carried by this frame, not whole elements.
        #[inline]
        pub fn get<T: PlainElement>(&self, stream: impl StreamKey<T>) -> Result<&[T], ValueError> {
            let id = self.id_of::<T>(stream.key())?;
            let data = self.carried(id)?;
            bytemuck::try_cast_slice(data).map_err(|_| cast_error::<T>(id, data))
        }

        /// A checked copy of the values of a stream. Also for elements with `bool`.
        ///
        /// # Errors
        ///
        /// [`ValueError`], also for bytes that are no value of `T` (a bool of 2).
        pub fn to_vec<T: Element>(&self, stream: impl StreamKey<T>) -> Result<Vec<T>, ValueError> {
            let id = self.id_of::<T>(stream.key())?;
            copied(id, self.carried(id)?)
        }

        /// The value of a stream that has one element in this frame.
        ///
        /// # Errors
        ///
        /// [`ValueError`], also if there are none or several.
        pub fn value<T: Element>(&self, stream: impl StreamKey<T>) -> Result<T, ValueError> {
            let id = self.id_of::<T>(stream.key())?;
            let data = self.carried(id)?;
            if data.len() != size_of::<T>() {
                let elems = self.stream(id)?.map_or(0, |s| s.elem_count);
                return Err(not_one::<T>(id, elems, data));
            }
            checked::try_pod_read_unaligned(data).map_err(|_| cast_error::<T>(id, data))
        }

        #[inline]
        fn carried(&self, id: u32) -> Result<&[u8], ValueError> {
            match self.stream(id)? {
                Some(s) => Ok(s.data),
                None => Err(ValueError::Absent { id, frame_id: self.frame_id() }),
            }
        }
    };
}

/// The stream's data is not one value: as many elements as it has, parts of one, or a part of a value.
#[cold]
fn not_one<T>(id: u32, elems: u32, data: &[u8]) -> ValueError {
    let size = size_of::<T>().max(1);
    if !data.len().is_multiple_of(size) {
        cast_error::<T>(id, data)
    } else if elems == 1 && !data.is_empty() {
        ValueError::Components { id, components: data.len() / size, ty: std::any::type_name::<T>() }
    } else {
        ValueError::NotOne { id, elems: if data.is_empty() { 0 } else { elems as usize } }
    }
}

#[cold]
fn cast_error<T>(id: u32, data: &[u8]) -> ValueError {
    ValueError::Cast { id, bytes: data.len(), ty: std::any::type_name::<T>() }
}

fn copied<T: Element>(id: u32, data: &[u8]) -> Result<Vec<T>, ValueError> {
    if !data.len().is_multiple_of(size_of::<T>().max(1)) {
        return Err(cast_error::<T>(id, data));
    }
    let values = data.chunks_exact(size_of::<T>().max(1)).map(checked::try_pod_read_unaligned);
    values.collect::<Result<_, _>>().map_err(|_| cast_error::<T>(id, data))
}

/// A whole frame for as long as its reader is not used for anything else: under a lease in shared memory, or copied
/// into the reader's own memory and proven whole.
///
/// It costs no allocation and no count. Dropping it ends the lease; one that is forgotten costs its slot until the
/// client is dropped. [`Frame::keep`] makes it an [`OwnedFrame`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Stream};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// let name = format!("doc-frame-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// let mut client = Client::open(&name)?;
/// let mut frame = server.begin_frame()?;
/// frame.append_stream(TICK, &[7])?;
/// frame.publish_frame(0.5)?;
///
/// let frame = client.latest()?.expect("one was published");
/// assert_eq!((frame.value(TICK)?, frame.sim_time()), (7, 0.5));
/// assert!(frame.get::<f32>(1).is_err(), "the directory says u64");
/// let kept = frame.keep();
/// drop(client);
/// assert_eq!(kept.get(TICK)?, [7]);
/// # Ok(()) }
/// ```
pub struct Frame<'c> {
    // No more than this, and small: a frame is returned through memory, and the processor waits where it reads memory in
    // other pieces than it was written in.
    pub(crate) taken: &'c mut Taken,
    /// Whether and how it is leased.
    pub(crate) held: Option<Held<'c>>,
}

impl Frame<'_> {
    accessors!();

    #[inline]
    const fn meta(&self) -> &FrameSnapshot {
        &self.taken.current.meta
    }

    #[inline]
    const fn place(&self) -> (u32, u64, Sum) {
        let current = &self.taken.current;
        (current.slot, current.missed_before, current.sum)
    }

    #[inline]
    const fn features(&self) -> Features {
        self.taken.features
    }

    #[inline]
    fn id_of<T: Element>(&self, key: Key<'_>) -> Result<u32, LookupError> {
        self.taken.catalog.id_of::<T>(key, || Ok(self.taken.home.directory()?))
    }

    /// Whether the payload lies in shared memory, without a copy.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        self.held.is_some()
    }

    /// The payload: records of streams.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let len = self.taken.current.meta.payload_bytes as usize;
        match &self.held {
            Some(held) => held.payload(len),
            // It was copied there, so it is that long.
            None => bytemuck::cast_slice::<u64, u8>(&self.taken.scratch).get(..len).unwrap_or_default(),
        }
    }

    /// The same frame for as long as anybody likes, also in other threads and after the client.
    ///
    /// A leased frame keeps its lease, and its slot from being used again; where that would leave the producer too few
    /// slots it is copied instead, unless the client wants leases only ([`OwnedFrame::is_leased`], [`crate::Hold`]). A copied one takes its memory along.
    #[must_use]
    #[inline(always)]
    pub fn keep(self) -> OwnedFrame {
        let Self { taken, held } = self;
        taken.home.refresh();
        let Current { meta, slot, sum, missed_before } = taken.current;
        let words = (meta.payload_bytes as usize).div_ceil(8);
        let data = match held {
            Some(held) if held.has_room_to_keep() => Data::Leased(held.keep()),
            Some(held) => Data::Copied(copy_of(&taken.pool, held.payload(meta.payload_bytes as usize))),
            // All of it at once, whatever stands behind the frame: cheaper than its own length.
            None => match taken.scratch.first_chunk::<SMALL_WORDS>().filter(|_| words <= SMALL_WORDS) {
                Some(small) => Data::Small(*small),
                None => {
                    let next = taken.pool.take(SMALL_WORDS);
                    Data::Copied(std::mem::replace(&mut taken.scratch, next))
                }
            },
        };
        OwnedFrame { meta, slot, sum, missed_before, features: taken.features, catalog: taken.catalog.clone(), data }
    }
}

impl Frame<'_> {
    /// As [`Frame::keep`], in memory of its own whatever the reader's [`crate::Hold`]: it costs the producer no slot.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Hold, Server, Stream};
    ///
    /// const IMAGE: Stream<u8> = Stream::new(1, "image");
    /// # let name = format!("doc-copy-{}", std::process::id());
    /// # let mut server = Server::builder(&name).stream(IMAGE, 4096).create()?;
    /// # let mut client = Client::options().hold(Hold::Lease).open(&name)?;
    /// # let mut frame = server.begin_frame()?;
    /// # frame.append_stream(IMAGE, &[7; 4096])?;
    /// # frame.publish_frame(0.0)?;
    /// let frame = client.latest()?.expect("one was published");
    /// assert!(frame.is_leased());
    /// let copy = frame.copy();
    /// assert!(!copy.is_leased());
    /// assert_eq!(copy.get(IMAGE)?, [7; 4096]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn copy(self) -> OwnedFrame {
        let Some(held) = &self.held else { return self.keep() };
        let Self { taken, .. } = &self;
        taken.home.refresh();
        let Current { meta, slot, sum, missed_before } = taken.current;
        let data = Data::Copied(copy_of(&taken.pool, held.payload(meta.payload_bytes as usize)));
        OwnedFrame { meta, slot, sum, missed_before, features: taken.features, catalog: taken.catalog.clone(), data }
    }
}

fn copy_of(pool: &Arc<Pool>, payload: &[u8]) -> Buffer {
    let mut copy = pool.take(payload.len().div_ceil(8));
    bytemuck::cast_slice_mut::<u64, u8>(&mut copy)[..payload.len()].copy_from_slice(payload);
    copy
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug(f, "Frame", self.meta(), self.checksum(), self.is_leased())
    }
}

fn debug(
    f: &mut std::fmt::Formatter<'_>,
    name: &str,
    meta: &FrameSnapshot,
    checksum: ChecksumState,
    leased: bool,
) -> std::fmt::Result {
    let mut debug = f.debug_struct(name);
    debug.field("frame_id", &meta.frame_id).field("sim_time", &f64::from_bits(meta.sim_time_bits));
    debug.field("payload_bytes", &meta.payload_bytes).field("checksum", &checksum);
    debug.field("leased", &leased).finish_non_exhaustive()
}

/// A whole frame that cannot change any more: under a lease of its own in shared memory, or copied.
///
/// From [`Frame::keep`], [`crate::Inspector`] and streams of frames. It may be kept as long as one likes, go to other
/// threads, and outlive its reader, but every leased one is one slot less for the producer.
pub struct OwnedFrame {
    meta: FrameSnapshot,
    slot: u32,
    sum: Sum,
    missed_before: u64,
    features: Features,
    catalog: Arc<Catalog>,
    data: Data,
}

enum Data {
    Leased(Lease),
    Copied(Buffer),
    /// Words, so that stream data is 8-byte aligned as in a slot.
    Small([u64; SMALL_WORDS]),
}

impl std::fmt::Debug for OwnedFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug(f, "OwnedFrame", self.meta(), self.checksum(), self.is_leased())
    }
}

impl OwnedFrame {
    accessors!();

    /// A frame that was copied.
    pub(crate) const fn copied(current: Current, features: Features, catalog: Arc<Catalog>, words: Buffer) -> Self {
        let Current { meta, slot, sum, missed_before } = current;
        Self { meta, slot, sum, missed_before, features, catalog, data: Data::Copied(words) }
    }

    #[inline]
    const fn meta(&self) -> &FrameSnapshot {
        &self.meta
    }

    #[inline]
    const fn place(&self) -> (u32, u64, Sum) {
        (self.slot, self.missed_before, self.sum)
    }

    #[inline]
    const fn features(&self) -> Features {
        self.features
    }

    #[inline]
    fn id_of<T: Element>(&self, key: Key<'_>) -> Result<u32, LookupError> {
        self.catalog.id_of::<T>(key, || Ok(self.catalog.cached()?))
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
        let words: &[u64] = match &self.data {
            Data::Leased(lease) => return lease.payload(len),
            Data::Copied(words) => words,
            Data::Small(words) => words,
        };
        bytemuck::cast_slice::<u64, u8>(words).get(..len).unwrap_or_default()
    }
}
