//! A reader: takes frames, learns the directory, sends control messages.

#[cfg(feature = "async")]
mod frames;

#[cfg(feature = "async")]
pub use frames::{FrameStream, IntoStreamError, Order};

use crate::buffer::Pool;
use crate::error::{DirectoryReadError, OpenError, ReadError, SendError};
use crate::region::{Backing, Mapped, await_magic, header_of, leased_payload, protect_reader};
use crate::stream::StaticState;
use crate::view::{ChecksumState, Data, FrameView, SMALL_WORDS};
use parking_lot::Mutex;
use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_abi::extension::{FeatureWord, READER_WAITING, REJECTED_MASK};
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{RegionLayout, hash};
use shmx_os::{LockByte, LockState, Region, RegionName, clock, futex};
use shmx_ring::reader::{self, Disturbed, FrameSnapshot};
use shmx_ring::sync::{Ordering, fence};
use shmx_ring::view::Slots;
use shmx_ring::{control, doorbell, prefetch, readers};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Compute each frame's checksum and refuse frames where it differs. Default true.
    pub verify: bool,
    /// Hold frames by lease where the region allows it, instead of copying them. Default true.
    pub lease: bool,
    /// Frames of at most this many bytes of payload are copied nevertheless. For small frames that is faster than a
    /// lease, which makes the cache line of the frame's header travel once more, and a small frame that is kept
    /// costs the producer no slot. Default 192, which needs no memory outside the [`FrameView`].
    pub copy_up_to: u32,
    /// How long [`Client::wait`] and [`Client::next`] look for a frame before they sleep. Waking up takes the kernel
    /// some microseconds, so a short look costs little more than it saves. Default 5 microseconds.
    pub spin: Duration,
    /// Enter the whole region into this process's page table when it is opened, so that no page fault comes later;
    /// for regions of our own servers, which have their memory reserved. Default true.
    pub prefault: bool,
    /// Map with huge pages what the server has in huge pages, see [`crate::Config::huge_pages`]. A stray store of this
    /// process can then do harm at the edges of payloads, where a huge page cannot be write-protected. Default false.
    pub huge_pages: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            verify: true,
            lease: true,
            copy_up_to: SMALL_WORDS as u32 * 8,
            spin: Duration::from_micros(5),
            prefault: true,
            huge_pages: false,
        }
    }
}

/// Counts of one client since it opened the region; also in its reader slot, for the inspector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Different frames delivered.
    pub delivered: u64,
    /// Frames published since the client opened the region that it skipped.
    pub dropped: u64,
    /// Frames refused: wrong checksum, foreign session, impossible length.
    pub rejected: u64,
}

/// What the client and its leased frames share: the mapping and the reader slot.
#[derive(Debug)]
struct Attachment {
    region: Mapped<Region>,
    session_id: u64,
    features: FeatureWord,
    index: Option<u32>,
    locked: bool,
    /// Leases this client holds, per frame slot. The bit in the slot is set while the count is not 0.
    leases: Mutex<Vec<Held>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    count: u32,
    verified: bool,
}

/// One reference to a leased slot.
#[derive(Debug)]
pub(crate) struct Lease {
    owner: Arc<Attachment>,
    slot: u32,
}

impl Lease {
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        leased_payload(&self.owner.region, self.slot, len)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let a = &*self.owner;
        if a.region.os.is_forked() {
            return;
        }
        let mut leases = a.leases.lock();
        let Some(held) = leases.get_mut(self.slot as usize) else { return };
        held.count = held.count.saturating_sub(1);
        if held.count == 0 {
            *held = Held::default();
            if let Some(index) = a.index {
                reader::end_lease(a.region.slot(self.slot), index);
            }
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
            readers::detach(self.region.header(), slot);
        }
        if self.locked {
            self.region.os.unlock(LockByte::Reader(index));
        }
    }
}

