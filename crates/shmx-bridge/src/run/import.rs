//! The side that finds regions of other hosts and keeps mirrors of them.

use super::event::MirrorStatus;
use super::link::Link;
use super::presence::Presence;
use super::shared::{Shared, lock};
use crate::keys::{ALL_REGIONS, OfferKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A link to one region of one host, by both names.
type Links = BTreeMap<(String, String), (Arc<Mutex<Option<MirrorStatus>>>, JoinHandle<()>)>;

pub(super) struct Importer {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    links: Mutex<Links>,
    /// Regions for which there was no room, as was said.
    too_many: Mutex<BTreeSet<(String, String)>>,
}

impl Importer {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, presence: Arc::default(), links: Mutex::default(), too_many: Mutex::default() })
    }

    pub(super) fn mirrors(&self) -> Vec<MirrorStatus> {
        lock(&self.links).values().filter_map(|(status, _)| lock(status).clone()).collect()
    }

    /// Names and patterns that are imported and that nothing on offer matches.
    pub(super) fn in_vain(&self) -> Vec<String> {
        let offered = self.presence.wanted(|o| o.peer.id != self.shared.me.id);
        let names: Vec<_> = offered.iter().map(|(host, region)| format!("{host}/{region}")).collect();
        self.shared.options.import.iter().flat_map(|i| i.regions.in_vain(&names)).collect()
    }

    /// Works until the bridge is stopped.
    pub(super) fn run(self: &Arc<Self>) -> Result<(), crate::BackendError> {
        if self.shared.options.import.is_empty() {
            return Ok(());
        }
        let presence = self.presence.clone();
        let _watch = self.shared.backend.watch(ALL_REGIONS, Box::new(move |key, there| presence.note(key, there)))?;
        while !self.shared.stopped() {
            self.begin_links();
            // A change may be one of many; a moment later all of them are there.
            self.presence.pause(Duration::from_millis(20));
        }
        for (_, thread) in std::mem::take(&mut *lock(&self.links)).into_values() {
            let _ = thread.join();
        }
        Ok(())
    }

    fn begin_links(&self) {
        let (shared, options) = (&self.shared, &self.shared.options);
        let me = shared.me.id;
        let mut links = lock(&self.links);
        links.retain(|_, (_, thread)| !thread.is_finished());
        let wanted = |o: &OfferKey| o.peer.id != me && options.import_of(&o.peer.host, &o.region).is_some();
        let all = self.presence.wanted(wanted);
        lock(&self.too_many).retain(|key| all.contains(key));
        for (host, region) in all {
            let key = (host.clone(), region.clone());
            if links.contains_key(&key) {
                continue;
            }
            if links.len() >= options.mirrors {
                // Looked for again and again; what is not mirrored is said once.
                if lock(&self.too_many).insert(key) {
                    let most = options.mirrors;
                    let what =
                        format!("there are {most} mirrors, as many as `mirrors` allows; raise it, or import less");
                    shared.trouble(format!("`{region}` of {host}"), what);
                }
                continue;
            }
            lock(&self.too_many).remove(&key);
            let Some(rule) = options.import_of(&host, &region).cloned() else { continue };
            let status = Arc::new(Mutex::new(None));
            let link = Link::new(shared.clone(), self.presence.clone(), (host, region.clone()), rule, status.clone());
            match thread::Builder::new().name(format!("mirror {region}")).spawn(move || link.run()) {
                Ok(thread) => drop(links.insert(key, (status, thread))),
                Err(e) => shared.trouble(format!("`{region}`"), e),
            }
        }
    }
}
