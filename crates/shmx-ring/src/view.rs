//! The wire structs as live atomics, and the checked casts that lay them over shared bytes.
//!
//! Every field another process may write is an atomic, so a concurrent write is a race between atomics and never
//! undefined behaviour. Offsets are asserted against `shmx-abi` at compile time. Each `load` copies a struct field by
//! field, in the fields' own widths: copied byte by byte, a counter that goes from 0x00FF to 0x0100 may read as 0x01FF.
//!
//! ```
//! use shmx_ring::sync::Ordering;
//! use shmx_ring::view::HeaderView;
//!
//! let header = HeaderView::new();
//! header.frame_seq.store(0x100, Ordering::Relaxed);
//! assert_eq!(header.load().frame_seq, 0x100);
//! ```

use crate::load;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use shmx_abi::wire::{FrameHeader, GlobalHeader, ReaderSlot};

/// Live view of [`shmx_abi::GlobalHeader`].
#[derive(Debug)]
#[repr(C, align(64))]
#[allow(missing_docs)] // the fields are documented on the plain struct
pub struct HeaderView {
    pub magic: AtomicU64,
    pub ver_major: AtomicU32,
    pub ver_minor: AtomicU32,
    pub endianness: AtomicU32,
    pub ext_features: AtomicU32,
    pub session_id: AtomicU64,
    pub static_gen: AtomicU32,
    pub ext_server_pid: AtomicU32,
    pub static_hash: AtomicU64,
    pub static_offset: AtomicU32,
    pub static_bytes_cap: AtomicU32,
    pub static_bytes_used: AtomicU32,
    pub slots: AtomicU32,
    pub slot_stride: AtomicU32,
    pub slots_offset: AtomicU32,
    pub frame_bytes_cap: AtomicU32,
    pub reader_slots: AtomicU32,
    pub reader_slot_stride: AtomicU32,
    pub readers_offset: AtomicU32,
    pub control_offset: AtomicU32,
    pub control_per_reader: AtomicU32,
    pub control_stride: AtomicU32,
    pub ext_more: AtomicU32,
    pub frame_seq: AtomicU64,
    pub write_index: AtomicU32,
    pub readers_connected: AtomicU32,
    pub reserve_index: AtomicU32,
    pub ext_doorbell: AtomicU32,
}

/// Live view of [`shmx_abi::FrameHeader`].
#[derive(Debug)]
#[repr(C, align(64))]
#[allow(missing_docs)]
pub struct FrameView {
    pub session_id_copy: AtomicU64,
    pub frame_id: AtomicU64,
    pub sim_time: AtomicU64,
    pub payload_bytes: AtomicU32,
    pub tlv_count: AtomicU32,
    pub checksum: AtomicU32,
    pub ext_publish_time: AtomicU32,
    pub ext_lease: [AtomicU64; 2],
    pub ext_stamp: AtomicU64,
}

/// Live view of [`shmx_abi::ReaderSlot`].
#[derive(Debug)]
#[repr(C, align(64))]
#[allow(missing_docs)]
pub struct ReaderView {
    pub reader_id: AtomicU64,
    pub heartbeat: AtomicU64,
    pub last_frame_seen: AtomicU64,
    pub in_use: AtomicU32,
    pub ext_pid: AtomicU32,
    pub ext_tag: AtomicU64,
    pub ext_delivered: AtomicU64,
    pub ext_missed: AtomicU64,
    pub ext_rejected_flags: AtomicU64,
}

/// The two positions in front of a control ring's data.
#[derive(Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct ControlHead {
    pub read: AtomicU64,
    pub write: AtomicU64,
}

/// The positions of a control ring at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlPositions {
    /// The receiver's.
    pub read: u64,
    /// The sender's.
    pub write: u64,
}

macro_rules! fields {
    ($ty:ident { $($field:ident : $new:expr),* $(,)? }) => {
        impl $ty {
            /// A view of its own, all zero; for models and tests.
            #[must_use]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self { $($field: $new),* }
            }
        }
    };
    ($ty:ident as $plain:ident { $($field:ident : $new:expr),* $(,)? }) => {
        fields!($ty { $($field: $new),* });
        impl $ty {
            /// A copy of the fields, each loaded once and whole, relaxed. They may be of different moments.
            #[must_use]
            pub fn load(&self) -> $plain {
                $plain { $($field: Load::load_whole(&self.$field)),* }
            }
        }
    };
}
/// A field's value, loaded in a way that suits its width and read-only mappings.
trait Load {
    type Value;
    fn load_whole(&self) -> Self::Value;
}

impl Load for AtomicU32 {
    type Value = u32;
    fn load_whole(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }
}

impl Load for AtomicU64 {
    type Value = u64;
    fn load_whole(&self) -> u64 {
        load::count(self)
    }
}

