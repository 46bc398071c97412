//! Records live regions: one thread takes frames, one writes them, and what lies between is bounded.

use crate::error::RecordError;
use crate::format::{Counts, EndReason, Segment};
use crate::writer::{RecordWriter, RegionIndex, WriterOptions, Written};
use shmx::error::{OpenError, ReadError};
use shmx::os::{RegionName, clock};
use shmx::{FrameBuf, Tap, TapOptions, TapState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How regions are recorded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecorderOptions {
    /// The files.
    pub writer: WriterOptions,
    /// Bytes of frames taken and not written yet, shared by all regions; at least two frames of each region are
    /// allowed. When it is full, frames stay in the ring, and those overwritten there count as missed.
    /// Default 256 MiB.
    pub backlog_bytes: u64,
    /// Check the checksum of each frame and refuse those where it is wrong. Default true.
    pub verify: bool,
    /// End when every region was there and is gone. Default false: wait for them to come back.
    pub until_gone: bool,
    /// End after this many frames of all regions together.
    pub max_frames: Option<u64>,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            writer: WriterOptions::default(),
            backlog_bytes: 256 << 20,
            verify: true,
            until_gone: false,
            max_frames: None,
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecorderEvent {
    /// A region was opened.
    Begin {
        /// Region.
        region: String,
        /// Segment, from 1; more than 1 says that the region was restarted.
        segment: u32,
        /// Frames published before the recorder could open the region.
        missed: u64,
    },
    /// A region is gone.
    End {
        /// Region.
        region: String,
        /// Segment.
        segment: u32,
        /// Why.
        reason: EndReason,
        /// What was recorded of it.
        counts: Counts,
    },
    /// Something is in the way of recording a region; the recorder tries on.
    Trouble {
        /// Region.
        region: String,
        /// What.
        what: String,
    },
}

/// A region at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionStatus {
    /// Its name.
    pub region: String,
    /// Whether it is open now.
    pub open: bool,
    /// Segments so far.
    pub segments: u32,
    /// Frames taken.
    pub taken: u64,
    /// Frames lost.
    pub missed: u64,
    /// Frames refused.
    pub refused: u64,
    /// Bytes of payloads taken.
    pub bytes: u64,
}

/// The recorder at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Each region.
    pub regions: Vec<RegionStatus>,
    /// Frames taken and not written yet.
    pub backlog_frames: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Bytes of memory for frames.
    pub memory_bytes: u64,
    /// What was written.
    pub written: Written,
    /// Whether it has ended, by itself or by an error; see [`Recorder::finish`].
    pub ended: bool,
}

enum Work {
    Begin { region: usize, segment: Segment, directory: Vec<u8> },
    Directory { region: usize, bytes: Vec<u8> },
    Frame { region: usize, frame: FrameBuf, taken_ticks: u64 },
    End { region: usize, reason: EndReason, missed: u64, refused: u64 },
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The writer has failed; taking more is of no use.
    broken: AtomicBool,
    backlog_frames: AtomicU64,
    backlog_bytes: AtomicU64,
    memory: AtomicU64,
    regions: Mutex<Vec<RegionStatus>>,
    written: Mutex<Written>,
    ended: AtomicBool,
}

/// Tells that the writer has ended, however it did.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
        self.0.ended.store(true, Ordering::Release);
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records regions in the background, until it is stopped.
///
/// Regions need not be there yet, may restart (which begins a new segment), and are not disturbed: the recorder reads
/// through read-only mappings, without reader slots or locks.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    taker: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<Result<Written, RecordError>>>,
    events: Mutex<Receiver<RecorderEvent>>,
}

