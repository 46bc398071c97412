//! Where a reader is in the sequence of frames: the newest one, or each in order, and what it counts on the way.
//!
//! Clients and taps move the same cursor over different [`Ground`]: a client holds frames by lease or by copy and may
//! write to the region, a tap copies through a read-only mapping.
//!
//! A frame is handed out only once the server has counted it (`frame_seq`, W6). In its slot it can be seen before that,
//! by a reader that comes there by an old number or while scanning; but a server that dies in between never counts it,
//! and whoever opens the region next would begin with an older frame. Servers of the reference count a frame before it
//! is in its slot, so there the rule says nothing.
//!
//! Length: one state machine; its parts read and write the same fields.

use crate::error::ReadError;
use crate::region::{Backing, Mapped};
use crate::slot::read::{ATTEMPTS, Current, Miss, is_rewritten};
use shmx_abi::extension::Features;
use shmx_ring::every_frame::FirstFrames;
use shmx_ring::load;
use shmx_ring::reader;
use shmx_ring::sync::Ordering;
use shmx_ring::view::{Slot, Slots};
use std::time::{Duration, Instant};

/// Which frame a reader begins with.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Start, Stream};
/// use std::time::Duration;
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// let name = format!("doc-start-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// for tick in 0..3 {
///     let mut frame = server.begin_frame()?;
///     frame.append_stream(TICK, &[tick])?;
///     frame.publish_frame(0.0)?;
/// }
/// let mut newest = Client::open(&name)?;
/// assert_eq!(newest.next(Duration::ZERO)?.map(|f| f.frame_id()), Some(3));
/// let mut oldest = Client::options().start(Start::Oldest).open(&name)?;
/// assert_eq!(oldest.next(Duration::ZERO)?.map(|f| f.frame_id()), Some(1));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The newest frame there is, then those after it. What was published before does not count as missed.
    #[default]
    Newest,
    /// The oldest frame still in the ring. What was overwritten before does not count as missed.
    Oldest,
    /// The frame after this one, if the session is still the same; what was overwritten since counts as missed. In
    /// another session as [`Start::Oldest`].
    After {
        /// The session of that frame.
        session_id: u64,
        /// Its id.
        frame_id: u64,
    },
}

/// Counts of one reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadStats {
    /// Different frames delivered.
    pub delivered: u64,
    /// Frames published that the reader did not get: overwritten before it came to them, or passed over for a newer
    /// one.
    pub missed: u64,
    /// Frames rejected: wrong checksum, foreign session, impossible length. One that is looked at again and again counts
    /// once.
    pub rejected: u64,
}

/// What a cursor moves over.
pub(crate) trait Ground {
    type Memory: Backing;
    /// Keeps the frame that was read as long as it lives.
    type Held;
    fn region(&self) -> &Mapped<Self::Memory>;
    fn features(&self) -> Features;
    /// Whether the region is still the one that was opened, and this process's.
    fn check_session(&self) -> Result<(), ReadError>;
    /// Reads a slot; what is found is [`Ground::current`].
    fn read(&mut self, slot: u32) -> Result<Self::Held, Miss>;
    fn current(&mut self) -> &mut Current;
    /// Asks for the lines of a slot that will be read, of `bytes` bytes as a guess.
    fn prefetch(&self, slot: Slot<'_>, bytes: u32);
}

/// What a look for a frame brings.
pub(crate) type Look<H> = Result<Option<H>, ReadError>;

/// Attempts at one frame, where another may be taken instead.
const PATIENCE: u32 = 16;

#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) stats: ReadStats,
    /// Id of the newest frame delivered or, before the first, the last one that does not count as missed.
    pub(crate) last_id: u64,
    /// Slot that frame lay in.
    last_slot: u32,
    /// Id of the frame that was delivered as the newest, 0 before the first, and its slot. A frame that was taken in
    /// order may be newer by its id and yet not the newest: one whose slot was claimed early and published late.
    newest: (u64, u32),
    /// Its bytes of payload; the next frame will often have as many.
    last_bytes: u32,
    /// The sequence number at the last look for a frame.
    pub(crate) seen: u32,
    /// Frames missed when the last one was delivered.
    counted: u64,
    /// Id and stamp of the frame that was rejected last.
    rejected: Option<(u64, u64)>,
    /// The counts with which the reader came to the region, if it begins with the newest frame there.
    begins: Option<ReadStats>,
    /// Whether the producer may be waiting for this reader, so that what is claimed for a moment is not passed.
    every: bool,
    /// A frame that shows its id and could not be read, and since when.
    stuck: (u64, Option<Instant>),
}

