//! The example, beside a producer and a reader of what it replays.
// The names are too long for macOS.
#![cfg(any(target_os = "linux", windows))]

#[path = "../examples/record_and_replay.rs"]
mod record_and_replay;

use crate::common::{Folder, V, publish, unique};
use shmx::error::ReadError;
use shmx::{Client, Server, Start};
use std::error::Error;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PART: &str = "SHMX_TEST_EXAMPLE";
const FRAMES: u64 = 30;

/// Not a test by itself.
#[test]
fn the_example_itself() {
    if std::env::var_os(PART).is_some() {
        record_and_replay::main().unwrap();
    }
}

/// All values of a region that comes later, until its server leaves.
fn read(name: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut client = Client::options().start(Start::Oldest).open_within(name, Duration::from_secs(60))?;
    let mut values = Vec::new();
    loop {
        match client.next(Duration::from_secs(60)) {
            Ok(Some(frame)) => values.push(frame.get(V)?[0]),
            Ok(None) => return Err("no frame within a minute".into()),
            Err(ReadError::ServerGone { .. }) => return Ok(values),
            Err(e) => return Err(e.into()),
        }
    }
}

#[test]
fn what_is_recorded_is_replayed_under_another_name() {
    if shmx_testkit::emulated() {
        println!("not run: it starts itself, which an emulator does not do");
        return;
    }
    let folder = Folder::new("example");
    let (name, file) = (unique("example"), folder.file("a.mcap"));
    let mut server = Server::builder(&name).slots(64).stream(V, 1).create().unwrap();
    let mut example = Command::new(std::env::current_exe().unwrap());
    // The arguments are filters to the test harness, too.
    example.args([&name, &FRAMES.to_string(), file.to_str().unwrap()]);
    example.args(["example::the_example_itself", "--exact", "--nocapture"]).env(PART, "1").stdout(Stdio::piped());
    let example = example.spawn().unwrap();
    let done = AtomicBool::new(false);
    let (values, said) = std::thread::scope(|s| {
        s.spawn(|| {
            for n in 1.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                publish(&mut server, n);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let values = read(&format!("replayed-{name}"));
        let out = example.wait_with_output().unwrap();
        done.store(true, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{}: {said}", out.status);
        (values.unwrap(), said)
    });
    let of = |what: &str| -> u64 {
        let line = said.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("no `{what}` in {said}"));
        line.split_whitespace().find_map(|w| w.parse().ok()).unwrap()
    };
    assert!(of("frames recorded") >= FRAMES, "{said}");
    assert_eq!(of("frames recorded"), of("frames replayed"), "{said}");
    // A reader that came late, or was overtaken, has fewer; those it has are in order.
    assert!(!values.is_empty() && values.is_sorted_by(|a, b| a < b), "{values:?}");
}
