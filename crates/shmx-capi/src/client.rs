//! A reader.

use crate::args::{Array, Bytes, Fill, Give, In, Out, Text, hand_out, put, put_if_wanted};
use crate::consts::duration;
use crate::directory::shmx_directory;
use crate::frame::{one_asked, put_age, shmx_frame};
use crate::lend::Lender;
use crate::options::{self, shmx_client_options};
use crate::region::{shmx_header, shmx_region, shmx_server_state, shmx_stats};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::shmx_stream;
use crate::view::{place, shmx_view};
use shmx::{Client, ControlSender};

/// A reader of a region.
#[derive(Debug)]
pub struct shmx_client {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    lender: Lender<Client>,
    sender: ControlSender,
    region: shmx_region,
}

/// Sends control messages for a client, from any thread.
#[derive(Debug)]
pub struct shmx_sender {
    sender: ControlSender,
}

impl shmx_client {
    #[inline]
    fn open(&mut self) -> Result<&mut Open, Fault> {
        self.open.as_mut().ok_or_else(|| Fault::closed("client"))
    }

    pub(crate) fn into_reader(self) -> Result<Client, Fault> {
        Ok(self.open.ok_or_else(|| Fault::closed("client"))?.lender.into_reader())
    }
}

#[inline]
fn open(client: Option<&mut shmx_client>) -> Result<&mut Open, Fault> {
    client.ok_or_else(|| Fault::null("client"))?.open()
}

#[inline]
pub(crate) fn lender(client: Option<&mut shmx_client>) -> Result<&mut Lender<Client>, Fault> {
    Ok(&mut open(client)?.lender)
}

/// The reader itself; what it has lent ends.
pub(crate) fn reader(client: Option<&mut shmx_client>) -> Result<&mut Client, Fault> {
    Ok(lender(client)?.reader())
}

/// Opens a region by name, with or without a leading `/`, and takes a reader slot. `options` may be null.
///
/// Threads: any; each client is used by one thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_open(
    name: Text,
    options: In<shmx_client_options>,
    out: Out<*mut shmx_client>,
) -> shmx_status {
    guard("shmx_client_open", || {
        out.need("out")?;
        let name = name.get("name")?;
        let (to_open, wait) = options::client(options)?;
        let client = if wait == 0 { to_open.open(name)? } else { to_open.open_within(name, duration(wait))? };
        let region = shmx_region::of(client.layout(), client.session_id(), client.reader_index());
        let open = Open { sender: client.control(), lender: Lender::new(client), region };
        hand_out(out, shmx_client { open: Some(open) });
        Ok(shmx_status::Ok)
    })
}

/// The newest frame, seen before or not; SHMX_STATUS_NOTHING while there is none. Never waits, and does not say when the
/// server is gone.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_latest(client: Option<&mut shmx_client>, view: Fill<shmx_view>) -> shmx_status {
    guard("shmx_client_latest", || {
        let (lender, view) = (lender(client)?, place(view)?);
        lender.take(view, |c| c.latest())
    })
}

/// Waits for a frame newer than the last one taken and takes the newest; SHMX_STATUS_NOTHING when the time is up. With
/// 0 it never waits.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_wait(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    view: Fill<shmx_view>,
) -> shmx_status {
    guard("shmx_client_wait", || {
        let (lender, view) = (lender(client)?, place(view)?);
        if timeout_ns == 0 {
            return lender.take(view, |c| c.try_wait());
        }
        lender.take(view, |c| c.wait(duration(timeout_ns)))
    })
}

/// Waits for the next frame in order: every one still in the ring, one after the other. SHMX_STATUS_NOTHING when the time
/// is up; with 0 it never waits.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_next(
    client: Option<&mut shmx_client>,
    timeout_ns: u64,
    view: Fill<shmx_view>,
) -> shmx_status {
    guard("shmx_client_next", || {
        let (lender, view) = (lender(client)?, place(view)?);
        if timeout_ns == 0 {
            return lender.take(view, |c| c.try_next());
        }
        lender.take(view, |c| c.next(duration(timeout_ns)))
    })
}

