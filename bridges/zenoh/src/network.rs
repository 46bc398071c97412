//! zenoh as the network of a bridge.

use bytes::Bytes;
use serde_json::{Value, json};
use shmx_bridge::{Backend, BackendError, Message, OnMessage, OnPresence, OnQuestion, Respond, Stands, Urgency};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use zenoh::bytes::ZBytes;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, QueryTarget};
use zenoh::sample::SampleKind;
use zenoh::{Session, Wait};

/// What holds unless the configuration says otherwise: nobody is looked for, and nothing listens.
pub(crate) fn defaults() -> Value {
    json!({
        "mode": "peer",
        "listen": { "endpoints": [] },
        "connect": { "endpoints": [] },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
        // Batches of 64 KiB that wait for the link. With zenoh's two, whoever fills them and whoever sends them wait for
        // each other after every one; with many, the batches do not stay in a cache. At the other end the batches of some
        // pieces are kept for the next ones.
        "transport": { "link": { "tx": { "queue": { "size": { "data": 12 } } }, "rx": { "buffer_size": 1 << 20 } } },
    })
}

/// Puts `more` over `base`, object by object.
pub(crate) fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more,
    }
}

/// A session of zenoh, the memory of messages that were sent, and whether answers are waited for no more.
pub(crate) struct Network(Session, Arc<Sent>, AtomicBool);

/// A peer that stands still has this time to hear that the session ends; zenoh alone would give it 10 s.
const CLOSE: Duration = Duration::from_secs(1);
/// How soon who waits for answers notices that.
const SLICE: Duration = Duration::from_millis(50);

/// What zenoh says, without the places in its source.
fn plain(e: &impl std::fmt::Display) -> String {
    let text = e.to_string();
    let mut parts = text.split(" at /");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| match part.split_once(".rs:") {
        Some((_, rest)) => all + rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('.'),
        None => all + " at /" + part,
    })
}

fn fail<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> BackendError {
    move |e| BackendError { what, source: plain(&e).into() }
}

/// A configuration in zenoh's own words.
pub(crate) fn parse(config: &Value) -> anyhow::Result<zenoh::Config> {
    let wrong = |e: zenoh::Error| anyhow::anyhow!("zenoh does not take its part: {}", plain(&e));
    zenoh::Config::from_json5(&config.to_string()).map_err(wrong)
}

/// Descriptors below which zenoh's threads may fail at their start, where some panic.
#[cfg(unix)]
const FILES: u64 = 64;

/// Whether zenoh can be started.
#[cfg(unix)]
pub(crate) fn enough_files() -> anyhow::Result<()> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    anyhow::ensure!(most >= FILES, "this process may open {most} files, and needs {FILES}; raise `ulimit -n`");
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn enough_files() -> anyhow::Result<()> {
    Ok(())
}

impl Network {
    /// Opens a session with this configuration, in zenoh's own words.
    pub(crate) fn open(config: &Value) -> anyhow::Result<Arc<Self>> {
        enough_files()?;
        let session = zenoh::open(parse(config)?).wait().map_err(|e| {
            let [listen, connect] = ["listen", "connect"].map(|what| config[what]["endpoints"].to_string());
            let why = plain(&e);
            anyhow::anyhow!("zenoh cannot be started to listen on {listen} and connect to {connect}: {why}")
        })?;
        Ok(Arc::new(Self(session, Arc::default(), AtomicBool::new(false))))
    }

    /// Ends the session, which goes with the process where a peer holds it up.
    pub(crate) fn close(self: Arc<Self>) {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            drop(self);
            done.send(())
        });
        let _ = ended.recv_timeout(CLOSE);
    }

    /// Whether no link stands to anybody.
    pub(crate) fn is_alone(&self) -> bool {
        let info = self.0.info();
        info.peers_zid().wait().next().is_none() && info.routers_zid().wait().next().is_none()
    }

    fn put(&self, key: &str, message: ZBytes, urgency: Urgency) -> Result<(), BackendError> {
        // Data goes when the link has room; the sender sees to it that there is little. Signs overtake it.
        let (congestion, priority) = match urgency {
            Urgency::Data => (CongestionControl::Block, Priority::Data),
            Urgency::Sign => (CongestionControl::Drop, Priority::InteractiveHigh),
        };
        let put = self.0.put(key, message).congestion_control(congestion).priority(priority).express(true);
        put.wait().map_err(fail("send"))
    }
}

