//! Follows a region without being noticed: every frame in order, through a read-only mapping.

use crate::client::{Expected, Miss, read_into};
use crate::error::{DirectoryReadError, OpenError, ReadError};
use crate::region::{Mapped, ReadOnly, map_read_only};
use crate::stream::StaticState;
use crate::view::ChecksumState;
use shmx_abi::RegionLayout;
use shmx_abi::extension::Features;
use shmx_abi::frame::Streams;
use shmx_abi::wire::GlobalHeader;
use shmx_os::{LockByte, LockState, ReadOnlyRegion, RegionName, clock};
use shmx_ring::load;
use shmx_ring::reader::{self, FrameSnapshot};
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::time::{Duration, Instant};

/// How a tap reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapOptions {
    /// Compute each frame's checksum and refuse frames where it differs. Default true.
    pub verify: bool,
    /// Begin with the frames that are in the ring already, instead of with the next one. Default true.
    pub from_oldest: bool,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { verify: true, from_oldest: true }
    }
}

/// Counts of one tap since it opened the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapStats {
    /// Frames taken.
    pub taken: u64,
    /// Frames that were overwritten before the tap came to them.
    pub missed: u64,
    /// Frames refused: wrong checksum, foreign session, impossible length.
    pub refused: u64,
}

/// What is known of the producer behind a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapState {
    /// It lives, or cannot be known to be dead (a server of the reference holds no lock).
    Live,
    /// It has left in order.
    Closed,
    /// Its process has died.
    Dead,
    /// The name leads to another region, or to none.
    Replaced,
    /// A server of the reference has initialised the region anew in place.
    SessionChanged,
}

/// Memory for one frame, filled by [`Tap::try_next`] and used again for the next: it grows to the largest frame and
/// is never given back before it is dropped.
#[derive(Clone, Debug, Default)]
pub struct FrameBuf {
    meta: FrameSnapshot,
    slot: u32,
    checksum: Option<ChecksumState>,
    published_ticks: Option<u64>,
    missed_before: u64,
    /// Words, so that stream data is 8-byte aligned as in a slot.
    words: Vec<u64>,
}

impl FrameBuf {
    /// Memory without a frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            meta: FrameSnapshot {
                stamp: 0,
                session_id: 0,
                frame_id: 0,
                sim_time_bits: 0,
                payload_bytes: 0,
                tlv_count: 0,
                checksum: 0,
                publish_time: 0,
            },
            slot: 0,
            checksum: None,
            published_ticks: None,
            missed_before: 0,
            words: Vec::new(),
        }
    }

    /// The frame's id; 0 in memory without a frame.
    #[must_use]
    pub const fn frame_id(&self) -> u64 {
        self.meta.frame_id
    }

    /// The producer's own time.
    #[must_use]
    pub const fn sim_time(&self) -> f64 {
        f64::from_bits(self.meta.sim_time_bits)
    }

    /// Session that wrote the frame.
    #[must_use]
    pub const fn session_id(&self) -> u64 {
        self.meta.session_id
    }

    /// Slot the frame lay in.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Number of records, as the producer counted them.
    #[must_use]
    pub const fn tlv_count(&self) -> u32 {
        self.meta.tlv_count
    }

    /// The checksum that the producer wrote.
    #[must_use]
    pub const fn stored_checksum(&self) -> u32 {
        self.meta.checksum
    }

    /// What is known about the checksum; `None` in memory without a frame.
    #[must_use]
    pub const fn checksum(&self) -> Option<ChecksumState> {
        self.checksum
    }

    /// Wire clock of publishing, nanoseconds in steps of 1024; `None` if the producer gives no time.
    #[must_use]
    pub const fn published_ticks(&self) -> Option<u64> {
        self.published_ticks
    }

    /// Frames published between the one taken before and this one, and lost to the tap.
    #[must_use]
    pub const fn missed_before(&self) -> u64 {
        self.missed_before
    }

    /// The payload: records of streams.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words).get(..self.meta.payload_bytes as usize).unwrap_or(&[])
    }

    /// The streams in the order in which they were appended.
    #[must_use]
    pub fn streams(&self) -> Streams<'_> {
        Streams::new(self.payload())
    }

    /// Bytes of memory held.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

const ATTEMPTS: u32 = 64;
/// Attempts at one frame, where another may be taken instead.
const PATIENCE: u32 = 16;
/// Bounds of [`Tap::pause`].
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(5);

