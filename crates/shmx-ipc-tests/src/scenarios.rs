//! The scenarios: each starts real processes, has a deadline for every answer and leaves nothing behind.

use crate::child::{Figures, Proc};
use crate::common::{SECOND, Scale, unique};
use crate::frames;
use crate::peer::message_len;
use anyhow::{Context, Result, bail, ensure};
use shmx::abi::control::RingGeometry;
use shmx::error::CreateError;
use shmx::{Client, Inspector, Server, SharedServer, SlotState};
use std::collections::HashMap;
use std::time::{Duration, Instant};
/// Readers' figures must be whole: nothing torn, and every frame either delivered or counted as dropped.
fn whole(reader: &Figures, published: u64) -> Result<()> {
    let get = |k| reader.get(k);
    ensure!(get("torn")? == 0 && get("rejected")? == 0, "torn: {}", reader.line());
    ensure!(get("delivered")? > 0, "nothing delivered: {}", reader.line());
    let sum = get("delivered")? + get("missed")?;
    ensure!(sum == published, "{published} published, {sum} accounted for: {}", reader.line());
    Ok(())
}

/// One server process and one reader process per argument list; returns the figures of all.
fn stream(server: &[&str], readers: &[&[&str]]) -> Result<(Figures, Vec<Figures>)> {
    let name = unique();
    let count = readers.len().to_string();
    let mut args = vec!["server", &name, "--await-readers", &count];
    args.extend_from_slice(server);
    let mut server = Proc::peer(&args)?;
    server.expect("ready")?;
    let mut procs = Vec::new();
    for extra in readers {
        let mut args = vec!["reader", &name];
        args.extend_from_slice(extra);
        procs.push(Proc::peer(&args)?);
    }
    for p in &mut procs {
        p.expect("ready")?;
    }
    let produced = server.expect("result")?;
    let mut figures = Vec::new();
    for mut p in procs {
        figures.push(p.expect("result")?);
        p.finish()?;
    }
    server.finish()?;
    for f in &figures {
        whole(f, produced.get("published")?)?;
    }
    Ok((produced, figures))
}

fn summary(produced: &Figures, readers: &[Figures]) -> Result<String> {
    let delivered: Vec<String> =
        readers.iter().map(|r| r.get("delivered").map(|d| d.to_string())).collect::<Result<_>>()?;
    let ms = produced.get("ms")?.max(1);
    let published = produced.get("published")?;
    Ok(format!(
        "{published} published, {} kHz, ring full {} times, delivered {}, torn 0",
        published / ms,
        produced.get("full")?,
        delivered.join(" ")
    ))
}

const MODES: &[&[&str]] =
    &[&["--mode", "latest"], &["--mode", "wait", "--keep", "1"], &["--mode", "next"], &["--mode", "next", "--copy"]];

pub(crate) fn four_readers(cx: &Scale) -> Result<String> {
    let seconds = cx.amount(5).to_string();
    let (p, r) = stream(&["--seconds", &seconds, "--slots", "8"], MODES)?;
    summary(&p, &r)
}

/// Two that follow and two that do not; every part and every frame is checked.
pub(crate) fn followed(cx: &Scale) -> Result<String> {
    const FOLLOW: &[&str] = &["--mode", "follow"];
    let seconds = cx.amount(5).to_string();
    let server = ["--seconds", &seconds, "--slots", "8", "--max-len", "60000", "--pieces", "4096"];
    let start = Instant::now();
    loop {
        let (p, r) = stream(&server, &[FOLLOW, FOLLOW, MODES[1], MODES[2]])?;
        let followed: u64 = r[..2].iter().map(|f| f.get("followed")).sum::<Result<u64>>()?;
        if followed > 0 {
            return Ok(format!("{}; {followed} of them while they were written", summary(&p, &r)?));
        }
        // Again where no follower was let run in time.
        ensure!(start.elapsed() < 60 * SECOND, "no frame was read while it was written");
    }
}

pub(crate) fn paced(cx: &Scale) -> Result<String> {
    let frames = cx.amount(1000);
    // The ring has room for all: a reader that takes every frame misses none, however long it does not run.
    let slots = (frames + 2).to_string();
    let (p, r) = stream(&["--frames", &frames.to_string(), "--rate", "500", "--slots", &slots], &MODES[1..])?;
    for next in &r[1..] {
        ensure!(next.get("delivered")? == frames, "of {frames} paced frames not all arrived: {}", next.line());
    }
    summary(&p, &r)
}

pub(crate) fn lapping(cx: &Scale) -> Result<String> {
    let seconds = cx.amount(5).to_string();
    let mut all = Vec::new();
    for readers in [MODES, &[&["--mode", "latest", "--copy"], &["--mode", "wait", "--copy"]]] {
        let (p, r) = stream(&["--seconds", &seconds, "--slots", "2", "--max-len", "32"], readers)?;
        let dropped: u64 = r.iter().map(|f| f.get("missed")).sum::<Result<u64>>()?;
        ensure!(dropped > 0, "no reader was lapped");
        all.push(summary(&p, &r)?);
    }
    Ok(all.join("; copies only: "))
}

