//! Recordings made out of recordings.

use crate::common::{Folder, V, frames, publish, unique, until};
use shmx::{Server, StreamSpec};
use shmx_record::error::RecordError;
use shmx_record::{Compression, EditOptions, EndReason, Recorder, RecorderOptions, Recording, WriterOptions, edit};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn server(name: &str) -> Server {
    Server::builder(name).slots(64).stream(V, 1).create().unwrap()
}

/// Records two lives of one region and one of another, with an addition to a directory.
fn record(path: &Path, names: [&str; 2], writer: WriterOptions) {
    let mut options = RecorderOptions::default();
    options.writer = writer;
    let recorder = Recorder::start(&names, path, options).unwrap();
    let taken = || recorder.status().regions.iter().map(|r| r.taken).sum::<u64>();
    let mut n = 0;
    let mut both = |servers: &mut [&mut Server]| {
        for server in servers {
            n += 1;
            publish(server, n);
            until("it is recorded", || taken() == n);
        }
    };
    let mut other = server(names[1]);
    let mut first = server(names[0]);
    (0..10).for_each(|_| both(&mut [&mut first, &mut other]));
    other.add_stream(StreamSpec::new(9, "late", shmx::ElementType::U8, 1)).unwrap();
    drop(first);
    until("its end is seen", || recorder.status().regions.iter().any(|r| !r.open));
    let mut second = server(names[0]);
    (0..10).for_each(|_| both(&mut [&mut second, &mut other]));
    recorder.finish().unwrap();
}

/// All that a recording holds but its own name: frames with their times, and segments.
fn content(paths: &[PathBuf]) -> (Vec<String>, Vec<String>) {
    let rec = Recording::open(paths).unwrap();
    let mut segments: Vec<String> = rec
        .segments()
        .iter()
        .map(|s| format!("{:?} {} streams {:?}", s.segment, s.directory.streams.len(), s.end))
        .collect();
    segments.sort();
    let mut all: Vec<String> = paths
        .iter()
        .flat_map(|p| {
            // In the order of this file.
            let regions = Recording::open(&[p]).unwrap().regions().to_vec();
            frames(p)
                .into_iter()
                .map(move |f| format!("{} {} {:?} {:?}", regions[f.region], f.time, f.head, f.payload()))
        })
        .collect();
    all.sort();
    (all, segments)
}

fn open(paths: &[PathBuf]) -> Vec<Recording> {
    paths.iter().map(|p| Recording::open(&[p]).unwrap()).collect()
}

#[test]
fn what_is_converted_and_merged_is_the_same() {
    let folder = Folder::new("edit");
    let names = ["a", "b", "c", "d"].map(unique);
    let [one, two, out, again] = ["1.mcap", "2.mcap", "o.mcap", "p.mcap"].map(|f| folder.file(f));
    record(&one, [&names[0], &names[1]], WriterOptions::default());
    record(&two, [&names[2], &names[3]], WriterOptions::default());
    let mut options = EditOptions::default();
    options.writer.compression = Compression::Zstd;
    options.writer.views = false;
    let edited = edit(open(std::slice::from_ref(&one)), &out, &options, |_| true).unwrap();
    assert_eq!((edited.written.frames, edited.problems.len()), (40, 0));
    assert_eq!(content(std::slice::from_ref(&out)), content(std::slice::from_ref(&one)));
    // Both, in any order, and once more through the same.
    let whole = EditOptions::default();
    edit(open(&[two.clone(), out.clone()]), &again, &whole, |_| true).unwrap();
    let (mut all, mut segments) = content(std::slice::from_ref(&one));
    let (more, others) = content(std::slice::from_ref(&two));
    all.extend(more);
    segments.extend(others);
    all.sort();
    segments.sort();
    assert_eq!(content(std::slice::from_ref(&again)), (all, segments));
    assert!(matches!(
        edit(open(std::slice::from_ref(&one)), &again, &whole, |_| true),
        Err(RecordError::Exists { .. })
    ));
    // The same region of two recordings: one life after the other.
    std::fs::remove_file(&again).unwrap();
    let later = folder.file("3.mcap");
    record(&later, [&names[0], &names[1]], WriterOptions::default());
    edit(open(&[later, one]), &again, &whole, |_| true).unwrap();
    let rec = Recording::open(&[&again]).unwrap();
    let of =
        |name: &str| rec.segments().iter().filter(|s| s.segment.region == name).map(|s| s.segment.number).collect();
    let (a, b): (Vec<u32>, Vec<u32>) = (of(&names[0]), of(&names[1]));
    assert_eq!((a, b), (vec![1, 2, 3, 4], vec![1, 2]));
    assert_eq!(frames(&again).len(), 80);
}

