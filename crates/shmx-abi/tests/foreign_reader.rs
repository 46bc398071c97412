//! The example reader, on the golden dumps and on a region that changes under it.

#[path = "../examples/foreign_reader.rs"]
#[allow(dead_code)]
mod example;

use example::show;
use std::fs::File;
use std::path::Path;

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let mut out = Vec::new();
    show(&mut out, &File::open(path).unwrap()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn golden_dumps_are_shown() {
    let demo = golden("demo.bin");
    assert!(demo.contains("42 \"tick_seq\": u64 x 1"), "{demo}");
    assert!(demo.contains("frame 10 in slot 1, time 2.25, 64 bytes"), "{demo}");
    assert!(demo.contains("42 x 1: 9\n") && demo.contains("43 x 1: 2.25\n"), "{demo}");
    let types = golden("types.bin");
    assert!(types.contains("101 x 1: true\n") && types.contains("102 x 2: (33, 34, 35), (36, 37, 38)\n"), "{types}");
    assert!(types.contains("103 x 3: 49, 50, 51\n"), "{types}");
    assert!(golden("appended.bin").contains("no frame yet"));
    assert!(golden("minimal.bin").contains("9 x 1: bytes 04\n"));
}

#[test]
fn errors_are_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/demo.json");
    let error = show(&mut Vec::new(), &File::open(path).unwrap()).unwrap_err().to_string();
    assert!(error.contains("not an SHMX region"), "{error}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert!(show(&mut Vec::new(), &File::open(path).unwrap()).is_err());
}

/// A writer stamps, scribbles and publishes as fast as it can; no frame taken may mix two of them.
#[cfg(unix)]
#[test]
fn a_live_region_is_never_seen_torn() {
    use example::latest;
    use shmx_abi::extension::Features;
    use shmx_abi::frame::{PayloadCursor, Streams};
    use shmx_abi::{ENDIAN_TAG, FrameHeader, GlobalHeader, MAGIC, RegionLayout, RegionParams};
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    use zerocopy::IntoBytes;

    /// Removes the file when the test ends, however it ends.
    struct Scratch(std::path::PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    const DATA: usize = 20_000;
    let params = RegionParams {
        slots: 2,
        reader_slots: 0,
        static_bytes_cap: 0,
        frame_bytes_cap: DATA as u32 + 64,
        control_per_reader: 0,
    };
    let layout = RegionLayout::for_params(&params, 0).unwrap();
    let mut region = GlobalHeader {
        magic: MAGIC,
        ver_major: 2,
        endianness: ENDIAN_TAG,
        session_id: 5,
        ext_features: Features::new(5, Features::STAMPS | Features::NO_CHECKSUM).to_wire().0,
        ..Default::default()
    };
    layout.fill_header(&mut region);
    let path = Scratch(std::env::temp_dir().join(format!("shmx-abi-live-{}.bin", std::process::id())));
    let file = File::options().read(true).write(true).create_new(true).open(&path.0).unwrap();
    file.set_len(layout.total_bytes().into()).unwrap();
    file.write_all_at(region.as_bytes(), 0).unwrap();
    assert!(latest(&file).unwrap().is_none());

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut payload = vec![0; params.frame_bytes_cap as usize];
            for sequence in 1..u32::MAX {
                let at = layout.frame_slot(layout.slot_of_sequence(sequence).unwrap()).unwrap() as u64;
                let mut cursor = PayloadCursor::new();
                cursor.append(&mut payload, 1, DATA as u32, &[sequence as u8; DATA]).unwrap();
                let mut header = FrameHeader { ext_stamp: u64::from(sequence) * 2 - 1, ..Default::default() };
                file.write_all_at(header.as_bytes(), at).unwrap();
                file.write_all_at(&payload[..cursor.used() as usize], at + 64).unwrap();
                header.session_id_copy = region.session_id;
                header.frame_id = sequence.into();
                header.payload_bytes = cursor.used();
                header.tlv_count = 1;
                header.ext_stamp += 1;
                file.write_all_at(header.as_bytes(), at).unwrap();
                file.write_all_at(&sequence.to_ne_bytes(), 112).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // So that a reader that is much slower, an emulated one say, gets through now and then.
                if sequence % 8 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        });
        let (mut taken, mut newest) = (0, 0);
        while taken < 300 {
            let Ok(Some(frame)) = latest(&file) else { continue };
            let stream = Streams::new(&frame.payload).next().unwrap().unwrap();
            assert_eq!(stream.data, [frame.header.frame_id as u8; DATA]);
            assert!(frame.header.frame_id >= newest);
            newest = frame.header.frame_id;
            taken += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
}
