//! One region on its way to one peer: a tap, and what of it may be sent when.

use crate::allow::Patterns;
use crate::body::{Compress, Selection};
use crate::clock::now_ns;
use crate::codec::Codecs;
use crate::flow::{Bounds, Flow, Ready};
use crate::mark::is_mirror;
use crate::pace::Pace;
use crate::underway::{self, Rest, Underway};
use crate::wire::{ALONE, Addition, Attach, Begin, Body, Data, Ended, Frame, Geometry, Refused, Welcome, Why, Wish};
use serde::{Deserialize, Serialize};
use shmx::abi::hash;
use shmx::error::ReadError;
use shmx::{Directory, Start, Tap};
use shmx_record::EndReason;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Regions of a host that others may have, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Their names, or patterns.
    pub regions: Patterns,
    /// Most frames per second; 0 for any number.
    pub rate: f64,
    /// Most bytes per second and peer; 0 for any number.
    pub bytes_per_second: u64,
    /// Only these streams, by name or number; all if there are none.
    pub streams: Vec<String>,
    /// How streams are compressed; the first that fits a stream counts.
    pub compress: Vec<Compress>,
    /// Every frame in order where the link carries it, if the peer wants that.
    pub every: bool,
    /// Take control messages of peers' readers to the region.
    pub control: bool,
}

/// Least time between two frames at a rate.
pub(crate) fn interval_of(rate: f64) -> Duration {
    if rate > 0.0 { Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX) } else { Duration::ZERO }
}

/// What a peer gets, by the host's terms and its own wish.
#[must_use]
pub fn bounds_of(terms: &Export, wish: &Wish) -> (bool, Bounds) {
    let every = terms.every && wish.every;
    let base = if every { Bounds::EVERY } else { Bounds::NEWEST };
    let least = |a: u64, b: u64| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
    // A day is as good as never, and can be added to any instant.
    let interval = interval_of(terms.rate).max(Duration::from_nanos(wish.interval_ns)).min(Duration::from_secs(86400));
    let bytes_per_second = least(terms.bytes_per_second, wish.bytes_per_second);
    (every, Bounds { interval, bytes_per_second, ..base })
}

/// Counts of what is sent to one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayCounts {
    /// Frames sent whole.
    pub sent: u64,
    /// Frames left out: for newer ones, or by a rate, or because none of the chosen streams is in them.
    pub left_out: u64,
    /// Frames of which a part was sent and the rest was overwritten.
    pub given_up: u64,
    /// Frames rejected as damaged in the region.
    pub rejected: u64,
    /// Bytes of messages.
    pub bytes: u64,
    /// Messages given up as lost.
    pub lost: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send the message that was written.
    Send,
    /// Nothing; look again at once.
    Again,
    /// There is no news; [`Relay::rest`].
    NoNews,
    /// A rate or an answer is waited for, no longer than until then.
    Until(Instant),
    /// Send the message that was written; it is the last.
    End(EndReason),
}

/// How often the producer's life is looked at while there is no news.
const LOOK: Duration = Duration::from_millis(20);

/// One region on its way to one peer. It sends nothing itself: [`Relay::turn`] writes messages.
pub struct Relay {
    tap: Tap,
    flow: Flow,
    every: bool,
    /// The peer names the last frame that it had.
    resumed: bool,
    control: bool,
    window: u32,
    terms: Export,
    wish: Wish,
    codecs: Arc<dyn Codecs>,
    selection: Selection,
    /// Generation of the directory that the selection was made for.
    generation: Option<u32>,
    /// Bytes of the directory that the peer has for sure, and by which message it will have more.
    known: usize,
    told: VecDeque<(u64, usize)>,
    looked: Instant,
    /// The producer was seen to be gone; frames that it left may still be taken.
    ending: bool,
    counts: RelayCounts,
    /// A frame that is sent at once, or in parts; used again and again.
    payload: Vec<u8>,
    /// The frame that is being sent in pieces.
    underway: Option<Underway>,
    /// The link is slow, so that large frames are copied at once.
    at_once: bool,
    /// When the last frames were published and taken, for guessing when the next one comes.
    pace: Pace,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("region", &self.tap.name()).field("counts", &self.counts).finish_non_exhaustive()
    }
}

