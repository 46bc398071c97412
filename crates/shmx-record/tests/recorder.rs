//! The recorder and its files: restarts, rotation, bounds, damage.

use crate::common::{Folder, V, frames, publish, unique, until};
use shmx::{Server, StreamSpec};
use shmx_record::error::{OpenRecordingError, RecordError};
use shmx_record::{
    Compression, Cursor, EndReason, Item, PlayOptions, Player, Problem, Recorder, RecorderEvent, RecorderOptions,
    Recording, RegionEvent,
};
use std::path::Path;

fn server(name: &str, slots: u32) -> Server {
    Server::builder(name).slots(slots).frame_bytes(8192).stream(V, 1).create().unwrap()
}

fn taken(r: &Recorder) -> u64 {
    r.status().regions.iter().map(|r| r.taken).sum()
}

#[test]
fn regions_come_and_go_and_each_life_is_a_segment() {
    let folder = Folder::new("life");
    let path = folder.file("a.mcap");
    let (a, b) = (unique("a"), unique("b"));
    let recorder = Recorder::start(&[&a, &b], &path, RecorderOptions::default()).unwrap();
    assert!(recorder.status().regions.iter().all(|r| !r.open));
    let mut first = server(&a, 64);
    for n in 1..=20 {
        publish(&mut first, n);
    }
    until("the first life is recorded", || taken(&recorder) == 20);
    let mut other = server(&b, 64);
    publish(&mut other, 1);
    until("the other region is recorded", || taken(&recorder) == 21);
    publish(&mut first, 21);
    drop(first);
    until("its end is noticed", || !recorder.status().regions[0].open);
    let mut second = server(&a, 64);
    publish(&mut second, 100);
    until("the second life is recorded", || taken(&recorder) == 23);
    let mut segments = Vec::new();
    while let Some(e) = recorder.next_event() {
        match e {
            RecorderEvent::Begin { region, segment, missed } => segments.push((region, segment, missed)),
            RecorderEvent::End { .. } => {}
            e => panic!("{e:?}"),
        }
    }
    assert_eq!(segments, [(a.clone(), 1, 0), (b.clone(), 1, 0), (a.clone(), 2, 0)], "said so");
    let written = recorder.finish().unwrap();
    assert_eq!((written.frames, written.messages), (23, 23));
    let rec = Recording::open(&[&path]).unwrap();
    assert!(rec.problems().is_empty());
    let ends: Vec<_> = rec
        .segments()
        .iter()
        .map(|s| (s.segment.region.clone(), s.segment.number, s.end.map(|(r, c)| (r, c.frames, c.missed))))
        .collect();
    assert_eq!(
        ends,
        [
            (a.clone(), 1, Some((EndReason::Closed, 21, 0))),
            (b, 1, Some((EndReason::Stopped, 1, 0))),
            (a, 2, Some((EndReason::Stopped, 1, 0))),
        ]
    );
    let values: Vec<f64> = frames(&path).iter().map(|f| f.head.sim_time() * 8.0).collect();
    assert_eq!(values.len(), 23);
    assert_eq!(values[22], 100.0);
}

/// Where the server rings for everybody the recorder sleeps, and wakes for each frame.
#[test]
#[cfg(target_os = "linux")]
fn a_recorder_sleeps_where_servers_ring_always() {
    let folder = Folder::new("bell");
    let names = [unique("bell-a"), unique("bell-b")];
    let mut servers = names
        .each_ref()
        .map(|name| Server::builder(name).slots(64).frame_bytes(8192).stream(V, 1).ring_always(true).create().unwrap());
    let recorder = Recorder::start(&names, &folder.file("a.mcap"), RecorderOptions::default()).unwrap();
    until("both are open", || recorder.status().regions.iter().all(|r| r.open));
    for n in 1..=100 {
        publish(&mut servers[n as usize % 2], n);
        until("it is woken", || taken(&recorder) == n);
    }
    // While nothing comes it looks at each server's life every 20 ms, once it has polled for a moment. Polling alone looks
    // every 5 ms.
    let (start, before) = (std::time::Instant::now(), recorder.status().sleeps);
    until("a while passes", || start.elapsed().as_millis() > 400);
    let sleeps = recorder.status().sleeps - before;
    let most = start.elapsed().as_millis() as u64 / 20 * 2 + 12;
    assert!(sleeps <= most, "{sleeps} sleeps, not more than {most}");
    assert_eq!(recorder.finish().unwrap().frames, 100);
}

