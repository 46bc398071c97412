//! Frames as C sees them: plain views, and the streams in them.

use crate::args::{Bytes, Fill, In, Out, Place, Versioned, put};
use crate::status::{Fault, guard, shmx_status};
use shmx::abi::frame::{DATA_OFFSET, StreamData, Streams};
use shmx::abi::wire::{FrameStreamHeader, TlvHeader};
use shmx::abi::{TLV_ALIGN, TLV_FRAME_STREAM};
use shmx::{ChecksumState, Frame, OwnedFrame};
use std::mem::offset_of;

/// What is known about a frame's checksum.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_checksum_state {
    /// Not computed: wholeness was proven otherwise, or the reader does not want it.
    Unverified = 0,
    /// Computed and right.
    Verified = 1,
    /// Computed and wrong; only inspectors hand out such a frame.
    Mismatch = 2,
    /// The producer wrote none. That is no damage.
    Absent = 3,
}

/// A frame that a reader lends, or that a `shmx_frame` holds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_view {
    /// sizeof(shmx_view).
    pub size: usize,
    /// Records of streams; see shmx_view_stream.
    pub payload: Bytes,
    /// Bytes of it.
    pub bytes: usize,
    /// Id of the frame: 1 for the first one published, one more for each.
    pub frame_id: u64,
    /// Session that wrote it.
    pub session_id: u64,
    /// The producer's own time.
    pub sim_time: f64,
    /// Frames that the reader missed since the one before.
    pub missed_before: u64,
    /// Slot that it lies or lay in.
    pub slot: u32,
    /// Number of records, as the producer counted them.
    pub tlv_count: u32,
    /// The checksum that the producer wrote; 0 if it wrote none.
    pub checksum: u32,
    /// What is known of it: a `shmx_checksum_state`.
    pub checksum_state: u32,
    /// Whether the payload lies in shared memory, under a lease.
    pub leased: u32,
    /// Number of the lending, for shmx_client_release; 0 of a frame that is kept.
    pub lend: u32,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers, floats and pointers only.
unsafe impl Versioned for shmx_view {
    const FIRST: usize = size_of::<Self>();
}

/// What a view begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Head {
    size: usize,
    payload: Bytes,
    bytes: usize,
}

// SAFETY: `repr(C)`, begins with a `usize`, an integer and a pointer only.
unsafe impl Versioned for Head {
    const FIRST: usize = size_of::<Self>();
}

const _: () = assert!(offset_of!(Head, bytes) == offset_of!(shmx_view, bytes));

fn payload(view: &In<shmx_view>) -> Result<&[u8], Fault> {
    let head: &Head = view.first("view")?;
    head.payload.get(head.bytes, "view.payload")
}

/// What each field of a view is; `$put` gets its name and its value.
macro_rules! fields {
    ($frame:expr, $lend:expr, $put:ident) => {
        let (frame, payload) = ($frame, $frame.payload());
        let checksum = frame.stored_checksum().unwrap_or(0);
        let state = match frame.checksum() {
            ChecksumState::Verified => shmx_checksum_state::Verified,
            ChecksumState::Mismatch => shmx_checksum_state::Mismatch,
            ChecksumState::Absent => shmx_checksum_state::Absent,
            _ => shmx_checksum_state::Unverified,
        };
        $put!(checksum, checksum);
        $put!(checksum_state, state as u32);
        $put!(payload, Bytes::of(payload));
        $put!(bytes, payload.len());
        $put!(frame_id, frame.frame_id());
        $put!(session_id, frame.session_id());
        $put!(sim_time, frame.sim_time());
        $put!(missed_before, frame.missed_before());
        $put!(slot, frame.slot());
        $put!(tlv_count, frame.tlv_count());
        $put!(leased, u32::from(frame.is_leased()));
        $put!(lend, $lend);
    };
}

impl shmx_view {
    const NONE: Self = Self {
        size: size_of::<Self>(),
        payload: Bytes::of(&[]),
        bytes: 0,
        frame_id: 0,
        session_id: 0,
        sim_time: 0.0,
        missed_before: 0,
        slot: 0,
        tlv_count: 0,
        checksum: 0,
        checksum_state: 0,
        leased: 0,
        lend: 0,
    };

    /// Writes what is known of a frame that was lent to where the caller wants it.
    #[inline]
    pub(crate) fn put_lent(place: Place<Self>, frame: &Frame<'_>, lend: u32) {
        let Some(view) = place.whole() else { return Self::put_part(place, frame, lend) };
        macro_rules! put {
            ($field:ident, $value:expr) => {
                view.put(offset_of!(Self, $field), $value)
            };
        }
        fields!(frame, lend, put);
    }

