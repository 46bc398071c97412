//! zenoh as the network of a bridge.

use bytes::Bytes;
use serde_json::{Value, json};
use shmx_bridge::{Backend, BackendError, OnMessage, OnPresence, OnQuestion, Respond, Stands, Urgency};
use std::sync::Arc;
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
        // each other after every one; with many, they keep the processors from whoever receives on the same machine, and
        // the batches do not stay in a cache.
        "transport": { "link": { "tx": { "queue": { "size": { "data": 4 } } } } },
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

/// A session of zenoh.
pub(crate) struct Network(Session);

fn fail<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> BackendError {
    move |e| BackendError { what, source: e.to_string().into() }
}

impl Network {
    /// Opens a session with this configuration, in zenoh's own words.
    pub(crate) fn open(config: &Value) -> anyhow::Result<Arc<Self>> {
        let wrong = |e: zenoh::Error| anyhow::anyhow!("zenoh does not take its configuration: {e}");
        let config = zenoh::Config::from_json5(&config.to_string()).map_err(wrong)?;
        let session = zenoh::open(config).wait();
        let session = session.map_err(|e| anyhow::anyhow!("zenoh cannot be started: {e}"))?;
        Ok(Arc::new(Self(session)))
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

/// A message that is sent, and whose memory is used again.
struct Lent(Arc<Vec<u8>>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
            tell(sample.key_expr().as_str(), sample.payload().to_bytes());
        });
        Ok(stands(subscribe.wait().map_err(fail("listen"))?))
    }

    fn send(&self, key: &str, message: Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        self.put(key, message.into(), urgency)
    }

    fn send_from(&self, key: &str, message: &mut Vec<u8>, urgency: Urgency) -> Result<(), BackendError> {
        let shared = Arc::new(std::mem::take(message));
        let sent = self.put(key, Bytes::from_owner(Lent(shared.clone())).into(), urgency);
        // It was copied into a batch, unless somebody in this process listens.
        *message = Arc::try_unwrap(shared).unwrap_or_default();
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
        while let Ok(reply) = answers.recv() {
            if let Ok(sample) = reply.result() {
                all.push((sample.key_expr().to_string(), sample.payload().to_bytes().into_owned()));
            }
        }
        Ok(all)
    }
}
