//! The producer: creates the region, publishes frames, hears its readers.
//!
//! | file | |
//! |---|---|
//! | `builder` | what a server chooses, and what follows from its streams |
//! | `plan` | what a server is to be |
//! | `create` | making the region and its name, taking over from a dead server |
//! | `state` | the server, and what its parts share |
//! | `shared` | the handle for several threads |
//! | `frame` | a frame under construction |
//! | `fill` | a stream that is filled in pieces |
//! | `checksum` | which frames carry one |
//! | `append` | additions to the stream directory |
//! | `control` | messages from the readers |
//! | `reaper` | cleaning up after dead readers |
//! | `wait` | sleeping until readers have something for the server |
//! | `keepers` | what readers that want every frame have taken |
//! | `taken` | overwriting only what readers have taken |
//! | `naming` | what becomes of a server whose name is taken away |
//!
//! The parts know nothing of the server; `state` puts them together, and only the files above it use that.

mod append;
mod builder;
mod checksum;
mod control;
mod create;
mod fill;
mod filling;
mod frame;
mod keepers;
mod naming;
#[cfg(unix)]
mod notice;
mod plan;
mod reaper;
mod shared;
mod state;
mod taken;
mod wait;

pub use builder::ServerBuilder;
pub use checksum::Checksum;
pub use control::{ControlBatch, ControlMsg, DamagedRing};
pub use fill::StreamFill;
pub use filling::Filling;
pub use frame::FrameWriter;
pub use plan::NameLoss;
pub use shared::SharedServer;
pub use state::Server;

use crate::readers::{ReaderInfo, reader_info};
use crate::schema::directory::Directory;
use shmx_abi::RegionLayout;
use shmx_abi::extension::Features;
use shmx_abi::wire::GlobalHeader;
use shmx_os::{LockByte, clock};
use shmx_ring::doorbell;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::sync::Arc;
use std::time::Duration;

impl Server {
    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.region.os.name().as_str()
    }

    /// Whether the name still leads to this server's region; if not, readers that open it from now on do not find this
    /// server. True also where the system fails to say. A system call.
    ///
    /// The server asks by itself twice a second while it publishes or polls, and warns (`tracing`) when this turns false.
    #[must_use]
    pub fn name_is_current(&self) -> bool {
        self.region.os.is_current()
    }

    /// Identifies this server's life.
    #[must_use]
    pub const fn session_id(&self) -> u64 {
        self.producing.session_id
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &RegionLayout {
        &self.region.layout
    }

    /// Bytes of the region that huge pages map in this process, as the kernel has it; `None` if it does not say.
    #[must_use]
    pub fn huge_page_bytes(&self) -> Option<u64> {
        self.region.os.huge_page_bytes()
    }

    /// A copy of the header as it is now. Other processes can write it; nothing here depends on it.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.region.header_copy()
    }

    /// Frames published so far. In a forked child, what the header says.
    #[must_use]
    pub fn frames_published(&self) -> u64 {
        // A lock that another thread held at the fork stays locked in the child.
        if self.region.os.is_forked() {
            return self.region.header().frame_seq.load(Ordering::Acquire);
        }
        self.publisher.lock().published()
    }

    /// The stream directory as this server has written it. In a forked child it may be as the region has it.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        if !self.region.os.is_forked() {
            return self.directory.read().clone();
        }
        // A lock that another thread held at the fork stays locked in the child.
        if let Some(directory) = self.directory.try_read() {
            return directory.clone();
        }
        let session_id = self.producing.session_id;
        let found = self.region.directory_copy().and_then(|found| Directory::parse(session_id, found));
        Arc::new(found.unwrap_or_else(|_| Directory { session_id, ..Directory::default() }))
    }

    /// Takes at most `max` messages out of the control rings, never waiting.
    ///
    /// A damaged ring is reported and goes on behind the damage; it never affects the others. Cleans up after dead
    /// readers if that was not done in the last 100 ms.
    pub fn poll_control(&self, max: usize) -> ControlBatch {
        // First, as a lock that another thread held at the fork stays locked in the child.
        if self.region.os.is_forked() {
            return ControlBatch::default();
        }
        self.do_due_chores();
        let look = || self.control.lock().poll(&self.region, max);
        let batch = look();
        #[cfg(unix)]
        let batch = self.told(batch, look);
        batch
    }

    /// Attached readers, as the header counts them. Any process with write access can change that word.
    #[must_use]
    pub fn readers_connected(&self) -> u32 {
        self.region.header().readers_connected.load(Ordering::Acquire)
    }

    /// Every reader slot as it is now.
    #[must_use]
    pub fn snapshot_readers(&self) -> Vec<ReaderInfo> {
        (0..self.region.layout.reader_slots())
            .filter_map(|i| reader_info(&self.region, i, self.region.os.lock_state(LockByte::Reader(i)), true))
            .collect()
    }

    /// Frees the slots of readers whose process has died, at once and with their leases. Returns their indices.
    ///
    /// Publishing and polling do this ten times a second. Readers of other implementations hold no lock; see
    /// [`Server::reap_stale_readers`].
    pub fn reap_dead_readers(&self) -> Vec<u32> {
        self.reap(None)
    }

    /// The same, and also frees slots of readers without a lock whose last sign of life is longer ago than `timeout`.
    ///
    /// A reader that holds its lock is alive whatever its heartbeat says. A slot that is taken without lock or
    /// heartbeat is given a second from when it was first seen so. Returns the indices freed.
    pub fn reap_stale_readers(&self, timeout: Duration) -> Vec<u32> {
        self.reap(Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn reap(&self, timeout: Option<u64>) -> Vec<u32> {
        // First, as a lock that another thread held at the fork stays locked in the child.
        if self.region.os.is_forked() {
            return Vec::new();
        }
        let mut reaper = self.chores.reaper();
        reaper.reap(&self.region, timeout.map(|t| (clock::ticks(), t)))
    }

    /// Ends the server: readers are told, the name is removed. The same as dropping it.
    pub fn destroy(self) {}

    /// The same while others still hold the server, as handles of a [`SharedServer`] or frames under construction do:
    /// readers are told and the name is removed at once, and the memory goes with the last holder. Once is enough.
    ///
    /// Nobody need look for frames that are published after it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Server};
    ///
    /// let name = format!("doc-end-{}", std::process::id());
    /// let server = Server::builder(&name).create()?.into_shared();
    /// let frame = server.begin_frame()?;
    /// server.end();
    /// assert!(Client::open(&name).is_err());
    /// drop(frame);
    /// # Ok(()) }
    /// ```
    pub fn end(&self) {
        // After a takeover in place the name leads to the other server's region, which is this very object.
        if self.ended.swap(true, Ordering::Relaxed) || self.check_region().is_err() {
            return;
        }
        let h = self.region.header();
        // SeqCst: `ring` looks for sleepers after it, as after a frame.
        h.ext_features.fetch_or(Features::CLOSED as u32, Ordering::SeqCst);
        self.wake(doorbell::ring(&h.ext_doorbell));
        if let Err(error) = self.region.os.remove() {
            tracing::warn!(%error, "the region's name could not be removed");
        }
    }

    /// Whether this process has called [`Server::end`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = shmx::Server::builder(format!("doc-has-ended-{}", std::process::id())).create()?;
    /// assert!(!server.has_ended());
    /// server.end();
    /// assert!(server.has_ended());
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[inline]
    pub fn has_ended(&self) -> bool {
        // Relaxed: nothing is read on the strength of it.
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