pub(crate) fn two_producers(cx: &Scale) -> Result<String> {
    let seconds = cx.amount(5).to_string();
    let (p, r) = stream(&["--seconds", &seconds, "--slots", "8", "--threads", "2", "--max-len", "500"], MODES)?;
    summary(&p, &r)
}

pub(crate) fn attach_storm(cx: &Scale) -> Result<String> {
    let name = unique();
    let mut server = Proc::peer(&["server", &name, "--slots", "8", "--reader-slots", "2"])?;
    server.expect("ready")?;
    let rounds = cx.amount(1500).to_string();
    let mut storms = Vec::new();
    for _ in 0..4 {
        storms.push(Proc::peer(&["storm", &name, "--rounds", &rounds])?);
    }
    let (mut slotless, mut delivered) = (0, 0);
    for mut s in storms {
        s.expect("ready")?;
        let r = s.expect("result")?;
        ensure!(r.get("torn")? == 0, "{}", r.line());
        slotless += r.get("slotless")?;
        delivered += r.get("delivered")?;
        s.finish()?;
    }
    let inspector = Inspector::open(&name)?;
    ensure!(inspector.header().readers_connected == 0, "{} readers left", inspector.header().readers_connected);
    for r in inspector.snapshot_readers() {
        ensure!(!r.in_use && r.reader_id == 0 && r.leased_slots == 0, "{r:?}");
    }
    // Every slot can be taken again.
    let clients: Vec<_> = (0..2).map(|_| Client::open(&name)).collect::<Result<_, _>>()?;
    ensure!(clients.iter().all(|c| c.reader_index().is_some()), "a reader slot is lost");
    drop(clients);
    server.stop();
    let p = server.expect("result")?;
    server.finish()?;
    ensure!(delivered > 0, "nothing delivered");
    let published = p.get("published")?;
    Ok(format!("4 x {rounds} attachments, {slotless} without a slot, {delivered} of {published} frames read"))
}

pub(crate) fn control_rings(cx: &Scale) -> Result<String> {
    let mut notes = Vec::new();
    for capacity in [4096_u32, 117, 273, 1001, 64] {
        let name = unique();
        let config = frames::server(&name).control_bytes(capacity).reader_slots(4);
        let server = config.create().map(Server::into_shared)?;
        let count = cx.amount(20_000) as u32;
        let mut pings = Vec::new();
        let mut expected = HashMap::new();
        let longest = RingGeometry::new(capacity).and_then(|g| g.longest_message()).context("geometry")?;
        for seed in 1..=3_u64 {
            let text = (count.to_string(), seed.to_string());
            let mut p = Proc::peer(&["ping", &name, "--count", &text.0, "--seed", &text.1])?;
            let index = p.expect("ready")?.get("index")? as u32;
            expected.insert(index, (seed, 0_u32));
            pings.push(p);
        }
        let mut end = Instant::now() + 50 * SECOND;
        let ids: HashMap<u32, u64> = server.snapshot_readers().iter().map(|r| (r.index, r.reader_id)).collect();
        let mut bytes = 0;
        while expected.values().any(|&(_, n)| n < count) {
            ensure!(Instant::now() < end, "messages are missing: {expected:?}");
            let batch = server.poll_control(64);
            ensure!(batch.damaged.is_empty(), "{:?}", batch.damaged);
            if batch.messages.is_empty() {
                std::thread::yield_now();
            } else {
                end = Instant::now() + 50 * SECOND;
            }
            for m in batch.messages {
                let (seed, next) = expected.get_mut(&m.reader_index).context("a message from nobody")?;
                ensure!(ids.get(&m.reader_index) == Some(&m.reader_id), "wrong reader id");
                ensure!(m.ty == 0x3000 + *next, "message {} instead of {next}", m.ty - 0x3000);
                ensure!(m.data.len() == message_len(*seed, *next, longest), "length of message {next}");
                ensure!(frames::matches(*seed, u64::from(*next), &m.data), "bytes of message {next}");
                bytes += m.data.len() + 8;
                *next += 1;
            }
        }
        let mut full = 0;
        for mut p in pings {
            full += p.expect("result")?.get("full")?;
            p.finish()?;
        }
        ensure!(server.poll_control(10).messages.is_empty(), "more messages than were sent");
        let laps = bytes / 3 / (capacity as usize - 16);
        notes.push(format!("{capacity} bytes: 3 x {count}, {laps} laps, full {full} times"));
    }
    Ok(notes.join("; "))
}

pub(crate) fn static_append(cx: &Scale) -> Result<String> {
    let frames = cx.amount(500).to_string();
    let dir: &[&[&str]] = &[&["--mode", "next", "--directory"], &["--mode", "latest", "--directory"]];
    let server = ["--frames", &frames, "--rate", "250", "--append-every", "5", "--slots", "8", "--max-len", "200"];
    let (p, r) = stream(&server, dir)?;
    for f in &r {
        ensure!(f.get("unknown")? == 0, "a stream was not in the directory: {}", f.line());
        ensure!(f.get("looked_up")? > 0, "no reader saw the directory grow: {}", f.line());
    }
    Ok(format!("{} streams added; {}", p.get("added")?, summary(&p, &r)?))
}

