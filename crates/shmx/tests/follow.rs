//! Frames that are read while they are written, and how that ends.
//!
//! Length: one rule after the other, over the same two streams.

#[path = "../examples/slow_camera.rs"]
mod slow_camera;
#[path = "../examples/slow_viewer.rs"]
mod slow_viewer;

use crate::common::{self, LIMIT, Other, this_program, unique, within_limit};
use shmx::error::{AppendError, BeginError, PublishError, ReadError, ServerEnd, ValueError, Void};
use shmx::{
    Checksum, ChecksumState, Client, ElementType, Following, Hold, Inspector, Server, SharedServer, Step, Stream,
    StreamRef, Verify,
};
use shmx_abi::extension::STAMP_OPEN;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

const IMAGE: Stream<u32> = Stream::new(1, "image");
const ROW: Stream<u64> = Stream::new(2, "row");
const LEN: usize = 64 << 10;

fn serve(tag: &str) -> (Server, String) {
    let name = unique(tag);
    let builder = Server::builder(&name).slots(4).stream(IMAGE, LEN as u32).stream(ROW, 1);
    (builder.create().unwrap(), name)
}

/// A client that the server knows to follow.
fn follower(name: &str) -> Client {
    let mut client = Client::open(name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    client
}

fn publish(server: &mut Server, value: u32) -> u64 {
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(IMAGE, &vec![value; LEN]).unwrap();
    frame.publish_frame(0.0).unwrap()
}

/// What there is of the image.
fn image(frame: &Following<'_>) -> Vec<u32> {
    frame.part(IMAGE).unwrap().map_or_else(Vec::new, |part| part.values.to_vec())
}

fn is_open(other: &Other, slot: u32) -> bool {
    other.slot(slot).ext_stamp.load(Ordering::Relaxed) & (STAMP_OPEN | 1) == STAMP_OPEN | 1
}

#[test]
fn pieces_come_as_they_are_committed() {
    let (mut server, name) = serve("follow-pieces");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(ROW, 5).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none(), "nothing was handed out yet");
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    fill.rest()[..10].fill(1);
    fill.commit(10).unwrap();

    let mut read = client.follow(LIMIT).unwrap().expect("it is being written");
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(image(&read), [1; 10]);
    let row = read.part(ROW).unwrap().expect("it came before");
    assert!(row.is_whole() && row.values == [5]);
    assert_eq!(read.part(IMAGE).unwrap().map(|part| (part.len, part.is_whole())), Some((LEN, false)));
    assert_eq!(read.wait(Duration::ZERO), Ok(Step::Waiting));

    fill.write(&[2; 3]).unwrap();
    assert_eq!(fill.committed(), 13);
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(image(&read), [vec![1; 10], vec![2; 3]].concat());
    fill.rest().fill(3);
    fill.commit(LEN - 13).unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert!(read.part(IMAGE).unwrap().expect("it was begun").is_whole());
    assert_eq!(read.wait(Duration::ZERO), Ok(Step::Waiting), "it is not published");

    assert_eq!(frame.publish_frame(1.5), Ok(1));
    assert_eq!(read.wait(LIMIT), Ok(Step::Whole));
    assert_eq!(image(&read).len(), LEN, "the parts of a whole frame can still be had");
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!((whole.frame_id(), whole.sim_time(), whole.value(ROW).unwrap()), (1, 1.5, 5));
    assert_eq!(whole.get(IMAGE).unwrap()[12..14], [2, 3]);
    assert!(whole.is_leased());
    let kept = whole.keep();
    assert_eq!(client.try_wait().unwrap().map(|f| f.frame_id()), None, "it was delivered");
    assert_eq!((client.stats().delivered, client.stats().missed), (1, 0));
    for value in 0..20 {
        publish(&mut server, value);
    }
    assert_eq!(kept.get(IMAGE).unwrap()[0], 1, "the lease goes on");
}

