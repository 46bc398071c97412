//! Taking frames: borrowed and kept, newest and in order, leased and copied.

use crate::common::{LIMIT, Other, WORDS, publish, serve, unique};
use shmx::error::{BeginError, ReadError};
use shmx::{Client, Hold, Server, Start, Tap, Verify};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_kept_frame_outlives_client_and_server() {
    let (mut server, name) = serve("keep", 8);
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    let leased = client.latest().unwrap().unwrap().keep();
    assert!(leased.is_leased());
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(WORDS, &[2; 3]).unwrap();
    frame.publish_frame(0.5).unwrap();
    let small = client.latest().unwrap().unwrap().keep();
    assert!(!small.is_leased(), "small frames are copied");
    publish(&mut server, 3);
    let mut copying = Client::options().hold(Hold::Copy).open(&name).unwrap();
    let copied = copying.latest().unwrap().unwrap().keep();
    assert!(!copied.is_leased());
    // The scratch memory went along with the frame that was kept.
    publish(&mut server, 4);
    assert_eq!(copying.latest().unwrap().unwrap().get(WORDS).unwrap(), [4; 50]);
    for value in 5..40 {
        publish(&mut server, value);
    }
    drop((client, copying, server));
    assert_eq!(leased.get(WORDS).unwrap(), [1; 50]);
    assert_eq!((small.get(WORDS).unwrap(), small.sim_time()), ([2; 3].as_slice(), 0.5));
    assert_eq!(copied.get(WORDS).unwrap(), [3; 50]);
    let thread = std::thread::spawn(move || leased.get(WORDS).unwrap().len());
    assert_eq!(thread.join().unwrap(), 50);
}

#[test]
fn a_borrowed_frame_and_kept_ones_of_the_same_slot_share_a_lease() {
    let (mut server, name) = serve("share", 8);
    let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
    publish(&mut server, 7);
    let other = Other::of(&server);
    let bits = || (0..8).map(|i| other.slot(i).ext_lease[0].load(Ordering::SeqCst)).sum::<u64>();
    let first = client.latest().unwrap().unwrap().keep();
    let second = client.latest().unwrap().unwrap().keep();
    assert_eq!(bits(), 1);
    drop(first);
    assert_eq!(bits(), 1, "the second one still has it");
    drop(client.latest().unwrap().unwrap());
    assert_eq!(bits(), 1);
    assert_eq!(second.get(WORDS).unwrap(), [7; 50]);
    drop(second);
    assert_eq!(bits(), 0);
    drop(client.latest().unwrap().unwrap());
    assert_eq!(bits(), 0);
}

#[test]
fn a_reader_begins_where_it_says() {
    let (mut server, name) = serve("start", 4);
    for value in 1..=10 {
        publish(&mut server, value);
    }
    let open = |start| Client::options().start(start).open(&name).unwrap();
    let next = |client: &mut Client| client.next(Duration::ZERO).unwrap().map(|f| (f.frame_id(), f.missed_before()));
    let mut newest = open(Start::Newest);
    assert_eq!(next(&mut newest), Some((10, 0)));
    let mut oldest = open(Start::Oldest);
    assert_eq!(next(&mut oldest), Some((7, 0)));
    assert_eq!(oldest.stats().missed, 0);
    let session_id = newest.session_id();
    let mut after = open(Start::After { session_id, frame_id: 8 });
    assert_eq!(next(&mut after), Some((9, 0)));
    let mut behind = open(Start::After { session_id, frame_id: 2 });
    assert_eq!(next(&mut behind), Some((7, 4)), "3 to 6 are lost, and counted");
    assert_eq!((behind.stats().missed, behind.stats().delivered), (4, 1));
    let mut elsewhere = open(Start::After { session_id: session_id ^ 1, frame_id: 8 });
    assert_eq!(next(&mut elsewhere), Some((7, 0)));
    let mut ahead = open(Start::After { session_id, frame_id: u64::MAX });
    assert_eq!(next(&mut ahead), None);
    publish(&mut server, 11);
    assert_eq!(next(&mut ahead), Some((11, 0)));
    let mut tap = Tap::options().start(Start::Newest).open(&name).unwrap();
    assert_eq!(tap.try_next().unwrap().unwrap().frame_id(), 11);
}

