//! The thread that follows the regions and takes their frames.

use super::rest::{Bells, Next, dry};
use super::selection::Finder;
use super::source::{self, Following, Source, most_held, share};
use super::status::{Every, RecorderEvent, RecorderOptions, RegionStatus};
use super::work::{Shared, Work, lock};
use crate::format::{EndReason, Segment};
use crate::writer::damage;
use shmx::abi::extension::PublishTime;
use shmx::abi::frame::FrameError;
use shmx::error::{DirectoryReadError, OpenError, ReadError};
use shmx::{Directory, Frame, OwnedFrame, SeenControl, SeenControls, Start, Tap, Verify};
use shmx_os::clock;
use std::fmt::Display;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

/// How often control rings are looked at.
const CONTROL_EVERY: Duration = Duration::from_millis(20);
/// How long messages are gathered: together they take little room.
const CONTROL_TOGETHER: Duration = Duration::from_millis(100);

/// How often a region that is not there is looked for.
const OPEN_EVERY: Duration = Duration::from_millis(2);
/// The same while something stands in the way, or a dead server's region.
const TROUBLE_EVERY: Duration = Duration::from_millis(20);
/// How often the life of an open region's server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the frames that are in the rings when the recorder is stopped, or asked for a snapshot, may take.
const LAST_ROUND: Duration = Duration::from_secs(5);
/// Frames taken of one region before the next has its turn.
const TURN: usize = 16;

/// When a frame was published, by the wire clock; when it was taken if nobody knows.
fn published(time: Option<PublishTime>) -> u64 {
    let now = clock::ticks();
    time.and_then(|t| t.age_ns(now)).map_or(now, |age| now.saturating_sub(age))
}

/// Whether a frame is left out on purpose, so many after the last one that was recorded.
fn is_passed(every: Every, frame: &Frame<'_>, passed: u64, recorded: Option<u64>) -> bool {
    match (every, recorded) {
        (_, None) => false,
        (Every::Frames(n), _) => passed + 1 < n,
        (Every::Time(time), Some(last)) => {
            u128::from(published(frame.publish_time()).saturating_sub(last)) < time.as_nanos()
        }
    }
}

/// An error and what is behind it, each once.
fn with_causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        let more = c.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = c.source();
    }
    text
}

/// That a region has not all the streams that are to be recorded; empty if it has.
fn not_listed(wanted: &[String], directory: &Directory) -> String {
    let missing = |by: &&String| !directory.streams.iter().any(|s| s.is_called(by));
    let names: Vec<String> = wanted.iter().filter(missing).map(|by| format!("`{by}`")).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("no stream {} yet", names[0]),
        _ => format!("no streams {} yet", names.join(", ")),
    }
}

/// Takes what is in the rings at one moment: until when, and up to which frame of each region.
struct Round {
    until: Instant,
    targets: Vec<u64>,
}

impl Round {
    fn begin(sources: &[Source]) -> Self {
        let target = |s: &Source| s.tap.as_ref().map_or(0, |t| t.last_id().saturating_add(t.behind()));
        Self { until: Instant::now() + LAST_ROUND, targets: sources.iter().map(target).collect() }
    }

    fn is_over(&self, sources: &[Source]) -> bool {
        let reached = |(s, &target): (&Source, &u64)| s.tap.as_ref().is_none_or(|t| t.last_id() >= target);
        Instant::now() >= self.until || sources.iter().zip(&self.targets).all(reached)
    }
}

struct Taker<'a> {
    options: &'a RecorderOptions,
    work: &'a SyncSender<Work>,
    shared: &'a Shared,
    tell: &'a SyncSender<RecorderEvent>,
    taken: u64,
    bells: Bells,
    /// Each region's part of the backlog, in bytes and in frames.
    share: (u64, u64),
}