#[test]
fn a_lost_last_frame_does_not_keep_a_region_open() {
    let folder = Folder::new("lost");
    let path = folder.file("a.mcap");
    let name = unique("lost");
    let mut first = server(&name, 1);
    let recorder = Recorder::start(&[&name], &path, RecorderOptions::default()).unwrap();
    until("the region is found", || recorder.status().regions[0].open);
    publish(&mut first, 1);
    // The only slot is claimed again, at once or after the recorder took the frame, and the server goes meanwhile.
    std::mem::forget(first.begin_frame().unwrap());
    drop(first);
    until("its end is noticed", || !recorder.status().regions[0].open);
    let lost = recorder.status().regions[0].missed;
    let mut second = server(&name, 4);
    publish(&mut second, 2);
    until("the next life is recorded", || recorder.status().regions[0].segments == 2 && taken(&recorder) + lost == 2);
    let written = recorder.finish().unwrap();
    assert_eq!(written.frames + lost, 2);
}

#[test]
fn what_the_recorder_cannot_take_is_counted_and_its_memory_is_bounded() {
    let folder = Folder::new("bound");
    let path = folder.file("a.mcap");
    let name = unique("bound");
    let mut server = server(&name, 3);
    let mut options = RecorderOptions::default();
    options.backlog_bytes = 1; // two frames, the least
    options.writer.flush_after = std::time::Duration::ZERO;
    options.writer.compression = Compression::Zstd;
    let recorder = Recorder::start(&[&name], &path, options).unwrap();
    until("it is open", || recorder.status().regions[0].open);
    let big = vec![7_u64; 1000];
    for _ in 0..3000 {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(V, &big).unwrap();
        f.publish_frame(0.0).unwrap();
    }
    until("all are taken or missed", || {
        let r = &recorder.status().regions[0];
        r.taken + r.missed == 3000
    });
    let memory = recorder.status().memory_bytes;
    assert!(memory <= 2 * 8192 + 64, "{memory} bytes for two frames");
    let written = recorder.finish().unwrap();
    let rec = Recording::open(&[&path]).unwrap();
    let counts = rec.segments()[0].end.unwrap().1;
    assert_eq!((counts.frames, counts.frames + counts.missed), (written.frames, 3000));
}

#[test]
fn files_rotate_within_a_total_size_and_each_stands_alone() {
    let folder = Folder::new("rotate");
    let name = unique("rotate");
    let mut server = server(&name, 64);
    let mut options = RecorderOptions::default();
    options.writer.rotate_bytes = Some(100_000);
    options.writer.keep_bytes = Some(400_000);
    let recorder = Recorder::start(&[&name], &folder.file("r.mcap"), options).unwrap();
    until("it is open", || recorder.status().regions[0].open);
    let big = vec![3_u64; 500];
    let mut most = 0;
    for n in 0..400_u64 {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(V, &big).unwrap();
        f.publish_frame(n as f64).unwrap();
        until("it is taken", || taken(&recorder) == n + 1);
        if n % 20 == 0 {
            server.add_stream(StreamSpec::of::<f32>(100 + n as u32, "more")).unwrap();
        }
        let bytes: u64 = list(folder.dir()).iter().map(|p| std::fs::metadata(p).map_or(0, |m| m.len())).sum();
        most = most.max(bytes);
    }
    let written = recorder.finish().unwrap();
    assert!(written.removed > 5 && written.files > written.removed, "{written:?}");
    let files = list(folder.dir());
    assert_eq!(files.len() as u32, written.files - written.removed);
    let total: u64 = files.iter().map(|p| std::fs::metadata(p).unwrap().len()).sum();
    assert!(most.max(total) <= 400_000, "{most} and {total} bytes");
    assert_eq!(total, written.kept_bytes);
    let mut last = None;
    for f in &files {
        assert!(std::fs::metadata(f).unwrap().len() <= 100_000);
        for frame in frames(f) {
            let n = frame.head.sim_time();
            assert!(last.is_none_or(|l| n == l + 1.0), "{n} after {last:?}");
            last = Some(n);
        }
    }
    assert_eq!(last, Some(399.0));
    // The row plays as one, with the directory as it was.
    let whole = Recording::open(&files).unwrap();
    assert_eq!(whole.segments().len(), 1);
    assert_eq!(whole.segments()[0].directory.bytes, server.directory().bytes);
    let mut play = PlayOptions::default();
    play.prefix = "p-".into();
    let mut player = Player::new(whole, play).unwrap();
    while player.step_frame().unwrap() {}
    assert_eq!((player.stats().skipped, player.stats().segments), (0, 1));
}

