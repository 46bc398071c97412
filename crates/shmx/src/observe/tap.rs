//! Follows a region without being noticed: every frame in order, through a read-only mapping.

use super::site::{Glass, Site};
use super::state::{ServerState, server_state};
use crate::cursor::{Cursor, ReadStats, Start};
use crate::error::{DirectoryReadError, LookupError, OpenError, ReadError, ServerEnd};
use crate::frame::{Frame, Taken};
use crate::region::map_read_only;
use crate::schema::catalog::{Catalog, Home};
use crate::schema::directory::Directory;
use crate::schema::key::StreamKey;
use crate::schema::stream::StreamId;
use crate::slot::buffer::Pool;
use crate::slot::read::{Current, Expected};
use crate::slot::verify::Verify;
use crate::wait::notice::Notice;
use shmx_abi::extension::Features;
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{Element, RegionLayout};
use shmx_os::{ReadOnlyRegion, RegionName, futex};
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use shmx_ring::{doorbell, load, reader};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a tap opens a region and reads it: [`Tap::options`].
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a region is opened with them"]
pub struct TapOptions {
    verify: Verify,
    start: Start,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { verify: Verify::Auto, start: Start::Oldest }
    }
}

impl TapOptions {
    /// When checksums are compared. A tap is not seen by the server, so [`crate::Verify::Always`] compares those that
    /// there are. Default [`crate::Verify::Auto`].
    pub const fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Which frame the tap begins with. Default [`Start::Oldest`].
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Opens a live region, or what a dead server has left.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&self, name: &str) -> Result<Tap, OpenError> {
        let name = RegionName::new(name)?;
        let region = map_read_only(ReadOnlyRegion::open(&name)?, name.as_str())?;
        let header = region.header_copy();
        let features = Features::of(&header);
        let cursor = Cursor::new(&region, header.session_id, reader::published(&region), self.start);
        let verify = self.verify.compares(features);
        let session_id = header.session_id;
        let site = Arc::new(Site { region, name, session_id, catalog: Arc::new(Catalog::new(session_id)) });
        let home: Arc<dyn Home> = site.clone();
        Ok(Tap {
            taken: Taken::new(features, site.catalog.clone(), Arc::new(Pool::default()), home),
            expected: Expected { session_id: header.session_id, features, verify },
            cursor,
            site,
            seen_gen: None,
            last_taken: Instant::now(),
            period: None,
            told: false,
            notice: None,
        })
    }
}

/// Bounds of [`Tap::pause`].
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(5);
/// Up to so many slots a producer comes round its ring within a few frames, and being woken costs no more than polling.
const FEW_SLOTS: u32 = 4;
/// How often the producer's life is looked at while nothing comes.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// A read-only follower of a region: takes every frame still in the ring exactly once and in order, or the newest each
/// time, and counts what it missed.
///
/// It changes nothing: the mapping is read-only in hardware, it holds no lock and no reader slot, so the producer and
/// its readers cannot tell that it is there. For the same reason it cannot ring for attention and polls
/// ([`Tap::pause`] says how long it may look away), but where the server rings after every frame
/// ([`crate::ServerBuilder::ring_always`]): there [`Tap::wait`], [`Tap::next`] and [`Tap::sleep`] sleep. One thread uses a tap. It outlives the server and reads what is left.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream, Tap};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let name = format!("doc-tap-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// for tick in 0..3 {
///     let mut frame = server.begin_frame()?;
///     frame.append_stream(TICK, &[tick])?;
///     frame.publish_frame(0.0)?;
/// }
/// let mut tap = Tap::open(&name)?;
/// while let Some(frame) = tap.try_next()? {
///     println!("frame {}: {}", frame.frame_id(), frame.value(TICK)?);
/// }
/// assert_eq!((tap.stats().delivered, tap.stats().missed), (3, 0));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Tap {
    pub(super) site: Arc<Site>,
    pub(super) expected: Expected,
    cursor: Cursor,
    taken: Taken,
    /// Generation of the directory that [`Tap::directory_changed`] last saw.
    seen_gen: Option<u32>,
    /// When the last frame was taken, and the estimated time between two.
    last_taken: Instant,
    period: Option<Duration>,
    /// Whether [`Tap::sleep`] returned at once the last time, because there was news.
    told: bool,
    /// Those who sleep for the tap.
    pub(super) notice: Option<Box<Notice>>,
}

