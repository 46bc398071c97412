//! A network in memory, for tests: links can be cut and slowed, and whoever is on it can say anything.

use crate::backend::{Backend, BackendError, Message, OnMessage, OnPresence, OnQuestion, Respond, Stands, Urgency};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Messages that are longer come in parts of so many bytes, as over a real network.
const BATCH: usize = 65_000;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a key fits a pattern.
fn fits(pattern: &str, key: &str) -> bool {
    let (mut p, mut k) = (pattern.split('/'), key.split('/'));
    loop {
        match (p.next(), k.next()) {
            (None, None) => return true,
            (Some(p), Some(k)) if p == "*" || p == k => {}
            _ => return false,
        }
    }
}

#[derive(Default)]
struct Shared {
    next: u64,
    /// Presences: whose, and the key.
    present: BTreeMap<u64, (usize, String)>,
    watchers: BTreeMap<u64, (usize, String, Arc<OnPresence>)>,
    subscribers: BTreeMap<u64, (usize, String, Arc<OnMessage>)>,
    answerers: BTreeMap<u64, (usize, String, Arc<OnQuestion>)>,
    /// Whether each host is cut off, and its bytes per second.
    cut: Vec<bool>,
    speed: Vec<u64>,
}

impl Shared {
    fn linked(&self, a: usize, b: usize) -> bool {
        a == b || !self.cut[a] && !self.cut[b]
    }
}

/// The network. Each host has one [`Node`].
///
/// ```
/// use shmx_bridge::{Backend, Urgency, fake::Net};
///
/// let net = Net::default();
/// let (a, b) = (net.host(), net.host());
/// let (send, receive) = std::sync::mpsc::channel();
/// let _subscribed = b.subscribe("x/*", Box::new(move |_, m| drop(send.send(m.whole().into_owned()))))?;
/// a.send("x/y", b"hello".to_vec(), Urgency::Data)?;
/// assert_eq!(receive.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<Shared>>, Arc<AtomicU64>);

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

/// A host on the network.
#[derive(Clone, Debug)]
pub struct Node {
    net: Net,
    me: usize,
}

impl Net {
    /// One more host.
    #[must_use]
    pub fn host(&self) -> Node {
        let mut shared = lock(&self.0);
        shared.cut.push(false);
        shared.speed.push(0);
        Node { net: self.clone(), me: shared.cut.len() - 1 }
    }

    /// Messages of data that were delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    /// Tells all watchers what has changed between two hosts or more.
    fn tell(&self, changes: Vec<(Arc<OnPresence>, String, bool)>) {
        for (watcher, key, present) in changes {
            watcher(&key, present);
        }
    }
}

impl Node {
    /// Cuts the host off, or links it again: what is said meanwhile is lost.
    pub fn set_cut(&self, cut: bool) {
        let mut shared = lock(&self.net.0);
        let before = std::mem::replace(&mut shared.cut[self.me], cut);
        if before == cut {
            return;
        }
        let mut changes = Vec::new();
        for (host, pattern, watcher) in shared.watchers.values() {
            for (whose, key) in shared.present.values() {
                let concerned = (*host == self.me) != (*whose == self.me);
                let other = if *host == self.me { *whose } else { *host };
                if concerned && !shared.cut[other] && fits(pattern, key) {
                    changes.push((watcher.clone(), key.clone(), !cut));
                }
            }
        }
        drop(shared);
        self.net.tell(changes);
    }

    /// What the host sends takes its time from now on; 0 for none.
    pub fn set_bytes_per_second(&self, speed: u64) {
        lock(&self.net.0).speed[self.me] = speed;
    }

    fn stand(&self, add: impl FnOnce(&mut Shared, u64)) -> u64 {
        let mut shared = lock(&self.net.0);
        shared.next += 1;
        let id = shared.next;
        add(&mut shared, id);
        id
    }
}

