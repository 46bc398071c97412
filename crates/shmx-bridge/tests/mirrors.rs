//! Two bridges and more on a network in memory: what arrives, when, and what becomes of it.
//!
//! Length: one scenario after the other, over the same few helpers.
#![cfg(target_os = "linux")]

use crate::common::{
    Host, V, attach, exports, exports_on, imports, imports_on, origin, payload_of, publish, serve, unique, until,
};
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, Inspector, Server, Start, Stream, Tap, Verify, now_ticks};
use shmx_bridge::fake::Net;
use shmx_bridge::{Bridge, Event, Export, Import, MirrorCounts, MirrorStatus, NoCodecs, Patterns, Source, is_mirror};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(20);

/// All that a client still gets of an order of frames: id at the origin and the payload.
fn next(client: &mut Client) -> Option<(u64, Vec<u8>)> {
    let frame = client.next(SHORT).unwrap()?;
    Some((origin(&frame).frame_id, payload_of(&frame).to_vec()))
}

/// Counts of the one mirror, once it is so far.
fn counts(host: &Host, so: impl Fn(&MirrorStatus) -> bool) -> MirrorCounts {
    until("counts", || host.bridge.status().mirrors.into_iter().find(|m| so(m)).map(|m| m.counts))
}

#[test]
fn frames_arrive_byte_for_byte_and_say_where_they_come_from() {
    let name = unique("bytes");
    let mut server = Server::builder(&name).slots(5).reader_slots(3).stream(V, 1).create().unwrap();
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    let mut client = attach(&mirror);
    let mut tap = Tap::open(&name).unwrap();
    for n in 0..200_u64 {
        let mut f = server.begin_frame().unwrap();
        f.append_value(V, n).unwrap();
        let id = f.publish_frame(n as f64).unwrap();
        let original = tap.try_next().unwrap().expect("it was published");
        let frame = client.next(SHORT).unwrap().expect("it is mirrored");
        let from = origin(&frame);
        assert_eq!((from.frame_id, from.session), (id, server.session_id()));
        assert!(from.published_ns > 0);
        assert_eq!((payload_of(&frame), frame.sim_time()), (original.payload(), n as f64));
    }
    let (a, b) = (server.layout(), *Inspector::open(&mirror).unwrap().layout());
    assert_eq!(
        (a.slots(), a.reader_slots(), a.control_per_reader()),
        (b.slots(), b.reader_slots(), b.control_per_reader())
    );
    let directory = Inspector::open(&mirror).unwrap().directory().unwrap();
    assert!(directory.bytes.starts_with(&server.directory().bytes));
    let source = Source::of(&directory).unwrap();
    assert_eq!((source.host.as_str(), source.region.as_str()), ("robot", name.as_str()));
    // Only looked at: no reader slot, no lock.
    assert_eq!(server.readers_connected(), 0);
    assert!(server.snapshot_readers().iter().all(|r| !r.in_use));
    let c = counts(&desk, |m| m.counts.published == 200);
    assert_eq!((c.missed, c.lost, c.rejected, c.blocked), (0, 0, 0, 0));
}

/// Another process may cut a region short at any time, which ends who has it open.
#[test]
fn what_is_not_exported_is_not_opened() {
    let (name, other) = (unique("wanted"), unique("unwanted"));
    let _servers = [serve(&name), serve(&other)];
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|l| l.ends_with(&format!("/{other}"))).count()
    };
    let before = mapped();
    let net = Net::default();
    let host = Host::start(&net, exports("robot", &name));
    until("an offer", || host.has_told(|e| matches!(e, Event::Offered { .. })).then_some(()));
    assert_eq!(mapped(), before);
}

#[test]
fn who_comes_late_has_directory_and_newest_frame_at_once() {
    let name = unique("late");
    let mut server = serve(&name);
    for n in 1..=20 {
        publish(&mut server, n);
    }
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    // Nothing is published any more.
    for host in ["desk", "lab"] {
        let import =
            Import { regions: Patterns::new(["robot/*"]), name: format!("{host}.{{region}}"), ..Import::default() };
        let _desk = Host::start(&net, imports_on(host, import));
        let mut client = attach(&format!("{host}.{name}"));
        let (id, payload) = next(&mut client).expect("the newest frame");
        assert_eq!(id, 20);
        assert!(payload.len() > 64);
        assert_eq!(client.stream::<u64>("v").unwrap().id(), 1);
    }
}