#[test]
fn a_copy_into_the_frame_is_handed_out_as_it_goes_on() {
    let (mut server, name) = serve("follow-append");
    let mut client = follower(&name);
    let other = Other::of(&server);
    let reader = std::thread::spawn(move || {
        let mut ids = 0;
        while ids < 50 {
            let Some(frame) = client.follow(LIMIT).unwrap() else { panic!("no frame") };
            let count = |sum: u64, at: usize, piece: &[u32]| {
                let first = piece[0];
                assert!(piece.iter().enumerate().all(|(i, &v)| v == first.wrapping_add(i as u32)), "at {at}");
                sum + piece.len() as u64
            };
            let (frame, sum) = frame.fold(IMAGE, LIMIT, 0, count).unwrap();
            assert_eq!(sum, LEN as u64);
            ids = frame.frame_id();
        }
    });
    for n in 0..50_u32 {
        let mut frame = server.begin_frame().unwrap();
        let values: Vec<u32> = (0..LEN as u32).map(|i| i.wrapping_add(n << 16)).collect();
        frame.append_stream(IMAGE, &values).unwrap();
        // How much of it the reader had by then is the scheduler's to say.
        assert!(is_open(&other, frame.slot()), "it is handed out before it is published");
        let announced = other.slot(frame.slot()).checksum.load(Ordering::Relaxed);
        assert_eq!(announced as usize, 24 + size_of_val(&*values), "all of its data");
        frame.publish_frame(0.0).unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn stores_past_the_caches_bring_the_same_bytes() {
    let name = unique("follow-stores");
    let most = (4 << 20) / 4 + 1;
    let builder = Server::builder(&name).slots(4).stream(IMAGE, most as u32).stream(ROW, 1).streaming_stores(true);
    let mut server = builder.create().unwrap();
    let mut plain = Client::open(&name).unwrap();
    let mut client = follower(&name);
    let values: Vec<u32> = (0..most as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
    for len in [most, most - 1, most - 2, 1] {
        let mut frame = server.begin_frame().unwrap();
        frame.append_stream(IMAGE, &values[..len]).unwrap();
        frame.append_value(ROW, len as u64).unwrap();
        frame.publish_frame(0.0).unwrap();
        assert_eq!(plain.wait(LIMIT).unwrap().unwrap().get(IMAGE).unwrap(), &values[..len]);
        let (frame, sum) = client.follow(LIMIT).unwrap().unwrap().fold(IMAGE, LIMIT, 0, |n, _, p| n + p.len()).unwrap();
        assert_eq!((sum, frame.value(ROW).unwrap()), (len, len as u64));
    }
}

#[test]
fn nobody_follows_and_nothing_is_announced() {
    let (mut server, name) = serve("follow-nobody");
    let _reader = Client::open(&name).unwrap();
    let other = Other::of(&server);
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(IMAGE, &[1; LEN / 2]).unwrap();
    assert!(!is_open(&other, frame.slot()));
    // One that comes now is served from the next piece on.
    let mut client = follower(&name);
    drop(frame);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, 2).unwrap();
    fill.write(&[1]).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_some());
    fill.write(&[2]).unwrap();
    frame.publish_frame(0.0).unwrap();
}

#[test]
fn a_frame_that_is_given_up_is_void() {
    let (mut server, name) = serve("follow-abandon");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    fill.write(&[1; 100]).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(frame.publish_frame(0.0), Err(PublishError::Unfinished { id: 1 }));
    assert_eq!(read.wait(LIMIT), Err(Void::Abandoned));
    assert_eq!(read.part(IMAGE), Ok(None), "what was void is gone");
    assert_eq!(read.wait(Duration::ZERO), Err(Void::Abandoned));
    assert!(matches!(read.finish(LIMIT), Err(Void::Abandoned)));
    assert_eq!(client.stats().delivered, 0);
    publish(&mut server, 7);
    let found = client.follow(LIMIT).unwrap().unwrap().finish(LIMIT).unwrap();
    assert_eq!(found.get(IMAGE).unwrap()[LEN - 1], 7);
}

#[test]
fn what_is_left_is_not_taken_up_again() {
    let (mut server, name) = serve("follow-leave");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, 2).unwrap();
    fill.write(&[1]).unwrap();
    let read = client.follow(LIMIT).unwrap().unwrap();
    assert!(matches!(read.finish(Duration::ZERO), Err(Void::Unfinished)));
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    fill.write(&[2]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert_eq!(client.wait(LIMIT).unwrap().unwrap().get(IMAGE).unwrap(), [1, 2]);
}

#[test]
fn a_lease_on_a_frame_to_come_keeps_its_slot() {
    let (mut server, name) = serve("follow-lease");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    fill.write(&[1; 100]).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    fill.rest().fill(1);
    let left = fill.rest().len();
    fill.commit(left).unwrap();
    frame.publish_frame(0.0).unwrap();
    for value in 2..30 {
        publish(&mut server, value);
    }
    assert_eq!(image(&read), [1; 100], "as far as it was looked at");
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!(whole.frame_id(), 1);
    assert!(whole.get(IMAGE).unwrap().iter().all(|&v| v == 1));
    drop(whole);
    assert_eq!(client.wait(LIMIT).unwrap().unwrap().frame_id(), 29);
    assert_eq!(client.stats().missed, 27);
}

#[test]
fn checksums_run_along() {
    for checksum in [Checksum::Always, Checksum::Auto, Checksum::Never] {
        let name = unique("follow-sum");
        let builder = Server::builder(&name).slots(4).stream(IMAGE, LEN as u32).stream(ROW, 1).checksum(checksum);
        let mut server = builder.create().unwrap();
        let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
        assert!(client.follow(Duration::ZERO).unwrap().is_none());
        let mut plain = Client::options().verify(Verify::Always).open(&name).unwrap();
        for appended in [false, true] {
            let mut frame = server.begin_frame().unwrap();
            frame.append_value(ROW, 1).unwrap();
            let read;
            if appended {
                frame.append_stream(IMAGE, &[3; LEN]).unwrap();
                read = client.follow(LIMIT).unwrap().unwrap();
                frame.publish_frame(0.0).unwrap();
            } else {
                let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
                fill.rest().fill(4);
                fill.commit(77).unwrap();
                let mut begun = client.follow(LIMIT).unwrap().unwrap();
                assert_eq!(begun.wait(LIMIT), Ok(Step::More));
                fill.commit(LEN - 77).unwrap();
                frame.publish_frame(0.0).unwrap();
                read = begun;
            }
            let whole = read.finish(LIMIT).unwrap();
            let expected = if checksum == Checksum::Never { ChecksumState::Absent } else { ChecksumState::Verified };
            assert_eq!(whole.checksum(), expected);
            assert_eq!(plain.wait(LIMIT).unwrap().unwrap().checksum(), expected, "by somebody who does not follow");
        }
    }
}

#[test]
fn a_stray_store_into_what_was_announced_is_found_by_the_checksum() {
    let (mut server, name) = serve("follow-stray");
    let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    let other = Other::of(&server);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    fill.rest().fill(4);
    fill.commit(LEN / 2).unwrap();
    // Not yet looked at by the reader, and hashed by the writer.
    let at = server_slot(&other, 0) + 200;
    common::memory::bytes(&other.0)[at].store(9, Ordering::Relaxed);
    let read = client.follow(LIMIT).unwrap().unwrap();
    fill.commit(LEN / 2).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert!(matches!(read.finish(LIMIT), Err(Void::Read(ReadError::Checksum { frame_id: 1, .. }))));
    assert_eq!(client.stats().rejected, 1);
}

fn server_slot(other: &Other, slot: u32) -> usize {
    std::ptr::from_ref(other.slot(slot)) as usize - common::memory::bytes(&other.0).as_ptr() as usize
}

#[test]
fn who_cannot_lease_gets_whole_frames() {
    let (mut server, name) = serve("follow-copy");
    let other = Other::of(&server);
    let mut client = Client::options().hold(Hold::Copy).open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(IMAGE, &[3; LEN]).unwrap();
    assert!(!is_open(&other, frame.slot()), "nobody can follow");
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    frame.publish_frame(0.0).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(Duration::ZERO), Ok(Step::Whole));
    assert_eq!(image(&read), [3; LEN]);
    assert!(!read.finish(Duration::ZERO).unwrap().is_leased());
}

