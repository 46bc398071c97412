//! Producers that wait until readers have taken what they overwrite, with readers that stall, stop, come and die.
#![cfg(target_os = "linux")]

#[path = "../examples/lossless_producer.rs"]
mod lossless_producer;
#[path = "../examples/lossless_reader.rs"]
mod lossless_reader;

use crate::common::{LIMIT, Other, WORDS, publish, serve, this_program, unique, within_limit};
use rustix::process::{Pid, Signal, kill_process};
use shmx::error::{BeginError, Laggard, ReadError, ReaderState};
use shmx::{Client, Hold, Server, SharedServer, Start, Tap, Verify};
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Says in a child what it does, and where.
const PART: &str = "SHMX_TEST_PART";
const REGION: &str = "SHMX_TEST_REGION";
const SEED: &str = "SHMX_TEST_SEED";

/// A reader process that ends with 0 once the server is gone and it has missed nothing.
fn reader(name: &str, part: &str, seed: u64) -> Child {
    let mut command = this_program();
    command.args(["lossless::a_reader_in_another_process", "--exact", "--nocapture"]).stdout(Stdio::null());
    command.env(PART, part).env(REGION, name).env(SEED, seed.to_string()).spawn().unwrap()
}

/// Not a test by itself.
#[test]
fn a_reader_in_another_process() {
    let Ok(part) = std::env::var(PART) else { return };
    let name = std::env::var(REGION).unwrap();
    let mut dice: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let hold = if roll(2) == 0 { Hold::Lease } else { Hold::Copy };
    let start = if roll(2) == 0 { Start::Newest } else { Start::Oldest };
    let mut client = Client::options().every_frame(true).hold(hold).start(start).open_within(&name, LIMIT).unwrap();
    let mut last = None;
    loop {
        let frame = match client.next(LIMIT) {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("nothing came after {last:?}"),
            Err(ReadError::ServerGone { .. }) => break,
            Err(e) => panic!("{e}"),
        };
        let id = frame.frame_id();
        assert!(last.is_none_or(|last| id == last + 1), "{id} after {last:?}");
        assert_eq!(frame.missed_before(), 0);
        let words = frame.stream(WORDS.id()).unwrap().unwrap().data.to_vec();
        assert!(words.chunks(8).all(|w| w == &words[..8]), "torn");
        last = Some(id);
        match (part.as_str(), roll(200)) {
            ("stalling", 0) => std::thread::sleep(Duration::from_micros(roll(5000))),
            ("stalling", 1) => (0..roll(20_000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
    assert_eq!((client.stats().missed, client.stats().rejected), (0, 0));
    assert!(client.stats().delivered > 0);
}

fn send(server: &SharedServer, value: u64) -> u64 {
    let mut frame = server.begin_frame_when_taken(LIMIT).unwrap();
    frame.append_stream(WORDS, &[value; 50]).unwrap();
    frame.publish_frame(0.0).unwrap()
}

fn attached(server: &Server) -> usize {
    server.snapshot_readers().iter().filter(|r| r.reader_id != 0).count()
}

fn ends_well(mut child: Child) {
    let mut status = None;
    let ended = within_limit(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(status.is_some_and(|s| s.success()), "{status:?}");
}

#[test]
fn readers_that_stall_and_come_at_any_moment_miss_nothing() {
    let (server, name) = serve("stalls", 4);
    let server = server.into_shared();
    let mut readers: Vec<_> = (1..=2).map(|seed| reader(&name, "stalling", seed * 7919)).collect();
    assert!(within_limit(|| attached(&server) == 2));
    let sent = AtomicU64::new(0);
    // Frames go on for as long as it takes the others to come, so that each attaches while the ring is in use.
    let done = |n: u64| n >= 20_000 && attached(&server) == 5;
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !done(sent.load(Ordering::Relaxed)) {
                    send(&server, 1);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for seed in 3..=5 {
            let target = (seed - 2) * 2000;
            assert!(within_limit(|| sent.load(Ordering::Relaxed) > target));
            readers.push(reader(&name, "stalling", seed * 7919));
        }
    });
    let last = server.frames_published();
    server.wait_taken(last, LIMIT).unwrap();
    assert!(server.snapshot_readers().iter().filter(|r| r.in_use).all(|r| r.last_frame_seen == last));
    drop(server);
    readers.into_iter().for_each(ends_well);
}

/// Not a test by itself.
#[test]
fn one_of_the_examples() {
    match std::env::var(PART).as_deref() {
        Ok("example producer") => lossless_producer::main().unwrap(),
        Ok("example reader") => lossless_reader::main().unwrap(),
        _ => {}
    }
}

/// One of the examples; its arguments are filters to the test harness, too.
fn example(part: &str, arguments: &[&str], out: Stdio) -> Child {
    let mut command = this_program();
    command.args(arguments).args(["lossless::one_of_the_examples", "--exact", "--nocapture"]).env(PART, part);
    command.stdout(out).spawn().unwrap()
}

/// The examples: one reader is stopped and goes on at random, others beside it are killed.
#[test]
fn the_examples_lose_nothing_under_stalls_and_kills() {
    const FRAMES: u64 = 30_000;
    let name = unique("pair");
    let mut watched = example("example reader", &[&name], Stdio::piped());
    let pid = Pid::from_raw(watched.id() as i32).unwrap();
    let producer = example("example producer", &[&name, &FRAMES.to_string()], Stdio::null());
    let mut tap = None;
    assert!(within_limit(|| {
        tap = Tap::open(&name).ok();
        tap.is_some()
    }));
    let tap = tap.unwrap();
    // It waits for its first reader.
    assert!(within_limit(|| tap.header().frame_seq > 0));
    let mut dice = fastrand::Rng::with_seed(5);
    for target in (1..10).map(|i| i * FRAMES / 10) {
        // Beside it, to be killed before, while or after it attaches.
        let mut victim = example("example reader", &[&name], Stdio::null());
        let goes_on = within_limit(|| tap.header().frame_seq >= target);
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(Duration::from_micros(dice.u64(..20_000)));
        kill_process(pid, Signal::CONT).unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(goes_on, "the producer stands still before frame {target}");
    }
    let mut said = String::new();
    watched.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    ends_well(watched);
    ends_well(producer);
    let sum: u64 = (0..FRAMES).sum();
    assert!(said.contains(&format!("{FRAMES} taken, 0 missed, sum {sum}")), "{said}");
}

#[test]
fn a_stopped_reader_is_named_and_a_killed_one_holds_nobody_up() {
    let (mut server, name) = serve("stopped", 2);
    let mut child = reader(&name, "steady", 3);
    assert!(within_limit(|| attached(&server) == 1));
    for value in 0..100 {
        let mut frame = server.begin_frame_when_taken(LIMIT).unwrap();
        frame.append_stream(WORDS, &[value; 50]).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(within_limit(|| shmx_os::process_is_stopped(child.id()) == Some(true)));
    let patience = Duration::from_millis(150);
    let end = Instant::now() + LIMIT;
    let (laggards, waited) = loop {
        let start = Instant::now();
        assert!(start < end, "a stopped reader holds nobody up");
        match server.begin_frame_when_taken(patience) {
            Ok(mut frame) => {
                frame.append_stream(WORDS, &[7; 50]).unwrap();
                frame.publish_frame(0.0).unwrap();
            }
            Err(BeginError::NotTaken { laggards, .. }) => break (laggards, start.elapsed()),
            Err(e) => panic!("{e}"),
        }
    };
    assert!(waited >= patience && waited < LIMIT);
    let [Laggard { pid: Some(pid), state: ReaderState::Stopped, last_taken, .. }] = laggards[..] else {
        panic!("{laggards:?}")
    };
    assert_eq!(pid, child.id());
    let published = server.frames_published();
    assert!(last_taken < published);
    let late = server.wait_taken(published, Duration::ZERO).unwrap_err();
    assert!(late.to_string().contains("stopped"), "{late}");
    // A plain frame waits for nobody.
    assert!(server.begin_frame().is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(server.begin_frame_when_taken(LIMIT).is_ok());
    server.wait_taken(published, Duration::ZERO).unwrap();
}

#[test]
fn readers_killed_and_stopped_at_any_moment_cost_the_others_no_frame() {
    const ROUNDS: u64 = 12;
    let (server, name) = serve("kills", 4);
    let server = server.into_shared();
    let watcher = reader(&name, "steady", 11);
    assert!(within_limit(|| attached(&server) == 1));
    let (sent, rounds) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while rounds.load(Ordering::Relaxed) < ROUNDS {
                    // No victim holds it up for as long as that.
                    send(&server, 1);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..ROUNDS {
            let mut victim = reader(&name, "stalling", 101 + round);
            let pid = Pid::from_raw(victim.id() as i32).unwrap();
            let is_in = || server.snapshot_readers().iter().any(|r| r.extension.is_some_and(|e| e.pid == victim.id()));
            // Some are hit before they are attached, some while they attach, some later.
            let reached = match round % 3 {
                0 => true,
                1 => within_limit(is_in),
                _ => {
                    within_limit(is_in)
                        && within_limit({
                            let target = sent.load(Ordering::Relaxed) + 50 * round;
                            let sent = &sent;
                            move || sent.load(Ordering::Relaxed) > target
                        })
                }
            };
            if round % 2 == 1 {
                kill_process(pid, Signal::STOP).unwrap();
                let stopped = within_limit(|| shmx_os::process_is_stopped(victim.id()) == Some(true));
                assert!(stopped);
            }
            victim.kill().unwrap();
            victim.wait().unwrap();
            // Frames go on without it.
            let target = sent.load(Ordering::Relaxed) + 100;
            let goes_on = within_limit(|| sent.load(Ordering::Relaxed) > target);
            rounds
                .store(if round + 1 == ROUNDS || !goes_on || !reached { ROUNDS } else { round + 1 }, Ordering::Relaxed);
            assert!(goes_on && reached);
        }
    });
    assert!(within_limit(|| {
        let _ = server.reap_dead_readers();
        attached(&server) == 1
    }));
    server.wait_taken(server.frames_published(), LIMIT).unwrap();
    drop(server);
    ends_well(watcher);
}

#[test]
fn a_slow_reader_is_told_from_a_stopped_one() {
    let (mut server, name) = serve("slow", 3);
    let mut slow = Client::options().every_frame(true).hold(Hold::Lease).open(&name).unwrap();
    let _plain = Client::open(&name).unwrap();
    (0..3).for_each(|v| {
        let mut frame = server.begin_frame_when_taken(Duration::ZERO).unwrap();
        frame.append_stream(WORDS, &[v; 50]).unwrap();
        frame.publish_frame(0.0).unwrap();
    });
    let refused = server.begin_frame_when_taken(Duration::ZERO).map(drop).expect_err("it wants frame 1");
    let text = refused.to_string();
    assert!(
        text.starts_with("1 reader wants every frame and has not taken frame 1 (") && text.ends_with("end it"),
        "{text}"
    );
    let BeginError::NotTaken { frame_id: 1, laggards } = refused else { panic!("{refused:?}") };
    let [Laggard { index, pid, state, last_taken: 0, .. }] = laggards[..] else { panic!("{laggards:?}") };
    let own = Some(std::process::id());
    assert_eq!((Some(index), pid, state), (slow.reader_index(), own, ReaderState::Live));
    assert_eq!(server.snapshot_readers()[index as usize].extension.map(|e| e.every_frame), Some(true));
    let held = slow.next(LIMIT).unwrap().unwrap();
    assert_eq!(held.frame_id(), 1);
    // Frame 1 is taken, and still held.
    let refused = server.begin_frame_when_taken(Duration::ZERO);
    assert!(matches!(refused, Err(BeginError::NotTaken { frame_id: 2, .. })), "{refused:?}");
    drop(refused);
    drop(held);
    assert_eq!(slow.next(LIMIT).unwrap().unwrap().frame_id(), 2);
    let frame = server.begin_frame_when_taken(Duration::ZERO).unwrap();
    assert_ne!(frame.slot(), 2, "frame 3 is still wanted");
    frame.abandon();
    // A plain frame overwrites what is wanted, and the reader counts it.
    (0..9).for_each(|v| _ = publish(&mut server, v));
    while slow.next(Duration::ZERO).unwrap().is_some() {}
    assert!(slow.stats().missed > 0);
    assert_eq!(slow.stats().missed + slow.stats().delivered, 12);
    server.wait_taken(12, Duration::ZERO).unwrap();
}

#[test]
fn rejected_and_lost_frames_hold_nobody_up() {
    let (mut server, name) = serve("rejected", 2);
    let options = Client::options().every_frame(true).verify(Verify::Always);
    let mut client = options.open(&name).unwrap();
    (0..2).for_each(|v| _ = publish(&mut server, v));
    let other = Other::of(&server);
    (0..2).for_each(|i| _ = other.slot(i).checksum.fetch_xor(1, Ordering::Relaxed));
    assert!(matches!(client.next(LIMIT), Err(ReadError::Checksum { frame_id: 1, .. })));
    assert!(server.begin_frame_when_taken(Duration::ZERO).is_ok());
    assert!(matches!(client.next(LIMIT), Err(ReadError::Checksum { frame_id: 2, .. })));
    server.wait_taken(2, Duration::ZERO).unwrap();
    // Lost: claimed by a plain frame that is never published.
    publish(&mut server, 3);
    let lost = [server.begin_frame().unwrap().slot()];
    assert_eq!(lost.len(), 1);
    while client.next(Duration::ZERO).unwrap().is_some() {}
    server.wait_taken(3, LIMIT).unwrap();
}

#[test]
fn a_reader_that_has_just_come_loses_nothing_that_is_there() {
    let (mut server, name) = serve("comes", 4);
    (0..10).for_each(|v| _ = publish(&mut server, v));
    for (start, first) in [(Start::Oldest, 7), (Start::Newest, 10)] {
        let mut client = Client::options().every_frame(true).start(start).open(&name).unwrap();
        let index = client.reader_index().unwrap();
        assert_eq!(server.snapshot_readers()[index as usize].last_frame_seen, first - 1);
        let refused = server.begin_frame_when_taken(Duration::ZERO);
        let taken_before = matches!(refused, Ok(ref frame) if frame.slot() == 2);
        // From the newest on, the older ones may be overwritten.
        assert_eq!(taken_before, first == 10, "{refused:?}");
        drop(refused);
        assert_eq!(client.next(LIMIT).unwrap().unwrap().frame_id(), first);
    }
    // What is being written counts neither as there nor as missed. Frame 7 went with a frame that was not published.
    let session_id = server.session_id();
    let server = server.into_shared();
    let writing = server.begin_frame().unwrap();
    let options = Client::options().every_frame(true);
    let mut client = options.clone().start(Start::Oldest).open(&name).unwrap();
    assert_eq!(client.next(LIMIT).unwrap().unwrap().frame_id(), 9);
    let after = Start::After { session_id, frame_id: 4 };
    let mut resumed = options.start(after).open(&name).unwrap();
    assert_eq!(resumed.next(LIMIT).unwrap().unwrap().frame_id(), 9);
    assert_eq!((client.stats().missed, resumed.stats().missed), (0, 4));
    drop(writing);
}

#[test]
fn everybody_is_waited_for_if_asked() {
    let (mut server, name) = serve("everybody", 3);
    let mut plain = Client::open(&name).unwrap();
    publish(&mut server, 1);
    server.wait_taken(1, Duration::ZERO).unwrap();
    let Err(BeginError::NotTaken { frame_id: 1, laggards }) = server.wait_taken_by_all(1, Duration::from_millis(2))
    else {
        panic!("nobody has taken it")
    };
    assert_eq!(laggards.len(), 1);
    std::thread::scope(|s| {
        let waits = s.spawn(|| server.wait_taken_by_all(1, LIMIT));
        assert_eq!(plain.next(LIMIT).unwrap().unwrap().frame_id(), 1);
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn a_reader_that_leaves_lets_the_producer_go() {
    let (server, name) = serve("leaves", 2);
    let server = server.into_shared();
    let client = Client::options().every_frame(true).open(&name).unwrap();
    (0..2).for_each(|v| _ = send(&server, v));
    std::thread::scope(|s| {
        let waits = s.spawn(|| send(&server, 2));
        let asleep = shmx::abi::extension::SERVER_WAITS;
        assert!(within_limit(|| server.header().ext_more & asleep != 0));
        drop(client);
        assert_eq!(waits.join().unwrap(), 3);
    });
}

#[test]
fn without_readers_nobody_is_waited_for() {
    let name = unique("none");
    let mut server = Server::builder(&name).slots(1).reader_slots(0).stream(WORDS, 50).create().unwrap();
    for value in 0..3 {
        let mut frame = server.begin_frame_when_taken(Duration::ZERO).unwrap();
        frame.append_stream(WORDS, &[value; 50]).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    server.wait_taken(3, Duration::ZERO).unwrap();
    server.wait_taken_by_all(3, Duration::ZERO).unwrap();
}

/// Frames of 4 KiB and a reader in another process: what waiting costs where it never has to wait, against publishing
/// without; and a million frames past a reader that stalls. `--release -- --ignored --nocapture`
#[test]
#[ignore = "figures; takes a minute"]
fn figures() {
    const BURST: usize = 32;
    let payload = [7_u64; 512];
    let name = unique("figures");
    let mut server = Server::builder(&name).slots(64).stream(WORDS, 512).create().unwrap();
    let child = reader(&name, "steady", 5);
    assert!(within_limit(|| attached(&server) == 1));
    let mut spent = [Vec::new(), Vec::new()];
    for round in 0..20_000 {
        let waits = round % 2;
        let start = Instant::now();
        for _ in 0..BURST {
            let frame = if waits == 1 { server.begin_frame_when_taken(LIMIT) } else { server.begin_frame() };
            let mut frame = frame.unwrap();
            frame.append_stream(WORDS, &payload).unwrap();
            frame.publish_frame(0.0).unwrap();
        }
        spent[waits].push(start.elapsed());
        // The reader has taken all, so that there is room for the next burst.
        server.wait_taken(server.frames_published(), LIMIT).unwrap();
    }
    let [plain, waiting] = spent.map(|mut times| {
        times.sort_unstable();
        [times.len() / 4, times.len() / 2].map(|i| times[i].as_secs_f64() * 1e9 / BURST as f64)
    });
    for (what, i) in [("lower quartile", 0), ("median", 1)] {
        println!(
            "a frame, {what}: {:.0} ns plain, {:.0} ns when taken, {:.3}",
            plain[i],
            waiting[i],
            waiting[i] / plain[i]
        );
    }
    drop(server);
    ends_well(child);

    let name = unique("figures");
    let mut server = Server::builder(&name).stream(WORDS, 512).create().unwrap();
    let child = reader(&name, "stalling", 5);
    assert!(within_limit(|| attached(&server) == 1));
    let start = Instant::now();
    for _ in 0..1_000_000 {
        let mut frame = server.begin_frame_when_taken(LIMIT).unwrap();
        frame.append_stream(WORDS, &payload).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    server.wait_taken(1_000_000, LIMIT).unwrap();
    let missed: u64 = server.snapshot_readers().iter().filter_map(|r| r.extension).map(|e| e.missed).sum();
    println!("1000000 frames in {:.1} s, {missed} missed", start.elapsed().as_secs_f64());
    assert_eq!(missed, 0);
    drop(server);
    ends_well(child);
}
