//! A frame under construction, and the server that it borrows.
//!
//! A [`FrameWriter`] borrows its server, which in Rust the compiler watches over. Here [`Core`] does. A server of one
//! thread ([`Solo`]) has one frame at most, and is not looked at meanwhile; what keeps it alive is counted by the
//! handles. A shared server is borrowed shared.

use crate::args::{Array, Bytes, Give, Out, put, put_if_wanted};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::shmx_part;
use shmx::{Filling, FrameWriter, Server, SharedServer, StreamRef};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A server, of one thread or of several.
#[derive(Debug)]
pub(crate) enum Core {
    Solo(Rc<Solo>),
    Shared(Arc<SharedServer>),
}

/// A server of one thread. The header says: one thread at a time uses it and its frame, so nothing here is atomic.
#[derive(Debug)]
pub(crate) struct Solo {
    server: UnsafeCell<Server>,
    /// Whether a frame borrows it.
    lent: Cell<bool>,
}

#[cold]
fn busy() -> Fault {
    let text = "a frame is under construction; publish or abandon it first, or create with SHMX_SERVER_SHARED";
    Fault::new(shmx_status::Busy, text)
}

#[inline(always)]
fn publish_parts(mut frame: FrameWriter<'_>, sim_time: f64, parts: &[shmx_part]) -> Result<u64, Fault> {
    for part in parts {
        frame.append_as(part.stream.asked("parts")?, part.data.get(part.bytes, "parts")?)?;
    }
    Ok(frame.publish_frame(sim_time)?)
}

#[inline(always)]
fn publish_whole(mut frame: FrameWriter<'_>, sim_time: f64, records: &[u8], count: u32) -> Result<u64, Fault> {
    frame.append_records(records, count)?;
    Ok(frame.publish_frame(sim_time)?)
}

impl Core {
    pub(crate) fn new(server: Server, shared: bool) -> Self {
        if shared {
            return Self::Shared(Arc::new(server.into_shared()));
        }
        Self::Solo(Rc::new(Solo { server: UnsafeCell::new(server), lent: Cell::new(false) }))
    }

    /// Runs something on the server.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&Server) -> T) -> Result<T, Fault> {
        match self {
            Self::Shared(server) => Ok(run(server)),
            Self::Solo(solo) if solo.lent.get() => Err(busy()),
            // SAFETY: no frame borrows it, and `run` ends before anything else of this handle runs.
            Self::Solo(solo) => Ok(run(unsafe { &*solo.server.get() })),
        }
    }

    #[inline(always)]
    pub(crate) fn publish(&self, sim_time: f64, parts: &[shmx_part]) -> Result<u64, Fault> {
        match self {
            Self::Solo(solo) if solo.lent.get() => Err(busy()),
            Self::Solo(solo) => {
                // SAFETY: no frame borrows it, and this frame ends here.
                let server = unsafe { &mut *solo.server.get() };
                publish_parts(server.begin_frame()?, sim_time, parts)
            }
            Self::Shared(server) => publish_parts(server.begin_frame()?, sim_time, parts),
        }
    }

    #[inline(always)]
    pub(crate) fn publish_records(&self, sim_time: f64, records: &[u8], count: u32) -> Result<u64, Fault> {
        match self {
            Self::Solo(solo) if solo.lent.get() => Err(busy()),
            Self::Solo(solo) => {
                // SAFETY: no frame borrows it, and this frame ends here.
                let server = unsafe { &mut *solo.server.get() };
                publish_whole(server.begin_frame()?, sim_time, records, count)
            }
            Self::Shared(server) => publish_whole(server.begin_frame()?, sim_time, records, count),
        }
    }

    /// Without a timeout the slot of a frame that was not taken is used again.
    pub(crate) fn begin(&self, when_taken: Option<Duration>) -> Result<shmx_writer, Fault> {
        match self {
            Self::Solo(solo) if solo.lent.get() => Err(busy()),
            Self::Solo(solo) => {
                // SAFETY: no frame borrows it; nobody uses it while `lent` is set, and the writer clears that only after
                // the frame has ended. The server lives in the `Rc`, of which the writer has one and ends it last.
                let server: &'static mut Server = unsafe { &mut *solo.server.get() };
                let frame = match when_taken {
                    None => server.begin_frame()?,
                    Some(timeout) => server.begin_frame_when_taken(timeout)?,
                };
                solo.lent.set(true);
                Ok(shmx_writer { frame: Some(frame), filling: None, owner: Self::Solo(solo.clone()) })
            }
            Self::Shared(server) => {
                // SAFETY: it lives in the `Arc`, of which the writer has one and ends it last.
                let lasting: &'static SharedServer = unsafe { &*Arc::as_ptr(server) };
                let frame = match when_taken {
                    None => lasting.begin_frame()?,
                    Some(timeout) => lasting.begin_frame_when_taken(timeout)?,
                };
                Ok(shmx_writer { frame: Some(frame), filling: None, owner: Self::Shared(server.clone()) })
            }
        }
    }
}

