//! Contenders side by side: A B C A B C, in short rounds.

use crate::contenders::Kind;
use crate::end::{Board, End, Round};
use crate::memory::Memory;
use crate::peer::{Order, Peer, preemptions};
use crate::stats::Outcome;
use crate::transport::Opts;
use anyhow::{Context, Result};
use quanta::Clock;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Half a round trip between two processes.
    PingPong,
    /// Frames one way, as fast as the reader takes them.
    OneWay,
}

/// One cell of the tables: the same for every contender in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) what: What,
    pub(crate) bytes: usize,
    pub(crate) touch: bool,
    pub(crate) block: bool,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Nanoseconds that a round should take.
    pub(crate) round_ns: f64,
}

/// Frames under way at once, one way; with one buffer there can be one only.
const WINDOW: u64 = 2;

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    board: Board,
    peer: Peer,
    names: usize,
}

/// Frames timed together, so that reading the clock costs little and an interruption spoils one sample of many.
const fn batch(cell: &Cell, count: u64) -> u64 {
    match cell.what {
        What::PingPong => 1,
        What::OneWay if count > 64 => count / 64,
        What::OneWay => 1,
    }
}

struct Open {
    id: usize,
    kind: Kind,
    end: Box<dyn End>,
    next: u64,
    per_round: u64,
    window: u64,
}

impl Bench {
    /// `cores` are the processors of the two processes; this one is pinned already.
    pub(crate) fn new(peer_core: usize) -> Result<Self> {
        let name = format!("shmx-bench-{}-board", std::process::id());
        let board = Board(Memory::create(&name, Board::LEN)?);
        let peer = Peer::start(peer_core, &name)?;
        Ok(Self { clock: Clock::new(), board, peer, names: 0 })
    }

    fn open(&mut self, kind: Kind, cell: &Cell) -> Result<Open> {
        let id = self.names;
        self.names += 1;
        let name = |way: &str| format!("shmx-bench-{}-{id}-{way}", std::process::id());
        let (there, back) = (name("there"), name("back"));
        let bytes = if kind.carries() { cell.bytes } else { 0 };
        let opts = Opts { bytes, block: cell.block, readers: 1 };
        let mut end = kind.end(&there, &back, &opts)?;
        self.peer.order(&Order::Open { id, kind, out: back, back: there, opts })?;
        self.peer.done()?;
        end.connect()?;
        let window = if kind == Kind::Raw { 1 } else { WINDOW };
        Ok(Open { id, kind, end, next: 1, per_round: 1, window })
    }

    /// One round; samples in ticks, and whether one of the two processes was interrupted.
    fn round(&mut self, open: &mut Open, cell: &Cell, count: u64, samples: &mut Vec<u64>) -> Result<bool> {
        let (touch, block) = (cell.touch, cell.block);
        let batch = batch(cell, count);
        let round = Round { first: open.next, count, touch, block, window: open.window, batch, counter: 0 };
        open.next += count;
        let before = preemptions();
        match cell.what {
            What::PingPong => {
                self.peer.order(&Order::Echo { id: open.id, round })?;
                self.peer.ready()?;
                open.end.ping(&round, &self.clock, samples)?;
            }
            What::OneWay => {
                self.peer.order(&Order::Drain { id: open.id, round })?;
                self.peer.ready()?;
                open.end.stream(&round, &self.board, &self.clock, samples)?;
            }
        }
        Ok(self.peer.done()? + (preemptions() - before) > 0)
    }

    /// Measures the contenders of one cell in turn, round after round.
    pub(crate) fn cell(&mut self, cell: &Cell, kinds: &[Kind], effort: &Effort) -> Result<Vec<(Kind, Outcome)>> {
        let mut all = Vec::new();
        for &kind in kinds {
            all.push(self.open(kind, cell).with_context(|| format!("open {}", kind.name()))?);
        }
        let mut samples = Vec::new();
        let mut outcomes: Vec<_> = kinds.iter().map(|&kind| (kind, Outcome::default())).collect();
        for open in &mut all {
            // How long one takes, warm.
            for count in [2, 4, 16] {
                samples.clear();
                let start = self.clock.raw();
                self.round(open, cell, count, &mut samples).with_context(|| open.kind.name())?;
                let spent = self.clock.delta_as_nanos(start, self.clock.raw()) as f64;
                let best = samples.iter().min().copied().unwrap_or(0);
                let each = self.clock.delta_as_nanos(0, best) as f64 / batch(cell, count) as f64;
                open.per_round = (effort.round_ns / each.max(20.0)).clamp(2.0, 1e6) as u64;
                if spent > effort.round_ns {
                    break;
                }
            }
        }
        for _ in 0..effort.rounds {
            for (open, (_, outcome)) in all.iter_mut().zip(&mut outcomes) {
                samples.clear();
                let count = open.per_round;
                let disturbed = self.round(open, cell, count, &mut samples).with_context(|| open.kind.name())?;
                let per_sample = if cell.what == What::OneWay { batch(cell, count) as f64 } else { 2.0 };
                let ns = samples.iter().map(|&t| self.clock.delta_as_nanos(0, t) as f64 / per_sample);
                outcome.add(ns.collect(), disturbed);
            }
        }
        for open in all {
            self.peer.order(&Order::Close { id: open.id })?;
            self.peer.done()?;
        }
        Ok(outcomes)
    }
}
