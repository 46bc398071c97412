//! The parts that are stopped and killed: producers that succeed one another, and readers of every kind.

use crate::chaos::board::{Board, Count, Line};
use crate::chaos::dice::Dice;
use crate::chaos::victim::die_with_parent;
use crate::frames::{self, THREAD_SHIFT, Whole, fill, matches, mix};
use crate::opts::Opts;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shmx::error::{BeginError, CreateError, OpenError, ReadError, SendError, Void};
use shmx::{Client, Hold, OwnedFrame, Server, ServerBuilder, SharedServer, Step, WaitSet};
use shmx_os::WaitFdKind;
use shmx_os::clock::ticks;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_micros(300);
/// Type of the control messages.
const NOTE: u32 = 0x3001;

/// `chaos-part ROLE NAME --board NAME --line N --seed N ...`
pub(crate) fn run(role: &str, opts: &Opts) -> Result<()> {
    die_with_parent()?;
    let board = Board::open(opts.text("board").context("--board")?)?;
    let line = board.line(opts.num("line", 0)?)?;
    let dice = Dice::new(opts.num("seed", 1)?);
    line.set(Count::Session, 0);
    match role {
        "producer" => producer(opts, line, dice),
        _ => Reader { line, dice, mode: role.to_owned(), threads: opts.num("threads", 1)? }.run(opts.name()?),
    }
}

/// Reports what nothing explains.
fn unexpected(line: Line<'_>, what: &str, e: &dyn std::fmt::Display) {
    eprintln!("unexpected, process {}: {what}: {e}", std::process::id());
    line.add(Count::Unexpected, 1);
}

// ---------------------------------------------------------------------------------------------------- producers

pub(crate) fn config(opts: &Opts) -> Result<ServerBuilder> {
    let max_len = opts.num("max-len", 3000_u32)?;
    Ok(frames::server(opts.name()?)
        .slots(opts.num("slots", 4)?)
        .reader_slots(opts.num("reader-slots", 16)?)
        .control_bytes(opts.num("control", 4096)?)
        .frame_bytes(max_len + 256))
}

fn producer(opts: &Opts, line: Line<'_>, mut dice: Dice) -> Result<()> {
    let config = config(opts)?;
    let max_len = opts.num("max-len", 3000_u32)?;
    let threads = opts.num("threads", 1_u64)?;
    let burst = opts.num("burst", 60_u64)?;
    while line.turn() {
        match config.create().map(Server::into_shared) {
            Ok(server) => {
                line.set(Count::Session, server.session_id());
                line.add(Count::Sessions, 1);
                let added = AtomicU32::new(0);
                std::thread::scope(|s| {
                    for thread in 1..threads {
                        let (server, dice, added) = (&server, Dice::new(dice.next()), &added);
                        let work = Work { max_len, burst, thread, added };
                        s.spawn(move || produce(server, line, dice, &work));
                    }
                    produce(&server, line, dice.clone(), &Work { max_len, burst, thread: 0, added: &added });
                });
                line.set(Count::Session, 0);
            }
            Err(CreateError::HeldByLiveServer { .. } | CreateError::Contended { .. }) => {
                line.add(Count::Refused, 1);
                std::thread::sleep(PAUSE);
            }
            Err(e) => {
                unexpected(line, "create", &e);
                std::thread::sleep(PAUSE);
            }
        }
    }
    Ok(())
}

/// What one thread of a producer does.
struct Work<'a> {
    max_len: u32,
    burst: u64,
    thread: u64,
    /// Streams that were added.
    added: &'a AtomicU32,
}

