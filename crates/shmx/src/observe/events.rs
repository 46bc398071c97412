//! Regions that come, go, or are replaced.

use super::inspector::Inspector;
use super::listing::{RegionKind, kind_of};
use super::state::ServerState;
use crate::error::{OpenError, ServerEnd};
use shmx_os::{NameChanges, NameWatch, NameWatchKind, OsError};
use std::collections::{HashMap, VecDeque};
use std::fmt;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegionChange {
    /// There is a region with a server that lives.
    Appeared,
    /// Another server has the name now. What became of the one before may not have been seen.
    Replaced,
    /// The region's server is gone; `None` if it lives and only its name was taken away.
    Ended(Option<ServerEnd>),
}

/// A change of a region, as [`RegionEvents`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionEvent {
    /// Name of the region, without leading `/`.
    pub name: String,
    /// What happened.
    pub change: RegionChange,
}

/// Tells when regions appear, end or are replaced: all of this machine, or those of some names.
///
/// It begins with an [`RegionChange::Appeared`] for each region whose server lives. On Linux it sleeps until something
/// happens (inotify), also to a server that is killed; elsewhere, and where inotify is used up, it reads the list of
/// names every 20 ms. It only looks, and takes no reader slot.
///
/// Two changes that follow each other at once may be told as the later one only. On Linux it is a descriptor for event
/// loops, too: call [`RegionEvents::next`] with a timeout of zero until it brings nothing. What could not be looked at,
/// for want of descriptors say, is looked at again by the next call from 0.1 s on.
///
/// ```
/// # #[cfg(not(target_os = "macos"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{RegionChange, RegionEvents, Server};
/// use std::time::Duration;
///
/// let name = format!("doc-events-{}", std::process::id());
/// let mut events = RegionEvents::of(&[&name])?;
/// let server = Server::builder(&name).create()?;
/// let event = events.next(Duration::from_secs(5))?.expect("it has appeared");
/// assert_eq!((event.name, event.change), (name, RegionChange::Appeared));
/// # Ok(()) }
/// # #[cfg(target_os = "macos")]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct RegionEvents {
    watch: NameWatch,
    wanted: Wanted,
    /// Regions with a server that lived when they were looked at last. The mapping says how it ended, when there is
    /// nothing to open any more.
    known: HashMap<String, Box<Inspector>>,
    /// What was found and not told yet.
    found: VecDeque<RegionEvent>,
    /// A look at everything is due.
    fresh: bool,
    /// Another is due then, as something could not be looked at.
    again: Option<Instant>,
}

/// Which names are looked at.
struct Wanted(Box<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted")
    }
}

/// Longest sleep before the servers of known regions are looked at.
const SLICE: Duration = Duration::from_millis(100);
/// After what time a look that failed is taken again.
const AGAIN: Duration = Duration::from_millis(100);

impl RegionEvents {
    /// Of all regions.
    ///
    /// # Errors
    ///
    /// [`OsError::Unsupported`] where the platform cannot list objects (macOS); [`OsError::Os`] otherwise.
    pub fn new() -> Result<Self, OsError> {
        Self::of(&[])
    }

    /// Of these names; of all regions if there are none.
    ///
    /// # Errors
    ///
    /// As [`RegionEvents::new`].
    pub fn of(names: &[&str]) -> Result<Self, OsError> {
        let names: Vec<String> = names.iter().map(|name| name.trim_start_matches('/').to_owned()).collect();
        Self::matching(move |name| names.is_empty() || names.iter().any(|n| n == name))
    }

