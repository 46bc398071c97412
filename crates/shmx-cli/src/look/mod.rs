//! A region at one moment: everything that the dashboard and `inspect --once` show, as plain data.

mod lookout;

pub(crate) use lookout::{Focus, Lookout, frame};

use crate::escape::safe;
use crate::units;
use crate::values;
use shmx::abi::extension::Features;
use shmx::abi::wire::GlobalHeader;
use shmx::{ChecksumState, ControlFill, Directory, HeaderReport, ServerState, StreamInfo};
use shmx_os::LockState;
use std::path::PathBuf;
use std::sync::Arc;

/// A region or a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Region(String),
    File(PathBuf),
}

impl Target {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Region(name) => safe(name).into_owned(),
            Self::File(path) => safe(&path.display().to_string()).into_owned(),
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

    /// The name as it is, for machines.
    pub(crate) fn plain_name(&self) -> String {
        match &self.info {
            Some(i) if !i.name.is_empty() => i.name_lossy().into_owned(),
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
        self.info.as_ref().is_some_and(|i| values::numeric(i).is_some())
    }

    pub(crate) fn components(&self) -> u32 {
        self.info.as_ref().map_or(1, |i| i.components.max(1))
    }
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

pub(crate) const FLAGS: [(u64, &str); 9] = [
    (Features::STAMPS, "stamps"),
    (Features::DOORBELL, "doorbell"),
    (Features::LOCKS, "locks"),
    (Features::PUBLISH_TIME, "publish_time"),
    (Features::NO_CHECKSUM, "no_checksum"),
    (Features::FRAME_MARKS, "frame_marks"),
    (Features::RING_ALWAYS, "ring_always"),
    (Features::CLOSED, "closed"),
    (Features::DIED, "died"),
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

/// The server's process as it says, and the program if the process is seen to use the region.
pub(crate) fn process_text(f: &Facts) -> String {
    let pid = f.header.ext_server_pid;
    match &f.program {
        Some(program) => format!("pid {pid} {program}"),
        None if f.server == ServerState::Live && !f.file => format!("pid {pid} (not seen here)"),
        None => format!("pid {pid}"),
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
