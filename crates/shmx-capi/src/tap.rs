//! A follower that nobody notices.

use crate::args::{Array, Fill, Give, In, Out, Text, hand_out, put, put_if_wanted};
use crate::consts::duration;
use crate::directory::shmx_directory;
use crate::frame::{one_asked, put_age, shmx_frame};
use crate::lend::Lender;
use crate::options::{self, shmx_tap_options};
use crate::region::{shmx_region, shmx_server_state, shmx_stats};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::shmx_stream;
use crate::view::{place, shmx_view};
use shmx::Tap;

/// A read-only follower of a region: takes every frame in order, or the newest, without a reader slot and without being
/// noticed. It copies, and it polls.
#[derive(Debug)]
pub struct shmx_tap {
    lender: Option<Lender<Tap>>,
    region: shmx_region,
}

#[inline]
fn lender(tap: Option<&mut shmx_tap>) -> Result<&mut Lender<Tap>, Fault> {
    tap.ok_or_else(|| Fault::null("tap"))?.lender.as_mut().ok_or_else(|| Fault::closed("tap"))
}

/// The reader itself; what it has lent ends.
pub(crate) fn reader(tap: Option<&mut shmx_tap>) -> Result<&mut Tap, Fault> {
    Ok(lender(tap)?.reader())
}

impl shmx_tap {
    pub(crate) fn into_reader(self) -> Result<Tap, Fault> {
        Ok(self.lender.ok_or_else(|| Fault::closed("tap"))?.into_reader())
    }
}

/// Opens a live region, or what a dead server has left. `options` may be null.
///
/// Threads: any; each tap is used by one thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_open(name: Text, options: In<shmx_tap_options>, out: Out<*mut shmx_tap>) -> shmx_status {
    guard("shmx_tap_open", || {
        out.need("out")?;
        let tap = options::tap(options)?.open(name.get("name")?)?;
        let region = shmx_region::of(tap.layout(), tap.session_id(), None);
        hand_out(out, shmx_tap { lender: Some(Lender::new(tap)), region });
        Ok(shmx_status::Ok)
    })
}

/// The newest frame, taken before or not; SHMX_STATUS_NOTHING while there is none.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_latest(tap: Option<&mut shmx_tap>, view: Fill<shmx_view>) -> shmx_status {
    guard("shmx_tap_latest", || {
        let (lender, view) = (lender(tap)?, place(view)?);
        lender.take(view, |t| t.latest())
    })
}

/// Waits for a frame newer than the last one taken and takes the newest. With 0 it never waits.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_wait(tap: Option<&mut shmx_tap>, timeout_ns: u64, view: Fill<shmx_view>) -> shmx_status {
    guard("shmx_tap_wait", || {
        let (lender, view) = (lender(tap)?, place(view)?);
        if timeout_ns == 0 {
            return lender.take(view, |t| t.try_wait());
        }
        lender.take(view, |t| t.wait(duration(timeout_ns)))
    })
}

/// Waits for the next frame in order. With 0 it never waits.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_next(tap: Option<&mut shmx_tap>, timeout_ns: u64, view: Fill<shmx_view>) -> shmx_status {
    guard("shmx_tap_next", || {
        let (lender, view) = (lender(tap)?, place(view)?);
        if timeout_ns == 0 {
            return lender.take(view, |t| t.try_next());
        }
        lender.take(view, |t| t.next(duration(timeout_ns)))
    })
}

/// Ends what is lent; as shmx_client_release.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_release(tap: Option<&mut shmx_tap>, lend: u32) -> shmx_status {
    guard("shmx_tap_release", || {
        lender(tap)?.release(lend);
        Ok(shmx_status::Ok)
    })
}

/// Number of the lending, as `lend` of its view; 0 while no frame is lent.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_lent(tap: Option<&mut shmx_tap>, lend: Out<u32>) -> shmx_status {
    guard("shmx_tap_lent", || {
        put(lend, "lend", lender(tap)?.lending())?;
        Ok(shmx_status::Ok)
    })
}

/// Makes the frame that is lent one that is kept; its view ends.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_keep(tap: Option<&mut shmx_tap>, out: Out<*mut shmx_frame>) -> shmx_status {
    guard("shmx_tap_keep", || {
        let lender = lender(tap)?;
        out.need("out")?;
        hand_out(out, shmx_frame::new(lender.keep()?));
        Ok(shmx_status::Ok)
    })
}

