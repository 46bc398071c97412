//! Contenders side by side: A B C A B C, in short rounds.

use crate::contenders::Kind;
use crate::end::{Board, End, NAP, Round};
use crate::load::Load;
use crate::memory::Memory;
use crate::peer::{Order, Peer, Switches};
use crate::stats::{Outcome, middle};
use crate::traces::PREFIX;
use crate::transport::Opts;
use anyhow::{Context, Result, ensure};
use quanta::Clock;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

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
    /// From the last byte of a frame that takes [`READOUT`] to fill until the reader has its result.
    Readout,
    /// From the time at which a frame was to be sent, at a fixed rate, until the reader has it.
    Paced,
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
    /// Whether other processes want both processors.
    pub(crate) load: bool,
    pub(crate) entries: Vec<Entry>,
}

impl Cell {
    /// Its share of the time, in entries of a usual cell.
    pub(crate) fn weight(&self) -> f64 {
        self.entries.len() as f64 * if self.what == What::Paced { PACED_ROUND } else { 1.0 }
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How often a round is taken again when one of the processes was interrupted.
    pub(crate) again: usize,
    /// Nanoseconds that a round should take.
    pub(crate) round_ns: f64,
    /// The whole run shall not take longer.
    pub(crate) whole: Duration,
}

/// Fewer rounds than this are never taken, whatever the time.
const FEWEST_ROUNDS: usize = 3;
/// Processes with readers; more readers than that share them.
pub(crate) const MOST_PEERS: usize = 8;
/// Most readers of one sender.
pub(crate) const MOST_READERS: usize = 128;
/// What a sensor takes to deliver a frame.
pub(crate) const READOUT: Duration = Duration::from_millis(5);
/// How often a frame is sent at a fixed rate, to readers that look all the time and to readers that sleep.
pub(crate) const PACE: Duration = Duration::from_micros(10);
pub(crate) const PACE_ASLEEP: Duration = Duration::from_micros(100);
/// Rounds at a fixed rate are so many times as long, because the rarest delays are asked for.
const PACED_ROUND: f64 = 10.0;
/// Batches in a round: reading the clock shall cost little, and an interruption spoil one sample of many.
const BATCHES: u64 = 64;

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    board: Board,
    board_name: String,
    cores: [usize; 2],
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

/// What filling a frame takes, or what lies between two frames.
const fn pace(cell: &Cell) -> Duration {
    match (cell.what, cell.block) {
        (What::Readout, _) => READOUT,
        (What::Paced, false) => PACE,
        (What::Paced, true) => PACE_ASLEEP,
        _ => Duration::ZERO,
    }
}

/// What a sample of a round stands for, in ways from one process to the other.
fn ways_per_sample(what: What, round: &Round) -> f64 {
    match what {
        What::PingPong => 2.0,
        What::OneWay | What::Publish => round.batch as f64,
        What::WakeUp | What::FanOut | What::Readout | What::Paced => 1.0,
    }
}

impl Bench {
    /// The other processes run on the second of these processors; this one is pinned to the first already.
    pub(crate) fn new(cores: [usize; 2]) -> Result<Self> {
        let board_name = format!("{PREFIX}{}-board", std::process::id());
        let board = Board(Memory::create(&board_name, Board::LEN)?);
        Ok(Self { clock: Clock::new(), board, board_name, cores, peers: Vec::new(), opened: 0 })
    }