/// Takes a standing away when it is dropped.
struct Gone {
    node: Node,
    id: u64,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let mut shared = lock(&self.node.net.0);
        shared.watchers.remove(&self.id);
        shared.subscribers.remove(&self.id);
        shared.answerers.remove(&self.id);
        let Some((whose, key)) = shared.present.remove(&self.id) else { return };
        let watchers = shared.watchers.values().filter(|(host, p, _)| shared.linked(*host, whose) && fits(p, &key));
        let changes = watchers.map(|(.., w)| (w.clone(), key.clone(), false)).collect();
        drop(shared);
        self.node.net.tell(changes);
    }
}

impl Backend for Node {
    fn announce(&self, key: &str) -> Result<Stands, BackendError> {
        let id = self.stand(|s, id| drop(s.present.insert(id, (self.me, key.to_owned()))));
        let shared = lock(&self.net.0);
        let watchers = shared.watchers.values().filter(|(host, p, _)| shared.linked(*host, self.me) && fits(p, key));
        let changes = watchers.map(|(.., w)| (w.clone(), key.to_owned(), true)).collect();
        drop(shared);
        self.net.tell(changes);
        Ok(Box::new(Gone { node: self.clone(), id }))
    }

    fn watch(&self, pattern: &str, tell: OnPresence) -> Result<Stands, BackendError> {
        let tell = Arc::new(tell);
        let id = self.stand(|s, id| drop(s.watchers.insert(id, (self.me, pattern.to_owned(), tell.clone()))));
        let shared = lock(&self.net.0);
        let there = shared.present.values().filter(|(whose, key)| shared.linked(*whose, self.me) && fits(pattern, key));
        let changes = there.map(|(_, key)| (tell.clone(), key.clone(), true)).collect();
        drop(shared);
        self.net.tell(changes);
        Ok(Box::new(Gone { node: self.clone(), id }))
    }

    fn subscribe(&self, pattern: &str, tell: OnMessage) -> Result<Stands, BackendError> {
        let tell = Arc::new(tell);
        let id = self.stand(|s, id| drop(s.subscribers.insert(id, (self.me, pattern.to_owned(), tell))));
        Ok(Box::new(Gone { node: self.clone(), id }))
    }

    fn send(&self, key: &str, message: Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        let speed = lock(&self.net.0).speed[self.me];
        if speed > 0 && urgency == Urgency::Data {
            std::thread::sleep(Duration::from_secs_f64(message.len() as f64 / speed as f64));
        }
        let shared = lock(&self.net.0);
        let here = shared.subscribers.values().filter(|(host, p, _)| shared.linked(*host, self.me) && fits(p, key));
        let subscribers: Vec<_> = here.map(|(.., s)| s.clone()).collect();
        drop(shared);
        let parts: Vec<&[u8]> = message.chunks(BATCH).collect();
        for s in subscribers {
            self.net.1.fetch_add((urgency == Urgency::Data).into(), Ordering::Relaxed);
            s(key, Message(&parts));
        }
        Ok(())
    }

    fn answer(&self, key: &str, tell: OnQuestion) -> Result<Stands, BackendError> {
        let tell = Arc::new(tell);
        let id = self.stand(|s, id| drop(s.answerers.insert(id, (self.me, key.to_owned(), tell))));
        Ok(Box::new(Gone { node: self.clone(), id }))
    }

    fn ask(&self, pattern: &str, question: Vec<u8>, timeout: Duration) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        let end = Instant::now() + timeout;
        let shared = lock(&self.net.0);
        let here = shared.answerers.values().filter(|(h, k, _)| shared.linked(*h, self.me) && fits(pattern, k));
        let answerers: Vec<_> = here.map(|(_, key, a)| (key.clone(), a.clone())).collect();
        drop(shared);
        let (send, receive) = mpsc::channel();
        for (key, answer) in answerers {
            let send = send.clone();
            let respond: Respond = Box::new(move |message| drop(send.send((key, message))));
            answer(&question, respond);
        }
        drop(send);
        let mut answers = Vec::new();
        // Ends when all have answered, or will not.
        while let Ok(answer) = receive.recv_timeout(end.saturating_duration_since(Instant::now())) {
            answers.push(answer);
        }
        Ok(answers)
    }
}
