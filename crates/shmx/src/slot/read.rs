//! The one way to a frame in a slot: by copy or under a lease, and checked before anybody sees it.

use crate::error::ReadError;
use crate::region::{Backing, Mapped};
use shmx_abi::extension::Features;
use shmx_abi::{RegionLayout, hash};
use shmx_ring::hold::Refused;
use shmx_ring::reader::{self, Disturbed, FrameSnapshot};
use shmx_ring::sync::{Ordering, fence};
use shmx_ring::view::{Slot, Slots};

/// The frame that was read last. It lies in one place from reading it on: moving it about takes longer than reading it.
#[derive(Debug, Default)]
pub(crate) struct Current {
    pub(crate) meta: FrameSnapshot,
    pub(crate) slot: u32,
    pub(crate) sum: Sum,
    /// Frames missed between the one delivered before and this one.
    pub(crate) missed_before: u64,
}

/// What came of comparing the checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sum {
    #[default]
    NotCompared,
    Right,
    Wrong,
}

/// Why there is no frame.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The slot is being written or was while we read.
    Disturbed,
    /// The slot holds no frame.
    Empty,
    Error(ReadError),
}

impl From<Disturbed> for Miss {
    fn from(_: Disturbed) -> Self {
        Self::Disturbed
    }
}

impl From<Refused> for Miss {
    fn from(_: Refused) -> Self {
        Self::Disturbed
    }
}

/// What a frame must be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) session_id: u64,
    pub(crate) features: Features,
    /// Whether its checksum is compared, if it has one.
    pub(crate) verify: bool,
}

/// Attempts at finding a frame.
pub(crate) const ATTEMPTS: u32 = 64;

#[inline]
pub(crate) fn check_meta(meta: &FrameSnapshot, session_id: u64, layout: &RegionLayout) -> Result<(), Miss> {
    if meta.payload_bytes == 0 {
        return Err(Miss::Empty);
    }
    let capacity = layout.frame_bytes_cap();
    if meta.payload_bytes > capacity {
        return Err(Miss::Error(ReadError::Oversize { payload_bytes: meta.payload_bytes, capacity }));
    }
    if meta.session_id != session_id {
        return Err(Miss::Error(ReadError::ForeignSession { found: meta.session_id, expected: session_id }));
    }
    Ok(())
}

pub(crate) fn check_sum(meta: &FrameSnapshot, payload: &[u8]) -> Result<(), ReadError> {
    let computed = hash::checksum32(payload);
    if computed == meta.checksum {
        return Ok(());
    }
    Err(ReadError::Checksum { frame_id: meta.frame_id, stored: meta.checksum, computed })
}

/// The sequence number of the frame in a slot, if the producer took one number after the other.
pub(crate) fn number_in<B: Backing>(region: &Mapped<B>, index: u32) -> u32 {
    let newest = reader::newest(region);
    let at = region.layout.slot_of_sequence(newest);
    newest.wrapping_sub(at.map_or(0, |at| behind(at, index, region.layout.slots())))
}

/// How many slots one is behind another in a ring.
fn behind(newest: u32, index: u32, slots: u32) -> u32 {
    let (newest, index, slots) = (u64::from(newest), u64::from(index), u64::from(slots));
    ((newest + slots - index % slots) % slots) as u32
}

/// Whether a server without stamps may have written the slot of the frame with this number again. It announces a
/// rewrite by moving `reserve_index` first.
pub(crate) fn is_reserved<B: Backing>(region: &Mapped<B>, number: u32) -> bool {
    fence(Ordering::Acquire);
    let reserved = region.header().reserve_index.load(Ordering::Relaxed);
    reserved.wrapping_sub(number) >= region.layout.slots()
}

/// Reads what a frame says of itself, and gives its sequence number if its server writes no stamps. Valid only together
/// with a later [`reader::validate`].
#[inline]
pub(crate) fn head<B: Backing>(
    region: &Mapped<B>,
    slot: Slot<'_>,
    index: u32,
    expected: Expected,
    current: &mut Current,
) -> Result<u32, Miss> {
    let extended = expected.features.is_extended();
    let number = if extended { 0 } else { number_in(region, index) };
    current.slot = index;
    let meta = &mut current.meta;
    if extended {
        reader::begin_into(slot, meta)?;
    } else {
        *meta = reader::begin_unstamped(slot);
    }
    check_meta(meta, expected.session_id, &region.layout).map_err(|e| match e {
        // Seen half-written; say so only if it stays.
        Miss::Error(_) | Miss::Empty if reader::validate(slot, meta).is_err() => Miss::Disturbed,
        other => other,
    })?;
    Ok(number)
}

/// Copies the frame of `slot`, which has this index, into the memory that `memory` gives for so many words, and proves
/// that the copy is whole. The inner error is a wrong checksum, in a frame that is whole otherwise.
///
/// Against a server with stamps the stamp proves it. A server of the reference announces a rewrite of a slot only by
/// moving `reserve_index` first; if after the copy it has not yet come round to the slot, nobody can have written it.
/// The checksum of the private copy stands behind that; what a wrong one means is the caller's to judge.
#[inline]
pub(crate) fn copy<'m, B: Backing>(
    region: &Mapped<B>,
    slot: Slot<'_>,
    index: u32,
    expected: Expected,
    current: &mut Current,
    memory: impl FnOnce(usize) -> &'m mut [u64],
) -> Result<Result<(), ReadError>, Miss> {
    let Expected { features, verify, .. } = expected;
    let extended = features.is_extended();
    let number = head(region, slot, index, expected, current)?;
    let meta = &mut current.meta;
    let len = meta.payload_bytes as usize;
    let words = memory(len.div_ceil(8));
    // A place that has too little is a fault of ours, and no frame.
    let payload = bytemuck::cast_slice_mut(words).get_mut(..len).ok_or(Miss::Disturbed)?;
    reader::copy_payload(slot, meta, payload)?;
    if !extended && is_reserved(region, number) {
        return Err(Miss::Disturbed);
    }
    // Only now: the copy is whole, and the slot may be written again meanwhile.
    current.sum = Sum::NotCompared;
    if verify && features.has_checksum(meta.stamp) {
        let compared = check_sum(meta, payload);
        current.sum = if compared.is_ok() { Sum::Right } else { Sum::Wrong };
        return Ok(compared);
    }
    Ok(Ok(()))
}

/// Whether the newest frame's slot is being written again. With one slot, or all others leased, that is where the next
/// one is written.
pub(crate) fn is_rewritten<B: Backing>(region: &Mapped<B>, features: Features) -> bool {
    let number = reader::newest(region);
    let Some(slot) = region.layout.slot_of_sequence(number) else { return false };
    features.is_extended() && reader::begin(region.slot(slot)).is_err() && reader::newest(region) == number
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn slots_are_counted_round_the_ring() {
        for (newest, index, expected) in [(2, 2, 0), (2, 1, 1), (0, 2, 1), (0, 1, 2), (1, 2, 2), (1, 5, 2)] {
            assert_eq!(behind(newest, index, 3), expected, "{newest} {index}");
        }
        assert_eq!(behind(0, 1, u32::MAX), u32::MAX - 1);
    }
}