#[test]
fn added_streams_sessions_and_ends_are_seen() {
    let name = unique("life");
    let mut server = serve(&name);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    let mut client = attach(&mirror);
    publish(&mut server, 1);
    assert_eq!(next(&mut client).unwrap().0, 1);
    // With a frame, and without one.
    const MORE: Stream<u32> = Stream::new(7, "more");
    server.add_stream(MORE.spec()).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_value(MORE, 5).unwrap();
    f.publish_frame(0.0).unwrap();
    assert_eq!(client.next(SHORT).unwrap().unwrap().value(MORE).unwrap(), 5);
    server.add_stream(Stream::<u8>::new(8, "later").spec()).unwrap();
    until("an addition alone", || client.stream::<u8>("later").ok());

    let published = server.frames_published();
    drop(server);
    let end = until("the end", || match client.next(Duration::from_millis(10)) {
        Err(ReadError::ServerGone { end }) => Some(end),
        _ => None,
    });
    assert_eq!(end, ServerEnd::Closed);
    until("what is said of it", || {
        let over = |e: &Event| {
            matches!(e, Event::Over { reason, counts, .. }
            if reason.contains("server left") && counts.published + counts.missed == published)
        };
        desk.has_told(over).then_some(())
    });
    let mut server = serve(&name);
    publish(&mut server, 9);
    let mut client = attach(&mirror);
    let frame = client.next(SHORT).unwrap().unwrap();
    assert_eq!((origin(&frame).session, frame.value(V).unwrap()), (server.session_id(), 9));
}

