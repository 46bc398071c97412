//! A frame under construction, which keeps its server.

use parking_lot::Mutex;
use self_cell::self_cell;
use shmx::error::{AppendError, BeginError, PublishError};
use shmx::{FrameWriter, SharedServer};
use std::time::Duration;

/// None once it is published.
#[derive(Debug)]
struct Open<'a>(Option<FrameWriter<'a>>);

self_cell!(
    struct Cell {
        owner: SharedServer,
        #[covariant]
        dependent: Open,
    }
    impl {Debug}
);

/// A claimed slot that is being filled. It is given back when the draft is dropped without being published.
#[derive(Debug)]
pub(crate) struct Draft(Mutex<Parts>);

#[derive(Debug)]
struct Parts {
    cell: Cell,
    places: Vec<Place>,
}

/// Room that was reserved for a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) stream_id: u32,
    /// Its address, exposed: only `buffer` makes a pointer of it, and says why it may.
    pub(crate) address: usize,
    pub(crate) len: usize,
}

impl Draft {
    pub(crate) fn begin(server: SharedServer) -> Result<Self, BeginError> {
        let cell = Cell::try_new(server, |server| server.begin_frame().map(|f| Open(Some(f))))?;
        Ok(Self(Mutex::new(Parts { cell, places: Vec::new() })))
    }

    /// The same, once readers that want every frame have taken what would be overwritten.
    pub(crate) fn begin_when_taken(server: SharedServer, timeout: Duration) -> Result<Self, BeginError> {
        let cell = Cell::try_new(server, |s| SharedServer::begin_frame_when_taken(s, timeout).map(|f| Open(Some(f))))?;
        Ok(Self(Mutex::new(Parts { cell, places: Vec::new() })))
    }

    /// Room for `elems` elements of a declared stream, reserved by the first call; later ones find it again.
    ///
    /// Bytes are never copied here: whoever has a view of another stream may be writing to it, and the library would
    /// hash what it copies together with what lies before it. To reserve, it looks at the records' headers alone, which
    /// no view shows.
    pub(crate) fn reserve(&self, stream_id: u32, elems: u32) -> Result<Place, AppendError> {
        let Parts { cell, places } = &mut *self.0.lock();
        if let Some(place) = places.iter().find(|p| p.stream_id == stream_id) {
            return Ok(*place);
        }
        cell.with_dependent_mut(|_, open| {
            // Published: then nobody has the draft any more.
            let Some(frame) = &mut open.0 else { return Err(AppendError::Forked) };
            let room = frame.reserve_raw(stream_id, elems)?;
            let place = Place { stream_id, len: room.len(), address: room.as_mut_ptr().expose_provenance() };
            places.push(place);
            Ok(place)
        })
    }

    /// The room of a stream, if it was reserved.
    pub(crate) fn place(&self, stream_id: u32) -> Option<Place> {
        self.0.lock().places.iter().find(|p| p.stream_id == stream_id).copied()
    }

    /// Where it is to be published.
    pub(crate) fn server(&mut self) -> &SharedServer {
        self.0.get_mut().cell.borrow_owner()
    }

    /// Bytes used so far.
    pub(crate) fn used(&mut self) -> u32 {
        self.0.get_mut().cell.borrow_dependent().0.as_ref().map_or(0, FrameWriter::used)
    }

    /// Copies bytes that need not be declared. A stream that is in the frame already is added once more.
    pub(crate) fn append(&mut self, stream_id: u32, elem_count: u32, data: &[u8]) -> Result<(), AppendError> {
        self.0.get_mut().cell.with_dependent_mut(|_, open| {
            let Some(frame) = &mut open.0 else { return Err(AppendError::Forked) };
            match frame.append_undeclared(stream_id, elem_count, data) {
                Err(AppendError::DuplicateStream { .. }) => {
                    frame.append_records(&record(stream_id, elem_count, data), 1)
                }
                other => other,
            }
        })
    }

    /// Publishes. Nobody has views of the frame: the caller owns the draft, and every view shares it.
    pub(crate) fn publish(self, time: f64) -> Result<u64, PublishError> {
        let mut parts = self.0.into_inner();
        parts.cell.with_dependent_mut(|_, open| match open.0.take() {
            Some(frame) => frame.publish_frame(time),
            None => Err(PublishError::Empty),
        })
    }
}

/// A stream's record, padded, as `docs/wire-format.md` has it.
fn record(stream_id: u32, elem_count: u32, data: &[u8]) -> Vec<u8> {
    use shmx::abi::consts::{FRAME_STREAM_HEADER_LEN, TLV_ALIGN, TLV_FRAME_STREAM};
    // More than fits into a frame anyway.
    let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX - FRAME_STREAM_HEADER_LEN);
    let head = [TLV_FRAME_STREAM, bytes.saturating_add(FRAME_STREAM_HEADER_LEN), stream_id, elem_count, bytes, 0];
    let mut record: Vec<u8> = head.into_iter().flat_map(u32::to_ne_bytes).collect();
    record.extend_from_slice(data);
    record.resize(record.len().next_multiple_of(TLV_ALIGN as usize), 0);
    record
}
