//! The client itself, and how a found frame becomes a borrowed one.

use super::control::Link;
use super::hand::{Hand, Manner};
use super::options::ClientOptions;
use crate::attachment::{Attachment, Detached, Held};
use crate::cursor::{Cursor, Look};
use crate::error::{OpenError, ReadError, ServerEnd};
use crate::frame::{Frame, Taken};
use crate::slot::verify::Verify;
use crate::wait::notice::Notice;
use shmx_abi::extension::{
    Features, READER_EVERY_FRAME, READER_FOLLOWS, READER_VERIFIES, READER_WAITING, REJECTED_MASK,
};
use shmx_os::clock;
use shmx_ring::sync::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A reader of a region.
///
/// One thread uses a client; open one per thread. Frames are borrowed ([`Frame`]) until the client is used again, or
/// kept ([`Frame::keep`]).
///
/// # What leases rest on
///
/// A leased frame is lent as a plain slice of shared memory. No program that follows the protocol writes to it
/// meanwhile: servers of this implementation look at the leases, and regions of others are read by copy. A process that
/// has write access and ignores the protocol can change any byte at any time, so give write access to processes that
/// you trust as you trust your own (the default mode is 0600), or open with [`crate::Hold::Copy`].
///
/// # Example
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Stream};
/// use std::time::Duration;
///
/// const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
/// # let name = format!("doc-client-{}", std::process::id());
/// # let mut server = Server::builder(&name).stream(POSITION, 100).create()?;
/// let mut client = Client::open(&name)?;
/// let position = client.stream(POSITION)?; // compared with the directory once
/// # let mut frame = server.begin_frame()?;
/// # frame.append_stream(POSITION, &[[1.0, 2.0, 3.0]])?;
/// # frame.publish_frame(0.0)?;
/// while let Some(frame) = client.wait(Duration::from_secs(1))? {
///     println!("{:?}", frame.get(position)?);
/// #   break;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Client {
    pub(super) shared: Arc<Attachment>,
    pub(super) cursor: Cursor,
    pub(super) taken: Taken,
    pub(super) manner: Manner,
    pub(super) heartbeat: Heartbeat,
    /// Polls in vain until one is not quiet.
    pub(super) quiet: u32,
    /// How many are quiet one after the other.
    pub(super) most_quiet: u32,
    /// The last sign of life that a call without a frame gave.
    pub(super) beaten: Instant,
    /// When the server's life was looked at last.
    pub(super) looked: Instant,
    /// The last frame taken when a wait last asked about the life of the server, or had a newer one for an answer.
    pub(super) lived: u64,
    /// When a successor of the server was looked for last.
    pub(super) sought: Instant,
    pub(super) link: Arc<Link>,
    pub(super) options: ClientOptions,
    pub(super) reconnects: u64,
    /// Why the last look for a successor failed, but for there being none yet.
    pub(super) reopen_error: Option<OpenError>,
    /// The last frame that the server was told is taken, by a client that wants every frame.
    pub(super) told: u64,
    /// Slot and stamp of the frame that was followed last: one that was left is not taken up again.
    pub(super) followed: (u32, u64),
    /// Those who sleep for the client.
    pub(super) notice: Option<Box<Notice>>,
}

/// Polls in vain from one look at the server's lock to the next, and the time that must have gone by.
const QUIET_POLLS: u32 = 15;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// None against a server of the reference: it goes by signs of life alone, and a poll may be a rare event.
pub(super) const fn quiet_polls(features: Features) -> u32 {
    if features.is_extended() { QUIET_POLLS } else { 0 }
}

impl Client {
    /// Looks for a frame; what is found is the current one of `taken`.
    #[inline]
    pub(super) fn find(
        &mut self,
        look: impl for<'a, 't> FnOnce(&mut Cursor, &mut Hand<'a, 't>) -> Look<Option<Held<'a>>>,
    ) -> Result<Option<Detached>, ReadError> {
        self.find_or(look, |_| Ok(None))
    }

    /// The same, with `none` for where there is no frame: its result is looked at once.
    #[inline]
    pub(super) fn find_or(
        &mut self,
        look: impl for<'a, 't> FnOnce(&mut Cursor, &mut Hand<'a, 't>) -> Look<Option<Held<'a>>>,
        none: impl FnOnce(&mut Self) -> Result<Option<Detached>, ReadError>,
    ) -> Result<Option<Detached>, ReadError> {
        let Self { shared, cursor, taken, manner, .. } = self;
        let rejected = cursor.stats.rejected;
        // Detached at once: nothing in between can leave a lease behind.
        let found = look(cursor, &mut Hand { a: shared, taken, manner }).map(|found| found.map(Detached::of));
        match &found {
            Ok(Some(_)) => self.note_delivery(),
            Ok(None) => {
                self.tell_passed();
                return none(self);
            }
            Err(_) => {
                self.tell_passed();
                self.note_failure(rejected);
            }
        }
        found
    }

