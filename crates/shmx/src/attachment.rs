//! What a client, its frames and its control senders share: the mapping, the reader slot and the leases.
//!
//! Length: one type, whose fields nothing outside may touch.

use crate::error::{DirectoryReadError, OpenError, ReadError, ReaderOccupant, ServerEnd};
use crate::life;
use crate::readers::wake_server;
use crate::region::{Mapped, leased_payload};
use crate::schema::catalog::{Catalog, Home};
use crate::schema::directory::Directory;
use parking_lot::Mutex;
use shmx_abi::extension::Features;
use shmx_os::{LockByte, OsError, Region, clock};
use shmx_ring::control_bell;
use shmx_ring::hold::{Hold, Holds, Refused};
use shmx_ring::reader::{FrameSnapshot, LEASABLE_READERS};
use shmx_ring::readers::{self, Newcomer};
use shmx_ring::sync::{AtomicU32, AtomicU64, Ordering};
use shmx_ring::view::{ReaderView, Slot, Slots};
use std::mem::ManuallyDrop;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How a client attaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether a client without a reader slot is no client.
    pub(crate) require_slot: bool,
    /// Whether it compares the checksum of every frame that has one.
    pub(crate) verifies: bool,
    /// Whether it may lease at all.
    pub(crate) leases: bool,
    /// Whether a lease needs room.
    pub(crate) modest: bool,
    /// Whether it wants no frame overwritten before it has taken it.
    pub(crate) every_frame: bool,
}

#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) region: Mapped<Region>,
    pub(crate) session_id: u64,
    pub(crate) features: Features,
    pub(crate) catalog: Arc<Catalog>,
    seat: Seat,
    /// The index under which frames are leased. [`NO_SLOT`] without a liveness lock: the bits of a reader without one
    /// are taken for a dead reader's.
    leases_as: u32,
    /// Frames are leased while fewer readers are attached.
    room_below: u64,
    /// Leases this client holds, per frame slot. The bit in the slot is set while there are any.
    holds: Box<[Holds]>,
    /// Whether the server was told that the client follows frames.
    follows: AtomicBool,
}

/// The client's reader slot.
///
/// A server of the reference reaps by heartbeat alone, so that a slot can be lost to another reader while its owner is
/// stopped. There the id is compared before each write to slot or ring, and a slot that was lost is taken anew. A server
/// with locks gives no slot away whose lock is held, so an id that is another one was damaged, and the slot stays ours.
#[derive(Debug)]
struct Seat {
    /// [`NO_SLOT`] without one. Changed under `turn`.
    index: AtomicU32,
    id: AtomicU64,
    locked: bool,
    /// Whether the lock alone says whose slot it is.
    by_lock: bool,
    verifies: bool,
    /// Held while the control ring is written, or the seat changes.
    turn: Mutex<()>,
}

const NO_SLOT: u32 = u32::MAX;

impl Attachment {
    /// Takes a reader slot.
    pub(crate) fn new(
        region: Mapped<Region>,
        session_id: u64,
        features: Features,
        terms: Terms,
    ) -> Result<Self, OpenError> {
        let taken = match take_slot(&region, terms.verifies, terms.every_frame) {
            Ok(taken) => Some(taken),
            Err(_) if region.layout.reader_slots() == 0 => None, // as its server wanted it
            Err(e) if terms.require_slot => return Err(e.for_region(&region)),
            Err(e) => {
                tracing::warn!(name = %region.os.name(), reason = ?e, "no reader slot; reading by copy without one");
                None
            }
        };
        let locked = taken.is_some_and(|t| t.locked);
        let leases_as = taken
            .filter(|t| terms.leases && locked && features.is_extended() && t.index < LEASABLE_READERS)
            .map_or(NO_SLOT, |t| t.index);
        let holds = (0..region.slot_count()).map(|_| Holds::new()).collect();
        // One lease of each reader leaves the producer the newest frame's slot and one to write.
        let room_below = if terms.modest { u64::from(region.slot_count()).saturating_sub(1) } else { u64::MAX };
        let seat = Seat {
            index: AtomicU32::new(taken.map_or(NO_SLOT, |t| t.index)),
            id: AtomicU64::new(taken.map_or(0, |t| t.id)),
            locked,
            by_lock: locked && features.has(Features::LOCKS),
            verifies: terms.verifies,
            turn: Mutex::new(()),
        };
        let catalog = Arc::new(Catalog::new(session_id));
        let follows = AtomicBool::new(false);
        Ok(Self { region, session_id, features, catalog, seat, leases_as, room_below, holds, follows })
    }

