//! Pairings with a peer in C that knows the base format only: `c/foreign_peer.c`.

use crate::child::Proc;
use crate::common::{SECOND, objects, unique};
use crate::frames;
use crate::peer::message_len;
use anyhow::{Context, Result, bail, ensure};
use shmx::abi::control::RingGeometry;
use shmx::error::{CreateError, ReadError, SendError};
use shmx::{Client, Inspector, Server, ServerBuilder, SharedServer};
use std::path::Path;
use std::time::{Duration, Instant};

type Pairing = fn(&Path) -> Result<String>;

pub(crate) const PAIRINGS: &[(&str, Pairing)] = &[
    ("a peer in C reads our server and sends to it", reads_ours),
    ("our client and inspector read a server in C and send to it", reads_foreign),
    ("a server in C keeps its name", keeps_name),
    ("a killed reader in C is reaped by time", reaped_by_time),
    ("what a reader in C holds outlives our server", held_by_foreign),
    ("both sides take any name", names),
];

fn start(program: &Path, args: &[&str]) -> Result<Proc> {
    let mut command = shmx_testkit::program(program);
    command.args(args);
    Proc::start(command, format!("the peer in C: {}", args.join(" ")))
}

/// The reference never removes a region. (On Windows it goes by itself.)
struct Removed<'a>(&'a str);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let existing = shmx_os::RegionName::new(self.0).ok().and_then(|n| shmx_os::Existing::open(&n).ok());
        let _ = existing.map(shmx_os::Existing::remove);
    }
}

fn config(name: &str) -> ServerBuilder {
    frames::server(name).slots(4).reader_slots(4).control_bytes(1001)
}

fn publish(server: &SharedServer, number: u64) -> Result<()> {
    let mut frame = server.begin_frame()?;
    frames::write(&mut frame, 1, number, 3000, None)?;
    frame.publish_frame(number as f64)?;
    Ok(())
}

/// A limit on standing still, not on the whole.
struct Stirs {
    last: (u64, u32),
    since: Instant,
}

impl Stirs {
    fn new() -> Self {
        Self { last: (0, 0), since: Instant::now() }
    }

    /// Whether `now` is something else than before, or was not so long ago.
    fn by(&mut self, now: (u64, u32)) -> bool {
        if self.last != now {
            *self = Self { last: now, since: Instant::now() };
        }
        self.since.elapsed() < 50 * SECOND
    }
}

/// Both clocks count the same nanoseconds.
fn same_clock(ticks: u64) -> Result<()> {
    let apart = shmx_os::clock::ticks().abs_diff(ticks);
    ensure!(apart < 60_000_000_000, "the clocks are {apart} ns apart");
    Ok(())
}

fn reads_ours(program: &Path) -> Result<String> {
    let name = unique();
    let (want, count) = (300_u64, 400_u32);
    let server = config(&name).create().map(Server::into_shared)?;
    let longest = RingGeometry::new(1001).and_then(|g| g.longest_message()).context("no ring")?;
    let mut reader = start(program, &["read", &name, &want.to_string(), &count.to_string()])?;
    let ready = reader.expect("ready")?;
    ensure!(ready.get("directory")? == 1, "the directory's hash: {}", ready.line());
    same_clock(ready.get("ticks")?)?;
    let mut stirs = Stirs::new();
    let (mut number, mut taken, mut idle) = (0, 0_u32, 0_u32);
    // Until everything has arrived and a while longer, since the reader takes only the frames it happens to see.
    while taken < count || server.snapshot_readers()[0].last_frame_seen == 0 || idle < 2000 {
        let waited = if taken < count { 0 } else { idle.min(2000) };
        ensure!(stirs.by((taken.into(), waited)), "{taken} of {count} messages");
        publish(&server, number)?;
        number += 1;
        let batch = server.poll_control(16);
        ensure!(batch.damaged.is_empty(), "{:?}", batch.damaged);
        for m in batch.messages {
            ensure!(m.ty == 0x3000 + taken && m.reader_index == 0, "message {taken}: {:#x}", m.ty);
            ensure!(m.data.len() == message_len(1, taken, longest), "length of message {taken}");
            ensure!(frames::matches(1, taken.into(), &m.data), "bytes of message {taken}");
            taken += 1;
        }
        idle += 1;
        std::thread::sleep(Duration::from_micros(500));
    }
    let result = loop {
        // The reader may still want frames.
        publish(&server, number)?;
        number += 1;
        if let Some(result) = reader.try_expect("result", Duration::from_millis(2))? {
            break result;
        }
        ensure!(stirs.by((server.snapshot_readers()[0].last_frame_seen, 0)), "the reader has not seen enough");
    };
    ensure!(result.get("wrong")? == 0 && result.get("seen")? >= want, "{}", result.line());
    ensure!(result.get("sent")? == u64::from(count), "{}", result.line());
    reader.finish()?;
    ensure!(server.readers_connected() == 0, "{} readers connected", server.readers_connected());
    ensure!(!server.snapshot_readers()[0].in_use, "its slot is still taken");
    Ok(format!("{} of {number} frames read, {taken} messages", result.get("seen")?))
}

