//! One process's end of a two-way pair, and the loops that are timed.

use crate::memory::Memory;
use crate::payload;
use crate::transport::{Opts, Rx, Tx};
use anyhow::{Context, Result, bail, ensure};
use quanta::Clock;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A piece of work, short enough to be interleaved with the others'.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Number of the first frame.
    pub(crate) first: u64,
    /// Frames.
    pub(crate) count: u64,
    /// Whether payloads are written and read in full.
    pub(crate) touch: bool,
    /// Whether receivers sleep.
    pub(crate) block: bool,
    /// Frames that may be under way at once, one-way only.
    pub(crate) window: u64,
    /// Frames timed together, one-way only.
    pub(crate) batch: u64,
    /// Which counter of the board says what was read, one-way only.
    pub(crate) counter: usize,
}

/// Nothing takes this long; whoever waits longer gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Polls between looks at the clock.
const POLLS: u32 = 1 << 16;

/// Bytes between two counters of the board.
const COUNTER: usize = 256;

/// Where readers say how far they are.
pub(crate) struct Board(pub(crate) Memory);

impl Board {
    pub(crate) const LEN: usize = 64 * COUNTER;

    pub(crate) fn counter(&self, index: usize) -> &std::sync::atomic::AtomicU64 {
        self.0.u64(index * COUNTER)
    }
}

/// Looks at the clock now and then.
#[derive(Default)]
struct Patience {
    polls: u32,
    since: Option<Instant>,
}

impl Patience {
    #[inline]
    fn tick(&mut self) -> Result<()> {
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS) { self.look() } else { Ok(()) }
    }

    #[cold]
    fn look(&mut self) -> Result<()> {
        ensure!(self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE, "the other process does not answer");
        Ok(())
    }
}

pub(crate) trait End {
    /// Opens what the other process has made.
    fn connect(&mut self) -> Result<()>;
    /// Sends and waits for the answer, `count` times. One sample per round trip, in ticks of the clock.
    fn ping(&mut self, round: &Round, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// The other end of `ping`.
    fn echo(&mut self, round: &Round) -> Result<()>;
    /// Sends `count` frames, at most `window` ahead of what the reader's counter says. One sample for each batch.
    fn stream(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// The other end of `stream`.
    fn drain(&mut self, round: &Round, board: &Board) -> Result<()>;
}

pub(crate) struct Pair<T, R> {
    tx: T,
    rx: Option<R>,
    back: String,
    opts: Opts,
    words: usize,
}

impl<T: Tx, R: Rx> Pair<T, R> {
    pub(crate) fn new(out: &str, back: &str, opts: &Opts) -> Result<Self> {
        let (back, opts) = (back.to_owned(), *opts);
        Ok(Self { tx: T::create(out, &opts)?, rx: None, back, opts, words: payload::words(opts.bytes) })
    }
}

#[inline]
fn send<T: Tx>(tx: &mut T, words: usize, touch: bool, frame: u64) -> Result<()> {
    tx.send(words, |payload| {
        if touch {
            payload::fill(payload, frame);
        }
    })
}

#[inline]
fn receive<R: Rx>(rx: &mut R, words: usize, round: &Round, frame: u64) -> Result<()> {
    let mut patience = Patience::default();
    let look = |payload: &[u64]| payload.len() == words && (!round.touch || payload::check(payload, frame));
    loop {
        let got = if round.block { rx.recv_blocking(look)? } else { rx.try_recv(look)? };
        match got {
            Some(true) => return Ok(()),
            Some(false) => bail!("frame {frame} has the wrong content"),
            None if round.block => patience.look()?,
            None => patience.tick()?,
        }
    }
}

impl<T: Tx, R: Rx> End for Pair<T, R> {
    fn connect(&mut self) -> Result<()> {
        self.rx = Some(R::open(&self.back, &self.opts)?);
        Ok(())
    }

    fn ping(&mut self, round: &Round, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let (tx, rx, words) = (&mut self.tx, self.rx.as_mut().context("not connected")?, self.words);
        samples.reserve(round.count as usize);
        let mut before = clock.raw();
        for frame in round.first..round.first + round.count {
            send(tx, words, round.touch, frame)?;
            receive(rx, words, round, frame)?;
            let now = clock.raw();
            samples.push(now - before);
            before = now;
        }
        Ok(())
    }

    fn echo(&mut self, round: &Round) -> Result<()> {
        let (tx, rx, words) = (&mut self.tx, self.rx.as_mut().context("not connected")?, self.words);
        for frame in round.first..round.first + round.count {
            receive(rx, words, round, frame)?;
            send(tx, words, round.touch, frame)?;
        }
        Ok(())
    }

    fn stream(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let (tx, words) = (&mut self.tx, self.words);
        let read = board.counter(round.counter);
        let wait_for = |at_least: u64| {
            let mut patience = Patience::default();
            while read.load(Ordering::Acquire) < at_least {
                patience.tick()?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let mut before = clock.raw();
        for i in 0..round.count {
            wait_for((i + 1).saturating_sub(round.window))?;
            send(tx, words, round.touch, round.first + i)?;
            if (i + 1).is_multiple_of(round.batch) {
                let now = clock.raw();
                samples.push(now - before);
                before = now;
            }
        }
        wait_for(round.count)
    }

    fn drain(&mut self, round: &Round, board: &Board) -> Result<()> {
        let (rx, words) = (self.rx.as_mut().context("not connected")?, self.words);
        let read = board.counter(round.counter);
        for i in 0..round.count {
            receive(rx, words, round, round.first + i)?;
            read.store(i + 1, Ordering::Release);
        }
        Ok(())
    }
}
