//! Headers that are copied while others store to them: each field is one that was stored.

use shmx::{Inspector, Server, StreamSpec};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Copied byte by byte, the count of frames once read as 0x01FF between 0x00FF and 0x0100.
#[test]
fn no_inspector_sees_more_frames_than_were_published() {
    let name = format!("shmx-words-{}", std::process::id());
    let server = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "t"), 100).create().unwrap().into_shared();
    let inspector = Inspector::open(&name).unwrap();
    let done = AtomicBool::new(false);
    let (mut carries, mut before) = (0_u64, 0);
    thread::scope(|s| {
        s.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut frame = server.begin_frame().unwrap();
                frame.append_stream(1, &[7_u64]).unwrap();
                frame.publish_frame(0.0).unwrap();
            }
        });
        // A failure must end the publisher too.
        let until = Instant::now() + Duration::from_secs(60);
        let wrong = loop {
            let seen = inspector.header().frame_seq;
            let most = server.frames_published();
            if seen > most || seen < before {
                break Some((before, seen, most));
            }
            carries += (seen >> 8) - (before >> 8);
            before = seen;
            if carries >= 2000 || Instant::now() > until {
                break None;
            }
        };
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None, "the count before, the one seen, the most there can be");
    });
    assert!(carries > 10, "{carries} carries");
}
