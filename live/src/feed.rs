//! The frames of a region for those who look: one thread and one tap for each region, and none while nobody looks.
//!
//! A viewer gets its next frame when it has dealt with the one before ([`Subscription::ready`]), and then the newest:
//! there is no queue to grow.

use crate::clock;
use crate::encode::Plan;
use shmx::error::ReadError;
use shmx::{Frame, ServerState, Start, Tap};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Makes of a frame what one viewer gets; called on the region's thread.
pub(crate) trait Encode: Send + Sync {
    /// The messages; none: the frame is nothing for this viewer, who stays ready.
    fn encode(&self, region: &str, frame: &Frame<'_>, time: u64, plan: &Plan) -> Vec<Vec<u8>>;
}

/// Messages of one frame of a region.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) region: Arc<str>,
    pub(crate) messages: Vec<Vec<u8>>,
}

struct Viewer {
    id: u64,
    encode: Arc<dyn Encode>,
    ready: bool,
    /// Session and frame it got last.
    last: Option<(u64, u64)>,
    /// At most one delivery is under way, so what waits there is bounded.
    out: UnboundedSender<Delivery>,
}

#[derive(Default)]
struct State {
    viewers: Vec<Viewer>,
    /// Session and frame of the newest one that somebody got.
    newest: Option<(u64, u64)>,
    /// The thread has ended, or is about to.
    over: bool,
}

impl State {
    /// Whether somebody who is ready has not even seen what others have; `None` if nobody is ready.
    fn fresh(&self) -> Option<bool> {
        let mut ready = self.viewers.iter().filter(|v| v.ready).peekable();
        ready.peek()?;
        Some(ready.any(|v| v.last.is_none() || self.newest.is_some() && v.last != self.newest))
    }
}

struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All regions that are looked at.
pub(crate) struct Feeds {
    feeds: Mutex<HashMap<String, Arc<Feed>>>,
    /// Least time between two frames of a region.
    interval: Duration,
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}

/// A viewer of one region. Dropping it ends the reading, if it was the last one.
pub(crate) struct Subscription {
    feed: Arc<Feed>,
    id: u64,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Subscription {
    /// The next frame may come.
    pub(crate) fn ready(&self) {
        self.change(|v| v.ready = true);
    }

    /// Something else is wanted from now on; the newest frame comes again in that form, once the viewer is ready.
    pub(crate) fn want(&self, encode: Arc<dyn Encode>) {
        self.change(|v| (v.encode, v.last) = (encode, None));
    }

    fn change(&self, how: impl FnOnce(&mut Viewer)) {
        let mut state = lock(&self.feed.state);
        if let Some(v) = state.viewers.iter_mut().find(|v| v.id == self.id) {
            how(v);
        }
        drop(state);
        self.feed.changed.notify_all();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.feed.state).viewers.retain(|v| v.id != self.id);
        self.feed.changed.notify_all();
    }
}

/// Frames a second are counted over several, so that one that comes a little early is not left out.
const TOLERANCE: f64 = 0.75;

impl Feeds {
    pub(crate) fn new(rate: f64) -> Arc<Self> {
        Arc::new(Self { feeds: Mutex::default(), interval: Duration::from_secs_f64(TOLERANCE / rate) })
    }

    /// Begins to send the frames of a region, the newest one at once.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        region: &str,
        encode: Arc<dyn Encode>,
        out: UnboundedSender<Delivery>,
    ) -> std::io::Result<Subscription> {
        let mut feeds = lock(&self.feeds);
        let viewer = |id| Viewer { id, encode, ready: true, last: None, out };
        if let Some(feed) = feeds.get(region) {
            let mut state = lock(&feed.state);
            if !state.over {
                let id = state.viewers.iter().map(|v| v.id).max().unwrap_or(0) + 1;
                state.viewers.push(viewer(id));
                drop(state);
                feed.changed.notify_all();
                return Ok(Subscription { feed: Arc::clone(feed), id });
            }
        }
        let state = State { viewers: vec![viewer(1)], ..State::default() };
        let feed = Arc::new(Feed { state: Mutex::new(state), changed: Condvar::new() });
        let (shared, all, name) = (Arc::clone(&feed), Arc::downgrade(self), region.to_owned());
        let interval = self.interval;
        std::thread::Builder::new().name(format!("feed {region}")).spawn(move || {
            shared.run(&name, interval);
            shared.forget(&name, &all);
        })?;
        // It cannot have been forgotten yet: that takes the lock.
        feeds.insert(region.to_owned(), Arc::clone(&feed));
        Ok(Subscription { feed, id: 1 })
    }

    /// Regions that are being read.
    #[cfg(test)]
    pub(crate) fn active(&self) -> usize {
        lock(&self.feeds).len()
    }
}

