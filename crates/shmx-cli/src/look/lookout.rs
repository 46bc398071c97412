//! Where the facts come from: an inspector that follows a region.

use super::{Facts, FrameFact, Look, ReaderFact, SlotFact, SlotKind, StreamFact, Target};
use crate::acquired::Acquired;
use crate::common;
use crate::seen::PUBLISH_STEP;
use shmx::abi::extension::Features;
use shmx::abi::wire::GlobalHeader;
use shmx::error::OpenError;
use shmx::{ChecksumState, Directory, HeaderReport, Inspector, ServerState, SlotContent};
use std::time::{Duration, Instant};

/// Which place of which stream is of interest: its bytes are always among those copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Focus {
    pub(crate) stream: Option<u32>,
    pub(crate) element: u32,
}

/// Bytes of each stream that are copied for showing.
const SHOWN_BYTES: u32 = 4096;
/// Elements in front of the one in focus that are copied too.
const CONTEXT: u32 = 4;

/// Frames larger than this are not checked while somebody waits for keys to be answered.
const LONGEST_CHECKED: u32 = 128 << 20;

/// Looks again and again at one target, and follows it when its server restarts.
#[derive(Debug)]
pub(crate) struct Lookout {
    pub(crate) target: Target,
    inspector: Option<Inspector>,
    /// Per slot: the frame, its stamp, and what its checksum was found to be.
    sums: Vec<Option<(u64, u64, ChecksumState)>>,
    /// Computing checksums takes at most a fifth of the time.
    rest_until: Instant,
    session: u64,
    /// Programs of processes, asked for once in a while.
    programs: Vec<(u32, Option<String>)>,
    programs_of: Instant,
}

impl Lookout {
    pub(crate) fn new(target: Target) -> Self {
        let now = Instant::now();
        Self {
            target,
            inspector: None,
            sums: Vec::new(),
            rest_until: now,
            session: 0,
            programs: Vec::new(),
            programs_of: now,
        }
    }

    /// The open region, for whoever wants more than facts.
    pub(crate) fn inspector(&self) -> Option<&Inspector> {
        self.inspector.as_ref()
    }

    /// Opens the target if it is not open, and again if it has changed. Says why there is nothing to look at.
    pub(crate) fn refresh(&mut self) -> Result<(), Look> {
        if let Some(i) = &self.inspector {
            let gone = !i.is_whole() || i.header().session_id != self.session;
            let followed = !i.is_current() && self.successor_exists();
            if !gone && !followed {
                return Ok(());
            }
            self.inspector = None;
        }
        let opened = match &self.target {
            Target::Region(name) => Inspector::open(name),
            Target::File(path) => Inspector::open_file(path),
        };
        match opened {
            Ok(i) => {
                self.session = i.header().session_id;
                common::opened(&self.target.text(), &i.header(), i.layout());
                self.sums = vec![None; i.layout().slots() as usize];
                self.inspector = Some(i);
                Ok(())
            }
            Err(OpenError::Layout { cause, .. }) => {
                let report = match &self.target {
                    Target::Region(name) => HeaderReport::of_region(name).map_err(|e| one_line(e.into())),
                    Target::File(path) => HeaderReport::of_file(path).map_err(|e| one_line(e.into())),
                };
                Err(match report {
                    Ok(r) if r.layout.is_err() => Look::Damaged(Box::new(r)),
                    Ok(_) => Look::Missing(format!("{cause}; it changes while it is read")),
                    Err(e) => Look::Missing(e),
                })
            }
            Err(e) => Err(Look::Missing(one_line(e.into()))),
        }
    }

    fn successor_exists(&self) -> bool {
        match &self.target {
            Target::Region(name) => Inspector::open(name).is_ok(),
            Target::File(_) => false,
        }
    }