/// The taking thread.
pub(super) fn take(
    mut sources: Vec<Source>,
    mut finder: Option<Finder>,
    options: &RecorderOptions,
    work: &SyncSender<Work>,
    free: &Receiver<usize>,
    shared: &Shared,
    tell: &SyncSender<RecorderEvent>,
) {
    let mut t = Taker { options, work, shared, tell, taken: 0, bells: Bells::new(), share: (0, 0) };
    let mut next = Vec::with_capacity(sources.len());
    let mut last_round: Option<Round> = None;
    let mut snapshot: Option<Round> = None;
    let mut first = true;
    loop {
        // A round knows the regions by their places.
        if last_round.is_none() && snapshot.is_none() {
            let names = finder.as_mut().map(Finder::look).unwrap_or_default();
            names.into_iter().for_each(|name| t.found(&mut sources, name, first));
            first = false;
        }
        t.share = share(&sources, options.backlog_bytes);
        if last_round.is_none() && shared.stop.load(Ordering::Acquire) {
            last_round = Some(Round::begin(&sources));
        }
        if snapshot.is_none() && shared.wants_snapshot(false) {
            snapshot = Some(Round::begin(&sources));
        }
        while let Ok(region) = free.try_recv() {
            sources[region].held -= 1;
        }
        next.clear();
        for (i, source) in sources.iter_mut().enumerate().filter(|(_, s)| !s.rests) {
            next.push(t.turn(i, source, last_round.is_some()));
        }
        // Behind the frames in the queue.
        if snapshot.take_if(|round| round.is_over(&sources)).is_some() {
            t.snapshot(&mut sources);
        }
        if shared.broken.load(Ordering::Acquire) || t.done() {
            break;
        }
        if last_round.as_ref().is_some_and(|round| round.is_over(&sources)) {
            break;
        }
        if options.until_gone && !sources.is_empty() && sources.iter().all(Source::is_over) {
            break;
        }
        next.extend(finder.as_ref().map(|finder| Next::Asleep(finder.pause())));
        if let Some(region) = t.bells.rest(&next, free, shared) {
            sources[region].held -= 1;
        }
    }
    if shared.wants_snapshot(true) || snapshot.is_some() {
        t.snapshot(&mut sources);
    }
    for (i, source) in sources.iter_mut().enumerate() {
        t.end(i, source, EndReason::Stopped);
    }
    // A reader's last message may have asked.
    if shared.wants_snapshot(true) {
        t.snapshot(&mut sources);
    }
}