fn list(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// A recording of 300 frames in several chunks, with an addition to the directory.
fn sample(path: &Path, compression: Compression) {
    let name = unique("sample");
    let mut server = server(&name, 512);
    let mut options = RecorderOptions::default();
    options.writer.compression = compression;
    options.writer.chunk_bytes = 5_000;
    let recorder = Recorder::start(&[&name], path, options).unwrap();
    until("it is open", || recorder.status().regions[0].open);
    for n in 0..300 {
        publish(&mut server, n);
        if n == 150 {
            until("half is taken", || taken(&recorder) == 151);
            server.add_stream(StreamSpec::of::<f32>(2, "more")).unwrap();
        }
    }
    until("all is taken", || taken(&recorder) == 300);
    recorder.finish().unwrap();
}

fn read_all(path: &Path) -> Result<(usize, Vec<Problem>), OpenRecordingError> {
    let mut cursor = Cursor::new(Recording::open(&[path])?);
    let mut n = 0;
    while let Some(item) = cursor.next_item() {
        if let Item::Frame(f) = item {
            assert_eq!(f.head.sim_time() * 8.0, (f.head.frame_id - 1) as f64);
            assert!(f.payload().len() == 32);
            n += 1;
        }
    }
    Ok((n, cursor.recording().problems().to_vec()))
}

#[test]
fn a_file_cut_anywhere_reads_up_to_its_last_whole_chunk() {
    let folder = Folder::new("cut");
    let (path, cut) = (folder.file("a.mcap"), folder.file("cut.mcap"));
    sample(&path, Compression::None);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(read_all(&path).unwrap(), (300, vec![]));
    let (mut last, mut some) = (0, 0);
    for len in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        match read_all(&cut) {
            Ok((n, problems)) => {
                assert!(n >= last, "a longer file has more");
                assert!(!problems.is_empty(), "{len} of {} bytes pass as whole", bytes.len());
                some += usize::from(n > 0 && n < 300);
                last = n;
            }
            Err(OpenRecordingError::NotMcap { .. } | OpenRecordingError::Foreign { .. }) => assert_eq!(last, 0),
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(last, 300);
    assert!(some > 20, "only {some} cuts in the middle");
}

#[test]
fn damage_is_found_and_costs_its_chunk_only() {
    let folder = Folder::new("damage");
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let (path, bad) = (folder.file(&format!("{compression:?}.mcap")), folder.file("bad.mcap"));
        sample(&path, compression);
        let bytes = std::fs::read(&path).unwrap();
        let mut seed = 12345_u64;
        let (mut unharmed, mut partly) = (0, 0);
        for _ in 0..250 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % bytes.len();
            let mut copy = bytes.clone();
            copy[at] ^= 1 << (seed % 8);
            // Sometimes a whole run of bytes.
            if seed.is_multiple_of(5) {
                let end = (at + 40).min(copy.len());
                copy[at..end].fill((seed >> 20) as u8);
            }
            std::fs::write(&bad, &copy).unwrap();
            // Frames that are handed out are right; `read_all` checks them.
            match read_all(&bad) {
                Ok((300, _)) => unharmed += 1,
                Ok((n, problems)) => {
                    assert!(!problems.is_empty(), "{} frames lost in silence, byte {at}", 300 - n);
                    partly += usize::from(n > 0);
                }
                Err(_) => {}
            }
            // A player survives it as well.
            if let Ok(rec) = Recording::open(&[&bad]) {
                let mut play = PlayOptions::default();
                play.prefix = format!("{}-", unique("bad"));
                if let Ok(mut player) = Player::new(rec, play) {
                    while player.step_frame().is_ok_and(|more| more) {}
                }
            }
        }
        assert!(partly > 30, "{partly} files read in part, {unharmed} whole");
    }
}