impl Tap {
    /// Opens a live region, or what a dead server has left, and begins with the oldest frame in the ring.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(name: &str) -> Result<Self, OpenError> {
        TapOptions::default().open(name)
    }

    /// How to open and to read: defaults to change.
    pub fn options() -> TapOptions {
        TapOptions::default()
    }

    /// Name of the region, without leading `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.site.name.as_str()
    }

    /// Session of the server.
    #[must_use]
    pub const fn session_id(&self) -> u64 {
        self.expected.session_id
    }

    /// Features of the server when the region was opened; none for one of the reference.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.expected.features
    }

    /// Where everything lies.
    #[must_use]
    pub fn layout(&self) -> &RegionLayout {
        &self.site.region.layout
    }

    /// A copy of the header as it is now.
    #[must_use]
    pub fn header(&self) -> GlobalHeader {
        self.site.region.header_copy()
    }

    /// Counts since the region was opened.
    #[must_use]
    pub const fn stats(&self) -> ReadStats {
        self.cursor.stats
    }

    /// Id of the last frame taken or, before the first, of the last one that does not count as missed.
    #[must_use]
    pub const fn last_id(&self) -> u64 {
        self.cursor.last_id
    }

    /// Frames published and not yet taken, those lost among them.
    #[must_use]
    pub fn behind(&self) -> u64 {
        reader::published(&self.site.region).saturating_sub(self.cursor.last_id)
    }

    /// What is known of the server. Costs two system calls; ask first, then take what frames are left.
    #[must_use]
    pub fn state(&self) -> ServerState {
        server_state(&self.site.region)
    }

    /// Whose the object is, and what others may do with it; `None` where the platform does not tell.
    #[must_use]
    pub fn owner(&self) -> Option<shmx_os::Owner> {
        self.site.region.os.0.owner()
    }

    /// Whether the name still leads to this region, and the region still has its session. A system that fails to say
    /// where the name leads counts as a yes.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.site.region.os.0.is_current()
            && load::count(&self.site.region.header().session_id) == self.expected.session_id
    }

    /// Whether the object still has all bytes of the region. If another process has cut it, touching the mapping ends
    /// this process by a signal; whoever follows for long asks this now and then.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let total = u64::from(self.site.region.layout.total_bytes());
        self.site.region.os.0.len_now().is_none_or(|len| len >= total)
    }

    /// The stream directory as it is now, consistent even while the server adds to it.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.site.directory()
    }

    /// The directory, if it has changed since this was last asked. Asked after a frame was taken, it lists at least
    /// what that frame's producer had added before.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`]; the next call tries again.
    pub fn directory_changed(&mut self) -> Result<Option<Arc<Directory>>, DirectoryReadError> {
        let now = self.site.region.header().static_gen.load(Ordering::Relaxed);
        if self.seen_gen == Some(now) {
            return Ok(None);
        }
        let state = self.directory()?;
        self.seen_gen = Some(state.generation);
        Ok(Some(state))
    }

    /// A stream of the region with elements of type `T`, for reading without further looks at the directory.
    ///
    /// # Errors
    ///
    /// [`LookupError`]: what the region has instead.
    pub fn stream<T: Element>(&self, stream: impl StreamKey<T>) -> Result<StreamId<T>, LookupError> {
        self.site.catalog.resolve(&*self.site.directory()?, stream)
    }

    /// Takes the oldest frame in the ring that was not taken yet; `None` if there is none now. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError::SessionChanged`] when a server of the reference has begun anew: open another tap. With other
    /// [`ReadError`]s that one frame is rejected and stepped over; go on.
    pub fn try_next(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.find(|cursor, glass| cursor.try_next(glass))?;
        self.noticed(found, |cursor, glass| cursor.try_next(glass))
    }

    /// Takes the newest frame if it was not taken yet; those before it count as missed. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`].
    pub fn try_wait(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.find(|cursor, glass| cursor.try_wait(glass))?;
        self.noticed(found, |cursor, glass| cursor.try_wait(glass))
    }

    /// The newest frame, taken before or not. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`].
    pub fn latest(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.find(|cursor, glass| cursor.latest(glass))?;
        Ok(self.lend(found))
    }

    /// Waits for the next frame in order, asleep or by polling; `None` when the time is up. See [`Tap::try_next`].
    ///
    /// # Errors
    ///
    /// As for [`Tap::try_next`], and [`ReadError::ServerGone`] when there is no frame left and the server is gone.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.poll_until(timeout, |cursor, glass| cursor.try_next(glass))?;
        self.noticed(found, |cursor, glass| cursor.try_next(glass))
    }

    /// Waits for a frame newer than the last one taken, asleep or by polling, and takes the newest; `None` when the time is up.
    ///
    /// # Errors
    ///
    /// As for [`Tap::next`].
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Frame<'_>>, ReadError> {
        let found = self.poll_until(timeout, |cursor, glass| cursor.try_wait(glass))?;
        self.noticed(found, |cursor, glass| cursor.try_wait(glass))
    }

    fn poll_until(
        &mut self,
        timeout: Duration,
        look: impl Fn(&mut Cursor, &mut Glass<'_>) -> Result<Option<()>, ReadError>,
    ) -> Result<bool, ReadError> {
        let start = Instant::now();
        let mut looked = start;
        loop {
            if self.find(&look)? {
                return Ok(true);
            }
            let left = timeout.saturating_sub(start.elapsed());
            if looked.elapsed() >= LOOK || left.is_zero() || self.closed() {
                looked = Instant::now();
                if let Some(end) = self.end() {
                    // A frame published just before the end is still taken.
                    return if self.find(&look)? { Ok(true) } else { Err(ReadError::ServerGone { end }) };
                }
            }
            if left.is_zero() {
                return Ok(false);
            }
            self.sleep(left);
        }
    }

    /// Sleeps until there may be a frame that was not taken yet, no longer than `at_most`: for loops that have more to
    /// do than [`Tap::next`] and [`Tap::wait`] know of. Where the server does not ring always
    /// ([`crate::ServerBuilder::ring_always`]) it sleeps for [`Tap::pause`], and otherwise for 20 ms at most.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Server, Tap};
    /// use std::time::Duration;
    ///
    /// # let name = format!("doc-tap-sleep-{}", std::process::id());
    /// let server = Server::builder(&name).ring_always(true).create()?;
    /// let mut tap = Tap::open(&name)?;
    /// while tap.try_next()?.is_some() {}
    /// tap.sleep(Duration::from_millis(1));
    /// # Ok(()) }
    /// ```
    pub fn sleep(&mut self, at_most: Duration) {
        let site = self.site.clone();
        let region = &site.region;
        let bell = &region.header().ext_doorbell;
        if !self.can_sleep() {
            return std::thread::sleep(at_most.min(self.pause()));
        }
        let seen = doorbell::watch(bell);
        // After the word was looked at: who publishes from now on changes it.
        let news = reader::published(region) != self.cursor.last_id || self.closed();
        if news && !mem::replace(&mut self.told, news) {
            return;
        }
        self.told = news;
        // Told once already, the caller could not take it; or the server is between its two steps.
        if news || seen.is_multiple_of(2) {
            return std::thread::sleep(at_most.min(SHORTEST));
        }
        let _ = region.os.0.wait(bell, seen, at_most.min(LOOK));
    }

    /// Whether the server rings for those that only look, too ([`crate::ServerBuilder::ring_always`]), so that the tap
    /// can sleep; otherwise all waiting is polling.
    #[must_use]
    pub fn can_sleep(&self) -> bool {
        futex::is_supported() && self.expected.features.has(Features::DOORBELL | Features::RING_ALWAYS)
    }

    /// Whether sleeping costs less than polling at [`Tap::pause`]: where the tap can sleep, and its region is quiet or
    /// slow, or has so few slots that the producer comes round them within a few frames. Between the polls of a fast
    /// producer several frames come, and being woken for each would cost more.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-asleep-{}", std::process::id());
    /// let server = shmx::Server::builder(&name).ring_always(true).create()?;
    /// let tap = shmx::Tap::open(&name)?;
    /// assert_eq!(tap.is_better_asleep(), tap.can_sleep(), "a region without a frame is quiet");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_better_asleep(&self) -> bool {
        self.can_sleep() && (self.pause() >= LONGEST || self.layout().slots() <= FEW_SLOTS)
    }

    /// Whether the server has said that it publishes no more. One load.
    fn closed(&self) -> bool {
        // Relaxed: who sees it looks again.
        self.site.region.header().ext_features.load(Ordering::Relaxed) & Features::CLOSED as u32 != 0
    }

    /// How the server ended, or was replaced.
    fn end(&self) -> Option<ServerEnd> {
        match self.state() {
            ServerState::Closed => Some(ServerEnd::Closed),
            ServerState::Died => Some(ServerEnd::Died),
            // Somebody took the name away, and the server may still publish: but nobody will find it any more.
            _ => None,
        }
    }

    /// How long the tap may look away without missing frames at the present rate: a quarter of the time in which the
    /// producer comes round the ring, between 50 microseconds and 5 milliseconds.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let spare = self.site.region.slot_count().saturating_sub(1).max(1);
        // While nothing comes, the rate is not known any more; but it may come back at once.
        let idle = self.last_taken.elapsed() / 16;
        self.period.map_or(LONGEST, |p| (p * spare / 4).max(idle)).clamp(SHORTEST, LONGEST)
    }

    /// The next frame in order, or the newest, by its head alone. Its payload is then taken from where it lies.
    pub(super) fn find_head(&mut self, newest: bool) -> Result<Option<(&Current, u32)>, ReadError> {
        let Self { site, cursor, taken, expected, .. } = self;
        let (delivered, mut number) = (cursor.stats.delivered, 0);
        let mut glass = Glass { site, taken, expected: *expected, head: Some(&mut number) };
        let found = if newest { cursor.try_wait(&mut glass) } else { cursor.try_next(&mut glass) };
        if found?.is_none() {
            return Ok(None);
        }
        if self.cursor.stats.delivered != delivered {
            self.pace(self.taken.current.missed_before.saturating_add(1));
        }
        Ok(Some((&self.taken.current, number)))
    }

    fn find(
        &mut self,
        look: impl FnOnce(&mut Cursor, &mut Glass<'_>) -> Result<Option<()>, ReadError>,
    ) -> Result<bool, ReadError> {
        let Self { site, cursor, taken, expected, .. } = self;
        let delivered = cursor.stats.delivered;
        let found = look(cursor, &mut Glass { site, taken, expected: *expected, head: None })?.is_some();
        if found && self.cursor.stats.delivered != delivered {
            self.pace(self.taken.current.missed_before.saturating_add(1));
        }
        Ok(found)
    }

    /// What a poll has found; where somebody sleeps for the tap, that is told.
    fn noticed(
        &mut self,
        found: bool,
        look: impl FnOnce(&mut Cursor, &mut Glass<'_>) -> Result<Option<()>, ReadError>,
    ) -> Result<Option<Frame<'_>>, ReadError> {
        if self.notice.is_none() {
            return Ok(self.lend(found));
        }
        // Before the last look, as every sleeper does.
        let armed = if found { None } else { Some(self.prepare()) };
        let found = found || self.find(look)?;
        self.tell(armed.filter(|_| !found))?;
        Ok(self.lend(found))
    }

    fn lend(&mut self, found: bool) -> Option<Frame<'_>> {
        found.then_some(Frame { taken: &mut self.taken, held: None })
    }

    fn pace(&mut self, frames: u64) {
        let now = Instant::now();
        let frames = u32::try_from(frames).unwrap_or(u32::MAX).max(1);
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