impl Recorder {
    /// Creates the file and begins to record.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: a bad name, or a file that cannot be created. Regions that are not there are no error.
    pub fn start<S: AsRef<str>>(names: &[S], path: &Path, options: RecorderOptions) -> Result<Self, RecordError> {
        if names.is_empty() {
            return Err(RecordError::Options("no region to record; give at least one name".into()));
        }
        let mut seen = Vec::new();
        for name in names {
            let name = RegionName::new(name.as_ref())?.as_str().to_owned();
            if seen.contains(&name) {
                return Err(RecordError::Options(format!("region `{name}` is given twice")));
            }
            seen.push(name);
        }
        let mut writer = RecordWriter::create(path, options.writer.clone())?;
        let shared = Arc::new(Shared::default());
        *lock(&shared.regions) =
            seen.iter().map(|n| RegionStatus { region: n.clone(), ..RegionStatus::default() }).collect();
        let regions = seen.len() as u64;
        let share = (options.backlog_bytes / regions, (MOST_FRAMES / regions).max(2));
        let (back, free) = mpsc::channel();
        let sources: Vec<Source> = seen.iter().map(|name| Source::new(name, share)).collect();
        let indices: Vec<RegionIndex> = seen.iter().map(|_| writer.add_region()).collect();
        // Frames are bounded by their memory; this bounds the rest.
        let (work, todo) = mpsc::sync_channel(4096);
        let (tell, events) = mpsc::channel();
        let names = seen;
        let s = shared.clone();
        let tell_writer = tell.clone();
        let flush_after = options.writer.flush_after;
        let writer = spawn("shmx-record-write", move || {
            let _ended = Ended(&s);
            write(writer, &indices, &names, &todo, &back, &s, &tell_writer, flush_after)
        })?;
        let s = shared.clone();
        let taker = spawn("shmx-record-take", move || take(sources, &options, &work, &free, &s, &tell))?;
        Ok(Self { shared, taker: Some(taker), writer: Some(writer), events: Mutex::new(events) })
    }

    /// The recorder as it is now.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        let s = &self.shared;
        RecorderStatus {
            regions: lock(&s.regions).clone(),
            backlog_frames: s.backlog_frames.load(Ordering::Relaxed),
            backlog_bytes: s.backlog_bytes.load(Ordering::Relaxed),
            memory_bytes: s.memory.load(Ordering::Relaxed),
            written: *lock(&s.written),
            ended: s.ended.load(Ordering::Acquire),
        }
    }

    /// The next event that was not asked for yet, without waiting.
    #[must_use]
    pub fn next_event(&self) -> Option<RecorderEvent> {
        lock(&self.events).try_recv().ok()
    }

    /// Asks the recorder to take what is in the rings now and end. [`Recorder::finish`] waits for it.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Stops, waits until everything is written, and says what was.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; what was written before is kept.
    pub fn finish(mut self) -> Result<Written, RecordError> {
        self.join()
    }

    fn join(&mut self) -> Result<Written, RecordError> {
        self.stop();
        let taker = self.taker.take().is_none_or(|t| t.join().is_ok());
        let written =
            self.writer.take().map_or(Err(RecordError::Thread), |w| w.join().unwrap_or(Err(RecordError::Thread)));
        if taker { written } else { written.and(Err(RecordError::Thread)) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.join();
        }
    }
}

fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, RecordError> {
    std::thread::Builder::new().name(name.into()).spawn(f).map_err(|_| RecordError::Thread)
}

/// One region to follow.
struct Source {
    name: String,
    tap: Option<Tap>,
    /// Session seen last, so that what a dead server has left is not recorded twice.
    last_session: Option<u64>,
    /// Whether the region was looked for and not there: what it publishes before it is opened is then missed.
    waited: bool,
    segment: u32,
    missed_at_open: u64,
    refused: u64,
    free: Vec<FrameBuf>,
    made: u64,
    /// Its part of the backlog, in bytes and in frames.
    share: (u64, u64),
    next_look: Instant,
    /// The producer was seen to be gone; frames that it left may still be taken.
    ended: Option<EndReason>,
    last_trouble: String,
}

