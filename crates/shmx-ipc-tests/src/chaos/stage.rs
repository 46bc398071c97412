//! One region with its actors, and the conductor that kills and stops them.

use crate::chaos::board::{Board, Count};
use crate::chaos::dice::Dice;
use crate::chaos::look::Eye;
use crate::chaos::patience::Patience;
use crate::chaos::sets::Set;
use crate::chaos::standing;
use crate::chaos::totals::Totals;
use crate::chaos::victim::Victim;
use crate::common::{objects, unique};
use anyhow::{Context, Result, ensure};
use shmx_os::LockState;
use shmx_os::clock::ticks;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const PRODUCERS: usize = 2;

struct Actor {
    role: &'static str,
    line: usize,
    victim: Option<Victim>,
    /// Stands still until then, and the reader slot it holds meanwhile.
    stopped: Option<(Instant, Option<Place>)>,
    /// Loops and frames when they last moved, and when that was.
    loops: (u64, Patience),
    frames: (u64, Patience),
}

impl Actor {
    fn is_producer(&self) -> bool {
        self.role == "producer"
    }
}

/// Where a reader is attached.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    session: u64,
    index: usize,
    id: u64,
}

/// A killed reader whose slot is not free yet.
struct Pending {
    index: u32,
    id: u64,
    since: u64,
    patience: Patience,
}

struct Stage<'a> {
    set: &'a Set,
    name: String,
    board_name: String,
    board: Board,
    actors: Vec<Actor>,
    eye: Option<Eye>,
    pending: Vec<Pending>,
    /// Sessions whose producer was told to end or killed.
    dead: HashSet<u64>,
    /// When the producer in service was killed, while no reader has a frame of a successor.
    orphaned: Option<u64>,
    totals: Totals,
}

/// Plays from `start` until `end` and then sees whether everything is given back.
pub(crate) fn play(set: &Set, dice: &mut Dice, start: Instant, end: Instant) -> Result<Totals> {
    std::thread::sleep(start.saturating_duration_since(Instant::now()));
    let (name, board_name) = (unique(), unique());
    let mut actors = Vec::new();
    let roles = std::iter::repeat_n("producer", PRODUCERS).chain(set.readers.iter().copied());
    for (line, role) in roles.enumerate() {
        let now = Patience::new();
        actors.push(Actor { role, line, victim: None, stopped: None, loops: (0, now), frames: (0, now) });
    }
    let board = Board::create(&board_name, actors.len())?;
    let mut stage = Stage {
        set,
        name,
        board_name,
        board,
        actors,
        eye: None,
        pending: Vec::new(),
        dead: HashSet::new(),
        orphaned: None,
        totals: Totals::default(),
    };
    if let Err(e) = stage.run(dice, end) {
        Totals::complain(&mut stage.totals.unexpected, &format!("stage: {e:#}"));
    }
    // Whatever went wrong: nobody is left behind (children die with their handles), nor is the board.
    stage.actors.iter_mut().for_each(|a| a.victim = None);
    stage.board.remove()?;
    Ok(stage.totals)
}

