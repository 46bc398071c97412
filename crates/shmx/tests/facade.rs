//! The facade within one process: what each operation promises, and what bad input gets.

use crate::common::small::{SECOND, publish, small};
use crate::common::unique;
use shmx::error::{
    AppendError, BeginError, CreateError, LookupError, OpenError, PublishError, ReadError, SendError, ServerEnd,
    StaticError,
};
use shmx::{Checksum, ChecksumState, Client, Element, Hold, Inspector, Server, ServerBuilder, StreamSpec, Verify};
use std::time::Duration;

fn round_trip<T: Element + PartialEq + std::fmt::Debug>(values: &[T]) {
    let name = unique("types");
    let mut server = Server::builder(&name).stream(StreamSpec::of::<T>(9, "s"), 8).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(9, values).unwrap();
    frame.publish_frame(1.5).unwrap();
    let view = client.latest().unwrap().unwrap();
    assert_eq!(view.to_vec::<T>(9).unwrap(), values);
    assert_eq!(view.sim_time(), 1.5);
    assert_eq!(view.stream(9).unwrap().unwrap().elem_count as usize, values.len());
}

#[test]
fn all_element_types_and_vectors_round_trip() {
    use shmx::{bf16, f16};
    round_trip(&[true, false, true]);
    round_trip(&[-1_i8, 2]);
    round_trip(&[1_u8, 255]);
    round_trip(&[-300_i16, 300]);
    round_trip(&[65535_u16]);
    round_trip(&[i32::MIN, 7]);
    round_trip(&[u32::MAX]);
    round_trip(&[i64::MIN, 3]);
    round_trip(&[u64::MAX, 4]);
    round_trip(&[f16::from_f32(1.5), f16::from_f32(-2.0)]);
    round_trip(&[bf16::from_f32(1.5)]);
    round_trip(&[1.25_f32, -3.5]);
    round_trip(&[1e300_f64]);
    round_trip(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    round_trip(&[[1_u8, 2, 3, 4]]);
}

/// Streams of bytes, and frames that hold so many.
fn parts_of(name: &str, streams: u32, frame_bytes: u32) -> ServerBuilder {
    let builder = Server::builder(name).slots(3).frame_bytes(frame_bytes);
    (1..=streams).fold(builder, |b, id| b.stream(StreamSpec::of::<u8>(id, format!("part {id}")), 1))
}

#[test]
fn large_streams_are_hashed_on_the_way_and_right() {
    let name = unique("large");
    let mut server = parts_of(&name, 5, 8 << 20).checksum(Checksum::Always).create().unwrap();
    let bytes = |len: usize, seed: usize| (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect::<Vec<u8>>();
    // Large ones behind in-place, small and odd ones, and the other way round.
    let parts = [bytes(100, 1), bytes((2 << 20) + 13, 2), bytes(7, 3), bytes(2 << 20, 4), bytes(70_001, 5)];
    let open = |hold| Client::options().hold(hold).verify(Verify::Always).open(&name).unwrap();
    let (mut by_lease, mut by_copy) = (open(Hold::Lease), open(Hold::Copy));
    for first in 0..parts.len() {
        let mut frame = server.begin_frame().unwrap();
        let order = (first..parts.len()).chain(0..first);
        for (i, part) in order.map(|i| (i, &parts[i])) {
            let id = i as u32 + 1;
            match i {
                0 | 4 => frame.reserve_stream::<u8>(id, part.len()).unwrap().copy_from_slice(part),
                1 | 2 => frame.append_stream(id, part).unwrap(),
                _ => frame.append_raw(id, part.len() as u32, part).unwrap(),
            }
        }
        frame.publish_frame(0.0).unwrap();
        for client in [&mut by_lease, &mut by_copy] {
            let view = client.try_next().unwrap().unwrap();
            assert_eq!(view.checksum(), ChecksumState::Verified);
            assert_eq!(view.stored_checksum(), Some(shmx::abi::hash::checksum32(view.payload())));
            for (i, part) in parts.iter().enumerate() {
                assert!(view.get::<u8>(i as u32 + 1).unwrap() == part, "part {i}");
            }
        }
    }
}

#[test]
fn refused_streams_and_records_leave_the_hash_right() {
    let name = unique("mixed");
    let server = parts_of(&name, 4, 5 << 20).checksum(Checksum::Always).create().unwrap().into_shared();
    let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
    let large: Vec<u8> = (0..(2 << 20) + 5_usize).map(|i| (i * 7 + i / 300) as u8).collect();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &large).unwrap();
    assert!(matches!(frame.append_stream(1, &large), Err(AppendError::DuplicateStream { id: 1 })));
    assert!(matches!(frame.append_stream(9, &large), Err(AppendError::Stream(LookupError::Unknown { .. }))));
    frame.append_stream(2, &large).unwrap();
    assert!(matches!(frame.append_stream(3, &large), Err(AppendError::Full { id: 3, .. })));
    frame.append_stream(3, &[1_u8, 2, 3]).unwrap();
    // A record of another frame, cut off behind its 5 bytes of data, as others may end their payloads.
    let mut other = server.begin_frame().unwrap();
    other.append_stream(4, &[9_u8; 5]).unwrap();
    other.publish_frame(0.0).unwrap();
    let record = client.try_next().unwrap().unwrap().payload()[..29].to_vec();
    let used = frame.used() + 29;
    frame.append_records(&record, 1).unwrap();
    assert_eq!(frame.append_stream(4, &[1_u8]), Err(AppendError::Unaligned { id: 4, used }));
    assert_eq!(frame.reserve_stream::<u8>(4, 1), Err(AppendError::Unaligned { id: 4, used }));
    frame.publish_frame(0.0).unwrap();
    let view = client.try_next().unwrap().unwrap();
    assert_eq!((view.checksum(), view.payload().len()), (ChecksumState::Verified, used as usize));
    assert!(view.get::<u8>(1).unwrap() == large && view.get::<u8>(2).unwrap() == large);
    assert_eq!((view.get::<u8>(3).unwrap(), view.get::<u8>(4).unwrap()), (&[1, 2, 3][..], &[9; 5][..]));
}

#[test]
fn published_and_dropped_frames_alternate() {
    let (server, name) = small("mut");
    let mut client = Client::open(&name).unwrap();
    for v in 0..10_u64 {
        let id = publish(&server, 2 * v);
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[2 * v + 1]).unwrap();
        assert_eq!(frame.publish_frame(0.0), Ok(id + 1));
        drop(server.begin_frame().unwrap());
        for expected in [2 * v, 2 * v + 1] {
            assert_eq!(client.try_next().unwrap().unwrap().get::<u64>(1).unwrap(), [expected]);
        }
        assert!(client.try_next().unwrap().is_none() && client.try_wait().unwrap().is_none());
    }
    server.add_stream(StreamSpec::of::<u8>(2, "more")).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(2, &[1_u8]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert_eq!(client.try_wait().unwrap().unwrap().get::<u8>(2).unwrap(), [1]);
    assert_eq!(client.stats().missed, 0);
}

#[test]
fn abandoned_and_empty_frames_are_never_seen() {
    let (server, name) = small("abandon");
    let mut client = Client::open(&name).unwrap();
    let first = publish(&server, 1);
    drop(server.begin_frame().unwrap());
    assert_eq!(server.begin_frame().unwrap().publish_frame(0.0), Err(PublishError::Empty));
    assert_eq!(client.latest().unwrap().unwrap().frame_id(), first);
    for _ in 0..10 {
        server.begin_frame().unwrap().abandon();
        assert_eq!(client.latest().unwrap().unwrap().frame_id(), first, "the newest frame's slot is spared");
    }
    assert_eq!(publish(&server, 2), first + 1, "ids stay dense");
    assert_eq!(client.latest().unwrap().unwrap().frame_id(), first + 1);
    assert_eq!(client.stats().missed, 0);
}

#[test]
fn next_delivers_every_frame_in_order_and_counts_the_missed() {
    let (server, name) = small("next");
    let mut client = Client::open(&name).unwrap();
    for v in 1..=3 {
        publish(&server, v);
    }
    for v in 1..=3_u64 {
        assert_eq!(client.next(SECOND).unwrap().unwrap().get::<u64>(1).unwrap(), [v]);
    }
    for v in 4..=13 {
        publish(&server, v);
    }
    let view = client.next(SECOND).unwrap().unwrap().keep();
    assert_eq!(view.frame_id(), 11, "the oldest of the three in the ring");
    assert_eq!(client.stats().missed, 7);
    assert!(client.next(Duration::ZERO).unwrap().is_some());
    assert!(client.read_id(11).unwrap().is_some());
    assert!(client.read_id(5).unwrap().is_none());
}

#[test]
fn wait_sleeps_until_a_frame_comes() {
    let (server, name) = small("wait");
    let mut client = Client::open(&name).unwrap();
    assert!(client.wait(Duration::from_millis(5)).unwrap().is_none());
    std::thread::scope(|s| {
        let t = s.spawn(move || client.wait(Duration::from_secs(20)).unwrap().unwrap().get::<u64>(1).unwrap()[0]);
        // The reader shows in its slot that it sleeps.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !server.snapshot_readers()[0].extension.is_some_and(|e| e.waiting) {
            assert!(std::time::Instant::now() < deadline, "the reader never went to sleep");
            std::thread::yield_now();
        }
        publish(&server, 5);
        assert_eq!(t.join().unwrap(), 5);
    });
}