/// How often a region that is not there is looked for.
const OPEN_EVERY: Duration = Duration::from_millis(2);
/// The same while something stands in the way, or a dead server's region.
const TROUBLE_EVERY: Duration = Duration::from_millis(20);
/// How often the life of an open region's server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the frames that are in the rings when the recorder is stopped may take.
const LAST_ROUND: Duration = Duration::from_secs(5);
/// Frames taken and not written of all regions together, at most.
const MOST_FRAMES: u64 = 4000;
/// Frames taken of one region before the next has its turn.
const TURN: usize = 16;

impl Source {
    fn new(name: &str, share: (u64, u64)) -> Self {
        Self {
            name: name.to_owned(),
            tap: None,
            last_session: None,
            waited: false,
            segment: 0,
            missed_at_open: 0,
            refused: 0,
            free: Vec::new(),
            made: 0,
            share,
            next_look: Instant::now(),
            ended: None,
            last_trouble: String::new(),
        }
    }

    /// Memory for a frame; `None` while all of it waits to be written.
    fn buffer(&mut self, cap: u64) -> Option<FrameBuf> {
        if let Some(b) = self.free.pop() {
            return Some(b);
        }
        let most = (self.share.0 / cap.max(1)).clamp(2, self.share.1);
        (self.made < most).then(|| {
            self.made += 1;
            FrameBuf::new()
        })
    }
}

struct Taker<'a> {
    options: &'a RecorderOptions,
    work: &'a SyncSender<Work>,
    shared: &'a Shared,
    tell: &'a mpsc::Sender<RecorderEvent>,
    taken: u64,
}

fn take(
    mut sources: Vec<Source>,
    options: &RecorderOptions,
    work: &SyncSender<Work>,
    free: &Receiver<(usize, FrameBuf)>,
    shared: &Shared,
    tell: &mpsc::Sender<RecorderEvent>,
) {
    let mut t = Taker { options, work, shared, tell, taken: 0 };
    // After a stop: until when, and up to which frame of each region.
    let mut last_round: Option<(Instant, Vec<u64>)> = None;
    loop {
        if last_round.is_none() && shared.stop.load(Ordering::Acquire) {
            let target = |s: &Source| s.tap.as_ref().map_or(0, |t| t.last_id().saturating_add(t.behind()));
            last_round = Some((Instant::now() + LAST_ROUND, sources.iter().map(target).collect()));
        }
        while let Ok((region, buf)) = free.try_recv() {
            sources[region].free.push(buf);
        }
        let mut pause = Duration::from_millis(5);
        let mut more = false;
        for (i, source) in sources.iter_mut().enumerate() {
            let (again, rest) = t.turn(i, source, last_round.is_some());
            more |= again;
            pause = pause.min(rest);
        }
        if shared.broken.load(Ordering::Acquire) || t.done() {
            break;
        }
        if let Some((until, targets)) = &last_round {
            let reached = |(s, &target): (&Source, &u64)| s.tap.as_ref().is_none_or(|t| t.last_id() >= target);
            if Instant::now() >= *until || sources.iter().zip(targets).all(reached) {
                break;
            }
        }
        if options.until_gone && sources.iter().all(|s| s.segment > 0 && s.tap.is_none()) {
            break;
        }
        // Memory that comes back ends the wait: there may be frames in the ring.
        if !more && let Ok((region, buf)) = free.recv_timeout(pause) {
            sources[region].free.push(buf);
        }
    }
    for (i, source) in sources.iter_mut().enumerate() {
        t.end(i, source, EndReason::Stopped);
    }
}

