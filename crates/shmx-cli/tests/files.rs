//! Files that commands write and read: whatever has their name, whoever may look at them, whatever becomes of them.

#![cfg(target_os = "linux")]

use crate::common::{self, Folder, Running, cannot_run, run, serve, shmx, unique, until, words};
use shmx::{Server, Stream};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_no_regular_file_is_written_through_and_never_replaced() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("through");
    let name = unique("through");
    let _serve = serve(&name, &[]);
    // A link stays one, and what it leads to is replaced.
    let (link, real) = (folder.path("link"), folder.path("real"));
    std::fs::write(&real, "before").unwrap();
    symlink(&real, &link).unwrap();
    assert!(run(&["dump", &name, &link]).status.success());
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::metadata(&real).unwrap().len() > 100_000);
    let (dangling, new) = (folder.path("dangling"), folder.path("new"));
    symlink(&new, &dangling).unwrap();
    assert!(run(&["dump", &name, &dangling]).status.success());
    assert!(std::fs::symlink_metadata(&dangling).unwrap().is_symlink() && Path::new(&new).exists());
    // A pipe gets the bytes.
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let dump = Running::start(shmx(&["dump", &name, &pipe]));
    let mut bytes = Vec::new();
    std::fs::File::open(&pipe).unwrap().read_to_end(&mut bytes).unwrap();
    let o = dump.output();
    assert!(o.status.success() && bytes.len() > 100_000, "{} bytes, {}", bytes.len(), words(&o));
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    // A device, of the test's own: the one of the machine is not put at risk.
    let device = folder.path("null");
    let made = Command::new("mknod").args([&device, "c", "1", "3"]).status().is_ok_and(|s| s.success());
    if made && std::fs::OpenOptions::new().write(true).open(&device).is_ok() {
        let recording = folder.path("r.mcap");
        assert!(common::was_read(&run(&["record", &name, "-o", &recording, "--frames", "3"])));
        for args in [
            &["dump", &name, &device][..],
            &["view", &name, "--svg", &device],
            &["rec", &recording, "--stream", "42", "--format", "csv", "-o", &device],
            &["rec", &recording, "--stream", "42", "--format", "npy", "-o", &device],
            &["rec", &recording, "--stream", "42", "--format", "parquet", "-o", &device],
        ] {
            let o = run(args);
            assert!(o.status.success(), "{args:?}: {}", words(&o));
            assert!(std::fs::symlink_metadata(&device).unwrap().file_type().is_char_device(), "{args:?} replaced it");
        }
    } else {
        eprintln!("not tried: devices cannot be made here");
    }
    // A recording needs a file.
    for (path, more) in [(&pipe, "--overwrite"), (&folder.dir().to_string_lossy().into_owned(), "--overwrite")] {
        let o = run(&["record", &name, "-o", path, more, "--seconds", "0.1"]);
        assert_eq!(o.status.code(), Some(1));
        assert!(words(&o).contains("not a regular file"), "{}", words(&o));
    }
    let parts =
        std::fs::read_dir(folder.dir()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().contains("part"));
    assert_eq!(parts.count(), 0);
}

