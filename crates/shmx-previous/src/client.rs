//! A reader: takes frames, learns the directory, sends control messages.

mod attachment;
#[cfg(feature = "async")]
mod frames;
mod look;

#[cfg(feature = "async")]
pub use frames::{FrameStream, IntoStreamError, Order};

pub(crate) use attachment::Lease;
pub(crate) use look::{Expected, Miss, inspect_newest, inspect_slot, read_into};

use crate::buffer::Pool;
use crate::error::{DirectoryReadError, OpenError, ReadError, SendError};
use crate::region::{Mapped, await_magic, header_of, leased_payload, protect_reader};
use crate::stream::StaticState;
use crate::view::{FrameRef, FrameView, SMALL_WORDS};
use attachment::{Attachment, Held, server_gone};
use look::{Current, Look, Own, Position, Scratch};
use shmx_abi::RegionLayout;
use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_abi::extension::Features;
use shmx_abi::wire::GlobalHeader;
use shmx_os::{Region, RegionName, clock, futex};
use shmx_ring::hold::Hold;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use shmx_ring::{control, doorbell, reader};
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

/// A reader of a region.
///
/// One thread uses a client; open one per thread. Frames come in two forms: a [`FrameView`] may be kept, go to other
/// threads and outlive the client; a [`FrameRef`], from the methods that end in `_ref`, lasts until the client is used
/// again, and is the faster one for small frames.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Attachment>,
    position: Position,
    buffers: Arc<Pool>,
    scratch: Scratch,
}

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
        await_magic(&os);
        let short = shmx_abi::LayoutError::ShorterThanHeader { available };
        let header = header_of(&os).ok_or_else(|| bad(short))?;
        let layout = RegionLayout::from_header(&header, available).map_err(bad)?;
        let features = Features::of(&header);
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
        // Before the server can see the reader: every frame that it publishes from then on is delivered or counted.
        let published = reader::published(&region);
        let shared = Arc::new(Attachment::new(region, header.session_id, features));
        if shared.index.is_none() && layout.reader_slots() > 0 {
            tracing::warn!(%name, reader_slots = layout.reader_slots(), "no free reader slot; reading without one");
        }
        let position = Position::new(&shared, options, published);
        Ok(Self { shared, position, buffers: Arc::default(), scratch: Scratch::new() })
    }

    /// Leaves the region and opens what has its name now. Counts begin anew, also where that is the same region.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the client keeps the old region then.
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        let mut new = Self::open_with(self.shared.region.os.name().as_str(), self.position.options)?;
        // The region is the same, and the last reader slot is the one that this client has.
        if new.shared.index.is_none() && new.shared.session_id == self.shared.session_id {
            new.shared = self.shared.clone();
        }
        *self = new;
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
    pub fn features(&self) -> Features {
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
        self.position.stats
    }

    /// Whether the server is known to be gone: it left, or its process died. A server of the reference holds no lock
    /// and is never known to be gone.
    #[must_use]
    pub fn server_gone(&self) -> bool {
        self.shared.server_gone()
    }

    /// Whether the name now leads to another region, or to none.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        !self.shared.region.os.is_current()
    }

    /// Reads the stream directory, consistent even while the server adds to it.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn refresh_static(&self) -> Result<StaticState, DirectoryReadError> {
        let copy = self.shared.region.directory_copy()?;
        self.shared.check_session().map_err(|_| DirectoryReadError::SessionChanged)?;
        StaticState::parse(self.shared.session_id, copy)
    }

    /// The newest frame, seen before or not; `None` while there is none, or while the producer is rewriting the very
    /// slot that held it (it does so only when it has no other). Never waits.
    ///
    /// Never a frame older than one that this or [`Client::wait`] gave before. It may be older than one that was taken
    /// in order, and two clients may disagree for a moment: what the one has found in its slot just before the producer
    /// announced it, the other may not be told of yet.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn latest(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.own(Position::latest)
    }

    /// [`Client::latest`] as a frame that lasts until the client is used again.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn latest_ref(&mut self) -> Result<Option<FrameRef<'_>>, ReadError> {
        self.lend(Position::latest)
    }

    /// The frame with this id, if it is still in the ring. Counts as a delivery only if it is newer than any before.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read_id(&mut self, frame_id: u64) -> Result<Option<FrameView>, ReadError> {
        self.own(|position, a, place| position.read_id(a, place, frame_id))
    }

    /// The oldest frame in the ring that is newer than the last one delivered; `None` if there is none yet.
    ///
    /// Frames overwritten meanwhile are counted in [`ClientStats::dropped`], exactly: ids are dense.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.own(Position::try_next)
    }

    /// [`Client::try_next`] as a frame that lasts until the client is used again.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn try_next_ref(&mut self) -> Result<Option<FrameRef<'_>>, ReadError> {
        self.lend(Position::try_next)
    }

    /// The newest frame if it is newer than the last one delivered. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn try_wait(&mut self) -> Result<Option<FrameView>, ReadError> {
        self.own(Position::try_wait)
    }

    /// [`Client::try_wait`] as a frame that lasts until the client is used again.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    #[inline]
    pub fn try_wait_ref(&mut self) -> Result<Option<FrameRef<'_>>, ReadError> {
        self.lend(Position::try_wait)
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
        self.own(|position, a, place| wait(position, a, timeout, |p| p.try_wait(a, place)))
    }

    /// [`Client::wait`] as a frame that lasts until the client is used again.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    #[inline]
    pub fn wait_ref(&mut self, timeout: Duration) -> Result<Option<FrameRef<'_>>, ReadError> {
        self.lend(|position, a, place| wait(position, a, timeout, |p| p.try_wait(a, place)))
    }

    /// Waits for the next frame in order: every frame still in the ring, one after the other.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    #[inline]
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FrameView>, ReadError> {
        self.own(|position, a, place| wait(position, a, timeout, |p| p.try_next(a, place)))
    }

    /// [`Client::next`] as a frame that lasts until the client is used again.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    #[inline]
    pub fn next_ref(&mut self, timeout: Duration) -> Result<Option<FrameRef<'_>>, ReadError> {
        self.lend(|position, a, place| wait(position, a, timeout, |p| p.try_next(a, place)))
    }

    /// A frame that is the caller's.
    #[inline]
    fn own<'c>(
        &'c mut self,
        look: impl FnOnce(&mut Position, &'c Arc<Attachment>, &mut Own<'c>) -> Look<'c>,
    ) -> Result<Option<FrameView>, ReadError> {
        let mut own = Own::new(&self.buffers);
        let payload = look(&mut self.position, &self.shared, &mut own)?;
        Ok(payload.map(|held| own.view(&self.position.current, held)))
    }

    /// A frame for as long as the client is borrowed.
    #[inline]
    fn lend<'c>(
        &'c mut self,
        look: impl FnOnce(&mut Position, &'c Arc<Attachment>, &mut Scratch) -> Look<'c>,
    ) -> Result<Option<FrameRef<'c>>, ReadError> {
        let payload = look(&mut self.position, &self.shared, &mut self.scratch)?;
        let client = &*self;
        Ok(payload.map(|held| FrameRef { client, hold: held.map(Held::lend) }))
    }

    #[inline]
    pub(crate) const fn current(&self) -> &Current {
        &self.position.current
    }

    /// The payload of the current frame. The caller holds it until the borrow ends, or it was copied.
    #[inline]
    pub(crate) fn lent_payload(&self, hold: Option<&Hold>) -> &[u8] {
        let Current { meta, slot, .. } = &self.position.current;
        let len = meta.payload_bytes as usize;
        match hold {
            Some(_) => leased_payload(&self.shared.region, *slot, len),
            None => bytemuck::cast_slice::<u64, u8>(self.scratch.get()).get(..len).unwrap_or(&[]),
        }
    }

    /// Ends the lease of the current frame.
    #[inline]
    pub(crate) fn end_lent(&self, hold: Hold) {
        self.shared.end(self.position.current.slot, hold);
    }

    #[cfg(feature = "async")]
    fn set_waiting(&self, waiting: bool) {
        self.position.set_waiting(&self.shared, waiting);
    }

    /// Sends a message to the server. Types from [`shmx_abi::TLV_CONTROL_USER`] on are the application's.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then, and `data` is still the caller's.
    pub fn control_send(&mut self, ty: u32, data: &[u8]) -> Result<(), SendError> {
        let a = &self.shared;
        match a.check_session() {
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
        if let Some(slot) = self.shared.slot() {
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
    ///
    /// Does nothing in a forked child and after a session change, where the slot is somebody else's.
    pub fn heartbeat(&self) {
        if self.shared.check_session().is_ok()
            && let Some(slot) = self.shared.slot()
        {
            slot.heartbeat.store(clock::ticks(), Ordering::Release);
        }
    }
}

/// Takes a frame, or waits for one.
#[inline]
fn wait<'a>(
    position: &mut Position,
    a: &'a Arc<Attachment>,
    timeout: Duration,
    mut take: impl FnMut(&mut Position) -> Look<'a>,
) -> Look<'a> {
    match take(position)? {
        Some(payload) => Ok(Some(payload)),
        None => wait_longer(position, a, timeout, take),
    }
}

