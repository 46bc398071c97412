//! Who is alive: stopped is not dead, and the dead are known to those who sleep.

use crate::chaos::dice::Times;
use crate::child::Proc;
use crate::common::{SECOND, Scale, publish, small, unique};
use crate::frames;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use shmx::error::ReadError;
use shmx::{Client, Inspector};
use shmx_os::LockState;
use shmx_os::clock::ticks;
use std::time::{Duration, Instant};

fn signal(proc: &Proc, signal: Signal) -> Result<()> {
    let pid = i32::try_from(proc.id()).ok().and_then(Pid::from_raw).context("process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Until `done`, or an error.
fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + 30 * SECOND;
    while !done()? {
        ensure!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// A reader that stands still keeps slot and leases, however old its heartbeat is; the frames are unchanged when it
/// goes on.
pub(crate) fn stopped_reader(cx: &Scale) -> Result<String> {
    let rounds = cx.amount(10);
    let mut published = 0;
    for _ in 0..rounds {
        let (server, name) = small(4)?;
        let mut holder = Proc::peer(&["hold", &name, "--frames", "2"])?;
        let index = holder.expect("ready")?.get("index")?;
        let mut held = Vec::new();
        for n in 0..2 {
            publish(&server, n)?;
            held.push(holder.expect("holding")?.get("slot")? as u32);
        }
        let before = server.snapshot_readers()[index as usize];
        signal(&holder, Signal::STOP)?;
        for n in 2..100 {
            ensure!(server.reap_stale_readers(Duration::ZERO).is_empty(), "reaped by its heartbeat");
            ensure!(server.reap_dead_readers().is_empty(), "reaped as dead");
            let (slot, _) = publish(&server, n)?;
            ensure!(!held.contains(&slot), "a leased slot was used");
            published += 1;
        }
        let now = server.snapshot_readers()[index as usize];
        ensure!(now.lock == LockState::Held && now.leased_slots == 2, "{now:?}");
        ensure!(now.reader_id == before.reader_id && now.heartbeat == before.heartbeat, "it did not stand still");
        signal(&holder, Signal::CONT)?;
        holder.stop();
        // It has looked at every byte once more.
        ensure!(holder.expect("result")?.get("unchanged")? == 2);
        holder.finish()?;
        ensure!(server.readers_connected() == 0);
    }
    Ok(format!("{rounds} readers stopped, {published} frames published past their leases"))
}

/// Readers that sleep are told of a killed producer, and not of a stopped one.
pub(crate) fn sleepers_are_told(cx: &Scale) -> Result<String> {
    let rounds = cx.amount(15);
    let mut told = Times::default();
    for _ in 0..rounds {
        let name = unique();
        // One frame, and then nothing.
        let mut server = Proc::peer(&["server", &name, "--frames", "2", "--rate", "0.01"])?;
        server.expect("ready")?;
        let inspector = Inspector::open(&name)?;
        let sleepers: Vec<_> = [true, false]
            .into_iter()
            .map(|every| -> Result<_> {
                let mut client = Client::open(&name)?;
                Ok(std::thread::spawn(move || -> Result<u64> {
                    let mut frames = 0;
                    loop {
                        let taken = if every { client.next(60 * SECOND) } else { client.wait(60 * SECOND) };
                        match taken {
                            Ok(Some(_)) => frames += 1,
                            Err(ReadError::ServerGone { .. }) if frames == 1 => return Ok(ticks()),
                            other => bail!("{other:?} after {frames} frames"),
                        }
                    }
                }))
            })
            .collect::<Result<_>>()?;
        let asleep = || {
            let readers = inspector.snapshot_readers();
            let count = readers.iter().filter(|r| r.last_frame_seen == 1 && r.extension.is_some_and(|e| e.waiting));
            Ok(count.count() == 2)
        };
        until("two readers asleep", asleep)?;
        signal(&server, Signal::STOP)?;
        std::thread::sleep(Duration::from_millis(50)); // longer than two looks at its life
        ensure!(sleepers.iter().all(|s| !s.is_finished()), "a stopped producer was taken for dead");
        until("asleep again", asleep)?;
        let killed = ticks();
        server.kill()?;
        for s in sleepers {
            let at = s.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            told.add_ns(at.saturating_sub(killed));
        }
        // What it left is replaced, as it would be by the next server.
        drop(frames::server(&name).create()?);
    }
    Ok(format!("from the kill to a sleeping reader, median/max {}", told.show()))
}
