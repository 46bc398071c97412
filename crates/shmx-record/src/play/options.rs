//! How recordings are replayed, and what a player tells.

use crate::error::PlayError;
use crate::read::Recording;
use crate::recorder::Selection;
use shmx::Checksum;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How a recording is replayed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlayOptions {
    /// Speed: 1 as recorded, 2 twice as fast; infinite as fast as possible. Default 1.
    pub rate: f64,
    /// Begin again at the end. Default false.
    pub repeat: bool,
    /// Where to begin, from the beginning of the recording.
    pub from: Duration,
    /// Where to end, from the beginning of the recording.
    pub to: Option<Duration>,
    /// Regions to replay, by name or pattern ([`Selection`](crate::Selection)); all if empty.
    pub regions: Vec<String>,
    /// Other names for regions: as recorded, and as replayed.
    pub names: Vec<(String, String)>,
    /// Put before each region's name that [`PlayOptions::names`] does not change.
    pub prefix: String,
    /// Streams to replay, by name or number; all if empty. The directory lists all of them anyway, and frames without
    /// any of these are left out.
    pub streams: Vec<String>,
    /// How long a frame waits for a slot that no reader holds before it is skipped. Up to 64 frames of a region wait, and
    /// frames of other regions go on meanwhile. Default 20 ms.
    pub slot_wait: Duration,
    /// Permission bits of the regions. Default 0o600.
    pub mode: u32,
    /// Group of the regions, by number; without it that of the process.
    pub group: Option<u32>,
    /// Replace regions that hold no liveness lock, or what is no region at all.
    pub replace: bool,
    /// Which frames carry a checksum. Default `None`: those that had one, and all while a reader needs them; none where the
    /// recorded server wrote none.
    pub checksum: Option<Checksum>,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self {
            rate: 1.0,
            repeat: false,
            from: Duration::ZERO,
            to: None,
            regions: Vec::new(),
            names: Vec::new(),
            prefix: String::new(),
            streams: Vec::new(),
            slot_wait: Duration::from_millis(20),
            mode: 0o600,
            group: None,
            replace: false,
            checksum: None,
        }
    }
}

impl PlayOptions {
    /// The name under which a recorded region is replayed.
    pub(super) fn name_of(&self, region: &str) -> String {
        let renamed = self.names.iter().find(|(recorded, _)| recorded == region);
        renamed.map_or_else(|| format!("{}{region}", self.prefix), |(_, name)| name.clone())
    }

    /// Whether the region is to be replayed.
    pub(super) fn is_chosen(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|r| r == region)
    }

    /// Names the regions that are to be replayed. Checks whether all that is named is in the recording, and each region
    /// has a name of its own.
    pub(super) fn resolve(&mut self, recording: &Recording) -> Result<(), PlayError> {
        let known = recording.regions();
        let missing = |wanted: &str| PlayError::NoSuchRegion { wanted: wanted.to_owned(), has: known.join(", ") };
        if !self.regions.is_empty() {
            let chosen = Selection::choose(&self.regions, known).map_err(missing)?;
            self.regions = chosen.into_iter().map(str::to_owned).collect();
        }
        if let Some((wanted, _)) = self.names.iter().find(|(recorded, _)| !known.contains(recorded)) {
            return Err(missing(wanted));
        }
        if let Some((region, _)) = self.names.iter().find(|(recorded, _)| !self.is_chosen(recorded)) {
            return Err(PlayError::NotChosen { region: region.clone() });
        }
        let mut names = HashSet::new();
        let chosen = recording.regions().iter().filter(|r| self.is_chosen(r));
        if let Some(name) = chosen.map(|r| self.name_of(r)).find(|name| !names.insert(name.clone())) {
            return Err(PlayError::SameName { name });
        }
        if self.streams.is_empty() {
            return Ok(());
        }
        let segments = recording.segments();
        let chosen = || segments.iter().filter(|s| self.is_chosen(&s.segment.region));
        let all = || chosen().flat_map(|s| &s.directory.streams);
        let listed = |wanted: &String| all().any(|s| s.is_called(wanted));
        let Some(wanted) = self.streams.iter().find(|s| !listed(s)) else { return Ok(()) };
        let mut has: Vec<_> = all().map(|s| s.name_lossy()).collect();
        has.sort_unstable();
        has.dedup();
        Err(PlayError::NoSuchStream { wanted: wanted.clone(), has: has.join(", ") })
    }
}

/// What was replayed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayStats {
    /// Frames published.
    pub published: u64,
    /// Frames left out because readers held every slot.
    pub skipped: u64,
    /// Segments begun.
    pub segments: u64,
    /// Times the recording began again.
    pub loops: u64,
}

/// When to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// A frame, or the beginning or end of a region, is due then.
    Due(Instant),
    /// Playing is paused.
    Paused,
    /// The end is reached.
    End,
}

/// What [`crate::Player::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Played {
    /// Published a frame, or left it out because readers held every slot.
    Frame,
    /// Began or ended a region.
    Region,
    /// Nothing: frames wait for slots that readers hold. [`crate::Player::next`] says when to try again.
    Waiting,
    /// Nothing: the end is reached.
    End,
}
