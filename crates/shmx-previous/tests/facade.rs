//! The facade within one process: what each operation promises, and what bad input gets.

#[path = "common/memory.rs"]
mod memory;

use shmx_previous::error::{
    AppendError, BeginError, CreateError, OpenError, PublishError, ReadError, SendError, StaticError,
};
use shmx_previous::{
    ChecksumState, Client, ClientOptions, Config, Element, ElementType, Inspector, Server, StaticStream,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn unique(tag: &str) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    format!("shmx-t-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
}

const SECOND: Duration = Duration::from_secs(1);

fn small(tag: &str) -> (Server, String) {
    let name = unique(tag);
    let config = Config { frame_bytes_cap: 1024, ..Config::new(&name) };
    let server = Server::create(&config, &[StaticStream::of::<u64>(1, "tick")]).unwrap();
    (server, name)
}

fn publish(server: &Server, value: u64) -> u64 {
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &[value]).unwrap();
    f.publish_frame(value as f64).unwrap()
}

/// Leases frames of every size.
fn leasing(name: &str) -> Client {
    let mut options = ClientOptions::default();
    options.copy_up_to = 0;
    Client::open_with(name, options).unwrap()
}

fn round_trip<T: Element + PartialEq + std::fmt::Debug>(values: &[T]) {
    let name = unique("types");
    let server = Server::create(&Config::new(&name), &[StaticStream::of::<T>(9, "s")]).unwrap();
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(9, values).unwrap();
    frame.publish_frame(1.5).unwrap();
    let view = client.latest().unwrap().unwrap();
    assert_eq!(view.get::<T>(9).unwrap(), values);
    assert_eq!(view.sim_time(), 1.5);
    assert_eq!(view.stream(9).unwrap().unwrap().elem_count as usize, values.len());
}

