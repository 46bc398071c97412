//! What a client and its frames share: the mapping, the reader slot and the leases.

use crate::error::ReadError;
use crate::region::{Mapped, leased_payload};
use shmx_abi::extension::Features;
use shmx_os::{LockByte, LockState, Region, clock};
use shmx_ring::hold::{Hold, Holds, Refused};
use shmx_ring::reader::FrameSnapshot;
use shmx_ring::readers;
use shmx_ring::sync::Ordering;
use shmx_ring::view::{ReaderView, Slots};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Attachment {
    pub(super) region: Mapped<Region>,
    pub(super) session_id: u64,
    pub(super) features: Features,
    pub(super) index: Option<u32>,
    locked: bool,
    /// Whether frames may be leased. Where readers hold locks, the bits of one without would be taken for a dead one's.
    pub(super) may_lease: bool,
    /// Leases this client holds, per frame slot. The bit in the slot is set while there are any.
    holds: Box<[Holds]>,
}

impl Attachment {
    /// Takes a reader slot if there is one.
    pub(super) fn new(region: Mapped<Region>, session_id: u64, features: Features) -> Self {
        let (index, locked) = attach(&region);
        let holds = (0..region.slot_count()).map(|_| Holds::new()).collect();
        let may_lease = features.is_extended() && (locked || !features.has(Features::LOCKS));
        Self { region, session_id, features, index, locked, may_lease, holds }
    }

    #[inline]
    pub(super) fn check_session(&self) -> Result<(), ReadError> {
        if self.region.os.is_forked() {
            return Err(ReadError::Forked);
        }
        if self.region.header().session_id.load(Ordering::Relaxed) != self.session_id {
            return Err(ReadError::SessionChanged);
        }
        Ok(())
    }

    pub(super) fn server_gone(&self) -> bool {
        let word = self.region.header().ext_features.load(Ordering::Acquire);
        server_gone(&self.region.os, Features::from_wire(word, 0, self.session_id))
    }

    /// The client's own reader slot.
    #[inline]
    pub(super) fn slot(&self) -> Option<&ReaderView> {
        self.index.and_then(|i| self.region.reader(i))
    }

    /// Begins a lease and reads the frame's header; `alone`, if it ends before the client's next one begins.
    #[inline]
    pub(super) fn lease(
        self: &Arc<Self>,
        slot: u32,
        reader: u32,
        alone: bool,
        seen: &mut FrameSnapshot,
    ) -> Result<Held<'_>, Refused> {
        let holds = self.holds.get(slot as usize).ok_or(Refused::Disturbed)?;
        let place = self.region.slot(slot);
        let begun = if alone { holds.begin_alone(place, reader, seen) } else { holds.begin(place, reader, seen) };
        begun.map(|hold| Held { owner: self, slot, hold })
    }

    #[inline]
    pub(super) fn end(&self, slot: u32, hold: Hold) {
        if self.region.os.is_forked() {
            return;
        }
        if let (Some(index), Some(holds)) = (self.index, self.holds.get(slot as usize)) {
            holds.end(self.region.slot(slot), index, hold);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        if self.region.os.is_forked() {
            return;
        }
        // After a server of the reference has re-initialised the region, the slot is no longer ours.
        if self.region.header().session_id.load(Ordering::Relaxed) == self.session_id
            && let Some(slot) = self.region.reader(index)
        {
            // A lent frame that was forgotten instead of dropped has left its bit; nobody can look at it any more.
            if self.features.is_extended() {
                readers::clear_leases(&self.region, index);
            }
            readers::detach(self.region.header(), slot);
        }
        if self.locked {
            self.region.os.unlock(LockByte::Reader(index));
        }
    }
}

/// A lease that lasts no longer than the borrow of the client.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    owner: &'a Arc<Attachment>,
    slot: u32,
    hold: Hold,
}

impl Held<'_> {
    #[inline]
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        leased_payload(&self.owner.region, self.slot, len)
    }

    pub(super) const fn is_verified(&self) -> bool {
        self.hold.is_verified()
    }

    pub(super) fn set_verified(&mut self) {
        if let Some(holds) = self.owner.holds.get(self.slot as usize) {
            holds.set_verified(&mut self.hold);
        }
    }

    /// The lease itself, for who ends it with [`Attachment::end`].
    #[inline]
    pub(super) const fn lend(self) -> Hold {
        let hold = self.hold;
        std::mem::forget(self);
        hold
    }

    /// A lease that outlives the client; only of one that is not `alone`.
    #[inline]
    pub(super) fn keep(self) -> Lease {
        let lease = Lease { owner: self.owner.clone(), slot: self.slot, hold: self.hold };
        std::mem::forget(self);
        lease
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.owner.end(self.slot, self.hold);
    }
}

/// A lease of its own.
#[derive(Debug)]
pub(crate) struct Lease {
    owner: Arc<Attachment>,
    slot: u32,
    hold: Hold,
}

impl Lease {
    #[inline]
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        leased_payload(&self.owner.region, self.slot, len)
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        self.owner.end(self.slot, self.hold);
    }
}

pub(super) fn server_gone(os: &Region, features: Features) -> bool {
    features.has(Features::CLOSED)
        || features.has(Features::LOCKS) && os.lock_state(LockByte::Server) == LockState::Free
}

/// Longest look for a reader slot while one is free and its lock is still taken.
const PATIENCE: Duration = Duration::from_millis(50);

/// Takes the first free reader slot, and its lock first.
fn attach(region: &Mapped<Region>) -> (Option<u32>, bool) {
    let start = Instant::now();
    loop {
        match try_attach(region) {
            // The last owner of a free slot is about to give its lock back, or a reaper is at work: microseconds.
            Err(LockTaken) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_micros(50)),
            Err(LockTaken) => return (None, false),
            Ok(taken) => return taken,
        }
    }
}

/// No slot could be had, but the lock alone was in the way.
struct LockTaken;

fn try_attach(region: &Mapped<Region>) -> Result<(Option<u32>, bool), LockTaken> {
    let id = shmx_os::random_u64();
    let mut lock_taken = false;
    for index in 0..region.layout.reader_slots() {
        let Some(slot) = region.reader(index) else { break };
        if slot.in_use.load(Ordering::Relaxed) != 0 {
            continue;
        }
        let lock = LockByte::Reader(index);
        let locked = match region.os.try_lock(lock) {
            Ok(true) => true,
            Ok(false) => {
                lock_taken = true;
                continue;
            }
            Err(_) => false, // no locks here: the heartbeat must do
        };
        if readers::attach(
            region.header(),
            slot,
            &readers::Newcomer { id, pid: shmx_os::process_id(), now: clock::ticks(), locked, verifies: false },
        ) {
            return Ok((Some(index), locked));
        }
        if locked {
            region.os.unlock(lock);
        }
    }
    if lock_taken { Err(LockTaken) } else { Ok((None, false)) }
}
