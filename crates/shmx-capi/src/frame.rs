//! Frames that are kept.

use crate::args::{Array, Fill, Give, Out, put, put_if_wanted};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::shmx_stream;
use crate::view::{place, shmx_view};
use shmx::OwnedFrame;
use std::time::Duration;

/// A frame that was kept: it cannot change any more, and outlives its reader. A leased one keeps its slot from being
/// used again.
#[derive(Debug)]
pub struct shmx_frame {
    pub(crate) frame: OwnedFrame,
}

impl shmx_frame {
    pub(crate) const fn new(frame: OwnedFrame) -> Self {
        Self { frame }
    }
}

/// An age, or none.
pub(crate) fn put_age(age: Option<Duration>, out: Out<u64>) -> Result<shmx_status, Fault> {
    out.need("age_ns")?;
    let Some(age) = age else { return Ok(shmx_status::Nothing) };
    put_if_wanted(out, u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
    Ok(shmx_status::Ok)
}

/// The one stream that an array of one asks for.
pub(crate) fn one_asked(asked: &Array<shmx_stream>) -> Result<&shmx_stream, Fault> {
    asked.get(1, "stream")?.first().ok_or_else(|| Fault::null("stream"))
}

/// Looks into a kept frame. The view is valid as long as the frame.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_frame_view(frame: Option<&shmx_frame>, view: Fill<shmx_view>) -> shmx_status {
    guard("shmx_frame_view", || {
        let frame = frame.ok_or_else(|| Fault::null("frame"))?;
        place(view)?.fill(shmx_view::of_kept(&frame.frame));
        Ok(shmx_status::Ok)
    })
}

/// Nanoseconds since the frame was published, in steps of 1024; SHMX_STATUS_NOTHING if its producer gives no time.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_frame_age(frame: Option<&shmx_frame>, age_ns: Out<u64>) -> shmx_status {
    guard("shmx_frame_age", || put_age(frame.ok_or_else(|| Fault::null("frame"))?.frame.age(), age_ns))
}

/// The number of a stream in the frame's region, once its type was compared with the directory.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_frame_find(
    frame: Option<&shmx_frame>,
    stream: Array<shmx_stream>,
    stream_id: Out<u32>,
) -> shmx_status {
    guard("shmx_frame_find", || {
        let frame = frame.ok_or_else(|| Fault::null("frame"))?;
        let directory = frame.frame.directory()?;
        put(stream_id, "stream_id", directory.lookup(one_asked(&stream)?.asked("stream")?)?.id)?;
        Ok(shmx_status::Ok)
    })
}

/// Ends a kept frame, and its lease with it. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_frame_free(frame: Give<shmx_frame>) {
    guard_value("shmx_frame_free", (), || drop(frame.take()));
}