fn reads_foreign(program: &Path) -> Result<String> {
    let name = unique();
    let _removed = Removed(&name);
    let mut server = start(program, &["serve", &name])?;
    let ready = server.expect("ready")?;
    same_clock(ready.get("ticks")?)?;
    let mut client = Client::open(&name)?;
    ensure!(client.session_id() == ready.get("session")?, "another session");
    ensure!(!client.features().is_extended() && client.server_end().is_none(), "not taken for a foreign region");
    let directory = client.directory()?;
    let found: Vec<_> = directory.streams.iter().map(|s| (s.id, s.name.clone())).collect();
    ensure!(found == [(1, b"number".to_vec()), (2, b"data".to_vec())], "{found:?}");
    let longest = RingGeometry::new(client.layout().control_per_reader()).and_then(|g| g.longest_message());
    let (longest, count) = (longest.context("no ring")?, 400_u32);
    let mut stirs = Stirs::new();
    let (mut seen, mut sent, mut lapped, mut last, mut body) = (0_u64, 0, 0, None, Vec::new());
    while seen < 300 || sent < count {
        ensure!(stirs.by((seen.min(300), sent)), "{seen} frames, {sent} messages");
        match client.wait(30 * SECOND) {
            Ok(Some(view)) => {
                let (number, _) = frames::check(&view, 1)?;
                ensure!(!view.is_leased() && last < Some(number), "frame {number} after {last:?}");
                last = Some(number);
                seen += 1;
            }
            Ok(None) => bail!("no frame for 30 seconds"),
            Err(ReadError::Lapped { .. } | ReadError::Checksum { .. }) => lapped += 1,
            Err(e) => return Err(e.into()),
        }
        while sent < count {
            body.resize(message_len(1, sent, longest), 0);
            frames::fill(1, sent.into(), &mut body);
            match client.control_send(0x3000 + sent, &body) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => break,
                Err(e) => return Err(e.into()),
            }
        }
    }
    let inspector = Inspector::open(&name)?;
    ensure!(inspector.header().session_id == client.session_id(), "the inspector sees another session");
    let readers = inspector.snapshot_readers();
    ensure!(readers.iter().filter(|r| r.in_use).count() == 1 && readers[0].last_frame_seen > 0, "{readers:?}");
    // So that the server polls once more before it is asked to end.
    let end = Instant::now() + 50 * SECOND;
    while !client.control_send(0x3000 + count, &[]).is_ok_and(|()| true) {
        ensure!(Instant::now() < end, "the ring stays full");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop((client, inspector));
    server.stop();
    let result = server.expect("result")?;
    // The last, empty one is not what it expects; all before were.
    ensure!(result.get("messages")? == u64::from(count) + 1 && result.get("wrong")? <= 1, "{}", result.line());
    ensure!(result.get("connected")? == 0, "{}", result.line());
    server.finish()?;
    Ok(format!("{seen} of {} frames read, {lapped} overtaken, {count} messages", result.get("published")?))
}

fn keeps_name(program: &Path) -> Result<String> {
    let name = unique();
    let removed = Removed(&name);
    let mut server = start(program, &["serve", &name])?;
    server.expect("ready")?;
    let mut client = Client::open(&name)?;
    match config(&name).create().map(Server::into_shared) {
        Err(CreateError::ReferenceMade { .. }) => {}
        other => bail!("not refused: {other:?}"),
    }
    let again = || config(&name).replace(true).create().map(Server::into_shared);
    if cfg!(windows) {
        // Nobody can take a name from those who have it open.
        ensure!(matches!(again(), Err(CreateError::InUse { .. })), "replaced");
        frames::check(&client.wait(10 * SECOND)?.context("it stopped")?, 1)?;
        server.kill()?;
        // The client, too, holds what a foreign program made: its next server must find it.
        ensure!(matches!(again(), Err(CreateError::InUse { .. })), "replaced under a client");
        let mut next = start(program, &["serve", &name])?;
        let session = next.expect("ready")?.get("session")?;
        let told = loop {
            match client.wait(10 * SECOND) {
                Ok(Some(_)) => {}
                other => break other.map(drop),
            }
        };
        ensure!(matches!(told, Err(ReadError::SessionChanged)), "not told of the next session: {told:?}");
        client.reopen()?;
        ensure!(client.session_id() == session, "another session");
        frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?;
        drop(client);
        next.kill()?;
        drop(again()?);
    } else {
        let ours = again()?;
        ensure!(client.is_replaced(), "the client is not told");
        client.reopen()?;
        publish(&ours, 7)?;
        ensure!(frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?.0 == 7, "another frame");
        server.kill()?;
    }
    drop(removed);
    ensure!(objects(&name).is_empty(), "the name is still there");
    Ok("refused while it lives, replaced when asked and possible".to_owned())
}

