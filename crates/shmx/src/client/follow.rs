//! Reading a frame while it is written.
//!
//! Length: one type, whose fields nothing outside may touch.

use super::state::Client;
use super::wait::{self, Order};
use crate::attachment::{Detached, Lease};
use crate::cursor::Look;
use crate::error::{DirectoryReadError, ReadError, ValueError, Void};
use crate::frame::Frame;
use crate::region::leased_payload;
use crate::schema::directory::Directory;
use crate::schema::key::StreamKey;
use crate::slot::read::{Miss, Sum, check_meta};
use crate::wait::SLICE;
use shmx_abi::extension::Features;
use shmx_abi::frame::{StreamPrefix, StreamPrefixes, Streams};
use shmx_abi::{PlainElement, hash};
use shmx_os::futex;
use shmx_ring::progress::{self, Progress};
use shmx_ring::view::Slots;
use shmx_ring::{doorbell, reader};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks at a frame between two readings of the clock.
const PROBES: u32 = 64;
/// A reader that has begun to follow a frame looks for more for this long before it sleeps: the next piece of a frame
/// that is copied in comes within microseconds.
const SPIN: Duration = Duration::from_micros(50);

/// A frame that is read while it is written, from [`Client::follow`] or [`Client::follow_next`].
///
/// What it hands out is final and does not change, but the frame is not published yet, and may never be: the producer
/// can give it up or die. So what is made of the parts is a result only once [`Following::finish`] has given the frame,
/// or [`Following::fold`] the result along with it. Where frames cannot be followed (a server of the original, a reader
/// without lease) it comes with the whole frame.
///
/// Holds a slot like a leased frame. Dropping it gives up the frame, and the client does not come back to it until it
/// is published.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Step, Stream};
/// use std::time::Duration;
///
/// const IMAGE: Stream<u8> = Stream::new(1, "image");
/// # let name = format!("doc-follow-{}", std::process::id());
/// # let mut server = Server::builder(&name).stream(IMAGE, 4096).create()?;
/// # let mut reader = Client::open(&name)?;
/// # assert!(reader.follow(Duration::ZERO)?.is_none());
/// # let mut frame = server.begin_frame()?;
/// # let mut image = frame.fill_stream(IMAGE, 4096)?;
/// # image.rest().fill(3);
/// # image.commit(1024)?;
/// // reader: Client
/// let mut coming = reader.follow(Duration::from_secs(1))?.expect("one is being written");
/// let (mut sum, mut done) = (0, 0);
/// while coming.wait(Duration::from_secs(1))? == Step::More {
///     let part = coming.part(IMAGE)?.expect("it was begun");
///     let new = part.values.get(done..).unwrap_or_default();
///     sum += new.iter().map(|&v| u64::from(v)).sum::<u64>();
///     done += new.len(); // of part.len
/// #   if done == 1024 { image.commit(3072)?; } else { break }
/// }
/// # frame.publish_frame(0.0)?;
/// let frame = coming.finish(Duration::from_secs(1))?; // only now the sum is that of a frame
/// assert_eq!((frame.frame_id(), sum), (1, 3 * 4096));
/// # Ok(()) }
/// ```
#[must_use = "the frame that it follows keeps its slot"]
pub struct Following<'c> {
    /// Until it has become a frame.
    client: Option<&'c mut Client>,
    state: State,
}

/// What has become of a frame since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// There is more of it.
    More,
    /// It is whole and published: [`Following::finish`] gives it.
    Whole,
    /// Nothing new.
    Waiting,
}

/// What there is of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a, T> {
    /// The values so far, from the first one on. They do not change any more.
    pub values: &'a [T],
    /// Values that there will be.
    pub len: usize,
}

impl<T> Part<'_, T> {
    /// Whether all values are there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.values.len() == self.len
    }
}

/// The payload of a frame that is followed, as far as it was there when it was kept: [`Following::keep`].
///
/// Its bytes are final, whatever becomes of the frame; whether there is a frame only [`Following::finish`] says. Goes to
/// other threads, outlives the client, and holds the slot like a frame that was kept.
#[derive(Debug)]
pub struct KeptPart {
    lease: Lease,
    len: usize,
}

impl KeptPart {
    /// The payload as far as it was there.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.lease.payload(self.len)
    }

    /// The streams as far as they were there, in their order. The last one may be there in part.
    #[must_use]
    pub fn streams(&self) -> StreamPrefixes<'_> {
        StreamPrefixes::new(self.payload())
    }
}

