//! A neighbour that scribbles over a region while a producer, readers and an inspector work in it.
//!
//! Nobody may panic, hang or be killed by a signal; frames may be spoiled. When the neighbour has gone, what it wrote
//! does no lasting harm.

use crate::chaos::board::{Board, Count, Line};
use crate::chaos::dice::Dice;
use crate::chaos::victim::{Victim, die_with_parent};
use crate::common::{SECOND, Scale, objects, unique};
use crate::frames;
use crate::memory;
use crate::opts::Opts;
use anyhow::{Context, Result, bail, ensure};
use shmx::abi::RegionLayout;
use shmx::error::{BeginError, CreateError, PublishError, ReadError};
use shmx::{Client, Hold, Inspector, Server, ServerBuilder, SlotState};
use shmx_os::{Region, RegionName};
use shmx_ring::sync::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
/// Words that the neighbour writes in each round, however slow it is.
const WORDS: u64 = 1000;
const MAX_LEN: u32 = 2000;

fn config(name: &str) -> ServerBuilder {
    frames::server(name).slots(6).reader_slots(8).control_bytes(257).frame_bytes(MAX_LEN + 256)
}

// ------------------------------------------------------------------------------------------------------ the parts

/// `hostile-part ROLE NAME --board NAME --line N --seed N [--all]`
pub(crate) fn part(role: &str, opts: &Opts) -> Result<()> {
    die_with_parent()?;
    let board = Board::open(opts.text("board").context("--board")?)?;
    let line = board.line(opts.num("line", 0)?)?;
    let mut dice = Dice::new(opts.num("seed", 1)?);
    let name = opts.name()?;
    match role {
        "producer" => {
            while line.turn() {
                produce(name, line, &mut dice)?;
            }
        }
        "scribbler" => scribble(name, line, &mut dice, opts.text("where").unwrap_or("all"))?,
        mode => {
            while line.turn() {
                read(name, line, &mut dice, mode)?;
            }
        }
    }
    Ok(())
}

/// Serves until told to end, or until the region is no longer its own.
fn produce(name: &str, line: Line<'_>, dice: &mut Dice) -> Result<()> {
    let config = config(name).replace(true);
    let server = match config.create().map(Server::into_shared) {
        Err(CreateError::HeldByLiveServer { .. }) => return Ok(()),
        other => other?,
    };
    line.add(Count::Sessions, 1);
    let (mut number, mut added) = (0, frames::ADDED);
    while line.turn() {
        let written = server.begin_frame().map_err(PublishError::from).and_then(|mut frame| {
            // Nobody writes to what the producer appends from, so this cannot fail.
            frames::write(&mut frame, server.session_id(), number, MAX_LEN, None).expect("appending");
            frame.publish_frame(number as f64)
        });
        match written {
            Ok(_) => {
                number += 1;
                line.add(Count::Frames, 1);
            }
            Err(PublishError::Region(BeginError::SessionLost { .. })) => return Ok(()),
            Err(PublishError::Region(BeginError::NoFreeSlot { .. })) => line.add(Count::Full, 1),
            Err(e) => return Err(e.into()),
        }
        if dice.one_in(20) {
            let batch = server.poll_control(50);
            line.add(Count::BadMessages, batch.damaged.len() as u64);
            line.add(Count::Messages, batch.messages.len() as u64);
            line.add(Count::Reaped, server.reap_stale_readers(2 * SECOND).len() as u64);
            let _ = server.snapshot_readers();
            if dice.one_in(20) && server.add_stream(frames::added_stream(added)).is_ok() {
                added += 1;
            }
            std::thread::sleep(dice.micros(500));
        }
    }
    Ok(())
}

