//! What is left when a process is killed: a reader, one that holds every slot, a producer, a creator.

use crate::child::Proc;
use crate::common::{SECOND, Scale, objects, publish, small, unique};
use crate::frames;
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{BeginError, ReadError};
use shmx::{Client, Inspector, Server};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(crate) fn reader(cx: &Scale) -> Result<String> {
    let (server, name) = small(4)?;
    let rounds = cx.amount(25);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let mut holder = Proc::peer(&["hold", &name, "--frames", "2"])?;
        let index = holder.expect("ready")?.get("index")? as u32;
        let mut held = BTreeSet::new();
        for n in 0..2 {
            publish(&server, round * 100 + n)?;
            held.insert(holder.expect("holding")?.get("slot")? as u32);
        }
        // Neither a stale heartbeat nor the producer takes anything from a reader that lives.
        ensure!(server.reap_stale_readers(Duration::from_nanos(1)).is_empty(), "a live reader was reaped");
        for n in 2..40 {
            let (slot, _) = publish(&server, round * 100 + n)?;
            ensure!(!held.contains(&slot), "a leased slot was used");
        }
        let info = server.snapshot_readers()[index as usize];
        ensure!(info.leased_slots == held.len() as u32, "{info:?}");
        holder.kill()?;
        let dead = Instant::now();
        let reaped = server.reap_dead_readers();
        slowest = slowest.max(dead.elapsed());
        ensure!(reaped == [index], "reaped {reaped:?}, not {index}");
        ensure!(server.readers_connected() == 0, "{} readers connected", server.readers_connected());
        let mut used = BTreeSet::new();
        for n in 40..44 {
            used.insert(publish(&server, round * 100 + n)?.0);
        }
        ensure!(held.is_subset(&used), "slots {held:?} did not come back, only {used:?}");
    }
    Ok(format!("{rounds} kills, reaped by the first call within {:.0} µs", slowest.as_secs_f64() * 1e6))
}

pub(crate) fn holder(cx: &Scale) -> Result<String> {
    let rounds = cx.amount(10);
    for round in 0..rounds {
        // A region of its own, so that the reader can take nothing but the frames of this round.
        let (server, name) = small(3)?;
        let mut holder = Proc::peer(&["hold", &name, "--frames", "3"])?;
        let index = holder.expect("ready")?.get("index")? as u32;
        for n in 0..3 {
            publish(&server, round * 10 + n)?;
            holder.expect("holding")?;
        }
        match server.begin_frame() {
            Err(BeginError::NoFreeSlot { leased: 3, holders, .. }) => {
                let named: Vec<_> = holders.iter().map(|h| (h.index, h.pid, h.leased)).collect();
                ensure!(named == [(index, Some(holder.id()), 3)], "{named:?}");
            }
            other => bail!("not full: {other:?}"),
        }
        holder.kill()?;
        publish(&server, round * 10 + 5).context("the first frame after the kill")?;
        ensure!(server.readers_connected() == 0, "{} readers connected", server.readers_connected());
    }
    Ok(format!("{rounds} kills, the next frame found a slot each time"))
}

pub(crate) fn producer(cx: &Scale) -> Result<String> {
    let rounds = cx.amount(10);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let name = unique();
        let mut server = Proc::peer(&["server", &name, "--max-len", "5000"])?;
        server.expect("ready")?;
        let mut client = Client::open(&name)?;
        for _ in 0..20 {
            frames::check(&client.wait(10 * SECOND)?.context("no frame")?, 1)?;
        }
        let asleep = std::thread::spawn(move || -> Result<(Client, Instant)> {
            loop {
                match client.wait(20 * SECOND) {
                    Ok(Some(view)) => drop(frames::check(&view, 1)?),
                    Ok(None) => bail!("no end within 20 s"),
                    Err(ReadError::ServerGone { .. }) => break,
                    Err(ReadError::Lapped { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Ok((client, Instant::now()))
        });
        std::thread::sleep(Duration::from_millis(5 + round % 7));
        server.kill()?;
        let dead = Instant::now();
        let (mut client, told) = asleep.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        slowest = slowest.max(told.saturating_duration_since(dead));
        // On Windows the name goes with the server, although the reader keeps the memory.
        ensure!(Inspector::open(&name).is_ok() == cfg!(not(windows)), "what a dead server leaves");
        let mut next = Proc::peer(&["server", &name, "--rate", "1000", "--seed", "2"])?;
        next.expect("ready")?;
        client.reopen()?;
        frames::check(&client.wait(10 * SECOND)?.context("no frame of the next server")?, 2)?;
        next.stop();
        next.expect("result")?;
        next.finish()?;
        ensure!(objects(&name).is_empty(), "the object is still there");
    }
    Ok(format!("{rounds} kills, reader told within {:.1} ms, each replaced", slowest.as_secs_f64() * 1e3))
}

pub(crate) fn creators(cx: &Scale) -> Result<String> {
    let rounds = cx.amount(50);
    let name = unique();
    let mut caught = 0;
    for round in 0..rounds {
        let mut creator = Proc::peer(&["creator", &name])?;
        creator.expect("ready")?;
        std::thread::sleep(Duration::from_micros(frames::mix(round) % 5000));
        creator.kill()?;
        let found = objects(&name);
        ensure!(found.len() <= 1, "more than the region itself: {found:?}");
        caught += found.len();
    }
    let server = frames::server(&name).create().map(Server::into_shared)?;
    publish(&server, 1)?;
    drop(server);
    Ok(format!("{rounds} kills, {caught} of them with a region in place, which the next server replaced"))
}