    #[inline]
    pub(crate) fn check_session(&self) -> Result<(), ReadError> {
        if self.region.os.is_forked() {
            return Err(ReadError::Forked);
        }
        if self.region.header().session_id.load(Ordering::Relaxed) != self.session_id {
            return Err(ReadError::SessionChanged);
        }
        Ok(())
    }

    /// Whether the server has said that it will publish no more. One load.
    #[inline]
    pub(crate) fn says_closed(&self) -> bool {
        // Relaxed: who sees it looks again.
        self.region.header().ext_features.load(Ordering::Relaxed) & Features::CLOSED as u32 != 0
    }

    /// How the server ended, if it is known to be gone.
    pub(crate) fn server_end(&self) -> Option<ServerEnd> {
        let word = self.region.header().ext_features.load(Ordering::Acquire);
        life::server_end(&self.region.os, word, self.session_id, || {
            self.region.header().ext_features.load(Ordering::Acquire)
        })
    }

    /// Wakes the server if it sleeps, after there is news for it: a message, a frame that was taken.
    #[inline]
    pub(crate) fn ring_server(&self) {
        if !self.features.has(Features::CONTROL_BELL) {
            return;
        }
        let more = &self.region.header().ext_more;
        if let Some(value) = control_bell::ring(more) {
            self.region.os.wake_all(more, value);
        }
    }

    /// Index of the reader slot.
    #[inline]
    pub(crate) fn index(&self) -> Option<u32> {
        Some(self.seat.index.load(Ordering::Relaxed)).filter(|&i| i != NO_SLOT)
    }

    /// The client's own reader slot; none if it was lost.
    #[inline]
    pub(crate) fn slot(&self) -> Option<&ReaderView> {
        let slot = self.region.reader(self.index()?)?;
        let ours = || slot.reader_id.load(Ordering::Relaxed) == self.seat.id.load(Ordering::Relaxed);
        (self.seat.by_lock || ours()).then_some(slot)
    }

    /// Runs `send` with the index of the reader slot, one thread at a time; none without one. Not in another session.
    pub(crate) fn in_turn<R>(&self, send: impl FnOnce(u32, &ReaderView) -> R) -> Option<R> {
        let _turn = self.seat.turn.lock();
        let slot = self.slot().or_else(|| self.slot_taken_again())?;
        Some(send(self.index()?, slot))
    }

    /// A sign of life. Takes the reader slot anew if a server without locks has given it to another reader. Does
    /// nothing where the slot may be another session's.
    pub(crate) fn beat(&self) {
        if self.check_session().is_err() {
            return;
        }
        match self.slot() {
            Some(slot) => slot.heartbeat.store(clock::ticks(), Ordering::Release),
            None => self.take_again(),
        }
    }

    #[cold]
    fn take_again(&self) {
        let _turn = self.seat.turn.lock();
        // Unless another thread was faster.
        if self.slot().is_none() {
            self.slot_taken_again();
        }
    }

    /// Takes another slot for one that a server without locks has given away. Called under `turn`.
    #[cold]
    fn slot_taken_again(&self) -> Option<&ReaderView> {
        if self.features.is_extended() {
            return None;
        }
        let old = self.index()?;
        // The lock of the old index stays ours, and keeps no reader of another implementation out.
        let taken = take_slot(&self.region, self.seat.verifies, false).ok()?;
        tracing::warn!(old, new = taken.index, "the server had given the reader slot away; another one is taken");
        if self.seat.locked && taken.index != old {
            self.region.os.unlock(LockByte::Reader(old));
        }
        self.seat.id.store(taken.id, Ordering::Relaxed);
        self.seat.index.store(taken.index, Ordering::Relaxed);
        self.slot()
    }

    /// In a region with another session the slot is no longer ours, and its lock would keep us out as we come again.
    pub(crate) fn let_go_of_old_session(&self) {
        if self.check_session() == Err(ReadError::SessionChanged) {
            let _turn = self.seat.turn.lock();
            // Does nothing where we hold none.
            self.region.os.unlock(LockByte::Reader(self.index().unwrap_or(NO_SLOT)));
        }
    }

    /// Whether frames can be leased.
    #[inline]
    pub(crate) const fn leases(&self) -> bool {
        self.leases_as != NO_SLOT
    }

    /// Whether one lease of each attached reader leaves the producer the newest frame's slot and one to write.
    #[inline]
    pub(crate) fn has_room_for_leases(&self) -> bool {
        // Relaxed: a preference, and any process may have written the count.
        u64::from(self.region.header().readers_connected.load(Ordering::Relaxed)) < self.room_below
    }

