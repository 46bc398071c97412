//! Cleaning up after readers that died, and what else is done now and then.

use crate::error::LeaseHolder;
use crate::readers::{leased_slots, reader_info};
use crate::region::Mapped;
use parking_lot::{Mutex, MutexGuard};
use shmx_os::{LockByte, LockState, OsError, Region, clock};
use shmx_ring::sync::{AtomicU64, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::{reader, readers};

/// A slot that is taken but shows neither lock nor heartbeat gets this long before it is taken back, nanoseconds.
const GRACE: u64 = 1_000_000_000;

/// Nanoseconds from one round of chores to the next: a dead reader keeps its slot and its leases no longer than this in
/// a server that publishes or polls. What a round takes: docs/performance.md.
const CHORES_EVERY: u64 = 100_000_000;

/// Nanoseconds from one question about the name to the next: a system call.
const NAME_EVERY: u64 = 1_000_000_000;

/// When the chores are due, and who does them.
#[derive(Debug)]
pub(super) struct Chores {
    /// Ticks. In memory of the server's own.
    due: AtomicU64,
    reaper: Mutex<Reaper>,
}

impl Chores {
    pub(super) fn new(reader_slots: u32) -> Self {
        let now = clock::ticks();
        let reaper = Reaper {
            unclaimed_since: vec![None; reader_slots as usize],
            miscounted_since: None,
            named: true,
            name_due: now.saturating_add(NAME_EVERY),
        };
        Self { due: AtomicU64::new(now.saturating_add(CHORES_EVERY)), reaper: Mutex::new(reaper) }
    }

    #[inline]
    pub(super) fn are_due(&self, now: u64) -> bool {
        // Relaxed: a hint; `run` asks again under the lock.
        now >= self.due.load(Ordering::Relaxed)
    }

    /// Does them if they are due at `now` and no other thread is doing them. Returns whether it did.
    pub(super) fn run(&self, region: &Mapped<Region>, now: u64) -> bool {
        let Some(mut reaper) = self.reaper.try_lock() else { return false };
        if !self.are_due(now) {
            return false;
        }
        self.due.store(now.saturating_add(CHORES_EVERY), Ordering::Relaxed);
        reaper.reap(region, None);
        reaper.check_name(region, now);
        true
    }

    pub(super) fn reaper(&self) -> MutexGuard<'_, Reaper> {
        self.reaper.lock()
    }
}

/// What the reaper remembers. There is one at a time: a reader's lock that this server holds already is given to it
/// again, so the lock keeps readers and other processes out and not a second thread of ours. Two that held it would
/// let it go one before the other, and a reader that came in between would lose the leases that it has just begun.
#[derive(Debug)]
pub(super) struct Reaper {
    /// When a taken slot was first seen without any sign of life, per slot.
    unclaimed_since: Vec<Option<u64>>,
    /// By how much the header's count of readers is off, and since when.
    miscounted_since: Option<(i64, u64)>,
    /// Whether the name led to the region when it was last asked.
    named: bool,
    name_due: u64,
}

impl Reaper {
    /// Frees the slots of dead readers and, with `stale` (now and the longest silence, ticks), those of readers without
    /// a lock that have been silent for longer. Returns their indices.
    pub(super) fn reap(&mut self, region: &Mapped<Region>, stale: Option<(u64, u64)>) -> Vec<u32> {
        let mut reaped = Vec::new();
        for (index, since) in (0..region.layout.reader_slots()).zip(&mut self.unclaimed_since) {
            let Some(slot) = region.reader(index) else { break };
            if slot.in_use.load(Ordering::Acquire) == 0 {
                *since = None;
                continue;
            }
            let lock = LockByte::Reader(index);
            // Taking the lock proves that no reader of ours lives here, and keeps new ones out meanwhile.
            match region.os.try_lock(lock) {
                // Without locks on this platform, heartbeats must do.
                Ok(true) | Err(OsError::Unsupported { .. }) => {}
                Ok(false) | Err(_) => {
                    *since = None;
                    continue;
                }
            }
            let id = slot.reader_id.load(Ordering::Acquire);
            let heartbeat = slot.heartbeat.load(Ordering::Acquire);
            // The tag is set by owners that hold the lock, so it is 0 where there are none.
            let dead = if id != 0 && slot.ext_tag.load(Ordering::Acquire) == id {
                true
            } else if heartbeat != 0 {
                // A sign of life; the next owner that shows none is given its time from the start.
                *since = None;
                // One from the future was not written by a reader; a little ahead is one that is just coming in.
                stale.is_some_and(|(now, timeout)| {
                    now.saturating_sub(heartbeat) > timeout || heartbeat.saturating_sub(now) > timeout.max(GRACE)
                })
            } else {
                let now = clock::ticks();
                now.saturating_sub(*since.get_or_insert(now)) > GRACE
            };
            if dead && slot.in_use.load(Ordering::Acquire) != 0 {
                readers::bury(region, slot, index);
                *since = None;
                reaped.push(index);
                tracing::info!(index, reader_id = id, "reader reaped");
            }
            region.os.unlock(lock);
        }
        self.mend_count(region);
        reaped
    }

