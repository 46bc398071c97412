//! A region out of what another host sends.

use crate::body::payload_of;
use crate::check::{check, records_len};
use crate::clock::Estimate;
use crate::codec::Codecs;
use crate::draft::Draft;
use crate::keys::Peer;
use crate::mark::{MARK_BYTES, MARK_NAME, Origin, Source};
use crate::outcome::{Accepted, MirrorCounts, MirrorError, RejectedFrame, STREAMS_MAX};
use crate::wire::{Addition, Body, FROM, Frame, Geometry, Welcome};
use shmx::abi::directory::Directory as Entries;
use shmx::abi::{self, TLV_ALIGN};
use shmx::error::CreateError;
use shmx::{ControlMsg, Directory, ServerBuilder, SharedServer};
use shmx_record::{Again, Put, PutError, Rebuilt, Segment};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Slots of a mirror from which on frames are written there while they come: the newest frame and the one that a reader
/// holds stay where they are.
const DRAFT_SLOTS: u32 = 3;

fn streams(streams: usize) -> Result<(), MirrorError> {
    if streams > STREAMS_MAX { Err(MirrorError::Streams { streams }) } else { Ok(()) }
}

/// How mirrors are made.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// Permission bits. Default 0o600.
    pub mode: u32,
    /// Most bytes of a mirror. Default 1 GiB.
    pub most_bytes: u64,
    /// How long a frame waits for a slot that no reader holds. Default 20 ms.
    pub slot_wait: Duration,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self { mode: 0o600, most_bytes: 1 << 30, slot_wait: Duration::from_millis(20) }
    }
}

/// Slots of a mirror, for frames that still come.
#[derive(Debug)]
pub(crate) struct Drafts(SharedServer);

impl Drafts {
    pub(crate) fn begin(&self, bytes: u32) -> Option<Draft> {
        Draft::begin(&self.0, bytes as usize)
    }
}

/// The mirror of a session of a region on another host.
#[derive(Debug)]
pub struct Mirror {
    again: Rebuilt,
    source: Source,
    session: u64,
    /// The origin's measures.
    geometry: Geometry,
    mark_id: u32,
    directory: Arc<Directory>,
    slot_wait: Duration,
    /// Id of the origin's frame that came last; before the first, of the one after which counting begins.
    last_id: u64,
    /// That one.
    before: u64,
    /// Frames rejected since then whose ids are not believed: they are not among those that are missed.
    unknown: u64,
    counts: MirrorCounts,
    scratch: Vec<u8>,
}

/// The server that makes the mirror, and the number of the stream that marks it.
fn builder(name: &str, source: &Source, welcome: &Welcome<'_>, mode: u32) -> (ServerBuilder, u32) {
    let g = welcome.geometry;
    let mut segment = Segment::default();
    segment.region.clone_from(&source.region);
    (segment.session_id, segment.server_pid) = (welcome.session, welcome.server_pid);
    (segment.features, segment.features_more) = (g.features, g.features_more);
    (segment.slots, segment.reader_slots) = (g.slots, g.reader_slots);
    segment.control_per_reader = g.control_per_reader;
    let ids: Vec<u32> = Entries::new(welcome.directory).map_while(Result::ok).map(|e| e.stream_id).collect();
    let mark = source.stream(&ids);
    let mark_id = mark.id;
    // The mark has room of its own, beyond what the origin can fill.
    let entry = (mark.name.len() + mark.extra.len() + 64).next_multiple_of(64) as u32;
    segment.static_bytes_cap = g.static_bytes_cap.saturating_add(entry);
    let cap = g.frame_bytes_cap.checked_next_multiple_of(TLV_ALIGN).unwrap_or(u32::MAX);
    segment.frame_bytes_cap = cap.saturating_add(MARK_BYTES);
    (segment.server(name, welcome.directory).stream(mark, 1).mode(mode), mark_id)
}

