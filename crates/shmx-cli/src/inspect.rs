//! `shmx inspect`: what a region holds, live, as text or as JSON.

use crate::args::parse::interval;
use crate::complete::regions;
use crate::exit::usage;
use crate::json;
use crate::look::{self, Facts, Focus, Look, Lookout, Target, checksum_word, flags, server_word};
use crate::report::{self, lock};
use crate::screens;
use crate::values::{self, Data};
use anyhow::{anyhow, bail};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use shmx::{ChecksumState, HeaderReport, Inspector, OwnedFrame, ReaderInfo, SlotState, SlotView};
use shmx_record::hex;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Watch a region in a live dashboard, or print it once.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name it offers the regions to choose from. It waits for a server that is not there yet, and follows one that \
restarts. The keys are shown on the screen; `?` explains them. With --once or --json, or where stdout is not a \
terminal, it prints the same once. A damaged region is shown field by field. Read-only: it takes no reader slot and no \
lock.

Exit codes: 0 done; 1 failed, or the region is damaged; 2 wrong usage.

Examples:
  shmx inspect
  shmx inspect clock
  shmx inspect clock --once
  shmx inspect clock --json --limit 3 | jq .latest
  shmx inspect --file clock.bin")]
pub(crate) struct Inspect {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    name: Option<String>,
    /// Show this file, made by `shmx dump`, instead of a region.
    #[arg(long, value_name = "DUMP", conflicts_with = "name")]
    file: Option<PathBuf>,
    /// Print as text, once.
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// Print as a JSON object, once; with elements of the streams only if --limit is given.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: Data,
    /// With --json: print all fields and bytes exactly as they lie in the region.
    #[arg(long, requires = "json", conflicts_with_all = ["limit", "no_data"])]
    raw: bool,
    /// Time between redraws of the dashboard, 0.02 to 10 seconds.
    #[arg(long, value_name = "TIME", default_value = "0.1s", value_parser = interval, allow_negative_numbers = true)]
    interval: Duration,
}

pub(crate) fn run(a: &Inspect) -> anyhow::Result<()> {
    let target = match (&a.name, &a.file) {
        (Some(name), _) => Some(Target::Region(name.clone())),
        (None, Some(file)) => Some(Target::File(file.clone())),
        (None, None) => None,
    };
    let once = a.once || a.json || !std::io::stdout().is_terminal();
    if !once {
        return screens::inspect::run(target, a.interval);
    }
    let Some(target) = target else {
        return Err(usage(
            "give the name of a region or --file; there is no terminal to pick one; `shmx ls` lists them",
        ));
    };
    let what = target.text();
    let mut lookout = Lookout::new(target);
    let mut out = BufWriter::new(std::io::stdout().lock());
    if a.raw {
        let value = match lookout.refresh() {
            Ok(()) => lookout.inspector().map(|i| raw(i, matches!(lookout.target, Target::File(_)))),
            Err(Look::Damaged(report)) => Some(json_damaged(&report)),
            Err(Look::Missing(why)) => bail!("cannot open `{what}`: {why}"),
            Err(Look::Region(_)) => None,
        };
        json::line(&mut out, "inspect-raw", value.ok_or_else(|| anyhow!("`{what}` vanished; look again"))?)?;
        out.flush()?;
        return lookout.inspector().map(|_| ()).ok_or_else(|| damaged(&what));
    }
    let look = lookout.look(Focus::default(), true);
    match &look {
        Look::Missing(why) => bail!("cannot open `{what}`: {why}"),
        Look::Region(facts) if a.json => {
            let mut value = plain(&what, facts);
            value["owner"] = owner(lookout.inspector());
            if let Some(limit) = a.data.limit {
                value["latest"]["streams"] = elements(lookout.inspector(), limit);
            }
            json::line(&mut out, "inspect", value)?;
        }
        Look::Damaged(report) if a.json => {
            let mut value = json!({"region": what});
            value
                .as_object_mut()
                .into_iter()
                .for_each(|v| v.extend(json_damaged(report).as_object().cloned().into_iter().flatten()));
            json::line(&mut out, "inspect", value)?;
        }
        look => report::text(&what, look, &mut out)?,
    }
    out.flush()?;
    if matches!(look, Look::Damaged(_)) { Err(damaged(&what)) } else { Ok(()) }
}

fn owner(i: Option<&Inspector>) -> Value {
    let owner = i.and_then(Inspector::owner);
    owner.map_or(Value::Null, |o| json!({"uid": o.uid, "gid": o.gid, "mode": format!("{:04o}", o.mode)}))
}