#[derive(Debug)]
pub(super) enum State {
    Open(Open),
    /// The client's current frame.
    Whole(Option<Detached>),
    Void(Void),
}

/// A slot that is being written, under a lease.
#[derive(Debug)]
pub(super) struct Open {
    slot: u32,
    stamp: u64,
    lease: Option<Detached>,
    /// Bytes of the payload that are final, within the payload area.
    seen: u32,
    /// The hash of so many of them, where the reader compares checksums.
    hashed: Option<(u64, u32)>,
}

impl std::fmt::Debug for Following<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Client {
    /// The next frame while it is written, as soon as its producer has begun to hand it out; `None` when the time is up.
    /// A frame that is being written goes before one that was published and not taken yet.
    ///
    /// The first call tells the server that there is somebody who follows, which it takes to be so until the client is
    /// dropped. It then hands out frames piece by piece:
    /// streams that are filled in pieces ([`crate::FrameWriter::fill_stream`]) as they are committed, large ones that
    /// are copied in ([`crate::FrameWriter::append_stream`]) as the copy goes on.
    ///
    /// # Errors
    ///
    /// As for [`Client::wait`].
    pub fn follow(&mut self, timeout: Duration) -> Result<Option<Following<'_>>, ReadError> {
        self.follow_in(Order::Newest, timeout)
    }

    /// The next frame in order: each that was published since the last one, as [`Client::next`] has them, and then the
    /// one that is being written.
    ///
    /// Of a server with several producing threads the frame that is followed may turn out not to be the next one; those
    /// before it count as missed.
    ///
    /// # Errors
    ///
    /// As for [`Client::next`].
    pub fn follow_next(&mut self, timeout: Duration) -> Result<Option<Following<'_>>, ReadError> {
        self.follow_in(Order::Every, timeout)
    }

    #[inline]
    fn follow_in(&mut self, order: Order, timeout: Duration) -> Result<Option<Following<'_>>, ReadError> {
        let look = |client: &mut Self| look(client, order);
        let state = if timeout.is_zero() { look(self)? } else { wait::wait_for(self, timeout, look)? };
        if state.is_none() {
            self.show_life();
        }
        Ok(state.map(|state| Following { client: Some(self), state }))
    }

    /// A frame that is being written, under a lease.
    fn find_open(&mut self, order: Order) -> Option<Open> {
        let a = &self.shared;
        if !(a.can_follow() && a.has_room_for_leases()) {
            return None;
        }
        let count = a.region.slot_count();
        // Most servers write behind the newest frame.
        let first = a.region.layout.slot_of_sequence(reader::newest(&a.region)).map_or(0, |newest| newest + 1);
        for slot in (first..count).chain(0..first.min(count)) {
            let Some(stamp) = progress::open_stamp(a.region.slot(slot)) else { continue };
            if self.followed == (slot, stamp) {
                continue;
            }
            if let Ok(held) = a.follow(slot, stamp) {
                // A thread publishes one frame before it begins another, and what it did before R3 is seen here.
                if order == Order::Every && reader::published(&a.region) > self.cursor.last_id {
                    return None;
                }
                self.followed = (slot, stamp);
                let hashed = self.manner.verify.then_some((hash::SEED, 0));
                return Some(Open { slot, stamp, lease: Some(Detached::of(Some(held))), seen: 0, hashed });
            }
        }
        None
    }
}

fn look(client: &mut Client, order: Order) -> Result<Option<State>, ReadError> {
    client.shared.check_session()?;
    client.shared.tell_following();
    if order == Order::Newest
        && let Some(open) = client.find_open(order)
    {
        return Ok(Some(State::Open(open)));
    }
    if let Some(found) = client.find_in(order)? {
        return Ok(Some(State::Whole(Some(found))));
    }
    Ok(if order == Order::Every { client.find_open(order).map(State::Open) } else { None })
}

impl<'c> Following<'c> {
    /// Waits for more of the frame, or for its end. Returns at once once it is whole.
    ///
    /// # Errors
    ///
    /// [`Void`]: there will be no frame, and the parts are gone.
    pub fn wait(&mut self, timeout: Duration) -> Result<Step, Void> {
        let step = self.advance()?;
        if step != Step::Waiting || timeout.is_zero() {
            return Ok(step);
        }
        let start = Instant::now();
        let spin = self.client.as_ref().map_or(SPIN, |client| client.options.spin.max(SPIN)).min(timeout);
        loop {
            for _ in 0..PROBES {
                std::hint::spin_loop();
                let step = self.advance()?;
                if step != Step::Waiting {
                    return Ok(step);
                }
            }
            if start.elapsed() >= spin {
                return self.sleep(start, timeout);
            }
        }
    }

