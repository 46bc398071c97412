//! Making a region and its name, and taking over from a dead server.

use super::checksum::Checksum;
use super::plan::Plan;
use super::state::{Producing, Server};
use crate::error::{CreateError, RemoveError};
use crate::region::Mapped;
use crate::remove;
use crate::schema::directory::Directory;
use shmx_abi::extension::Features;
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{LayoutError, VERSION_MAJOR, VERSION_MINOR, hash};
use shmx_os::{CreateOptions, LockByte, OsError, Pending, PublishError, RegionName, futex};
use shmx_ring::bytes;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::mem;
use std::time::{Duration, Instant};

/// Creates the region and makes it visible in one step, if it is wanted then. Nothing is left behind by an error.
pub(super) fn create(plan: Plan, wanted: &mut dyn FnMut() -> bool) -> Result<Server, CreateError> {
    let total = u64::from(plan.layout.total_bytes());
    let options = CreateOptions {
        len: total,
        mode: plan.mode,
        group: plan.group,
        huge_pages: plan.huge_pages,
        reader_locks: plan.layout.reader_slots(),
        ..CreateOptions::default()
    };
    let session_id = shmx_os::random_u64();
    let mut pending = None;
    let mut obstacle = Obstacle::default();
    while obstacle.cleared < 16 {
        let made = match pending.take() {
            Some(p) => p,
            None => match Pending::create(&plan.name, &options) {
                Ok(p) => prepare(p, &plan, session_id)?,
                Err(shmx_os::CreateError::Exists { .. }) => {
                    obstacle.clear(&plan.name, plan.replace)?;
                    continue;
                }
                Err(e) => return Err(e.into()),
            },
        };
        if !wanted() {
            return Err(CreateError::NotWanted);
        }
        match made.publish() {
            Ok(region) => {
                let available = region.len() as u64;
                let region = Mapped::new(region, plan.layout).ok_or(LayoutError::Truncated { total, available })?;
                tracing::info!(name = %plan.name, session_id, bytes = total, "region created");
                let mut plan = plan;
                let (bytes, streams) = (mem::take(&mut plan.directory), mem::take(&mut plan.streams));
                let (generation, hash) = generation_and_hash(&bytes);
                let directory = Directory { session_id, generation, hash, bytes, streams };
                let Plan { checksum, publish_time, ring_always, streaming_stores, name_loss, .. } = plan;
                let producing =
                    Producing { session_id, checksum, publish_time, ring_always, streaming_stores, name_loss };
                return Ok(Server::new(region, producing, directory, plan));
            }
            Err(PublishError::Exists { pending: p, .. }) => {
                pending = Some(*p);
                obstacle.clear(&plan.name, plan.replace)?;
            }
            Err(PublishError::Os { source, .. }) => return Err(source.into()),
            Err(_) => break,
        }
    }
    Err(CreateError::Contended { name: plan.name.to_string() })
}

/// Of a directory that a region begins with.
fn generation_and_hash(directory: &[u8]) -> (u32, u64) {
    if directory.is_empty() { (0, 0) } else { (1, hash::fnv1a64(directory)) }
}