impl Taker<'_> {
    fn snapshot(&self, sources: &mut [Source]) {
        let followed = sources.iter_mut().enumerate().filter_map(|(i, s)| Some((i, s.control.as_mut()?)));
        followed.for_each(|(i, c)| self.hand_on(i, mem::take(&mut c.seen), mem::take(&mut c.lost)));
        self.shared.begin_snapshot();
        let _ = self.work.send(Work::Snapshot);
    }

    fn done(&self) -> bool {
        self.options.max_frames.is_some_and(|n| self.taken >= n)
    }

    fn status(&self, i: usize, f: impl FnOnce(&mut RegionStatus)) {
        if let Some(s) = lock(&self.shared.regions).each.get_mut(i) {
            f(s);
        }
    }

    /// A region that matches has come.
    fn found(&self, sources: &mut Vec<Source>, name: String, first: bool) {
        if let Some(i) = sources.iter().position(|s| s.name == name) {
            if sources[i].tap.is_none() {
                sources[i].wake();
                self.status(i, |s| s.rests = false);
            }
            return;
        }
        // Of one that has just come, all there is; of those that were there before, as with names.
        let source = Source { waited: !first, found: true, ..Source::new(&name) };
        let status = RegionStatus { region: name.clone(), ..RegionStatus::default() };
        let mut regions = lock(&self.shared.regions);
        match source::free(sources) {
            Some(i) => {
                sources[i] = source;
                regions.replace(i, status);
                drop(regions);
                let _ = self.work.send(Work::Rename { region: i, name });
            }
            None => {
                sources.push(source);
                regions.each.push(status);
                drop(regions);
                let _ = self.work.send(Work::Add(name));
            }
        }
    }

    fn trouble(&self, source: &mut Source, what: String) {
        if source.last_trouble != what {
            source.last_trouble.clone_from(&what);
            if let Some(s) = lock(&self.shared.regions).each.iter_mut().find(|s| s.region == source.name) {
                s.trouble = Some(what.clone());
            }
            let _ = self.tell.try_send(RecorderEvent::Trouble { region: source.name.clone(), what });
        }
    }

    /// Takes some frames of a region, and says what it waits for then.
    fn turn(&mut self, i: usize, source: &mut Source, stop: bool) -> Next {
        if source.tap.is_none() && !self.open(i, source, stop) {
            let left = source.next_look.saturating_duration_since(Instant::now());
            return Next::Asleep(left.max(Duration::from_micros(100)));
        }
        self.control(i, source);
        // Whether there is no frame to take. Some may be counted that are not there any more.
        let mut empty = false;
        for _ in 0..TURN {
            if self.done() {
                return Next::Memory;
            }
            let Some(tap) = source.tap.as_mut() else { return Next::More };
            let cap = u64::from(tap.layout().frame_bytes_cap());
            // A bell is listened to from a poll in vain on.
            if tap.behind() == 0 && !source.rings {
                empty = true;
                break;
            }
            if source.held >= most_held(self.share, cap) {
                return Next::Memory;
            }
            let every = self.options.every;
            let passes =
                |frame: &Frame<'_>| every.is_some_and(|every| is_passed(every, frame, source.passed, source.recorded));
            match tap.try_next().map(|frame| frame.map(|f| if passes(&f) { None } else { Some(f.keep()) })) {
                Ok(Some(Some(frame))) => match self.damage(&frame) {
                    None => self.taken(i, source, frame),
                    Some(e) => self.rejected(i, source, e),
                },
                Ok(Some(None)) => {
                    source.passed += 1;
                    self.status(i, |s| s.skipped += 1);
                }
                Ok(None) => {
                    empty = true;
                    break;
                }
                Err(ReadError::SessionChanged) => {
                    self.end(i, source, EndReason::SessionChanged);
                    return Next::More;
                }
                Err(e) => self.rejected(i, source, e),
            }
        }
        // What was published before the end is taken first: the end was seen before this turn began.
        if empty && let Some(reason) = source.ended.take() {
            self.end(i, source, reason);
            return Next::More;
        }
        let Some(tap) = source.tap.as_mut() else { return Next::More };
        if Instant::now() >= source.next_look {
            source.next_look = Instant::now() + LOOK_EVERY;
            let ended = EndReason::of(tap);
            // One that cannot be read is told of with the next frame.
            let _ = self.directory(i, source);
            source.ended = ended;
            if source.ended.is_some() {
                return Next::More;
            }
        }
        let Some(tap) = source.tap.as_mut().filter(|_| empty) else { return Next::More };
        dry(tap, source.rings, source.next_look.saturating_duration_since(Instant::now()))
    }

    /// Looks at what readers send.
    fn control(&self, region: usize, source: &mut Source) {
        let Some(c) = &mut source.control else { return };
        let now = Instant::now();
        if now >= c.next {
            c.next = now + CONTROL_EVERY;
            let found = c.tap.poll();
            self.seen(region, c, found);
        }
        if c.since.elapsed() >= CONTROL_TOGETHER {
            self.hand_on(region, mem::take(&mut c.seen), mem::take(&mut c.lost));
        }
    }

    /// Hands on messages, and how much was not seen whole.
    fn hand_on(&self, region: usize, seen: Vec<SeenControl>, lost: u64) {
        if !seen.is_empty() || lost > 0 {
            let _ = self.work.send(Work::Control { region, seen, lost });
        }
    }

    fn seen(&self, region: usize, c: &mut Following, found: SeenControls) {
        let found = self.heed(found, c.asks_from);
        if c.seen.is_empty() && c.lost == 0 {
            c.since = Instant::now();
        }
        self.status(region, |s| {
            s.control += found.messages.len() as u64;
            s.control_lost = s.control_lost.saturating_add(found.lost);
        });
        c.lost = c.lost.saturating_add(found.lost);
        c.seen.extend(found.messages);
    }

    /// Takes a snapshot where a message asks for one that was seen after this time, and gives the messages if they are
    /// to be recorded.
    fn heed(&self, found: SeenControls, asks_from: u64) -> SeenControls {
        let asks = |ty| found.messages.iter().any(|m| m.message.ty == ty && m.ticks > asks_from);
        if self.options.snapshot_on.is_some_and(asks) {
            self.shared.asked.store(true, Ordering::Release);
        }
        if self.options.control { found } else { SeenControls::default() }
    }

    /// Why some of a frame's streams cannot be recorded, where not all are.
    fn damage(&self, frame: &OwnedFrame) -> Option<FrameError> {
        if self.options.writer.streams.is_empty() { None } else { damage(frame.payload()) }
    }

    fn rejected(&self, region: usize, source: &mut Source, why: impl Display) {
        source.rejected += 1;
        self.status(region, |s| s.rejected += 1);
        self.trouble(source, format!("a frame was rejected: {why}"));
    }

    fn taken(&mut self, region: usize, source: &mut Source, frame: OwnedFrame) {
        // After the frame: additions that it needs came before it.
        if let Err(e) = self.directory(region, source) {
            self.trouble(source, format!("the directory cannot be read: {e}"));
        }
        self.taken += 1;
        source.passed = 0;
        source.recorded = Some(published(frame.publish_time()));
        let len = frame.payload().len() as u64;
        let missed = frame.missed_before();
        source.told_missed = source.told_missed.saturating_add(missed);
        self.status(region, |s| {
            s.taken += 1;
            s.missed = s.missed.saturating_add(missed);
            s.bytes += len;
        });
        source.held += 1;
        self.shared.taken(len);
        // The queue has more places than there is memory for frames, so this waits for nothing but a dead writer.
        let _ = self.work.send(Work::Frame { region, frame, taken_ticks: clock::ticks() });
    }

    /// Hands on what was added to the directory.
    fn directory(&self, region: usize, source: &mut Source) -> Result<(), DirectoryReadError> {
        let Some(tap) = source.tap.as_mut() else { return Ok(()) };
        if let Some(directory) = tap.directory_changed()? {
            let _ = self.work.send(Work::Directory { region, bytes: directory.bytes.clone() });
            self.look_for_streams(region, source, &directory);
        }
        Ok(())
    }

    /// Tells which of the streams that are to be recorded are not there yet.
    fn look_for_streams(&self, region: usize, source: &mut Source, directory: &Directory) {
        let unlisted = not_listed(&self.options.writer.streams, directory);
        let before = mem::replace(&mut source.unlisted, unlisted.clone());
        if !unlisted.is_empty() {
            self.trouble(source, unlisted);
        } else if !before.is_empty() && source.last_trouble == before {
            source.last_trouble.clear();
            self.status(region, |s| s.trouble = None);
        }
    }

    /// The region is not there, or only what a dead server has left of it.
    fn absent(&self, i: usize, source: &mut Source) {
        if source.is_absent(Instant::now()) {
            self.status(i, |s| s.rests = true);
        }
    }

    /// Opens the region if it is there and new.
    fn open(&mut self, i: usize, source: &mut Source, stop: bool) -> bool {
        if Instant::now() < source.next_look || stop {
            return false;
        }
        source.next_look = Instant::now() + OPEN_EVERY;
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        let verify = if self.options.verify { Verify::Always } else { Verify::Never };
        let start = if source.waited || self.options.ring { Start::Oldest } else { Start::Newest };
        let mut tap = match Tap::options().verify(verify).start(start).open(&source.name) {
            Ok(tap) => tap,
            Err(OpenError::Os(shmx_os::OpenError::NotFound { .. })) => {
                self.absent(i, source);
                return false;
            }
            Err(e) => {
                source.next_look = Instant::now() + TROUBLE_EVERY;
                source.ages(Instant::now());
                self.trouble(source, with_causes(&e));
                return false;
            }
        };
        if source.last_session == Some(tap.session_id()) {
            source.next_look = Instant::now() + TROUBLE_EVERY;
            self.absent(i, source);
            return false;
        }
        let directory = match tap.directory_changed() {
            Ok(directory) => directory.unwrap_or_default(),
            Err(e) => {
                source.next_look = Instant::now() + TROUBLE_EVERY;
                source.ages(Instant::now());
                self.trouble(source, format!("the directory cannot be read: {e}"));
                return false;
            }
        };
        source.gone_since = None;
        source.segment += 1;
        (source.told_missed, source.rejected) = (0, 0);
        source.last_session = Some(tap.session_id());
        // Who was waiting for the region has missed what was overwritten before it could be opened.
        source.missed_at_open = if source.waited { tap.last_id() } else { 0 };
        source.last_trouble.clear();
        source.unlisted.clear();
        let segment = Segment::of(&tap, source.segment);
        let (number, missed) = (source.segment, source.missed_at_open);
        self.status(i, |s| {
            (s.open, s.segments, s.trouble) = (true, number, None);
            s.missed = s.missed.saturating_add(missed);
        });
        let region = source.name.clone();
        let _ = self.tell.try_send(RecorderEvent::Begin { region, segment: number, missed });
        let mode = tap.owner().map(|o| o.mode_of_copy(shmx_os::group_of_process()));
        let _ = self.work.send(Work::Begin { region: i, segment, directory: directory.bytes.clone(), mode });
        let follows = self.options.control || self.options.snapshot_on.is_some();
        source.control = tap.control().filter(|_| follows).map(|mut tap| {
            let (now, waiting) = (Instant::now(), tap.poll());
            // What waits in the rings of a region that was there before may be old.
            let asks_from = if source.waited { 0 } else { clock::ticks() };
            let mut c = Following { tap, next: now, seen: Vec::new(), lost: 0, since: now, asks_from };
            self.seen(i, &mut c, waiting);
            c
        });
        source.rings = self.bells.add(&mut tap);
        source.tap = Some(tap);
        self.look_for_streams(i, source, &directory);
        true
    }

    fn end(&self, region: usize, source: &mut Source, reason: EndReason) {
        let Some(tap) = source.tap.take() else { return };
        let whole = tap.is_whole();
        source.ended = None;
        source.waited = true;
        source.next_look = Instant::now();
        // Frames published behind the last one taken are missed, as they go with the region; and no frame will tell of
        // those that the tap has passed since.
        let behind = if reason == EndReason::Stopped { 0 } else { tap.behind() };
        let untold = tap.stats().missed.saturating_sub(source.told_missed);
        let lost = behind.saturating_add(untold);
        let missed = source.missed_at_open.saturating_add(lost);
        self.status(region, |s| {
            s.open = false;
            s.missed = s.missed.saturating_add(lost);
        });
        if let Some(Following { tap, mut seen, lost, asks_from, .. }) = source.control.take() {
            // What is cut short must not be touched any more.
            let rest = self.heed(if whole { tap.finish() } else { SeenControls::default() }, asks_from);
            self.status(region, |s| {
                s.control += rest.messages.len() as u64;
                s.control_lost = s.control_lost.saturating_add(rest.lost);
            });
            seen.extend(rest.messages);
            self.hand_on(region, seen, lost.saturating_add(rest.lost));
        }
        let _ = self.work.send(Work::End { region, reason, missed, rejected: source.rejected });
    }
}
