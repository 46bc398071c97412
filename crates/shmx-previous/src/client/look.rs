//! Finding frames and reading them, by lease or by copy.

use super::attachment::{Attachment, Held};
use super::{ClientOptions, ClientStats};
use crate::buffer::Pool;
use crate::error::ReadError;
use crate::region::{Backing, Mapped};
use crate::view::{ChecksumState, Data, FrameView, SMALL_WORDS};
use shmx_abi::extension::{Features, READER_WAITING, REJECTED_MASK};
use shmx_abi::{RegionLayout, hash};
use shmx_os::clock;
use shmx_ring::hold::Refused;
use shmx_ring::prefetch;
use shmx_ring::reader::{self, Disturbed, FrameSnapshot};
use shmx_ring::sync::{Ordering, fence};
use shmx_ring::view::Slots;
use std::sync::Arc;

/// Memory for a frame that is copied.
pub(super) trait Place {
    /// Whether the frame ends before the client takes the next one.
    const ALONE: bool;
    /// Memory for `count` words, with any content.
    fn words(&mut self, count: usize) -> &mut [u64];
}

/// Memory of the client's own, used again for every frame.
pub(super) struct Scratch(Box<[u64]>);

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("words", &self.0.len()).finish()
    }
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self(Box::new([0; SMALL_WORDS]))
    }

    #[inline]
    pub(super) const fn get(&self) -> &[u64] {
        &self.0
    }
}

impl Place for Scratch {
    const ALONE: bool = true;

    #[inline]
    fn words(&mut self, count: usize) -> &mut [u64] {
        if count > self.0.len() {
            let len = count.checked_next_power_of_two().unwrap_or(count);
            self.0 = vec![0; len].into_boxed_slice();
        }
        &mut self.0
    }
}

/// Memory that the frame takes along.
pub(super) struct Own<'p> {
    data: Option<Data>,
    pool: &'p Arc<Pool>,
}

impl<'p> Own<'p> {
    #[inline]
    pub(super) const fn new(pool: &'p Arc<Pool>) -> Self {
        Self { data: None, pool }
    }

    #[inline]
    pub(super) fn view(self, current: &Current, held: Payload<'_>) -> FrameView {
        let Current { meta, slot, checksum } = *current;
        let data = match (held, self.data) {
            (Some(held), _) => Data::Leased(held.keep()),
            (None, Some(data)) => data,
            (None, None) => Data::Small([0; SMALL_WORDS]), // never: it was copied somewhere
        };
        FrameView { meta, slot, checksum, data }
    }
}

impl Place for Own<'_> {
    const ALONE: bool = false;

    #[inline]
    fn words(&mut self, count: usize) -> &mut [u64] {
        let new = if count > SMALL_WORDS { Data::Copied(self.pool.take(count)) } else { Data::Small([0; SMALL_WORDS]) };
        match self.data.insert(new) {
            Data::Small(words) => words,
            Data::Copied(words) => words,
            Data::Leased(_) => &mut [],
        }
    }
}

/// The frame that was read last. It lies in one place from reading it on: moving it about takes longer than reading it.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) meta: FrameSnapshot,
    pub(crate) slot: u32,
    pub(crate) checksum: ChecksumState,
}

impl Default for Current {
    fn default() -> Self {
        Self { meta: FrameSnapshot::default(), slot: 0, checksum: ChecksumState::Absent }
    }
}

/// Whether the payload is leased, or lies in the [`Place`].
pub(super) type Payload<'a> = Option<Held<'a>>;

/// What a look for a frame brings: where the payload of [`Position::current`] is, if there is a frame.
pub(super) type Look<'a> = Result<Option<Payload<'a>>, ReadError>;

/// When to write the heartbeat: reading the clock for every frame would take longer than taking a small frame.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
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

impl From<Refused> for Miss {
    fn from(_: Refused) -> Self {
        Self::Disturbed
    }
}

const ATTEMPTS: u32 = 64;
/// Attempts at one frame, where another may be taken instead.
const PATIENCE: u32 = 16;

