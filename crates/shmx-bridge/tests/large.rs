//! Frames that travel in pieces.
#![cfg(target_os = "linux")]

use crate::common::{Host, V, attach, exports, exports_on, imports, imports_on, origin, unique, until};
use shmx::{Checksum, Client, Server, Stream, StreamSpec, Verify};
use shmx_bridge::fake::Net;
use shmx_bridge::wire::{ALONE, PIECE};
use shmx_bridge::{Event, Export, Import, MirrorCounts, Patterns};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(20);
const DATA: Stream<u8> = Stream::new(2, "data");
const MOST: usize = 5 * PIECE;

fn serve(name: &str, checksum: Checksum) -> Server {
    let builder = Server::builder(name).slots(4).stream(V, 1).stream(DATA, MOST as u32);
    builder.checksum(checksum).create().unwrap()
}

/// Bytes that are different for every frame.
fn pattern(n: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (n.wrapping_mul(31).wrapping_add(i * 7) >> 3) as u8).collect()
}

fn publish(server: &mut Server, n: u64, data: &[u8]) -> u64 {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, n).unwrap();
    f.append_stream(DATA, data).unwrap();
    f.publish_frame(n as f64).unwrap()
}

fn counts(host: &Host) -> Option<(u64, MirrorCounts)> {
    host.bridge.status().mirrors.first().map(|m| (m.origin_id, m.counts))
}

#[test]
fn they_arrive_byte_for_byte() {
    for checksum in [Checksum::Never, Checksum::Always] {
        for some in [false, true] {
            let name = unique("large");
            let mut server = serve(&name, checksum);
            let net = Net::default();
            let streams = if some { vec!["data".to_owned()] } else { Vec::new() };
            let export = Export { regions: Patterns::new([&name[..]]), streams, ..Export::default() };
            let _robot = Host::start(&net, exports_on("robot", export));
            let desk = Host::start(&net, imports("desk", "robot/*"));
            let mirror = format!("robot.{name}");
            until("a mirror", || Client::open(&mirror).ok());
            let mut client = Client::options().verify(Verify::Always).open(&mirror).unwrap();
            // A record has 24 bytes more than its data, and the other one 32.
            for (n, len) in [1, ALONE - 56, ALONE - 55, ALONE, PIECE, 2 * PIECE, MOST - 1, MOST].into_iter().enumerate()
            {
                let data = pattern(n as u64, len);
                let id = publish(&mut server, n as u64, &data);
                let frame = client.next(SHORT).unwrap().expect("it is mirrored");
                assert_eq!((origin(&frame).frame_id, frame.has::<u64>("v").unwrap()), (id, !some));
                assert!(frame.get(DATA).unwrap() == data, "{len} bytes");
            }
            // They are told a moment after the frame.
            let c = until("counts", || counts(&desk).map(|(_, c)| c).filter(|c| c.published == 8));
            assert_eq!((c.published, c.missed, c.lost, c.rejected), (8, 0, 0, 0), "{c:?}");
        }
    }
}

#[test]
fn all_of_them_come_in_order_where_both_sides_want_it() {
    let name = unique("order");
    let mut server = serve(&name, Checksum::Auto);
    let net = Net::default();
    let export = Export { regions: Patterns::new([&name[..]]), every: true, ..Export::default() };
    let import = Import { regions: Patterns::new(["robot/*"]), every: true, ..Import::default() };
    let robot = Host::start(&net, exports_on("robot", export));
    let _desk = Host::start(&net, imports_on("desk", import));
    let mut client = attach(&format!("robot.{name}"));
    for n in 1..=50 {
        let len = (n as usize * 7919) % MOST;
        let id = publish(&mut server, n, &pattern(n, len));
        // The ring has four slots; it must not come round before the bridge has looked.
        let sent = |s: &shmx_bridge::RelayStatus| s.counts.sent >= n;
        until("it is taken", || robot.bridge.status().sending.iter().any(sent).then_some(()));
        let frame = client.next(SHORT).unwrap().expect("it is mirrored");
        assert_eq!((origin(&frame).frame_id, frame.value(V).unwrap()), (id, n));
        assert!(frame.get(DATA).unwrap() == pattern(n, len), "frame {n}");
    }
}

