//! One process's end of a two-way pair, and the loops that are timed.

use crate::memory::Memory;
use crate::payload;
use crate::transport::{Opts, Rx, Tx};
use anyhow::{Context, Result, bail, ensure};
use quanta::Clock;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Readers that the sender waits for, one-way only.
    pub(crate) readers: usize,
    /// Whether the reader notes when it had each frame.
    pub(crate) stamp: bool,
    /// Ticks of the clock that filling a frame takes, or that lie between two frames.
    pub(crate) pace: u64,
}

/// Who has waited this long, and has looked this often meanwhile, gives up. The second, because on a crowded machine time
/// passes without the process running.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOKS_SPINNING: u32 = 20_000;
const LOOKS_SLEEPING: u32 = 30;
/// Polls between looks at the clock.
const POLLS: u32 = 1 << 16;

/// Bytes between two counters of the board.
const COUNTER: usize = 256;

/// Where readers say how far they are.
pub(crate) struct Board(pub(crate) Memory);

impl Board {
    const STAMPS_AT: usize = 16 * COUNTER;
    /// Frames of a round whose times are kept apart.
    pub(crate) const STAMPS: u64 = 1 << 16;
    pub(crate) const LEN: usize = Self::STAMPS_AT + Self::STAMPS as usize * size_of::<u64>();

    /// Frames that a reader has read in this round.
    pub(crate) fn read(&self, reader: usize) -> &AtomicU64 {
        self.0.u64(reader * COUNTER)
    }

    /// When the only reader had frame `i` of the round, in ticks of the clock, which is the same on both processors.
    fn stamp(&self, i: u64) -> &AtomicU64 {
        self.0.u64(Self::STAMPS_AT + (i % Self::STAMPS) as usize * size_of::<u64>())
    }

    fn wait_for(&self, readers: usize, at_least: u64) -> Result<()> {
        let mut patience = Patience::default();
        for reader in 0..readers {
            while self.read(reader).load(Ordering::Acquire) < at_least {
                patience.tick()?;
            }
        }
        Ok(())
    }
}

