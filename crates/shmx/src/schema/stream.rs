//! Streams as programs name them: by a typed constant, by number, by name, or by a handle that was checked before.

use crate::schema::key::{Key, StreamKey, sealed};
use crate::schema::meta::{ACQUISITION_ID, ACQUISITION_NAME};
use crate::schema::spec::StreamSpec;
use shmx_abi::{Element, check_element};
use std::marker::PhantomData;

/// A stream as a program knows it: number, name and the Rust type of its elements.
///
/// Declared once, as a constant, and used by producer and reader. A producer uses the number; a reader looks for the
/// name ([`crate::Client::stream`]), and takes whatever number the region gives it. The type is compared with the
/// directory in both directions.
///
/// ```
/// use shmx::Stream;
///
/// const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
/// assert_eq!(POSITION.spec().bytes_per_elem, 12);
/// ```
pub struct Stream<T> {
    id: u32,
    name: &'static str,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Stream<T> {
    /// A stream of elements of type `T`: `f64` is a scalar stream, `[f32; 3]` one of vectors.
    #[must_use]
    pub const fn new(id: u32, name: &'static str) -> Self {
        check_element::<T>();
        Self { id, name, element: PhantomData }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its description, to which meaning can be added.
    #[must_use]
    pub fn spec(&self) -> StreamSpec {
        StreamSpec::of::<T>(self.id, self.name)
    }
}

impl Stream<u64> {
    /// The moment at which a frame's data was acquired, beside the producer's `sim_time`: nanoseconds of the clock that
    /// the directory names ([`crate::ServerBuilder::acquisition_time`]).
    pub const ACQUISITION_TIME: Self = Self::new(ACQUISITION_ID, ACQUISITION_NAME);
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Stream<T> {}

impl<T> std::fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A stream of one region whose type was compared with the directory: from [`crate::Client::stream`] and the like.
///
/// Reading by it costs no look at the directory. In frames of another region, or after a client has gone over to a
/// successor of its server, it is looked up by name again.
pub struct StreamId<T> {
    pub(crate) id: u32,
    /// Of the catalog that it was checked against.
    pub(crate) token: u32,
    /// Where its name lies, for who has to look again.
    pub(crate) name_hash: u64,
    element: PhantomData<fn() -> T>,
}

impl<T> StreamId<T> {
    pub(crate) const fn new(id: u32, token: u32, name_hash: u64) -> Self {
        Self { id, token, name_hash, element: PhantomData }
    }

    /// The number that the region gives the stream.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }
}

impl<T> Clone for StreamId<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for StreamId<T> {}

impl<T> std::fmt::Debug for StreamId<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamId").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> sealed::Sealed for Stream<T> {}
impl<T> StreamKey<T> for Stream<T> {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Declared { id: self.id, name: self.name }
    }
}

impl<T> sealed::Sealed for StreamId<T> {}
impl<T> StreamKey<T> for StreamId<T> {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Checked { id: self.id, token: self.token, name_hash: self.name_hash }
    }
}

impl<T: Element> From<Stream<T>> for StreamSpec {
    fn from(stream: Stream<T>) -> Self {
        stream.spec()
    }
}