    /// Looks once. With `patient`, every checksum is computed, however long that takes.
    pub(crate) fn look(&mut self, focus: Focus, patient: bool) -> Look {
        if let Err(nothing) = self.refresh() {
            return nothing;
        }
        let Some(i) = self.inspector.take() else { return Look::Missing("it vanished".into()) };
        let facts = self.facts(&i, focus, patient);
        self.inspector = Some(i);
        Look::Region(Box::new(facts))
    }

    fn program(&mut self, i: &Inspector, pid: u32) -> Option<String> {
        if self.programs_of.elapsed() > Duration::from_secs(2) {
            self.programs.clear();
            self.programs_of = Instant::now();
        }
        if let Some((_, name)) = self.programs.iter().find(|p| p.0 == pid) {
            return name.clone();
        }
        let name = crate::common::program(i, pid);
        self.programs.push((pid, name.clone()));
        name
    }

    fn facts(&mut self, i: &Inspector, focus: Focus, patient: bool) -> Facts {
        let header = i.header();
        let features = i.features();
        let file = matches!(self.target, Target::File(_));
        let server = i.server_state();
        let directory = i.directory().map_err(|e| e.to_string());
        let program = (server == ServerState::Live).then(|| self.program(i, header.ext_server_pid)).flatten();
        let readers = i.snapshot_readers();
        // Each clock after what it is compared with.
        let now = shmx_os::clock::ticks();
        let readers = readers.into_iter().map(|r| self.reader(i, r, header.frame_seq, now, file)).collect();
        let slots = self.slots(i, &header, features, file, patient);
        let latest = i.layout().slot_of_sequence(header.write_index).and_then(|slot| {
            let sum = slots.get(slot as usize).and_then(|s: &SlotFact| s.checksum);
            frame(i, slot, directory.as_deref().ok(), focus, sum, !file)
        });
        Facts {
            header,
            layout: *i.layout(),
            features,
            server,
            program,
            named: i.is_current(),
            file,
            directory,
            readers,
            slots,
            latest,
        }
    }

    fn reader(&mut self, i: &Inspector, r: shmx::ReaderInfo, newest: u64, now: u64, file: bool) -> ReaderFact {
        let age = (r.heartbeat != 0 && !file).then(|| now.saturating_sub(r.heartbeat));
        ReaderFact {
            index: r.index,
            in_use: r.in_use,
            id: r.reader_id,
            last_frame: r.last_frame_seen,
            lag: newest.saturating_sub(r.last_frame_seen),
            heartbeat_age_ns: age,
            lock: r.lock,
            leases: r.leased_slots,
            own: r.extension,
            program: r.extension.filter(|_| !file).and_then(|e| self.program(i, e.pid)),
            ring: i.control_fill(r.index),
        }
    }

    fn slots(
        &mut self,
        i: &Inspector,
        header: &GlobalHeader,
        features: Features,
        file: bool,
        patient: bool,
    ) -> Vec<SlotFact> {
        let newest = i.layout().slot_of_sequence(header.write_index);
        let mut briefs = i.slot_briefs();
        let now = shmx_os::clock::ticks();
        // The newest first, so that its checksum is the one that is known.
        let order = newest.into_iter().chain((0..briefs.len() as u32).filter(|&s| Some(s) != newest));
        for slot in order {
            let Some(b) = briefs.get(slot as usize) else { continue };
            if b.content != SlotContent::Frame {
                continue;
            }
            let key = (b.header.frame_id, b.header.ext_stamp);
            let known = self.sums.get(slot as usize).copied().flatten();
            let later = Instant::now() < self.rest_until || b.header.payload_bytes > LONGEST_CHECKED;
            if known.is_some_and(|k| (k.0, k.1) == key) || (!patient && later) {
                continue;
            }
            let began = Instant::now();
            if let Ok(Some((id, sum))) = i.checksum_of(slot)
                && id == key.0
                && let Some(place) = self.sums.get_mut(slot as usize)
            {
                *place = Some((key.0, key.1, sum));
            }
            // Short ones are free.
            let took = began.elapsed();
            if took > Duration::from_millis(1) {
                self.rest_until = Instant::now() + took * 4;
            }
        }
        let sums = &self.sums;
        briefs.drain(..).map(|b| slot_fact(&b, newest, features, now, file, sums)).collect()
    }
}

