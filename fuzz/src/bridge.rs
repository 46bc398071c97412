//! What other hosts send: every decoder, and a mirror that is made of what they decode.
//!
//! The first byte says what the rest is: bit 0, a whole welcome or frames for a region that is known; bit 1, checksums
//! are made right, as no fuzzer guesses one; bit 2, pieces come in two parts. Messages come with their length in front,
//! two bytes.

use crate::live::{neighbour, unique};
use shmx::abi::frame::PayloadCursor;
use shmx::abi::hash::checksum32;
use shmx::{Client, Inspector, Server, Stream};
use shmx_bridge::keys::{Peer, back_of, offer_of, peer_of};
use shmx_bridge::wire::{
    Addition, Alive, Answer, Attach, Back, Begin, Body, Data, Ended, Frame, Geometry, OLDEST, Offer, Offers, Part,
    Piece, Refused, VERSION, Welcome, Why, Wish,
};
use shmx_bridge::{
    Accepted, Arrived, Assembly, Codec, CodecError, Codecs, Draft, Fed, MARK_NAME, Mirror, MirrorOptions, Picture,
    check::check, crc_of,
};
use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

const WHOLE: u8 = 1;
const REPAIR: u8 = 2;
const PARTS: u8 = 4;
const CAP: u32 = 4096;

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let Some((&flags, rest)) = data.split_first() else { return };
    decoders(rest);
    let mut messages = Messages(rest);
    let model = model();
    if flags & WHOLE == 0 {
        mirror(&welcome(model), messages, flags);
    } else if let Some(Ok(Answer::Welcome(welcome))) = messages.next().map(Answer::decode) {
        mirror(&welcome, messages, flags);
    }
}

/// Whatever can be read is the same once it is written and read again.
fn decoders(bytes: &[u8]) {
    if let Ok(ask) = Attach::decode(bytes) {
        assert_eq!(Attach::decode(&ask.encode()), Ok(ask));
    }
    if let Ok(offers) = Offers::decode(bytes) {
        assert_eq!(Offers::decode(&offers.encode()), Ok(offers));
    }
    if let Ok(back) = Back::decode(bytes) {
        assert_eq!(Back::decode(&back.encode()), Ok(back));
    }
    match Answer::decode(bytes) {
        Ok(Answer::Welcome(w)) => assert_eq!(Answer::decode(&w.encode()), Ok(Answer::Welcome(w))),
        Ok(Answer::Refused(r)) => assert_eq!(Answer::decode(&r.encode()), Ok(Answer::Refused(r))),
        Err(_) => {}
    }
    if let Ok(data) = Data::decode(bytes) {
        let mut again = Vec::new();
        data.encode(&mut again);
        assert_eq!(Data::decode(&again), Ok(data));
    }
    if let Ok(key) = std::str::from_utf8(bytes) {
        let _ = (back_of(key), peer_of(key));
        if let Some(offer) = offer_of(key) {
            assert_eq!(offer_of(&offer.peer.region(&offer.region, offer.session)), Some(offer));
        }
    }
}

/// Messages, each behind its length.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        self.0 = rest;
        Some(message)
    }
}

/// A mirror takes what comes. What it publishes is what a producer of that directory could have written.
fn mirror(welcome: &Welcome<'_>, messages: Messages<'_>, flags: u8) {
    let name = unique();
    let peer = Peer { host: "fuzz".into(), id: 1 };
    // A slot that is held is not waited for.
    let options = MirrorOptions { most_bytes: 1 << 20, slot_wait: Duration::ZERO, ..MirrorOptions::default() };
    if let Ok(mirror) = Mirror::create(&name, &peer, "region", welcome, &options) {
        frames(mirror, welcome, messages, flags);
    }
    assert!(neighbour(&name).is_none(), "a mirror goes with its value");
}