/// Where a client is in the sequence of frames, and what it counts.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) options: ClientOptions,
    pub(super) stats: ClientStats,
    /// Id of the newest frame delivered or, before the first, the last one that does not count as missed.
    pub(super) last_id: u64,
    /// Slot that frame lay in.
    last_slot: u32,
    /// Id of the frame that was delivered as the newest, 0 before the first, and its slot. A frame that was taken in
    /// order may be newer by its id and yet not the newest: one whose slot was claimed early and published late.
    newest: (u64, u32),
    /// Its bytes of payload; the next frame will often have as many.
    last_bytes: u32,
    /// The sequence number at the last look for a frame.
    pub(super) seen: u32,
    heartbeat: Heartbeat,
    /// The frame that was read last; whether it may be handed out is for the caller to judge.
    pub(super) current: Current,
}

impl Position {
    /// `published` is the number of frames that were there when the client began to open the region.
    pub(super) fn new(a: &Attachment, options: ClientOptions, published: u64) -> Self {
        // The newest of them already counts as one to deliver.
        let last_id = published.saturating_sub(1);
        let last_slot = a.region.slot_count() - 1;
        let (stats, heartbeat) = (ClientStats::default(), Heartbeat::default());
        let current = Current::default();
        Self { options, stats, last_id, last_slot, newest: (0, 0), last_bytes: 0, seen: 0, heartbeat, current }
    }

