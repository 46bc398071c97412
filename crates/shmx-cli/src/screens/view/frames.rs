//! Where the frames of a view come from: a live region with a history, or a recording.

use crate::common;
use crate::progress::Progress;
use crate::recording;
use crate::stop;
use crate::units;
use crate::values;
use shmx::abi::frame::Streams;
use shmx::error::OpenError;
use shmx::{Directory, Frame, ServerState, Tap};
use shmx_record::{Cursor, Item, Place, Problem};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A frame in short: what a plot over time needs.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) id: u64,
    /// Nanoseconds of whatever clock the source has.
    pub(crate) time: u64,
    pub(crate) sim_time: f64,
    pub(crate) segment: u32,
    pub(crate) missed: u64,
    /// First values of each stream, by column.
    pub(crate) values: Box<[f64]>,
}

/// A frame in full.
#[derive(Clone, Debug)]
pub(crate) struct Full {
    pub(crate) payload: Arc<[u8]>,
    pub(crate) directory: Arc<Directory>,
}

/// First components of a stream's first element that are kept for plots over time, at most: a million frames are kept.
pub(crate) const COLUMNS: usize = 32;
/// How often the life of a region's server is looked at.
const LIFE: Duration = Duration::from_millis(50);
/// Frames in short that are kept.
const MOST_POINTS: usize = 1_000_000;

/// Which columns a stream has.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    first: HashMap<u32, (usize, usize)>,
    count: usize,
}

impl Columns {
    pub(crate) fn of(&self, stream: u32) -> std::ops::Range<usize> {
        self.first.get(&stream).map_or(0..0, |&(first, n)| first..first + n)
    }

    fn note(&mut self, directory: &Directory, payload: &[u8]) -> Box<[f64]> {
        let mut values = vec![f64::NAN; self.count];
        for s in Streams::new(payload).map_while(Result::ok) {
            let Some(info) = directory.stream(s.stream_id) else { continue };
            let Some(ty) = values::numeric(info) else { continue };
            let n = (info.components as usize).min(COLUMNS);
            let (first, n) = *self.first.entry(s.stream_id).or_insert_with(|| {
                self.count += n;
                (self.count - n, n)
            });
            values.resize(self.count, f64::NAN);
            for (v, bytes) in values[first..first + n].iter_mut().zip(s.data.chunks_exact(ty.size() as usize)) {
                *v = values::number_of(ty, bytes);
            }
        }
        values.into_boxed_slice()
    }
}

/// Frames that can be had in any order.
pub(crate) trait Frames {
    fn title(&self) -> String;
    fn is_recording(&self) -> bool;
    /// Takes what has come, and says how long it may wait before it is asked again, if nothing comes.
    fn gather(&mut self) -> Duration;
    /// What tells when something comes.
    fn tap(&mut self) -> Option<&mut Tap> {
        None
    }
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn point(&self, i: usize) -> Option<&Point>;
    /// A frame in full; `None` if only its short form was kept.
    fn full(&mut self, i: usize) -> Option<Full>;
    fn columns(&self) -> &Columns;
    /// How many frames were forgotten at the front so far: places move by it.
    fn forgotten(&self) -> u64;
    /// What there is to say about the source.
    fn state(&self) -> String;
    fn problems(&self) -> &[Problem];
}

/// A live region and the frames that were taken of it.
pub(crate) struct Live {
    name: String,
    tap: Option<Tap>,
    last_session: Option<u64>,
    directory: Arc<Directory>,
    points: VecDeque<Point>,
    /// The last of the points, in full.
    fulls: VecDeque<Full>,
    bytes: u64,
    budget: u64,
    columns: Columns,
    forgotten: u64,
    segment: u32,
    missed: u64,
    next_look: Instant,
    /// Why the producer is gone; frames that it left may still be taken.
    ended: Option<&'static str>,
    note: String,
}