/// Nanoseconds since the frame that is lent was published; SHMX_STATUS_NOTHING if its producer gives no time.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_age(tap: Option<&mut shmx_tap>, age_ns: Out<u64>) -> shmx_status {
    guard("shmx_tap_age", || put_age(lender(tap)?.lent()?.age(), age_ns))
}

/// The number of a stream, once its type was compared with the directory, and the session in which it has it.
/// `session_id` may be null.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_find(
    tap: Option<&mut shmx_tap>,
    stream: Array<shmx_stream>,
    stream_id: Out<u32>,
    session_id: Out<u64>,
) -> shmx_status {
    guard("shmx_tap_find", || {
        let lender = lender(tap)?;
        let asked = one_asked(&stream)?.asked("stream")?;
        let directory = lender.directory()?;
        put(stream_id, "stream_id", directory.lookup(asked)?.id)?;
        put_if_wanted(session_id, directory.session_id);
        Ok(shmx_status::Ok)
    })
}

/// The stream directory as it is now.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_directory(tap: Option<&mut shmx_tap>, out: Out<*mut shmx_directory>) -> shmx_status {
    guard("shmx_tap_directory", || {
        let lender = lender(tap)?;
        out.need("out")?;
        let directory = lender.directory()?;
        hand_out(out, shmx_directory::new(directory));
        Ok(shmx_status::Ok)
    })
}

/// Where everything lies.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_region(tap: Option<&mut shmx_tap>, out: Fill<shmx_region>) -> shmx_status {
    guard("shmx_tap_region", || {
        let tap = tap.ok_or_else(|| Fault::null("tap"))?;
        out.check("out")?.fill(tap.region);
        Ok(shmx_status::Ok)
    })
}

/// Counts since the tap was opened.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_stats(tap: Option<&mut shmx_tap>, out: Fill<shmx_stats>) -> shmx_status {
    guard("shmx_tap_stats", || {
        let (lender, place) = (lender(tap)?, out.check("out")?);
        let tap = lender.reader();
        place.fill(shmx_stats { behind: tap.behind(), ..tap.stats().into() });
        Ok(shmx_status::Ok)
    })
}

/// A descriptor for an event loop; as shmx_client_wait_fd.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_wait_fd(tap: Option<&mut shmx_tap>, fd: Out<i32>) -> shmx_status {
    guard("shmx_tap_wait_fd", || {
        put(fd, "fd", descriptor(lender(tap)?.reader())?)?;
        Ok(shmx_status::Ok)
    })
}

#[cfg(unix)]
fn descriptor(tap: &mut Tap) -> Result<i32, Fault> {
    Ok(std::os::fd::AsRawFd::as_raw_fd(&tap.wait_fd()?))
}

#[cfg(not(unix))]
fn descriptor(_: &mut Tap) -> Result<i32, Fault> {
    Err(Fault::new(shmx_status::Unsupported, "there are no descriptors here; wait with a timeout"))
}

/// What is known of the server: a `shmx_server_state`. Ask first, then take what frames are left.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_server_state(tap: Option<&mut shmx_tap>, state: Out<u32>) -> shmx_status {
    guard("shmx_tap_server_state", || {
        put(state, "state", shmx_server_state::from(lender(tap)?.reader().state()) as u32)?;
        Ok(shmx_status::Ok)
    })
}

/// Whether the name still leads to this region and session: 0 or 1.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_is_current(tap: Option<&mut shmx_tap>, current: Out<u32>) -> shmx_status {
    guard("shmx_tap_is_current", || {
        put(current, "current", lender(tap)?.reader().is_current().into())?;
        Ok(shmx_status::Ok)
    })
}

/// Closes the region; the handle stays, and calls with it say SHMX_STATUS_CLOSED. Frames kept stay valid.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_close(tap: Option<&mut shmx_tap>) -> shmx_status {
    guard("shmx_tap_close", || {
        tap.ok_or_else(|| Fault::null("tap"))?.lender = None;
        Ok(shmx_status::Ok)
    })
}

/// Closes and frees a tap. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_tap_free(tap: Give<shmx_tap>) {
    guard_value("shmx_tap_free", (), || drop(tap.take()));
}