fn wait_longer<'a>(
    position: &mut Position,
    a: &'a Arc<Attachment>,
    timeout: Duration,
    mut take: impl FnMut(&mut Position) -> Look<'a>,
) -> Look<'a> {
    let start = Instant::now();
    spin(position, a, start, timeout)?;
    let bell = a.features.has(Features::DOORBELL) && futex::SUPPORTED;
    let mut pause = Duration::from_micros(20);
    loop {
        if let Some(payload) = take(position)? {
            return Ok(Some(payload));
        }
        let word = &a.region.header().ext_doorbell;
        let expected = if bell { doorbell::prepare_to_sleep(word) } else { 0 };
        // Looked at before the last look for a frame, so that a frame published just before the end is taken, and
        // after `prepare_to_sleep`, so that an end in between wakes us.
        let gone = a.server_gone();
        if let Some(payload) = take(position)? {
            return Ok(Some(payload));
        }
        if gone {
            return Err(ReadError::ServerGone);
        }
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        if bell {
            position.set_waiting(a, true);
            let _ = a.region.os.wait(word, expected, left.min(SLICE));
            position.set_waiting(a, false);
        } else {
            std::thread::sleep(left.min(pause));
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }
}

/// Looks at the header until it tells of a frame or the time for looking is up.
fn spin(position: &Position, a: &Attachment, start: Instant, timeout: Duration) -> Result<(), ReadError> {
    let limit = position.options.spin.min(timeout);
    if limit.is_zero() {
        return Ok(());
    }
    let header = a.region.header();
    loop {
        for _ in 0..PROBES {
            // Relaxed: only a hint, whoever takes the frame looks properly.
            if header.write_index.load(Ordering::Relaxed) != position.seen {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        if header.frame_seq.load(Ordering::Relaxed) > position.last_id {
            return Ok(());
        }
        if start.elapsed() >= limit {
            return Ok(());
        }
        a.check_session()?;
    }
}
