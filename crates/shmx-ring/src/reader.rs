//! A reader's side of the frame slot ring: find a frame, read it by copy or by lease.

use crate::bytes::copy_out;
use crate::load;
use crate::sync::{Ordering, fence, sc_access_fence};
use crate::view::{Slot, Slots};

/// Lease bits per slot: readers with a higher index read by copy.
pub const LEASABLE_READERS: u32 = 128;

/// The header of a frame as a reader found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameSnapshot {
    /// The stamp under which it was read.
    pub stamp: u64,
    /// The session that wrote the frame.
    pub session_id: u64,
    /// The frame's id.
    pub frame_id: u64,
    /// Bits of the producer's time.
    pub sim_time_bits: u64,
    /// Bytes of the payload, not yet checked against anything.
    pub payload_bytes: u32,
    /// Records of the payload.
    pub tlv_count: u32,
    /// Hash of the payload.
    pub checksum: u32,
    /// Publish time; 0 means none.
    pub publish_time: u32,
}

/// The slot is being written, or was written while it was read. Look for the newest frame again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed;

/// The newest frame's sequence number, 0 while there is none. `[P4 newest]`
#[inline]
pub fn newest<S: Slots>(slots: &S) -> u32 {
    // R0, relaxed load and acquire fence: an acquire load would do, but only a relaxed one is guaranteed to work on
    // memory that is mapped read-only.
    let number = slots.header().write_index.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    number
}

/// Number of frames published so far.
#[inline]
pub fn published<S: Slots>(slots: &S) -> u64 {
    let id = load::count(&slots.header().frame_seq);
    fence(Ordering::Acquire);
    id
}

/// Reads a frame's header. Valid only together with a later [`validate`] or a lease under the same stamp.
///
/// # Errors
///
/// [`Disturbed`] while the slot is being written.
#[inline]
pub fn begin(slot: Slot<'_>) -> Result<FrameSnapshot, Disturbed> {
    let mut seen = FrameSnapshot::default();
    begin_into(slot, &mut seen).map(|()| seen)
}

/// [`begin`] into memory where the header stays: moving it costs more than reading it.
///
/// # Errors
///
/// [`Disturbed`] while the slot is being written.
#[inline]
pub fn begin_into(slot: Slot<'_>, seen: &mut FrameSnapshot) -> Result<(), Disturbed> {
    // R1 [P1 slot-published], relaxed and fence for the same reason as in `newest`.
    let stamp = load::count(&slot.head.ext_stamp);
    fence(Ordering::Acquire);
    if stamp % 2 == 1 {
        return Err(Disturbed);
    }
    snapshot(slot, stamp, seen);
    Ok(())
}

/// Like [`begin`] for a region whose server writes no stamps: whatever stands in their place is padding.
#[must_use]
pub fn begin_unstamped(slot: Slot<'_>) -> FrameSnapshot {
    let mut seen = FrameSnapshot::default();
    let padding = load::count(&slot.head.ext_stamp);
    snapshot(slot, padding, &mut seen);
    seen
}

#[inline]
pub(crate) fn snapshot(slot: Slot<'_>, stamp: u64, into: &mut FrameSnapshot) {
    let h = slot.head;
    into.stamp = stamp;
    // The length first: a writer without stamps stores it before the id, so a length read before an id that then
    // proves unchanged belongs to that frame. Words, whose halves belong together where `is_unchanged` says so.
    into.payload_bytes = h.payload_bytes.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    into.session_id = load::word(&h.session_id_copy);
    into.frame_id = load::word(&h.frame_id);
    into.sim_time_bits = load::word(&h.sim_time);
    into.tlv_count = h.tlv_count.load(Ordering::Relaxed);
    into.checksum = h.checksum.load(Ordering::Relaxed);
    into.publish_time = h.ext_publish_time.load(Ordering::Relaxed);
}

/// Whether the header, the stamp left aside, still is what was read.
#[inline]
fn is_unchanged(slot: Slot<'_>, seen: &FrameSnapshot) -> bool {
    let h = slot.head;
    // The length first, as in `snapshot`.
    let same_length = h.payload_bytes.load(Ordering::Relaxed) == seen.payload_bytes;
    fence(Ordering::Acquire);
    same_length
        && load::word(&h.session_id_copy) == seen.session_id
        && load::word(&h.frame_id) == seen.frame_id
        && load::word(&h.sim_time) == seen.sim_time_bits
        && h.tlv_count.load(Ordering::Relaxed) == seen.tlv_count
        && h.checksum.load(Ordering::Relaxed) == seen.checksum
        && h.ext_publish_time.load(Ordering::Relaxed) == seen.publish_time
}

