//! Where `read`, `cat` and the demo take frames from: a read-only tap, or a reader slot of their own.

use crate::common::{self, SLICE};
use crate::exit;
use crate::stop;
use crate::units;
use anyhow::{Context, anyhow};
use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO};
use shmx::error::{DirectoryReadError, OpenError, ReadError, SendError, ServerEnd};
use shmx::{Client, Directory, OwnedFrame, ReadStats, ServerState, Start, Tap, Verify};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) enum Source {
    /// Nobody notices.
    Watching(Box<Watcher>),
    /// The producer spares the frame being read, and hears HELLO, HEARTBEAT and BYE.
    Attached(Box<Attached>),
}

/// Reads without a reader slot.
pub(crate) struct Watcher {
    tap: Tap,
    /// Whether the server had died before, so that its newest frame is its last.
    died: bool,
    /// When the object's length was last checked, a system call.
    checked: Instant,
}

/// Reads with a reader slot.
pub(crate) struct Attached {
    pub(crate) client: Client,
    hello: Hello,
}

/// How a wait for a frame ended well.
#[allow(clippy::large_enum_variant)] // one at a time, and on the stack
pub(crate) enum Taken {
    Frame(OwnedFrame),
    /// The command is to end.
    Stopped,
    /// The server has said that it leaves.
    Closed,
    /// No frame in time.
    TimedOut,
}

impl Source {
    /// Opens a region, trying for a while if it is not there; `None` if the command is to end.
    pub(crate) fn open(name: &str, wait: Duration, attach: bool, all: bool) -> anyhow::Result<Option<Self>> {
        if attach {
            return Ok(Attached::open(name, wait, all)?.map(|a| Self::Attached(Box::new(a))));
        }
        // Nothing is at stake here but the answer, so whatever can be compared is compared.
        let options = Tap::options().start(Start::Newest).verify(Verify::Always);
        let tap = look(name, wait, || {
            let tap = options.open(name)?;
            let state = tap.state();
            Ok(((tap, state == ServerState::Died), state))
        })?;
        if let Some((tap, _)) = &tap {
            common::opened(name, &tap.header(), tap.layout());
        }
        Ok(tap.map(|(tap, died)| Self::Watching(Box::new(Watcher { tap, died, checked: Instant::now() }))))
    }

    /// Whether the server had died before it was opened: its last frame is all that is taken.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self, Self::Watching(w) if w.died)
    }

    /// Read anew only if it has changed.
    pub(crate) fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        match self {
            Self::Watching(w) => w.tap.directory(),
            Self::Attached(a) => a.client.directory(),
        }
    }

    /// The newest frame not taken yet, or with `all` the oldest one that is still there.
    pub(crate) fn take(&mut self, all: bool, until: Instant) -> anyhow::Result<Taken> {
        match self {
            Self::Watching(w) => w.take(all, until),
            Self::Attached(a) => a.take(all, until),
        }
    }

    pub(crate) fn stats(&self) -> ReadStats {
        match self {
            Self::Watching(w) => w.tap.stats(),
            Self::Attached(a) => a.client.stats(),
        }
    }

    /// Leaves the region.
    pub(crate) fn end(self) -> ReadStats {
        match self {
            Self::Watching(w) => w.tap.stats(),
            Self::Attached(a) => a.end(),
        }
    }
}

/// What waits for frames in slices, so that signals and heartbeats come in between.
trait Follow {
    fn name(&self) -> &str;
    /// What is due now and then.
    fn tend(&mut self) -> anyhow::Result<()>;
    fn poll(&mut self, all: bool, wait: Duration) -> Result<Option<OwnedFrame>, ReadError>;

    fn take(&mut self, all: bool, until: Instant) -> anyhow::Result<Taken> {
        loop {
            if stop::requested() {
                return Ok(Taken::Stopped);
            }
            self.tend()?;
            let left = until.saturating_duration_since(Instant::now());
            match self.poll(all, left.min(SLICE)) {
                Ok(Some(frame)) => {
                    let (id, missed) = (frame.frame_id(), frame.missed_before());
                    let bytes = frame.payload().len();
                    if missed > 0 {
                        tracing::info!(id, missed, "frames were missed before this one");
                    }
                    tracing::debug!(id, bytes, sim_time = frame.sim_time(), "frame taken");
                    return Ok(Taken::Frame(frame));
                }
                Ok(None) => {}
                Err(ReadError::ServerGone { end: ServerEnd::Closed }) => return Ok(Taken::Closed),
                Err(ReadError::ServerGone { end }) => return Err(common::gone(self.name(), end)),
                Err(ReadError::SessionChanged) => return Err(taken_over(self.name())),
                Err(e) if e.is_final() => return Err(anyhow::Error::new(e).context("cannot read on")),
                Err(e @ ReadError::Lapped { .. }) => tracing::warn!("frame missed: {e}"),
                Err(e) => tracing::warn!("frame rejected: {e}"),
            }
            if left.is_zero() {
                return Ok(Taken::TimedOut);
            }
        }
    }
}

