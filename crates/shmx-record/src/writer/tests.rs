//! Clocks that are set.

use super::*;

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
