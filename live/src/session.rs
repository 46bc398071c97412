//! One page: what it asks for, and what it gets.

use crate::app::{App, Looking};
use crate::control::{self, UnderWay};
use crate::encode::{self, Plan};
use crate::feed::{Delivery, Encode, Subscription};
use crate::protocol::{self, Part, Reply, Request, Want};
use axum::extract::ws::{Message, WebSocket};
use shmx::Frame;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Regions that one page may look at.
const MOST_REGIONS: usize = 64;
/// Streams of one region.
const MOST_STREAMS: usize = 1024;
/// A page that takes nothing for so long is gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct PageView(BTreeMap<u32, Want>);

impl Encode for PageView {
    fn encode(&self, region: &str, frame: &Frame<'_>, time: u64, plan: &Plan) -> Vec<Vec<u8>> {
        vec![encode::frame(region, frame, time, plan, &self.0)]
    }
}

/// A region that is looked at.
struct Watched {
    subscription: Subscription,
    /// A frame has gone out and is not acknowledged: otherwise an `ack` says nothing.
    owed: bool,
}

struct Session {
    app: Arc<App>,
    looking: Option<Looking>,
    regions: HashMap<String, Watched>,
    frames: UnboundedSender<Delivery>,
    answers: UnboundedSender<String>,
    /// The page has dealt with the last `regions`.
    state_ready: bool,
    under_way: UnderWay,
}

/// Serves a page until it leaves.
pub(crate) async fn run(mut socket: WebSocket, app: Arc<App>) {
    let (frames, mut new_frames) = unbounded_channel();
    let (answers, mut new_answers) = unbounded_channel();
    let mut states = app.states();
    let hello = Reply::Hello {
        version: env!("CARGO_PKG_VERSION"),
        host: &app.host,
        control: app.control,
        foxglove: app.foxglove.as_deref(),
    };
    if send(&mut socket, Message::text(hello.text())).await.is_err() {
        return;
    }
    let mut s = Session {
        app,
        looking: None,
        regions: HashMap::new(),
        frames,
        answers,
        state_ready: true,
        under_way: UnderWay::default(),
    };
    loop {
        let out = tokio::select! {
            request = socket.recv() => match request {
                Some(Ok(Message::Text(text))) => s.request(text.as_str()).map(Message::text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => None,
            },
            Some(d) = new_frames.recv() => s.regions.get_mut(&*d.region).and_then(|r| {
                r.owed = true;
                d.messages.into_iter().next().map(Message::binary)
            }),
            Some(text) = new_answers.recv() => Some(Message::text(text)),
            Ok(()) = states.changed(), if s.looking.is_some() && s.state_ready => {
                s.state_ready = false;
                let text = states.borrow_and_update().to_string();
                Some(Message::text(text))
            }
        };
        if let Some(message) = out
            && send(&mut socket, message).await.is_err()
        {
            return;
        }
    }
}

/// Sends and flushes; a page that takes nothing for too long is an error.
pub(crate) async fn send(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

impl Session {
    /// Does what the page asks; an answer, if there is one at once.
    fn request(&mut self, text: &str) -> Option<String> {
        let request = match serde_json::from_str(text) {
            Ok(r) => r,
            Err(e) => return Some(failed(protocol::id_of(text), &format!("this request makes no sense: {e}"))),
        };
        match request {
            Request::Look { on: true } => self.looking = Some(self.app.look()),
            Request::Look { on: false } => {
                self.looking = None;
                self.regions.clear();
            }
            Request::Subscribe { region, streams: None } => {
                self.regions.remove(&region);
            }
            Request::Subscribe { region, streams: Some(streams) } => return self.subscribe(&region, streams),
            Request::Ack { region: None } => self.state_ready = true,
            Request::Ack { region: Some(region) } => {
                if let Some(r) = self.regions.get_mut(&region).filter(|r| r.owed) {
                    r.owed = false;
                    r.subscription.ready();
                }
            }
            Request::Directory { region } => {
                if !self.app.regions.shows(&region) {
                    return Some(failed(None, "this region is not shown here"));
                }
                let (session, generation, streams) = self.app.regions.directory(&region)?;
                return Some(Reply::Directory { region: &region, session, generation, streams }.text());
            }
            Request::Control { region, id, ty, parts } => return self.control(region, id, ty, &parts),
        }
        None
    }

    fn subscribe(&mut self, region: &str, streams: Vec<Want>) -> Option<String> {
        // A thread for each name that somebody makes up would be too many.
        if !self.app.regions.knows(region) {
            return Some(failed(None, "this region is not shown here"));
        }
        if streams.len() > MOST_STREAMS || self.regions.len() >= MOST_REGIONS && !self.regions.contains_key(region) {
            return Some(failed(None, "too many regions or streams at once; close some"));
        }
        let view = Arc::new(PageView(streams.into_iter().map(|w| (w.id, w)).collect()));
        if let Some(r) = self.regions.get(region) {
            r.subscription.want(view);
            return None;
        }
        match self.app.feeds.subscribe(region, view, self.frames.clone()) {
            Ok(subscription) => {
                self.regions.insert(region.to_owned(), Watched { subscription, owed: false });
                None
            }
            Err(e) => Some(failed(None, &format!("no thread for `{region}`: {e}"))),
        }
    }

    fn control(&self, region: String, id: u32, ty: u32, parts: &[Part]) -> Option<String> {
        if !self.app.control {
            return Some(failed(Some(id), "nothing may be sent; start shmx live with --control"));
        }
        if !self.app.regions.shows(&region) {
            return Some(failed(Some(id), "this region is not shown here"));
        }
        let body = match protocol::body(parts) {
            Ok(body) => body,
            Err(e) => return Some(failed(Some(id), &e)),
        };
        let answers = self.answers.clone();
        let done = move |sent: Result<Duration, String>| {
            let answer = match sent {
                Ok(took) => Reply::Sent { id, took_ms: took.as_secs_f64() * 1e3 }.text(),
                Err(e) => failed(Some(id), &e),
            };
            let _ = answers.send(answer);
        };
        let started = self.under_way.send(region, ty, body, done);
        (!started).then(|| failed(Some(id), control::TOO_MANY))
    }
}

fn failed(id: Option<u32>, why: &str) -> String {
    Reply::Failed { id, why }.text()
}
