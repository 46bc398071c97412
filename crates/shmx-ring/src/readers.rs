//! Reader slots: taking one, leaving it, and clearing up after somebody who did not leave.
//!
//! Readers of ours hold a kernel lock on their index before they take the slot and until after they left, and write
//! their id into the tag; so a slot whose tag matches and whose lock is free belonged to a reader that died. The
//! locks are the caller's business.

use crate::reader::{end_lease, leases};
use crate::sync::{AtomicU32, Ordering, fence};
use crate::view::{HeaderView, ReaderView, Slots};
use crate::{control_bell, every_frame};
use shmx_abi::extension::{READER_EVERY_FRAME, READER_FOLLOWS, READER_VERIFIES, READERS_CHANGED};

/// Who takes a reader slot.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer {
    /// Random, not 0.
    pub id: u64,
    /// Its process, for display.
    pub pid: u32,
    /// Ticks of the wire clock.
    pub now: u64,
    /// Whether it holds the liveness lock of the slot's index.
    pub locked: bool,
    /// Whether it compares the checksum of every frame that has one, so that the server must compute them.
    pub verifies: bool,
    /// Whether it wants no frame overwritten before it has taken it. It must then store
    /// [`first_frames`](every_frame::first_frames) in its slot soon: until then nothing is overwritten.
    pub every_frame: bool,
}

/// A reader came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The value of [`HeaderView::ext_more`] that the server may be asleep on and must be woken from.
    pub wake: Option<u32>,
}

/// Counts the change.
fn changed(header: &HeaderView) -> Change {
    // Release: a server that sees the change sees the slot, see `changes`.
    let before = header.ext_more.fetch_add(READERS_CHANGED, Ordering::Release);
    Change { wake: Some(before).filter(|&w| control_bell::is_asleep(w)) }
}

/// Takes a free slot; `None` if the slot is taken.
pub fn attach(header: &HeaderView, slot: &ReaderView, who: &Newcomer) -> Option<Change> {
    // AcqRel: the previous owner's clearing stays before, our fields after.
    if slot.in_use.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return None;
    }
    for counter in [&slot.ext_delivered, &slot.ext_missed, &slot.last_frame_seen] {
        counter.store(0, Ordering::Relaxed);
    }
    let verifies = if who.verifies { READER_VERIFIES } else { 0 };
    let every_frame = if who.every_frame { READER_EVERY_FRAME } else { 0 };
    slot.ext_rejected_flags.store(verifies | every_frame, Ordering::Relaxed);
    slot.ext_pid.store(who.pid, Ordering::Relaxed);
    slot.ext_tag.store(if who.locked { who.id } else { 0 }, Ordering::Relaxed);
    // Release: who sees the id sees the tag.
    slot.reader_id.store(who.id, Ordering::Release);
    slot.heartbeat.store(who.now, Ordering::Release);
    header.readers_connected.fetch_add(1, Ordering::AcqRel);
    let change = changed(header);
    if who.every_frame {
        every_frame::announced();
    }
    Some(change)
}

/// Says that the owner of a slot reads frames while they are written, from now on.
pub fn announce_following(header: &HeaderView, slot: &ReaderView) -> Change {
    slot.ext_rejected_flags.fetch_or(READER_FOLLOWS, Ordering::Relaxed);
    // Release: who sees the change sees the flag.
    changed(header)
}

/// Whether the slot's owner reads frames while they are written.
#[must_use]
pub fn follows(slot: &ReaderView) -> bool {
    if slot.in_use.load(Ordering::Acquire) == 0 {
        return false;
    }
    let id = slot.reader_id.load(Ordering::Acquire);
    let ours = id != 0 && slot.ext_tag.load(Ordering::Relaxed) == id;
    ours && slot.ext_rejected_flags.load(Ordering::Relaxed) & READER_FOLLOWS != 0
}

/// Has another value after a reader came or went: what a server compares before it looks at the slots again.
///
/// Readers of the original change the first part only, so that one of them that takes the place of another between two
/// calls goes unnoticed; both need checksums.
#[must_use]
#[inline]
pub fn changes(header: &HeaderView) -> (u32, u32) {
    // Relaxed and a fence, Acquire, pairs with `attach`: who sees the change sees the slot.
    let seen = (header.readers_connected.load(Ordering::Relaxed), header.ext_more.load(Ordering::Relaxed));
    fence(Ordering::Acquire);
    seen
}

/// Whether the slot's owner goes by checksums: a reader of the original, or one of ours that asks for them. True for a
/// moment while a slot is being taken or left.
#[must_use]
pub fn needs_checksums(slot: &ReaderView) -> bool {
    if slot.in_use.load(Ordering::Acquire) == 0 {
        return false;
    }
    let id = slot.reader_id.load(Ordering::Acquire);
    let ours = id != 0 && slot.ext_tag.load(Ordering::Relaxed) == id;
    !ours || slot.ext_rejected_flags.load(Ordering::Relaxed) & READER_VERIFIES != 0
}

/// Frees the slot of a reader that is known to be dead. The caller holds the liveness lock of its index, where there
/// are locks.
pub fn bury<S: Slots>(slots: &S, slot: &ReaderView, index: u32) -> Change {
    clear_leases(slots, index);
    detach(slots.header(), slot)
}

/// Frees a slot: the owner's last act, or the reaper's.
///
/// The lease bits of the index must be clear before; see [`clear_leases`].
///
/// An owner that dies within leaves what a reaper recognises: an id that the tag confirms, or neither id nor
/// heartbeat. A heartbeat without tag would look like a reader of another implementation, which only time may reap;
/// hence the order: heartbeat, id, tag.
pub fn detach(header: &HeaderView, slot: &ReaderView) -> Change {
    // Release each: no store overtakes an earlier one.
    slot.heartbeat.store(0, Ordering::Release);
    slot.last_frame_seen.store(0, Ordering::Release);
    slot.reader_id.store(0, Ordering::Release);
    slot.ext_tag.store(0, Ordering::Release);
    slot.ext_pid.store(0, Ordering::Release);
    // Release: whoever takes the slot next finds it cleared.
    slot.in_use.store(0, Ordering::Release);
    decrement(&header.readers_connected);
    changed(header)
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