    /// [`super::Client::latest`].
    pub(super) fn latest<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Look<'a> {
        a.check_session()?;
        let mut behind = false;
        for attempt in 0..ATTEMPTS {
            let number = reader::newest(&a.region);
            let Some(slot) = a.region.layout.slot_of_sequence(number) else { return Ok(None) };
            self.prefetch(a, slot);
            // Relaxed: a hint, that spares reading an older frame.
            behind = (1..self.newest.0).contains(&a.region.slot(slot).head.frame_id.load(Ordering::Relaxed));
            if behind {
                if let Some(payload) = self.newest_again(a, place) {
                    return Ok(Some(payload));
                }
            } else {
                match self.read_counted(a, slot, place) {
                    Ok(payload) if self.current.meta.frame_id >= self.newest.0 => {
                        self.deliver_newest(a);
                        return Ok(Some(payload));
                    }
                    // Another frame is the newest by now, and this one's slot was taken for the next.
                    Err(Miss::Empty) if reader::newest(&a.region) == number => return Ok(None),
                    Err(Miss::Error(e)) => return Err(self.reject(a, e)),
                    Ok(_) | Err(Miss::Empty | Miss::Disturbed) => {}
                }
            }
            if attempt > 8 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            a.check_session()?;
        }
        // What was the newest before is gone, and the newest number still leads to an older frame; or it is being
        // rewritten.
        let uncounted = a.features.is_extended() && self.current.meta.frame_id > reader::published(&a.region);
        if behind || uncounted || is_rewritten(&a.region, a.features) {
            return Ok(None);
        }
        Err(ReadError::Lapped { attempts: ATTEMPTS })
    }

    /// The frame that was delivered as the newest, or a newer one in its slot.
    ///
    /// A frame is in its slot before `write_index` tells of it. A slow reader that comes to the slot by an old number
    /// finds it there, and then a number that is newer than its own, but older than the frame.
    #[cold]
    fn newest_again<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Option<Payload<'a>> {
        self.forget_impossible(reader::published(&a.region));
        let (id, slot) = self.newest;
        if a.region.slot(slot).head.frame_id.load(Ordering::Relaxed) < id {
            return None;
        }
        let payload = self.read_counted(a, slot, place).ok()?;
        if self.current.meta.frame_id < id {
            return None;
        }
        self.deliver_newest(a);
        Some(payload)
    }

    /// Reads a slot whose frame may not be counted yet. Such a frame is not handed out: a producer that dies before it
    /// counts it leaves a later reader to begin with an older one.
    #[inline]
    fn read_counted<'a, P: Place>(
        &mut self,
        a: &'a Arc<Attachment>,
        slot: u32,
        place: &mut P,
    ) -> Result<Payload<'a>, Miss> {
        let payload = self.read_slot(a, slot, place)?;
        if a.features.is_extended() && self.current.meta.frame_id > reader::published(&a.region) {
            return Err(Miss::Disturbed);
        }
        Ok(payload)
    }

    /// [`super::Client::read_id`].
    pub(super) fn read_id<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place, frame_id: u64) -> Look<'a> {
        a.check_session()?;
        for slot in 0..a.region.slot_count() {
            // A claim may step back from a slot that it finds leased, and the frame stays.
            for _ in 0..PATIENCE {
                if a.region.slot(slot).head.frame_id.load(Ordering::Relaxed) != frame_id {
                    break;
                }
                match self.read_slot(a, slot, place) {
                    Ok(payload) if self.current.meta.frame_id == frame_id => {
                        self.deliver(a);
                        return Ok(Some(payload));
                    }
                    Ok(_) | Err(Miss::Disturbed | Miss::Empty) => std::hint::spin_loop(),
                    Err(Miss::Error(e)) => return Err(self.reject(a, e)),
                }
            }
        }
        Ok(None)
    }

    /// [`super::Client::try_next`].
    #[inline]
    pub(super) fn try_next<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Look<'a> {
        a.check_session()?;
        if self.news(a).is_none() {
            return Ok(None);
        }
        // The next frame usually lies in the next slot; looking there first leaves the other headers alone.
        match self.take_following(a, place) {
            Some(payload) => Ok(Some(payload)),
            None => self.search_next(a, place),
        }
    }

    #[cold]
    fn search_next<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Look<'a> {
        // A frame that cannot be read although it shows its id, and how often that was tried: a producer that was
        // stopped right after claiming its slot must not hide the frames behind it.
        let (mut passed, mut stuck, mut tries) = (self.last_id, 0, 0);
        for _ in 0..ATTEMPTS {
            a.check_session()?;
            let region = &a.region;
            let published = reader::published(region);
            if published <= self.last_id {
                self.forget_impossible(published);
                return Ok(None);
            }
            // Ids up to `published` are in their slots, or were and are lost. What lies above may be seen out of order.
            let oldest = (0..region.slot_count())
                .map(|i| (region.slot(i).head.frame_id.load(Ordering::Relaxed), i))
                .filter(|&(id, _)| id > passed && id <= published)
                .min();
            let Some((id, slot)) = oldest else {
                if passed > self.last_id {
                    return Ok(None);
                }
                // A server of the reference counts a frame before it is in its slot.
                if a.features.is_extended() {
                    self.miss(published.saturating_add(1));
                    return Ok(None);
                }
                continue;
            };
            match self.read_slot(a, slot, place) {
                Ok(payload) if self.current.meta.frame_id == id => {
                    self.deliver(a);
                    return Ok(Some(payload));
                }
                Err(Miss::Error(e)) if self.current.meta.frame_id == id => {
                    self.step_over(id);
                    return Err(self.reject(a, e));
                }
                _ => std::hint::spin_loop(),
            }
            tries = if stuck == id { tries + 1 } else { 1 };
            stuck = id;
            if tries == PATIENCE {
                passed = id;
            }
        }
        Ok(None)
    }

    /// Counts the frames before `id` that were not delivered as missed.
    const fn miss(&mut self, id: u64) {
        let steps = id.saturating_sub(self.last_id);
        if steps > 1 {
            self.stats.dropped = self.stats.dropped.saturating_add(steps - 1);
            self.last_id = id - 1;
        }
    }

    /// Goes past a frame that is refused, or it would be refused for ever.
    const fn step_over(&mut self, id: u64) {
        if id > self.last_id {
            self.miss(id);
            self.last_id = id;
        }
    }

    /// [`super::Client::try_wait`].
    #[inline]
    pub(super) fn try_wait<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Look<'a> {
        a.check_session()?;
        let Some(number) = self.news(a) else { return Ok(None) };
        let Some(slot) = a.region.layout.slot_of_sequence(number) else { return Ok(None) };
        self.prefetch(a, slot);
        if self.newest.0 == 0 {
            self.begin_at(a, number, slot);
        }
        let before = self.last_id;
        // Relaxed: only a hint, that spares reading a frame again while the next one is counted and not yet announced.
        if (1..=before).contains(&a.region.slot(slot).head.frame_id.load(Ordering::Relaxed)) {
            self.forget_impossible(reader::published(&a.region));
            return Ok(None);
        }
        match self.read_counted(a, slot, place) {
            Ok(payload) if self.current.meta.frame_id > before => {
                self.deliver_newest(a);
                Ok(Some(payload))
            }
            Ok(_) => Ok(None),
            Err(Miss::Error(e)) => {
                // The id may be as bad as the frame.
                let (id, published) = (self.current.meta.frame_id, reader::published(&a.region));
                self.step_over(if id > before && id <= published { id } else { published });
                Err(self.reject(a, e))
            }
            Err(Miss::Empty | Miss::Disturbed) => {
                Ok(self.latest(a, place)?.filter(|_| self.current.meta.frame_id > before))
            }
        }
    }

    /// Makes the newest frame one to deliver to a client that has none yet, though others were published late behind it.
    #[cold]
    fn begin_at(&mut self, a: &Attachment, number: u32, slot: u32) {
        // Relaxed: hints. Our servers store the first before they count a frame and the number after it: where they
        // differ, a newer frame is about to be announced, and earlier readers may have it.
        let announced = a.region.header().reserve_index.load(Ordering::Relaxed) == number;
        let id = a.region.slot(slot).head.frame_id.load(Ordering::Relaxed);
        if announced && self.stats == ClientStats::default() && (1..=self.last_id).contains(&id) {
            self.last_id = id - 1;
        }
    }

    /// The newest sequence number if there may be a frame newer than the last one delivered.
    ///
    /// The number tells of a frame that became the newest, the id also of one that came late and did not.
    #[inline]
    fn news(&mut self, a: &Attachment) -> Option<u32> {
        let number = reader::newest(&a.region);
        if number == self.seen {
            let published = reader::published(&a.region);
            if published <= self.last_id {
                self.forget_impossible(published);
                return None;
            }
        }
        self.seen = number;
        Some(number)
    }

    /// An id that somebody wrote over a frame must not make the reader deaf for ever. A server counts a frame right
    /// before or right after it shows it, so a sound id is ahead of the count by one at most.
    const fn forget_impossible(&mut self, published: u64) {
        if self.last_id.saturating_sub(published) > 1 {
            self.last_id = published.saturating_sub(1);
        }
        if self.newest.0.saturating_sub(published) > 1 {
            self.newest = (0, 0);
        }
    }

    /// The frame after the last one delivered, if it lies in the slot after that one's.
    #[inline]
    fn take_following<'a>(&mut self, a: &'a Arc<Attachment>, place: &mut impl Place) -> Option<Payload<'a>> {
        let next = self.last_slot + 1;
        let slot = if next == a.region.slot_count() { 0 } else { next };
        // An id of 0 is no frame and follows none, not even the greatest id that somebody may have written.
        let wanted = self.last_id.checked_add(1)?;
        // Not before it is counted: the producer may stop here, and a later reader would begin with an older frame.
        if a.features.is_extended() && wanted > reader::published(&a.region) {
            return None;
        }
        self.prefetch(a, slot);
        if a.region.slot(slot).head.frame_id.load(Ordering::Relaxed) != wanted {
            return None;
        }
        match self.read_slot(a, slot, place) {
            Ok(payload) if self.current.meta.frame_id == wanted => {
                self.deliver(a);
                Some(payload)
            }
            // What is wrong with it is found again, and said, by the look at the whole ring.
            _ => None,
        }
    }

    pub(super) fn set_waiting(&self, a: &Attachment, waiting: bool) {
        if a.check_session().is_err() {
            return; // the slot may be somebody else's
        }
        let flags = self.stats.rejected & REJECTED_MASK | if waiting { READER_WAITING } else { 0 };
        if let Some(slot) = a.slot() {
            slot.ext_rejected_flags.store(flags, Ordering::Relaxed);
        }
    }

    #[inline]
    fn deliver(&mut self, a: &Attachment) {
        let Current { meta: FrameSnapshot { frame_id: id, payload_bytes, publish_time, .. }, slot, .. } = self.current;
        if id > self.last_id {
            self.stats.delivered += 1;
            self.step_over(id);
            self.last_slot = slot;
            self.last_bytes = payload_bytes;
        }
        let due = self.heartbeat.due(a.features.is_extended(), publish_time);
        if let Some(slot) = a.slot() {
            slot.ext_delivered.store(self.stats.delivered, Ordering::Relaxed);
            slot.ext_missed.store(self.stats.dropped, Ordering::Relaxed);
            slot.last_frame_seen.store(id, Ordering::Release);
            if due {
                slot.heartbeat.store(clock::ticks(), Ordering::Release);
            }
        }
    }

    #[inline]
    fn deliver_newest(&mut self, a: &Attachment) {
        self.newest = (self.current.meta.frame_id, self.current.slot);
        self.deliver(a);
    }

    fn reject(&mut self, a: &Attachment, error: ReadError) -> ReadError {
        self.stats.rejected += 1;
        if let Some(slot) = a.slot() {
            // Stepping over a refused frame may have counted others as missed.
            slot.ext_missed.store(self.stats.dropped, Ordering::Relaxed);
        }
        self.set_waiting(a, false);
        error
    }

    /// Asks for the lines of a slot that will be read.
    #[inline]
    fn prefetch(&self, a: &Attachment, slot: u32) {
        let slot = a.region.slot(slot);
        if self.last_bytes > self.options.copy_up_to && self.leases_as(a).is_some() {
            prefetch::will_lease(slot, self.last_bytes);
        } else {
            prefetch::will_read(slot, self.last_bytes);
        }
    }

    /// The reader index under which frames are leased.
    #[inline]
    fn leases_as(&self, a: &Attachment) -> Option<u32> {
        a.index.filter(|&i| self.options.lease && a.may_lease && i < reader::LEASABLE_READERS)
    }

    /// Reads a slot: what is found is [`Position::current`].
    #[inline]
    fn read_slot<'a, P: Place>(
        &mut self,
        a: &'a Arc<Attachment>,
        index: u32,
        place: &mut P,
    ) -> Result<Payload<'a>, Miss> {
        if let Some(reader) = self.leases_as(a) {
            // Relaxed: only a preference; what is read is checked on either way.
            let payload_bytes = a.region.slot(index).head.payload_bytes.load(Ordering::Relaxed);
            if payload_bytes > self.options.copy_up_to {
                match a.lease(index, reader, P::ALONE, &mut self.current.meta) {
                    Ok(held) => return self.check_leased(a, index, held).map(Some),
                    // In a moment it can be leased; it can be copied now.
                    Err(Refused::Ending) => {}
                    Err(Refused::Disturbed) => return Err(Miss::Disturbed),
                }
            }
        }
        let Attachment { ref region, session_id, features, .. } = **a;
        let expected = Expected { session_id, features, verify: self.options.verify };
        read_copied(region, index, expected, true, place, &mut self.current)?;
        Ok(None)
    }

    /// Whether the current frame, which `held` holds, is a frame.
    #[inline]
    fn check_leased<'a>(&mut self, a: &Attachment, slot: u32, mut held: Held<'a>) -> Result<Held<'a>, Miss> {
        let meta = &self.current.meta;
        check_meta(meta, a.session_id, &a.region.layout)?;
        let verify = self.options.verify && !a.features.has(Features::NO_CHECKSUM);
        if verify && !held.is_verified() {
            check_sum(meta, held.payload(meta.payload_bytes as usize)).map_err(Miss::Error)?;
            held.set_verified();
        }
        self.current.slot = slot;
        self.current.checksum = checksum_state(verify, a.features);
        Ok(held)
    }
}

