//! The producer: creates the region, publishes frames, hears its readers.

use crate::error::{BeginError, CreateError, LeaseHolder, RemoveError, StaticError};
use crate::frame::{Frame, Owner};
use crate::region::Mapped;
use crate::remove;
use crate::stream::{StaticState, StaticStream, StreamInfo};
use parking_lot::{Mutex, MutexGuard, RwLock};
use shmx_abi::control::RingGeometry;
use shmx_abi::extension::{Features, ReaderExtension};
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{LayoutError, RegionLayout, RegionParams, TLV_ALIGN, VERSION_MAJOR, VERSION_MINOR, hash, tlv};
use shmx_os::{CreateOptions, LockByte, LockState, Pending, PublishError, Region, RegionName, clock, futex};
use shmx_ring::control::Receiver;
use shmx_ring::sync::{AtomicU8, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, Claimer, Publisher};
use shmx_ring::{bytes, doorbell, reader, readers};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a server chooses about its region. The capacities' defaults are those of the reference's Python package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the region, with or without a leading `/`.
    pub name: String,
    /// Frame slots; a reader that holds `n` leases needs `n` more to leave the producer free. Default 3.
    pub slots: u32,
    /// Readers that can attach. Default 16.
    pub reader_slots: u32,
    /// Bytes for the stream directory; 0 means exactly what it needs at creation. Default 4096.
    pub static_bytes_cap: u32,
    /// Largest payload of a frame in bytes. Default 65536.
    pub frame_bytes_cap: u32,
    /// Bytes of each reader's control ring, 16 of them for its positions; 0 means none. Default 4096.
    pub control_per_reader: u32,
    /// Whether frames carry a checksum. Without one, readers of the reference refuse every frame. Default true.
    pub checksum: bool,
    /// Whether frames carry their publish time. Default true.
    pub publish_time: bool,
    /// Permission bits of the object (Unix). Default 0o600.
    pub mode: u32,
    /// Replace what has the name even if it is a region without liveness lock, or no region at all. A region whose
    /// server lives is never replaced, nor is a directory or a link; one whose server died always is. Default false.
    pub replace: bool,
    /// Ask for huge pages. Default false. Best effort: on Linux `/dev/shm` must be mounted with `huge=advise` or more,
    /// which is not the default (`mount -o remount,huge=advise /dev/shm`). [`Server::huge_page_bytes`] says what came
    /// of it, and readers ask for them on their own side ([`crate::ClientOptions::huge_pages`]).
    pub huge_pages: bool,
}

impl Config {
    /// The defaults under a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            slots: 3,
            reader_slots: 16,
            static_bytes_cap: 4096,
            frame_bytes_cap: 65536,
            control_per_reader: 4096,
            checksum: true,
            publish_time: true,
            mode: 0o600,
            replace: false,
            huge_pages: false,
        }
    }

    fn params(&self) -> RegionParams {
        RegionParams {
            slots: self.slots,
            reader_slots: self.reader_slots,
            static_bytes_cap: self.static_bytes_cap,
            frame_bytes_cap: self.frame_bytes_cap,
            control_per_reader: self.control_per_reader,
        }
    }
}

/// A message from a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMsg {
    /// Id of the reader that owns the ring now.
    pub reader_id: u64,
    /// Index of its reader slot.
    pub reader_index: u32,
    /// Type of the message.
    pub ty: u32,
    /// Its body.
    pub data: Vec<u8>,
}

/// What a poll of the control rings brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlBatch {
    /// Messages, ring by ring, in order within each.
    pub messages: Vec<ControlMsg>,
    /// Rings that were damaged; what waited behind the damage is lost.
    pub damaged: Vec<DamagedRing>,
}

/// A control ring whose positions or records were impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedRing {
    /// Index of the reader slot.
    pub reader_index: u32,
    /// Bytes given up, as far as the ring's positions can be believed.
    pub lost: u64,
}

