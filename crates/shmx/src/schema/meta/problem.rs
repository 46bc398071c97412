//! What can be wrong with a stream's `extra`.

use shmx_abi::ElementType;
use std::fmt::{self, Write};

/// Longest `extra` that is read.
pub const MAX_EXTRA: usize = 64 * 1024;

/// Something in `extra` that cannot be used, or that contradicts the stream. Never an error: the rest is used.
///
/// The text says what is there, and what was expected. Bytes of others are shown escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaProblem {
    /// It begins like a JSON object, but is too long to be read.
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// It begins like a JSON object, but is none.
    Broken {
        /// The parser's words.
        cause: String,
    },
    /// It is application data, to which no keys can be added.
    NotAnObject,
    /// A key has a value of another kind. The key is ignored.
    WrongValue {
        /// The key.
        key: &'static str,
        /// Its value, as JSON.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An old key says something else than the one that replaced it. The new one counts.
    Conflict {
        /// The old key or keys.
        old: &'static str,
        /// The new one.
        new: &'static str,
    },
    /// An encoding that this version does not know. It is kept.
    UnknownEncoding {
        /// Its name.
        name: String,
    },
    /// An image says neither by `encoding` nor by its element type what its pixels are.
    NoEncoding {
        /// Type of the stream's components.
        element_type: ElementType,
        /// Components of an element.
        components: u32,
    },
    /// The stream's elements are not those of the encoding.
    EncodingElement {
        /// Name of the encoding.
        encoding: String,
        /// The encoding's components.
        expected: (ElementType, u32),
        /// The stream's.
        found: (ElementType, u32),
    },
    /// An image without the two numbers that it needs.
    ImageShape {
        /// The shape, if there is one.
        found: Option<Vec<u32>>,
    },
    /// Width or height is not a multiple of what the encoding needs.
    ImageSize {
        /// Name of the encoding.
        encoding: String,
        /// `width` or `height`.
        side: &'static str,
        /// Its value.
        found: u32,
    },
    /// A row of pixels is longer than `row_step`.
    RowStep {
        /// `row_step`.
        found: u32,
        /// Bytes of the pixels of a row.
        least: u64,
    },
    /// A frame has another number of elements than shape and encoding say.
    Elements {
        /// Elements by the shape; with `multiple`, a multiple of it.
        expected: u64,
        /// Whether the shape leaves a side open.
        multiple: bool,
        /// Elements of the frame.
        found: u64,
    },
    /// Shape, encoding and `row_step` do not come out as whole elements.
    PartialElement {
        /// Bytes of an image.
        bytes: u64,
        /// Bytes of an element.
        element: u64,
    },
    /// The stream's elements are not those of the role.
    RoleElement {
        /// The role.
        role: &'static str,
        /// What the role needs.
        expected: &'static str,
        /// The stream's elements.
        found: (ElementType, u32),
    },
}

impl fmt::Display for MetaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(f, "extra has {len} bytes, of which none were read: at most {} are", MAX_EXTRA)
            }
            Self::Broken { cause } => write!(f, "extra begins like a JSON object, but is none: {}", Cut(cause)),
            Self::NotAnObject => {
                f.write_str("extra is application data and no JSON object; no keys can be added to it")
            }
            Self::WrongValue { key, found, expected } => {
                write!(f, "`{key}` is {}, but must be {expected}; the key is ignored", Cut(found))
            }
            Self::Conflict { old, new } => write!(f, "{old} says something else than `{new}`, which counts"),
            Self::UnknownEncoding { name } => {
                write!(f, "encoding `{}` is not known; sizes are not checked and viewers may show nothing", Cut(name))
            }
            Self::NoEncoding { element_type, components } => {
                let found = Elements(*element_type, *components);
                write!(f, "an image of {found} needs an `encoding`, since its elements do not imply one")
            }
            Self::EncodingElement { encoding, expected, found } => {
                let (expected, found) = (Elements(expected.0, expected.1), Elements(found.0, found.1));
                write!(f, "encoding `{}` needs elements of {expected}, but the stream has {found}", Cut(encoding))
            }
            Self::ImageShape { found: None } => f.write_str("an image needs a `shape` of [height, width]"),
            Self::ImageShape { found: Some(shape) } => {
                write!(f, "`shape` is {shape:?}, but must be [height, width] for an image")
            }
            Self::ImageSize { encoding, side, found } => {
                write!(f, "{side} is {found}, but encoding `{}` needs an even one", Cut(encoding))
            }
            Self::RowStep { found, least } => {
                write!(f, "`row_step` is {found} bytes, but the pixels of a row have {least}")
            }
            Self::Elements { expected, multiple, found } => {
                let of = if *multiple { "a multiple of " } else { "" };
                write!(f, "a frame has {found} elements, but `shape` says {of}{expected}")
            }
            Self::PartialElement { bytes, element } => {
                write!(
                    f,
                    "an image has {bytes} bytes, which are no whole elements of {element} bytes; use single bytes"
                )
            }
            Self::RoleElement { role, expected, found } => {
                write!(f, "role `{role}` needs {expected}, but the stream has {}", Elements(found.0, found.1))
            }
        }
    }
}

struct Elements(ElementType, u32);

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == 1 { write!(f, "{}", self.0) } else { write!(f, "{}x{}", self.0, self.1) }
    }
}

/// Text of unknown origin: short, and harmless to a terminal.
struct Cut<'a>(&'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(MOST) {
            // Quotes are harmless, and the values are JSON.
            if matches!(c, '"' | '\'') { f.write_char(c)? } else { write!(f, "{}", c.escape_debug())? }
        }
        if chars.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}