/// How long a reader that wants every frame waits for one that shows its id and stays disturbed: a claim steps back from
/// it unless its thread stands still.
const STUCK: Duration = Duration::from_secs(1);

impl Cursor {
    /// `published` is the number of frames that were there when the reader began to open the region.
    pub(crate) fn new<B: Backing>(region: &Mapped<B>, session_id: u64, published: u64, start: Start) -> Self {
        let last_id = match start {
            // The newest of them already counts as one to deliver.
            Start::Newest => published.saturating_sub(1),
            Start::After { session_id: s, frame_id } if s == session_id => frame_id.min(published),
            Start::Oldest | Start::After { .. } => {
                let ids = (0..region.slot_count()).map(|i| load::count(&region.slot(i).head.frame_id));
                ids.filter(|&id| id > 0 && id <= published).min().map_or(published, |id| id - 1)
            }
        };
        let last_slot = region.slot_count() - 1;
        let stats = ReadStats::default();
        let begins = (start == Start::Newest).then_some(stats);
        Self {
            stats,
            last_id,
            last_slot,
            newest: (0, 0),
            last_bytes: 0,
            seen: 0,
            counted: 0,
            rejected: None,
            begins,
            every: false,
            stuck: (0, None),
        }
    }

    /// A reader that wants every frame and has attached as such.
    pub(crate) fn for_every_frame<B: Backing>(
        region: &Mapped<B>,
        session_id: u64,
        first: FirstFrames,
        start: Start,
    ) -> Self {
        let FirstFrames { oldest, published } = first;
        let mut cursor = Self::new(region, session_id, published, start);
        cursor.every = true;
        cursor.last_id = match start {
            // What was overwritten since that frame counts as missed.
            Start::After { session_id: s, .. } if s == session_id => cursor.last_id,
            Start::Newest => oldest.saturating_sub(1).max(published.saturating_sub(1)),
            Start::Oldest | Start::After { .. } => oldest.saturating_sub(1),
        };
        cursor
    }

    /// The same reader in a region that it has opened anew: its counts go on.
    pub(crate) const fn goes_on(mut self, before: &Self) -> Self {
        self.stats = before.stats;
        self.counted = before.counted;
        if self.begins.is_some() {
            self.begins = Some(before.stats);
        }
        self
    }

    /// The newest frame, delivered before or not.
    pub(crate) fn latest<G: Ground>(&mut self, g: &mut G) -> Look<G::Held> {
        g.check_session()?;
        let extended = g.features().is_extended();
        let (mut behind, mut uncounted) = (false, false);
        for attempt in 0..ATTEMPTS {
            let number = reader::newest(g.region());
            let Some(slot) = g.region().layout.slot_of_sequence(number) else { return Ok(None) };
            let view = g.region().slot(slot);
            g.prefetch(view, self.last_bytes);
            if self.newest.0 == 0 {
                self.begin_at(g.region(), number, slot);
            }
            // Relaxed: a hint, that spares reading a frame that would not be handed out.
            let id = load::count(&view.head.frame_id);
            behind = (1..self.newest.0).contains(&id);
            uncounted = extended && id > reader::published(g.region());
            if behind {
                if let Some(held) = self.newest_again(g) {
                    return Ok(Some(held));
                }
            } else if !uncounted {
                match self.read_counted(g, slot) {
                    Ok(held) if g.current().meta.frame_id >= self.newest.0 => {
                        self.deliver_newest(g);
                        return Ok(Some(held));
                    }
                    // Another frame is the newest by now, and this one's slot was taken for the next.
                    Err(Miss::Empty) if reader::newest(g.region()) == number => return Ok(None),
                    Err(Miss::Error(e)) => return Err(self.reject(g, e)),
                    Ok(_) | Err(Miss::Empty | Miss::Disturbed) => {}
                }
            }
            if attempt > 8 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            g.check_session()?;
        }
        // What was the newest before is gone, and the newest number still leads to an older frame; or it is being
        // rewritten; or what took its place is not counted yet.
        if behind || uncounted || is_rewritten(g.region(), g.features()) {
            return Ok(None);
        }
        Err(ReadError::Lapped { attempts: ATTEMPTS })
    }

