//! One region of another host: the link to it, and its mirror.
//!
//! Length: one state machine; its steps read and write the same fields.

use super::event::{Event, MirrorStatus};
use super::inbox::{Came, Inbox};
use super::options::Import;
use super::presence::Presence;
use super::shared::{PULSE, SILENCE, Shared, lock};
use crate::backend::{Stands, Urgency};
use crate::clock::{Estimate, Offset, now_ns};
use crate::draft::Draft;
use crate::keys::OfferKey;
use crate::mirror::Mirror;
use crate::outcome::{Accepted, MirrorError, RejectedFrame};
use crate::pieces::{Arrived, Broken, PieceError};
use crate::wire::{Addition, Answer, Attach, Back, Begin, Data, Frame, OLDEST, VERSION, Welcome};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an answer to a question for a region may take, its newest frame included.
const ANSWER: Duration = Duration::from_secs(10);
/// A thread that has not run for this long cannot say who was silent meanwhile.
const STILL: Duration = Duration::from_secs(1);
/// How soon a region is asked for again that was refused, or could not be mirrored.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the last messages of a region may take that is not offered any more.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the presence of a bridge that was killed may stay beside that of its successor, and some more.
const TWO: Duration = Duration::from_secs(15);
/// Different troubles that are told of one mirror, at most.
const SAID_MAX: usize = 32;
/// Messages of readers that are taken at a time.
const CONTROL_AT_ONCE: usize = 64;

/// A link that stands.
struct Line {
    offer: OfferKey,
    attachment: u64,
    inbox: Arc<Inbox>,
    _stands: Stands,
    /// Whether readers' messages are carried.
    control: bool,
    every: bool,
    /// Number of the last message that came.
    seq: u64,
    acked: u64,
    heard: Instant,
    /// When it was listened to last.
    listened: Instant,
    /// Since when the region is not offered any more.
    gone: Option<Instant>,
    kept: Instant,
    control_seq: u64,
}