/// Reads until the session ends; every error of a frame is one that a reader may meet.
fn read(name: &str, line: Line<'_>, dice: &mut Dice, mode: &str) -> Result<()> {
    let hold = if mode == "copy" { Hold::Copy } else { Hold::Lease };
    let Ok(mut client) = Client::options().hold(hold).open(name) else {
        line.add(Count::Refused, 1);
        std::thread::sleep(Duration::from_micros(300));
        return Ok(());
    };
    line.add(Count::Sessions, 1);
    while line.turn() {
        let (wait, session) = (Duration::from_millis(20), client.session_id());
        let taken = match mode {
            "latest" => client.latest(),
            "wait" => client.wait(wait),
            "next" | "copy" => client.next(wait),
            other => bail!("unknown part {other:?}"),
        };
        match taken.map(|found| found.map(|frame| frames::check_bytes(&frame, session))) {
            Ok(Some(Ok(_))) => line.add(Count::Frames, 1),
            Ok(Some(Err(_))) => line.add(Count::Torn, 1),
            Ok(None) => {}
            Err(ReadError::ServerGone { .. } | ReadError::SessionChanged) => return Ok(()),
            Err(_) => line.add(Count::Unexpected, 1),
        }
        if dice.one_in(10) {
            // Refused when the ring is full or damaged; the sender goes on.
            let _ = client.control_send(0x3000, &[7; 40]);
            let _ = client.directory();
            std::thread::sleep(dice.micros(200));
        }
        if client.is_replaced() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes random words where `place` says, as fast as it can.
fn scribble(name: &str, line: Line<'_>, dice: &mut Dice, place: &str) -> Result<()> {
    // With a client of its own, so that one ring and one reader slot are those of an attached reader.
    let (mut client, mut region) = (None, None);
    while line.turn() {
        if region.is_none() || dice.one_in(5000) {
            client = Client::open(name).ok().or(client);
            region = Region::open(&RegionName::new(name)?).ok().or(region);
        }
        let (Some(region), Some(client)) = (&region, &client) else {
            std::thread::sleep(Duration::from_micros(300));
            continue;
        };
        let at = target(client.layout(), client.reader_index(), region.len(), dice, place);
        let word = match dice.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => dice.below(300),
            3 => 1 << dice.below(64),
            _ => dice.next(),
        };
        // The bytes used of the directory have the slot count behind them: geometry, which nobody mends.
        let len = if place != "all" && at == 56 { 4 } else { 8 };
        let bytes: &[AtomicU8] = memory::bytes(region).get(at..at + len).unwrap_or(&[]);
        for (cell, byte) in bytes.iter().zip(word.to_ne_bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
        line.add(Count::Frames, 1);
        if dice.one_in(100) {
            std::thread::sleep(dice.micros(200));
        }
    }
    Ok(())
}

/// Offset of a word to write over.
fn target(layout: &RegionLayout, own: Option<u32>, len: usize, dice: &mut Dice, place: &str) -> usize {
    if place == "all" {
        let len = if dice.one_in(2) { 128 } else { len };
        return dice.below(len as u64 / 8) as usize * 8;
    }
    let index = dice.below(layout.reader_slots().into()) as u32;
    let slot = dice.below(layout.slots().into()) as u32;
    let at = match dice.below(6) {
        // Its own ring, positions first, and any other.
        0 => layout.control_ring(own.unwrap_or(index)).map(|at| at + dice.below(2) as usize * 8),
        1 => layout
            .control_ring(if dice.one_in(2) { own.unwrap_or(index) } else { index })
            .map(|at| at + dice.below(u64::from(layout.control_per_reader()) / 8) as usize * 8),
        // Its own reader slot and any other.
        2 => layout.reader_slot(own.unwrap_or(index)).map(|at| at + dice.below(8) as usize * 8),
        3 => layout.reader_slot(index).map(|at| at + dice.below(8) as usize * 8),
        // Lease bits.
        4 => layout.frame_slot(slot).map(|at| at + 40 + dice.below(2) as usize * 8),
        // frame_seq, write_index and readers_connected, reserve_index and doorbell; generation, hash, bytes used.
        _ => Some([104, 112, 120, 32, 40, 56][dice.below(6) as usize]),
    };
    at.unwrap_or(104)
}

// -------------------------------------------------------------------------------------------------- the scenarios

/// What the parts wrote down.
struct Company {
    name: String,
    board_name: String,
    board: Board,
    parts: Vec<(&'static str, Option<Victim>)>,
}

const ROLES: [&str; 6] = ["producer", "wait", "next", "copy", "latest", "scribbler"];

impl Company {
    fn new() -> Result<Self> {
        let (name, board_name) = (unique(), unique());
        let board = Board::create(&board_name, ROLES.len())?;
        Ok(Self { name, board_name, board, parts: ROLES.map(|r| (r, None)).into() })
    }

    fn start(&mut self, i: usize, place: &str) -> Result<()> {
        let line = self.board.line(i)?;
        line.set(Count::Quit, 0);
        let number = i.to_string();
        let role = ROLES[i];
        let args = ["hostile-part", role, &self.name, "--board", &self.board_name, "--line", &number, "--where", place];
        self.parts[i].1 = Some(Victim::start(&args.map(str::to_owned))?);
        Ok(())
    }

    /// Waits until `done`, while everybody gets on and nobody has ended.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Board) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + LIMIT;
        let mut moved = [(0, Instant::now()); ROLES.len()];
        while !done(&self.board)? {
            for (i, (role, victim)) in self.parts.iter_mut().enumerate() {
                let Some(victim) = victim else { continue };
                if let Some(status) = victim.ended()? {
                    bail!("{role} ended by itself: {status}");
                }
                let loops = self.board.line(i)?.get(Count::Loops);
                if loops != moved[i].0 {
                    moved[i] = (loops, Instant::now());
                }
                ensure!(moved[i].1.elapsed() < LIMIT, "{role} hangs");
            }
            if Instant::now() > end {
                let frames: Vec<u64> =
                    (0..ROLES.len()).map(|i| Ok(self.board.line(i)?.get(Count::Frames))).collect::<Result<_>>()?;
                bail!("not within {LIMIT:?}: {what}; frames of {ROLES:?}: {frames:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Asks a part to end; it must end well.
    fn end(&mut self, i: usize) -> Result<()> {
        self.board.line(i)?.set(Count::Quit, 1);
        let end = Instant::now() + LIMIT;
        let (role, victim) = &mut self.parts[i];
        let Some(mut victim) = victim.take() else { return Ok(()) };
        loop {
            if let Some(status) = victim.ended()? {
                ensure!(status.success(), "{role}: {status}");
                return Ok(());
            }
            ensure!(Instant::now() < end, "{role} does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn sum(&self, c: Count) -> Result<u64> {
        (0..ROLES.len() - 1).map(|i| Ok(self.board.line(i)?.get(c))).sum()
    }
}

/// Everything an inspector can do; results do not matter.
fn look(name: &str) {
    let Ok(i) = Inspector::open(name) else { return };
    let _ = i.directory();
    for r in i.snapshot_readers() {
        let _ = i.peek_control(r.index);
    }
    let _ = i.latest();
    for s in i.list_slots() {
        if let SlotState::Frame(v) = s.state {
            let _ = v.decode();
        }
    }
}

/// The neighbour writes where readers may write, and over the header's counters: what is copied stays whole, and
/// everything recovers when it has gone.
pub(crate) fn where_readers_write(cx: &Scale) -> Result<String> {
    scene(cx, "shared", |company| {
        let copied = company.board.line(3)?;
        let torn = copied.get(Count::Torn);
        ensure!(torn == 0, "{torn} copied frames are spoiled although nobody wrote to a frame");
        // Readers that the neighbour gave lease bits of slots keep those for their lives; new ones start clean.
        for i in 1..5 {
            company.end(i)?;
            company.start(i, "")?;
        }
        let board = &company.board;
        let before: Vec<u64> = (0..5).map(|i| Ok(board.line(i)?.get(Count::Frames))).collect::<Result<_>>()?;
        company.until("everybody gets frames again", |board| {
            (0..5).try_fold(true, |all, i| Ok(all && board.line(i)?.get(Count::Frames) > before[i] + 5))
        })
    })
}

/// The neighbour writes anywhere. The producer may lose its region; then it makes a new one.
pub(crate) fn everywhere(cx: &Scale) -> Result<String> {
    scene(cx, "all", |_| Ok(()))
}

fn scene(cx: &Scale, place: &str, after: impl Fn(&mut Company) -> Result<()>) -> Result<String> {
    let rounds = cx.amount(5);
    let mut notes = [0; 6];
    for _ in 0..rounds {
        let mut company = Company::new()?;
        let done = act(&mut company, place, &after);
        let counts = [Count::Frames, Count::Torn, Count::Unexpected, Count::Full, Count::BadMessages];
        for (note, c) in notes[1..].iter_mut().zip(counts) {
            *note += company.sum(c)?;
        }
        notes[0] += company.board.line(5)?.get(Count::Frames);
        company.parts.clear();
        company.board.remove()?;
        done?;
    }
    let [words, frames, spoiled, refused, full, damaged] = notes;
    ensure!(words > WORDS && frames > 0, "{words} words, {frames} frames: nothing was tried");
    Ok(format!(
        "{rounds} rounds, {words} words scribbled, {frames} frames published and read, {spoiled} spoiled, {refused} \
         refused, {full} without a slot, {damaged} rings damaged"
    ))
}

fn act(company: &mut Company, place: &str, after: impl Fn(&mut Company) -> Result<()>) -> Result<()> {
    for i in 0..5 {
        company.start(i, "")?;
    }
    company.until("everybody has frames", |board| {
        (0..5).try_fold(true, |all, i| Ok(all && board.line(i)?.get(Count::Frames) > 5))
    })?;
    company.start(5, place)?;
    let name = company.name.clone();
    let mut end = None;
    company.until("the neighbour scribbles", |board| {
        look(&name);
        let words = board.line(5)?.get(Count::Frames);
        if end.is_none() && words > 100 {
            end = Some(Instant::now() + SECOND);
        }
        Ok(words > WORDS && end.is_some_and(|end| Instant::now() > end))
    })?;
    company.end(5)?;
    after(company)?;
    // The producer is killed over what is left of its region, so that nothing tidies up.
    if let Some(victim) = company.parts[0].1.take() {
        victim.kill()?;
    }
    let found = objects(&name);
    ensure!(found.len() <= 1, "{found:?}");
    // Asked to replace, since nothing need be left that says whose the region was.
    let server = config(&name).replace(true).create().map(Server::into_shared)?;
    let mut client = Client::open(&name)?;
    let mut frame = server.begin_frame()?;
    frames::write(&mut frame, 3, 0, MAX_LEN, None)?;
    frame.publish_frame(0.0)?;
    frames::check(&client.wait(5 * SECOND)?.context("no frame of the new server")?, 3)?;
    // Readers find the new region by themselves, or end when told to.
    for i in 1..5 {
        company.end(i)?;
    }
    Ok(())
}
