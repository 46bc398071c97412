//! Foxglove's WebSocket protocol (`foxglove.sdk.v1`), as far as a source of live data needs it.
//!
//! Its SDK has a server of its own, which takes the whole connection: it asks for no token and looks at no origin, and
//! what a client is too slow for waits in a queue of messages of all topics. Here a client is let in like a page, and
//! gets the newest frame of a region once it has taken the one before. The messages are those of a recording.

use crate::app::App;
use crate::control::{self, UnderWay};
use crate::encode::Plan;
use crate::feed::{Delivery, Encode, Subscription};
use crate::protocol::{self, Part};
use crate::session::send;
use crate::topics::Topic;
use axum::extract::ws::{Message, WebSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use shmx::Frame;
use shmx_record::MessageOf;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;

/// The second is the older name of the same messages.
pub(crate) const SUBPROTOCOLS: &[&str] = &["foxglove.sdk.v1", "foxglove.websocket.v1"];

/// How often it is asked whether regions came, went or changed.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Subscriptions and channels of a client.
const MOST_ENTRIES: usize = 4096;
const MESSAGE_DATA: u8 = 1;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Request {
    Subscribe {
        subscriptions: Vec<SubscribeTo>,
    },
    Unsubscribe {
        subscription_ids: Vec<u32>,
    },
    Advertise {
        channels: Vec<ClientChannel>,
    },
    Unadvertise {
        channel_ids: Vec<u32>,
    },
    /// Other parts of the protocol, for which there is no capability.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscribeTo {
    id: u32,
    channel_id: u32,
}

#[derive(Deserialize)]
struct ClientChannel {
    id: u32,
    topic: String,
    encoding: String,
}

/// What a client publishes on `/REGION/control`.
#[derive(Deserialize)]
struct ControlMessage {
    ty: u32,
    #[serde(default)]
    parts: Vec<Part>,
}

/// The topics of a region that a client has subscribed to.
struct View(Vec<(u32, Topic)>);

impl Encode for View {
    fn encode(&self, region: &str, frame: &Frame<'_>, time: u64, _: &Plan) -> Vec<Vec<u8>> {
        let of = MessageOf { frame_id: frame.frame_id(), sim_time: frame.sim_time(), wall_ns: time };
        let one = |(id, topic): &(u32, Topic)| {
            let mut message = topic.encode(region, of, frame)?;
            let mut out = Vec::with_capacity(13 + message.len());
            out.push(MESSAGE_DATA);
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&time.to_le_bytes());
            out.append(&mut message);
            Some(out)
        };
        self.0.iter().filter_map(one).collect()
    }
}

/// A region as it was advertised.
struct Advertised {
    session: u64,
    generation: u32,
    channels: Vec<u32>,
    /// Channels and subscription ids: one each, so that no message is made several times.
    wanted: BTreeMap<u32, u32>,
    reading: Option<Subscription>,
}

struct Session {
    app: Arc<App>,
    regions: HashMap<String, Advertised>,
    channels: HashMap<u32, (String, Topic)>,
    next_channel: u32,
    frames: UnboundedSender<Delivery>,
    answers: UnboundedSender<String>,
    /// Channels that the client publishes on: to which region.
    publishes: HashMap<u32, String>,
    under_way: UnderWay,
}