pub(super) struct Link {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    host: String,
    region: String,
    rule: Import,
    status: Arc<Mutex<Option<MirrorStatus>>>,
    mirror: Option<Mirror>,
    line: Option<Line>,
    /// When the origin was heard last.
    heard: Instant,
    /// Why there is no link.
    lost: String,
    again: Instant,
    offset: Offset,
    published: u64,
    age: Option<Duration>,
    /// What was told already.
    said: Vec<String>,
    polled: Instant,
    /// The session that has ended last.
    over: Option<u64>,
    /// Since when two bridges offer it.
    two: Option<Instant>,
}

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        presence: Arc<Presence>,
        (host, region): (String, String),
        rule: Import,
        status: Arc<Mutex<Option<MirrorStatus>>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            presence,
            host,
            region,
            rule,
            status,
            mirror: None,
            line: None,
            heard: now,
            lost: String::new(),
            again: now,
            offset: Offset::default(),
            published: 0,
            age: None,
            said: Vec::new(),
            polled: now,
            over: None,
            two: None,
        }
    }

    /// Works until the bridge is stopped, or nobody offers the region any more.
    pub(super) fn run(mut self) {
        while !self.shared.stopped() {
            let offers = self.presence.of(&self.host, &self.region);
            self.look_for_two(&offers);
            if self.line.is_some() {
                self.listen(&offers);
            } else if !self.look_for_it(&offers) {
                break;
            }
            self.poll_control();
            self.keep_name();
            self.tell_status();
        }
        self.hang_up();
        self.end("this bridge is stopped");
    }

    /// Whether this was not told yet; who sends rubbish of all kinds fills no log.
    fn is_news(&mut self, what: &str) -> bool {
        let news = self.said.len() < SAID_MAX && !self.said.iter().any(|s| s == what);
        if news {
            self.said.push(what.to_owned());
        }
        news
    }

    /// Says something once.
    fn trouble(&mut self, what: &str) {
        if self.is_news(what) {
            self.shared.trouble(format!("`{}` of {}", self.region, self.host), what);
        }
    }

    /// Ends the mirror: its readers are told.
    fn end(&mut self, reason: &str) {
        let Some(mirror) = self.mirror.take() else { return };
        let (name, counts) = (mirror.name().to_owned(), mirror.counts());
        drop(mirror);
        *lock(&self.status) = None;
        self.shared.tell(Event::Over { mirror: name, reason: reason.to_owned(), counts });
    }

    fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            line.inbox.close();
            let key = line.offer.peer.from(self.shared.me.id, line.attachment);
            let _ = self.shared.backend.send(&key, Back::Bye.encode(), Urgency::Sign);
        }
    }

    fn lose(&mut self, reason: &str) {
        reason.clone_into(&mut self.lost);
        self.hang_up();
        self.again = Instant::now();
        if let Some(mirror) = &self.mirror {
            self.shared.tell(Event::Silent { mirror: mirror.name().to_owned(), reason: reason.to_owned() });
        }
    }

    /// There is no link: makes one, or ends what waited for one in vain. False if there is nothing left to do.
    fn look_for_it(&mut self, offers: &[OfferKey]) -> bool {
        let now = Instant::now();
        let end_after = self.shared.options.end_after();
        if self.mirror.is_some() && now.saturating_duration_since(self.heard) >= end_after {
            self.end(&format!("{}, and it has not come back in {} s", self.lost, end_after.as_secs_f64()));
        }
        if self.mirror.is_none() && offers.is_empty() {
            return false;
        }
        let session = self.mirror.as_ref().map(Mirror::session);
        // One that has ended stays offered for a moment, and is not asked for again.
        let offers: Vec<&OfferKey> = offers.iter().filter(|o| Some(o.session) != self.over).collect();
        // The session that the mirror has, if there is one; else another one is as good.
        let same = offers.iter().find(|o| Some(o.session) == session);
        if now >= self.again
            && let Some(&offer) = same.or(offers.last())
        {
            if same.is_none() {
                self.end("its origin has begun anew");
            }
            self.again = now + PULSE;
            if let Err(e) = self.attach(&offer.clone()) {
                self.again = Instant::now() + AGAIN;
                self.trouble(&e);
            }
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
        true
    }

    /// How long an answer may take: a mirror does not outlive the time that it may be without its origin.
    fn patience(&self) -> Duration {
        match self.mirror {
            Some(_) => (self.heard + self.shared.options.end_after())
                .saturating_duration_since(Instant::now())
                .clamp(PULSE, ANSWER),
            None => ANSWER,
        }
    }

    fn attach(&mut self, offer: &OfferKey) -> Result<(), String> {
        let (me, backend) = (&self.shared.me, &self.shared.backend);
        let attachment = fastrand::u64(1..);
        let inbox = Arc::new(Inbox::default());
        // Until it is known how large its frames are; memory is taken as they come.
        inbox.expect(usize::try_from(self.shared.options.mirror_bytes).unwrap_or(usize::MAX));
        let into = inbox.clone();
        // Before the question, so that nothing is sent that nobody hears.
        let key = offer.peer.to(me.id, attachment);
        let stands =
            backend.subscribe(&key, Box::new(move |_, message| into.push(message))).map_err(|e| e.to_string())?;
        let ask = Attach {
            oldest: OLDEST,
            newest: VERSION,
            peer: me.id,
            host: me.host.clone(),
            attachment,
            region: offer.region.clone(),
            session: offer.session,
            after: self.mirror.as_ref().filter(|m| m.session() == offer.session).map_or(0, Mirror::last_id),
            wish: self.rule.wish(self.shared.codecs.known()),
        };
        let answers = backend.ask(&offer.peer.attach(), ask.encode(), self.patience()).map_err(|e| e.to_string())?;
        let Some((_, answer)) = answers.into_iter().next() else {
            // It may be gone without having said so; it is asked again as long as it is offered.
            self.again = Instant::now() + PULSE;
            return Ok(());
        };
        let welcome = match Answer::decode(&answer).map_err(|e| format!("its bridge answers, but {e}"))? {
            Answer::Welcome(welcome) => welcome,
            Answer::Refused(refused) => {
                let (host, region, text) = (self.host.clone(), self.region.clone(), refused.text);
                if self.is_news(&text) {
                    self.shared.tell(Event::Refused { host, region, text });
                }
                self.again = Instant::now() + AGAIN;
                return Ok(());
            }
        };
        let now = Instant::now();
        self.line = Some(Line {
            offer: offer.clone(),
            attachment,
            inbox,
            _stands: stands,
            control: welcome.control,
            every: welcome.every,
            seq: 0,
            acked: 0,
            heard: now,
            listened: now,
            gone: None,
            kept: now.checked_sub(PULSE).unwrap_or(now),
            control_seq: 0,
        });
        self.heard = now;
        if let Err(e) = self.welcome(offer, &welcome) {
            self.hang_up();
            self.end(&e.to_string());
            return Err(e.to_string());
        }
        // Now that a mirror of this size is allowed. Any message may carry the whole directory.
        if let Some(line) = &self.line {
            let g = welcome.geometry;
            line.inbox.expect((g.frame_bytes_cap as usize).saturating_add(g.static_bytes_cap as usize));
            if let Some(mirror) = &self.mirror {
                line.inbox.write_to(mirror);
            }
        }
        Ok(())
    }

    fn welcome(&mut self, offer: &OfferKey, welcome: &Welcome<'_>) -> Result<(), MirrorError> {
        let same = self.mirror.as_ref().is_some_and(|m| m.session() == welcome.session);
        if !same {
            self.end("its origin has begun anew");
            let name = self.rule.name_of(&self.host, &self.region);
            let options = self.shared.options.mirror();
            self.shared.tell(Event::Making { mirror: name.clone() });
            self.mirror = Some(Mirror::create(&name, &offer.peer, &offer.region, welcome, &options)?);
        }
        let Some(mirror) = &mut self.mirror else { return Ok(()) };
        let name = mirror.name().to_owned();
        if same {
            mirror.is_of(&welcome.geometry)?;
            mirror.add(&Addition { at: 0, bytes: welcome.directory })?;
            self.shared.tell(Event::Back { mirror: name });
        } else {
            self.said.clear();
            let (host, region) = (self.host.clone(), self.region.clone());
            self.shared.tell(Event::Begun { mirror: name, host, region });
            let unlisted = mirror.unlisted(&self.rule.streams);
            for stream in unlisted {
                self.trouble(&format!("`streams` names `{stream}`, which the region does not list"));
            }
        }
        if let Ok(Data::Frame(frame)) = Data::decode(welcome.first) {
            self.frame(&frame, false)?;
            self.ack(0);
        }
        Ok(())
    }

    /// Two hosts that call themselves the same are taken for one: the mirror is of whichever is there.
    fn look_for_two(&mut self, offers: &[OfferKey]) {
        let Some((first, second)) = offers.first().zip(offers.iter().find(|o| o.peer != offers[0].peer)) else {
            self.two = None;
            return;
        };
        let now = Instant::now();
        if now.saturating_duration_since(*self.two.get_or_insert(now)) >= TWO {
            let (one, other) = (first.peer.id, second.peer.id);
            let who = format!("two bridges of this host name offer it, {one:016x} and {other:016x}");
            self.trouble(&format!("{who}, and only one is mirrored; give each a `host` of its own"));
        }
    }

    /// There is a link: takes what has come, shows that somebody is there, and notices when nobody is.
    fn listen(&mut self, offers: &[OfferKey]) {
        let Some(line) = &mut self.line else { return };
        let now = Instant::now();
        let still = now.saturating_duration_since(std::mem::replace(&mut line.listened, now));
        if still >= STILL {
            // This process stood still: whatever came waits to be taken.
            line.heard += still;
            self.heard += still;
        }
        if offers.contains(&line.offer) {
            line.gone = None;
        } else if now.saturating_duration_since(*line.gone.get_or_insert(now)) >= LAST_WORDS {
            return self.lose("it is not offered any more");
        }
        if now.saturating_duration_since(line.heard) >= SILENCE {
            return self.lose(&format!("it was not heard for {} s", SILENCE.as_secs()));
        }
        if now.saturating_duration_since(line.kept) >= PULSE {
            line.kept = now;
            let key = line.offer.peer.from(self.shared.me.id, line.attachment);
            let keep = Back::Keep { seq: line.seq, sent_ns: now_ns() };
            let _ = self.shared.backend.send(&key, keep.encode(), Urgency::Sign);
        }
        let wait = Duration::from_millis(if line.control { 5 } else { 50 });
        let inbox = line.inbox.clone();
        if let Some((came, came_ns, left)) = inbox.pop(wait)
            && let Err(e) = self.take(came, came_ns, left)
        {
            self.again = now + AGAIN;
            self.hang_up();
            self.end(&e.to_string());
            self.trouble(&e.to_string());
        }
        let dropped = inbox.dropped();
        if dropped > 0 {
            self.trouble("it sends more than it may; what is too much is dropped");
        }
    }

    /// Notes the number of a message.
    fn came(&mut self, seq: u64) {
        let Some(line) = &mut self.line else { return };
        if seq > line.seq {
            let between = seq - line.seq - 1;
            line.seq = seq;
            if let Some(mirror) = &mut self.mirror {
                mirror.lost(between);
            }
        }
    }

    /// Tells the origin what has come, so that it sends more.
    fn ack(&mut self, left: usize) {
        let Some(line) = &mut self.line else { return };
        // In order many are on their way, and one answer serves for several.
        if line.every && left > 0 && line.seq < line.acked.saturating_add(16) {
            return;
        }
        line.acked = line.seq;
        let key = line.offer.peer.from(self.shared.me.id, line.attachment);
        // One that is lost is made good by the next sign of life.
        let _ = self.shared.backend.send(&key, Back::Ack { seq: line.seq }.encode(), Urgency::Sign);
    }

    fn take(&mut self, came: Came, came_ns: u64, left: usize) -> Result<(), MirrorError> {
        let now = Instant::now();
        match came {
            Came::Message(message) => match Data::decode(&message) {
                Ok(data) => {
                    self.is_heard(now);
                    self.data(&data, came_ns, left)
                }
                Err(e) => {
                    self.trouble(&e.to_string());
                    Ok(())
                }
            },
            Came::Frame(begin, body) => {
                self.is_heard(now);
                if let Ok(Data::Begin(Begin { frame, .. })) = Data::decode(&begin) {
                    self.came(frame.seq);
                    match body {
                        Arrived::Memory(body) => {
                            self.ack(left);
                            self.frame(&Frame { body: frame.body.with(&body), ..frame }, true)?;
                            if let Some(line) = &self.line {
                                line.inbox.give_back(body);
                            }
                        }
                        // Publishing it is quicker than the answer; and the next one finds its slot.
                        Arrived::Slot(draft) => {
                            let done = self.draft(&frame, draft);
                            self.ack(left);
                            done?;
                        }
                    }
                }
                Ok(())
            }
            Came::Broken(broken) => self.broken(&broken, left),
        }
    }

    fn broken(&mut self, Broken { seq, error, begin }: &Broken, left: usize) -> Result<(), MirrorError> {
        self.came(*seq);
        // What it says of the directory is not said again once it is acknowledged.
        let added = match (begin.as_deref().map(Data::decode), &mut self.mirror) {
            (Some(Ok(Data::Begin(Begin { frame, .. }))), Some(mirror)) if frame.session == mirror.session() => {
                mirror.add(&frame.addition)
            }
            _ => Ok(()),
        };
        self.ack(left);
        // One that was overwritten at its origin is missed, and no fault of the way.
        if *error != PieceError::GivenUp {
            if let Some(mirror) = &mut self.mirror {
                mirror.lost(1);
            }
            self.trouble(&format!("a frame did not come whole: {error}"));
        }
        added
    }

    fn is_heard(&mut self, now: Instant) {
        self.heard = now;
        if let Some(line) = &mut self.line {
            line.heard = now;
        }
    }

    fn data(&mut self, data: &Data<'_>, came_ns: u64, left: usize) -> Result<(), MirrorError> {
        match data {
            Data::Frame(frame) => {
                self.came(frame.seq);
                // First, so that the next frame is on its way while this one is looked at.
                self.ack(left);
                self.frame(frame, false)?;
            }
            Data::Directory { seq, session, addition } => {
                self.came(*seq);
                self.ack(left);
                if let Some(mirror) = self.mirror.as_mut().filter(|m| m.session() == *session) {
                    mirror.add(addition)?;
                }
            }
            Data::Alive(alive) => {
                self.published = alive.published;
                self.offset.answered(alive, came_ns);
            }
            Data::End(ended) => {
                if let Some(mirror) = self.mirror.as_mut().filter(|m| m.session() == ended.session) {
                    mirror.ended(ended.published);
                    self.hang_up();
                    self.end(&format!("{}, says its origin", ended.reason));
                    self.again = Instant::now();
                    self.over = Some(ended.session);
                }
            }
            // They are put together before they come here.
            Data::Begin(_) | Data::Piece(_) | Data::GivenUp { .. } => {}
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, compared: bool) -> Result<(), MirrorError> {
        self.came(frame.seq);
        let estimate = self.offset.estimate();
        let codecs = &*self.shared.codecs;
        let Some(mirror) = &mut self.mirror else { return Ok(()) };
        let accepted = if compared {
            mirror.accept_whole(frame, estimate, codecs)?
        } else {
            mirror.accept(frame, estimate, codecs)?
        };
        self.accepted(frame, estimate, accepted);
        Ok(())
    }

    fn draft(&mut self, frame: &Frame<'_>, draft: Draft) -> Result<(), MirrorError> {
        let estimate = self.offset.estimate();
        let Some(mirror) = &mut self.mirror else { return Ok(()) };
        let accepted = mirror.accept_draft(frame, draft, estimate)?;
        self.accepted(frame, estimate, accepted);
        Ok(())
    }

    fn accepted(&mut self, frame: &Frame<'_>, estimate: Option<Estimate>, accepted: Result<Accepted, RejectedFrame>) {
        match accepted {
            Ok(Accepted::Published(_)) => {
                self.published = self.published.max(frame.frame_id);
                let known = estimate.filter(|_| frame.published_ns > 0);
                self.age = known.map(|e| e.age(frame.published_ns, now_ns()));
            }
            Ok(Accepted::Old | Accepted::Blocked) => {}
            Err(e) => self.trouble(&format!("a frame was rejected: {e}")),
        }
    }

    /// Carries messages of the mirror's readers, or throws them away.
    fn poll_control(&mut self) {
        let Some(mirror) = &self.mirror else { return };
        let carries = self.line.as_ref().is_some_and(|l| l.control);
        let every = Duration::from_millis(if carries { 0 } else { 100 });
        if self.polled.elapsed() < every {
            return;
        }
        self.polled = Instant::now();
        let messages = mirror.poll_control(CONTROL_AT_ONCE);
        let Some(line) = self.line.as_mut().filter(|_| carries) else {
            if !messages.is_empty() {
                self.trouble("messages of its readers are not carried, as its origin does not allow it");
            }
            return;
        };
        let key = line.offer.peer.from(self.shared.me.id, line.attachment);
        for m in messages {
            line.control_seq += 1;
            let host = &self.shared.me.host;
            let back = Back::Control { seq: line.control_seq, host, reader_id: m.reader_id, ty: m.ty, body: &m.data };
            if let Err(e) = self.shared.backend.send(&key, back.encode(), Urgency::Data) {
                self.shared.trouble("a control message", e);
            }
        }
    }

    /// A mirror whose name somebody removed is found by nobody who comes now: another one takes its place.
    fn keep_name(&mut self) {
        if self.mirror.as_ref().is_some_and(|m| !m.is_named()) {
            self.hang_up();
            self.end("somebody removed its name");
            self.again = Instant::now();
        }
    }

    fn tell_status(&self) {
        let estimate = self.offset.estimate();
        let status = self.mirror.as_ref().map(|mirror| MirrorStatus {
            mirror: mirror.name().to_owned(),
            host: self.host.clone(),
            region: self.region.clone(),
            linked: self.line.is_some(),
            origin_first: mirror.first_id(),
            origin_id: mirror.last_id(),
            origin_published: self.published,
            counts: mirror.counts(),
            clock_ahead_ns: estimate.map(|e| e.ahead_ns),
            clock_error_ns: estimate.map(|e| e.error_ns),
            age_ns: self.age.map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
        });
        *lock(&self.status) = status;
    }
}