fn a32() -> AtomicU32 {
    AtomicU32::new(0)
}
fn a64() -> AtomicU64 {
    AtomicU64::new(0)
}
fields!(HeaderView as GlobalHeader {
    magic: a64(),
    ver_major: a32(),
    ver_minor: a32(),
    endianness: a32(),
    ext_features: a32(),
    session_id: a64(),
    static_gen: a32(),
    ext_server_pid: a32(),
    static_hash: a64(),
    static_offset: a32(),
    static_bytes_cap: a32(),
    static_bytes_used: a32(),
    slots: a32(),
    slot_stride: a32(),
    slots_offset: a32(),
    frame_bytes_cap: a32(),
    reader_slots: a32(),
    reader_slot_stride: a32(),
    readers_offset: a32(),
    control_offset: a32(),
    control_per_reader: a32(),
    control_stride: a32(),
    ext_more: a32(),
    frame_seq: a64(),
    write_index: a32(),
    readers_connected: a32(),
    reserve_index: a32(),
    ext_doorbell: a32(),
});
fields!(FrameView {
    session_id_copy: a64(),
    frame_id: a64(),
    sim_time: a64(),
    payload_bytes: a32(),
    tlv_count: a32(),
    checksum: a32(),
    ext_publish_time: a32(),
    ext_lease: [a64(), a64()],
    ext_stamp: a64(),
});
fields!(ReaderView as ReaderSlot {
    reader_id: a64(),
    heartbeat: a64(),
    last_frame_seen: a64(),
    in_use: a32(),
    ext_pid: a32(),
    ext_tag: a64(),
    ext_delivered: a64(),
    ext_missed: a64(),
    ext_rejected_flags: a64(),
});
fields!(ControlHead { read: a64(), write: a64() });

impl FrameView {
    /// A copy of the fields, each loaded once and whole, relaxed. They may be of different moments; a frame's header in
    /// one piece is what [`reader::begin`](crate::reader::begin) reads.
    #[must_use]
    pub fn load(&self) -> FrameHeader {
        let [lo, hi] = &self.ext_lease;
        FrameHeader {
            session_id_copy: load::count(&self.session_id_copy),
            frame_id: load::count(&self.frame_id),
            sim_time: f64::from_bits(load::count(&self.sim_time)),
            payload_bytes: self.payload_bytes.load(Ordering::Relaxed),
            tlv_count: self.tlv_count.load(Ordering::Relaxed),
            checksum: self.checksum.load(Ordering::Relaxed),
            ext_publish_time: self.ext_publish_time.load(Ordering::Relaxed),
            ext_lease_lo: load::word(lo),
            ext_lease_hi: load::word(hi),
            ext_stamp: load::count(&self.ext_stamp),
        }
    }
}

impl ControlHead {
    /// The two positions. The read position is loaded first, and follows the other, so that their difference is never
    /// too large on account of the moments; what was sent before the write position may be read afterwards.
    #[must_use]
    pub fn load(&self) -> ControlPositions {
        let read = load::count(&self.read);
        // Acquire: the loads stay in order.
        fence(Ordering::Acquire);
        let write = load::count(&self.write);
        // Acquire, pairs with the Release stores of the sender: who sees the position sees the messages.
        fence(Ordering::Acquire);
        ControlPositions { read, write }
    }
}

#[cfg(not(loom))]
pub use mapped::{View, cast, words};

/// One frame slot: its header and its payload area in words of eight bytes.
///
/// The payload area has at least `frame_bytes_cap` bytes, rounded up to whole words.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The header.
    pub head: &'a FrameView,
    /// The payload.
    pub payload: &'a [AtomicU64],
}

/// Where a ring finds its slots: a mapping, a boxed buffer, or a model.
pub trait Slots {
    /// The region's header.
    fn header(&self) -> &HeaderView;
    /// Number of slots, at least 1 and the same at every call.
    fn slot_count(&self) -> u32;
    /// Slot `index`, below [`Slots::slot_count`].
    fn slot(&self, index: u32) -> Slot<'_>;
}