impl Live {
    pub(crate) fn new(name: &str, budget: u64) -> anyhow::Result<Self> {
        shmx_os::RegionName::new(name)?;
        Ok(Self {
            name: name.to_owned(),
            tap: None,
            last_session: None,
            directory: Arc::default(),
            points: VecDeque::new(),
            fulls: VecDeque::new(),
            bytes: 0,
            budget,
            columns: Columns::default(),
            forgotten: 0,
            segment: 0,
            missed: 0,
            next_look: Instant::now(),
            ended: None,
            note: "waiting".into(),
        })
    }

    fn open(&mut self) {
        self.next_look = Instant::now() + Duration::from_millis(20);
        match Tap::open(&self.name) {
            Ok(tap) if self.last_session == Some(tap.session_id()) => {}
            Ok(mut tap) => match tap.directory_changed() {
                Ok(d) => {
                    common::opened(&self.name, &tap.header(), tap.layout());
                    self.directory = d.unwrap_or_default();
                    self.last_session = Some(tap.session_id());
                    self.segment += 1;
                    self.note = "live".into();
                    self.tap = Some(tap);
                    self.ended = None;
                }
                Err(e) => self.note = e.to_string(),
            },
            Err(OpenError::Os(shmx_os::OpenError::NotFound { .. })) if self.points.is_empty() => {
                self.note = "waiting for its server".into();
            }
            Err(OpenError::Os(shmx_os::OpenError::NotFound { .. })) => {}
            Err(e) => self.note = e.to_string(),
        }
    }

    fn keep(&mut self, point: Point, payload: Arc<[u8]>) {
        let values = self.columns.note(&self.directory, &payload);
        self.missed = self.missed.saturating_add(point.missed);
        self.points.push_back(Point { segment: self.segment, values, ..point });
        self.bytes += payload.len() as u64;
        self.fulls.push_back(Full { payload, directory: self.directory.clone() });
        while self.bytes > self.budget && self.fulls.len() > 1 {
            self.bytes -= self.fulls.pop_front().map_or(0, |f| f.payload.len() as u64);
        }
        if self.points.len() > MOST_POINTS {
            self.points.pop_front();
            self.forgotten += 1;
        }
    }
}

/// A frame in short, but for what belongs to its source.
fn point(frame: &Frame<'_>) -> Point {
    let now = shmx_os::clock::ticks();
    Point {
        id: frame.frame_id(),
        // Of a frame without publish time, the time at which it came.
        time: frame.publish_time().and_then(|t| t.age_ns(now)).map_or(now, |age| now.saturating_sub(age)),
        sim_time: frame.sim_time(),
        segment: 0,
        missed: frame.missed_before(),
        values: Box::default(),
    }
}

impl Frames for Live {
    fn title(&self) -> String {
        format!("region `{}`", self.name)
    }

    fn is_recording(&self) -> bool {
        false
    }

    fn gather(&mut self) -> Duration {
        if self.tap.is_none() {
            if Instant::now() >= self.next_look {
                self.open();
            }
            if self.tap.is_none() {
                return Duration::from_millis(20);
            }
        }
        let until = Instant::now() + Duration::from_millis(20);
        while let Some(tap) = self.tap.as_mut() {
            let taken = tap.try_next().map(|frame| frame.map(|f| (point(&f), f.payload().into())));
            match taken {
                Ok(Some((point, payload))) => {
                    if let Ok(Some(d)) = tap.directory_changed() {
                        self.directory = d;
                    }
                    self.keep(point, payload);
                    if Instant::now() >= until {
                        return Duration::ZERO;
                    }
                }
                Ok(None) => {
                    if let Some(why) = self.ended.take() {
                        self.note = why.into();
                        self.tap = None;
                        return Duration::from_millis(20);
                    }
                    let left = self.next_look.saturating_duration_since(Instant::now());
                    if !left.is_zero() {
                        return left;
                    }
                    self.next_look = Instant::now() + LIFE;
                    self.ended = match tap.state() {
                        ServerState::Closed => Some("its server has left"),
                        ServerState::Died => Some("its server died"),
                        _ if tap.is_current() => return LIFE,
                        _ => Some("replaced"),
                    };
                }
                Err(shmx::error::ReadError::SessionChanged) => {
                    self.note = "initialised anew".into();
                    self.tap = None;
                }
                Err(e) => self.note = e.to_string(),
            }
        }
        Duration::from_millis(5)
    }