#[test]
fn an_unfinished_stream_is_not_published() {
    let (mut server, _name) = serve("follow-unfinished");
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, 4).unwrap();
    assert_eq!(fill.commit(5), Err(AppendError::Commit { id: 1, asked: 5, left: 4 }));
    assert_eq!(fill.write(&[0; 5]), Err(AppendError::Commit { id: 1, asked: 5, left: 4 }));
    assert_eq!(fill.committed(), 0);
    fill.commit(3).unwrap();
    frame.append_value(ROW, 1).unwrap();
    assert_eq!(frame.publish_frame(0.0), Err(PublishError::Unfinished { id: 1 }));
    let mut frame = server.begin_frame().unwrap();
    let empty = frame.fill_stream(IMAGE, 0).unwrap();
    assert!(empty.is_filled());
    assert!(frame.publish_frame(0.0).is_ok());
}

const ASKED: StreamRef<'static> = StreamRef { id: 1, name: Some(b"image"), element: Some((ElementType::U32, 1)) };

#[test]
fn a_stream_of_a_type_known_at_run_time_is_filled_in_pieces() {
    let (mut server, name) = serve("follow-as");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    assert!(matches!(frame.begin_fill_as(ASKED, 7), Err(AppendError::Length { .. })));
    let wrong = StreamRef { element: Some((ElementType::F32, 1)), ..ASKED };
    assert!(matches!(frame.begin_fill_as(wrong, 8), Err(AppendError::Stream(_))));
    let mut fill = frame.begin_fill_as(ASKED, 16).unwrap();
    frame.rest_of(&fill)[..6].fill(1);
    frame.commit(&mut fill, 6).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(image(&read), [0x0101_0101], "whole values of what is there");
    assert!(!read.is_whole() && read.directory().unwrap().streams.len() == 2);
    frame.rest_of(&fill).fill(1);
    frame.commit(&mut fill, 10).unwrap();
    frame.append_value(ROW, 3).unwrap();
    frame.publish_frame(0.0).unwrap();
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!(whole.get(IMAGE).unwrap(), [0x0101_0101; 4]);
}