/// A reader slot at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// Index of the slot.
    pub index: u32,
    /// Id of the reader; 0 while free.
    pub reader_id: u64,
    /// Wire clock of its last sign of life, nanoseconds.
    pub heartbeat: u64,
    /// Id of the last frame it took.
    pub last_frame_seen: u64,
    /// Whether the slot is taken.
    pub in_use: bool,
    /// Liveness lock of the slot.
    pub lock: LockState,
    /// Counters of a reader that keeps them.
    pub extension: Option<ReaderExtension>,
    /// Frame slots that it leases.
    pub leased_slots: u32,
}

pub(crate) fn reader_info<B: crate::region::Backing>(
    region: &Mapped<B>,
    index: u32,
    lock: LockState,
    extended: bool,
) -> Option<ReaderInfo> {
    let slot = region.reader(index)?.load();
    let leased_slots = if extended && index < reader::LEASABLE_READERS {
        (0..region.slot_count()).filter(|&s| reader::leases(region.slot(s)) >> index & 1 == 1).count() as u32
    } else {
        0
    };
    Some(ReaderInfo {
        index,
        reader_id: slot.reader_id,
        heartbeat: slot.heartbeat,
        last_frame_seen: slot.last_frame_seen,
        in_use: slot.in_use != 0,
        lock,
        extension: ReaderExtension::of(&slot),
        leased_slots,
    })
}

/// The producer's end of a region.
///
/// Threads share a server by reference: every method takes `&self`. With one producing thread publishing is
/// wait-free; several take turns for the few stores that put their frames in order.
///
/// Dropping the server tells the readers and removes the region's name; what readers have mapped stays theirs. A region
/// that another server has taken over in place is left alone.
#[derive(Debug)]
pub struct Server {
    pub(crate) region: Mapped<Region>,
    pub(crate) producing: Producing,
    /// With a flag per slot, so that no two frames ever own one slot, whatever others write over its stamp.
    pub(crate) claimer: Claimer<Box<[AtomicU8]>>,
    pub(crate) publisher: Mutex<Publisher>,
    pub(crate) directory: RwLock<Arc<StaticState>>,
    static_lock: Mutex<()>,
    /// The receivers, and the ring to begin with at the next poll.
    control: Mutex<(Vec<Receiver>, usize)>,
    reaper: Mutex<Reaper>,
}

/// What the reaper remembers. There is one at a time: a reader's lock that this server holds already is given to it
/// again, so the lock keeps readers and other processes out and not a second thread of ours. Two that held it would
/// let it go one before the other, and a reader that came in between would lose the leases that it has just begun.
#[derive(Debug)]
struct Reaper {
    /// When a taken slot was first seen without any sign of life, per slot.
    unclaimed_since: Vec<Option<u64>>,
    /// By how much the header's count of readers is off, and since when.
    miscounted_since: Option<(i64, u64)>,
}

/// What every frame of a server has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producing {
    pub(crate) session_id: u64,
    pub(crate) checksum: bool,
    pub(crate) publish_time: bool,
}

/// A slot that is taken but shows neither lock nor heartbeat gets this long before it is taken back, nanoseconds.
const GRACE: u64 = 1_000_000_000;

impl Server {
    /// Creates the region and makes it visible in one step.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; nothing is left behind then.
    pub fn create(config: &Config, streams: &[StaticStream]) -> Result<Self, CreateError> {
        let mut dir_bytes = Vec::new();
        let mut infos: Vec<StreamInfo> = Vec::new();
        for s in streams {
            s.append_to(&infos, &mut dir_bytes)?;
            infos.push(info_of(s));
        }
        Self::create_from(config, dir_bytes, infos)
    }

    /// The same with a directory that is there already, byte for byte: what a recorder took out of another region.
    /// The bytes are not checked; readers check what they read. To a directory that is damaged nothing can be added.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; nothing is left behind then.
    pub fn create_with_directory(config: &Config, directory: &[u8]) -> Result<Self, CreateError> {
        let known = shmx_abi::directory::Directory::new(directory).map_while(Result::ok);
        Self::create_from(config, directory.to_vec(), known.map(StreamInfo::from).collect())
    }

