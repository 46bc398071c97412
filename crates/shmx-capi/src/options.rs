//! How to create and to open.

use crate::args::{Bytes, In, Versioned};
use crate::consts::{SHMX_FOREVER, SHMX_NONE, duration};
use crate::status::{Fault, shmx_status};
use crate::stream::{reserved, shmx_stream_spec};
use shmx::{Checksum, Client, ClientOptions, Hold, NameLoss, Server, ServerBuilder, Start, Tap, TapOptions, Verify};

/// Which frames carry a checksum.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_checksum {
    /// Where somebody needs it.
    Auto = 0,
    /// Every frame.
    Always = 1,
    /// None. Readers of the original reject every frame then.
    Never = 2,
}

/// When a reader compares checksums.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_verify {
    /// Where nothing else proves that a frame is whole.
    Auto = 0,
    /// Every frame that has one.
    Always = 1,
    /// None.
    Never = 2,
}

/// Whether a frame is held in its slot or copied out of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_hold {
    /// Under a lease, unless it is small or the producer would be left too few slots.
    Auto = 0,
    /// Under a lease wherever the region allows it.
    Lease = 1,
    /// By copy.
    Copy = 2,
}

/// Which frame a reader begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_start {
    /// A client with the newest, a tap with the oldest.
    Auto = 0,
    /// The newest there is.
    Newest = 1,
    /// The oldest still in the ring.
    Oldest = 2,
    /// The one after `after_frame` of session `after_session`.
    After = 3,
}

/// Frames carry no publish time.
pub const SHMX_SERVER_NO_PUBLISH_TIME: u32 = 1;
/// Replace what has the name even if it is a region without liveness lock, or none. One that lives is never replaced.
pub const SHMX_SERVER_REPLACE: u32 = 2;
/// Ask for huge pages.
pub const SHMX_SERVER_HUGE_PAGES: u32 = 4;
/// The server may be used by several threads at once, each filling frames of its own. Without it a server is a little
/// faster, belongs to one thread at a time, and has one frame under construction.
pub const SHMX_SERVER_SHARED: u32 = 8;

/// The server rings for every frame, so that taps can sleep.
pub const SHMX_SERVER_RING_ALWAYS: u32 = 16;
/// Streams of 4 MiB and more are copied past the producer's caches: for readers on a processor that is far away. Measure
/// first. Since version 4.
pub const SHMX_SERVER_STREAMING_STORES: u32 = 32;
/// Once the name was taken away no frame is begun any more: SHMX_STATUS_NAME_LOST. Without this flag and the next one the
/// server goes on for the readers that it has. Since version 4.
pub const SHMX_SERVER_END_WITH_NAME: u32 = 64;
/// Once the name was taken away a successor of the region is made under it, with the same streams, in which frames are
/// numbered from 1; with SHMX_SERVER_SHARED as SHMX_SERVER_END_WITH_NAME. Since version 4.
pub const SHMX_SERVER_COME_BACK: u32 = 128;

/// How a server makes its region. Null for the whole means all defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_server_options {
    /// sizeof(shmx_server_options).
    pub size: usize,
    /// SHMX_SERVER_... together.
    pub flags: u32,
    /// Frame slots; 0 means 8, or 4 if these would take more than 32 MiB.
    pub slots: u32,
    /// Readers at a time; 0 means 16, SHMX_NONE none.
    pub reader_slots: u32,
    /// Largest payload of a frame; 0 means what the streams take at their largest, or 65536 without streams.
    pub frame_bytes: u32,
    /// Bytes for the directory; 0 means 4096 or more, SHMX_NONE exactly what it needs now.
    pub directory_bytes: u32,
    /// Bytes of each reader's control ring; 0 means 4096, SHMX_NONE that readers cannot send.
    pub control_bytes: u32,
    /// A `shmx_checksum`.
    pub checksum: u32,
    /// Permission bits; 0 means 0600. SHMX_NONE means no permissions at all.
    pub mode: u32,
    /// The streams; each begins with its size, and all have the same.
    pub streams: In<shmx_stream_spec>,
    /// Number of streams.
    pub stream_count: usize,
    /// A ready-made directory to begin with, out of another region. May be null.
    pub directory: Bytes,
    /// Bytes of it.
    pub directory_used: usize,
    /// How many of the newest frames stay for readers that take each in order; 0 means as many as there are slots for.
    /// With few of them large frames stay in the processor's cache. Since version 3.
    pub history: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_server_options {
    const FIRST: usize = std::mem::offset_of!(Self, history);
}