    /// Reads a slot whose frame may not be counted yet.
    #[inline]
    fn read_counted<G: Ground>(&mut self, g: &mut G, slot: u32) -> Result<G::Held, Miss> {
        let held = g.read(slot)?;
        // After the stamp was seen even; what is counted stays counted.
        if g.features().is_extended() && g.current().meta.frame_id > reader::published(g.region()) {
            return Err(Miss::Disturbed);
        }
        Ok(held)
    }

    /// The frame that was delivered as the newest, or a newer one in its slot.
    ///
    /// A frame is in its slot, and counted, before `write_index` tells of it. A slow reader that comes to the slot by
    /// an old number finds it there, and then a number that is newer than its own, but older than the frame.
    #[cold]
    fn newest_again<G: Ground>(&mut self, g: &mut G) -> Option<G::Held> {
        self.forget_impossible(reader::published(g.region()));
        let (id, slot) = self.newest;
        if load::count(&g.region().slot(slot).head.frame_id) < id {
            return None;
        }
        let held = self.read_counted(g, slot).ok()?;
        if g.current().meta.frame_id < id {
            return None;
        }
        self.deliver_newest(g);
        Some(held)
    }

    /// The frame with this id, if it is in the ring.
    pub(crate) fn read_id<G: Ground>(&mut self, g: &mut G, frame_id: u64) -> Look<G::Held> {
        g.check_session()?;
        if frame_id == 0 || frame_id > reader::published(g.region()) {
            return Ok(None);
        }
        for slot in 0..g.region().slot_count() {
            // A claim may step back from a slot that it finds leased, and the frame stays.
            for _ in 0..PATIENCE {
                if load::count(&g.region().slot(slot).head.frame_id) != frame_id {
                    break;
                }
                match g.read(slot) {
                    Ok(held) if g.current().meta.frame_id == frame_id => {
                        self.deliver(g);
                        return Ok(Some(held));
                    }
                    Ok(_) | Err(Miss::Disturbed | Miss::Empty) => std::hint::spin_loop(),
                    Err(Miss::Error(e)) => return Err(self.reject(g, e)),
                }
            }
        }
        Ok(None)
    }

    /// The oldest frame in the ring that is newer than the last one delivered.
    #[inline]
    pub(crate) fn try_next<G: Ground>(&mut self, g: &mut G) -> Look<G::Held> {
        g.check_session()?;
        match self.news(g.region()) {
            Some(_) => self.next_of_news(g),
            None => Ok(None),
        }
    }

    /// The same, once there are [`Cursor::news`].
    // Always: its result would go through memory.
    #[inline(always)]
    pub(crate) fn next_of_news<G: Ground>(&mut self, g: &mut G) -> Look<G::Held> {
        // The next frame usually lies in the next slot; looking there first leaves the other headers alone.
        match self.take_following(g) {
            Some(held) => Ok(Some(held)),
            None => self.search_next(g),
        }
    }

