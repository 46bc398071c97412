//! What a region looks like from outside, as the page gets it.

use serde::Serialize;
use shmx::abi::extension::Features;
use shmx::{Inspector, ServerState, SlotContent, StreamInfo};
use shmx_record::ImageInfo;
use std::time::Instant;

/// A region at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RegionState {
    pub(crate) name: String,
    /// `live`, `closed`, `died`, `reference-made`, `unknown`, `ended`; `absent` for a name that is waited for;
    /// `unreadable` or `damaged` for what cannot be opened.
    pub(crate) state: &'static str,
    /// Why it cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) facts: Option<Facts>,
}

/// What an open region says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    session: String,
    /// Counts changes of the directory.
    generation: u32,
    /// Frames published.
    frames: u64,
    /// Frames per second.
    rate: Option<f64>,
    /// Payload bytes of a frame, on average over the ring.
    frame_bytes: Option<u64>,
    /// Since the newest frame was published.
    age_ms: Option<f64>,
    pid: Option<u32>,
    program: Option<String>,
    total_bytes: u32,
    /// Name, first byte and bytes of each section.
    sections: [(&'static str, u32, u64); 5],
    payload_cap: u32,
    slots: Vec<Slot>,
    reader_slots: u32,
    readers: Vec<Reader>,
    streams: usize,
    checksums: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Slot {
    /// `newest`, `frame`, `leased`, `writing`, `bad`, `empty`.
    kind: &'static str,
    frame: u64,
    bytes: u32,
    leases: u32,
}

#[derive(Clone, Debug, Serialize)]
struct Reader {
    slot: u32,
    pid: Option<u32>,
    program: Option<String>,
    /// Frames published since the last one it took.
    lag: u64,
    missed: Option<u64>,
    rejected: Option<u64>,
    delivered: Option<u64>,
    leases: u32,
    /// Its process is gone, and its slot not freed yet.
    dead: bool,
    every_frame: bool,
}

/// Frames of a session, and when they were counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    session: u64,
    frames: u64,
    at: Instant,
    rate: Option<f64>,
}

pub(crate) const fn word(s: ServerState) -> &'static str {
    match s {
        ServerState::Live => "live",
        ServerState::Died => "died",
        ServerState::Closed => "closed",
        ServerState::Reference => "reference-made",
        _ => "unknown",
    }
}

/// The program of a process that is seen to use the region: ids in a region may be of another namespace.
fn program(i: &Inspector, pid: u32) -> (Option<u32>, Option<String>) {
    if pid != 0 && i.is_used_by(pid) == Some(true) { (Some(pid), shmx_os::process_name(pid)) } else { (None, None) }
}

/// Reads the facts, and moves the sample of the frame count on.
pub(crate) fn facts(i: &Inspector, sample: &mut Option<Sample>) -> Facts {
    let (h, layout, features) = (i.header(), i.layout(), i.features());
    let server = i.server_state();
    let newest = layout.slot_of_sequence(h.write_index);
    let briefs = i.slot_briefs();
    // After the frames: none is of the future then.
    let now = shmx_os::clock::ticks();
    let age = |b: &shmx::SlotBrief| features.publish_time(b.header.ext_publish_time, b.header.ext_stamp)?.age_ns(now);
    let mut times = Vec::new();
    let (mut bytes, mut count) = (0_u64, 0_u64);
    for b in briefs.iter().filter(|b| b.content == SlotContent::Frame) {
        bytes += u64::from(b.header.payload_bytes);
        count += 1;
        times.extend(age(b).map(|age| (b.header.frame_id, age)));
    }
    times.sort_unstable();
    let slots = briefs.iter().map(|b| slot(b, newest)).collect();
    let mut readers = i.snapshot_readers();
    readers.retain(|r| r.in_use);
    let readers = readers.into_iter().map(|r| {
        let (pid, program) = r.extension.map_or((None, None), |e| program(i, e.pid));
        let own = r.extension;
        Reader {
            slot: r.index,
            pid,
            program,
            lag: h.frame_seq.saturating_sub(r.last_frame_seen),
            missed: own.map(|e| e.missed),
            rejected: own.map(|e| e.rejected),
            delivered: own.map(|e| e.delivered),
            leases: r.leased_slots,
            dead: own.is_some() && r.lock == shmx::LockState::Free,
            every_frame: own.is_some_and(|e| e.every_frame),
        }
    });
    let rate = if server.is_gone() { None } else { rate(h.session_id, h.frame_seq, sample, &times) };
    let (pid, program) = program(i, if features.is_extended() { h.ext_server_pid } else { 0 });
    let each = |n: u32, stride: u32| u64::from(n) * u64::from(stride);
    Facts {
        session: format!("{:016x}", h.session_id),
        generation: h.static_gen,
        frames: h.frame_seq,
        rate,
        frame_bytes: bytes.checked_div(count),
        age_ms: times.last().map(|t| t.1 as f64 / 1e6),
        pid,
        program,
        total_bytes: layout.total_bytes(),
        sections: [
            ("header", 0, layout.static_offset().into()),
            ("directory", layout.static_offset(), layout.static_bytes_cap().into()),
            ("readers", layout.readers_offset(), each(layout.reader_slots(), layout.reader_slot_stride())),
            ("control", layout.control_offset(), each(layout.reader_slots(), layout.control_stride())),
            ("slots", layout.slots_offset(), each(layout.slots(), layout.slot_stride())),
        ],
        payload_cap: layout.frame_bytes_cap(),
        slots,
        reader_slots: layout.reader_slots(),
        readers: readers.collect(),
        streams: i.directory().map_or(0, |d| d.streams.len()),
        checksums: !features.has(Features::NO_CHECKSUM),
    }
}