/// The frame with this id; SHMX_STATUS_NOTHING if it is not in the ring.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_read_id(
    client: Option<&mut shmx_client>,
    frame_id: u64,
    view: Fill<shmx_view>,
) -> shmx_status {
    guard("shmx_client_read_id", || {
        let (lender, view) = (lender(client)?, place(view)?);
        lender.take(view, |c| c.read_id(frame_id))
    })
}

/// Ends what is lent, and its lease with it; a frame that is followed is followed no more. The next call that takes a
/// frame does the same. With `lend` of a view only if it is still that frame, which is no error; with 0 whichever it is.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_release(client: Option<&mut shmx_client>, lend: u32) -> shmx_status {
    guard("shmx_client_release", || {
        lender(client)?.release(lend);
        Ok(shmx_status::Ok)
    })
}

/// Number of the lending, as `lend` of its view; 0 while no frame is lent or followed.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_lent(client: Option<&mut shmx_client>, lend: Out<u32>) -> shmx_status {
    guard("shmx_client_lent", || {
        put(lend, "lend", lender(client)?.lending())?;
        Ok(shmx_status::Ok)
    })
}

/// Makes the frame that is lent one that is kept; its view ends. Where the producer would be left too few slots it is
/// copied.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_keep(client: Option<&mut shmx_client>, out: Out<*mut shmx_frame>) -> shmx_status {
    guard("shmx_client_keep", || {
        let lender = lender(client)?;
        out.need("out")?;
        hand_out(out, shmx_frame::new(lender.keep()?));
        Ok(shmx_status::Ok)
    })
}

/// Nanoseconds since the frame that is lent was published; SHMX_STATUS_NOTHING if its producer gives no time.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_age(client: Option<&mut shmx_client>, age_ns: Out<u64>) -> shmx_status {
    guard("shmx_client_age", || put_age(lender(client)?.lent()?.age(), age_ns))
}

/// The number of a stream, once its type was compared with the directory, and the session in which it has it.
/// `session_id` may be null.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_find(
    client: Option<&mut shmx_client>,
    stream: Array<shmx_stream>,
    stream_id: Out<u32>,
    session_id: Out<u64>,
) -> shmx_status {
    guard("shmx_client_find", || {
        let open = open(client)?;
        let asked = one_asked(&stream)?.asked("stream")?;
        let directory = open.lender.directory()?;
        put(stream_id, "stream_id", directory.lookup(asked)?.id)?;
        put_if_wanted(session_id, directory.session_id);
        Ok(shmx_status::Ok)
    })
}

/// The stream directory as it is now.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_directory(
    client: Option<&mut shmx_client>,
    out: Out<*mut shmx_directory>,
) -> shmx_status {
    guard("shmx_client_directory", || {
        let open = open(client)?;
        out.need("out")?;
        let directory = open.lender.directory()?;
        hand_out(out, shmx_directory::new(directory));
        Ok(shmx_status::Ok)
    })
}

/// Where everything lies, and the client's reader slot, as when it was opened.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_region(client: Option<&mut shmx_client>, out: Fill<shmx_region>) -> shmx_status {
    guard("shmx_client_region", || {
        let (open, place) = (open(client)?, out.check("out")?);
        place.fill(open.region);
        Ok(shmx_status::Ok)
    })
}

/// The words of the header that change.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_header(client: Option<&mut shmx_client>, out: Fill<shmx_header>) -> shmx_status {
    guard("shmx_client_header", || {
        let (lender, place) = (lender(client)?, out.check("out")?);
        place.fill(lender.reader().header().into());
        Ok(shmx_status::Ok)
    })
}

/// Counts since the client was opened.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_stats(client: Option<&mut shmx_client>, out: Fill<shmx_stats>) -> shmx_status {
    guard("shmx_client_stats", || {
        let (lender, place) = (lender(client)?, out.check("out")?);
        let client = lender.reader();
        place.fill(shmx_stats {
            copied_for_room: client.copied_for_room(),
            reconnects: client.reconnects(),
            ..client.stats().into()
        });
        Ok(shmx_status::Ok)
    })
}

/// What is known of the server: a `shmx_server_state`.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_server_state(client: Option<&mut shmx_client>, state: Out<u32>) -> shmx_status {
    guard("shmx_client_server_state", || {
        put(state, "state", shmx_server_state::from(lender(client)?.reader().server_end()) as u32)?;
        Ok(shmx_status::Ok)
    })
}

