//! The side that offers regions and sends them.

use super::event::{Event, RelayStatus};
use super::shared::{Mailbox, PULSE, Shared, lock};
use crate::backend::{Respond, Stands, Urgency};
use crate::clock::now_ns;
use crate::keys::back_of;
use crate::mark::is_mirror;
use crate::mirror::is_carried;
use crate::relay::{Relay, RelayCounts, Turn};
use crate::wire::{Alive, Attach, AttachError, Back, Data, FROM, Geometry, Offer, Offers, Refused, Why};
use shmx::abi::extension::Features;
use shmx::error::{OpenError, os};
use shmx::{Client, Inspector, RegionChange, RegionEvents};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A peer that was not heard for this long gets nothing more.
const PEER_GONE: Duration = Duration::from_secs(10);
/// Control messages that wait to be taken to a region, at most.
const CONTROL_MAX: usize = 256;
/// Things that are asked for in vain, of which that is said, at most.
const SAID_MAX: usize = 256;
/// A peer that wants no more sooner than this asks again and again, as its mirror cannot be made: that is said once.
const BRIEF: Duration = Duration::from_secs(10);
/// How often the sessions of offered regions are looked at: a server of the reference can begin anew in place.
const LOOK: Duration = Duration::from_secs(1);

/// What a peer has sent back.
struct Mail {
    acked: u64,
    heard: Instant,
    bye: bool,
    /// A sign of life that is to be answered: when it was sent, and when it came.
    keep: Option<(u64, u64)>,
    control: VecDeque<(String, u64, u32, Vec<u8>)>,
    /// Number of the last control message.
    control_seq: u64,
    /// That one could not be taken to its region was said.
    control_failed: bool,
    counts: RelayCounts,
    published: u64,
}

struct Attachment {
    ask: Attach,
    /// Bytes of the longest control message that may be carried; none where that is not allowed.
    control: Option<usize>,
    mail: Mailbox<Mail>,
}

struct Offered {
    session: u64,
    _stands: Stands,
}

/// Peers by their number and that of the attachment.
type Attachments = BTreeMap<(u64, u64), (Arc<Attachment>, Option<JoinHandle<()>>)>;

pub(super) struct Exporter {
    shared: Arc<Shared>,
    offered: Mutex<BTreeMap<String, Offered>>,
    attached: Mutex<Attachments>,
    /// When a peer was refused last.
    refused: Mutex<Option<Instant>>,
    /// Regions and hosts that wanted no more after a moment, the last time.
    brief: Mutex<BTreeSet<(String, String)>>,
    /// Regions and what is asked for in vain of them, as was said.
    in_vain: Mutex<BTreeSet<(String, String)>>,
}