impl Mirror {
    /// Makes the region.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn create(
        name: &str,
        peer: &Peer,
        region: &str,
        welcome: &Welcome<'_>,
        options: &MirrorOptions,
    ) -> Result<Self, MirrorError> {
        let source = Source::new(peer, region, welcome.session);
        let fail = |source: CreateError| MirrorError::Create { name: name.to_owned(), source: Box::new(source) };
        let entries = || Entries::new(welcome.directory).map_while(Result::ok);
        if let Some(mark) = entries().find(|e| e.name == MARK_NAME.as_bytes()) {
            let (host, region) = Source::of_extra(mark.extra).map_or_else(Default::default, |s| (s.host, s.region));
            return Err(MirrorError::Mirror { host, region });
        }
        streams(entries().count())?;
        let (builder, mark_id) = builder(name, &source, welcome, options.mode);
        let bytes = builder.layout().map_err(fail)?.total_bytes().into();
        if bytes > options.most_bytes {
            return Err(MirrorError::TooLarge { bytes, most: options.most_bytes });
        }
        let server = builder.create().map_err(fail)?;
        let directory = server.directory();
        Ok(Self {
            again: Rebuilt::new(server, welcome.directory.len()),
            source,
            session: welcome.session,
            geometry: welcome.geometry,
            mark_id,
            directory,
            slot_wait: options.slot_wait,
            last_id: welcome.before,
            before: welcome.before,
            unknown: 0,
            counts: MirrorCounts::default(),
            scratch: Vec::new(),
        })
    }

    /// Name of the region.
    #[must_use]
    pub fn name(&self) -> &str {
        self.again.server.name()
    }

    /// Whether the name led to this region when that was last looked at, twice a second while frames come or control
    /// messages are asked for.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.again.server.is_named()
    }

    /// Where it comes from.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The origin's session.
    #[must_use]
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// Id of the origin's frame that came last; before the first, of the one after which counting begins.
    #[must_use]
    pub const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Id of the origin's frame with which counting began: each from it on is published, missed, rejected or blocked.
    #[must_use]
    pub const fn first_id(&self) -> u64 {
        self.before.saturating_add(1)
    }

    /// Counts so far.
    #[must_use]
    pub const fn counts(&self) -> MirrorCounts {
        self.counts
    }

    /// Whether the session that it has been made of has these measures: they cannot change.
    pub(crate) fn is_of(&self, geometry: &Geometry) -> Result<(), MirrorError> {
        if *geometry == self.geometry { Ok(()) } else { Err(MirrorError::Geometry) }
    }

    /// Notes that so many messages never came, or not whole.
    pub const fn lost(&mut self, messages: u64) {
        self.counts.lost = self.counts.lost.saturating_add(messages);
    }

    const fn miss_up_to(&mut self, id: u64) {
        let between = id.saturating_sub(self.last_id).saturating_sub(self.unknown);
        self.counts.missed = self.counts.missed.saturating_add(between);
        self.unknown = 0;
    }

    /// Notes how many frames the origin's session had in all.
    pub const fn ended(&mut self, published: u64) {
        self.miss_up_to(published);
        self.last_id = if published > self.last_id { published } else { self.last_id };
    }

    /// Those of these names of streams that the directory does not list.
    pub(crate) fn unlisted(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|n| !self.directory.streams.iter().any(|s| s.is_called(n))).cloned().collect()
    }

    /// Adds streams to the directory; those that are there already are left out.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn add(&mut self, addition: &Addition<'_>) -> Result<(), MirrorError> {
        let (have, at) = (self.again.directory_len(), addition.at as usize);
        let known = have.checked_sub(at).ok_or(MirrorError::Gap { have, at })?;
        if let Some(new) = addition.bytes.get(known..).filter(|new| !new.is_empty()) {
            streams(self.directory.streams.len() + Entries::new(new).map_while(Result::ok).count())?;
            self.again.add_to_directory(have, new)?;
            self.directory = self.again.server.directory();
        }
        Ok(())
    }

    /// Publishes a frame, if it is what was sent and what the origin's producer could have written.
    ///
    /// The outer error means that the mirror cannot go on, the inner one that the frame is rejected.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn accept(
        &mut self,
        frame: &Frame<'_>,
        clocks: Option<Estimate>,
        codecs: &dyn Codecs,
    ) -> Result<Result<Accepted, RejectedFrame>, MirrorError> {
        if frame.session == self.session && !frame.is_whole() {
            self.count(frame);
            self.unknown = self.unknown.saturating_add(1);
            return Ok(self.reject(RejectedFrame::Checksum));
        }
        self.accept_whole(frame, clocks, codecs)
    }

    fn count(&mut self, frame: &Frame<'_>) {
        self.counts.bytes = self.counts.bytes.saturating_add(frame.body.bytes().len() as u64);
    }

    /// The same for a frame whose checksum was compared while it came.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn accept_whole(
        &mut self,
        frame: &Frame<'_>,
        clocks: Option<Estimate>,
        codecs: &dyn Codecs,
    ) -> Result<Result<Accepted, RejectedFrame>, MirrorError> {
        self.count(frame);
        if let Some(done) = self.note(frame)? {
            return Ok(done);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = self.publish(frame, clocks, codecs, &mut scratch);
        self.scratch = scratch;
        match done? {
            Ok(accepted) => Ok(Ok(accepted)),
            Err(e) => Ok(self.reject(e)),
        }
    }

    /// Notes which frame has come; gives what becomes of one that is not to be published.
    fn note(&mut self, frame: &Frame<'_>) -> Result<Option<Result<Accepted, RejectedFrame>>, MirrorError> {
        if frame.session != self.session {
            return Ok(Some(self.reject(RejectedFrame::Session(frame.session))));
        }
        self.add(&frame.addition)?;
        if frame.frame_id <= self.last_id {
            return Ok(Some(Ok(Accepted::Old)));
        }
        self.miss_up_to(frame.frame_id - 1);
        self.last_id = frame.frame_id;
        Ok(None)
    }

    /// Slots for frames that still come, where the mirror has so many that its readers do not notice one less.
    pub(crate) fn drafts(&self) -> Option<Drafts> {
        (self.geometry.slots >= DRAFT_SLOTS).then(|| Drafts(self.again.server.clone()))
    }

    /// As [`Mirror::accept_whole`], for a frame whose body is in a slot of this mirror.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn accept_draft(
        &mut self,
        frame: &Frame<'_>,
        draft: Draft,
        clocks: Option<Estimate>,
    ) -> Result<Result<Accepted, RejectedFrame>, MirrorError> {
        self.counts.bytes = self.counts.bytes.saturating_add(draft.len() as u64);
        if let Some(done) = self.note(frame)? {
            return Ok(done);
        }
        let words = origin_of(frame, clocks).to_words().map(u64::to_ne_bytes);
        let mark = (self.mark_id, words.as_flattened());
        match draft.publish(frame, self.geometry.frame_bytes_cap, &self.directory, mark)? {
            Ok(id) => {
                self.counts.published += 1;
                Ok(Ok(Accepted::Published(id)))
            }
            Err(e) => Ok(self.reject(e)),
        }
    }

    fn reject(&mut self, e: RejectedFrame) -> Result<Accepted, RejectedFrame> {
        self.counts.rejected += 1;
        Err(e)
    }

    fn publish(
        &mut self,
        frame: &Frame<'_>,
        clocks: Option<Estimate>,
        codecs: &dyn Codecs,
        scratch: &mut Vec<u8>,
    ) -> Result<Result<Accepted, RejectedFrame>, MirrorError> {
        let (payload, tlv_count): (&[u8], u32) = match frame.body {
            Body::Whole(payload) => {
                if let Err(e) = check(payload, frame.tlv_count, self.geometry.frame_bytes_cap, &self.directory) {
                    return Ok(Err(e.into()));
                }
                let payload = &payload[..records_len(payload)];
                // Its last record may lack its padding, and one more follows.
                if payload.len().is_multiple_of(TLV_ALIGN as usize) {
                    (payload, frame.tlv_count)
                } else {
                    scratch.clear();
                    scratch.extend_from_slice(payload);
                    scratch.resize(payload.len().next_multiple_of(TLV_ALIGN as usize), 0);
                    (scratch, frame.tlv_count)
                }
            }
            Body::Parts(parts) => {
                match payload_of(parts, self.geometry.frame_bytes_cap, &self.directory, codecs, scratch) {
                    Ok(count) => match check(scratch, count, self.geometry.frame_bytes_cap, &self.directory) {
                        Ok(()) => (scratch, count),
                        Err(e) => return Ok(Err(e.into())),
                    },
                    Err(e) => return Ok(Err(e.into())),
                }
            }
        };
        let words = origin_of(frame, clocks).to_words().map(u64::to_ne_bytes);
        let again = Again {
            payload,
            tlv_count,
            sim_time: f64::from_bits(frame.sim_time_bits),
            checksum: frame.has_checksum,
            mark: Some((self.mark_id, 1, words.as_flattened())),
        };
        let start = Instant::now();
        loop {
            match self.again.put(&again) {
                Ok(Put::Published(id)) => {
                    self.counts.published += 1;
                    return Ok(Ok(Accepted::Published(id)));
                }
                Ok(Put::NoSlot) if start.elapsed() < self.slot_wait => std::thread::sleep(Duration::from_micros(200)),
                Ok(Put::NoSlot) => {
                    self.counts.blocked += 1;
                    return Ok(Ok(Accepted::Blocked));
                }
                Ok(Put::Skipped | Put::LeftOut) | Err(PutError::Append(_)) => return Ok(Err(RejectedFrame::Misfit)),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Messages that readers of the mirror have sent, those between programs of the reference aside. Also clears up after
    /// dead readers.
    pub fn poll_control(&self, most: usize) -> Vec<ControlMsg> {
        let batch = self.again.server.poll_control(most);
        batch.messages.into_iter().filter(|m| is_carried(m.ty)).collect()
    }
}

fn origin_of(frame: &Frame<'_>, clocks: Option<Estimate>) -> Origin {
    let known = clocks.filter(|_| frame.published_ns > 0);
    Origin {
        frame_id: frame.frame_id,
        session: frame.session,
        published_ns: frame.published_ns,
        here_ns: known.map_or(0, |e| e.here(frame.published_ns)),
        error_ns: known.map_or(0, |e| e.error_ns),
    }
}

/// Whether messages of this type go from host to host.
pub(crate) fn is_carried(ty: u32) -> bool {
    ty >= abi::TLV_CONTROL_USER && !OWN_TYPES.contains(&ty)
}

/// Types of messages that mean something to one region only: the reference's words between its programs, and what this
/// bridge puts before messages from elsewhere.
const OWN_TYPES: [u32; 4] = [0x4845_4C4F, 0x4842_5254, 0x4259_455F, FROM];