fn frames(mut mirror: Mirror, welcome: &Welcome<'_>, messages: Messages<'_>, flags: u8) {
    let mut client = Client::open(mirror.name()).expect("a mirror is a region");
    let (mut published, mut assembly, mut sum) = (0, Assembly::default(), Vec::new());
    assembly.expect(2 * CAP as usize);
    assembly.write_to(&mirror);
    for message in std::iter::once(welcome.first).chain(messages.take(16)) {
        let data = Data::decode(message);
        let whole = data.as_ref().ok().and_then(|data| pieces(&mut assembly, data, flags, &mut sum));
        let begun = whole.as_ref().map(|(begin, ..)| Data::decode(begin));
        let mut frame = match data {
            Ok(Data::Frame(frame)) => frame,
            Ok(Data::Piece(_)) => match (begun, &whole) {
                (Some(Ok(Data::Begin(b))), Some((_, body, _))) => {
                    let body = b.frame.body.with(body);
                    Frame { body, checksum: checksum32(body.bytes()), ..b.frame }
                }
                _ => continue,
            },
            Ok(Data::Directory { addition, .. }) => {
                if mirror.add(&addition).is_err() {
                    return;
                }
                continue;
            }
            Ok(Data::End(end)) => {
                mirror.ended(end.published);
                continue;
            }
            _ => continue,
        };
        if flags & REPAIR != 0 {
            (frame.checksum, frame.session) = (checksum32(frame.body.bytes()), welcome.session);
        }
        let draft = whole.as_ref().and_then(|(.., draft)| draft.borrow_mut().take());
        let done = match draft {
            Some(draft) => mirror.accept_draft(&frame, draft, None),
            None => mirror.accept(&frame, None, &Runs),
        };
        match done {
            Ok(Ok(Accepted::Published(id))) => {
                published += 1;
                let directory = Inspector::open(mirror.name()).expect("it is there").directory().expect("and sound");
                let taken = client.next(Duration::ZERO).expect("it lives").expect("it was just published");
                assert_eq!((taken.frame_id(), taken.sim_time().to_bits()), (id, frame.sim_time_bits));
                assert!(taken.has::<u64>(MARK_NAME).expect("the mark is listed"));
                assert_eq!(check(taken.payload(), taken.tlv_count(), u32::MAX, &directory), Ok(()));
            }
            Ok(_) => {}
            // It cannot go on, and says why.
            Err(_) => return,
        }
    }
    assert_eq!(mirror.counts().published, published);
}

/// The beginning of a frame, its body, and the slot that it was written to.
type Whole = (Vec<u8>, Vec<u8>, RefCell<Option<Draft>>);

/// What the pieces so far make: `sum` is the body as far as it was accepted, by which checksums are made right.
fn pieces(assembly: &mut Assembly, data: &Data<'_>, flags: u8, sum: &mut Vec<u8>) -> Option<Whole> {
    let mut data = data.clone();
    if let Data::Piece(piece) = &mut data {
        sum.extend_from_slice(piece.data);
        if flags & REPAIR != 0 {
            piece.checksum = crc_of(0, sum);
        }
    }
    let fed = match &data {
        // As over a network that has a message in several parts.
        &Data::Piece(piece) if flags & PARTS != 0 => {
            let (data, rest) = piece.data.split_at(piece.data.len() / 2);
            assembly.feed_piece(&Piece { data, ..piece }, &[rest])
        }
        data => assembly.feed(data),
    };
    assert!(assembly.len() <= 2 * CAP as usize);
    match fed {
        Ok(Fed::Whole { begin, body }) => {
            assert!(assembly.is_empty() && body.len() == sum.len());
            let draft = match body {
                Arrived::Memory(body) => {
                    assert_eq!(body, *sum);
                    None
                }
                Arrived::Slot(draft) => Some(draft),
                _ => unreachable!("there are two places"),
            };
            Some((begin, std::mem::take(sum), RefCell::new(draft)))
        }
        _ => {
            sum.truncate(assembly.len());
            None
        }
    }
}

/// Geometry and directory of a region with three streams.
fn model() -> &'static (Geometry, Vec<u8>) {
    static MODEL: OnceLock<(Geometry, Vec<u8>)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let builder = Server::builder(unique()).slots(2).reader_slots(2).directory_bytes(1024).frame_bytes(CAP);
        let builder = builder.stream(Stream::<u64>::new(1, "v"), 1).stream(Stream::<u8>::new(2, "bytes"), 512);
        let server = builder.image(Stream::<[u8; 3]>::new(3, "image"), 4, 6, "rgb8").create().expect("a server");
        let l = server.layout();
        let geometry = Geometry {
            slots: l.slots(),
            reader_slots: l.reader_slots(),
            static_bytes_cap: l.static_bytes_cap(),
            frame_bytes_cap: l.frame_bytes_cap(),
            control_per_reader: l.control_per_reader(),
            features: 0,
            features_more: 0,
        };
        (geometry, server.directory().bytes.clone())
    })
}

fn welcome((geometry, directory): &(Geometry, Vec<u8>)) -> Welcome<'_> {
    let geometry = *geometry;
    let (session, server_pid, every, window, control) = (3, 0, true, 8, true);
    Welcome { session, server_pid, geometry, every, window, control, before: 0, directory, first: b"" }
}

/// Runs of equal bytes stand in for every codec.
struct Runs;

impl Codecs for Runs {
    fn known(&self) -> u32 {
        u32::MAX
    }

    fn compress(&self, codec: Codec, _: u32, _: Option<&Picture>, _: &[u8], _: &mut Vec<u8>) -> Result<(), CodecError> {
        Err(CodecError { codec, what: "nothing is sent".into() })
    }

    fn restore(&self, codec: Codec, _: Option<&Picture>, data: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
        let mut bytes = data.chunks_exact(2).flat_map(|c| std::iter::repeat_n(c[1], usize::from(c[0])));
        let wrong = || CodecError { codec, what: "length".into() };
        for byte in out.iter_mut() {
            *byte = bytes.next().ok_or_else(wrong)?;
        }
        if bytes.next().is_none() { Ok(()) } else { Err(wrong()) }
    }
}