fn refuse(why: Why, what: impl std::fmt::Display) -> Refused {
    Refused::new(why, what.to_string())
}

impl Relay {
    /// Opens the region that is asked for.
    ///
    /// # Errors
    ///
    /// [`Refused`]: what the peer is told.
    pub fn open(ask: &Attach, terms: &Export, codecs: Arc<dyn Codecs>) -> Result<Self, Refused> {
        let (every, bounds) = bounds_of(terms, &ask.wish);
        let (session_id, frame_id) = (ask.session, ask.after);
        let start = if every && frame_id > 0 { Start::After { session_id, frame_id } } else { Start::Newest };
        let tap = Tap::options().start(start).open(&ask.region);
        let tap = tap.map_err(|e| refuse(Why::NoSuchRegion, format_args!("`{}` cannot be opened: {e}", ask.region)))?;
        if tap.session_id() != ask.session {
            return Err(refuse(Why::NoSuchRegion, format_args!("`{}` has begun anew", ask.region)));
        }
        let directory = tap.directory().map_err(|e| refuse(Why::Trouble, e))?;
        if is_mirror(&directory) {
            return Err(refuse(Why::NoSuchRegion, format_args!("`{}` is a mirror itself", ask.region)));
        }
        Ok(Self {
            tap,
            flow: Flow::new(bounds),
            every,
            resumed: frame_id > 0,
            control: terms.control,
            window: bounds.messages,
            terms: terms.clone(),
            wish: ask.wish.clone(),
            codecs,
            selection: Selection::default(),
            generation: None,
            known: directory.bytes.len(),
            told: VecDeque::new(),
            looked: Instant::now(),
            ending: false,
            counts: RelayCounts::default(),
            payload: Vec::new(),
            underway: None,
            at_once: false,
            pace: Pace::default(),
        })
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> RelayCounts {
        RelayCounts { lost: self.flow.lost(), ..self.counts }
    }

    /// Frames that the region has published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.tap.last_id().saturating_add(self.tap.behind())
    }

    /// What the host's rule or the peer asks for and this region does not have.
    pub(crate) fn in_vain(&self) -> Vec<String> {
        let Ok(directory) = self.tap.directory() else { return Vec::new() };
        let named = self.terms.streams.iter().chain(&self.wish.streams);
        let unlisted = named.filter(|n| !directory.streams.iter().any(|s| s.is_called(n)));
        let unlisted = unlisted.map(|n| format!("`streams` names `{n}`, which the region does not list"));
        unlisted.chain(self.terms.compress.iter().filter_map(|c| c.in_vain(&directory))).collect()
    }

    /// Bytes of the longest control message that the region could take.
    pub(crate) fn longest_control(&self) -> usize {
        self.tap.layout().control_per_reader() as usize
    }

    /// Grants the region: its measures, its directory, and the newest frame.
    ///
    /// # Errors
    ///
    /// [`Refused`]: what the peer is told instead.
    pub fn welcome(&mut self, now: Instant) -> Result<Vec<u8>, Refused> {
        let (mut first, published) = (Vec::new(), self.published());
        // One that is damaged is left out; the next one comes soon.
        let has_first = self.take(now, &mut first, true).unwrap_or(false);
        let directory = self.tap.directory().map_err(|e| refuse(Why::Trouble, e))?;
        let before = if has_first { self.tap.last_id().saturating_sub(1) } else { published };
        if !has_first {
            first.clear();
            self.known = directory.bytes.len();
        }
        let extended = self.tap.features().is_extended();
        let welcome = Welcome {
            session: self.tap.session_id(),
            server_pid: if extended { self.tap.header().ext_server_pid } else { 0 },
            geometry: Geometry::of(self.tap.layout(), self.tap.features()),
            every: self.every,
            window: self.window,
            control: self.control,
            before,
            directory: directory.bytes.get(..self.known).unwrap_or(&directory.bytes),
            first: &first,
        };
        Ok(welcome.encode())
    }

    /// All messages up to this one have come.
    pub fn acked(&mut self, seq: u64, now: Instant) {
        if seq >= self.flow.next_seq() {
            return;
        }
        self.flow.acked(seq, now);
        while let Some(&(number, len)) = self.told.front()
            && number <= seq
        {
            self.known = self.known.max(len);
            self.told.pop_front();
        }
    }