#[test]
fn what_may_still_be_written_is_not_handed_out() {
    let name = unique("follow-held");
    let builder = Server::builder(&name).slots(4).stream(IMAGE, LEN as u32).stream(ROW, 1).checksum(Checksum::Always);
    let mut server = builder.create().unwrap();
    let mut client = Client::options().verify(Verify::Always).open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    let other = Other::of(&server);
    let row = StreamRef { id: 2, name: Some(b"row"), element: Some((ElementType::U64, 1)) };
    for held in [true, false] {
        let mut frame = server.begin_frame().unwrap();
        // Where its data lies: the first stream's, behind the headers of the slot and of the record.
        let at = server_slot(&other, frame.slot()) + size_of_val(other.slot(frame.slot())) + 24;
        frame.reserve_as(row, 8).unwrap().fill(0);
        if held {
            frame.hold_back();
        }
        frame.append_as(ASKED, &[5; 4 * LEN]).unwrap();
        assert_eq!(is_open(&other, frame.slot()), !held);
        // As a program in C does through a pointer that it has kept.
        common::memory::bytes(&other.0)[at].store(9, Ordering::Relaxed);
        frame.publish_frame(0.0).unwrap();
        let read = client.follow(LIMIT);
        if held {
            let whole = read.unwrap().unwrap().finish(LIMIT).unwrap();
            assert_eq!(whole.value(ROW).unwrap(), u64::from_ne_bytes([9, 0, 0, 0, 0, 0, 0, 0]));
        } else {
            assert!(matches!(read, Err(ReadError::Checksum { .. })), "it was hashed before");
        }
    }
    // A stream that is begun in pieces says that what lies before it is final.
    let mut frame = server.begin_frame().unwrap();
    frame.reserve_as(row, 8).unwrap().fill(0);
    frame.hold_back();
    let mut fill = frame.begin_fill_as(ASKED, 8).unwrap();
    frame.commit(&mut fill, 4).unwrap();
    assert!(is_open(&other, frame.slot()));
}

#[test]
fn streams_behind_a_followed_one_are_handed_out_too() {
    let (mut server, name) = serve("follow-behind");
    let mut client = follower(&name);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, 3).unwrap();
    fill.write(&[1, 2]).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(read.part(ROW), Ok(None), "not begun");
    assert!(matches!(read.part::<f32>(1), Err(ValueError::Stream(_))));
    fill.write(&[3]).unwrap();
    assert!(matches!(frame.append_value(IMAGE, 1), Err(AppendError::DuplicateStream { id: 1 })));
    frame.append_value(ROW, 9).unwrap();
    frame.publish_frame(0.0).unwrap();
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!((whole.get(IMAGE).unwrap(), whole.value(ROW).unwrap()), (&[1, 2, 3][..], 9));
}

