//! `shmx inspect`: what a region holds.

use crate::args::Inspect;
use crate::common::{hex, say};
use crate::values;
use anyhow::Context;
use serde_json::{Value, json};
use shmx::abi::extension::FeatureWord;
use shmx::os::LockState;
use shmx::{ChecksumState, FrameView, Inspector, ReaderInfo, SlotState, SlotView};
use std::io::{BufWriter, Write};

pub(crate) fn run(a: &Inspect) -> anyhow::Result<()> {
    let (inspector, what) = match (&a.name, &a.file) {
        (Some(name), _) => {
            (Inspector::open(name).with_context(|| format!("cannot open region `{name}`"))?, name.clone())
        }
        (None, Some(file)) => {
            let what = file.display().to_string();
            (Inspector::open_file(file).with_context(|| format!("cannot open dump `{what}`"))?, what)
        }
        (None, None) => anyhow::bail!("give the name of a region, or --file"),
    };
    if let Some(file) = &a.dump {
        let bytes = inspector.dump();
        std::fs::write(file, &bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
        say(format_args!("{} bytes of `{what}` written to `{}`", bytes.len(), file.display()));
        if !a.json && !a.once {
            return Ok(());
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    if a.json {
        writeln!(out, "{:#}", json(&inspector))?;
    } else {
        text(&inspector, &what, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn lock(s: LockState) -> &'static str {
    match s {
        LockState::Free => "free",
        LockState::Held => "held",
        LockState::Unsupported => "unknown",
    }
}

const FLAGS: [(u32, &str); 6] = [
    (FeatureWord::STAMPS, "stamps"),
    (FeatureWord::DOORBELL, "doorbell"),
    (FeatureWord::LOCKS, "locks"),
    (FeatureWord::PUBLISH_TIME, "publish_time"),
    (FeatureWord::NO_CHECKSUM, "no_checksum"),
    (FeatureWord::CLOSED, "closed"),
];

fn flags(features: FeatureWord) -> Vec<&'static str> {
    FLAGS.iter().filter(|(bit, _)| features.has(*bit)).map(|(_, name)| *name).collect()
}

fn lease_holders(leases: u128) -> Vec<u32> {
    (0..128).filter(|i| leases >> i & 1 == 1).collect()
}

/// The words for a slot's state, and its frame if it holds a whole one.
fn state(slot: &SlotView) -> (String, Option<&FrameView>) {
    match &slot.state {
        SlotState::Empty => ("empty".into(), None),
        SlotState::Writing => ("writing".into(), None),
        SlotState::Bad(e) => (format!("bad: {e}"), None),
        SlotState::Frame(f) => match f.decode() {
            Ok(_) => ("frame".into(), Some(f)),
            Err(e) => (format!("bad: {e}"), None),
        },
        _ => ("unknown".into(), None),
    }
}

fn checksum_ok(f: &FrameView) -> Option<bool> {
    match f.checksum() {
        ChecksumState::Verified => Some(true),
        ChecksumState::Mismatch => Some(false),
        ChecksumState::Unverified | ChecksumState::Absent => None,
    }
}

/// The keys of the golden files, and `extension` with what the reference does not know.
fn json(i: &Inspector) -> Value {
    let h = i.header();
    let features = i.features();
    let dir = i.decode_static_dir();
    let readers = i.snapshot_readers();
    let slots = i.list_slots();
    let control: Vec<_> = readers.iter().map(|r| i.peek_control(r.index)).collect();
    let stream = |s: &shmx::StreamInfo| {
        json!({
            "stream_id": s.id, "element_type": s.element_type_code, "components": s.components,
            "layout": s.layout_code, "bytes_per_elem": s.bytes_per_elem,
            "name_utf8_hex": hex(&s.name), "extra_hex": hex(&s.extra),
        })
    };
    let directory: Vec<Value> = dir.iter().flat_map(|d| &d.streams).map(stream).collect();
    let frame = |s: &SlotView| {
        let f = state(s).1?;
        let streams: Vec<Value> = (f.streams().flatten())
            .map(|s| json!({"stream_id": s.stream_id, "elem_count": s.elem_count, "bytes_hex": hex(s.data)}))
            .collect();
        Some(json!({
            "index": s.index, "frame_id": f.frame_id(), "sim_time_bits": format!("{:016x}", f.sim_time().to_bits()),
            "payload_bytes": f.payload().len(), "tlv_count": f.tlv_count(), "checksum": f.stored_checksum(),
            "checksum_ok": checksum_ok(f), "streams": streams,
        }))
    };
    let messages = |ring: &Result<Vec<shmx::PeekedMsg>, _>| -> Value {
        ring.iter().flatten().map(|m| json!({"type": m.ty, "data_hex": hex(&m.data)})).collect()
    };
    json!({
        "header": {
            "magic": h.magic, "ver_major": h.ver_major, "ver_minor": h.ver_minor, "endianness": h.endianness,
            "session_id": h.session_id, "static_gen": h.static_gen, "static_hash": h.static_hash,
            "static_offset": h.static_offset, "static_bytes_cap": h.static_bytes_cap,
            "static_bytes_used": h.static_bytes_used, "slots": h.slots, "slot_stride": h.slot_stride,
            "slots_offset": h.slots_offset, "frame_bytes_cap": h.frame_bytes_cap, "reader_slots": h.reader_slots,
            "reader_slot_stride": h.reader_slot_stride, "readers_offset": h.readers_offset,
            "control_offset": h.control_offset, "control_per_reader": h.control_per_reader,
            "control_stride": h.control_stride, "frame_seq": h.frame_seq, "write_index": h.write_index,
            "readers_connected": h.readers_connected, "reserve_index": h.reserve_index,
        },
        "directory": directory,
        "readers": readers.iter().map(|r| json!({
            "index": r.index, "reader_id": r.reader_id, "heartbeat": r.heartbeat,
            "last_frame_seen": r.last_frame_seen, "in_use": r.in_use,
        })).collect::<Vec<_>>(),
        "slots": slots.iter().filter_map(frame).collect::<Vec<_>>(),
        "control": control.iter().map(messages).collect::<Vec<_>>(),
        "extension": {
            "total_bytes": i.layout().total_bytes(),
            "extended": features.is_extended(), "features": flags(features), "server_pid": h.ext_server_pid,
            "server_lock": lock(i.server_lock()), "current": i.is_current(),
            "directory_error": dir.as_ref().err().map(ToString::to_string),
            "readers": readers.iter().filter(|r| r.in_use).map(reader_extension).collect::<Vec<_>>(),
            "slots": slots.iter().map(|s| json!({
                "index": s.index, "state": state(s).0, "leased_by": lease_holders(s.leases),
                "age_ns": state(s).1.and_then(FrameView::age_ns),
            })).collect::<Vec<_>>(),
            "control_errors": control.iter().enumerate().filter_map(|(index, c)| {
                c.as_ref().err().map(|e| json!({"index": index, "error": e.to_string()}))
            }).collect::<Vec<_>>(),
        },
    })
}

fn reader_extension(r: &ReaderInfo) -> Value {
    let e = r.extension;
    json!({
        "index": r.index, "lock": lock(r.lock), "leased_slots": r.leased_slots, "pid": e.map(|e| e.pid),
        "delivered": e.map(|e| e.delivered), "dropped": e.map(|e| e.dropped), "rejected": e.map(|e| e.rejected),
        "waiting": e.map(|e| e.waiting),
    })
}

fn text(i: &Inspector, what: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let h = i.header();
    let l = i.layout();
    let features = i.features();
    writeln!(out, "region {what}: SHMX {}.{}, {} bytes", h.ver_major, h.ver_minor, l.total_bytes())?;
    let named = if i.is_current() { "" } else { ", no longer under its name" };
    writeln!(out, "session {:#018x}{named}", h.session_id)?;
    if features.is_extended() {
        let list = flags(features).join(" ");
        writeln!(out, "server pid {}, lock {}, features {list}", h.ext_server_pid, lock(i.server_lock()))?;
    } else {
        writeln!(out, "server of the reference: no extension")?;
    }
    writeln!(out, "frames {}, newest sequence {}, reserved {}", h.frame_seq, h.write_index, h.reserve_index)?;

    writeln!(out, "\nsection       offset        size  items")?;
    let mut section =
        |name: &str, offset: u32, size: u64, items: String| writeln!(out, "{name:<10} {offset:>9} {size:>11}  {items}");
    let each = |n: u32, stride: u32| u64::from(n) * u64::from(stride);
    section("header", 0, 128, String::new())?;
    let used = format!("{} bytes used, generation {}", h.static_bytes_used, h.static_gen);
    section("directory", l.static_offset(), l.static_bytes_cap().into(), used)?;
    let readers = each(l.reader_slots(), l.reader_slot_stride());
    section("readers", l.readers_offset(), readers, format!("{} x {}", l.reader_slots(), l.reader_slot_stride()))?;
    let rings = each(l.reader_slots(), l.control_stride());
    section("control", l.control_offset(), rings, format!("{} x {}", l.reader_slots(), l.control_stride()))?;
    let slots = each(l.slots(), l.slot_stride());
    let items = format!("{} x {}, payload {}", l.slots(), l.slot_stride(), l.frame_bytes_cap());
    section("slots", l.slots_offset(), slots, items)?;

    let dir = match i.decode_static_dir() {
        Ok(dir) => dir,
        Err(e) => {
            writeln!(out, "\ndirectory unreadable: {e}")?;
            shmx::StaticState::default()
        }
    };
    writeln!(out, "\nstreams: {}", dir.streams.len())?;
    for s in &dir.streams {
        let ty = s.element_type().map_or_else(|| format!("type {}", s.element_type_code), |t| t.to_string());
        let vector = if s.components == 1 { String::new() } else { format!("x{}", s.components) };
        let extra = if s.extra.is_empty() { String::new() } else { format!(", {} bytes extra", s.extra.len()) };
        writeln!(out, "  {:>5} {} {ty}{vector}, {} bytes an element{extra}", s.id, s.name_lossy(), s.bytes_per_elem)?;
    }

    let readers = i.snapshot_readers();
    writeln!(out, "\nreaders: {} of {} slots taken", readers.iter().filter(|r| r.in_use).count(), readers.len())?;
    for r in readers.iter().filter(|r| r.in_use) {
        write!(
            out,
            "  {:>5} id {:#018x} lock {} last frame {}",
            r.index,
            r.reader_id,
            lock(r.lock),
            r.last_frame_seen
        )?;
        if let Some(e) = r.extension {
            let waiting = if e.waiting { ", waiting" } else { "" };
            write!(out, ", pid {}, delivered {}, dropped {}, refused {}", e.pid, e.delivered, e.dropped, e.rejected)?;
            write!(out, ", leases {}{waiting}", r.leased_slots)?;
        }
        writeln!(out)?;
    }

    writeln!(out, "\nslots: {}", l.slots())?;
    for s in i.list_slots() {
        let (words, frame) = state(&s);
        write!(out, "  {:>5} {words}", s.index)?;
        if let Some(f) = frame {
            write!(out, " {} sim_time {} {} bytes", f.frame_id(), f.sim_time(), f.payload().len())?;
            let sum = match f.checksum() {
                ChecksumState::Verified => "checksum ok",
                ChecksumState::Mismatch => "CHECKSUM WRONG",
                ChecksumState::Unverified | ChecksumState::Absent => "no checksum",
            };
            write!(out, " {sum}")?;
        }
        if s.leases != 0 {
            write!(out, " leased by {:?}", lease_holders(s.leases))?;
        }
        writeln!(out)?;
    }

    match i.latest() {
        Ok(Some(f)) => {
            let values = values::text(&dir, &f).unwrap_or_else(|e| format!(" damaged: {e}"));
            writeln!(out, "\nlatest frame {}:{values}", f.frame_id())?;
        }
        Ok(None) => writeln!(out, "\nno frame yet")?,
        Err(e) => writeln!(out, "\nlatest frame unreadable: {e}")?,
    }

    if l.control_per_reader() == 0 {
        writeln!(out, "\nno control rings")?;
        return Ok(());
    }
    writeln!(out, "\ncontrol rings of {} bytes:", l.control_per_reader() - 16)?;
    for r in &readers {
        match i.peek_control(r.index) {
            Ok(m) if m.is_empty() && !r.in_use => {}
            Ok(m) => {
                // A record has 8 bytes in front and is padded to 16.
                let bytes: usize = m.iter().map(|m| (m.data.len() + 8).next_multiple_of(16)).sum();
                writeln!(out, "  {:>5} {} messages, {bytes} bytes", r.index, m.len())?;
            }
            Err(e) => writeln!(out, "  {:>5} damaged, or written just now: {e}", r.index)?,
        }
    }
    Ok(())
}