#[test]
fn copies_are_no_wider_than_their_region() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("private");
    for (region, widest) in [("0600", 0o600), ("0644", 0o644)] {
        let name = unique("private");
        let _serve = serve(&name, &["--mode", region, "--slots", "64"]);
        let (file, dump) = (folder.path(&format!("{region}.mcap")), folder.path(&format!("{region}.bin")));
        let script = "umask 022; \"$0\" dump \"$1\" \"$2\" && \"$0\" record \"$1\" -o \"$3\" --frames 5";
        let o =
            Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_shmx"), &name, &dump, &file]).output().unwrap();
        assert!(common::was_read(&o), "{}", words(&o));
        assert_eq!([mode(&dump), mode(&file)], [widest; 2], "of a region of mode {region}");
        // What is made of it is no wider either.
        let made = ["svg", "csv", "npz", "parquet", "copy.mcap"].map(|end| folder.path(&format!("{region}.{end}")));
        for (path, args) in made.iter().zip([
            &["view", &file, "--svg"][..],
            &["rec", &file, "--stream", "42", "-o"],
            &["rec", &file, "--stream", "42", "-o"],
            &["rec", &file, "--stream", "42", "-o"],
            &["rec", &file, "-o"],
        ]) {
            let script = "umask 022; exec \"$0\" \"$@\"";
            let o = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_shmx")]).args(args).arg(path).output();
            let o = o.unwrap();
            assert!(o.status.success() && mode(path) & !widest == 0, "{path}: {:o}: {}", mode(path), words(&o));
        }
        // A file that others could read is not reused as it is.
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(common::was_read(&run(&["record", &name, "-o", &file, "--overwrite", "--frames", "5"])));
        assert_eq!(mode(&file) & !widest, 0, "{:o}", mode(&file));
    }
    // With one of each the narrower counts, also for the files of a rotation.
    let (open, closed) = (unique("open"), unique("closed"));
    let _serve = [serve(&open, &["--mode", "0644", "--slots", "64"]), serve(&closed, &["--slots", "64"])];
    let file = folder.path("both.mcap");
    let o = run(&["record", &open, &closed, "-o", &file, "--seconds", "0.6", "--rotate-every", "200ms"]);
    assert!(common::was_read(&o), "{}", words(&o));
    // On a busy machine the first file may be over before the second region is opened.
    let files =
        (1..).map(|n| folder.path(&format!("both-{n:04}.mcap"))).take_while(|f| std::path::Path::new(f).exists());
    let (mut all, mut with_both) = (0, 0);
    for file in files {
        let regions = common::lines(&run(&["info", &file, "--json"]))[0]["regions"].as_array().unwrap().len();
        assert!(regions == 1 || mode(&file) == 0o600, "{file}");
        (all, with_both) = (all + 1, with_both + usize::from(regions == 2));
    }
    assert!(all >= 2 && with_both >= 1, "{with_both} of {all}");
}

#[test]
fn a_file_that_is_changed_under_the_recorder_is_told() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("changed");
    let name = unique("changed");
    let _serve = serve(&name, &["--slots", "64"]);
    type Harm = fn(&str);
    let cases: [(&str, Harm); 3] = [
        ("was removed", |f| std::fs::remove_file(f).unwrap()),
        ("was cut short", |f| drop(std::fs::OpenOptions::new().write(true).truncate(true).open(f).unwrap())),
        ("was replaced", |f| {
            std::fs::write(format!("{f}.new"), "other").unwrap();
            std::fs::rename(format!("{f}.new"), f).unwrap();
        }),
    ];
    for (says, harm) in cases {
        let file = folder.path(&format!("{}.mcap", says.replace(' ', "-")));
        let record = Running::start(shmx(&["record", &name, "-o", &file, "--flush", "10ms"]));
        until(|| std::fs::metadata(&file).is_ok_and(|m| m.len() > 3000));
        // Another recorder must not empty it first.
        let o = run(&["record", &name, "-o", &file, "--overwrite", "--seconds", "0.1"]);
        assert_eq!(o.status.code(), Some(1));
        assert!(words(&o).contains("being written by another recorder"), "{}", words(&o));
        assert!(std::fs::metadata(&file).unwrap().len() > 3000);
        harm(&file);
        let o = record.output();
        assert_eq!(o.status.code(), Some(1), "{}", words(&o));
        assert!(words(&o).contains(says), "{}", words(&o));
    }
    // One that exists is refused with the way out.
    let file = folder.path("exists.mcap");
    std::fs::write(&file, "mine").unwrap();
    let o = run(&["record", &name, "-o", &file, "--seconds", "0.1"]);
    assert_eq!(o.status.code(), Some(1));
    assert!(words(&o).contains("--overwrite"), "{}", words(&o));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

