//! record, play and info as processes: signals, kills, a disk that is full, files that are not whole.
#![cfg(target_os = "linux")]

use crate::common;
use serde_json::Value;
use shmx_testkit::{Folder, Running, unique, until};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether these tests run in an emulator, where the command cannot be started by its path. Says so.
fn emulated() -> bool {
    let emulated = shmx_testkit::emulated();
    if emulated {
        eprintln!("not run: it needs programs outside of an emulator");
    }
    emulated
}

fn shmx(args: &[&str]) -> Command {
    shmx_testkit::hear_signals();
    let mut c = Command::new(env!("CARGO_BIN_EXE_shmx"));
    c.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

fn out(args: &[&str]) -> Output {
    shmx(args).output().unwrap()
}

/// A process that removes its regions when its value goes.
fn start(args: &[&str]) -> Running {
    let mut c = shmx(args);
    Running::start(c.stdout(Stdio::null()).stderr(Stdio::null())).politely()
}

fn size(path: &str) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

fn info(path: &str) -> (Option<i32>, Value, String) {
    let o = out(&["info", path, "--json"]);
    let stderr = String::from_utf8(o.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (o.status.code(), serde_json::from_slice(&o.stdout).unwrap_or(Value::Null), stderr)
}

fn gone(name: &str) -> bool {
    !Path::new("/dev/shm").join(name).exists()
}

#[test]
fn a_recording_ends_in_order_by_signal_time_count_and_server() {
    if emulated() {
        return;
    }
    let folder = Folder::new("ends");
    let name = unique("ends");
    let mut server = start(&["serve", &name, "--hz", "500", "--slots", "64"]);
    let file = folder.path("count.mcap");
    let o = out(&["record", &name, "-o", &file, "--frames", "50", "--json"]);
    assert!(common::was_read(&o), "{}", String::from_utf8_lossy(&o.stderr));
    let summary: Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(summary["frames"], 50);
    let (code, about, _) = info(&file);
    assert_eq!((code, &about["regions"][0]["frames_read"]), (Some(0), &Value::from(50)));
    assert_eq!(about["regions"][0]["segments"][0]["streams"][0]["name"], "tick_seq");

    let play = |more: &[&str]| -> Value {
        let prefix = format!("{}-", unique("part"));
        let o = out(&[&["play", &file, "--prefix", &prefix, "--json"], more].concat());
        assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
        serde_json::from_slice(&o.stdout).unwrap()
    };
    assert_eq!(play(&["--rate", "10"])["published"], 50);
    // Half of the time it took, whatever that was: the first frame is in one half, the last one in the other.
    let ns = |key: &str| about[key].as_u64().unwrap() as f64;
    let half = format!("{}ms", (ns("last_ns") - ns("first_ns")) / 2e6);
    let part = |from_or_to: &str| play(&[from_or_to, &half, "--rate", "max"])["published"].as_u64().unwrap();
    let halves = [part("--to"), part("--from")];
    assert!(halves.iter().all(|n| (1..50).contains(n)), "{halves:?} of 50 frames");
    assert!((50..=51).contains(&halves.iter().sum::<u64>()), "{halves:?} of 50 frames");
    assert_eq!(out(&["play", &file, "--from", "1h"]).status.code(), Some(1));
    assert_eq!(out(&["play", &file, "--region", "none"]).status.code(), Some(1));
    let prefix = format!("{}-", unique("loop"));
    let mut looping = start(&["play", &file, "--prefix", &prefix, "--loop", "--rate", "20"]);
    let replayed = format!("{prefix}{name}");
    let o = out(&["read", &replayed, "--frames", "200", "--all", "--wait-server", "30", "--timeout", "30"]);
    assert!(matches!(o.status.code(), Some(0 | 3)), "it begins again");
    looping.signal("INT");
    assert_eq!(looping.wait().code(), Some(0));
    assert!(gone(&replayed));

    let file = folder.path("signal.mcap");
    let mut recorder = start(&["record", &name, "-o", &file, "--flush", "10ms"]);
    until("something is written", || size(&file) > 3000);
    recorder.signal("INT");
    assert!(matches!(recorder.wait().code(), Some(0 | 3)), "3: it may have missed some");
    assert_eq!(info(&file).0, Some(0));

    let file = folder.path("time.mcap");
    assert!(common::was_read(&out(&["record", &name, "-o", &file, "--seconds", "0.2"])));

    let file = folder.path("gone.mcap");
    let mut recorder = start(&["record", &name, "-o", &file, "--until-gone", "--flush", "10ms"]);
    until("something is written", || size(&file) > 3000);
    server.signal("TERM");
    assert!(matches!(recorder.wait().code(), Some(0 | 3)));
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(info(&file).1["regions"][0]["segments"][0]["ended"], "server left");

    let file = folder.path("none.mcap");
    let o = out(&["record", &name, "-o", &file, "--wait-server", "0.1"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(gone(&name));
}

#[test]
fn a_killed_recorder_leaves_what_it_had_finished_and_a_killed_player_no_trouble() {
    if emulated() {
        return;
    }
    let folder = Folder::new("kill");
    let name = unique("kill");
    let server = start(&["serve", &name, "--hz", "1000", "--slots", "64"]);
    for round in 0..6 {
        let file = folder.path(&format!("{round}.mcap"));
        let mut recorder = start(&["record", &name, "-o", &file, "--flush", "20ms"]);
        // By the size alone it might be in the middle of its first chunk.
        let readable = || info(&file).1["regions"][0]["frames_read"].as_u64();
        until("some chunks are written", || size(&file) > 20_000 + round * 7001 && readable() > Some(20));
        recorder.signal("KILL");
        assert_eq!(recorder.wait().code(), None);
        let (code, about, stderr) = info(&file);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("not finished; readable up to byte"), "{stderr}");
        let frames = about["regions"][0]["frames_read"].as_u64().unwrap();
        assert!(frames > 20, "{frames} frames in {} bytes", size(&file));
    }
    drop(server);

    // What is left plays; a player that is killed is followed by another one under the same name.
    let file = folder.path("5.mcap");
    let prefix = format!("{}-", unique("again"));
    let replayed = format!("{prefix}{name}");
    for _ in 0..4 {
        let mut player = start(&["play", &file, "--prefix", &prefix, "--loop", "--replace"]);
        let o = out(&["read", &replayed, "--frames", "20", "--all", "--wait-server", "30", "--timeout", "30"]);
        assert!(matches!(o.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&o.stderr));
        player.signal("KILL");
        player.wait();
    }
    let o = out(&["play", &file, "--prefix", &prefix, "--rate", "max", "--json"]);
    assert_eq!(o.status.code(), Some(1), "the file is not whole");
    let summary: Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(summary["published"], info(&file).1["regions"][0]["frames_read"]);
    assert!(gone(&replayed));
}

#[test]
fn a_full_disk_is_an_error_that_keeps_what_was_written() {
    if emulated() {
        return;
    }
    let folder = Folder::new("full");
    let name = unique("full");
    let _server = start(&["serve", &name, "--hz", "1000", "--slots", "64"]);
    let file = folder.path("a.mcap");
    // A limit on the size of files stands in for the disk; its signal is ignored, so that the write fails.
    // A recorder that was kept waiting writes what has come meanwhile as one chunk: the ring and the backlog bound it
    // to a small part of the limit, so that there are whole chunks in front of the one that fails.
    let script =
        r#"trap '' XFSZ; ulimit -f 1024; exec "$0" record "$1" -o "$2" --backlog 16K --flush 20ms --seconds 60"#;
    let o = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_shmx"), &name, &file]).output().unwrap();
    let stderr = String::from_utf8(o.stderr).unwrap();
    assert_eq!(o.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to") && stderr.contains("are kept and readable"), "{stderr}");
    let (code, about, stderr) = info(&file);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("readable up to byte {}", size(&file))), "cut at a chunk's end: {stderr}");
    assert!(about["regions"][0]["frames_read"].as_u64().unwrap() > 20);
}

#[test]
fn a_view_shows_a_recording_and_a_region() {
    if emulated() {
        return;
    }
    let folder = Folder::new("view");
    let name = unique("view");
    let _server = start(&["serve", &name, "--hz", "500", "--slots", "64"]);
    let file = folder.path("a.mcap");
    assert!(common::was_read(&out(&["record", &name, "-o", &file, "--frames", "40"])));
    let text = |args: &[&str]| {
        let o = out(args);
        assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
        String::from_utf8(o.stdout).unwrap()
    };
    for size in ["80x24", "200x60", "40x12"] {
        let s = text(&["view", &file, "--stream", "tick_sim", "--once", "--size", size]);
        let (w, h) = size.split_once('x').unwrap();
        assert_eq!(s.lines().count(), h.parse::<usize>().unwrap());
        assert!(s.lines().all(|l| l.chars().count() <= w.parse().unwrap()));
        assert!(s.contains("tick_sim (f64") && s.contains("40 of 40 frames"), "{s}");
    }
    let s = text(&["view", &file, "--stream", "42", "--at", "0", "--once", "--mode", "index"]);
    assert!(s.contains("tick_seq (u64, 1 element) over index") && s.contains("1 of 40 frames"), "{s}");
    let s = text(&["view", &name, "--stream", "tick_seq", "--once", "--frames", "30"]);
    assert!(s.contains("tick_seq (u64") && s.contains("following"), "{s}");
    let svg = folder.path("a.svg");
    text(&["view", &file, "--svg", &svg]);
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n") && picture.contains("tick_seq"));
    assert_eq!(out(&["view", &file, "--region", "none", "--once"]).status.code(), Some(1));
    assert_eq!(out(&["view", &file, "--size", "1x1", "--once"]).status.code(), Some(2));
}

#[test]
fn bad_files_and_bad_usage_have_their_exit_codes() {
    if emulated() {
        return;
    }
    let folder = Folder::new("bad");
    let file = folder.path("x.mcap");
    std::fs::write(&file, "no recording").unwrap();
    for command in ["info", "play"] {
        let o = out(&[command, &file]);
        let stderr = String::from_utf8(o.stderr).unwrap();
        assert_eq!(o.status.code(), Some(1));
        assert!(stderr.contains("is not an MCAP file") && stderr.lines().count() == 1, "{stderr}");
        assert_eq!(out(&[command, &folder.path("none")]).status.code(), Some(1));
        assert_eq!(out(&[command]).status.code(), Some(2));
    }
    assert_eq!(out(&["record"]).status.code(), Some(2));
    assert_eq!(out(&["record", "a", "-o", &file, "--compress", "rar"]).status.code(), Some(2));
    assert_eq!(out(&["play", &file, "--rate", "0"]).status.code(), Some(2));
    assert_eq!(out(&["record", "a", "-o", &file]).status.code(), Some(1), "it exists");
    assert_eq!(std::fs::read(&file).unwrap(), b"no recording");
}