#[test]
fn threads_share_a_server_and_frames_never_mix() {
    let name = unique("threads");
    let builder = Server::builder(&name).slots(8).stream(StreamSpec::of::<u64>(1, "a"), 16);
    let server = builder.stream(StreamSpec::of::<u64>(2, "b"), 16).create().unwrap().into_shared();
    let mut client = Client::open(&name).unwrap();
    const EACH: u64 = 3000;
    std::thread::scope(|s| {
        for t in 0..3 {
            let server = &server;
            s.spawn(move || {
                for i in 0..EACH {
                    let mut f = loop {
                        match server.begin_frame() {
                            Ok(f) => break f,
                            Err(BeginError::NoFreeSlot { .. }) => std::thread::yield_now(),
                            Err(e) => panic!("{e}"),
                        }
                    };
                    let mark = t * EACH + i;
                    f.append_stream(1, &[mark; 16]).unwrap();
                    f.append_stream(2, &[!mark; 16]).unwrap();
                    f.publish_frame(mark as f64).unwrap();
                }
            });
        }
        let mut last = 0;
        while last < 3 * EACH {
            let view = client.next(Duration::from_secs(20)).unwrap().expect("producers are at work");
            assert!(view.frame_id() > last);
            last = view.frame_id();
            let mark = view.sim_time() as u64;
            assert_eq!(view.get::<u64>(1).unwrap(), [mark; 16]);
            assert_eq!(view.get::<u64>(2).unwrap(), [!mark; 16]);
        }
    });
    let stats = client.stats();
    assert_eq!(stats.delivered + stats.missed, 3 * EACH);
    assert_eq!(stats.rejected, 0);
    assert!(stats.delivered > 0);
}