#[test]
fn a_part_is_cut_out_exactly() {
    let folder = Folder::new("cut");
    let names = ["a", "b"].map(unique);
    let (path, out) = (folder.file("a.mcap"), folder.file("b.mcap"));
    record(&path, [&names[0], &names[1]], WriterOptions::default());
    let mut times: Vec<(u64, u64)> = frames(&path).iter().map(|f| (f.time, f.head.sim_time_bits)).collect();
    times.sort_unstable();
    for (from, to) in [(0, 39), (5, 5), (12, 30), (25, 39)] {
        let mut options = EditOptions::default();
        let at = |i: usize| Duration::from_nanos(times[i].0 - times[0].0);
        (options.from, options.to) = (at(from), Some(at(to)));
        options.writer.overwrite = true;
        edit(open(std::slice::from_ref(&path)), &out, &options, |_| true).unwrap();
        let mut found: Vec<(u64, u64)> = frames(&out).iter().map(|f| (f.time, f.head.sim_time_bits)).collect();
        found.sort_unstable();
        assert_eq!(found, times[from..=to], "{from} to {to}");
        // Each frame has its segment, with the directory as it was.
        let mut player = player(&out);
        while player.step_frame().unwrap() {}
        assert_eq!((player.stats().published, player.stats().skipped), ((to - from + 1) as u64, 0));
    }
    let mut options = EditOptions::default();
    options.regions = vec![names[1].clone()];
    options.writer.overwrite = true;
    edit(open(std::slice::from_ref(&path)), &out, &options, |_| true).unwrap();
    let rec = Recording::open(&[&out]).unwrap();
    assert_eq!((rec.regions(), frames(&out).len()), (&[names[1].clone()][..], 20));
    options.regions.push("nobody".into());
    let refused = edit(open(&[path]), &out, &options, |_| true);
    assert!(refused.is_err_and(|e| e.to_string().contains("nobody")));
}

fn player(path: &Path) -> shmx_record::Player {
    let mut play = shmx_record::PlayOptions::default();
    play.prefix = format!("{}-", unique("cut"));
    shmx_record::Player::new(Recording::open(&[path]).unwrap(), play).unwrap()
}

#[test]
fn a_rotated_recording_becomes_one_file_and_a_damaged_one_is_recovered() {
    let folder = Folder::new("whole");
    let names = ["a", "b"].map(unique);
    let (path, out) = (folder.file("r.mcap"), folder.file("o.mcap"));
    let mut writer = WriterOptions::default();
    writer.rotate_bytes = Some(6_000);
    writer.chunk_bytes = 200;
    record(&path, [&names[0], &names[1]], writer);
    let parts: Vec<PathBuf> =
        (1..).map(|n| folder.file(&format!("r-{n:04}.mcap"))).take_while(|p| p.exists()).collect();
    assert!(parts.len() > 1);
    edit(open(&parts), &out, &EditOptions::default(), |_| true).unwrap();
    assert_eq!(content(std::slice::from_ref(&out)), content(&parts));
    let rec = Recording::open(&[&out]).unwrap();
    let ends: Vec<_> = rec.segments().iter().map(|s| s.end.unwrap().0).collect();
    assert_eq!(ends.iter().filter(|e| **e == EndReason::Closed).count(), 1, "{ends:?}");
    // Cut in the middle: what is left is a whole recording.
    let bytes = std::fs::read(&out).unwrap();
    let (cut, saved) = (folder.file("cut.mcap"), folder.file("saved.mcap"));
    std::fs::write(&cut, &bytes[..bytes.len() * 3 / 5]).unwrap();
    let damaged = open(&[cut]);
    let edited = edit(damaged, &saved, &EditOptions::default(), |_| true).unwrap();
    assert!(!edited.problems.is_empty() && edited.written.frames > 5, "{edited:?}");
    assert_eq!(frames(&saved).len() as u64, edited.written.frames);
    assert!(Recording::open(&[&saved]).unwrap().problems().is_empty());
}

