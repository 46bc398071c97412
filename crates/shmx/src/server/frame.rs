//! A frame under construction.
//!
//! Length: one type, whose fields nothing outside may touch.

use super::checksum::{Checksum, SMALL};
use super::filling::Filling;
use super::shared::SharedServer;
use super::state::{Producing, Server};
use crate::error::{AppendError, BeginError, LookupError, PublishError};
use crate::region::{claimed_payload, claimed_room, written_payload};
use crate::schema::asked::StreamRef;
use crate::schema::directory::{Directory, StreamInfo};
use crate::schema::key::{Key, StreamKey};
use shmx_abi::element::{PlainElement, check_element};
use shmx_abi::extension::{FrameMarks, PublishTime};
use shmx_abi::frame::{DATA_OFFSET, PayloadCursor, StreamData, Streams};
use shmx_abi::{Element, TLV_ALIGN, hash};
use shmx_os::clock;
use shmx_ring::bytes::copy_past_caches;
use shmx_ring::prefetch;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, FrameMeta};
use std::sync::Arc;

/// A frame under construction, in the slot that it will be read from. Append streams, then publish.
///
/// Dropping it gives the slot back and publishes nothing.
///
/// Streams are named by [`Stream`](crate::Stream), or by number or name with the type given by the call; either is
/// compared with the directory. A stream of vectors takes arrays (`&[[f32; 3]]`) or, by number or name, a flat slice
/// (`&[f32]`) of whole vectors. A frame carries each stream at most once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{ElementType, Server, StreamSpec};
///
/// let name = format!("doc-writer-{}", std::process::id());
/// let points = StreamSpec::new(3, "points", ElementType::F32, 3);
/// let mut server = Server::builder(&name).stream(points, 100).create()?;
/// let mut frame = server.begin_frame()?;
/// frame.append_stream(3, &[[1.0_f32, 2.0, 3.0]])?;
/// assert!(frame.append_stream(3, &[1.0_f32, 2.0, 3.0]).is_err(), "it is in the frame already");
/// frame.publish_frame(0.0)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a frame that is dropped is not published"]
pub struct FrameWriter<'a> {
    claimed: Claimed<'a>,
    /// The directory as it was when the frame was begun, where other threads can add to it meanwhile.
    directory: Option<Arc<Directory>>,
    /// The claimed slot.
    slot: u32,
    pieces: Pieces,
    cursor: PayloadCursor,
    hashed: Hashed,
}

/// How a frame stands that is handed out in pieces; all 0 where none was.
#[derive(Clone, Copy, Debug, Default)]
struct Pieces {
    /// Bytes of the payload that they were told are final. None of them is written any more.
    announced: u32,
    /// Where the data begins of the first stream that was begun in pieces and lacks some.
    unfinished: u32,
    /// What was written may still change, whatever comes behind it.
    held_back: bool,
}

/// The hash of the first `bytes` bytes of the payload, as far as it was worth computing on the way. Once there is one,
/// the frame will carry a checksum.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    state: u64,
    bytes: u32,
}

impl Hashed {
    /// The checksum of a whole payload.
    #[inline]
    fn finish(self, payload: &[u8]) -> u32 {
        hash::fold32(hash::update(self.state, &payload[self.bytes as usize..]))
    }
}

impl Pieces {
    /// Why a frame with this payload cannot be published.
    #[cold]
    fn unpublishable(self, payload: &[u8]) -> PublishError {
        record_at(payload, self.unfinished)
            .map_or(PublishError::Empty, |s| PublishError::Unfinished { id: s.stream_id })
    }
}

/// The stream whose data begins at byte `at` of a payload.
fn record_at(payload: &[u8], at: u32) -> Option<StreamData<'_>> {
    let place = |data: &[u8]| data.as_ptr() as usize - payload.as_ptr() as usize;
    Streams::new(payload).flatten().find(|s| place(s.data) == at as usize)
}

/// Streams of at least this many bytes are copied piece by piece for those that follow.
const LARGE: usize = 16 << 10;

/// The least that followers are told of at a time, unless the producer hands it out in smaller pieces itself, and an
/// eighth of the most (docs/performance.md).
const PIECE: usize = 8 << 10;