    #[cold]
    fn search_next<G: Ground>(&mut self, g: &mut G) -> Look<G::Held> {
        // A server that keeps few frames does not go round the slots: the next one is the newest then.
        if let Some(slot) = g.region().layout.slot_of_sequence(reader::newest(g.region()))
            && let Some(held) = self.take_next_at(g, slot)
        {
            return Ok(Some(held));
        }
        // A frame that cannot be read although it shows its id, and how often that was tried: a producer that was
        // stopped right after claiming its slot must not hide the frames behind it.
        let (mut passed, mut stuck, mut tries) = (self.last_id, 0, 0);
        for _ in 0..ATTEMPTS {
            g.check_session()?;
            let region = g.region();
            let published = reader::published(region);
            if published <= self.last_id {
                self.forget_impossible(published);
                return Ok(None);
            }
            // Ids up to `published` are in their slots, or were and are lost. What lies above may be seen out of order.
            let oldest = (0..region.slot_count())
                .map(|i| (load::count(&region.slot(i).head.frame_id), i))
                .filter(|&(id, _)| id > passed && id <= published)
                .min();
            let Some((id, slot)) = oldest else {
                if passed > self.last_id {
                    return Ok(None);
                }
                // A server of the reference counts a frame before it is in its slot.
                if g.features().is_extended() {
                    self.miss(published.saturating_add(1));
                    return Ok(None);
                }
                std::hint::spin_loop();
                continue;
            };
            match g.read(slot) {
                Ok(held) if g.current().meta.frame_id == id => {
                    self.deliver(g);
                    return Ok(Some(held));
                }
                Err(Miss::Error(e)) if g.current().meta.frame_id == id => {
                    self.step_over(id);
                    return Err(self.reject(g, e));
                }
                _ => std::hint::spin_loop(),
            }
            tries = if stuck == id { tries + 1 } else { 1 };
            stuck = id;
            if tries == PATIENCE {
                if self.every && self.waits_for(id) {
                    return Ok(None);
                }
                passed = id;
            }
        }
        Ok(None)
    }

    /// Whether a frame that could not be read is waited for, instead of passed.
    fn waits_for(&mut self, id: u64) -> bool {
        let (before, since) = self.stuck;
        let since = since.filter(|_| before == id).unwrap_or_else(Instant::now);
        self.stuck = (id, Some(since));
        since.elapsed() < STUCK
    }

    /// Counts the frames before `id` that were not delivered as missed.
    const fn miss(&mut self, id: u64) {
        let steps = id.saturating_sub(self.last_id);
        if steps > 1 {
            self.stats.missed = self.stats.missed.saturating_add(steps - 1);
            self.last_id = id - 1;
        }
    }

    /// Goes past a frame that is rejected, or it would be rejected for ever.
    const fn step_over(&mut self, id: u64) {
        if id > self.last_id {
            self.miss(id);
            self.last_id = id;
        }
    }

    /// The newest frame, if it was not delivered yet.
    #[inline]
    pub(crate) fn try_wait<G: Ground>(&mut self, g: &mut G) -> Look<G::Held> {
        g.check_session()?;
        match self.news(g.region()) {
            Some(number) => self.newest_of_news(g, number),
            None => Ok(None),
        }
    }

    /// The same, once there are [`Cursor::news`].
    #[inline]
    pub(crate) fn newest_of_news<G: Ground>(&mut self, g: &mut G, number: u32) -> Look<G::Held> {
        let Some(slot) = g.region().layout.slot_of_sequence(number) else { return Ok(None) };
        g.prefetch(g.region().slot(slot), self.last_bytes);
        if self.newest.0 == 0 {
            self.begin_at(g.region(), number, slot);
        }
        let before = self.last_id;
        // Relaxed: only a hint, that spares reading a frame again while the next one is counted and not yet announced.
        if (1..=before).contains(&load::count(&g.region().slot(slot).head.frame_id)) {
            self.forget_impossible(reader::published(g.region()));
            return Ok(None);
        }
        match self.read_counted(g, slot) {
            Ok(held) if g.current().meta.frame_id > before => {
                self.deliver_newest(g);
                Ok(Some(held))
            }
            Ok(_) => Ok(None),
            Err(Miss::Error(e)) => {
                // The id may be as bad as the frame.
                let (id, published) = (g.current().meta.frame_id, reader::published(g.region()));
                self.step_over(if id > before && id <= published { id } else { published });
                Err(self.reject(g, e))
            }
            Err(Miss::Empty | Miss::Disturbed) => Ok(self.latest(g)?.filter(|_| g.current().meta.frame_id > before)),
        }
    }

