//! Clocks that are set, and what is bounded.

use super::*;
use crate::format::{FrameHead, RecordedControl};

const YEAR: i128 = 365 * 86_400 * 1_000_000_000;

#[test]
fn a_clock_that_is_set_is_told_and_the_next_file_has_the_new_time() {
    let folder = std::env::temp_dir().join(format!("shmx-clock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = WriterOptions { rotate_after: Some(std::time::Duration::ZERO), ..WriterOptions::default() };
    let mut writer = RecordWriter::create(&folder.join("a.mcap"), options).unwrap();
    let region = writer.add_region();
    let segment = Segment { region: "r".into(), frame_bytes_cap: 64, ..Segment::default() };
    // As on a machine without a battery: it starts long ago, and is set after a second.
    writer.clock.offset -= 56 * YEAR;
    writer.begin(region, segment, &[]).unwrap();
    let head = |frame_id| FrameHead { frame_id, taken_ticks: shmx_os::clock::ticks(), ..FrameHead::default() };
    writer.raw_frame(region, &head(1), &[]).unwrap();
    writer.flush().unwrap();
    let step = writer.clock_step().expect("it is told");
    assert!(i128::from(step) > 55 * YEAR, "{step}");
    writer.flush().unwrap();
    assert_eq!(writer.clock_step(), None, "once");
    // The next frame begins a new file.
    writer.raw_frame(region, &head(2), &[]).unwrap();
    assert_eq!(writer.written().files, 2);
    writer.flush().unwrap();
    assert_eq!(writer.clock_step(), None);
    writer.finish().unwrap();
    let times = |file: &str| crate::Recording::open(&[folder.join(file)]).unwrap().times().unwrap();
    assert!(i128::from(times("a-0002.mcap").0) - i128::from(times("a-0001.mcap").1) > 55 * YEAR);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Files of one recording between which the clock was set back: their order is that of their numbers.
#[test]
fn a_clock_that_is_set_back_between_files_costs_no_frame_and_no_order() {
    let folder = std::env::temp_dir().join(format!("shmx-back-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = WriterOptions { rotate_after: Some(std::time::Duration::ZERO), ..WriterOptions::default() };
    let mut writer = RecordWriter::create(&folder.join("a.mcap"), options).unwrap();
    let region = writer.add_region();
    let segment = Segment { region: "r".into(), session_id: 7, frame_bytes_cap: 64, ..Segment::default() };
    // An hour ahead, until the second frame: each has a file of its own.
    writer.clock.offset += 3_600_000_000_000;
    writer.begin(region, segment, &[]).unwrap();
    let begin = shmx_os::clock::ticks();
    for frame_id in 1..=4_u64 {
        let head = FrameHead { frame_id, session_id: 7, taken_ticks: begin + frame_id * 1000, ..FrameHead::default() };
        writer.raw_frame(region, &head, &[1; 16]).unwrap();
    }
    writer.finish().unwrap();
    let files: Vec<PathBuf> = (1..=4).map(|n| folder.join(format!("a-{n:04}.mcap"))).collect();
    let open = |file: &PathBuf| crate::Recording::open(&[file]).unwrap();
    let times = |recording: crate::Recording| {
        assert!(recording.problems().is_empty());
        let mut cursor = crate::Cursor::new(recording);
        let mut found = Vec::new();
        while let Some(item) = cursor.next_item() {
            if let crate::Item::Frame(f) = item {
                found.push((f.head.frame_id, f.time));
            }
        }
        let first = found[0].1;
        found.into_iter().map(|(id, time)| (id, time.checked_sub(first))).collect::<Vec<_>>()
    };
    assert!(open(&files[1]).times().unwrap().1 < open(&files[0]).times().unwrap().0, "they go back");
    let expected: Vec<_> = (1..=4).map(|id| (id, Some((id - 1) * 1000))).collect();
    assert_eq!(times(crate::Recording::open(&files).unwrap()), expected);
    let out = folder.join("out.mcap");
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let mut options = crate::EditOptions::default();
        options.writer.overwrite = true;
        let edited = crate::edit(order.map(|i| open(&files[i])).into(), &out, &options, |_| true).unwrap();
        assert_eq!((edited.written.frames, edited.left_out), (4, 0), "{order:?}");
        assert_eq!(open(&out).segments().len(), 1, "{order:?}");
        assert_eq!(times(open(&out)), expected, "{order:?}");
    }
    // A part of it, across the jump.
    let mut options = crate::EditOptions::default();
    options.writer.overwrite = true;
    options.to = Some(std::time::Duration::from_nanos(2000));
    crate::edit(files.iter().map(open).collect(), &out, &options, |_| true).unwrap();
    assert_eq!(times(open(&out)), expected[..3]);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A recording that leaves room on the disk ends complete.
#[test]
#[cfg(unix)]
fn where_room_gets_short_the_file_is_finished() {
    let folder = std::env::temp_dir().join(format!("shmx-room-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.mcap");
    let mut writer = RecordWriter::create(&path, WriterOptions::default()).unwrap();
    let region = writer.add_region();
    let segment = Segment { region: "r".into(), frame_bytes_cap: 64, ..Segment::default() };
    writer.begin(region, segment, &[]).unwrap();
    writer.raw_frame(region, &FrameHead { frame_id: 1, ..FrameHead::default() }, &[]).unwrap();
    // As if others had taken what there was.
    writer.options.min_free = Some(u64::MAX);
    let e = writer.flush().unwrap_err();
    assert!(matches!(e, RecordError::Room { wanted: u64::MAX, .. }), "{e}");
    assert_eq!(writer.finish().unwrap().frames, 1);
    let mut recording = crate::Recording::open(&[&path]).unwrap();
    assert_eq!((recording.verify(|_| true)[0].frames, recording.problems()), (1, &[][..]));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is kept for the end of a file is bounded, however long a recording lasts.
#[test]
fn a_recording_goes_on_in_another_file_before_its_index_gets_large() {
    let folder = std::env::temp_dir().join(format!("shmx-days-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let of = |name: &str| folder.join(name);
    // Somebody else's file is left alone.
    std::fs::write(of("a-0002.mcap"), "mine").unwrap();
    let options = WriterOptions { index_bytes: 20_000, chunk_bytes: 1, overwrite: true, ..WriterOptions::default() };
    let mut writer = RecordWriter::create(&of("a.mcap"), options).unwrap();
    let region = writer.add_region();
    let segment = Segment { region: "r".into(), frame_bytes_cap: 64, ..Segment::default() };
    writer.begin(region, segment, &[]).unwrap();
    for frame_id in 1..=500 {
        let head = FrameHead { frame_id, taken_ticks: shmx_os::clock::ticks(), ..FrameHead::default() };
        writer.raw_frame(region, &head, &[]).unwrap();
    }
    let written = writer.finish().unwrap();
    assert!(written.files > 2, "{written:?}");
    let mut files = vec![of("a.mcap")];
    files.extend((3..=written.files + 1).map(|n| of(&format!("a-{n:04}.mcap"))));
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        // The footer's first field says where the summary begins.
        let footer = bytes.len() - mcap::MAGIC.len() - 20;
        let summary = u64::from_le_bytes(*bytes[footer..].first_chunk().unwrap());
        let index = bytes.len() as u64 - summary;
        assert!(index < 24_000, "{index} bytes of {file:?}");
    }
    assert_eq!(std::fs::read(of("a-0002.mcap")).unwrap(), b"mine");
    // In no order, and all of one recording.
    files.reverse();
    let mut recording = crate::Recording::open(&files).unwrap();
    assert_eq!((recording.verify(|_| true)[0].frames, recording.problems()), (500, &[][..]));
    let mut cursor = crate::Cursor::new(recording);
    let mut ids = Vec::new();
    while let Some(item) = cursor.next_item() {
        if let crate::Item::Frame(f) = item {
            ids.push(f.head.frame_id);
        }
    }
    assert!(ids.iter().copied().eq(1..=500), "in order");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Regions may come and go for days before one has a frame.
#[test]
fn what_comes_before_the_first_frame_takes_memory_up_to_a_bound() {
    let folder = std::env::temp_dir().join(format!("shmx-before-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.mcap");
    let directory = vec![0_u8; 10_000];
    for (there, frame) in [(true, true), (true, false), (false, true), (false, false)] {
        let _ = std::fs::remove_file(&path);
        if there {
            std::fs::write(&path, "something dear").unwrap();
        }
        let options =
            WriterOptions { index_bytes: 1, discard_empty: true, overwrite: true, ..WriterOptions::default() };
        let mut writer = RecordWriter::create(&path, options).unwrap();
        let (stays, comes) = (writer.add_region(), writer.add_region());
        let segment = |region: &str| Segment { region: region.into(), frame_bytes_cap: 64, ..Segment::default() };
        writer.begin(stays, segment("stays"), &directory).unwrap();
        let message = RecordedControl { time: 1, reader_index: 0, reader_id: 1, ty: 0x3000, data: vec![7] };
        writer.copy_control(stays, vec![message], 0).unwrap();
        let mut most = 0;
        for _ in 0..300 {
            writer.begin(comes, segment("comes"), &directory).unwrap();
            most = writer.file.as_ref().map_or(0, OpenFile::memory).max(most);
            writer.end(comes, EndReason::Closed, 0, 0).unwrap();
        }
        // An event is as long as its directory in hexadecimal.
        assert!(most < (1 << 20) + 30_000, "{most} bytes");
        let w = writer.written();
        // On the disk there is room.
        assert_eq!((w.files, w.control, w.control_dropped), if there { (1, 0, 1) } else { (1, 1, 0) });
        if there {
            assert_eq!(std::fs::read(&path).unwrap(), b"something dear");
        }
        if !frame {
            assert_eq!(writer.finish().unwrap().files, 0);
            assert_eq!(std::fs::read(&path).ok(), there.then(|| b"something dear".to_vec()));
            continue;
        }
        let head = FrameHead { frame_id: 1, taken_ticks: shmx_os::clock::ticks(), ..FrameHead::default() };
        writer.raw_frame(stays, &head, &[]).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!((written.frames, written.files, written.bytes), (1, 1, std::fs::metadata(&path).unwrap().len()));
        let mut recording = crate::Recording::open(&[&path]).unwrap();
        assert_eq!((recording.verify(|_| true)[0].frames, recording.problems()), (1, &[][..]));
        let segments = recording.segments();
        let of = segments.iter().find(|s| s.segment.region == "stays").unwrap();
        assert_eq!(of.end.unwrap().1.frames, 1);
        let first = crate::Cursor::new(recording).next_item();
        assert!(matches!(first, Some(crate::Item::Event(RegionEvent::Begin { continued: false, .. }))), "{first:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A file has only so many numbers for channels.
#[test]
fn a_recording_goes_on_in_another_file_before_its_channels_run_out() {
    let folder = std::env::temp_dir().join(format!("shmx-channels-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = WriterOptions { index_bytes: u64::MAX, ..WriterOptions::default() };
    let mut writer = RecordWriter::create(&folder.join("a.mcap"), options).unwrap();
    let region = writer.add_region();
    // Each name has a channel for its frames and one for its lifecycle.
    for n in 0..16_000_u32 {
        let segment = Segment { region: format!("r{n}"), frame_bytes_cap: 64, ..Segment::default() };
        writer.begin(region, segment, &[]).unwrap();
        writer.renew(region).unwrap();
    }
    // One that begins with many has room for others, or each frame would begin another.
    let file = writer.file.as_mut().unwrap();
    for (begun, channels, crowded) in
        [(0, 30_001, true), (20_000, 40_000, false), (20_000, 40_001, true), (60_000, 65_000, false)]
    {
        (file.begun_channels, file.channels) = (begun, channels);
        assert_eq!(file.is_crowded(u64::MAX), crowded, "{channels} after {begun}");
    }
    file.channels = 0;
    assert_eq!(writer.finish().unwrap().files, 2);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[cfg(feature = "zstd")]
fn levels_are_checked_and_make_a_difference() {
    let folder = std::env::temp_dir().join(format!("shmx-level-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = |compression, level| {
        let options = WriterOptions { compression, level, overwrite: true, ..WriterOptions::default() };
        let mut writer = RecordWriter::create(&folder.join("a.mcap"), options)?;
        let region = writer.add_region();
        let segment = Segment { region: "r".into(), frame_bytes_cap: 1 << 20, ..Segment::default() };
        writer.begin(region, segment, &[])?;
        let payload: Vec<u8> = (0..20_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 9).to_le_bytes()).collect();
        writer.raw_frame(region, &FrameHead::default(), &payload)?;
        Ok::<u64, RecordError>(writer.finish()?.bytes)
    };
    let (fast, hard) = (bytes(Compression::Zstd, Some(1)).unwrap(), bytes(Compression::Zstd, Some(19)).unwrap());
    assert!(hard < fast, "{hard} {fast}");
    for (compression, level) in [(Compression::None, 1), (Compression::Zstd, 23), (Compression::Zstd, 0)] {
        assert!(matches!(bytes(compression, Some(level)), Err(RecordError::Options(_))), "{compression:?} {level}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
