//! Drills: a victim does one operation in a tight loop and is stopped at random, thousands of times a minute. Where it
//! stands in the middle of something, or now and then anywhere, it is killed there.

use crate::chaos::actor::note;
use crate::chaos::board::{Board, Count, Line};
use crate::chaos::dice::Dice;
use crate::chaos::look::Eye;
use crate::chaos::patience::Patience;
use crate::chaos::standing;
use crate::chaos::totals::Totals;
use crate::chaos::victim::{Victim, die_with_parent};
use crate::common::{objects, unique};
use crate::frames;
use crate::memory;
use crate::opts::Opts;
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{CreateError, DirectoryReadError, OpenError, SendError};
use shmx::{Client, Hold, Inspector, Server, SharedServer, SlotState};
use shmx_os::clock::ticks;
use shmx_os::{LockByte, LockState, Region, RegionName};
use shmx_ring::readers::{self, Newcomer};
use shmx_ring::sync::Ordering;
use shmx_ring::view::{HeaderView, ReaderView};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MAX_LEN: u32 = 2000;
/// Longest message: most of the time its sender is in the middle of one.
const LONG: u32 = 8000;
/// Time for one kind of drill before the next has its turn.
const SLICE: Duration = Duration::from_millis(1500);

// ---------------------------------------------------------------------------------------------------- the victims