#[test]
fn append_refuses_what_does_not_fit() {
    let (server, _name) = small("append");
    let mut f = server.begin_frame().unwrap();
    assert!(matches!(f.append_stream(7, &[1_u64]), Err(AppendError::Stream(LookupError::Unknown { .. }))));
    assert!(matches!(
        f.append_stream(1, &[1.0_f32]),
        Err(AppendError::Stream(LookupError::Type { id: 1, found, asked, .. })) if found == "u64" && asked == "f32"
    ));
    assert!(matches!(f.append_stream(1, &[0_u64; 200]), Err(AppendError::Full { id: 1, .. })));
    assert!(matches!(f.append_raw(1, 2, &[0; 8]), Err(AppendError::Length { .. })));
    f.reserve_stream::<u64>(1, 4).unwrap().copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(f.append_stream(1, &[1_u64]), Err(AppendError::DuplicateStream { id: 1 }));
    assert_eq!((f.used(), f.stream_count()), (64, 1));
    f.publish_frame(0.0).unwrap();
}

#[test]
fn creation_refuses_bad_input_and_leaves_nothing() {
    let tick = StreamSpec::of::<u64>(1, "tick");
    let bad = |builder: ServerBuilder| builder.create().unwrap_err();
    assert!(matches!(bad(Server::builder("")), CreateError::Name(_)));
    assert!(matches!(bad(Server::builder("a\0b")), CreateError::Name(_)));
    assert!(matches!(bad(Server::builder("x".repeat(300))), CreateError::Name(_)));
    let n = unique("bad");
    assert!(matches!(bad(Server::builder(&n).slots(0)), CreateError::Layout(_)));
    assert!(matches!(bad(Server::builder(&n).frame_bytes(0)), CreateError::Layout(_)));
    assert!(matches!(bad(Server::builder(&n).frame_bytes(u32::MAX)), CreateError::Layout(_)));
    assert!(matches!(bad(Server::builder(&n).directory_bytes(16).stream(tick.clone(), 1)), CreateError::Layout(_)));
    assert!(matches!(bad(Server::builder(&n).stream(tick.clone(), 1).stream(tick.clone(), 1)), CreateError::Stream(_)));
    let mut odd = tick;
    odd.bytes_per_elem = 3;
    assert!(matches!(bad(Server::builder(&n).stream(odd, 1)), CreateError::Stream(_)));
    assert!(matches!(Client::open(&n), Err(OpenError::Os(_))), "nothing was left behind");
}