impl Taker<'_> {
    fn done(&self) -> bool {
        self.options.max_frames.is_some_and(|n| self.taken >= n)
    }

    fn status(&self, i: usize, f: impl FnOnce(&mut RegionStatus)) {
        if let Some(s) = lock(&self.shared.regions).get_mut(i) {
            f(s);
        }
    }

    fn trouble(&self, source: &mut Source, what: String) {
        if source.last_trouble != what {
            source.last_trouble.clone_from(&what);
            let _ = self.tell.send(RecorderEvent::Trouble { region: source.name.clone(), what });
        }
    }

    /// Takes some frames of a region; whether there may be more at once, and how long it may wait otherwise.
    fn turn(&mut self, i: usize, source: &mut Source, stop: bool) -> (bool, Duration) {
        if source.tap.is_none() && !self.open(i, source, stop) {
            return (false, source.next_look.saturating_duration_since(Instant::now()).max(Duration::from_micros(100)));
        }
        // Whether there is no frame to take. Some may be counted that are not there any more.
        let mut dry = false;
        for _ in 0..TURN {
            if self.done() {
                return (false, Duration::ZERO);
            }
            let Some(tap) = source.tap.as_mut() else { return (true, Duration::ZERO) };
            let cap = u64::from(tap.layout().frame_bytes_cap());
            if tap.behind() == 0 {
                dry = true;
                break;
            }
            let Some(mut frame) = source.buffer(cap) else {
                // The writer is behind. It gives memory back soon.
                return (false, Duration::from_millis(1));
            };
            let Some(tap) = source.tap.as_mut() else { return (true, Duration::ZERO) };
            let before = frame.capacity();
            let got = tap.try_next(&mut frame);
            self.shared.memory.fetch_add((frame.capacity() - before) as u64, Ordering::Relaxed);
            match got {
                Ok(true) => self.taken(i, source, frame),
                Ok(false) => {
                    source.free.push(frame);
                    dry = true;
                    break;
                }
                Err(ReadError::SessionChanged) => {
                    source.free.push(frame);
                    self.end(i, source, EndReason::SessionChanged);
                    return (true, Duration::ZERO);
                }
                Err(e) => {
                    source.free.push(frame);
                    source.refused += 1;
                    self.status(i, |s| s.refused += 1);
                    self.trouble(source, format!("a frame was refused: {e}"));
                }
            }
        }
        // What was published before the end is taken first: the end was seen before this turn began.
        if dry && let Some(reason) = source.ended.take() {
            self.end(i, source, reason);
            return (true, Duration::ZERO);
        }
        let Some(tap) = source.tap.as_mut() else { return (true, Duration::ZERO) };
        if Instant::now() >= source.next_look {
            source.next_look = Instant::now() + LOOK_EVERY;
            let state = tap.state();
            if let Ok(Some(dir)) = tap.directory_changed() {
                let _ = self.work.send(Work::Directory { region: i, bytes: dir.bytes });
            }
            source.ended = match state {
                TapState::Closed => Some(EndReason::Closed),
                TapState::Dead => Some(EndReason::Died),
                TapState::Replaced => Some(EndReason::Replaced),
                TapState::SessionChanged => Some(EndReason::SessionChanged),
                _ => None,
            };
            if source.ended.is_some() {
                return (true, Duration::ZERO);
            }
        }
        (!dry, tap.pause())
    }

    fn taken(&mut self, region: usize, source: &mut Source, frame: FrameBuf) {
        let Some(tap) = source.tap.as_mut() else { return };
        // After the frame: additions that it needs came before it.
        match tap.directory_changed() {
            Ok(None) => {}
            Ok(Some(dir)) => drop(self.work.send(Work::Directory { region, bytes: dir.bytes })),
            Err(e) => self.trouble(source, format!("the directory cannot be read: {e}")),
        }
        self.taken += 1;
        let len = frame.payload().len() as u64;
        let missed = frame.missed_before();
        self.status(region, |s| {
            s.taken += 1;
            s.missed = s.missed.saturating_add(missed);
            s.bytes += len;
        });
        self.shared.backlog_frames.fetch_add(1, Ordering::Relaxed);
        self.shared.backlog_bytes.fetch_add(len, Ordering::Relaxed);
        // The queue has more places than there is memory for frames, so this waits for nothing but a dead writer.
        let _ = self.work.send(Work::Frame { region, frame, taken_ticks: clock::ticks() });
    }

    /// Opens the region if it is there and new.
    fn open(&mut self, i: usize, source: &mut Source, stop: bool) -> bool {
        if Instant::now() < source.next_look || stop {
            return false;
        }
        source.next_look = Instant::now() + OPEN_EVERY;
        let mut options = TapOptions::default();
        options.verify = self.options.verify;
        let mut tap = match Tap::open(&source.name, options) {
            Ok(tap) => tap,
            Err(OpenError::Os(shmx::os::OpenError::NotFound { .. })) => {
                source.waited = true;
                return false;
            }
            Err(e) => {
                source.next_look = Instant::now() + TROUBLE_EVERY;
                self.trouble(source, e.to_string());
                return false;
            }
        };
        if source.last_session == Some(tap.session_id()) {
            source.next_look = Instant::now() + TROUBLE_EVERY;
            source.waited = true;
            return false;
        }
        let directory = match tap.directory_changed() {
            Ok(d) => d.map(|d| d.bytes).unwrap_or_default(),
            Err(e) => {
                source.next_look = Instant::now() + TROUBLE_EVERY;
                self.trouble(source, format!("the directory cannot be read: {e}"));
                return false;
            }
        };
        source.segment += 1;
        source.refused = 0;
        source.last_session = Some(tap.session_id());
        // Who was waiting for the region has missed what was overwritten before it could be opened.
        source.missed_at_open = if source.waited { tap.last_id() } else { 0 };
        source.last_trouble.clear();
        let segment = Segment::of(&tap, source.segment);
        let (number, missed) = (source.segment, source.missed_at_open);
        self.status(i, |s| {
            (s.open, s.segments) = (true, number);
            s.missed = s.missed.saturating_add(missed);
        });
        let region = source.name.clone();
        let _ = self.tell.send(RecorderEvent::Begin { region, segment: number, missed });
        let _ = self.work.send(Work::Begin { region: i, segment, directory });
        source.tap = Some(tap);
        true
    }

    fn end(&self, region: usize, source: &mut Source, reason: EndReason) {
        let Some(tap) = source.tap.take() else { return };
        source.ended = None;
        source.waited = true;
        source.next_look = Instant::now();
        // Frames published behind the last one taken are lost with the region.
        let lost = if reason == EndReason::Stopped { 0 } else { tap.behind() };
        let missed = source.missed_at_open.saturating_add(lost);
        self.status(region, |s| {
            s.open = false;
            s.missed = s.missed.saturating_add(lost);
        });
        let _ = self.work.send(Work::End { region, reason, missed, refused: source.refused });
    }
}

