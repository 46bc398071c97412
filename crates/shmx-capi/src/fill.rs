//! Streams that are filled in pieces, which readers may have before the frame is published.

use crate::args::{Array, Bytes, Out, put, put_if_wanted};
use crate::frame::one_asked;
use crate::status::{Fault, guard, shmx_status};
use crate::stream::shmx_stream;
use crate::writer::shmx_writer;
use shmx::error::AppendError;
use std::ffi::c_void;

fn get(writer: Option<&mut shmx_writer>) -> Result<&mut shmx_writer, Fault> {
    writer.ok_or_else(|| Fault::null("writer"))
}

/// Makes room for `bytes` bytes of a stream that is filled in pieces, from its start to its end: what a sensor reads out
/// line by line, what a solver computes block by block. Readers that follow the frame have each piece once it is
/// committed; where nobody follows, committing costs next to nothing.
///
/// Until all of it is committed other streams cannot be appended (SHMX_STATUS_BUSY), and publishing ends the frame with
/// SHMX_STATUS_UNFINISHED. Room that was reserved for other streams before is final from now on: write it first.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_fill(
    writer: Option<&mut shmx_writer>,
    stream: Array<shmx_stream>,
    bytes: usize,
) -> shmx_status {
    guard("shmx_writer_fill", || {
        get(writer)?.fill(one_asked(&stream)?.asked("stream")?, bytes)?;
        Ok(shmx_status::Ok)
    })
}

/// The bytes of the stream that are not committed yet, to be written in place; they hold whatever an earlier frame left
/// there. SHMX_STATUS_NOTHING once all are committed, and while no stream is being filled. What is committed is not
/// written any more.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_fill_rest(
    writer: Option<&mut shmx_writer>,
    room: Out<*mut c_void>,
    bytes: Out<usize>,
) -> shmx_status {
    guard("shmx_writer_fill_rest", || {
        let writer = get(writer)?;
        room.need("room")?;
        bytes.need("bytes")?;
        if !writer.is_filling() {
            return Ok(shmx_status::Nothing);
        }
        let (to, len) = writer.filling(|frame, filling| match frame.rest_of(filling) {
            [] => Err(AppendError::Forked.into()),
            rest => Ok((rest.as_mut_ptr(), rest.len())),
        })?;
        put_if_wanted(room, to.cast());
        put(bytes, "bytes", len)?;
        Ok(shmx_status::Ok)
    })
}

/// Takes the first `bytes` bytes of the rest as final. SHMX_STATUS_FULL if there are not that many.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_fill_commit(writer: Option<&mut shmx_writer>, bytes: usize) -> shmx_status {
    guard("shmx_writer_fill_commit", || {
        get(writer)?.filling(|frame, filling| Ok(frame.commit(filling, bytes)?))?;
        Ok(shmx_status::Ok)
    })
}

/// Copies bytes in and commits them. SHMX_STATUS_FULL if they are more than there is room for; nothing was written then.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_writer_fill_write(writer: Option<&mut shmx_writer>, data: Bytes, bytes: usize) -> shmx_status {
    guard("shmx_writer_fill_write", || {
        let writer = get(writer)?;
        let data = data.get(bytes, "data")?;
        writer.filling(|frame, filling| {
            if let Some(room) = frame.rest_of(filling).get_mut(..data.len()) {
                room.copy_from_slice(data);
            }
            // Says why there is no room, if there is none.
            Ok(frame.commit(filling, data.len())?)
        })?;
        Ok(shmx_status::Ok)
    })
}
