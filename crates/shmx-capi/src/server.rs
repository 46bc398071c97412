//! The producer.

use crate::args::{Array, Bytes, Fill, FillArray, Give, In, Out, Text, hand_out, put, put_if_wanted};
use crate::consts::duration;
use crate::directory::shmx_directory;
use crate::messages::shmx_messages;
use crate::options::{self, shmx_server_options};
use crate::region::{shmx_header, shmx_reader, shmx_region};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::{shmx_part, shmx_stream_spec};
use crate::writer::{Core, shmx_writer};

/// The producer's end of a region.
///
/// One thread at a time uses a server, and while a frame is under construction only that frame; other calls say
/// SHMX_STATUS_BUSY then. With SHMX_SERVER_SHARED its functions are for several threads, each with frames of its own.
#[derive(Debug)]
pub struct shmx_server {
    core: Option<Core>,
    region: shmx_region,
}

#[inline]
fn core(server: Option<&shmx_server>) -> Result<&Core, Fault> {
    server.ok_or_else(|| Fault::null("server"))?.core.as_ref().ok_or_else(|| Fault::closed("server"))
}

/// Creates a region and makes it visible in one step. `options` may be null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_create(
    name: Text,
    options: In<shmx_server_options>,
    out: Out<*mut shmx_server>,
) -> shmx_status {
    guard("shmx_server_create", || {
        out.need("out")?;
        let (builder, shared) = options::server(name.get("name")?, options)?;
        let server = builder.create()?;
        let region = shmx_region::of(server.layout(), server.session_id(), None);
        hand_out(out, shmx_server { core: Some(Core::new(server, shared)), region });
        Ok(shmx_status::Ok)
    })
}

/// Publishes a frame of these parts in one call, the quickest way. `frame_id` may be null.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_publish(
    server: Option<&shmx_server>,
    sim_time: f64,
    parts: Array<shmx_part>,
    count: usize,
    frame_id: Out<u64>,
) -> shmx_status {
    guard("shmx_server_publish", || {
        let id = core(server)?.publish(sim_time, parts.get(count, "parts")?)?;
        put_if_wanted(frame_id, id);
        Ok(shmx_status::Ok)
    })
}

/// Publishes a frame of whole records, `count` of them, as they are: out of another region, or made by the caller. They
/// are not checked; readers check what they read. `frame_id` may be null.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_publish_records(
    server: Option<&shmx_server>,
    sim_time: f64,
    records: Bytes,
    bytes: usize,
    count: u32,
    frame_id: Out<u64>,
) -> shmx_status {
    guard("shmx_server_publish_records", || {
        let id = core(server)?.publish_records(sim_time, records.get(bytes, "records")?, count)?;
        put_if_wanted(frame_id, id);
        Ok(shmx_status::Ok)
    })
}

/// Claims a slot for a new frame, to be filled and published. Never waits and never overwrites a leased slot.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_begin(server: Option<&shmx_server>, out: Out<*mut shmx_writer>) -> shmx_status {
    guard("shmx_server_begin", || {
        let core = core(server)?;
        out.need("out")?;
        hand_out(out, core.begin(None)?);
        Ok(shmx_status::Ok)
    })
}

/// Claims a slot whose frame every reader with SHMX_CLIENT_EVERY_FRAME has taken, and waits for that no longer than
/// `timeout_ns`. Other readers are not waited for. SHMX_STATUS_NOT_TAKEN when the time is up; the text names the readers.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_begin_when_taken(
    server: Option<&shmx_server>,
    timeout_ns: u64,
    out: Out<*mut shmx_writer>,
) -> shmx_status {
    guard("shmx_server_begin_when_taken", || {
        let core = core(server)?;
        out.need("out")?;
        hand_out(out, core.begin(Some(duration(timeout_ns)))?);
        Ok(shmx_status::Ok)
    })
}

/// Waits until every reader with SHMX_CLIENT_EVERY_FRAME has taken this frame and those before it, or, unless `all` is 0,
/// every attached reader; at once where there is none. SHMX_STATUS_NOT_TAKEN when the time is up.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_wait_taken(
    server: Option<&shmx_server>,
    frame_id: u64,
    all: u32,
    timeout_ns: u64,
) -> shmx_status {
    guard("shmx_server_wait_taken", || {
        core(server)?.with(|s| match all {
            0 => s.wait_taken(frame_id, duration(timeout_ns)),
            _ => s.wait_taken_by_all(frame_id, duration(timeout_ns)),
        })??;
        Ok(shmx_status::Ok)
    })
}

/// Where everything lies.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_region(server: Option<&shmx_server>, out: Fill<shmx_region>) -> shmx_status {
    guard("shmx_server_region", || {
        let server = server.ok_or_else(|| Fault::null("server"))?;
        out.check("out")?.fill(server.region);
        Ok(shmx_status::Ok)
    })
}

/// The words of the header that change.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_header(server: Option<&shmx_server>, out: Fill<shmx_header>) -> shmx_status {
    guard("shmx_server_header", || {
        let place = out.check("out")?;
        core(server)?.with(|s| place.fill(s.header().into()))?;
        Ok(shmx_status::Ok)
    })
}

/// Frames published so far.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_frames(server: Option<&shmx_server>, frames: Out<u64>) -> shmx_status {
    guard("shmx_server_frames", || {
        put(frames, "frames", core(server)?.with(shmx::Server::frames_published)?)?;
        Ok(shmx_status::Ok)
    })
}

/// Whether the name still leads to this server's region: 0 or 1.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_is_current(server: Option<&shmx_server>, current: Out<u32>) -> shmx_status {
    guard("shmx_server_is_current", || {
        put(current, "current", core(server)?.with(|s| s.name_is_current().into())?)?;
        Ok(shmx_status::Ok)
    })
}