/// Whether nothing was written to the slot since [`begin`]: what was copied in between is whole. `[P2 torn]`
///
/// # Errors
///
/// [`Disturbed`]: throw away what was copied.
#[inline]
pub fn validate(slot: Slot<'_>, seen: &FrameSnapshot) -> Result<(), Disturbed> {
    // R5. Acquire: the copies above stay before the load of the stamp.
    fence(Ordering::Acquire);
    if load::count(&slot.head.ext_stamp) == seen.stamp && is_unchanged(slot, seen) { Ok(()) } else { Err(Disturbed) }
}

/// Copies the payload, as many bytes as `dst` has, and validates.
///
/// # Errors
///
/// [`Disturbed`]: `dst` holds garbage then.
#[inline]
pub fn copy_payload(slot: Slot<'_>, seen: &FrameSnapshot, dst: &mut [u8]) -> Result<(), Disturbed> {
    copy_out(slot.payload, dst);
    validate(slot, seen)
}

/// The same for the part of the payload that begins at word `from`, of eight bytes: what was copied is the frame's, even
/// if a later part turns out not to be.
///
/// # Errors
///
/// [`Disturbed`]: `dst` holds garbage then.
pub fn copy_part(slot: Slot<'_>, seen: &FrameSnapshot, from: usize, dst: &mut [u8]) -> Result<(), Disturbed> {
    copy_out(slot.payload.get(from..).unwrap_or_default(), dst);
    validate(slot, seen)
}

/// Sets the lease bit of reader `index` on a slot and makes sure that it holds. `[P3 lease-or-claim]`
///
/// While the bit is set no writer of ours touches the slot. The bit says nothing of how many leases the reader has
/// on the slot; a reader with several counts them itself.
///
/// # Errors
///
/// [`Disturbed`] when a writer was faster; the bit is clear then. Also for an `index` without a bit.
#[inline]
pub fn lease(slot: Slot<'_>, index: u32) -> Result<FrameSnapshot, Disturbed> {
    let mut seen = FrameSnapshot::default();
    lease_into(slot, index, &mut seen).map(|()| seen)
}

/// [`lease`] with the header into memory where it stays.
///
/// # Errors
///
/// As for [`lease`].
#[inline]
pub fn lease_into(slot: Slot<'_>, index: u32, seen: &mut FrameSnapshot) -> Result<(), Disturbed> {
    // R1. Relaxed: R3 says whether this was still true, and orders what follows.
    let stamp = slot.head.ext_stamp.load(Ordering::Relaxed);
    if stamp % 2 == 1 {
        return Err(Disturbed);
    }
    set_lease(slot, index, stamp)?;
    snapshot(slot, stamp, seen);
    Ok(())
}

/// Sets the lease bit of reader `index`, if the slot has this stamp.
#[inline]
pub(crate) fn set_lease(slot: Slot<'_>, index: u32, stamp: u64) -> Result<(), Disturbed> {
    let (word, bit) = lease_bit(index).ok_or(Disturbed)?;
    // R2 [P3 lease-or-claim]. SeqCst, see W1.
    slot.head.ext_lease[word].fetch_or(bit, Ordering::SeqCst);
    sc_access_fence();
    // R3 [P3 lease-or-claim]. SeqCst, which includes Acquire: the frame is read after it; pairs with W5 too.
    if slot.head.ext_stamp.load(Ordering::SeqCst) != stamp {
        slot.head.ext_lease[word].fetch_and(!bit, Ordering::Release);
        return Err(Disturbed);
    }
    Ok(())
}

/// Clears the lease bit of reader `index`; the content must not be looked at any more.
#[inline]
pub fn end_lease(slot: Slot<'_>, index: u32) {
    if let Some((word, bit)) = lease_bit(index) {
        // R6. Release: what was read stays before the overwrite by the writer that sees the bit clear.
        slot.head.ext_lease[word].fetch_and(!bit, Ordering::Release);
    }
}

/// The readers that lease a slot, as bits.
pub fn leases(slot: Slot<'_>) -> u128 {
    let [lo, hi] = &slot.head.ext_lease;
    u128::from(load::word(lo)) | u128::from(load::word(hi)) << 64
}

#[inline]
const fn lease_bit(index: u32) -> Option<(usize, u64)> {
    if index < LEASABLE_READERS { Some((index as usize / 64, 1 << (index % 64))) } else { None }
}