    /// Sleeps until there is more.
    fn sleep(&mut self, start: Instant, timeout: Duration) -> Result<Step, Void> {
        loop {
            let Some(client) = self.client.as_deref_mut() else { return Ok(Step::Waiting) };
            let a = client.shared.clone();
            client.show_life();
            let left = timeout.saturating_sub(start.elapsed());
            let bell = a.features.has(Features::DOORBELL) && futex::is_supported() && !left.is_zero();
            let word = &a.region.header().ext_doorbell;
            let expected = if bell { doorbell::prepare_to_sleep(word) } else { 0 };
            // As in `wait::wait_here`: the end before the last look, and both after `prepare_to_sleep`.
            let end = a.server_end();
            let session = a.check_session();
            let step = self.advance()?;
            if step != Step::Waiting {
                return Ok(step);
            }
            if let Err(e) = session {
                return Err(self.give_up(e.into()));
            }
            if let Some(end) = end {
                return Err(self.give_up(Void::ServerGone { end }));
            }
            if left.is_zero() {
                return Ok(Step::Waiting);
            }
            if bell {
                let _ = a.region.os.wait(word, expected, left.min(SLICE));
            } else {
                std::thread::sleep(left.min(wait::LONGEST_PAUSE));
            }
        }
    }

    /// One look at the slot.
    #[inline]
    fn advance(&mut self) -> Result<Step, Void> {
        let (State::Open(open), Some(client)) = (&mut self.state, self.client.as_deref_mut()) else {
            return match &self.state {
                State::Void(void) => Err(void.clone()),
                _ => Ok(Step::Whole),
            };
        };
        let region = &client.shared.region;
        match progress::look(region.slot(open.slot), open.stamp) {
            Progress::Bytes(bytes) => {
                let bytes = bytes.min(region.layout.frame_bytes_cap());
                if bytes <= open.seen {
                    return Ok(Step::Waiting);
                }
                open.seen = bytes;
                if let Some((state, done)) = &mut open.hashed {
                    let new = leased_payload(region, open.slot, bytes as usize).get(*done as usize..);
                    (*state, *done) = (hash::update(*state, new.unwrap_or_default()), bytes);
                }
                Ok(Step::More)
            }
            Progress::Sealed => Ok(Step::Waiting),
            Progress::Over(stamp) => self.settle(stamp),
            Progress::Damaged => Err(self.give_up(Void::Damaged)),
        }
    }

    /// The slot's owner is done with it and has left this stamp.
    #[cold]
    fn settle(&mut self, stamp: u64) -> Result<Step, Void> {
        // Delivering writes to the reader slot, which a forked child has no part in.
        let session = self.client.as_deref().map_or(Ok(()), |client| client.shared.check_session());
        match session.map_err(Void::from).and_then(|()| self.published(stamp)) {
            Ok(false) => Ok(Step::Waiting),
            Ok(true) => {
                let (State::Open(open), Some(client)) = (&mut self.state, self.client.as_deref_mut()) else {
                    return Ok(Step::Whole);
                };
                let (slot, lease) = (open.slot, open.lease.take());
                let found = client.find(|cursor, hand| {
                    cursor.deliver_followed(hand, slot);
                    Ok(Some(lease.and_then(|lease| lease.attach(hand.a))))
                });
                self.state = State::Whole(found.ok().flatten());
                Ok(Step::Whole)
            }
            Err(void) => Err(self.give_up(void)),
        }
    }

    /// Whether the frame was published and counted; it is the client's current one then.
    fn published(&mut self, stamp: u64) -> Result<bool, Void> {
        let (State::Open(open), Some(client)) = (&self.state, self.client.as_deref_mut()) else { return Ok(true) };
        let a = client.shared.clone();
        let view = a.region.slot(open.slot);
        let current = &mut client.taken.current;
        progress::header_into(view, stamp, &mut current.meta);
        current.slot = open.slot;
        current.sum = Sum::NotCompared;
        let meta = current.meta;
        match check_meta(&meta, a.session_id, &a.region.layout) {
            Ok(()) if meta.payload_bytes < open.seen => return Err(Void::Damaged),
            Ok(()) => {}
            Err(Miss::Error(e)) => return Err(client.reject(e).into()),
            Err(Miss::Empty | Miss::Disturbed) => return Err(Void::Abandoned),
        }
        // As everywhere: a frame is handed out only once it is counted.
        if meta.frame_id > reader::published(&a.region) {
            return Ok(false);
        }
        if let Some((state, done)) = open.hashed.filter(|_| a.features.has_checksum(meta.stamp)) {
            let payload = leased_payload(&a.region, open.slot, meta.payload_bytes as usize);
            let computed = hash::fold32(hash::update(state, payload.get(done as usize..).unwrap_or_default()));
            if computed != meta.checksum {
                let e = ReadError::Checksum { frame_id: meta.frame_id, stored: meta.checksum, computed };
                return Err(client.reject(e).into());
            }
            client.taken.current.sum = Sum::Right;
        }
        Ok(true)
    }