fn slot_fact(
    b: &shmx::SlotBrief,
    newest: Option<u32>,
    features: Features,
    now: u64,
    file: bool,
    sums: &[Option<(u64, u64, ChecksumState)>],
) -> SlotFact {
    let h = &b.header;
    let sum = sums.get(b.index as usize).copied().flatten();
    let checksum = sum.filter(|s| (s.0, s.1) == (h.frame_id, h.ext_stamp)).map(|s| s.2);
    let is_newest = newest == Some(b.index) && b.content == SlotContent::Frame;
    let (kind, why) = match &b.content {
        SlotContent::Empty => (SlotKind::Empty, None),
        SlotContent::Writing => (SlotKind::Writing, None),
        SlotContent::Bad(e) => (SlotKind::Bad, Some(e.to_string())),
        _ if checksum == Some(ChecksumState::Mismatch) => {
            (SlotKind::Bad, Some("the payload does not have the checksum that the producer wrote".into()))
        }
        _ if b.leases != 0 => (SlotKind::Leased, None),
        _ if is_newest => (SlotKind::Newest, None),
        _ => (SlotKind::Frame, None),
    };
    SlotFact {
        index: b.index,
        kind,
        newest: is_newest,
        why,
        frame_id: h.frame_id,
        age_ns: features.publish_time(h.ext_publish_time, h.ext_stamp).filter(|_| !file).and_then(|t| t.age_ns(now)),
        sim_time: h.sim_time,
        bytes: h.payload_bytes,
        tlvs: h.tlv_count,
        checksum,
        leased_by: (0..128).filter(|i| b.leases >> i & 1 == 1).collect(),
    }
}

/// The frame in a slot with the beginning of each stream.
pub(crate) fn frame(
    i: &Inspector,
    slot: u32,
    directory: Option<&Directory>,
    focus: Focus,
    checksum: Option<ChecksumState>,
    live: bool,
) -> Option<Result<FrameFact, String>> {
    let info = |id: u32| directory.and_then(|d| d.stream(id));
    let acquired = directory.and_then(Acquired::of);
    let want = |id: u32, _: u32| {
        let start = match info(id) {
            Some(s) if focus.stream == Some(id) => {
                focus.element.saturating_sub(CONTEXT).saturating_mul(s.bytes_per_elem)
            }
            _ => 0,
        };
        start..start.saturating_add(SHOWN_BYTES)
    };
    let o = match i.outline(slot, want) {
        Ok(Some(o)) => o,
        Ok(None) => return None,
        Err(e) => return Some(Err(e.to_string())),
    };
    let now = live.then(shmx_os::clock::ticks);
    let age_ns = o.publish_time().and_then(|t| t.age_ns(now?));
    let published = age_ns.zip(now).map(|(age, now)| now.saturating_sub(age) & !(PUBLISH_STEP - 1));
    let acquired_ns = acquired.and_then(|a| {
        let s = o.streams.iter().find(|s| s.stream_id == a.stream)?;
        a.before(&s.part, published?)
    });
    let streams = o.streams.into_iter().map(|s| StreamFact {
        id: s.stream_id,
        info: info(s.stream_id).cloned(),
        elem_count: s.elem_count,
        bytes: s.bytes,
        start: s.start,
        part: s.part,
    });
    let damage = o.error.map(|e| e.to_string());
    let cut = o.cut.then(|| format!("only the first {} records are shown", shmx::FrameOutline::MOST_RECORDS));
    Some(Ok(FrameFact {
        slot,
        id: o.header.frame_id,
        age_ns,
        acquired_ns,
        sim_time: o.header.sim_time,
        bytes: o.header.payload_bytes,
        tlvs: o.header.tlv_count,
        checksum,
        streams: streams.collect(),
        damage: damage.or(cut),
    }))
}

fn one_line(e: anyhow::Error) -> String {
    crate::common::one_line(&e)
}