/// Do not enter the region into the page table when it is opened.
pub const SHMX_CLIENT_NO_PREFAULT: u32 = 1;
/// Map with huge pages what the server has in huge pages.
pub const SHMX_CLIENT_HUGE_PAGES: u32 = 2;
/// Open without a reader slot where none can be had: the client copies, cannot send, and is not seen.
pub const SHMX_CLIENT_SLOT_OPTIONAL: u32 = 4;
/// Go over to a successor of the server.
pub const SHMX_CLIENT_RECONNECT: u32 = 8;

/// The client wants every frame: a server that waits for its readers waits for it.
pub const SHMX_CLIENT_EVERY_FRAME: u32 = 16;

/// How a client opens a region and reads it. Null for the whole means all defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_client_options {
    /// sizeof(shmx_client_options).
    pub size: usize,
    /// SHMX_CLIENT_... together.
    pub flags: u32,
    /// A `shmx_verify`.
    pub verify: u32,
    /// A `shmx_hold`.
    pub hold: u32,
    /// Frames of at most so many bytes are copied in any case; 0 means 192, SHMX_NONE that none is for that reason.
    pub copy_up_to: u32,
    /// How long waiting polls before it sleeps; 0 means 5000, SHMX_FOREVER that it sleeps at once.
    pub spin_ns: u64,
    /// How long opening waits for a server; 0 means not at all.
    pub open_timeout_ns: u64,
    /// A `shmx_start`.
    pub start: u32,
    /// 0.
    pub reserved: u32,
    /// With SHMX_START_AFTER: session of the frame.
    pub after_session: u64,
    /// With SHMX_START_AFTER: its id.
    pub after_frame: u64,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_client_options {
    const FIRST: usize = size_of::<Self>();
}

/// How a tap opens a region and reads it. Null for the whole means all defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_tap_options {
    /// sizeof(shmx_tap_options).
    pub size: usize,
    /// A `shmx_verify`.
    pub verify: u32,
    /// A `shmx_start`.
    pub start: u32,
    /// With SHMX_START_AFTER: session of the frame.
    pub after_session: u64,
    /// With SHMX_START_AFTER: its id.
    pub after_frame: u64,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_tap_options {
    const FIRST: usize = size_of::<Self>();
}

fn unknown(field: &str) -> Fault {
    Fault::new(shmx_status::BadArgument, format!("`options` has an unknown value in `{field}`; see shmx.h"))
}

/// A value whose zero is the default and whose [`SHMX_NONE`] is zero.
fn chosen(value: u32) -> Option<u32> {
    match value {
        0 => None,
        SHMX_NONE => Some(0),
        n => Some(n),
    }
}

fn check_flags(flags: u32, known: u32) -> Result<(), Fault> {
    if flags & !known == 0 { Ok(()) } else { Err(unknown("flags")) }
}

fn verify(code: u32) -> Result<Verify, Fault> {
    Ok(match code {
        0 => Verify::Auto,
        1 => Verify::Always,
        2 => Verify::Never,
        _ => return Err(unknown("verify")),
    })
}

fn start(code: u32, auto: Start, session_id: u64, frame_id: u64) -> Result<Start, Fault> {
    Ok(match code {
        0 => auto,
        1 => Start::Newest,
        2 => Start::Oldest,
        3 => Start::After { session_id, frame_id },
        _ => return Err(unknown("start")),
    })
}

