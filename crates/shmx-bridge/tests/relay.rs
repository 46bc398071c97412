//! What a relay counts: each frame once, whatever its size.
#![cfg(target_os = "linux")]

mod common;

use common::{V, unique};
use shmx::{Checksum, Server, Stream};
use shmx_bridge::wire::{Attach, PIECE, VERSION, Wish};
use shmx_bridge::{Export, NoCodecs, Relay, Turn};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

const DATA: Stream<u8> = Stream::new(2, "data");
const LARGE: usize = 3 * PIECE;

fn publish(server: &mut Server, len: usize, byte: u8) {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, 1).unwrap();
    f.append_stream(DATA, &vec![byte; len]).unwrap();
    f.publish_frame(0.0).unwrap();
}

fn memory(name: &str) -> File {
    File::options().read(true).write(true).open(format!("/dev/shm/{name}")).unwrap()
}

/// Changes the last bytes of this value in the region's memory, as another process might.
fn damage(name: &str, byte: u8) {
    let mut bytes = Vec::new();
    memory(name).read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(64).rposition(|w| w == [byte; 64]).unwrap();
    memory(name).write_all_at(&[!byte; 64], at as u64).unwrap();
}

/// Sends what there is to be sent.
fn send_all(relay: &mut Relay) {
    let mut out = Vec::new();
    while matches!(relay.turn(Instant::now(), &mut out), Turn::Send | Turn::Again) {}
}

#[test]
fn each_frame_is_counted_once() {
    let name = unique("counted");
    let builder = Server::builder(&name).slots(2).stream(V, 1).stream(DATA, LARGE as u32);
    let mut server = builder.checksum(Checksum::Always).create().unwrap();
    // Without its extensions it is a region as the reference makes them, whose frames are compared with their checksums.
    memory(&name).write_all_at(&[0; 4], 20).unwrap();
    let ask = Attach {
        oldest: VERSION,
        newest: VERSION,
        peer: 1,
        host: "desk".into(),
        attachment: 1,
        region: name.to_string(),
        session: server.session_id(),
        after: 0,
        wish: Wish::default(),
    };
    let mut relay = Relay::open(&ask, &Export::default(), Arc::new(NoCodecs)).unwrap();
    relay.welcome(Instant::now()).unwrap();
    let counts = |relay: &Relay| {
        let c = relay.counts();
        (c.sent, c.rejected, c.given_up, c.left_out)
    };
    for (byte, len) in [(1, 100), (2, LARGE)] {
        publish(&mut server, len, byte);
        damage(&name, byte);
        send_all(&mut relay);
    }
    assert_eq!(counts(&relay), (0, 2, 0, 0));
    relay.acked(1, Instant::now());
    publish(&mut server, LARGE, 3);
    assert_eq!(relay.turn(Instant::now(), &mut Vec::new()), Turn::Send, "it has begun");
    (4..8).for_each(|n| publish(&mut server, 100, n));
    send_all(&mut relay);
    assert_eq!(counts(&relay), (0, 2, 1, 0), "it was overwritten on the way");
    for (seq, len) in [(2, 100), (3, LARGE)] {
        relay.acked(seq, Instant::now());
        publish(&mut server, len, 8);
        send_all(&mut relay);
    }
    assert_eq!(counts(&relay), (2, 2, 1, 4));
}
