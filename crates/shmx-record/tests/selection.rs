//! Which regions and frames are recorded, and what the disk has to do with it.

use crate::common::{self, Folder, V, frames, publish, unique, until};
use shmx::abi::frame::Streams;
use shmx::abi::hash;
use shmx::{Checksum, Server, Stream, StreamSpec};
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
fn some_of_the_streams_are_recorded() {
    const W: Stream<f32> = Stream::new(2, "w");
    let folder = Folder::new("streams");
    let path = folder.file("a.mcap");
    let name = unique("streams");
    let builder = Server::builder(&name).slots(64).stream(V, 1).stream(W, 3).checksum(Checksum::Always);
    let mut server = builder.create().unwrap();
    // Both, one, the other, and one that comes later.
    let put = |server: &mut Server, n: u64| {
        let mut f = server.begin_frame().unwrap();
        if n % 3 != 1 {
            f.append_value(V, n).unwrap();
        }
        if n % 3 != 2 {
            f.append_stream(W, &[n as f32; 3]).unwrap();
        }
        f.publish_frame(n as f64).unwrap();
    };
    (0..9).for_each(|n| put(&mut server, n));
    let mut options = RecorderOptions::default();
    options.writer.streams = vec!["w".into(), "later".into()];
    let recorder = Recorder::start(&[&name], &path, options).unwrap();
    until("the ring is taken", || taken(&recorder, &name) == 9);
    assert_eq!(recorder.status().regions[0].trouble.as_deref(), Some("no stream `later` yet"));
    server.add_stream(StreamSpec::of::<u8>(3, "later")).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, 9).unwrap();
    f.append_stream(3, &[7_u8]).unwrap();
    f.publish_frame(9.0).unwrap();
    until("all is taken", || taken(&recorder, &name) == 10);
    until("it is not missed any more", || recorder.status().regions[0].trouble.is_none());
    let written = recorder.finish().unwrap();
    assert_eq!((written.frames, written.left_out), (7, 3));
    let recorded = frames(&path);
    assert_eq!(recorded.iter().map(|f| f.head.frame_id).collect::<Vec<_>>(), [1, 2, 4, 5, 7, 8, 10]);
    for f in &recorded {
        let ids: Vec<u32> = Streams::new(f.payload()).map(|s| s.unwrap().stream_id).collect();
        assert_eq!(ids, if f.head.frame_id == 10 { [3] } else { [2] });
        assert_eq!((f.head.tlv_count, f.head.missed_before), (1, 0));
        assert_eq!(f.head.checksum, Some(hash::checksum32(f.payload())));
    }
    assert_eq!(Recording::open(&[&path]).unwrap().segments()[0].directory.streams.len(), 3);
}

/// By counts: what is gone is not looked for, has no part of the backlog, and takes no place in memory for ever.
#[test]
#[cfg(not(target_os = "macos"))]
fn regions_that_are_gone_cost_nothing_until_they_come_again() {
    let folder = Folder::new("gone");
    let prefix = unique("gone");
    let name = |n: usize| format!("{prefix}-{n}");
    let mut options = RecorderOptions::default();
    options.selection.patterns = vec![format!("{prefix}-*")];
    let recorder = Recorder::start(&[] as &[&str], &folder.file("a.mcap"), options).unwrap();
    let once = |n: usize| {
        let mut server = server(&name(n));
        publish(&mut server, n as u64);
        server
    };
    let mut all: Vec<Server> = (0..30).map(once).collect();
    until("all are recorded", || recorder.status().regions.iter().filter(|r| r.taken == 1).count() == 30);
    // One stays.
    let mut stays = all.pop().unwrap();
    drop(all);
    until("all others rest", || recorder.status().regions.iter().filter(|r| r.rests).count() == 29);
    let (before, looks) = (recorder.status().sleeps, recorder.status().looks);
    until("it goes on for a while", || recorder.status().sleeps >= before + 100);
    assert_eq!(recorder.status().looks, looks, "nothing is looked for");
    publish(&mut stays, 2);
    until("the one that stays goes on", || taken(&recorder, &name(29)) == 2);
    // One comes again, with all that it publishes.
    let mut again = once(3);
    publish(&mut again, 4);
    until("it is recorded", || taken(&recorder, &name(3)) == 3);
    let of = recorder.status().regions.iter().find(|r| r.region == name(3)).cloned().unwrap();
    assert_eq!((of.segments, of.missed, of.rests, of.open), (2, 0, false, true));
    assert_eq!(recorder.finish().unwrap().frames, 33);
    let recording = Recording::open(&[&folder.file("a.mcap")]).unwrap();
    assert_eq!((recording.segments().len(), recording.problems()), (31, &[][..]));
}

/// Far more names than a recorder lists.
#[test]
#[cfg(not(target_os = "macos"))]
fn names_without_end_take_memory_for_some_of_them_only() {
    let folder = Folder::new("names");
    let prefix = unique("names");
    for snapshot in [None, Some(Duration::from_secs(600))] {
        let path = folder.file(if snapshot.is_some() { "kept.mcap" } else { "a.mcap" });
        let mut options = RecorderOptions::default();
        options.selection.patterns = vec![format!("{prefix}-*")];
        options.snapshot = snapshot;
        let recorder = Recorder::start(&[] as &[&str], &path, options).unwrap();
        let total = 1200;
        for n in 1..=total / 100 {
            let once = |k: u64| {
                let name = format!("{prefix}-{n}-{k}");
                let mut server = Server::builder(name).slots(2).frame_bytes(64).stream(V, 1).create().unwrap();
                publish(&mut server, n);
                server
            };
            let all: Vec<Server> = (0..100).map(once).collect();
            until("all are recorded", || {
                let s = recorder.status();
                s.forgotten.taken + s.regions.iter().map(|r| r.taken).sum::<u64>() == 100 * n
            });
            drop(all);
            until("all are seen to be gone", || recorder.status().regions.iter().all(|r| !r.open));
        }
        let status = recorder.status();
        assert_eq!((status.regions.len(), status.forgotten.regions), (1000, 200));
        assert_eq!(status.forgotten.taken, 200);
        // Nobody has asked for events: of the beginnings most are kept, and ends while these are asked for.
        let events = std::iter::from_fn(|| recorder.next_event()).count() as u64;
        assert!((1024..=1024 + total).contains(&events), "{events}");
        recorder.snapshot();
        let written = recorder.finish().unwrap();
        assert_eq!(written.frames, total);
        let path = if snapshot.is_some() { folder.file("kept-0001.mcap") } else { path };
        let recording = Recording::open(&[&path]).unwrap();
        let names: std::collections::HashSet<_> = recording.regions().iter().collect();
        assert_eq!((names.len() as u64, recording.segments().len() as u64), (total, total));
        assert_eq!(frames(&path).len() as u64, total);
    }
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