/// A reader of a region.
///
/// One thread uses a client; open one per thread. Frames it hands out may go to other threads and outlive it.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Attachment>,
    options: ClientOptions,
    stats: ClientStats,
    /// Id of the newest frame delivered or, before the first, the last one that does not count as missed.
    last_id: u64,
    /// Slot that frame lay in.
    last_slot: u32,
    /// Its bytes of payload; the next frame will often have as many.
    last_bytes: u32,
    /// The sequence number at the last look for a frame.
    seen: u32,
    heartbeat: Heartbeat,
    buffers: Arc<Pool>,
}

/// When to write the heartbeat: reading the clock for every frame would take longer than taking a small frame.
#[derive(Debug, Default)]
struct Heartbeat {
    mark: Option<u32>,
    skipped: u32,
}

/// Steps of a frame's publish time (1024 ns) that share one heartbeat, as a shift: 16.8 ms.
const BEAT_SHIFT: u32 = 14;
/// Frames without a publish time that share one heartbeat.
const BEAT_FRAMES: u32 = 32;

impl Heartbeat {
    /// Whether this frame is due for one.
    fn due(&mut self, extended: bool, publish_time: u32) -> bool {
        // A server of the reference reaps by nothing else.
        if !extended {
            return true;
        }
        let mark = Some(publish_time >> BEAT_SHIFT).filter(|_| publish_time != 0);
        self.skipped += 1;
        let due = mark != self.mark || (mark.is_none() && self.skipped >= BEAT_FRAMES);
        if due {
            *self = Self { mark, skipped: 0 };
        }
        due
    }
}

pub(crate) enum Miss {
    /// The slot is being written or was while we read.
    Disturbed,
    /// The slot holds no frame.
    Empty,
    Error(ReadError),
}

impl From<Disturbed> for Miss {
    fn from(_: Disturbed) -> Self {
        Self::Disturbed
    }
}

const ATTEMPTS: u32 = 64;
/// Looks at the header between looks at the clock.
const PROBES: u32 = 64;
/// Longest sleep before the server's life is looked at again.
const SLICE: Duration = Duration::from_millis(20);