pub(crate) fn taken_over(name: &str) -> anyhow::Error {
    anyhow!("another server has taken `{name}` over in place; start again to follow it")
}

impl Follow for Watcher {
    fn name(&self) -> &str {
        self.tap.name()
    }

    fn tend(&mut self) -> anyhow::Result<()> {
        if self.checked.elapsed() >= SLICE / 4 {
            self.checked = Instant::now();
            if !self.tap.is_whole() {
                return Err(common::cut_short(self.name()));
            }
        }
        Ok(())
    }

    fn poll(&mut self, all: bool, wait: Duration) -> Result<Option<OwnedFrame>, ReadError> {
        let found = if all { self.tap.next(wait) } else { self.tap.wait(wait) };
        found.map(|f| f.map(shmx::Frame::keep))
    }
}

impl Follow for Attached {
    fn name(&self) -> &str {
        self.client.name()
    }

    fn tend(&mut self) -> anyhow::Result<()> {
        self.hello.beat(&self.client);
        Ok(())
    }

    fn poll(&mut self, all: bool, wait: Duration) -> Result<Option<OwnedFrame>, ReadError> {
        let found = if all { self.client.next(wait) } else { self.client.wait(wait) };
        found.map(|f| f.map(shmx::Frame::keep))
    }
}

impl Attached {
    /// Opens a region, trying for a while if it is not there; `None` if the command is to end.
    /// With `all` it asks for every frame.
    pub(crate) fn open(name: &str, wait: Duration, all: bool) -> anyhow::Result<Option<Self>> {
        let Some(client) = common::open(name, wait, &Client::options().every_frame(all))? else { return Ok(None) };
        let hello = Hello::start(&client);
        Ok(Some(Self { client, hello }))
    }

    /// The newest frame not taken yet, or with `all` the oldest one that is still there.
    pub(crate) fn take(&mut self, all: bool, until: Instant) -> anyhow::Result<Taken> {
        Follow::take(self, all, until)
    }

    /// Says goodbye and leaves.
    pub(crate) fn end(mut self) -> ReadStats {
        self.hello.send(&self.client, CONTROL_BYE);
        self.client.stats()
    }
}

/// Opens a region for looking, trying for a while if it is not there; `None` if the command is to end.
pub(crate) fn look<T>(
    name: &str,
    wait: Duration,
    open: impl Fn() -> Result<(T, ServerState), OpenError>,
) -> anyhow::Result<Option<T>> {
    let until = Instant::now() + wait;
    loop {
        let error = match open() {
            Ok((_, ServerState::Closed)) => common::gone(name, ServerEnd::Closed),
            // Without waiting, what it has left is read.
            Ok((_, ServerState::Died)) if !wait.is_zero() => common::gone(name, ServerEnd::Died),
            Ok((found, _)) => return Ok(Some(found)),
            Err(e @ OpenError::Os(shmx_os::OpenError::NotFound { .. })) => anyhow::Error::new(e),
            Err(e) => return Err(e).with_context(|| format!("cannot open region `{name}`")),
        };
        if Instant::now() >= until {
            return Err(error.context(format!("cannot open region `{name}`")));
        }
        if !stop::sleep_until(Instant::now() + Duration::from_millis(2)) {
            return Ok(None);
        }
    }
}

/// What it means for `read` and `cat` that no frame comes any more. Without `wanted` an orderly end is one of theirs.
pub(crate) fn end_of_frames(
    name: &str,
    end: Taken,
    got: u64,
    wanted: Option<u64>,
    timeout: Duration,
) -> anyhow::Result<()> {
    match (end, wanted) {
        (Taken::Stopped, None) => Ok(()),
        (Taken::Stopped, Some(n)) => {
            Err(exit::interrupted(&format!("{got} of {} of `{name}` read", units::count(n, "frame"))))
        }
        (Taken::Closed, None) if got > 0 => Ok(()),
        (Taken::Closed, _) => {
            let frames = units::count(got, "frame");
            Err(anyhow!("the server of `{name}` has left after {frames}; start it again"))
        }
        _ => {
            let time = units::ns(timeout.as_nanos() as u64);
            Err(anyhow!("no frame of `{name}` within {time}; see whether its server publishes"))
        }
    }
}

