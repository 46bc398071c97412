//! Frames that are read while they are written.

use crate::args::{Bytes, Fill, In, Out, Place, Versioned, put};
use crate::client::{lender, shmx_client};
use crate::consts::duration;
use crate::status::{Fault, guard, shmx_status};
use crate::view::{place, shmx_view};
use shmx::abi::frame::{StreamPrefix, StreamPrefixes, Streams};
use shmx::{Following, Step};

/// What there is of a frame that is read while it is written. It is final and does not change, but the frame is not
/// published yet, and may never be: what is made of it is a result only once shmx_client_finish has given the frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_following {
    /// sizeof(shmx_following).
    pub size: usize,
    /// The payload so far: records of streams; see shmx_following_stream. Its place stays the same while it grows, and
    /// is valid until the client lends something else or a call says that there will be no frame.
    pub payload: Bytes,
    /// Bytes of it.
    pub bytes: usize,
    /// Session that writes it.
    pub session_id: u64,
    /// 1 once the frame is whole and published, so that shmx_client_finish gives it at once; 0 before.
    pub whole: u32,
    /// Number of the lending, for shmx_client_release.
    pub lend: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_following {
    const FIRST: usize = size_of::<Self>();
}

impl shmx_following {
    fn of(following: &Following<'_>, lend: u32) -> Self {
        let payload = following.payload();
        Self {
            size: size_of::<Self>(),
            payload: Bytes::of(payload),
            bytes: payload.len(),
            session_id: following.session_id(),
            whole: following.is_whole().into(),
            lend,
        }
    }
}

/// What there is of a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_prefix {
    /// Number of the stream.
    pub stream_id: u32,
    /// Elements that there will be, as the producer counted them.
    pub elem_count: u32,
    /// The bytes so far, aligned to 8; valid as long as the payload.
    pub data: Bytes,
    /// How many. The last element may be there in part.
    pub bytes: usize,
    /// How many there will be.
    pub total_bytes: usize,
}

impl shmx_prefix {
    const fn of(prefix: StreamPrefix<'_>) -> Self {
        let StreamPrefix { stream, bytes } = prefix;
        Self {
            stream_id: stream.stream_id,
            elem_count: stream.elem_count,
            data: Bytes::of(stream.data),
            bytes: stream.data.len(),
            total_bytes: bytes as usize,
        }
    }
}

/// The next frame while it is written, as soon as its producer has begun to hand it out; SHMX_STATUS_NOTHING when the
/// time is up. A frame that is being written goes before one that was published and not taken yet. Where frames cannot be
/// followed (a server of the original, a client without lease) it comes with the whole frame.
///
/// The first call tells the server that there is somebody who follows, until the client is closed. The frame's slot is
/// kept like that of a leased frame: until shmx_client_release, or the next call that takes a frame.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_follow(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    following: Fill<shmx_following>,
) -> shmx_status {
    guard("shmx_client_follow", || {
        let (lender, out) = (lender(client)?, following.check("following")?);
        begun(lender.follow(|c| c.follow(duration(timeout_ns)))?, out)
    })
}

/// The next frame in order: each that was published since the last one, as shmx_client_next has them, and then the one
/// that is being written.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_follow_next(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    following: Fill<shmx_following>,
) -> shmx_status {
    guard("shmx_client_follow_next", || {
        let (lender, out) = (lender(client)?, following.check("following")?);
        begun(lender.follow(|c| c.follow_next(duration(timeout_ns)))?, out)
    })
}

fn begun(found: Option<(&Following<'_>, u32)>, out: Place<shmx_following>) -> Result<shmx_status, Fault> {
    let Some((following, lend)) = found else { return Ok(shmx_status::Nothing) };
    out.fill(shmx_following::of(following, lend));
    Ok(shmx_status::Ok)
}

/// Waits until there is more of the frame that is followed, or it is whole; SHMX_STATUS_NOTHING when the time is up. With
/// 0 it never waits.
///
/// A status that the frame is void says why: SHMX_STATUS_ABANDONED (its producer gave it up), SHMX_STATUS_SERVER_GONE,
/// SHMX_STATUS_SESSION, SHMX_STATUS_CHECKSUM, SHMX_STATUS_DAMAGED, SHMX_STATUS_FORKED. There will be no frame then, its
/// parts are gone, and what was made of them is no result.
///
/// Keeps what is lent. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_follow_wait(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    following: Fill<shmx_following>,
) -> shmx_status {
    guard("shmx_client_follow_wait", || {
        let (lender, out) = (lender(client)?, following.check("following")?);
        let (following, lend) = lender.following()?;
        if following.wait(duration(timeout_ns))? == Step::Waiting {
            return Ok(shmx_status::Nothing);
        }
        out.fill(shmx_following::of(following, lend));
        Ok(shmx_status::Ok)
    })
}

/// Waits until the frame that is followed is whole and published, and lends it like any other. SHMX_STATUS_NOTHING when
/// the time is up: it is still being written, and followed as before. Every status but SHMX_STATUS_OK means that there is
/// no frame, and that what was made of its parts is no result; shmx_client_follow_wait lists those that are final.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_finish(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    view: Fill<shmx_view>,
) -> shmx_status {
    guard("shmx_client_finish", || {
        let (lender, view) = (lender(client)?, place(view)?);
        lender.finish(view, duration(timeout_ns))
    })
}

fn payload(following: &shmx_following) -> Result<&[u8], Fault> {
    let payload = following.payload.get(following.bytes, "following.payload")?;
    if following.whole != 0 {
        // Nothing is still to come, so a record that is cut short is damage.
        for stream in Streams::new(payload) {
            stream?;
        }
    }
    Ok(payload)
}

/// Finds a stream by its number in what there is of a frame; SHMX_STATUS_NOTHING if it was not begun yet.
///
/// `following` is one that this library filled, and still valid. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_following_stream(
    following: In<shmx_following>,
    stream_id: u32,
    out: Out<shmx_prefix>,
) -> shmx_status {
    guard("shmx_following_stream", || {
        out.need("out")?;
        let following = following.read("following")?.ok_or_else(|| Fault::null("following"))?;
        for prefix in StreamPrefixes::new(payload(&following)?) {
            let prefix = prefix?;
            if prefix.stream.stream_id == stream_id {
                put(out, "out", shmx_prefix::of(prefix))?;
                return Ok(shmx_status::Ok);
            }
        }
        Ok(shmx_status::Nothing)
    })
}

/// Stream number `index` in what there is of a frame, in the order in which they were begun; SHMX_STATUS_NOTHING past the
/// last one.
///
/// `following` is one that this library filled, and still valid. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_following_at(following: In<shmx_following>, index: usize, out: Out<shmx_prefix>) -> shmx_status {
    guard("shmx_following_at", || {
        out.need("out")?;
        let following = following.read("following")?.ok_or_else(|| Fault::null("following"))?;
        match StreamPrefixes::new(payload(&following)?).nth(index) {
            Some(prefix) => put(out, "out", shmx_prefix::of(prefix?)).map(|()| shmx_status::Ok),
            None => Ok(shmx_status::Nothing),
        }
    })
}
