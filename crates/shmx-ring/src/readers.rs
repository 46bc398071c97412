//! Reader slots: taking one, leaving it, and clearing up after somebody who did not leave.
//!
//! Readers of ours hold a kernel lock on their index before they take the slot and until after they left, and write
//! their id into the tag; so a slot whose tag matches and whose lock is free belonged to a reader that died. The
//! locks are the caller's business.

use crate::reader::{end_lease, leases};
use crate::sync::{AtomicU32, Ordering};
use crate::view::{HeaderView, ReaderView, Slots};

/// Takes a free slot. `locked` says that the caller holds the liveness lock of the slot's index.
///
/// Returns false if the slot is taken.
pub fn attach(header: &HeaderView, slot: &ReaderView, id: u64, pid: u32, now: u64, locked: bool) -> bool {
    // AcqRel: the previous owner's clearing stays before, our fields after.
    if slot.in_use.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return false;
    }
    for counter in [&slot.ext_delivered, &slot.ext_dropped, &slot.ext_rejected_flags, &slot.last_frame_seen] {
        counter.store(0, Ordering::Relaxed);
    }
    slot.ext_pid.store(pid, Ordering::Relaxed);
    slot.ext_tag.store(if locked { id } else { 0 }, Ordering::Relaxed);
    // Release: who sees the id sees the tag.
    slot.reader_id.store(id, Ordering::Release);
    slot.heartbeat.store(now, Ordering::Release);
    header.readers_connected.fetch_add(1, Ordering::AcqRel);
    true
}

/// Frees a slot: the owner's last act, or the reaper's.
///
/// The lease bits of the index must be clear before; see [`clear_leases`].
///
/// An owner that dies within leaves what a reaper recognises: an id that the tag confirms, or neither id nor
/// heartbeat. A heartbeat without tag would look like a reader of another implementation, which only time may reap;
/// hence the order: heartbeat, id, tag.
pub fn detach(header: &HeaderView, slot: &ReaderView) {
    // Release each: no store overtakes an earlier one.
    slot.heartbeat.store(0, Ordering::Release);
    slot.last_frame_seen.store(0, Ordering::Release);
    slot.reader_id.store(0, Ordering::Release);
    slot.ext_tag.store(0, Ordering::Release);
    slot.ext_pid.store(0, Ordering::Release);
    // Release: whoever takes the slot next finds it cleared.
    slot.in_use.store(0, Ordering::Release);
    decrement(&header.readers_connected);
}

/// One less, but never below zero: another process may have written nonsense there.
fn decrement(count: &AtomicU32) {
    let mut seen = count.load(Ordering::Relaxed);
    for _ in 0..64 {
        let Some(less) = seen.checked_sub(1) else { return };
        match count.compare_exchange(seen, less, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Clears the lease bits of reader `index` in every slot.
pub fn clear_leases<S: Slots>(slots: &S, index: u32) {
    for slot in (0..slots.slot_count()).map(|i| slots.slot(i)) {
        // Looked at first: an exchange takes the header's cache line away from the producer. Relaxed will do: whoever
        // set the bit is the caller itself, or is dead and its lock in the caller's hand, which orders what it did.
        if leases(slot).checked_shr(index).unwrap_or(0) & 1 == 1 {
            end_lease(slot, index);
        }
    }
}
