//! The two processes: one that a cut region may end, and one that goes on.

#![cfg(target_os = "linux")]

mod common;

use common::{Live, Producer, TICK, name, until};
use rustix::process::Signal;
use serde_json::json;
use shmx::Server;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_region_that_is_cut_short_ends_no_view_of_others() {
    let (good, bad) = (name("whole"), name("cut"));
    let _producer = Producer::new(&good, 10);
    let live = Live::start(&[&good, &bad]);
    // Touching what was cut needs a moment between two checks; there is one in nearly every round.
    until("a worker that has ended", || {
        let first = live.worker();
        let mut server = Server::builder(&bad).stream(TICK, 1).create().unwrap();
        let mut f = server.begin_frame().unwrap();
        f.append_value(TICK, 1).unwrap();
        f.publish_frame(0.0).unwrap();
        let mut viewer = live.viewer();
        viewer.look_at(&bad, &json!([{"id": 1}]));
        viewer.frame();
        viewer.ack(&bad);
        // As long as the worker waits for the next one.
        let object = std::fs::File::options().write(true).open(format!("/dev/shm/{bad}")).unwrap();
        object.set_len(0).unwrap();
        // Its server must not touch it either.
        std::mem::forget(server);
        let end = Instant::now() + Duration::from_secs(3);
        let next = || live.worker_now().filter(|&now| now != first);
        while next().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(format!("/dev/shm/{bad}")).unwrap();
        next()
    });
    // The same address and token lead to the next one.
    let mut again = live.viewer();
    again.look_at(&good, &json!([{"id": 1}]));
    for _ in 0..3 {
        again.frame();
        again.ack(&good);
    }
    drop(again);
    let said = live.end();
    assert!(said.contains("another process cut a region short"), "{said}");
}

#[test]
fn the_worker_ends_with_its_keeper() {
    let live = Live::start(&[]);
    let worker = live.worker();
    // It answers, so it has begun.
    live.viewer();
    live.signal(Signal::KILL);
    until("the end", || std::net::TcpStream::connect(&live.host).err());
    let state = || std::fs::read_to_string(format!("/proc/{worker}/stat")).ok();
    until("the end of the worker", || state().is_none_or(|s| s.contains(") Z ")).then_some(()));
}

#[test]
fn signals_end_both_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut live = Live::start(&[]);
        let worker = live.worker();
        live.viewer();
        live.signal(signal);
        assert!(live.child.wait().unwrap().success(), "{signal:?}");
        assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
        assert_eq!(*live.stderr.lock().unwrap(), "");
    }
}

#[test]
fn the_option_for_workers_is_for_itself() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_shmx-live")).arg("--worker=1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--worker is for shmx-live itself"));
}

#[test]
fn a_bad_token_is_refused_and_not_repeated() {
    let bad = "only-fourteen!";
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_shmx-live"));
    let output = command.args(["--listen", "127.0.0.1:0"]).env("SHMX_LIVE_TOKEN", bad).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("SHMX_LIVE_TOKEN is no token") && !said.contains(bad), "{said}");
    assert!(output.stdout.is_empty());
}

/// A pipe that nobody reads.
fn nobody() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn a_link_that_nobody_reads_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmx-live"));
    command.args(["--listen", "127.0.0.1:0", "--foxglove"]).stdin(Stdio::null());
    let ended = command.stdout(nobody()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot print the link") && !said.contains("panicked"), "{said}");
}

#[test]
fn words_that_nobody_reads_end_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmx-live"));
    // All that it can say: about an address that others can reach, about control, and a log.
    command.args(["--listen", "0.0.0.0:0", "--control"]).env("RUST_LOG", "trace").env_remove("SHMX_LIVE_TOKEN");
    let mut live = Live::of(command.stderr(nobody()));
    assert_eq!(live.upgrade("elsewhere.example", &[]), 403);
    assert_eq!(live.get("/").0, 200);
    live.signal(Signal::TERM);
    assert_eq!(live.child.wait().unwrap().code(), Some(0));
}