#[test]
fn all_element_types_and_vectors_round_trip() {
    use shmx_previous::{bf16, f16};
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

#[test]
fn leases_pin_their_frame_while_the_producer_goes_on() {
    let (server, name) = small("lease");
    let mut client = leasing(&name);
    publish(&server, 41);
    let held = client.latest().unwrap().unwrap();
    assert!(held.is_leased());
    assert_eq!(held.checksum(), ChecksumState::Verified);
    for v in 0..100 {
        publish(&server, v);
    }
    assert_eq!(held.get::<u64>(1).unwrap(), [41], "the held frame did not change");
    let newest = client.latest().unwrap().unwrap();
    assert_eq!(newest.get::<u64>(1).unwrap(), [99]);
    assert_ne!(held.slot(), newest.slot());
    let again = client.latest().unwrap().unwrap();
    assert_eq!(again.frame_id(), newest.frame_id());
    drop(newest);
    for v in 0..10 {
        publish(&server, v);
    }
    assert_eq!(again.get::<u64>(1).unwrap(), [99], "the second reference still holds the slot");
    drop(client);
    assert_eq!(held.get::<u64>(1).unwrap(), [41], "a frame outlives its client");
    assert_eq!(server.readers_connected(), 1);
    drop((held, again));
    assert_eq!(server.readers_connected(), 0);
}

/// Slots that the one reader of a server leases.
fn leased_slots(server: &Server) -> u32 {
    server.snapshot_readers().iter().map(|r| r.leased_slots).sum()
}

#[test]
fn frames_by_reference_hold_their_slot_while_they_live() {
    let (server, name) = small("lent");
    let mut client = leasing(&name);
    publish(&server, 41);
    {
        let lent = client.latest_ref().unwrap().unwrap();
        assert!(lent.is_leased());
        for v in 0..10 {
            publish(&server, v);
        }
        assert_eq!(lent.get::<u64>(1).unwrap(), [41], "the held frame did not change");
        assert_eq!((lent.frame_id(), lent.sim_time(), lent.tlv_count()), (1, 41.0, 1));
        assert_eq!((lent.checksum(), leased_slots(&server)), (ChecksumState::Verified, 1));
        assert_eq!(lent.decode().unwrap()[0].data, 41_u64.to_ne_bytes());
    }
    assert_eq!(leased_slots(&server), 0);
    // Beside frames of the same slot that are kept, in every order of their ends.
    let kept = client.latest().unwrap().unwrap();
    let lent = client.latest_ref().unwrap().unwrap();
    assert_eq!((lent.slot(), leased_slots(&server)), (kept.slot(), 1));
    drop(lent);
    for v in 10..20 {
        publish(&server, v);
    }
    assert_eq!(kept.get::<u64>(1).unwrap(), [9], "the kept one holds the slot on");
    let again = client.read_id(kept.frame_id()).unwrap().unwrap();
    drop(kept);
    assert_eq!((again.get::<u64>(1).unwrap(), leased_slots(&server)), (&[9][..], 1));
    let newest = client.latest_ref().unwrap().unwrap();
    assert_eq!((newest.get::<u64>(1).unwrap(), leased_slots(&server)), (&[19][..], 2));
    drop(again);
    assert_eq!((newest.get::<u64>(1).unwrap(), leased_slots(&server)), (&[19][..], 1));
    drop(newest);
    assert_eq!((leased_slots(&server), server.readers_connected()), (0, 1));
}

#[test]
fn every_way_to_a_frame_lends_it_too() {
    let (server, name) = small("lent-ways");
    for copy_up_to in [0, 1024] {
        let mut options = ClientOptions::default();
        options.copy_up_to = copy_up_to;
        let mut client = Client::open_with(&name, options).unwrap();
        drop(client.latest().unwrap());
        let mut expect = |len: usize, how: &dyn Fn(&mut Client) -> Option<Vec<u64>>| {
            let mut frame = server.begin_frame().unwrap();
            let values: Vec<u64> = (0..len as u64).map(|v| v * 3).collect();
            frame.append_stream(1, &values).unwrap();
            frame.publish_frame(0.0).unwrap();
            assert_eq!(how(&mut client), Some(values), "up to {copy_up_to}, {len} values");
        };
        let values = |f: shmx_previous::FrameRef<'_>| {
            assert_eq!(f.is_leased(), copy_up_to == 0);
            f.get::<u64>(1).unwrap().to_vec()
        };
        // Growing and shrinking, so that the client's memory for copies does as well.
        for len in [1, 100, 7, 120, 2] {
            expect(len, &|c| c.latest_ref().unwrap().map(values));
            expect(len, &|c| c.try_next_ref().unwrap().map(values));
            expect(len, &|c| c.try_wait_ref().unwrap().map(values));
            expect(len, &|c| c.next_ref(SECOND).unwrap().map(values));
            expect(len, &|c| c.wait_ref(SECOND).unwrap().map(values));
        }
        assert!(client.try_next_ref().unwrap().is_none() && client.try_wait_ref().unwrap().is_none());
        assert!(client.wait_ref(Duration::ZERO).unwrap().is_none());
        assert_eq!((client.stats().dropped, leased_slots(&server)), (0, 0));
    }
}

#[test]
fn small_frames_are_copied_and_pin_nothing() {
    let (mut server, name) = small("copied");
    let mut client = Client::open(&name).unwrap();
    let mut held = Vec::new();
    for v in 0..20_u64 {
        let mut frame = server.begin_frame_mut().unwrap();
        frame.append_stream(1, &[v; 21]).unwrap(); // with its record 192 bytes
        frame.publish_frame(0.0).unwrap();
        held.push(client.wait(SECOND).unwrap().unwrap());
    }
    for (v, view) in held.iter().enumerate() {
        assert!(!view.is_leased());
        assert_eq!(view.get::<u64>(1).unwrap(), [v as u64; 21]);
    }
    let mut frame = server.begin_frame_mut().unwrap();
    frame.append_stream(1, &[7_u64; 22]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert!(client.wait(SECOND).unwrap().unwrap().is_leased(), "one byte more is leased");
}

#[test]
fn large_streams_are_hashed_on_the_way_and_right() {
    let name = unique("large");
    let config = Config { frame_bytes_cap: 8 << 20, ..Config::new(&name) };
    let streams: Vec<_> = (1..=5).map(|id| StaticStream::of::<u8>(id, format!("part {id}"))).collect();
    let server = Server::create(&config, &streams).unwrap();
    let bytes = |len: usize, seed: usize| (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect::<Vec<u8>>();
    // Large ones behind in-place, small and odd ones, and the other way round.
    let parts = [bytes(100, 1), bytes((2 << 20) + 13, 2), bytes(7, 3), bytes(2 << 20, 4), bytes(70_001, 5)];
    let mut by_lease = Client::open(&name).unwrap();
    let mut options = ClientOptions::default();
    options.lease = false;
    let mut by_copy = Client::open_with(&name, options).unwrap();
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
            assert_eq!(view.stored_checksum(), shmx_previous::abi::hash::checksum32(view.payload()));
            for (i, part) in parts.iter().enumerate() {
                assert!(view.get::<u8>(i as u32 + 1).unwrap() == part, "part {i}");
            }
        }
    }
}