impl<S: Slots> Slots for &S {
    fn header(&self) -> &HeaderView {
        (**self).header()
    }
    fn slot_count(&self) -> u32 {
        (**self).slot_count()
    }
    fn slot(&self, index: u32) -> Slot<'_> {
        (**self).slot(index)
    }
}

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod mapped {
    use super::{ControlHead, FrameView, HeaderView, ReaderView};
    use core::mem::{align_of, offset_of, size_of};
    use core::sync::atomic::{AtomicU8, AtomicU64};
    use shmx_abi::wire;

    mod sealed {
        pub trait Sealed {}
    }

    /// A struct made of atomics alone, without padding.
    pub trait View: sealed::Sealed {}

    macro_rules! view {
        ($($ty:ty),*) => { $( impl sealed::Sealed for $ty {} impl View for $ty {} )* };
    }
    view!(HeaderView, FrameView, ReaderView, ControlHead);

    macro_rules! same_layout {
        ($view:ty, $plain:ty, { $($a:ident = $b:ident),* $(,)? }) => {
            const _: () = {
                assert!(size_of::<$view>() == size_of::<$plain>());
                assert!(align_of::<$view>() == align_of::<$plain>());
                $( assert!(offset_of!($view, $a) == offset_of!($plain, $b)); )*
            };
        };
    }
    same_layout!(HeaderView, wire::GlobalHeader, {
        magic = magic, endianness = endianness, ext_features = ext_features, session_id = session_id,
        static_gen = static_gen, static_hash = static_hash, static_offset = static_offset,
        static_bytes_used = static_bytes_used, slots = slots, frame_bytes_cap = frame_bytes_cap,
        control_stride = control_stride, ext_more = ext_more, frame_seq = frame_seq, write_index = write_index,
        readers_connected = readers_connected, reserve_index = reserve_index, ext_doorbell = ext_doorbell,
    });
    same_layout!(FrameView, wire::FrameHeader, {
        session_id_copy = session_id_copy, frame_id = frame_id, sim_time = sim_time, payload_bytes = payload_bytes,
        tlv_count = tlv_count, checksum = checksum, ext_publish_time = ext_publish_time,
        ext_lease = ext_lease_lo, ext_stamp = ext_stamp,
    });
    same_layout!(ReaderView, wire::ReaderSlot, {
        reader_id = reader_id, heartbeat = heartbeat, last_frame_seen = last_frame_seen, in_use = in_use,
        ext_pid = ext_pid, ext_tag = ext_tag, ext_delivered = ext_delivered, ext_missed = ext_missed,
        ext_rejected_flags = ext_rejected_flags,
    });

    /// Lays a view over the bytes at `offset`; `None` if they end before it does or are not aligned for it.
    ///
    /// # Safety
    ///
    /// What makes access to `bytes` sound goes for the view too (`shmx_os::Region::bytes` has the terms for a mapping).
    /// Beyond that, no thread of this process accesses the same bytes at the same address in another width while one
    /// uses the view, unless both only load, or something else puts the accesses in order: to the language, atomic
    /// accesses of different widths race like plain ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use shmx_ring::sync::{AtomicU8, Ordering};
    /// use shmx_ring::view::{ControlHead, cast};
    ///
    /// #[repr(align(8))]
    /// struct Memory([AtomicU8; 16]);
    /// let memory = Memory(std::array::from_fn(|i| AtomicU8::new(u8::from(i == 8))));
    /// // SAFETY: nobody else has the memory, and it is used through the view alone.
    /// let head = unsafe { cast::<ControlHead>(&memory.0, 0) }.expect("it is aligned and long enough");
    /// assert_eq!(head.write.load(Ordering::Relaxed).to_le(), 1);
    /// ```
    ///
    /// ```compile_fail,E0133
    /// fn header(bytes: &[shmx_ring::sync::AtomicU8]) -> Option<&shmx_ring::view::HeaderView> {
    ///     shmx_ring::view::cast(bytes, 0)
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub unsafe fn cast<T: View>(bytes: &[AtomicU8], offset: usize) -> Option<&T> {
        let part = bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        let ptr = part.as_ptr().cast::<T>();
        if !ptr.is_aligned() {
            return None;
        }
        // SAFETY: `part` covers size_of::<T>() bytes for the life of the borrow and `ptr` is aligned. T is sealed to
        // structs made of atomics alone, valid for every bit pattern, and both types are interior-mutable, so shared
        // references to the same bytes may coexist. The caller answers for the accesses.
        Some(unsafe { &*ptr })
    }

    /// Lays words of eight bytes over `len` bytes at `offset`; `None` if out of range, not aligned, or `len` is not a
    /// multiple of eight.
    ///
    /// # Safety
    ///
    /// As for [`cast`].
    #[must_use]
    #[inline]
    pub unsafe fn words(bytes: &[AtomicU8], offset: usize, len: usize) -> Option<&[AtomicU64]> {
        let part = bytes.get(offset..offset.checked_add(len)?)?;
        let ptr = part.as_ptr().cast::<AtomicU64>();
        if !ptr.is_aligned() || !len.is_multiple_of(size_of::<AtomicU64>()) {
            return None;
        }
        // SAFETY: `part` covers `len` bytes, which is a whole number of words, for the life of the borrow; `ptr` is
        // aligned; atomics are valid for every bit pattern and interior-mutable. The caller answers for the accesses.
        Some(unsafe { core::slice::from_raw_parts(ptr, len / size_of::<AtomicU64>()) })
    }
}
