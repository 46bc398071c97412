//! `shmx ls`: every region on the machine.

use crate::args::parse::time;
use crate::common::{self, say};
use crate::escape::safe;
use crate::json;
use crate::names::Only;
use crate::rm;
use crate::stop;
use crate::units;
use clap::Args;
use serde_json::{Value, json};
use shmx::error::OpenError;
use shmx::{Inspector, Listed, RegionKind, ServerState};
use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// List the regions on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
States: live; dead (its server crashed or was killed); closed (its server has left, but its name is still there); \
reference-made (by an implementation without locks, so nobody can tell whether its server is alive); unfinished (left \
behind by a creator that was killed); unreadable (with the reason). The rate is counted over --seconds; for slow \
regions it comes from the publish times in the ring. A process is named only if it is seen to use the region. \
Read-only.

Exit codes: 0 done; 1 failed (this platform cannot list); 2 wrong usage.

Examples:
  shmx ls
  shmx ls --all --seconds 0
  shmx ls 'robot-*' 're:clock[0-9]?'
  shmx ls --json | jq -r 'select(.state == \"dead\") | .name'")]
pub(crate) struct Ls {
    #[command(flatten)]
    only: Only,
    /// Also list objects that are not regions.
    #[arg(long)]
    all: bool,
    /// How long to count frames for the rate.
    #[arg(long, value_name = "TIME", default_value = "0.5s", value_parser = time, allow_negative_numbers = true)]
    seconds: Duration,
    /// Print a JSON object for each region.
    #[arg(long)]
    json: bool,
}

/// One line of the list; also what the dashboard's picker shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: State,
    /// What else is to be said about the state.
    pub(crate) note: Option<String>,
    /// It may not be looked into: another user's.
    pub(crate) denied: bool,
    pub(crate) size: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) program: Option<String>,
    pub(crate) rate: Option<f64>,
    pub(crate) readers: Option<(u32, u32)>,
    pub(crate) slots: Option<u32>,
    pub(crate) frames: Option<u64>,
    pub(crate) age_ns: Option<u64>,
    /// Payload bytes of a frame, on average over the ring.
    pub(crate) frame_bytes: Option<u64>,
    /// Frames that the reader furthest behind has not taken.
    pub(crate) lag: Option<u64>,
}

impl Row {
    /// Payload bytes per second.
    pub(crate) fn bandwidth(&self) -> Option<f64> {
        Some(self.rate? * self.frame_bytes? as f64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Live,
    Dead,
    Closed,
    Reference,
    Unknown,
    Unreadable,
    /// Left by a creator that was killed.
    Unfinished,
    Foreign,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Dead => "dead",
            Self::Closed => "closed",
            Self::Reference => "reference-made",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Unfinished => "unfinished",
            Self::Foreign => "no region",
        }
    }

    pub(crate) const fn of(server: ServerState) -> Self {
        match server {
            ServerState::Live => Self::Live,
            ServerState::Died => Self::Dead,
            ServerState::Closed => Self::Closed,
            ServerState::Reference => Self::Reference,
            _ => Self::Unknown,
        }
    }
}

/// Frames of a session, and when they were counted.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    session: u64,
    frames: u64,
    at: Instant,
}

fn sample(l: &Listed) -> Option<Sample> {
    match &l.kind {
        RegionKind::Region { inspector, .. } if inspector.is_whole() => {
            let h = inspector.header();
            Some(Sample { session: h.session_id, frames: h.frame_seq, at: Instant::now() })
        }
        _ => None,
    }
}

/// What the ring tells: the ids of its frames and their ages, the oldest first, and the average size of them all.
fn ring(i: &Inspector) -> (Vec<(u64, u64)>, Option<u64>) {
    let (features, mut briefs) = (i.features(), i.slot_briefs());
    // After the frames: none is of the future then.
    let now = shmx_os::clock::ticks();
    briefs.retain(|b| b.content == shmx::SlotContent::Frame);
    let age = |h: &shmx::abi::wire::FrameHeader| features.publish_time(h.ext_publish_time, h.ext_stamp)?.age_ns(now);
    let mut frames: Vec<(u64, u64)> =
        briefs.iter().filter_map(|b| Some((b.header.frame_id, age(&b.header)?))).collect();
    frames.sort_unstable();
    let bytes: u64 = briefs.iter().map(|b| u64::from(b.header.payload_bytes)).sum();
    (frames, bytes.checked_div(briefs.len() as u64))
}

