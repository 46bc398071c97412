//! Which regions are recorded, and what is made of recordings.

#![cfg(target_os = "linux")]

mod common;

use common::{Folder, Running, cannot_run, lines, run, serve, shmx, unique, until, was_read, words};
use shmx::{Server, Stream};
use std::process::Stdio;

/// Publishes eight frames of three vectors and a number.
fn vectors(name: &str) -> Server {
    let (pos, n) = (Stream::<[f32; 2]>::new(1, "pos"), Stream::<u64>::new(2, "n"));
    let mut server = Server::builder(name).slots(16).stream(pos, 3).stream(n, 1).create().unwrap();
    for i in 0..8_u8 {
        let mut frame = server.begin_frame().unwrap();
        let at = f32::from(i) / 2.0;
        frame.append_stream(pos, &[[at, 0.1], [at + 1.0, 0.2], [at + 2.0, f32::NAN]]).unwrap();
        frame.append_stream(n, &[u64::MAX - u64::from(i)]).unwrap();
        frame.publish_frame(f64::from(i)).unwrap();
    }
    server
}

#[test]
fn patterns_all_and_exceptions_choose_regions() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("choose");
    let prefix = unique("choose");
    let name = |tag: &str| common::Name(format!("{}-{tag}", &*prefix));
    let (a, b, raw, late) = (name("a"), name("b"), name("a-raw"), name("late"));
    let _servers = [&a, &b, &raw].map(|n| serve(n, &["--slots", "64"]));
    let (file, pattern) = (folder.path("a.mcap"), format!("{}-*", &*prefix));
    let record = Running::start({
        let mut c = shmx(&["record", &pattern, "--exclude", "*-raw", "-o", &file, "--flush", "10ms", "--json"]);
        c.stdout(Stdio::piped());
        c
    });
    let regions = || -> Vec<String> {
        let info = lines(&run(&["info", &file, "--json"]));
        let Some(all) = info.first().and_then(|v| v["regions"].as_array()) else { return Vec::new() };
        all.iter().filter(|r| r["frames_read"] != 0).map(|r| r["region"].as_str().unwrap().to_owned()).collect()
    };
    until(|| regions().len() == 2);
    let _late = serve(&late, &["--slots", "64"]);
    until(|| regions().len() == 3);
    common::signal(&record.child, "INT");
    let o = record.output();
    assert!(was_read(&o), "{}", words(&o));
    let mut found = regions();
    found.sort();
    assert_eq!(found, [&*a, &*b, &*late]);
    // A file of its own name, in the folder in which it was started.
    let mut c = shmx(&["record", &a, "--frames", "3", "--every", "2", "--sync", "file", "--json"]);
    let o = Running::start({
        c.current_dir(&folder.dir());
        c
    })
    .output();
    assert!(was_read(&o), "{}", words(&o));
    let v = &lines(&o)[0];
    let made = folder.path(v["file"].as_str().unwrap());
    assert!(v["file"].as_str().unwrap().starts_with("shmx-2") && std::path::Path::new(&made).exists(), "{v}");
    assert!(v["frames"] == 3 && v["syncs"] == 1 && v["skipped"].as_u64().unwrap() >= 2, "{v}");
    // What never comes is said, and what it waits for before.
    let nothing = folder.path("n.mcap");
    let o = run(&["record", "no-such-region-*", "-o", &nothing, "--seconds", "1.3"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("waiting: no region matches yet"), "{}", words(&o));
    assert!(!std::path::Path::new(&nothing).exists());
    assert_eq!(run(&["record", "-o", &nothing]).status.code(), Some(2), "neither a name nor --all");
}