/// The reader's conversation: HELLO once, HEARTBEAT each second, BYE at the end.
#[derive(Debug)]
struct Hello {
    next: Instant,
    on: bool,
}

impl Hello {
    fn start(client: &Client) -> Self {
        let mut hello = Self { next: Instant::now() + Duration::from_secs(1), on: true };
        hello.send(client, CONTROL_HELLO);
        hello
    }

    fn beat(&mut self, client: &Client) {
        if Instant::now() >= self.next {
            client.heartbeat();
            self.send(client, CONTROL_HEARTBEAT);
            self.next = (self.next + Duration::from_secs(1)).max(Instant::now());
        }
    }

    fn send(&mut self, client: &Client, ty: u32) {
        if !self.on {
            return;
        }
        let data = u64::from(std::process::id()).to_le_bytes();
        match client.control_send(ty, if ty == CONTROL_BYE { &[] } else { &data }) {
            Ok(()) | Err(SendError::Full) => {}
            Err(SendError::NoControlRing | SendError::NoReaderSlot { .. }) => self.on = false,
            Err(e) => tracing::debug!("control message not sent: {e}"),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// What there is to take now, by its ids.
    fn ids(source: &mut Source) -> Vec<u64> {
        let mut ids = Vec::new();
        loop {
            match source.take(true, Instant::now()).unwrap() {
                Taken::Frame(frame) => ids.push(frame.frame_id()),
                Taken::TimedOut => return ids,
                Taken::Stopped | Taken::Closed => panic!("it ended"),
            }
        }
    }

    #[test]
    fn each_frame_is_taken_once_and_the_rest_is_counted() {
        for attach in [false, true] {
            let scratch = Scratch::new("follow", 4);
            let mut source = Source::open(&scratch.name, Duration::ZERO, attach, true).unwrap().unwrap();
            assert_eq!(ids(&mut source), [0; 0]);
            scratch.publish(3);
            assert_eq!(ids(&mut source), [1, 2, 3]);
            assert_eq!(ids(&mut source), [0; 0]);
            scratch.publish(10);
            assert_eq!(ids(&mut source), [10, 11, 12, 13]);
            assert_eq!(source.stats().missed, 6);
            // A slot that is taken for a new frame hides one more.
            scratch.publish(2);
            let frame = scratch.server().begin_frame().unwrap();
            assert_eq!(ids(&mut source), [14, 15]);
            drop(frame);
            scratch.publish(3);
            let Taken::Frame(newest) = source.take(false, Instant::now()).unwrap() else { panic!("there is one") };
            assert_eq!((newest.frame_id(), newest.missed_before()), (18, 2));
            let stats = source.end();
            assert_eq!((stats.delivered, stats.missed, stats.rejected), (10, 8, 0));
        }
    }

    #[test]
    fn another_session_is_told() {
        let scratch = Scratch::new("follow", 3);
        scratch.publish(5);
        let mut source = Source::open(&scratch.name, Duration::ZERO, false, true).unwrap().unwrap();
        assert_eq!(ids(&mut source), [5], "from the newest on");
        // As a server of the reference does it: in place.
        scratch.poke(24, &7_u64.to_ne_bytes());
        let told = source.take(true, Instant::now()).err().expect("it is not the same any more");
        assert!(told.to_string().contains("taken") && told.to_string().contains("over in place"), "{told}");
        // A server leaves what another has taken over; this one shall remove its region.
        scratch.poke(24, &scratch.server().session_id().to_ne_bytes());
    }

    #[test]
    fn a_server_that_left_is_told_from_one_that_died() {
        for (end, says) in [(ServerEnd::Closed, "has left"), (ServerEnd::Died, "died without leaving in order")] {
            let told = common::gone("x", end).to_string();
            assert!(told.contains(says), "{told}");
        }
        let scratch = Scratch::new("left", 3);
        scratch.publish(1);
        let mut source = Source::open(&scratch.name, Duration::ZERO, false, true).unwrap().unwrap();
        drop(scratch);
        assert!(matches!(source.take(true, Instant::now()), Ok(Taken::Frame(_))), "what is left comes first");
        let until = Instant::now() + Duration::from_secs(20);
        assert!(matches!(source.take(true, until), Ok(Taken::Closed)));
    }
}
