//! Streams as a producer declares them, with types chosen at run time.

use crate::error::StreamError;
use crate::schema::directory::StreamInfo;
use crate::schema::meta::StreamMeta;
use shmx_abi::directory::StreamEntry;
use shmx_abi::frame::stream_len;
use shmx_abi::{Element, ElementLayout, ElementType, check_element};

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

impl From<&StreamSpec> for StreamInfo {
    fn from(s: &StreamSpec) -> Self {
        Self {
            id: s.id,
            element_type_code: s.element_type.to_wire(),
            components: s.components,
            layout_code: s.layout.to_wire(),
            bytes_per_elem: s.bytes_per_elem,
            name: s.name.clone().into_bytes(),
            extra: s.extra.clone(),
        }
    }
}
