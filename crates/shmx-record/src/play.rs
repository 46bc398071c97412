//! Replays recordings: rebuilds the regions and publishes their frames again at their times.

mod options;

pub use options::{Next, PlayOptions, PlayStats, Played};

use crate::error::PlayError;
use crate::format::{EndReason, RegionEvent};
use crate::read::{Cursor, Item, RecordedFrame, Recording, RegionState};
use shmx::error::{AppendError, BeginError, CreateError};
use shmx::{Checksum, Server};
use std::time::{Duration, Instant};

struct Live {
    region: String,
    segment: u32,
    session_id: u64,
    directory_len: usize,
    server: Server,
}

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
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("options", &self.options).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// How long a frame waits for a slot that no reader holds.
const SLOT_WAIT: Duration = Duration::from_millis(20);
/// How often control messages are thrown away and dead readers are cleared.
const ATTEND_EVERY: Duration = Duration::from_millis(100);
/// Readers without a lock are reaped after this time without a sign of life.
const STALE: Duration = Duration::from_secs(5);

impl Player {
    /// Prepares to play and creates the regions that stand at the first frame, so that readers can attach.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn new(recording: Recording, options: PlayOptions) -> Result<Self, PlayError> {
        if let Some(wanted) = options.regions.iter().find(|r| !recording.regions().contains(r)) {
            let has = recording.regions().join(", ");
            return Err(PlayError::NoSuchRegion { wanted: wanted.clone(), has });
        }
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
        };
        player.seek_to(begin)?;
        if player.pending.is_none() {
            return Err(nothing((last - first) as f64 / 1e9));
        }
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
        self.live.iter().map(|l| l.server.snapshot_readers().iter().filter(|r| r.in_use).count()).sum()
    }

    /// Names of the regions that stand now.
    pub fn live_regions(&self) -> impl Iterator<Item = &str> {
        self.live.iter().map(|l| l.server.name())
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
        let Some(pending) = &self.pending else { return Next::End };
        if self.paused {
            return Next::Paused;
        }
        let ahead = pending.time().saturating_sub(self.anchor.0) as f64 / 1e9 / self.options.rate;
        Next::Due(self.anchor.1 + Duration::try_from_secs_f64(ahead).unwrap_or(Duration::from_secs(1 << 30)))
    }

    /// Does what is next now, whatever its time: publishes a frame, or begins or ends a region.
    ///
    /// # Errors
    ///
    /// [`PlayError`].
    pub fn step(&mut self) -> Result<Played, PlayError> {
        let played = match self.pending.take() {
            None => return Ok(Played::End),
            Some(Pending::Event(_, event)) => {
                self.apply(&event)?;
                Played::Region
            }
            Some(Pending::Frame(frame)) => {
                self.put(&frame)?;
                self.position = frame.time;
                Played::Frame
            }
        };
        self.fetch()?;
        if self.pending.is_none() && self.options.repeat {
            self.stats.loops += 1;
            self.seek_to(self.begin)?;
            self.start();
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
                Played::Frame => return Ok(true),
                Played::End => return Ok(false),
            }
        }
    }

    /// Whether every attached reader has taken the frames published so far.
    #[must_use]
    pub fn all_seen(&self) -> bool {
        self.live.iter().all(|l| {
            let last = l.server.frames_published();
            l.server.snapshot_readers().iter().filter(|r| r.in_use).all(|r| r.last_frame_seen >= last)
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
            let frame_id = l.server.frames_published();
            match l.server.wait_taken_by_all(frame_id, left) {
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
        let mut state = self.cursor.state();
        while left > 0 {
            state = self.cursor.back(1);
            let region = self.cursor.peek().map(|f| f.region);
            let Some(region) = region else { break };
            let name = self.cursor.recording().regions().get(region);
            if name.is_some_and(|r| self.chosen(r)) {
                left -= 1;
            }
        }
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
            let _ = l.server.poll_control(4096);
            let _ = l.server.reap_stale_readers(STALE);
        }
    }

    fn chosen(&self, region: &str) -> bool {
        self.options.regions.is_empty() || self.options.regions.iter().any(|r| r == region)
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
        if !self.chosen(&g.region) {
            return Ok(());
        }
        let same = |l: &Live| (&l.region, l.segment, l.session_id) == (&g.region, g.number, g.session_id);
        if let Some(l) = self.live.iter_mut().find(|l| same(l)) {
            // A directory only grows; one that has more than is needed here stays.
            if let Some(added) = s.directory.get(l.directory_len..).filter(|a| !a.is_empty()) {
                let name = g.region.clone();
                l.server.write_static_append(added).map_err(|source| PlayError::Directory { name, source })?;
                l.directory_len = s.directory.len();
            }
            return Ok(());
        }
        self.live.retain(|l| l.region != g.region);
        let name = format!("{}{}", self.options.prefix, g.region);
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
        self.live.push(Live {
            region: g.region.clone(),
            segment: g.number,
            session_id: g.session_id,
            directory_len: s.directory.len(),
            server,
        });
        Ok(())
    }

    fn apply(&mut self, event: &RegionEvent) -> Result<(), PlayError> {
        match event {
            RegionEvent::Begin { segment, directory, .. } => {
                self.stand(&RegionState { segment: segment.clone(), directory: directory.clone() })
            }
            RegionEvent::Directory { region, segment, at, bytes } => {
                let found = self.live.iter_mut().find(|l| l.region == *region && l.segment == *segment);
                if let Some(l) = found.filter(|l| l.directory_len == *at as usize) {
                    let name = region.clone();
                    l.server.write_static_append(bytes).map_err(|source| PlayError::Directory { name, source })?;
                    l.directory_len += bytes.len();
                }
                Ok(())
            }
            // The recorder ended there, not the region.
            RegionEvent::End { reason: EndReason::Stopped, .. } => Ok(()),
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
                Item::Event(e) if !self.chosen(e.region()) => {}
                Item::Event(e) => match e {
                    RegionEvent::Begin { continued: true, .. } | RegionEvent::Directory { .. } => self.apply(&e)?,
                    RegionEvent::Begin { time, .. } | RegionEvent::End { time, .. } => {
                        self.pending = Some(Pending::Event(time, e));
                        return Ok(());
                    }
                },
                Item::Frame(frame) if frame.time > self.end => {
                    // Regions are written side by side: a frame of another one may still be in time.
                    if frame.time > self.end.saturating_add(1_000_000_000) {
                        return Ok(());
                    }
                }
                Item::Frame(frame) => {
                    let region = self.cursor.recording().regions().get(frame.region);
                    if region.is_some_and(|r| self.chosen(r)) {
                        self.pending = Some(Pending::Frame(frame));
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, frame: &RecordedFrame) -> Result<(), PlayError> {
        let Some(region) = self.cursor.recording().regions().get(frame.region).cloned() else { return Ok(()) };
        let Some(l) = self.live.iter_mut().find(|l| l.region == region) else {
            // Its beginning could not be read.
            self.stats.skipped += 1;
            return Ok(());
        };
        let frame_id = frame.head.frame_id;
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| PlayError::Frame {
            name: region.clone(),
            frame_id,
            source,
        };
        if frame.payload().is_empty() {
            self.stats.skipped += 1;
            return Ok(());
        }
        let start = Instant::now();
        let mut slot = loop {
            match l.server.begin_frame() {
                Ok(slot) => break slot,
                Err(BeginError::NoFreeSlot { .. }) if start.elapsed() < SLOT_WAIT => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(BeginError::NoFreeSlot { .. }) => {
                    self.stats.skipped += 1;
                    return Ok(());
                }
                Err(e) => return Err(fail(Box::new(e))),
            }
        };
        match slot.append_records(frame.payload(), frame.head.tlv_count) {
            Ok(()) => {}
            // A recording that contradicts itself: the frame is larger than its region.
            Err(AppendError::Records { .. }) => {
                self.stats.skipped += 1;
                return Ok(());
            }
            Err(e) => return Err(fail(Box::new(e))),
        }
        let (sim_time, had_checksum) = (frame.head.sim_time(), frame.head.checksum.is_some());
        let checksum = had_checksum || self.options.checksum == Some(Checksum::Always);
        slot.publish_recorded(sim_time, checksum).map_err(|e| fail(Box::new(e)))?;
        self.stats.published += 1;
        Ok(())
    }
}
