//! The command as its users run it: real processes, their output and exit codes.

#[cfg(unix)]
use crate::common::signal;
#[cfg(target_os = "linux")]
use crate::common::until;
use crate::common::{self, Folder, Running, gone, run, shmx, unique, words};
use std::io::Write;
#[cfg(unix)]
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn golden_dumps_are_inspected_as_the_reference_describes_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shmx-abi/tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(&dir).expect("the golden files are in the workspace") {
        let bin = entry.unwrap().path();
        if bin.extension().is_none_or(|e| e != "bin") {
            continue;
        }
        let file = bin.to_str().unwrap();
        let o = run(&["inspect", "--file", file, "--json", "--raw"]);
        assert!(o.status.success(), "{file}: {}", words(&o));
        let mut found: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        let own = ["schema", "kind"].map(|k| found.as_object_mut().unwrap().remove(k).unwrap());
        assert_eq!(own, [serde_json::json!(1), serde_json::json!("inspect-raw")]);
        let extension = found.as_object_mut().unwrap().remove("extension").unwrap();
        assert_eq!(extension["extended"], false, "{file}");
        let expected = std::fs::read(bin.with_extension("json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(found, expected, "{file}");
        let o = run(&["inspect", "--file", file, "--once"]);
        assert!(o.status.success() && String::from_utf8_lossy(&o.stdout).contains("\nslots: "), "{file}");
        seen += 1;
    }
    assert!(seen >= 5, "{seen} golden dumps");
}

#[test]
fn the_demo_works_and_leaves_nothing() {
    if shmx_testkit::emulated() {
        eprintln!("not run: the demo starts itself, which an emulated program cannot");
        return;
    }
    let o = run(&["demo", "--seconds", "3"]);
    let text = String::from_utf8(o.stdout.clone()).unwrap();
    assert!(o.status.success(), "{text}{}", words(&o));
    let summary = text.lines().last().unwrap();
    assert!(summary.starts_with("summary: ok, ") && summary.ends_with(" 0 torn"), "{text}");
    assert!(text.contains("midway: newest frame"), "{text}");
    let name = text.split('`').nth(1).unwrap();
    assert!(gone(name));
}

#[test]
fn wrong_usage_is_2_and_failure_is_1_with_words() {
    for bad in [
        &[][..],
        &["frobnicate"],
        &["serve"],
        &["serve", "x", "--hz", "0"],
        &["inspect"],
        &["send", "x", "0"],
        &["man", "nothing"],
        &["publish", "x"],
        &["publish", "x", "--stream", "1:a:u9"],
        &["read", "x", "--timeout", "-1"],
    ] {
        assert_eq!(run(bad).status.code(), Some(2), "{bad:?}");
    }
    let name = unique("unknown");
    for args in [&["read", &name][..], &["cat", &name, "--stream", "s"], &["inspect", &name]] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(1), "{args:?}");
        assert!(o.stdout.is_empty(), "{args:?}");
        let text = words(&o);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("shmx: ") && last.contains(&*name) && last.contains("check the name"), "{text}");
    }
    let o = run(&["inspect", "--file", "/nonexistent/dump"]);
    assert_eq!(o.status.code(), Some(1));
    assert_eq!(words(&o).lines().count(), 1, "{}", words(&o));
    for command in ["demo", "serve", "read", "inspect", "publish", "cat"] {
        let o = run(&[command, "--help"]);
        assert!(o.status.success() && String::from_utf8_lossy(&o.stdout).contains("Examples:"), "{command}");
    }
}