/// Fills an object that nobody can open yet, and locks it.
fn prepare(pending: Pending, plan: &Plan, session_id: u64) -> Result<Pending, CreateError> {
    let locks = lock(&pending)?;
    let (layout, directory) = (plan.layout, plan.directory.as_slice());
    let truncated = LayoutError::Truncated { total: u64::from(layout.total_bytes()), available: pending.len() as u64 };
    let mapped = Mapped::new(pending, layout).ok_or(truncated)?;
    for i in 0..mapped.slot_count() {
        mapped.slot(i).head.session_id_copy.store(session_id, Ordering::Relaxed);
    }
    bytes::store_bytes(directory, mapped.static_area());
    let h = mapped.header();
    let mut plain = GlobalHeader::default();
    layout.fill_header(&mut plain);
    h.ver_major.store(VERSION_MAJOR, Ordering::Relaxed);
    h.ver_minor.store(VERSION_MINOR, Ordering::Relaxed);
    h.endianness.store(shmx_abi::ENDIAN_TAG, Ordering::Relaxed);
    let (word, more) = features(plan, session_id, locks).to_wire();
    h.ext_features.store(word, Ordering::Relaxed);
    h.ext_more.store(more, Ordering::Relaxed);
    h.ext_doorbell.store(u32::from(plan.ring_always), Ordering::Relaxed);
    h.ext_server_pid.store(shmx_os::process_id(), Ordering::Relaxed);
    h.session_id.store(session_id, Ordering::Relaxed);
    for (field, value) in [
        (&h.static_offset, plain.static_offset),
        (&h.static_bytes_cap, plain.static_bytes_cap),
        (&h.slots, plain.slots),
        (&h.slot_stride, plain.slot_stride),
        (&h.slots_offset, plain.slots_offset),
        (&h.frame_bytes_cap, plain.frame_bytes_cap),
        (&h.reader_slots, plain.reader_slots),
        (&h.reader_slot_stride, plain.reader_slot_stride),
        (&h.readers_offset, plain.readers_offset),
        (&h.control_offset, plain.control_offset),
        (&h.control_per_reader, plain.control_per_reader),
        (&h.control_stride, plain.control_stride),
    ] {
        field.store(value, Ordering::Relaxed);
    }
    let (generation, hash) = generation_and_hash(directory);
    h.static_bytes_used.store(directory.len() as u32, Ordering::Relaxed);
    h.static_hash.store(hash, Ordering::Relaxed);
    h.static_gen.store(generation, Ordering::Relaxed);
    // Release and last: where objects are visible from the start, who sees the magic sees the rest.
    h.magic.store(shmx_abi::MAGIC, Ordering::Release);
    Ok(mapped.os)
}

/// Takes the server's lock. False where there are no locks.
fn lock(pending: &Pending) -> Result<bool, CreateError> {
    for _ in 0..1000 {
        match pending.try_lock(LockByte::Server) {
            Ok(true) => return Ok(true),
            // Where the object is visible already, another creator may be asking whether anybody holds it.
            Ok(false) => std::thread::sleep(Duration::from_millis(1)),
            Err(OsError::Unsupported { .. }) => return Ok(false),
            Err(e) => return Err(e.into()),
        }
    }
    Err(CreateError::Contended { name: pending.name().to_string() })
}

fn features(plan: &Plan, session_id: u64, locks: bool) -> Features {
    let mut flags = Features::STAMPS | Features::FRAME_MARKS | Features::PROGRESS;
    for (on, flag) in [
        (futex::is_supported(), Features::DOORBELL),
        (futex::is_supported(), Features::CONTROL_BELL),
        (futex::is_supported() && plan.ring_always, Features::RING_ALWAYS),
        (locks, Features::LOCKS),
        (plan.publish_time, Features::PUBLISH_TIME),
        (plan.checksum == Checksum::Never, Features::NO_CHECKSUM),
    ] {
        flags |= if on { flag } else { 0 };
    }
    Features::new(session_id, flags)
}

/// What has the name that a server wants.
#[derive(Default)]
struct Obstacle {
    /// How often the name was found free or made free.
    cleared: u32,
    /// Since when it is in use although no server holds it.
    in_use_since: Option<Instant>,
}

/// How long a name may be in use by those who read what a dead server has left, or by a creator that has just begun.
/// Only where the system gives a name back with its last user (Windows), or shows objects before they are complete.
const PATIENCE: Duration = Duration::from_secs(2);

impl Obstacle {
    /// Frees the name if that is allowed; Ok means try again.
    fn clear(&mut self, name: &RegionName, replace: bool) -> Result<(), CreateError> {
        match remove::clear(name, replace) {
            Ok(_) => {
                self.cleared += 1;
                Ok(())
            }
            Err(RemoveError::InUse { .. } | RemoveError::Unfinished { .. })
                if self.in_use_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }
}