/// The streams of the newest frame with their first elements.
fn elements(i: Option<&Inspector>, limit: usize) -> Value {
    let found = i.and_then(|i| Some((i.directory().ok()?, i.latest().ok()??)));
    let Some((dir, frame)) = found else { return Value::Null };
    let mut all = serde_json::Map::new();
    for (name, s) in values::streams(&dir, &frame).unwrap_or_default() {
        let info = dir.stream(s.stream_id);
        let first = values::decode(info, s.data, limit);
        let ty = info.map(values::type_text);
        all.insert(name, json!({"elements": s.elem_count, "type": ty, "first": first}));
    }
    all.into()
}

/// A region as people name things: ids as text, no payloads.
fn plain(what: &str, f: &Facts) -> Value {
    let h = &f.header;
    let stream = |s: &shmx::StreamInfo| {
        json!({
            "id": s.id, "name": s.name_lossy(), "type": values::type_text(s), "bytes_per_element": s.bytes_per_elem,
            "meta": meta(s), "problems": look::problems(s),
        })
    };
    let reader = |r: &look::ReaderFact| {
        json!({
            "index": r.index, "id": json::id(r.id), "pid": r.own.map(|e| e.pid), "program": r.program,
            "lock": lock(r.lock), "dead": r.is_dead(), "last_frame": r.last_frame, "lag": r.lag,
            "heard_age_ns": r.heartbeat_age_ns, "leases": r.leases, "delivered": r.own.map(|e| e.delivered),
            "missed": r.own.map(|e| e.missed), "rejected": r.own.map(|e| e.rejected),
            "waiting": r.own.map(|e| e.waiting),
        })
    };
    let slot = |s: &look::SlotFact| {
        let mut v = json!({"index": s.index, "state": s.kind.word(), "newest": s.newest, "leased_by": s.leased_by});
        if s.has_frame() {
            v["frame_id"] = s.frame_id.into();
            v["sim_time"] = s.sim_time.into();
            v["bytes"] = s.bytes.into();
            v["age_ns"] = s.age_ns.into();
            v["checksum"] = checksum_word(s.checksum).into();
        }
        if let Some(why) = &s.why {
            v["why"] = why.as_str().into();
        }
        v
    };
    let latest = match &f.latest {
        None => Value::Null,
        Some(Err(e)) => json!({"error": e}),
        Some(Ok(n)) => {
            let streams: serde_json::Map<String, Value> = (n.streams.iter())
                .map(|s| (s.plain_name(), json!({"elements": s.elem_count, "type": s.type_text()})))
                .collect();
            json!({
                "frame_id": n.id, "slot": n.slot, "sim_time": n.sim_time, "bytes": n.bytes, "records": n.tlvs,
                "age_ns": n.age_ns, "acquired_before_publish_ns": n.acquired_ns,
                "checksum": checksum_word(n.checksum), "streams": streams, "damage": n.damage,
            })
        }
    };
    let control = |r: &look::ReaderFact| {
        let ring = r.ring.filter(|ring| r.in_use || ring.sent > 0)?;
        Some(json!({"index": r.index, "capacity": ring.capacity, "waiting": ring.waiting, "sent": ring.sent}))
    };
    json!({
        "region": what,
        "header": {
            "version": format!("{}.{}", h.ver_major, h.ver_minor), "session_id": json::id(h.session_id),
            "slots": h.slots, "frame_bytes_cap": h.frame_bytes_cap, "reader_slots": h.reader_slots,
            "control_per_reader": h.control_per_reader, "static_bytes_cap": h.static_bytes_cap,
            "static_bytes_used": h.static_bytes_used, "static_gen": h.static_gen, "frame_seq": h.frame_seq,
            "write_index": h.write_index, "reserve_index": h.reserve_index, "readers_connected": h.readers_connected,
        },
        "bytes": f.layout.total_bytes(),
        "server": {
            "state": server_word(f.server), "pid": h.ext_server_pid, "program": f.program,
            "features": flags(f.features), "extended": f.features.is_extended(), "current": f.named,
        },
        "directory_error": f.directory.as_ref().err(),
        "streams": f.directory.iter().flat_map(|d| &d.streams).map(stream).collect::<Vec<_>>(),
        "readers": f.readers.iter().filter(|r| r.in_use).map(reader).collect::<Vec<_>>(),
        "slots": f.slots.iter().map(slot).collect::<Vec<_>>(),
        "latest": latest,
        "control": f.readers.iter().filter_map(control).collect::<Vec<_>>(),
    })
}

/// What a stream says of itself.
fn meta(s: &shmx::StreamInfo) -> Option<Value> {
    serde_json::from_slice(&s.meta().0.to_extra()).ok()
}

fn damaged(what: &str) -> anyhow::Error {
    anyhow!("`{what}` is damaged or no region, as shown; end its server and start it again, or remove it")
}