    /// Whether a frame may be kept under its lease: beside what is leased now, every reader can still borrow one.
    pub(crate) fn has_room_to_keep(&self) -> bool {
        if self.room_below == u64::MAX {
            return true;
        }
        let readers = self.region.header().readers_connected.load(Ordering::Relaxed);
        let slots = 0..self.region.slot_count();
        let free = slots.filter(|&i| shmx_ring::reader::leases(self.region.slot(i)) == 0);
        // No further than it takes to find enough of them.
        let needed = readers.saturating_add(2) as usize;
        free.take(needed).count() == needed
    }

    /// Begins a lease on a slot, seen as `view`, that ends before the client's next one begins, and reads the frame's
    /// header.
    #[inline]
    pub(crate) fn lease(
        self: &Arc<Self>,
        view: Slot<'_>,
        slot: u32,
        seen: &mut FrameSnapshot,
    ) -> Result<Held<'_>, Refused> {
        let holds = self.holds.get(slot as usize).ok_or(Refused::Disturbed)?;
        let hold = holds.begin_alone(view, self.leases_as, seen)?;
        Ok(Held { owner: self, slot, hold })
    }

    /// Begins a lease on a slot that is open to followers under `stamp`, and ends before the client's next one begins.
    pub(crate) fn follow(self: &Arc<Self>, slot: u32, stamp: u64) -> Result<Held<'_>, Refused> {
        let holds = self.holds.get(slot as usize).ok_or(Refused::Disturbed)?;
        let hold = holds.begin_following(self.region.slot(slot), self.leases_as, stamp)?;
        Ok(Held { owner: self, slot, hold })
    }

    /// Whether the client may follow frames in this region.
    pub(crate) const fn can_follow(&self) -> bool {
        self.leases() && self.features.has(Features::PROGRESS)
    }

    /// Tells the server that the client reads frames while they are written, once, and if it can.
    pub(crate) fn tell_following(&self) {
        // Relaxed: the client's own, which one thread uses.
        if self.follows.load(Ordering::Relaxed) || !self.can_follow() || self.check_session().is_err() {
            return;
        }
        if let Some(slot) = self.slot() {
            self.follows.store(true, Ordering::Relaxed);
            wake_server(&self.region, readers::announce_following(self.region.header(), slot));
        }
    }

    /// Whether the server was told so.
    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::Relaxed)
    }

    #[inline]
    fn end(&self, slot: u32, hold: Hold) {
        if self.region.os.is_forked() {
            return;
        }
        if let Some(holds) = self.holds.get(slot as usize) {
            holds.end(self.region.slot(slot), self.leases_as, hold);
        }
    }
}

impl Home for Attachment {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.catalog.current(&self.region)
    }

    fn refresh(&self) {
        self.catalog.refresh(&self.region);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(index) = self.index() else { return };
        if self.region.os.is_forked() {
            return;
        }
        // After a server of the reference has initialised the region anew, the slot is no longer ours.
        if self.region.header().session_id.load(Ordering::Relaxed) == self.session_id
            && let Some(slot) = self.slot()
        {
            // A borrowed frame that was forgotten instead of dropped has left its bit; nobody can look at it any more.
            if self.leases() {
                readers::clear_leases(&self.region, index);
            }
            wake_server(&self.region, readers::detach(self.region.header(), slot));
        }
        if self.seat.locked {
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

/// A [`Held`] without its borrow, or that the frame was copied, on the way from where a frame was found to who borrows
/// it.
///
/// One word: what is written in parts and read at once has to wait for the writes, at every function that it passes.
#[derive(Debug)]
#[must_use = "the lease stays until it is attached again"]
pub(crate) struct Detached(NonZero<u64>);

/// Set in a [`Detached`] lease: slot and hold are above it.
const LEASED: u64 = 2;

impl Detached {
    #[inline]
    pub(crate) fn of(held: Option<Held<'_>>) -> Self {
        let lease = held.map_or(0, |held| {
            let held = ManuallyDrop::new(held);
            LEASED | u64::from(held.hold.to_bits()) << 2 | u64::from(held.slot) << 4
        });
        Self(NonZero::<u64>::MIN | lease)
    }

    /// The slot that is leased.
    pub(crate) const fn slot(&self) -> Option<u32> {
        let word = self.0.get();
        if word & LEASED == 0 { None } else { Some((word >> 4) as u32) }
    }

    /// `owner` is the attachment that the lease was made on. None where the frame was copied.
    #[inline]
    pub(crate) fn attach(self, owner: &Arc<Attachment>) -> Option<Held<'_>> {
        let word = self.0.get();
        if word & LEASED == 0 {
            return None;
        }
        Some(Held { owner, slot: (word >> 4) as u32, hold: Hold::from_bits((word >> 2) as u8) })
    }
}

impl Held<'_> {
    #[inline]
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        leased_payload(&self.owner.region, self.slot, len)
    }

    pub(crate) const fn is_verified(&self) -> bool {
        self.hold.is_verified()
    }

    pub(crate) fn set_verified(&mut self) {
        if let Some(holds) = self.owner.holds.get(self.slot as usize) {
            holds.set_verified(&mut self.hold);
        }
    }

    /// Whether the slot can be held for as long as anybody likes.
    pub(crate) fn has_room_to_keep(&self) -> bool {
        self.owner.has_room_to_keep()
    }

    /// Another lease beside this one, that outlives the client.
    pub(crate) fn share(&mut self) -> Option<Lease> {
        let hold = self.owner.holds.get(self.slot as usize)?.share(&mut self.hold);
        Some(Lease { owner: self.owner.clone(), slot: self.slot, hold })
    }

    /// A lease that outlives the client.
    #[inline]
    pub(crate) fn keep(self) -> Lease {
        let (owner, slot, mut hold) = (self.owner, self.slot, self.hold);
        std::mem::forget(self);
        if let Some(holds) = owner.holds.get(slot as usize) {
            holds.count(&mut hold);
        }
        Lease { owner: owner.clone(), slot, hold }
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

/// A reader slot that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    index: u32,
    id: u64,
    locked: bool,
}

