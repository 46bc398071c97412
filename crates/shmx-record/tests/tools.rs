//! Recordings that went through other tools: what those may do to a file leaves what is replayed.

use crate::common::{self, Folder, V, as_version, publish, unique, until};
use mcap::records::{MessageHeader, Metadata, Record};
use shmx::{Server, StreamSpec};
use shmx_record::{
    Cursor, EndReason, Item, PlayOptions, Played, Player, Problem, Recorder, RecorderOptions, Recording, RegionEvent,
    WriterOptions,
};
use std::collections::HashMap;
use std::path::Path;

fn taken(r: &Recorder) -> u64 {
    r.status().regions.iter().map(|r| r.taken).sum()
}

/// Two lives of one region beside another region, with a stream that is added on the way.
fn record(path: &Path, names: [&str; 2]) {
    let make = |name: &str| Server::builder(name).slots(64).stream(V, 1).create().unwrap();
    let mut options = RecorderOptions::default();
    options.writer.chunk_bytes = 2_000;
    let recorder = Recorder::start(&names, path, options).unwrap();
    let (mut first, mut other) = (make(names[0]), make(names[1]));
    until("both are open", || recorder.status().regions.iter().all(|r| r.open));
    for n in 0..40 {
        publish(&mut first, n);
        publish(&mut other, n);
        if n == 20 {
            until("half is taken", || taken(&recorder) == 42);
            first.add_stream(StreamSpec::of::<f32>(2, "more")).unwrap();
        }
    }
    until("all is taken", || taken(&recorder) == 80);
    drop(first);
    until("its end is seen", || !recorder.status().regions[0].open);
    let mut second = make(names[0]);
    for n in 100..130 {
        publish(&mut second, n);
    }
    until("all is taken", || taken(&recorder) == 110);
    recorder.finish().unwrap();
}

type Message = (mcap::records::Channel, MessageHeader, Vec<u8>);

/// A file as a tool sees it.
struct Seen {
    messages: Vec<Message>,
    metadata: Vec<Metadata>,
    schemas: HashMap<u16, (mcap::records::SchemaHeader, Vec<u8>)>,
}

fn see(path: &Path) -> Seen {
    let bytes = std::fs::read(path).unwrap();
    let mut seen = Seen { messages: Vec::new(), metadata: Vec::new(), schemas: HashMap::new() };
    let mut channels = HashMap::new();
    for record in mcap::read::ChunkFlattener::new(&bytes).unwrap() {
        match record.unwrap() {
            Record::Schema { header, data } => drop(seen.schemas.insert(header.id, (header, data.into_owned()))),
            Record::Channel(c) => drop(channels.insert(c.id, c)),
            Record::Message { header, data } => {
                seen.messages.push((channels[&header.channel_id].clone(), header, data.into_owned()));
            }
            Record::Metadata(m) => seen.metadata.push(m),
            _ => {}
        }
    }
    seen
}

/// What a tool writes: channels numbered anew, chunks of another size and compression, metadata where it likes.
fn put(path: &Path, all: &[&Seen], messages: &[(usize, &Message)], metadata: bool, chunk: u64) {
    let options = mcap::WriteOptions::new().chunk_size(Some(chunk)).compression(Some(mcap::Compression::Lz4));
    let mut w = options.create(std::fs::File::create(path).unwrap()).unwrap();
    // Some numbers are taken by others.
    for n in 0..3 {
        w.add_channel(0, &format!("/other/{n}"), "", &Default::default()).unwrap();
    }
    for m in all.iter().flat_map(|s| &s.metadata).filter(|_| metadata) {
        w.write_metadata(m).unwrap();
    }
    let mut channels = HashMap::new();
    for (from, (channel, header, data)) in messages {
        let id = *channels.entry((*from, channel.id)).or_insert_with(|| {
            let (schema, bytes) = &all[*from].schemas[&channel.schema_id];
            let schema = w.add_schema(&schema.name, &schema.encoding, bytes).unwrap();
            w.add_channel(schema, &channel.topic, &channel.message_encoding, &channel.metadata).unwrap()
        });
        w.write_to_known_channel(&MessageHeader { channel_id: id, ..*header }, data).unwrap();
    }
    w.finish().unwrap();
}

