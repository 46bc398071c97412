//! Which regions and frames are recorded, and what the disk has to do with it.

mod common;

use common::{Folder, V, frames, publish, unique, until};
use shmx::Server;
use shmx_record::error::RecordError;
use shmx_record::{Every, Recorder, RecorderOptions, Recording, Sync};
use std::time::Duration;

fn server(name: &str) -> Server {
    Server::builder(name).slots(64).stream(V, 1).create().unwrap()
}

fn taken(r: &Recorder, region: &str) -> u64 {
    r.status().regions.iter().filter(|s| s.region == region).map(|r| r.taken).sum()
}

/// Regions that match are recorded, whether they were there or come later; others are not, even if they match as well.
#[test]
#[cfg(not(target_os = "macos"))]
fn regions_are_found_by_patterns_now_and_later() {
    let folder = Folder::new("glob");
    let path = folder.file("a.mcap");
    let prefix = unique("glob");
    let name = |tag: &str| format!("{prefix}-{tag}");
    let (mut first, mut raw, mut other) = (server(&name("cam-1")), server(&name("cam-1-raw")), server(&name("lidar")));
    (1..=3).for_each(|n| publish(&mut first, n));
    let mut options = RecorderOptions::default();
    options.selection.patterns = vec![name("cam-*")];
    options.selection.except = vec!["*-raw".into()];
    let recorder = Recorder::start(&[] as &[&str], &path, options).unwrap();
    until("the first one's ring is recorded", || taken(&recorder, &name("cam-1")) == 3);
    let mut second = server(&name("cam-2"));
    // Of one that comes later everything is recorded, or counted.
    (1..=5).for_each(|n| publish(&mut second, n));
    until("the second one is found", || taken(&recorder, &name("cam-2")) == 5);
    [&mut raw, &mut other, &mut first].into_iter().for_each(|s| publish(s, 4));
    until("the first one goes on", || taken(&recorder, &name("cam-1")) == 4);
    let regions: Vec<_> = recorder.status().regions.iter().map(|r| (r.region.clone(), r.missed)).collect();
    assert_eq!(regions, [(name("cam-1"), 0), (name("cam-2"), 0)]);
    assert_eq!(recorder.finish().unwrap().frames, 9);
    assert_eq!(Recording::open(&[&path]).unwrap().regions(), [name("cam-1"), name("cam-2")]);
}

#[test]
fn some_of_the_frames_are_recorded_if_that_is_wanted() {
    let folder = Folder::new("every");
    let name = unique("every");
    let mut server = server(&name);
    (1..=20).for_each(|n| publish(&mut server, n));
    for (every, expected) in [
        (Every::Frames(1), (1..=20).collect::<Vec<u64>>()),
        (Every::Frames(7), vec![1, 8, 15]),
        (Every::Time(Duration::from_secs(600)), vec![1]),
        (Every::Time(Duration::ZERO), (1..=20).collect()),
    ] {
        let path = folder.file("a.mcap");
        let mut options = RecorderOptions::default();
        options.every = Some(every);
        options.writer.overwrite = true;
        let recorder = Recorder::start(&[&name], &path, options).unwrap();
        let seen = |s: &shmx_record::RegionStatus| s.taken + s.skipped;
        until("all were looked at", || seen(&recorder.status().regions[0]) == 20);
        let status = recorder.status().regions[0].clone();
        recorder.finish().unwrap();
        let ids: Vec<u64> = frames(&path).iter().map(|f| f.head.frame_id).collect();
        assert_eq!(ids, expected, "{every:?}");
        assert_eq!((status.skipped, status.missed), (20 - ids.len() as u64, 0), "{every:?}");
    }
}

/// What becomes of one that runs out of room later is tested beside the writer.
#[test]
#[cfg(unix)]
fn a_recording_without_room_does_not_begin() {
    let folder = Folder::new("room");
    let path = folder.file("a.mcap");
    let mut options = RecorderOptions::default();
    // More than any disk has.
    options.writer.min_free = Some(u64::MAX);
    options.writer.discard_empty = true;
    let e = Recorder::start(&[unique("room")], &path, options).unwrap_err();
    assert!(matches!(e, RecordError::Room { wanted: u64::MAX, .. }), "{e}");
    assert!(!path.exists());
}

#[test]
fn files_are_brought_to_the_disk_when_that_is_wanted() {
    let folder = Folder::new("sync");
    let name = unique("sync");
    let mut server = server(&name);
    publish(&mut server, 1);
    for (sync, few) in [(Sync::Never, 0..=0), (Sync::File, 1..=1), (Sync::Chunk, 3..=1000)] {
        let mut options = RecorderOptions::default();
        options.writer.sync = sync;
        options.writer.overwrite = true;
        options.writer.flush_after = Duration::from_millis(1);
        let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
        until("a frame is written", || recorder.status().written.frames == 1);
        let syncs = recorder.finish().unwrap().syncs;
        assert!(few.contains(&syncs), "{sync:?}: {syncs}");
    }
}

#[test]
fn a_recording_without_a_frame_replaces_nothing() {
    let folder = Folder::new("nothing");
    let path = folder.file("a.mcap");
    let options = || {
        let mut options = RecorderOptions::default();
        (options.writer.overwrite, options.writer.discard_empty) = (true, true);
        options
    };
    std::fs::write(&path, "something dear").unwrap();
    let recorder = Recorder::start(&[unique("nothing")], &path, options()).unwrap();
    let written = recorder.finish().unwrap();
    assert_eq!((written.frames, written.files), (0, 0));
    assert_eq!(std::fs::read(&path).unwrap(), b"something dear");
    // The first frame replaces it.
    let name = unique("something");
    let mut server = server(&name);
    publish(&mut server, 1);
    let recorder = Recorder::start(&[&name], &path, options()).unwrap();
    until("a frame is written", || recorder.status().written.frames == 1);
    recorder.finish().unwrap();
    assert_eq!(common::frames(&path).len(), 1);
}
