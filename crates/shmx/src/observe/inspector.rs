//! Looks at a region without being noticed: a read-only mapping, no reader slot, no lock.

use super::outline::{FrameOutline, walk};
use super::slots::{SlotBrief, SlotContent, SlotState, SlotView};
use super::state::{ServerState, server_state};
use crate::error::{DirectoryReadError, LookupError, OpenError, ReadError};
use crate::frame::{ChecksumState, OwnedFrame};
use crate::readers::{ReaderInfo, reader_info};
use crate::region::{Mapped, ReadOnly, map_read_only};
use crate::schema::catalog::Catalog;
use crate::schema::directory::Directory;
use crate::schema::key::StreamKey;
use crate::schema::stream::StreamId;
use crate::slot::buffer::Pool;
use crate::slot::read::{self, ATTEMPTS, Current, Expected, Miss, is_reserved, is_rewritten, number_in};
use parking_lot::Mutex;
use shmx_abi::control::{ControlCorrupt, ControlRing, RingGeometry};
use shmx_abi::extension::Features;
use shmx_abi::wire::{FrameHeader, GlobalHeader};
use shmx_abi::{Element, RegionLayout, hash};
use shmx_os::{LockByte, LockState, ReadOnlyRegion, RegionName};
use shmx_ring::bytes::copy_out;
use shmx_ring::load;
use shmx_ring::reader::{self, FrameSnapshot};
use shmx_ring::sync::AtomicU64;
use shmx_ring::view::{ControlPositions, Slots};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A message seen in a control ring and left there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekedMsg {
    /// Its type.
    pub ty: u32,
    /// Its body.
    pub data: Vec<u8>,
}

/// How full a control ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlFill {
    /// Bytes there are for messages.
    pub capacity: u64,
    /// Bytes that wait for the server; none if the ring's positions are impossible.
    pub waiting: Option<u64>,
    /// Bytes that were ever sent: the sender's position.
    pub sent: u64,
}

/// Tries to see a slot undisturbed. Few, because the callers come back anyway.
const TRIES: u32 = 8;
/// Bytes hashed between two looks at the stamp.
const HASH_STEP: usize = 256 * 1024;

/// A read-only view of a live region or of a dump.
///
/// The mapping is read-only in hardware, so nothing this type does can change a running stream.
#[derive(Debug)]
pub struct Inspector {
    region: Mapped<ReadOnly>,
    buffers: Arc<Pool>,
    catalog: Mutex<Arc<Catalog>>,
}