#[test]
fn two_follow_one_frame_and_one_of_several_is_left_standing() {
    let (server, name) = serve("follow-two");
    let server: SharedServer = server.into_shared();
    let (mut a, mut b) = (follower(&name), follower(&name));
    let mut standing = server.begin_frame().unwrap();
    let mut fill = standing.fill_stream(IMAGE, 2).unwrap();
    fill.write(&[1]).unwrap();
    for client in [&mut a, &mut b] {
        let mut first = client.follow(LIMIT).unwrap().unwrap();
        assert_eq!(first.wait(LIMIT), Ok(Step::More));
        assert_eq!(image(&first), [1]);
    }
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(IMAGE, &[7; LEN]).unwrap();
    let reads = [&mut a, &mut b].map(|client| {
        let mut read = client.follow(LIMIT).unwrap().unwrap();
        assert_eq!(read.wait(LIMIT), Ok(Step::More));
        assert_eq!(image(&read), [7; LEN], "the one that was left is not taken up again");
        read
    });
    assert_eq!(frame.publish_frame(0.0), Ok(1));
    for read in reads {
        assert_eq!(read.finish(LIMIT).unwrap().frame_id(), 1);
    }
    fill.write(&[2]).unwrap();
    assert_eq!(standing.publish_frame(0.0), Ok(2));
    assert_eq!(a.next(LIMIT).unwrap().unwrap().get(IMAGE).unwrap(), [1, 2]);
}

#[test]
fn in_order_means_the_frame_being_written_last() {
    let (mut server, name) = serve("follow-order");
    let (mut newest, mut every) = (follower(&name), follower(&name));
    publish(&mut server, 1);
    publish(&mut server, 2);
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, 2).unwrap();
    fill.write(&[3]).unwrap();
    for value in [1, 2] {
        let mut read = every.follow_next(LIMIT).unwrap().unwrap();
        assert_eq!(read.wait(LIMIT), Ok(Step::Whole));
        assert_eq!(image(&read)[0], value);
    }
    let mut ours =
        [&mut newest, &mut every].into_iter().zip([Client::follow, Client::follow_next]).map(|(client, follow)| {
            let mut read = follow(client, LIMIT).unwrap().unwrap();
            assert_eq!(read.wait(LIMIT), Ok(Step::More));
            assert_eq!(image(&read), [3]);
            read
        });
    let (a, b) = (ours.next().unwrap(), ours.next().unwrap());
    fill.write(&[3]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert_eq!((a.finish(LIMIT).unwrap().frame_id(), b.finish(LIMIT).unwrap().frame_id()), (3, 3));
    drop(ours);
    assert_eq!((newest.stats().missed, every.stats().missed), (2, 0));
}

/// Numbers and stamps that somebody writes who ignores the protocol.
#[test]
fn damaged_words_are_told_apart() {
    let (mut server, name) = serve("follow-damage");
    let mut client = follower(&name);
    let other = Other::of(&server);
    for damage in 0..4 {
        let mut frame = server.begin_frame().unwrap();
        let slot = frame.slot();
        let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
        fill.rest().fill(5);
        fill.commit(100).unwrap();
        let mut read = client.follow(LIMIT).unwrap().unwrap();
        assert_eq!(read.wait(LIMIT), Ok(Step::More));
        let head = other.slot(slot);
        match damage {
            // More than there is room for, then less than was said.
            0 => {
                head.checksum.store(u32::MAX, Ordering::Relaxed);
                assert_eq!(read.wait(LIMIT), Ok(Step::More));
                assert_eq!(read.payload().len(), server_capacity(&other));
                assert!(read.part(IMAGE).unwrap().unwrap().is_whole());
                head.checksum.store(1, Ordering::Relaxed);
                assert_eq!(read.wait(Duration::ZERO), Ok(Step::Waiting));
            }
            1 => {
                head.ext_stamp.store(7 | STAMP_OPEN, Ordering::Relaxed);
                assert_eq!(read.wait(LIMIT), Err(Void::Damaged));
            }
            2 => {
                head.ext_stamp.fetch_add(2, Ordering::Relaxed);
                assert_eq!(read.wait(LIMIT), Err(Void::Damaged));
            }
            // A record that claims more than its length.
            _ => {
                let at = server_slot(&other, slot) + 64 + 4;
                for (i, byte) in 17_u32.to_le_bytes().into_iter().enumerate() {
                    common::memory::bytes(&other.0)[at + i].store(byte, Ordering::Relaxed);
                }
                assert!(matches!(read.part(IMAGE), Err(ValueError::Payload(_))));
                assert!(matches!(read.finish(Duration::ZERO), Err(Void::Unfinished)));
            }
        }
        drop(frame);
    }
    // A frame that is shorter than what was announced of it.
    let mut frame = server.begin_frame().unwrap();
    let slot = frame.slot();
    let mut fill = frame.fill_stream(IMAGE, 100).unwrap();
    fill.rest().fill(5);
    fill.commit(100).unwrap();
    let read = client.follow(LIMIT).unwrap().unwrap();
    other.slot(slot).checksum.store(4000, Ordering::Relaxed);
    let mut read = read;
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    frame.publish_frame(0.0).unwrap();
    assert_eq!(read.wait(LIMIT), Err(Void::Damaged));
    // All slots can be had again.
    drop(read);
    for value in 0..10 {
        publish(&mut server, value);
    }
}

