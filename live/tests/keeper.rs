//! The two processes: one that does the work, and one that keeps it.

#![cfg(target_os = "linux")]

mod common;

use common::{Live, Producer, name, until};
use rustix::process::Signal;
use serde_json::json;
use std::process::{Command, Stdio};

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
        assert!(live.ended().success(), "{signal:?}");
        assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
        assert_eq!(*live.stderr.lock().unwrap(), "");
    }
}

#[test]
fn the_option_for_workers_is_for_itself() {
    let output = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live")).arg("--worker=1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--worker is for shmx-live itself"));
}

#[test]
fn a_bad_token_is_refused_and_not_repeated() {
    let bad = "only-fourteen!";
    let mut command = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live"));
    let output = command.args(["--listen", "127.0.0.1:0"]).env("SHMX_LIVE_TOKEN", bad).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("SHMX_LIVE_TOKEN is not a usable token") && !said.contains(bad), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_log_at_its_limit_ends_nothing() {
    let log = std::env::temp_dir().join(name("log"));
    let line = "ulimit -f 1; exec \"$0\" -vvv --listen 127.0.0.1:0 2>\"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_shmx-live")]).arg(&log);
    let mut live = Live::of(command.stderr(Stdio::piped()));
    // At least two lines of it each.
    until("a full log", || {
        assert_eq!(live.upgrade("elsewhere.example", &[]), 403);
        (std::fs::metadata(&log).unwrap().len() >= 512).then_some(())
    });
    for _ in 0..5 {
        assert_eq!(live.upgrade("elsewhere.example", &[]), 403);
    }
    live.signal(Signal::TERM);
    assert_eq!(live.ended().code(), Some(0));
    std::fs::remove_file(log).unwrap();
}

#[test]
fn too_few_descriptors_are_told() {
    let line = "ulimit -n 16; exec \"$0\" --listen 127.0.0.1:0";
    let ended = Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_shmx-live")]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("ulimit -n"), "{said}");
    assert!(ended.stdout.is_empty());
}

/// A pipe that nobody reads.
fn nobody() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn a_link_that_nobody_reads_is_an_error() {
    let mut command = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live"));
    command.args(["--listen", "127.0.0.1:0", "--foxglove"]).stdin(Stdio::null());
    let ended = command.stdout(nobody()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot print the link") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_log_in_a_file_has_no_colours() {
    let mut command = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live"));
    command.args(["--listen", "127.0.0.1:0", "-v"]).env_remove("RUST_LOG").env_remove("CLICOLOR_FORCE");
    let live = Live::of(command.stderr(Stdio::piped()));
    assert_eq!(live.upgrade("elsewhere.example", &[]), 403);
    until("a line", || live.stderr.lock().unwrap().contains("refused").then_some(()));
    let said = live.end();
    assert!(said.contains(" INFO ") && !said.contains('\x1b'), "{said}");
}

#[test]
fn an_address_that_is_taken_is_told_with_its_option() {
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = there.local_addr().unwrap();
    for (args, option) in [
        ([format!("--listen={taken}"), "--foxglove".into()], "--listen ADDR:PORT"),
        (["--listen=127.0.0.1:0".into(), format!("--foxglove={taken}")], "--foxglove=ADDR:PORT"),
    ] {
        let ended = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live")).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(option) && said.contains(&taken.to_string()), "{said}");
    }
}

#[test]
fn words_that_nobody_reads_end_nothing() {
    let mut command = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live"));
    // All that it can say: about an address that others can reach, about control, and a log.
    command.args(["--listen", "0.0.0.0:0", "--control"]).env("RUST_LOG", "trace").env_remove("SHMX_LIVE_TOKEN");
    let mut live = Live::of(command.stderr(nobody()));
    assert_eq!(live.upgrade("elsewhere.example", &[]), 403);
    assert_eq!(live.get("/").0, 200);
    live.signal(Signal::TERM);
    assert_eq!(live.ended().code(), Some(0));
}

/// A paused machine stops these tests too, and a call with a timeout is interrupted then.
#[test]
fn viewers_of_tests_read_on_after_a_stop() {
    let region = name("stopped");
    let _producer = Producer::new(&region, 1);
    let live = Live::start(&[&region]);
    let mut viewer = live.viewer();
    viewer.look_at(&region, &json!([{"id": 1}]));
    let id = std::process::id();
    let script = format!("for i in $(seq 50); do kill -STOP {id}; sleep 0.002; kill -CONT {id}; sleep 0.01; done");
    let mut stopper = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let ended = loop {
        viewer.frame();
        viewer.ack(&region);
        if let Some(ended) = stopper.try_wait().unwrap() {
            break ended;
        }
    };
    assert!(ended.success());
}