    /// Sets the header's count of readers right. A reader that dies between taking its slot and counting itself, or
    /// between leaving it and uncounting itself, leaves the count wrong for ever; one that lives is done in less than
    /// the time of grace.
    fn mend_count(&mut self, region: &Mapped<Region>) {
        let counted = &region.header().readers_connected;
        let seen = counted.load(Ordering::Acquire);
        let slots = (0..region.layout.reader_slots()).filter_map(|i| region.reader(i));
        let used = slots.filter(|r| r.in_use.load(Ordering::Acquire) != 0).count() as u32;
        let off = i64::from(seen) - i64::from(used);
        if off == 0 {
            self.miscounted_since = None;
            return;
        }
        let now = clock::ticks();
        match self.miscounted_since {
            Some((before, at)) if before == off => {
                // A count that changes now is examined again the next time.
                if now.saturating_sub(at) > GRACE
                    && counted.compare_exchange(seen, used, Ordering::AcqRel, Ordering::Relaxed).is_ok()
                {
                    self.miscounted_since = None;
                }
            }
            _ => self.miscounted_since = Some((off, now)),
        }
    }

    /// Clears bits that no attached reader can have set: past the last reader slot, or of a slot that is free.
    pub(super) fn clear_ownerless_leases(&self, region: &Mapped<Region>) {
        for i in indices(leases(region)) {
            let owner = region.reader(i).filter(|r| r.in_use.load(Ordering::Acquire) != 0);
            let lock = LockByte::Reader(i);
            // With the lock in hand no reader of ours can be about to attach or to leave.
            if owner.is_none() && region.os.try_lock(lock).unwrap_or(false) {
                readers::clear_leases(region, i);
                region.os.unlock(lock);
            }
        }
    }

    /// Says so, once, when the name stops leading to the region.
    fn check_name(&mut self, region: &Mapped<Region>, now: u64) {
        if now < self.name_due {
            return;
        }
        self.name_due = now.saturating_add(NAME_EVERY);
        let named = region.os.is_current();
        if self.named && !named {
            tracing::warn!(
                name = %region.os.name(),
                "the name was removed or leads to another object: new readers cannot find this server; create it again"
            );
        }
        self.named = named;
    }
}

/// Bits of all readers that lease a slot.
fn leases(region: &Mapped<Region>) -> u128 {
    (0..region.slot_count()).fold(0, |all, i| all | reader::leases(region.slot(i)))
}

fn indices(bits: u128) -> impl Iterator<Item = u32> {
    (0..reader::LEASABLE_READERS).filter(move |i| bits >> i & 1 == 1)
}

/// The readers that hold slots by lease.
pub(super) fn lease_holders(region: &Mapped<Region>) -> Vec<LeaseHolder> {
    let holder = |index| {
        // The lock does not matter here.
        let info = reader_info(region, index, LockState::Unsupported, false);
        LeaseHolder {
            index,
            reader_id: info.map_or(0, |r| r.reader_id),
            pid: info.and_then(|r| r.extension).map(|e| e.pid).filter(|&p| p != 0),
            leased: leased_slots(region, index),
        }
    };
    indices(leases(region)).map(holder).collect()
}
