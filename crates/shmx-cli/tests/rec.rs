//! Which regions are recorded, and what is made of recordings.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Running, cannot_run, lines, run, serve, shmx, unique, until, was_read, words};
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
        c.current_dir(folder.dir());
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

/// Another process may cut a region short at any time, which ends who has it open.
#[test]
fn what_is_not_recorded_is_not_opened() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("others");
    let (name, other) = (unique("wanted"), unique("unwanted"));
    let _serve = [serve(&name, &[]), serve(&other, &[])];
    let (file, pattern) = (folder.path("a.mcap"), format!("{}*", &*name));
    let record = Running::start(shmx(&["record", &pattern, "-o", &file, "--flush", "10ms"]));
    until(|| !lines(&run(&["info", &file, "--json"])).is_empty());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", record.child.id())).unwrap();
    common::signal(&record.child, "INT");
    assert!(was_read(&record.output()));
    assert!(maps.contains(&*name) && !maps.contains(&*other), "{maps}");
}

/// Numbered files have other names than the one that was given, and the oldest may be gone.
#[test]
fn the_files_that_there_are_are_named() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("paths");
    let name = unique("paths");
    let _serve = serve(&name, &["--slots", "64"]);
    let record = |more: &[&str]| {
        let file = folder.path("r.mcap");
        let o = run(&[&["record", &name, "-o", &file, "--frames", "60", "--overwrite", "--json"], more].concat());
        assert!(was_read(&o), "{}", words(&o));
        let v = lines(&o)[0].clone();
        let paths: Vec<String> = v["paths"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().into()).collect();
        assert!(paths.iter().all(|p| std::path::Path::new(p).exists()), "{v}");
        assert_eq!(
            (&v["file"], paths.len() as u64),
            (&v["paths"][0], v["files"].as_u64().unwrap() - v["removed"].as_u64().unwrap())
        );
        assert!(words(&o).contains(&format!("`{}`", paths[0])), "{}", words(&o));
        (v, paths)
    };
    assert_eq!(record(&[]).1, [folder.path("r.mcap")]);
    // Each frame begins a file.
    let (v, paths) = record(&["--rotate-every", "1us"]);
    assert_eq!((v["files"].as_u64(), &paths[0]), (Some(60), &folder.path("r-0001.mcap")));
    let (v, paths) = record(&["--rotate-every", "1us", "--keep-size", "100K"]);
    assert!(v["removed"].as_u64() > Some(0) && paths[0] > folder.path("r-0001.mcap"), "{v}");
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
    // The same values to stdout, and in the formats that `cargo xtask record-test` has other programs read.
    let o = run(&["rec", &file, "-o", "-", "--format", "csv", "--stream", "pos"]);
    assert!(o.status.success() && o.stdout == table.as_bytes(), "{}", words(&o));
    for (ending, magic, end) in [("npz", &b"PK\x03\x04"[..], &[0, 0][..]), ("parquet", b"PAR1", b"PAR1")] {
        let out = folder.path(&format!("a.{ending}"));
        let o = run(&["rec", &file, "-o", &out, "--stream", "pos"]);
        assert!(o.status.success(), "{}", words(&o));
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes.starts_with(magic) && bytes.ends_with(end), "{ending}: {} bytes", bytes.len());
    }
    for (args, code) in [
        (&["rec", &file, "-o", "-", "--stream", "n"][..], 2),
        (&["rec", &file, "-o", "-", "--format", "csv", "--stream", "n", "--json"], 2),
        (&["rec", &file, "-o", "-", "--format", "png", "--stream", "n"], 1),
        (&["rec", &file, "-o", &folder.path("a.png"), "--stream", "n"], 1),
        (&["rec", &file, "-o", &csv], 2),
        (&["rec", &file, "-o", &csv, "--stream", "nothing", "--overwrite"], 1),
        (&["rec", &file, "-o", &csv, "--stream", "n", "--region", "nobody", "--overwrite"], 1),
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(code), "{args:?}: {}", words(&o));
    }
}

