//! Contenders side by side: A B C A B C, in short rounds.

use crate::contenders::Kind;
use crate::end::{Board, End, NAP, Round};
use crate::memory::Memory;
use crate::peer::{Order, Peer, Switches};
use crate::stats::{Outcome, middle};
use crate::traces::PREFIX;
use crate::transport::Opts;
use anyhow::{Context, Result, ensure};
use quanta::Clock;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Half a round trip between two processes.
    PingPong,
    /// Time per frame one way, as fast as the reader takes them.
    OneWay,
    /// From before sending until a sleeping reader has the frame.
    WakeUp,
    /// Time to publish while readers are attached that do nothing.
    Publish,
    /// From before sending until the last of several sleeping readers, on one processor, has read the frame.
    FanOut,
}

/// One line of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) bytes: usize,
    pub(crate) readers: usize,
}

/// What is compared with each other, interleaved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) what: What,
    pub(crate) touch: bool,
    pub(crate) block: bool,
    pub(crate) entries: Vec<Entry>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How often a round is taken again when one of the processes was interrupted.
    pub(crate) again: usize,
    /// Nanoseconds that a round should take.
    pub(crate) round_ns: f64,
}

/// Most readers of one sender.
pub(crate) const MOST_READERS: usize = 8;
/// Batches in a round: reading the clock shall cost little, and an interruption spoil one sample of many.
const BATCHES: u64 = 64;

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    board: Board,
    board_name: String,
    peer_core: usize,
    peers: Vec<Peer>,
    opened: usize,
}

struct Open {
    id: usize,
    entry: Entry,
    end: Box<dyn End>,
    next: u64,
    per_round: u64,
}

/// What a sample of a round stands for, in ways from one process to the other.
fn ways_per_sample(what: What, round: &Round) -> f64 {
    match what {
        What::PingPong => 2.0,
        What::OneWay | What::Publish => round.batch as f64,
        What::WakeUp | What::FanOut => 1.0,
    }
}

impl Bench {
    /// The other processes run on `peer_core`; this one is pinned already.
    pub(crate) fn new(peer_core: usize) -> Result<Self> {
        let board_name = format!("{PREFIX}{}-board", std::process::id());
        let board = Board(Memory::create(&board_name, Board::LEN)?);
        Ok(Self { clock: Clock::new(), board, board_name, peer_core, peers: Vec::new(), opened: 0 })
    }

    fn open(&mut self, entry: Entry, cell: &Cell) -> Result<Open> {
        let Entry { kind, bytes, readers } = entry;
        ensure!(readers <= MOST_READERS, "at most {MOST_READERS} readers");
        while self.peers.len() < readers.max(1) {
            self.peers.push(Peer::start(self.peer_core, &self.board_name)?);
        }
        let id = self.opened;
        self.opened += 1;
        let name = |way: &str| Some(format!("{PREFIX}{}-{id}-{way}", std::process::id()));
        let (there, back) = (name("there"), if cell.what == What::PingPong { name("back") } else { None });
        let bytes = if kind.carries() { bytes } else { 0 };
        let opts = Opts { bytes, block: cell.block, readers: readers.max(1) };
        let mut end = kind.end(there.as_deref(), back.as_deref(), &opts)?;
        for peer in &mut self.peers[..readers] {
            peer.order(&Order::Open { id, kind, out: back.clone(), back: there.clone(), opts })?;
            peer.done()?;
        }
        end.connect()?;
        Ok(Open { id, entry, end, next: 1, per_round: 1 })
    }