/// The least data that is stored past the caches, where that is asked for. Smaller data is still in a cache when it is
/// read, and was slower that way on every processor that was tried (docs/performance.md).
const STREAMING: usize = 4 << 20;

/// Streams of at least this many bytes are hashed while they are copied. Smaller ones are still in the processor's own
/// cache when the frame is published.
const FUSED: usize = 2 << 20;

/// A claim that is abandoned if nothing else becomes of it.
///
/// It is what a [`FrameWriter`] has to drop, so that publishing can take a frame apart without moving it as a whole,
/// which would cost a fifth of the time of a small frame. A frame is small for the same reason.
#[derive(Debug)]
struct Claimed<'a> {
    owner: Owner<'a>,
    /// Until it is published or given back.
    claim: Option<Claim>,
}

/// The server, with other threads or alone. The reference lies in the same place in both.
#[derive(Debug)]
enum Owner<'a> {
    Shared(&'a Server),
    Alone(&'a mut Server),
}

impl Owner<'_> {
    #[inline]
    const fn server(&self) -> &Server {
        match self {
            Self::Shared(server) => server,
            Self::Alone(server) => server,
        }
    }
}

/// What a frame of several threads without a directory would have; there is none.
static NO_DIRECTORY: Directory =
    Directory { session_id: 0, generation: 0, hash: 0, bytes: Vec::new(), streams: Vec::new() };

impl Drop for Claimed<'_> {
    #[inline]
    fn drop(&mut self) {
        let Server { region, claimer, .. } = self.owner.server();
        // In a forked child the slot is still the parent's to fill.
        if let Some(claim) = self.claim.take()
            && !region.os.is_forked()
        {
            claimer.abandon(region, claim);
        }
    }
}

impl Server {
    /// Claims a slot for a new frame. Never waits and never overwrites a leased slot.
    ///
    /// When no slot is free, the leases of readers that died are cleared and the claim is tried once more.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    // Always: a frame that is returned through memory is moved, which is a store-forwarding stall (docs/performance.md,
    // *What the figures say*).
    #[inline(always)]
    pub fn begin_frame(&mut self) -> Result<FrameWriter<'_>, BeginError> {
        if let Err(e) = self.check_ours() {
            self.mend(e)?;
        }
        let claim = match self.claimer.claim_mut(&self.region) {
            Ok(claim) => claim,
            Err(_) => self.claim_after_reaping()?,
        };
        Ok(FrameWriter::alone(self, claim))
    }
}

impl SharedServer {
    /// Claims a slot for a new frame; see [`Server::begin_frame`]. Any number of threads may fill frames at once, each
    /// in a slot of its own.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    // Always, as above.
    #[inline(always)]
    pub fn begin_frame(&self) -> Result<FrameWriter<'_>, BeginError> {
        let server: &Server = self;
        let claim = server.claim()?; // not in a forked child
        Ok(FrameWriter::shared(server, claim))
    }
}

impl<'a> FrameWriter<'a> {
    #[inline(always)]
    pub(super) fn alone(server: &'a mut Server, claim: Claim) -> Self {
        Self::new(Owner::Alone(server), None, claim)
    }

    #[inline(always)]
    pub(super) fn shared(server: &'a Server, claim: Claim) -> Self {
        Self::new(Owner::Shared(server), Some(server.directory.read().clone()), claim)
    }

    #[inline(always)]
    fn new(owner: Owner<'a>, directory: Option<Arc<Directory>>, claim: Claim) -> Self {
        let slot = claim.slot();
        let (cursor, hashed) = (PayloadCursor::new(), Hashed { state: hash::SEED, bytes: 0 });
        let claimed = Claimed { owner, claim: Some(claim) };
        Self { claimed, directory, slot, pieces: Pieces::default(), cursor, hashed }
    }

