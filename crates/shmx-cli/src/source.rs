//! Where `read` and `cat` take frames from: a read-only mapping, or a reader slot of their own.

use crate::common::{self, Hello, SLICE, Taken};
use crate::stop;
use crate::watch::{News, Seen, Tracker};
use anyhow::{Context, anyhow, bail};
use shmx::error::{DirectoryReadError, OpenError};
use shmx::{ChecksumState, Client, FrameView, Inspector, ServerState, SlotState, StaticState};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames received, missed and refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) missed: u64,
    pub(crate) refused: u64,
}

pub(crate) enum Source {
    /// Nobody notices.
    Watching(Box<Watcher>),
    /// The producer spares the frame being read, and hears HELLO, HEARTBEAT and BYE.
    Attached(Box<Client>, Hello),
}

/// Reads without a reader slot.
pub(crate) struct Watcher {
    name: String,
    inspector: Inspector,
    tracker: Tracker,
    waiting: VecDeque<Seen>,
    counts: Counts,
    looked_for_life: Instant,
}

impl Source {
    /// Opens a region, trying for a while if it is not there; `None` if the command is to end.
    pub(crate) fn open(name: &str, wait: Duration, attach: bool) -> anyhow::Result<Option<Self>> {
        if attach {
            let Some(mut client) = common::open(name, wait)? else { return Ok(None) };
            let hello = Hello::start(&mut client);
            return Ok(Some(Self::Attached(Box::new(client), hello)));
        }
        let Some(inspector) = look(name, wait)? else { return Ok(None) };
        let tracker = Tracker::new(&inspector, true);
        let (name, counts, looked_for_life) = (name.to_owned(), Counts::default(), Instant::now());
        let waiting = VecDeque::new();
        Ok(Some(Self::Watching(Box::new(Watcher { name, inspector, tracker, waiting, counts, looked_for_life }))))
    }

    pub(crate) fn directory(&self) -> Result<StaticState, DirectoryReadError> {
        match self {
            Self::Watching(w) => w.inspector.decode_static_dir(),
            Self::Attached(c, _) => c.refresh_static(),
        }
    }

    /// Changes whenever the directory does.
    pub(crate) fn directory_generation(&self) -> u32 {
        match self {
            Self::Watching(w) => w.inspector.header().static_gen,
            Self::Attached(c, _) => c.header().static_gen,
        }
    }

    /// The newest frame not taken yet, or with `all` the oldest one that is still there.
    pub(crate) fn take(&mut self, all: bool, until: Instant) -> anyhow::Result<Taken> {
        match self {
            Self::Watching(w) => w.take(all, until),
            Self::Attached(client, hello) => common::take(client, hello, all, until),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        match self {
            Self::Watching(w) => w.counts,
            Self::Attached(c, _) => {
                let s = c.stats();
                Counts { received: s.delivered, missed: s.dropped, refused: s.rejected }
            }
        }
    }

    /// Leaves the region.
    pub(crate) fn end(self) -> Counts {
        let counts = self.counts();
        if let Self::Attached(mut client, hello) = self {
            hello.end(&mut client);
        }
        counts
    }
}

impl Watcher {
    fn take(&mut self, all: bool, until: Instant) -> anyhow::Result<Taken> {
        loop {
            if stop::requested() {
                return Ok(Taken::Stopped);
            }
            // Life first: a frame published just before the end is then still found.
            let state = self.state()?;
            self.poll()?;
            if !all && self.waiting.len() > 1 {
                self.counts.missed += self.waiting.len() as u64 - 1;
                self.waiting.drain(..self.waiting.len() - 1);
            }
            while let Some(seen) = self.waiting.pop_front() {
                if let Some(frame) = self.fetch(seen) {
                    self.counts.received += 1;
                    return Ok(Taken::Frame(frame));
                }
            }
            match state {
                ServerState::Closed => return Ok(Taken::Closed),
                ServerState::Dead => return Err(common::died(&self.name)),
                _ => {}
            }
            let now = Instant::now();
            if now >= until {
                return Ok(Taken::TimedOut);
            }
            stop::sleep_until(until.min(now + self.tracker.pause()));
        }
    }

    /// Asks the system only now and then, and takes the answer for good meanwhile.
    fn state(&mut self) -> anyhow::Result<ServerState> {
        if self.looked_for_life.elapsed() < SLICE / 4 {
            return Ok(ServerState::Alive);
        }
        self.looked_for_life = Instant::now();
        if !self.inspector.is_whole() {
            bail!("the object of `{}` was cut short by another process; end its server and start it again", self.name);
        }
        Ok(self.inspector.server_state())
    }

    fn poll(&mut self) -> anyhow::Result<()> {
        let before = self.tracker.missed;
        match self.tracker.poll(&self.inspector, shmx::os::clock::ticks()) {
            News::Frames(frames) => self.waiting.extend(frames),
            News::Restarted => {
                bail!("another server has taken `{}` over in place; start again to follow it", self.name)
            }
        }
        self.counts.missed += self.tracker.missed - before;
        Ok(())
    }

    fn fetch(&mut self, seen: Seen) -> Option<FrameView> {
        let frame = match self.inspector.slot_view(seen.slot)?.state {
            SlotState::Frame(f) if f.frame_id() == seen.id => f,
            _ => {
                self.counts.missed += 1;
                return None;
            }
        };
        if frame.checksum() == ChecksumState::Mismatch {
            self.counts.refused += 1;
            tracing::warn!("frame {} refused: its payload does not have the checksum that the producer wrote", seen.id);
            return None;
        }
        Some(frame)
    }
}

/// Opens a region for looking, trying for a while if it is not there; `None` if the command is to end.
pub(crate) fn look(name: &str, wait: Duration) -> anyhow::Result<Option<Inspector>> {
    let until = Instant::now() + wait;
    loop {
        let error = match Inspector::open(name) {
            Ok(i) if i.server_state() == ServerState::Closed => {
                anyhow!("the server of `{name}` has left; start it again")
            }
            Ok(i) if i.server_state() == ServerState::Dead && !wait.is_zero() => common::died(name),
            Ok(i) => return Ok(Some(i)),
            Err(e @ OpenError::Os(shmx::os::OpenError::NotFound { .. })) => anyhow::Error::new(e),
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