#[test]
fn a_live_name_is_refused_and_a_free_one_is_not() {
    let (server, name) = small("live");
    let err = Server::builder(&name).create().unwrap_err();
    assert!(matches!(err, CreateError::HeldByLiveServer { pid: Some(p), .. } if p == std::process::id()), "{err}");
    let err = Server::builder(&name).replace(true).create().unwrap_err();
    assert!(matches!(err, CreateError::HeldByLiveServer { .. }), "a live one is never replaced");
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    drop(server);
    assert_eq!(client.server_end(), Some(ServerEnd::Closed));
    assert!(client.wait(SECOND).unwrap().is_some(), "the last frame can still be taken");
    assert_eq!(client.wait(SECOND).err(), Some(ReadError::ServerGone { end: ServerEnd::Closed }));
    assert!(client.reopen().is_err());
    let builder = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "tick"), 1);
    let server = builder.create().unwrap().into_shared();
    client.reopen().unwrap();
    publish(&server, 2);
    assert_eq!(client.wait(SECOND).unwrap().unwrap().get::<u64>(1).unwrap(), [2]);
}

#[test]
fn control_messages_flow_back_and_a_full_ring_says_so() {
    let name = unique("control");
    let server = Server::builder(&name).control_bytes(16 + 100).create().unwrap();
    let client = Client::open(&name).unwrap();
    let mut sent = Vec::new();
    let mut got = Vec::new();
    for i in 0..2000_u32 {
        let body = vec![i as u8; (i % 60) as usize];
        loop {
            match client.control_send(0x3000 + i, &body) {
                Ok(()) => break,
                Err(SendError::Full) => got.extend(server.poll_control(1000).messages),
                Err(e) => panic!("{e}"),
            }
        }
        sent.push((0x3000 + i, body));
    }
    got.extend(server.poll_control(1000).messages);
    let got: Vec<_> = got.into_iter().map(|m| (m.ty, m.data)).collect();
    assert_eq!(got, sent);
    assert!(matches!(client.control_send(0x3000, &[0; 200]), Err(SendError::TooLong { longest: 88, .. })));
    assert_eq!(client.control_send(0, &[]), Err(SendError::ReservedType));
}

