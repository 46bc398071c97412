//! Exports of recordings that are not one piece: restarts, parts without frames, interruptions, inputs as outputs.

#![cfg(target_os = "linux")]

use crate::common::{Folder, cannot_run, run, unique, was_read, words};
use shmx::{Server, ServerBuilder, Stream};
use shmx_record::{Cursor, Item, Recording};

/// Records a life of a region: three frames with this element of a stream.
fn life(file: &str, builder: ServerBuilder, id: u32, element: &[u8]) {
    let mut server = builder.slots(8).create().unwrap();
    for n in 0..3 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_raw(id, 1, element).unwrap();
        frame.publish_frame(f64::from(n)).unwrap();
    }
    let o = run(&["record", server.name(), "-o", file, "--ring", "--frames", "3", "--overwrite"]);
    assert!(was_read(&o), "{}", words(&o));
}

/// The publish times of a recording's frames.
fn times(file: &str) -> Vec<u64> {
    let mut cursor = Cursor::new(Recording::open(&[file]).unwrap());
    let time = |item| if let Item::Frame(f) = item { Some(f.time) } else { None };
    std::iter::from_fn(|| cursor.next_item()).filter_map(time).collect()
}

#[test]
fn a_stream_that_a_restart_has_changed_is_found_by_its_name_or_refused() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("restart");
    let name = unique("restart");
    let [one, two, both, out] = ["1.mcap", "2.mcap", "b.mcap", "o.csv"].map(|f| folder.path(f));
    let server = || Server::builder(&*name);
    let merge = || {
        let o = run(&["rec", &one, &two, "-o", &both, "--overwrite"]);
        assert!(o.status.success(), "{}", words(&o));
    };
    let export = |out: &str, more: &[&str]| run(&[&["rec", &both, "--stream", "v", "-o", out], more].concat());
    let pair = |a: f32, b: f32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
    life(&one, server().stream(Stream::<[f32; 2]>::new(1, "v"), 1), 1, &pair(0.5, 1.5));
    // Another number, which was something else's before.
    let other = server().stream(Stream::<u8>::new(1, "w"), 1).stream(Stream::<[f32; 2]>::new(7, "v"), 1);
    life(&two, other, 7, &pair(2.5, 3.5));
    merge();
    let o = export(&out, &[]);
    assert!(o.status.success(), "{}", words(&o));
    let table = std::fs::read_to_string(&out).unwrap();
    let rows: Vec<&str> = table.lines().skip(1).map(|l| l.splitn(5, ',').last().unwrap()).collect();
    assert_eq!(rows, ["0.5,1.5", "0.5,1.5", "0.5,1.5", "2.5,3.5", "2.5,3.5", "2.5,3.5"], "{table}");
    // Another type.
    life(&two, server().stream(Stream::<f64>::new(1, "v"), 1), 1, &4.5_f64.to_ne_bytes());
    merge();
    for ending in ["csv", "parquet", "npy", "npz"] {
        let out = folder.path(&format!("t.{ending}"));
        let o = export(&out, &[]);
        assert_eq!(o.status.code(), Some(1), "{ending}: {}", words(&o));
        assert!(words(&o).contains("segment 2") && words(&o).contains("f64"), "{}", words(&o));
        assert!(!std::path::Path::new(&out).exists(), "{ending}");
    }
    let times = times(&both);
    // A part that has one of them only.
    let behind = format!("{}ms", (times[3] - times[0]) as f64 / 1e6);
    let o = export(&out, &["--from", &behind, "--overwrite"]);
    assert!(o.status.success(), "{}", words(&o));
    let table = std::fs::read_to_string(&out).unwrap();
    assert!(table.lines().skip(1).all(|l| l.ends_with(",4.5")) && table.lines().count() == 4, "{table}");
    // None at all.
    life(&two, server().stream(Stream::<f32>::new(1, "w"), 1), 1, &4.5_f32.to_ne_bytes());
    merge();
    let o = export(&out, &["--overwrite"]);
    assert!(o.status.success() && words(&o).contains("3 frames left out"), "{}", words(&o));
    // Images of another size.
    for (file, width) in [(&one, 1), (&two, 2)] {
        let pixels = Stream::<u8>::new(1, "v");
        life(file, server().image(pixels, 1, width, "mono8"), 1, &[7]);
    }
    merge();
    let o = export(&folder.path("v.rgb"), &[]);
    assert!(o.status.code() == Some(1) && words(&o).contains("mono8 2x1"), "{}", words(&o));
}

#[test]
fn an_export_does_not_replace_what_it_reads() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("itself");
    let name = unique("itself");
    let [file, picture] = ["a.mcap", "p-000002.png"].map(|f| folder.path(f));
    let server = Server::builder(&*name).image(Stream::<u8>::new(1, "v"), 1, 1, "mono8");
    life(&file, server, 1, &[7]);
    std::fs::hard_link(&file, &picture).unwrap();
    let before = std::fs::read(&file).unwrap();
    for (format, out) in [("csv", file.clone()), ("npy", picture.clone()), ("png", folder.path("p.png"))] {
        let o = run(&["rec", &file, "--stream", "v", "--format", format, "-o", &out, "--overwrite"]);
        assert_eq!(o.status.code(), Some(1), "{format}: {}", words(&o));
        assert!(words(&o).contains("is one of the files that are read"), "{}", words(&o));
        assert!(std::fs::read(&file).unwrap() == before && std::fs::read(&picture).unwrap() == before, "{format}");
    }
    let o = run(&["rec", &file, "-o", &folder.path("r.mcap"), "--rotate-size", "1M"]);
    assert!(o.status.success() && words(&o).contains("r-0001.mcap"), "{}", words(&o));
}

#[test]
fn an_export_of_nothing_is_an_error_and_replaces_nothing() {
    if cannot_run() {
        return;
    }
    let folder = Folder::new("nothing");
    let name = unique("nothing");
    let file = folder.path("a.mcap");
    life(&file, Server::builder(&*name).image(Stream::<u8>::new(1, "v"), 1, 1, "mono8"), 1, &[7]);
    for ending in ["csv", "parquet", "npy", "npz", "png", "rgb"] {
        let out = folder.path(&format!("o.{ending}"));
        std::fs::write(&out, "before").unwrap();
        let o = run(&["rec", &file, "--stream", "v", "-o", &out, "--from", "100s", "--overwrite"]);
        assert!(o.status.code() == Some(1) && words(&o).contains("no frame"), "{ending}: {}", words(&o));
        assert_eq!(std::fs::read(&out).unwrap(), b"before", "{ending}");
    }
}
