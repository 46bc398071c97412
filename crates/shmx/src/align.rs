//! Frames of several regions that belong to one moment.

use crate::client::Client;
use crate::error::{AlignError, ReadError, ServerEnd};
use crate::frame::OwnedFrame;
use crate::observe::Tap;
use crate::schema::stream::Stream;
use crate::wait::notice::Token;
use crate::wait::set::WaitSet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time of a frame that frames are aligned by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlignBy {
    /// When what the frame shows was acquired: its stream [`Stream::ACQUISITION_TIME`], which all regions must give by
    /// the same clock.
    #[default]
    AcquisitionTime,
    /// When it was published; to about a microsecond.
    PublishTime,
    /// The producers' own time, [`OwnedFrame::sim_time`], taken as seconds.
    SimTime,
}

/// A reader that an [`Aligner`] takes frames from.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a handful of them, made once
pub enum Source {
    /// A client. Its frames are kept, under leases where there is room.
    Client(Client),
    /// A tap.
    Tap(Tap),
}

impl From<Client> for Source {
    fn from(client: Client) -> Self {
        Self::Client(client)
    }
}

impl From<Tap> for Source {
    fn from(tap: Tap) -> Self {
        Self::Tap(tap)
    }
}

impl Source {
    fn try_next(&mut self) -> Result<Option<OwnedFrame>, ReadError> {
        match self {
            Self::Client(client) => Ok(client.try_next()?.map(crate::Frame::keep)),
            // Unlike `try_next` it tells of the end.
            Self::Tap(tap) => Ok(tap.next(Duration::ZERO)?.map(crate::Frame::keep)),
        }
    }

    /// Name of its region.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Client(client) => client.name(),
            Self::Tap(tap) => tap.name(),
        }
    }
}

/// Frames that belong together: one of each source, in the order in which the sources were added.
#[derive(Debug)]
#[non_exhaustive]
pub struct Aligned {
    /// The frames.
    pub frames: Vec<OwnedFrame>,
    /// Time from the earliest to the latest of them.
    pub spread: Duration,
}

/// Hands out frames of several regions that are nearest to one moment.
///
/// Frames of each source are taken in order. A set is one frame of each source, all within the tolerance of each other;
/// each frame is in at most one set. The moment is that of the latest of the frames that come first in their sources;
/// of the others the frame nearest to it is taken. With a tolerance below half the shortest interval between two frames
/// of a source that is the nearest one there will ever be; with a greater one, the nearest that has come by then. What
/// finds no partner is dropped and counted ([`Aligner::unmatched`]), and so is a frame without such a time.
///
/// At most [`Aligner::WAITING`] frames of a source wait for those of another one; beyond that the oldest is dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{AlignBy, Aligner, Client, Server, Stream};
/// use std::time::Duration;
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let (left, right) = (format!("doc-al-{}", std::process::id()), format!("doc-ar-{}", std::process::id()));
/// let mut servers = [&left, &right].map(|n| Server::builder(n).stream(TICK, 1).create().expect("a new name"));
/// let mut pairs = Aligner::new(AlignBy::SimTime, Duration::from_millis(4));
/// pairs.add(Client::open(&left)?)?;
/// pairs.add(Client::open(&right)?)?;
/// for (server, time) in servers.iter_mut().zip([1.000, 1.003]) {
///     let mut frame = server.begin_frame()?;
///     frame.append_value(TICK, 7)?;
///     frame.publish_frame(time)?;
/// }
/// let pair = pairs.next(Duration::from_secs(5))?.expect("3 ms apart");
/// assert_eq!(pair.frames.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Aligner {
    by: AlignBy,
    tolerance: i128,
    lines: Vec<Line>,
    set: Option<WaitSet>,
}

/// The frames of one source that wait for their partners, with their times, in the order of publishing.
#[derive(Debug)]
struct Line {
    source: Source,
    token: Token,
    waiting: VecDeque<(i128, OwnedFrame)>,
    unmatched: u64,
    end: Option<ServerEnd>,
}

impl Line {
    fn drop_first(&mut self) {
        if self.waiting.pop_front().is_some() {
            self.unmatched += 1;
        }
    }

    fn first(&self) -> Option<i128> {
        self.waiting.front().map(|(time, _)| *time)
    }
}

impl Aligner {
    /// Frames of a source that wait for others, at most.
    pub const WAITING: usize = 64;

    /// An aligner without sources.
    #[must_use]
    pub fn new(by: AlignBy, tolerance: Duration) -> Self {
        let tolerance = i128::try_from(tolerance.as_nanos()).unwrap_or(i128::MAX);
        Self { by, tolerance, lines: Vec::new(), set: None }
    }

    /// Adds a source, from the frame on that its reader comes to next. Returns its index.
    ///
    /// # Errors
    ///
    /// [`AlignError::Wait`].
    pub fn add(&mut self, source: impl Into<Source>) -> Result<usize, AlignError> {
        let mut source = source.into();
        let set = match &mut self.set {
            Some(set) => set,
            none => none.insert(WaitSet::new()?),
        };
        let token = match &mut source {
            Source::Client(client) => set.add(client),
            Source::Tap(tap) => set.add(tap),
        };
        self.lines.push(Line { source, token, waiting: VecDeque::new(), unmatched: 0, end: None });
        Ok(self.lines.len() - 1)
    }

    /// The source with this index.
    #[must_use]
    pub fn source(&self, index: usize) -> Option<&Source> {
        self.lines.get(index).map(|line| &line.source)
    }