/// Two recordings of one life, the first of frames 1 to 20, the second of 10 to 30.
fn record_overlapping(name: &str, files: [&Path; 2]) {
    let mut server = server(name);
    let mut options = RecorderOptions::default();
    options.ring = false;
    let start = |file: &Path| {
        let recorder = Recorder::start(&[name], file, options.clone()).unwrap();
        until("it is open", || recorder.status().regions[0].open);
        recorder
    };
    let taken = |r: &Recorder| r.status().regions[0].taken;
    let mut n = 0;
    let mut ten = |recorders: &[(&Recorder, u64)]| {
        for _ in 0..10 {
            n += 1;
            publish(&mut server, n);
            for (recorder, before) in recorders {
                until("it is recorded", || taken(recorder) == n - before);
            }
        }
    };
    let first = start(files[0]);
    ten(&[(&first, 0)]);
    let second = start(files[1]);
    until("it has the newest", || taken(&second) == 1);
    ten(&[(&first, 0), (&second, 9)]);
    first.finish().unwrap();
    ten(&[(&second, 9)]);
    second.finish().unwrap();
}

#[test]
fn recordings_of_one_region_at_the_same_time_are_refused_where_they_overlap() {
    let folder = Folder::new("overlap");
    let name = unique("overlap");
    let [one, two, out] = ["1.mcap", "2.mcap", "o.mcap"].map(|f| folder.file(f));
    record_overlapping(&name, [&one, &two]);
    for files in [[one.clone(), two.clone()], [two.clone(), one.clone()], [one.clone(), one.clone()]] {
        let e = edit(open(&files), &out, &EditOptions::default(), |_| true).unwrap_err();
        assert!(matches!(&e, RecordError::Overlap { region, .. } if *region == name), "{e}");
        assert!(!out.exists(), "nothing is written");
    }
    // Where only one of them has frames, they can be merged.
    let ids = |path: &Path| frames(path).iter().map(|f| f.head.frame_id).collect::<Vec<_>>();
    let times: Vec<u64> = frames(&one).iter().map(|f| f.time).collect();
    let last = frames(&two).last().unwrap().time;
    let part = |from: u64, to: u64| {
        let mut options = EditOptions::default();
        options.from = Duration::from_nanos(from - times[0]);
        options.to = Some(Duration::from_nanos(to - times[0]));
        options.writer.overwrite = true;
        let edited = edit(open(&[one.clone(), two.clone()]), &out, &options, |_| true).unwrap();
        assert_eq!((edited.written.frames, edited.left_out), (frames(&out).len() as u64, 0));
        ids(&out)
    };
    assert_eq!(part(times[0], times[7]), (1..=8).collect::<Vec<u64>>());
    let behind = frames(&two).iter().find(|f| f.head.frame_id == 22).unwrap().time;
    assert_eq!(part(behind, last), (22..=30).collect::<Vec<u64>>());
    // Once one is cut, both live one after the other.
    let (cut, mut options) = (folder.file("cut.mcap"), EditOptions::default());
    options.to = Some(Duration::from_nanos(times[8] - times[0]));
    edit(open(std::slice::from_ref(&one)), &cut, &options, |_| true).unwrap();
    std::fs::remove_file(&out).unwrap();
    edit(open(&[two, cut]), &out, &EditOptions::default(), |_| true).unwrap();
    assert_eq!(ids(&out), (1..=9).chain(10..=30).collect::<Vec<u64>>());
}

