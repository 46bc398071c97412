//! Whatever bytes arrive: decoding them ends, in a message or in an error.

use proptest::prelude::*;
use shmx::abi::hash::checksum32;
use shmx_bridge::wire::{
    Addition, Alive, Answer, Attach, Back, Begin, Body, Data, Ended, Frame, Geometry, OLDEST, Offer, Offers, Parts,
    Piece, Refused, VERSION, Welcome, Why, Wish,
};
use shmx_bridge::{NoCodecs, check, keys, payload_of};

fn all_decoders(bytes: &[u8]) {
    let _ = Attach::decode(bytes);
    let _ = Offers::decode(bytes);
    let _ = Back::decode(bytes);
    if let Ok(Answer::Welcome(w)) = Answer::decode(bytes) {
        let _ = Data::decode(w.first);
    }
    if let Ok(Data::Frame(frame)) = Data::decode(bytes) {
        let _ = frame.is_whole();
        let (Body::Whole(body) | Body::Parts(body)) = frame.body;
        bodies(body);
    }
    bodies(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (keys::offer_of(text), keys::back_of(text), keys::peer_of(text));
    }
}

fn bodies(bytes: &[u8]) {
    let directory = shmx::Directory::default();
    let mut payload = Vec::new();
    let _ = payload_of(bytes, 4096, &directory, &NoCodecs, &mut payload);
    assert!(payload.len() <= 4096);
    let _ = check::check(bytes, 1, 4096, &directory);
    assert!(Parts::new(bytes).count() <= bytes.len() + 1);
}

/// One of each kind.
fn messages() -> Vec<Vec<u8>> {
    let wish =
        Wish { every: true, codecs: 1, interval_ns: 2, bytes_per_second: 3, streams: vec!["a".into(), "b".into()] };
    let (host, region) = ("host".to_owned(), "region".to_owned());
    let attach = Attach {
        oldest: OLDEST,
        newest: VERSION,
        peer: 1,
        host,
        attachment: 2,
        region: region.clone(),
        session: 3,
        after: 4,
        wish,
    };
    let geometry = Geometry { slots: 1, reader_slots: 2, frame_bytes_cap: 3, ..Geometry::default() };
    let frame = Frame {
        seq: 1,
        frame_id: 2,
        session: 3,
        sim_time_bits: 4,
        published_ns: 5,
        tlv_count: 6,
        has_checksum: true,
        addition: Addition { at: 7, bytes: b"directory" },
        checksum: checksum32(b"body of a frame"),
        body: Body::Whole(b"body of a frame"),
    };
    let mut first = Vec::new();
    frame.encode(&mut first);
    let welcome = Welcome {
        session: 1,
        server_pid: 2,
        geometry,
        every: false,
        window: 1,
        control: true,
        before: 3,
        directory: b"directory",
        first: &first,
    };
    let offer = Offer { region, session: 1, geometry, streams: 2, published: 3, peers: 4, control: true };
    let mut all = vec![
        attach.encode(),
        welcome.encode(),
        Refused::new(Why::Full, "no").encode(),
        Offers { version: VERSION, regions: vec![offer; 2] }.encode(),
        Back::Ack { seq: 1 }.encode(),
        Back::Keep { seq: 1, sent_ns: 2 }.encode(),
        Back::Control { seq: 1, host: "h", reader_id: 2, ty: 3, body: b"body" }.encode(),
        Back::Bye.encode(),
    ];
    for data in [
        Data::Frame(frame),
        Data::Frame(Frame { body: Body::Parts(b"parts"), ..frame }),
        Data::Begin(Begin { frame: Frame { body: Body::Parts(b""), checksum: 0, ..frame }, len: 9, own: None }),
        Data::Piece(Piece { seq: 1, at: 2, checksum: 3, data: b"piece" }),
        Data::GivenUp { seq: 1 },
        Data::Directory { seq: 1, session: 2, addition: frame.addition },
        Data::End(Ended { seq: 1, session: 2, published: 3, reason: "why".into() }),
        Data::Alive(Alive::default()),
    ] {
        let mut out = Vec::new();
        data.encode(&mut out);
        all.push(out);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        all_decoders(&bytes);
    }

    #[test]
    fn damaged_messages(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let all = messages();
        let mut message = which.get(&all).clone();
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        all_decoders(&message);
        message.truncate(cut.index(message.len()));
        all_decoders(&message);
        message.extend(more);
        all_decoders(&message);
    }
}
