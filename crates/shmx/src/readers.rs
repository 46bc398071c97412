//! What a reader slot says: for the server and for who only looks.

use crate::region::{Backing, Mapped};
use shmx_abi::extension::ReaderExtension;
use shmx_abi::wire::{self, ReaderSlot};
use shmx_os::LockState;
use shmx_ring::reader;
use shmx_ring::view::Slots;

/// A reader slot at one moment. Any process with write access can have written it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server};
///
/// let name = format!("doc-readers-{}", std::process::id());
/// let server = Server::builder(&name).create()?;
/// let _client = Client::open(&name)?;
/// let reader = server.snapshot_readers().into_iter().find(|r| r.in_use).expect("one is attached");
/// assert_eq!(reader.extension.map(|e| (e.delivered, e.missed, e.rejected)), Some((0, 0, 0)));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderInfo {
    /// Index of the slot.
    pub index: u32,
    /// Id of the reader; 0 while free.
    pub reader_id: u64,
    /// Wire clock of its last sign of life, nanoseconds; 0 until the first.
    pub heartbeat: u64,
    /// Id of the last frame it took.
    pub last_frame_seen: u64,
    /// Whether the slot is taken.
    pub in_use: bool,
    /// Liveness lock of the slot.
    pub lock: LockState,
    /// Process and counters (delivered, missed, rejected) of a reader that keeps them; readers of the original do not.
    pub extension: Option<ReaderExtension>,
    /// Frame slots that it leases.
    pub leased_slots: u32,
}

/// Reads reader slot `index`; `None` past the last one. Leases are counted where there are any (`extended`).
pub(crate) fn reader_info<B: Backing>(
    region: &Mapped<B>,
    index: u32,
    lock: LockState,
    extended: bool,
) -> Option<ReaderInfo> {
    let at = region.layout.reader_slot(index)?;
    let slot: ReaderSlot = wire::read_at(&region.copy(at..at + size_of::<ReaderSlot>()), 0)?;
    Some(ReaderInfo {
        index,
        reader_id: slot.reader_id,
        heartbeat: slot.heartbeat,
        last_frame_seen: slot.last_frame_seen,
        in_use: slot.in_use != 0,
        lock,
        extension: ReaderExtension::of(&slot),
        leased_slots: if extended { leased_slots(region, index) } else { 0 },
    })
}

/// Frame slots that carry the lease bit of reader `index`.
pub(crate) fn leased_slots<B: Backing>(region: &Mapped<B>, index: u32) -> u32 {
    if index >= reader::LEASABLE_READERS {
        return 0;
    }
    (0..region.slot_count()).filter(|&s| reader::leases(region.slot(s)) >> index & 1 == 1).count() as u32
}

/// Wakes the server if it sleeps while a reader comes or goes.
pub(crate) fn wake_server(region: &Mapped<shmx_os::Region>, change: shmx_ring::readers::Change) {
    if let Some(value) = change.wake {
        region.os.wake_all(&region.header().ext_more, value);
    }
}
