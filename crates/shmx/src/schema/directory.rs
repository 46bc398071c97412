//! The stream directory as it is found in a region, and lookup in it.

use crate::error::{DirectoryReadError, LookupError};
use crate::schema::key::Key;
use crate::schema::meta::{MetaProblem, StreamMeta};
use shmx_abi::directory::{Directory as Entries, StreamEntry};
use shmx_abi::{Element, ElementLayout, ElementType};

/// One stream as the directory has it; codes that we do not know are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

    /// Whether somebody who says this means the stream: it is its name, or its number.
    #[must_use]
    pub fn is_called(&self, name_or_id: &str) -> bool {
        self.name_lossy() == name_or_id || name_or_id.parse() == Ok(self.id)
    }

    /// What the stream means, as far as its application data says it, and what is wrong with that.
    #[must_use]
    pub fn meta(&self) -> (StreamMeta, Vec<MetaProblem>) {
        let (meta, mut problems) = StreamMeta::parse(&self.extra);
        if let Some(element_type) = self.element_type() {
            problems.extend(meta.check(element_type, self.components, None));
        }
        (meta, problems)
    }

    /// Type and components as text: `f32 x 3`, or the code where it is unknown.
    #[must_use]
    pub fn element_text(&self) -> String {
        element_text(self.element_type(), self.element_type_code, self.components)
    }

    #[cold]
    pub(super) fn other_name(&self, asked: &str) -> LookupError {
        LookupError::Name { id: self.id, found: self.name_lossy().into_owned(), asked: asked.to_owned() }
    }

    /// Whether values of `T` are elements of the stream, or of a vector stream its components one by one.
    #[inline]
    pub(crate) fn holds<T: Element>(&self) -> bool {
        self.holds_as(T::TYPE, T::COMPONENTS)
    }

    #[inline]
    pub(super) fn holds_as(&self, element_type: ElementType, components: u32) -> bool {
        self.element_type_code == element_type.to_wire() && (components == self.components || components == 1)
    }
}

pub(super) fn element_text(ty: Option<ElementType>, code: u32, components: u32) -> String {
    match (ty, components) {
        (Some(ty), 1) => ty.to_string(),
        (Some(ty), n) => format!("{ty} x {n}"),
        (None, n) => format!("type {code} x {n}"),
    }
}

/// `T` as the directory would describe it.
pub(crate) fn text_of<T: Element>() -> String {
    element_text(Some(T::TYPE), 0, T::COMPONENTS)
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
#[non_exhaustive]
pub struct Directory {
    /// Session the directory belongs to.
    pub session_id: u64,
    /// Counts its changes.
    pub generation: u32,
    /// Hash over its bytes.
    pub hash: u64,
    /// Its bytes, other record types included.
    pub bytes: Vec<u8>,
    /// Its streams in order.
    pub streams: Vec<StreamInfo>,
}

impl Directory {
    pub(crate) fn parse(
        session_id: u64,
        (generation, hash, bytes): (u32, u64, Vec<u8>),
    ) -> Result<Self, DirectoryReadError> {
        let streams = Entries::new(&bytes).map(|e| e.map(StreamInfo::from)).collect::<Result<_, _>>()?;
        Ok(Self { session_id, generation, hash, bytes, streams })
    }

    /// The stream with this number.
    #[must_use]
    #[inline]
    pub fn stream(&self, id: u32) -> Option<&StreamInfo> {
        self.streams.iter().find(|s| s.id == id)
    }

    /// The first stream with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&StreamInfo> {
        self.streams.iter().find(|s| s.name == name.as_bytes())
    }

    /// The stream that a reader means: of a [`crate::Stream`] the one with its name.
    #[inline]
    pub(crate) fn find(&self, key: Key<'_>) -> Result<&StreamInfo, LookupError> {
        let found = match key {
            Key::Id(id) => self.stream(id),
            Key::Name(name) | Key::Declared { name, .. } => self.by_name(name),
            Key::Checked { id, name_hash, .. } => self.find_again(id, name_hash),
        };
        match found {
            Some(stream) => Ok(stream),
            None => Err(self.unknown(&key)),
        }
    }

    /// The stream of a handle that was made for another directory.
    #[cold]
    fn find_again(&self, id: u32, name_hash: u64) -> Option<&StreamInfo> {
        let named = |s: &&StreamInfo| name_hash_of(&s.name) == name_hash;
        self.stream(id).filter(named).or_else(|| self.streams.iter().find(named))
    }

    /// The stream that its producer means: of a [`crate::Stream`] the one with its number.
    // Always: what kind of key it is, is known where it is called, and the result would go through memory.
    #[inline(always)]
    pub(crate) fn find_declared(&self, key: Key<'_>) -> Result<&StreamInfo, LookupError> {
        let (Key::Declared { id, .. } | Key::Id(id)) = key else { return self.find(key) };
        match (self.stream(id), key) {
            (Some(s), Key::Declared { name, .. }) if s.name != name.as_bytes() => Err(s.other_name(name)),
            (Some(s), _) => Ok(s),
            (None, _) => Err(self.unknown(&key)),
        }
    }

    #[cold]
    pub(super) fn unknown(&self, asked: &dyn std::fmt::Display) -> LookupError {
        let known = self.streams.iter().map(|s| format!("{} `{}`", s.id, s.name_lossy())).collect();
        LookupError::Unknown { asked: asked.to_string(), known }
    }

    /// [`LookupError::Type`] unless `T` fits.
    #[inline]
    pub(crate) fn check_type<T: Element>(stream: &StreamInfo) -> Result<(), LookupError> {
        if stream.holds::<T>() { Ok(()) } else { Err(type_error::<T>(stream)) }
    }
}

#[cold]
fn type_error<T: Element>(stream: &StreamInfo) -> LookupError {
    LookupError::Type {
        id: stream.id,
        name: stream.name_lossy().into_owned(),
        found: stream.element_text(),
        asked: text_of::<T>(),
    }
}

pub(crate) fn name_hash_of(name: &[u8]) -> u64 {
    shmx_abi::hash::fnv1a64(name)
}
