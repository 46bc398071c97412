//! The tap: every frame once and in order or counted, nothing changed, restarts seen.

use shmx_previous::error::ReadError;
use shmx_previous::{Config, FrameBuf, Inspector, Server, StaticStream, Tap, TapOptions, TapState};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn unique(tag: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-t-tap-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

fn server(name: &str, slots: u32) -> Server {
    let config = Config { slots, frame_bytes_cap: 4096, ..Config::new(name) };
    Server::create(&config, &[StaticStream::of::<u64>(1, "v")]).unwrap()
}

/// A frame whose every value follows from its number, of a length that does too.
fn publish(server: &Server, n: u64) {
    let values = vec![n; 1 + (n % 300) as usize];
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &values).unwrap();
    f.publish_frame(n as f64).unwrap();
}

fn check(buf: &FrameBuf) -> u64 {
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
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    for n in 1..=2 {
        assert!(tap.try_next(&mut buf).unwrap());
        assert_eq!((check(&buf), buf.frame_id(), buf.missed_before()), (n, n, 0));
    }
    assert!(!tap.try_next(&mut buf).unwrap());
    assert_eq!((buf.frame_id(), buf.payload().len()), (0, 0), "no frame is left behind");
    for n in 3..=12 {
        publish(&server, n);
    }
    assert_eq!(tap.behind(), 10);
    assert!(tap.try_next(&mut buf).unwrap());
    let first = check(&buf);
    assert!(first >= 9 && buf.missed_before() == first - 3, "the ring holds four frames");
    let mut last = first;
    while tap.try_next(&mut buf).unwrap() {
        assert_eq!(check(&buf), last + 1);
        last += 1;
    }
    assert_eq!(last, 12);
    let s = tap.stats();
    assert_eq!(s.taken + s.missed, 12);
    assert_eq!(s.refused, 0);
}

#[test]
fn a_late_tap_does_not_miss_what_was_gone_before() {
    let name = unique("late");
    let server = server(&name, 3);
    for n in 1..=50 {
        publish(&server, n);
    }
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    assert!(tap.try_next(&mut buf).unwrap());
    assert!(buf.frame_id() >= 47 && buf.missed_before() == 0);
    let mut options = TapOptions::default();
    options.from_oldest = false;
    let mut tap = Tap::open(&name, options).unwrap();
    assert!(!tap.try_next(&mut buf).unwrap());
    publish(&server, 51);
    assert!(tap.next(&mut buf, Duration::from_secs(30)).unwrap());
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
        let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
        let mut buf = FrameBuf::new();
        let until = Instant::now() + Duration::from_secs(60);
        let base = tap.last_id();
        let (mut last, mut got) = (base, 0_u64);
        while got < 500 && Instant::now() < until {
            if tap.try_next(&mut buf).unwrap() {
                assert_eq!(check(&buf), buf.frame_id());
                assert_eq!(buf.frame_id(), last + 1 + buf.missed_before());
                last = buf.frame_id();
                got += 1;
                assert_eq!(tap.stats().taken + tap.stats().missed, last - base);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let published = producer.join().unwrap();
        assert!(got > 100, "only {got} of {published} frames taken");
        while tap.try_next(&mut buf).unwrap() {
            last = buf.frame_id();
        }
        assert_eq!(last, published);
    });
}

#[test]
fn the_buffer_is_used_again() {
    let name = unique("alloc");
    let server = server(&name, 4);
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    publish(&server, 299);
    assert!(tap.try_next(&mut buf).unwrap());
    let (capacity, at) = (buf.capacity(), buf.payload().as_ptr());
    for n in 300..700 {
        publish(&server, n);
        assert!(tap.try_next(&mut buf).unwrap());
        check(&buf);
    }
    assert_eq!((buf.capacity(), buf.payload().as_ptr()), (capacity, at));
}

#[test]
fn a_tap_is_not_noticed() {
    let name = unique("quiet");
    let server = server(&name, 3);
    publish(&server, 1);
    let before = Inspector::open(&name).unwrap().dump();
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    assert!(tap.try_next(&mut buf).unwrap());
    assert!(!tap.next(&mut buf, Duration::from_millis(30)).unwrap());
    assert_eq!(tap.state(), TapState::Live);
    assert_eq!(Inspector::open(&name).unwrap().dump(), before, "every byte is as it was");
    assert!(server.snapshot_readers().iter().all(|r| !r.in_use));
    assert_eq!(server.readers_connected(), 0);
}

