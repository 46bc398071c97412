//! All cases of one operation: killed at every point, and stopped there while others do something.

use crate::steps::acts::{Place, REFUSED};
use crate::steps::follow_world::{self, FollowWorld};
use crate::steps::name_world::{self, NameWorld};
use crate::steps::reader_world::{self, ReaderWorld};
use crate::steps::server_world::{self, ServerWorld};
use crate::steps::trace::{Point, Tracee};
use crate::steps::watch;
use crate::steps::world::{Beside, Outcome, Way, World};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many times an operation is recorded until two records agree: who is interrupted for long may do a chore more.
const RECORDINGS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) points: u64,
    /// Points behind which others see something else.
    pub(crate) changes: u64,
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
    /// The first failure is enough.
    pub(crate) first: bool,
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

fn unique() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("{}{:06}", watch::mine(), N.fetch_add(1, Ordering::Relaxed))
}

impl Case {
    fn world(&self, name: &str) -> Result<Box<dyn World>> {
        Ok(match self.place {
            Place::Reader => Box::new(ReaderWorld::new(self.operation, name)?),
            Place::Follower => Box::new(FollowWorld::new(name)?),
            Place::Server => Box::new(ServerWorld::new(self.operation, name)),
            Place::Name => Box::new(NameWorld::new(self.operation, name)?),
        })
    }

    fn besides(&self) -> &'static [Beside] {
        match self.place {
            Place::Reader => reader_world::BESIDES,
            Place::Follower => follow_world::BESIDES,
            Place::Server => server_world::besides(self.operation),
            Place::Name => name_world::BESIDES,
        }
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

    /// The points of the operation. The first record finds the instructions, those after it how often each is come by.
    pub(crate) fn record(&self) -> Result<Vec<Point>> {
        let (mut watched, mut last) = (BTreeSet::new(), Vec::<Point>::new());
        for _ in 0..RECORDINGS {
            watch::begin(format!("{}: recording", self.operation));
            let (world, mut victim, _) = self.set(false)?;
            let now = victim.record(&watched).with_context(|| format!("{}, step by step", self.operation))?;
            end(world, victim)?;
            let known = now.iter().all(|p| watched.contains(&p.at));
            if known && now.len() == last.len() && now.iter().zip(&last).all(|(a, b)| a.is_like(b)) {
                return Ok(now);
            }
            watched.extend(now.iter().map(|p| p.at));
            last = now;
        }
        bail!("{}: no two records of {RECORDINGS} agree", self.operation)
    }

    /// Everything at every point; of a sample every `stride`th change, with one of the others at each. In order, so that
    /// the first failure is the first step that fails.
    pub(crate) fn run(&self, stride: usize, kills: bool, pairs: bool) -> Result<Figures> {
        let points = self.record()?;
        let mut figures = Figures { points: points.len() as u64, ..Figures::default() };
        let besides = self.besides();
        let whole = stride == 1;
        for (index, point) in points.iter().enumerate() {
            let change = point.is_change();
            figures.changes += u64::from(change);
            let nth = figures.changes as usize;
            let chosen = whole || change && nth % stride == stride / 2;
            if !chosen {
                continue;
            }
            let way = if index % 2 == 0 { Way::Server } else { Way::Other };
            let ways: &[Way] = if whole { &[Way::Server, Way::Other] } else { &[way] };
            let one = nth / stride % besides.len();
            let others = if whole { besides } else { &besides[one..=one] };
            let killed = ways.iter().filter(|_| kills && change).map(|&way| Fate::Killed(way));
            let beside = others.iter().filter(|_| pairs).flat_map(|&beside| {
                [Some(Fate::GoesOn(beside)), change.then_some(Fate::KilledAfter(beside, way))].into_iter().flatten()
            });
            for fate in killed.chain(beside) {
                self.case(index, point, fate, &mut figures);
                if self.first && figures.failed > 0 {
                    return Ok(figures);
                }
            }
        }
        Ok(figures)
    }

    /// Says what went wrong and goes on.
    fn case(&self, index: usize, point: &Point, fate: Fate, figures: &mut Figures) {
        let case = match fate {
            Fate::Killed(way) => {
                figures.kills += 1;
                format!("{}, killed at {index}, {point}, first comes a {way:?}", self.operation)
            }
            Fate::GoesOn(beside) => {
                figures.pairs += 1;
                format!("{}, stopped at {index}, {point}, while others {beside}", self.operation)
            }
            Fate::KilledAfter(beside, way) => {
                figures.pair_kills += 1;
                format!("{}, killed at {index}, {point}, after others {beside}, first comes a {way:?}", self.operation)
            }
        };
        watch::begin(case.clone());
        match self.play(point, fate) {
            Ok(graced) => figures.graced += u64::from(graced),
            Err(e) => {
                figures.failed += 1;
                println!("FAILED {case}: {e:#}");
                // So that the next case is judged by itself.
                watch::tidy();
            }
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
        let Self { points, changes, kills, graced, pairs, pair_kills, calls, errors, refused, failed } = self;
        [points, changes, kills, graced, pairs, pair_kills, calls, errors, refused, failed]
    }

    fn from_all(all: [u64; 10]) -> Self {
        let [points, changes, kills, graced, pairs, pair_kills, calls, errors, refused, failed] = all;
        Self { points, changes, kills, graced, pairs, pair_kills, calls, errors, refused, failed }
    }

    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let all = <[u64; 10]>::try_from(numbers).map_err(|_| anyhow!("figures: {line}"))?;
        Ok(Self::from_all(all))
    }

    pub(crate) fn add(&mut self, other: Self) {
        let (mine, others) = (self.all(), other.all());
        *self = Self::from_all(std::array::from_fn(|i| mine[i] + others[i]));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, changes, kills, graced, pairs, pair_kills, calls, errors, refused, failed } = self;
        write!(
            f,
            "{points} points ({changes} changes), {kills} kills ({graced} with a time of grace), {pairs} \
             times stopped beside others, {pair_kills} times killed after them, {errors} errors of {calls} system \
             calls ({refused} told), {failed} failed"
        )
    }
}