#[cfg(unix)]
#[test]
fn signals_end_a_server_and_a_reader_in_order() {
    for name_of_signal in ["INT", "TERM"] {
        let name = unique("signal");
        let mut serve = Running::start(shmx(&["serve", &name, "--hz", "200", "-v"]));
        while !serve.line().contains("serving") {}
        let o = run(&["read", &name, "--frames", "5", "--all", "--attach", "--json"]);
        assert!(common::was_read(&o), "{}", words(&o));
        let frames: Vec<serde_json::Value> = o
            .stdout
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(frames.len(), 5);
        for f in &frames {
            let seq = f["streams"]["tick_seq"][0].as_u64().unwrap();
            assert_eq!(f["frame_id"], seq + 1);
            assert_eq!(f["streams"]["tick_sim"][0].as_f64().unwrap(), seq as f64 / 200.0);
            assert_eq!(f["sim_time"], f["streams"]["tick_sim"][0]);
        }
        while !serve.line().contains("BYE") {}

        let mut reader = Running::start(shmx(&["read", &name]));
        let mut line = String::new();
        let mut out = BufReader::new(reader.child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("frame ") && line.contains(" tick_seq="), "{line}");
        signal(&reader.child, name_of_signal);
        // Read on, or the reader could wait for room in the pipe.
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        assert_eq!(reader.wait().code(), Some(0));

        signal(&serve.child, name_of_signal);
        let o = serve.output();
        assert_eq!(o.status.code(), Some(0), "{}", words(&o));
        assert!(gone(&name));
    }
}