/// What the newest frames' publish times say about the rate; for regions too slow to count.
fn rate_of_ring(frames: &[(u64, u64)]) -> Option<f64> {
    let (&(a, age_a), &(b, age_b)) = (frames.first()?, frames.last()?);
    let span = age_a.checked_sub(age_b).filter(|&s| s > 0)?;
    let interval = span as f64 / (b - a) as f64;
    // A producer that has stopped has no rate.
    ((age_b as f64) < interval * 3.0).then_some(1e9 / interval)
}

fn row(l: &Listed, before: Option<Sample>) -> Row {
    let mut row = Row {
        name: l.object.name.to_string(),
        state: State::Foreign,
        note: None,
        denied: false,
        size: l.object.len,
        pid: None,
        program: None,
        rate: None,
        readers: None,
        slots: None,
        frames: None,
        age_ns: None,
        frame_bytes: None,
        lag: None,
    };
    match &l.kind {
        RegionKind::Region { server, inspector } if inspector.is_whole() => {
            let h = inspector.header();
            row.state = State::of(*server);
            let told = Some(h.ext_server_pid).filter(|&p| inspector.features().is_extended() && p != 0);
            // The number of a dead process may be another one's by now, and that of another namespace always is.
            row.pid = told.filter(|&p| inspector.is_used_by(p) == Some(true));
            row.program = row.pid.and_then(|p| common::program(inspector, p));
            let mut readers = inspector.snapshot_readers();
            readers.retain(|r| r.in_use);
            let taken = readers.len() as u32;
            row.lag = readers.iter().map(|r| h.frame_seq.saturating_sub(r.last_frame_seen)).max();
            row.readers = Some((taken, inspector.layout().reader_slots()));
            row.slots = Some(inspector.layout().slots());
            row.frames = Some(h.frame_seq);
            let (ages, bytes) = ring(inspector);
            row.age_ns = ages.last().map(|a| a.1);
            row.frame_bytes = bytes;
            let counted = before.filter(|b| b.session == h.session_id).and_then(|b| {
                let n = h.frame_seq.checked_sub(b.frames)?;
                Some((n, n as f64 / b.at.elapsed().as_secs_f64().max(1e-6)))
            });
            row.rate = match counted {
                Some((n, rate)) if n >= 8 => Some(rate),
                Some((_, rate)) => rate_of_ring(&ages).or(Some(rate)),
                None => rate_of_ring(&ages),
            };
            if matches!(server, ServerState::Died | ServerState::Closed) {
                row.rate = None;
            }
            if row.state == State::Unknown {
                row.note =
                    told.filter(|&p| !shmx_os::process_alive(p)).map(|p| format!("no lock; process {p} is gone"));
            }
        }
        RegionKind::Region { .. } => {
            (row.state, row.note) = (State::Unreadable, Some("cut short by another process".into()));
        }
        RegionKind::Damaged(e) => (row.state, row.note) = (State::Unreadable, Some(e.to_string())),
        RegionKind::Unreadable(e @ OpenError::Os(shmx_os::OpenError::PermissionDenied { .. })) => {
            row.denied = true;
            let o = &l.object;
            let owner = format!("no permission: user {}, group {}, mode {:04o}", o.uid, o.gid, o.mode);
            (row.state, row.note) = (State::Unreadable, Some(if cfg!(unix) { owner } else { e.to_string() }));
        }
        RegionKind::Unreadable(e) => (row.state, row.note) = (State::Unreadable, Some(e.to_string())),
        _ => {}
    }
    if rm::is_left_over(l) {
        (row.state, row.note) = (State::Unfinished, Some("its creator was killed".into()));
    }
    row
}

/// The regions that were there at the last call, by name.
pub(crate) type Samples = HashMap<String, Sample>;

fn samples(all: &[Listed]) -> Samples {
    all.iter().filter_map(|l| Some((l.object.name.to_string(), sample(l)?))).collect()
}

fn rows_of(all: &[Listed], before: &Samples) -> Vec<Row> {
    all.iter().map(|l| row(l, before.get(l.object.name.as_str()).copied())).collect()
}

fn listed(only: &Only) -> Result<Vec<Listed>, shmx_os::OsError> {
    let start = Instant::now();
    let all = shmx::list_matching(|name| only.has(name))?;
    tracing::info!(objects = all.len(), took = %units::ns(start.elapsed().as_nanos() as u64), "listed");
    Ok(all)
}

