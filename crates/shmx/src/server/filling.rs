//! How far a stream is filled in pieces.

/// How far a stream of a frame is filled, apart from the frame: for what cannot keep a borrow of it in between, such as
/// bindings of other languages. Otherwise use [`crate::StreamFill`]. It counts bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream};
///
/// const IMAGE: Stream<u8> = Stream::new(1, "image");
/// const LINE: Stream<u64> = Stream::new(2, "line");
/// let name = format!("doc-filling-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(IMAGE, 640).stream(LINE, 1).create()?;
/// let mut frame = server.begin_frame()?;
/// let mut image = frame.begin_fill(1, 640)?;
/// frame.rest_of(&image)[..320].fill(7);
/// frame.commit(&mut image, 320)?;
/// frame.append_value(LINE, 1)?; // another stream in between
/// frame.rest_of(&image).fill(8);
/// frame.commit(&mut image, 320)?;
/// assert!(image.is_filled());
/// frame.publish_frame(0.0)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a stream that is not filled keeps its frame from being published"]
pub struct Filling {
    id: u32,
    at: u32,
    len: u32,
    done: u32,
}

impl Filling {
    pub(super) const fn new(id: u32, at: u32, len: u32) -> Self {
        Self { id, at, len, done: 0 }
    }

    /// Number, start of the data in the payload, and length of the stream.
    pub(super) const fn record(&self) -> (u32, u32, usize) {
        (self.id, self.at, self.len())
    }

    /// Counts bytes as committed. `None`, and nothing is counted, if there are not so many left.
    pub(super) fn advance(&mut self, bytes: usize) -> Option<()> {
        self.done += u32::try_from(bytes).ok().filter(|&n| n <= self.len - self.done)?;
        Some(())
    }

    /// Bytes committed so far.
    #[must_use]
    pub const fn committed(&self) -> usize {
        self.done as usize
    }

    /// Bytes of the whole stream.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length that it will have")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether all bytes are committed.
    #[must_use]
    pub const fn is_filled(&self) -> bool {
        self.done == self.len
    }
}