impl Stage<'_> {
    fn run(&mut self, dice: &mut Dice, end: Instant) -> Result<()> {
        for i in 0..self.actors.len() {
            self.start(i, dice)?;
        }
        let (mut checked, mut called) = (Instant::now(), Instant::now());
        while Instant::now() < end {
            if called.elapsed() > Duration::from_secs(3) {
                self.roll_call(dice)?;
                called = Instant::now();
            }
            std::thread::sleep(dice.micros(self.set.pace.into()));
            self.continue_stopped(false)?;
            self.see_recoveries()?;
            if checked.elapsed() > Duration::from_millis(100) {
                self.check_progress()?;
                checked = Instant::now();
            }
            let i = dice.below(self.actors.len() as u64) as usize;
            if self.actors[i].victim.is_none() {
                self.start(i, dice)?;
            } else if dice.one_in(3) {
                if self.actors[i].stopped.is_none() {
                    self.stop(i, dice)?;
                }
            } else if dice.below(4) != 0 {
                self.kill(i)?;
                // Sometimes the others have to do without for a while.
                if !dice.one_in(4) {
                    self.start(i, dice)?;
                }
            }
        }
        self.close(dice)
    }

    fn start(&mut self, i: usize, dice: &mut Dice) -> Result<()> {
        let set = self.set;
        let actor = &mut self.actors[i];
        let text: Vec<String> = [
            ("board", self.board_name.clone()),
            ("line", actor.line.to_string()),
            ("seed", dice.next().to_string()),
            ("slots", set.slots.to_string()),
            ("reader-slots", set.reader_slots.to_string()),
            ("max-len", set.max_len.to_string()),
            ("control", set.control.to_string()),
            ("threads", set.threads.to_string()),
            ("burst", set.burst.to_string()),
        ]
        .into_iter()
        .flat_map(|(key, value)| [format!("--{key}"), value])
        .collect();
        let args = [vec!["chaos-part".to_owned(), actor.role.to_owned(), self.name.clone()], text].concat();
        actor.victim = Some(Victim::start(&args)?);
        let now = Patience::new();
        (actor.loops.1, actor.frames.1) = (now, now);
        Ok(())
    }

    /// The region that has the name now, if any.
    fn eye(&mut self) -> Option<&Eye> {
        if self.eye.as_ref().is_none_or(|e| !e.inspector().is_current()) {
            self.eye = Eye::open(&self.name).ok();
            // What was pending in the old region is gone with it.
            self.pending.clear();
        }
        self.eye.as_ref()
    }

    /// Where a process is attached, if it is.
    fn place_of(&mut self, pid: u32) -> Result<Option<Place>> {
        let Some(eye) = self.eye() else { return Ok(None) };
        let look = eye.look()?;
        let session = look.header.session_id;
        let found = look.readers.iter().position(|r| r.slot.in_use != 0 && r.slot.ext_pid == pid && !r.is_half());
        Ok(found.map(|index| Place { session, index, id: look.readers[index].slot.reader_id }))
    }

    fn kill(&mut self, i: usize) -> Result<()> {
        let Some(mut victim) = self.actors[i].victim.take() else { return Ok(()) };
        if let Some(status) = victim.ended()? {
            Totals::complain(
                &mut self.totals.unexpected,
                &format!("{} ended by itself: {status}", self.actors[i].role),
            );
            return Ok(());
        }
        self.actors[i].stopped = None;
        self.totals.kills += 1;
        let pid = victim.id();
        if self.actors[i].is_producer() {
            let session = self.board.line(i)?.get(Count::Session);
            self.dead.insert(session);
            let eye = Eye::open(&self.name).ok().filter(|e| e.inspector().header().ext_server_pid == pid);
            if let Some(eye) = &eye {
                // Also where the producer had not come to tell its session yet.
                self.dead.insert(eye.inspector().header().session_id);
            }
            let since = ticks();
            victim.kill()?;
            // It may have begun to serve since the look above.
            self.dead.insert(self.board.line(i)?.get(Count::Session));
            if let Some(eye) = eye {
                self.orphaned.get_or_insert(since);
                let look = eye.look()?;
                self.totals.odd += look.odd();
                self.totals.half_published += u64::from(look.half_published());
            }
        } else {
            let since = ticks();
            victim.kill()?;
            let Some(eye) = self.eye() else { return Ok(()) };
            let look = eye.look()?;
            for (index, r) in look.readers.iter().enumerate() {
                // A half-attached slot may have no process id yet.
                if r.slot.in_use == 0 || r.lock != LockState::Free || r.slot.ext_pid != pid && r.slot.ext_pid != 0 {
                    continue;
                }
                self.totals.half_attached += u64::from(r.is_half());
                self.totals.leases_left += u64::from(r.leases);
                let patience = Patience::new();
                self.pending.push(Pending { index: index as u32, id: r.slot.reader_id, since, patience });
            }
        }
        Ok(())
    }

    fn stop(&mut self, i: usize, dice: &mut Dice) -> Result<()> {
        let Some(victim) = &self.actors[i].victim else { return Ok(()) };
        victim.stop().with_context(|| self.actors[i].role)?;
        self.totals.stops += 1;
        let pid = victim.id();
        let place = if self.actors[i].is_producer() { None } else { self.place_of(pid)? };
        let most = if dice.one_in(10) { 400_000 } else { 30_000 };
        self.actors[i].stopped = Some((Instant::now() + dice.micros(most), place));
        Ok(())
    }

    fn continue_stopped(&mut self, all: bool) -> Result<()> {
        for i in 0..self.actors.len() {
            let Some((until, place)) = self.actors[i].stopped else { continue };
            if !all && Instant::now() < until {
                continue;
            }
            self.actors[i].stopped = None;
            let Some(pid) = self.actors[i].victim.as_ref().map(Victim::id) else { continue };
            // While it stands still it keeps its slot, unless the region itself was replaced.
            if let Some(place) = place
                && self.eye().is_some_and(|e| e.inspector().header().session_id == place.session)
                && self.place_of(pid)? != Some(place)
                && self.eye().is_some_and(|e| e.inspector().header().session_id == place.session)
            {
                let what = format!("slot {} of a stopped {} was reaped", place.index, self.actors[i].role);
                Totals::complain(&mut self.totals.reaped_alive, &what);
            }
            if let Some(victim) = &self.actors[i].victim {
                victim.go_on()?;
            }
            let now = Patience::new();
            (self.actors[i].loops.1, self.actors[i].frames.1) = (now, now);
        }
        Ok(())
    }

    fn see_recoveries(&mut self) -> Result<()> {
        let now = ticks();
        if let Some(since) = self.orphaned {
            for i in PRODUCERS..self.actors.len() {
                let line = self.board.line(i)?;
                let (at, session) = (line.get(Count::FirstAt), line.get(Count::Session));
                if session != 0 && at > since && !self.dead.contains(&session) {
                    self.totals.successor.add_ns(at - since);
                    self.orphaned = None;
                    break;
                }
            }
        }
        if self.pending.is_empty() || self.eye().is_none() {
            return Ok(());
        }
        let Some(eye) = &self.eye else { return Ok(()) };
        let look = eye.look()?;
        let totals = &mut self.totals;
        let leaked = totals.leaked_slots;
        self.pending.retain(|p| {
            let Some(r) = look.readers.get(p.index as usize) else { return false };
            let same = r.slot.in_use != 0 && r.slot.reader_id == p.id && r.lock == LockState::Free;
            let waited = now.saturating_sub(p.since);
            if same && !p.patience.is_over() {
                return true;
            }
            if same {
                Totals::complain(&mut totals.leaked_slots, &format!("reader slot {} of a dead reader", p.index));
            } else {
                totals.freed.add_ns(waited);
            }
            false
        });
        if self.totals.leaked_slots > leaked {
            self.say_where_all_are();
        }
        Ok(())
    }

    /// A pause in which nobody is killed: everybody must get on, and every reader must get frames. At the pace of the
    /// kills hardly anybody would live long enough to be found stuck.
    fn roll_call(&mut self, dice: &mut Dice) -> Result<()> {
        self.continue_stopped(true)?;
        for i in 0..self.actors.len() {
            if self.actors[i].victim.is_none() {
                self.start(i, dice)?;
            }
        }
        let start = Instant::now();
        let counts = |s: &Self, i: usize| -> Result<(u64, u64)> {
            let line = s.board.line(i)?;
            Ok((line.get(Count::Loops), line.get(Count::Frames)))
        };
        let before: Vec<_> = (0..self.actors.len()).map(|i| counts(self, i)).collect::<Result<_>>()?;
        let mut waited_for: Vec<usize> = (0..self.actors.len()).collect();
        let patience = Patience::new();
        while !waited_for.is_empty() && !patience.is_over() {
            std::thread::sleep(Duration::from_millis(1));
            self.see_recoveries()?;
            self.check_progress()?;
            let mut left = Vec::new();
            for i in waited_for {
                let (loops, frames) = counts(self, i)?;
                let well = loops > before[i].0 && (self.actors[i].is_producer() || frames > before[i].1);
                if !well && self.actors[i].victim.is_some() {
                    left.push(i);
                }
            }
            waited_for = left;
        }
        self.totals.all_well.add_ns(start.elapsed().as_nanos() as u64);
        for i in waited_for {
            let (loops, frames) = counts(self, i)?;
            let what = format!("{} makes no progress: {loops} loops and {frames} frames", self.actors[i].role);
            Totals::complain(&mut self.totals.stuck, &what);
            self.say_where_all_are();
            self.kill(i)?;
        }
        Ok(())
    }

    /// Every process that is not stopped gets on, and so do its frames while there is a producer.
    fn check_progress(&mut self) -> Result<()> {
        for i in 0..self.actors.len() {
            let line = self.board.line(i)?;
            let (loops, frames, gone) = (line.get(Count::Loops), line.get(Count::Frames), line.get(Count::GoneSession));
            let actor = &mut self.actors[i];
            if let Some(victim) = &mut actor.victim
                && actor.stopped.is_none()
                && let Some(status) = victim.ended()?
            {
                actor.victim = None;
                let what = format!("{} ended by itself: {status}", actor.role);
                Totals::complain(&mut self.totals.unexpected, &what);
            }
            let now = Patience::new();
            if loops != actor.loops.0 || actor.victim.is_none() || actor.stopped.is_some() {
                actor.loops = (loops, now);
            }
            // A waiting producer need not publish; all producers together must.
            if frames != actor.frames.0 || actor.victim.is_none() || actor.stopped.is_some() || actor.is_producer() {
                actor.frames = (frames, now);
            }
            if actor.loops.1.is_over() || actor.frames.1.is_over() {
                let what = format!("{} makes no progress: {loops} loops, {frames} frames", actor.role);
                (actor.loops.1, actor.frames.1) = (now, now);
                Totals::complain(&mut self.totals.stuck, &what);
                self.say_where_all_are();
            }
            // Told of an end that was none? Only if its producer is at work: one that was killed before it could say
            // its session is in nobody's book.
            if gone != 0 && !self.dead.contains(&gone) && self.is_served(gone)? {
                self.dead.insert(gone); // once is enough
                let what = format!("a reader was told that session {gone:#x} is over, and its producer lives");
                Totals::complain(&mut self.totals.false_alarms, &what);
            }
        }
        Ok(())
    }

    /// For who has to find out why somebody waits in vain: that may be for any of the others.
    fn say_where_all_are(&self) {
        for actor in &self.actors {
            match &actor.victim {
                Some(victim) => eprintln!("   {}: {}", actor.role, standing::describe(victim.id())),
                None => eprintln!("   {}: not there", actor.role),
            }
        }
    }

    fn is_served(&self, session: u64) -> Result<bool> {
        for i in 0..PRODUCERS {
            if self.actors[i].victim.is_some() && self.board.line(i)?.get(Count::Session) == session {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everybody leaves in good order; then nothing may be taken any more.
    fn close(&mut self, dice: &mut Dice) -> Result<()> {
        self.continue_stopped(true)?;
        for i in 0..PRODUCERS {
            if self.actors[i].victim.is_none() {
                self.start(i, dice)?;
            }
        }
        self.leave(PRODUCERS..self.actors.len())?;
        // A producer serves, so that the dead are reaped; each must be, within the deadline.
        let patience = Patience::new();
        loop {
            let clear = self.eye().and_then(|e| e.look().ok()).filter(|l| {
                l.readers.iter().all(|r| r.is_clear()) && l.header.readers_connected == 0 && l.leases() == 0
            });
            if clear.is_some() {
                break;
            }
            if patience.is_over() {
                let look = self.eye().context("no producer took over")?.look()?;
                let taken = look.readers.iter().filter(|r| !r.is_clear()).count();
                let (leases, counted) = (look.leases(), look.header.readers_connected);
                self.totals.leaked_leases += leases;
                self.totals.leaked_slots += taken as u64 + u64::from(counted != 0);
                eprintln!("VIOLATION: {taken} reader slots taken, {counted} counted, {leases} leases, nobody there");
                self.say_where_all_are();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.see_recoveries()?;
        let found = objects(&self.name);
        ensure!(found.len() <= 1, "more than the region itself: {found:?}");
        for i in 0..PRODUCERS {
            self.dead.insert(self.board.line(i)?.get(Count::Session));
        }
        self.leave(0..PRODUCERS)?;
        for i in 0..self.actors.len() {
            let line = self.board.line(i)?;
            let t = &mut self.totals;
            if self.actors[i].is_producer() {
                t.published += line.get(Count::Frames);
                t.servers += line.get(Count::Sessions);
                t.messages += line.get(Count::Messages);
            } else {
                t.delivered += line.get(Count::Frames);
                t.bytes += line.get(Count::Bytes);
                t.attachments += line.get(Count::Sessions);
            }
            t.held += line.get(Count::Held);
            t.followed += line.get(Count::Followed);
            t.void += line.get(Count::Void);
            t.torn += line.get(Count::Torn);
            t.backwards += line.get(Count::Backwards);
            t.unexpected += line.get(Count::Unexpected);
            t.bad_messages += line.get(Count::BadMessages);
            t.half_directories += line.get(Count::HalfDirectory);
        }
        Ok(())
    }

    /// Asks actors to end and waits for it.
    fn leave(&mut self, who: std::ops::Range<usize>) -> Result<()> {
        for i in who.clone() {
            self.board.line(i)?.set(Count::Quit, 1);
        }
        for i in who {
            let patience = Patience::new();
            while let Some(victim) = &mut self.actors[i].victim {
                if let Some(status) = victim.ended()? {
                    if !status.success() {
                        let what = format!("{} ended badly: {status}", self.actors[i].role);
                        Totals::complain(&mut self.totals.unexpected, &what);
                    }
                    self.actors[i].victim = None;
                } else if patience.is_over() {
                    let place = standing::describe(victim.id());
                    let what = format!("{} does not end: {place}", self.actors[i].role);
                    Totals::complain(&mut self.totals.stuck, &what);
                    self.actors[i].victim = None;
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(())
    }
}
