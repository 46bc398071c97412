//! A region at one moment: everything that the dashboard and `inspect --once` show, as plain data.

use crate::acquired::Acquired;
use crate::common::safe;
use crate::seen::PUBLISH_STEP;
use crate::units;
use crate::values;
use shmx::abi::extension::Features;
use shmx::abi::wire::GlobalHeader;
use shmx::error::OpenError;
use shmx::{ChecksumState, ControlFill, Directory, HeaderReport, Inspector, ServerState, SlotContent, StreamInfo};
use shmx_os::LockState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Region(String),
    File(PathBuf),
}

impl Target {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Region(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    Region(Box<Facts>),
    /// It is there and cannot be opened as a region.
    Damaged(Box<HeaderReport>),
    /// There is nothing, or it may not be opened; why.
    Missing(String),
}

/// A region at one moment, times relative to it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) header: GlobalHeader,
    pub(crate) layout: shmx::abi::RegionLayout,
    pub(crate) features: Features,
    pub(crate) server: ServerState,
    pub(crate) program: Option<String>,
    /// Whether the name still leads here.
    pub(crate) named: bool,
    pub(crate) file: bool,
    pub(crate) directory: Result<Arc<Directory>, String>,
    /// Every reader slot.
    pub(crate) readers: Vec<ReaderFact>,
    pub(crate) slots: Vec<SlotFact>,
    /// The newest frame; none while there is none.
    pub(crate) latest: Option<Result<FrameFact, String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReaderFact {
    pub(crate) index: u32,
    pub(crate) in_use: bool,
    pub(crate) id: u64,
    pub(crate) last_frame: u64,
    /// Frames published since.
    pub(crate) lag: u64,
    pub(crate) heartbeat_age_ns: Option<u64>,
    pub(crate) lock: LockState,
    pub(crate) leases: u32,
    /// What a reader of ours says of itself.
    pub(crate) own: Option<shmx::abi::extension::ReaderExtension>,
    pub(crate) program: Option<String>,
    pub(crate) ring: Option<ControlFill>,
}

impl ReaderFact {
    /// A slot whose owner is known to be dead and has not been reaped.
    pub(crate) fn is_dead(&self) -> bool {
        self.in_use && self.own.is_some() && self.lock == LockState::Free
    }
}

/// What a slot is to the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlotKind {
    Empty,
    Frame,
    Newest,
    Leased,
    Writing,
    Bad,
}

impl SlotKind {
    pub(crate) const ALL: [Self; 6] = [Self::Newest, Self::Frame, Self::Leased, Self::Writing, Self::Bad, Self::Empty];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Frame => "frame",
            Self::Newest => "newest",
            Self::Leased => "leased",
            Self::Writing => "writing",
            Self::Bad => "bad",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlotFact {
    pub(crate) index: u32,
    pub(crate) kind: SlotKind,
    /// Whether it is the newest one, leased or not.
    pub(crate) newest: bool,
    /// Why it is bad.
    pub(crate) why: Option<String>,
    pub(crate) frame_id: u64,
    pub(crate) age_ns: Option<u64>,
    pub(crate) sim_time: f64,
    pub(crate) bytes: u32,
    pub(crate) tlvs: u32,
    /// None while it has not been computed.
    pub(crate) checksum: Option<ChecksumState>,
    pub(crate) leased_by: Vec<u32>,
}

impl SlotFact {
    pub(crate) fn has_frame(&self) -> bool {
        matches!(self.kind, SlotKind::Frame | SlotKind::Newest | SlotKind::Leased)
            || self.kind == SlotKind::Bad && self.checksum == Some(ChecksumState::Mismatch)
    }
}

pub(crate) const fn checksum_word(c: Option<ChecksumState>) -> &'static str {
    match c {
        Some(ChecksumState::Verified) => "ok",
        Some(ChecksumState::Mismatch) => "WRONG",
        Some(ChecksumState::Absent) => "absent",
        _ => "not checked",
    }
}

#[derive(Clone, Debug)]
pub(crate) struct FrameFact {
    pub(crate) slot: u32,
    pub(crate) id: u64,
    pub(crate) age_ns: Option<u64>,
    /// How long before its publishing its data was acquired; negative if after.
    pub(crate) acquired_ns: Option<i64>,
    pub(crate) sim_time: f64,
    pub(crate) bytes: u32,
    pub(crate) tlvs: u32,
    pub(crate) checksum: Option<ChecksumState>,
    pub(crate) streams: Vec<StreamFact>,
    /// Why the streams end early.
    pub(crate) damage: Option<String>,
}

/// A stream in the newest frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamFact {
    pub(crate) id: u32,
    /// What the directory says.
    pub(crate) info: Option<StreamInfo>,
    pub(crate) elem_count: u32,
    pub(crate) bytes: u32,
    /// Bytes of the stream from `start` on, not all of them if it is long.
    pub(crate) start: u32,
    pub(crate) part: Vec<u8>,
}

impl StreamFact {
    pub(crate) fn name(&self) -> String {
        match &self.info {
            Some(i) if !i.name.is_empty() => safe(&i.name_lossy()).into_owned(),
            _ => format!("#{}", self.id),
        }
    }

    pub(crate) fn type_text(&self) -> String {
        self.info.as_ref().map_or_else(|| "undeclared".to_owned(), values::type_text)
    }

    /// Elements by components, as in `1000 x 3`.
    pub(crate) fn shape(&self) -> String {
        match &self.info {
            Some(i) if i.components > 1 => format!("{} x {}", self.elem_count, i.components),
            _ => self.elem_count.to_string(),
        }
    }

