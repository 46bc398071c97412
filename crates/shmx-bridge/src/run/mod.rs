//! A bridge at work: one thread offers regions, one looks for those of others, and each region on its way to or from a
//! peer has one, so that a slow peer holds up nobody else.

mod event;
mod export;
mod import;
mod inbox;
mod link;
mod options;
mod presence;
mod shared;

pub use event::{Event, MirrorStatus, RelayStatus, Status};
pub use options::{Import, Options, OptionsError};
pub use shared::Tell;

use crate::backend::{Backend, BackendError};
use crate::codec::Codecs;
use crate::keys::{ALL_OFFERS, Peer, peer_of};
use crate::mark::is_mirror;
use crate::wire::{Offers, WireError};
use export::Exporter;
use import::Importer;
use shared::Shared;
use shmx::{RegionKind, ServerState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A bridge at work, until it is dropped: its mirrors end with it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Stream};
/// use shmx_bridge::{Bridge, Export, Import, NoCodecs, Options, Patterns, fake::Net};
/// use std::{sync::Arc, time::Duration};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let name = format!("doc-bridge-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// let mut frame = server.begin_frame()?;
/// frame.append_value(TICK, 7)?;
/// frame.publish_frame(0.5)?;
///
/// let net = Net::default();
/// let start = |options| Bridge::start(Arc::new(net.host()), Arc::new(NoCodecs), options, Arc::new(|_| {}));
/// let export = vec![Export { regions: Patterns::new([&name[..]]), ..Export::default() }];
/// let _robot = start(Options { host: "robot".into(), export, ..Options::default() })?;
/// let import = vec![Import { regions: Patterns::new(["robot/*"]), ..Import::default() }];
/// let _desk = start(Options { host: "desk".into(), import, ..Options::default() })?;
///
/// let mirror = format!("robot.{name}");
/// let mut client = Client::open_within(&mirror, Duration::from_secs(20))?;
/// let frame = client.next(Duration::from_secs(20))?.expect("the newest frame comes at once");
/// assert_eq!(frame.value(TICK)?, 7);
/// # Ok(()) }
/// ```
pub struct Bridge {
    shared: Arc<Shared>,
    exporter: Arc<Exporter>,
    importer: Arc<Importer>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

impl Bridge {
    /// Begins to work. `tell` gets what happens, on threads of the bridge; it is short and calls nothing of it.
    ///
    /// # Errors
    ///
    /// [`OptionsError`].
    pub fn start(
        backend: Arc<dyn Backend>,
        codecs: Arc<dyn Codecs>,
        options: Options,
        tell: Tell,
    ) -> Result<Self, OptionsError> {
        options.check()?;
        let me = Peer { host: options.host.clone(), id: fastrand::u64(1..) };
        let shared = Arc::new(Shared { me, backend, codecs, options, tell, stop: AtomicBool::new(false) });
        let (exporter, importer) = (Exporter::new(shared.clone()), Importer::new(shared.clone()));
        let (export, import) = (exporter.clone(), importer.clone());
        let threads = vec![
            work("offers", shared.clone(), move || export.run()),
            work("looks for regions", shared.clone(), move || import.run()),
        ];
        Ok(Self { shared, exporter, importer, threads })
    }

    /// Who it is to others.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.shared.me
    }

    /// Names and patterns that are exported, of which there is no region now.
    #[must_use]
    pub fn exports_in_vain(&self) -> Vec<String> {
        self.exporter.in_vain()
    }

    /// Names and patterns that are imported, of which no bridge that is reached now offers any region.
    #[must_use]
    pub fn imports_in_vain(&self) -> Vec<String> {
        self.importer.in_vain()
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> Status {
        let (exporter, importer) = (&self.exporter, &self.importer);
        Status { offers: exporter.offers(), sending: exporter.sending(), mirrors: importer.mirrors() }
    }
}

/// Runs one side until the bridge is stopped; a network that fails is tried again.
fn work(
    what: &'static str,
    shared: Arc<Shared>,
    run: impl Fn() -> Result<(), BackendError> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Err(e) = run() {
            if shared.stopped() {
                break;
            }
            shared.trouble(what, e);
            thread::sleep(Duration::from_secs(1));
        }
    })
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.backend.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A bridge, and what it offers as far as that can be read.
pub type BridgeOffers = (Peer, Result<Offers, WireError>);

/// How often it is asked: a link may not stand yet.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Longest that is waited for the answers to one question.
const ONE_ASK: Duration = Duration::from_secs(3600);

/// What the bridges on a network offer: each with its last answer. Asks until the time is up, as some are reached later
/// than others.
///
/// # Errors
///
/// [`BackendError`], as long as nobody has answered.
pub fn ask_offers(backend: &dyn Backend, timeout: Duration) -> Result<Vec<BridgeOffers>, BackendError> {
    let start = Instant::now();
    let left = || timeout.saturating_sub(start.elapsed());
    let mut all = BTreeMap::new();
    loop {
        match backend.ask(ALL_OFFERS, Vec::new(), left().min(ONE_ASK)) {
            Ok(answers) => {
                let read = |(key, answer): (String, Vec<u8>)| Some((peer_of(&key)?, Offers::decode(&answer)));
                all.extend(answers.into_iter().filter_map(read));
            }
            Err(e) if all.is_empty() => return Err(e),
            // Those that have answered are no less there.
            Err(_) => {}
        }
        if left().is_zero() {
            return Ok(all.into_iter().collect());
        }
        thread::sleep(ASK_AGAIN.min(left()));
    }
}

/// Mirrors that a killed bridge has left, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Names of those that were removed.
    pub removed: Vec<String>,
    /// Names of those that could not be, and why.
    pub failed: Vec<(String, String)>,
}

/// Removes mirrors that a bridge has left which was killed.
///
/// # Errors
///
/// Regions cannot be listed.
pub fn remove_stale() -> Result<Stale, shmx::error::os::OsError> {
    let mut stale = Stale::default();
    for listed in shmx::list()? {
        let RegionKind::Region { server: ServerState::Died, inspector } = &listed.kind else { continue };
        let name = listed.object.name.as_str();
        if !inspector.directory().is_ok_and(|d| is_mirror(&d)) {
            continue;
        }
        match shmx::remove(name, false) {
            Ok(_) => stale.removed.push(name.to_owned()),
            Err(e) => stale.failed.push((name.to_owned(), e.to_string())),
        }
    }
    Ok(stale)
}
