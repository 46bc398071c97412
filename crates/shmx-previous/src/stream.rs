//! Stream descriptions: what a producer declares and what a reader learns.

use crate::error::{DirectoryReadError, StreamError};
use shmx_abi::directory::{Directory, StreamEntry};
use shmx_abi::{Element, ElementLayout, ElementType};

/// One stream as the producer declares it, and as a reader finds it when its codes are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticStream {
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
    /// Application data: units, calibration, a schema.
    pub extra: Vec<u8>,
}

impl StaticStream {
    /// A stream of elements of type `T`: `f64` is a scalar stream, `[f32; 3]` one of vectors.
    #[must_use]
    pub fn of<T: Element>(id: u32, name: impl Into<String>) -> Self {
        Self::vector(id, name, T::TYPE, T::COMPONENTS)
    }

    /// A stream of elements with `components` components of a type chosen at run time.
    #[must_use]
    pub fn vector(id: u32, name: impl Into<String>, element_type: ElementType, components: u32) -> Self {
        let layout = if components > 1 { ElementLayout::AosVector } else { ElementLayout::SoaScalar };
        let bytes_per_elem = element_type.size().saturating_mul(components);
        Self { id, element_type, components, layout, bytes_per_elem, name: name.into(), extra: Vec::new() }
    }

    /// The same with application data.
    #[must_use]
    pub fn with_extra(mut self, extra: impl Into<Vec<u8>>) -> Self {
        self.extra = extra.into();
        self
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
        Ok(())
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

/// One stream as the directory has it; codes that we do not know are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream's number.
    pub id: u32,
    /// Code of the component type.
    pub element_type_code: u32,
    /// Components of one element.
    pub components: u32,
    /// Code of the layout.
    pub layout_code: u32,
    /// Bytes of one whole element.
    pub bytes_per_elem: u32,
    /// The name as found; UTF-8 is promised but not enforced.
    pub name: Vec<u8>,
    /// Application data.
    pub extra: Vec<u8>,
}

impl StreamInfo {
    /// The component type, if the code is known.
    #[must_use]
    pub fn element_type(&self) -> Option<ElementType> {
        ElementType::from_wire(self.element_type_code)
    }

    /// The layout, if the code is known.
    #[must_use]
    pub fn layout(&self) -> Option<ElementLayout> {
        ElementLayout::from_wire(self.layout_code)
    }

    /// The name, with replacement characters where it is not UTF-8.
    #[must_use]
    pub fn name_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }
}

impl From<StreamEntry<'_>> for StreamInfo {
    fn from(e: StreamEntry<'_>) -> Self {
        Self {
            id: e.stream_id,
            element_type_code: e.element_type_code,
            components: e.components,
            layout_code: e.layout_code,
            bytes_per_elem: e.bytes_per_elem,
            name: e.name.to_vec(),
            extra: e.extra.to_vec(),
        }
    }
}

/// The stream directory at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticState {
    /// Session the directory belongs to.
    pub session_id: u64,
    /// Counts its changes.
    pub static_gen: u32,
    /// Hash over its bytes.
    pub static_hash: u64,
    /// Its bytes, other record types included.
    pub bytes: Vec<u8>,
    /// Its streams in order.
    pub streams: Vec<StreamInfo>,
}

impl StaticState {
    pub(crate) fn parse(
        session_id: u64,
        (static_gen, static_hash, bytes): (u32, u64, Vec<u8>),
    ) -> Result<Self, DirectoryReadError> {
        let streams = Directory::new(&bytes).map(|e| e.map(StreamInfo::from)).collect::<Result<_, _>>()?;
        Ok(Self { session_id, static_gen, static_hash, bytes, streams })
    }

    /// The stream with this id.
    #[must_use]
    pub fn stream(&self, id: u32) -> Option<&StreamInfo> {
        self.streams.iter().find(|s| s.id == id)
    }

    /// The first stream with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&StreamInfo> {
        self.streams.iter().find(|s| s.name == name.as_bytes())
    }
}
