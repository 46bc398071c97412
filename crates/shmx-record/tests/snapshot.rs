//! The last frames, kept in memory and written when asked.

mod common;

use common::{Folder, V, frames, publish, unique, until};
use shmx::{Client, Server, StreamSpec};
use shmx_record::{Recorder, RecorderEvent, RecorderOptions, Recording};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn server(name: &str) -> Server {
    Server::builder(name).slots(64).stream(V, 1).create().unwrap()
}

/// Asks for a snapshot: its file, and the ids of its frames.
fn snapshot(recorder: &Recorder) -> (PathBuf, Vec<u64>) {
    recorder.snapshot();
    written(recorder)
}

fn told(recorder: &Recorder) -> (Option<PathBuf>, u64) {
    let mut found = None;
    until("it is told", || {
        while let Some(event) = recorder.next_event() {
            if let RecorderEvent::Snapshot { path, frames, .. } = event {
                found = Some((path, frames));
            }
        }
        found.is_some()
    });
    found.unwrap()
}

fn written(recorder: &Recorder) -> (PathBuf, Vec<u64>) {
    let (path, count) = told(recorder);
    let path = path.unwrap();
    let ids: Vec<u64> = frames(&path).iter().map(|f| f.head.frame_id).collect();
    assert_eq!(ids.len() as u64, count);
    (path, ids)
}

fn taken(r: &Recorder) -> u64 {
    r.status().regions.iter().map(|r| r.taken).sum()
}

#[test]
fn what_was_kept_is_written_each_time_it_is_asked_for() {
    let folder = Folder::new("snap");
    let name = unique("snap");
    let mut options = RecorderOptions::default();
    options.snapshot = Some(Duration::from_secs(3600));
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    let mut first = server(&name);
    (1..=10).for_each(|n| publish(&mut first, n));
    first.add_stream(StreamSpec::of::<f32>(2, "more")).unwrap();
    until("all is taken", || taken(&recorder) == 10);
    // Somebody else's file is left alone.
    std::fs::write(folder.file("a-0001.mcap"), "mine").unwrap();
    let (path, ids) = snapshot(&recorder);
    assert_eq!((path, ids), (folder.file("a-0002.mcap"), (1..=10).collect()));
    drop(first);
    until("its end is seen", || !recorder.status().regions[0].open);
    let mut second = server(&name);
    publish(&mut second, 1);
    until("it is found", || taken(&recorder) == 11);
    // What is in the ring when it is asked for belongs to it.
    (2..=3).for_each(|n| publish(&mut second, n));
    let (path, ids) = snapshot(&recorder);
    assert_eq!(ids, (1..=10).chain(1..=3).collect::<Vec<u64>>());
    let segments = Recording::open(&[&path]).unwrap().segments();
    assert_eq!(segments.iter().map(|s| s.directory.streams.len()).collect::<Vec<_>>(), [2, 1]);
    let written = recorder.finish().unwrap();
    assert_eq!((written.snapshots, written.files, written.frames), (2, 2, 23));
    assert!(!folder.file("a.mcap").exists() && std::fs::read(folder.file("a-0001.mcap")).unwrap() == b"mine");
}

#[test]
fn a_reader_asks_by_a_control_message() {
    let folder = Folder::new("ask");
    let name = unique("ask");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    (options.snapshot, options.snapshot_on) = (Some(Duration::from_secs(3600)), Some(0x3001));
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    (1..=3).for_each(|n| publish(&mut server, n));
    until("all is taken", || taken(&recorder) == 3);
    let client = Client::open(&name).unwrap();
    client.control_send(0x3000, b"nothing").unwrap();
    client.control_send(0x3001, b"now").unwrap();
    assert_eq!(written(&recorder), (folder.file("a-0001.mcap"), vec![1, 2, 3]));
    // The server takes it at once, and it is heard all the same.
    publish(&mut server, 4);
    client.control_send(0x3001, b"again").unwrap();
    assert_eq!(server.poll_control(10).messages.len(), 3);
    client.control_send(0x3000, b"").unwrap();
    assert_eq!(written(&recorder), (folder.file("a-0002.mcap"), vec![1, 2, 3, 4]));
    // They are recorded only if that is asked for.
    let written = recorder.finish().unwrap();
    assert_eq!((written.snapshots, written.control), (2, 0));
}