/// Looks at the clock now and then.
#[derive(Default)]
struct Patience {
    polls: u32,
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    /// After a poll that found nothing.
    #[inline]
    fn tick(&mut self) -> Result<()> {
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS) { self.look(LOOKS_SPINNING) } else { Ok(()) }
    }

    #[cold]
    fn look(&mut self, enough: u32) -> Result<()> {
        self.looks += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        ensure!(self.looks < enough || since.elapsed() < PATIENCE, "the other process does not answer");
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
    /// Sends `count` frames, at most `window` ahead of the slowest reader. One sample for each batch.
    fn stream(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// Sends `count` frames, each to a reader that has had time to fall asleep. One sample each: from before sending
    /// until the reader has it.
    fn wake(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// Sends `count` frames, each filled in pieces within the round's pace. One sample each: from the last byte written
    /// until the reader has its result.
    fn readout(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// Sends `count` frames at fixed times, or as soon afterwards as it can. One sample each: from the time at which it
    /// was to be sent until the reader has it.
    fn paced(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()>;
    /// The other end of all but `ping`, as reader number `reader`.
    fn drain(&mut self, round: &Round, board: &Board, reader: usize, clock: &Clock) -> Result<()>;
}

/// A process's end: it sends, or receives, or both.
pub(crate) struct Pair<T, R> {
    tx: Option<T>,
    rx: Option<R>,
    back: Option<String>,
    opts: Opts,
    words: usize,
}

impl<T: Tx, R: Rx> Pair<T, R> {
    pub(crate) fn new(out: Option<&str>, back: Option<&str>, opts: &Opts) -> Result<Self> {
        let tx = out.map(|name| T::create(name, opts)).transpose()?;
        Ok(Self { tx, rx: None, back: back.map(str::to_owned), opts: *opts, words: payload::words(opts.bytes) })
    }

    fn tx(&mut self) -> Result<&mut T> {
        self.tx.as_mut().context("this end does not send")
    }
}

#[inline]
fn send<T: Tx>(tx: &mut T, words: usize, touch: bool, frame: u64) -> Result<()> {
    tx.send(words, |at, payload| {
        if touch {
            payload::fill(at, payload, frame);
        }
    })
}

#[inline]
fn receive<R: Rx>(rx: &mut R, words: usize, round: &Round, frame: u64) -> Result<()> {
    let mut patience = Patience::default();
    let look = |payload: &[u64]| {
        payload.len() == words && (!round.touch || payload::is_sum(payload::sum(payload), words, frame))
    };
    loop {
        let got = if R::FOLLOWS {
            let (mut count, mut sum) = (0, 0_u64);
            let whole = rx.recv_in_pieces(|piece| {
                count += piece.len();
                if round.touch {
                    sum = sum.wrapping_add(payload::sum(piece));
                }
            })?;
            whole.map(|()| count == words && (!round.touch || payload::is_sum(sum, words, frame)))
        } else if round.block {
            rx.recv_blocking(look)?
        } else {
            rx.recv_spinning(look)?
        };
        match got {
            Some(true) => return Ok(()),
            Some(false) => bail!("frame {frame} has the wrong content"),
            None if round.block => patience.look(LOOKS_SLEEPING)?,
            None => patience.tick()?,
        }
    }
}

/// Words of the pieces in which a sensor delivers a frame: 64 KiB.
const READOUT_PIECE: usize = 8 << 10;

fn wait_until(clock: &Clock, due: u64) {
    while clock.raw() < due {
        std::hint::spin_loop();
    }
}

/// A sleeper is asleep after this.
pub(crate) const NAP: Duration = Duration::from_micros(60);

impl<T: Tx, R: Rx> End for Pair<T, R> {
    fn connect(&mut self) -> Result<()> {
        self.rx = self.back.as_deref().map(|name| R::open(name, &self.opts)).transpose()?;
        Ok(())
    }

    fn ping(&mut self, round: &Round, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let words = self.words;
        let tx = self.tx.as_mut().context("this end does not send")?;
        let rx = self.rx.as_mut().context("not connected")?;
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
        let words = self.words;
        let tx = self.tx.as_mut().context("this end does not send")?;
        let rx = self.rx.as_mut().context("not connected")?;
        for frame in round.first..round.first + round.count {
            receive(rx, words, round, frame)?;
            send(tx, words, round.touch, frame)?;
        }
        Ok(())
    }

    fn stream(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let words = self.words;
        let tx = self.tx()?;
        samples.reserve((round.count / round.batch) as usize + 1);
        let mut before = clock.raw();
        for i in 0..round.count {
            send(tx, words, round.touch, round.first + i)?;
            board.wait_for(round.readers, (i + 1).saturating_sub(round.window - 1))?;
            if (i + 1).is_multiple_of(round.batch) {
                let now = clock.raw();
                samples.push(now - before);
                before = now;
            }
        }
        board.wait_for(round.readers, round.count)
    }

    fn wake(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let words = self.words;
        let tx = self.tx()?;
        for i in 0..round.count {
            let awake = Instant::now();
            while awake.elapsed() < NAP {
                std::hint::spin_loop();
            }
            let before = clock.raw();
            send(tx, words, round.touch, round.first + i)?;
            board.wait_for(1, i + 1)?;
            samples.push(board.stamp(i).load(Ordering::Relaxed).saturating_sub(before));
        }
        Ok(())
    }

    fn readout(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let words = self.words;
        let tx = self.tx()?;
        for i in 0..round.count {
            let (start, mut written) = (clock.raw(), 0);
            tx.send(words, |at, payload| {
                for (n, piece) in payload.chunks_mut(READOUT_PIECE).enumerate() {
                    let at = at + n * READOUT_PIECE;
                    // A piece is there when its share of the time is over.
                    let share = (at + piece.len()) as f64 / words as f64;
                    wait_until(clock, start + (round.pace as f64 * share) as u64);
                    payload::fill(at, piece, round.first + i);
                }
                written = clock.raw();
            })?;
            board.wait_for(1, i + 1)?;
            samples.push(board.stamp(i).load(Ordering::Relaxed).saturating_sub(written));
        }
        Ok(())
    }

    fn paced(&mut self, round: &Round, board: &Board, clock: &Clock, samples: &mut Vec<u64>) -> Result<()> {
        let words = self.words;
        let tx = self.tx()?;
        ensure!(round.count <= Board::STAMPS, "too many frames to keep their times");
        let start = clock.raw() + round.pace;
        let due = |i: u64| start + i * round.pace;
        for i in 0..round.count {
            wait_until(clock, due(i));
            send(tx, words, round.touch, round.first + i)?;
            board.wait_for(1, (i + 1).saturating_sub(round.window - 1))?;
        }
        board.wait_for(1, round.count)?;
        samples.extend((0..round.count).map(|i| board.stamp(i).load(Ordering::Relaxed).saturating_sub(due(i))));
        Ok(())
    }

    fn drain(&mut self, round: &Round, board: &Board, reader: usize, clock: &Clock) -> Result<()> {
        let (rx, words) = (self.rx.as_mut().context("not connected")?, self.words);
        let read = board.read(reader);
        for i in 0..round.count {
            receive(rx, words, round, round.first + i)?;
            if round.stamp {
                board.stamp(i).store(clock.raw(), Ordering::Relaxed);
            }
            read.store(i + 1, Ordering::Release);
        }
        Ok(())
    }
}