    /// What is to be done now; messages are written to `out`.
    pub fn turn(&mut self, now: Instant, out: &mut Vec<u8>) -> Turn {
        if let Some(underway) = &mut self.underway {
            match underway.next(out) {
                Rest::Piece => return Turn::Send,
                Rest::Nothing => {
                    self.counts.sent += 1;
                    self.at_once = underway.is_slow();
                    self.underway = None;
                }
                rest @ (Rest::Lost | Rest::Damaged) => {
                    self.at_once = true;
                    match rest {
                        Rest::Damaged => self.counts.rejected += 1,
                        _ => self.counts.given_up += 1,
                    }
                    Data::GivenUp { seq: underway.seq() }.encode(out);
                    self.underway = None;
                    return Turn::Send;
                }
            }
        }
        match self.flow.ready(now) {
            Ready::Now => {}
            // The last frame of a server that is gone waits for no rate.
            Ready::At(_) if self.is_over(now) => {}
            // Not even looked at: what is published meanwhile costs nothing.
            Ready::At(at) | Ready::AfterAck(at) => return Turn::Until(at),
        }
        match self.take(now, out, false) {
            Ok(true) => Turn::Send,
            Ok(false) => self.idle(now, out),
            Err(ReadError::SessionChanged) => self.end(EndReason::SessionChanged, out),
            // Overwritten while it was copied: a newer one is there.
            Err(ReadError::Lapped { .. }) => {
                self.counts.left_out += 1;
                Turn::Again
            }
            Err(_) => {
                self.counts.rejected += 1;
                Turn::Again
            }
        }
    }

    /// Sleeps until there may be news, no longer than `at_most`.
    pub fn rest(&mut self, at_most: Duration) {
        if self.tap.can_sleep() {
            self.tap.sleep(at_most);
        } else {
            std::thread::sleep(self.pace.pause(now_ns(), self.tap.pause()).min(at_most));
        }
    }

    /// Whether the server is gone, as far as that is known.
    fn is_over(&mut self, now: Instant) -> bool {
        if !self.ending && now.saturating_duration_since(self.looked) >= LOOK {
            self.looked = now;
            self.ending = EndReason::of(&self.tap).is_some();
        }
        self.ending
    }

    fn idle(&mut self, now: Instant, out: &mut Vec<u8>) -> Turn {
        if now.saturating_duration_since(self.looked) < LOOK {
            return Turn::NoNews;
        }
        self.looked = now;
        match EndReason::of(&self.tap) {
            // A frame published just before the end is still taken.
            Some(_) if !std::mem::replace(&mut self.ending, true) => {
                self.looked = now.checked_sub(LOOK).unwrap_or(now);
                return Turn::Again;
            }
            Some(reason) => return self.end(reason, out),
            None => self.ending = false,
        }
        let Ok(directory) = self.tap.directory() else { return Turn::NoNews };
        let told = self.told.back().map_or(self.known, |t| t.1);
        let Some(bytes) = directory.bytes.get(told..).filter(|b| !b.is_empty()) else { return Turn::NoNews };
        let addition = Addition { at: told as u32, bytes };
        let seq = self.flow.next_seq();
        Data::Directory { seq, session: self.tap.session_id(), addition }.encode(out);
        self.told.push_back((seq, directory.bytes.len()));
        self.sent(out.len(), now);
        Turn::Send
    }

    /// What is sent when nothing more will be.
    fn end(&self, reason: EndReason, out: &mut Vec<u8>) -> Turn {
        let (seq, session) = (self.flow.next_seq(), self.tap.session_id());
        Data::End(Ended { seq, session, published: self.published(), reason: reason.to_string() }).encode(out);
        Turn::End(reason)
    }

    fn sent(&mut self, bytes: usize, now: Instant) {
        self.flow.send(bytes as u64, now);
        self.counts.bytes = self.counts.bytes.saturating_add(bytes as u64);
    }