/// How long a wait for a frame lasts before the viewers are asked again.
const SLICE: Duration = Duration::from_millis(100);
/// How often a region that is not there is looked for.
const OPEN_EVERY: Duration = Duration::from_millis(200);

/// What is open of the region.
struct Source {
    tap: Tap,
    plan: Plan,
}

/// What a step has led to.
enum After {
    Delivered,
    Waited,
    Rejected,
    Reopen,
    Gone,
}

impl Feed {
    fn forget(self: &Arc<Self>, name: &str, all: &Weak<Feeds>) {
        let Some(all) = all.upgrade() else { return };
        let mut feeds = lock(&all.feeds);
        if feeds.get(name).is_some_and(|f| Arc::ptr_eq(f, self)) {
            feeds.remove(name);
        }
    }

    fn run(&self, name: &str, interval: Duration) {
        let region: Arc<str> = name.into();
        let mut source: Option<Source> = None;
        // Session of the region that is left of a server that is gone.
        let mut gone = None;
        let mut due = Instant::now();
        while let Some(fresh) = self.wait_for_viewers(due) {
            let Some(open) = source.as_mut() else {
                source = open(name, gone);
                if source.is_none() {
                    self.rest(OPEN_EVERY);
                }
                continue;
            };
            match self.step(&region, open, fresh) {
                After::Delivered => due = Instant::now() + interval,
                After::Waited => {}
                After::Rejected => self.rest(Duration::from_millis(5)),
                After::Reopen => source = None,
                After::Gone => {
                    gone = Some(open.tap.session_id());
                    source = None;
                    self.rest(OPEN_EVERY);
                }
            }
        }
    }

    /// Waits for a frame and hands it out.
    fn step(&self, region: &Arc<str>, open: &mut Source, fresh: bool) -> After {
        let Source { tap, plan } = open;
        if !tap.is_whole() {
            return After::Gone;
        }
        if let Ok(Some(directory)) = tap.directory_changed() {
            *plan = Plan::of(&directory);
        }
        let (session, current) = (tap.session_id(), tap.is_current());
        // Who has just come sees the newest frame, however old it is.
        let found = if fresh { tap.latest() } else { tap.wait(SLICE) };
        match found {
            Ok(Some(frame)) if self.deliver(region, &frame, plan) => After::Delivered,
            // It was nothing for anybody.
            Ok(Some(_)) if fresh => After::Rejected,
            Ok(Some(_)) => After::Waited,
            Ok(None) if !current => After::Reopen,
            Ok(None) => {
                self.seen_nothing(session);
                After::Waited
            }
            Err(ReadError::ServerGone { .. }) => After::Gone,
            Err(ReadError::SessionChanged) => After::Reopen,
            Err(error) => {
                tracing::debug!(%error, region = &**region, "a frame was rejected");
                self.seen_nothing(session);
                After::Rejected
            }
        }
    }