#[test]
fn images_become_pictures_and_video() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("pictures");
    let name = unique("pictures");
    let (bgr, deep, jpeg) =
        (Stream::<[u8; 3]>::new(1, "bgr"), Stream::<u16>::new(2, "deep"), Stream::<u8>::new(3, "jpeg"));
    let builder = Server::builder(&*name).slots(16).image(bgr, 2, 3, "bgr8").image(deep, 2, 3, "mono16");
    let jpegs = shmx::StreamSpec::of::<u8>(3, "jpeg").extra(r#"{"role":"image","encoding":"jpeg","shape":[2,3]}"#);
    let mut server = builder.stream(jpegs, 64).create().unwrap();
    for n in 0..3_u8 {
        let mut frame = server.begin_frame().unwrap();
        let pixels: Vec<[u8; 3]> = (0..6).map(|i| [i, 10 * i, 100 + n]).collect();
        frame.append_stream(bgr, &pixels).unwrap();
        frame.append_stream(deep, &[0, 1, 256, 1000, 40_000, 65_535]).unwrap();
        frame.append_stream(jpeg, &[0xFF, 0xD8, n]).unwrap();
        frame.publish_frame(f64::from(n)).unwrap();
    }
    let file = folder.path("a.mcap");
    assert!(was_read(&run(&["record", &name, "-o", &file, "--ring", "--frames", "3"])));
    let rec =
        |to: &str, stream: &str, more: &[&str]| run(&[&["rec", &file, "-o", to, "--stream", stream], more].concat());
    let o = rec(&folder.path("b.png"), "bgr", &[]);
    assert!(o.status.success(), "{}", words(&o));
    assert!(rec(&folder.path("d.png"), "deep", &[]).status.success());
    let picture = |file: &str| {
        let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(folder.path(file)).unwrap()))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        ((info.width, info.height), pixels)
    };
    let rgb = |n: u8| (0..6).flat_map(|i| [100 + n, 10 * i, i]).collect::<Vec<u8>>();
    for n in 0..3 {
        assert_eq!(picture(&format!("b-00000{}.png", n + 1)), ((3, 2), rgb(n)));
    }
    let deep = [0_u16, 1, 256, 1000, 40_000, 65_535].iter().flat_map(|v| v.to_be_bytes()).collect();
    assert_eq!(picture("d-000003.png"), ((3, 2), deep), "16 bits stay 16 bits");
    assert_eq!(rec(&folder.path("b.png"), "bgr", &[]).status.code(), Some(1), "they exist");
    assert!(rec(&folder.path("b.png"), "bgr", &["--overwrite"]).status.success());
    let o = rec("-", "bgr", &["--format", "rgb"]);
    assert_eq!(o.stdout, (0..3).flat_map(rgb).collect::<Vec<u8>>(), "{}", words(&o));
    assert!(words(&o).contains("-video_size 3x2"), "{}", words(&o));
    let o = rec(&folder.path("j.png"), "jpeg", &[]);
    assert!(o.status.code() == Some(1) && words(&o).contains("ends in .jpg"), "{}", words(&o));
    assert!(rec(&folder.path("j.jpg"), "jpeg", &[]).status.success());
    assert_eq!(std::fs::read(folder.path("j-000002.jpg")).unwrap(), [0xFF, 0xD8, 1]);
}