#[test]
fn ends_and_restarts_are_seen() {
    let name = unique("restart");
    let first = server(&name, 4);
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    publish(&first, 1);
    publish(&first, 2);
    drop(first);
    assert_eq!(tap.state(), TapState::Closed);
    // What was published before the end is still taken.
    assert!(tap.next(&mut buf, Duration::from_secs(30)).unwrap());
    assert!(tap.next(&mut buf, Duration::from_secs(30)).unwrap());
    assert_eq!(check(&buf), 2);
    assert_eq!(tap.next(&mut buf, Duration::from_secs(30)), Err(ReadError::ServerGone));
    let second = server(&name, 4);
    publish(&second, 7);
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    assert!(tap.try_next(&mut buf).unwrap());
    assert_eq!((check(&buf), buf.frame_id(), buf.session_id()), (7, 1, second.session_id()));
}

#[test]
fn additions_to_the_directory_are_seen_with_the_frames_that_need_them() {
    let name = unique("dir");
    let server = server(&name, 4);
    let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    assert_eq!(tap.directory_changed().unwrap().unwrap().streams.len(), 1);
    publish(&server, 1);
    assert!(tap.try_next(&mut buf).unwrap());
    assert!(tap.directory_changed().unwrap().is_none());
    server.add_stream(&StaticStream::of::<f32>(2, "later")).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_stream(2, &[1.0_f32]).unwrap();
    f.publish_frame(0.0).unwrap();
    assert!(tap.try_next(&mut buf).unwrap());
    let changed = tap.directory_changed().unwrap().unwrap();
    assert_eq!(changed.bytes, server.static_state().bytes);
    assert!(changed.stream(buf.streams().next().unwrap().unwrap().stream_id).is_some());
}

#[test]
fn records_are_taken_over_as_they_are() {
    let (a, b) = (unique("from"), unique("to"));
    let (from, to) = (server(&a, 3), server(&b, 3));
    let mut tap = Tap::open(&a, TapOptions::default()).unwrap();
    let mut buf = FrameBuf::new();
    publish(&from, 123);
    assert!(tap.try_next(&mut buf).unwrap());
    let mut f = to.begin_frame().unwrap();
    assert!(f.append_records(&[0; 5000], 1).is_err());
    f.append_records(buf.payload(), buf.tlv_count()).unwrap();
    f.publish_frame(buf.sim_time()).unwrap();
    let mut copy = FrameBuf::new();
    assert!(Tap::open(&b, TapOptions::default()).unwrap().try_next(&mut copy).unwrap());
    assert_eq!(copy.payload(), buf.payload());
    assert_eq!((copy.stored_checksum(), copy.tlv_count()), (buf.stored_checksum(), buf.tlv_count()));
}

/// Regions that the reference made, put where regions lie.
#[cfg(target_os = "linux")]
#[test]
fn regions_of_the_reference_are_followed_too() {
    use shmx_previous::SlotState;
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
        let mut tap = Tap::open(&name, TapOptions::default()).unwrap();
        std::fs::remove_file(&object).unwrap();
        assert!(!tap.features().is_extended());
        let mut expected: Vec<(u64, Vec<u8>)> = Vec::new();
        for slot in inspector.list_slots() {
            if let SlotState::Frame(f) = slot.state {
                expected.push((f.frame_id(), f.payload().to_vec()));
            }
        }
        expected.sort();
        let mut buf = FrameBuf::new();
        for (id, payload) in &expected {
            assert!(tap.try_next(&mut buf).unwrap(), "{}: frame {id}", path.display());
            assert_eq!((buf.frame_id(), buf.payload()), (*id, payload.as_slice()));
            assert_eq!(buf.published_ticks(), None);
        }
        assert!(!tap.try_next(&mut buf).unwrap());
        assert_eq!(tap.state(), TapState::Replaced);
        frames += expected.len();
    }
    assert!(frames > 5, "only {frames} frames in {golden}");
}
