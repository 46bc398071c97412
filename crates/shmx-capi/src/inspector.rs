//! Looking at a region without being noticed.

use crate::args::{Fill, FillArray, Give, Out, Room, Text, Versioned, hand_out, put, put_if_wanted};
use crate::directory::shmx_directory;
use crate::frame::shmx_frame;
use crate::messages::shmx_messages;
use crate::region::{shmx_header, shmx_reader, shmx_region, shmx_server_state};
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::view::shmx_checksum_state;
use shmx::{ChecksumState, Inspector, SlotState};
use std::path::Path;

/// A read-only view of a live region or of a dump. Its functions are for several threads at once.
#[derive(Debug)]
pub struct shmx_inspector {
    inspector: Inspector,
    region: shmx_region,
}

/// What a slot holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_slot_state {
    /// No frame.
    Empty = 0,
    /// A frame is being written.
    Writing = 1,
    /// A frame.
    Frame = 2,
    /// Something that cannot be a frame of this session.
    Bad = 3,
}

/// A slot at one moment; the header's words as they lie there, checked for nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct shmx_slot {
    /// sizeof(shmx_slot).
    pub size: usize,
    /// Session that wrote the frame.
    pub session_id: u64,
    /// Its id.
    pub frame_id: u64,
    /// The producer's own time.
    pub sim_time: f64,
    /// Reader slots 0 to 63 that lease it, as bits.
    pub leases_low: u64,
    /// Reader slots 64 to 127.
    pub leases_high: u64,
    /// Number of the slot.
    pub index: u32,
    /// A `shmx_slot_state`.
    pub state: u32,
    /// Bytes of payload.
    pub payload_bytes: u32,
    /// Records of it.
    pub tlv_count: u32,
    /// The checksum as written.
    pub checksum: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and floats only.
unsafe impl Versioned for shmx_slot {
    const FIRST: usize = size_of::<Self>();
}

fn get(inspector: Option<&shmx_inspector>) -> Result<&Inspector, Fault> {
    Ok(&inspector.ok_or_else(|| Fault::null("inspector"))?.inspector)
}

fn new(inspector: Inspector) -> shmx_inspector {
    let region = shmx_region::of(inspector.layout(), inspector.header().session_id, None);
    shmx_inspector { inspector, region }
}

/// Opens a live region, or what a dead server has left.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_open(name: Text, out: Out<*mut shmx_inspector>) -> shmx_status {
    guard("shmx_inspector_open", || {
        out.need("out")?;
        hand_out(out, new(Inspector::open(name.get("name")?)?));
        Ok(shmx_status::Ok)
    })
}

/// Opens a dump: a file with the bytes of a whole region.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_open_file(path: Text, out: Out<*mut shmx_inspector>) -> shmx_status {
    guard("shmx_inspector_open_file", || {
        out.need("out")?;
        hand_out(out, new(Inspector::open_file(Path::new(path.get("path")?))?));
        Ok(shmx_status::Ok)
    })
}

/// Where everything lies, and the session when it was opened.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_region(inspector: Option<&shmx_inspector>, out: Fill<shmx_region>) -> shmx_status {
    guard("shmx_inspector_region", || {
        let inspector = inspector.ok_or_else(|| Fault::null("inspector"))?;
        out.check("out")?.fill(inspector.region);
        Ok(shmx_status::Ok)
    })
}

/// The words of the header that change.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_header(inspector: Option<&shmx_inspector>, out: Fill<shmx_header>) -> shmx_status {
    guard("shmx_inspector_header", || {
        let (inspector, place) = (get(inspector)?, out.check("out")?);
        place.fill(inspector.header().into());
        Ok(shmx_status::Ok)
    })
}

/// What is known of the server: a `shmx_server_state`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_server_state(inspector: Option<&shmx_inspector>, state: Out<u32>) -> shmx_status {
    guard("shmx_inspector_server_state", || {
        put(state, "state", shmx_server_state::from(get(inspector)?.server_state()) as u32)?;
        Ok(shmx_status::Ok)
    })
}

/// Whether the name still leads to this region, and whether it still has all its bytes: 0 or 1. Each may be null. Who
/// watches for long asks for the second before each look: touching bytes that another process has cut off ends the
/// process by a signal.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_is_current(
    inspector: Option<&shmx_inspector>,
    current: Out<u32>,
    whole: Out<u32>,
) -> shmx_status {
    guard("shmx_inspector_is_current", || {
        let inspector = get(inspector)?;
        put_if_wanted(current, inspector.is_current().into());
        put_if_wanted(whole, inspector.is_whole().into());
        Ok(shmx_status::Ok)
    })
}

/// The stream directory as it is now.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_directory(
    inspector: Option<&shmx_inspector>,
    out: Out<*mut shmx_directory>,
) -> shmx_status {
    guard("shmx_inspector_directory", || {
        let inspector = get(inspector)?;
        out.need("out")?;
        hand_out(out, shmx_directory::new(inspector.directory()?));
        Ok(shmx_status::Ok)
    })
}