/// Readers may ask without end.
#[test]
fn readers_are_given_one_a_second_and_the_last_request_is_not_lost() {
    let folder = Folder::new("often");
    let name = unique("often");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    (options.snapshot, options.snapshot_on) = (Some(Duration::from_secs(3600)), Some(0x3001));
    options.control = true;
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    publish(&mut server, 1);
    until("it is taken", || taken(&recorder) == 1);
    let start = Instant::now();
    let client = Client::open(&name).unwrap();
    for n in 1..=25 {
        client.control_send(0x3001, b"now").unwrap();
        until("it is seen", || recorder.status().regions[0].control == n);
    }
    publish(&mut server, 2);
    until("it is taken", || taken(&recorder) == 2);
    // Whoever runs the recorder is given one at any time.
    recorder.snapshot();
    until("both are written", || recorder.status().written.snapshots >= 2);
    publish(&mut server, 3);
    client.control_send(0x3001, b"last").unwrap();
    let written = recorder.finish().unwrap();
    let seconds = start.elapsed().as_secs();
    assert!(written.snapshots <= 3 + seconds, "{} in {seconds} s", written.snapshots);
    let last = folder.file(&format!("a-{:04}.mcap", written.snapshots));
    assert_eq!(frames(&last).len(), 3);
}

/// A server that does not listen leaves them in the ring.
#[test]
fn messages_from_before_the_recorder_ask_for_nothing() {
    let folder = Folder::new("old");
    let name = unique("old");
    let mut server = server(&name);
    publish(&mut server, 1);
    let client = Client::open(&name).unwrap();
    client.control_send(0x3001, b"long ago").unwrap();
    let mut options = RecorderOptions::default();
    (options.snapshot, options.snapshot_on) = (Some(Duration::from_secs(3600)), Some(0x3001));
    options.control = true;
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    until("both are seen", || taken(&recorder) == 1 && recorder.status().regions[0].control == 1);
    client.control_send(0x3000, b"no request").unwrap();
    until("it is seen", || recorder.status().regions[0].control == 2);
    publish(&mut server, 2);
    until("it is taken", || taken(&recorder) == 2);
    client.control_send(0x3001, b"now").unwrap();
    assert_eq!(written(&recorder), (folder.file("a-0001.mcap"), vec![1, 2]));
    let written = recorder.finish().unwrap();
    assert_eq!((written.snapshots, written.control), (1, 3), "they are recorded, up to the one that asked");
}

#[test]
fn one_that_fails_is_told_and_the_next_one_is_written() {
    let folder = Folder::new("fails");
    let name = unique("fails");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    options.snapshot = Some(Duration::from_secs(3600));
    let path = folder.file("later/a.mcap");
    let recorder = Recorder::start(&[&name], &path, options.clone()).unwrap();
    publish(&mut server, 1);
    until("it is taken", || taken(&recorder) == 1);
    let failed = |recorder: &Recorder| {
        recorder.snapshot();
        let mut found = None;
        until("it is told", || {
            if let Some(RecorderEvent::SnapshotFailed { what }) = recorder.next_event() {
                found = Some(what);
            }
            found.is_some()
        });
        found.unwrap()
    };
    let what = failed(&recorder);
    assert!(what.contains("cannot create") && what.contains("a-0001.mcap"), "{what}");
    std::fs::create_dir(folder.file("later")).unwrap();
    publish(&mut server, 2);
    until("it is taken", || taken(&recorder) == 2);
    assert_eq!(snapshot(&recorder), (folder.file("later/a-0001.mcap"), vec![1, 2]));
    let written = recorder.finish().unwrap();
    assert_eq!((written.snapshots, written.snapshots_failed), (1, 1));
    // Without room there is no file, however often one is asked for.
    options.writer.min_free = Some(u64::MAX);
    let recorder = Recorder::start(&[&name], &folder.file("b.mcap"), options).unwrap();
    until("the ring is taken", || taken(&recorder) == 2);
    for _ in 0..2 {
        let what = failed(&recorder);
        assert!(what.contains("bytes are free"), "{what}");
    }
    assert_eq!(recorder.finish().unwrap().snapshots_failed, 2);
    assert!(!folder.file("b-0001.mcap").exists());
}

