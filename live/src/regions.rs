//! Which regions there are, and what became of those that were.

use crate::pattern::Patterns;
use crate::state::{self, RegionState, Sample, StreamDescription};
use shmx::error::{OpenError, ServerEnd, os};
use shmx::{Inspector, RegionChange, RegionEvent, RegionEvents, RegionKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After what time a region that the system failed to open is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How often it is looked for regions that cannot be opened, while anybody looks.
const LOOK: Duration = Duration::from_secs(2);
/// Ended regions that are remembered.
const MOST_ENDED: usize = 64;

#[derive(Debug, Default)]
struct Known {
    /// While it is there.
    inspector: Option<Inspector>,
    /// The system failed to open it, for want of descriptors say.
    again: bool,
    ended: Option<&'static str>,
    /// Counts the ends, so that the oldest is forgotten first.
    ended_at: u64,
    sample: Option<Sample>,
}

impl Known {
    fn open(&mut self, name: &str) {
        let opened = Inspector::open(name);
        self.again = matches!(opened, Err(OpenError::Os(os::OpenError::Os { .. })));
        // It may be gone again: the next event says so.
        self.inspector = opened.ok();
    }
}

/// The regions that match, kept up to date by a thread of their own.
#[derive(Debug)]
pub(crate) struct Regions {
    patterns: Patterns,
    known: Mutex<BTreeMap<String, Known>>,
    closed: Mutex<Closed>,
}

/// Those that match and cannot be opened, and why.
#[derive(Debug, Default)]
struct Closed {
    looked: Option<Instant>,
    why: BTreeMap<String, (&'static str, String)>,
}

impl Regions {
    /// Begins to follow them.
    ///
    /// # Errors
    ///
    /// The platform cannot list regions, or inotify and threads are used up.
    pub(crate) fn follow(patterns: Patterns) -> anyhow::Result<Arc<Self>> {
        let waited_for = patterns.plain().map(|name| (name.to_owned(), Known::default())).collect();
        // What is not shown is not opened either: another process may cut it short at any time.
        let shown = patterns.clone();
        let mut events = RegionEvents::matching(move |name| shown.matches(name))?;
        let regions = Arc::new(Self { patterns, known: Mutex::new(waited_for), closed: Mutex::default() });
        // What is there already, before anybody asks.
        while let Some(event) = events.next(Duration::ZERO)? {
            regions.note(event);
        }
        let shared = Arc::clone(&regions);
        std::thread::Builder::new().name("regions".into()).spawn(move || {
            let mut told = false;
            loop {
                let wait = if shared.open_again() { AGAIN } else { Duration::from_secs(3600) };
                match events.next(wait) {
                    Ok(event) => {
                        told = false;
                        event.into_iter().for_each(|e| shared.note(e));
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut told, true) {
                            tracing::warn!(%error, "regions cannot be listed; it is tried again");
                        }
                        std::thread::sleep(Duration::from_secs(1));
                    }
                }
            }
        })?;
        Ok(regions)
    }

    pub(crate) fn shows(&self, name: &str) -> bool {
        self.patterns.matches(name)
    }

    /// Whether it is or was there, or is waited for.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn note(&self, event: RegionEvent) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.values().map(|k| k.ended_at).max().unwrap_or(0) + 1;
        let entry = known.entry(event.name.clone()).or_default();
        match event.change {
            RegionChange::Ended(end) => {
                (entry.inspector, entry.again) = (None, false);
                entry.ended_at = count;
                entry.ended = Some(match end {
                    Some(ServerEnd::Closed) => "closed",
                    Some(ServerEnd::Died) => "died",
                    _ => "ended",
                });
            }
            _ => {
                entry.ended = None;
                entry.sample = None;
                entry.open(&event.name);
            }
        }
        while known.values().filter(|k| k.ended.is_some()).count() > MOST_ENDED {
            let oldest = known.iter().filter(|k| k.1.ended.is_some()).min_by_key(|k| k.1.ended_at);
            let Some(oldest) = oldest.map(|k| k.0.clone()) else { break };
            known.remove(&oldest);
        }
    }

    /// Tries again to open what the system failed to open. Says whether there is more of that.
    fn open_again(&self) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter_mut().filter(|k| k.1.again).for_each(|(name, k)| k.open(name));
        known.values().any(|k| k.again)
    }

    /// Looks for those that cannot be opened, and gives them with the reason.
    fn closed(&self) -> BTreeMap<String, (&'static str, String)> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            closed.looked = Some(Instant::now());
            let open = self.names();
            let all = shmx::list_matching(|name| self.shows(name) && !open.iter().any(|o| o == name));
            let why = all.into_iter().flatten().filter_map(|listed| {
                let why = match listed.kind {
                    RegionKind::Unreadable(e) => ("unreadable", format!("{e:?}")),
                    RegionKind::Damaged(e) => ("damaged", e.to_string()),
                    _ => return None,
                };
                Some((listed.object.name.as_str().to_owned(), why))
            });
            closed.why = why.collect();
        }
        closed.why.clone()
    }

    /// All of them at this moment, by name.
    pub(crate) fn states(&self) -> Vec<RegionState> {
        let mut closed = self.closed();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let states = known.iter_mut().map(|(name, k)| {
            // Of what another process has cut, nothing may be touched.
            let open = k.inspector.as_ref().filter(|i| i.is_whole());
            let facts = open.map(|i| state::facts(i, &mut k.sample));
            let mut problem = None;
            let word = match (k.ended, open) {
                (Some(end), _) => end,
                (None, Some(i)) => state::word(i.server_state()),
                (None, None) => closed.remove(name).map_or("absent", |(word, why)| {
                    problem = Some(why);
                    word
                }),
            };
            RegionState { name: name.clone(), state: word, problem, facts }
        });
        let mut states: Vec<_> = states.collect();
        closed.retain(|name, _| !known.contains_key(name));
        let closed = closed.into_iter();
        states.extend(closed.map(|(name, (state, why))| RegionState { name, state, problem: Some(why), facts: None }));
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    /// Names of the regions that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|k| k.1.inspector.is_some()).map(|k| k.0.clone()).collect()
    }

    /// Session, generation and streams of a region.
    pub(crate) fn directory(&self, name: &str) -> Option<(String, u32, Vec<StreamDescription>)> {
        self.with(name, |i| {
            let d = i.directory().ok()?;
            let streams = d.streams.iter().map(state::describe).collect();
            Some((format!("{:016x}", d.session_id), d.generation, streams))
        })
    }

    /// Looks into a region that is there.
    pub(crate) fn with<T>(&self, name: &str, look: impl FnOnce(&Inspector) -> Option<T>) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(known.get(name)?.inspector.as_ref().filter(|i| i.is_whole())?)
    }
}