    fn create_from(config: &Config, dir_bytes: Vec<u8>, infos: Vec<StreamInfo>) -> Result<Self, CreateError> {
        let name = RegionName::new(&config.name)?;
        let dir_len =
            u32::try_from(dir_bytes.len()).map_err(|_| LayoutError::TooLarge { total: dir_bytes.len() as u64 })?;
        let layout = RegionLayout::for_params(&config.params(), dir_len)?;
        let options = CreateOptions {
            len: u64::from(layout.total_bytes()),
            mode: config.mode,
            huge_pages: config.huge_pages,
            reader_locks: config.reader_slots,
            ..CreateOptions::default()
        };
        let session_id = shmx_os::random_u64();
        let mut pending = None;
        let mut obstacle = Obstacle::default();
        while obstacle.cleared < 16 {
            let made = match pending.take() {
                Some(p) => p,
                None => match Pending::create(&name, &options) {
                    Ok(p) => Self::prepare(p, layout, config, session_id, &dir_bytes)?,
                    Err(shmx_os::CreateError::Exists { .. }) => {
                        obstacle.clear(&name, config.replace)?;
                        continue;
                    }
                    Err(e) => return Err(e.into()),
                },
            };
            match made.publish() {
                Ok(region) => return Ok(Self::assemble(region, layout, config, session_id, dir_bytes, infos)?),
                Err(PublishError::Exists { pending: p, .. }) => {
                    pending = Some(*p);
                    obstacle.clear(&name, config.replace)?;
                }
                Err(PublishError::Os { source, .. }) => return Err(source.into()),
                Err(_) => break,
            }
        }
        Err(CreateError::Contended { name: name.to_string() })
    }

