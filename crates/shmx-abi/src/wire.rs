//! The wire structs as plain data, with every gap spelled out (wire-format.md, section 3).
//!
//! These are snapshots: copy the bytes out of the region, then look at the copy. The live, atomic views of the same
//! bytes are in `shmx-ring`, which asserts its offsets against these structs.

use bytemuck::{Pod, Zeroable};
use core::mem::{align_of, offset_of, size_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first 128 bytes of a region.
///
/// Fields are native-endian; [`GlobalHeader::endianness`] tells a reader of the other byte order to stay away.
/// `ext_*` fields are gaps of the original format that the extension uses; see [`crate::extension`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct GlobalHeader {
    /// [`crate::MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION_MAJOR`].
    pub ver_major: u32,
    /// [`crate::VERSION_MINOR`].
    pub ver_minor: u32,
    /// [`crate::ENDIAN_TAG`].
    pub endianness: u32,
    /// Extension: the feature word, see [`crate::extension::Features`].
    pub ext_features: u32,
    /// Random per server life; a change means that everything read before is void.
    pub session_id: u64,
    /// Counts changes of the stream directory.
    pub static_gen: u32,
    /// Extension: process id of the server, for display only; 0 means not given.
    pub ext_server_pid: u32,
    /// 64-bit hash over the used bytes of the directory; 0 while nothing was ever written.
    pub static_hash: u64,
    /// Start of the static area, in bytes from the start of the region.
    pub static_offset: u32,
    /// Capacity of the static area in bytes.
    pub static_bytes_cap: u32,
    /// Bytes of the static area in use.
    pub static_bytes_used: u32,
    /// Number of frame slots.
    pub slots: u32,
    /// Bytes from one frame slot to the next.
    pub slot_stride: u32,
    /// Start of the frame slots, in bytes from the start of the region.
    pub slots_offset: u32,
    /// Largest payload of a frame in bytes.
    pub frame_bytes_cap: u32,
    /// Number of reader slots.
    pub reader_slots: u32,
    /// Bytes from one reader slot to the next.
    pub reader_slot_stride: u32,
    /// Start of the reader slots, in bytes from the start of the region.
    pub readers_offset: u32,
    /// Start of the control rings, in bytes from the start of the region.
    pub control_offset: u32,
    /// Bytes of one control ring including its two positions.
    pub control_per_reader: u32,
    /// Bytes from one control ring to the next.
    pub control_stride: u32,
    /// Extension: more feature bits and a count of readers that come and go, see [`crate::extension::Features`].
    pub ext_more: u32,
    /// Number of frames published so far; the newest frame's id.
    pub frame_seq: u64,
    /// Sequence number of the newest frame; 0 means none yet.
    pub write_index: u32,
    /// Number of attached readers.
    pub readers_connected: u32,
    /// Highest sequence number handed to a frame under construction.
    pub reserve_index: u32,
    /// Extension: the doorbell, see `docs/wire-format.md`.
    pub ext_doorbell: u32,
}

/// The 64 bytes in front of a frame's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct FrameHeader {
    /// The session that wrote the frame.
    pub session_id_copy: u64,
    /// Counts published frames from 1; 0 means the slot holds no frame.
    pub frame_id: u64,
    /// The producer's own time for the frame; unit and origin are the producer's.
    pub sim_time: f64,
    /// Bytes of the payload including the padding of its TLVs; 0 means the slot holds no frame.
    pub payload_bytes: u32,
    /// Number of TLVs in the payload.
    pub tlv_count: u32,
    /// 32-bit hash of the payload, see [`crate::hash::checksum32`].
    pub checksum: u32,
    /// Extension: low half of the publish time, see [`crate::extension::PublishTime`]; 0 means not given.
    pub ext_publish_time: u32,
    /// Extension: lease bits of reader slots 0 to 63.
    pub ext_lease_lo: u64,
    /// Extension: lease bits of reader slots 64 to 127.
    pub ext_lease_hi: u64,
    /// Extension: the stamp, the slot's seqlock word; even is stable, odd is being written. See
    /// [`crate::extension::FrameMarks`] for its high bits.
    pub ext_stamp: u64,
}

