//! `inspect --once`: a region as text.

use crate::escape::safe;
use crate::look::{self, Facts, FrameFact, Look, checksum_word};
use crate::units;
use crate::values;
use shmx::{HeaderReport, ServerState};
use shmx_os::LockState;
use std::io::Write;

pub(crate) const fn lock(s: LockState) -> &'static str {
    match s {
        LockState::Free => "free",
        LockState::Held => "held",
        LockState::Unsupported => "unknown",
    }
}

/// Fields of this kind read better in hex.
pub(crate) fn field_value(name: &str, value: u64) -> String {
    match name {
        "magic" | "session_id" | "static_hash" => format!("{value:#018x}"),
        "endianness" | "ext_features" => format!("{value:#010x}"),
        _ => value.to_string(),
    }
}

pub(crate) fn damaged(what: &str, r: &HeaderReport, out: &mut impl Write) -> std::io::Result<()> {
    let what = safe(what);
    writeln!(out, "`{what}` cannot be opened as a region; its object has {} bytes", r.available)?;
    if let Err(e) = &r.layout {
        writeln!(out, "because {e}")?;
    }
    writeln!(out, "\n    @  field               value")?;
    for f in &r.fields {
        let value = f.value.map_or_else(|| "-".to_owned(), |v| field_value(f.name, v));
        let problem = f.problem.as_ref().map(|p| format!("  <-- {p}")).unwrap_or_default();
        writeln!(out, "{:>5}  {:<19} {value}{problem}", f.offset, f.name)?;
    }
    Ok(())
}

pub(crate) fn text(what: &str, look: &Look, out: &mut impl Write) -> std::io::Result<()> {
    match look {
        Look::Region(facts) => region(what, facts, out),
        Look::Damaged(report) => damaged(what, report, out),
        Look::Missing(why) => writeln!(out, "{}", safe(why)),
    }
}

fn ago(n: Option<u64>) -> String {
    n.map(|n| format!(", {} ago", units::ns(n))).unwrap_or_default()
}

fn region(what: &str, f: &Facts, out: &mut impl Write) -> std::io::Result<()> {
    let h = &f.header;
    let l = &f.layout;
    let total = u64::from(l.total_bytes());
    let what = safe(what);
    writeln!(out, "region {what}: SHMX {}.{}, {total} bytes ({})", h.ver_major, h.ver_minor, units::bytes(total))?;
    let named = if f.named { "" } else { ", no longer under its name" };
    writeln!(out, "session {:#018x}{named}", h.session_id)?;
    match f.server {
        ServerState::Reference => writeln!(out, "server reference-made: no lock, no extension")?,
        s => {
            let list = look::flags(f.features).join(" ");
            writeln!(out, "server {}, {}, features {list}", look::server_word(s), look::process_text(f))?;
        }
    }
    writeln!(out, "frames {}, newest sequence {}, reserved {}", h.frame_seq, h.write_index, h.reserve_index)?;

    writeln!(out, "\nsection       offset        size  items")?;
    for (name, offset, size, items) in look::sections(f) {
        writeln!(out, "{}", format!("{name:<10} {offset:>9} {size:>11}  {items}").trim_end())?;
    }

    match &f.directory {
        Err(e) => writeln!(out, "\ndirectory unreadable: {e}")?,
        Ok(dir) => {
            writeln!(out, "\nstreams: {}", dir.streams.len())?;
            for s in &dir.streams {
                let extra = if s.extra.is_empty() {
                    String::new()
                } else {
                    format!(", {} extra", units::count(s.extra.len() as u64, "byte"))
                };
                let (ty, name) = (values::type_text(s), s.name_lossy());
                let name = safe(&name);
                let bytes = units::count(s.bytes_per_elem.into(), "byte");
                writeln!(out, "  {:>5} {name} {ty}, {bytes} per element{extra}", s.id)?;
                for problem in look::problems(s) {
                    writeln!(out, "        note: {problem}")?;
                }
            }
        }
    }

    readers(f, out)?;

    writeln!(out, "\nslots: {}", l.slots())?;
    for s in &f.slots {
        write!(out, "  {:>5} {}", s.index, s.kind.word())?;
        if s.newest && s.kind != look::SlotKind::Newest {
            write!(out, " newest")?;
        }
        if s.has_frame() {
            write!(out, " {} sim_time {} {} bytes", s.frame_id, s.sim_time, s.bytes)?;
            write!(out, "{}, checksum {}", ago(s.age_ns), checksum_word(s.checksum))?;
        }
        if let Some(why) = &s.why {
            write!(out, ": {why}")?;
        }
        if !s.leased_by.is_empty() {
            write!(out, ", leased by {:?}", s.leased_by)?;
        }
        writeln!(out)?;
    }

    match &f.latest {
        Some(Ok(frame)) => latest(frame, out)?,
        Some(Err(e)) => writeln!(out, "\nlatest frame unreadable: {e}")?,
        None => writeln!(out, "\nno frame yet")?,
    }

    if l.control_per_reader() <= shmx::abi::CONTROL_HEAD_LEN {
        return writeln!(out, "\nno control rings");
    }
    writeln!(out, "\ncontrol rings of {} bytes:", l.control_per_reader() - shmx::abi::CONTROL_HEAD_LEN)?;
    for r in &f.readers {
        match r.ring.map(|ring| (ring, ring.waiting)) {
            Some((ring, Some(0))) if !r.in_use && ring.sent == 0 => {}
            Some((ring, Some(waiting))) => {
                writeln!(out, "  {:>5} {waiting} bytes wait, {} sent in all", r.index, ring.sent)?;
            }
            Some((_, None)) => writeln!(out, "  {:>5} DAMAGED: impossible positions", r.index)?,
            None => {}
        }
    }
    Ok(())
}

