//! What streams say of themselves, when their data was acquired, and which frames carry a checksum.

#![cfg(target_os = "linux")]

use crate::common::{self, Running, cannot_run, run, serve, shmx, unique, until, words};
use serde_json::{Value, json};
use shmx::meta::Clock;
use shmx::{Checksum, Server, Stream};
use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn text(o: &Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

fn data(o: &Output) -> Value {
    assert!(o.status.success(), "{}", words(o));
    serde_json::from_slice(&o.stdout).unwrap()
}

#[test]
fn published_images_say_what_they_are() {
    if cannot_run() {
        return;
    }
    let name = unique("images");
    let streams = ["1:left:u8x3*4x2", "2:right:u8x3*4x2@bgr8", "3:grid:f64x2*4x2"];
    let streams: Vec<&str> = streams.iter().flat_map(|s| ["--stream", s]).collect();
    let mut command = shmx(&[&["publish", &*name, "--keep", "600"], &streams[..]].concat());
    command.stdin(Stdio::piped());
    let mut publish = Running::start(command);
    assert!(publish.line().contains("176 bytes of stdin per frame"));
    publish.child.stdin.take().unwrap().write_all(&[7; 176]).unwrap();
    common::until(|| shmx::Inspector::open(&name).is_ok_and(|i| i.header().frame_seq > 0));
    let v = data(&run(&["inspect", &name, "--json"]));
    let streams = &v["streams"];
    let image = |encoding: &str| json!({"role": "image", "shape": [2, 4], "encoding": encoding});
    assert_eq!(streams[0]["meta"], image("rgb8"));
    assert_eq!(streams[1]["meta"], image("bgr8"));
    assert_eq!(streams[2]["meta"], json!({"shape": [2, 4]}), "no pixels");
    assert!((0..3).all(|i| streams[i]["problems"] == json!([])), "{streams}");
    for (bad, why) in [("1:i:u8x2*4x2@bgr8", "needs elements"), ("1:i:u8*4x2@other", "is not known")] {
        let o = run(&["publish", "x", "--stream", bad]);
        assert_eq!(o.status.code(), Some(2));
        assert!(words(&o).contains(why), "{}", words(&o));
    }
}

/// Broken and contradictory words of a stream are told, and are no reason not to read it.
#[test]
fn what_a_stream_says_wrongly_is_a_note() {
    if cannot_run() {
        return;
    }
    let name = unique("notes");
    let broken = Stream::<u64>::new(1, "bro\u{1b}[2Jken").spec().extra(*b"{\"role\":\"\x1b[2J");
    let wrong = Stream::<u64>::new(2, "wrong").spec().extra(*br#"{"shape":"\u001b[2J"}"#);
    let mut server = Server::builder(&*name).stream(broken, 1).stream(wrong, 1).create().unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &[5_u64]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let once = text(&run(&["inspect", &name, "--once"]));
    assert!(once.contains("note: extra begins like a JSON object, but is none"), "{once}");
    assert!(once.contains("note: `shape` is") && once.contains("the key is ignored"), "{once}");
    let v = data(&run(&["inspect", &name, "--json"]));
    assert!(v["streams"][1]["problems"][0].as_str().unwrap().contains("`shape` is"), "{v:#}");
    let read = run(&["read", &name, "--frames", "1"]);
    assert!(read.status.success() && text(&read).contains("ken=5"), "{}", words(&read));
    // Others may stand in the way of a machine; these do not.
    let doctor = text(&run(&["doctor"]));
    let notes: Vec<&str> = doctor.lines().filter(|l| l.contains(&*name)).collect();
    assert!(notes.len() == 2 && notes.iter().all(|l| l.starts_with("note ")), "{doctor}");
    for shown in [&once, &text(&read), &doctor] {
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn the_time_of_acquisition_becomes_a_latency_where_it_can_be_compared() {
    const LATE: u64 = 40_000_000;
    if cannot_run() {
        return;
    }
    for (clock, comparable) in [(Clock::Monotonic, true), (Clock::Tai, false)] {
        let name = unique("latency");
        let mut server = Server::builder(&*name).acquisition_time(clock).create().unwrap();
        let end = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let mut frame = server.begin_frame().unwrap();
                    frame.append_value(Stream::ACQUISITION_TIME, shmx_os::clock::ticks() - LATE).unwrap();
                    frame.publish_frame(0.0).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            // On a busy machine no frame may come in so short a time, and then the command fails.
            let counted = |more: &[&str]| {
                let mut o = None;
                until(|| o.insert(run(&[&["hz", &name, "--seconds", "0.5"], more].concat())).status.success());
                o.unwrap()
            };
            let (o, line) = (counted(&["--json"]), counted(&[]));
            let once = run(&["inspect", &name, "--once"]);
            let look = run(&["inspect", &name, "--json"]);
            end.store(true, Ordering::Relaxed);
            let (v, look) = (data(&o), data(&look));
            let latency = &look["latest"]["acquired_before_publish_ns"];
            if !comparable {
                assert!(v["acquired_before"].is_null() && latency.is_null(), "{v:#}");
                assert!(!text(&line).contains("acquired") && !text(&once).contains("acquired "), "{}", text(&once));
                return;
            }
            let acquired = &v["acquired_before"];
            assert_eq!((&acquired["stream"], &acquired["ahead"]), (&json!("acquisition_time"), &json!(0)));
            // The steps of publish times, and of the histogram's buckets.
            assert!(acquired["latency"]["min_ns"].as_u64().unwrap() >= LATE - LATE / 100, "{v:#}");
            assert!(acquired["latency"]["count"].as_u64().unwrap() > 0, "{v:#}");
            assert!(latency.as_u64().unwrap() >= LATE - 1024, "{latency}");
            let line = text(&line);
            assert!(line.lines().any(|l| l.starts_with("acquired   mean ") && l.contains("before it was")), "{line}");
            assert!(text(&once).contains(" before it was published"), "{}", text(&once));
        });
    }
}

/// A frame without a checksum is shown as that, and never as damaged.
#[test]
fn an_absent_checksum_is_no_damage() {
    if cannot_run() {
        return;
    }
    for (when, word) in [("never", "absent"), ("always", "ok"), ("auto", "ok")] {
        let name = unique("sums");
        let _serve = serve(&name, &["--checksum", when, "--slots", "8"]);
        let once = text(&run(&["inspect", &name, "--once"]));
        assert!(once.contains(&format!("checksum {word}")) && !once.contains("WRONG"), "{when}: {once}");
        let o = run(&["read", &name, "--frames", "3", "--all"]);
        assert!(common::was_read(&o) && words(&o).contains(" 0 rejected"), "{when}: {}", words(&o));
    }
    // Large frames have one now and then only.
    let name = unique("sums");
    let wide = Stream::<u64>::new(1, "words");
    let mut server = Server::builder(&*name).stream(wide, 4096).checksum(Checksum::Auto).create().unwrap();
    for _ in 0..3 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(wide, &[7; 4096]).unwrap();
        frame.publish_frame(0.0).unwrap();
    }
    let once = text(&run(&["inspect", &name, "--once"]));
    assert!(!once.contains("WRONG") && !once.contains("bad"), "{once}");
    let v = data(&run(&["inspect", &name, "--json"]));
    let sums: Vec<&Value> = v["slots"].as_array().unwrap().iter().map(|s| &s["checksum"]).collect();
    assert!(sums.iter().any(|s| **s == "ok") && sums.iter().all(|s| s.is_null() || **s == "ok" || **s == "absent"));
    let o = run(&["cat", &name, "--stream", "words", "--frames", "1"]);
    assert!(o.status.success() && words(&o).contains("1 frame received, 0 missed, 0 rejected"), "{}", words(&o));
    let o = run(&["serve", "x", "--checksum", "some"]);
    assert_eq!(o.status.code(), Some(2));
}

#[test]
fn what_every_leaves_out_is_skipped_and_not_missed() {
    if cannot_run() {
        return;
    }
    let name = unique("every");
    let _serve = serve(&name, &["--slots", "64"]);
    let o = run(&["read", &name, "--every", "5", "--frames", "3"]);
    let told = words(&o);
    assert!(o.status.success() && told.contains(" 0 missed, 0 rejected, 8 skipped by --every"), "{told}");
}

#[test]
fn a_recording_is_played_with_the_checksums_that_are_asked_for() {
    if cannot_run() {
        return;
    }
    let folder = common::Folder::new("sums");
    let file = folder.path("sums.mcap");
    let name = unique("sums");
    let server = serve(&name, &["--checksum", "never"]);
    assert!(common::was_read(&run(&["record", &name, "-o", &file, "--frames", "3"])));
    drop(server);
    for (when, word) in [("auto", "absent"), ("never", "absent"), ("always", "ok")] {
        let prefix = format!("{}-", &*unique("play"));
        let played = common::Name(format!("{prefix}{}", &*name));
        let play = ["play", &file, "--prefix", &prefix, "--keep", "10m", "--checksum", when];
        let _play = Running::start(shmx(&play));
        common::until(|| shmx::Inspector::open(&played).is_ok_and(|i| i.header().frame_seq == 3));
        let once = text(&run(&["inspect", &played, "--once"]));
        assert!(once.contains(&format!("checksum {word}")) && !once.contains("WRONG"), "{when}: {once}");
    }
}
