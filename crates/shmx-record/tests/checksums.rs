//! Checksums that are absent stay so, also in files of version 1.

use crate::common::{self, Folder, frames, unique};
use shmx::{Checksum, Frame, Server, Stream, Tap, Verify};
use shmx_record::{PlayOptions, Player, RecordWriter, Recording, Segment, WriterOptions};
use std::path::Path;

const WORDS: Stream<u64> = Stream::new(1, "words");
const LARGE: usize = 1000;

/// Records what is in the region's ring, without messages for viewers.
fn record(tap: &mut Tap, path: &Path) -> Vec<Option<u32>> {
    let mut options = WriterOptions::default();
    options.views = false;
    let mut writer = RecordWriter::create(path, options).unwrap();
    let region = writer.add_region();
    let mut segment = Segment::default();
    segment.region = "r".into();
    segment.session_id = tap.session_id();
    (segment.features, segment.features_more) = tap.features().to_wire();
    segment.slots = tap.layout().slots();
    segment.frame_bytes_cap = tap.layout().frame_bytes_cap();
    let directory = tap.directory().unwrap().bytes.clone();
    segment.static_bytes_cap = directory.len() as u32;
    writer.begin(region, segment, &directory).unwrap();
    while let Some(frame) = tap.try_next().unwrap().map(Frame::keep) {
        writer.frame(region, &frame, shmx_os::clock::ticks()).unwrap();
    }
    assert_eq!((tap.stats().missed, tap.stats().rejected), (0, 0));
    writer.finish().unwrap();
    frames(path).iter().map(|f| f.head.checksum).collect()
}

fn publish(server: &mut Server, n: u64, had_checksum: bool) {
    let mut frame = server.begin_frame().unwrap();
    frame.reserve_stream(WORDS, LARGE).unwrap().fill(n);
    frame.publish_recorded(n as f64, had_checksum).unwrap();
}

/// Plays a recording into a ring that holds all of it, and records that.
fn replay(from: &Path, to: &Path) -> Vec<Option<u32>> {
    let mut play = PlayOptions::default();
    play.prefix = format!("{}-", unique("again"));
    let mut player = Player::new(Recording::open(&[from]).unwrap(), play).unwrap();
    let name = player.live_regions().next().unwrap().to_owned();
    let mut tap = Tap::options().verify(Verify::Always).open(&name).unwrap();
    while player.step_frame().unwrap() {}
    assert_eq!(player.stats().skipped, 0);
    record(&mut tap, to)
}

#[test]
fn each_frame_keeps_or_lacks_its_checksum() {
    let folder = Folder::new("sums");
    let name = unique("sums");
    let mut server = Server::builder(&name).slots(16).stream(WORDS, LARGE as u32).create().unwrap();
    let mut tap = Tap::options().verify(Verify::Always).open(&name).unwrap();
    for n in 0..12 {
        publish(&mut server, n, n % 3 == 0);
    }
    let first = record(&mut tap, &folder.file("a.mcap"));
    let has: Vec<bool> = first.iter().map(Option::is_some).collect();
    assert_eq!(has, (0..12).map(|n| n % 3 == 0).collect::<Vec<_>>());
    assert_eq!(replay(&folder.file("a.mcap"), &folder.file("b.mcap")), first);
}

#[test]
fn files_of_version_1_are_read() {
    let folder = Folder::new("old");
    let name = unique("old");
    let options = Server::builder(&name).slots(8).stream(WORDS, LARGE as u32).checksum(Checksum::Never);
    let mut server = options.create().unwrap();
    let mut tap = Tap::options().verify(Verify::Always).open(&name).unwrap();
    for n in 0..5 {
        publish(&mut server, n, true);
    }
    assert_eq!(record(&mut tap, &folder.file("a.mcap")), [None; 5]);
    common::as_version(1, &folder.file("a.mcap"), &folder.file("old.mcap"));
    let old = frames(&folder.file("old.mcap"));
    assert_eq!(old.iter().map(|f| f.head.checksum).collect::<Vec<_>>(), [None; 5]);
    let summary = &Recording::open(&[folder.file("old.mcap")]).unwrap().segments()[0];
    assert_eq!((summary.segment.features_more, summary.segment.has_checksums()), (0, false));
    assert_eq!(summary.end.unwrap().1.frames, 5);
    assert_eq!(replay(&folder.file("old.mcap"), &folder.file("b.mcap")), [None; 5]);
}

#[test]
fn a_frame_without_publish_time_has_the_time_at_which_it_was_taken() {
    let folder = Folder::new("undated");
    let name = unique("undated");
    let mut server = Server::builder(&name).stream(WORDS, LARGE as u32).publish_time(false).create().unwrap();
    let mut tap = Tap::open(&name).unwrap();
    publish(&mut server, 1, true);
    let before = shmx_os::clock::ticks();
    record(&mut tap, &folder.file("a.mcap"));
    let head = frames(&folder.file("a.mcap"))[0].head;
    assert_eq!(head.publish_ticks, None);
    assert!(head.taken_ticks >= before);
}