#[test]
fn the_directory_grows_under_readers() {
    let (server, name) = small("dir");
    let client = Client::open(&name).unwrap();
    let before = client.directory().unwrap();
    server.add_stream(StreamSpec::of::<[f32; 3]>(2, "pos").extra(*b"m")).unwrap();
    let after = client.directory().unwrap();
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.by_name("pos").unwrap().extra, b"m");
    assert!(matches!(server.add_stream(StreamSpec::of::<u8>(2, "x")), Err(StaticError::Stream(_))));
    assert!(matches!(server.add_stream(StreamSpec::of::<u8>(3, "x".repeat(5000))), Err(StaticError::Full { .. })));
    assert_eq!(server.write_static_append(&[1, 2, 3]), Err(StaticError::Malformed));
    assert_eq!(client.directory().unwrap(), after);
}

/// A directory that was taken out of another region may end anywhere. What is added is found, or refused.
#[test]
fn a_directory_that_ends_anywhere_grows_or_says_that_it_cannot() {
    let (name, other) = (unique("cut"), unique("cut"));
    // The entry ends four bytes before its record does.
    let first = StreamSpec::of::<u64>(0, "abcd");
    let all = Server::builder(&name).stream(first, 1).create().unwrap().directory().bytes.clone();
    assert_eq!((all.len(), &all[44..]), (48, [0; 4].as_slice()));
    let mut grown = Vec::new();
    for len in 0..=all.len() {
        // Behind whole records, fewer than 8 bytes are no record; with those to come they may be one.
        for tail in [&[][..], &[5], &[1, 0x30, 0, 0, 40], &[1, 0x30, 0, 0, 200]] {
            let directory = [&all[..len], tail].concat();
            let server = Server::builder(&other).directory(&directory).create().unwrap();
            let client = Client::open(&other).unwrap();
            assert_eq!(server.directory().bytes, directory, "as it was given");
            let before = server.directory().streams.len();
            let mut streams = before;
            for id in 1..6 {
                let old = server.directory();
                match server.add_stream(StreamSpec::of::<u64>(id, "added")) {
                    Ok(()) => streams += 1,
                    Err(StaticError::Malformed) => assert_eq!(server.directory(), old),
                    Err(e) => panic!("{e}"),
                }
                let found = server.directory();
                assert_eq!(found.streams.len(), streams, "{len} bytes and {tail:?}");
                assert_eq!(found.stream(id).is_some(), streams > old.streams.len());
                assert!(found.bytes.starts_with(&old.bytes), "what readers may have seen stays");
                if streams > before {
                    assert_eq!(client.directory().unwrap().streams, found.streams, "readers find the same");
                }
            }
            if streams == before + 5 && tail.is_empty() {
                grown.push(len);
            }
            drop(client);
        }
    }
    // Without the padding, or a part of it, as well as whole, and where nothing is there or just the padding's start.
    assert!(grown.contains(&0) && (44..=48).all(|len| grown.contains(&len)), "{grown:?}");
}

#[test]
fn readers_beyond_the_slots_and_without_leases_read_copies() {
    let name = unique("copies");
    let builder = Server::builder(&name).reader_slots(1).stream(StreamSpec::of::<u64>(1, "t"), 1);
    let server = builder.create().unwrap().into_shared();
    let _first = Client::open(&name).unwrap();
    let mut second = Client::options().require_slot(false).open(&name).unwrap();
    assert_eq!(second.reader_index(), None);
    publish(&server, 3);
    let view = second.latest().unwrap().unwrap().keep();
    assert!(!view.is_leased());
    assert_eq!(view.get::<u64>(1).unwrap(), [3]);
    assert_eq!(second.control_send(0x3000, &[]), Err(SendError::NoReaderSlot { reader_slots: 1 }));
    let inspector = Inspector::open(&name).unwrap();
    assert_eq!(inspector.latest().unwrap().unwrap().get::<u64>(1).unwrap(), [3]);
    assert_eq!(inspector.snapshot_readers().len(), 1);
}

