//! What the victims do: one operation each, between two marks.

use crate::frames;
use crate::steps::trace::{be_traced, mark};
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{CreateError, RemoveError};
use shmx::{Client, ClientOptions, FrameWriter, Hold, Inspector, NameLoss, Server, ServerBuilder, Start};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest data of a frame: stores are looked at one by one.
pub(crate) const MAX_LEN: u32 = 24;
pub(crate) const SLOTS: u32 = 3;
/// One for the victim, one for a bystander, one for a newcomer.
pub(crate) const READERS: u32 = 3;
/// Seeds of the frames of a victim, of a server that it reads from, and of a successor.
pub(crate) const VICTIMS: u64 = 1;
pub(crate) const PLAIN: u64 = 2;
pub(crate) const SUCCESSORS: u64 = 3;
/// Frames that a server publishes before the operation.
pub(crate) const BEFORE: u64 = 4;
/// Type and body of a victim's message, and of one that others send.
pub(crate) const TYPE: u32 = 0x3001;
pub(crate) const MESSAGE: &[u8] = b"from the victim, 20b";
pub(crate) const EARLIER: &[u8] = b"sent before, 20 long";
pub(crate) const OTHER: &[u8] = b"of a bystander";
/// A stream that is added.
pub(crate) const ADDED: u32 = frames::ADDED;
/// Exit code of a victim that was refused what another one got.
pub(crate) const REFUSED: i32 = 3;

/// In what surroundings an operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By a reader of a living server.
    Reader,
    /// By a server, with readers.
    Server,
    /// By a reader of a server that is writing a frame.
    Follower,
    /// By who wants a name or wants it gone.
    Name,
}

/// All operations.
pub(crate) const OPERATIONS: &[(&str, Place)] = &[
    ("attach", Place::Reader),
    ("attach-every-frame", Place::Reader),
    ("detach", Place::Reader),
    ("detach-with-leases", Place::Reader),
    ("read-newest", Place::Reader),
    ("read-in-order", Place::Reader),
    ("read-every-frame", Place::Reader),
    ("lease-and-release", Place::Reader),
    ("wait-for-a-frame", Place::Reader),
    ("send", Place::Reader),
    ("send-over-the-end", Place::Reader),
    ("send-and-wake", Place::Reader),
    ("follow", Place::Reader),
    ("follow-a-frame", Place::Follower),
    ("publish", Place::Server),
    ("publish-in-place", Place::Server),
    ("publish-records", Place::Server),
    ("publish-in-pieces", Place::Server),
    ("publish-shared", Place::Server),
    ("publish-around-a-lease", Place::Server),
    ("publish-warm", Place::Server),
    ("publish-when-taken", Place::Server),
    ("publish-and-wake", Place::Server),
    ("publish-and-always-wake", Place::Server),
    ("abandon", Place::Server),
    ("poll", Place::Server),
    ("wait-for-messages", Place::Server),
    ("add-streams", Place::Server),
    ("reap", Place::Server),
    ("come-back", Place::Server),
    ("end", Place::Server),
    ("create", Place::Name),
    ("take-over", Place::Name),
    ("remove", Place::Name),
];

/// A server for so few bytes that all of them are compared after every instruction.
pub(crate) fn config(name: &str) -> ServerBuilder {
    frames::server(name).slots(SLOTS).reader_slots(READERS).directory_bytes(320).frame_bytes(128).control_bytes(16 + 80)
}

pub(crate) fn fill(frame: &mut FrameWriter<'_>, seed: u64, number: u64) -> Result<()> {
    let len = frames::len_of(seed, number, MAX_LEN);
    let mut data = vec![0; len];
    frames::fill(seed, number, &mut data);
    frame.append_stream(frames::NUMBER, &[number, MAX_LEN.into()])?;
    frame.append_stream(frames::DATA, &data)?;
    Ok(())
}

/// Publishes frame `number`, which is to get the id after it, and tells its slot.
pub(crate) fn publish(server: &mut Server, seed: u64, number: u64) -> Result<u32> {
    let mut frame = server.begin_frame()?;
    let slot = frame.slot();
    fill(&mut frame, seed, number)?;
    let id = frame.publish_frame(number as f64)?;
    ensure!(id == number + 1, "frame {number} got the id {id}");
    Ok(slot)
}