/// What a recording holds, in its order: the events without their moments, and the frames of each region.
fn content(path: &Path) -> Vec<(String, String)> {
    let mut cursor = Cursor::new(Recording::open(&[path]).unwrap());
    let mut all = Vec::new();
    while let Some(item) = cursor.next_item() {
        let regions = cursor.recording().regions();
        all.push(match item {
            Item::Event(RegionEvent::Begin { segment: s, directory, .. }) => {
                (s.region.clone(), format!("begin {} {:#x} {directory:?}", s.number, s.session_id))
            }
            Item::Event(RegionEvent::Directory { region, at, .. }) => (region, format!("directory at {at}")),
            Item::Event(RegionEvent::End { region, reason, counts, .. }) => (region, format!("{reason} {counts:?}")),
            Item::Frame(f) => (regions[f.region].clone(), format!("{} {:?} {:?}", f.time, f.head, f.payload())),
            other => panic!("{other:?}"),
        });
    }
    assert!(cursor.recording().problems().is_empty(), "{:?}", cursor.recording().problems());
    // Each region for itself: how two of them lie beside each other is nobody's promise.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Frames published, skipped, and regions made.
fn played(path: &Path) -> (u64, u64, u64) {
    let mut play = PlayOptions::default();
    play.prefix = format!("{}-", unique("tool"));
    let mut player = Player::new(Recording::open(&[path]).unwrap(), play).unwrap();
    while player.step().unwrap() != Played::End {}
    let s = player.stats();
    (s.published, s.skipped, s.segments)
}

#[test]
fn what_other_tools_do_leaves_what_is_replayed() {
    let folder = Folder::new("tools");
    let (original, copy) = (folder.file("a.mcap"), folder.file("b.mcap"));
    let (a, b) = (unique("two"), unique("one"));
    record(&original, [&a, &b]);
    let before = content(&original);
    assert_eq!(played(&original), (110, 0, 3));
    let seen = see(&original);
    let mut times: Vec<u64> = Vec::new();
    for (c, h, _) in &seen.messages {
        let ours = c.topic.ends_with("/shmx.lifecycle") || c.topic.matches('/').count() == 1;
        assert!(h.log_time >= h.publish_time, "recorded after it was published");
        if ours {
            times.push(h.log_time);
        }
    }
    assert!(times.windows(2).all(|w| w[0] < w[1]), "each has a log time of its own");
    let all: Vec<(usize, &Message)> = seen.messages.iter().map(|m| (0, m)).collect();
    let sorted = {
        let mut s = all.clone();
        s.sort_by_key(|m| m.1.1.log_time);
        s
    };
    // By channel: chunks whose times lie across each other.
    let by_channel = {
        let mut s = all.clone();
        s.sort_by_key(|m| m.1.0.id);
        s
    };
    let no_views: Vec<_> = all
        .iter()
        .copied()
        .filter(|m| m.1.0.topic.ends_with("/shmx.lifecycle") || m.1.0.topic.matches('/').count() == 1)
        .collect();
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    for (what, messages) in [
        ("as they lie", &all),
        ("sorted", &sorted),
        ("by channel", &by_channel),
        ("without messages for viewers", &no_views),
        ("backwards", &backwards),
    ] {
        for metadata in [true, false] {
            for chunk in [300, 20_000, 4 << 20] {
                put(&copy, &[&seen], messages, metadata, chunk);
                let found = content(&copy);
                let differs = found.iter().zip(&before).position(|(a, b)| a != b);
                let at = differs.map(|i| (i, &found[i], &before[i]));
                assert_eq!((found.len(), at), (before.len(), None), "{what}, metadata {metadata}, chunks of {chunk}");
                assert_eq!(played(&copy), (110, 0, 3), "{what}, metadata {metadata}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn two_recordings_can_be_merged_and_one_region_taken_out() {
    let folder = Folder::new("merge");
    let names = ["a", "b", "c", "d"].map(unique);
    let (one, two, both) = (folder.file("1.mcap"), folder.file("2.mcap"), folder.file("both.mcap"));
    record(&one, [&names[0], &names[1]]);
    record(&two, [&names[2], &names[3]]);
    let seen = [see(&one), see(&two)];
    let mut messages: Vec<(usize, &Message)> =
        seen.iter().enumerate().flat_map(|(i, s)| s.messages.iter().map(move |m| (i, m))).collect();
    messages.sort_by_key(|m| m.1.1.log_time);
    put(&both, &[&seen[0], &seen[1]], &messages, false, 5_000);
    let mut expected = [content(&one), content(&two)].concat();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut merged = content(&both);
    merged.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(merged, expected);
    assert_eq!(played(&both), (220, 0, 6));
    messages.retain(|m| m.1.0.topic.starts_with(&format!("/{}", names[2])));
    put(&both, &[&seen[0], &seen[1]], &messages, true, 5_000);
    assert_eq!(played(&both), (70, 0, 2), "the region that lived twice");
}

#[test]
fn files_of_older_versions_read_the_same() {
    let folder = Folder::new("versions");
    let (new, old) = (folder.file("a.mcap"), folder.file("b.mcap"));
    record(&new, [&unique("a"), &unique("b")]);
    as_version(2, &new, &old);
    let frames = |path: &Path| {
        let mut all: Vec<_> = content(path).into_iter().filter(|c| c.1.contains("FrameHead")).collect();
        all.sort();
        all
    };
    assert_eq!(frames(&old), frames(&new));
    let ends = |path: &Path| {
        let rec = Recording::open(&[path]).unwrap();
        rec.segments().iter().map(|s| (s.segment.number, s.end.unwrap().0, s.end.unwrap().1)).collect::<Vec<_>>()
    };
    assert_eq!(ends(&old), ends(&new));
    assert!(ends(&new).iter().any(|e| e.1 == EndReason::Closed));
    assert_eq!(played(&old).0, 110);
}

#[test]
fn files_left_over_from_another_recording_are_named_and_left_out() {
    let folder = Folder::new("left");
    let path = folder.file("run.mcap");
    let rotate = |files: u32| {
        let name = unique("left");
        let mut server = Server::builder(&name).slots(64).stream(V, 1).create().unwrap();
        let mut options = WriterOptions::default();
        options.overwrite = true;
        options.rotate_bytes = Some(12_000);
        let mut recording = RecorderOptions::default();
        recording.writer = options;
        let recorder = Recorder::start(&[&name], &path, recording).unwrap();
        until("it is open", || recorder.status().regions[0].open);
        let mut n = 0;
        while recorder.status().written.files < files {
            publish(&mut server, n);
            n += 1;
            until("it is taken", || taken(&recorder) == n);
        }
        recorder.finish().unwrap()
    };
    let (before, now) = (rotate(12), rotate(2));
    assert!(now.files < before.files, "the later one is shorter");
    let frames = now.frames;
    // In no order.
    let files: Vec<_> = (1..=before.files).rev().map(|n| folder.file(&format!("run-{n:04}.mcap"))).collect();
    let mut rec = Recording::open(&files).unwrap();
    let earlier = (now.files + 1..=before.files).map(|n| folder.file(&format!("run-{n:04}.mcap")));
    let earlier: Vec<_> = earlier.map(|path| Problem::OtherRecording { path }).collect();
    assert_eq!(rec.problems(), earlier, "those of the earlier one");
    assert_eq!(rec.verify(|_| true)[0].frames, frames, "the others by their numbers");
    let mut last = 0;
    let mut cursor = Cursor::new(rec);
    while let Some(item) = cursor.next_item() {
        if let Item::Frame(f) = item {
            assert_eq!(f.head.frame_id, last + 1);
            last += 1;
        }
    }
    assert_eq!(last, frames);
    // Each of the others can be read by itself.
    assert!(Recording::open(&[&files[0]]).unwrap().problems().is_empty());
}

/// Frames whose segment has no beginning in the file cannot be copied, and are counted.
#[test]
fn frames_without_a_beginning_are_counted() {
    let folder = Folder::new("headless");
    let [original, headless, out] = ["a.mcap", "b.mcap", "c.mcap"].map(|f| folder.file(f));
    let (a, b) = (unique("two"), unique("one"));
    record(&original, [&a, &b]);
    let seen = see(&original);
    let topic = format!("/{b}/shmx.lifecycle");
    let begins = |m: &Message| m.0.topic == topic && common::facts(&m.2)["event"] == "begin";
    let messages: Vec<(usize, &Message)> = seen.messages.iter().filter(|m| !begins(m)).map(|m| (0, m)).collect();
    assert_eq!(messages.len() + 1, seen.messages.len());
    put(&headless, &[&seen], &messages, true, 20_000);
    let recordings = vec![Recording::open(&[&headless]).unwrap()];
    let edited = shmx_record::edit(recordings, &out, &shmx_record::EditOptions::default(), |_| true).unwrap();
    assert_eq!((edited.written.frames, edited.left_out), (70, 40));
}

/// A file whose first chunk has frames of a region that is not replayed.
#[test]
fn a_step_back_ends_at_the_first_frame() {
    let folder = Folder::new("back");
    let (original, sorted) = (folder.file("a.mcap"), folder.file("b.mcap"));
    let (a, b) = (unique("first"), unique("second"));
    let make = |name: &str| Server::builder(name).slots(64).stream(V, 1).create().unwrap();
    let recorder = Recorder::start(&[&a, &b], &original, RecorderOptions::default()).unwrap();
    let (mut first, mut n) = (make(&a), 0);
    let mut ten = |server: &mut Server| {
        for _ in 0..10 {
            n += 1;
            publish(server, n);
            until("it is taken", || taken(&recorder) == n);
        }
    };
    ten(&mut first);
    let mut second = make(&b);
    ten(&mut second);
    recorder.finish().unwrap();
    let seen = see(&original);
    let mut messages: Vec<(usize, &Message)> = seen.messages.iter().map(|m| (0, m)).collect();
    messages.sort_by_key(|m| m.1.1.log_time);
    put(&sorted, &[&seen], &messages, true, 4 << 20);
    let mut play = PlayOptions::default();
    play.prefix = format!("{}-", unique("back"));
    play.regions = vec![b];
    let mut player = Player::new(Recording::open(&[&sorted]).unwrap(), play).unwrap();
    for _ in 0..3 {
        assert!(player.step_frame().unwrap());
    }
    for _ in 0..6 {
        player.step_back().unwrap();
    }
    let mut left = 0;
    while player.step_frame().unwrap() {
        left += 1;
    }
    assert_eq!(left, 10);
}
