//! Replays recordings: rebuilds the regions and publishes their frames again at their times.

mod live;
mod options;
mod part;

pub use options::{Next, PlayOptions, PlayStats, Played};

use crate::error::PlayError;
use crate::format::{EndReason, RegionEvent};
use crate::read::{Cursor, Item, RecordedFrame, Recording, RegionState};
use crate::rebuild::{Put, Rebuilt};
use live::{Live, RETRY, later};
use shmx::error::{BeginError, CreateError};
use std::time::{Duration, Instant};

#[derive(Debug)]
enum Pending {
    Frame(RecordedFrame),
    Event(u64, RegionEvent),
}

impl Pending {
    const fn time(&self) -> u64 {
        match self {
            Self::Frame(f) => f.time,
            Self::Event(time, _) => *time,
        }
    }
}

/// Replays a recording. The caller waits until [`Next::Due`] and calls [`Player::step`].
pub struct Player {
    cursor: Cursor,
    options: PlayOptions,
    live: Vec<Live>,
    pending: Option<Pending>,
    /// Start and end of what is played, and of the recording; nanoseconds since 1970.
    begin: u64,
    end: u64,
    first: u64,
    last: u64,
    /// Where the pace starts: this time of the recording is at that instant.
    anchor: (u64, Instant),
    paused: bool,
    position: u64,
    stats: PlayStats,
    attended: Instant,
    /// When frames that wait for slots try again.
    retry_at: Instant,
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("options", &self.options).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// How often control messages are thrown away and dead readers are cleared.
const ATTEND_EVERY: Duration = Duration::from_millis(100);
/// How long a part takes that is to be repeated and is one moment of the recording: nothing else says it.
const MOMENT: Duration = Duration::from_millis(100);
/// Readers without a lock are reaped after this time without a sign of life.
const STALE: Duration = Duration::from_secs(5);

impl Player {
    /// Prepares to play and creates the regions that stand at the first frame, so that readers can attach.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn new(recording: Recording, mut options: PlayOptions) -> Result<Self, PlayError> {
        options.resolve(&recording)?;
        let nothing = |seconds| PlayError::Nothing { seconds };
        let (first, last) = recording.times().ok_or(nothing(0.0))?;
        let at = |d: Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let begin = at(options.from);
        let end = options.to.map_or(u64::MAX, at);
        let mut player = Self {
            cursor: Cursor::new(recording),
            options,
            live: Vec::new(),
            pending: None,
            begin,
            end,
            first,
            last,
            anchor: (begin, Instant::now()),
            paused: false,
            position: begin,
            stats: PlayStats::default(),
            attended: Instant::now(),
            retry_at: Instant::now(),
        };
        if !player.has_frame() {
            return Err(nothing((last - first) as f64 / 1e9));
        }
        player.seek_to(begin)?;
        Ok(player)
    }

    /// The recording.
    #[must_use]
    pub const fn recording(&self) -> &Recording {
        self.cursor.recording()
    }

    /// What was replayed so far.
    #[must_use]
    pub const fn stats(&self) -> PlayStats {
        self.stats
    }

    /// Where the player is, from the beginning of the recording: the time of the frame published last.
    #[must_use]
    pub const fn position(&self) -> Duration {
        Duration::from_nanos(self.position.saturating_sub(self.first))
    }