/// Every reader slot; as shmx_server_readers.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_readers(
    inspector: Option<&shmx_inspector>,
    readers: FillArray<shmx_reader>,
    reader_size: usize,
    capacity: usize,
    count: Out<usize>,
) -> shmx_status {
    guard("shmx_inspector_readers", || {
        let found: Vec<shmx_reader> = get(inspector)?.snapshot_readers().into_iter().map(Into::into).collect();
        count.need("count")?;
        readers.fill(&found, reader_size, capacity, "readers")?;
        put_if_wanted(count, found.len());
        Ok(shmx_status::Ok)
    })
}

/// A copy of the newest frame, also of one with a wrong checksum; SHMX_STATUS_NOTHING while there is none.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_latest(inspector: Option<&shmx_inspector>, out: Out<*mut shmx_frame>) -> shmx_status {
    guard("shmx_inspector_latest", || {
        let inspector = get(inspector)?;
        out.need("out")?;
        let Some(frame) = inspector.latest()? else { return Ok(shmx_status::Nothing) };
        hand_out(out, shmx_frame::new(frame));
        Ok(shmx_status::Ok)
    })
}

/// A slot, and a copy of the frame in it: null where it holds none. SHMX_STATUS_NOTHING past the last slot. `slot` may be
/// null, and so may `frame`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_slot(
    inspector: Option<&shmx_inspector>,
    index: u32,
    slot: Fill<shmx_slot>,
    frame: Out<*mut shmx_frame>,
) -> shmx_status {
    guard("shmx_inspector_slot", || {
        let place = slot.check_if_wanted("slot")?;
        let Some(view) = get(inspector)?.slot_view(index) else { return Ok(shmx_status::Nothing) };
        let h = &view.header;
        let (state, found) = match view.state {
            SlotState::Empty => (shmx_slot_state::Empty, None),
            SlotState::Writing => (shmx_slot_state::Writing, None),
            SlotState::Frame(frame) => (shmx_slot_state::Frame, Some(frame)),
            _ => (shmx_slot_state::Bad, None),
        };
        if let Some(place) = place {
            place.fill(shmx_slot {
                size: size_of::<shmx_slot>(),
                session_id: h.session_id_copy,
                frame_id: h.frame_id,
                sim_time: h.sim_time,
                leases_low: view.leases as u64,
                leases_high: (view.leases >> 64) as u64,
                index,
                state: state as u32,
                payload_bytes: h.payload_bytes,
                tlv_count: h.tlv_count,
                checksum: h.checksum,
                reserved: 0,
            });
        }
        match found {
            Some(found) => hand_out(frame, shmx_frame::new(found)),
            None => put_if_wanted(frame, std::ptr::null_mut()),
        }
        Ok(shmx_status::Ok)
    })
}

/// Computes the checksum of the frame in a slot, piece by piece, and tells which frame it was: a `shmx_checksum_state`.
/// SHMX_STATUS_NOTHING if there is none.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_checksum(
    inspector: Option<&shmx_inspector>,
    index: u32,
    frame_id: Out<u64>,
    state: Out<u32>,
) -> shmx_status {
    guard("shmx_inspector_checksum", || {
        let inspector = get(inspector)?;
        state.need("state")?;
        let Some((id, found)) = inspector.checksum_of(index)? else { return Ok(shmx_status::Nothing) };
        put_if_wanted(frame_id, id);
        let found = match found {
            ChecksumState::Verified => shmx_checksum_state::Verified,
            ChecksumState::Mismatch => shmx_checksum_state::Mismatch,
            ChecksumState::Absent => shmx_checksum_state::Absent,
            _ => shmx_checksum_state::Unverified,
        };
        put_if_wanted(state, found as u32);
        Ok(shmx_status::Ok)
    })
}

/// The messages that wait in a reader's control ring, left there.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_peek(
    inspector: Option<&shmx_inspector>,
    reader_index: u32,
    out: Out<*mut shmx_messages>,
) -> shmx_status {
    guard("shmx_inspector_peek", || {
        let inspector = get(inspector)?;
        out.need("out")?;
        let found = inspector.peek_control(reader_index)?;
        hand_out(out, shmx_messages::peeked(reader_index, found));
        Ok(shmx_status::Ok)
    })
}

/// Copies bytes of the region from `offset` on: as many as there is room for and as it has, which `got` tells. Taken
/// while others write.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_read(
    inspector: Option<&shmx_inspector>,
    offset: usize,
    room: Room,
    bytes: usize,
    got: Out<usize>,
) -> shmx_status {
    guard("shmx_inspector_read", || {
        let (inspector, mut room) = (get(inspector)?, room);
        got.need("got")?;
        put_if_wanted(got, inspector.read_at(offset, room.get(bytes, "room")?));
        Ok(shmx_status::Ok)
    })
}

/// Closes and frees an inspector. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one, when no other uses it.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_inspector_free(inspector: Give<shmx_inspector>) {
    guard_value("shmx_inspector_free", (), || drop(inspector.take()));
}