/// No reader slot could be had.
#[derive(Debug)]
enum NoSlot {
    /// All are taken.
    AllTaken,
    /// There is a free one, but its lock could not be had.
    Lock(Option<OsError>),
}

impl NoSlot {
    fn for_region(self, region: &Mapped<Region>) -> OpenError {
        let name = region.os.name().to_string();
        match self {
            Self::AllTaken => {
                let slots = (0..region.layout.reader_slots()).filter_map(|i| Some((i, region.reader(i)?.load())));
                let occupants = slots
                    .filter(|(_, s)| s.in_use != 0)
                    .map(|(index, s)| {
                        let pid = shmx_abi::extension::ReaderExtension::of(&s).map(|e| e.pid).filter(|&p| p != 0);
                        ReaderOccupant { index, pid }
                    })
                    .collect();
                OpenError::NoReaderSlot { name, occupants }
            }
            Self::Lock(cause) => OpenError::ReaderLock { name, cause },
        }
    }
}

/// Longest try for a reader slot while one is free and its lock is still taken.
const PATIENCE: Duration = Duration::from_millis(50);

/// Takes the first free reader slot, and its lock first.
fn take_slot(region: &Mapped<Region>, verifies: bool, every_frame: bool) -> Result<Taken, NoSlot> {
    let start = Instant::now();
    loop {
        match try_take(region, verifies, every_frame) {
            // The last owner of a free slot is about to give its lock back, or a reaper is at work: microseconds.
            Err(NoSlot::Lock(None)) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_micros(50)),
            other => return other,
        }
    }
}

fn try_take(region: &Mapped<Region>, verifies: bool, every_frame: bool) -> Result<Taken, NoSlot> {
    let mut why = NoSlot::AllTaken;
    // Slots that are free, then those whose owners have died.
    for of_the_dead in [false, true] {
        for index in 0..region.layout.reader_slots() {
            let Some(slot) = region.reader(index) else { break };
            if (slot.in_use.load(Ordering::Relaxed) != 0) != of_the_dead {
                continue;
            }
            if of_the_dead && !shows_a_lock(slot) {
                continue;
            }
            let lock = LockByte::Reader(index);
            let locked = match region.os.try_lock(lock) {
                Ok(true) => true,
                Ok(false) => {
                    if !of_the_dead {
                        why = NoSlot::Lock(None);
                    }
                    continue;
                }
                // The heartbeat must do.
                Err(OsError::Unsupported { .. }) if !of_the_dead => false,
                Err(OsError::Unsupported { .. }) => continue,
                Err(e) => {
                    why = NoSlot::Lock(Some(e));
                    continue;
                }
            };
            // With the lock in hand, an owner that held it is dead, and no reaper is at work here.
            if of_the_dead && shows_a_lock(slot) {
                tracing::debug!(index, "the reader slot of a dead reader is taken over");
                wake_server(region, readers::bury(region, slot, index));
            }
            let id = shmx_os::random_u64();
            let who = Newcomer { id, pid: shmx_os::process_id(), now: clock::ticks(), locked, verifies, every_frame };
            if let Some(change) = readers::attach(region.header(), slot, &who) {
                wake_server(region, change);
                return Ok(Taken { index, id, locked });
            }
            if locked {
                region.os.unlock(lock);
            }
        }
    }
    Err(why)
}

/// Whether the slot's owner says that it holds the lock of its index.
fn shows_a_lock(slot: &ReaderView) -> bool {
    let id = slot.reader_id.load(Ordering::Acquire);
    id != 0 && slot.ext_tag.load(Ordering::Acquire) == id
}
