//! All cases of one operation: killed at every point, and stopped there while others do something.

use crate::common::{PREFIX, objects};
use crate::steps::acts::{Place, REFUSED};
use crate::steps::name_world::NameWorld;
use crate::steps::reader_world::ReaderWorld;
use crate::steps::server_world::ServerWorld;
use crate::steps::trace::{Point, Tracee};
use crate::steps::watch;
use crate::steps::world::{Beside, Outcome, Way, World};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many times an operation is recorded until two records agree: who is interrupted for long may do a chore more.
const RECORDINGS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) instructions: u64,
    pub(crate) points: u64,
    pub(crate) kills: u64,
    /// Kills after which something came back after the time of grace only.
    pub(crate) graced: u64,
    pub(crate) pairs: u64,
    pub(crate) pair_kills: u64,
    /// System calls that can fail, errors that they were given, and operations that gave an error of their own then.
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

/// One operation and its surroundings.
pub(crate) struct Case {
    pub(crate) operation: &'static str,
    pub(crate) place: Place,
}

/// What becomes of the victim at a point.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Killed(Way),
    /// Others do something, and it goes on.
    GoesOn(Beside),
    /// Others do something, and it is killed.
    KilledAfter(Beside, Way),
}

/// A name of a length that is always the same, as it is on the victim's stack.
pub(crate) fn unique() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}steps-{:07}-{:06}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

impl Case {
    pub(crate) fn world(&self, name: &str) -> Result<Box<dyn World>> {
        Ok(match self.place {
            Place::Reader => Box::new(ReaderWorld::new(self.operation, name)?),
            Place::Server => Box::new(ServerWorld::new(self.operation, name)),
            Place::Name => Box::new(NameWorld::new(self.operation, name)?),
        })
    }

    /// World and victim, right before the operation. A `faulty` one tries again after an error.
    pub(crate) fn set(&self, faulty: bool) -> Result<(Box<dyn World>, Tracee, String)> {
        let name = unique();
        let mut world = self.world(&name)?;
        let args = ["steps-victim", self.operation, &name, "faulty"];
        let victim = Tracee::start(if faulty { &args } else { &args[..3] })?;
        world.ready().context("before the operation")?;
        Ok((world, victim, name))
    }

    fn record_once(&self) -> Result<(Vec<Point>, u64)> {
        let (world, mut victim, _) = self.set(false)?;
        let recorded = victim.record()?;
        end(world, victim)?;
        Ok(recorded)
    }

    /// The points of the operation.
    pub(crate) fn record(&self) -> Result<(Vec<Point>, u64)> {
        let mut last: Option<(Vec<Point>, u64)> = None;
        for _ in 0..RECORDINGS {
            watch::begin(format!("{}: recording", self.operation));
            let now = self.record_once().with_context(|| format!("{}, step by step", self.operation))?;
            if last.as_ref().is_some_and(|(points, _)| *points == now.0) {
                return Ok(now);
            }
            last = Some(now);
        }
        bail!("{}: no two records of {RECORDINGS} agree", self.operation)
    }

    /// Everything at every `stride`th point; in order, so that the first failure is the first step that fails.
    pub(crate) fn run(&self, stride: usize, besides: bool) -> Result<Figures> {
        let (points, instructions) = self.record()?;
        let mut figures = Figures { instructions, points: points.len() as u64, ..Figures::default() };
        let others = if besides { self.world(&unique())?.besides() } else { &[] };
        for (index, point) in points.iter().enumerate().step_by(stride) {
            let way = if index % 2 == 0 { Way::Server } else { Way::Other };
            // A whole run has both ways.
            let ways: &[Way] = if stride == 1 { &[Way::Server, Way::Other] } else { &[way] };
            for &way in ways {
                let graced = self.case(index, point, Fate::Killed(way), &mut figures);
                figures.kills += 1;
                figures.graced += u64::from(graced);
            }
            for &beside in others {
                self.case(index, point, Fate::GoesOn(beside), &mut figures);
                figures.pairs += 1;
                self.case(index, point, Fate::KilledAfter(beside, way), &mut figures);
                figures.pair_kills += 1;
            }
        }
        Ok(figures)
    }