#[test]
fn foreign_files_are_rejected_by_name() {
    let folder = Folder::new("foreign");
    let path = folder.file("x.mcap");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Recording::open(&[&path]).map(|_| ()).unwrap_err()
    };
    assert!(matches!(open(b""), OpenRecordingError::NotMcap { .. }));
    assert!(matches!(open(&[7; 5000]), OpenRecordingError::NotMcap { .. }));
    let mut other = Vec::new();
    let mut w = mcap::WriteOptions::new().profile("ros2").create(std::io::Cursor::new(&mut other)).unwrap();
    let c = w.add_channel(0, "/chat", "", &Default::default()).unwrap();
    let header = mcap::records::MessageHeader { channel_id: c, sequence: 0, log_time: 1, publish_time: 1 };
    w.write_to_known_channel(&header, b"hello").unwrap();
    w.finish().unwrap();
    drop(w);
    assert!(matches!(open(&other), OpenRecordingError::Foreign { profile, .. } if profile == "ros2"));
    assert!(matches!(Recording::open(&[folder.dir()]).unwrap_err(), OpenRecordingError::Io { .. }));
    assert!(matches!(Recording::open(&[folder.file("none")]).unwrap_err(), OpenRecordingError::Io { .. }));
}

#[test]
fn a_file_that_exists_is_not_replaced_unless_asked() {
    let folder = Folder::new("exists");
    let path = folder.file("a.mcap");
    std::fs::write(&path, "precious").unwrap();
    let e = Recorder::start(&["shmx-t-none"], &path, RecorderOptions::default()).unwrap_err();
    assert!(matches!(e, RecordError::Exists { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let mut options = RecorderOptions::default();
    options.writer.overwrite = true;
    Recorder::start(&["shmx-t-none"], &path, options).unwrap().finish().unwrap();
    assert!(matches!(
        Recorder::start(&["a/b"], &folder.file("b"), RecorderOptions::default()),
        Err(RecordError::Name(_))
    ));
    let twice = Recorder::start(&["a", "/a"], &folder.file("c"), RecorderOptions::default());
    assert!(matches!(twice, Err(RecordError::Options(_))));
}

#[test]
fn the_player_steps_seeks_and_repeats() {
    let folder = Folder::new("seek");
    let path = folder.file("a.mcap");
    sample(&path, Compression::Lz4);
    let mut play = PlayOptions::default();
    play.prefix = format!("{}-", unique("seek"));
    play.repeat = true;
    let mut player = Player::new(Recording::open(&[&path]).unwrap(), play).unwrap();
    let name = player.live_regions().next().unwrap().to_owned();
    let mut client = shmx::Client::open(&name).unwrap();
    let mut shown = |p: &mut Player| {
        assert!(p.step_frame().unwrap());
        client.latest().unwrap().unwrap().value(V).unwrap()
    };
    assert_eq!([shown(&mut player), shown(&mut player), shown(&mut player)], [0, 1, 2]);
    player.step_back().unwrap();
    assert_eq!([shown(&mut player), shown(&mut player)], [1, 2]);
    player.step_back().unwrap();
    assert_eq!(shown(&mut player), 1);
    player.seek(player.duration()).unwrap();
    let last = shown(&mut player);
    assert!(last > 250, "{last}");
    for n in last + 1..300 {
        assert_eq!(shown(&mut player), n);
    }
    assert_eq!(shown(&mut player), 0, "it begins again");
    assert_eq!(player.stats().loops, 1);
    player.step_back().unwrap();
    assert_eq!(shown(&mut player), 0, "there is nothing before the first");
    // Restarts within the recording begin new regions; here there is one.
    assert_eq!(player.stats().segments, 1);
    assert!(player.recording().problems().is_empty());
    let events = {
        let mut cursor = Cursor::new(Recording::open(&[&path]).unwrap());
        std::iter::from_fn(move || cursor.next_item())
            .filter(|i| matches!(i, Item::Event(RegionEvent::Directory { .. })))
    };
    assert_eq!(events.count(), 1);
}