fn reaped_by_time(program: &Path) -> Result<String> {
    let name = unique();
    let server = config(&name).create().map(Server::into_shared)?;
    let mut reader = start(program, &["attach", &name])?;
    ensure!(reader.expect("ready")?.get("index")? == 0, "not the first slot");
    let info = server.snapshot_readers()[0];
    ensure!(info.in_use && info.extension.is_none(), "{info:?}");
    same_clock(info.heartbeat)?;
    reader.kill()?;
    // It held no lock: only its heartbeat tells.
    ensure!(server.reap_dead_readers().is_empty(), "reaped without a sign of death");
    ensure!(server.reap_stale_readers(3600 * SECOND).is_empty(), "reaped too early");
    std::thread::sleep(Duration::from_nanos(1));
    ensure!(server.reap_stale_readers(Duration::from_nanos(1)) == [0], "not reaped");
    ensure!(server.readers_connected() == 0, "{} readers connected", server.readers_connected());
    Ok("a stale heartbeat frees its slot".to_owned())
}

fn held_by_foreign(program: &Path) -> Result<String> {
    let name = unique();
    let mut server = Proc::peer(&["server", &name, "--rate", "500"])?;
    server.expect("ready")?;
    let mut holder = start(program, &["hold", &name])?;
    holder.expect("ready")?;
    let mut client = Client::open(&name)?;
    client.wait(10 * SECOND)?.context("no frame")?;
    server.kill()?;
    let told = loop {
        match client.wait(10 * SECOND) {
            Ok(Some(_)) => {}
            other => break other.map(drop),
        }
    };
    ensure!(matches!(told, Err(ReadError::ServerGone { .. })), "not told: {told:?}");
    let mut refused = 0;
    if cfg!(windows) {
        // The holder's handle keeps the name. A successor says so, and comes as soon as it is gone.
        let start = Instant::now();
        let refusal = config(&name).create().map(Server::into_shared);
        ensure!(matches!(refusal, Err(CreateError::InUse { .. })), "{refusal:?}");
        refused = start.elapsed().as_millis();
        // Creation waits a while by itself; the holder's end may take longer.
        let waiting = std::thread::spawn({
            let (name, end) = (name.clone(), start + 30 * SECOND);
            move || loop {
                match config(&name).create().map(Server::into_shared) {
                    Err(CreateError::InUse { .. }) if Instant::now() < end => {}
                    other => return other,
                }
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        holder.finish()?;
        let next = waiting.join().map_err(|_| anyhow::anyhow!("creation panicked"))??;
        publish(&next, 3)?;
        client.reopen()?;
        frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?;
    } else {
        let next = config(&name).create().map(Server::into_shared)?;
        publish(&next, 3)?;
        client.reopen()?;
        frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?;
        holder.finish()?;
    }
    Ok(if cfg!(windows) { format!("a successor waits {refused} ms, then says why") } else { "replaced at once".into() })
}

fn names(program: &Path) -> Result<String> {
    let plain = unique();
    let mut all = vec![format!("{plain}-größe-東京"), format!("/{plain}")];
    if cfg!(windows) {
        all.extend([format!("Local\\{plain}"), format!("{plain}/with/slashes")]);
    }
    for name in &all {
        let server = config(name).create().map(Server::into_shared)?;
        let mut reader = start(program, &["attach", name])?;
        reader.expect("ready").with_context(|| name.clone())?;
        ensure!(server.readers_connected() == 1, "{name}: not attached");
        reader.kill()?;
        drop(server);
        let _removed = Removed(name);
        let mut foreign = start(program, &["serve", name])?;
        foreign.expect("ready").with_context(|| name.clone())?;
        let mut client = Client::open(name).with_context(|| name.clone())?;
        frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?;
        foreign.stop();
        foreign.expect("result")?;
        foreign.finish()?;
    }
    Ok(format!("{} kinds of name, each in both directions", all.len()))
}