    /// Says what went wrong and goes on.
    fn case(&self, index: usize, point: &Point, fate: Fate, figures: &mut Figures) -> bool {
        let case = match fate {
            Fate::Killed(way) => format!("{}, killed at {index}, {point}, first comes a {way:?}", self.operation),
            Fate::GoesOn(beside) => format!("{}, stopped at {index}, {point}, while others {beside}", self.operation),
            Fate::KilledAfter(beside, way) => {
                format!("{}, killed at {index}, {point}, after others {beside}, first comes a {way:?}", self.operation)
            }
        };
        watch::begin(case.clone());
        match self.play(point, fate) {
            Ok(graced) => graced,
            Err(e) => {
                figures.failed += 1;
                println!("FAILED {case}: {e:#}");
                Self::tidy();
                false
            }
        }
    }

    /// So that the next case is judged by itself.
    pub(crate) fn tidy() {
        for name in objects(&format!("{PREFIX}steps-{:07}-", std::process::id())) {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
        }
    }

    fn play(&self, point: &Point, fate: Fate) -> Result<bool> {
        let (mut world, mut victim, _) = self.set(false)?;
        if !victim.go_to(point)? {
            bail!("the victim did not come by {point}");
        }
        match fate {
            Fate::Killed(way) => {
                victim.kill()?;
                world.dead(way)
            }
            Fate::GoesOn(beside) => {
                world.beside(beside, &mut || victim.go_on())?;
                end(world, victim)?;
                Ok(false)
            }
            Fate::KilledAfter(beside, way) => {
                let mut victim = Some(victim);
                world.beside(beside, &mut || victim.take().context("killed twice")?.kill())?;
                world.dead(way)
            }
        }
    }
}

/// The victim has done its operation: it goes on, ends by itself, and leaves nothing.
fn end(mut world: Box<dyn World>, victim: Tracee) -> Result<()> {
    let alive = world.alive();
    let (code, said) = victim.finish()?;
    alive.with_context(|| format!("after the operation; the victim ended with {code}: {said}"))?;
    world.after(outcome(code, &said)?).context("after the victim has ended")
}

pub(crate) fn outcome(code: i32, said: &str) -> Result<Outcome> {
    match code {
        0 => Ok(Outcome::Done),
        REFUSED => Ok(Outcome::Refused),
        code => bail!("the victim ended with {code}: {said}"),
    }
}

impl Figures {
    /// As a line of numbers.
    pub(crate) fn to_line(self) -> String {
        self.all().map(|n| n.to_string()).join(" ")
    }

    fn all(self) -> [u64; 10] {
        let Self { instructions, points, kills, graced, pairs, pair_kills, calls, errors, refused, failed } = self;
        [instructions, points, kills, graced, pairs, pair_kills, calls, errors, refused, failed]
    }

    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [instructions, points, kills, graced, pairs, pair_kills, calls, errors, refused, failed] = numbers[..]
        else {
            bail!("figures: {line}");
        };
        Ok(Self { instructions, points, kills, graced, pairs, pair_kills, calls, errors, refused, failed })
    }

    pub(crate) fn add(&mut self, other: Self) -> Result<()> {
        let sums: Vec<String> = self.all().into_iter().zip(other.all()).map(|(a, b)| (a + b).to_string()).collect();
        *self = Self::from_line(&sums.join(" "))?;
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instructions, points, kills, graced, pairs, pair_kills, calls, errors, refused, failed } = self;
        write!(
            f,
            "{points} points in {instructions} instructions, {kills} kills ({graced} with a time of grace), {pairs} \
             times stopped beside others, {pair_kills} times killed after them, {errors} errors of {calls} system \
             calls ({refused} told), {failed} failed"
        )
    }
}