#[test]
fn a_reader_says_why_it_ends() {
    let name = unique("ends");
    let mut serve = Running::start(shmx(&["serve", &name, "--hz", "0.001"]));
    assert!(serve.line().contains(&*name));
    // The first frame is there at once, the second not for a long time.
    let o = run(&["read", &name, "--frames", "2", "--timeout", "0.2"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("no frame of"), "{}", words(&o));
}

#[cfg(unix)]
#[test]
fn a_reader_says_that_its_server_left_or_died() {
    for (how, says) in [("TERM", "has left"), ("KILL", "died without leaving in order")] {
        let name = unique("left");
        let mut reader = Running::start(shmx(&["read", &name, "--all", "--wait-server", "20"]));
        let mut serve = Running::start(shmx(&["serve", &name, "--hz", "100"]));
        assert!(serve.line().contains(&*name));
        let mut out = BufReader::new(reader.child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        signal(&serve.child, how);
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        let o = reader.output();
        // An orderly end is one for who wants no number of frames; some may have been missed.
        let codes: &[i32] = if how == "TERM" { &[0, 3] } else { &[1] };
        assert!(codes.contains(&o.status.code().unwrap()), "{}", words(&o));
        assert!(how == "TERM" || words(&o).contains(says), "{}", words(&o));
        serve.wait();
        assert_eq!(gone(&name), how == "TERM");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_frame_of_a_dead_server_is_told_as_such() {
    if common::cannot_run() {
        return;
    }
    let name = unique("last");
    let mut serve = common::serve(&name, &[]);
    let read = || run(&["read", &name, "--frames", "1"]);
    assert!(!words(&read()).contains("last frame"), "it lives");
    serve.child.kill().unwrap();
    serve.wait();
    let o = read();
    assert!(o.status.success() && o.stdout.starts_with(b"frame "), "{}", words(&o));
    let told = format!("the server of `{name}` died; this is its last frame\n");
    assert!(words(&o).starts_with(&told) && words(&o).lines().count() == 2, "{}", words(&o));
}

#[test]
fn a_live_region_is_inspected_and_dumped() {
    let name = unique("inspect");
    let mut serve = Running::start(shmx(&["serve", &name, "--slots", "5"]));
    serve.line();
    assert!(run(&["read", &name, "--frames", "1"]).status.success());
    let o = run(&["inspect", &name, "--json"]);
    let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(v["header"]["slots"], 5);
    assert_eq!(v["streams"].as_array().unwrap().len(), 2);
    assert_eq!(v["server"]["extended"], true);
    assert_eq!(v["server"]["pid"], serve.child.id());
    let folder = Folder::new("dump");
    let dump = folder.path("region.bin");
    let o = run(&["dump", &name, &dump]);
    assert!(o.status.success() && o.stdout.is_empty(), "{}", words(&o));
    let piped = run(&["dump", &name, "-"]);
    assert_eq!(piped.stdout.len(), std::fs::read(&dump).unwrap().len());
    let o = run(&["inspect", "--file", &dump, "--json"]);
    assert_eq!(std::fs::read_dir(folder.dir()).unwrap().count(), 1, "nothing half-written is left");
    let dumped: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(dumped["header"]["session_id"], v["header"]["session_id"]);
    let o = run(&["inspect", &name]);
    assert!(String::from_utf8_lossy(&o.stdout).contains("latest frame"), "{}", words(&o));
    let o = run(&["serve", &name, "--replace"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("held by a live server"), "{}", words(&o));
}

/// A sequence of RGB images, with no two frames alike.
fn images(frames: usize, width: usize, height: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames * width * height * 3);
    for f in 0..frames {
        for y in 0..height {
            for x in 0..width {
                bytes.extend([(x + f) as u8, (y * 3 + f) as u8, (x * y + f * 7) as u8]);
            }
        }
    }
    bytes
}

#[test]
fn published_bytes_come_out_of_cat_unchanged() {
    const FRAMES: usize = 40;
    let name = unique("bytes");
    let data = images(FRAMES, 160, 120);
    let args = ["publish", &name, "--stream", "1:image:u8x3*19200", "--lossless", "--wait-readers", "2"];
    let mut command = shmx(&args);
    command.stdin(Stdio::piped());
    let mut publish = Running::start(command);
    assert!(publish.line().contains("57600 bytes"));
    let cats: Vec<_> = ["image", "1"]
        .iter()
        .map(|stream| {
            let c = Running::start(shmx(&["cat", &name, "--stream", stream, "--attach"]));
            std::thread::spawn(move || c.output())
        })
        .collect();
    let mut stdin = publish.child.stdin.take().unwrap();
    stdin.write_all(&data).unwrap();
    drop(stdin);
    for c in cats {
        let o = c.join().unwrap();
        assert_eq!(o.status.code(), Some(0), "{}", words(&o));
        assert!(o.stdout == data, "{} of {} bytes, {}", o.stdout.len(), data.len(), words(&o));
        assert!(words(&o).contains(&format!("{FRAMES} frames received, 0 missed")), "{}", words(&o));
    }
    assert_eq!(publish.wait().code(), Some(0));
    assert!(gone(&name));
}

#[test]
fn a_partial_frame_is_an_error_that_counts_the_bytes() {
    let name = unique("partial");
    let mut command =
        shmx(&["publish", &name, "--stream", "1:a:u16x2", "--stream", "2:b:f64", "--elems", "1=3", "--replace"]);
    command.stdin(Stdio::piped());
    let mut publish = Running::start(command);
    publish.child.stdin.take().unwrap().write_all(&[7; 2 * 20 + 13]).unwrap();
    let o = publish.output();
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("13 bytes were left over after 2 frames; a frame takes 20 bytes"), "{}", words(&o));
    assert!(gone(&name));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let name = unique("pipe");
    let mut serve = Running::start(shmx(&["serve", &name, "--hz", "500"]));
    serve.line();
    let mut reader = Running::start(shmx(&["read", &name]));
    drop(reader.child.stdout.take());
    assert_eq!(reader.wait().code(), Some(0));
}

/// A region that nobody holds a lock on: what a killed server leaves.
#[cfg(target_os = "linux")]
fn orphan(like: &str, change: impl FnOnce(&mut Vec<u8>)) -> common::Name {
    let name = unique("orphan");
    let mut bytes = std::fs::read(Path::new("/dev/shm").join(like)).unwrap();
    change(&mut bytes);
    std::fs::write(Path::new("/dev/shm").join(&*name), bytes).unwrap();
    name
}

#[cfg(target_os = "linux")]
#[test]
fn ls_tells_every_kind_of_object() {
    if common::cannot_run() {
        return;
    }
    let name = unique("ls");
    let serve = common::serve(&name, &["--slots", "5"]);
    let _client = shmx::Client::open(&name).unwrap();
    let dead = orphan(&name, |_| {});
    let reference = orphan(&name, |b| b[20..24].fill(0));
    let damaged = orphan(&name, |b| b[60..64].fill(0));
    let cut = orphan(&name, |b| b.truncate(5000));
    let foreign = orphan(&name, |b| b[..8].copy_from_slice(b"whatever"));
    let mut rows = serde_json::Value::Null;
    // A server that was held up has another rate for a while.
    until(|| {
        let o = run(&["ls", "--json", "--all"]);
        rows = common::lines(&o).into();
        let live = rows.as_array().unwrap().iter().find(|r| r["name"] == *name).unwrap();
        let known = (&live["state"], &live["pid"], &live["slots"]);
        assert_eq!(known, (&"live".into(), &serve.child.id().into(), &5.into()));
        let known = (&live["readers"], &live["reader_slots"], &live["program"]);
        assert_eq!(known, (&1.into(), &16.into(), &"shmx".into()));
        assert!(live["newest_age_ns"].as_u64().is_some());
        eprintln!("about 100 Hz, and {}", live["rate_hz"]);
        live["rate_hz"].as_f64().is_some_and(|rate| (50.0..150.0).contains(&rate))
    });
    let row = |n: &str| rows.as_array().unwrap().iter().find(|r| r["name"] == n).unwrap().clone();
    assert_eq!((&row(&dead)["state"], &row(&dead)["rate_hz"]), (&"dead".into(), &serde_json::Value::Null));
    assert_eq!(row(&reference)["state"], "reference-made");
    for (n, why) in [(&damaged, "slots is 0"), (&cut, "the region has 5000")] {
        assert_eq!(row(n)["state"], "unreadable");
        assert!(row(n)["note"].as_str().unwrap().contains(why), "{}", row(n));
    }
    assert_eq!(row(&foreign)["state"], "no region");
    // As a table, without what is no region.
    let o = run(&["ls", "--seconds", "0"]);
    let table = String::from_utf8(o.stdout.clone()).unwrap();
    assert!(table.starts_with("NAME ") && table.contains(&*dead) && !table.contains(&*foreign), "{table}");
    let line = table.lines().find(|l| l.starts_with(&*name)).unwrap();
    assert!(line.contains(" live ") && line.contains(" 1/16 ") && line.ends_with(" ago"), "{line}");
    assert!(words(&o).contains("--all shows them"), "{}", words(&o));

    // The state of a region without a lock, in the text and in the data of the inspector.
    let text = String::from_utf8(run(&["inspect", &reference, "--once"]).stdout).unwrap();
    assert!(text.contains("server reference-made: no lock, no extension"), "{text}");
    let o = run(&["inspect", &dead, "--json"]);
    let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(v["server"]["state"], "dead");
    let o = run(&["inspect", &cut, "--json"]);
    assert_eq!(o.status.code(), Some(1));
    let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!((&v["available_bytes"], v["fields"].as_array().unwrap().len()), (&5000.into(), 28));

    // What has no lock goes by force only; several at once, and each refusal is told.
    let o = run(&["rm", &dead, &reference, &damaged, &foreign]);
    assert_eq!(o.status.code(), Some(1));
    assert!(gone(&dead) && words(&o).contains("2 of 4 regions not removed"), "{}", words(&o));
    assert_eq!(words(&o).matches("(--force)").count(), 2, "{}", words(&o));
    assert!(run(&["rm", "--force", &reference, &foreign, &cut]).status.success());
    assert!([&reference, &damaged, &foreign, &cut].iter().all(|n| !Path::new("/dev/shm").join(&***n).exists()));
}

#[cfg(target_os = "linux")]
#[test]
fn hz_measures_what_is_there() {
    if common::cannot_run() {
        return;
    }
    let name = unique("hz");
    let _serve = common::serve(&name, &["--slots", "8"]);
    let mut reader = Running::start(shmx(&["cat", &name, "--stream", "42", "--attach", "--timeout", "600"]));
    let mut out = BufReader::new(reader.child.stdout.take().unwrap());
    assert!(!out.fill_buf().unwrap().is_empty());
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let times = ["interval", "jitter", "seen_after"];
    until(|| {
        let o = run(&["hz", &name, "--seconds", "2", "--json"]);
        assert!(o.status.success(), "{}", words(&o));
        let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        let n = |k: &str| v[k].as_u64().unwrap();
        let received = n("received");
        assert_eq!(n("frames"), received + n("missed") + n("rejected"));
        assert_eq!(v["acquired_before"], serde_json::Value::Null, "no stream says when");
        assert_eq!((&v["bytes_per_frame"], &v["publish_times"]), (&64.into(), &true.into()));
        for what in times {
            let n = |k: &str| v[what][k].as_u64().unwrap();
            let ordered = n("min_ns") <= n("p50_ns") && n("p50_ns") <= n("p99_ns") && n("p99_ns") <= n("max_ns");
            assert!(ordered, "{what}: {v:#}");
        }
        let readers = v["readers"].as_array().unwrap();
        assert_eq!((readers.len(), &readers[0]["pid"]), (1, &reader.child.id().into()));
        // How much it has seen, and how evenly, is that of a machine with time for all of them.
        eprintln!("about 100 Hz, and {v:#}");
        received > 50
            && v["rate_hz"].as_f64().is_some_and(|rate| (50.0..150.0).contains(&rate))
            && times.iter().all(|&what| v[what]["count"].as_u64().unwrap() > 20)
            && (5_000_000..20_000_000).contains(&v["interval"]["p50_ns"].as_u64().unwrap())
            && readers[0]["taken_after"]["count"].as_u64().unwrap() > 5
    });
    let o = run(&["hz", &name, "--seconds", "1.2"]);
    let text = String::from_utf8(o.stdout).unwrap();
    for line in ["region ", "rate ", "interval ", "jitter ", "seen after ", "reader 0 "] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}: {text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn read_picks_streams_and_frames() {
    if common::cannot_run() {
        return;
    }
    let name = unique("pick");
    let _serve = common::serve(&name, &["--echo", "--slots", "8"]);
    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        let o = run(&[&["read", &name, "--json"], args].concat());
        assert!(common::was_read(&o), "{args:?}: {}", words(&o));
        o.stdout.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
    };
    for attach in [&[][..], &["--attach"]] {
        let all = lines(&[&["--all", "--frames", "20"], attach].concat());
        let ids: Vec<u64> = all.iter().map(|f| f["frame_id"].as_u64().unwrap()).collect();
        assert!(ids.windows(2).all(|w| w[1] > w[0]), "{ids:?}");
        // What is not there has been counted.
        let last = all.last().unwrap()["missed"].as_u64().unwrap() - all[0]["missed"].as_u64().unwrap();
        assert_eq!(ids[19] - ids[0], 19 + last);
        assert_eq!(all[0]["streams"].as_object().unwrap().len(), 3);
        let tenth =
            lines(&[&["--every", "10", "--frames", "3", "--stream", "tick_seq", "--stream", "43"], attach].concat());
        let ids: Vec<u64> = tenth.iter().map(|f| f["frame_id"].as_u64().unwrap()).collect();
        assert!(ids.windows(2).all(|w| w[1] >= w[0] + 10), "{ids:?}");
        let names: Vec<&String> = tenth[0]["streams"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["tick_seq", "tick_sim"]);
        let start = std::time::Instant::now();
        let slow = lines(&[&["--every", "200ms", "--frames", "4"], attach].concat());
        assert!(slow.len() == 4 && start.elapsed().as_millis() >= 500);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_doctor_finds_this_machine_usable() {
    if common::cannot_run() {
        return;
    }
    let o = run(&["doctor", "--json"]);
    assert!(o.status.success(), "{}", words(&o));
    let v: serde_json::Value = common::lines(&o).into();
    let areas: Vec<&str> = v.as_array().unwrap().iter().map(|f| f["area"].as_str().unwrap()).collect();
    for area in ["memory", "trial", "locks", "waiting", "containers", "regions", "clock", "processor", "pages"] {
        assert!(areas.contains(&area), "{area} is not among {areas:?}");
    }
    for f in v.as_array().unwrap() {
        assert!(f["state"] == "ok" || f["remedy"].is_string(), "no remedy: {f}");
    }
    let o = run(&["doctor"]);
    assert!(String::from_utf8_lossy(&o.stdout).contains("a region was made, opened read-only and removed again"));
}