/// Of the messages that are there when the recorder is stopped, too.
#[test]
fn a_reader_may_ask_last() {
    let folder = Folder::new("last");
    let name = unique("last");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    (options.snapshot, options.snapshot_on) = (Some(Duration::from_secs(3600)), Some(0x3001));
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    publish(&mut server, 1);
    until("it is taken", || taken(&recorder) == 1);
    // Not looked at again for some milliseconds.
    Client::open(&name).unwrap().control_send(0x3001, b"now").unwrap();
    assert_eq!(recorder.finish().unwrap().snapshots, 1);
    assert_eq!(frames(&folder.file("a-0001.mcap")).len(), 1);
}

#[test]
fn frames_without_the_streams_that_are_recorded_make_no_snapshot() {
    let folder = Folder::new("none");
    let name = unique("none");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    options.snapshot = Some(Duration::from_secs(3600));
    options.writer.streams = vec!["later".into()];
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    (1..=3).for_each(|n| publish(&mut server, n));
    until("all is taken", || taken(&recorder) == 3);
    recorder.snapshot();
    assert_eq!(told(&recorder), (None, 0));
    assert_eq!(std::fs::read_dir(folder.dir()).unwrap().count(), 0, "there is no file");
    server.add_stream(StreamSpec::of::<u8>(9, "later")).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_stream(9, &[7_u8]).unwrap();
    f.publish_frame(4.0).unwrap();
    until("the last one is taken", || taken(&recorder) == 4);
    assert_eq!(snapshot(&recorder), (folder.file("a-0001.mcap"), vec![4]));
    let written = recorder.finish().unwrap();
    // Once by each of the two.
    assert_eq!((written.frames, written.files, written.snapshots, written.left_out), (1, 1, 1, 6));
}

/// Readers may send without end.
#[test]
fn messages_that_are_kept_are_bounded_too() {
    let folder = Folder::new("flood");
    let name = unique("flood");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    (options.snapshot, options.control, options.backlog_bytes) = (Some(Duration::from_secs(3600)), true, 20_000);
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    until("it is there", || recorder.status().regions[0].open);
    let client = Client::open(&name).unwrap();
    for n in 1..=50 {
        client.control_send(0x3000, &[0; 1000]).unwrap();
        until("it is seen", || recorder.status().regions[0].control == n);
        assert_eq!(server.poll_control(10).messages.len(), 1);
    }
    publish(&mut server, 1);
    until("it is taken", || taken(&recorder) == 1);
    assert_eq!(snapshot(&recorder).1, [1]);
    let control = recorder.finish().unwrap().control;
    assert!((1..20).contains(&control), "{control}");
}

#[test]
fn what_is_kept_is_bounded_and_stands_alone() {
    let folder = Folder::new("bound");
    let name = unique("bound");
    let mut server = server(&name);
    let mut options = RecorderOptions::default();
    options.snapshot = Some(Duration::from_secs(3600));
    publish(&mut server, 1);
    let one = shmx::Tap::open(&name).unwrap().try_next().unwrap().unwrap().payload().len() as u64;
    options.backlog_bytes = 5 * one;
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    until("it is taken", || taken(&recorder) == 1);
    for n in 2..=30 {
        publish(&mut server, n);
        until("it is taken", || taken(&recorder) == n);
    }
    server.add_stream(StreamSpec::of::<f32>(2, "more")).unwrap();
    publish(&mut server, 31);
    until("it is taken", || taken(&recorder) == 31);
    let (path, ids) = snapshot(&recorder);
    // The beginning of the region is forgotten, and yet the file has it.
    assert_eq!(ids, [27, 28, 29, 30, 31]);
    let recording = Recording::open(&[&path]).unwrap();
    assert_eq!(recording.segments()[0].directory.streams.len(), 2);
    drop(recorder);
    // Without time to keep there is nothing to write.
    let mut options = RecorderOptions::default();
    options.snapshot = Some(Duration::ZERO);
    let recorder = Recorder::start(&[&name], &folder.file("b.mcap"), options).unwrap();
    until("the ring is taken", || taken(&recorder) == 31);
    recorder.snapshot();
    let mut told = None;
    until("it is told", || {
        let snapshot = |e: &RecorderEvent| matches!(e, RecorderEvent::Snapshot { .. });
        told = recorder.next_event().filter(snapshot);
        told.is_some()
    });
    assert!(matches!(told, Some(RecorderEvent::Snapshot { path: None, frames: 0, .. })), "{told:?}");
    let written = recorder.finish().unwrap();
    assert_eq!((written.snapshots, written.files, written.frames), (0, 0, 0));
    assert!(!folder.file("b-0001.mcap").exists());
}