    /// Makes the newest frame one to deliver to a reader that has none yet, though others were published late behind it.
    #[cold]
    fn begin_at<B: Backing>(&mut self, region: &Mapped<B>, number: u32, slot: u32) {
        // Relaxed: hints. Our servers store the first before they count a frame and the number after it: where they
        // differ, a newer frame is about to be announced, and earlier readers may have it.
        let announced = region.header().reserve_index.load(Ordering::Relaxed) == number;
        let id = load::count(&region.slot(slot).head.frame_id);
        if announced && self.begins == Some(self.stats) && (1..=self.last_id).contains(&id) {
            self.last_id = id - 1;
        }
    }

    /// The newest sequence number if there may be a frame newer than the last one delivered.
    ///
    /// The number tells of a frame that became the newest, the id also of one that came late and did not.
    #[inline]
    pub(crate) fn news<B: Backing>(&mut self, region: &Mapped<B>) -> Option<u32> {
        let number = reader::newest(region);
        if number == self.seen {
            let published = reader::published(region);
            if published == self.last_id {
                return None;
            }
            if published < self.last_id {
                self.forget_impossible(published);
                return None;
            }
        }
        self.seen = number;
        Some(number)
    }

    /// An id that somebody wrote over a frame must not make the reader deaf for ever. A server counts a frame right
    /// before or right after it shows it, so a sound id is ahead of the count by one at most.
    #[cold]
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
    fn take_following<G: Ground>(&mut self, g: &mut G) -> Option<G::Held> {
        let next = self.last_slot + 1;
        let slot = if next == g.region().slot_count() { 0 } else { next };
        self.take_next_at(g, slot)
    }

    /// The frame after the last one delivered, if it lies in this slot.
    #[inline(always)]
    fn take_next_at<G: Ground>(&mut self, g: &mut G, slot: u32) -> Option<G::Held> {
        // An id of 0 is no frame and follows none, not even the greatest id that somebody may have written.
        let wanted = self.last_id.checked_add(1)?;
        if g.features().is_extended() && wanted > reader::published(g.region()) {
            return None;
        }
        let view = g.region().slot(slot);
        g.prefetch(view, self.last_bytes);
        if load::count(&view.head.frame_id) != wanted {
            return None;
        }
        match g.read(slot) {
            Ok(held) if g.current().meta.frame_id == wanted => {
                self.deliver(g);
                Some(held)
            }
            // What is wrong with it is found again, and said, by the search through the whole ring.
            _ => None,
        }
    }

    #[inline]
    fn deliver<G: Ground>(&mut self, g: &mut G) {
        let current = g.current();
        let id = current.meta.frame_id;
        if id > self.last_id {
            self.stats.delivered += 1;
            self.step_over(id);
            self.last_slot = current.slot;
            self.last_bytes = current.meta.payload_bytes;
        }
        current.missed_before = self.stats.missed - self.counted;
        self.counted = self.stats.missed;
    }

    #[inline]
    fn deliver_newest<G: Ground>(&mut self, g: &mut G) {
        let current = g.current();
        self.newest = (current.meta.frame_id, current.slot);
        self.deliver(g);
    }

    /// The current frame, in this slot, was read while it was written.
    pub(crate) fn deliver_followed<G: Ground>(&mut self, g: &mut G, slot: u32) {
        // One whose slot was claimed early and published late is not the newest.
        if g.region().layout.slot_of_sequence(reader::newest(g.region())) == Some(slot) {
            self.deliver_newest(g);
        } else {
            self.deliver(g);
        }
    }

    /// The current frame is none to hand out.
    #[cold]
    pub(crate) fn reject<G: Ground>(&mut self, g: &mut G, error: ReadError) -> ReadError {
        let meta = &g.current().meta;
        let frame = Some((meta.frame_id, meta.stamp));
        if self.rejected != frame {
            self.rejected = frame;
            self.stats.rejected += 1;
        }
        error
    }
}