/// One of each message, and mirrors that get some frames.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let (geometry, directory) = model();
    let wish = Wish { every: true, codecs: 1, interval_ns: 2, bytes_per_second: 3, streams: vec!["v".into()] };
    let ask = Attach {
        oldest: OLDEST,
        newest: VERSION,
        peer: 1,
        host: "host".into(),
        attachment: 2,
        region: "region".into(),
        session: 3,
        after: 4,
        wish,
    };
    let offer = Offer {
        region: "region".into(),
        session: 3,
        geometry: *geometry,
        streams: 3,
        published: 4,
        peers: 5,
        control: false,
    };
    let encoded = |data: Data<'_>| {
        let mut out = Vec::new();
        data.encode(&mut out);
        out
    };
    let single: [(&str, Vec<u8>); 9] = [
        ("attach", ask.encode()),
        ("offers", Offers { version: VERSION, regions: vec![offer; 2] }.encode()),
        ("refused", Refused::new(Why::Full, "no").encode()),
        ("ack", Back::Ack { seq: 1 }.encode()),
        ("keep", Back::Keep { seq: 1, sent_ns: 2 }.encode()),
        ("control", Back::Control { seq: 1, host: "h", reader_id: 2, ty: 3, body: b"body" }.encode()),
        ("bye", Back::Bye.encode()),
        ("alive", encoded(Data::Alive(Alive::default()))),
        ("key", Peer { host: "robot".into(), id: 7 }.region("a b", 9).into_bytes()),
    ];
    let mut all: Vec<_> = single.into_iter().map(|(name, m)| (name.to_owned(), [&[WHOLE][..], &m].concat())).collect();

    let (mut payload, mut cursor) = (vec![0; CAP as usize], PayloadCursor::new());
    cursor.append(&mut payload, 1, 1, &7_u64.to_ne_bytes()).expect("it fits");
    cursor.append(&mut payload, 2, 40, &[5; 40]).expect("it fits");
    payload.truncate(cursor.used() as usize);
    let mut parts = Vec::new();
    Part { stream_id: 1, elem_count: 1, codec: Codec::None, len: 8, data: &[7; 8] }.encode(&mut parts);
    Part { stream_id: 3, elem_count: 24, codec: Codec::Jpeg, len: 72, data: &[72, 1] }.encode(&mut parts);
    let frame = |seq, body| {
        let (tlv_count, bytes) = match body {
            Body::Whole(bytes) => (cursor.tlv_count(), bytes),
            Body::Parts(bytes) => (2, bytes),
        };
        encoded(Data::Frame(Frame {
            seq,
            frame_id: seq * 2,
            session: 3,
            sim_time_bits: 4,
            published_ns: 5,
            tlv_count,
            has_checksum: true,
            addition: Addition::default(),
            checksum: checksum32(bytes),
            body,
        }))
    };
    let (whole, packed) = (frame(1, Body::Whole(&payload)), frame(2, Body::Parts(&parts)));
    // The first goes into memory and the next ones into slots, with the producer's checksum and without.
    let tlv_count = cursor.tlv_count();
    let begin = |seq, own| {
        let frame = Frame { seq, frame_id: seq * 2, session: 3, tlv_count, body: Body::Whole(&[]), ..Frame::default() };
        encoded(Data::Begin(Begin { frame, len: payload.len() as u32, own }))
    };
    let piece = |seq, at: usize, to: usize| {
        let (checksum, data) = (crc_of(0, &payload[..to]), &payload[at..to]);
        encoded(Data::Piece(Piece { seq, at: at as u32, checksum, data }))
    };
    let mut in_pieces = Vec::new();
    for (seq, own) in [(3, None), (4, Some(checksum32(&payload))), (5, None)] {
        in_pieces.extend([begin(seq, own), piece(seq, 0, 16), piece(seq, 16, 48), piece(seq, 48, payload.len())]);
    }
    in_pieces.extend([begin(6, None), piece(6, 0, 16), encoded(Data::GivenUp { seq: 6 })]);
    let more = Data::Directory { seq: 3, session: 3, addition: Addition { at: 0, bytes: directory } };
    let end = Data::End(Ended { seq: 4, session: 3, published: 9, reason: "why".into() });
    let first = Welcome { first: &whole, ..welcome(model()) }.encode();
    let scripts: [(&str, u8, Vec<Vec<u8>>); 6] = [
        ("pieces", 0, in_pieces.clone()),
        ("cut", PARTS, in_pieces),
        ("whole", 0, vec![whole.clone()]),
        ("parts", REPAIR, vec![whole.clone(), packed.clone()]),
        ("more", REPAIR, vec![whole, encoded(more), packed.clone(), encoded(end)]),
        ("welcome", WHOLE | REPAIR, vec![first, packed]),
    ];
    for (name, flags, messages) in scripts {
        let mut seed = vec![flags];
        for m in messages {
            seed.extend(u16::try_from(m.len()).expect("messages of seeds are small").to_le_bytes());
            seed.extend(m);
        }
        all.push((name.to_owned(), seed));
    }
    all
}