/// `chaos-drill ROLE NAME --board NAME`
pub(crate) fn part(role: &str, opts: &Opts) -> Result<()> {
    die_with_parent()?;
    let board = Board::open(opts.text("board").context("--board")?)?;
    let line = board.line(0)?;
    let name = opts.name()?;
    match role {
        "attach" => {
            while line.turn() {
                drop(Client::open(name)?);
            }
        }
        "slot" => attach_and_detach(name, line)?,
        "lease" => {
            let mut client = Client::options().copy_up_to(0).hold(Hold::Lease).open(name)?;
            while line.turn() {
                drop(client.latest()?);
            }
        }
        "send" => {
            let client = Client::open(name)?;
            let (sender, mut number) = (opts.num("seed", 1)?, 0);
            while line.turn() {
                match client.control_send(0x3001, &note(sender, number, LONG)) {
                    Ok(()) => number += 1,
                    Err(SendError::Full) => std::thread::yield_now(),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        "publish" => publish(&take_over(name, 4096)?, line)?,
        "create" => {
            while line.turn() {
                let server = take_over(name, 4096)?;
                one_frame(&server, 0)?;
            }
        }
        "append" => {
            while line.get(Count::Quit) == 0 {
                let server = take_over(name, 60_000)?;
                let mut id = frames::ADDED;
                while line.turn() && server.add_stream(frames::added_stream(id)).is_ok() {
                    id += 1;
                }
            }
        }
        _ => bail!("unknown drill {role:?}"),
    }
    Ok(())
}

/// The two steps alone, on one slot, with its lock in hand: most of the time the slot is half attached or detached.
fn attach_and_detach(name: &str, line: Line<'_>) -> Result<()> {
    let region = Region::open(&RegionName::new(name)?)?;
    let header = memory::view::<HeaderView>(&region, 0).context("header")?;
    let layout = *Inspector::open(name)?.layout();
    for index in 0..layout.reader_slots() {
        let at = layout.reader_slot(index).context("reader slot")?;
        let slot = memory::view::<ReaderView>(&region, at).context("reader slot")?;
        if slot.in_use.load(Ordering::Relaxed) != 0 || !region.try_lock(LockByte::Reader(index))? {
            continue;
        }
        let mut id = ticks() | 1;
        while line.turn() {
            id = frames::mix(id) | 1;
            let who = Newcomer {
                id,
                pid: std::process::id(),
                now: ticks(),
                locked: true,
                verifies: false,
                every_frame: false,
            };
            ensure!(readers::attach(header, slot, &who).is_some(), "somebody else took it");
            readers::detach(header, slot);
        }
        return Ok(());
    }
    bail!("no free slot")
}

/// A server in the place of whatever died there.
fn take_over(name: &str, static_bytes_cap: u32) -> Result<SharedServer> {
    let config =
        frames::server(name).slots(3).reader_slots(2).directory_bytes(static_bytes_cap).frame_bytes(MAX_LEN + 256);
    let end = Instant::now() + Duration::from_secs(300); // whoever started us looks at the progress
    loop {
        match config.create().map(Server::into_shared) {
            Err(CreateError::HeldByLiveServer { .. }) if Instant::now() < end => std::thread::yield_now(),
            other => return Ok(other?),
        }
    }
}

fn one_frame(server: &SharedServer, number: u64) -> Result<()> {
    let mut frame = server.begin_frame()?;
    frames::write(&mut frame, server.session_id(), number, MAX_LEN, None)?;
    frame.publish_frame(number as f64)?;
    Ok(())
}

fn publish(server: &SharedServer, line: Line<'_>) -> Result<()> {
    let mut number = 0;
    while line.turn() {
        if number % 5 == 4 {
            server.begin_frame()?.abandon();
        }
        one_frame(server, number)?;
        number += 1;
    }
    Ok(())
}

// -------------------------------------------------------------------------------------------------- the conductor

struct Drill {
    /// What the victim does.
    role: String,
    name: String,
    board_name: String,
    board: Board,
    dice: Dice,
    totals: Totals,
}

/// All drills in turn until `end`.
///
/// What went wrong in one is counted; the next one goes on.
pub(crate) fn all(dice: &mut Dice, end: Instant) -> Result<Totals> {
    let board_name = unique();
    let board = Board::create(&board_name, 1)?;
    let mut drill =
        Drill { role: String::new(), name: unique(), board_name, board, dice: dice.clone(), totals: Totals::default() };
    let kinds: [fn(&mut Drill, Instant) -> Result<()>; 7] = [
        Drill::publishing,
        |d, end| d.attaching("slot", end),
        Drill::leasing,
        Drill::creating,
        Drill::appending,
        Drill::sending,
        |d, end| d.attaching("attach", end),
    ];
    for turn in kinds.iter().cycle() {
        if Instant::now() > end || drill.totals.unexpected > 10 {
            break;
        }
        if let Err(e) = turn(&mut drill, end.min(Instant::now() + SLICE)) {
            Totals::complain(&mut drill.totals.unexpected, &format!("drill: {e:#}"));
        }
        // What the dead servers left; a successor would have replaced it.
        for name in objects(&drill.name) {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
    drill.board.remove()?;
    Ok(drill.totals)
}

impl Drill {
    fn start(&mut self, role: &str) -> Result<Victim> {
        let line = self.board.line(0)?;
        let before = line.get(Count::Loops);
        self.role = role.to_owned();
        let seed = self.dice.next().to_string();
        let args = ["chaos-drill", role, &self.name, "--board", &self.board_name, "--seed", &seed];
        let mut victim = Victim::start(&args.map(str::to_owned))?;
        let patience = Patience::new();
        while line.get(Count::Loops) < before + 3 {
            if let Some(status) = victim.ended()? {
                bail!("{role} ended by itself: {status}");
            }
            ensure!(!patience.is_over(), "{role} does not begin its work: {}", standing::describe(victim.id()));
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(victim)
    }

    /// Stops the victim at random until `caught` says that it stands in the middle of something, and kills it there.
    fn hunt(
        &mut self,
        victim: Victim,
        end: Instant,
        mut caught: impl FnMut(&mut Totals) -> Result<bool>,
    ) -> Result<u64> {
        for _ in 0..400 {
            std::thread::sleep(self.dice.micros(200));
            victim.stop()?;
            self.totals.stops += 1;
            if caught(&mut self.totals)? || self.dice.one_in(25) || Instant::now() > end {
                break;
            }
            let loops = self.board.line(0)?.get(Count::Loops);
            victim.go_on()?;
            let patience = Patience::new();
            while self.board.line(0)?.get(Count::Loops) == loops {
                if patience.is_over() {
                    let what = format!("the victim of {} makes no progress", self.role);
                    Totals::complain(&mut self.totals.stuck, &format!("{what}: {}", standing::describe(victim.id())));
                    break;
                }
                std::thread::yield_now();
            }
        }
        let since = ticks();
        victim.kill()?;
        self.totals.kills += 1;
        Ok(since)
    }

    /// A server that dies while it claims, writes and publishes: what it left is whole frames and odd slots.
    fn publishing(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            let victim = self.start("publish")?;
            let eye = Eye::open(&self.name)?;
            let session = eye.inspector().header().session_id;
            let mut wanted = self.dice.below(3);
            self.hunt(victim, end, |_| {
                let look = eye.look()?;
                let hit = look.half_published() || look.odd() > 0;
                wanted = wanted.saturating_sub(u64::from(hit));
                Ok(look.half_published() || hit && wanted == 0)
            })?;
            let look = eye.look()?;
            self.totals.odd += look.odd();
            self.totals.half_published += u64::from(look.half_published());
            self.totals.published += look.header.frame_seq;
            self.totals.servers += 1;
            // A slot that stays odd would be tried many times.
            let even = (0..).zip(&look.frames).filter(|(_, f)| f.ext_stamp % 2 == 0).map(|(i, _)| i);
            for slot in even.filter_map(|i| eye.inspector().slot_view(i)) {
                match slot.state {
                    SlotState::Frame(view) => {
                        self.totals.delivered += 1;
                        self.totals.bytes += view.payload().len() as u64;
                        if let Err(e) = frames::check(&view, session) {
                            Totals::complain(&mut self.totals.torn, &format!("left by a dead server: {e:#}"));
                        }
                    }
                    SlotState::Empty => {}
                    state => Totals::complain(&mut self.totals.torn, &format!("left by a dead server: {state:?}")),
                }
            }
            ensure!(
                matches!(Client::open(&self.name), Err(OpenError::ServerGone { .. })),
                "a dead server's region was opened"
            );
        }
        Ok(())
    }

    /// A reader that dies while it attaches and detaches: its slot comes back, at once or after the time of grace.
    fn attaching(&mut self, how: &str, end: Instant) -> Result<()> {
        let config = frames::server(&self.name).slots(2).reader_slots(48);
        let server = config.create().map(Server::into_shared)?;
        let eye = Eye::open(&self.name)?;
        // Slots whose owner died before it had an id, or after it had none.
        let mut half: HashMap<usize, u64> = HashMap::new();
        while Instant::now() < end && half.len() < 40 {
            let victim = self.start(how)?;
            let known: Vec<usize> = half.keys().copied().collect();
            let is_new = |i: usize| !known.contains(&i);
            let since = self.hunt(victim, end, |totals| {
                totals.attachments += 1;
                Ok(eye.look()?.readers.iter().enumerate().any(|(i, r)| r.is_half() && is_new(i)))
            })?;
            for (i, r) in eye.look()?.readers.iter().enumerate() {
                if r.is_half() && is_new(i) {
                    self.totals.half_attached += 1;
                    half.insert(i, since);
                }
            }
            self.reap(&server, &eye, since, &mut half)?;
        }
        let patience = Patience::new();
        while !half.is_empty() && !patience.is_over() {
            std::thread::sleep(Duration::from_millis(5));
            self.reap(&server, &eye, 0, &mut half)?;
        }
        let taken = eye.look()?.readers.iter().filter(|r| !r.is_clear()).count();
        if taken > 0 {
            self.totals.leaked_slots += taken as u64;
            eprintln!("VIOLATION: {taken} reader slots are not free after every reader died");
        }
        self.nobody_counted(&server)
    }

    /// One reaping: every complete slot of the dead must be free, half ones may wait for their time of grace.
    fn reap(&mut self, server: &SharedServer, eye: &Eye, since: u64, half: &mut HashMap<usize, u64>) -> Result<()> {
        server.reap_dead_readers();
        let now = ticks();
        for (i, r) in eye.look()?.readers.iter().enumerate() {
            if r.is_clear() {
                if let Some(since) = half.remove(&i) {
                    self.totals.freed.add_ns(now - since);
                }
            } else if !half.contains_key(&i) {
                let what = format!("slot {i} of a dead reader: in use {}, lock {:?}", r.slot.in_use, r.lock);
                Totals::complain(&mut self.totals.leaked_slots, &what);
            }
        }
        if since != 0 && half.is_empty() {
            self.totals.freed.add_ns(now - since);
        }
        Ok(())
    }

    /// The count of readers in the header is right again, within the time of grace.
    fn nobody_counted(&mut self, server: &SharedServer) -> Result<()> {
        let patience = Patience::new();
        while server.header().readers_connected != 0 {
            if patience.is_over() {
                let what = format!("{} readers are counted, none is there", server.header().readers_connected);
                Totals::complain(&mut self.totals.leaked_slots, &what);
                break;
            }
            server.reap_dead_readers();
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// A reader that dies while it takes and ends leases: none is left. Until then nobody takes one away.
    fn leasing(&mut self, end: Instant) -> Result<()> {
        let config = frames::server(&self.name).slots(3).reader_slots(4).frame_bytes(MAX_LEN + 256);
        let server = config.create().map(Server::into_shared)?;
        let eye = Eye::open(&self.name)?;
        let mut number = 0;
        let mut publish = |server: &SharedServer| {
            number += 1;
            one_frame(server, number - 1)
        };
        publish(&server)?;
        while Instant::now() < end {
            let victim = self.start("lease")?;
            let mut wanted = self.dice.below(4);
            let since = self.hunt(victim, end, |totals| {
                publish(&server)?;
                totals.published += 1;
                let leased = eye.look()?.leases();
                let reaped = server.reap_stale_readers(Duration::from_nanos(1));
                if !reaped.is_empty() || eye.look()?.leases() != leased {
                    Totals::complain(&mut totals.reaped_alive, &format!("{reaped:?}, {leased} leases"));
                }
                wanted = wanted.saturating_sub(u64::from(leased > 0));
                Ok(leased > 0 && wanted == 0)
            })?;
            self.totals.leases_left += eye.look()?.leases();
            let reaped = server.reap_dead_readers();
            let (look, now) = (eye.look()?, ticks());
            if look.leases() > 0 {
                self.totals.leaked_leases += look.leases();
                eprintln!("VIOLATION: leases of a dead reader are left, reaped {reaped:?}");
            } else {
                self.totals.freed.add_ns(now - since);
            }
            for _ in 0..4 {
                publish(&server)?; // each slot can be had again
            }
        }
        self.nobody_counted(&server)
    }

    /// A server that dies while it creates or leaves: the name leads to a whole region or to nothing.
    fn creating(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            let victim = self.start("create")?;
            let name = self.name.clone();
            let whole = |totals: &mut Totals| {
                let found = objects(&name);
                if found.len() > 1 {
                    totals.leaked_objects += found.len() as u64 - 1;
                    eprintln!("VIOLATION: {found:?}");
                }
                match Eye::open(&name) {
                    Ok(_) => Ok(true),
                    Err(e) if found.is_empty() => {
                        let gone = e.downcast_ref::<OpenError>().is_some_and(|e| matches!(e, OpenError::Os(_)));
                        ensure!(gone, "{e:#}");
                        Ok(false)
                    }
                    Err(e) => Err(e.context("a region that is not whole has the name")),
                }
            };
            let mut wanted = self.dice.below(3);
            self.hunt(victim, end, |totals| {
                wanted = wanted.saturating_sub(u64::from(whole(totals)?));
                Ok(wanted == 0)
            })?;
            whole(&mut self.totals)?;
            self.totals.servers += 1;
        }
        Ok(())
    }

    /// A server that dies while it adds to its directory: readers see whole streams, or an error while it is half-made.
    fn appending(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            let victim = self.start("append")?;
            let eye = Eye::open(&self.name)?;
            let state = |totals: &mut Totals| match eye.inspector().directory() {
                Ok(state) => {
                    let added = state.streams.iter().filter(|s| s.id >= frames::ADDED);
                    let bad = added.filter(|s| !frames::is_added_stream(s)).count();
                    if bad > 0 {
                        Totals::complain(&mut totals.torn, &format!("{bad} streams are not what was added"));
                    }
                    Ok(false)
                }
                Err(DirectoryReadError::HashMismatch | DirectoryReadError::Unstable) => {
                    totals.half_directories += 1;
                    Ok(true)
                }
                Err(e) => Err(e.into()),
            };
            self.hunt(victim, end, state)?;
            self.totals.servers += 1;
        }
        Ok(())
    }

    /// A reader that dies while it sends: the ring goes on with its next owner, without damage or loss.
    fn sending(&mut self, end: Instant) -> Result<()> {
        // So large that the sender does not wait for room before it is stopped and everything is heard.
        let config = frames::server(&self.name).reader_slots(1).control_bytes(4_000_001);
        let server = config.create().map(Server::into_shared)?;
        let mut heard = HashMap::<u64, u64>::new();
        let mut hear = |totals: &mut Totals| {
            let batch = server.poll_control(1000);
            for d in batch.damaged {
                Totals::complain(&mut totals.bad_messages, &format!("{d:?}"));
            }
            for m in batch.messages {
                let sender = m.data.get(..8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
                let next = heard.entry(sender).or_insert(0);
                if m.data == note(sender, *next, LONG) {
                    totals.messages += 1;
                } else {
                    Totals::complain(&mut totals.bad_messages, &format!("not message {next} of {sender:#x}"));
                }
                *next += 1;
            }
        };
        while Instant::now() < end {
            let victim = self.start("send")?;
            self.hunt(victim, end, |totals| {
                hear(totals);
                Ok(false)
            })?;
            hear(&mut self.totals);
            // The next sender needs the slot, whatever this one left of it.
            let patience = Patience::new();
            while server.snapshot_readers().iter().any(|r| r.in_use || r.lock == LockState::Held) {
                ensure!(!patience.is_over(), "the only reader slot is lost");
                server.reap_dead_readers();
            }
        }
        self.nobody_counted(&server)
    }
}