#[test]
fn refused_streams_and_records_leave_the_hash_right() {
    let name = unique("mixed");
    let config = Config { frame_bytes_cap: 5 << 20, ..Config::new(&name) };
    let streams: Vec<_> = (1..=4).map(|id| StaticStream::of::<u8>(id, format!("part {id}"))).collect();
    let server = Server::create(&config, &streams).unwrap();
    let mut client = Client::open(&name).unwrap();
    let large: Vec<u8> = (0..(2 << 20) + 5_usize).map(|i| (i * 7 + i / 300) as u8).collect();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &large).unwrap();
    assert!(matches!(frame.append_stream(1, &large), Err(AppendError::DuplicateStream { id: 1 })));
    assert!(matches!(frame.append_stream(9, &large), Err(AppendError::UnknownStream { id: 9 })));
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
fn a_forgotten_lent_frame_costs_its_slot_no_longer_than_its_client() {
    let (server, name) = small("forgotten");
    let mut client = leasing(&name);
    publish(&server, 1);
    std::mem::forget(client.latest_ref().unwrap());
    assert_eq!(leased_slots(&server), 1);
    // Beside one that is kept: the counted way.
    publish(&server, 2);
    let kept = client.latest().unwrap().unwrap();
    std::mem::forget(client.latest_ref().unwrap());
    drop(kept);
    assert_eq!(leased_slots(&server), 2);
    drop(client);
    let mut next = leasing(&name);
    assert_eq!((next.reader_index(), leased_slots(&server)), (Some(0), 0), "the next owner of the slot begins anew");
    for v in 3..20 {
        publish(&server, v);
        assert_eq!(next.latest_ref().unwrap().unwrap().get::<u64>(1).unwrap(), [v]);
    }
    assert_eq!(leased_slots(&server), 0);
}

#[test]
fn a_lent_frame_may_end_in_another_thread() {
    let (server, name) = small("lent-thread");
    let mut client = leasing(&name);
    for v in 0..20 {
        publish(&server, v);
        let lent = client.latest_ref().unwrap().unwrap();
        let seen = std::thread::scope(|s| s.spawn(move || lent.get::<u64>(1).unwrap()[0]).join().unwrap());
        assert_eq!((seen, leased_slots(&server)), (v, 0));
    }
}

#[test]
fn shared_and_exclusive_frames_alternate() {
    let (mut server, name) = small("mut");
    let mut client = Client::open(&name).unwrap();
    for v in 0..10_u64 {
        let id = publish(&server, 2 * v);
        let mut frame = server.begin_frame_mut().unwrap();
        frame.append_stream(1, &[2 * v + 1]).unwrap();
        assert_eq!(frame.publish_frame(0.0), Ok(id + 1));
        drop(server.begin_frame_mut().unwrap());
        for expected in [2 * v, 2 * v + 1] {
            assert_eq!(client.try_next().unwrap().unwrap().get::<u64>(1).unwrap(), [expected]);
        }
        assert!(client.try_next().unwrap().is_none() && client.try_wait().unwrap().is_none());
    }
    server.add_stream(&StaticStream::of::<u8>(2, "more")).unwrap();
    let mut frame = server.begin_frame_mut().unwrap();
    frame.append_stream(2, &[1_u8]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert_eq!(client.try_wait().unwrap().unwrap().get::<u8>(2).unwrap(), [1]);
    assert_eq!(client.stats().dropped, 0);
}

#[test]
fn copies_reuse_their_memory() {
    let (server, name) = small("reuse");
    let mut options = ClientOptions::default();
    options.lease = false;
    let mut client = Client::open_with(&name, options).unwrap();
    let mut places = std::collections::BTreeSet::new();
    for v in 0..10 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[v; 100]).unwrap();
        frame.publish_frame(0.0).unwrap();
        let view = client.wait(SECOND).unwrap().unwrap();
        assert_eq!(view.get::<u64>(1).unwrap(), [v; 100]);
        places.insert(view.payload().as_ptr() as usize);
    }
    assert_eq!(places.len(), 1, "no new memory for each frame");
}