/// Memory of messages that were sent, for the next ones.
#[derive(Default)]
struct Sent(Mutex<Vec<Vec<u8>>>);

/// Most that lie idle: zenoh keeps the last one of each link until the next.
const SENT_MAX: usize = 16;

impl Sent {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is sent.
struct Lent {
    message: Vec<u8>,
    home: Arc<Sent>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut sent = self.home.lock();
        if sent.len() < SENT_MAX {
            sent.push(std::mem::take(&mut self.message));
        }
    }
}

fn stands<T: Send + Sync + 'static>(value: T) -> Stands {
    Box::new(value)
}

impl Backend for Network {
    fn announce(&self, key: &str) -> Result<Stands, BackendError> {
        let token = self.0.liveliness().declare_token(key.to_owned()).wait();
        Ok(stands(token.map_err(fail("announce"))?))
    }

    fn watch(&self, pattern: &str, tell: OnPresence) -> Result<Stands, BackendError> {
        let liveliness = self.0.liveliness();
        let watch = liveliness.declare_subscriber(pattern.to_owned()).history(true).callback(move |sample| {
            tell(sample.key_expr().as_str(), sample.kind() == SampleKind::Put);
        });
        Ok(stands(watch.wait().map_err(fail("look for regions"))?))
    }

    fn subscribe(&self, pattern: &str, tell: OnMessage) -> Result<Stands, BackendError> {
        let subscribe = self.0.declare_subscriber(pattern.to_owned()).callback(move |sample| {
            let (key, mut parts) = (sample.key_expr().as_str(), sample.payload().slices());
            let head = parts.next().unwrap_or_default();
            match parts.next() {
                None => tell(key, Message(&[head])),
                Some(next) => tell(key, Message(&[head, next].into_iter().chain(parts).collect::<Vec<_>>())),
            }
        });
        Ok(stands(subscribe.wait().map_err(fail("listen"))?))
    }

    fn send(&self, key: &str, message: Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        self.put(key, message.into(), urgency)
    }

    fn send_from(&self, key: &str, message: &mut Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        let lent = Lent { message: std::mem::take(message), home: self.1.clone() };
        let sent = self.put(key, Bytes::from_owner(lent).into(), urgency);
        *message = self.1.lock().pop().unwrap_or_default();
        sent
    }

    fn answer(&self, key: &str, tell: OnQuestion) -> Result<Stands, BackendError> {
        let own = key.to_owned();
        let answer = self.0.declare_queryable(key.to_owned()).callback(move |query| {
            let question = query.payload().map(|p| p.to_bytes().into_owned()).unwrap_or_default();
            let own = own.clone();
            let respond: Respond = Box::new(move |message| {
                if let Err(e) = query.reply(own, message).wait() {
                    tracing::debug!("an answer was not taken: {e}");
                }
            });
            tell(&question, respond);
        });
        Ok(stands(answer.wait().map_err(fail("answer"))?))
    }

    fn ask(&self, pattern: &str, question: Vec<u8>, timeout: Duration) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        let get = self.0.get(pattern).payload(question).target(QueryTarget::All).timeout(timeout);
        let answers = get.consolidation(ConsolidationMode::None).wait().map_err(fail("ask"))?;
        let mut all = Vec::new();
        // Ends when all have answered, or time is up.
        while let Ok(reply) = answers.recv_timeout(SLICE) {
            match reply {
                Some(reply) => {
                    if let Ok(sample) = reply.result() {
                        all.push((sample.key_expr().to_string(), sample.payload().to_bytes().into_owned()));
                    }
                }
                None if self.2.load(Ordering::Relaxed) => break,
                None => {}
            }
        }
        Ok(all)
    }

    fn stop(&self) {
        // Nothing else depends on it.
        self.2.store(true, Ordering::Relaxed);
    }
}