#[test]
fn the_newest_wins_and_every_loss_is_counted() {
    let name = unique("slow");
    let mut server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    robot.node.set_bytes_per_second(100_000);
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    // 4 KB each, so that 25 of a second pass; many more are published.
    for n in 0..2000_u64 {
        publish(&mut server, 4095);
        if n % 8 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let last = publish(&mut server, 4095);
    let mut ids = Vec::new();
    while ids.last() != Some(&last) {
        ids.extend(next(&mut client).map(|f| f.0));
    }
    assert!(ids.is_sorted());
    let c = counts(&desk, |m| m.origin_id == last);
    assert!(c.published + c.missed == last && c.published >= ids.len() as u64, "{c:?}");
    assert_eq!((c.lost, c.rejected, c.blocked), (0, 0, 0));
    assert!(c.missed > 1000, "{c:?}");
    // Nothing was copied that was not sent.
    until("as many were sent", || {
        let sent = robot.bridge.status().sending[0].counts;
        (sent.sent == c.published && sent.lost == 0).then_some(())
    });
}

#[test]
fn every_frame_comes_in_order_where_both_sides_want_it() {
    let name = unique("every");
    let mut server = Server::builder(&name).slots(64).stream(V, 1).create().unwrap();
    let net = Net::default();
    let every = |every| Export { regions: Patterns::new([&name[..]]), every, ..Export::default() };
    let _robot = Host::start(&net, exports_on("robot", every(true)));
    let import = Import { regions: Patterns::new(["robot/*"]), every: true, ..Import::default() };
    let desk = Host::start(&net, imports_on("desk", import));
    let mut client = attach(&format!("robot.{name}"));
    let mirrored = || desk.bridge.status().mirrors.first().map(|m| m.counts);
    for n in 1..=1000_u64 {
        let mut f = server.begin_frame().unwrap();
        f.append_value(V, n).unwrap();
        f.publish_frame(0.0).unwrap();
        // No further ahead than the ring is long, however slow this machine is.
        until("the mirror keeps up", || mirrored().filter(|c| c.published + 32 >= n));
        let _ = client.try_next().unwrap();
    }
    let c = until("all of them", || mirrored().filter(|c| c.published == 1000));
    assert_eq!((c.missed, c.lost, c.rejected), (0, 0, 0));
}

#[test]
fn a_link_that_comes_back_goes_on_and_one_that_does_not_ends_the_mirror() {
    let name = unique("cut");
    let mut server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let options = shmx_bridge::Options { end_after: 30.0, ..imports("desk", "robot/*") };
    let desk = Host::start(&net, options);
    let lab = Host::start(
        &net,
        shmx_bridge::Options {
            end_after: 0.5,
            ..imports_on(
                "lab",
                Import { regions: Patterns::new(["robot/*"]), name: "lab.{region}".into(), ..Import::default() },
            )
        },
    );
    let (mut client, mut other) = (attach(&format!("robot.{name}")), attach(&format!("lab.{name}")));
    publish(&mut server, 1);
    assert_eq!((next(&mut client).unwrap().0, next(&mut other).unwrap().0), (1, 1));
    robot.node.set_cut(true);
    for n in 2..=10 {
        publish(&mut server, n);
    }
    // One of them waits, the other does not.
    let end = until("the end", || match other.next(Duration::from_millis(10)) {
        Err(ReadError::ServerGone { end }) => Some(end),
        _ => None,
    });
    assert_eq!(end, ServerEnd::Closed);
    let says = |e: &Event| matches!(e, Event::Over { reason, .. } if reason.contains("has not come back in 0.5 s"));
    until("it says so", || lab.has_told(says).then_some(()));
    until("it waits", || desk.has_told(|e| matches!(e, Event::Silent { .. })).then_some(()));
    robot.node.set_cut(false);
    let (id, _) = next(&mut client).expect("it goes on");
    assert_eq!((id, client.server_end()), (10, None));
    until("it says so", || desk.has_told(|e| matches!(e, Event::Back { .. })).then_some(()));
    assert_eq!(counts(&desk, |m| m.origin_id == 10).missed, 8);
    assert_eq!(next(&mut attach(&format!("lab.{name}"))).unwrap().0, 10);
}

/// As a system does that clears `/dev/shm` when a user logs out.
#[test]
fn a_mirror_whose_name_is_removed_comes_back() {
    let name = unique("unnamed");
    let mut server = serve(&name);
    publish(&mut server, 7);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    let mut client = attach(&mirror);
    assert_eq!(next(&mut client).unwrap().0, 1);
    // By another process, which makes a region of its own there: that one is left alone.
    std::fs::remove_file(format!("/dev/shm/{mirror}")).unwrap();
    let other = Server::builder(&mirror).stream(V, 1).create().unwrap();
    let end = client.next(SHORT).unwrap_err();
    let ReadError::ServerGone { end } = end else { panic!("{end:?}") };
    assert_eq!(end, ServerEnd::Closed);
    let names_it = |e: &Event| matches!(e, Event::Trouble { what, .. } if what.contains(&mirror));
    until("words about the name", || desk.has_told(names_it).then_some(()));
    assert!(desk.has_told(|e| matches!(e, Event::Over { reason, .. } if reason.contains("its name"))));
    assert!(other.is_named() && other.name_is_current());
    drop(other);
    // Nothing else is published: it has the newest frame at once.
    let mut client = attach(&mirror);
    assert_eq!(next(&mut client).unwrap().0, 1);
    publish(&mut server, 8);
    assert_eq!(next(&mut client).unwrap().0, 2);
}

#[test]
fn an_origins_bridge_that_ends_takes_the_mirror_along() {
    let name = unique("gone");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let options = shmx_bridge::Options { end_after: 0.5, ..imports("desk", "robot/*") };
    let _desk = Host::start(&net, options);
    let mut client = attach(&format!("robot.{name}"));
    next(&mut client).unwrap();
    drop(robot);
    until("the end", || client.server_end());
    until("its name is gone", || Client::open(&format!("robot.{name}")).err());
    // Another one of the same host is as good.
    let _robot = Host::start(&net, exports("robot", &name));
    assert_eq!(next(&mut attach(&format!("robot.{name}"))).unwrap().0, 1);
}

#[test]
fn three_bridges_that_mirror_everything_make_no_circle() {
    let name = unique("loop");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    // All on one machine here, so each gives names of its own; patterns match mirrors of mirrors, too.
    let pattern = format!("*{name}");
    let hosts = ["a", "b", "c"].map(|host| {
        let import = Import {
            regions: Patterns::new([format!("*/{pattern}")]),
            name: format!("{host}.{{host}}.{{region}}"),
            ..Import::default()
        };
        let export = vec![Export { regions: Patterns::new([&pattern[..]]), ..Export::default() }];
        Host::start(&net, shmx_bridge::Options { export, ..imports_on(host, import) })
    });
    // Each of the three offers the region, and mirrors it from both of the others.
    for host in &hosts {
        until("mirrors", || (host.bridge.status().mirrors.len() == 2).then_some(()));
    }
    for n in 2..20 {
        publish(&mut server, n);
        std::thread::sleep(Duration::from_millis(10));
    }
    let all = shmx::list().unwrap();
    let there: Vec<_> = all.iter().map(|l| l.object.name.to_string()).filter(|n| n.ends_with(&name)).collect();
    assert_eq!(there.len(), 1 + 6, "{there:?}");
    for host in &hosts {
        assert_eq!(host.bridge.status().offers, [name.as_str()]);
    }
}

#[test]
fn mirrors_are_marked_and_never_offered() {
    let name = unique("mark");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let _desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    let _client = attach(&mirror);
    assert!(is_mirror(&Inspector::open(&mirror).unwrap().directory().unwrap()));
    let beside = unique("beside");
    let _server = serve(&beside);
    let again = Host::start(
        &net,
        exports_on("desk2", Export { regions: Patterns::new([&mirror[..], &beside[..]]), ..Export::default() }),
    );
    // It has looked at both when it offers one.
    until("an offer", || (again.bridge.status().offers == [beside.as_str()]).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(again.bridge.status().offers, [beside.as_str()]);
}

#[test]
fn a_mirror_is_told_of_before_it_is_there() {
    let name = unique("told");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let mirror = format!("robot.{name}");
    let (send, told) = std::sync::mpsc::channel();
    let tell = move |e| {
        if let Event::Making { mirror } = e {
            let there = Client::open(&mirror).is_ok();
            let _ = send.send((mirror, there));
        }
    };
    let (node, options) = (Arc::new(net.host()), imports("desk", "robot/*"));
    let _desk = Bridge::start(node, Arc::new(NoCodecs), options, Arc::new(tell)).unwrap();
    attach(&mirror);
    assert_eq!(told.recv_timeout(SHORT), Ok((mirror, false)));
}

#[test]
fn two_hosts_may_export_the_same_name() {
    let name = unique("same");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let _hosts = ["left", "right"].map(|host| Host::start(&net, exports(host, &name)));
    let _desk = Host::start(&net, imports("desk", &format!("*/{name}")));
    for host in ["left", "right"] {
        let mirror = format!("{host}.{name}");
        assert_eq!(next(&mut attach(&mirror)).unwrap().0, 1);
        let source = Source::of(&Inspector::open(&mirror).unwrap().directory().unwrap()).unwrap();
        assert_eq!((source.host.as_str(), source.region.as_str()), (host, name.as_str()));
    }
}

#[test]
fn rates_and_bytes_per_second_are_kept_by_either_side() {
    let name = unique("rate");
    let mut server = serve(&name);
    let region = || Patterns::new([&name[..]]);
    let from = || Patterns::new(["robot/*"]);
    // Frames of some 4 KB, so 200 KB/s are some 50 of them, too.
    let cases = [
        (Export { rate: 50.0, regions: region(), ..Export::default() }, Import::default()),
        (Export { bytes_per_second: 200_000, regions: region(), ..Export::default() }, Import::default()),
        (Export { regions: region(), ..Export::default() }, Import { rate: 50.0, ..Import::default() }),
    ];
    for (export, import) in cases {
        let begun = Instant::now();
        let net = Net::default();
        let _robot = Host::start(&net, exports_on("robot", export.clone()));
        let desk = Host::start(&net, imports_on("desk", Import { regions: from(), ..import }));
        let c = until("some frames", || {
            publish(&mut server, 4095);
            let counts = desk.bridge.status().mirrors.first().map(|m| m.counts);
            counts.filter(|c| c.published >= 20)
        });
        // Never more than the time allows, however slow this machine is.
        let most = begun.elapsed().as_secs_f64() * 50.0 + 2.0;
        assert!((c.published as f64) <= most && c.missed > 0, "{c:?}, at most {most}: {export:?}");
    }
}

#[test]
fn the_last_frame_and_the_end_wait_for_no_rate() {
    let name = unique("last");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let export = Export { rate: 0.001, regions: Patterns::new([&name[..]]), ..Export::default() };
    let _robot = Host::start(&net, exports_on("robot", export));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    assert_eq!(next(&mut client).unwrap().0, 1);
    for n in 2..=5 {
        publish(&mut server, n);
    }
    drop(server);
    assert_eq!(next(&mut client).unwrap().0, 5);
    let over = |e: &Event| matches!(e, Event::Over { reason, counts, .. } if reason.contains("says its origin") && counts.missed == 3);
    until("it says so", || desk.has_told(over).then_some(()));
}

#[test]
fn frames_between_the_beginning_of_a_mirror_and_its_first_are_counted() {
    let name = unique("first");
    let mut server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, shmx_bridge::Options { end_after: 60.0, ..imports("desk", "robot/*") });
    until("the mirror", || desk.has_told(|e| matches!(e, Event::Begun { .. })).then_some(()));
    // These are sent while nobody hears them, or not at all.
    robot.node.set_cut(true);
    for n in 1..=3 {
        publish(&mut server, n);
    }
    until("it is noticed", || desk.has_told(|e| matches!(e, Event::Silent { .. })).then_some(()));
    robot.node.set_cut(false);
    let c = counts(&desk, |m| m.origin_id == 3);
    assert_eq!((c.published, c.missed), (1, 2), "{c:?}");

    // One that begins later counts from the newest frame on.
    let import = Import { regions: Patterns::new(["robot/*"]), name: "late.{region}".into(), ..Import::default() };
    let late = Host::start(&net, imports_on("late", import));
    let c = counts(&late, |m| (m.origin_first, m.origin_id) == (3, 3) && m.counts.published == 1);
    assert_eq!(c.missed, 0, "{c:?}");
}

#[test]
fn what_the_ring_holds_after_a_cut_comes_too_where_every_frame_is_wanted() {
    let name = unique("resumed");
    let mut server = serve(&name);
    let net = Net::default();
    let export = Export { regions: Patterns::new([&name[..]]), every: true, ..Export::default() };
    let import = Import { regions: Patterns::new(["robot/*"]), every: true, ..Import::default() };
    let robot = Host::start(&net, exports_on("robot", export));
    let options = shmx_bridge::Options { end_after: 60.0, ..imports_on("desk", import) };
    let desk = Host::start(&net, options);
    let mut client = attach(&format!("robot.{name}"));
    publish(&mut server, 1);
    assert_eq!(next(&mut client).unwrap().0, 1);
    robot.node.set_cut(true);
    for n in 2..=6 {
        publish(&mut server, n);
    }
    until("it is noticed", || desk.has_told(|e| matches!(e, Event::Silent { .. })).then_some(()));
    robot.node.set_cut(false);
    for n in 2..=6 {
        assert_eq!(next(&mut client).unwrap().0, n);
    }
    let c = counts(&desk, |m| m.origin_id == 6);
    assert_eq!((c.published, c.missed), (6, 0), "{c:?}");
}

#[test]
fn some_streams_only_and_their_checksum_is_right() {
    let name = unique("some");
    let mut server = serve(&name);
    let net = Net::default();
    let export = Export { regions: Patterns::new([&name[..]]), streams: vec!["v".into()], ..Export::default() };
    let _robot = Host::start(&net, exports_on("robot", export));
    let _desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    until("a mirror", || Client::open(&mirror).ok());
    let mut client = Client::options().verify(Verify::Always).open(&mirror).unwrap();
    // It asks the server for checksums from now on.
    let _ = client.try_wait();
    for n in 1..=20 {
        let id = publish(&mut server, n);
        let frame =
            until("a frame", || client.wait(SHORT).unwrap().filter(|f| origin(f).frame_id == id).map(|f| f.keep()));
        assert_eq!(frame.value(V).unwrap(), n);
        assert!(!frame.has::<u8>("image").unwrap());
        assert_eq!(frame.tlv_count(), 2, "the stream and the mark");
    }
}

#[test]
fn control_messages_go_back_only_where_they_are_allowed() {
    for allowed in [true, false] {
        let name = unique("control");
        let server = serve(&name);
        let net = Net::default();
        let export = Export { regions: Patterns::new([&name[..]]), control: allowed, ..Export::default() };
        let _robot = Host::start(&net, exports_on("robot", export));
        let desk = Host::start(&net, imports("desk", "robot/*"));
        let client = attach(&format!("robot.{name}"));
        client.control_send(0x3001, b"faster").unwrap();
        client.control_send(0x4845_4C4F, b"of the reference").unwrap();
        client.control_send(shmx_bridge::wire::FROM, b"forged").unwrap();
        if !allowed {
            until("it says so", || {
                let says = |e: &Event| matches!(e, Event::Trouble { what, .. } if what.contains("not carried"));
                desk.has_told(says).then_some(())
            });
            assert!(server.poll_control(16).messages.is_empty());
            assert_eq!(server.readers_connected(), 0);
            continue;
        }
        let mut messages = Vec::new();
        until("both messages", || {
            messages.extend(server.poll_control(16).messages);
            (messages.len() >= 2).then_some(())
        });
        let [from, message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!((message.ty, &message.data[..]), (0x3001, &b"faster"[..]));
        assert_eq!(from.ty, shmx_bridge::wire::FROM);
        let (id, host) = from.data.split_first_chunk().unwrap();
        let readers = Inspector::open(client.name()).unwrap().snapshot_readers();
        let me = readers.iter().find(|r| Some(r.index) == client.reader_index()).unwrap();
        assert_eq!((u64::from_le_bytes(*id), host), (me.reader_id, &b"desk"[..]));
    }
}

#[test]
fn ages_are_shown_with_an_estimate_or_not_at_all() {
    let name = unique("age");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    // The first frame comes before anything is known of the clocks.
    let from = client.next(SHORT).unwrap().map(|frame| origin(&frame)).unwrap();
    assert_eq!((from.here_ns, from.error_ns), (0, 0));
    let status = until("an estimate", || desk.bridge.status().mirrors.into_iter().find(|m| m.clock_ahead_ns.is_some()));
    let error = status.clock_error_ns.unwrap();
    // It is the same clock, and the estimate says how wrong it may be.
    assert!(status.clock_ahead_ns.unwrap().unsigned_abs() <= error + 1, "{status:?}");
    publish(&mut server, 2);
    let frame = client.next(SHORT).unwrap().unwrap();
    let from = origin(&frame);
    assert!(from.here_ns.abs_diff(from.published_ns) <= from.error_ns + 1, "{from:?}");
    assert!(now_ticks() > 0);
}

#[test]
fn a_peer_without_wish_for_every_frame_starts_with_the_newest() {
    let name = unique("start");
    let mut server = serve(&name);
    for n in 1..=5 {
        publish(&mut server, n);
    }
    let net = Net::default();
    let export = Export { regions: Patterns::new([&name[..]]), every: true, ..Export::default() };
    let _robot = Host::start(&net, exports_on("robot", export));
    let _desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = format!("robot.{name}");
    until("a mirror", || Client::open(&mirror).ok());
    let mut client = Client::options().start(Start::Oldest).open(&mirror).unwrap();
    assert_eq!(next(&mut client).unwrap().0, 5);
}