    /// Ends the lease for good.
    #[cold]
    fn give_up(&mut self, void: Void) -> Void {
        self.let_go();
        self.state = State::Void(void.clone());
        void
    }

    fn let_go(&mut self) {
        let lease = match &mut self.state {
            State::Open(open) => open.lease.take(),
            State::Whole(found) => found.take(),
            State::Void(_) => None,
        };
        if let (Some(client), Some(lease)) = (&self.client, lease) {
            drop(lease.attach(&client.shared));
        }
    }

    /// The stream directory of the region as it is now. Read anew only if it has changed.
    ///
    /// # Errors
    ///
    /// [`DirectoryReadError`].
    pub fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        self.client.as_ref().map_or(Err(DirectoryReadError::NotRead), |client| client.directory())
    }

    /// The session that writes it.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.client.as_ref().map_or(0, |client| client.session_id())
    }

    /// Whether the frame is whole and published, as of the last look at it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole(_))
    }

    /// The payload so far.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let Some(client) = &self.client else { return &[] };
        match &self.state {
            State::Open(open) if open.lease.is_some() => {
                leased_payload(&client.shared.region, open.slot, open.seen as usize)
            }
            State::Whole(Some(found)) => client.payload_of(found),
            _ => &[],
        }
    }

    /// The streams so far, in their order. The last one may be there in part.
    #[must_use]
    pub fn streams(&self) -> StreamPrefixes<'_> {
        StreamPrefixes::new(self.payload())
    }

    /// The payload so far, for as long as anybody likes. `None` once the frame is void, and for one that was copied.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use shmx::{Client, Server, Stream};
    /// # use std::time::Duration;
    /// # const IMAGE: Stream<u8> = Stream::new(1, "image");
    /// # let name = format!("doc-keep-part-{}", std::process::id());
    /// # let mut server = Server::builder(&name).stream(IMAGE, 4096).create()?;
    /// # let mut reader = Client::open(&name)?;
    /// # assert!(reader.follow(Duration::ZERO)?.is_none());
    /// # let mut frame = server.begin_frame()?;
    /// # let mut image = frame.fill_stream(IMAGE, 4096)?;
    /// # image.write(&[3; 1024])?;
    /// let mut coming = reader.follow(Duration::from_secs(1))?.expect("one is being written");
    /// coming.wait(Duration::from_secs(1))?;
    /// let kept = coming.keep().expect("it is leased");
    /// drop(coming);
    /// # drop(frame);
    /// let first = kept.streams().next().expect("it was begun")?;
    /// assert_eq!((first.stream.data, first.bytes), (&[3; 1024][..], 4096));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn keep(&mut self) -> Option<KeptPart> {
        let client = self.client.as_deref()?;
        let (lease, len) = match &mut self.state {
            State::Open(open) => (&mut open.lease, open.seen as usize),
            State::Whole(found) => (found, client.taken.current.meta.payload_bytes as usize),
            State::Void(_) => return None,
        };
        lease.as_ref()?.slot()?;
        let mut held = lease.take()?.attach(&client.shared)?;
        let shared = held.share();
        *lease = Some(Detached::of(Some(held)));
        shared.map(|lease| KeptPart { lease, len })
    }

    /// What there is of a stream; `None` if it was not begun yet, and once the frame is void.
    ///
    /// # Errors
    ///
    /// [`ValueError`]: no such stream or another type, damaged.
    pub fn part<T: PlainElement>(&self, stream: impl StreamKey<T>) -> Result<Option<Part<'_, T>>, ValueError> {
        let Some(client) = &self.client else { return Ok(None) };
        let taken = &client.taken;
        let id = taken.catalog.id_of::<T>(stream.key(), || Ok(taken.home.directory()?))?;
        if matches!(self.state, State::Whole(_)) {
            // Nothing is still to come, so a record that is cut short is damage.
            for stream in Streams::new(self.payload()) {
                stream?;
            }
        }
        for prefix in self.streams() {
            let StreamPrefix { stream, bytes } = prefix?;
            if stream.stream_id != id {
                continue;
            }
            let size = size_of::<T>().max(1);
            let cast = || ValueError::Cast { id, bytes: bytes as usize, ty: std::any::type_name::<T>() };
            if !(bytes as usize).is_multiple_of(size) {
                return Err(cast());
            }
            let whole = stream.data.len() / size * size;
            let values = bytemuck::try_cast_slice(&stream.data[..whole]).map_err(|_| cast())?;
            return Ok(Some(Part { values, len: bytes as usize / size }));
        }
        Ok(None)
    }

    /// Waits for the frame.
    ///
    /// # Errors
    ///
    /// [`Void`]: there is none, and what was made of its parts is no result.
    pub fn finish(mut self, timeout: Duration) -> Result<Frame<'c>, Void> {
        let start = Instant::now();
        loop {
            match self.wait(timeout.saturating_sub(start.elapsed()))? {
                Step::Whole => break,
                Step::More => {}
                Step::Waiting if start.elapsed() >= timeout => return Err(Void::Unfinished),
                Step::Waiting => {}
            }
        }
        let found = match &mut self.state {
            State::Whole(found) => found.take(),
            _ => None,
        };
        match (self.client.take(), found) {
            (Some(client), Some(found)) => Ok(client.borrow(found)),
            _ => Err(Void::Damaged),
        }
    }

    /// Makes one value of a stream, piece by piece as it comes, and gives it with the frame. `f` gets the value so far,
    /// the number of the piece's first element, and the piece.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use shmx::{Client, Server, Stream};
    /// # use std::time::Duration;
    /// # const IMAGE: Stream<u8> = Stream::new(1, "image");
    /// # let name = format!("doc-fold-{}", std::process::id());
    /// # let mut server = Server::builder(&name).stream(IMAGE, 4096).create()?;
    /// # let mut reader = Client::open(&name)?;
    /// # let mut frame = server.begin_frame()?;
    /// # frame.append_stream(IMAGE, &[1; 4096])?;
    /// # frame.publish_frame(0.0)?;
    /// # let second = Duration::from_secs(1);
    /// if let Some(frame) = reader.follow(second)? {
    ///     let sum = |sum, _, piece: &[u8]| piece.iter().fold(sum, |sum, &v| sum + u64::from(v));
    ///     let (frame, sum) = frame.fold(IMAGE, second, 0_u64, sum)?;
    ///     println!("frame {}: {sum}", frame.frame_id());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Void`]: there is no frame, and so no value. [`Void::Value`] where the stream cannot be had.
    pub fn fold<T: PlainElement, R>(
        mut self,
        stream: impl StreamKey<T>,
        timeout: Duration,
        init: R,
        mut f: impl FnMut(R, usize, &[T]) -> R,
    ) -> Result<(Frame<'c>, R), Void> {
        let start = Instant::now();
        let (mut value, mut done) = (init, 0);
        loop {
            let step = self.advance()?;
            if let Some(part) = self.part(stream).map_err(|e| Void::Value(Box::new(e)))? {
                let Some(new) = part.values.get(done..) else { return Err(Void::Damaged) };
                if !new.is_empty() {
                    value = f(value, done, new);
                    done = part.values.len();
                }
            }
            if step == Step::Whole {
                return self.finish(Duration::ZERO).map(|frame| (frame, value));
            }
            if step == Step::Waiting {
                let left = timeout.saturating_sub(start.elapsed());
                match self.wait(left)? {
                    Step::Waiting if start.elapsed() >= timeout => return Err(Void::Unfinished),
                    _ => {}
                }
            }
        }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Client {
    /// Counts the current frame, which is whole and no frame to hand out, as rejected.
    #[cold]
    fn reject(&mut self, error: ReadError) -> ReadError {
        let found = self.find(|cursor, hand| Look::Err(cursor.reject(hand, error.clone())));
        found.err().unwrap_or(error)
    }

    /// The payload of the current frame, which was found so.
    fn payload_of(&self, found: &Detached) -> &[u8] {
        let len = self.taken.current.meta.payload_bytes as usize;
        match found.slot() {
            Some(slot) => leased_payload(&self.shared.region, slot, len),
            None => bytemuck::cast_slice::<u64, u8>(&self.taken.scratch).get(..len).unwrap_or_default(),
        }
    }
}
