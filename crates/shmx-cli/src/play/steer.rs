//! `shmx play --control`: a run that was steered is steered again.

use super::options::Play;
use crate::common::{self, say};
use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::recording;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO, TLV_CONTROL_USER};
use shmx::error::SendError;
use shmx::{Client, Inspector};
use shmx_record::{RecordedControl, Recording};
use std::time::{Duration, Instant};

/// How long a full ring may keep a message waiting, and the last messages the server.
const PATIENCE: Duration = Duration::from_secs(5);

/// A reader that sends what one of the recording has sent.
struct Sender {
    region: String,
    /// As it was recorded: the reader's id, or its slot where it had left.
    reader: (u64, u32),
    name: String,
    client: Client,
}

/// The messages of programs, each with its region, in the order in which they were seen.
fn messages(a: &Play, recording: &Recording) -> anyhow::Result<Vec<(String, RecordedControl)>> {
    let chosen = recording::choose(recording, &a.regions)?;
    if let Some((wanted, _)) = a.names.iter().find(|(old, _)| !recording.regions().contains(old)) {
        return Err(recording::no_region(recording, wanted));
    }
    let mut all = Vec::new();
    for region in chosen {
        all.extend(recording.control(region).into_iter().map(|m| (region.to_owned(), m)));
    }
    // What clients send by themselves they send by themselves again.
    let own = [CONTROL_HELLO, CONTROL_HEARTBEAT, CONTROL_BYE];
    all.retain(|(_, m)| m.ty >= TLV_CONTROL_USER && !own.contains(&m.ty));
    all.sort_by_key(|(_, m)| m.time);
    Ok(all)
}

pub(super) fn run(a: &Play) -> anyhow::Result<()> {
    let recording = a.files.open()?;
    let mut all = messages(a, &recording)?;
    let Some(first) = recording.times().map(|t| t.0).or_else(|| Some(all.first()?.1.time)) else {
        bail!("the recording has no control messages; `shmx record --control` records them");
    };
    let at = |d: Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    let (from, to) = (at(a.from), a.to.map_or(u64::MAX, at));
    let whole = a.from.is_zero();
    // Some may be older than the first frame.
    all.retain(|(_, m)| (whole || m.time >= from) && m.time <= to);
    let Some(begin) = all.first().map(|(_, m)| if whole { m.time.min(first) } else { from }) else {
        bail!("the recording has no control messages there; `shmx record --control` records them");
    };
    let mut senders: Vec<Sender> = Vec::new();
    for (region, m) in &all {
        let reader = (m.reader_id, if m.reader_id == 0 { m.reader_index } else { 0 });
        if senders.iter().any(|s| s.region == *region && s.reader == reader) {
            continue;
        }
        let renamed = a.names.iter().find(|(old, _)| old == region).map(|(_, new)| new.clone());
        let name = renamed.unwrap_or_else(|| format!("{}{region}", a.prefix));
        let Some(client) = common::open(&name, a.wait_server, &Client::options())? else {
            return Err(exit::interrupted("nothing was sent"));
        };
        senders.push(Sender { region: region.clone(), reader, name, client });
    }
    let names: Vec<String> = senders.iter().map(|s| format!("`{}`", safe(&s.name))).collect();
    let readers = units::count(senders.len() as u64, "reader");
    say(format_args!("steering {} as {readers}, {}", names.join(", "), units::count(all.len() as u64, "message")));
    let (start, mut sent, mut late) = (Instant::now(), 0_u64, Duration::ZERO);
    for (region, m) in &all {
        let reader = (m.reader_id, if m.reader_id == 0 { m.reader_index } else { 0 });
        let Some(sender) = senders.iter().find(|s| s.region == *region && s.reader == reader) else { continue };
        let due = start + Duration::from_nanos(m.time.saturating_sub(begin)).div_f64(a.rate.max(1e-9));
        if !stop::sleep_until(due) || !send(sender, m)? {
            let all = units::were(all.len() as u64, "message");
            return Err(exit::interrupted(&format!("{sent} of {all} sent")));
        }
        late = late.max(due.elapsed());
        sent += 1;
    }
    // The slots are kept until the servers have taken all, so that they know the senders.
    let end = Instant::now() + PATIENCE;
    for s in &senders {
        let inspector = Inspector::open(&s.name).with_context(|| format!("cannot look at region `{}`", s.name))?;
        let waits =
            || s.client.reader_index().and_then(|i| inspector.control_fill(i)).is_some_and(|f| f.waiting != Some(0));
        while waits() {
            if let Some(end) = s.client.server_end() {
                bail!("the server of `{}` {end} before it took the last message; start it again", s.name);
            }
            if Instant::now() >= end {
                let time = units::ns(PATIENCE.as_nanos() as u64);
                bail!("the server of `{}` has not taken the last message within {time}; it waits in the ring", s.name);
            }
            if !stop::sleep_until(Instant::now() + Duration::from_millis(1)) {
                return Err(exit::interrupted("the servers have not taken the last messages; they wait in the rings"));
            }
        }
    }
    let late_ms = late.as_secs_f64() * 1e3;
    say(format_args!("{} sent, late by {late_ms:.3} ms at most", units::count(sent, "message")));
    if a.json {
        let summary = serde_json::json!({"sent": sent, "readers": senders.len(), "late_ms": {"max": late_ms}});
        json::print("steer", summary)?;
    }
    recording::judge(recording.problems())
}

/// False if a signal came first.
fn send(s: &Sender, m: &RecordedControl) -> anyhow::Result<bool> {
    let end = Instant::now() + PATIENCE;
    loop {
        match s.client.control_send(m.ty, &m.data) {
            Ok(()) => return Ok(true),
            Err(SendError::Full) if Instant::now() < end => {
                if !stop::sleep_until(Instant::now() + Duration::from_millis(1)) {
                    return Ok(false);
                }
            }
            Err(e) => return Err(e).with_context(|| format!("cannot send to `{}`", s.name)),
        }
    }
}
