//! A frame under construction, which keeps its server.

use parking_lot::Mutex;
use self_cell::self_cell;
use shmx::error::{AppendError, BeginError, PublishError};
use shmx::{Filling, FrameWriter, SharedServer};
use std::sync::Arc;
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
    rooms: Vec<Room>,
}

/// Room that was reserved for a stream.
#[derive(Debug)]
struct Room {
    stream_id: u32,
    address: usize,
    len: usize,
    /// Those who may write to it now: views and copies under way.
    users: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Anybody may have it.
    Open,
    /// Filled from its start on; what was committed of it is final.
    Filling(Filling),
    /// Handed out to followers, or as good as.
    Final,
}

/// Where a stream, or the rest of it that is to be filled, lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Exposed: only `buffer` makes a pointer of it, and says why it may.
    pub(crate) address: usize,
    pub(crate) len: usize,
}

/// Keeps the draft, and a place in it from becoming final, while somebody may write there.
#[derive(Debug)]
pub(crate) struct Use {
    draft: Arc<Draft>,
    stream_id: u32,
    pub(crate) place: Place,
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(room) = self.draft.0.lock().rooms.iter_mut().find(|r| r.stream_id == self.stream_id) {
            room.users -= 1;
        }
    }
}

/// Why bytes are not final.
pub(crate) enum NotCommitted {
    /// So many views or copies could still change them.
    InUse(usize),
    Error(AppendError),
}

impl Draft {
    pub(crate) fn begin(server: SharedServer) -> Result<Self, BeginError> {
        let cell = Cell::try_new(server, |server| server.begin_frame().map(|f| Open(Some(f))))?;
        Ok(Self(Mutex::new(Parts { cell, rooms: Vec::new() })))
    }

    /// The same, once readers that want every frame have taken what would be overwritten.
    pub(crate) fn begin_when_taken(server: SharedServer, timeout: Duration) -> Result<Self, BeginError> {
        let cell = Cell::try_new(server, |s| SharedServer::begin_frame_when_taken(s, timeout).map(|f| Open(Some(f))))?;
        Ok(Self(Mutex::new(Parts { cell, rooms: Vec::new() })))
    }

    /// Room for `elems` elements of a declared stream, reserved by the first call; later ones find it again.
    ///
    /// Bytes are never copied here: whoever has a view of another stream may be writing to it, and the library would
    /// hash what it copies together with what lies before it. To reserve, it looks at the records' headers alone, which
    /// no view shows.
    pub(crate) fn reserve(&self, stream_id: u32, elems: u32) -> Result<(), AppendError> {
        let Parts { cell, rooms } = &mut *self.0.lock();
        match rooms.iter().find(|r| r.stream_id == stream_id).map(|r| &r.state) {
            Some(State::Open) => return Ok(()),
            Some(_) => return Err(AppendError::DuplicateStream { id: stream_id }),
            None => {}
        }
        cell.with_dependent_mut(|_, open| {
            // Published: then nobody has the draft any more.
            let Some(frame) = &mut open.0 else { return Err(AppendError::Forked) };
            let room = frame.reserve_raw(stream_id, elems)?;
            let (address, len) = (room.as_mut_ptr().expose_provenance(), room.len());
            rooms.push(Room { stream_id, address, len, users: 0, state: State::Open });
            Ok(())
        })
    }

    /// The same for a stream that is filled and committed in pieces. Gives its length.
    pub(crate) fn begin_fill(&self, stream_id: u32, elems: u32) -> Result<usize, AppendError> {
        let Parts { cell, rooms } = &mut *self.0.lock();
        cell.with_dependent_mut(|_, open| {
            let Some(frame) = &mut open.0 else { return Err(AppendError::Forked) };
            let filling = frame.begin_fill(stream_id, elems)?;
            let len = filling.len();
            let address = frame.rest_of(&filling).as_mut_ptr().expose_provenance();
            rooms.push(Room { stream_id, address, len, users: 0, state: State::Filling(filling) });
            Ok(len)
        })
    }

    /// Length of the room of a stream, if it was reserved and anybody may have it.
    pub(crate) fn reserved(&self, stream_id: u32) -> Option<usize> {
        let parts = self.0.lock();
        let room = parts.rooms.iter().find(|r| r.stream_id == stream_id)?;
        matches!(room.state, State::Open).then_some(room.len)
    }

    /// The room of a stream, to write to; all of it, or what is not committed.
    pub(crate) fn enter(self: &Arc<Self>, stream_id: u32, filling: bool) -> Option<Use> {
        let mut parts = self.0.lock();
        let room = parts.rooms.iter_mut().find(|r| r.stream_id == stream_id)?;
        let done = match &room.state {
            State::Open if !filling => 0,
            State::Filling(f) if filling => f.committed(),
            _ => return None,
        };
        room.users += 1;
        let place = Place { address: room.address + done, len: room.len - done };
        Some(Use { draft: self.clone(), stream_id, place })
    }

    /// Writes to the room of a stream, at once.
    pub(crate) fn at_once(&self, stream_id: u32, write: impl FnOnce(Place) -> bool) -> bool {
        let parts = self.0.lock();
        let room = parts.rooms.iter().find(|r| r.stream_id == stream_id && matches!(r.state, State::Open));
        room.is_some_and(|room| write(Place { address: room.address, len: room.len }))
    }

    /// Bytes committed of a stream that is filled in pieces, and all of them.
    pub(crate) fn filled(&self, stream_id: u32) -> Option<(usize, usize)> {
        let parts = self.0.lock();
        let room = parts.rooms.iter().find(|r| r.stream_id == stream_id)?;
        match &room.state {
            State::Open => None,
            State::Filling(f) => Some((f.committed(), f.len())),
            State::Final => Some((room.len, room.len)),
        }
    }

    /// Takes the next `bytes` of such a stream as final, and all streams before it. Nobody may be able to write there.
    pub(crate) fn commit(&self, stream_id: u32, bytes: usize) -> Result<(), NotCommitted> {
        let Parts { cell, rooms } = &mut *self.0.lock();
        let Some(this) = rooms.iter().position(|r| r.stream_id == stream_id) else { return Ok(()) };
        // In the order in which they lie.
        let (before, _) = rooms.split_at_mut(this + 1);
        let users: usize = before.iter().map(|r| r.users).sum();
        if users > 0 {
            return Err(NotCommitted::InUse(users));
        }
        let Some((room, before)) = before.split_last_mut() else { return Ok(()) };
        let State::Filling(filling) = &mut room.state else {
            let id = stream_id;
            return if bytes == 0 {
                Ok(())
            } else {
                Err(NotCommitted::Error(AppendError::Commit { id, asked: bytes, left: 0 }))
            };
        };
        cell.with_dependent_mut(|_, open| match &mut open.0 {
            Some(frame) => frame.commit(filling, bytes),
            None => Err(AppendError::Forked),
        })
        .map_err(NotCommitted::Error)?;
        before.iter_mut().for_each(|r| r.state = State::Final);
        if filling.is_filled() {
            room.state = State::Final;
        }
        Ok(())
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
