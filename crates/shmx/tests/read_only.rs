//! A monitor that may read a region and nothing more, and sleeps: the server rings always.
#![cfg(target_os = "linux")]

#[path = "../examples/monitor.rs"]
mod monitor_example;

use crate::common::{self, LIMIT, WORDS, publish, this_program, unique, within_limit};
use shmx::abi::extension::Features;
use shmx::{Client, Server, Tap};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Says in a child which region it watches, and how many frames.
const REGION: &str = "SHMX_TEST_REGION";
const FRAMES: u64 = 50;
/// A user without rights.
const NOBODY: u32 = 65534;

/// Not a test by itself.
#[test]
fn a_monitor_in_another_process() {
    let Ok(name) = std::env::var(REGION) else { return };
    assert!(Client::open(&name).is_err(), "it has no write permission");
    let mut tap = Tap::open(&name).unwrap();
    assert!(tap.features().has(Features::RING_ALWAYS));
    // The period becomes known: a tap that polls would look every 50 us to 5 ms from here on.
    for id in 1..=FRAMES {
        assert_eq!(tap.next(LIMIT).unwrap().expect("frames come").frame_id(), id);
    }
    let before = sleeps();
    println!("ready");
    assert!(tap.next(Duration::from_secs(1)).unwrap().is_none(), "nothing is published for a second");
    let often = sleeps() - before;
    assert!(often < 150, "{often} sleeps in a second are those of a poll");
    println!("slept");
    assert_eq!(tap.wait(LIMIT).unwrap().expect("one more").frame_id(), FRAMES + 1);
    assert_eq!(tap.stats().missed, 0);
    println!("done");
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// As another user where that can be done; otherwise the object's owner, who may not write it either.
/// `None` where that user may not run this program.
fn monitor(name: &str, test: &str) -> Option<Child> {
    let mut command = this_program();
    command.args([name, test, "--exact", "--nocapture"]).stdout(Stdio::piped());
    command.env(REGION, name).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    match command.spawn() {
        Ok(child) => Some(child),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => None,
        Err(e) => panic!("{e}"),
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|l| l.starts_with("Uid:\t0\t"))
}

#[test]
fn a_monitor_without_write_permission_sleeps_and_is_woken() {
    if common::emulated() {
        println!("not run: an emulator sleeps for reasons of its own");
        return;
    }
    let name = unique("monitor");
    let builder = Server::builder(&name).slots(64).stream(WORDS, 50).mode(0o444).ring_always(true);
    let mut server = builder.create().unwrap();
    (0..FRAMES).for_each(|v| _ = publish(&mut server, v));
    let Some(mut child) = monitor(&name, "read_only::a_monitor_in_another_process") else {
        println!("not run: another user may not run this program here");
        return;
    };
    let mut out = child.stdout.take().unwrap();
    let mut said = String::new();
    let mut hear = |what: &str| {
        within_limit(|| {
            let mut some = [0; 256];
            let n = out.read(&mut some).unwrap();
            said.push_str(&String::from_utf8_lossy(&some[..n]));
            n == 0 || said.contains(what)
        }) && said.contains(what)
    };
    let slept = hear("ready") && hear("slept");
    publish(&mut server, FRAMES);
    let done = slept && hear("done");
    let status = child.wait().unwrap();
    assert!(done && status.success(), "{status}: {said}");
}

#[test]
fn a_bell_that_always_rings_is_odd_after_every_frame_and_at_the_end() {
    let name = unique("odd");
    let mut server = Server::builder(&name).stream(WORDS, 50).ring_always(true).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    let mut tap = Tap::open(&name).unwrap();
    assert!(tap.can_sleep());
    let mut bell = server.header().ext_doorbell;
    for value in 0..3 {
        publish(&mut server, value);
        let now = server.header().ext_doorbell;
        assert_eq!((now, now % 2), (bell + 2, 1));
        bell = now;
        assert!(client.next(LIMIT).unwrap().is_some() && tap.next(LIMIT).unwrap().is_some());
    }
    std::thread::scope(|s| {
        let waits = s.spawn(move || tap.next(LIMIT).unwrap_err());
        let sleeps = s.spawn(move || client.next(LIMIT).unwrap_err());
        drop(server);
        assert!(waits.join().unwrap().is_final() && sleeps.join().unwrap().is_final());
    });
}

#[test]
fn without_it_nothing_is_rung_for_nobody_and_taps_poll() {
    let name = unique("quiet");
    let mut server = Server::builder(&name).stream(WORDS, 50).create().unwrap();
    let mut tap = Tap::open(&name).unwrap();
    publish(&mut server, 1);
    assert!(!tap.features().has(Features::RING_ALWAYS) && !tap.can_sleep());
    assert_eq!(server.header().ext_doorbell, 0);
    assert!(tap.next(LIMIT).unwrap().is_some());
}

/// Not a test by itself.
#[test]
fn the_example() {
    if std::env::var(REGION).is_ok() {
        monitor_example::main().unwrap();
    }
}

#[test]
fn the_example_needs_no_more_than_to_read() {
    let name = unique("example");
    let builder = Server::builder(&name).slots(64).stream(WORDS, 50).mode(0o444).ring_always(true);
    let mut server = builder.create().unwrap();
    let Some(mut child) = monitor(&name, "read_only::the_example") else {
        println!("not run: another user may not run this program here");
        return;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|l| l == "asleep between frames"));
    for value in 1..=20 {
        publish(&mut server, value);
        let taken = lines.find(|l| l.contains(',')).unwrap();
        assert!(taken.starts_with(&format!("{value},")), "{taken}");
    }
    drop(server);
    assert!(child.wait().unwrap().success());
}