#[test]
fn all_slots_leased_is_an_error_that_names_the_holders() {
    let (server, name) = small("full");
    let mut client = leasing(&name);
    let mut held = Vec::new();
    for v in 0..3 {
        publish(&server, v);
        held.push(client.latest().unwrap().unwrap());
    }
    let err = server.begin_frame().unwrap_err();
    let BeginError::NoFreeSlot { leased: 3, writing: 0, holders } = &err else { panic!("{err:?}") };
    assert_eq!((holders.len(), holders[0].index, holders[0].leased), (1, 0, 3));
    assert_eq!(holders[0].reader_id, server.snapshot_readers()[0].reader_id);
    assert_eq!(holders[0].pid, Some(std::process::id()));
    let expected = format!("no free slot: 3 leased (reader 0 (process {}): 3), 0 being written; ", std::process::id());
    assert!(err.to_string().starts_with(&expected), "{err}");
    held.remove(0);
    publish(&server, 9);
    assert_eq!(client.latest().unwrap().unwrap().get::<u64>(1).unwrap(), [9]);
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
    assert_eq!(client.stats().dropped, 0);
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
    let view = client.next(SECOND).unwrap().unwrap();
    assert_eq!(view.frame_id(), 11, "the oldest of the three in the ring");
    assert_eq!(client.stats().dropped, 7);
    assert!(client.next(Duration::ZERO).unwrap().is_some());
    assert!(client.read_id(11).unwrap().is_some());
    assert!(client.read_id(5).unwrap().is_none());
}