    /// Takes a frame, if there is one, and writes its message.
    fn take(&mut self, now: Instant, out: &mut Vec<u8>, first: bool) -> Result<bool, ReadError> {
        let session = self.tap.session_id();
        let Self { tap, selection, generation, terms, wish, codecs, counts, pace, payload, at_once, .. } = self;
        // Who comes back has had all before the frame that it names.
        let newest = !self.every || first && !self.resumed;
        let found = if newest { tap.try_wait_in_pieces()? } else { tap.try_next_in_pieces()? };
        let Some(mut frame) = found else { return Ok(false) };
        counts.left_out = counts.left_out.saturating_add(frame.missed_before());
        // After the frame: it lists at least what the frame needs.
        let Ok(directory) = frame.directory() else { return Ok(false) };
        if *generation != Some(directory.generation) {
            *selection = Selection::new(&directory, [&terms.streams, &wish.streams], &terms.compress, wish.codecs);
            *generation = Some(directory.generation);
        }
        let now_ns = now_ns();
        let age = frame.age().map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        let published_ns = if frame.age().is_some() { now_ns.saturating_sub(age) } else { 0 };
        pace.taken(frame.frame_id(), published_ns, now_ns);
        // The first one is part of an answer.
        let from_region = selection.whole && !first && frame.len() > ALONE;
        if !from_region {
            payload.resize(frame.len(), 0);
            frame.copy(payload)?;
        }
        if first {
            self.known = directory.bytes.len();
        }
        let told = self.known;
        let (seq, addition) = (self.flow.next_seq(), addition(&directory, told));
        let mut parts = Vec::new();
        let (tlv_count, body) = if selection.whole {
            (frame.tlv_count(), Body::Whole(payload))
        } else {
            let count = selection.encode(payload, &**codecs, &mut parts);
            if count == 0 {
                counts.left_out += 1;
                return Ok(false);
            }
            (count, Body::Parts(&parts))
        };
        let message = Frame {
            seq,
            frame_id: frame.frame_id(),
            session,
            sim_time_bits: frame.sim_time().to_bits(),
            published_ns,
            tlv_count,
            has_checksum: frame.stored_checksum().is_some(),
            addition,
            checksum: 0,
            body: body.with(&[]),
        };
        // The producer's own checksum goes all the way, where there is one.
        let own = frame.stored_checksum().filter(|_| selection.whole);
        let bytes = body.bytes();
        let mut len = if from_region { frame.len() } else { bytes.len() };
        let in_pieces = !first && len > ALONE;
        if in_pieces {
            Data::Begin(Begin { frame: message, len: len as u32, own }).encode(out);
            len += out.len();
        } else {
            let checksum = own.unwrap_or_else(|| hash::checksum32(bytes));
            Frame { checksum, body, ..message }.encode(out);
            len = out.len();
        }
        self.underway = in_pieces.then(|| {
            let body = if from_region { underway::Body::There(Box::new(frame)) } else { underway::Body::Parts(parts) };
            Underway::new(seq, body, *at_once, own.is_some())
        });
        // One in pieces is counted when it is known what became of it.
        counts.sent += u64::from(!in_pieces);
        if !addition.bytes.is_empty() {
            self.told.push_back((seq, directory.bytes.len()));
        }
        self.sent(len, now);
        Ok(true)
    }
}

fn addition(directory: &Directory, known: usize) -> Addition<'_> {
    match directory.bytes.get(known..) {
        Some(bytes) if !bytes.is_empty() => Addition { at: known as u32, bytes },
        _ => Addition::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_and_the_peer_both_have_a_say() {
        let terms = Export { rate: 10.0, bytes_per_second: 1000, ..Export::default() };
        let wish = Wish { every: true, interval_ns: 1, ..Wish::default() };
        let (every, bounds) = bounds_of(&terms, &wish);
        assert!(!every, "it is not allowed");
        assert_eq!((bounds.interval, bounds.bytes_per_second), (Duration::from_millis(100), 1000));
        let terms = Export { every: true, ..Export::default() };
        let wish = Wish { bytes_per_second: 5, interval_ns: u64::MAX, ..wish };
        let (every, bounds) = bounds_of(&terms, &wish);
        assert!(every);
        assert_eq!((bounds.interval, bounds.bytes_per_second), (Duration::from_secs(86400), 5));
        assert_eq!(interval_of(f64::MIN_POSITIVE), Duration::MAX);
    }
}
