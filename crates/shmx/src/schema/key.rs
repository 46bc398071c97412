//! How a call names a stream.

/// What names a stream of elements of type `T`: a [`crate::Stream`], a [`crate::StreamId`], a number, or a name.
///
/// Implemented for these four and for no other type.
pub trait StreamKey<T>: Copy + sealed::Sealed {
    #[doc(hidden)]
    fn key(&self) -> Key<'_>;
}

pub(super) mod sealed {
    pub trait Sealed {}
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