    /// The first element in `part`.
    pub(crate) fn first_element(&self) -> u32 {
        self.info.as_ref().map_or(0, |i| self.start / i.bytes_per_elem.max(1))
    }

    /// Elements as text, from the first in `part` on.
    pub(crate) fn elements(&self, limit: usize) -> Vec<String> {
        let whole = self.info.as_ref().map_or(1, |i| i.bytes_per_elem.max(1) as usize);
        let part = &self.part[..self.part.len() / whole * whole];
        match values::decode(self.info.as_ref(), part, limit) {
            serde_json::Value::Array(all) => all.iter().map(ToString::to_string).collect(),
            serde_json::Value::String(hex) => vec![hex],
            other => vec![other.to_string()],
        }
    }

    pub(crate) fn is_numeric(&self) -> bool {
        self.info.as_ref().is_some_and(|i| i.element_type().is_some())
    }

    pub(crate) fn components(&self) -> u32 {
        self.info.as_ref().map_or(1, |i| i.components.max(1))
    }
}

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

    /// The open region, for whoever wants more than a look.
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

    fn program(&mut self, pid: u32) -> Option<String> {
        if self.programs_of.elapsed() > Duration::from_secs(2) {
            self.programs.clear();
            self.programs_of = Instant::now();
        }
        if let Some((_, name)) = self.programs.iter().find(|p| p.0 == pid) {
            return name.clone();
        }
        let name = shmx_os::process_name(pid);
        self.programs.push((pid, name.clone()));
        name
    }

    fn facts(&mut self, i: &Inspector, focus: Focus, patient: bool) -> Facts {
        let header = i.header();
        let features = i.features();
        let now = shmx_os::clock::ticks();
        let file = matches!(self.target, Target::File(_));
        let server = i.server_state();
        let directory = i.directory().map_err(|e| e.to_string());
        let program = (server == ServerState::Live).then(|| self.program(header.ext_server_pid)).flatten();
        let readers =
            i.snapshot_readers().into_iter().map(|r| self.reader(i, r, header.frame_seq, now, file)).collect();
        let slots = self.slots(i, &header, features, now, file, patient);
        let latest = i.layout().slot_of_sequence(header.write_index).and_then(|slot| {
            let sum = slots.get(slot as usize).and_then(|s: &SlotFact| s.checksum);
            frame(i, slot, directory.as_deref().ok(), focus, sum, (!file).then_some(now))
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
            program: r.extension.filter(|_| !file).and_then(|e| self.program(e.pid)),
            ring: i.control_fill(r.index),
        }
    }

    fn slots(
        &mut self,
        i: &Inspector,
        header: &GlobalHeader,
        features: Features,
        now: u64,
        file: bool,
        patient: bool,
    ) -> Vec<SlotFact> {
        let newest = i.layout().slot_of_sequence(header.write_index);
        let mut briefs = i.slot_briefs();
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
    now: Option<u64>,
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

/// What is wrong with what a stream says of itself; harmless to who reads it.
pub(crate) fn problems(s: &StreamInfo) -> Vec<String> {
    s.meta().1.iter().map(|p| safe(&p.to_string()).into_owned()).collect()
}

/// As in `acquired 3.20 ms before it was published`.
pub(crate) fn acquired_text(ns: Option<i64>) -> String {
    match ns {
        None => String::new(),
        Some(n) if n < 0 => format!("acquired {} after it was published", units::ns(n.unsigned_abs())),
        Some(n) => format!("acquired {} before it was published", units::ns(n.unsigned_abs())),
    }
}

pub(crate) const FLAGS: [(u64, &str); 6] = [
    (Features::STAMPS, "stamps"),
    (Features::DOORBELL, "doorbell"),
    (Features::LOCKS, "locks"),
    (Features::PUBLISH_TIME, "publish_time"),
    (Features::NO_CHECKSUM, "no_checksum"),
    (Features::CLOSED, "closed"),
];

pub(crate) fn flags(features: Features) -> Vec<&'static str> {
    FLAGS.iter().filter(|(bit, _)| features.has(*bit)).map(|(_, name)| *name).collect()
}

pub(crate) const fn server_word(s: ServerState) -> &'static str {
    match s {
        ServerState::Live => "live",
        ServerState::Died => "dead",
        ServerState::Closed => "closed",
        ServerState::Reference => "reference-made",
        _ => "unknown",
    }
}

/// The sections of a region: name, start, bytes, and what is in it.
pub(crate) fn sections(f: &Facts) -> [(&'static str, u64, u64, String); 5] {
    let l = &f.layout;
    let each = |n: u32, stride: u32| u64::from(n) * u64::from(stride);
    let used = format!("{} bytes used, generation {}", f.header.static_bytes_used, f.header.static_gen);
    let payload = format!("{} x {}, payload up to {}", l.slots(), l.slot_stride(), l.frame_bytes_cap());
    [
        ("header", 0, shmx::abi::GLOBAL_HEADER_LEN.into(), String::new()),
        ("directory", l.static_offset().into(), l.static_bytes_cap().into(), used),
        (
            "readers",
            l.readers_offset().into(),
            each(l.reader_slots(), l.reader_slot_stride()),
            format!("{} x {}", l.reader_slots(), l.reader_slot_stride()),
        ),
        (
            "control",
            l.control_offset().into(),
            each(l.reader_slots(), l.control_stride()),
            format!("{} x {}, {} each", l.reader_slots(), l.control_stride(), l.control_per_reader()),
        ),
        ("slots", l.slots_offset().into(), each(l.slots(), l.slot_stride()), payload),
    ]
}