/// Publishes in bursts until told to end; the first thread also hears and reaps readers.
fn produce(server: &SharedServer, line: Line<'_>, mut dice: Dice, work: &Work<'_>) {
    let Work { max_len, burst, thread, added } = *work;
    let session = server.session_id();
    let mut number = thread << THREAD_SHIFT;
    let mut heard = HashMap::new();
    let mut reaped = Instant::now();
    while line.turn() {
        for _ in 0..dice.below(burst) {
            // Before the frame, which knows the directory as it is when it begins.
            let newest = added.load(Ordering::Relaxed).checked_sub(1).map(|n| frames::ADDED + n);
            let mut frame = match server.begin_frame() {
                Ok(frame) => frame,
                Err(BeginError::NoFreeSlot { .. }) => {
                    line.add(Count::Full, 1);
                    break;
                }
                Err(e) => return unexpected(line, "begin_frame", &e),
            };
            if dice.one_in(40) {
                frame.abandon();
                continue;
            }
            let begun = if dice.one_in(2) {
                frames::write(&mut frame, session, number, max_len, newest)
            } else {
                let bits = 4 + dice.below(12);
                let piece = 1 + dice.below(1 << bits) as usize;
                frames::write_in_pieces(&mut frame, session, number, max_len, (piece, Duration::ZERO), newest)
            };
            if dice.one_in(40) {
                frame.abandon();
                continue;
            }
            let written = begun.and_then(|()| Ok(frame.publish_frame(number as f64)?));
            match written {
                Ok(_) => line.add(Count::Frames, 1),
                Err(e) => return unexpected(line, "publish", &e),
            }
            number += 1;
        }
        if thread == 0 {
            hear(server, line, &mut heard);
            if reaped.elapsed() > Duration::from_millis(2) {
                line.add(Count::Reaped, server.reap_dead_readers().len() as u64);
                reaped = Instant::now();
            }
            if dice.one_in(50) {
                let next = added.load(Ordering::Relaxed);
                // An error means that the directory is full.
                if server.add_stream(frames::added_stream(frames::ADDED + next)).is_ok() {
                    added.store(next + 1, Ordering::Relaxed);
                }
            }
        }
        std::thread::sleep(dice.micros(1500));
    }
}

/// Every message must be whole, and in order without a gap for each sender.
fn hear(server: &SharedServer, line: Line<'_>, heard: &mut HashMap<u64, u64>) {
    let batch = server.poll_control(1000);
    for d in &batch.damaged {
        eprintln!("damaged ring: {d:?}");
        line.add(Count::BadMessages, 1);
    }
    for m in batch.messages {
        let word = |at: usize| m.data.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let (Some(sender), Some(number)) = (word(0), word(8)) else {
            line.add(Count::BadMessages, 1);
            continue;
        };
        let expected = heard.entry(sender).or_insert(0);
        if m.ty == NOTE && number == *expected && note(sender, number, NOTE_LEN) == m.data {
            line.add(Count::Messages, 1);
        } else {
            eprintln!("message {number} of sender {sender:#x} with {} bytes, {expected} expected", m.data.len());
            line.add(Count::BadMessages, 1);
        }
        *expected = number + 1;
    }
}

/// Longest message of an actor, less its first two words.
const NOTE_LEN: u32 = 60;

/// Body of a sender's message: both, and up to `longest` bytes that follow from them.
pub(crate) fn note(sender: u64, number: u64, longest: u32) -> Vec<u8> {
    let mut body = vec![0; 16 + frames::len_of(sender, number, longest)];
    body[..8].copy_from_slice(&sender.to_le_bytes());
    body[8..16].copy_from_slice(&number.to_le_bytes());
    fill(sender, number, &mut body[16..]);
    debug_assert!(matches(sender, number, &body[16..]));
    body
}

// ------------------------------------------------------------------------------------------------------ readers

struct Reader<'a> {
    line: Line<'a>,
    dice: Dice,
    mode: String,
    threads: u64,
}

/// What a reader sleeps on.
enum Bed {
    /// The client's own wait.
    Own,
    Descriptor,
    Set(WaitSet),
}

/// Longest sleep before an actor shows that it gets on.
const NIGHT: Duration = Duration::from_millis(100);

impl Bed {
    /// Sleeps here if the client is not to. How long the client's own wait may take then.
    fn sleep(&mut self, client: &mut Client) -> Duration {
        match self {
            Self::Own => return NIGHT,
            Self::Descriptor => {
                if let Ok(fd) = client.wait_fd() {
                    let night = Timespec { tv_sec: 0, tv_nsec: NIGHT.as_nanos() as i64 };
                    // Interrupted is awake, too.
                    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&night));
                }
            }
            Self::Set(set) => _ = set.wait(NIGHT),
        }
        Duration::ZERO
    }
}

