//! One sleep for many regions.

use super::SLICE;
use super::notice::{Member, Notice, Status, Token};
use crate::error::WaitFdError;
use parking_lot::Mutex;
use shmx_os::{ManyWake, WaitMany, WaitWord};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bounds of the pauses where a member has no doorbell to sleep on.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

mod sealed {
    use crate::wait::notice::Notice;

    /// A reader that others sleep for.
    pub trait Noticed {
        fn notice(&mut self) -> &mut Notice;
    }
}
pub(crate) use sealed::Noticed;

/// What a [`WaitSet`] can wait for: a [`Client`](crate::Client) or a [`Tap`](crate::Tap).
pub trait Waitable: Noticed {}

/// Waits for news of any number of clients and taps, of any regions, in one call and one sleep.
///
/// The set borrows nothing: it is told which readers belong to it, and they stay where they are. A reader is reported
/// from the moment when there may be news (a frame, the end of its server, a successor) until a poll of it has come back
/// empty. So after [`WaitSet::wait`] poll the readers it names; one that is not polled is named again at once.
///
/// Adding a reader to several sets, or to one twice, is possible and each is told. A reader that is dropped leaves by
/// itself. Where a reader's region has no doorbell to sleep on (one of the reference, or a tap whose server does not
/// ring for everybody), the set polls for it, at most once in a millisecond. Beyond 127 regions with a doorbell the
/// sleep is io_uring's where the system allows it; [`shmx_os::WaitMany`] has the details.
///
/// One thread uses a set; [`WaitSet::interrupter`] wakes it from others.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Stream, WaitSet};
/// use std::time::Duration;
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let (left, right) = (format!("doc-left-{}", std::process::id()), format!("doc-right-{}", std::process::id()));
/// # let _server = Server::builder(&left).stream(TICK, 1).create()?;
/// let mut server = Server::builder(&right).stream(TICK, 1).create()?;
/// let mut clients = [Client::open(&left)?, Client::open(&right)?];
/// let mut set = WaitSet::new()?;
/// let tokens = clients.each_mut().map(|client| set.add(client));
///
/// let mut frame = server.begin_frame()?;
/// frame.append_stream(TICK, &[7])?;
/// frame.publish_frame(0.0)?;
///
/// let mut got = Vec::new();
/// while got.is_empty() {
///     for token in set.wait(Duration::from_secs(5)).to_vec() {
///         let client = if token == tokens[0] { &mut clients[0] } else { &mut clients[1] };
///         if let Some(frame) = client.try_wait()? {
///             got.push((token, frame.value(TICK)?));
///         }
///     }
/// }
/// assert_eq!(got, [(tokens[1], 7)]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct WaitSet {
    roll: Arc<Roll>,
    many: WaitMany,
    ready: Vec<Token>,
    /// When the servers' lives were looked at last.
    looked: Instant,
    /// Report each reader once, until it was polled in vain again.
    quiet: bool,
}

/// The members, for the set and for those that add to it from other threads.
#[derive(Debug, Default)]
pub(crate) struct Roll(Mutex<Vec<Arc<Member>>>);

/// Tokens of the process: a reader may be in several sets, and none takes another's token for its own.
static TOKENS: AtomicU64 = AtomicU64::new(0);

impl Roll {
    /// `ready`: reported at once, or not before a poll was in vain.
    pub(crate) fn add(&self, notice: &mut Notice, ready: bool) -> Token {
        // Relaxed: only a number.
        let token = Token(TOKENS.fetch_add(1, Ordering::Relaxed));
        let member = Arc::new(Member::new(token, ready));
        notice.join(&member);
        self.0.lock().push(member);
        token
    }

    pub(crate) fn remove(&self, token: Token) -> bool {
        let mut members = self.0.lock();
        let found = members.iter().position(|m| m.token == token);
        if let Some(at) = found {
            members.swap_remove(at).leave();
        }
        found.is_some()
    }
}

/// Ends a [`WaitSet::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct Interrupter(shmx_os::Interrupter);

impl Interrupter {
    /// Ends the wait that the set is in, or its next one, with nothing reported.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

impl WaitSet {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// [`WaitFdError`] where the system has no means left to sleep.
    pub fn new() -> Result<Self, WaitFdError> {
        Ok(Self {
            roll: Arc::default(),
            many: WaitMany::new()?,
            ready: Vec::new(),
            looked: Instant::now(),
            quiet: false,
        })
    }

    /// A set that reports each reader once until it was polled in vain again.
    #[cfg(feature = "async")]
    pub(crate) fn new_quiet() -> Result<Self, WaitFdError> {
        let mut set = Self::new()?;
        set.quiet = true;
        Ok(set)
    }

    #[cfg(feature = "async")]
    pub(crate) fn roll(&self) -> Arc<Roll> {
        self.roll.clone()
    }

    /// Takes a reader into the set. It is reported until it has been polled in vain.
    pub fn add(&mut self, reader: &mut impl Waitable) -> Token {
        self.roll.add(reader.notice(), true)
    }

    /// Takes a reader out of the set; false if it was not in it any more.
    pub fn remove(&mut self, token: Token) -> bool {
        self.roll.remove(token)
    }

    /// Number of readers in the set. Those that were dropped count until the next wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roll.0.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes the set from another thread.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.many.interrupter())
    }

    /// Waits until there may be news of at least one reader, and says of which; of none when the time is up, or when
    /// the set was interrupted. A timeout of zero only looks; [`Duration::MAX`] is for ever.
    ///
    /// In a forked child all readers are reported, so that polling them tells of the fork.
    pub fn wait(&mut self, timeout: Duration) -> &[Token] {
        let start = Instant::now();
        let mut pause = SHORTEST_PAUSE;
        let mut asleep: Vec<(Arc<dyn WaitWord>, u32)> = Vec::new();
        loop {
            let look = self.looked.elapsed() >= SLICE;
            if look {
                self.looked = Instant::now();
            }
            asleep.clear();
            let polls = self.ask(look, &mut asleep);
            let left = timeout.saturating_sub(start.elapsed());
            if !self.ready.is_empty() || left.is_zero() {
                return &self.ready;
            }
            let nap = match asleep.is_empty() {
                _ if polls => left.min(pause),
                // Nobody's life is to be looked at.
                true => left,
                false => left.min(SLICE),
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.many.wait(&asleep, nap) == ManyWake::Interrupted {
                return &self.ready;
            }
        }
    }

    /// Finds out who is ready, and what the others sleep on. True if some can only be polled.
    fn ask(&mut self, look: bool, asleep: &mut Vec<(Arc<dyn WaitWord>, u32)>) -> bool {
        let (ready, quiet, mut polls) = (&mut self.ready, self.quiet, false);
        ready.clear();
        self.roll.0.lock().retain(|member| {
            match member.status(look, quiet) {
                Status::Ready => ready.push(member.token),
                Status::Asleep(armed) => match armed.bell {
                    Some(value) => asleep.push((armed.region, value)),
                    None => polls = true,
                },
                Status::Quiet => {}
                Status::Gone => return false,
            }
            true
        });
        polls
    }
}

impl Drop for WaitSet {
    fn drop(&mut self) {
        for member in self.roll.0.lock().iter() {
            member.leave();
        }
    }
}