impl Client {
    /// Opens a region by name and takes a reader slot.
    ///
    /// When all reader slots are taken the client still reads, by copy, and cannot send: see
    /// [`Client::reader_index`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        Self::open_with(name, ClientOptions::default())
    }

    /// Opens a region with options.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub fn open_with(name: &str, options: ClientOptions) -> Result<Self, OpenError> {
        let name = RegionName::new(name)?;
        let mut tries = 0;
        let os = loop {
            match Region::open(&name) {
                Err(shmx_os::OpenError::Replaced { .. }) if tries < 16 => tries += 1,
                other => break other?,
            }
        };
        let bad = |source| OpenError::Layout { name: name.to_string(), source };
        let available = os.len() as u64;
        await_magic(os.shared());
        let short = shmx_abi::LayoutError::ShorterThanHeader { available };
        let header = header_of(os.shared()).ok_or_else(|| bad(short))?;
        let layout = RegionLayout::from_header(&header, available).map_err(bad)?;
        let features = FeatureWord::of(&header);
        if server_gone(&os, features) {
            return Err(OpenError::ServerGone { name: name.to_string() });
        }
        let total = u64::from(layout.total_bytes());
        let region =
            Mapped::new(os, layout).ok_or_else(|| bad(shmx_abi::LayoutError::Truncated { total, available }))?;
        if features.is_extended() && (options.prefault || options.huge_pages) {
            region.os.prefault(options.huge_pages);
        }
        protect_reader(&region, options.huge_pages);
        let (index, locked) = attach(&region);
        if index.is_none() && layout.reader_slots() > 0 {
            tracing::warn!(%name, reader_slots = layout.reader_slots(), "no free reader slot; reading without one");
        }
        // The newest frame that is there already counts as one to deliver.
        let last_id = reader::published(&region).saturating_sub(1);
        let last_slot = layout.slots() - 1;
        let leases = Mutex::new(vec![Held::default(); layout.slots() as usize]);
        let session_id = header.session_id;
        let shared = Arc::new(Attachment { region, session_id, features, index, locked, leases });
        let (stats, heartbeat, buffers) = (ClientStats::default(), Heartbeat::default(), Arc::default());
        Ok(Self { shared, options, stats, last_id, last_slot, last_bytes: 0, seen: 0, heartbeat, buffers })
    }

    /// Leaves the region and opens what has its name now.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the client keeps the old region then.
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        *self = Self::open_with(self.shared.region.os.name().as_str(), self.options)?;
        Ok(())
    }

    /// Leaves the region. The same as dropping the client; frames still held keep the reader slot until they go.
    pub fn close(self) {}

    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.region.os.name().as_str()
    }

    /// Session of the server that the client opened.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.shared.session_id
    }

    /// Features of the server; none for one of the reference.
    #[must_use]
    pub fn features(&self) -> FeatureWord {
        self.shared.features
    }

    /// Where everything lies.
    #[must_use]
    pub fn layout(&self) -> &RegionLayout {
        &self.shared.region.layout
    }

    /// Bytes of the region that huge pages map in this process, as the kernel has it; `None` if it does not say.
    #[must_use]
    pub fn huge_page_bytes(&self) -> Option<u64> {
        self.shared.region.os.huge_page_bytes()
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.shared.region.header_copy()
    }

    /// Index of the client's reader slot; `None` if all were taken.
    #[must_use]
    pub fn reader_index(&self) -> Option<u32> {
        self.shared.index
    }

    /// Counts since the client opened the region.
    #[must_use]
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }

    /// Whether the server is known to be gone: it left, or its process died. A server of the reference holds no lock
    /// and is never known to be gone.
    #[must_use]
    pub fn server_gone(&self) -> bool {
        let a = &self.shared;
        let word = a.region.header().ext_features.load(Ordering::Acquire);
        server_gone(&a.region.os, FeatureWord::from_wire(word, a.session_id))
    }

    /// Whether the name now leads to another region, or to none.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        !self.shared.region.os.is_current()
    }

    #[inline]
    fn check_session(&self) -> Result<(), ReadError> {
        let a = &self.shared;
        if a.region.os.is_forked() {
            return Err(ReadError::Forked);
        }
        if a.region.header().session_id.load(Ordering::Relaxed) != a.session_id {
            return Err(ReadError::SessionChanged);
        }
        Ok(())
    }

    /// Reads the stream directory, consistent even while the server adds to it.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn refresh_static(&self) -> Result<StaticState, DirectoryReadError> {
        let copy = self.shared.region.directory_copy()?;
        self.check_session().map_err(|_| DirectoryReadError::SessionChanged)?;
        StaticState::parse(self.shared.session_id, copy)
    }

    /// The newest frame, seen before or not; `None` while there is none, or while the producer is rewriting the very
    /// slot that held it (it does so only when it has no other). Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn latest(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.check_session()?;
        for attempt in 0..ATTEMPTS {
            let number = reader::newest(&self.shared.region);
            let Some(slot) = self.shared.region.layout.slot_of_sequence(number) else { return Ok(None) };
            match self.read_slot(slot) {
                Ok(view) => {
                    self.deliver(&view);
                    return Ok(Some(view));
                }
                Err(Miss::Empty) => return Ok(None),
                Err(Miss::Error(e)) => return Err(self.reject(e)),
                Err(Miss::Disturbed) if attempt > 8 => std::thread::yield_now(),
                Err(Miss::Disturbed) => std::hint::spin_loop(),
            }
            self.check_session()?;
        }
        let region = &self.shared.region;
        match region.layout.slot_of_sequence(reader::newest(region)) {
            // With one slot, or all others leased, the newest frame's slot is where the next one is written.
            Some(slot) if self.shared.features.is_extended() && reader::begin(region.slot(slot)).is_err() => Ok(None),
            _ => Err(ReadError::Lapped { attempts: ATTEMPTS }),
        }
    }

    /// The frame with this id, if it is still in the ring. Counts as a delivery only if it is newer than any before.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read_id(&mut self, frame_id: u64) -> Result<Option<FrameView>, ReadError> {
        self.check_session()?;
        for slot in 0..self.shared.region.slot_count() {
            if self.shared.region.slot(slot).head.frame_id.load(Ordering::Relaxed) != frame_id {
                continue;
            }
            match self.read_slot(slot) {
                Ok(view) if view.frame_id() == frame_id => {
                    self.deliver(&view);
                    return Ok(Some(view));
                }
                Ok(_) | Err(Miss::Disturbed | Miss::Empty) => {}
                Err(Miss::Error(e)) => return Err(self.reject(e)),
            }
        }
        Ok(None)
    }

    /// The oldest frame in the ring that is newer than the last one delivered; `None` if there is none yet.
    ///
    /// Frames overwritten meanwhile are counted in [`ClientStats::dropped`], exactly: ids are dense.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn try_next(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.check_session()?;
        if self.news().is_none() {
            return Ok(None);
        }
        // The next frame usually lies in the next slot; looking there first leaves the other headers alone.
        if let Some(view) = self.take_following() {
            return Ok(Some(view));
        }
        for _ in 0..ATTEMPTS {
            self.check_session()?;
            let region = &self.shared.region;
            let published = reader::published(region);
            if published <= self.last_id {
                self.forget_impossible(published);
                return Ok(None);
            }
            let oldest = (0..region.slot_count())
                .map(|i| (region.slot(i).head.frame_id.load(Ordering::Relaxed), i))
                .filter(|&(id, _)| id > self.last_id)
                .min();
            let Some((id, slot)) = oldest else { continue };
            match self.read_slot(slot) {
                Ok(view) if view.frame_id() == id => {
                    self.deliver(&view);
                    return Ok(Some(view));
                }
                Ok(_) | Err(Miss::Disturbed | Miss::Empty) => std::hint::spin_loop(),
                Err(Miss::Error(e)) => {
                    // Step over it, or the same frame would be refused for ever.
                    self.stats.dropped = self.stats.dropped.saturating_add(id - self.last_id - 1);
                    self.last_id = id;
                    return Err(self.reject(e));
                }
            }
        }
        Ok(None)
    }

    /// The newest frame if it is newer than the last one delivered. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn try_wait(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.check_session()?;
        let before = self.last_id;
        let Some(number) = self.news() else { return Ok(None) };
        let region = &self.shared.region;
        let Some(slot) = region.layout.slot_of_sequence(number) else { return Ok(None) };
        // Relaxed: only a hint, that spares reading a frame again while the next one is counted and not yet announced.
        if (1..=before).contains(&region.slot(slot).head.frame_id.load(Ordering::Relaxed)) {
            self.forget_impossible(reader::published(&self.shared.region));
            return Ok(None);
        }
        match self.read_slot(slot) {
            Ok(view) if view.frame_id() > before => {
                self.deliver(&view);
                Ok(Some(view))
            }
            Ok(_) => Ok(None),
            Err(Miss::Empty) => Ok(None),
            Err(Miss::Error(e)) => Err(self.reject(e)),
            Err(Miss::Disturbed) => Ok(self.latest()?.filter(|v| v.frame_id() > before)),
        }
    }

    /// The newest sequence number if there may be a frame newer than the last one delivered.
    ///
    /// The number tells of a frame that became the newest, the id also of one that came late and did not.
    #[inline]
    fn news(&mut self) -> Option<u32> {
        let region = &self.shared.region;
        let number = reader::newest(region);
        if number == self.seen {
            let published = reader::published(region);
            if published <= self.last_id {
                self.forget_impossible(published);
                return None;
            }
        }
        self.seen = number;
        Some(number)
    }

    /// Waits for a frame newer than the last one delivered and takes the newest; `None` when the time is up.
    ///
    /// Looks for [`ClientOptions::spin`], then sleeps on the doorbell of a server of ours, or polls one of the
    /// reference.
    ///
    /// # Errors
    ///
    /// [`ReadError::ServerGone`] when there is none and the server is gone; other [`ReadError`]s as for
    /// [`Client::latest`].
    #[inline]
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<FrameView>, ReadError> {
        self.wait_with(timeout, Self::try_wait)
    }

    /// Waits for the next frame in order: every frame still in the ring, one after the other.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FrameView>, ReadError> {
        self.wait_with(timeout, Self::try_next)
    }

    /// An id that somebody wrote over a frame must not make the reader deaf for ever. A server counts a frame right
    /// before or right after it shows it, so a sound id is ahead of the count by one at most.
    const fn forget_impossible(&mut self, published: u64) {
        if self.last_id.saturating_sub(published) > 1 {
            self.last_id = published.saturating_sub(1);
        }
    }

    #[inline]
    fn wait_with(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&mut Self) -> Result<Option<FrameView>, ReadError>,
    ) -> Result<Option<FrameView>, ReadError> {
        if let Some(view) = take(self)? {
            return Ok(Some(view));
        }
        self.wait_longer(timeout, take)
    }

    fn wait_longer(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&mut Self) -> Result<Option<FrameView>, ReadError>,
    ) -> Result<Option<FrameView>, ReadError> {
        let start = Instant::now();
        self.spin(start, timeout)?;
        let bell = self.shared.features.has(FeatureWord::DOORBELL) && futex::SUPPORTED;
        let mut pause = Duration::from_micros(20);
        loop {
            if let Some(view) = take(self)? {
                return Ok(Some(view));
            }
            let a = self.shared.clone();
            let word = &a.region.header().ext_doorbell;
            let expected = if bell { doorbell::prepare_to_sleep(word) } else { 0 };
            // Looked at before the last look for a frame, so that a frame published just before the end is taken, and
            // after `prepare_to_sleep`, so that an end in between wakes us.
            let gone = self.server_gone();
            if let Some(view) = take(self)? {
                return Ok(Some(view));
            }
            if gone {
                return Err(ReadError::ServerGone);
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if bell {
                self.set_waiting(true);
                let _ = a.region.os.wait(word, expected, left.min(SLICE));
                self.set_waiting(false);
            } else {
                std::thread::sleep(left.min(pause));
                pause = (pause * 2).min(Duration::from_millis(1));
            }
        }
    }

    /// Looks at the header until it tells of a frame or the time for looking is up.
    fn spin(&self, start: Instant, timeout: Duration) -> Result<(), ReadError> {
        let limit = self.options.spin.min(timeout);
        if limit.is_zero() {
            return Ok(());
        }
        let header = self.shared.region.header();
        loop {
            for _ in 0..PROBES {
                // Relaxed: only a hint, whoever takes the frame looks properly.
                if header.write_index.load(Ordering::Relaxed) != self.seen
                    || header.frame_seq.load(Ordering::Relaxed) > self.last_id
                {
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= limit {
                return Ok(());
            }
            self.check_session()?;
        }
    }

    fn following_slot(&self) -> u32 {
        let next = self.last_slot + 1;
        if next == self.shared.region.slot_count() { 0 } else { next }
    }

    /// The frame after the last one delivered, if it lies in the slot after that one's.
    #[inline]
    fn take_following(&mut self) -> Option<FrameView> {
        let slot = self.following_slot();
        // An id of 0 is no frame and follows none, not even the greatest id that somebody may have written.
        let wanted = self.last_id.checked_add(1)?;
        if self.shared.region.slot(slot).head.frame_id.load(Ordering::Relaxed) != wanted {
            return None;
        }
        match self.read_slot(slot) {
            Ok(view) if view.frame_id() == wanted => {
                self.deliver(&view);
                Some(view)
            }
            // What is wrong with it is found again, and said, by the look at the whole ring.
            _ => None,
        }
    }

    fn set_waiting(&self, waiting: bool) {
        let flags = self.stats.rejected & REJECTED_MASK | if waiting { READER_WAITING } else { 0 };
        if let Some(slot) = self.slot() {
            slot.ext_rejected_flags.store(flags, Ordering::Relaxed);
        }
    }

    fn slot(&self) -> Option<&shmx_ring::view::ReaderView> {
        self.shared.index.and_then(|i| self.shared.region.reader(i))
    }

    #[inline]
    fn deliver(&mut self, view: &FrameView) {
        let id = view.frame_id();
        if id > self.last_id {
            self.stats.delivered += 1;
            self.stats.dropped = self.stats.dropped.saturating_add(id - self.last_id - 1);
            self.last_id = id;
            self.last_slot = view.slot;
            self.last_bytes = view.meta.payload_bytes;
        }
        let due = self.heartbeat.due(self.shared.features.is_extended(), view.meta.publish_time);
        if let Some(slot) = self.slot() {
            slot.ext_delivered.store(self.stats.delivered, Ordering::Relaxed);
            slot.ext_dropped.store(self.stats.dropped, Ordering::Relaxed);
            slot.last_frame_seen.store(id, Ordering::Release);
            if due {
                slot.heartbeat.store(clock::ticks(), Ordering::Release);
            }
        }
    }

    fn reject(&mut self, error: ReadError) -> ReadError {
        self.stats.rejected += 1;
        if let Some(slot) = self.slot() {
            // Stepping over a refused frame may have counted others as missed.
            slot.ext_dropped.store(self.stats.dropped, Ordering::Relaxed);
        }
        self.set_waiting(false);
        error
    }

    #[inline]
    fn read_slot(&self, index: u32) -> Result<FrameView, Miss> {
        let a = &self.shared;
        prefetch::will_read(a.region.slot(index), self.last_bytes);
        match a.index {
            Some(reader) if self.options.lease && a.features.is_extended() && reader < reader::LEASABLE_READERS => {
                self.read_leased(index, reader)
            }
            _ => self.read_copied(index),
        }
    }

    #[inline]
    fn read_copied(&self, index: u32) -> Result<FrameView, Miss> {
        let a = &self.shared;
        read_copied(&a.region, index, a.session_id, a.features, self.options.verify, true, &self.buffers)
    }

    fn read_leased(&self, index: u32, reader: u32) -> Result<FrameView, Miss> {
        let a = &self.shared;
        let slot = a.region.slot(index);
        // Relaxed: only a preference; what is read is checked on either way.
        let payload_bytes = slot.head.payload_bytes.load(Ordering::Relaxed);
        if payload_bytes <= self.options.copy_up_to {
            return self.read_copied(index);
        }
        let mut leases = a.leases.lock();
        let held = leases.get_mut(index as usize).ok_or(Miss::Empty)?;
        let meta = if held.count > 0 { reader::begin(slot)? } else { reader::lease(slot, reader)? };
        held.count += 1;
        let verified = held.verified;
        drop(leases);
        // From here on dropping the lease undoes the count and the bit.
        let lease = Lease { owner: a.clone(), slot: index };
        check_meta(&meta, a.session_id, &a.region.layout)?;
        let verify = self.options.verify && !a.features.has(FeatureWord::NO_CHECKSUM);
        if verify && !verified {
            check_sum(&meta, lease.payload(meta.payload_bytes as usize)).map_err(Miss::Error)?;
            if let Some(held) = a.leases.lock().get_mut(index as usize) {
                held.verified = true;
            }
        }
        let checksum = checksum_state(verify, a.features);
        Ok(FrameView { meta, slot: index, checksum, data: Data::Leased(lease) })
    }

    /// Sends a message to the server. Types from [`shmx_abi::TLV_CONTROL_USER`] on are the application's.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then, and `data` is still the caller's.
    pub fn control_send(&mut self, ty: u32, data: &[u8]) -> Result<(), SendError> {
        let a = &self.shared;
        match self.check_session() {
            Ok(()) => {}
            Err(ReadError::Forked) => return Err(SendError::Forked),
            Err(_) => return Err(SendError::SessionChanged),
        }
        if ty == shmx_abi::TLV_PAD {
            return Err(SendError::ReservedType);
        }
        let layout = &a.region.layout;
        let geometry = RingGeometry::new(layout.control_per_reader()).ok_or(SendError::NoControlRing)?;
        let index = a.index.ok_or(SendError::NoReaderSlot { reader_slots: layout.reader_slots() })?;
        let ring = a.region.control(index).ok_or(SendError::NoControlRing)?;
        if let Some(slot) = self.slot() {
            slot.heartbeat.store(clock::ticks(), Ordering::Release);
        }
        control::send(geometry, ring, ty, data).map_err(|e| match e {
            PlaceError::TooLong => {
                SendError::TooLong { len: data.len(), longest: geometry.longest_message().unwrap_or(0) }
            }
            PlaceError::Full => SendError::Full,
            _ => SendError::Corrupt,
        })
    }

    /// Tells the server that the client is alive without reading a frame; for servers that reap by heartbeat.
    pub fn heartbeat(&self) {
        if let Some(slot) = self.slot() {
            slot.heartbeat.store(clock::ticks(), Ordering::Release);
        }
    }
}

fn server_gone(os: &Region, features: FeatureWord) -> bool {
    features.has(FeatureWord::CLOSED)
        || features.has(FeatureWord::LOCKS) && os.lock_state(LockByte::Server) == LockState::Free
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
        if readers::attach(region.header(), slot, id, shmx_os::process_id(), clock::ticks(), locked) {
            return Ok((Some(index), locked));
        }
        if locked {
            region.os.unlock(lock);
        }
    }
    if lock_taken { Err(LockTaken) } else { Ok((None, false)) }
}

fn checksum_state(verified: bool, features: FeatureWord) -> ChecksumState {
    match (features.has(FeatureWord::NO_CHECKSUM), verified) {
        (true, _) => ChecksumState::Absent,
        (false, true) => ChecksumState::Verified,
        (false, false) => ChecksumState::Unverified,
    }
}

#[inline]
fn check_meta(meta: &FrameSnapshot, session_id: u64, layout: &RegionLayout) -> Result<(), Miss> {
    if meta.payload_bytes == 0 {
        return Err(Miss::Empty);
    }
    let capacity = layout.frame_bytes_cap();
    if meta.payload_bytes > capacity {
        return Err(Miss::Error(ReadError::Oversize { payload_bytes: meta.payload_bytes, capacity }));
    }
    if meta.session_id != session_id {
        return Err(Miss::Error(ReadError::ForeignSession { found: meta.session_id, expected: session_id }));
    }
    Ok(())
}

pub(crate) fn check_sum(meta: &FrameSnapshot, payload: &[u8]) -> Result<(), ReadError> {
    let computed = hash::checksum32(payload);
    if computed == meta.checksum {
        return Ok(());
    }
    Err(ReadError::Checksum { frame_id: meta.frame_id, stored: meta.checksum, computed })
}

/// The sequence number of the frame in a slot, if the producer took one number after the other.
fn number_in<B: Backing>(region: &Mapped<B>, index: u32) -> u32 {
    let slots = u64::from(region.layout.slots());
    let newest = reader::newest(region);
    let at = region.layout.slot_of_sequence(newest);
    let behind = at.map_or(0, |at| (u64::from(at) + slots - u64::from(index) % slots) % slots);
    newest.wrapping_sub(behind as u32)
}

/// Copies a frame into memory of its own; a wrong checksum is refused or told.
#[inline]
fn read_copied<B: Backing>(
    region: &Mapped<B>,
    index: u32,
    session_id: u64,
    features: FeatureWord,
    verify: bool,
    refuse_mismatch: bool,
    buffers: &Arc<Pool>,
) -> Result<FrameView, Miss> {
    let mut data = Data::Small([0; SMALL_WORDS]);
    let place = &mut data;
    let (meta, sum) = read_into(region, index, session_id, features, verify, move |words| {
        if words > SMALL_WORDS {
            *place = Data::Copied(buffers.take(words));
        }
        match place {
            Data::Small(words) => words,
            Data::Copied(words) => words,
            Data::Leased(_) => &mut [],
        }
    })?;
    let checksum = match sum {
        Ok(state) => state,
        Err(e) if refuse_mismatch => return Err(Miss::Error(e)),
        Err(_) => ChecksumState::Mismatch,
    };
    Ok(FrameView { meta, slot: index, checksum, data })
}

/// Copies a frame into the memory that `memory` gives for so many words, and proves that the copy is whole.
///
/// Against a server with stamps the stamp proves it. A server of the reference announces a rewrite of a slot only by
/// moving `reserve_index` first; if after the copy it has not yet come round to the slot, nobody can have written it.
/// The checksum of the private copy stands behind that; what a wrong one means is the caller's to judge.
#[inline]
pub(crate) fn read_into<'m, B: Backing>(
    region: &Mapped<B>,
    index: u32,
    session_id: u64,
    features: FeatureWord,
    verify: bool,
    memory: impl FnOnce(usize) -> &'m mut [u64],
) -> Result<(FrameSnapshot, Result<ChecksumState, ReadError>), Miss> {
    let slot = region.slot(index);
    let extended = features.is_extended();
    let number = if extended { 0 } else { number_in(region, index) };
    let meta = if extended { reader::begin(slot)? } else { reader::begin_unstamped(slot) };
    check_meta(&meta, session_id, &region.layout).map_err(|e| match e {
        // Seen half-written; say so only if it stays.
        Miss::Error(_) if reader::validate(slot, &meta).is_err() => Miss::Disturbed,
        other => other,
    })?;
    let len = meta.payload_bytes as usize;
    let payload = bytemuck::cast_slice_mut(memory(len.div_ceil(8))).get_mut(..len).unwrap_or(&mut []);
    reader::copy_payload(slot, &meta, payload)?;
    if !extended {
        fence(Ordering::Acquire);
        let reserved = region.header().reserve_index.load(Ordering::Relaxed);
        if reserved.wrapping_sub(number) >= region.layout.slots() {
            return Err(Miss::Disturbed);
        }
    }
    let verify = verify && !features.has(FeatureWord::NO_CHECKSUM);
    let sum = if verify { check_sum(&meta, payload) } else { Ok(()) };
    Ok((meta, sum.map(|()| checksum_state(verify, features))))
}

/// The inspector's way to a frame: by copy, and a wrong checksum is shown instead of refused.
pub(crate) fn inspect_slot<B: Backing>(
    region: &Mapped<B>,
    index: u32,
    session_id: u64,
    features: FeatureWord,
    buffers: &Arc<Pool>,
) -> Result<Option<FrameView>, ReadError> {
    for _ in 0..ATTEMPTS {
        match read_copied(region, index, session_id, features, true, false, buffers) {
            Ok(view) => return Ok(Some(view)),
            Err(Miss::Empty) => return Ok(None),
            Err(Miss::Error(e)) => return Err(e),
            Err(Miss::Disturbed) => std::thread::yield_now(),
        }
    }
    Err(ReadError::Lapped { attempts: ATTEMPTS })
}