    fn tap(&mut self) -> Option<&mut Tap> {
        self.tap.as_mut()
    }

    fn len(&self) -> usize {
        self.points.len()
    }

    fn point(&self, i: usize) -> Option<&Point> {
        self.points.get(i)
    }

    fn full(&mut self, i: usize) -> Option<Full> {
        let lost = self.points.len() - self.fulls.len();
        self.fulls.get(i.checked_sub(lost)?).cloned()
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn state(&self) -> String {
        if self.missed > 0 { format!("{}, {} missed", self.note, self.missed) } else { self.note.clone() }
    }

    fn problems(&self) -> &[Problem] {
        &[]
    }
}

/// A region of a recording.
pub(crate) struct Recorded {
    title: String,
    cursor: Cursor,
    points: Vec<Point>,
    places: Vec<Place>,
    /// By number and session of each segment.
    directories: HashMap<(u32, u64), Arc<Directory>>,
    columns: Columns,
    note: String,
}

impl Recorded {
    pub(crate) fn open(files: &[String], region: &[String]) -> anyhow::Result<Self> {
        let recording = recording::open(files)?;
        let names = recording.regions().to_vec();
        let index = recording::one(&recording, region)?;
        let mut directories = HashMap::new();
        for s in recording.segments().into_iter().filter(|s| s.segment.region == names[index]) {
            directories.insert((s.segment.number, s.segment.session_id), Arc::new(s.directory));
        }
        let line = Progress::of_bytes(recording.bytes(), "reading");
        let mut me = Self {
            title: format!("recording of `{}`", names[index]),
            cursor: Cursor::new(recording),
            points: Vec::new(),
            places: Vec::new(),
            directories,
            columns: Columns::default(),
            note: String::new(),
        };
        let mut read = 0;
        while let Some(item) = me.cursor.next_item() {
            let Item::Frame(f) = item else { continue };
            read += f.payload().len() as u64;
            if me.points.len().is_multiple_of(256) {
                line.set(read);
                if stop::requested() {
                    break;
                }
            }
            if f.region != index {
                continue;
            }
            if me.points.len() >= MOST_POINTS {
                me.note = format!("the first {MOST_POINTS} frames");
                break;
            }
            let none = Directory::default();
            let directory = me.directories.get(&(f.head.segment, f.head.session_id)).map_or(&none, |d| d);
            let values = me.columns.note(directory, f.payload());
            me.places.push(me.cursor.place());
            me.points.push(Point {
                id: f.head.frame_id,
                time: f.time,
                sim_time: f.head.sim_time(),
                segment: f.head.segment,
                missed: f.head.missed_before,
                values,
            });
        }
        Ok(me)
    }
}

impl Frames for Recorded {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn is_recording(&self) -> bool {
        true
    }

    fn gather(&mut self) -> Duration {
        Duration::from_millis(20)
    }

    fn len(&self) -> usize {
        self.points.len()
    }

    fn point(&self, i: usize) -> Option<&Point> {
        self.points.get(i)
    }

    fn full(&mut self, i: usize) -> Option<Full> {
        let frame = self.cursor.frame_at(*self.places.get(i)?)?;
        let directory = self.directories.get(&(frame.head.segment, frame.head.session_id)).cloned().unwrap_or_default();
        Some(Full { payload: frame.payload().into(), directory })
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn forgotten(&self) -> u64 {
        0
    }

    fn state(&self) -> String {
        match self.cursor.recording().problems().len() {
            0 => self.note.clone(),
            n => format!("{} unreadable {}", units::count(n as u64, "place"), self.note),
        }
    }

    fn problems(&self) -> &[Problem] {
        self.cursor.recording().problems()
    }
}