/// A server that has heard of two readers what it hears again.
#[test]
fn a_steered_run_is_steered_again() {
    if cannot_run() {
        return;
    }
    const USER: u32 = shmx::abi::TLV_CONTROL_USER;
    let folder = Folder::new("steer");
    let (name, file) = (unique("steer"), folder.path("a.mcap"));
    let make = || Server::builder(&*name).stream(Stream::<u64>::new(1, "t"), 1).slots(8).create().unwrap();
    let mut server = make();
    let mut c = shmx(&["record", &name, "-o", &file, "--control", "--flush", "10ms", "--json"]);
    let record = Running::start({
        c.stdout(Stdio::piped());
        c
    });
    let publish = |server: &mut Server| {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[1_u64]).unwrap();
        frame.publish_frame(0.0).unwrap();
    };
    publish(&mut server);
    let info = || lines(&run(&["info", &file, "--json"])).first().map(|v| v["regions"][0].clone()).unwrap_or_default();
    until(|| info()["frames_read"] == 1);
    let readers = [shmx::Client::open(&name).unwrap(), shmx::Client::open(&name).unwrap()];
    let mut sent = Vec::new();
    for n in 0..20_u8 {
        let body = vec![n; usize::from(n)];
        readers[usize::from(n % 2)].control_send(USER + u32::from(n), &body).unwrap();
        sent.push((USER + u32::from(n), body));
        // Some are taken at once.
        if n < 10 {
            server.poll_control(100);
        }
    }
    until(|| info()["control"].as_u64().is_some_and(|n| n >= 10));
    server.poll_control(100);
    drop(readers);
    until(|| info()["control"] == 20);
    common::signal(&record.child, "INT");
    let o = record.output();
    assert!(was_read(&o), "{}", words(&o));
    assert_eq!((&lines(&o)[0]["control"], &lines(&o)[0]["regions"][0]["control_lost_bytes"]), (&20.into(), &0.into()));
    drop(server);
    // What is copied has them, too.
    let copy = folder.path("b.mcap");
    assert!(run(&["rec", &file, "-o", &copy, "--compress", "lz4"]).status.success());
    assert_eq!(run(&["play", &copy, "--control"]).status.code(), Some(1), "there is no server");
    let server = make();
    let play = Running::start({
        let mut c = shmx(&["play", &copy, "--control", "--rate", "max", "--json"]);
        c.stdout(Stdio::piped());
        c
    });
    let mut heard = Vec::new();
    until(|| {
        heard.extend(server.poll_control(100).messages);
        heard.len() >= 20
    });
    let o = play.output();
    assert!(o.status.success(), "{}", words(&o));
    assert_eq!(lines(&o)[0]["sent"], 20);
    for parity in 0..2 {
        let of = |n: &usize| n % 2 == parity;
        let mine: Vec<_> = (0..20).filter(of).map(|n| sent[n].clone()).collect();
        let index = heard.iter().find(|m| (m.ty - USER) as usize % 2 == parity).unwrap().reader_index;
        let own = heard.iter().filter(|m| m.reader_index == index).map(|m| (m.ty, m.data.clone())).collect::<Vec<_>>();
        assert_eq!(own, mine, "one reader's in its order");
    }
    let o = run(&["play", &file, "--control", "--loop"]);
    assert_eq!(o.status.code(), Some(2));
}

#[test]
fn one_message_is_not_said_as_many() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("single");
    let (name, file) = (unique("single"), folder.path("a.mcap"));
    let mut server = Server::builder(&*name).stream(Stream::<u64>::new(1, "t"), 1).create().unwrap();
    let record = Running::start(shmx(&["record", &name, "-o", &file, "--control", "--flush", "10ms"]));
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &[1_u64]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let info = || lines(&run(&["info", &file, "--json"])).first().map(|v| v["regions"][0].clone()).unwrap_or_default();
    until(|| info()["frames_read"] == 1);
    let client = shmx::Client::open(&name).unwrap();
    client.control_send(shmx::abi::TLV_CONTROL_USER, &[]).unwrap();
    server.poll_control(100);
    drop(client);
    until(|| info()["control"] == 1);
    common::signal(&record.child, "INT");
    assert!(words(&record.output()).contains(", 1 control message, "));
    // It comes after the frame, and long after it at this rate.
    let mut play = Running::start(shmx(&["play", &file, "--control", "--rate", "0.0001"]));
    assert!(play.line().ends_with("as 1 reader, 1 message"));
    common::signal(&play.child, "INT");
    let said = words(&play.output());
    assert!(said.contains("0 of 1 message was sent"), "{said}");
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