/// A recording in several files, over a longer one of before: whoever gives all of them is told.
#[test]
fn files_left_over_from_another_recording_are_named() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("over");
    let name = unique("over");
    let _serve = serve(&name, &["--slots", "64"]);
    let file = folder.path("run.mcap");
    let files = [1, 2].map(|n| folder.path(&format!("run-{n:04}.mcap")));
    let record = |more: &[&str]| assert!(common::was_read(&run(&[&["record", &name, "-o", &file], more].concat())));
    record(&["--rotate-size", "1000", "--frames", "50"]);
    assert!(files.iter().all(|f| Path::new(f).exists()));
    record(&["--rotate-size", "1G", "--frames", "5", "--overwrite"]);
    let [now, before] = &files;
    let prefix = format!("{}-", &*unique("over"));
    let (copy, table) = (folder.path("copy.mcap"), folder.path("table.csv"));
    for (args, code) in [
        (&["info", before, now][..], 1),
        (&["play", now, before, "--prefix", &prefix, "--rate", "max"], 1),
        (&["rec", now, before, "-o", &table, "--stream", "42"], 3),
        // What is to be merged is merged, whatever it is called.
        (&["rec", now, before, "-o", &copy], 0),
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(code), "{args:?}: {}", words(&o));
        assert!(words(&o).contains(before.as_str()) && words(&o).contains("another recording"), "{}", words(&o));
    }
}

/// Files are read and not mapped: one that shrinks meanwhile gives an error, not a signal.
#[test]
fn a_file_that_shrinks_while_it_is_read_is_no_death() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("shrink");
    let name = unique("shrink");
    let mut server = Server::builder(&*name).slots(64).stream(Stream::<u64>::new(1, "t"), 4000).create().unwrap();
    let (dump, file) = (folder.path("a.bin"), folder.path("a.mcap"));
    let (copy, table) = (folder.path("copy.mcap"), folder.path("table.csv"));
    let record = Running::start(shmx(&["record", &name, "-o", &file, "--flush", "5ms"]));
    let mut n = 0_u64;
    until(|| {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[n; 4000]).unwrap();
        frame.publish_frame(0.0).unwrap();
        n += 1;
        std::fs::metadata(&file).is_ok_and(|m| m.len() > 4 << 20)
    });
    common::signal(&record.child, "INT");
    assert!(common::was_read(&record.output()));
    assert!(run(&["dump", &name, &dump]).status.success());
    let prefix = format!("{}-", &*unique("shrunk"));
    for (path, args) in [
        (&dump, &["inspect", "--file", &dump, "--once"][..]),
        (&file, &["info", &file]),
        (&file, &["play", &file, "--prefix", &prefix, "--rate", "max"]),
        (&file, &["view", &file, "--once"]),
        (&file, &["rec", &file, "-o", &copy, "--overwrite", "--no-views"]),
        (&file, &["rec", &file, "-o", &table, "--stream", "1", "--overwrite"]),
    ] {
        let bytes = std::fs::read(path).unwrap();
        for round in 0..5 {
            let reader = Running::start(shmx(args));
            // At some place of its way.
            std::thread::sleep(std::time::Duration::from_millis(round * 5));
            std::fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
            let o = reader.output();
            assert!(o.status.code().is_some(), "{args:?}: {:?}: {}", o.status, words(&o));
            assert!(!words(&o).contains("panicked"), "{args:?}: {}", words(&o));
            // The same file, so that nobody who has it open sees another one.
            std::fs::write(path, &bytes).unwrap();
        }
    }
    assert!(std::fs::metadata(&dump).unwrap().nlink() == 1);
}

#[test]
fn a_recording_lasts_as_long_as_it_was_told() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("lasts");
    let name = unique("lasts");
    let _serve = serve(&name, &["--slots", "64"]);
    let o = run(&["record", &name, "-o", &folder.path("a.mcap"), "--seconds", "1.5s", "--json"]);
    let v = &common::lines(&o)[0];
    // At the least it lasts that long. How much longer is up to the machine.
    let seconds = v["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.5, "{seconds}");
    let info = run(&["info", &folder.path("a.mcap"), "--json"]);
    let v = &common::lines(&info)[0];
    let recorded = (v["last_ns"].as_u64().unwrap() - v["first_ns"].as_u64().unwrap()) as f64 / 1e9;
    // Nothing of before but the newest frame; the ring has 0.64 s.
    assert!(recorded <= seconds + 0.3, "{recorded} s in {seconds} s");
    let o = run(&["record", &name, "-o", &folder.path("b.mcap"), "--seconds", "0.1", "--ring", "--json"]);
    assert!(common::lines(&o)[0]["frames"].as_u64().unwrap() >= 64, "{}", words(&o));
}