    /// Length of the recording.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_nanos(self.last.saturating_sub(self.first))
    }

    /// Readers attached to all regions.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.live.iter().map(|l| l.server().snapshot_readers().iter().filter(|r| r.in_use).count()).sum()
    }

    /// Names of the regions that stand now.
    pub fn live_regions(&self) -> impl Iterator<Item = &str> {
        self.live.iter().map(|l| l.server().name())
    }

    /// The speed.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.options.rate
    }

    /// Changes the speed from here on.
    pub fn set_rate(&mut self, rate: f64) {
        self.options.rate = rate;
        self.reanchor();
    }

    /// Whether playing is paused.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses or goes on.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.reanchor();
    }

    /// The pace starts anew: the next frame is due now, or as much later as it is in the recording.
    fn reanchor(&mut self) {
        let at = self.pending.as_ref().map_or(self.position, |p| p.time().min(self.position.max(self.begin)));
        self.anchor = (at, Instant::now());
    }

    /// Starts the pace at the next frame, which is due at once.
    pub fn start(&mut self) {
        let at = self.pending.as_ref().map_or(self.position, Pending::time);
        self.anchor = (at, Instant::now());
    }

    /// When the next frame is due. Deadlines are absolute: delays do not add up.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.paused {
            return if self.pending.is_none() && !self.is_waiting() { Next::End } else { Next::Paused };
        }
        let due = self.pending.as_ref().filter(|p| !self.held_up(p)).map(|p| self.due(p));
        let retry = self.is_waiting().then_some(self.retry_at);
        due.into_iter().chain(retry).min().map_or(Next::End, Next::Due)
    }

    fn due(&self, pending: &Pending) -> Instant {
        let ahead = pending.time().saturating_sub(self.anchor.0) as f64 / 1e9 / self.options.rate;
        later(self.anchor.1, Duration::try_from_secs_f64(ahead).unwrap_or(Duration::MAX))
    }

    /// Whether frames wait for slots that readers hold.
    fn is_waiting(&self) -> bool {
        self.live.iter().any(Live::is_waiting)
    }

    /// Whether what is next has to wait for frames of its own region.
    fn held_up(&self, pending: &Pending) -> bool {
        match pending {
            Pending::Frame(f) => self.live_of(f.region).is_some_and(|at| self.live[at].is_full()),
            Pending::Event(_, e) => self.live.iter().any(|l| l.region == e.region() && l.is_waiting()),
        }
    }

    fn live_of(&self, region: usize) -> Option<usize> {
        let name = self.cursor.recording().regions().get(region)?;
        self.live.iter().position(|l| l.region == *name)
    }

    /// Does what is next now, whatever its time: publishes a frame, or begins or ends a region. Frames that found no
    /// slot come first.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn step(&mut self) -> Result<Played, PlayError> {
        if self.is_waiting() {
            for at in 0..self.live.len() {
                if let Some(put) = self.live[at].retry(&self.options)? {
                    self.count(put);
                    return self.played(Played::Frame);
                }
            }
            self.retry_at = Instant::now() + RETRY;
            // Others do not wait for them, but keep their own times.
            let goes = self
                .pending
                .as_ref()
                .is_some_and(|p| !self.paused && !self.held_up(p) && self.due(p) <= Instant::now());
            if !goes {
                return Ok(Played::Waiting);
            }
        }
        let played = match self.pending.take() {
            None => return Ok(Played::End),
            Some(Pending::Event(_, event)) => {
                self.apply(&event)?;
                Played::Region
            }
            Some(Pending::Frame(frame)) => {
                self.position = frame.time;
                self.put(frame)?
            }
        };
        self.fetch()?;
        self.played(played)
    }

    /// Begins again at the end, if that is wanted.
    fn played(&mut self, played: Played) -> Result<Played, PlayError> {
        if self.pending.is_none() && self.options.repeat && !self.is_waiting() {
            self.stats.loops += 1;
            let last = self.position;
            self.seek_to(self.begin)?;
            self.start();
            if last <= self.anchor.0 && self.options.rate.is_finite() {
                self.anchor.1 += MOMENT;
            }
        }
        Ok(played)
    }

    /// Does what is next up to and with the next frame; false at the end.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn step_frame(&mut self) -> Result<bool, PlayError> {
        loop {
            match self.step()? {
                Played::Region => {}
                Played::Waiting => std::thread::sleep(RETRY),
                Played::Frame => return Ok(true),
                Played::End => return Ok(false),
            }
        }
    }

    /// Whether every attached reader has taken the frames published so far.
    #[must_use]
    pub fn all_seen(&self) -> bool {
        self.live.iter().all(|l| {
            let last = l.server().frames_published();
            l.server().snapshot_readers().iter().filter(|r| r.in_use).all(|r| r.last_frame_seen >= last)
        })
    }

    /// Waits until every attached reader has taken the frames published so far; false when the time is up.
    ///
    /// # Errors
    ///
    /// [`PlayError`] if a region is not the player's any more.
    pub fn wait_seen(&self, timeout: Duration) -> Result<bool, PlayError> {
        let start = Instant::now();
        for l in &self.live {
            let left = timeout.saturating_sub(start.elapsed());
            let frame_id = l.server().frames_published();
            match l.server().wait_taken_by_all(frame_id, left) {
                Ok(()) => {}
                Err(BeginError::NotTaken { .. }) => return Ok(false),
                Err(e) => return Err(PlayError::Frame { name: l.region.clone(), frame_id, source: Box::new(e) }),
            }
        }
        Ok(true)
    }

    /// Moves to this time from the beginning of the recording. The regions become what they were there; nothing is
    /// published before the next call of [`Player::step`].
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn seek(&mut self, to: Duration) -> Result<(), PlayError> {
        let ns = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX);
        self.seek_to(self.first.saturating_add(ns).clamp(self.begin, self.last))?;
        self.start();
        Ok(())
    }

    /// Moves back so that the frame before the one published last is next: publishing it is a step back.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn step_back(&mut self) -> Result<(), PlayError> {
        // A pending frame was taken from the cursor already, and the one before it is published.
        let mut left = if matches!(self.pending, Some(Pending::Frame(_))) { 3 } else { 2 };
        while left > 0 && self.cursor.step_back() {
            let region = self.cursor.peek().map(|f| f.region);
            let name = region.and_then(|r| self.cursor.recording().regions().get(r));
            if name.is_some_and(|r| self.options.is_chosen(r)) {
                left -= 1;
            }
        }
        let state = self.cursor.state();
        self.enter(&state)?;
        self.fetch()?;
        self.start();
        Ok(())
    }

    /// Takes control messages out of the rings, frees the slots of dead readers; call it while waiting.
    pub fn attend(&mut self) {
        if self.attended.elapsed() < ATTEND_EVERY {
            return;
        }
        self.attended = Instant::now();
        for l in &self.live {
            let _ = l.server().poll_control(4096);
            let _ = l.server().reap_stale_readers(STALE);
        }
    }

    fn seek_to(&mut self, time: u64) -> Result<(), PlayError> {
        let state = self.cursor.seek(time);
        self.position = time;
        self.enter(&state)?;
        self.fetch()
    }

    /// Makes the regions what they are at a place of the recording.
    fn enter(&mut self, state: &[RegionState]) -> Result<(), PlayError> {
        self.pending = None;
        self.live.iter_mut().for_each(Live::forget);
        let stands = |l: &Live| {
            state.iter().any(|s| {
                let g = &s.segment;
                (&g.region, g.number, g.session_id) == (&l.region, l.segment, l.session_id)
            })
        };
        self.live.retain(stands);
        for s in state {
            self.stand(s)?;
        }
        Ok(())
    }

    /// Makes one region what it is, creating it where it is not there.
    fn stand(&mut self, s: &RegionState) -> Result<(), PlayError> {
        let g = &s.segment;
        if !self.options.is_chosen(&g.region) {
            return Ok(());
        }
        let same = |l: &Live| (&l.region, l.segment, l.session_id) == (&g.region, g.number, g.session_id);
        if let Some(l) = self.live.iter_mut().find(|l| same(l)) {
            // A directory only grows; one that has more than is needed here stays.
            if let Some(added) = s.directory.get(l.again.directory_len()..).filter(|a| !a.is_empty()) {
                l.add_to_directory(l.again.directory_len(), added, &self.options)?;
            }
            return Ok(());
        }
        self.live.retain(|l| l.region != g.region);
        let name = self.options.name_of(&g.region);
        let fail = |source: CreateError| PlayError::Create { name: name.clone(), source: Box::new(source) };
        let mut builder = g.server(&name, &s.directory).replace(self.options.replace);
        builder = builder.mode(self.options.mode);
        if let Some(group) = self.options.group {
            builder = builder.group(group);
        }
        if let Some(checksum) = self.options.checksum {
            builder = builder.checksum(checksum);
        }
        let server = builder.create().map_err(fail)?;
        self.stats.segments += 1;
        let mut again = Rebuilt::new(server, s.directory.len());
        again.choose(&self.options.streams);
        self.live.push(Live::new(g.region.clone(), g.number, g.session_id, again));
        Ok(())
    }

    fn apply(&mut self, event: &RegionEvent) -> Result<(), PlayError> {
        match event {
            RegionEvent::Begin { segment, directory, .. } => {
                self.stand(&RegionState { segment: segment.clone(), directory: directory.clone() })
            }
            RegionEvent::Directory { region, segment, at, bytes } => {
                let found = self.live.iter_mut().find(|l| l.region == *region && l.segment == *segment);
                found.map_or(Ok(()), |l| l.add_to_directory(*at as usize, bytes, &self.options))
            }
            // The recorder ended there, not the region.
            RegionEvent::End { reason: EndReason::Stopped, .. } | RegionEvent::Control { .. } => Ok(()),
            RegionEvent::End { region, .. } => {
                self.live.retain(|l| l.region != *region);
                Ok(())
            }
        }
    }

    /// Goes on to the next frame, or the next beginning or end of a region.
    fn fetch(&mut self) -> Result<(), PlayError> {
        while let Some(item) = self.cursor.next_item() {
            match item {
                Item::Event(RegionEvent::End { reason: EndReason::Stopped, .. }) => {}
                Item::Event(e) if !self.options.is_chosen(e.region()) => {}
                Item::Event(e) => match e {
                    RegionEvent::Begin { continued: true, .. }
                    | RegionEvent::Directory { .. }
                    | RegionEvent::Control { .. } => self.apply(&e)?,
                    RegionEvent::Begin { time, .. } | RegionEvent::End { time, .. } => {
                        self.pending = Some(Pending::Event(time, e));
                        return Ok(());
                    }
                },
                Item::Frame(frame) if self.is_wanted(&frame) => {
                    self.pending = Some(Pending::Frame(frame));
                    return Ok(());
                }
                Item::Frame(frame) if self.is_behind(&frame) => return Ok(()),
                Item::Frame(_) => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, frame: RecordedFrame) -> Result<Played, PlayError> {
        let Some(at) = self.live_of(frame.region) else {
            // Its beginning could not be read.
            self.stats.skipped += 1;
            return Ok(Played::Frame);
        };
        let live = &mut self.live[at];
        // Frames of one region keep their order.
        let put = if live.is_waiting() { Put::NoSlot } else { live.put(&frame, &self.options)? };
        if put == Put::NoSlot {
            let now = Instant::now();
            live.wait(frame, later(now, self.options.slot_wait));
            self.retry_at = now + RETRY;
            return Ok(Played::Waiting);
        }
        self.count(put);
        Ok(Played::Frame)
    }

    const fn count(&mut self, put: Put) {
        match put {
            Put::Published(_) => self.stats.published += 1,
            Put::Skipped => self.stats.skipped += 1,
            Put::LeftOut | Put::NoSlot => {}
        }
    }
}