impl Inspector {
    /// Opens a live region, or what a dead server has left.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let name = RegionName::new(name)?;
        Self::new(ReadOnlyRegion::open(&name)?, name.as_str())
    }

    /// Opens a dump: a file with the bytes of a whole region.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_file(path: &Path) -> Result<Self, OpenError> {
        Self::new(ReadOnlyRegion::from_file(path)?, &path.display().to_string())
    }

    fn new(os: ReadOnlyRegion, name: &str) -> Result<Self, OpenError> {
        let region = map_read_only(os, name)?;
        let catalog = Mutex::new(Arc::new(Catalog::new(load::count(&region.header().session_id))));
        Ok(Self { region, buffers: Arc::default(), catalog })
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.region.header_copy()
    }

    /// Where everything lies, as checked when the region was opened.
    #[must_use]
    pub const fn layout(&self) -> &RegionLayout {
        &self.region.layout
    }

    /// Features the server announces now.
    #[must_use]
    pub fn features(&self) -> Features {
        Features::of(&self.header())
    }

    /// The server's liveness lock; only meaningful where [`Features::LOCKS`] is announced.
    #[must_use]
    pub fn server_lock(&self) -> LockState {
        self.region.os.0.lock_state(LockByte::Server)
    }

    /// Whether the name still leads to this region. True for dumps, and where the system fails to say.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.region.os.0.is_current()
    }

    /// Whose the object is, and what others may do with it; `None` for dumps and where the platform does not tell.
    #[must_use]
    pub fn owner(&self) -> Option<shmx_os::Owner> {
        self.region.os.0.owner()
    }

    /// Whether the process with this id uses the region; `None` where nobody can tell. A process id in a region may be
    /// of another process namespace, or used again: ask this before naming a process to people.
    #[must_use]
    pub fn is_used_by(&self, pid: u32) -> Option<bool> {
        self.region.os.0.is_used_by(pid)
    }

    /// What is known about the server.
    #[must_use]
    pub fn server_state(&self) -> ServerState {
        server_state(&self.region)
    }

    /// Whether the object still has all bytes of the region. If another process has cut it, touching the mapping ends
    /// this process by a signal; whoever watches for long asks this before each look.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.region.os.0.len_now().is_none_or(|len| len >= u64::from(self.region.layout.total_bytes()))
    }

    /// The stream directory as it is now. Read anew only if it has changed.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.catalog().current(&self.region)
    }

    /// A stream of the region with elements of type `T`, for reading without further looks at the directory.
    ///
    /// # Errors
    ///
    /// [`LookupError`]: what the region has instead.
    pub fn stream<T: Element>(&self, stream: impl StreamKey<T>) -> Result<StreamId<T>, LookupError> {
        self.catalog().resolve(&*self.directory()?, stream)
    }

    /// That of the session that the region has now.
    fn catalog(&self) -> Arc<Catalog> {
        let session_id = load::count(&self.region.header().session_id);
        let mut catalog = self.catalog.lock();
        if catalog.session_id() != session_id {
            *catalog = Arc::new(Catalog::new(session_id));
        }
        catalog.clone()
    }

    /// Every reader slot.
    #[must_use]
    pub fn snapshot_readers(&self) -> Vec<ReaderInfo> {
        let extended = self.features().is_extended();
        (0..self.region.layout.reader_slots())
            .filter_map(|i| reader_info(&self.region, i, self.region.os.0.lock_state(LockByte::Reader(i)), extended))
            .collect()
    }

    /// The newest frame; `None` while there is none.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if what is there cannot be a frame, or the producer was faster at every attempt.
    pub fn latest(&self) -> Result<Option<OwnedFrame>, ReadError> {
        let expected = self.expected();
        for _ in 0..ATTEMPTS {
            let number = reader::newest(&self.region);
            let Some(slot) = self.region.layout.slot_of_sequence(number) else { return Ok(None) };
            match self.copy(slot, expected) {
                Ok(frame) => return Ok(Some(frame)),
                Err(Miss::Empty) if reader::newest(&self.region) == number => return Ok(None),
                Err(Miss::Error(e)) => return Err(e),
                Err(Miss::Empty | Miss::Disturbed) => std::thread::yield_now(),
            }
        }
        if is_rewritten(&self.region, expected.features) {
            return Ok(None);
        }
        Err(ReadError::Lapped { attempts: ATTEMPTS })
    }

    fn frame(&self, slot: u32) -> Result<Option<OwnedFrame>, ReadError> {
        let expected = self.expected();
        for _ in 0..ATTEMPTS {
            match self.copy(slot, expected) {
                Ok(frame) => return Ok(Some(frame)),
                Err(Miss::Empty) => return Ok(None),
                Err(Miss::Error(e)) => return Err(e),
                Err(Miss::Disturbed) => std::thread::yield_now(),
            }
        }
        Err(ReadError::Lapped { attempts: ATTEMPTS })
    }

    /// By copy, and a wrong checksum is shown instead of rejected.
    fn copy(&self, slot: u32, expected: Expected) -> Result<OwnedFrame, Miss> {
        let (mut words, mut current) = (self.buffers.take(0), Current::default());
        // Whether it was right stands in `current`.
        let _ = read::copy(&self.region, self.region.slot(slot), slot, expected, &mut current, |n| words.at_least(n))?;
        let catalog = self.catalog();
        catalog.refresh(&self.region);
        Ok(OwnedFrame::copied(current, expected.features, catalog, words))
    }

    fn expected(&self) -> Expected {
        let h = self.header();
        Expected { session_id: h.session_id, features: Features::of(&h), verify: true }
    }

    /// A slot with what it holds; `None` past the last one.
    #[must_use]
    pub fn slot_view(&self, index: u32) -> Option<SlotView> {
        self.region.layout.frame_slot(index)?;
        let header = self.region.slot(index).head.load();
        let extended = self.features().is_extended();
        let leases = if extended { reader::leases(self.region.slot(index)) } else { 0 };
        let state = match self.frame(index) {
            Ok(Some(view)) => SlotState::Frame(view),
            Ok(None) => SlotState::Empty,
            Err(ReadError::Lapped { .. }) => SlotState::Writing,
            Err(e) => SlotState::Bad(e),
        };
        Some(SlotView { index, header, leases, state })
    }

    /// Every slot with what it holds.
    #[must_use]
    pub fn list_slots(&self) -> Vec<SlotView> {
        (0..self.region.layout.slots()).filter_map(|i| self.slot_view(i)).collect()
    }

    /// The messages waiting in a reader's control ring, left there; empty without a ring.
    ///
    /// # Errors
    ///
    /// [`ControlCorrupt`] if the ring is damaged, or was written while we looked.
    pub fn peek_control(&self, reader_index: u32) -> Result<Vec<PeekedMsg>, ControlCorrupt> {
        let ring = self.region.layout.control_ring(reader_index).zip(self.region.control(reader_index));
        let Some((at, ring)) = ring else { return Ok(Vec::new()) };
        // Before the messages, so that those up to the write position are there.
        let positions = ring.head.load();
        let mut bytes = self.region.copy(at..at + self.region.layout.control_per_reader() as usize);
        for (at, position) in [(0, positions.read), (8, positions.write)] {
            bytes[at..at + 8].copy_from_slice(&position.to_ne_bytes());
        }
        let Some(ring) = ControlRing::new(&bytes) else { return Ok(Vec::new()) };
        ring.map(|m| m.map(|m| PeekedMsg { ty: m.ty, data: m.data.to_vec() })).collect()
    }

    /// How full a reader's control ring is; `None` past the last one or without rings. Looks at the positions only.
    #[must_use]
    pub fn control_fill(&self, reader_index: u32) -> Option<ControlFill> {
        let geometry = RingGeometry::new(self.region.layout.control_per_reader())?;
        let ControlPositions { read, write } = self.region.control(reader_index)?.head.load();
        Some(ControlFill { capacity: geometry.usable(), waiting: geometry.waiting(read, write), sent: write })
    }

    /// A slot by its header alone; `None` past the last one. Costs the same whatever the frame's size.
    #[must_use]
    pub fn slot_brief(&self, index: u32) -> Option<SlotBrief> {
        self.region.layout.frame_slot(index)?;
        let mut found = self.brief_once(index);
        for _ in 1..TRIES {
            if found.content != SlotContent::Writing {
                break;
            }
            // Perhaps only between two looks.
            std::thread::yield_now();
            found = self.brief_once(index);
        }
        Some(found)
    }

    /// Every slot by its header alone.
    #[must_use]
    pub fn slot_briefs(&self) -> Vec<SlotBrief> {
        (0..self.region.layout.slots()).filter_map(|i| self.slot_brief(i)).collect()
    }

    fn brief_once(&self, index: u32) -> SlotBrief {
        let h = self.header();
        let extended = Features::of(&h).is_extended();
        let slot = self.region.slot(index);
        let leases = if extended { reader::leases(slot) } else { 0 };
        let meta = if extended { reader::begin(slot).ok() } else { Some(reader::begin_unstamped(slot)) };
        let content = match &meta {
            None => SlotContent::Writing,
            Some(m) if reader::validate(slot, m).is_err() => SlotContent::Writing,
            Some(m) => self.content_of(m, h.session_id),
        };
        let header = meta.as_ref().map_or_else(|| slot.head.load(), |m| header_from(m, leases));
        SlotBrief { index, header, leases, content }
    }

    fn content_of(&self, m: &FrameSnapshot, session_id: u64) -> SlotContent {
        let capacity = self.region.layout.frame_bytes_cap();
        if m.payload_bytes == 0 {
            SlotContent::Empty
        } else if m.payload_bytes > capacity {
            SlotContent::Bad(ReadError::Oversize { payload_bytes: m.payload_bytes, capacity })
        } else if m.session_id != session_id {
            SlotContent::Bad(ReadError::ForeignSession { found: m.session_id, expected: session_id })
        } else {
            SlotContent::Frame
        }
    }

    /// Runs `look` on a slot's frame until nobody has written the slot meanwhile.
    fn undisturbed<T>(
        &self,
        index: u32,
        mut look: impl FnMut(&FrameSnapshot, &[AtomicU64]) -> Option<T>,
    ) -> Result<Option<(FrameSnapshot, T)>, ReadError> {
        let slots = self.region.layout.slots();
        if index >= slots {
            return Ok(None);
        }
        for _ in 0..TRIES {
            let h = self.header();
            let extended = Features::of(&h).is_extended();
            let slot = self.region.slot(index);
            // Without stamps a rewrite shows in `reserve_index` only; see `read::copy`.
            let number = if extended { 0 } else { number_in(&self.region, index) };
            let meta = if extended { reader::begin(slot).ok() } else { Some(reader::begin_unstamped(slot)) };
            if let Some(meta) = meta {
                let found = match self.content_of(&meta, h.session_id) {
                    SlotContent::Empty => Ok(None),
                    SlotContent::Bad(e) => Err(e),
                    _ => Ok(look(&meta, slot.payload)),
                };
                let gave_up = matches!(found, Ok(None)) && meta.payload_bytes != 0;
                let whole = extended || !is_reserved(&self.region, number);
                if !gave_up && reader::validate(slot, &meta).is_ok() && whole {
                    return Ok(found?.map(|t| (meta, t)));
                }
            }
            std::thread::yield_now();
        }
        Err(ReadError::Lapped { attempts: TRIES })
    }

    /// The streams of the frame in a slot with a part of each one's bytes; `Ok(None)` if there is no frame.
    ///
    /// `want` gets a stream's number and its bytes, and says which of them to copy, at most
    /// [`FrameOutline::MOST_BYTES`]. What is handed out is of one frame. The checksum is not looked at; see
    /// [`Inspector::checksum_of`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] if what is there cannot be a frame, or is being overwritten all the time.
    pub fn outline(&self, slot: u32, want: impl Fn(u32, u32) -> Range<u32>) -> Result<Option<FrameOutline>, ReadError> {
        let found = self.undisturbed(slot, |meta, payload| Some(walk(payload, meta.payload_bytes, &want)))?;
        Ok(found.map(|(meta, (streams, error, cut))| FrameOutline {
            slot,
            published: self.features().publish_time(meta.publish_time, meta.stamp),
            header: header_from(&meta, 0),
            streams,
            error,
            cut,
        }))
    }

    /// Computes the checksum of the frame in a slot, piece by piece and without a copy of the frame, and tells which
    /// frame it was; `Ok(None)` if there is none. Takes time in proportion to the frame, and none where the producer
    /// wrote no checksum ([`ChecksumState::Absent`]).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if what is there cannot be a frame, or was overwritten meanwhile.
    pub fn checksum_of(&self, slot: u32) -> Result<Option<(u64, ChecksumState)>, ReadError> {
        let features = self.features();
        let view = (slot < self.region.layout.slots()).then(|| self.region.slot(slot));
        let found = self.undisturbed(slot, |meta, payload| {
            if !features.has_checksum(meta.stamp) {
                return Some(ChecksumState::Absent);
            }
            let len = meta.payload_bytes as usize;
            let mut state = hash::SEED;
            let mut piece = vec![0; HASH_STEP.min(len)];
            for at in (0..len).step_by(HASH_STEP) {
                let piece = &mut piece[..HASH_STEP.min(len - at)];
                copy_out(payload.get(at / 8..).unwrap_or(&[]), piece);
                state = hash::update(state, piece);
                if view.is_some_and(|s| reader::validate(s, meta).is_err()) {
                    return None;
                }
            }
            let right = hash::fold32(state) == meta.checksum;
            Some(if right { ChecksumState::Verified } else { ChecksumState::Mismatch })
        })?;
        Ok(found.map(|(m, state)| (m.frame_id, state)))
    }

    /// Copies bytes of the region from `offset` on, as many as `buf` has and the region has left; returns how many.
    /// Taken while others write, so frames in it may be half-written.
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> usize {
        let total = self.region.layout.total_bytes() as usize;
        let end = offset.saturating_add(buf.len()).min(total);
        let copy = self.region.copy(offset.min(end)..end);
        buf[..copy.len()].copy_from_slice(&copy);
        copy.len()
    }

    /// A copy of all bytes of the region, for a dump. Taken while others write, so frames in it may be half-written.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        self.region.copy(0..self.region.layout.total_bytes() as usize)
    }
}

fn header_from(m: &FrameSnapshot, leases: u128) -> FrameHeader {
    FrameHeader {
        session_id_copy: m.session_id,
        frame_id: m.frame_id,
        sim_time: f64::from_bits(m.sim_time_bits),
        payload_bytes: m.payload_bytes,
        tlv_count: m.tlv_count,
        checksum: m.checksum,
        ext_publish_time: m.publish_time,
        ext_lease_lo: leases as u64,
        ext_lease_hi: (leases >> 64) as u64,
        ext_stamp: m.stamp,
    }
}