impl Reader<'_> {
    fn run(mut self, name: &str) -> Result<()> {
        if !["latest", "wait", "next", "all", "copy", "hold", "control", "storm", "fd", "set", "follow"]
            .contains(&self.mode.as_str())
        {
            bail!("unknown part {:?}", self.mode);
        }
        while self.line.turn() {
            let hold = match self.mode.as_str() {
                "copy" => Hold::Copy,
                "hold" => Hold::Lease,
                _ if self.dice.one_in(2) => Hold::Lease,
                _ => Hold::Auto,
            };
            // Small frames by lease as well, or copied as they are by default.
            let mut options = Client::options().hold(hold).require_slot(false);
            if self.mode == "hold" || self.dice.one_in(2) {
                options = options.copy_up_to(0);
            }
            match options.open(name) {
                Ok(client) => self.attached(client),
                Err(OpenError::Os(_) | OpenError::ServerGone { .. }) => std::thread::sleep(PAUSE),
                Err(e) => {
                    unexpected(self.line, "open", &e);
                    std::thread::sleep(PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Reads until the session ends.
    fn attached(&mut self, mut client: Client) {
        let line = self.line;
        line.add(Count::Sessions, 1);
        line.add(Count::Slotless, u64::from(client.reader_index().is_none()));
        let mut held: VecDeque<(OwnedFrame, Instant)> = VecDeque::new();
        let mut last = 0;
        let mut sent = (mix(self.dice.next()), 0);
        let Some(mut bed) = self.bed(&mut client) else { return };
        while line.turn() {
            let session = client.session_id();
            let patience = if self.mode == "all" { Duration::ZERO } else { bed.sleep(&mut client) };
            // Frames that are kept, and borrowed ones.
            let taken = if self.mode == "follow" && !self.dice.one_in(4) {
                self.follow(&mut client, last)
            } else if self.dice.one_in(3) {
                let polled = matches!(self.mode.as_str(), "latest" | "storm");
                let in_order = !polled && (self.mode == "all" || self.dice.one_in(2));
                let lent = match (polled, in_order) {
                    (true, _) => client.latest(),
                    (_, true) => client.next(patience),
                    _ => client.wait(patience),
                };
                lent.map(|frame| {
                    let frame = frame?;
                    self.check(session, &frame, last, in_order);
                    if self.dice.one_in(8) {
                        self.check_again(&frame);
                    }
                    Some(frame.frame_id())
                })
            } else {
                let polled = matches!(self.mode.as_str(), "latest" | "storm");
                let ordered = matches!(self.mode.as_str(), "next" | "all" | "control");
                let in_order = ordered || (!polled && self.dice.one_in(2));
                let kept = match (polled, in_order) {
                    (true, _) => client.latest(),
                    (_, true) => client.next(if ordered { 3 * patience } else { patience }),
                    _ => client.wait(patience),
                };
                kept.map(|view| {
                    let view = view?;
                    let id = view.frame_id();
                    self.check(session, &view, last, in_order);
                    if self.mode == "hold" {
                        held.push_back((view.keep(), Instant::now() + self.dice.micros(15_000)));
                    } else if self.dice.one_in(8) {
                        self.check_again(&view);
                    }
                    Some(id)
                })
            };
            let mut over = false;
            match taken {
                Ok(Some(id)) => last = id,
                Ok(None) if self.mode == "all" => std::thread::sleep(self.dice.micros(3000)),
                Ok(None) => {}
                Err(ReadError::Lapped { .. }) => line.add(Count::Lapped, 1),
                Err(ReadError::ServerGone { .. }) => over = true,
                Err(e) => self.refused(&e),
            }
            while held.len() > 1 || held.front().is_some_and(|(_, until)| Instant::now() > *until) {
                if let Some((view, until)) = held.pop_front() {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    self.check_again(&view);
                }
            }
            if self.dice.one_in(200) && client.directory().is_err() {
                line.add(Count::HalfDirectory, 1);
            }
            match self.mode.as_str() {
                "storm" => break,
                "control" => over |= self.send(&client, &mut sent),
                "latest" => {
                    over |= client.server_end().is_some();
                    std::thread::sleep(self.dice.micros(300));
                }
                _ => {}
            }
            if over {
                line.set(Count::GoneSession, client.session_id());
                break;
            }
        }
        held.iter().for_each(|(view, _)| self.check_again(view));
        line.set(Count::Session, 0);
    }

    /// Reads a frame while it is written, to its end or not.
    fn follow(&mut self, client: &mut Client, last: u64) -> Result<Option<u64>, ReadError> {
        let (line, session) = (self.line, client.session_id());
        let in_order = self.dice.one_in(2);
        let found = if in_order { client.follow_next(NIGHT)? } else { client.follow(NIGHT)? };
        let Some(mut coming) = found else { return Ok(None) };
        let (mut open, mut looked) = (false, Instant::now());
        let mut there = 0;
        let end = loop {
            let step = match coming.wait(NIGHT) {
                Ok(step) => step,
                Err(void) => break Err(void),
            };
            match frames::check_part(&coming, session) {
                Ok(now) if now >= there => there = now,
                Ok(now) => {
                    eprintln!("{there} bytes, then {now}");
                    line.add(Count::Torn, 1);
                }
                Err(e) => {
                    eprintln!("a part: {e:#}");
                    line.add(Count::Torn, 1);
                }
            }
            match step {
                Step::Whole => break Ok(()),
                Step::More => (open, looked) = (true, Instant::now()),
                // Its producer stands still, or is dead and not known to be.
                _ if !line.turn() || looked.elapsed() > 10 * NIGHT => return Ok(None),
                _ => {}
            }
            if self.dice.one_in(100) {
                return Ok(None);
            }
        };
        match end.and_then(|()| coming.finish(Duration::ZERO)) {
            Ok(frame) => {
                line.add(Count::Followed, u64::from(open));
                self.check(session, &frame, last, in_order);
                Ok(Some(frame.frame_id()))
            }
            Err(Void::ServerGone { end }) => {
                line.add(Count::Void, 1);
                Err(ReadError::ServerGone { end })
            }
            Err(Void::Abandoned) => {
                line.add(Count::Void, 1);
                Ok(None)
            }
            Err(Void::Read(e)) => Err(e),
            Err(void) => {
                eprintln!("a followed frame: {void}");
                line.add(Count::Torn, 1);
                Ok(None)
            }
        }
    }

    /// Where a reader of this mode sleeps.
    fn bed(&mut self, client: &mut Client) -> Option<Bed> {
        let made = match self.mode.as_str() {
            "fd" => {
                let kind = if self.dice.one_in(2) { WaitFdKind::IoUring } else { WaitFdKind::Thread };
                let first = client.wait_fd_of_kind(kind).map(|_| ());
                first.or_else(|_| client.wait_fd().map(|_| ())).map(|()| Bed::Descriptor)
            }
            "set" => WaitSet::new().map(|mut set| {
                set.add(client);
                Bed::Set(set)
            }),
            _ => return Some(Bed::Own),
        };
        made.map_err(|e| unexpected(self.line, "wait", &e)).ok()
    }

    fn refused(&self, e: &ReadError) {
        match e {
            ReadError::Checksum { .. } | ReadError::Oversize { .. } | ReadError::ForeignSession { .. } => {
                eprintln!("process {}: {e}", std::process::id());
                self.line.add(Count::Torn, 1);
            }
            e => unexpected(self.line, "read", e),
        }
    }

    /// `last` is the id of the reader's frame before; `in_order` says how this one was taken.
    fn check(&self, session: u64, view: &impl Whole, last: u64, in_order: bool) {
        let (line, id) = (self.line, view.id());
        if id == last {
            return; // the newest frame once more
        }
        match frames::check(view, session) {
            Ok((number, _)) if self.threads > 1 || number + 1 == id => {}
            Ok((number, _)) => {
                eprintln!("frame {id} carries number {number}");
                line.add(Count::Torn, 1);
            }
            Err(e) => {
                eprintln!("frame {id}, leased {}: {e:#}", view.leased());
                line.add(Count::Torn, 1);
            }
        }
        // Kept over the reader's death: its successor must not see an older frame.
        // Of several producing threads one may publish late a frame that it has claimed early: it has the greater id, and
        // is there for who takes each in order, but the newest frame is another.
        let (before, last) = if in_order || self.threads == 1 { (Count::LastId, last) } else { (Count::LastNewest, 0) };
        if line.get(Count::LastSession) == session && id < line.get(before).max(last) {
            eprintln!("{}: frame {id} after {} and {last}", self.mode, line.get(before));
            line.add(Count::Backwards, 1);
        }
        if line.get(Count::LastSession) != session {
            line.set(Count::LastNewest, 0);
        }
        line.set(Count::LastId, id);
        if !in_order {
            line.set(Count::LastNewest, id);
        }
        line.set(Count::LastSession, session);
        if line.get(Count::Session) != session {
            line.set(Count::FirstAt, ticks());
            line.set(Count::Session, session);
        }
        line.add(Count::Bytes, view.bytes().len() as u64);
        line.add(Count::Frames, 1);
    }

    fn check_again(&self, view: &impl Whole) {
        if let Err(e) = frames::check(view, view.session()) {
            eprintln!("frame {} changed while held: {e:#}", view.id());
            self.line.add(Count::Torn, 1);
        }
        self.line.add(Count::Held, 1);
    }

    /// Whether it was told that the server is gone.
    fn send(&self, client: &Client, sent: &mut (u64, u64)) -> bool {
        for _ in 0..3 {
            match client.control_send(NOTE, &note(sent.0, sent.1, NOTE_LEN)) {
                Ok(()) => {
                    sent.1 += 1;
                    self.line.add(Count::Messages, 1);
                }
                Err(SendError::Full | SendError::NoReaderSlot { .. }) => return false,
                Err(SendError::ServerGone { .. }) => return true,
                Err(e) => {
                    unexpected(self.line, "send", &e);
                    return false;
                }
            }
        }
        false
    }
}