    /// Sleeps until somebody is ready and the time has come; whether somebody has not even seen what others have.
    /// `None`: nobody looks any more.
    fn wait_for_viewers(&self, due: Instant) -> Option<bool> {
        let mut state = lock(&self.state);
        loop {
            if state.viewers.is_empty() {
                state.over = true;
                return None;
            }
            let left = due.saturating_duration_since(Instant::now());
            let fresh = state.fresh();
            if fresh.is_some() && left.is_zero() {
                return fresh;
            }
            let wait = if fresh.is_some() { left } else { Duration::from_secs(3600) };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A pause that the last viewer's leaving cuts short.
    fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = lock(&self.state);
        while !state.viewers.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// There is no frame yet: those who are ready wait for the first one.
    fn seen_nothing(&self, session: u64) {
        let mut state = lock(&self.state);
        // What others have seen of the session before is not to be had any more.
        state.newest = state.newest.filter(|(of, _)| *of == session);
        state.viewers.iter_mut().filter(|v| v.last.is_none()).for_each(|v| v.last = Some((session, 0)));
    }

    /// Hands the frame to those who are ready and have not had it; whether there was one.
    fn deliver(&self, region: &Arc<str>, frame: &Frame<'_>, plan: &Plan) -> bool {
        let this = (frame.session_id(), frame.frame_id());
        let due: Vec<(u64, Arc<dyn Encode>)> = lock(&self.state)
            .viewers
            .iter()
            .filter(|v| v.ready && v.last != Some(this))
            .map(|v| (v.id, Arc::clone(&v.encode)))
            .collect();
        let time = clock::published(frame);
        let mut any = false;
        for (id, encode) in due {
            // Without the lock: it takes long for large frames.
            let messages = encode.encode(region, frame, time, plan);
            let mut state = lock(&self.state);
            let State { viewers, newest, .. } = &mut *state;
            let Some(v) = viewers.iter_mut().find(|v| v.id == id) else { continue };
            if !Arc::ptr_eq(&v.encode, &encode) {
                // It wants something else by now; the next round has it.
                continue;
            }
            (v.last, *newest) = (Some(this), Some(this));
            if !messages.is_empty() {
                v.ready = false;
                any = true;
                // A viewer that is gone is about to end its subscription.
                let _ = v.out.send(Delivery { region: Arc::clone(region), messages });
            }
        }
        any
    }
}

/// Opens the region, unless it is what a server that is gone has left.
fn open(name: &str, gone: Option<u64>) -> Option<Source> {
    let tap = Tap::options().start(Start::Newest).open(name).ok()?;
    if gone == Some(tap.session_id()) && tap.state() != ServerState::Live {
        return None;
    }
    Some(Source { tap, plan: Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::{Server, Stream};
    use shmx_testkit::until;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    const TICK: Stream<u64> = Stream::new(1, "tick");

    struct Ticks;
    impl Encode for Ticks {
        fn encode(&self, _: &str, frame: &Frame<'_>, _: u64, _: &Plan) -> Vec<Vec<u8>> {
            vec![frame.value(TICK).unwrap().to_le_bytes().to_vec()]
        }
    }

    fn publish(server: &mut Server, tick: u64) {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(TICK, &[tick]).unwrap();
        f.publish_frame(0.0).unwrap();
    }

    fn next(from: &mut UnboundedReceiver<Delivery>) -> u64 {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match from.try_recv() {
                Ok(d) => return u64::from_le_bytes(d.messages[0].as_slice().try_into().unwrap()),
                Err(_) => assert!(Instant::now() < end, "no frame"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_viewer_that_is_not_ready_gets_nothing_and_then_the_newest() {
        let name = format!("shmx-live-feed-{}", std::process::id());
        let mut server = Server::builder(&name).stream(TICK, 1).create().unwrap();
        publish(&mut server, 1);
        let feeds = Feeds::new(1000.0);
        let (out, mut from) = unbounded_channel();
        let one = feeds.subscribe(&name, Arc::new(Ticks), out).unwrap();
        assert_eq!(next(&mut from), 1, "the newest at once");
        for tick in 2..=50 {
            publish(&mut server, tick);
        }
        // A second one is served meanwhile, which shows that the thread runs.
        let (out, mut other) = unbounded_channel();
        let two = feeds.subscribe(&name, Arc::new(Ticks), out).unwrap();
        assert_eq!(next(&mut other), 50);
        assert!(from.try_recv().is_err(), "nothing was queued for the first");
        one.ready();
        assert_eq!(next(&mut from), 50);
        one.want(Arc::new(Ticks));
        one.ready();
        assert_eq!(next(&mut from), 50, "again, in another form");
        assert_eq!(feeds.active(), 1);
        drop((one, two));
        until("nobody is fed", || feeds.active() == 0);
    }

    #[test]
    fn nothing_is_asked_in_vain_after_a_restart() {
        let name = format!("shmx-live-again-{}", std::process::id());
        let mut server = Server::builder(&name).stream(TICK, 1).create().unwrap();
        publish(&mut server, 1);
        let feeds = Feeds::new(1000.0);
        let (out, mut from) = unbounded_channel();
        let one = feeds.subscribe(&name, Arc::new(Ticks), out).unwrap();
        assert_eq!(next(&mut from), 1);
        drop(server);
        let mut server = Server::builder(&name).stream(TICK, 1).create().unwrap();
        one.want(Arc::new(Ticks));
        // There is no frame yet, so the next one is waited for.
        until("the next one is waited for", || {
            // The last frame of the old session may come once more.
            while from.try_recv().is_ok() {}
            one.ready();
            let state = lock(&one.feed.state);
            state.newest.is_none() && state.fresh() == Some(false)
        });
        publish(&mut server, 2);
        assert_eq!(next(&mut from), 2);
    }

    #[test]
    fn a_region_may_come_late_and_again() {
        let name = format!("shmx-live-late-{}", std::process::id());
        let feeds = Feeds::new(1000.0);
        let (out, mut from) = unbounded_channel();
        let one = feeds.subscribe(&name, Arc::new(Ticks), out).unwrap();
        for round in 1..=2 {
            let mut server = Server::builder(&name).stream(TICK, 1).create().unwrap();
            publish(&mut server, round);
            assert_eq!(next(&mut from), round);
            one.ready();
            publish(&mut server, round + 10);
            assert_eq!(next(&mut from), round + 10);
            one.ready();
        }
    }
}