    #[inline]
    pub(super) fn lend(&mut self, found: Option<Detached>) -> Option<Frame<'_>> {
        found.map(|detached| self.borrow(detached))
    }

    /// The current frame, which was found under this lease or copied.
    #[inline]
    pub(super) fn borrow(&mut self, detached: Detached) -> Frame<'_> {
        let Self { shared, taken, .. } = self;
        Frame { taken, held: detached.attach(shared) }
    }

    /// Writes to the reader slot what an inspector shows.
    #[inline(always)]
    fn note_delivery(&mut self) {
        let meta = &self.taken.current.meta;
        let due = self.heartbeat.due(self.shared.features.is_extended(), meta.publish_time);
        let Some(slot) = self.shared.slot() else {
            if due {
                self.shared.beat();
            }
            return;
        };
        slot.ext_delivered.store(self.cursor.stats.delivered, Ordering::Relaxed);
        slot.ext_missed.store(self.cursor.stats.missed, Ordering::Relaxed);
        if due {
            slot.heartbeat.store(clock::ticks(), Ordering::Release);
        }
        if self.options.every_frame {
            self.tell_taken();
        } else {
            slot.last_frame_seen.store(meta.frame_id, Ordering::Release);
        }
    }

    /// Frames may have been passed over or rejected without one to deliver.
    #[inline]
    fn tell_passed(&mut self) {
        if self.options.every_frame {
            self.tell_taken();
        }
    }

    /// Tells the server what it may overwrite: the frames that were delivered, rejected or passed over.
    #[cold]
    fn tell_taken(&mut self) {
        if self.told == self.cursor.last_id {
            return;
        }
        self.told = self.cursor.last_id;
        if self.shared.check_session().is_err() {
            return; // the slot may be somebody else's
        }
        if let Some(slot) = self.shared.slot() {
            // Release: what was copied of the frame stays before its overwrite; pairs with `every_frame::taken` (K3).
            slot.last_frame_seen.store(self.told, Ordering::Release);
            self.shared.ring_server();
        }
    }

    /// `rejected` is how many frames were before.
    #[cold]
    fn note_failure(&mut self, rejected: u64) {
        if self.cursor.stats.rejected != rejected {
            self.note_rejection();
        }
        self.show_life();
    }

    fn note_rejection(&self) {
        if let Some(slot) = self.shared.slot() {
            // Stepping over a rejected frame may have counted others as missed.
            slot.ext_missed.store(self.cursor.stats.missed, Ordering::Relaxed);
        }
        self.set_waiting(false);
    }

    pub(super) fn set_waiting(&self, waiting: bool) {
        let a = &self.shared;
        if a.check_session().is_err() {
            return; // the slot may be somebody else's
        }
        let verifies = if self.options.verify == Verify::Always { READER_VERIFIES } else { 0 };
        let waits = if waiting { READER_WAITING } else { 0 };
        if let Some(slot) = a.slot() {
            let every = if self.options.every_frame { READER_EVERY_FRAME } else { 0 };
            let follows = if a.follows() { READER_FOLLOWS } else { 0 };
            let word = self.cursor.stats.rejected & REJECTED_MASK | verifies | every | follows | waits;
            slot.ext_rejected_flags.store(word, Ordering::Relaxed);
        }
    }

    /// Counts a poll in vain. True if that is all there is to do: it is not time to look at the server's life, and nobody
    /// sleeps for the client.
    #[inline]
    pub(super) fn is_quiet(&mut self) -> bool {
        if self.shared.says_closed() {
            return false;
        }
        let over;
        (self.quiet, over) = self.quiet.overflowing_sub(1);
        !over
    }

    /// From now on no poll in vain is quiet.
    pub(super) const fn never_quiet(&mut self) {
        self.quiet = 0;
        self.most_quiet = 0;
    }

    /// After a poll in vain: how the server ended, if it is time to look and it has.
    #[inline]
    pub(super) fn end_after_idle(&mut self) -> Option<ServerEnd> {
        if self.is_quiet() { None } else { self.look_for_end() }
    }

    #[cold]
    pub(super) fn look_for_end(&mut self) -> Option<ServerEnd> {
        self.quiet = self.most_quiet;
        // In a region of somebody else's making those bits say nothing, and the reader is as alive as any.
        if self.shared.says_closed()
            && let Some(end) = self.shared.server_end()
        {
            return Some(end);
        }
        if self.looked.elapsed() < LOOK_EVERY { None } else { self.look_for_end_now() }
    }

    #[cold]
    #[inline(never)]
    fn look_for_end_now(&mut self) -> Option<ServerEnd> {
        self.looked = Instant::now();
        self.show_life();
        self.shared.server_end()
    }

    /// A sign of life, after a call that brought no frame: such a reader is as alive as one that takes frames.
    #[cold]
    pub(super) fn show_life(&mut self) {
        if self.beaten.elapsed() >= LOOK_EVERY {
            self.beaten = Instant::now();
            self.shared.beat();
        }
    }
}

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
    #[inline]
    fn due(&mut self, extended: bool, publish_time: u32) -> bool {
        // A server of the reference reaps by nothing else.
        if !extended {
            return true;
        }
        let mark = Some(publish_time >> BEAT_SHIFT).filter(|_| publish_time != 0);
        self.skipped = self.skipped.wrapping_add(1);
        let due = mark != self.mark || (mark.is_none() && self.skipped >= BEAT_FRAMES);
        if due {
            *self = Self { mark, skipped: 0 };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames that all carry one time, as those of a recording may.
    #[test]
    fn any_number_of_frames_may_share_a_heartbeat() {
        let mut heartbeat = Heartbeat { mark: Some(1), skipped: u32::MAX };
        assert!(!heartbeat.due(true, 1 << BEAT_SHIFT));
    }
}
