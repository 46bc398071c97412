//! A stream as a program asks for it that knows types at run time only: one in another language.

use crate::error::LookupError;
use crate::schema::directory::{Directory, StreamInfo, element_text};
use shmx_abi::ElementType;

/// A stream as a program asks for it, with a type that is known at run time: what a [`Stream`](crate::Stream) is to one
/// that knows it at compile time. For bindings of other languages.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{ElementType, Server, Stream, StreamRef};
///
/// let name = format!("doc-asked-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(Stream::<[f32; 3]>::new(2, "position"), 10).create()?;
/// let asked = StreamRef { id: 2, name: Some(b"position"), element: Some((ElementType::F32, 3)) };
/// assert_eq!(server.directory().lookup(asked)?.bytes_per_elem, 12);
/// let mut frame = server.begin_frame()?;
/// frame.append_as(asked, &[0; 24])?;
/// assert!(frame.append_as(StreamRef { element: Some((ElementType::F64, 3)), ..asked }, &[0; 24]).is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRef<'a> {
    /// The stream's number. A reader looks at it only where there is no name.
    pub id: u32,
    /// The name, if it is to be compared; a reader looks for it.
    pub name: Option<&'a [u8]>,
    /// Type and components of one value, if they are to be compared. Values of one component are a flat view of a
    /// stream of vectors.
    pub element: Option<(ElementType, u32)>,
}

impl std::fmt::Display for StreamRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name {
            Some(name) => write!(f, "stream `{}` ({})", String::from_utf8_lossy(name), self.id),
            None => write!(f, "stream {}", self.id),
        }
    }
}

impl Directory {
    /// The stream that a reader asks for: the one with this name or, without a name, with this number.
    ///
    /// # Errors
    ///
    /// [`LookupError`]: what the region has instead.
    pub fn lookup(&self, asked: StreamRef<'_>) -> Result<&StreamInfo, LookupError> {
        let found = match asked.name {
            Some(name) => self.streams.iter().find(|s| s.name == name),
            None => self.stream(asked.id),
        };
        let found = found.ok_or_else(|| self.unknown(&asked))?;
        check_type(found, asked)?;
        Ok(found)
    }

    /// The stream that its producer asks for: the one with this number, whose name is compared.
    // Always, as `FrameWriter::append_as`: arguments and result would go through memory.
    #[inline(always)]
    pub(crate) fn lookup_declared(&self, asked: StreamRef<'_>) -> Result<&StreamInfo, LookupError> {
        let Some(found) = self.stream(asked.id) else { return Err(self.unknown(&asked)) };
        if let Some(name) = asked.name
            && name != found.name
        {
            return Err(found.other_name(&String::from_utf8_lossy(name)));
        }
        check_type(found, asked)?;
        Ok(found)
    }
}

#[inline(always)]
fn check_type(found: &StreamInfo, asked: StreamRef<'_>) -> Result<(), LookupError> {
    match asked.element {
        Some((ty, components)) if !found.holds_as(ty, components) => Err(other_type(found, ty, components)),
        _ => Ok(()),
    }
}

#[cold]
fn other_type(found: &StreamInfo, ty: ElementType, components: u32) -> LookupError {
    let asked = element_text(Some(ty), ty.to_wire(), components);
    LookupError::Type { id: found.id, name: found.name_lossy().into_owned(), found: found.element_text(), asked }
}