pub(crate) fn sessions(_: &Scale) -> Result<String> {
    let name = unique();
    let config = frames::server(&name).slots(4).directory_bytes(65536);
    let publish = |server: &SharedServer, number: u64| -> Result<()> {
        let mut frame = server.begin_frame()?;
        frames::write(&mut frame, 1, number, 1000, None)?;
        frame.publish_frame(number as f64)?;
        Ok(())
    };
    let rounds = 4_u64;
    let mut server = config.create().map(Server::into_shared)?;
    let mut readers = Vec::new();
    for mode in ["next", "wait", "latest"] {
        let mut p = Proc::peer(&["reader", &name, "--mode", mode, "--sessions", &rounds.to_string()])?;
        p.expect("ready")?;
        readers.push(p);
    }
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        for number in 0..20 {
            publish(&server, number)?;
        }
        let old = server.session_id();
        drop(server);
        if round == rounds {
            break;
        }
        let left = Instant::now();
        for p in &mut readers {
            ensure!(p.expect("gone")?.get("session")? == old, "told of another session");
        }
        slowest = slowest.max(left.elapsed());
        server = config.create().map(Server::into_shared)?;
        for p in &mut readers {
            ensure!(p.expect("reopened")?.get("session")? == server.session_id(), "another session was opened");
        }
        if round == rounds - 1 {
            server = replaced_in_good_order(server)?;
        }
    }
    let mut delivered = 0;
    for mut p in readers {
        let f = p.expect("result")?;
        whole(&f, rounds * 20)?;
        delivered += f.get("delivered")?;
        p.finish()?;
    }
    Ok(format!(
        "{rounds} servers, 3 readers told within {:.1} ms, {delivered} frames delivered",
        slowest.as_secs_f64() * 1e3
    ))
}

/// Another server on the name of a live one is refused and changes nothing.
fn replaced_in_good_order(server: SharedServer) -> Result<SharedServer> {
    let again = frames::server(server.name()).replace(true).create().map(Server::into_shared);
    ensure!(matches!(again, Err(CreateError::HeldByLiveServer { .. })), "{again:?}");
    Ok(server)
}

pub(crate) fn second_server(_: &Scale) -> Result<String> {
    let name = unique();
    let mut server = Proc::peer(&["server", &name, "--rate", "1000"])?;
    server.expect("ready")?;
    let mut client = Client::open(&name)?;
    for replace in [false, true] {
        match frames::server(&name).replace(replace).create().map(Server::into_shared) {
            Err(CreateError::HeldByLiveServer { pid, .. }) => {
                ensure!(pid == Some(server.id()), "held by {pid:?}, not by {}", server.id());
            }
            other => bail!("not refused: {other:?}"),
        }
    }
    frames::check(&client.wait(30 * SECOND)?.context("the first server stopped")?, 1)?;
    drop(client);
    server.stop();
    server.expect("result")?;
    server.finish()?;
    Ok("refused with the holder's process id, the stream goes on".to_owned())
}

pub(crate) fn inspector(cx: &Scale) -> Result<String> {
    let name = unique();
    let seconds = cx.amount(5);
    let mut server = Proc::peer(&["server", &name, "--slots", "4", "--append-every", "100000"])?;
    server.expect("ready")?;
    let mut reader = Proc::peer(&["reader", &name, "--mode", "latest"])?;
    reader.expect("ready")?;
    let start = Instant::now();
    let (mut looks, mut frames_seen, mut writing, mut other) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut attached = 0;
    let inspector = Inspector::open(&name)?;
    // Longer than asked for where it has met nothing yet.
    let enough = |frames, attached| frames > 0 && attached > 0 || start.elapsed() > 60 * SECOND;
    while start.elapsed() < Duration::from_secs(seconds) || !enough(frames_seen, attached) {
        looks += 1;
        for slot in inspector.list_slots() {
            match slot.state {
                SlotState::Frame(view) => {
                    frames::check(&view, 1).with_context(|| format!("slot {}", slot.index))?;
                    frames_seen += 1;
                }
                SlotState::Writing => writing += 1,
                SlotState::Empty => {}
                state => {
                    eprintln!("slot {}: {state:?}", slot.index);
                    other += 1;
                }
            }
        }
        inspector.directory()?;
        attached += inspector.snapshot_readers().iter().filter(|r| r.in_use).count();
        ensure!(inspector.header().readers_connected == 1, "the inspector was noticed");
    }
    ensure!(frames_seen > 0 && attached > 0 && other == 0, "{frames_seen} frames, {attached} readers, {other} bad");
    server.stop();
    let p = server.expect("result")?;
    let r = reader.expect("result")?;
    ensure!(r.get("torn")? == 0, "{}", r.line());
    reader.finish()?;
    server.finish()?;
    Ok(format!("{looks} looks at {} frames, {frames_seen} checked, {writing} being written", p.get("published")?))
}