/// Frames that lay in the ring when the recorder came are older than the beginning of their segment.
#[test]
fn a_part_has_what_lay_in_the_ring() {
    let folder = Folder::new("ring");
    let name = unique("ring");
    let (path, out) = (folder.file("a.mcap"), folder.file("b.mcap"));
    let mut server = server(&name);
    (1..=8).for_each(|n| publish(&mut server, n));
    let recorder = Recorder::start(&[&name], &path, RecorderOptions::default()).unwrap();
    until("the ring is taken", || recorder.status().regions[0].taken == 8);
    recorder.finish().unwrap();
    let all = frames(&path);
    let mut options = EditOptions::default();
    options.to = Some(Duration::from_nanos(all[3].time - all[0].time));
    let edited = edit(open(std::slice::from_ref(&path)), &out, &options, |_| true).unwrap();
    let wanted = all.iter().filter(|f| f.time <= all[3].time).count() as u64;
    assert_eq!((edited.written.frames, edited.left_out), (wanted, 0));
    assert_eq!(frames(&out).len() as u64, wanted);
    assert_eq!(Recording::open(&[&out]).unwrap().segments()[0].directory.streams.len(), 1);
}

/// A file of a rotation begins where the one before it ends.
#[test]
fn files_of_a_rotated_copy_can_be_merged_in_any_order() {
    let folder = Folder::new("parts");
    let names = ["a", "b"].map(unique);
    let (path, out) = (folder.file("a.mcap"), folder.file("o.mcap"));
    record(&path, [&names[0], &names[1]], WriterOptions::default());
    let mut options = EditOptions::default();
    options.writer.rotate_bytes = Some(10_000);
    options.writer.chunk_bytes = 200;
    edit(open(std::slice::from_ref(&path)), &folder.file("r.mcap"), &options, |_| true).unwrap();
    let mut parts: Vec<PathBuf> =
        (1..).map(|n| folder.file(&format!("r-{n:04}.mcap"))).take_while(|p| p.exists()).collect();
    assert!(parts.len() > 2);
    parts.reverse();
    let edited = edit(open(&parts), &out, &EditOptions::default(), |_| true).unwrap();
    assert_eq!(edited.left_out, 0);
    assert_eq!(content(std::slice::from_ref(&out)), content(std::slice::from_ref(&path)));
}

/// A rotated copy has other names than the one that is given: these may be the inputs', and a name may be a link.
#[test]
fn what_is_read_is_not_written() {
    let folder = Folder::new("inputs");
    let names = ["a", "b"].map(unique);
    let path = folder.file("r.mcap");
    let mut options = EditOptions::default();
    options.writer.rotate_bytes = Some(10_000);
    options.writer.chunk_bytes = 200;
    options.writer.overwrite = true;
    record(&folder.file("a.mcap"), [&names[0], &names[1]], WriterOptions::default());
    edit(open(&[folder.file("a.mcap")]), &path, &options, |_| true).unwrap();
    let parts: Vec<PathBuf> =
        (1..).map(|n| folder.file(&format!("r-{n:04}.mcap"))).take_while(|p| p.exists()).collect();
    let bytes = || parts.iter().map(|p| std::fs::read(p).unwrap()).collect::<Vec<_>>();
    let before = bytes();
    // The second file of the copy is the first one of what is read.
    std::fs::hard_link(&parts[0], folder.file("s-0002.mcap")).unwrap();
    for (output, input) in [("r.mcap", "r-0001.mcap"), ("s.mcap", "s-0002.mcap")] {
        let e = edit(open(&parts), &folder.file(output), &options, |_| true).unwrap_err();
        assert!(matches!(&e, RecordError::Input { path } if *path == folder.file(input)), "{e}");
        assert!(bytes() == before, "{output}");
    }
}
