//! What all viewers share, and how many there are.

use crate::feed::Feeds;
use crate::gate::Gate;
use crate::protocol::Reply;
use crate::regions::Regions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often the state of regions is told.
const STATE_EVERY: Duration = Duration::from_millis(500);
/// Pages and Foxglove clients at once.
pub(crate) const MOST_VIEWERS: usize = 32;

/// What all viewers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) regions: Arc<Regions>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) host: String,
    pub(crate) control: bool,
    /// Where Foxglove connects, without the token.
    pub(crate) foxglove: Option<String>,
    pub(crate) gate: Gate,
    states: watch::Sender<Arc<str>>,
    lookers: AtomicUsize,
    looked: Notify,
    viewers: AtomicUsize,
}

/// Somebody looks, until it is dropped.
#[derive(Debug)]
pub(crate) struct Looking(Arc<App>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.lookers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Viewer(Arc<App>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl App {
    pub(crate) fn new(
        regions: Arc<Regions>,
        feeds: Arc<Feeds>,
        gate: Gate,
        control: bool,
        foxglove: Option<String>,
    ) -> Self {
        Self {
            regions,
            feeds,
            host: host_name(),
            control,
            foxglove,
            gate,
            states: watch::Sender::new("".into()),
            lookers: AtomicUsize::new(0),
            looked: Notify::new(),
            viewers: AtomicUsize::new(0),
        }
    }

    pub(crate) fn states(&self) -> watch::Receiver<Arc<str>> {
        let mut states = self.states.subscribe();
        states.mark_unchanged();
        states
    }

    pub(crate) fn look(self: &Arc<Self>) -> Looking {
        self.lookers.fetch_add(1, Ordering::Relaxed);
        self.looked.notify_one();
        Looking(Arc::clone(self))
    }

    /// Lets a viewer in, if there are not too many.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Viewer> {
        let entered = self.viewers.fetch_add(1, Ordering::Relaxed) < MOST_VIEWERS;
        let viewer = Viewer(Arc::clone(self));
        entered.then_some(viewer)
    }

    /// Tells the state of regions while somebody looks.
    pub(crate) async fn tell(self: Arc<Self>) {
        loop {
            while self.lookers.load(Ordering::Relaxed) == 0 {
                self.looked.notified().await;
            }
            let regions = Arc::clone(&self.regions);
            let states =
                tokio::task::spawn_blocking(move || Reply::Regions { regions: &regions.states() }.text()).await;
            if let Ok(text) = states {
                self.states.send_replace(text.into());
            }
            // Who comes meanwhile is told at once.
            let _ = tokio::time::timeout(STATE_EVERY, self.looked.notified()).await;
        }
    }
}

fn host_name() -> String {
    let read = |path| std::fs::read_to_string(path).ok().map(|t: String| t.trim().to_owned());
    read("/proc/sys/kernel/hostname").filter(|n| !n.is_empty()).unwrap_or_else(|| "this machine".to_owned())
}