/// The regions of this machine; rates are measured while it waits.
pub(crate) fn rows(only: &Only, wait: impl FnOnce()) -> Result<Vec<Row>, shmx_os::OsError> {
    let all = listed(only)?;
    let before = samples(&all);
    if !before.is_empty() {
        wait();
    }
    Ok(rows_of(&all, &before))
}

/// The regions of this machine; rates are measured since the last call with these samples.
pub(crate) fn rows_since(only: &Only, before: &mut Samples) -> Result<Vec<Row>, shmx_os::OsError> {
    let all = listed(only)?;
    let rows = rows_of(&all, before);
    *before = samples(&all);
    Ok(rows)
}

pub(crate) fn run(a: &Ls) -> anyhow::Result<()> {
    let mut rows = rows(&a.only, || {
        stop::sleep_until(Instant::now() + a.seconds);
    })?;
    let others = rows.iter().filter(|r| r.state == State::Foreign).count();
    if !a.all {
        rows.retain(|r| r.state != State::Foreign);
    }
    let mut out = std::io::stdout().lock();
    if a.json {
        rows.iter().try_for_each(|r| json::line(&mut out, "region", as_json(r)))?;
        return Ok(());
    }
    if rows.is_empty() {
        let what = if a.only.is_all() { "no regions" } else { "no region matches" };
        say(format_args!("{what}{}", others_text(others, a.all)));
        return Ok(());
    }
    for line in table(&rows) {
        writeln!(out, "{line}")?;
    }
    if others > 0 && !a.all {
        say(format_args!("{} not shown; --all shows them", units::count(others as u64, "other object")));
    }
    Ok(())
}

fn others_text(n: usize, all: bool) -> String {
    let what = units::count(n as u64, "other shared-memory object");
    if n == 0 || all { String::new() } else { format!("; {what}, which --all shows") }
}

pub(crate) const HEADINGS: [&str; 9] =
    ["NAME", "STATE", "PRODUCER", "RATE", "READERS", "SLOTS", "FRAMES", "SIZE", "NEWEST"];

/// The cells of a line, under [`HEADINGS`].
pub(crate) fn cells(r: &Row) -> [String; 9] {
    let dash = || "-".to_owned();
    let producer = match (r.pid, &r.program) {
        (Some(pid), Some(program)) => format!("{pid} {program}"),
        (Some(pid), None) => pid.to_string(),
        _ => dash(),
    };
    [
        safe(&r.name).into_owned(),
        r.state.word().to_owned(),
        producer,
        r.rate.map_or_else(dash, units::rate),
        r.readers.map_or_else(dash, |(n, of)| format!("{n}/{of}")),
        r.slots.map_or_else(dash, |n| n.to_string()),
        r.frames.map_or_else(dash, |n| n.to_string()),
        units::bytes(r.size),
        match &r.note {
            Some(note) => safe(note).into_owned(),
            None => r.age_ns.map_or_else(dash, |n| format!("{} ago", units::ns(n))),
        },
    ]
}

fn table(rows: &[Row]) -> Vec<String> {
    let body: Vec<[String; 9]> = rows.iter().map(cells).collect();
    columns(&HEADINGS, &body, 3..8)
}

/// Lines of a table, those columns to the right.
pub(crate) fn columns<const N: usize>(
    headings: &[&str; N],
    body: &[[String; N]],
    right: std::ops::Range<usize>,
) -> Vec<String> {
    let width = |i: usize| body.iter().map(|c| c[i].chars().count()).chain([headings[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut s = String::new();
        for (i, (cell, w)) in cells.iter().zip(&widths).enumerate() {
            // Numbers to the right, the rest to the left.
            let padded = if right.contains(&i) { format!("{cell:>w$}") } else { format!("{cell:<w$}") };
            s.push_str(&padded);
            s.push_str("  ");
        }
        s.trim_end().to_owned()
    };
    std::iter::once(line(headings.to_vec()))
        .chain(body.iter().map(|c| line(c.iter().map(String::as_str).collect())))
        .collect()
}

pub(crate) fn as_json(r: &Row) -> Value {
    json!({
        "name": r.name, "state": r.state.word(), "note": r.note, "bytes": r.size, "pid": r.pid, "program": r.program,
        "rate_hz": r.rate, "readers": r.readers.map(|r| r.0), "reader_slots": r.readers.map(|r| r.1),
        "slots": r.slots, "frames": r.frames, "newest_age_ns": r.age_ns,
        "frame_bytes": r.frame_bytes, "bytes_per_second": r.bandwidth(), "largest_lag": r.lag,
    })
}
