//! The last frames, kept in memory and written when asked.

use crate::common::{Folder, V, frames, publish, unique, until};
use shmx::{Client, Server, StreamSpec};
use shmx_record::{Recorder, RecorderEvent, RecorderOptions, Recording};
use std::path::PathBuf;
use std::time::Duration;

fn server(name: &str) -> Server {
    Server::builder(name).slots(64).stream(V, 1).create().unwrap()
}

/// Asks for a snapshot: its file, and the ids of its frames.
fn snapshot(recorder: &Recorder) -> (PathBuf, Vec<u64>) {
    recorder.snapshot();
    written(recorder)
}

fn written(recorder: &Recorder) -> (PathBuf, Vec<u64>) {
    let mut found = None;
    until("it is written", || {
        while let Some(event) = recorder.next_event() {
            if let RecorderEvent::Snapshot { path, frames, .. } = event {
                found = Some((path, frames));
            }
        }
        found.is_some()
    });
    let (path, count) = found.unwrap();
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