/// A frame under construction, in the slot that it will be read from.
///
/// It lasts as long as it is not published or abandoned, also when its server was closed. Of a server of one thread it
/// counts as that server: one thread at a time uses the two of them.
#[derive(Debug)]
pub struct shmx_writer {
    /// Borrows the server in `owner`, and is ended before it. None only while it is being ended.
    frame: Option<FrameWriter<'static>>,
    /// A stream that is filled in pieces and lacks some.
    filling: Option<Filling>,
    owner: Core,
}

#[cold]
fn being_filled() -> Fault {
    let text = "a stream of the frame is being filled; commit the rest of it first, see shmx_writer_fill";
    Fault::new(shmx_status::Busy, text)
}

#[cold]
fn not_being_filled() -> Fault {
    Fault::new(shmx_status::BadArgument, "no stream is being filled, or all of it is; begin with shmx_writer_fill")
}

impl shmx_writer {
    fn frame(&mut self) -> Result<&mut FrameWriter<'static>, Fault> {
        self.frame.as_mut().ok_or_else(|| Fault::closed("writer"))
    }

    /// The frame, to append to.
    #[inline]
    fn appending(&mut self) -> Result<&mut FrameWriter<'static>, Fault> {
        if self.filling.is_some() { Err(being_filled()) } else { self.frame() }
    }

    pub(crate) fn fill(&mut self, stream: StreamRef<'_>, bytes: usize) -> Result<(), Fault> {
        let filling = self.appending()?.begin_fill_as(stream, bytes)?;
        self.filling = Some(filling).filter(|f| !f.is_filled());
        Ok(())
    }

    pub(crate) const fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// Goes on with the stream that is being filled.
    pub(crate) fn filling<T>(
        &mut self,
        go_on: impl FnOnce(&mut FrameWriter<'static>, &mut Filling) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut filling = self.filling.take().ok_or_else(not_being_filled)?;
        let result = self.frame().and_then(|frame| go_on(frame, &mut filling));
        self.filling = Some(filling).filter(|f| !f.is_filled());
        result
    }

    /// The frame, to be published: what comes of it, and the server is free again.
    fn end<T>(mut self, publish: impl FnOnce(FrameWriter<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        publish(self.frame.take().ok_or_else(|| Fault::closed("writer"))?)
    }
}

impl Drop for shmx_writer {
    fn drop(&mut self) {
        self.frame = None;
        if let Core::Solo(solo) = &self.owner {
            solo.lent.set(false);
        }
    }
}

/// The frame, to append to.
fn frame(writer: Option<&mut shmx_writer>) -> Result<&mut FrameWriter<'static>, Fault> {
    writer.ok_or_else(|| Fault::null("writer"))?.appending()
}

/// The one part that an array of one has.
fn one(part: &Array<shmx_part>) -> Result<&shmx_part, Fault> {
    part.get(1, "part")?.first().ok_or_else(|| Fault::null("part"))
}

/// Copies the elements of one stream into the frame; it is as before if that fails.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_append(writer: Option<&mut shmx_writer>, part: Array<shmx_part>) -> shmx_status {
    guard("shmx_writer_append", || {
        let frame = frame(writer)?;
        let part = one(&part)?;
        frame.append_as(part.stream.asked("part")?, part.data.get(part.bytes, "part")?)?;
        Ok(shmx_status::Ok)
    })
}

