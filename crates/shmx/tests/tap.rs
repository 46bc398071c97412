//! The tap: every frame once and in order or counted, nothing changed, restarts seen.

use shmx::error::{ReadError, ServerEnd};
use shmx::{Frame, Inspector, OwnedFrame, Server, ServerState, SharedServer, Start, StreamSpec, Tap};
use shmx_testkit::unique;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn server(name: &str, slots: u32) -> SharedServer {
    let builder = Server::builder(name).slots(slots).frame_bytes(4096);
    builder.stream(StreamSpec::of::<u64>(1, "v"), 300).create().unwrap().into_shared()
}

/// The next frame, if there is one.
fn take(tap: &mut Tap) -> Option<OwnedFrame> {
    tap.try_next().unwrap().map(Frame::keep)
}

/// A frame whose every value follows from its number, of a length that does too.
fn publish(server: &SharedServer, n: u64) {
    let values = vec![n; 1 + (n % 300) as usize];
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &values).unwrap();
    f.publish_frame(n as f64).unwrap();
}

fn check(buf: &OwnedFrame) -> u64 {
    let n = buf.sim_time() as u64;
    let s = buf.streams().next().unwrap().unwrap();
    assert_eq!(s.elem_count as u64, 1 + n % 300);
    assert!(s.data.chunks_exact(8).all(|c| c == n.to_ne_bytes()), "frame {} is torn", buf.frame_id());
    n
}

#[test]
fn frames_come_once_and_in_order_and_the_lost_are_counted() {
    let name = unique("order");
    let server = server(&name, 4);
    publish(&server, 1);
    publish(&server, 2);
    let mut tap = Tap::open(&name).unwrap();
    for n in 1..=2 {
        let buf = take(&mut tap).unwrap();
        assert_eq!((check(&buf), buf.frame_id(), buf.missed_before()), (n, n, 0));
    }
    assert!(take(&mut tap).is_none());
    for n in 3..=12 {
        publish(&server, n);
    }
    assert_eq!(tap.behind(), 10);
    let buf = take(&mut tap).unwrap();
    let first = check(&buf);
    assert!(first >= 9 && buf.missed_before() == first - 3, "the ring holds four frames");
    let mut last = first;
    while let Some(buf) = take(&mut tap) {
        assert_eq!(check(&buf), last + 1);
        last += 1;
    }
    assert_eq!(last, 12);
    let s = tap.stats();
    assert_eq!(s.delivered + s.missed, 12);
    assert_eq!(s.rejected, 0);
}

/// The rate was once that of the frames received, so that the pause grew with what was missed.
#[test]
fn how_long_it_looks_away_follows_from_what_is_published() {
    const SHORT: Duration = Duration::from_micros(500);
    let name = unique("pace");
    let server = server(&name, 3);
    let mut tap = Tap::open(&name).unwrap();
    let (end, mut n) = (Instant::now() + Duration::from_secs(60), 0);
    loop {
        for _ in 0..20_000 {
            n += 1;
            publish(&server, n);
        }
        // One of 20000 is taken. In 5 ms each, as it would seem, they would allow a pause of milliseconds.
        assert!(tap.try_wait().unwrap().is_some());
        let pause = tap.pause();
        if pause <= SHORT {
            break;
        }
        // Kept from the processor for many seconds.
        assert!(Instant::now() < end, "{pause:?}");
    }
}

#[test]
fn a_late_tap_does_not_miss_what_was_gone_before() {
    let name = unique("late");
    let server = server(&name, 3);
    for n in 1..=50 {
        publish(&server, n);
    }
    let mut tap = Tap::open(&name).unwrap();
    let buf = take(&mut tap).unwrap();
    assert!(buf.frame_id() >= 47 && buf.missed_before() == 0);
    let mut tap = Tap::options().start(Start::Newest).open(&name).unwrap();
    assert_eq!(check(&take(&mut tap).unwrap()), 50);
    assert!(take(&mut tap).is_none());
    publish(&server, 51);
    let buf = tap.next(Duration::from_secs(30)).unwrap().unwrap().keep();
    assert_eq!((check(&buf), tap.stats().missed), (51, 0));
}

#[test]
fn a_racing_producer_never_gives_a_torn_or_doubled_frame() {
    let name = unique("race");
    let server = server(&name, 3);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                publish(&server, n);
            }
            n
        });
        let mut tap = Tap::open(&name).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let base = tap.last_id();
        let (mut last, mut got) = (base, 0_u64);
        while got < 500 && Instant::now() < until {
            if let Some(buf) = take(&mut tap) {
                assert_eq!(check(&buf), buf.frame_id());
                assert_eq!(buf.frame_id(), last + 1 + buf.missed_before());
                last = buf.frame_id();
                got += 1;
                assert_eq!(tap.stats().delivered + tap.stats().missed, last - base);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let published = producer.join().unwrap();
        assert!(got > 100, "only {got} of {published} frames taken");
        while let Some(buf) = take(&mut tap) {
            last = buf.frame_id();
        }
        assert_eq!(last, published);
    });
}

