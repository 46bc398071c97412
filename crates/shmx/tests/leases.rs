//! Frames in a reader's hands: borrowed and kept, leased and copied, in one process.

use crate::common::memory;
use crate::common::small::{SECOND, leased_slots, leasing, publish, small};
use shmx::error::BeginError;
use shmx::{ChecksumState, Client, Frame, Hold};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn leases_pin_their_frame_while_the_producer_goes_on() {
    let (server, name) = small("lease");
    let mut client = leasing(&name);
    publish(&server, 41);
    let held = client.latest().unwrap().unwrap().keep();
    assert!(held.is_leased());
    assert_eq!(held.checksum(), ChecksumState::Verified);
    for v in 0..100 {
        publish(&server, v);
    }
    assert_eq!(held.get::<u64>(1).unwrap(), [41], "the held frame did not change");
    let newest = client.latest().unwrap().unwrap().keep();
    assert_eq!(newest.get::<u64>(1).unwrap(), [99]);
    assert_ne!(held.slot(), newest.slot());
    let again = client.latest().unwrap().unwrap().keep();
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

#[test]
fn borrowed_frames_hold_their_slot_while_they_live() {
    let (server, name) = small("lent");
    let mut client = leasing(&name);
    publish(&server, 41);
    {
        let lent = client.latest().unwrap().unwrap();
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
    let kept = client.latest().unwrap().unwrap().keep();
    let lent = client.latest().unwrap().unwrap();
    assert_eq!((lent.slot(), leased_slots(&server)), (kept.slot(), 1));
    drop(lent);
    for v in 10..20 {
        publish(&server, v);
    }
    assert_eq!(kept.get::<u64>(1).unwrap(), [9], "the kept one holds the slot on");
    let again = client.read_id(kept.frame_id()).unwrap().unwrap().keep();
    drop(kept);
    assert_eq!((again.get::<u64>(1).unwrap(), leased_slots(&server)), (&[9][..], 1));
    let newest = client.latest().unwrap().unwrap().keep();
    assert_eq!((newest.get::<u64>(1).unwrap(), leased_slots(&server)), (&[19][..], 2));
    drop(again);
    assert_eq!((newest.get::<u64>(1).unwrap(), leased_slots(&server)), (&[19][..], 1));
    drop(newest);
    assert_eq!((leased_slots(&server), server.readers_connected()), (0, 1));
}

#[test]
fn every_way_to_a_frame_borrows_it() {
    let (server, name) = small("lent-ways");
    for copy_up_to in [0, 1024] {
        let mut client = Client::options().copy_up_to(copy_up_to).hold(Hold::Lease).open(&name).unwrap();
        drop(client.latest().unwrap());
        let mut expect = |len: usize, how: &dyn Fn(&mut Client) -> Option<Vec<u64>>| {
            let mut frame = server.begin_frame().unwrap();
            let values: Vec<u64> = (0..len as u64).map(|v| v * 3).collect();
            frame.append_stream(1, &values).unwrap();
            frame.publish_frame(0.0).unwrap();
            assert_eq!(how(&mut client), Some(values), "up to {copy_up_to}, {len} values");
        };
        let values = |f: Frame<'_>| {
            assert_eq!(f.is_leased(), copy_up_to == 0);
            f.get::<u64>(1).unwrap().to_vec()
        };
        // Growing and shrinking, so that the client's memory for copies does as well.
        for len in [1, 100, 7, 120, 2] {
            expect(len, &|c| c.latest().unwrap().map(values));
            expect(len, &|c| c.try_next().unwrap().map(values));
            expect(len, &|c| c.try_wait().unwrap().map(values));
            expect(len, &|c| c.next(SECOND).unwrap().map(values));
            expect(len, &|c| c.wait(SECOND).unwrap().map(values));
        }
        assert!(client.try_next().unwrap().is_none() && client.try_wait().unwrap().is_none());
        assert!(client.wait(Duration::ZERO).unwrap().is_none());
        assert_eq!((client.stats().missed, leased_slots(&server)), (0, 0));
    }
}

#[test]
fn small_frames_are_copied_and_pin_nothing() {
    let (server, name) = small("copied");
    let mut client = Client::open(&name).unwrap();
    let mut held = Vec::new();
    for v in 0..20_u64 {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(1, &[v; 21]).unwrap(); // with its record 192 bytes
        frame.publish_frame(0.0).unwrap();
        held.push(client.wait(SECOND).unwrap().unwrap().keep());
    }
    for (v, view) in held.iter().enumerate() {
        assert!(!view.is_leased());
        assert_eq!(view.get::<u64>(1).unwrap(), [v as u64; 21]);
    }
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &[7_u64; 22]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert!(client.wait(SECOND).unwrap().unwrap().is_leased(), "one byte more is leased");
}

#[test]
fn a_forgotten_borrowed_frame_costs_its_slot_no_longer_than_its_client() {
    let (server, name) = small("forgotten");
    let mut client = leasing(&name);
    publish(&server, 1);
    std::mem::forget(client.latest().unwrap());
    assert_eq!(leased_slots(&server), 1);
    // Beside one that is kept: the counted way.
    publish(&server, 2);
    let kept = client.latest().unwrap().unwrap().keep();
    std::mem::forget(client.latest().unwrap());
    drop(kept);
    assert_eq!(leased_slots(&server), 2);
    drop(client);
    let mut next = leasing(&name);
    assert_eq!((next.reader_index(), leased_slots(&server)), (Some(0), 0), "the next owner of the slot begins anew");
    for v in 3..20 {
        publish(&server, v);
        assert_eq!(next.latest().unwrap().unwrap().get::<u64>(1).unwrap(), [v]);
    }
    assert_eq!(leased_slots(&server), 0);
}

#[test]
fn a_borrowed_frame_may_end_in_another_thread() {
    let (server, name) = small("lent-thread");
    let mut client = leasing(&name);
    for v in 0..20 {
        publish(&server, v);
        let lent = client.latest().unwrap().unwrap();
        let seen = std::thread::scope(|s| s.spawn(move || lent.get::<u64>(1).unwrap()[0]).join().unwrap());
        assert_eq!((seen, leased_slots(&server)), (v, 0));
    }
}

#[test]
fn copies_reuse_their_memory() {
    let (server, name) = small("reuse");
    let mut client = Client::options().hold(Hold::Copy).open(&name).unwrap();
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
        held.push(client.latest().unwrap().unwrap().keep());
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

/// What a producer leaves that stops between showing a frame in its slot and announcing it.
#[test]
fn the_newest_frame_never_goes_back() {
    let (server, name) = small("back");
    let region = shmx_os::Region::open(&shmx_os::RegionName::new(&name).unwrap()).unwrap();
    let announce = |number: u32| {
        let at = std::mem::offset_of!(shmx::abi::wire::GlobalHeader, write_index);
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
#[cfg(target_os = "linux")]
fn payload_pages_are_read_only_in_clients() {
    let name = crate::common::unique("pages");
    let builder = shmx::Server::builder(&name);
    let mut server = builder.stream(shmx::StreamSpec::of::<u64>(1, "t"), 131_072).create().unwrap();
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