/// Serves a client until it leaves.
pub(crate) async fn run(mut socket: WebSocket, app: Arc<App>) {
    let (frames, mut new_frames) = unbounded_channel::<Delivery>();
    let (answers, mut new_answers) = unbounded_channel();
    let (capabilities, encodings) = if app.control { (vec!["clientPublish"], vec!["json"]) } else { (vec![], vec![]) };
    let info = json!({
        "op": "serverInfo",
        "name": format!("shmx live on {}", app.host),
        "capabilities": capabilities,
        "supportedEncodings": encodings,
        "metadata": {"shmx-live": env!("CARGO_PKG_VERSION")},
        "sessionId": format!("{:016x}", shmx_os::random_u64()),
    });
    if send(&mut socket, Message::text(info.to_string())).await.is_err() {
        return;
    }
    let mut s = Session {
        app,
        regions: HashMap::new(),
        channels: HashMap::new(),
        next_channel: 1,
        frames,
        answers,
        publishes: HashMap::new(),
        under_way: UnderWay::default(),
    };
    let mut ask = tokio::time::interval(ASK_EVERY);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut out = Vec::new();
        let mut done = None;
        tokio::select! {
            request = socket.recv() => match request {
                Some(Ok(Message::Text(text))) => out.extend(s.request(text.as_str()).map(Message::text)),
                Some(Ok(Message::Binary(data))) => out.extend(s.publish(&data).map(Message::text)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            Some(d) = new_frames.recv() => {
                out.extend(d.messages.into_iter().map(Message::binary));
                done = Some(d.region);
            }
            Some(text) = new_answers.recv() => out.push(Message::text(text)),
            _ = ask.tick() => out.extend(s.changes().into_iter().map(|v| Message::text(v.to_string()))),
        }
        for message in out {
            if send(&mut socket, message).await.is_err() {
                return;
            }
        }
        // All of the frame has gone out: the next may come.
        if let Some(reading) = done.and_then(|r| s.regions.get(&*r)).and_then(|r| r.reading.as_ref()) {
            reading.ready();
        }
    }
}

fn warning(message: &str) -> String {
    json!({"op": "status", "level": 1, "message": message}).to_string()
}

impl Session {
    fn request(&mut self, text: &str) -> Option<String> {
        let request = match serde_json::from_str(text) {
            Ok(r) => r,
            Err(e) => return Some(warning(&format!("this request makes no sense: {e}"))),
        };
        match request {
            Request::Subscribe { subscriptions } => {
                let (mut changed, mut again) = (BTreeSet::new(), None);
                for s in subscriptions {
                    let Some((region, _)) = self.channels.get(&s.channel_id) else { continue };
                    let Some(r) = self.regions.get_mut(region).filter(|r| r.wanted.len() < MOST_ENTRIES) else {
                        continue;
                    };
                    match r.wanted.entry(s.channel_id) {
                        Entry::Vacant(place) => {
                            place.insert(s.id);
                            changed.insert(region.clone());
                        }
                        Entry::Occupied(_) => again = Some(s.channel_id),
                    }
                }
                changed.iter().for_each(|region| self.read(region));
                return again.map(|c| warning(&format!("channel {c} is subscribed to already")));
            }
            Request::Unsubscribe { subscription_ids } => {
                let ended: HashSet<u32> = subscription_ids.into_iter().collect();
                let names: Vec<String> = self.regions.keys().cloned().collect();
                for name in names {
                    let Some(r) = self.regions.get_mut(&name) else { continue };
                    let before = r.wanted.len();
                    r.wanted.retain(|_, id| !ended.contains(id));
                    if r.wanted.len() != before {
                        self.read(&name);
                    }
                }
            }
            Request::Advertise { channels } => {
                if !self.app.control {
                    return Some(warning("nothing may be sent; start shmx live with --control"));
                }
                for c in channels.into_iter().take(MOST_ENTRIES.saturating_sub(self.publishes.len())) {
                    let region = c.topic.strip_prefix('/').and_then(|t| t.strip_suffix("/control"));
                    match region.filter(|r| self.app.regions.shows(r) && c.encoding == "json") {
                        Some(region) => _ = self.publishes.insert(c.id, region.to_owned()),
                        None => {
                            let words = "publish JSON on /REGION/control: {\"ty\": 12289, \"parts\": [{\"f64\": 1}]}";
                            return Some(warning(words));
                        }
                    }
                }
            }
            Request::Unadvertise { channel_ids } => channel_ids.iter().for_each(|id| _ = self.publishes.remove(id)),
            Request::Other => {}
        }
        None
    }

    /// A control message from the client.
    fn publish(&self, data: &[u8]) -> Option<String> {
        let (head, body) = data.split_at_checked(5)?;
        let id = u32::from_le_bytes(head[1..].try_into().ok()?);
        if head[0] != MESSAGE_DATA || !self.app.control {
            return None;
        }
        let region = self.publishes.get(&id)?.clone();
        let message: Result<ControlMessage, _> = serde_json::from_slice(body);
        let ready = message.map_err(|e| e.to_string()).and_then(|m| Ok((m.ty, protocol::body(&m.parts)?)));
        let (ty, body) = match ready {
            Ok(ready) => ready,
            Err(e) => return Some(warning(&format!("this control message makes no sense: {e}"))),
        };
        let answers = self.answers.clone();
        let done = move |sent: Result<Duration, String>| {
            if let Err(e) = sent {
                let _ = answers.send(warning(&e));
            }
        };
        let started = self.under_way.send(region, ty, body, done);
        (!started).then(|| warning(control::TOO_MANY))
    }

    /// Reads what is wanted of a region, and nothing if nothing is.
    fn read(&mut self, name: &str) {
        let Some(r) = self.regions.get_mut(name) else { return };
        let topics: Vec<_> =
            r.wanted.iter().filter_map(|(c, id)| Some((*id, self.channels.get(c)?.1.clone()))).collect();
        if topics.is_empty() {
            r.reading = None;
            return;
        }
        let view = Arc::new(View(topics));
        match &r.reading {
            Some(s) => s.want(view),
            None => {
                let subscribed = self.app.feeds.subscribe(name, view, self.frames.clone());
                r.reading = subscribed.inspect_err(|error| tracing::warn!(%error, name, "no thread")).ok();
            }
        }
    }

    /// What has to be said of regions that came, went or changed.
    fn changes(&mut self) -> Vec<Value> {
        let mut out = Vec::new();
        let mut there = Vec::new();
        for name in self.app.regions.names() {
            let look = |i: &shmx::Inspector| {
                let h = i.header();
                Some((h.session_id, h.static_gen))
            };
            let Some(now) = self.app.regions.with(&name, look) else { continue };
            there.push(name.clone());
            let topics = match self.regions.get(&name).filter(|r| (r.session, r.generation) == now) {
                Some(r) => {
                    let all: Vec<&Topic> = r.channels.iter().filter_map(|id| Some(&self.channels.get(id)?.1)).collect();
                    let grown: Vec<Option<Topic>> = all.iter().map(|t| t.grown()).collect();
                    if grown.iter().all(Option::is_none) {
                        continue;
                    }
                    grown.into_iter().zip(all).map(|(grown, old)| grown.unwrap_or_else(|| old.clone())).collect()
                }
                None => {
                    let of = |i: &shmx::Inspector| Some((i.directory().ok()?, i.latest().ok().flatten()));
                    let Some((directory, newest)) = self.app.regions.with(&name, of) else { continue };
                    Topic::all(&name, &directory, newest.as_ref().map(|f| f.payload()))
                }
            };
            out.extend(self.withdraw(&name));
            let first = self.next_channel;
            let mut channels = Vec::new();
            for topic in topics {
                channels.push(topic.channel(self.next_channel));
                self.channels.insert(self.next_channel, (name.clone(), topic));
                self.next_channel += 1;
            }
            let advertised = Advertised {
                session: now.0,
                generation: now.1,
                channels: (first..self.next_channel).collect(),
                wanted: BTreeMap::new(),
                reading: None,
            };
            self.regions.insert(name, advertised);
            if !channels.is_empty() {
                out.push(json!({"op": "advertise", "channels": channels}));
            }
        }
        let gone: Vec<String> = self.regions.keys().filter(|n| !there.contains(n)).cloned().collect();
        gone.iter().for_each(|name| out.extend(self.withdraw(name)));
        out
    }

    /// Takes a region's channels back.
    fn withdraw(&mut self, name: &str) -> Option<Value> {
        let r = self.regions.remove(name)?;
        r.channels.iter().for_each(|id| _ = self.channels.remove(id));
        (!r.channels.is_empty()).then(|| json!({"op": "unadvertise", "channelIds": r.channels}))
    }
}
