//! Frames of several regions that belong to one moment.

use crate::args::{Give, Out, Places, hand_out, put, put_if_wanted};
use crate::client::shmx_client;
use crate::consts::duration;
use crate::frame::shmx_frame;
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::tap::shmx_tap;
use shmx::{AlignBy, Aligner, Source};

/// The time that frames are aligned by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_align {
    /// When the frame's data was acquired, by its stream of such times (docs/streams.md) and one clock in all regions.
    AcquisitionTime = 0,
    /// When it was published, to about a microsecond.
    PublishTime = 1,
    /// The producers' own time, taken as seconds.
    SimTime = 2,
}

/// Hands out frames of several regions that are nearest to one moment.
#[derive(Debug)]
pub struct shmx_aligner {
    aligner: Aligner,
    sources: usize,
}

fn get(aligner: Option<&mut shmx_aligner>) -> Result<&mut shmx_aligner, Fault> {
    aligner.ok_or_else(|| Fault::null("aligner"))
}

fn add(aligner: Option<&mut shmx_aligner>, source: impl Into<Source>) -> Result<shmx_status, Fault> {
    let aligner = get(aligner)?;
    aligner.sources = aligner.aligner.add(source)? + 1;
    Ok(shmx_status::Ok)
}

/// An aligner without sources. `by` is a `shmx_align`; frames of a set are within `tolerance_ns` of each other. A good
/// tolerance is below half the shortest time between two frames of a source.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_new(by: u32, tolerance_ns: u64, out: Out<*mut shmx_aligner>) -> shmx_status {
    guard("shmx_aligner_new", || {
        out.need("out")?;
        let by = match by {
            0 => AlignBy::AcquisitionTime,
            1 => AlignBy::PublishTime,
            2 => AlignBy::SimTime,
            _ => return Err(Fault::bad("by", "is unknown", "pass a SHMX_ALIGN_...")),
        };
        hand_out(out, shmx_aligner { aligner: Aligner::new(by, duration(tolerance_ns)), sources: 0 });
        Ok(shmx_status::Ok)
    })
}

/// Takes over a client as the next source, beginning with the client's next frame, and frees its handle. Leaves null
/// behind, even on failure. Sources are numbered from 0 in the order in which they were added.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_add_client(
    aligner: Option<&mut shmx_aligner>,
    client: Give<shmx_client>,
) -> shmx_status {
    guard("shmx_aligner_add_client", || {
        let client = client.take().ok_or_else(|| Fault::null("client"))?;
        add(aligner, client.into_reader()?)
    })
}

/// Takes over a tap, as shmx_aligner_add_client does a client.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_add_tap(aligner: Option<&mut shmx_aligner>, tap: Give<shmx_tap>) -> shmx_status {
    guard("shmx_aligner_add_tap", || {
        let tap = tap.take().ok_or_else(|| Fault::null("tap"))?;
        add(aligner, tap.into_reader()?)
    })
}

/// Waits for the next set: one frame of each source, which are the caller's to free, go to `frames`. It must have room
/// for as many as there are sources. `spread_ns`, which may be null, is the time from the earliest to the latest of
/// them. SHMX_STATUS_NOTHING when the time is up. What finds no partner is dropped and counted.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_next(
    aligner: Option<&mut shmx_aligner>,
    timeout_ns: u64,
    frames: Places<*mut shmx_frame>,
    capacity: usize,
    spread_ns: Out<u64>,
) -> shmx_status {
    guard("shmx_aligner_next", || {
        let aligner = get(aligner)?;
        if capacity < aligner.sources {
            return Err(Fault::bad("capacity", "is less than there are sources", "make room for a frame of each"));
        }
        let room = frames.room(aligner.sources, "frames")?;
        let Some(set) = aligner.aligner.next(duration(timeout_ns))? else { return Ok(shmx_status::Nothing) };
        room.fill(set.frames.into_iter().map(|frame| Box::into_raw(Box::new(shmx_frame::new(frame)))));
        put_if_wanted(spread_ns, u64::try_from(set.spread.as_nanos()).unwrap_or(u64::MAX));
        Ok(shmx_status::Ok)
    })
}

/// Frames of a source that found no partner; SHMX_STATUS_NOTHING past the last source.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_unmatched(
    aligner: Option<&mut shmx_aligner>,
    index: usize,
    unmatched: Out<u64>,
) -> shmx_status {
    guard("shmx_aligner_unmatched", || {
        let aligner = get(aligner)?;
        if index >= aligner.sources {
            return Ok(shmx_status::Nothing);
        }
        put(unmatched, "unmatched", aligner.aligner.unmatched(index))?;
        Ok(shmx_status::Ok)
    })
}

/// Frees an aligner, and its sources. Frames that it gave stay valid. Leaves null behind, so that doing it twice does
/// nothing.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_aligner_free(aligner: Give<shmx_aligner>) {
    guard_value("shmx_aligner_free", (), || drop(aligner.take()));
}