/// Somebody who ignores the protocol makes a stream shorter than what was read of it.
#[test]
fn a_stream_that_shrinks_under_a_fold_is_damage() {
    let (mut server, name) = serve("follow-shrink");
    let mut client = follower(&name);
    let other = Other::of(&server);
    let mut frame = server.begin_frame().unwrap();
    let slot = frame.slot();
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    fill.write(&[1; 100]).unwrap();
    let read = client.follow(LIMIT).unwrap().unwrap();
    let mut calls = 0;
    let folded = read.fold(IMAGE, LIMIT, (), |(), _, _| {
        calls += 1;
        let at = server_slot(&other, slot) + 64 + 16;
        for (i, byte) in 40_u32.to_le_bytes().into_iter().enumerate() {
            common::memory::bytes(&other.0)[at + i].store(byte, Ordering::Relaxed);
        }
        fill.write(&[1; 100]).unwrap();
    });
    assert!(matches!(folded, Err(Void::Damaged)));
    assert_eq!(calls, 1);
}

/// What may be cut short in a frame that is being written is damage in one that is published.
#[test]
fn a_whole_frame_that_is_cut_short_gives_no_part() {
    let (mut server, name) = serve("follow-cut");
    let mut client = follower(&name);
    for folds in [false, true] {
        let mut frame = server.begin_frame().unwrap();
        // The record of an image of 40 bytes, without the last 16.
        let head: Vec<u8> =
            [0x2000, 16 + 40, IMAGE.id(), 10, 40, 0_u32].into_iter().flat_map(u32::to_ne_bytes).collect();
        frame.append_records(&[head, vec![0; 24]].concat(), 1).unwrap();
        frame.publish_frame(0.0).unwrap();
        let read = client.follow(LIMIT).unwrap().unwrap();
        if folds {
            let folded = read.fold(IMAGE, LIMIT, (), |(), _, _| ());
            assert!(matches!(folded, Err(Void::Value(e)) if matches!(*e, ValueError::Payload(_))));
        } else {
            assert!(matches!(read.part(IMAGE), Err(ValueError::Payload(_))));
        }
    }
}

/// A server of the original has initialised the region anew under a frame that is being filled.
#[test]
fn nothing_is_announced_in_a_region_that_was_taken_over() {
    let (mut server, name) = serve("follow-taken");
    let _client = follower(&name);
    let other = Other::of(&server);
    let mut frame = server.begin_frame().unwrap();
    let slot = frame.slot();
    let mut fill = frame.fill_stream(IMAGE, 3).unwrap();
    fill.write(&[1]).unwrap();
    let head = other.slot(slot);
    let session = other.header().session_id.swap(7, Ordering::Relaxed);
    head.checksum.store(99, Ordering::Relaxed);
    fill.write(&[2]).unwrap();
    assert_eq!(head.checksum.load(Ordering::Relaxed), 99, "the field is another server's");
    other.header().session_id.store(session, Ordering::Relaxed);
    fill.write(&[3]).unwrap();
    assert!(frame.publish_frame(0.0).is_ok());
}

fn server_capacity(other: &Other) -> usize {
    other.header().frame_bytes_cap.load(Ordering::Relaxed) as usize
}