fn slot(b: &shmx::SlotBrief, newest: Option<u32>) -> Slot {
    let kind = match &b.content {
        SlotContent::Empty => "empty",
        SlotContent::Writing => "writing",
        SlotContent::Bad(_) => "bad",
        _ if b.leases != 0 => "leased",
        _ if newest == Some(b.index) => "newest",
        _ => "frame",
    };
    let has = !matches!(b.content, SlotContent::Empty);
    Slot {
        kind,
        frame: if has { b.header.frame_id } else { 0 },
        bytes: if has { b.header.payload_bytes } else { 0 },
        leases: b.leases.count_ones(),
    }
}

/// Counted since the last time, or as the ring's publish times have it where there is too little to count.
fn rate(session: u64, frames: u64, sample: &mut Option<Sample>, times: &[(u64, u64)]) -> Option<f64> {
    let now = Instant::now();
    let before = sample.filter(|s| s.session == session && s.frames <= frames);
    // Two polls at once would count almost nothing.
    if let Some(b) = before.filter(|b| now.duration_since(b.at).as_secs_f64() < 0.2) {
        return b.rate;
    }
    let counted = before.map(|b| {
        let n = frames - b.frames;
        (n, n as f64 / now.duration_since(b.at).as_secs_f64())
    });
    let rate = match counted {
        Some((n, rate)) if n >= 8 => Some(rate),
        Some((_, rate)) => rate_of_ring(times).or(Some(rate)),
        None => rate_of_ring(times),
    };
    *sample = Some(Sample { session, frames, at: now, rate });
    rate
}

fn rate_of_ring(frames: &[(u64, u64)]) -> Option<f64> {
    let (&(a, age_a), &(b, age_b)) = (frames.first()?, frames.last()?);
    let span = age_a.checked_sub(age_b).filter(|&s| s > 0)?;
    let interval = span as f64 / b.checked_sub(a).filter(|&n| n > 0)? as f64;
    // A producer that has stopped has no rate.
    ((age_b as f64) < interval * 3.0).then_some(1e9 / interval)
}

/// A stream as the directory has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamDescription {
    id: u32,
    name: String,
    /// `f32` and the like; none for a code that is not known.
    #[serde(rename = "type")]
    ty: Option<String>,
    components: u32,
    elem_bytes: u32,
    role: Option<String>,
    shape: Option<Vec<u32>>,
    unit: Option<String>,
    frame: Option<String>,
    clock: Option<String>,
    view: Option<String>,
    image: Option<ImageDescription>,
    problems: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ImageDescription {
    width: u32,
    height: u32,
    encoding: String,
    compressed: bool,
}

pub(crate) fn describe(s: &StreamInfo) -> StreamDescription {
    let (meta, problems) = s.meta();
    let image = ImageInfo::of(s).map(|i| ImageDescription {
        width: i.width,
        height: i.height,
        compressed: i.encoding.is_compressed(),
        encoding: i.encoding.name().to_owned(),
    });
    // The type only where elements are what it says: others are shown as bytes.
    let whole = |size: u32| u64::from(size) * u64::from(s.components) == u64::from(s.bytes_per_elem);
    StreamDescription {
        id: s.id,
        name: s.name_lossy().into_owned(),
        ty: s.element_type().filter(|t| whole(t.size())).map(|t| t.to_string()),
        components: s.components,
        elem_bytes: s.bytes_per_elem,
        role: meta.role.map(|r| r.to_string()),
        shape: meta.shape,
        unit: meta.unit,
        frame: meta.frame,
        clock: meta.clock.map(|c| c.to_string()),
        view: meta.view.map(|v| v.to_string()),
        image,
        problems: problems.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_rings() {
        let at = |pairs: &[(u64, u64)]| rate_of_ring(pairs);
        assert_eq!(at(&[(1, 300_000_000), (2, 200_000_000), (3, 100_000_000)]), Some(10.0));
        assert_eq!(at(&[(1, 900_000_000), (2, 800_000_000)]), None, "it has stopped");
        assert_eq!(at(&[(2, 900_000_000), (2, 800_000_000)]), None, "ids that make no sense");
        assert_eq!(at(&[(3, 900_000_000), (2, 800_000_000)]), None);
        assert_eq!(at(&[(1, 5)]), None);
        assert_eq!(at(&[]), None);
    }
}