#[test]
fn checksums_can_be_switched_off_on_either_side() {
    let name = unique("sum");
    let builder = Server::builder(&name).checksum(Checksum::Never).stream(StreamSpec::of::<u64>(1, "t"), 1);
    let server = builder.create().unwrap().into_shared();
    publish(&server, 3);
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().checksum(), ChecksumState::Absent);
    let (server, name) = small("sum2");
    publish(&server, 3);
    let mut client = Client::options().verify(Verify::Never).open(&name).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().checksum(), ChecksumState::Unverified);
}

#[test]
fn sequence_numbers_survive_their_wrap() {
    use shmx::abi::RegionLayout;
    for slots in [1_u32, 2, 3, 4, 7] {
        let s = shmx_ring::writer::Sequence::new(slots);
        for t in s.period() - 20..s.period() + 20 {
            let n = s.number(t);
            assert_ne!(n, 0);
            let params = shmx::abi::RegionParams {
                slots,
                reader_slots: 0,
                static_bytes_cap: 0,
                frame_bytes_cap: 64,
                control_per_reader: 0,
            };
            let layout = RegionLayout::for_params(&params, 0).unwrap();
            assert_eq!(layout.slot_of_sequence(n), Some(s.slot(t)));
            assert_eq!(s.slot(t + 1), (s.slot(t) + 1) % slots, "the order of slots never jumps");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_not_a_readable_region_is_refused_by_name() {
    use shmx::abi::LayoutError;
    let (server, name) = small("source");
    publish(&server, 1);
    let whole = Inspector::open(&name).unwrap().dump();
    let open = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let name = unique("bytes");
        let path = format!("/dev/shm/{name}");
        std::fs::write(&path, bytes).unwrap();
        let results = (Client::open(&name).err(), Inspector::open(&name).err());
        std::fs::remove_file(path).unwrap();
        match results {
            (Some(OpenError::Layout { cause, .. }), Some(OpenError::Layout { cause: same, .. })) => {
                assert_eq!(cause, same);
                Some(cause)
            }
            (Some(OpenError::ServerGone { .. }), None) => None, // a whole region without a server
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(open(&|_| {}), None);
    assert!(matches!(open(&|b| b[0] ^= 1), Some(LayoutError::BadMagic { .. })));
    assert_eq!(open(&|b| b[8] = 3), Some(LayoutError::BadVersion { major: 3, minor: 0 }));
    assert_eq!(open(&|b| b[12] = 1), Some(LayoutError::BadVersion { major: 2, minor: 1 }));
    assert!(matches!(open(&|b| b[16..20].reverse()), Some(LayoutError::BadEndianness { found: 0x0403_0201 })));
    assert!(matches!(open(&|b| b.truncate(100)), Some(LayoutError::ShorterThanHeader { available: 100 })));
    assert!(matches!(open(&|b| b.truncate(9000)), Some(LayoutError::Truncated { available: 9000, .. })));
    assert!(matches!(open(&|b| b[60..64].fill(0)), Some(LayoutError::Zero { field: "slots" })));
    assert!(matches!(open(&|b| b[60..64].fill(0xFF)), Some(LayoutError::TooLarge { .. })));
    assert!(matches!(open(&|b| b[84] = 1), Some(LayoutError::Misaligned { field: "readers_offset", .. })));
    assert!(matches!(open(&|b| b[84..88].fill(0)), Some(LayoutError::Overlap { .. })));
    assert!(matches!(open(&|b| b[72..76].fill(0xFF)), Some(LayoutError::StrideTooSmall { .. })));
}