/// What a producer leaves that stops between showing a frame in its slot and announcing it.
#[test]
fn the_newest_frame_never_goes_back() {
    let (server, name) = small("back");
    let region = shmx_previous::os::Region::open(&shmx_previous::os::RegionName::new(&name).unwrap()).unwrap();
    let announce = |number: u32| {
        let at = std::mem::offset_of!(shmx_previous::abi::wire::GlobalHeader, write_index);
        for (cell, byte) in memory::bytes(&region)[at..].iter().zip(number.to_ne_bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
    };
    for open in [|name: &str| Client::open(name).unwrap(), leasing] {
        let mut client = open(&name);
        let id = publish(&server, 1);
        publish(&server, 2);
        let number = client.header().write_index;
        let newest = |client: &mut Client| client.latest().unwrap().unwrap().frame_id();
        assert_eq!(newest(&mut client), id + 1);
        announce(number - 1);
        assert_eq!(newest(&mut Client::open(&name).unwrap()), id);
        assert_eq!(newest(&mut client), id + 1);
        assert!(client.try_wait().unwrap().is_none() && client.try_next().unwrap().is_none());
        assert_eq!(client.stats().delivered, 1);
        // The slot is written again, with nothing yet.
        let rewriting: Vec<_> = (0..client.layout().slots()).map_while(|_| server.begin_frame().ok()).collect();
        announce(number - 1);
        assert!(client.latest().unwrap().is_none());
        drop(rewriting);
        assert_eq!(publish(&server, 3), id + 2);
        assert_eq!(newest(&mut client), id + 2);
    }
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
    let config = Config { slots: 8, ..Config::new(&name) };
    let server = Server::create(&config, &[StaticStream::of::<u64>(1, "a"), StaticStream::of::<u64>(2, "b")]).unwrap();
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
    assert_eq!(stats.delivered + stats.dropped, 3 * EACH);
    assert_eq!(stats.rejected, 0);
    assert!(stats.delivered > 0);
}

#[test]
fn append_refuses_what_does_not_fit() {
    let (server, _name) = small("append");
    let mut f = server.begin_frame().unwrap();
    assert_eq!(f.append_stream(7, &[1_u64]), Err(AppendError::UnknownStream { id: 7 }));
    assert!(matches!(
        f.append_stream(1, &[1.0_f32]),
        Err(AppendError::TypeMismatch { expected: ElementType::U64, found: ElementType::F32, .. })
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
    let tick = StaticStream::of::<u64>(1, "tick");
    let bad = |config: Config, streams: &[StaticStream]| Server::create(&config, streams).unwrap_err();
    assert!(matches!(bad(Config::new(""), &[]), CreateError::Name(_)));
    assert!(matches!(bad(Config::new("a\0b"), &[]), CreateError::Name(_)));
    assert!(matches!(bad(Config::new("x".repeat(300)), &[]), CreateError::Name(_)));
    let n = unique("bad");
    assert!(matches!(bad(Config { slots: 0, ..Config::new(&n) }, &[]), CreateError::Layout(_)));
    assert!(matches!(bad(Config { frame_bytes_cap: 0, ..Config::new(&n) }, &[]), CreateError::Layout(_)));
    assert!(matches!(bad(Config { frame_bytes_cap: u32::MAX, ..Config::new(&n) }, &[]), CreateError::Layout(_)));
    let tiny = Config { static_bytes_cap: 16, ..Config::new(&n) };
    assert!(matches!(bad(tiny, std::slice::from_ref(&tick)), CreateError::Layout(_)));
    assert!(matches!(bad(Config::new(&n), &[tick.clone(), tick.clone()]), CreateError::Stream(_)));
    let odd = StaticStream { bytes_per_elem: 3, ..tick };
    assert!(matches!(bad(Config::new(&n), &[odd]), CreateError::Stream(_)));
    assert!(matches!(Client::open(&n), Err(OpenError::Os(_))), "nothing was left behind");
}

#[test]
fn a_live_name_is_refused_and_a_free_one_is_not() {
    let (server, name) = small("live");
    let err = Server::create(&Config::new(&name), &[]).unwrap_err();
    assert!(matches!(err, CreateError::HeldByLiveServer { pid: Some(p), .. } if p == std::process::id()), "{err}");
    let err = Server::create(&Config { replace: true, ..Config::new(&name) }, &[]).unwrap_err();
    assert!(matches!(err, CreateError::HeldByLiveServer { .. }), "a live one is never replaced");
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    drop(server);
    assert!(client.server_gone());
    assert!(client.wait(SECOND).unwrap().is_some(), "the last frame can still be taken");
    assert_eq!(client.wait(SECOND).err(), Some(ReadError::ServerGone));
    assert!(client.reopen().is_err());
    let server = Server::create(&Config::new(&name), &[StaticStream::of::<u64>(1, "tick")]).unwrap();
    client.reopen().unwrap();
    publish(&server, 2);
    assert_eq!(client.wait(SECOND).unwrap().unwrap().get::<u64>(1).unwrap(), [2]);
}

#[test]
fn control_messages_flow_back_and_a_full_ring_says_so() {
    let name = unique("control");
    let config = Config { control_per_reader: 16 + 100, ..Config::new(&name) };
    let server = Server::create(&config, &[]).unwrap();
    let mut client = Client::open(&name).unwrap();
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
    let before = client.refresh_static().unwrap();
    server.add_stream(&StaticStream::of::<[f32; 3]>(2, "pos").with_extra(*b"m")).unwrap();
    let after = client.refresh_static().unwrap();
    assert_eq!(after.static_gen, before.static_gen + 1);
    assert_eq!(after.by_name("pos").unwrap().extra, b"m");
    assert!(matches!(server.add_stream(&StaticStream::of::<u8>(2, "x")), Err(StaticError::Stream(_))));
    assert!(matches!(server.add_stream(&StaticStream::of::<u8>(3, "x".repeat(5000))), Err(StaticError::Full { .. })));
    assert_eq!(server.write_static_append(&[1, 2, 3]), Err(StaticError::Malformed));
    assert_eq!(client.refresh_static().unwrap(), after);
}

/// A directory that was taken out of another region may end anywhere. What is added is found, or refused.
#[test]
fn a_directory_that_ends_anywhere_grows_or_says_that_it_cannot() {
    let (name, config) = (unique("cut"), Config::new(unique("cut")));
    // The entry ends four bytes before its record does.
    let first = StaticStream::of::<u64>(0, "abcd");
    let all = Server::create(&Config::new(&name), std::slice::from_ref(&first)).unwrap().static_state().bytes.clone();
    assert_eq!((all.len(), &all[44..]), (48, [0; 4].as_slice()));
    let mut grown = Vec::new();
    for len in 0..=all.len() {
        // Behind whole records, fewer than 8 bytes are no record; with those to come they may be one.
        for tail in [&[][..], &[5], &[1, 0x30, 0, 0, 40], &[1, 0x30, 0, 0, 200]] {
            let directory = [&all[..len], tail].concat();
            let server = Server::create_with_directory(&config, &directory).unwrap();
            let client = Client::open(&config.name).unwrap();
            assert_eq!(server.static_state().bytes, directory, "as it was given");
            let before = server.static_state().streams.len();
            let mut streams = before;
            for id in 1..6 {
                let old = server.static_state();
                match server.add_stream(&StaticStream::of::<u64>(id, "added")) {
                    Ok(()) => streams += 1,
                    Err(StaticError::Malformed) => assert_eq!(server.static_state(), old),
                    Err(e) => panic!("{e}"),
                }
                let found = server.static_state();
                assert_eq!(found.streams.len(), streams, "{len} bytes and {tail:?}");
                assert_eq!(found.stream(id).is_some(), streams > old.streams.len());
                assert!(found.bytes.starts_with(&old.bytes), "what readers may have seen stays");
                if streams > before {
                    assert_eq!(client.refresh_static().unwrap().streams, found.streams, "readers find the same");
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
    let server =
        Server::create(&Config { reader_slots: 1, ..Config::new(&name) }, &[StaticStream::of::<u64>(1, "t")]).unwrap();
    let _first = Client::open(&name).unwrap();
    let mut second = Client::open(&name).unwrap();
    assert_eq!(second.reader_index(), None);
    publish(&server, 3);
    let view = second.latest().unwrap().unwrap();
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
    let config = Config { checksum: false, ..Config::new(&name) };
    let server = Server::create(&config, &[StaticStream::of::<u64>(1, "t")]).unwrap();
    publish(&server, 3);
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().checksum(), ChecksumState::Absent);
    let (server, name) = small("sum2");
    publish(&server, 3);
    let mut options = ClientOptions::default();
    options.verify = false;
    let mut client = Client::open_with(&name, options).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().checksum(), ChecksumState::Unverified);
}

#[test]
fn sequence_numbers_survive_their_wrap() {
    use shmx_previous::abi::RegionLayout;
    for slots in [1_u32, 2, 3, 4, 7] {
        let s = shmx_ring::writer::Sequence::new(slots);
        for t in s.period() - 20..s.period() + 20 {
            let n = s.number(t);
            assert_ne!(n, 0);
            let params = shmx_previous::abi::RegionParams {
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
fn payload_pages_are_read_only_in_clients() {
    let name = unique("pages");
    let config = Config { frame_bytes_cap: 1 << 20, ..Config::new(&name) };
    let server = Server::create(&config, &[StaticStream::of::<u64>(1, "t")]).unwrap();
    let mut client = Client::open(&name).unwrap();
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &[7_u64; 100_000]).unwrap();
    f.publish_frame(0.0).unwrap();
    let view = client.latest().unwrap().unwrap();
    let address = view.get::<u64>(1).unwrap()[50_000..].as_ptr() as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let rights = maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        range.contains(&address).then(|| fields.next().unwrap_or_default().to_owned())
    });
    assert_eq!(rights.as_deref(), Some("r--s"));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_not_a_readable_region_is_refused_by_name() {
    use shmx_previous::abi::LayoutError;
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
            (Some(OpenError::Layout { source, .. }), Some(OpenError::Layout { source: same, .. })) => {
                assert_eq!(source, same);
                Some(source)
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