impl Exporter {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            offered: Mutex::default(),
            attached: Mutex::default(),
            refused: Mutex::default(),
            brief: Mutex::default(),
            in_vain: Mutex::default(),
        })
    }

    pub(super) fn offers(&self) -> Vec<String> {
        lock(&self.offered).keys().cloned().collect()
    }

    /// Names and patterns that are exported and that no region on offer matches.
    pub(super) fn in_vain(&self) -> Vec<String> {
        let offers = self.offers();
        self.shared.options.export.iter().flat_map(|e| e.regions.in_vain(&offers)).collect()
    }

    pub(super) fn sending(&self) -> Vec<RelayStatus> {
        let all = lock(&self.attached);
        let status = |(a, _): &(Arc<Attachment>, _)| {
            let counts = a.mail.lock().counts;
            RelayStatus { region: a.ask.region.clone(), host: a.ask.host.clone(), counts }
        };
        all.values().map(status).collect()
    }

    /// Works until the bridge is stopped.
    pub(super) fn run(self: &Arc<Self>) -> Result<(), crate::BackendError> {
        let shared = &self.shared;
        let (me, backend) = (&shared.me, &shared.backend);
        let this = self.clone();
        let _attach = backend.answer(&me.attach(), Box::new(move |ask, respond| this.asked(ask, respond)))?;
        let this = self.clone();
        let offers = move |_: &[u8], respond: Respond| respond(this.all_offers().encode());
        let _offers = backend.answer(&me.offers(), Box::new(offers))?;
        let this = self.clone();
        let _back =
            backend.subscribe(&me.from_all(), Box::new(move |key, message| this.back(key, &message.whole())))?;
        self.work();
        lock(&self.offered).clear();
        let all = std::mem::take(&mut *lock(&self.attached));
        for (attachment, thread) in all.into_values() {
            attachment.mail.change(|m| m.bye = true);
            thread.map(JoinHandle::join);
        }
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        let shared = &self.shared;
        let mut events = None;
        let mut clients = BTreeMap::new();
        // Regions that the system failed to open or the network to announce, and whether that was said.
        let mut again = BTreeMap::new();
        let (mut looked, mut pulsed) = (Instant::now(), Instant::now());
        while !shared.stopped() {
            if events.is_none() && !shared.options.export.is_empty() {
                // What may not leave is not opened: another process may cut it short at any time.
                let rules = Arc::clone(shared);
                match RegionEvents::matching(move |name| rules.options.terms_of(name).is_some()) {
                    Ok(new) => events = Some(new),
                    Err(e) => shared.trouble("regions", e),
                }
            }
            match events.as_mut().map(|e| e.next(Duration::from_millis(20))) {
                Some(Ok(Some(event))) => match event.change {
                    RegionChange::Ended(_) => self.withdraw(&event.name),
                    _ => self.consider(&event.name, &mut again),
                },
                Some(Ok(None)) => {}
                Some(Err(e)) => {
                    shared.trouble("regions", e);
                    events = None;
                    thread::sleep(LOOK);
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let names: BTreeSet<_> = again.keys().chain(lock(&self.offered).keys()).cloned().collect();
                names.iter().for_each(|name| self.consider(name, &mut again));
            }
            let pulse = pulsed.elapsed() >= PULSE;
            if pulse {
                pulsed = Instant::now();
            }
            self.attend(pulse, &mut clients);
        }
    }

    /// Offers a region, if that is allowed and it is not offered already. Where the system fails to open it, for want of
    /// descriptors say, it is noted in `again`.
    fn consider(&self, name: &str, again: &mut BTreeMap<String, bool>) {
        let told = again.remove(name).unwrap_or(false);
        if self.shared.options.terms_of(name).is_none() {
            return;
        }
        let region = match Inspector::open(name) {
            Ok(region) => region,
            Err(OpenError::Os(os::OpenError::Os { .. })) => {
                again.insert(name.to_owned(), told);
                return;
            }
            // It has gone again, or is nothing of ours.
            Err(_) => return self.withdraw(name),
        };
        let session = region.header().session_id;
        if lock(&self.offered).get(name).is_some_and(|o| o.session == session) {
            return;
        }
        self.withdraw(name);
        match region.directory() {
            // Mirrors are not sent on, so nothing goes round in circles.
            Ok(d) if is_mirror(&d) => return,
            Ok(_) => {}
            Err(e) => return self.shared.trouble(format!("`{name}`"), e),
        }
        match self.shared.backend.announce(&self.shared.me.region(name, session)) {
            Ok(stands) => {
                lock(&self.offered).insert(name.to_owned(), Offered { session, _stands: stands });
                self.shared.tell(Event::Offered { region: name.to_owned() });
            }
            Err(e) => {
                again.insert(name.to_owned(), true);
                if !told {
                    self.shared.trouble(format!("`{name}` cannot be offered"), e);
                }
            }
        }
    }

    fn withdraw(&self, name: &str) {
        let gone = lock(&self.offered).remove(name);
        if gone.is_some() {
            self.shared.tell(Event::Withdrawn { region: name.to_owned() });
        }
    }

    fn all_offers(&self) -> Offers {
        let offered: Vec<_> = lock(&self.offered).iter().map(|(name, o)| (name.clone(), o.session)).collect();
        let peers = |name: &str| lock(&self.attached).values().filter(|(a, _)| a.ask.region == name).count();
        let offer = |(name, session): (String, u64)| {
            let region = Inspector::open(&name).ok()?;
            let (layout, header) = (*region.layout(), region.header());
            let geometry = Geometry::of(&layout, Features::of(&header));
            Some(Offer {
                streams: region.directory().map_or(0, |d| d.streams.len() as u32),
                published: header.frame_seq,
                peers: peers(&name) as u32,
                control: self.shared.options.terms_of(&name).is_some_and(|t| t.control),
                region: name,
                session,
                geometry,
            })
        };
        Offers { version: crate::wire::VERSION, regions: offered.into_iter().filter_map(offer).collect() }
    }

    /// A peer asks for a region.
    fn asked(self: &Arc<Self>, message: &[u8], respond: Respond) {
        match self.start(message) {
            Ok((attachment, relay)) => {
                let key = (attachment.ask.peer, attachment.ask.attachment);
                let (this, for_thread) = (self.clone(), attachment.clone());
                // Held until the thread has its place, so that it cannot be gone before.
                let mut attached = lock(&self.attached);
                let most = self.shared.options.peers;
                if attached.len() >= most || attached.contains_key(&key) {
                    drop(attached);
                    let text = format!("{most} peers are served already, which is the most (`peers`)");
                    return self.refuse(&Refused::new(Why::Full, text), respond);
                }
                let name = format!("relay {}", attachment.ask.region);
                let spawned = thread::Builder::new().name(name).spawn(move || this.relay(&for_thread, relay, respond));
                match spawned {
                    Ok(thread) => drop(attached.insert(key, (attachment, Some(thread)))),
                    Err(e) => self.shared.trouble("a peer cannot be served", e),
                }
            }
            Err(refused) => self.refuse(&refused, respond),
        }
    }

    /// Refuses, and says so now and then: who asks again and again fills no log.
    fn refuse(&self, refused: &Refused, respond: Respond) {
        let told = lock(&self.refused).replace(Instant::now());
        if told.is_none_or(|told| told.elapsed() >= LOOK) {
            self.shared.trouble("a peer was refused", refused);
        }
        respond(refused.encode());
    }

    fn start(&self, message: &[u8]) -> Result<(Arc<Attachment>, Relay), Refused> {
        let ask = Attach::decode(message).map_err(|e| match e {
            AttachError::Wire(e) => Refused::new(Why::Unreadable, e.to_string()),
            AttachError::Versions { .. } => {
                let what = format!("the other bridge is of another version: {e}; use bridges of one version");
                Refused::new(Why::Version, what)
            }
        })?;
        let no = || Refused::new(Why::NoSuchRegion, format!("`{}` is not offered", ask.region));
        let terms = self.shared.options.terms_of(&ask.region).ok_or_else(no)?;
        if lock(&self.offered).get(&ask.region).is_none_or(|o| o.session != ask.session) {
            return Err(no());
        }
        let relay = Relay::open(&ask, terms, self.shared.codecs.clone())?;
        self.tell_in_vain(&ask, &relay);
        let mail = Mail {
            acked: 0,
            heard: Instant::now(),
            bye: false,
            keep: None,
            control: VecDeque::new(),
            control_seq: 0,
            control_failed: false,
            counts: RelayCounts::default(),
            published: 0,
        };
        let control = terms.control.then(|| relay.longest_control());
        Ok((Arc::new(Attachment { control, ask, mail: Mailbox::new(mail) }), relay))
    }

    /// Says once what is asked for that the region does not have: it may come later.
    fn tell_in_vain(&self, ask: &Attach, relay: &Relay) {
        for what in relay.in_vain() {
            let mut said = lock(&self.in_vain);
            // What peers ask for is bounded.
            if said.len() < SAID_MAX && said.insert((ask.region.clone(), what.clone())) {
                drop(said);
                self.shared.trouble(format!("`{}` to {}", ask.region, ask.host), what);
            }
        }
    }

    /// Sends a region to a peer until one of them is gone.
    fn relay(self: &Arc<Self>, attachment: &Attachment, mut relay: Relay, respond: Respond) {
        let ask = &attachment.ask;
        let (region, host) = (ask.region.clone(), ask.host.clone());
        let who = (region.clone(), host.clone());
        let mut told = {
            let brief = lock(&self.brief);
            brief.len() < SAID_MAX && !brief.contains(&who)
        };
        let begun = Instant::now();
        let reason = match relay.welcome(begun) {
            Ok(welcome) => {
                if told {
                    self.shared.tell(Event::Sending { region: region.clone(), host: host.clone() });
                }
                respond(welcome);
                self.send_all(attachment, &mut relay, &mut told)
            }
            Err(refused) => {
                respond(refused.encode());
                refused.to_string()
            }
        };
        lock(&self.attached).remove(&(ask.peer, ask.attachment));
        let left_soon = attachment.mail.lock().bye && begun.elapsed() < BRIEF;
        let mut brief = lock(&self.brief);
        if !left_soon {
            brief.remove(&who);
        } else if brief.len() < SAID_MAX {
            brief.insert(who);
        }
        drop(brief);
        if told {
            self.shared.tell(Event::Sent { region, host, reason, counts: relay.counts() });
        }
    }

    /// Sends until one of both is gone; that somebody gets the region is `told` now if it was not.
    fn send_all(&self, attachment: &Attachment, relay: &mut Relay, told: &mut bool) -> String {
        let ask = &attachment.ask;
        let begun = Instant::now();
        let key = self.shared.me.to(ask.peer, ask.attachment);
        let send = |out: &mut Vec<u8>| {
            if let Err(e) = self.shared.backend.send_from(&key, out, Urgency::Data) {
                self.shared.trouble(format!("`{}` to {}", ask.region, ask.host), e);
                thread::sleep(Duration::from_millis(100));
            }
        };
        let mut out = Vec::new();
        loop {
            let (acked, heard, bye) = attachment.mail.change(|m| {
                (m.counts, m.published) = (relay.counts(), relay.published());
                (m.acked, m.heard, m.bye)
            });
            if self.shared.stopped() {
                return "this bridge is stopped".into();
            }
            if bye {
                return "the peer has ended it, and its own log says why".into();
            }
            let now = Instant::now();
            if !*told && now.saturating_duration_since(begun) >= BRIEF {
                *told = true;
                self.shared.tell(Event::Sending { region: ask.region.clone(), host: ask.host.clone() });
            }
            if now.saturating_duration_since(heard) > PEER_GONE {
                return format!("the peer was not heard for {} s", PEER_GONE.as_secs());
            }
            relay.acked(acked, now);
            match relay.turn(now, &mut out) {
                Turn::Send => send(&mut out),
                Turn::Again => {}
                Turn::NoNews => relay.rest(Duration::from_millis(5)),
                Turn::Until(at) => {
                    let wait = at.saturating_duration_since(now).min(Duration::from_millis(100));
                    attachment.mail.wait(wait, |m| (m.acked != acked || m.bye).then_some(()));
                }
                Turn::End(reason) => {
                    send(&mut out);
                    return reason.to_string();
                }
            }
        }
    }

    /// A peer sends something back.
    fn back(&self, key: &str, message: &[u8]) {
        let Some(key) = back_of(key) else { return };
        let Some(attachment) = lock(&self.attached).get(&key).map(|(a, _)| a.clone()) else { return };
        let Ok(back) = Back::decode(message) else { return };
        attachment.mail.change(|m| {
            m.heard = Instant::now();
            match back {
                // Whether it can be is for the relay to say.
                Back::Ack { seq } => m.acked = seq,
                Back::Keep { seq, sent_ns } => {
                    m.acked = seq;
                    m.keep = Some((sent_ns, now_ns()));
                }
                Back::Bye => m.bye = true,
                Back::Control { seq, host, reader_id, ty, body } => {
                    // What comes twice is taken once, and what is too much is dropped, as in a full ring.
                    // Its bridge carries no other messages; but it may be no bridge.
                    let fits = attachment.control.is_some_and(|longest| body.len() <= longest);
                    if fits && is_carried(ty) && seq > m.control_seq && m.control.len() < CONTROL_MAX {
                        m.control_seq = seq;
                        m.control.push_back((host.to_owned(), reader_id, ty, body.to_vec()));
                    }
                }
            }
        });
    }

    /// Signs of life to peers, their control messages to regions.
    fn attend(&self, pulse: bool, clients: &mut BTreeMap<String, Client>) {
        let all: Vec<_> = lock(&self.attached).values().map(|(a, _)| a.clone()).collect();
        for a in &all {
            let (keep, published, control) =
                a.mail.change(|m| (m.keep.take(), m.published, std::mem::take(&mut m.control)));
            if pulse || keep.is_some() {
                let (asked_ns, came_ns) = keep.unwrap_or_default();
                let alive = Alive { asked_ns, came_ns, sent_ns: now_ns(), published };
                let mut out = Vec::new();
                Data::Alive(alive).encode(&mut out);
                // One that is lost is not missed.
                let _ = self.shared.backend.send(&self.shared.me.to(a.ask.peer, a.ask.attachment), out, Urgency::Sign);
            }
            for (host, reader_id, ty, body) in control {
                if let Err(e) = control_to(clients, &a.ask.region, &host, reader_id, (ty, &body))
                    && !a.mail.change(|m| std::mem::replace(&mut m.control_failed, true))
                {
                    self.shared.trouble(format!("a control message of {host} to `{}`", a.ask.region), e);
                }
            }
        }
        // A reader slot is held only while somebody may send.
        clients.retain(|name, _| all.iter().any(|a| a.ask.region == *name));
    }
}

/// Takes a message to a region: first who sent it, then itself.
fn control_to(
    clients: &mut BTreeMap<String, Client>,
    region: &str,
    host: &str,
    reader_id: u64,
    (ty, body): (u32, &[u8]),
) -> Result<(), Box<dyn std::error::Error>> {
    if clients.get(region).is_none_or(|c| c.server_end().is_some()) {
        clients.insert(region.to_owned(), Client::open(region)?);
    }
    let Some(client) = clients.get_mut(region) else { return Ok(()) };
    let mut from = reader_id.to_le_bytes().to_vec();
    from.extend_from_slice(host.as_bytes());
    client.control_send(FROM, &from)?;
    client.control_send(ty, body)?;
    Ok(())
}