fn json_damaged(r: &HeaderReport) -> Value {
    let fields =
        r.fields.iter().map(|f| json!({"name": f.name, "offset": f.offset, "value": f.value, "problem": f.problem}));
    json!({
        "damaged": r.layout.as_ref().err().map(ToString::to_string),
        "available_bytes": r.available,
        "fields": fields.collect::<Vec<_>>(),
    })
}

fn lease_holders(leases: u128) -> Vec<u32> {
    (0..128).filter(|i| leases >> i & 1 == 1).collect()
}

/// The words for a slot's state, and its frame if it holds a whole one.
fn state(slot: &SlotView) -> (String, Option<&OwnedFrame>) {
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

fn checksum_ok(f: &OwnedFrame) -> Option<bool> {
    match f.checksum() {
        ChecksumState::Verified => Some(true),
        ChecksumState::Mismatch => Some(false),
        _ => None,
    }
}

/// The keys of the golden files, and `extension` with what the reference does not know.
fn raw(i: &Inspector, file: bool) -> Value {
    let h = i.header();
    let features = i.features();
    let dir = i.directory();
    let acquired = newest_acquired(i, dir.as_deref().ok()).filter(|_| !file);
    let readers = i.snapshot_readers();
    let slots = i.list_slots();
    let control: Vec<_> = readers.iter().map(|r| i.peek_control(r.index)).collect();
    let stream = |s: &shmx::StreamInfo| {
        json!({
            "stream_id": s.id, "element_type": s.element_type_code, "components": s.components,
            "layout": s.layout_code, "bytes_per_elem": s.bytes_per_elem,
            "name_utf8_hex": hex::encode(&s.name), "extra_hex": hex::encode(&s.extra),
        })
    };
    let directory: Vec<Value> = dir.iter().flat_map(|d| &d.streams).map(stream).collect();
    let meaning = |s: &shmx::StreamInfo| json!({"stream_id": s.id, "meta": meta(s), "problems": look::problems(s)});
    let meanings: Vec<Value> = dir.iter().flat_map(|d| &d.streams).map(meaning).collect();
    let frame = |s: &SlotView| {
        let f = state(s).1?;
        let streams: Vec<Value> = (f.streams().flatten())
            .map(|s| json!({"stream_id": s.stream_id, "elem_count": s.elem_count, "bytes_hex": hex::encode(s.data)}))
            .collect();
        Some(json!({
            "index": s.index, "frame_id": f.frame_id(), "sim_time_bits": format!("{:016x}", f.sim_time().to_bits()),
            "payload_bytes": f.payload().len(), "tlv_count": f.tlv_count(), "checksum": f.stored_checksum(),
            "checksum_ok": checksum_ok(f), "streams": streams,
        }))
    };
    let messages = |ring: &Result<Vec<shmx::PeekedMsg>, _>| -> Value {
        ring.iter().flatten().map(|m| json!({"type": m.ty, "data_hex": hex::encode(&m.data)})).collect()
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
            "server_lock": lock(i.server_lock()), "server_state": server_word(i.server_state()),
            "current": i.is_current(),
            "directory_error": dir.as_ref().err().map(ToString::to_string),
            "streams": meanings, "acquired_before_publish_ns": acquired,
            "readers": readers.iter().filter(|r| r.in_use).map(reader_extension).collect::<Vec<_>>(),
            "slots": slots.iter().map(|s| json!({
                "index": s.index, "state": state(s).0, "leased_by": lease_holders(s.leases),
                "age_ns": state(s).1.filter(|_| !file).and_then(OwnedFrame::age).map(|age| age.as_nanos() as u64),
                "checksum": state(s).1.map(|f| checksum_word(Some(f.checksum()))),
            })).collect::<Vec<_>>(),
            "control": readers.iter().map(|r| i.control_fill(r.index).map(|f| json!({
                "capacity": f.capacity, "waiting": f.waiting, "sent": f.sent,
            }))).collect::<Vec<_>>(),
            "control_errors": control.iter().enumerate().filter_map(|(index, c)| {
                c.as_ref().err().map(|e| json!({"index": index, "error": e.to_string()}))
            }).collect::<Vec<_>>(),
        },
    })
}

/// How long before its publishing the data of the newest frame was acquired.
fn newest_acquired(i: &Inspector, directory: Option<&shmx::Directory>) -> Option<i64> {
    let slot = i.layout().slot_of_sequence(i.header().write_index)?;
    let frame = look::frame(i, slot, directory, Focus::default(), None, true)?;
    frame.ok()?.acquired_ns
}

fn reader_extension(r: &ReaderInfo) -> Value {
    let e = r.extension;
    json!({
        "index": r.index, "lock": lock(r.lock), "leased_slots": r.leased_slots, "pid": e.map(|e| e.pid),
        "delivered": e.map(|e| e.delivered), "missed": e.map(|e| e.missed), "rejected": e.map(|e| e.rejected),
        "waiting": e.map(|e| e.waiting),
    })
}
