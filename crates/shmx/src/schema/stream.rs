//! Streams as programs name them: by a typed constant, by number, by name, or by a handle that was checked before.

use crate::error::StreamError;
use crate::schema::directory::StreamInfo;
use crate::schema::meta::{ACQUISITION_ID, ACQUISITION_NAME, StreamMeta};
use shmx_abi::directory::StreamEntry;
use shmx_abi::frame::stream_len;
use shmx_abi::{Element, ElementLayout, ElementType, check_element};
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

/// What names a stream of elements of type `T`: a [`Stream`], a [`StreamId`], a number, or a name.
///
/// Implemented for these four and for no other type.
pub trait StreamKey<T>: Copy + sealed::Sealed {
    #[doc(hidden)]
    fn key(&self) -> Key<'_>;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Stream<T> {}
    impl<T> Sealed for super::StreamId<T> {}
    impl Sealed for u32 {}
    impl Sealed for &str {}
}

/// How a stream is named.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    Id(u32),
    Name(&'a str),
    Declared { id: u32, name: &'a str },
    Checked { id: u32, token: u32, name_hash: u64 },
}

impl<T> StreamKey<T> for Stream<T> {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Declared { id: self.id, name: self.name }
    }
}

impl<T> StreamKey<T> for StreamId<T> {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Checked { id: self.id, token: self.token, name_hash: self.name_hash }
    }
}

impl<T> StreamKey<T> for u32 {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Id(*self)
    }
}

impl<T> StreamKey<T> for &str {
    #[inline]
    fn key(&self) -> Key<'_> {
        Key::Name(self)
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) | Self::Checked { id, .. } => write!(f, "stream {id}"),
            Self::Name(name) => write!(f, "stream `{name}`"),
            Self::Declared { id, name } => write!(f, "stream `{name}` ({id})"),
        }
    }
}

/// A stream as the producer declares it, with types chosen at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSpec {
    /// The stream's number, unique within the region.
    pub id: u32,
    /// Type of one component.
    pub element_type: ElementType,
    /// Components of one element, at least 1.
    pub components: u32,
    /// How components lie.
    pub layout: ElementLayout,
    /// Bytes of one whole element.
    pub bytes_per_elem: u32,
    /// Name, for people and for lookup.
    pub name: String,
    /// Application data: what the stream means, see `docs/streams.md`.
    pub extra: Vec<u8>,
}

impl StreamSpec {
    /// A stream of elements of type `T`.
    #[must_use]
    pub fn of<T: Element>(id: u32, name: impl Into<String>) -> Self {
        check_element::<T>();
        Self::new(id, name, T::TYPE, T::COMPONENTS)
    }

    /// A stream of elements with `components` components.
    #[must_use]
    pub fn new(id: u32, name: impl Into<String>, element_type: ElementType, components: u32) -> Self {
        let layout = if components > 1 { ElementLayout::AosVector } else { ElementLayout::SoaScalar };
        let bytes_per_elem = element_type.size().saturating_mul(components);
        Self { id, element_type, components, layout, bytes_per_elem, name: name.into(), extra: Vec::new() }
    }

    /// The same with application data.
    #[must_use]
    pub fn extra(mut self, extra: impl Into<Vec<u8>>) -> Self {
        self.extra = extra.into();
        self
    }

    /// The same with a meaning: what it says is added to `extra`, beside what the application has there. An `extra`
    /// that is no JSON object is replaced.
    ///
    /// ```
    /// use shmx::{Stream, meta::StreamMeta};
    ///
    /// const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
    /// let spec = POSITION.spec().meta(&StreamMeta::points().unit("m").frame("map"));
    /// assert_eq!(StreamMeta::parse(&spec.extra).0.unit.as_deref(), Some("m"));
    /// ```
    #[must_use]
    pub fn meta(mut self, meta: &StreamMeta) -> Self {
        self.extra = meta.merge_into(&self.extra).unwrap_or_else(|_| meta.to_extra());
        self
    }

    /// The same with a layout code other than the usual one.
    #[must_use]
    pub const fn layout(mut self, layout: ElementLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Bytes that `elems` elements take in a frame, record and padding included; `None` if that exceeds a `u32`.
    #[must_use]
    pub fn frame_bytes(&self, elems: u32) -> Option<u32> {
        let data = u64::from(elems) * u64::from(self.bytes_per_elem);
        stream_len(usize::try_from(data).ok()?)
    }

    pub(crate) fn check(&self) -> Result<(), StreamError> {
        let Self { id, element_type, components, .. } = *self;
        if components == 0 {
            return Err(StreamError::NoComponents { id });
        }
        let expected = u64::from(element_type.size()) * u64::from(components);
        if expected != u64::from(self.bytes_per_elem) {
            let found = self.bytes_per_elem;
            return Err(StreamError::ElementSize { id, element_type, components, expected, found });
        }
        let meta = StreamMeta::parse(&self.extra).0;
        match meta.check(element_type, components, None).first() {
            Some(problem) => Err(StreamError::Meaning { id, problem: problem.to_string() }),
            None => Ok(()),
        }
    }

    fn entry(&self) -> StreamEntry<'_> {
        StreamEntry {
            stream_id: self.id,
            element_type_code: self.element_type.to_wire(),
            components: self.components,
            layout_code: self.layout.to_wire(),
            bytes_per_elem: self.bytes_per_elem,
            name: self.name.as_bytes(),
            extra: &self.extra,
        }
    }

    /// Checks the description against the others and appends it to a directory's bytes.
    pub(crate) fn append_to(&self, others: &[StreamInfo], bytes: &mut Vec<u8>) -> Result<(), StreamError> {
        self.check()?;
        if others.iter().any(|s| s.id == self.id) {
            return Err(StreamError::DuplicateId { id: self.id });
        }
        let too_long = StreamError::TooLong { id: self.id };
        let entry = self.entry();
        let len = entry.encoded_len().ok_or(too_long.clone())? as usize;
        let start = bytes.len();
        u32::try_from(start + len).map_err(|_| too_long.clone())?;
        bytes.resize(start + len, 0);
        entry.encode(&mut bytes[start..]).ok_or(too_long)?;
        Ok(())
    }
}

impl<T: Element> From<Stream<T>> for StreamSpec {
    fn from(stream: Stream<T>) -> Self {
        stream.spec()
    }
}