/// The stream directory as the server has written it.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_directory(server: Option<&shmx_server>, out: Out<*mut shmx_directory>) -> shmx_status {
    guard("shmx_server_directory", || {
        let core = core(server)?;
        out.need("out")?;
        hand_out(out, shmx_directory::new(core.with(shmx::Server::directory)?));
        Ok(shmx_status::Ok)
    })
}

/// Adds a stream to the directory. Frames must have room for it.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_add_stream(server: Option<&shmx_server>, spec: In<shmx_stream_spec>) -> shmx_status {
    guard("shmx_server_add_stream", || {
        let core = core(server)?;
        let spec = spec.read("spec")?.ok_or_else(|| Fault::null("spec"))?.spec("spec")?;
        core.with(|s| s.add_stream(spec))??;
        Ok(shmx_status::Ok)
    })
}

/// Appends whole records, padded to 16 bytes, to the directory as they are.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_append_records(
    server: Option<&shmx_server>,
    records: Bytes,
    bytes: usize,
) -> shmx_status {
    guard("shmx_server_append_records", || {
        let core = core(server)?;
        let records = records.get(bytes, "records")?;
        core.with(|s| s.write_static_append(records))??;
        Ok(shmx_status::Ok)
    })
}

/// Takes at most `max` messages out of the readers' control rings, never waiting. Free what comes with
/// shmx_messages_free, also where it is empty.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_poll(
    server: Option<&shmx_server>,
    max: usize,
    out: Out<*mut shmx_messages>,
) -> shmx_status {
    guard("shmx_server_poll", || {
        let core = core(server)?;
        out.need("out")?;
        hand_out(out, core.with(|s| s.poll_control(max))?.into());
        Ok(shmx_status::Ok)
    })
}

/// The same, waiting until there is a message, or a reader comes or goes. With 0 it never waits.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_wait_control(
    server: Option<&shmx_server>,
    max: usize,
    timeout_ns: u64,
    out: Out<*mut shmx_messages>,
) -> shmx_status {
    guard("shmx_server_wait_control", || {
        let core = core(server)?;
        out.need("out")?;
        hand_out(out, core.with(|s| s.wait_control(max, duration(timeout_ns)))??.into());
        Ok(shmx_status::Ok)
    })
}

/// A descriptor for an event loop: readable when readers may have sent messages, come or gone, until shmx_server_poll has
/// brought nothing, and at least every 20 ms. Do not read from it. It is the caller's, who closes it.
/// SHMX_STATUS_UNSUPPORTED where the system has none.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_control_fd(server: Option<&shmx_server>, fd: Out<i32>) -> shmx_status {
    guard("shmx_server_control_fd", || {
        let core = core(server)?;
        fd.need("fd")?;
        put(fd, "fd", core.with(descriptor)??)?;
        Ok(shmx_status::Ok)
    })
}

#[cfg(unix)]
fn descriptor(server: &shmx::Server) -> Result<i32, Fault> {
    Ok(std::os::fd::IntoRawFd::into_raw_fd(server.control_fd()?))
}

#[cfg(not(unix))]
fn descriptor(_: &shmx::Server) -> Result<i32, Fault> {
    Err(Fault::new(shmx_status::Unsupported, "there are no descriptors here; poll, or wait with a timeout"))
}

/// Attached readers, as the header counts them.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_readers_connected(server: Option<&shmx_server>, count: Out<u32>) -> shmx_status {
    guard("shmx_server_readers_connected", || {
        put(count, "count", core(server)?.with(shmx::Server::readers_connected)?)?;
        Ok(shmx_status::Ok)
    })
}

/// Every reader slot as it is now: as many as there is room for go to `readers`, whose elements have `reader_size`
/// bytes. `count` is the number of slots; it may be above `capacity`.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_readers(
    server: Option<&shmx_server>,
    readers: FillArray<shmx_reader>,
    reader_size: usize,
    capacity: usize,
    count: Out<usize>,
) -> shmx_status {
    guard("shmx_server_readers", || {
        let found = core(server)?.with(shmx::Server::snapshot_readers)?;
        let found: Vec<shmx_reader> = found.into_iter().map(Into::into).collect();
        count.need("count")?;
        readers.fill(&found, reader_size, capacity, "readers")?;
        put_if_wanted(count, found.len());
        Ok(shmx_status::Ok)
    })
}

/// Frees the slots of readers whose process has died, and of those without a liveness lock whose last sign of life is
/// more than `timeout_ns` ago (SHMX_FOREVER: none of these). `count`, which may be null, gets how many.
///
/// Threads: one at a time; with SHMX_SERVER_SHARED any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_reap(server: Option<&shmx_server>, timeout_ns: u64, count: Out<usize>) -> shmx_status {
    guard("shmx_server_reap", || {
        let freed = core(server)?.with(|s| match timeout_ns {
            crate::consts::SHMX_FOREVER => s.reap_dead_readers(),
            ns => s.reap_stale_readers(duration(ns)),
        })?;
        put_if_wanted(count, freed.len());
        Ok(shmx_status::Ok)
    })
}

/// Ends the server: readers are told, the name is removed. The handle stays, and calls with it say SHMX_STATUS_CLOSED. A
/// frame under construction keeps the region until it is published or abandoned.
///
/// Threads: one, when no other uses it.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_close(server: Option<&mut shmx_server>) -> shmx_status {
    guard("shmx_server_close", || {
        server.ok_or_else(|| Fault::null("server"))?.core = None;
        Ok(shmx_status::Ok)
    })
}

/// Ends and frees a server. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one, when no other uses it.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_server_free(server: Give<shmx_server>) {
    guard_value("shmx_server_free", (), || drop(server.take()));
}