fn checksum_state(verified: bool, features: Features) -> ChecksumState {
    match (features.has(Features::NO_CHECKSUM), verified) {
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

/// What a frame must be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) session_id: u64,
    pub(crate) features: Features,
    /// Whether its checksum is looked at.
    pub(crate) verify: bool,
}

/// Copies a frame into a place; a wrong checksum is refused or told.
#[inline]
fn read_copied<B: Backing>(
    region: &Mapped<B>,
    slot: u32,
    expected: Expected,
    refuse_mismatch: bool,
    place: &mut impl Place,
    current: &mut Current,
) -> Result<(), Miss> {
    current.slot = slot;
    let Current { meta, checksum, .. } = current;
    *checksum = match read_into(region, slot, expected, meta, |n| place.words(n))? {
        Ok(state) => state,
        Err(e) if refuse_mismatch => return Err(Miss::Error(e)),
        Err(_) => ChecksumState::Mismatch,
    };
    Ok(())
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
    expected: Expected,
    meta: &mut FrameSnapshot,
    memory: impl FnOnce(usize) -> &'m mut [u64],
) -> Result<Result<ChecksumState, ReadError>, Miss> {
    let Expected { session_id, features, verify } = expected;
    let slot = region.slot(index);
    let extended = features.is_extended();
    let number = if extended { 0 } else { number_in(region, index) };
    if extended {
        reader::begin_into(slot, meta)?;
    } else {
        *meta = reader::begin_unstamped(slot);
    }
    check_meta(meta, session_id, &region.layout).map_err(|e| match e {
        // Seen half-written; say so only if it stays.
        Miss::Error(_) | Miss::Empty if reader::validate(slot, meta).is_err() => Miss::Disturbed,
        other => other,
    })?;
    let len = meta.payload_bytes as usize;
    let payload = bytemuck::cast_slice_mut(memory(len.div_ceil(8))).get_mut(..len).unwrap_or(&mut []);
    reader::copy_payload(slot, meta, payload)?;
    if !extended {
        fence(Ordering::Acquire);
        let reserved = region.header().reserve_index.load(Ordering::Relaxed);
        if reserved.wrapping_sub(number) >= region.layout.slots() {
            return Err(Miss::Disturbed);
        }
    }
    // Only now: the copy is whole, and the slot may be written again meanwhile.
    let verify = verify && !features.has(Features::NO_CHECKSUM);
    let sum = if verify { check_sum(meta, payload) } else { Ok(()) };
    Ok(sum.map(|()| checksum_state(verify, features)))
}

/// The inspector's way to a frame: by copy, and a wrong checksum is shown instead of refused.
pub(crate) fn inspect_slot<B: Backing>(
    region: &Mapped<B>,
    index: u32,
    expected: Expected,
    buffers: &Arc<Pool>,
) -> Result<Option<FrameView>, ReadError> {
    for _ in 0..ATTEMPTS {
        match inspect_once(region, index, expected, buffers) {
            Ok(view) => return Ok(Some(view)),
            Err(Miss::Empty) => return Ok(None),
            Err(Miss::Error(e)) => return Err(e),
            Err(Miss::Disturbed) => std::thread::yield_now(),
        }
    }
    Err(ReadError::Lapped { attempts: ATTEMPTS })
}

/// The same for the newest frame, wherever it is by now.
pub(crate) fn inspect_newest<B: Backing>(
    region: &Mapped<B>,
    expected: Expected,
    buffers: &Arc<Pool>,
) -> Result<Option<FrameView>, ReadError> {
    for _ in 0..ATTEMPTS {
        let number = reader::newest(region);
        let Some(slot) = region.layout.slot_of_sequence(number) else { return Ok(None) };
        match inspect_once(region, slot, expected, buffers) {
            Ok(view) => return Ok(Some(view)),
            Err(Miss::Empty) if reader::newest(region) == number => return Ok(None),
            Err(Miss::Error(e)) => return Err(e),
            Err(Miss::Empty | Miss::Disturbed) => std::thread::yield_now(),
        }
    }
    if is_rewritten(region, expected.features) {
        return Ok(None);
    }
    Err(ReadError::Lapped { attempts: ATTEMPTS })
}

/// Whether the newest frame's slot is being written again. With one slot, or all others leased, that is where the next
/// one is written.
fn is_rewritten<B: Backing>(region: &Mapped<B>, features: Features) -> bool {
    let number = reader::newest(region);
    let Some(slot) = region.layout.slot_of_sequence(number) else { return false };
    features.is_extended() && reader::begin(region.slot(slot)).is_err() && reader::newest(region) == number
}

fn inspect_once<B: Backing>(
    region: &Mapped<B>,
    index: u32,
    expected: Expected,
    buffers: &Arc<Pool>,
) -> Result<FrameView, Miss> {
    let (mut own, mut current) = (Own::new(buffers), Current::default());
    read_copied(region, index, expected, false, &mut own, &mut current)?;
    Ok(own.view(&current, None))
}