#[test]
fn one_that_breaks_off_is_never_seen_and_is_counted() {
    let name = unique("broken");
    let mut server = serve(&name, Checksum::Auto);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    // Some 0.1 s for each frame, and links that go in the midst of them.
    robot.node.set_bytes_per_second(3_000_000);
    let begun = Instant::now();
    let (mut n, mut seen, mut cuts) = (0, 0, 0);
    while begun.elapsed() < Duration::from_secs(4) || cuts == 0 || seen == 0 {
        n += 1;
        publish(&mut server, n, &pattern(n, MOST));
        if let Ok(Some(frame)) = client.wait(Duration::from_millis(10)) {
            seen += 1;
            let v = frame.value(V).unwrap();
            assert!(frame.get(DATA).unwrap() == pattern(v, MOST), "frame {v}");
        }
        if n % 25 == 0 {
            cuts += 1;
            robot.node.set_cut(true);
            robot.node.set_cut(false);
        }
    }
    robot.node.set_bytes_per_second(0);
    let last = publish(&mut server, n + 1, &pattern(n + 1, MOST));
    // What was lost with a link may have been acknowledged by nobody; the next link begins with the newest frame.
    until("the last one", || counts(&desk).filter(|c| c.0 == last));
    let (id, c) = counts(&desk).unwrap();
    assert!(seen > 0 && cuts > 0, "{seen} {cuts}");
    assert_eq!((c.published + c.missed, c.rejected, c.blocked), (id, 0, 0), "{c:?}");
}

#[test]
fn one_that_is_overwritten_on_the_way_is_given_up_and_missed() {
    let name = unique("overwritten");
    let builder = Server::builder(&name).slots(2).stream(V, 1).stream(DATA, MOST as u32).directory_bytes(1 << 16);
    let mut server = builder.create().unwrap();
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    let data: Vec<_> = (0..8).map(|n| pattern(n, MOST)).collect();
    let mut n = publish(&mut server, 1, &data[1]);
    until("the first one", || counts(&desk).filter(|c| c.0 == n));
    let mut added = 0;
    let given_up = || robot.bridge.status().sending.first().map_or(0, |s| s.counts.given_up);
    until("one is given up", || {
        // The bridge learns that the link is quick. Then a piece takes 60 ms, and the producer comes round its ring in
        // less.
        robot.node.set_bytes_per_second(0);
        let before = counts(&desk).map_or(0, |c| c.1.published);
        until("a quick one", || {
            n += 1;
            publish(&mut server, n, &data[n as usize % 8]);
            counts(&desk).filter(|c| c.1.published > before + 1)
        });
        robot.node.set_bytes_per_second(1_000_000);
        // The frame that tells of it may be one that never arrives.
        added += 1;
        server.add_stream(StreamSpec::of::<u8>(100 + added, format!("added {added}"))).unwrap();
        for _ in 0..50 {
            n += 1;
            publish(&mut server, n, &data[n as usize % 8]);
            std::thread::sleep(Duration::from_millis(2));
            if let Ok(Some(frame)) = client.wait(Duration::ZERO) {
                let v = frame.value(V).unwrap();
                assert!(frame.get(DATA).unwrap() == data[v as usize % 8], "frame {v}");
            }
        }
        (given_up() > 0).then_some(())
    });
    // That is no reason for none to come any more.
    let before = counts(&desk).map_or(0, |c| c.1.published);
    until("others come", || {
        n += 1;
        publish(&mut server, n, &data[n as usize % 8]);
        std::thread::sleep(Duration::from_millis(5));
        counts(&desk).filter(|c| c.1.published > before + 2)
    });
    robot.node.set_bytes_per_second(0);
    let last = publish(&mut server, n + 1, &pattern(n + 1, MOST));
    let (id, c) = until("the last one", || counts(&desk).filter(|c| c.0 == last));
    assert_eq!((c.published + c.missed, c.lost, c.rejected), (id, 0, 0), "{c:?}");
    assert!(!desk.has_told(|e| matches!(e, Event::Trouble { .. })), "it is no fault of the way");
    let streams = client.directory().unwrap().streams.iter().filter(|s| (101..1000).contains(&s.id)).count();
    assert_eq!(streams, added as usize, "what was added is known, whatever became of the frames");
}