/// Whether the name now leads to another region, or to none: 0 or 1.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_is_replaced(client: Option<&mut shmx_client>, replaced: Out<u32>) -> shmx_status {
    guard("shmx_client_is_replaced", || {
        put(replaced, "replaced", lender(client)?.reader().is_replaced().into())?;
        Ok(shmx_status::Ok)
    })
}

/// A descriptor for an event loop (epoll, poll, Qt): readable when there may be news, until a call that takes a frame
/// says SHMX_STATUS_NOTHING, and at least every 20 ms. Waiting for it may end with EINTR. Do not read from it, and do not
/// close it: it is the client's, and stays the same as long as that. SHMX_STATUS_UNSUPPORTED where the system has none.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_wait_fd(client: Option<&mut shmx_client>, fd: Out<i32>) -> shmx_status {
    guard("shmx_client_wait_fd", || {
        put(fd, "fd", descriptor(lender(client)?.reader())?)?;
        Ok(shmx_status::Ok)
    })
}

#[cfg(unix)]
fn descriptor(client: &mut Client) -> Result<i32, Fault> {
    Ok(std::os::fd::AsRawFd::as_raw_fd(&client.wait_fd()?))
}

#[cfg(not(unix))]
fn descriptor(_: &mut Client) -> Result<i32, Fault> {
    Err(Fault::new(shmx_status::Unsupported, "there are no descriptors here; wait with a timeout"))
}

/// Tells the server that the client is alive; waiting and reading do it by themselves.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_heartbeat(client: Option<&mut shmx_client>) -> shmx_status {
    guard("shmx_client_heartbeat", || {
        lender(client)?.reader().heartbeat();
        Ok(shmx_status::Ok)
    })
}

/// Leaves the region and opens what has its name now; nothing happens where that is the same and its server lives.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_reopen(client: Option<&mut shmx_client>) -> shmx_status {
    guard("shmx_client_reopen", || {
        let open = open(client)?;
        let client = open.lender.reader();
        client.reopen()?;
        open.region = shmx_region::of(client.layout(), client.session_id(), client.reader_index());
        Ok(shmx_status::Ok)
    })
}

/// Sends a control message. Types from SHMX_CONTROL_USER on are the application's.
///
/// Keeps the view. Threads: one at a time; a `shmx_sender` is for several.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_send(
    client: Option<&mut shmx_client>,
    message_type: u32,
    data: Bytes,
    bytes: usize,
) -> shmx_status {
    guard("shmx_client_send", || {
        open(client)?.sender.send(message_type, data.get(bytes, "data")?)?;
        Ok(shmx_status::Ok)
    })
}

/// A sender of control messages for this client. The client's reader slot lasts as long as it.
///
/// Keeps the view. Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_sender(client: Option<&mut shmx_client>, out: Out<*mut shmx_sender>) -> shmx_status {
    guard("shmx_client_sender", || {
        let open = open(client)?;
        out.need("out")?;
        hand_out(out, shmx_sender { sender: open.sender.clone() });
        Ok(shmx_status::Ok)
    })
}

/// Leaves the region; the handle stays, and every call with it says SHMX_STATUS_CLOSED. Frames kept stay valid.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_close(client: Option<&mut shmx_client>) -> shmx_status {
    guard("shmx_client_close", || {
        client.ok_or_else(|| Fault::null("client"))?.open = None;
        Ok(shmx_status::Ok)
    })
}

/// Closes and frees a client. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_client_free(client: Give<shmx_client>) {
    guard_value("shmx_client_free", (), || drop(client.take()));
}

/// Sends a control message. Types from SHMX_CONTROL_USER on are the application's.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_sender_send(
    sender: Option<&shmx_sender>,
    message_type: u32,
    data: Bytes,
    bytes: usize,
) -> shmx_status {
    guard("shmx_sender_send", || {
        let sender = sender.ok_or_else(|| Fault::null("sender"))?;
        sender.sender.send(message_type, data.get(bytes, "data")?)?;
        Ok(shmx_status::Ok)
    })
}

/// Frees a sender. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one, when nobody sends through it any more.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_sender_free(sender: Give<shmx_sender>) {
    guard_value("shmx_sender_free", (), || drop(sender.take()));
}