/// Makes room for `bytes` bytes of the stream's elements, to be written in place. The room is valid until the frame is
/// published or abandoned, and holds whatever an earlier frame left there: write all of it. Because it may be written at
/// any time, followers do not have what is appended behind it before the frame is published; see shmx_writer_fill.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_reserve(
    writer: Option<&mut shmx_writer>,
    stream: Array<crate::stream::shmx_stream>,
    bytes: usize,
    room: Out<*mut c_void>,
) -> shmx_status {
    guard("shmx_writer_reserve", || {
        let frame = frame(writer)?;
        let asked = crate::frame::one_asked(&stream)?.asked("stream")?;
        room.need("room")?;
        put_if_wanted(room, frame.reserve_as(asked, bytes)?.as_mut_ptr().cast());
        // The caller may write there until the end.
        frame.hold_back();
        Ok(shmx_status::Ok)
    })
}

/// Appends a stream that the directory does not list.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_append_undeclared(
    writer: Option<&mut shmx_writer>,
    stream_id: u32,
    elem_count: u32,
    data: Bytes,
    bytes: usize,
) -> shmx_status {
    guard("shmx_writer_append_undeclared", || {
        frame(writer)?.append_undeclared(stream_id, elem_count, data.get(bytes, "data")?)?;
        Ok(shmx_status::Ok)
    })
}

/// Copies whole records into the frame as they are; `count` is how many they are. They are not checked.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_append_records(
    writer: Option<&mut shmx_writer>,
    records: Bytes,
    bytes: usize,
    count: u32,
) -> shmx_status {
    guard("shmx_writer_append_records", || {
        frame(writer)?.append_records(records.get(bytes, "records")?, count)?;
        Ok(shmx_status::Ok)
    })
}

/// The rest of the payload, for whole records that are written in place: see shmx_writer_commit. Valid until the frame
/// is published or abandoned.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_room(
    writer: Option<&mut shmx_writer>,
    room: Out<*mut c_void>,
    bytes: Out<usize>,
) -> shmx_status {
    guard("shmx_writer_room", || {
        let frame = frame(writer)?;
        room.need("room")?;
        let rest = frame.records_room()?;
        put(bytes, "bytes", rest.len())?;
        put_if_wanted(room, rest.as_mut_ptr().cast());
        frame.hold_back();
        Ok(shmx_status::Ok)
    })
}

/// Takes the first `bytes` bytes of the room as `count` records of the frame. They are not checked.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_commit(writer: Option<&mut shmx_writer>, bytes: u32, count: u32) -> shmx_status {
    guard("shmx_writer_commit", || {
        frame(writer)?.commit_records(bytes, count)?;
        Ok(shmx_status::Ok)
    })
}

/// Bytes of the payload used so far and left, and the frame's slot. Each may be null.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_info(
    writer: Option<&mut shmx_writer>,
    used: Out<u32>,
    left: Out<u32>,
    slot: Out<u32>,
) -> shmx_status {
    guard("shmx_writer_info", || {
        let frame = writer.ok_or_else(|| Fault::null("writer"))?.frame()?;
        put_if_wanted(used, frame.used());
        put_if_wanted(left, frame.room());
        put_if_wanted(slot, frame.slot());
        Ok(shmx_status::Ok)
    })
}

/// Publishes the frame and frees the writer, also where it fails: nothing becomes visible then. Leaves null behind.
/// `frame_id` may be null.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_publish(writer: Give<shmx_writer>, sim_time: f64, frame_id: Out<u64>) -> shmx_status {
    guard("shmx_writer_publish", || {
        let writer = *writer.take().ok_or_else(|| Fault::null("writer"))?;
        put_if_wanted(frame_id, writer.end(|frame| Ok(frame.publish_frame(sim_time)?))?);
        Ok(shmx_status::Ok)
    })
}

/// The same for a frame out of another region: with a checksum if it had one there.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_publish_recorded(
    writer: Give<shmx_writer>,
    sim_time: f64,
    had_checksum: u32,
    frame_id: Out<u64>,
) -> shmx_status {
    guard("shmx_writer_publish_recorded", || {
        let writer = *writer.take().ok_or_else(|| Fault::null("writer"))?;
        let id = writer.end(|frame| Ok(frame.publish_recorded(sim_time, had_checksum != 0)?))?;
        put_if_wanted(frame_id, id);
        Ok(shmx_status::Ok)
    })
}

/// Gives the slot back and frees the writer; nothing is published. Leaves null behind, so that doing it twice does
/// nothing.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_abandon(writer: Give<shmx_writer>) {
    guard_value("shmx_writer_abandon", (), || drop(writer.take()));
}