#[test]
fn recordings_are_cut_merged_converted_and_recovered() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("rec");
    let (a, b) = (unique("a"), unique("b"));
    let _servers = [vectors(&a), vectors(&b)];
    let [one, two, out, other] = ["1.mcap", "2.mcap", "o.mcap", "p.mcap"].map(|f| folder.path(f));
    for (name, file) in [(&a, &one), (&b, &two)] {
        let o = run(&["record", name, "-o", file, "--ring", "--frames", "8"]);
        assert!(was_read(&o), "{}", words(&o));
    }
    let info = |file: &str| lines(&run(&["info", file, "--json"]))[0].clone();
    let o = run(&["rec", &one, &two, "-o", &out, "--compress", "zstd"]);
    assert!(o.status.success(), "{}", words(&o));
    let v = info(&out);
    let read: Vec<_> = v["regions"].as_array().unwrap().iter().map(|r| r["frames_read"].clone()).collect();
    assert_eq!((read, &v["problems"]), (vec![8.into(), 8.into()], &serde_json::json!([])));
    assert_eq!(run(&["rec", &one, "-o", &out]).status.code(), Some(1), "it exists");
    assert_eq!(run(&["rec", &out, "-o", &out, "--overwrite"]).status.code(), Some(1), "it is being read");
    assert!(run(&["rec", &out, "-o", &other, "--region", &b, "--to", "1h"]).status.success());
    assert_eq!(info(&other)["regions"].as_array().unwrap().len(), 1);
    let o = run(&["rec", &one, "-o", &other, "--overwrite", "--from", "1h"]);
    assert_eq!(o.status.code(), Some(1), "{}", words(&o));
    let bytes = std::fs::read(&one).unwrap();
    let torn = folder.path("torn.mcap");
    std::fs::write(&torn, &bytes[..bytes.len() - 100]).unwrap();
    let o = run(&["rec", &torn, "-o", &other, "--overwrite"]);
    assert_eq!(o.status.code(), Some(3), "{}", words(&o));
    assert_eq!(run(&["info", &other]).status.code(), Some(0));
    assert_eq!(run(&["rec", &one, "-o", &other, "--stream", "n"]).status.code(), Some(2));
}

#[test]
fn streams_become_tables_and_arrays() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("export");
    let name = unique("export");
    let _server = vectors(&name);
    let [file, csv, npy] = ["a.mcap", "a.csv", "a.npy"].map(|f| folder.path(f));
    assert!(was_read(&run(&["record", &name, "-o", &file, "--ring", "--frames", "8"])));
    assert!(run(&["rec", &file, "-o", &csv, "--stream", "n"]).status.success());
    let table = std::fs::read_to_string(&csv).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(rows[0], ["frame_id", "time_ns", "sim_time", "element", "n"]);
    assert_eq!((rows.len(), &rows[1][3..], rows[1][0]), (9, &["0", "18446744073709551615"][..], "1"));
    assert_eq!(run(&["rec", &file, "-o", &csv, "--stream", "n"]).status.code(), Some(1), "it exists");
    assert!(run(&["rec", &file, "-o", &csv, "--stream", "1", "--overwrite"]).status.success());
    let table = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 1 + 8 * 3);
    assert!(table.starts_with("frame_id,time_ns,sim_time,element,pos[0],pos[1]\n"), "{table}");
    assert!(table.lines().nth(3).unwrap().ends_with(",2,2.0,NaN"), "{table}");
    assert!(run(&["rec", &file, "-o", &npy, "--stream", "pos"]).status.success());
    let bytes = std::fs::read(&npy).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (8, 3, 2,)"));
    let values: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!((values.len(), &values[6..11], values[5].is_nan()), (48, &[0.5, 0.1, 1.5, 0.2, 2.5][..], true));
    for (args, code) in [
        (&["rec", &file, "-o", &csv][..], 2),
        (&["rec", &file, "-o", &csv, "--stream", "nothing", "--overwrite"], 1),
        (&["rec", &file, "-o", &csv, "--stream", "n", "--region", "nobody", "--overwrite"], 1),
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(code), "{args:?}: {}", words(&o));
    }
}

#[test]
fn a_replay_has_other_names_and_takes_its_time() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("remap");
    let (name, file, new) = (unique("remap"), folder.path("a.mcap"), unique("new"));
    let server = serve(&name, &["--slots", "64"]);
    assert!(was_read(&run(&["record", &name, "-o", &file, "--frames", "30"])));
    drop(server);
    let info = lines(&run(&["info", &file, "--json"]))[0].clone();
    let lasts = (info["last_ns"].as_u64().unwrap() - info["first_ns"].as_u64().unwrap()) as f64 / 1e9;
    let (remap, start) = (format!("{}={}", &*name, &*new), std::time::Instant::now());
    let o = run(&["play", &file, "--remap", &remap, "--rate", "0.5", "--stream", "tick_seq", "--json"]);
    assert!(o.status.success(), "{}", words(&o));
    // A player that ignored time would be through at once.
    assert!(start.elapsed().as_secs_f64() >= lasts * 2.0, "{:?} for {lasts} s at half speed", start.elapsed());
    assert!(lines(&o)[0]["published"] == 30 && words(&o).contains(&format!("playing `{}`", &*new)), "{}", words(&o));
    for wrong in [&["--remap", "x"][..], &["--remap", "=x"]] {
        assert_eq!(run(&[&["play", &*file], wrong].concat()).status.code(), Some(2));
    }
    for wrong in [&["--remap", "nobody=x"][..], &["--stream", "nothing"]] {
        let o = run(&[&["play", &*file], wrong].concat());
        assert!(o.status.code() == Some(1) && words(&o).contains("no "), "{}", words(&o));
    }
}
