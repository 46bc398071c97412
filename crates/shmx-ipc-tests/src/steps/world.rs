//! What is the same in the surroundings of every victim: what others do meanwhile, and what must hold afterwards.

use crate::chaos::look::{Eye, Look};
use crate::common::objects;
use crate::frames::Whole;
use crate::steps::acts::{READERS, SLOTS, publish, whole};
use crate::steps::trace::Tracee;
use crate::steps::watch::Patience;
use anyhow::{Context, Result, bail, ensure};
use shmx::error::ReadError;
use shmx::{Client, OwnedFrame, Server};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// For ever: the watch ends who hangs.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);

/// What somebody else does while the victim stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Publish,
    Lap,
    HalfAFrame,
    LapAndHalf,
    WhenTaken,
    Reap,
    Poll,
    SleepForMessages,
    AddStream,
    AttachAndDetach,
    ReadNewest,
    ReadInOrder,
    Lease,
    Send,
    SleepForAFrame,
    Inspect,
    Create,
    Remove,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Lap => "publish a lap",
            Self::HalfAFrame => "begin a frame before, publish it after",
            Self::LapAndHalf => "publish, and begin a frame before, publish it after",
            Self::WhenTaken => "publish when taken",
            Self::Reap => "reap",
            Self::Poll => "poll",
            Self::SleepForMessages => "sleep for messages",
            Self::AddStream => "add a stream",
            Self::AttachAndDetach => "attach and detach",
            Self::ReadNewest => "read the newest",
            Self::ReadInOrder => "read in order",
            Self::Lease => "lease before, release after",
            Self::Send => "send",
            Self::SleepForAFrame => "sleep for a frame",
            Self::Inspect => "inspect",
            Self::Create => "create",
            Self::Remove => "remove",
        })
    }
}

/// Who tidies up after the dead first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A server: by reaping, or by taking over.
    Server,
    /// A reader that wants the slot, or a tool that removes the name.
    Other,
}

/// How the victim fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Somebody else was there first.
    Refused,
}

/// The surroundings of a victim.
pub(crate) trait World {
    /// The victim stands before its operation.
    fn ready(&mut self) -> Result<()>;
    /// They do it; `then` lets the victim go on, or kills it.
    fn beside(&mut self, beside: Beside, then: &mut dyn FnMut() -> Result<()>) -> Result<()>;
    /// It was killed: the others recover. True if that took a time of grace.
    fn dead(self: Box<Self>, way: Way) -> Result<bool>;
    /// It has done its operation and lives.
    fn alive(&mut self) -> Result<()>;
    /// It has ended by itself.
    fn after(self: Box<Self>, outcome: Outcome) -> Result<()>;
}

/// A process that plays a part of a victim's surroundings: up to its mark, where it stays.
pub(crate) fn helper(part: &str, name: &str) -> Result<Tracee> {
    Tracee::start(&["steps-victim", part, name])
}

/// A frame that somebody keeps all the time.
#[derive(Debug)]
pub(crate) struct Kept(OwnedFrame, Vec<u8>);

impl Kept {
    pub(crate) fn new(frame: OwnedFrame) -> Result<Self> {
        ensure!(frame.is_leased(), "it was copied");
        whole(&frame)?;
        let bytes = frame.bytes().to_vec();
        Ok(Self(frame, bytes))
    }

    pub(crate) fn check(&self) -> Result<()> {
        whole(&self.0)?;
        ensure!(self.0.bytes() == self.1, "a leased frame has changed");
        Ok(())
    }
}

/// Takes what there is, in order, until there is nothing more; the last id.
pub(crate) fn take_all(client: &mut Client) -> Result<u64> {
    let (mut last, mut session) = (0, 0);
    for _ in 0..100 {
        let Some(frame) = client.try_next()? else { return Ok(last) };
        whole(&frame)?;
        ensure!(frame.frame_id() > last || frame.session_id() != session, "frame {} after {last}", frame.frame_id());
        (last, session) = (frame.frame_id(), frame.session_id());
    }
    bail!("a hundred frames")
}