/// A producer that dies between writing a frame and counting it leaves a frame that is in its slot and was never
/// published. A reader that came there by an old number took it, was killed, and its successor began one frame earlier.
#[test]
fn a_frame_is_handed_out_only_once_it_is_counted() {
    let (mut server, name) = serve("counted", 2);
    for value in 1..=3 {
        publish(&mut server, value);
    }
    let other = Other::of(&server);
    // As the producer leaves it in between: frame 3 is in its slot, which is also where an old number leads (frame 1).
    other.header().frame_seq.store(2, Ordering::SeqCst);
    other.header().write_index.store(1, Ordering::SeqCst);
    for hold in [Hold::Auto, Hold::Lease, Hold::Copy] {
        let mut client = Client::options().hold(hold).start(Start::Oldest).open(&name).unwrap();
        assert!(client.latest().unwrap().is_none(), "{hold:?}");
        assert!(client.try_wait().unwrap().is_none(), "{hold:?}");
        assert!(client.wait(Duration::from_millis(1)).unwrap().is_none(), "{hold:?}");
        assert!(client.read_id(3).unwrap().is_none(), "{hold:?}");
        assert_eq!(client.try_next().unwrap().map(|f| f.frame_id()), Some(2), "{hold:?}");
        assert!(client.try_next().unwrap().is_none(), "{hold:?}");
    }
    let mut tap = Tap::open(&name).unwrap();
    assert!(tap.latest().unwrap().is_none());
    other.header().frame_seq.store(3, Ordering::SeqCst);
    other.header().write_index.store(3, Ordering::SeqCst);
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.wait(LIMIT).unwrap().unwrap().frame_id(), 3);
}

#[test]
fn a_poll_without_patience_leaves_the_doorbell_alone() {
    let (mut server, name) = serve("bell", 4);
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    assert!(client.wait(Duration::ZERO).unwrap().is_some());
    let other = Other::of(&server);
    let bell = other.header().ext_doorbell.load(Ordering::SeqCst);
    for _ in 0..100 {
        assert!(client.wait(Duration::ZERO).unwrap().is_none());
        assert!(client.next(Duration::ZERO).unwrap().is_none());
    }
    assert_eq!(other.header().ext_doorbell.load(Ordering::SeqCst), bell, "nobody was about to sleep");
    assert!(client.wait(Duration::from_millis(1)).unwrap().is_none());
    assert_ne!(other.header().ext_doorbell.load(Ordering::SeqCst), bell);
}

#[test]
fn a_reader_that_insists_leases_whatever_room_that_leaves() {
    let (mut server, name) = serve("insist", 3);
    let mut client = Client::options().hold(Hold::Lease).open(&name).unwrap();
    let kept: Vec<_> = (0..3)
        .map(|value| {
            publish(&mut server, value);
            client.wait(LIMIT).unwrap().unwrap().keep()
        })
        .collect();
    assert!(kept.iter().all(shmx::OwnedFrame::is_leased));
    assert!(matches!(server.begin_frame(), Err(BeginError::NoFreeSlot { leased: 3, .. })));
    drop(kept);
    publish(&mut server, 3);
}

/// Three slots, and three readers that hold a frame each while the producer goes on.
#[test]
fn readers_leave_the_producer_room() {
    let (mut server, name) = serve("room", 3);
    let mut clients: Vec<_> = (0..3).map(|_| Client::open(&name).unwrap()).collect();
    for round in 0..20 {
        let mut held = Vec::new();
        for (i, client) in clients.iter_mut().enumerate() {
            let id = publish(&mut server, round * 10 + i as u64);
            let frame = client.wait(LIMIT).unwrap().unwrap();
            assert_eq!((frame.frame_id(), frame.is_leased()), (id, false));
            held.push((id, frame));
        }
        publish(&mut server, 0);
        for (i, (_, frame)) in held.iter().enumerate() {
            assert_eq!(frame.get(WORDS).unwrap(), [round * 10 + i as u64; 50]);
        }
    }
    assert!(clients.iter().all(|c| c.copied_for_room() >= 20));
    // Frames that are kept stop being leased in time, too.
    let (mut server, name) = serve("kept", 8);
    let mut client = Client::open(&name).unwrap();
    let mut kept = Vec::new();
    for value in 0..30 {
        publish(&mut server, value);
        kept.push(client.wait(LIMIT).unwrap().unwrap().keep());
    }
    assert!(kept[0].is_leased() && !kept[29].is_leased());
    assert!((0..30).zip(&kept).all(|(value, frame)| frame.get(WORDS).unwrap() == [value; 50]));
}