/// A read-only follower of a region: takes every frame still in the ring exactly once and in order, and counts the
/// others.
///
/// It changes nothing: the mapping is read-only in hardware, it holds no lock and no reader slot, so the producer and
/// its readers cannot tell that it is there. For the same reason it cannot ring for attention and polls:
/// [`Tap::pause`] says how long it may look away. One thread uses a tap.
#[derive(Debug)]
pub struct Tap {
    region: Mapped<ReadOnly>,
    name: RegionName,
    session_id: u64,
    features: Features,
    options: TapOptions,
    stats: TapStats,
    last_id: u64,
    /// Generation of the directory that [`Tap::directory_changed`] last saw.
    seen_gen: Option<u32>,
    /// When the last frame was taken, and the estimated time between two.
    last_taken: Instant,
    period: Option<Duration>,
}

impl Tap {
    /// Opens a live region, or what a dead server has left.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(name: &str, options: TapOptions) -> Result<Self, OpenError> {
        let name = RegionName::new(name)?;
        let region = map_read_only(ReadOnlyRegion::open(&name)?, name.as_str())?;
        let header = region.header_copy();
        let features = Features::of(&header);
        let last_id = if options.from_oldest {
            // Frames that were gone before the tap came are not missed.
            let ids = (0..region.slot_count()).map(|i| load::count(&region.slot(i).head.frame_id));
            let published = reader::published(&region);
            ids.filter(|&id| id > 0 && id <= published).min().map_or(published, |id| id - 1)
        } else {
            reader::published(&region)
        };
        Ok(Self {
            region,
            name,
            session_id: header.session_id,
            features,
            options,
            stats: TapStats::default(),
            last_id,
            seen_gen: None,
            last_taken: Instant::now(),
            period: None,
        })
    }

    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Session of the server.
    #[must_use]
    pub const fn session_id(&self) -> u64 {
        self.session_id
    }

    /// Features of the server when the region was opened; none for one of the reference.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &RegionLayout {
        &self.region.layout
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.region.header_copy()
    }

    /// Counts since the region was opened.
    #[must_use]
    pub const fn stats(&self) -> TapStats {
        self.stats
    }

    /// Id of the last frame taken or, before the first, of the last one that does not count as missed.
    #[must_use]
    pub const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Frames published and not yet taken, those lost among them.
    #[must_use]
    pub fn behind(&self) -> u64 {
        reader::published(&self.region).saturating_sub(self.last_id)
    }

    /// What is known of the producer. Costs two system calls; look first, then take what frames are left.
    #[must_use]
    pub fn state(&self) -> TapState {
        let header = self.header();
        if header.session_id != self.session_id {
            return TapState::SessionChanged;
        }
        let features = Features::of(&header);
        let os = &self.region.os.0;
        if features.has(Features::CLOSED) {
            // A successor marks a dead predecessor as closed too; who holds no lock any more is gone either way.
            TapState::Closed
        } else if features.has(Features::LOCKS) && os.lock_state(LockByte::Server) == LockState::Free {
            TapState::Dead
        } else if !os.is_current() {
            TapState::Replaced
        } else {
            TapState::Live
        }
    }

    /// The stream directory, consistent even while the server adds to it.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<StaticState, DirectoryReadError> {
        let copy = self.region.directory_copy()?;
        if load::count(&self.region.header().session_id) != self.session_id {
            return Err(DirectoryReadError::SessionChanged);
        }
        StaticState::parse(self.session_id, copy)
    }

    /// The directory, if it has changed since this was last asked. Asked after a frame was taken, it lists at least
    /// what that frame's producer had added before.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`]; the next call tries again.
    pub fn directory_changed(&mut self) -> Result<Option<StaticState>, DirectoryReadError> {
        let now = self.region.header().static_gen.load(Ordering::Relaxed);
        if self.seen_gen == Some(now) {
            return Ok(None);
        }
        let state = self.directory()?;
        self.seen_gen = Some(state.static_gen);
        Ok(Some(state))
    }

    /// Takes the oldest frame in the ring that was not taken yet; false if there is none now. Never waits, and
    /// allocates only where `into` is too small.
    ///
    /// # Errors
    ///
    /// [`ReadError::SessionChanged`] when a server of the reference has begun anew: open another tap. With other
    /// [`ReadError`]s that one frame is refused and stepped over; go on. `into` holds no frame then.
    pub fn try_next(&mut self, into: &mut FrameBuf) -> Result<bool, ReadError> {
        into.meta = FrameSnapshot::default();
        into.checksum = None;
        let (mut passed, mut stuck, mut tries) = (self.last_id, 0, 0);
        for _ in 0..ATTEMPTS {
            if load::count(&self.region.header().session_id) != self.session_id {
                return Err(ReadError::SessionChanged);
            }
            let published = reader::published(&self.region);
            if published <= self.last_id {
                // An id that somebody wrote over a frame must not make the tap deaf for ever; a sound one is ahead of
                // the count by one at most.
                if self.last_id - published > 1 {
                    self.last_id = published.saturating_sub(1);
                }
                return Ok(false);
            }
            // A frame that shows its id and cannot be read is passed in the end: a producer that was stopped right
            // after claiming its slot must not hide the frames behind it.
            // Ids up to `published` are in their slots, or were and are lost. What lies above may be seen out of order.
            let oldest = (0..self.region.slot_count())
                .map(|i| (load::count(&self.region.slot(i).head.frame_id), i))
                .filter(|&(id, _)| id > passed && id <= published)
                .min();
            let Some((id, slot)) = oldest else {
                if passed > self.last_id {
                    return Ok(false);
                }
                // They are lost, and count as missed at the next frame. A server of the reference counts a frame before
                // it is in its slot.
                if self.features.is_extended() {
                    return Ok(false);
                }
                std::hint::spin_loop();
                continue;
            };
            tries = if stuck == id { tries + 1 } else { 1 };
            stuck = id;
            if tries == PATIENCE {
                passed = id;
            }
            let (session_id, features, verify) = (self.session_id, self.features, self.options.verify);
            let expected = Expected { session_id, features, verify };
            let words = &mut into.words;
            let mut meta = FrameSnapshot::default();
            let read = read_into(&self.region, slot, expected, &mut meta, move |n| {
                if words.len() < n {
                    words.resize(n, 0);
                }
                words
            });
            match read {
                Ok(sum) if meta.frame_id == id => {
                    let missed = self.step_to(id);
                    let checksum = sum.inspect_err(|_| self.stats.refused += 1)?;
                    self.stats.taken += 1;
                    self.pace(1 + missed);
                    let ticks = clock::ticks();
                    let age = self.features.publish_time(meta.publish_time, meta.stamp).and_then(|t| t.age_ns(ticks));
                    into.published_ticks = age.map(|age| ticks.saturating_sub(age));
                    into.meta = meta;
                    into.slot = slot;
                    into.checksum = Some(checksum);
                    into.missed_before = missed;
                    return Ok(true);
                }
                Err(Miss::Error(e)) if meta.frame_id == id => {
                    // Step over it, or the same frame would be refused for ever.
                    self.step_to(id);
                    self.stats.refused += 1;
                    return Err(e);
                }
                _ => std::hint::spin_loop(),
            }
        }
        Ok(false)
    }

    /// Waits for the next frame by polling; false when the time is up. See [`Tap::try_next`].
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`], and [`ReadError::ServerGone`] when there is no frame left and the producer is gone.
    pub fn next(&mut self, into: &mut FrameBuf, timeout: Duration) -> Result<bool, ReadError> {
        let start = Instant::now();
        let mut looked = start;
        loop {
            if self.try_next(into)? {
                return Ok(true);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.state() != TapState::Live {
                    // A frame published just before the end is still taken.
                    return if self.try_next(into)? { Ok(true) } else { Err(ReadError::ServerGone) };
                }
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(left.min(self.pause()));
        }
    }

    /// How long the tap may look away without missing frames at the present rate: a quarter of the time in which the
    /// producer comes round the ring, between 50 microseconds and 5 milliseconds.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let spare = self.region.slot_count().saturating_sub(1).max(1);
        // While nothing comes, the rate is not known any more; but it may come back at once.
        let idle = self.last_taken.elapsed() / 16;
        self.period.map_or(LONGEST, |p| (p * spare / 4).max(idle)).clamp(SHORTEST, LONGEST)
    }

    /// Moves on to a frame and returns how many were lost on the way.
    fn step_to(&mut self, id: u64) -> u64 {
        let missed = id.saturating_sub(self.last_id + 1);
        self.stats.missed = self.stats.missed.saturating_add(missed);
        self.last_id = id;
        missed
    }

    fn pace(&mut self, frames: u64) {
        let now = Instant::now();
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let period = now.duration_since(self.last_taken) / frames;
        self.last_taken = now;
        // Faster is believed at once, slower little by little.
        self.period = Some(match self.period {
            Some(old) if period > old => old + (period - old) / 16,
            Some(old) => old - (old - period) / 4,
            None => period,
        });
    }
}

/// How often the producer's life is looked at while nothing comes.
const LOOK: Duration = Duration::from_millis(20);
