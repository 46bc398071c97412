//! What a server consists of, and what its parts share.

use super::checksum::{Checksum, Needs};
use super::control::Receivers;
use super::keepers::Keepers;
use super::plan::{NameLoss, Plan};
use super::reaper::{Chores, lease_holders};
use crate::error::BeginError;
use crate::region::Mapped;
use crate::schema::directory::Directory;
use parking_lot::{Mutex, RwLock};
use shmx_os::{Region, clock};
use shmx_ring::doorbell;
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, Claimer, NoFreeSlot, Publisher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The producer's end of a region.
///
/// A server belongs to one producing thread: beginning a frame takes `&mut self`, and publishing it takes no lock.
/// Several threads publish through [`SharedServer`](crate::SharedServer) ([`Server::into_shared`]). Everything else
/// takes `&self`.
///
/// Readers that died are cleaned up after ten times a second, by publishing and by [`Server::poll_control`]. A server
/// that does neither for long can call [`Server::reap_dead_readers`].
///
/// Dropping the server tells the readers and removes the region's name; what readers have mapped stays theirs. A region
/// that another server has taken over in place is left alone.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
///
/// let name = format!("doc-server-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).stream(POSITION, 4096).create()?;
/// let mut frame = server.begin_frame()?;
/// frame.append_value(TICK, 7)?;
/// let xyz = frame.reserve_stream(POSITION, 2)?;
/// xyz.copy_from_slice(&[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
/// assert_eq!(frame.publish_frame(0.5)?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    pub(super) region: Mapped<Region>,
    pub(super) producing: Producing,
    /// With a flag per slot, so that no two frames ever own one slot, whatever others write over its stamp.
    pub(super) claimer: Claimer<Box<[AtomicU8]>>,
    pub(super) publisher: Mutex<Publisher>,
    pub(super) needs: Needs,
    pub(super) directory: RwLock<Arc<Directory>>,
    /// Held by who adds to the directory.
    pub(super) append_order: Mutex<()>,
    pub(super) control: Mutex<Receivers>,
    pub(super) chores: Chores,
    /// The descriptor that tells of readers, once it was asked for.
    #[cfg(unix)]
    pub(super) control_fd: Mutex<Option<shmx_os::WaitFd>>,
    pub(super) keepers: Keepers,
    /// The session that the header must have for a frame to be begun: the server's own, or 0 once the name is lost and
    /// that matters ([`NameLoss`]).
    pub(super) begins_in: AtomicU64,
    /// How the region was made, without its directory.
    pub(super) plan: Box<Plan>,
    /// Set by the first [`Server::end`].
    pub(super) ended: AtomicBool,
}

/// What every frame of a server has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Producing {
    pub(super) session_id: u64,
    pub(super) checksum: Checksum,
    pub(super) publish_time: bool,
    pub(super) ring_always: bool,
    pub(super) streaming_stores: bool,
    pub(super) name_loss: NameLoss,
}

impl Server {
    pub(super) fn new(region: Mapped<Region>, producing: Producing, directory: Directory, plan: Plan) -> Self {
        let layout = &region.layout;
        Self {
            producing,
            claimer: Claimer::with_flags(layout.slots(), (0..layout.slots()).map(|_| AtomicU8::new(0)).collect())
                .with_history(plan.history),
            publisher: Mutex::new(Publisher::new(layout.slots())),
            needs: Needs::new(),
            directory: RwLock::new(Arc::new(directory)),
            append_order: Mutex::new(()),
            control: Mutex::new(Receivers::new(layout)),
            chores: Chores::new(layout.reader_slots()),
            #[cfg(unix)]
            control_fd: Mutex::new(None),
            keepers: Keepers::new(),
            begins_in: AtomicU64::new(producing.session_id),
            plan: Box::new(plan),
            ended: AtomicBool::new(false),
            region,
        }
    }

    /// Whether the region is still this server's: not inherited by a fork, not taken over in place by somebody else.
    #[inline]
    pub(super) fn check_region(&self) -> Result<(), BeginError> {
        if self.region.os.is_forked() {
            return Err(BeginError::Forked);
        }
        let expected = self.producing.session_id;
        let found = self.region.header().session_id.load(Ordering::Relaxed);
        if found != expected {
            return Err(BeginError::SessionLost { found, expected });
        }
        Ok(())
    }

    /// Whether frames may be begun: the region is this server's, and has its name where that matters.
    #[inline]
    pub(super) fn check_ours(&self) -> Result<(), BeginError> {
        // Relaxed: the word is complete in itself.
        let found = self.region.header().session_id.load(Ordering::Relaxed);
        if self.region.os.is_forked() || found != self.begins_in.load(Ordering::Relaxed) {
            return Err(self.not_ours());
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn not_ours(&self) -> BeginError {
        self.check_region().err().unwrap_or_else(|| BeginError::NameLost { name: self.region.os.name().to_string() })
    }

    /// Wakes the readers that sleep on the doorbell, if there may be any.
    #[inline]
    pub(super) fn wake(&self, slept_on: Option<u32>) {
        if let Some(value) = slept_on {
            self.wake_sleepers(value);
        }
    }

    #[inline(never)]
    fn wake_sleepers(&self, value: u32) {
        let bell = &self.region.header().ext_doorbell;
        if self.producing.ring_always {
            doorbell::keep_odd(bell);
        }
        self.region.os.wake_all(bell, value);
    }

    // Always: its result would go through memory.
    #[inline(always)]
    pub(super) fn claim(&self) -> Result<Claim, BeginError> {
        self.check_ours()?;
        match self.claimer.claim(&self.region) {
            Ok(claim) => Ok(claim),
            Err(_) => self.claim_after_reaping(),
        }
    }

    #[cold]
    pub(super) fn claim_after_reaping(&self) -> Result<Claim, BeginError> {
        self.reaping(|| self.claimer.claim(&self.region)).map_err(|e| self.no_free_slot(e))
    }

    /// Frees what the dead hold, then claims.
    pub(super) fn reaping(&self, claim: impl FnOnce() -> Result<Claim, NoFreeSlot>) -> Result<Claim, NoFreeSlot> {
        {
            let mut reaper = self.chores.reaper();
            reaper.reap(&self.region, None);
            reaper.clear_ownerless_leases(&self.region);
        }
        claim()
    }

    pub(super) fn no_free_slot(&self, e: NoFreeSlot) -> BeginError {
        BeginError::NoFreeSlot { leased: e.leased, writing: e.writing, holders: lease_holders(&self.region) }
    }

    /// What is done now and then: dead readers are cleaned up after, the name is checked. Not in a forked child.
    #[cold]
    #[inline(never)]
    pub(super) fn do_chores(&self) {
        if !self.chores.run(&self.region, clock::ticks()) {
            return;
        }
        // A reader that died half attached counted itself nowhere, see `Needs`.
        self.needs.forget();
        self.note_name();
        if self.producing.ring_always {
            // Should another process have made it even, nobody would ring any more.
            doorbell::keep_odd(&self.region.header().ext_doorbell);
        }
    }

    /// The chores if they are due; for who does not know the time.
    pub(super) fn do_due_chores(&self) {
        if self.chores.are_due(clock::ticks()) {
            self.do_chores();
        }
    }
}