#[expect(clippy::too_many_arguments, reason = "a thread's whole world")]
fn write(
    mut writer: RecordWriter,
    indices: &[RegionIndex],
    names: &[String],
    todo: &Receiver<Work>,
    back: &mpsc::Sender<(usize, FrameBuf)>,
    shared: &Shared,
    tell: &mpsc::Sender<RecorderEvent>,
    flush_after: Duration,
) -> Result<Written, RecordError> {
    let mut segments = vec![0; names.len()];
    loop {
        match todo.recv_timeout(flush_after) {
            Ok(Work::Begin { region, segment, directory }) => {
                segments[region] = writer.begin(indices[region], segment, &directory)?;
            }
            Ok(Work::Directory { region, bytes }) => writer.directory(indices[region], &bytes)?,
            Ok(Work::Frame { region, frame, taken_ticks }) => {
                let len = frame.payload().len() as u64;
                let result = writer.frame(indices[region], &frame, taken_ticks);
                shared.backlog_frames.fetch_sub(1, Ordering::Relaxed);
                shared.backlog_bytes.fetch_sub(len, Ordering::Relaxed);
                let _ = back.send((region, frame));
                result?;
            }
            Ok(Work::End { region, reason, missed, refused }) => {
                let counts = writer.end(indices[region], reason, missed, refused)?;
                let (region, segment) = (names[region].clone(), segments[region]);
                let _ = tell.send(RecorderEvent::End { region, segment, reason, counts });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.tick()?;
        *lock(&shared.written) = writer.written();
    }
    let written = writer.finish()?;
    *lock(&shared.written) = written;
    Ok(written)
}
