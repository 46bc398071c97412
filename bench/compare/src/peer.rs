//! The other process: it does what it is told over its standard input, and says so on its standard output.

use crate::contenders::Kind;
use crate::end::{Board, End, Round};
use crate::memory::Memory;
use crate::transport::Opts;
use anyhow::{Context, Result, anyhow, bail};
use quanta::Clock;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Makes an end, connects it, and keeps it under a number.
    Open {
        id: usize,
        kind: Kind,
        out: Option<String>,
        back: Option<String>,
        opts: Opts,
    },
    Echo {
        id: usize,
        round: Round,
    },
    Drain {
        id: usize,
        round: Round,
        reader: usize,
    },
    Close {
        id: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The timed loop begins now.
    Ready,
    Done {
        switches: Switches,
    },
    Failed(String),
}

/// Runs this process on one processor only.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("run on processor {core} only"))
}

/// The same, before others that want that processor.
pub(crate) fn pin(core: usize) -> Result<()> {
    stay_on(core)?;
    // So that fewer rounds are interrupted. It takes a privilege, and without it the rest is the same.
    let _ = rustix::process::setpriority_process(None, -20);
    Ok(())
}

/// How often this process left its processor.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Switches {
    /// Because it was taken away.
    pub(crate) forced: u64,
    /// To wait.
    pub(crate) slept: u64,
}

impl Switches {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let count = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        Self { forced: count("nonvoluntary_ctxt_switches"), slept: count("voluntary_ctxt_switches") }
    }

    pub(crate) fn since(self) -> Self {
        let now = Self::now();
        Self { forced: now.forced - self.forced, slept: now.slept - self.slept }
    }
}

/// The process's main loop, until its input ends.
pub(crate) fn serve(core: usize, board: &str) -> Result<()> {
    pin(core)?;
    let board = Board(Memory::open(board)?);
    let clock = Clock::new();
    let mut ends = HashMap::new();
    for line in std::io::stdin().lines() {
        let order = serde_json::from_str(&line?)?;
        let before = Switches::now();
        match obey(order, &mut ends, &board, &clock) {
            Ok(()) => answer(&Answer::Done { switches: before.since() })?,
            Err(e) => answer(&Answer::Failed(format!("{e:#}")))?,
        }
    }
    Ok(())
}

fn answer(answer: &Answer) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn obey(order: Order, ends: &mut HashMap<usize, Box<dyn End>>, board: &Board, clock: &Clock) -> Result<()> {
    match order {
        Order::Open { id, kind, out, back, opts } => {
            let mut end = kind.end(out.as_deref(), back.as_deref(), &opts)?;
            end.connect()?;
            ends.insert(id, end);
        }
        Order::Echo { id, round } => {
            let end = ends.get_mut(&id).context("no such end")?;
            answer(&Answer::Ready)?;
            end.echo(&round)?;
        }
        Order::Drain { id, round, reader } => {
            let end = ends.get_mut(&id).context("no such end")?;
            board.read(reader).store(0, Ordering::Release);
            answer(&Answer::Ready)?;
            end.drain(&round, board, reader, clock)?;
        }
        Order::Close { id } => drop(ends.remove(&id)),
    }
    Ok(())
}

/// A peer as the first process sees it.
pub(crate) struct Peer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(core: usize, board: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").arg("--core").arg(core.to_string()).arg("--board").arg(board);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the peer")?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, to, from })
    }

    fn listen(&mut self) -> Result<Answer> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the peer ended: {}", self.child.wait()?);
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Sends an order without waiting for anything.
    pub(crate) fn order(&mut self, order: &Order) -> Result<()> {
        let to = self.to.as_mut().context("closed")?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        to.write_all(&line)?;
        Ok(to.flush()?)
    }

    /// Waits until the timed loop begins.
    pub(crate) fn ready(&mut self) -> Result<()> {
        match self.listen()? {
            Answer::Ready => Ok(()),
            Answer::Failed(e) => Err(anyhow!("in the peer: {e}")),
            Answer::Done { .. } => bail!("the peer is done too early"),
        }
    }

    /// Waits until the order is done; how often the peer left its processor meanwhile.
    pub(crate) fn done(&mut self) -> Result<Switches> {
        match self.listen()? {
            Answer::Done { switches } => Ok(switches),
            Answer::Failed(e) => Err(anyhow!("in the peer: {e}")),
            Answer::Ready => bail!("the peer is not done"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.to = None; // the end of its input ends it, unless it is stuck
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
