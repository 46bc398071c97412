//! What every handle can tell of its region.

use crate::args::Versioned;
use shmx::abi::RegionLayout;
use shmx::abi::wire::GlobalHeader;
use shmx::error::ServerEnd;
use shmx::{ReadStats, ReaderInfo, ServerState};

/// What is known of a region's server.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_server_state {
    /// It cannot be known.
    Unknown = 0,
    /// It lives, or is not known to be gone.
    Live = 1,
    /// It left in good order.
    Closed = 2,
    /// Its process died.
    Died = 3,
    /// The region was made by an implementation without locks; nobody can tell.
    Reference = 4,
}

impl From<ServerState> for shmx_server_state {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Live => Self::Live,
            ServerState::Closed => Self::Closed,
            ServerState::Died => Self::Died,
            ServerState::Reference => Self::Reference,
            _ => Self::Unknown,
        }
    }
}

impl From<Option<ServerEnd>> for shmx_server_state {
    fn from(end: Option<ServerEnd>) -> Self {
        match end {
            None => Self::Live,
            Some(ServerEnd::Closed) => Self::Closed,
            Some(ServerEnd::Died) => Self::Died,
            Some(_) => Self::Unknown,
        }
    }
}

/// Where everything lies in a region, as checked when it was opened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct shmx_region {
    /// sizeof(shmx_region).
    pub size: usize,
    /// Session of the server.
    pub session_id: u64,
    /// Bytes of the region.
    pub total_bytes: u32,
    /// Frame slots.
    pub slots: u32,
    /// Bytes from one slot to the next.
    pub slot_stride: u32,
    /// Where they begin.
    pub slots_offset: u32,
    /// Largest payload.
    pub frame_bytes: u32,
    /// Reader slots.
    pub reader_slots: u32,
    /// Bytes from one to the next.
    pub reader_slot_stride: u32,
    /// Where they begin.
    pub readers_offset: u32,
    /// Bytes of a control ring.
    pub control_bytes: u32,
    /// Bytes from one to the next.
    pub control_stride: u32,
    /// Where they begin.
    pub control_offset: u32,
    /// Capacity of the directory.
    pub directory_bytes: u32,
    /// Where it begins.
    pub directory_offset: u32,
    /// Index of the handle's own reader slot; SHMX_NONE without one.
    pub reader_index: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_region {
    const FIRST: usize = size_of::<Self>();
}

impl shmx_region {
    pub(crate) fn of(layout: &RegionLayout, session_id: u64, reader_index: Option<u32>) -> Self {
        Self {
            size: size_of::<Self>(),
            session_id,
            total_bytes: layout.total_bytes(),
            slots: layout.slots(),
            slot_stride: layout.slot_stride(),
            slots_offset: layout.slots_offset(),
            frame_bytes: layout.frame_bytes_cap(),
            reader_slots: layout.reader_slots(),
            reader_slot_stride: layout.reader_slot_stride(),
            readers_offset: layout.readers_offset(),
            control_bytes: layout.control_per_reader(),
            control_stride: layout.control_stride(),
            control_offset: layout.control_offset(),
            directory_bytes: layout.static_bytes_cap(),
            directory_offset: layout.static_offset(),
            reader_index: reader_index.unwrap_or(crate::consts::SHMX_NONE),
        }
    }
}

/// The words of a region's header that change, at one moment. Any process with write access can have written them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct shmx_header {
    /// sizeof(shmx_header).
    pub size: usize,
    /// Session of the server.
    pub session_id: u64,
    /// Frames published; the newest frame's id.
    pub frame_seq: u64,
    /// Hash over the directory.
    pub directory_hash: u64,
    /// Counts changes of the directory.
    pub directory_generation: u32,
    /// Bytes of the directory in use.
    pub directory_used: u32,
    /// Sequence number of the newest frame.
    pub write_index: u32,
    /// Highest sequence number of a frame under construction.
    pub reserve_index: u32,
    /// Attached readers.
    pub readers_connected: u32,
    /// Process of the server; 0 if it does not say so.
    pub server_pid: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_header {
    const FIRST: usize = size_of::<Self>();
}

impl From<GlobalHeader> for shmx_header {
    fn from(h: GlobalHeader) -> Self {
        Self {
            size: size_of::<Self>(),
            session_id: h.session_id,
            frame_seq: h.frame_seq,
            directory_hash: h.static_hash,
            directory_generation: h.static_gen,
            directory_used: h.static_bytes_used,
            write_index: h.write_index,
            reserve_index: h.reserve_index,
            readers_connected: h.readers_connected,
            server_pid: h.ext_server_pid,
        }
    }
}

/// A reader slot at one moment. Any process with write access can have written it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct shmx_reader {
    /// Bytes of an element of the array, as passed.
    pub size: usize,
    /// Id of the reader; 0 while free.
    pub reader_id: u64,
    /// Wire clock of its last sign of life; 0 until the first.
    pub heartbeat: u64,
    /// Id of the last frame that it took.
    pub last_frame_seen: u64,
    /// Frames delivered, of readers that count.
    pub delivered: u64,
    /// Frames missed, likewise.
    pub missed: u64,
    /// Frames rejected, likewise.
    pub rejected: u64,
    /// Index of the slot.
    pub index: u32,
    /// Whether it is taken.
    pub in_use: u32,
    /// Its liveness lock: 0 not known, 1 free, 2 held.
    pub lock: u32,
    /// Frame slots that it leases.
    pub leased_slots: u32,
    /// Its process; 0 if it does not say so.
    pub pid: u32,
    /// Whether it is asleep, waiting for a frame.
    pub waiting: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_reader {
    const FIRST: usize = size_of::<Self>();
}

impl From<ReaderInfo> for shmx_reader {
    fn from(r: ReaderInfo) -> Self {
        let e = r.extension.unwrap_or_default();
        Self {
            size: size_of::<Self>(),
            reader_id: r.reader_id,
            heartbeat: r.heartbeat,
            last_frame_seen: r.last_frame_seen,
            delivered: e.delivered,
            missed: e.missed,
            rejected: e.rejected,
            index: r.index,
            in_use: r.in_use.into(),
            lock: match r.lock {
                shmx::LockState::Free => 1,
                shmx::LockState::Held => 2,
                shmx::LockState::Unsupported => 0,
            },
            leased_slots: r.leased_slots,
            pid: e.pid,
            waiting: e.waiting.into(),
        }
    }
}

/// Counts of a reader since it was opened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct shmx_stats {
    /// sizeof(shmx_stats).
    pub size: usize,
    /// Different frames delivered.
    pub delivered: u64,
    /// Frames published that the reader did not get.
    pub missed: u64,
    /// Frames rejected as damaged or foreign.
    pub rejected: u64,
    /// Frames copied although they could have been leased, to leave the producer enough slots.
    pub copied_for_room: u64,
    /// How often a client has gone over to a successor of its server.
    pub reconnects: u64,
    /// Frames published and not yet taken by a tap.
    pub behind: u64,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers only.
unsafe impl Versioned for shmx_stats {
    const FIRST: usize = size_of::<Self>();
}

impl From<ReadStats> for shmx_stats {
    fn from(s: ReadStats) -> Self {
        Self {
            size: size_of::<Self>(),
            delivered: s.delivered,
            missed: s.missed,
            rejected: s.rejected,
            ..Self::default()
        }
    }
}