/// Not a test by itself: a server that dies within a frame.
#[test]
fn a_server_in_another_process() {
    let Ok(name) = std::env::var("SHMX_TEST_REGION") else { return };
    let mut server = Server::builder(&name).slots(4).stream(IMAGE, LEN as u32).create().unwrap();
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream(IMAGE, LEN).unwrap();
    // Until somebody follows.
    for value in 0.. {
        fill.write(&[value]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_server_that_dies_leaves_a_void_frame() {
    let name = unique("follow-death");
    let mut command = this_program();
    command.args(["follow::a_server_in_another_process", "--exact"]).stdout(Stdio::null());
    let mut child = command.env("SHMX_TEST_REGION", &name).spawn().unwrap();
    let mut client = Client::open_within(&name, LIMIT).unwrap();
    let mut read = client.follow(LIMIT).unwrap().expect("it is being written");
    assert!(within_limit(|| {
        let _ = read.wait(LIMIT).unwrap();
        image(&read).len() > 10
    }));
    child.kill().unwrap();
    child.wait().unwrap();
    let void = loop {
        match read.wait(LIMIT) {
            Ok(Step::More) => assert!(image(&read).iter().enumerate().all(|(i, &v)| v == i as u32)),
            Ok(step) => panic!("{step:?}"),
            Err(void) => break void,
        }
    };
    assert_eq!(void, Void::ServerGone { end: ServerEnd::Died });
    drop(read);
    assert!(matches!(client.follow(LIMIT), Err(ReadError::ServerGone { .. })));
    // Its name can be had.
    let mut server = Server::builder(&name).slots(4).stream(IMAGE, LEN as u32).create().unwrap();
    let mut client = follower(&name);
    publish(&mut server, 1);
    assert!(client.follow(LIMIT).unwrap().is_some());
}

#[test]
fn a_follower_that_is_forgotten_costs_its_slot_until_the_client_goes() {
    let name = unique("follow-forgotten");
    let mut server = Server::builder(&name).slots(2).stream(IMAGE, LEN as u32).create().unwrap();
    let mut client = Client::options().hold(Hold::Lease).open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    for _ in 0..2 {
        let mut frame = server.begin_frame().unwrap();
        let mut fill = frame.fill_stream(IMAGE, 1).unwrap();
        fill.write(&[1]).unwrap();
        std::mem::forget(client.follow(LIMIT).unwrap().unwrap());
        drop(frame);
    }
    assert!(matches!(server.begin_frame(), Err(BeginError::NoFreeSlot { leased: 2, .. })));
    drop(client);
    assert!(server.begin_frame().is_ok());
}

/// Not a test by itself.
#[test]
fn the_example() {
    match std::env::var("SHMX_TEST_PART").as_deref() {
        Ok("camera") => slow_camera::main().unwrap(),
        Ok("viewer") => slow_viewer::main().unwrap(),
        _ => {}
    }
}

#[test]
fn the_example_draws_lines_before_their_frame_is_published() {
    // On a busy machine this test may look too late for all of them.
    assert!(within_limit(|| lines_drawn_early() > 0), "each line came only with its frame");
}

/// Runs the example, and looks after each line whether its frame is published.
fn lines_drawn_early() -> u32 {
    let name = unique("follow-example");
    let start = |part: &str| {
        let mut command = this_program();
        // The first argument is the region's name to the example, and to the test runner a filter.
        command.args([name.as_str(), "5", "follow::the_example", "--exact", "--nocapture"]).env("SHMX_TEST_PART", part);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let (mut camera, mut viewer) = (start("camera"), start("viewer"));
    // The camera begins when a reader has come, so the test is none.
    let mut other = None;
    assert!(within_limit(|| {
        other = Inspector::open(&name).ok();
        other.is_some()
    }));
    let other = other.unwrap();
    let lines = BufReader::new(viewer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut drawn, mut frames, mut early) = (0, 0, 0);
    for line in lines {
        if line.len() == slow_camera::WIDTH {
            drawn += 1;
            // Published frames are counted by then, unless it was drawn before.
            early += u32::from(other.header().frame_seq == frames);
        } else if let Some(rest) = line.strip_prefix("frame ") {
            frames += 1;
            assert_eq!(rest.split(',').next().unwrap(), frames.to_string());
            assert_eq!(drawn, frames * slow_camera::HEIGHT as u64, "every line, once");
        }
    }
    assert_eq!(frames, 5);
    drop(other);
    assert!(camera.wait().unwrap().success() && viewer.wait().unwrap().success());
    early
}
