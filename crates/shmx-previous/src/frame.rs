//! A frame under construction.

use crate::error::{AppendError, PublishError};
use crate::region::claimed_payload;
use crate::server::{Producing, Server, check_region, wake};
use crate::stream::{StaticState, StreamInfo};
use bytemuck::Pod;
use shmx_abi::extension::{FrameMarks, PublishTime};
use shmx_abi::frame::{DATA_OFFSET, PayloadCursor, Streams};
use shmx_abi::{Element, ElementType, TLV_ALIGN, hash};
use shmx_ring::prefetch;
use shmx_ring::view::Slots;
use shmx_ring::writer::{Claim, FrameMeta};
use std::sync::Arc;

/// A claimed slot: append streams, then publish. Dropping it gives the slot back and publishes nothing.
#[derive(Debug)]
#[must_use = "a frame that is dropped is not published"]
pub struct Frame<'a> {
    claimed: Claimed<'a>,
    cursor: PayloadCursor,
    hashed: Hashed,
    /// The directory as it was when the frame was begun; the server's, where that cannot change meanwhile.
    directory: Option<Arc<StaticState>>,
}

/// The hash of the first `bytes` bytes of the payload, as far as it was worth computing on the way.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    state: u64,
    bytes: u32,
}

/// Streams of at least this many bytes are hashed while they are copied: frames of 8 MiB, sent one after the other,
/// take 1.09 instead of 1.83 ms. Smaller ones are still in the processor's own cache when the frame is published.
const FUSED: usize = 2 << 20;

/// A claim that is abandoned if nothing else becomes of it.
///
/// It is what a [`Frame`] has to drop, so that publishing can take a frame apart without moving it as a whole, which
/// would cost a fifth of the time of a small frame. A frame is small for the same reason.
#[derive(Debug)]
struct Claimed<'a> {
    owner: Owner<'a>,
    claim: Option<Claim>,
}

/// The server, with other threads or alone.
#[derive(Debug)]
pub(crate) enum Owner<'a> {
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

impl Claimed<'_> {
    #[inline]
    fn payload(&mut self) -> &mut [u8] {
        let region = &self.owner.server().region;
        match &self.claim {
            Some(claim) => claimed_payload(region, claim.slot()),
            None => &mut [], // only once it was published
        }
    }
}

impl<'a> Frame<'a> {
    #[inline(always)]
    pub(crate) fn new(owner: Owner<'a>, claim: Claim, directory: Option<Arc<StaticState>>) -> Self {
        let claimed = Claimed { owner, claim: Some(claim) };
        let (cursor, hashed) = (PayloadCursor::new(), Hashed { state: hash::SEED, bytes: 0 });
        Self { claimed, cursor, hashed, directory }
    }