/// Takes what there is until the reader is told that the server is gone; the last id.
pub(crate) fn take_to_the_end(client: &mut Client) -> Result<u64> {
    let (patience, mut last) = (Patience::new(), 0);
    loop {
        match client.next(Duration::from_millis(50)) {
            Ok(Some(frame)) => {
                whole(&frame)?;
                ensure!(frame.frame_id() > last, "frame {} after {last}", frame.frame_id());
                last = frame.frame_id();
            }
            Ok(None) => ensure!(!patience.is_over(), "the reader is never told that the server is gone"),
            Err(ReadError::ServerGone { .. }) => return Ok(last),
            Err(e) => return Err(e).context("reading what a dead server left"),
        }
    }
}

/// A server publishes two laps: every slot takes its turn but the leased ones, and readers get every frame.
pub(crate) fn laps(server: &mut Server, seed: u64, number: &mut u64, reader: &mut Client, leased: u32) -> Result<()> {
    let mut slots = BTreeSet::new();
    for _ in 0..2 * SLOTS {
        slots.insert(publish(server, seed, *number)?);
        *number += 1;
        let frame = reader.latest()?.context("no newest frame")?;
        ensure!(whole(&frame)? == *number - 1, "{} instead of the newest frame {}", frame.frame_id(), number);
    }
    ensure!(slots.len() as u32 + leased == SLOTS, "only slots {slots:?} were used, {leased} are leased");
    Ok(())
}

/// Every slot of a reader is free but those of the living, and the living are counted. Dead readers are cleaned up
/// after by `reap` until it is so. True if that took a time of grace.
pub(crate) fn readers_become(living: &[u32], eye: &Eye, mut reap: impl FnMut()) -> Result<bool> {
    let patience = Patience::new();
    let mut rounds = 0;
    loop {
        reap();
        let look = eye.look()?;
        let Some(wrong) = wrong_reader(&look, living) else { return Ok(rounds > 0) };
        // A complete reader is one to be freed at once.
        if rounds == 0 {
            let late = look
                .readers
                .iter()
                .enumerate()
                .find(|(i, r)| !living.contains(&(*i as u32)) && r.slot.in_use != 0 && !r.is_half());
            ensure!(late.is_none(), "a complete reader was not cleaned up after at once: {wrong}");
        }
        ensure!(!patience.is_over(), "{wrong}");
        rounds += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same without anybody's help, now.
pub(crate) fn readers_are(living: &[u32], eye: &Eye) -> Result<()> {
    wrong_reader(&eye.look()?, living).map_or(Ok(()), |wrong| bail!("{wrong}"))
}

/// What is not as it should be among the reader slots.
fn wrong_reader(look: &Look, living: &[u32]) -> Option<String> {
    for (index, reader) in (0..).zip(&look.readers) {
        if !living.contains(&index) && (!reader.is_clear() || reader.slot.ext_tag != 0 || reader.slot.heartbeat != 0) {
            return Some(format!("reader slot {index} of nobody: {:?}, {} leases", reader.slot, reader.leases));
        }
        if living.contains(&index) && reader.slot.in_use == 0 {
            return Some(format!("reader slot {index} of a living reader is free"));
        }
    }
    let counted = look.header.readers_connected;
    (counted != living.len() as u32).then(|| format!("{counted} readers are counted, {} live", living.len()))
}

/// A region that its server has left, dead or not: each slot whole, empty, or in the middle of one write.
pub(crate) fn remains_are_whole(eye: &Eye) -> Result<()> {
    use shmx::SlotState::{Bad, Empty, Frame, Writing};
    let mut writing = 0;
    for slot in &eye.inspector().list_slots() {
        match &slot.state {
            Frame(frame) => _ = whole(frame)?,
            Writing => writing += 1,
            Empty => {}
            Bad(e) => bail!("slot {}: {e}", slot.index),
            _ => bail!("slot {} is in a new state", slot.index),
        }
    }
    ensure!(writing <= 1, "{writing} slots are being written by a server of one thread");
    Ok(())
}

/// Nothing is left under the name, nor under one that begins so.
pub(crate) fn nothing_left(name: &str) -> Result<()> {
    let left = objects(name);
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

const _: () = assert!(READERS == 3, "bystander, victim, newcomer");