    /// One round; samples in nanoseconds for one way, and how the processes left their processors meanwhile.
    fn round(&mut self, open: &mut Open, cell: &Cell, count: u64) -> Result<(Vec<f64>, Switches)> {
        let Entry { kind, readers, .. } = open.entry;
        let window = if cell.what == What::FanOut { 1 } else { kind.window() };
        let batch = if matches!(cell.what, What::OneWay | What::Publish) { (count / BATCHES).max(1) } else { 1 };
        let stamp = cell.what == What::WakeUp;
        let reading = if cell.what == What::Publish { 0 } else { readers };
        let (touch, block) = (cell.touch, cell.block);
        let round = Round { first: open.next, count, touch, block, window, batch, readers: reading, stamp };
        open.next += count;
        let mut samples = Vec::new();
        let before = Switches::now();
        for (reader, peer) in self.peers[..reading].iter_mut().enumerate() {
            peer.order(&match cell.what {
                What::PingPong => Order::Echo { id: open.id, round },
                _ => Order::Drain { id: open.id, round, reader },
            })?;
            peer.ready()?;
        }
        let result = match cell.what {
            What::PingPong => open.end.ping(&round, &self.clock, &mut samples),
            What::WakeUp => open.end.wake(&round, &self.board, &self.clock, &mut samples),
            What::OneWay | What::Publish | What::FanOut => {
                open.end.stream(&round, &self.board, &self.clock, &mut samples)
            }
        };
        let mut switches = Switches { forced: before.since().forced, slept: 0 };
        for peer in &mut self.peers[..reading] {
            // What the peer says explains more than that it did not answer.
            let there = peer.done()?;
            switches.forced += there.forced;
            switches.slept += there.slept;
        }
        result?;
        let ways = ways_per_sample(cell.what, &round);
        Ok((samples.iter().map(|&t| self.clock.delta_as_nanos(0, t) as f64 / ways).collect(), switches))
    }

    /// Finds out how many frames a round needs, and warms everything up.
    fn calibrate(&mut self, open: &mut Open, cell: &Cell, effort: &Effort) -> Result<()> {
        let mut frame_ns = f64::INFINITY;
        let mut count = 2;
        for attempt in 1.. {
            let (mut samples, _) = self.round(open, cell, count)?;
            // By the samples' middle, because an interruption may be longer than all the rest; and the best of several,
            // because it may hit all of a few samples.
            let each = middle(&mut samples);
            frame_ns = frame_ns.min(match cell.what {
                What::PingPong => 2.0 * each,
                What::WakeUp => each + NAP.as_nanos() as f64,
                What::OneWay | What::Publish | What::FanOut => each,
            });
            open.per_round = (effort.round_ns / frame_ns.max(1.0)).clamp(2.0, 4e6) as u64;
            if attempt >= 4 && count * 4 > open.per_round {
                break;
            }
            count = (count * 4).min((open.per_round / 2).max(2));
        }
        Ok(())
    }

    /// Measures the entries of one cell in turn, round after round.
    pub(crate) fn cell(&mut self, cell: &Cell, effort: &Effort) -> Result<Vec<Outcome>> {
        let mut all = Vec::new();
        for &entry in &cell.entries {
            let name = entry.kind.name();
            let mut open = self.open(entry, cell).with_context(|| format!("open {name}"))?;
            self.calibrate(&mut open, cell, effort).with_context(|| format!("first rounds of {name}"))?;
            all.push(open);
        }
        let mut outcomes: Vec<_> = all.iter().map(|_| Outcome::default()).collect();
        for _ in 0..effort.rounds {
            for (open, outcome) in all.iter_mut().zip(&mut outcomes) {
                let count = open.per_round;
                let name = open.entry.kind.name();
                for attempt in 0..=effort.again {
                    let result = self.round(open, cell, count);
                    let (samples, switches) = result.with_context(|| format!("measure {name}"))?;
                    let last = attempt == effort.again || switches.forced == 0;
                    outcome.add(samples, count, &switches, last);
                    if last {
                        break;
                    }
                }
            }
        }
        for open in all {
            for peer in &mut self.peers[..open.entry.readers] {
                peer.order(&Order::Close { id: open.id })?;
                peer.done()?;
            }
        }
        Ok(outcomes)
    }
}