/// The builder, and whether several threads are to use the server.
pub(crate) fn server(name: &str, options: In<shmx_server_options>) -> Result<(ServerBuilder, bool), Fault> {
    let mut builder = Server::builder(name);
    let Some(o) = options.read("options")? else { return Ok((builder, false)) };
    let known = SHMX_SERVER_NO_PUBLISH_TIME
        | SHMX_SERVER_REPLACE
        | SHMX_SERVER_HUGE_PAGES
        | SHMX_SERVER_SHARED
        | SHMX_SERVER_RING_ALWAYS
        | SHMX_SERVER_STREAMING_STORES
        | SHMX_SERVER_END_WITH_NAME
        | SHMX_SERVER_COME_BACK;
    check_flags(o.flags, known)?;
    let on_name_loss = match o.flags & (SHMX_SERVER_END_WITH_NAME | SHMX_SERVER_COME_BACK) {
        0 => NameLoss::Warn,
        SHMX_SERVER_END_WITH_NAME => NameLoss::End,
        SHMX_SERVER_COME_BACK => NameLoss::ComeBack,
        _ => return Err(Fault::bad("options", "ends with the name and comes back", "set one of these flags")),
    };
    if o.reserved != 0 {
        return Err(reserved("options"));
    }
    builder = builder
        .history(o.history)
        .publish_time(o.flags & SHMX_SERVER_NO_PUBLISH_TIME == 0)
        .replace(o.flags & SHMX_SERVER_REPLACE != 0)
        .huge_pages(o.flags & SHMX_SERVER_HUGE_PAGES != 0)
        .ring_always(o.flags & SHMX_SERVER_RING_ALWAYS != 0)
        .streaming_stores(o.flags & SHMX_SERVER_STREAMING_STORES != 0)
        .on_name_loss(on_name_loss)
        .checksum(match o.checksum {
            0 => Checksum::Auto,
            1 => Checksum::Always,
            2 => Checksum::Never,
            _ => return Err(unknown("checksum")),
        });
    if o.slots != 0 {
        builder = builder.slots(o.slots);
    }
    if let Some(n) = chosen(o.reader_slots) {
        builder = builder.reader_slots(n);
    }
    if o.frame_bytes != 0 {
        builder = builder.frame_bytes(o.frame_bytes);
    }
    if let Some(n) = chosen(o.directory_bytes) {
        builder = builder.directory_bytes(n);
    }
    if let Some(n) = chosen(o.control_bytes) {
        builder = builder.control_bytes(n);
    }
    if let Some(mode) = chosen(o.mode) {
        builder = builder.mode(mode);
    }
    for spec in o.streams.array(o.stream_count, "options.streams")? {
        builder = builder.stream(spec.spec("options.streams")?, spec.max_elems);
    }
    let directory = o.directory.get(o.directory_used, "options.directory")?;
    if !directory.is_empty() {
        builder = builder.directory(directory);
    }
    Ok((builder, o.flags & SHMX_SERVER_SHARED != 0))
}

/// How to open, and how long to wait for a server.
pub(crate) fn client(options: In<shmx_client_options>) -> Result<(ClientOptions, u64), Fault> {
    let to_open = Client::options();
    let Some(o) = options.read("options")? else { return Ok((to_open, 0)) };
    let known = SHMX_CLIENT_NO_PREFAULT
        | SHMX_CLIENT_HUGE_PAGES
        | SHMX_CLIENT_SLOT_OPTIONAL
        | SHMX_CLIENT_RECONNECT
        | SHMX_CLIENT_EVERY_FRAME;
    check_flags(o.flags, known)?;
    if o.reserved != 0 {
        return Err(reserved("options"));
    }
    let mut to_open = to_open
        .prefault(o.flags & SHMX_CLIENT_NO_PREFAULT == 0)
        .huge_pages(o.flags & SHMX_CLIENT_HUGE_PAGES != 0)
        .require_slot(o.flags & SHMX_CLIENT_SLOT_OPTIONAL == 0)
        .reconnect(o.flags & SHMX_CLIENT_RECONNECT != 0)
        .every_frame(o.flags & SHMX_CLIENT_EVERY_FRAME != 0)
        .verify(verify(o.verify)?)
        .start(start(o.start, Start::Newest, o.after_session, o.after_frame)?)
        .hold(match o.hold {
            0 => Hold::Auto,
            1 => Hold::Lease,
            2 => Hold::Copy,
            _ => return Err(unknown("hold")),
        });
    if let Some(bytes) = chosen(o.copy_up_to) {
        to_open = to_open.copy_up_to(bytes);
    }
    match o.spin_ns {
        0 => {}
        SHMX_FOREVER => to_open = to_open.spin(duration(0)),
        ns => to_open = to_open.spin(duration(ns)),
    }
    Ok((to_open, o.open_timeout_ns))
}

pub(crate) fn tap(options: In<shmx_tap_options>) -> Result<TapOptions, Fault> {
    let to_open = Tap::options();
    let Some(o) = options.read("options")? else { return Ok(to_open) };
    let start = start(o.start, Start::Oldest, o.after_session, o.after_frame)?;
    Ok(to_open.verify(verify(o.verify)?).start(start))
}