    /// The slot's number.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        match &self.claimed.claim {
            Some(claim) => claim.slot(),
            None => 0, // only while it is being published
        }
    }

    /// Bytes of the payload used so far, record headers and padding included.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.cursor.used()
    }

    /// Streams appended so far.
    #[must_use]
    pub const fn stream_count(&self) -> u32 {
        self.cursor.tlv_count()
    }

    #[inline]
    fn declared(&mut self, id: u32) -> Result<&StreamInfo, AppendError> {
        let directory = match (&mut self.claimed.owner, &self.directory) {
            (_, Some(directory)) => directory,
            (Owner::Alone(server), None) => server.directory.get_mut(),
            (Owner::Shared(_), None) => return Err(AppendError::UnknownStream { id }), // never: see `begin_frame`
        };
        directory.stream(id).ok_or(AppendError::UnknownStream { id })
    }

    #[inline]
    fn check_type<T: Element>(&mut self, id: u32, values: usize) -> Result<u32, AppendError> {
        let s = self.declared(id)?;
        let expected = s.element_type();
        // A vector stream takes whole vectors or a flat slice of their components.
        let fits = expected == Some(T::TYPE) && (T::COMPONENTS == s.components || T::COMPONENTS == 1);
        if !fits {
            return Err(AppendError::TypeMismatch {
                id,
                expected: expected.unwrap_or(ElementType::U8),
                expected_components: s.components,
                found: T::TYPE,
                found_components: T::COMPONENTS,
            });
        }
        let bytes = (values as u64).saturating_mul(size_of::<T>() as u64);
        let per = u64::from(s.bytes_per_elem).max(1);
        let elem_count = u32::try_from(bytes / per).unwrap_or(u32::MAX);
        if !bytes.is_multiple_of(per) || u64::from(elem_count) * per != bytes {
            return Err(AppendError::Length { id, bytes, elem_count, bytes_per_elem: s.bytes_per_elem });
        }
        Ok(elem_count)
    }

    #[inline]
    fn reserve_bytes(&mut self, id: u32, elem_count: u32, len: usize) -> Result<&mut [u8], AppendError> {
        if self.claimed.owner.server().region.os.is_forked() {
            return Err(AppendError::Forked);
        }
        let used = self.cursor.used();
        if !used.is_multiple_of(TLV_ALIGN) {
            return Err(AppendError::Unaligned { id, used });
        }
        // A frame has a handful of streams, so looking through them beats keeping a set.
        let payload = self.claimed.payload();
        if Streams::new(payload.get(..used as usize).unwrap_or(&[])).flatten().any(|s| s.stream_id == id) {
            return Err(AppendError::DuplicateStream { id });
        }
        self.cursor.reserve(payload, id, elem_count, len).map_err(|full| AppendError::Full { id, full })
    }

    #[inline]
    fn append_bytes(&mut self, id: u32, elem_count: u32, bytes: &[u8]) -> Result<(), AppendError> {
        let before = self.cursor.used();
        let data = self.reserve_bytes(id, elem_count, bytes.len())?;
        if bytes.len() < FUSED {
            data.copy_from_slice(bytes);
        } else {
            self.copy_large(before + DATA_OFFSET, bytes);
        }
        Ok(())
    }

    /// Copies data to byte `at` of the payload, where there is room for it, and hashes on the way what lies before it
    /// (no stream can be written any more once another one is begun) and it.
    #[cold]
    fn copy_large(&mut self, at: u32, bytes: &[u8]) {
        let hashing = self.claimed.owner.server().producing.checksum;
        let (before, room) = self.claimed.payload().split_at_mut(at as usize);
        let room = &mut room[..bytes.len()];
        if hashing {
            let state = hash::update(self.hashed.state, &before[self.hashed.bytes as usize..]);
            self.hashed = Hashed { state: hash::copy_and_update(state, bytes, room), bytes: at + bytes.len() as u32 };
        } else {
            room.copy_from_slice(bytes);
        }
    }

    /// Copies values into the frame, checked against the directory.
    ///
    /// A stream of vectors takes arrays (`&[[f32; 3]]`) or a flat slice (`&[f32]`) of whole vectors.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    #[inline]
    pub fn append_stream<T: Element>(&mut self, id: u32, values: &[T]) -> Result<(), AppendError> {
        let elem_count = self.check_type::<T>(id, values.len())?;
        self.append_bytes(id, elem_count, bytemuck::cast_slice(values))
    }

    /// Copies raw bytes into the frame; their number must be `elem_count` times the stream's element size.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn append_raw(&mut self, id: u32, elem_count: u32, bytes: &[u8]) -> Result<(), AppendError> {
        let bytes_per_elem = self.declared(id)?.bytes_per_elem;
        if bytes.len() as u64 != u64::from(elem_count) * u64::from(bytes_per_elem) {
            return Err(AppendError::Length { id, bytes: bytes.len() as u64, elem_count, bytes_per_elem });
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
    #[inline]
    pub fn reserve_stream<T: Element + Pod>(&mut self, id: u32, len: usize) -> Result<&mut [T], AppendError> {
        let elem_count = self.check_type::<T>(id, len)?;
        let bytes = len.saturating_mul(size_of::<T>());
        let data = self.reserve_bytes(id, elem_count, bytes)?;
        // Stream data is 8-byte aligned and no element needs more, so the cast cannot fail.
        Ok(bytemuck::cast_slice_mut(data))
    }

    /// Makes room for `elem_count` elements of the stream's own size and returns the bytes for writing in place.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the frame is as before then.
    pub fn reserve_raw(&mut self, id: u32, elem_count: u32) -> Result<&mut [u8], AppendError> {
        let len = u64::from(elem_count) * u64::from(self.declared(id)?.bytes_per_elem);
        self.reserve_bytes(id, elem_count, usize::try_from(len).unwrap_or(usize::MAX))
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
        let payload = self.claimed.payload();
        self.cursor.append_records(payload, records, count).map_err(|full| AppendError::Records { full })
    }

    /// Publishes the frame and returns its id. `sim_time` is the producer's own time; unit and origin are its own.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the slot is given back then.
    // Always, as `begin_frame_mut`, and for its reason.
    #[inline(always)]
    pub fn publish_frame(self, sim_time: f64) -> Result<u64, PublishError> {
        let Self { mut claimed, cursor, hashed, directory: _ } = self;
        let used = cursor.used();
        if used == 0 {
            return Err(PublishError::Empty);
        }
        let server = claimed.owner.server();
        let Producing { session_id, checksum, publish_time } = server.producing;
        check_region(&server.region, session_id)?;
        let checksum = if checksum {
            let rest = &claimed.payload()[hashed.bytes as usize..used as usize];
            hash::fold32(hash::update(hashed.state, rest))
        } else {
            0
        };
        let time = publish_time.then(|| PublishTime::from_ticks(shmx_os::clock::ticks()));
        let meta = FrameMeta {
            session_id,
            sim_time_bits: sim_time.to_bits(),
            payload_bytes: used,
            tlv_count: cursor.tlv_count(),
            checksum,
            publish_time: time.map_or(0, PublishTime::to_wire),
            marks: FrameMarks::new(true, time),
        };
        let Some(claim) = claimed.claim.take() else { return Err(PublishError::Empty) };
        let published = match &mut claimed.owner {
            Owner::Shared(s) => s.publisher.lock().publish(&s.region, &s.claimer, claim, &meta),
            Owner::Alone(s) => s.publisher.get_mut().publish(&s.region, &s.claimer, claim, &meta),
        };
        let Server { region, claimer, .. } = claimed.owner.server();
        wake(region, published.wake);
        prefetch::will_write(region.slot(claimer.next_slot()), used);
        Ok(published.frame_id)
    }

    /// Gives the slot back without publishing. The same as dropping the frame.
    pub fn abandon(self) {}
}

impl Drop for Claimed<'_> {
    #[inline]
    fn drop(&mut self) {
        let Server { region, claimer, .. } = self.owner.server();
        // In a forked child the slot is still the parent's to fill.
        if !region.os.is_forked()
            && let Some(claim) = self.claim.take()
        {
            claimer.abandon(region, claim);
        }
    }
}