fn readers(f: &Facts, out: &mut impl Write) -> std::io::Result<()> {
    let taken = f.readers.iter().filter(|r| r.in_use).count();
    writeln!(out, "\nreaders: {taken} of {} slots taken", f.readers.len())?;
    for r in f.readers.iter().filter(|r| r.in_use) {
        write!(out, "  {:>5} id {:#018x} lock {}", r.index, r.id, lock(r.lock))?;
        let dead = if r.is_dead() { " DEAD" } else { "" };
        write!(out, "{dead} last frame {}, lag {}", r.last_frame, r.lag)?;
        if let Some(n) = r.heartbeat_age_ns {
            write!(out, ", seen {} ago", units::ns(n))?;
        }
        if let Some(e) = r.own {
            let waiting = if e.waiting { ", waiting" } else { "" };
            let program = r.program.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
            write!(out, ", pid {}{program}", e.pid)?;
            write!(out, ", delivered {}, missed {}, rejected {}", e.delivered, e.missed, e.rejected)?;
            write!(out, ", leases {}{waiting}", r.leases)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn latest(f: &FrameFact, out: &mut impl Write) -> std::io::Result<()> {
    const SHOWN: usize = 8;
    writeln!(
        out,
        "\nlatest frame {}{}: sim_time {}, {}, {}, checksum {}",
        f.id,
        ago(f.age_ns),
        f.sim_time,
        units::count(f.bytes.into(), "byte"),
        units::count(f.tlvs.into(), "record"),
        checksum_word(f.checksum)
    )?;
    if f.acquired_ns.is_some() {
        writeln!(out, "  {}", look::acquired_text(f.acquired_ns))?;
    }
    for s in &f.streams {
        let values = s.elements(SHOWN).join(" ");
        let more = if s.elem_count as usize > SHOWN { " .." } else { "" };
        writeln!(out, "  {:>5} {} {} [{}] {values}{more}", s.id, s.name(), s.type_text(), s.shape())?;
    }
    if let Some(d) = &f.damage {
        writeln!(out, "  damaged: {d}")?;
    }
    Ok(())
}