fn serve(name: &str, configured: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<Server> {
    let mut server = configured(config(name)).create()?;
    for number in 0..BEFORE {
        publish(&mut server, VICTIMS, number)?;
    }
    Ok(server)
}

/// Descriptors and shared mappings of this process.
fn held_by_me() -> Result<(usize, usize)> {
    let descriptors = std::fs::read_dir("/proc/self/fd")?.count();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    Ok((descriptors, maps.lines().filter(|l| l.contains(" /dev/shm/")).count()))
}

/// The operation, between the marks. With `faulty` a system call of it may fail: then the error must leave nothing
/// behind, and the next attempt must succeed.
fn attempt<T>(faulty: bool, mut operation: impl FnMut() -> Result<T>) -> Result<T> {
    let before = held_by_me()?;
    mark()?;
    let first = operation();
    mark()?;
    match first {
        Err(e) if faulty => {
            let after = held_by_me()?;
            ensure!(after == before, "{e:#}: descriptors and mappings {before:?} before, {after:?} after it");
            eprintln!("refused: {e:#}");
            operation().with_context(|| format!("the attempt after: {e:#}"))
        }
        other => other,
    }
}

/// `steps-victim OPERATION NAME [--faulty yes]`
pub(crate) fn act(operation: &str, name: &str, faulty: bool) -> Result<i32> {
    be_traced()?;
    let place = OPERATIONS.iter().find(|(known, _)| *known == operation).map(|(_, place)| *place);
    match place {
        Some(Place::Reader | Place::Follower) => read(operation, name, faulty)?,
        Some(Place::Server) => return produce(operation, name, faulty),
        Some(Place::Name) => return names(operation, name, faulty),
        None if operation == "serve" => {
            let _server = serve(name, |b| b)?;
            mark()?;
        }
        None if operation == "write-in-pieces" => {
            let mut server = serve(name, |b| b)?;
            mark()?;
            let mut frame = server.begin_frame()?;
            half_and_half(&mut frame, FOLLOWED, mark)?;
            frame.publish_frame(FOLLOWED as f64)?;
            gets_on(&mut server, FOLLOWED + 1, false)?;
            mark()?;
        }
        None if operation == "hold" => {
            let mut client = Client::options().copy_up_to(0).hold(Hold::Lease).open(name)?;
            let frame = client.latest()?.context("no frame to lease")?.keep();
            ensure!(frame.is_leased(), "it was copied");
            mark()?;
        }
        None => bail!("unknown operation {operation:?}"),
    }
    Ok(0)
}

/// The frame that is written in pieces: the one after those before.
const FOLLOWED: u64 = BEFORE;

/// A frame whose data comes in two pieces.
fn half_and_half(frame: &mut FrameWriter<'_>, number: u64, between: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut data = vec![0; frames::len_of(VICTIMS, number, MAX_LEN)];
    frames::fill(VICTIMS, number, &mut data);
    frame.append_stream(frames::NUMBER, &[number, MAX_LEN.into()])?;
    let mut stream = frame.fill_stream::<u8>(frames::DATA, data.len())?;
    let (first, rest) = data.split_at(data.len() / 2);
    stream.write(first)?;
    between()?;
    stream.write(rest)?;
    Ok(())
}

/// Reads what there is; whatever comes is whole.
fn look(client: &mut Client) -> Result<()> {
    let session = client.session_id();
    if let Some(frame) = client.latest()? {
        ensure!(frame.session_id() == session, "a frame of another session");
        whole(&frame)?;
    }
    Ok(())
}

/// The number of a frame of anybody's.
pub(crate) fn whole(frame: &impl frames::Whole) -> Result<u64> {
    let tries = [VICTIMS, PLAIN, SUCCESSORS].map(|seed| frames::check_bytes(frame, seed));
    let (number, _) = match tries {
        [Ok(found), ..] | [_, Ok(found), _] | [.., Ok(found)] => found,
        [Err(e), ..] => return Err(e.context("a torn frame")),
    };
    ensure!(frame.id() == number + 1, "frame {number} has the id {}", frame.id());
    Ok(number)
}

fn read(operation: &str, name: &str, faulty: bool) -> Result<()> {
    let options = Client::options;
    let leasing = || options().copy_up_to(0).hold(Hold::Lease);
    let open = |options: ClientOptions| options.open(name);
    match operation {
        "attach" => look(&mut attempt(faulty, || Ok(Client::open(name)?))?),
        "attach-every-frame" => look(&mut attempt(faulty, || Ok(options().every_frame(true).open(name)?))?),
        "detach" => {
            let mut client = Some(Client::open(name)?);
            attempt(faulty, || {
                drop(client.take());
                Ok(())
            })
        }
        "detach-with-leases" => {
            let mut client = open(leasing())?;
            let mut held = Some(client.latest()?.context("no frame")?.keep());
            let mut client = Some(client);
            attempt(faulty, || {
                drop(client.take());
                drop(held.take());
                Ok(())
            })
        }
        "read-newest" => {
            let mut client = open(options().hold(Hold::Copy))?;
            attempt(faulty, || look(&mut client))
        }
        "read-in-order" => in_order(open(options().start(Start::Oldest))?, faulty),
        "read-every-frame" => in_order(open(options().start(Start::Oldest).every_frame(true))?, faulty),
        "lease-and-release" => {
            let mut client = open(leasing())?;
            attempt(faulty, || {
                let Some(frame) = client.latest()? else { return Ok(()) };
                let number = whole(&frame)?;
                let kept = frame.keep();
                ensure!(whole(&kept)? == number, "a kept frame changed");
                Ok(())
            })
        }
        "wait-for-a-frame" => {
            let mut client = open(options().spin(Duration::ZERO))?;
            look(&mut client)?;
            attempt(faulty, || {
                if let Some(frame) = client.wait(Duration::from_millis(2))? {
                    whole(&frame)?;
                }
                Ok(())
            })
        }
        "send" | "send-and-wake" => {
            let client = Client::open(name)?;
            attempt(faulty, || Ok(client.control_send(TYPE, MESSAGE)?))
        }
        "send-over-the-end" => {
            // Two fill most of the ring; the third needs padding before it.
            let client = Client::open(name)?;
            for _ in 0..2 {
                client.control_send(TYPE, EARLIER)?;
            }
            attempt(faulty, || Ok(client.control_send(TYPE, MESSAGE)?))
        }
        "follow-a-frame" => {
            let mut client = open(leasing())?;
            // From now on the server shows what it writes.
            drop(client.follow(Duration::ZERO)?);
            attempt(faulty, || {
                let Some(mut coming) = client.follow(Duration::from_millis(1))? else { return Ok(()) };
                for _ in 0..3 {
                    match coming.wait(Duration::from_millis(1)) {
                        Ok(_) => drop(frames::check_part(&coming, VICTIMS)?),
                        Err(void) => bail!("{void}"),
                    }
                }
                Ok(())
            })?;
            look(&mut client)
        }
        "follow" => {
            let mut client = Client::open(name)?;
            look(&mut client)?;
            let before = client.session_id();
            attempt(faulty, || Ok(client.reopen()?))?;
            ensure!(client.session_id() != before, "it did not go over to the successor");
            look(&mut client)
        }
        _ => bail!("unknown operation {operation:?}"),
    }
}

fn in_order(mut client: Client, faulty: bool) -> Result<()> {
    let mut last = 0;
    attempt(faulty, || {
        for _ in 0..SLOTS {
            let Some(frame) = client.try_next()? else { break };
            whole(&frame)?;
            ensure!(frame.frame_id() > last, "frame {} after {last}", frame.frame_id());
            last = frame.frame_id();
        }
        Ok(())
    })
}

fn produce(operation: &str, name: &str, faulty: bool) -> Result<i32> {
    let number = BEFORE;
    let mut next = BEFORE + 1;
    let mut server = match operation {
        "publish-shared" => {
            let shared = serve(name, |b| b)?.into_shared();
            attempt(faulty, || {
                let mut frame = shared.begin_frame()?;
                fill(&mut frame, VICTIMS, number)?;
                Ok(frame.publish_frame(number as f64)?)
            })?;
            for number in next..next + 7 {
                let mut frame = shared.begin_frame()?;
                fill(&mut frame, VICTIMS, number)?;
                frame.publish_frame(number as f64)?;
            }
            return Ok(0);
        }
        "publish-warm" => serve(name, |b| b.history(1))?,
        "publish-and-always-wake" => serve(name, |b| b.ring_always(true))?,
        "come-back" => serve(name, |b| b.on_name_loss(NameLoss::ComeBack))?,
        _ => serve(name, |b| b)?,
    };
    match operation {
        "publish" | "publish-warm" | "publish-around-a-lease" | "publish-and-wake" | "publish-and-always-wake" => {
            attempt(faulty, || publish(&mut server, VICTIMS, number))?;
        }
        "publish-in-place" => attempt(faulty, || {
            let mut frame = server.begin_frame()?;
            frames::write(&mut frame, VICTIMS, number, MAX_LEN, None)?;
            frame.publish_frame(number as f64)?;
            Ok(())
        })?,
        "publish-records" => {
            let (mut records, count) = (vec![0; 128], 2);
            let len = records_of(number, &mut records)?;
            attempt(faulty, || {
                let mut frame = server.begin_frame()?;
                frame.append_records(&records[..len], count)?;
                frame.publish_recorded(number as f64, true)?;
                Ok(())
            })?;
        }
        "publish-in-pieces" => attempt(faulty, || {
            let mut frame = server.begin_frame()?;
            half_and_half(&mut frame, number, || Ok(()))?;
            frame.publish_frame(number as f64)?;
            Ok(())
        })?,
        "publish-when-taken" => attempt(faulty, || {
            let mut frame = server.begin_frame_when_taken(Duration::from_millis(1))?;
            fill(&mut frame, VICTIMS, number)?;
            frame.publish_frame(number as f64)?;
            Ok(())
        })?,
        "abandon" => {
            next = number;
            attempt(faulty, || {
                let mut frame = server.begin_frame()?;
                fill(&mut frame, VICTIMS, 77)?;
                frame.abandon();
                Ok(())
            })?;
        }
        "poll" => {
            next = number;
            let batch = attempt(faulty, || Ok(server.poll_control(16)))?;
            // Another may have come meanwhile.
            let all = !batch.messages.is_empty() && batch.messages.iter().all(|m| m.data == OTHER);
            ensure!(batch.damaged.is_empty() && all, "{batch:?}");
        }
        "wait-for-messages" => {
            next = number;
            let batch = attempt(faulty, || {
                server.poll_control(16);
                Ok(server.wait_control(16, Duration::from_millis(2))?)
            })?;
            ensure!(batch.damaged.is_empty(), "{batch:?}");
        }
        "add-streams" => {
            next = number;
            attempt(faulty, || Ok(server.add_stream(frames::added_stream(ADDED))?))?;
            let directory = Inspector::open(name)?.directory()?;
            ensure!(directory.streams.iter().any(frames::is_added_stream), "the stream is not there");
        }
        "reap" => {
            next = number;
            let reaped = attempt(faulty, || Ok(server.reap_dead_readers()))?;
            ensure!(faulty || reaped.len() == 1, "reaped {reaped:?}");
        }
        "come-back" => {
            next = 0;
            if !attempt(faulty, || or_refused(server.come_back()))?.is_some_and(|back| back) {
                return Ok(REFUSED);
            }
        }
        "end" => {
            let mut server = Some(server);
            attempt(faulty, || {
                drop(server.take());
                Ok(())
            })?;
            return Ok(0);
        }
        _ => bail!("unknown operation {operation:?}"),
    }
    gets_on(&mut server, next, operation == "publish-warm")?;
    Ok(0)
}

/// The server goes on as if nothing had been; no slot is lost but what living readers lease. A `warm` one uses two.
fn gets_on(server: &mut Server, next: u64, warm: bool) -> Result<()> {
    server.reap_dead_readers();
    let mut slots = BTreeSet::new();
    for number in next..next + 2 * u64::from(SLOTS) + 1 {
        slots.insert(publish(server, VICTIMS, number)?);
    }
    let leased: u32 = server.snapshot_readers().iter().map(|r| r.leased_slots).sum();
    ensure!(slots.len() as u32 + leased + u32::from(warm) >= SLOTS, "only {slots:?} were used, {leased} leased");
    ensure!(server.poll_control(16).damaged.is_empty(), "a damaged ring");
    Ok(())
}

/// The records of a frame as a recording has them.
fn records_of(number: u64, out: &mut [u8]) -> Result<usize> {
    let len = frames::len_of(VICTIMS, number, MAX_LEN);
    let mut data = vec![0; len];
    frames::fill(VICTIMS, number, &mut data);
    let mut cursor = shmx::abi::frame::PayloadCursor::new();
    let numbers = [number.to_le_bytes(), u64::from(MAX_LEN).to_le_bytes()].concat();
    cursor.append(out, frames::NUMBER, 2, &numbers).map_err(|e| anyhow::anyhow!("{e}"))?;
    cursor.append(out, frames::DATA, len as u32, &data).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(cursor.used() as usize)
}

/// None if somebody else has the name.
fn or_refused<T>(made: Result<T, CreateError>) -> Result<Option<T>> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(e @ (CreateError::HeldByLiveServer { .. } | CreateError::Contended { .. })) => {
            eprintln!("refused: {e:#}");
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

fn names(operation: &str, name: &str, faulty: bool) -> Result<i32> {
    if operation == "remove" {
        attempt(faulty, || match shmx::remove(name, false) {
            // Somebody has made a new one; what is left tells if nobody has.
            Ok(_) | Err(RemoveError::HeldByLiveServer { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        })?;
        return Ok(0);
    }
    let made = attempt(faulty, || or_refused(config(name).create()))?;
    let Some(mut server) = made else { return Ok(REFUSED) };
    gets_on(&mut server, 0, false)?;
    Ok(0)
}