    /// Of those whose names, without leading `/`, are wanted. Others are not opened.
    ///
    /// # Errors
    ///
    /// As [`RegionEvents::new`].
    pub fn matching(wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Result<Self, OsError> {
        Ok(Self {
            watch: NameWatch::new()?,
            wanted: Wanted(Box::new(wanted)),
            known: HashMap::new(),
            found: VecDeque::new(),
            fresh: true,
            again: None,
        })
    }

    /// How it learns of changes.
    #[must_use]
    pub fn kind(&self) -> NameWatchKind {
        self.watch.kind()
    }

    /// The next event; `None` when the time is up.
    ///
    /// # Errors
    ///
    /// [`OsError::Forked`] in a forked child; [`OsError::Os`] where the names cannot be listed any more.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<RegionEvent>, OsError> {
        let start = Instant::now();
        loop {
            if std::mem::take(&mut self.fresh) || self.again.is_some_and(|at| Instant::now() >= at) {
                self.again = None;
                self.look(|_| true)?;
            }
            if let Some(event) = self.found.pop_front() {
                return Ok(Some(event));
            }
            let left = timeout.saturating_sub(start.elapsed());
            match self.watch.next(left.min(SLICE))? {
                Some(changes) => self.look(|name| touches(&changes, name))?,
                None => {
                    self.look_for_the_dead();
                    if left.is_zero() && self.found.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The kernel tells of a closed file a moment before it lets its locks go, and a list of names says nothing of it.
    fn look_for_the_dead(&mut self) {
        let Self { known, found, .. } = self;
        known.retain(|name, region| {
            let gone = region.server_state().is_gone();
            if gone {
                found.push_back(RegionEvent { name: name.clone(), change: ended(region) });
            }
            !gone
        });
    }

    /// Looks at the names for which `touched` says so, and notes what has changed. Where the system fails, for want of
    /// descriptors say, the change was told and not seen: all is looked at again a little later.
    fn look(&mut self, touched: impl Fn(&str) -> bool) -> Result<(), OsError> {
        let Self { wanted, known, found, again, .. } = self;
        // One that is due stays so: what could not be looked at then may be no part of this look.
        let mut look_again = || {
            again.get_or_insert_with(|| Instant::now() + AGAIN);
        };
        let mut tell = |name: &str, change| found.push_back(RegionEvent { name: name.to_owned(), change });
        let mut there = Vec::new();
        for object in shmx_os::list().inspect_err(|_| look_again())? {
            let name = object.name.as_str();
            there.push(name.to_owned());
            if !touched(name) || !(wanted.0)(name) {
                continue;
            }
            // What cannot be opened has gone again, is not finished, or is nothing of ours.
            let (server, inspector) = match kind_of(&object) {
                RegionKind::Region { server, inspector } => (server, inspector),
                RegionKind::Unreadable(OpenError::Os(shmx_os::OpenError::Os { .. })) => {
                    look_again();
                    continue;
                }
                _ => continue,
            };
            if server.is_gone() {
                if let Some(before) = known.remove(name) {
                    tell(name, ended(&before));
                }
                continue;
            }
            let session = |i: &Inspector| i.header().session_id;
            match known.insert(name.to_owned(), inspector) {
                None => tell(name, RegionChange::Appeared),
                Some(before) if Some(session(&before)) != known.get(name).map(|i| session(i)) => {
                    tell(name, RegionChange::Replaced);
                }
                Some(_) => {}
            }
        }
        known.retain(|name, before| {
            let stays = there.contains(name);
            if !stays {
                tell(name, ended(before));
            }
            stays
        });
        Ok(())
    }
}

/// What became of a region that is not there any more.
fn ended(before: &Inspector) -> RegionChange {
    RegionChange::Ended(match before.server_state() {
        ServerState::Closed => Some(ServerEnd::Closed),
        ServerState::Died => Some(ServerEnd::Died),
        _ => None,
    })
}

fn touches(changes: &NameChanges, name: &str) -> bool {
    shmx_os::RegionName::new(name).is_ok_and(|name| changes.touch(&name))
}

#[cfg(target_os = "linux")]
impl AsFd for RegionEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{Server, remove};
    use std::process::{Command, Stdio};

    const REGION: &str = "SHMX_TEST_REGION";

    /// Not a test by itself.
    #[test]
    fn one_server() {
        let Ok(name) = std::env::var(REGION) else { return };
        let _server = Server::builder(&name).create().unwrap();
        // Until it is killed, or the parent is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
    }

    /// As an event loop asks, which never waits: the name of who is killed stays as it was.
    #[test]
    fn a_death_is_told_without_waiting_and_without_inotify() {
        let name = format!("shmx-events-{}", std::process::id());
        let mut events = RegionEvents::of(&[&name]).unwrap();
        events.watch = NameWatch::polling().unwrap();
        // Behind the words of an emulator where the tests run in one.
        let runner = std::env::var("SHMX_RUNNER").unwrap_or_default();
        let program = std::env::current_exe().unwrap();
        let mut words = runner.split_whitespace().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["observe::events::tests::one_server", "--exact"])
            .env(REGION, &name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let mut next = || loop {
            assert!(Instant::now() < end, "no event");
            match events.next(Duration::ZERO).unwrap() {
                Some(event) => break event.change,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(next(), RegionChange::Appeared);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(next(), RegionChange::Ended(Some(ServerEnd::Died)));
        remove(&name, false).unwrap();
    }
}