/// One reader's 64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct ReaderSlot {
    /// Random per attachment; 0 while free.
    pub reader_id: u64,
    /// Clock ticks (nanoseconds) of the reader's last sign of life; 0 until the first one.
    pub heartbeat: u64,
    /// Id of the last frame the reader took.
    pub last_frame_seen: u64,
    /// 0 free, otherwise taken.
    pub in_use: u32,
    /// Extension: process id of the reader; believed only while the tag matches.
    pub ext_pid: u32,
    /// Extension: equals `reader_id` while the owner holds its liveness lock, see [`crate::extension`].
    pub ext_tag: u64,
    /// Extension: frames delivered to the reader.
    pub ext_delivered: u64,
    /// Extension: frames published while attached that the reader never took.
    pub ext_missed: u64,
    /// Extension: frames rejected by the reader (low 48 bits) and its state flags (high 16 bits).
    pub ext_rejected_flags: u64,
}

/// Type and length of a TLV record; the body follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TlvHeader {
    /// What the body is.
    pub ty: u32,
    /// Bytes of the body alone.
    pub length: u32,
}

/// Fixed part of a directory entry; the name and the extra bytes follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StaticStreamDesc {
    /// The stream's number, unique within the region.
    pub stream_id: u32,
    /// See [`crate::ElementType`].
    pub element_type: u32,
    /// Components of one element.
    pub components: u32,
    /// See [`crate::ElementLayout`].
    pub layout: u32,
    /// Bytes of one whole element, all components included.
    pub bytes_per_elem: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of application data behind the name.
    pub extra_len: u32,
}

/// Fixed part of one stream's data in a frame; the data follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct FrameStreamHeader {
    /// The stream the data belongs to.
    pub stream_id: u32,
    /// Number of elements.
    pub elem_count: u32,
    /// Bytes of data.
    pub bytes_payload: u32,
    /// Zero.
    pub reserved: u32,
}

macro_rules! assert_layout {
    ($ty:ty, size $size:expr, align $align:expr, { $($field:ident @ $at:expr),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$ty>() == $size);
            assert!(align_of::<$ty>() == $align);
            $( assert!(offset_of!($ty, $field) == $at); )*
        };
    };
}

assert_layout!(GlobalHeader, size 128, align 64, {
    magic @ 0, ver_major @ 8, ver_minor @ 12, endianness @ 16, ext_features @ 20, session_id @ 24, static_gen @ 32,
    ext_server_pid @ 36, static_hash @ 40, static_offset @ 48, static_bytes_cap @ 52, static_bytes_used @ 56,
    slots @ 60, slot_stride @ 64, slots_offset @ 68, frame_bytes_cap @ 72, reader_slots @ 76,
    reader_slot_stride @ 80, readers_offset @ 84, control_offset @ 88, control_per_reader @ 92, control_stride @ 96,
    ext_more @ 100, frame_seq @ 104, write_index @ 112, readers_connected @ 116, reserve_index @ 120,
    ext_doorbell @ 124,
});
assert_layout!(FrameHeader, size 64, align 64, {
    session_id_copy @ 0, frame_id @ 8, sim_time @ 16, payload_bytes @ 24, tlv_count @ 28, checksum @ 32,
    ext_publish_time @ 36, ext_lease_lo @ 40, ext_lease_hi @ 48, ext_stamp @ 56,
});
assert_layout!(ReaderSlot, size 64, align 64, {
    reader_id @ 0, heartbeat @ 8, last_frame_seen @ 16, in_use @ 24, ext_pid @ 28, ext_tag @ 32, ext_delivered @ 40,
    ext_missed @ 48, ext_rejected_flags @ 56,
});
assert_layout!(TlvHeader, size 8, align 4, { ty @ 0, length @ 4 });
assert_layout!(StaticStreamDesc, size 32, align 4, {
    stream_id @ 0, element_type @ 4, components @ 8, layout @ 12, bytes_per_elem @ 16, reserved @ 20, name_len @ 24,
    extra_len @ 28,
});
assert_layout!(FrameStreamHeader, size 16, align 4, { stream_id @ 0, elem_count @ 4, bytes_payload @ 8, reserved @ 12 });

/// Copies a wire struct out of `bytes` at `offset`; `None` if it would run past the end. No alignment is needed.
#[must_use]
pub fn read_at<T: FromBytes>(bytes: &[u8], offset: usize) -> Option<T> {
    let end = offset.checked_add(size_of::<T>())?;
    T::read_from_bytes(bytes.get(offset..end)?).ok()
}