    /// Fills an object that nobody can open yet, and locks it.
    fn prepare(
        pending: Pending,
        layout: RegionLayout,
        config: &Config,
        session_id: u64,
        dir: &[u8],
    ) -> Result<Pending, CreateError> {
        let available = pending.len() as u64;
        let mut tries = 0;
        let locks = loop {
            match pending.try_lock(LockByte::Server) {
                Ok(true) => break true,
                // Where the object is visible already, another creator may be looking whether anybody holds it.
                Ok(false) if tries < 1000 => tries += 1,
                Ok(false) => return Err(CreateError::Contended { name: pending.name().to_string() }),
                Err(shmx_os::OsError::Unsupported { .. }) => break false,
                Err(e) => return Err(e.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let total = u64::from(layout.total_bytes());
        let mapped = Mapped::new(pending, layout).ok_or(LayoutError::Truncated { total, available })?;
        for i in 0..mapped.slot_count() {
            mapped.slot(i).head.session_id_copy.store(session_id, Ordering::Relaxed);
        }
        bytes::store_bytes(dir, mapped.static_area());
        let h = mapped.header();
        let mut plain = GlobalHeader::default();
        layout.fill_header(&mut plain);
        h.ver_major.store(VERSION_MAJOR, Ordering::Relaxed);
        h.ver_minor.store(VERSION_MINOR, Ordering::Relaxed);
        h.endianness.store(shmx_abi::ENDIAN_TAG, Ordering::Relaxed);
        let mut flags = Features::STAMPS | Features::FRAME_MARKS;
        for (on, flag) in [
            (futex::SUPPORTED, Features::DOORBELL),
            (locks, Features::LOCKS),
            (config.publish_time, Features::PUBLISH_TIME),
            (!config.checksum, Features::NO_CHECKSUM),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let (word, more) = Features::new(session_id, flags).to_wire();
        h.ext_features.store(word, Ordering::Relaxed);
        h.ext_more.store(more, Ordering::Relaxed);
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
        if !dir.is_empty() {
            h.static_bytes_used.store(dir.len() as u32, Ordering::Relaxed);
            h.static_hash.store(hash::fnv1a64(dir), Ordering::Relaxed);
            h.static_gen.store(1, Ordering::Relaxed);
        }
        // Release and last: where objects are visible from the start, who sees the magic sees the rest.
        h.magic.store(shmx_abi::MAGIC, Ordering::Release);
        Ok(mapped.os)
    }

    fn assemble(
        region: Region,
        layout: RegionLayout,
        config: &Config,
        session_id: u64,
        bytes: Vec<u8>,
        streams: Vec<StreamInfo>,
    ) -> Result<Self, LayoutError> {
        let total = u64::from(layout.total_bytes());
        let available = region.len() as u64;
        let region = Mapped::new(region, layout).ok_or(LayoutError::Truncated { total, available })?;
        let geometry = RingGeometry::new(layout.control_per_reader());
        let receivers = geometry.map_or(Vec::new(), |g| (0..layout.reader_slots()).map(|_| Receiver::new(g)).collect());
        let (static_gen, static_hash) = if bytes.is_empty() { (0, 0) } else { (1, hash::fnv1a64(&bytes)) };
        let state = StaticState { session_id, static_gen, static_hash, bytes, streams };
        tracing::info!(name = %region.os.name(), session_id, bytes = total, "region created");
        Ok(Self {
            producing: Producing { session_id, checksum: config.checksum, publish_time: config.publish_time },
            claimer: Claimer::with_flags(layout.slots(), (0..layout.slots()).map(|_| AtomicU8::new(0)).collect()),
            publisher: Mutex::new(Publisher::new(layout.slots())),
            directory: RwLock::new(Arc::new(state)),
            static_lock: Mutex::new(()),
            control: Mutex::new((receivers, 0)),
            reaper: Mutex::new(Reaper {
                unclaimed_since: vec![None; layout.reader_slots() as usize],
                miscounted_since: None,
            }),
            region,
        })
    }

    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.region.os.name().as_str()
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
    pub fn static_state(&self) -> Arc<StaticState> {
        if !self.region.os.is_forked() {
            return self.directory.read().clone();
        }
        // A lock that another thread held at the fork stays locked in the child.
        if let Some(state) = self.directory.try_read() {
            return state.clone();
        }
        let session_id = self.producing.session_id;
        let found = self.region.directory_copy().and_then(|found| StaticState::parse(session_id, found));
        Arc::new(found.unwrap_or_else(|_| StaticState { session_id, ..StaticState::default() }))
    }

    #[inline]
    fn check_region(&self) -> Result<(), BeginError> {
        check_region(&self.region, self.producing.session_id)
    }

    /// Claims a slot for a new frame. Never waits and never overwrites a leased slot.
    ///
    /// When no slot is free, the leases of readers that died are cleared and the claim is tried once more.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    // Always: see below.
    #[inline(always)]
    pub fn begin_frame(&self) -> Result<Frame<'_>, BeginError> {
        let claim = self.claim()?; // not in a forked child
        Ok(Frame::new(Owner::Shared(self), claim, Some(self.directory.read().clone())))
    }

    /// The same for a thread that has the server to itself: publishing takes no lock then.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    // Always: a frame that is returned through memory is moved, and the processor waits for what was stored in other
    // pieces than it is loaded in. Publishing 64 bytes took 65 ns where the compiler did not inline this, and 20 ns
    // where it did.
    #[inline(always)]
    pub fn begin_frame_mut(&mut self) -> Result<Frame<'_>, BeginError> {
        self.check_region()?;
        let claim = match self.claimer.claim_mut(&self.region) {
            Ok(claim) => claim,
            Err(_) => self.claim_after_reaping()?,
        };
        Ok(Frame::new(Owner::Alone(self), claim, None))
    }

    #[inline]
    fn claim(&self) -> Result<Claim, BeginError> {
        self.check_region()?;
        match self.claimer.claim(&self.region) {
            Ok(claim) => Ok(claim),
            Err(_) => self.claim_after_reaping(),
        }
    }

    #[cold]
    fn claim_after_reaping(&self) -> Result<Claim, BeginError> {
        {
            let mut reaper = self.reaper.lock();
            self.reap(&mut reaper, None);
            self.clear_ownerless_leases(&mut reaper);
        }
        self.claimer.claim(&self.region).map_err(|e| self.no_free_slot(e.leased, e.writing))
    }

    fn lease_holders(&self) -> u128 {
        (0..self.region.slot_count()).fold(0, |all, i| all | reader::leases(self.region.slot(i)))
    }

    fn no_free_slot(&self, leased: u32, writing: u32) -> BeginError {
        let bits = self.lease_holders();
        let holders = (0..reader::LEASABLE_READERS).filter(|i| bits >> i & 1 == 1).map(|index| {
            // The lock does not matter here.
            let info = reader_info(&self.region, index, LockState::Unsupported, true);
            LeaseHolder {
                index,
                reader_id: info.map_or(0, |r| r.reader_id),
                pid: info.and_then(|r| r.extension).map(|e| e.pid).filter(|&p| p != 0),
                leased: (0..self.region.slot_count())
                    .filter(|&s| reader::leases(self.region.slot(s)) >> index & 1 == 1)
                    .count() as u32,
            }
        });
        let holders = holders.collect();
        BeginError::NoFreeSlot { leased, writing, holders }
    }

    /// Bits that no attached reader can have set: past the last reader slot, or of a slot that is free.
    fn clear_ownerless_leases(&self, _alone: &mut Reaper) {
        let bits = self.lease_holders();
        for i in (0..reader::LEASABLE_READERS).filter(|i| bits >> i & 1 == 1) {
            let owner = self.region.reader(i).filter(|r| r.in_use.load(Ordering::Acquire) != 0);
            let lock = LockByte::Reader(i);
            // With the lock in hand no reader of ours can be about to attach or to leave.
            if owner.is_none() && self.region.os.try_lock(lock).unwrap_or(false) {
                readers::clear_leases(&self.region, i);
                self.region.os.unlock(lock);
            }
        }
    }

    /// Adds a stream to the directory; readers see it at their next refresh.
    ///
    /// # Errors
    ///
    /// [`StaticError`].
    pub fn add_stream(&self, stream: &StaticStream) -> Result<(), StaticError> {
        let _order = self.lock_static()?;
        let mut bytes = Vec::new();
        stream.append_to(&self.static_state().streams, &mut bytes)?;
        self.append_static(&bytes)
    }

    /// Appends raw records to the static area: directory entries, or records of types of one's own.
    ///
    /// # Errors
    ///
    /// [`StaticError`]; the bytes must be whole records padded to 16 bytes.
    pub fn write_static_append(&self, records: &[u8]) -> Result<(), StaticError> {
        let _order = self.lock_static()?;
        let mut sum = 0;
        for record in tlv::Tlvs::new(records) {
            let record = record.map_err(|_| StaticError::Malformed)?;
            sum += tlv::step(record.body.len() as u32);
        }
        if sum != records.len() as u64 {
            return Err(StaticError::Malformed);
        }
        self.append_static(records)
    }

    /// The right to change the directory.
    fn lock_static(&self) -> Result<MutexGuard<'_, ()>, StaticError> {
        // First, as a lock that another thread held at the fork stays locked in the child.
        self.check_region()?;
        Ok(self.static_lock.lock())
    }

    /// The caller holds `static_lock`.
    fn append_static(&self, records: &[u8]) -> Result<(), StaticError> {
        self.check_region()?;
        if records.is_empty() {
            return Ok(());
        }
        let old = self.static_state();
        let used = old.bytes.len();
        // A directory taken from elsewhere may end without its last record's padding.
        let mut all = old.bytes.clone();
        all.resize(used.next_multiple_of(TLV_ALIGN as usize), 0);
        all.extend_from_slice(records);
        let capacity = self.region.layout.static_bytes_cap();
        let full = StaticError::Full { needed: records.len() as u64, used: used as u32, capacity };
        let place = self.region.static_area().get(used..all.len()).ok_or(full)?;
        let (generation, hash) = (old.static_gen.wrapping_add(1), hash::fnv1a64(&all));
        let state = StaticState::parse(self.producing.session_id, (generation, hash, all))
            .map_err(|_| StaticError::Malformed)?;
        // What is there already may end in bytes that make the new records part of one of their own.
        let added = shmx_abi::directory::Directory::new(records).map_while(Result::ok).map(StreamInfo::from);
        if !state.streams.iter().skip(old.streams.len()).cloned().eq(added) {
            return Err(StaticError::Malformed);
        }
        let mut ids: Vec<u32> = state.streams.iter().map(|s| s.id).collect();
        ids.sort_unstable();
        if let Some(w) = ids.windows(2).find(|w| w[0] == w[1]) {
            return Err(crate::error::StreamError::DuplicateId { id: w[0] }.into());
        }
        bytes::store_bytes(&state.bytes[used..], place);
        let h = self.region.header();
        // Release each: a reader that sees the length sees the bytes; it checks the hash and the generation as well.
        h.static_bytes_used.store(state.bytes.len() as u32, Ordering::Release);
        h.static_hash.store(hash, Ordering::Release);
        h.static_gen.store(generation, Ordering::Release);
        *self.directory.write() = Arc::new(state);
        Ok(())
    }

    /// Takes at most `max` messages out of the control rings, never waiting.
    ///
    /// A damaged ring is reported and goes on behind the damage; it never affects the others.
    pub fn poll_control(&self, max: usize) -> ControlBatch {
        let mut batch = ControlBatch::default();
        if self.region.os.is_forked() {
            return batch;
        }
        let mut control = self.control.lock();
        let (receivers, first) = &mut *control;
        let count = receivers.len();
        // Each poll begins one ring further, so that a busy reader and a small `max` starve nobody.
        let start = *first;
        *first = (start + 1) % count.max(1);
        for index in (0..count).map(|i| (start + i) % count) {
            let receiver = &mut receivers[index];
            let reader_index = index as u32;
            let (Some(ring), Some(slot)) = (self.region.control(reader_index), self.region.reader(reader_index)) else {
                break;
            };
            let result = receiver.poll(ring, |m| {
                if batch.messages.len() >= max {
                    return false;
                }
                let mut data = vec![0; m.len()];
                m.body(&mut data);
                let reader_id = slot.reader_id.load(Ordering::Acquire);
                batch.messages.push(ControlMsg { reader_id, reader_index, ty: m.ty, data });
                true
            });
            if let Err(e) = result {
                tracing::warn!(reader_index, lost = e.lost, "control ring damaged");
                batch.damaged.push(DamagedRing { reader_index, lost: e.lost });
            }
        }
        batch
    }

    /// Attached readers, as the header counts them. Any process can write that word.
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
    /// Readers of other implementations hold no lock; see [`Server::reap_stale_readers`].
    pub fn reap_dead_readers(&self) -> Vec<u32> {
        self.reap_alone(None)
    }

    /// The same, and also frees slots of readers without a lock whose heartbeat is older than `timeout_ticks` at
    /// `now_ticks` (nanoseconds of the wire clock, [`shmx_os::clock::ticks`]).
    ///
    /// A reader that holds its lock is alive whatever its heartbeat says. A slot that is taken without lock or
    /// heartbeat is given a second from when it was first seen so. Returns the indices freed.
    pub fn reap_stale_readers(&self, now_ticks: u64, timeout_ticks: u64) -> Vec<u32> {
        self.reap_alone(Some((now_ticks, timeout_ticks)))
    }

    fn reap_alone(&self, stale: Option<(u64, u64)>) -> Vec<u32> {
        // First, as a lock that another thread held at the fork stays locked in the child.
        if self.region.os.is_forked() {
            return Vec::new();
        }
        self.reap(&mut self.reaper.lock(), stale)
    }

    fn reap(&self, reaper: &mut Reaper, stale: Option<(u64, u64)>) -> Vec<u32> {
        let mut reaped = Vec::new();
        for index in 0..self.region.layout.reader_slots() {
            let Some(slot) = self.region.reader(index) else { break };
            let since = &mut reaper.unclaimed_since[index as usize];
            if slot.in_use.load(Ordering::Acquire) == 0 {
                *since = None;
                continue;
            }
            let lock = LockByte::Reader(index);
            // Taking the lock proves that no reader of ours lives here, and keeps new ones out meanwhile.
            match self.region.os.try_lock(lock) {
                // Without locks on this platform, heartbeats must do.
                Ok(true) | Err(shmx_os::OsError::Unsupported { .. }) => {}
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
                readers::clear_leases(&self.region, index);
                readers::detach(self.region.header(), slot);
                *since = None;
                reaped.push(index);
                tracing::info!(index, reader_id = id, "reader reaped");
            }
            self.region.os.unlock(lock);
        }
        self.mend_count(&mut reaper.miscounted_since);
        reaped
    }

    /// Sets the header's count of readers right. A reader that dies between taking its slot and counting itself, or
    /// between leaving it and uncounting itself, leaves the count wrong for ever; one that lives is done in less than
    /// the time of grace.
    fn mend_count(&self, since: &mut Option<(i64, u64)>) {
        let counted = &self.region.header().readers_connected;
        let seen = counted.load(Ordering::Acquire);
        let slots = (0..self.region.layout.reader_slots()).filter_map(|i| self.region.reader(i));
        let used = slots.filter(|r| r.in_use.load(Ordering::Acquire) != 0).count() as u32;
        let off = i64::from(seen) - i64::from(used);
        if off == 0 {
            *since = None;
            return;
        }
        let now = clock::ticks();
        match *since {
            Some((before, at)) if before == off => {
                // A count that changes now is looked at again the next time.
                if now.saturating_sub(at) > GRACE
                    && counted.compare_exchange(seen, used, Ordering::AcqRel, Ordering::Relaxed).is_ok()
                {
                    *since = None;
                }
            }
            _ => *since = Some((off, now)),
        }
    }

    /// Ends the server: readers are told, the name is removed. The same as dropping it.
    pub fn destroy(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.region.os.is_forked() {
            return;
        }
        // After a takeover in place the name leads to the other server's region, which is this very object.
        if self.check_region().is_err() {
            return;
        }
        let h = self.region.header();
        // SeqCst: `ring` looks for sleepers after it, as after a frame.
        h.ext_features.fetch_or(Features::CLOSED as u32, Ordering::SeqCst);
        wake(&self.region, doorbell::ring(&h.ext_doorbell));
        if let Err(error) = self.region.os.remove() {
            tracing::warn!(%error, "the region's name could not be removed");
        }
    }
}

/// Whether the region is still this server's: not inherited by a fork, not taken over in place by somebody else.
#[inline]
pub(crate) fn check_region(region: &Mapped<Region>, session_id: u64) -> Result<(), BeginError> {
    if region.os.is_forked() {
        return Err(BeginError::Forked);
    }
    let found = region.header().session_id.load(Ordering::Relaxed);
    if found != session_id {
        return Err(BeginError::SessionLost { found, expected: session_id });
    }
    Ok(())
}

/// Wakes the readers that sleep on the doorbell, if there may be any.
#[inline]
pub(crate) fn wake(region: &Mapped<Region>, slept_on: Option<u32>) {
    if let Some(value) = slept_on {
        region.os.wake_all(&region.header().ext_doorbell, value);
    }
}

fn info_of(s: &StaticStream) -> StreamInfo {
    StreamInfo {
        id: s.id,
        element_type_code: s.element_type.to_wire(),
        components: s.components,
        layout_code: s.layout.to_wire(),
        bytes_per_elem: s.bytes_per_elem,
        name: s.name.clone().into_bytes(),
        extra: s.extra.clone(),
    }
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