    /// The slot's number.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Bytes of the payload used so far, record headers and padding included.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.cursor.used()
    }

    /// Bytes of the payload that are left. A stream takes 24 bytes more than its data, rounded up to 16.
    #[must_use]
    pub const fn room(&self) -> u32 {
        self.claimed.owner.server().region.layout.frame_bytes_cap() - self.cursor.used()
    }

    /// Streams appended so far.
    #[must_use]
    pub const fn stream_count(&self) -> u32 {
        self.cursor.tlv_count()
    }

    #[inline]
    pub(super) const fn server(&self) -> &Server {
        self.claimed.owner.server()
    }

    /// What has been written so far.
    #[inline]
    fn written(&self) -> &[u8] {
        written_payload(&self.server().region, self.slot, self.cursor.used())
    }

    /// The payload area from byte `from` on, which was not announced.
    #[inline]
    pub(super) fn room_from(&mut self, from: u32) -> &mut [u8] {
        debug_assert!(from >= self.pieces.announced);
        claimed_room(&self.server().region, self.slot, from.max(self.pieces.announced))
    }

    #[inline]
    fn declared(&mut self, key: Key<'_>) -> Result<&StreamInfo, LookupError> {
        let directory: &Directory = match (&mut self.claimed.owner, &self.directory) {
            (Owner::Alone(server), _) => server.directory.get_mut(),
            (Owner::Shared(_), Some(directory)) => directory,
            (Owner::Shared(_), None) => &NO_DIRECTORY,
        };
        directory.find_declared(key)
    }

    /// The stream's number, and how many of its elements `values` values of `T` are.
    // Always, as `begin_frame`: its result would go through memory.
    #[inline(always)]
    fn elements<T: Element>(&mut self, key: Key<'_>, values: usize) -> Result<(u32, u32), AppendError> {
        check_element::<T>();
        let s = self.declared(key)?;
        Directory::check_type::<T>(s)?;
        let bytes = (values as u64).saturating_mul(size_of::<T>() as u64);
        // A flat slice has several values for each element.
        let per = u64::from(s.bytes_per_elem);
        let count = if per == size_of::<T>() as u64 { values as u64 } else { bytes.checked_div(per).unwrap_or(0) };
        match u32::try_from(count) {
            Ok(elem_count) if count * per == bytes => Ok((s.id, elem_count)),
            _ => Err(length_error(s, bytes, count)),
        }
    }

    /// The same for values whose type is known at run time.
    #[inline(always)]
    fn elements_as(&mut self, stream: StreamRef<'_>, bytes: usize) -> Result<(u32, u32), AppendError> {
        let directory: &Directory = match (&mut self.claimed.owner, &self.directory) {
            (Owner::Alone(server), _) => server.directory.get_mut(),
            (Owner::Shared(_), Some(directory)) => directory,
            (Owner::Shared(_), None) => &NO_DIRECTORY,
        };
        let s = directory.lookup_declared(stream)?;
        let (bytes, per) = (bytes as u64, u64::from(s.bytes_per_elem));
        // Only one division, and none for the usual single element: it takes longer than copying a small stream.
        let count = if bytes == per { 1 } else { bytes.checked_div(per).unwrap_or(0) };
        match u32::try_from(count) {
            Ok(elem_count) if count * per == bytes => Ok((s.id, elem_count)),
            _ => Err(length_error(s, bytes, count)),
        }
    }

    // Always, as `begin_frame`.
    #[inline(always)]
    pub(super) fn reserve_bytes(&mut self, id: u32, elem_count: u32, len: usize) -> Result<&mut [u8], AppendError> {
        if self.claimed.owner.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let used = self.cursor.used();
        if !used.is_multiple_of(TLV_ALIGN) {
            return Err(AppendError::Unaligned { id, used });
        }
        if self.pieces.announced > 0 {
            return self.reserve_behind(id, elem_count, len);
        }
        let payload = claimed_payload(&self.claimed.owner.server().region, self.slot);
        // A frame has a handful of streams, so looking through them beats keeping a set.
        if Streams::new(&payload[..used as usize]).flatten().any(|s| s.stream_id == id) {
            return Err(AppendError::DuplicateStream { id });
        }
        self.cursor.reserve(payload, id, elem_count, len).map_err(|full| AppendError::Full { id, full })
    }

    /// The same behind what followers read.
    #[cold]
    #[inline(never)]
    fn reserve_behind(&mut self, id: u32, elem_count: u32, len: usize) -> Result<&mut [u8], AppendError> {
        if Streams::new(self.written()).flatten().any(|s| s.stream_id == id) {
            return Err(AppendError::DuplicateStream { id });
        }
        let room = claimed_room(&self.claimed.owner.server().region, self.slot, self.pieces.announced);
        let reserved = self.cursor.reserve_behind(self.pieces.announced, room, id, elem_count, len);
        reserved.map_err(|full| AppendError::Full { id, full })
    }

    #[inline]
    fn append_bytes(&mut self, id: u32, elem_count: u32, bytes: &[u8]) -> Result<(), AppendError> {
        let before = self.cursor.used();
        let data = self.reserve_bytes(id, elem_count, bytes.len())?;
        if bytes.len() < LARGE {
            data.copy_from_slice(bytes);
        } else {
            self.copy_large(before + DATA_OFFSET, bytes);
        }
        Ok(())
    }

    /// Copies data to byte `at` of the payload, where there is room for it, piece by piece where somebody follows. If
    /// the frame is to carry a checksum as far as one can tell now, hashes on the way what lies before it (no stream can
    /// be written any more once another one is begun) and it.
    #[cold]
    fn copy_large(&mut self, at: u32, bytes: &[u8]) {
        // What lies before is not final while it is being filled.
        let filled = self.pieces.unfinished == 0;
        let follow = filled && self.open_if_followed();
        let hashing = filled && self.hashes_on_the_way(follow || bytes.len() >= FUSED);
        if hashing {
            self.hash_up_to(at);
        }
        let piece = if follow { (bytes.len() / 8).next_multiple_of(64).clamp(PIECE, 8 * PIECE) } else { bytes.len() };
        let streaming = bytes.len() >= STREAMING && self.server().producing.streaming_stores;
        let mut to = at;
        for from in bytes.chunks(piece) {
            let state = self.hashed.state;
            let room = &mut self.room_from(to)[..from.len()];
            to += from.len() as u32;
            if hashing {
                self.hashed = Hashed { state: hash::copy_and_update(state, from, room), bytes: to };
            } else if streaming {
                copy_past_caches(from, room);
            } else {
                room.copy_from_slice(from);
            }
            if follow {
                self.announce(to);
            }
        }
    }

    /// The bytes before `to` are what they will be when the frame is published.
    pub(super) fn commit_up_to(&mut self, to: u32) {
        let follow = self.open_if_followed();
        if self.hashes_on_the_way(follow) {
            self.hash_up_to(to);
        }
        if follow {
            self.announce(to);
        }
    }

    /// The frame must not be published before the stream is filled whose data begins at `at`, which is not 0.
    pub(super) const fn begin_filling(&mut self, at: u32) {
        self.pieces.held_back = false;
        if self.pieces.unfinished == 0 {
            self.pieces.unfinished = at;
        }
    }

    /// A frame is handed out from its start on, so streams are filled one after the other.
    pub(super) fn check_filled(&self) -> Result<(), AppendError> {
        let unfinished = self.pieces.unfinished;
        match record_at(self.written(), unfinished).filter(|_| unfinished > 0) {
            Some(s) => Err(AppendError::Unfinished { id: s.stream_id }),
            None => Ok(()),
        }
    }

    /// Whether this is how far a stream of this frame is filled.
    pub(super) fn is_filling(&self, filling: &Filling) -> bool {
        let (id, at, len) = filling.record();
        let found = record_at(self.written(), at);
        found.is_some_and(|s| s.stream_id == id && s.data.len() == len)
            && at as usize + filling.committed() >= self.pieces.announced as usize
    }

    /// This stream is filled.
    pub(super) const fn end_filling(&mut self, at: u32) {
        if self.pieces.unfinished == at {
            self.pieces.unfinished = 0;
        }
    }

    /// From now on nothing is hashed or handed out to followers before the frame is published, unless a stream is begun
    /// in pieces. For bindings to languages without borrows, whose programs may still write to room that was reserved
    /// while they append other streams.
    pub const fn hold_back(&mut self) {
        self.pieces.held_back = true;
    }

    /// Opens the slot to followers if there are any. Says whether it is open, and still this server's.
    fn open_if_followed(&mut self) -> bool {
        if self.pieces.held_back {
            return false;
        }
        let Claimed { owner, claim: Some(claim) } = &mut self.claimed else { return false };
        let server = owner.server();
        if !claim.is_open() && !server.needs.is_followed(&server.region) {
            return false;
        }
        // Relaxed: the word is complete in itself. In another session the words of the slot's header are its server's.
        if server.region.header().session_id.load(Ordering::Relaxed) != server.producing.session_id {
            return false;
        }
        if !claim.is_open() {
            claim.open(server.region.slot(self.slot));
        }
        true
    }

    /// Whether to hash what was written, because it will be needed and is `worth` it now.
    fn hashes_on_the_way(&self, worth: bool) -> bool {
        !self.pieces.held_back && (self.hashed.bytes > 0 || (worth && self.server().hashes_large_frames_now()))
    }

    fn hash_up_to(&mut self, to: u32) {
        let Hashed { state, bytes } = self.hashed;
        if let Some(new) = self.written().get(bytes as usize..to as usize) {
            self.hashed = Hashed { state: hash::update(state, new), bytes: to };
        }
    }

    fn announce(&mut self, bytes: u32) {
        let Some(claim) = &self.claimed.claim else { return };
        let wake = claim.announce(&self.server().region, bytes);
        self.pieces.announced = bytes;
        self.server().wake(wake);
    }

    /// Copies values into the frame.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    // Always, as `begin_frame`.
    #[inline(always)]
    pub fn append_stream<T: Element>(&mut self, stream: impl StreamKey<T>, values: &[T]) -> Result<(), AppendError> {
        let (id, elem_count) = self.elements::<T>(stream.key(), values.len())?;
        self.append_bytes(id, elem_count, bytemuck::cast_slice(values))
    }

    /// Copies one value into the frame, as a stream of one element.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    #[inline]
    pub fn append_value<T: Element>(&mut self, stream: impl StreamKey<T>, value: T) -> Result<(), AppendError> {
        self.append_stream(stream, std::slice::from_ref(&value))
    }

    /// Copies raw bytes into the frame; their number must be `elem_count` times the stream's element size.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn append_raw(&mut self, id: u32, elem_count: u32, bytes: &[u8]) -> Result<(), AppendError> {
        let s = self.declared(Key::Id(id))?;
        if bytes.len() as u64 != u64::from(elem_count) * u64::from(s.bytes_per_elem) {
            return Err(length_error(s, bytes.len() as u64, elem_count.into()));
        }
        self.append_bytes(id, elem_count, bytes)
    }

    /// Makes room for `len` values and returns it for writing in place: no copy lies between you and the reader.
    ///
    /// The room holds whatever an earlier frame left there; write all of it.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    // Always, as `begin_frame`.
    #[inline(always)]
    pub fn reserve_stream<T: PlainElement>(
        &mut self,
        stream: impl StreamKey<T>,
        len: usize,
    ) -> Result<&mut [T], AppendError> {
        let (id, elem_count) = self.elements::<T>(stream.key(), len)?;
        let used = self.cursor.used();
        let data = self.reserve_bytes(id, elem_count, len.saturating_mul(size_of::<T>()))?;
        // Stream data is 8-byte aligned, and `check_element` says that no element needs more.
        bytemuck::try_cast_slice_mut(data).map_err(|_| AppendError::Unaligned { id, used })
    }

    /// Makes room for `len` values. Gives the stream's number.
    pub(super) fn reserve_values<T: PlainElement>(&mut self, key: Key<'_>, len: usize) -> Result<u32, AppendError> {
        let (id, elem_count) = self.elements::<T>(key, len)?;
        self.reserve_bytes(id, elem_count, len.saturating_mul(size_of::<T>()))?;
        Ok(id)
    }

    /// The same for values whose type is known at run time.
    pub(super) fn reserve_values_as(&mut self, stream: StreamRef<'_>, len: usize) -> Result<u32, AppendError> {
        let (id, elem_count) = self.elements_as(stream, len)?;
        self.reserve_bytes(id, elem_count, len)?;
        Ok(id)
    }

    /// Makes room for `elem_count` elements of the stream's own size and returns the bytes for writing in place.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn reserve_raw(&mut self, id: u32, elem_count: u32) -> Result<&mut [u8], AppendError> {
        let len = u64::from(elem_count) * u64::from(self.declared(Key::Id(id))?.bytes_per_elem);
        self.reserve_bytes(id, elem_count, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Copies the bytes of values whose type is known at run time into the frame: whole elements of the stream.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    // Always, as `begin_frame`.
    #[inline(always)]
    pub fn append_as(&mut self, stream: StreamRef<'_>, bytes: &[u8]) -> Result<(), AppendError> {
        let (id, elem_count) = self.elements_as(stream, bytes.len())?;
        // As `append_bytes`, and here: a frame that is lent to a function lies in memory from then on.
        let before = self.cursor.used();
        let data = self.reserve_bytes(id, elem_count, bytes.len())?;
        if bytes.len() < LARGE {
            data.copy_from_slice(bytes);
        } else {
            self.copy_large(before + DATA_OFFSET, bytes);
        }
        Ok(())
    }

    /// Makes room for `len` bytes of such values and returns it for writing in place. It holds whatever an earlier
    /// frame left there; write all of it.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    #[inline]
    pub fn reserve_as(&mut self, stream: StreamRef<'_>, len: usize) -> Result<&mut [u8], AppendError> {
        let (id, elem_count) = self.elements_as(stream, len)?;
        self.reserve_bytes(id, elem_count, len)
    }

    /// What is left of the payload, for whole records that are written in place: see
    /// [`FrameWriter::commit_records`]. It holds whatever an earlier frame left there.
    ///
    /// # Errors
    ///
    /// [`AppendError::Forked`].
    pub fn records_room(&mut self) -> Result<&mut [u8], AppendError> {
        if self.claimed.owner.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let used = self.cursor.used();
        Ok(self.room_from(used))
    }

    /// Takes the first `len` bytes of [`FrameWriter::records_room`] as `count` records of the frame. They are not
    /// checked; readers check what they read.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn commit_records(&mut self, len: u32, count: u32) -> Result<(), AppendError> {
        if self.claimed.owner.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let capacity = self.server().region.layout.frame_bytes_cap();
        self.cursor.commit_records(capacity, len, count).map_err(|full| AppendError::Records { full })
    }

    /// Says that the checksum of the first `bytes` bytes of the payload stands at `state`, as `abi::hash::update` has it:
    /// for records that were hashed while they were written in place, so that publishing need not. The frame will carry
    /// a checksum then, unless the server writes none. It is not compared; with a wrong one readers reject the frame.
    pub const fn set_hashed(&mut self, state: u64, bytes: u32) {
        if bytes <= self.cursor.used() {
            self.hashed = Hashed { state, bytes };
        }
    }

    /// Appends a stream that the directory does not list. Readers get its bytes without a description.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn append_undeclared(&mut self, id: u32, elem_count: u32, bytes: &[u8]) -> Result<(), AppendError> {
        self.append_bytes(id, elem_count, bytes)
    }

    /// Copies whole records into the frame as they are: what a recorder took out of another region. `count` is the
    /// number of records as their producer counted them. The bytes are not checked; readers check what they read.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn append_records(&mut self, records: &[u8], count: u32) -> Result<(), AppendError> {
        if self.claimed.owner.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let used = self.cursor.used();
        let room = claimed_room(&self.claimed.owner.server().region, self.slot, used);
        self.cursor.append_records(room, records, count).map_err(|full| AppendError::Records { full })
    }

    /// Publishes the frame and returns its id. `sim_time` is the producer's own time; unit and origin are its own.
    ///
    /// Ten times a second this also cleans up after dead readers, once the frame is out. A server without publish times
    /// ([`crate::ServerBuilder::publish_time`]) may be 32 frames late with that.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the slot is given back then.
    // Always, as `begin_frame`, and for its reason.
    #[inline(always)]
    pub fn publish_frame(self, sim_time: f64) -> Result<u64, PublishError> {
        let checksum = self.claimed.owner.server().producing.checksum;
        self.publish(sim_time, checksum)
    }

    /// Publishes a frame out of another region ([`FrameWriter::append_records`]) as it was there: with a checksum if it
    /// `had_checksum`, and otherwise only while a reader is attached that needs one. A server with [`Checksum::Never`]
    /// writes none in any case.
    ///
    /// # Errors
    ///
    /// As for [`FrameWriter::publish_frame`].
    pub fn publish_recorded(self, sim_time: f64, had_checksum: bool) -> Result<u64, PublishError> {
        let server = self.claimed.owner.server();
        let checksum = match server.producing.checksum {
            Checksum::Never => Checksum::Never,
            _ if had_checksum || server.needs.somebody(&server.region) => Checksum::Always,
            _ => Checksum::Never,
        };
        self.publish(sim_time, checksum)
    }

    #[inline(always)]
    fn publish(self, sim_time: f64, checksum: Checksum) -> Result<u64, PublishError> {
        let Self { mut claimed, slot, pieces, cursor, hashed, .. } = self;
        let used = cursor.used();
        let server = claimed.owner.server();
        server.check_region()?;
        // What is not published is given back when `claimed` is dropped.
        let Some(claim) = claimed.claim.take_if(|_| used > 0 && pieces.unfinished == 0) else {
            return Err(pieces.unpublishable(written_payload(&server.region, slot, used)));
        };
        let payload = written_payload(&server.region, slot, used);
        let Producing { session_id, publish_time, .. } = server.producing;
        // The time is that of publishing, so it comes last.
        let time = |checksum| {
            let ticks = publish_time.then(clock::ticks);
            (checksum, ticks, ticks.map(PublishTime::from_ticks))
        };
        let (checksum, ticks, time) = match checksum {
            Checksum::Never => time(None),
            Checksum::Auto if used > SMALL => {
                let (checksum, ticks) = server.seal_large(payload, hashed);
                (checksum, ticks, ticks.filter(|_| publish_time).map(PublishTime::from_ticks))
            }
            Checksum::Auto | Checksum::Always => time(Some(hashed.finish(payload))),
        };
        let meta = FrameMeta {
            session_id,
            sim_time_bits: sim_time.to_bits(),
            payload_bytes: used,
            tlv_count: cursor.tlv_count(),
            checksum: checksum.unwrap_or(0),
            publish_time: time.map_or(0, PublishTime::to_wire),
            marks: FrameMarks::new(checksum.is_some(), time),
        };
        let published = match &mut claimed.owner {
            Owner::Shared(s) => s.publisher.lock().publish(&s.region, &s.claimer, claim, &meta),
            Owner::Alone(s) => s.publisher.get_mut().publish(&s.region, &s.claimer, claim, &meta),
        };
        let server = claimed.owner.server();
        server.wake(published.wake);
        prefetch::will_write(server.region.slot(slot + 1), used);
        let due = match ticks {
            Some(now) => server.chores.are_due(now),
            None => server.chores.are_due_at_frame(published.frame_id),
        };
        if due {
            server.do_chores();
        }
        // Nothing is left to give back.
        std::mem::forget(claimed);
        Ok(published.frame_id)
    }

    /// Gives the slot back without publishing. The same as dropping the frame.
    pub fn abandon(self) {}
}

impl Server {
    /// The checksum of a large frame if it is to carry one, and the clock after that.
    #[cold]
    #[inline(never)]
    fn seal_large(&self, payload: &[u8], hashed: Hashed) -> (Option<u32>, Option<u64>) {
        let now = clock::ticks();
        if hashed.bytes == 0 && !self.needs.want_one(&self.region, now) {
            return (None, Some(now));
        }
        self.needs.one_is_made(now);
        (Some(hashed.finish(payload)), Some(clock::ticks()))
    }

    /// Whether a large frame that is begun now will carry a checksum, as far as one can tell.
    fn hashes_large_frames_now(&self) -> bool {
        match self.producing.checksum {
            Checksum::Auto => self.needs.want_one(&self.region, clock::ticks()),
            Checksum::Always => true,
            Checksum::Never => false,
        }
    }
}

#[cold]
fn length_error(s: &StreamInfo, bytes: u64, elem_count: u64) -> AppendError {
    let elem_count = u32::try_from(elem_count).unwrap_or(u32::MAX);
    AppendError::Length { id: s.id, bytes, elem_count, bytes_per_elem: s.bytes_per_elem }
}
