//! What a server consists of, and what its parts share.

use super::checksum::{Checksum, Needs};
use super::control::Receivers;
use super::reaper::{Chores, lease_holders};
use crate::error::BeginError;
use crate::region::Mapped;
use crate::schema::directory::Directory;
use parking_lot::{Mutex, RwLock};
use shmx_os::{Region, clock};
use shmx_ring::sync::{AtomicU8, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, Claimer, Publisher};
use std::sync::Arc;

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
}

/// What every frame of a server has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Producing {
    pub(super) session_id: u64,
    pub(super) checksum: Checksum,
    pub(super) publish_time: bool,
}

impl Server {
    pub(super) fn new(region: Mapped<Region>, producing: Producing, directory: Directory) -> Self {
        let layout = &region.layout;
        Self {
            producing,
            claimer: Claimer::with_flags(layout.slots(), (0..layout.slots()).map(|_| AtomicU8::new(0)).collect()),
            publisher: Mutex::new(Publisher::new(layout.slots())),
            needs: Needs::new(),
            directory: RwLock::new(Arc::new(directory)),
            append_order: Mutex::new(()),
            control: Mutex::new(Receivers::new(layout)),
            chores: Chores::new(layout.reader_slots()),
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

    /// Wakes the readers that sleep on the doorbell, if there may be any.
    #[inline]
    pub(super) fn wake(&self, slept_on: Option<u32>) {
        if let Some(value) = slept_on {
            self.region.os.wake_all(&self.region.header().ext_doorbell, value);
        }
    }

    // Always: its result would go through memory.
    #[inline(always)]
    pub(super) fn claim(&self) -> Result<Claim, BeginError> {
        self.check_region()?;
        match self.claimer.claim(&self.region) {
            Ok(claim) => Ok(claim),
            Err(_) => self.claim_after_reaping(),
        }
    }

    #[cold]
    pub(super) fn claim_after_reaping(&self) -> Result<Claim, BeginError> {
        {
            let mut reaper = self.chores.reaper();
            reaper.reap(&self.region, None);
            reaper.clear_ownerless_leases(&self.region);
        }
        self.claimer.claim(&self.region).map_err(|e| BeginError::NoFreeSlot {
            leased: e.leased,
            writing: e.writing,
            holders: lease_holders(&self.region),
        })
    }

    /// What is done now and then: dead readers are cleaned up after, the name is checked. Not in a forked child.
    #[cold]
    #[inline(never)]
    pub(super) fn do_chores(&self) {
        if self.chores.run(&self.region, clock::ticks()) {
            // A reader that died half attached counted itself nowhere, see `Needs`.
            self.needs.forget();
        }
    }
}
