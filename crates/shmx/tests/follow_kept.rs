//! Frames that are followed, and streams that are filled, without a borrow: as bindings do it.

use crate::common::{LIMIT, Other, unique};
use shmx::error::{AppendError, BeginError, PublishError, Void};
use shmx::{Checksum, ChecksumState, Client, Hold, Server, Step, Stream, Verify};
use std::sync::atomic::Ordering;
use std::time::Duration;

const IMAGE: Stream<u8> = Stream::new(1, "image");
const DEPTH: Stream<u8> = Stream::new(2, "depth");
const LEN: u32 = 64 << 10;

fn serve(tag: &str) -> (Server, Client) {
    let name = unique(tag);
    let builder = Server::builder(&name).slots(3).checksum(Checksum::Always);
    let server = builder.stream(IMAGE, LEN).stream(DEPTH, LEN).create().unwrap();
    let mut client = Client::options().hold(Hold::Lease).verify(Verify::Always).open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    (server, client)
}

fn announced(other: &Other, slot: u32) -> u32 {
    other.slot(slot).checksum.load(Ordering::Relaxed)
}

#[test]
fn what_is_kept_of_a_frame_stays() {
    let (mut server, mut client) = serve("kept-stays");
    let mut kept = Vec::new();
    for round in 0..3_u8 {
        let mut frame = server.begin_frame().unwrap();
        let mut image = frame.fill_stream(IMAGE, 1000).unwrap();
        image.write(&[round; 10]).unwrap();
        let mut read = client.follow(LIMIT).unwrap().unwrap();
        assert_eq!(read.wait(LIMIT), Ok(Step::More));
        kept.push(read.keep().unwrap());
        kept.push(read.keep().unwrap());
        image.write(&[round; 990]).unwrap();
        match round {
            0 => {
                drop(frame);
                assert_eq!(read.wait(LIMIT), Err(Void::Abandoned));
                assert!(read.keep().is_none());
            }
            1 => {
                frame.publish_frame(0.0).unwrap();
                while read.wait(LIMIT).unwrap() != Step::Whole {}
                kept.push(read.keep().unwrap());
                assert!(read.finish(LIMIT).unwrap().is_leased());
            }
            _ => drop(read), // given up
        }
    }
    for (i, round) in [0, 0, 1, 1, 1, 2, 2].into_iter().enumerate() {
        let first = kept[i].streams().next().unwrap().unwrap();
        assert_eq!(first.stream.data, vec![round; if i == 4 { 1000 } else { 10 }], "{i}");
        assert_eq!(first.bytes, 1000);
    }
    assert!(matches!(server.begin_frame(), Err(BeginError::NoFreeSlot { leased: 3, .. })));
    // One share of the second frame is left, and goes in another thread, after the client.
    let last = kept.remove(3);
    drop(kept);
    assert!(server.begin_frame().is_ok());
    drop(client);
    assert_eq!(last.streams().count(), 1);
    std::thread::spawn(move || drop(last)).join().unwrap();
    assert_eq!(server.snapshot_readers().iter().filter(|r| r.in_use).count(), 0);
}

#[test]
fn a_stream_is_filled_with_others_behind_it() {
    let (mut server, mut client) = serve("filled-behind");
    let other = Other::of(&server);
    let mut frame = server.begin_frame().unwrap();
    let mut image = frame.begin_fill(1, 100).unwrap();
    assert_eq!((image.committed(), image.len(), image.is_filled()), (0, 100, false));
    frame.rest_of(&image)[..40].fill(1);
    frame.commit(&mut image, 40).unwrap();
    let so_far = announced(&other, frame.slot());
    assert_eq!(so_far, 24 + 40);
    // Large, so it would be handed out as it is copied.
    frame.append_stream(DEPTH, &vec![2; LEN as usize]).unwrap();
    assert_eq!(announced(&other, frame.slot()), so_far, "the image is not whole");
    assert!(matches!(frame.begin_fill(2, 1), Err(AppendError::Unfinished { id: 1 })));
    assert!(matches!(frame.fill_stream(DEPTH, 1), Err(AppendError::Unfinished { id: 1 })));

    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(frame.commit(&mut image, 61), Err(AppendError::Commit { id: 1, asked: 61, left: 60 }));
    assert_eq!(frame.rest_of(&image).len(), 60);
    frame.rest_of(&image).fill(3);
    frame.commit(&mut image, 60).unwrap();
    assert!(image.is_filled() && frame.rest_of(&image).is_empty());
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    assert_eq!(read.part(IMAGE).unwrap().unwrap().values, [vec![1; 40], vec![3; 60]].concat());
    frame.publish_frame(0.0).unwrap();
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!(whole.checksum(), ChecksumState::Verified, "what was hashed on the way was final");
    assert_eq!(whole.get(DEPTH).unwrap(), vec![2; LEN as usize]);
}

#[test]
fn what_was_begun_must_be_filled() {
    let (mut server, _client) = serve("filled-not");
    let mut frame = server.begin_frame().unwrap();
    let mut stale = frame.begin_fill(1, 100).unwrap();
    frame.commit(&mut stale, 30).unwrap();
    assert_eq!(frame.publish_frame(0.0), Err(PublishError::Unfinished { id: 1 }));
    // Of another frame.
    let mut frame = server.begin_frame().unwrap();
    assert!(frame.rest_of(&stale).is_empty());
    assert_eq!(frame.commit(&mut stale, 1), Err(AppendError::Commit { id: 1, asked: 1, left: 0 }));
    assert!(matches!(frame.begin_fill(7, 1), Err(AppendError::Stream(_))));
    let empty = frame.begin_fill(1, 0).unwrap();
    assert!(empty.is_filled());
    let _second = frame.begin_fill(2, 1).unwrap();
    assert!(matches!(frame.publish_frame(0.0), Err(PublishError::Unfinished { id: 2 })));
}