#[test]
fn the_buffer_is_used_again() {
    let name = unique("alloc");
    let server = server(&name, 4);
    let mut tap = Tap::open(&name).unwrap();
    publish(&server, 299);
    let at = tap.try_next().unwrap().unwrap().payload().as_ptr();
    for n in 300..700 {
        publish(&server, n);
        assert_eq!(tap.try_next().unwrap().unwrap().payload().as_ptr(), at);
    }
    // A frame that is kept takes the memory along, and gives it back for a later one.
    let mut places = Vec::new();
    for n in 0..8 {
        publish(&server, 299 + 300 * n);
        let kept = take(&mut tap).unwrap();
        check(&kept);
        places.push(kept.payload().as_ptr());
    }
    places.sort_unstable();
    places.dedup();
    assert!(places.len() <= 2, "{places:?}");
}

#[test]
fn a_tap_is_not_noticed() {
    let name = unique("quiet");
    let server = server(&name, 3);
    publish(&server, 1);
    let before = Inspector::open(&name).unwrap().dump();
    let mut tap = Tap::open(&name).unwrap();
    assert!(take(&mut tap).is_some());
    assert!(tap.next(Duration::from_millis(30)).unwrap().is_none());
    assert_eq!(tap.state(), ServerState::Live);
    assert_eq!(Inspector::open(&name).unwrap().dump(), before, "every byte is as it was");
    assert!(server.snapshot_readers().iter().all(|r| !r.in_use));
    assert_eq!(server.readers_connected(), 0);
}

#[test]
fn ends_and_restarts_are_seen() {
    let name = unique("restart");
    let first = server(&name, 4);
    let mut tap = Tap::open(&name).unwrap();
    publish(&first, 1);
    publish(&first, 2);
    drop(first);
    assert_eq!(tap.state(), ServerState::Closed);
    // What was published before the end is still taken.
    assert!(tap.next(Duration::from_secs(30)).unwrap().is_some());
    assert_eq!(check(&tap.next(Duration::from_secs(30)).unwrap().unwrap().keep()), 2);
    let end = ServerEnd::Closed;
    assert_eq!(tap.next(Duration::from_secs(30)).unwrap_err(), ReadError::ServerGone { end });
    let second = server(&name, 4);
    publish(&second, 7);
    let mut tap = Tap::open(&name).unwrap();
    let buf = take(&mut tap).unwrap();
    assert_eq!((check(&buf), buf.frame_id(), buf.session_id()), (7, 1, second.session_id()));
}

#[test]
fn additions_to_the_directory_are_seen_with_the_frames_that_need_them() {
    let name = unique("dir");
    let server = server(&name, 4);
    let mut tap = Tap::open(&name).unwrap();
    assert_eq!(tap.directory_changed().unwrap().unwrap().streams.len(), 1);
    publish(&server, 1);
    assert!(take(&mut tap).is_some());
    assert!(tap.directory_changed().unwrap().is_none());
    server.add_stream(StreamSpec::of::<f32>(2, "later")).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_stream(2, &[1.0_f32]).unwrap();
    f.publish_frame(0.0).unwrap();
    let buf = take(&mut tap).unwrap();
    let changed = tap.directory_changed().unwrap().unwrap();
    assert_eq!(changed.bytes, server.directory().bytes);
    assert!(changed.stream(buf.streams().next().unwrap().unwrap().stream_id).is_some());
}

#[test]
fn records_are_taken_over_as_they_are() {
    let (a, b) = (unique("from"), unique("to"));
    let (from, to) = (server(&a, 3), server(&b, 3));
    let mut tap = Tap::open(&a).unwrap();
    publish(&from, 123);
    let buf = take(&mut tap).unwrap();
    let mut f = to.begin_frame().unwrap();
    assert!(f.append_records(&[0; 5000], 1).is_err());
    f.append_records(buf.payload(), buf.tlv_count()).unwrap();
    f.publish_frame(buf.sim_time()).unwrap();
    let copy = take(&mut Tap::open(&b).unwrap()).unwrap();
    assert_eq!(copy.payload(), buf.payload());
    assert_eq!((copy.stored_checksum(), copy.tlv_count()), (buf.stored_checksum(), buf.tlv_count()));
}

/// Regions that the reference made, put where regions lie.
#[cfg(target_os = "linux")]
#[test]
fn regions_of_the_reference_are_followed_too() {
    use shmx::SlotState;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../shmx-abi/tests/golden");
    let mut frames = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "bin") {
            continue;
        }
        let name = unique("golden");
        let object = std::path::Path::new("/dev/shm").join(&name);
        std::fs::copy(&path, &object).unwrap();
        let inspector = Inspector::open(&name).unwrap();
        let mut tap = Tap::open(&name).unwrap();
        std::fs::remove_file(&object).unwrap();
        assert!(!tap.features().is_extended());
        let mut expected: Vec<(u64, Vec<u8>)> = Vec::new();
        for slot in inspector.list_slots() {
            if let SlotState::Frame(f) = slot.state {
                expected.push((f.frame_id(), f.payload().to_vec()));
            }
        }
        expected.sort();
        for (id, payload) in &expected {
            let buf = take(&mut tap).unwrap_or_else(|| panic!("{}: frame {id}", path.display()));
            assert_eq!((buf.frame_id(), buf.payload()), (*id, payload.as_slice()));
            assert_eq!(buf.publish_time(), None);
        }
        assert!(take(&mut tap).is_none());
        assert_eq!((tap.state(), tap.is_current()), (ServerState::Reference, false));
        frames += expected.len();
    }
    assert!(frames > 5, "only {frames} frames in {golden}");
}