    fn open(&mut self, entry: Entry, cell: &Cell) -> Result<Open> {
        let Entry { kind, bytes, readers } = entry;
        ensure!(readers <= MOST_READERS, "at most {MOST_READERS} readers");
        while self.peers.len() < readers.clamp(1, MOST_PEERS) {
            self.peers.push(Peer::start(self.cores[1], &self.board_name)?);
        }
        let id = self.opened;
        self.opened += readers.max(1);
        let name = |way: &str| Some(format!("{PREFIX}{}-{id}-{way}", std::process::id()));
        let (there, back) = (name("there"), if cell.what == What::PingPong { name("back") } else { None });
        let bytes = if kind.carries() { bytes } else { 0 };
        let opts = Opts { bytes, block: cell.block, readers: readers.max(1) };
        let mut end = kind.end(there.as_deref(), back.as_deref(), &opts)?;
        for reader in 0..readers {
            let peer = &mut self.peers[reader % MOST_PEERS];
            let (out, back) = (back.clone(), there.clone());
            peer.order(&Order::Open { id: id + reader, kind, out, back, opts })?;
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
        let stamp = matches!(cell.what, What::WakeUp | What::Readout | What::Paced);
        let pace = self.pace(cell);
        let reading = if cell.what == What::Publish { 0 } else { readers };
        let (touch, block) = (cell.touch, cell.block);
        let round = Round { first: open.next, count, touch, block, window, batch, readers: reading, stamp, pace };
        open.next += count;
        let mut samples = Vec::new();
        let before = Switches::now();
        for (reader, peer) in self.peers[..reading].iter_mut().enumerate() {
            peer.order(&match cell.what {
                What::PingPong => Order::Echo { id: open.id + reader, round },
                _ => Order::Drain { id: open.id + reader, round, reader },
            })?;
            peer.ready()?;
        }
        let result = match cell.what {
            What::PingPong => open.end.ping(&round, &self.clock, &mut samples),
            What::WakeUp => open.end.wake(&round, &self.board, &self.clock, &mut samples),
            What::Readout => open.end.readout(&round, &self.board, &self.clock, &mut samples),
            What::Paced => open.end.paced(&round, &self.board, &self.clock, &mut samples),
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

    /// A cell's pace in ticks of the clock.
    fn pace(&self, cell: &Cell) -> u64 {
        const TICKS: u64 = 1 << 20;
        let ticks_per_ns = TICKS as f64 / self.clock.delta_as_nanos(0, TICKS) as f64;
        (pace(cell).as_nanos() as f64 * ticks_per_ns) as u64
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
                What::Readout => each + READOUT.as_nanos() as f64,
                What::Paced => pace(cell).as_nanos() as f64,
                What::OneWay | What::Publish | What::FanOut => each,
            });
            let (round_ns, most) = match cell.what {
                What::Paced => (effort.round_ns * PACED_ROUND, Board::STAMPS as f64),
                _ => (effort.round_ns, 4e6),
            };
            open.per_round = (round_ns / frame_ns.max(1.0)).clamp(2.0, most) as u64;
            if attempt >= 4 && count * 4 > open.per_round {
                break;
            }
            count = (count * 4).min((open.per_round / 2).max(2));
        }
        Ok(())
    }

    /// Measures the entries of one cell in turn, round after round, with fewer rounds where the time does not suffice.
    pub(crate) fn cell(&mut self, cell: &Cell, effort: &Effort, time: Duration) -> Result<Vec<Outcome>> {
        let begun = Instant::now();
        let _load = cell.load.then(|| Load::start(self.cores)).transpose()?;
        let mut all = Vec::new();
        for &entry in &cell.entries {
            let name = entry.kind.name();
            let mut open = self.open(entry, cell).with_context(|| format!("open {name}"))?;
            self.calibrate(&mut open, cell, effort).with_context(|| format!("first rounds of {name}"))?;
            all.push(open);
        }
        let mut outcomes: Vec<_> = all.iter().map(|_| Outcome::default()).collect();
        // The rarest delays are what rounds at a fixed rate are for.
        let again = if cell.what == What::Paced { 0 } else { effort.again };
        for round in 0..effort.rounds {
            if round >= FEWEST_ROUNDS && begun.elapsed() > time {
                break;
            }
            for (open, outcome) in all.iter_mut().zip(&mut outcomes) {
                let count = open.per_round;
                let name = open.entry.kind.name();
                for attempt in 0..=again {
                    let result = self.round(open, cell, count);
                    let (samples, switches) = result.with_context(|| format!("measure {name}"))?;
                    let last = attempt == again || switches.forced == 0 || begun.elapsed() > time;
                    outcome.add(samples, count, &switches, last);
                    if last {
                        break;
                    }
                }
            }
        }
        for open in all {
            for reader in 0..open.entry.readers {
                let peer = &mut self.peers[reader % MOST_PEERS];
                peer.order(&Order::Close { id: open.id + reader })?;
                peer.done()?;
            }
        }
        Ok(outcomes)
    }
}
