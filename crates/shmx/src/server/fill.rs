//! A stream that is filled in pieces, each of which followers may read before the frame is published.

use super::filling::Filling;
use super::frame::FrameWriter;
use crate::error::AppendError;
use crate::schema::asked::StreamRef;
use crate::schema::key::StreamKey;
use shmx_abi::PlainElement;
use shmx_abi::frame::DATA_OFFSET;
use std::marker::PhantomData;

/// A stream of a frame under construction that is filled from its start to its end: what a sensor reads out line by
/// line, what a solver computes block by block.
///
/// What was committed is final, and readers that follow the frame ([`crate::Client::follow`]) have it at once; where
/// nobody follows, committing costs next to nothing. All of the stream must be committed before the frame can be
/// published.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream};
///
/// const IMAGE: Stream<u8> = Stream::new(1, "image");
/// let name = format!("doc-fill-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(IMAGE, 640 * 480).create()?;
/// let mut frame = server.begin_frame()?;
/// let mut image = frame.fill_stream(IMAGE, 640 * 480)?;
/// while !image.is_filled() {
///     image.rest()[..640].fill(7); // a line from the sensor
///     image.commit(640)?;
/// }
/// frame.publish_frame(0.0)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a stream that is not filled keeps its frame from being published"]
pub struct StreamFill<'f, 'a, T> {
    frame: &'f mut FrameWriter<'a>,
    id: u32,
    /// Where the data begins in the payload.
    at: u32,
    len: usize,
    done: usize,
    of: PhantomData<T>,
}

impl FrameWriter<'_> {
    /// Makes room for `elem_count` elements of a stream, which are written and committed in pieces, in place.
    ///
    /// Other streams may be appended meanwhile, behind it. Followers get them once this one is filled.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn begin_fill(&mut self, id: u32, elem_count: u32) -> Result<Filling, AppendError> {
        self.begin_filling_of(|frame| Ok((id, frame.reserve_raw(id, elem_count)?.len())))
    }

    /// The same for `len` bytes of values whose type is known at run time.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn begin_fill_as(&mut self, stream: StreamRef<'_>, len: usize) -> Result<Filling, AppendError> {
        self.begin_filling_of(|frame| frame.reserve_values_as(stream, len).map(|id| (id, len)))
    }

    fn begin_filling_of(
        &mut self,
        reserve: impl FnOnce(&mut Self) -> Result<(u32, usize), AppendError>,
    ) -> Result<Filling, AppendError> {
        self.check_filled()?;
        let at = self.used() + DATA_OFFSET;
        let (id, len) = reserve(self)?;
        if len > 0 {
            self.begin_filling(at);
        }
        // It was reserved, so it fits in a `u32`.
        Ok(Filling::new(id, at, len as u32))
    }

    /// The bytes of the stream that are not committed yet. They hold whatever an earlier frame left there. None in a
    /// forked child, and none of another frame's stream.
    pub fn rest_of(&mut self, filling: &Filling) -> &mut [u8] {
        if self.server().region.os.is_forked() || !self.is_filling(filling) {
            return &mut [];
        }
        let ((_, at, len), done) = (filling.record(), filling.committed());
        self.room_from(at + done as u32).get_mut(..len - done).unwrap_or_default()
    }

    /// Takes the first `bytes` of [`FrameWriter::rest_of`] as final, and with them all streams before this one.
    ///
    /// # Errors
    ///
    /// [`AppendError::Commit`] if there are not that many, [`AppendError::Forked`]; nothing was committed then.
    pub fn commit(&mut self, filling: &mut Filling, bytes: usize) -> Result<(), AppendError> {
        if self.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let (id, at, len) = filling.record();
        let left = if self.is_filling(filling) { len - filling.committed() } else { 0 };
        if bytes > left || filling.advance(bytes).is_none() {
            return Err(AppendError::Commit { id, asked: bytes, left });
        }
        if filling.is_filled() {
            self.end_filling(at);
        }
        if bytes > 0 {
            self.commit_up_to(at + filling.committed() as u32);
        }
        Ok(())
    }
}

impl<'a> FrameWriter<'a> {
    /// Makes room for `len` values that are written and committed in pieces, in place.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn fill_stream<T: PlainElement>(
        &mut self,
        stream: impl StreamKey<T>,
        len: usize,
    ) -> Result<StreamFill<'_, 'a, T>, AppendError> {
        self.check_filled()?;
        let at = self.used() + DATA_OFFSET;
        let id = self.reserve_values::<T>(stream.key(), len)?;
        if len > 0 {
            self.begin_filling(at);
        }
        Ok(StreamFill { frame: self, id, at, len, done: 0, of: PhantomData })
    }
}

impl<T: PlainElement> StreamFill<'_, '_, T> {
    /// The values that are not committed yet. They hold whatever an earlier frame left there. None in a forked child,
    /// whose slot it is not.
    pub fn rest(&mut self) -> &mut [T] {
        if self.frame.server().region.os.is_forked() {
            return &mut [];
        }
        let from = self.at + (self.done * size_of::<T>()) as u32;
        let bytes = (self.len - self.done) * size_of::<T>();
        let room = self.frame.room_from(from).get_mut(..bytes).unwrap_or_default();
        // Stream data is 8-byte aligned, and `check_element` says that no element needs more.
        bytemuck::try_cast_slice_mut(room).unwrap_or_default()
    }

    /// Takes the first `count` of [`StreamFill::rest`] as final.
    ///
    /// # Errors
    ///
    /// [`AppendError::Commit`] if there are not that many, [`AppendError::Forked`]; nothing was committed then.
    pub fn commit(&mut self, count: usize) -> Result<(), AppendError> {
        if self.frame.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let left = self.len - self.done;
        if count > left {
            return Err(AppendError::Commit { id: self.id, asked: count, left });
        }
        self.done += count;
        if self.done == self.len {
            self.frame.end_filling(self.at);
        }
        if count > 0 {
            // It was reserved, so it fits in a `u32`.
            self.frame.commit_up_to(self.at + (self.done * size_of::<T>()) as u32);
        }
        Ok(())
    }

    /// Copies values in and commits them.
    ///
    /// # Errors
    ///
    /// As for [`StreamFill::commit`]; nothing was written then.
    pub fn write(&mut self, values: &[T]) -> Result<(), AppendError> {
        if let Some(room) = self.rest().get_mut(..values.len()) {
            room.copy_from_slice(values);
        }
        // Says why there is no room, if there is none.
        self.commit(values.len())
    }

    /// Values committed so far.
    #[must_use]
    pub const fn committed(&self) -> usize {
        self.done
    }

    /// Whether all values are committed.
    #[must_use]
    pub const fn is_filled(&self) -> bool {
        self.done == self.len
    }
}