#[test]
fn ages_are_of_any_length_and_never_made_up() {
    let (mut server, name) = serve("age", 4);
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    let frame = client.latest().unwrap().unwrap();
    assert!(frame.age().unwrap() < LIMIT);
    let time = frame.publish_time().unwrap();
    let now = shmx_os::clock::ticks();
    let hours_100 = 360_000_000_000_000;
    assert!(time.age_ns(now + hours_100).unwrap() >= hours_100, "beyond the 73 minutes of the low half");
    assert_eq!(time.age_ns(now.wrapping_sub(hours_100)), None, "another clock");
}

/// The newest frame was given once more to who had said that it has it.
#[test]
fn a_reader_that_has_the_newest_frame_waits_for_another() {
    let (mut server, name) = serve("resume", 4);
    (1..=3).for_each(|value| _ = publish(&mut server, value));
    let start = Start::After { session_id: server.session_id(), frame_id: 3 };
    let mut client = Client::options().start(start).open(&name).unwrap();
    let mut tap = Tap::options().start(start).open(&name).unwrap();
    assert!(client.try_wait().unwrap().is_none());
    assert!(tap.try_wait().unwrap().is_none());
    publish(&mut server, 4);
    assert_eq!(client.try_wait().unwrap().map(|f| f.frame_id()), Some(4));
    assert_eq!(tap.try_wait().unwrap().map(|f| f.frame_id()), Some(4));
    assert_eq!((client.stats().missed, tap.stats().missed), (0, 0));
}

/// A server that keeps one frame writes two slots in turn, and what readers hold stays whole.
#[test]
fn a_server_that_keeps_few_frames_spares_what_is_held() {
    let name = unique("history");
    let mut server = Server::builder(&name).slots(8).stream(WORDS, 2000).history(1).create().unwrap();
    let mut client = Client::options().copy_up_to(0).open(&name).unwrap();
    let mut held = Vec::new();
    let mut slots = std::collections::BTreeMap::new();
    for value in 1..=40 {
        let mut frame = server.begin_frame().unwrap();
        *slots.entry(frame.slot()).or_insert(0) += 1;
        frame.append_stream(WORDS, &[value; 50]).unwrap();
        frame.publish_frame(0.0).unwrap();
        let frame = client.next(LIMIT).unwrap().unwrap();
        assert_eq!((frame.frame_id(), frame.get(WORDS).unwrap()[7]), (value, value));
        if value % 20 == 0 {
            held.push(frame.keep());
        }
    }
    assert!(slots.len() <= 5, "{slots:?}");
    assert_eq!(held.iter().map(|f| f.get(WORDS).unwrap()[49]).collect::<Vec<_>>(), [20, 40]);
    // In order it gets what there is, and knows what it missed.
    (0..10).for_each(|v| _ = publish(&mut server, v));
    let mut last = 40;
    while let Some(frame) = client.next(Duration::ZERO).unwrap() {
        last = frame.frame_id();
    }
    assert_eq!(last, 50);
    assert_eq!(client.stats().delivered + client.stats().missed, 50);
}

/// It stays as it is, so it is not taken for a frame that is half-written.
#[test]
fn an_impossible_length_is_told() {
    let (mut server, name) = serve("length", 3);
    publish(&mut server, 1);
    let other = Other::of(&server);
    for hold in [Hold::Copy, Hold::Lease] {
        let mut client = Client::options().hold(hold).open(&name).unwrap();
        other.slot(0).payload_bytes.store(u32::MAX, Ordering::Relaxed);
        let error = client.latest().unwrap_err();
        assert!(matches!(error, ReadError::Oversize { payload_bytes: u32::MAX, .. }), "{hold:?}: {error}");
    }
    let mut tap = Tap::open(&name).unwrap();
    assert!(matches!(tap.latest().unwrap_err(), ReadError::Oversize { .. }));
}