    /// The same for a caller that knows another version.
    #[cold]
    #[inline(never)]
    fn put_part(place: Place<Self>, frame: &Frame<'_>, lend: u32) {
        let mut view = Self::NONE;
        macro_rules! put {
            ($field:ident, $value:expr) => {
                view.$field = $value
            };
        }
        fields!(frame, lend, put);
        place.fill(view);
    }

    pub(crate) fn of_kept(frame: &OwnedFrame) -> Self {
        let mut view = Self::NONE;
        macro_rules! put {
            ($field:ident, $value:expr) => {
                view.$field = $value
            };
        }
        fields!(frame, 0, put);
        view
    }
}

/// The data of a stream in a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_data {
    /// Number of the stream.
    pub stream_id: u32,
    /// Elements, as the producer counted them.
    pub elem_count: u32,
    /// The bytes, aligned to 8; valid as long as the view.
    pub data: Bytes,
    /// How many.
    pub bytes: usize,
}

impl shmx_data {
    const fn of(s: StreamData<'_>) -> Self {
        Self { stream_id: s.stream_id, elem_count: s.elem_count, data: Bytes::of(s.data), bytes: s.data.len() }
    }
}

/// Type of the records that hold a stream.
pub const SHMX_RECORD_STREAM: u32 = 0x2000;

/// Records of a payload begin at multiples of this.
pub const SHMX_RECORD_ALIGN: u32 = 16;

/// What the record of a stream begins with in a payload (docs/wire-format.md, 5.3); the data follow. For programs that
/// walk over a payload themselves: another process may have written it, and may still write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_record {
    /// SHMX_RECORD_STREAM; a record of another type has only its `length` in common with these.
    pub record_type: u32,
    /// Bytes of the record that follow this field.
    pub length: u32,
    /// Number of the stream.
    pub stream_id: u32,
    /// Elements, as the producer counted them.
    pub elem_count: u32,
    /// Bytes of data.
    pub bytes: u32,
    /// 0.
    pub reserved: u32,
}

// The header has numbers of its own, and they are those of the format.
const _: () = {
    const HEAD: usize = size_of::<TlvHeader>();
    assert!(SHMX_RECORD_STREAM == TLV_FRAME_STREAM && SHMX_RECORD_ALIGN == TLV_ALIGN);
    assert!(offset_of!(shmx_record, record_type) == offset_of!(TlvHeader, ty));
    assert!(offset_of!(shmx_record, length) == offset_of!(TlvHeader, length));
    assert!(offset_of!(shmx_record, stream_id) == HEAD + offset_of!(FrameStreamHeader, stream_id));
    assert!(offset_of!(shmx_record, elem_count) == HEAD + offset_of!(FrameStreamHeader, elem_count));
    assert!(offset_of!(shmx_record, bytes) == HEAD + offset_of!(FrameStreamHeader, bytes_payload));
    assert!(offset_of!(shmx_record, reserved) == HEAD + offset_of!(FrameStreamHeader, reserved));
    assert!(size_of::<shmx_record>() == DATA_OFFSET as usize);
};

/// Finds a stream in a frame by its number; SHMX_STATUS_NOTHING if the frame does not carry it.
///
/// The view is one that this library filled, and still valid. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_view_stream(view: In<shmx_view>, stream_id: u32, out: Out<shmx_data>) -> shmx_status {
    guard("shmx_view_stream", || {
        for stream in Streams::new(payload(&view)?) {
            let stream = stream?;
            if stream.stream_id == stream_id {
                put(out, "out", shmx_data::of(stream))?;
                return Ok(shmx_status::Ok);
            }
        }
        Ok(shmx_status::Nothing)
    })
}

/// Stream number `index` of a frame, in the order in which they were appended; SHMX_STATUS_NOTHING past the last one.
///
/// The view is one that this library filled, and still valid. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_view_at(view: In<shmx_view>, index: usize, out: Out<shmx_data>) -> shmx_status {
    guard("shmx_view_at", || match Streams::new(payload(&view)?).nth(index) {
        Some(stream) => put(out, "out", shmx_data::of(stream?)).map(|()| shmx_status::Ok),
        None => Ok(shmx_status::Nothing),
    })
}

/// Checked before a frame is taken for it.
#[inline]
pub(crate) fn place(view: Fill<shmx_view>) -> Result<Place<shmx_view>, Fault> {
    view.check("view")
}