    /// Frames of this source that found no partner.
    #[must_use]
    pub fn unmatched(&self, index: usize) -> u64 {
        self.lines.get(index).map_or(0, |line| line.unmatched)
    }

    /// The next set of frames; `None` when the time is up. Without sources there is none.
    ///
    /// # Errors
    ///
    /// [`AlignError`].
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Aligned>, AlignError> {
        let start = Instant::now();
        loop {
            self.fill()?;
            if let Some(aligned) = self.take() {
                return Ok(Some(aligned));
            }
            if let Some(index) = self.lines.iter().position(|line| line.end.is_some() && line.waiting.is_empty()) {
                let line = &self.lines[index];
                let name = line.source.name().to_owned();
                return Err(AlignError::Ended { index, name, end: line.end.unwrap_or(ServerEnd::Died) });
            }
            let left = timeout.saturating_sub(start.elapsed());
            let Some(set) = self.set.as_mut().filter(|_| !left.is_zero()) else { return Ok(None) };
            set.wait(left);
        }
    }

    /// Takes in what the sources have.
    fn fill(&mut self) -> Result<(), AlignError> {
        let by = self.by;
        for (index, line) in self.lines.iter_mut().enumerate() {
            // No further than a ring of frames, so that one fast source does not keep the others from their turn.
            for _ in 0..Self::WAITING {
                if line.end.is_some() {
                    break;
                }
                match line.source.try_next() {
                    Ok(None) => break,
                    Ok(Some(frame)) => match time_of(&frame, by) {
                        Some(time) => {
                            if line.waiting.len() == Self::WAITING {
                                line.drop_first();
                            }
                            line.waiting.push_back((time, frame));
                        }
                        None => line.unmatched += 1,
                    },
                    Err(ReadError::ServerGone { end }) => {
                        line.end = Some(end);
                        // It would be named at once for ever, while what is left of it waits for the others.
                        if let Some(set) = &mut self.set {
                            set.remove(line.token);
                        }
                    }
                    Err(e) if e.is_final() => {
                        return Err(AlignError::Read { index, name: line.source.name().to_owned(), cause: e });
                    }
                    // That one frame is rejected, and the reader has counted it.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The first set there is; frames that can have no partner any more are dropped on the way.
    fn take(&mut self) -> Option<Aligned> {
        loop {
            let moment = self.lines.iter().map(Line::first).collect::<Option<Vec<_>>>()?.into_iter().max()?;
            for line in &mut self.lines {
                // The next one is at least as near.
                while let [Some(first), Some(second)] = [0, 1].map(|i| line.waiting.get(i).map(|(time, _)| *time))
                    && (second - moment).abs() <= (first - moment).abs()
                {
                    line.drop_first();
                }
            }
            let times: Vec<i128> = self.lines.iter().filter_map(Line::first).collect();
            let (earliest, latest) = (*times.iter().min()?, *times.iter().max()?);
            if latest - earliest <= self.tolerance {
                let frames = self.lines.iter_mut().filter_map(|l| l.waiting.pop_front()).map(|(_, frame)| frame);
                let spread = u64::try_from(latest - earliest).unwrap_or(u64::MAX);
                return Some(Aligned { frames: frames.collect(), spread: Duration::from_nanos(spread) });
            }
            // The earliest ones are too far from the latest, and what follows there is later still.
            for line in &mut self.lines {
                if line.first().is_some_and(|first| latest - first > self.tolerance) {
                    line.drop_first();
                }
            }
        }
    }
}

/// Nanoseconds, of whatever origin.
fn time_of(frame: &OwnedFrame, by: AlignBy) -> Option<i128> {
    match by {
        AlignBy::AcquisitionTime => frame.value(Stream::ACQUISITION_TIME).ok().map(i128::from),
        AlignBy::PublishTime => {
            let now = crate::now_ticks();
            let age = frame.publish_time()?.age_ns(now)?;
            Some(i128::from(now) - i128::from(age))
        }
        AlignBy::SimTime => {
            let ns = frame.sim_time() * 1e9;
            // Beyond what a double tells apart to the nanosecond by far, and no overflow in differences.
            (ns.abs() < 1e30).then_some(ns as i128)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;

    const TICK: Stream<u64> = Stream::new(1, "tick");

    #[test]
    fn what_is_left_of_a_source_that_has_ended_waits_asleep() {
        for tap in [false, true] {
            let names = ["gone", "silent"].map(|tag| format!("shmx-align-{tag}-{tap}-{}", std::process::id()));
            let [mut gone, mut silent] =
                names.each_ref().map(|name| Server::builder(name).stream(TICK, 1).create().unwrap());
            let mut pairs = Aligner::new(AlignBy::SimTime, Duration::from_millis(1));
            for name in &names {
                let source: Source =
                    if tap { Tap::open(name).unwrap().into() } else { Client::open(name).unwrap().into() };
                pairs.add(source).unwrap();
            }
            let publish = |server: &mut Server| {
                let mut frame = server.begin_frame().unwrap();
                frame.append_value(TICK, 7).unwrap();
                frame.publish_frame(1.0).unwrap();
            };
            publish(&mut gone);
            assert!(pairs.next(Duration::ZERO).unwrap().is_none());
            drop(gone);
            assert!(pairs.next(Duration::from_millis(30)).unwrap().is_none());
            assert_eq!(pairs.set.as_ref().unwrap().len(), 1, "the set would name it again and again");
            publish(&mut silent);
            assert_eq!(pairs.next(Duration::MAX).unwrap().unwrap().frames.len(), 2);
            match pairs.next(Duration::MAX) {
                Err(AlignError::Ended { index: 0, end: ServerEnd::Closed, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
