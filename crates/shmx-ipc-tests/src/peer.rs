//! The parts that child processes play.

use crate::frames::{self, ADDED, THREAD_SHIFT, Whole};
use crate::opts::Opts;
use anyhow::{Context, Result, bail, ensure};
use shmx::abi::control::RingGeometry;
use shmx::error::{BeginError, OpenError, ReadError, SendError, Void};
use shmx::{Client, Frame, Hold, Inspector, OwnedFrame, Server, Step};
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Frames that a producer publishes even when its time is over before, and the seconds that they may take in all: fewer
/// than its parent waits for its answer.
const ENOUGH: u64 = 100;
const AT_MOST: f64 = 50.0;

/// One frame in so many is written slowly, so that who follows catches up with it while it is written.
const SLOWLY: u64 = 64;

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// True once the parent has closed our stdin (or died).
fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        set.store(true, Ordering::Relaxed);
    });
    flag
}

fn wait_for(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Opens the region, waiting for its server to come.
fn open(name: &str, lease: bool) -> Result<Client> {
    let end = Instant::now() + 20 * SECOND;
    // The one takes a lease on small frames too, the other on none.
    let options = Client::options().hold(if lease { Hold::Lease } else { Hold::Copy }).copy_up_to(0);
    loop {
        match options.open(name) {
            Ok(c) => return Ok(c),
            Err(OpenError::Os(_) | OpenError::ServerGone { .. }) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

pub(crate) fn server(opts: &Opts) -> Result<()> {
    let max_len = opts.num("max-len", 3000_u32)?;
    let config = frames::server(opts.name()?)
        .slots(opts.num("slots", 4)?)
        .reader_slots(opts.num("reader-slots", 16)?)
        .directory_bytes(65536)
        .frame_bytes(max_len + 256);
    let (seed, threads) = (opts.num("seed", 1_u64)?, opts.num("threads", 1_u64)?);
    let frames = opts.num("frames", u64::MAX)?;
    let seconds = opts.num("seconds", 3600.0_f64)?;
    let rate = opts.num("rate", 0.0_f64)?;
    let append_every = opts.num("append-every", u64::MAX)?;
    let piece = opts.num("pieces", 0_usize)?;
    let stop = stop_flag();
    let server = config.create().map(Server::into_shared)?;
    say(&format!("ready session={}", server.session_id()))?;
    let readers = opts.num("await-readers", 0)?;
    while server.readers_connected() < readers && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let (full, added) = (AtomicU64::new(0), AtomicU32::new(0));
    // False while there is no free slot.
    let publish = |number: u64| -> Result<bool> {
        let mut frame = match server.begin_frame() {
            Ok(frame) => frame,
            Err(BeginError::NoFreeSlot { .. }) => {
                full.fetch_add(1, Ordering::Relaxed);
                ensure!(start.elapsed().as_secs_f64() < seconds + 60.0, "no free slot for a minute");
                std::thread::yield_now();
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        };
        let newest = added.load(Ordering::Relaxed).checked_sub(1).map(|n| ADDED + n);
        if piece > 0 && number % 2 == 1 {
            let pause = if number % SLOWLY == 1 { Duration::from_millis(1) } else { Duration::ZERO };
            frames::write_in_pieces(&mut frame, seed, number, max_len, (piece, pause), newest)?;
        } else {
            frames::write(&mut frame, seed, number, max_len, newest)?;
        }
        frame.publish_frame(number as f64)?;
        Ok(true)
    };
    let produce = |thread: u64| -> Result<u64> {
        let mut done = 0;
        while done < frames && !stop.load(Ordering::Relaxed) {
            // The clock is not asked for each frame at full speed.
            if rate > 0.0 || done % 64 == 0 {
                let elapsed = start.elapsed().as_secs_f64();
                if elapsed > seconds && (done > ENOUGH || elapsed > AT_MOST) {
                    break;
                }
            }
            if rate > 0.0 {
                let due = Duration::from_secs_f64(done as f64 / rate);
                std::thread::sleep(due.saturating_sub(start.elapsed()));
            }
            if thread == 0 && done > 0 && done % append_every == 0 {
                let id = ADDED + added.load(Ordering::Relaxed);
                server.add_stream(frames::added_stream(id))?;
                added.fetch_add(1, Ordering::Relaxed);
            }
            done += u64::from(publish(thread << THREAD_SHIFT | done)?);
        }
        Ok(done)
    };
    let mut published = std::thread::scope(|s| {
        let handles: Vec<_> = (0..threads).map(|t| s.spawn(move || produce(t))).collect::<Vec<_>>();
        handles.into_iter().map(|h| h.join().unwrap_or_else(|_| bail!("a producer panicked"))).sum::<Result<u64>>()
    })?;
    if threads > 1 {
        // A thread held up within its last frame publishes it late: with the greatest id, but not the newest, so that
        // who reads only the newest never gets that far. After one frame more the greatest id is the newest again.
        while !publish(threads << THREAD_SHIFT)? {}
        published += 1;
    }
    ensure!(published == server.frames_published(), "{published} published, {} counted", server.frames_published());
    let took = start.elapsed().as_millis();
    drop(server);
    let (full, added) = (full.into_inner(), added.into_inner());
    say(&format!("result published={published} full={full} added={added} ms={took}"))
}

struct Checker {
    seed: u64,
    torn: u64,
    /// Newest number per producer thread.
    newest: HashMap<u64, u64>,
}

impl Checker {
    fn check(&mut self, view: &impl Whole) -> Option<u32> {
        match frames::check(view, self.seed) {
            Ok((number, added)) => {
                let newest = self.newest.entry(number >> THREAD_SHIFT).or_insert(number);
                if number < *newest {
                    eprintln!("frame {}: number {number} after {newest}", view.id());
                    self.torn += 1;
                }
                *newest = number;
                added
            }
            Err(e) => {
                eprintln!("frame {}: {e:#}", view.id());
                self.torn += 1;
                None
            }
        }
    }

    fn check_again(&mut self, view: &OwnedFrame) {
        if let Err(e) = frames::check(view, self.seed) {
            eprintln!("frame {} changed while held: {e:#}", view.frame_id());
            self.torn += 1;
        }
    }
}

/// What was read of frames before they were published.
#[derive(Default)]
struct Begun {
    /// Frames of which there was a part.
    followed: u64,
    torn: u64,
}

/// The next frame in order, read while it is written where that is so.
fn follow<'c>(client: &'c mut Client, seed: u64, begun: &mut Begun) -> Result<Option<Frame<'c>>, ReadError> {
    let Some(mut coming) = client.follow_next(20 * SECOND)? else { return Ok(None) };
    let mut parts = 0;
    loop {
        let step = coming.wait(20 * SECOND);
        if let Err(e) = frames::check_part(&coming, seed) {
            eprintln!("a part: {e:#}");
            begun.torn += 1;
        }
        match step {
            Ok(Step::More) => parts += 1,
            Ok(Step::Whole) => break,
            Ok(_) => return Ok(None),
            Err(Void::ServerGone { end }) => return Err(ReadError::ServerGone { end }),
            Err(void) => {
                eprintln!("{void}");
                begun.torn += 1;
                return Ok(None);
            }
        }
    }
    begun.followed += u64::from(parts > 0);
    match coming.finish(Duration::ZERO) {
        Ok(frame) => Ok(Some(frame)),
        Err(void) => {
            eprintln!("{void}");
            begun.torn += 1;
            Ok(None)
        }
    }
}

pub(crate) fn reader(opts: &Opts) -> Result<()> {
    let name = opts.name()?;
    let mode = opts.text("mode").unwrap_or("wait");
    let keep = opts.num("keep", 0_usize)?;
    let sessions = opts.num("sessions", 1_u32)?;
    let mut checker = Checker { seed: opts.num("seed", 1)?, torn: 0, newest: HashMap::new() };
    // Read before it attaches, so that whatever the producer adds afterwards is growth.
    let inspector = opts.has("directory").then(|| Inspector::open(name)).transpose()?;
    let mut first = inspector.map(|i| i.directory()).transpose()?;
    let mut client = open(name, !opts.has("copy"))?;
    say(&format!("ready index={}", client.reader_index().map_or(-1, i64::from)))?;
    let (mut held, mut lapped, mut looked_up, mut unknown) = (VecDeque::new(), 0_u64, 0_u64, 0_u64);
    let mut begun = Begun::default();
    for session in 1..=sessions {
        let mut directory = first.take().map_or_else(|| client.directory(), Ok)?;
        let (mut gone, mut last) = (false, 0);
        checker.newest.clear();
        loop {
            let taken = match mode {
                "follow" => follow(&mut client, checker.seed, &mut begun),
                "latest" => {
                    // Asked before the look, so that the very last frame is taken too.
                    gone = client.server_end().is_some();
                    client.latest()
                }
                "wait" => client.wait(20 * SECOND),
                "next" => client.next(20 * SECOND),
                other => bail!("unknown mode {other:?}"),
            };
            // While it is borrowed, and again when it was kept for a while.
            let mut checked = |view: Frame<'_>| {
                let known = mode == "latest" && view.frame_id() == last;
                (if known { None } else { checker.check(&view) }, view.keep())
            };
            match taken.map(|found| found.map(&mut checked)) {
                Ok(Some((_, view))) if mode == "latest" && view.frame_id() == last => std::thread::yield_now(),
                Ok(Some((added, view))) => {
                    last = view.frame_id();
                    if let Some(id) = added
                        && opts.has("directory")
                    {
                        if directory.stream(id).is_none() {
                            directory = client.directory()?;
                            looked_up += 1;
                        }
                        unknown += u64::from(!directory.stream(id).is_some_and(frames::is_added_stream));
                    }
                    held.push_back(view);
                    if held.len() > keep
                        && let Some(old) = held.pop_front()
                    {
                        checker.check_again(&old);
                    }
                }
                Ok(None) if mode == "latest" => std::thread::yield_now(),
                Ok(None) => bail!("no frame for 20 seconds"),
                Err(ReadError::Lapped { .. }) => lapped += 1,
                Err(ReadError::ServerGone { .. }) => gone = true,
                Err(
                    e @ (ReadError::Checksum { .. } | ReadError::Oversize { .. } | ReadError::ForeignSession { .. }),
                ) => {
                    eprintln!("{e}");
                    checker.torn += 1;
                }
                Err(e) => return Err(e.into()),
            }
            if gone {
                break;
            }
        }
        held.drain(..).for_each(|v| checker.check_again(&v));
        if session < sessions {
            say(&format!("gone session={}", client.session_id()))?;
            let end = Instant::now() + 20 * SECOND;
            while let Err(e) = client.reopen() {
                ensure!(Instant::now() < end, "reopen: {e}");
                std::thread::sleep(Duration::from_millis(1));
            }
            say(&format!("reopened session={}", client.session_id()))?;
        }
    }
    // Of all sessions together.
    let shmx::ReadStats { delivered, missed, rejected, .. } = client.stats();
    let torn = checker.torn;
    say(&format!(
        "result delivered={delivered} missed={missed} rejected={rejected} torn={} lapped={lapped} \
         looked_up={looked_up} unknown={unknown} followed={}",
        torn + begun.torn,
        begun.followed
    ))
}

pub(crate) fn storm(opts: &Opts) -> Result<()> {
    let name = opts.name()?;
    let mut checker = Checker { seed: opts.num("seed", 1)?, torn: 0, newest: HashMap::new() };
    let (mut slotless, mut delivered) = (0, 0);
    let rounds = opts.num("rounds", 100_u32)?;
    say("ready")?;
    for round in 0..rounds {
        let mut client = Client::options().require_slot(false).open(name)?;
        // The newest frame does not go back for one client; another may be told of it later.
        checker.newest.clear();
        slotless += u32::from(client.reader_index().is_none());
        let view = if round % 3 == 0 { client.next(10 * SECOND) } else { client.latest() };
        let view = view.map(|v| v.map(Frame::keep));
        let view = match view {
            Ok(v) => v,
            Err(ReadError::Lapped { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        // Half of the frames outlive their client.
        if round % 2 == 0 {
            drop(client);
        }
        if let Some(view) = view {
            checker.check(&view);
            delivered += 1;
        }
    }
    say(&format!("result rounds={rounds} slotless={slotless} delivered={delivered} torn={}", checker.torn))
}

/// Length of the body of message `number`.
pub(crate) fn message_len(seed: u64, number: u32, longest: u32) -> usize {
    frames::len_of(seed ^ 0x55, u64::from(number), longest)
}

pub(crate) fn ping(opts: &Opts) -> Result<()> {
    let (count, seed) = (opts.num("count", 1000_u32)?, opts.num("seed", 1_u64)?);
    let stop = stop_flag();
    let client = open(opts.name()?, true)?;
    let longest = RingGeometry::new(client.layout().control_per_reader())
        .and_then(|g| g.longest_message())
        .context("no control ring")?;
    say(&format!("ready index={}", client.reader_index().context("no reader slot")?))?;
    let mut full = 0_u64;
    let mut body = Vec::new();
    for number in 0..count {
        let end = Instant::now() + 50 * SECOND;
        body.resize(message_len(seed, number, longest), 0);
        frames::fill(seed, u64::from(number), &mut body);
        loop {
            match client.control_send(0x3000 + number, &body) {
                Ok(()) => break,
                Err(SendError::Full) => {
                    ensure!(Instant::now() < end, "the ring stays full");
                    full += 1;
                    std::thread::yield_now();
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
    say(&format!("result sent={count} full={full} longest={longest}"))?;
    wait_for(&stop); // what is still in the ring belongs to the reader that is attached
    Ok(())
}

pub(crate) fn hold(opts: &Opts) -> Result<()> {
    let stop = stop_flag();
    let mut client = open(opts.name()?, true)?;
    let index = client.reader_index().context("no reader slot")?;
    say(&format!("ready index={index}"))?;
    let mut held = Vec::new();
    for _ in 0..opts.num("frames", 1)? {
        let view = client.next(20 * SECOND)?.context("no frame")?.keep();
        ensure!(view.is_leased(), "not leased");
        say(&format!("holding slot={}", view.slot()))?;
        held.push(view);
    }
    wait_for(&stop);
    let seed = opts.num("seed", 1)?;
    held.iter().try_for_each(|view| frames::check(view, seed).map(|_| ()))?;
    say(&format!("result unchanged={}", held.len()))
}

pub(crate) fn creator(opts: &Opts) -> Result<()> {
    let stop = stop_flag();
    let config = frames::server(opts.name()?).slots(8).frame_bytes(1 << 16);
    say("ready")?;
    while !stop.load(Ordering::Relaxed) {
        let server = config.create().map(Server::into_shared)?;
        for number in 0..200 {
            let mut frame = server.begin_frame()?;
            frames::write(&mut frame, 1, number, 1000, None)?;
            frame.publish_frame(number as f64)?;
        }
    }
    Ok(())
}
