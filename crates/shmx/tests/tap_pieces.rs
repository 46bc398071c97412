//! Frames that a tap copies in pieces: all of it, or no more once the producer has come round.

use shmx::error::ReadError;
use shmx::{Checksum, FramePieces, Server, Stream, Tap, Verify};
use shmx_testkit::unique;

const DATA: Stream<u8> = Stream::new(1, "data");

fn serve(name: &str) -> Server {
    Server::builder(name).slots(2).checksum(Checksum::Always).stream(DATA, 5000).create().unwrap()
}

fn publish(server: &mut Server, n: u8, len: usize) {
    let mut f = server.begin_frame().unwrap();
    f.append_stream(DATA, &vec![n; len]).unwrap();
    f.publish_frame(f64::from(n)).unwrap();
}

/// The payload in pieces of so many bytes.
fn all(pieces: &mut FramePieces, bytes: usize) -> Result<Vec<u8>, ReadError> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; bytes]);
    while pieces.left() > 0 {
        let n = pieces.copy(&mut buffer)?;
        all.extend_from_slice(&buffer[..n]);
    }
    Ok(all)
}

#[test]
fn they_are_what_a_whole_copy_is() {
    let name = unique("pieces");
    let mut server = serve(&name);
    let mut whole = Tap::open(&name).unwrap();
    let mut tap = Tap::options().verify(Verify::Always).open(&name).unwrap();
    for (n, len) in [1, 7, 8, 100, 4999, 5000].into_iter().enumerate() {
        publish(&mut server, n as u8, len);
        let mut pieces = tap.try_next_in_pieces().unwrap().unwrap();
        let frame = whole.try_next().unwrap().unwrap();
        for bytes in [8, 13, 4096, 10_000] {
            let mut pieces = Tap::open(&name).unwrap().try_wait_in_pieces().unwrap().unwrap();
            assert_eq!(all(&mut pieces, bytes).unwrap(), frame.payload(), "{len} in {bytes}");
        }
        assert_eq!((pieces.frame_id(), pieces.len()), (frame.frame_id(), frame.payload().len()));
        assert_eq!((pieces.sim_time(), pieces.tlv_count()), (frame.sim_time(), frame.tlv_count()));
        assert_eq!(pieces.stored_checksum(), frame.stored_checksum());
        assert_eq!(all(&mut pieces, 64).unwrap(), frame.payload());
        assert!(tap.try_next_in_pieces().unwrap().is_none(), "it counts as taken");
    }
    assert_eq!((tap.stats().delivered, tap.stats().missed), (6, 0));
}

#[test]
fn there_is_no_more_of_one_that_is_overwritten() {
    let name = unique("lapped");
    let mut server = serve(&name);
    let mut tap = Tap::open(&name).unwrap();
    publish(&mut server, 1, 5000);
    let mut pieces = tap.try_wait_in_pieces().unwrap().unwrap();
    let mut buffer = [0; 512];
    assert_eq!(pieces.copy(&mut buffer).unwrap(), 512);
    publish(&mut server, 2, 5000);
    assert_eq!(pieces.copy(&mut buffer).unwrap(), 512, "the ring has two slots");
    publish(&mut server, 3, 5000);
    assert!(matches!(pieces.copy(&mut buffer), Err(ReadError::Lapped { .. })));
    let mut pieces = tap.try_wait_in_pieces().unwrap().unwrap();
    assert_eq!((pieces.frame_id(), pieces.missed_before()), (3, 1));
    let payload = all(&mut pieces, 512).unwrap();
    assert!(payload[24..5024].iter().all(|&b| b == 3));
    // It outlives the tap.
    publish(&mut server, 4, 5000);
    let mut pieces = tap.try_wait_in_pieces().unwrap().unwrap();
    drop(tap);
    assert!(all(&mut pieces, 8).is_ok());
}
