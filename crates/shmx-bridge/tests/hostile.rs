//! Peers that are of another version, talk rubbish, or lie.
#![cfg(target_os = "linux")]

use crate::common::{self, Host, V, attach, exports, imports, origin, publish, serve, unique, until};
use shmx::abi::frame::PayloadCursor;
use shmx::abi::hash::checksum32;
use shmx::{Client, Server};
use shmx_bridge::fake::{Net, Node};
use shmx_bridge::keys::Peer;
use shmx_bridge::wire::{
    Addition, Alive, Answer, Attach, AttachError, Back, Begin, Body, Data, Frame, Geometry, OLDEST, Piece, Refused,
    VERSION, Welcome, Why, Wish,
};
use shmx_bridge::{Backend, Event, Stands, Urgency, ask_offers, crc_of};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(20);

fn ask(region: &str, session: u64) -> Attach {
    Attach {
        oldest: OLDEST,
        newest: VERSION,
        peer: 1,
        host: "test".into(),
        attachment: 2,
        region: region.into(),
        session,
        after: 0,
        wish: Wish::default(),
    }
}

fn refused(node: &Node, peer: &Peer, question: Vec<u8>) -> Refused {
    let answers = until("an answer", || {
        Some(node.ask(&peer.attach(), question.clone(), SHORT).unwrap()).filter(|a| !a.is_empty())
    });
    let Ok(Answer::Refused(refused)) = Answer::decode(&answers[0].1) else { panic!("not refused: {answers:?}") };
    refused
}

#[test]
fn other_versions_and_strangers_are_refused_clearly() {
    let name = unique("version");
    let server = serve(&name);
    let hidden = unique("hidden");
    let other = serve(&hidden);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    until("an offer", || (!robot.bridge.status().offers.is_empty()).then_some(()));
    let (node, peer) = (net.host(), robot.bridge.peer());
    let session = server.session_id();
    for (oldest, newest) in [(VERSION + 1, VERSION + 3), (OLDEST - 1, OLDEST - 1)] {
        let said = refused(&node, peer, Attach { oldest, newest, ..ask(&name, session) }.encode());
        assert_eq!((said.why, said.oldest, said.newest), (Why::Version, OLDEST, VERSION));
        let versions = format!("versions {oldest} to {newest}");
        assert!(said.text.contains(&versions) && said.text.contains("use bridges of one version"), "{}", said.text);
    }
    assert_eq!(refused(&node, peer, b"GET / HTTP/1.1".to_vec()).why, Why::Unreadable);
    // What is not named does not leave, whoever asks.
    let said = refused(&node, peer, ask(&hidden, other.session_id()).encode());
    assert_eq!((said.why, said.text), (Why::NoSuchRegion, format!("`{hidden}` is not offered")));
    assert_eq!(refused(&node, peer, ask(&name, session + 1).encode()).why, Why::NoSuchRegion);
    assert!(robot.has_told(|e| matches!(e, Event::Trouble { what, .. } if what.contains("another version"))));
    let offers = ask_offers(&node, Duration::from_secs(1)).unwrap();
    let regions = &offers[0].1.as_ref().unwrap().regions;
    assert_eq!((offers[0].0.host.as_str(), regions.len(), regions[0].region.as_str()), ("robot", 1, name.as_str()));
    assert_eq!((regions[0].streams, regions[0].control), (2, false));
}

#[test]
fn no_more_peers_than_allowed() {
    let name = unique("peers");
    let server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, shmx_bridge::Options { peers: 3, ..exports("robot", &name) });
    until("an offer", || (!robot.bridge.status().offers.is_empty()).then_some(()));
    let (node, peer) = (net.host(), robot.bridge.peer().clone());
    for attachment in 0..3 {
        let ask = Attach { attachment, ..ask(&name, server.session_id()) };
        let answers = node.ask(&peer.attach(), ask.encode(), SHORT).unwrap();
        assert!(matches!(Answer::decode(&answers[0].1), Ok(Answer::Welcome(_))));
    }
    let more = Attach { attachment: 9, ..ask(&name, server.session_id()) };
    assert_eq!(refused(&node, &peer, more.encode()).why, Why::Full);
    // One that says goodbye makes room.
    node.send(&peer.from(1, 0), Back::Bye.encode(), Urgency::Sign).unwrap();
    until("room", || {
        let answers = node.ask(&peer.attach(), more.encode(), SHORT).unwrap();
        matches!(Answer::decode(&answers[0].1), Ok(Answer::Welcome(_))).then_some(())
    });
}

/// An origin that says what a test wants.
struct Liar {
    node: Node,
    peer: Peer,
    /// Where the last that asked hears.
    asked: Arc<Mutex<Vec<Attach>>>,
    _stands: Vec<Stands>,
}

impl Liar {
    fn new(net: &Net, region: &str, welcome: &Welcome<'_>) -> Self {
        let (node, peer) = (net.host(), Peer { host: "liar".into(), id: 77 });
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (note, answer) = (asked.clone(), welcome.encode());
        let tell = move |question: &[u8], respond: shmx_bridge::Respond| {
            note.lock().unwrap().push(Attach::decode(question).unwrap());
            respond(answer.clone());
        };
        let stands = vec![
            node.answer(&peer.attach(), Box::new(tell)).unwrap(),
            node.announce(&peer.region(region, welcome.session)).unwrap(),
        ];
        Self { node, peer, asked, _stands: stands }
    }

    fn send(&self, message: Vec<u8>) {
        let to = until("a question", || self.asked.lock().unwrap().last().map(|a| self.peer.to(a.peer, a.attachment)));
        self.node.send(&to, message, Urgency::Data).unwrap();
    }

    fn frame(&self, frame: &Frame<'_>) {
        let mut out = Vec::new();
        frame.encode(&mut out);
        self.send(out);
    }
}

fn payload(id: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let (mut payload, mut cursor) = (vec![0; 4096], PayloadCursor::new());
    cursor.append(&mut payload, id, count, data).unwrap();
    payload.truncate(cursor.used() as usize);
    payload
}

fn frame(seq: u64, payload: &[u8]) -> Frame<'_> {
    Frame {
        seq,
        frame_id: seq,
        session: 5,
        sim_time_bits: 0,
        published_ns: 0,
        tlv_count: 1,
        has_checksum: false,
        addition: Addition::default(),
        checksum: checksum32(payload),
        body: Body::Whole(payload),
    }
}

fn geometry(server: &Server) -> Geometry {
    let l = server.layout();
    Geometry {
        slots: l.slots(),
        reader_slots: l.reader_slots(),
        static_bytes_cap: l.static_bytes_cap(),
        frame_bytes_cap: l.frame_bytes_cap(),
        control_per_reader: l.control_per_reader(),
        features: 0,
        features_more: 0,
    }
}

fn welcome<'a>(geometry: Geometry, directory: &'a [u8]) -> Welcome<'a> {
    let (session, server_pid, every, window, control) = (5, 0, true, 8, false);
    Welcome { session, server_pid, geometry, every, window, control, before: 0, directory, first: b"" }
}

#[test]
fn nothing_is_published_that_a_producer_could_not_have_written() {
    let model = serve(&unique("model"));
    let directory = model.directory().bytes.clone();
    let net = Net::default();
    let region = unique("lies");
    let liar = Liar::new(&net, &region, &welcome(geometry(&model), &directory));
    let desk = Host::start(&net, imports("desk", "liar/*"));
    let mut client = attach(&format!("liar.{region}"));
    let good = payload(1, 1, &7_u64.to_ne_bytes());
    let mut seq = 0;
    let mut next_seq = || {
        seq += 1;
        seq
    };
    let unlisted = payload(9, 1, &[0; 8]);
    let short = payload(1, 1, &[0; 4]);
    let many = payload(1, u32::MAX, &[0; 8]);
    let marked = payload(shmx_bridge::MARK_ID, 1, &[0; 40]);
    let mut cut = good.clone();
    cut[4] = 0xFF;
    let bad: [&[u8]; 6] = [&unlisted, &short, &many, &marked, &cut, b""];
    for payload in bad {
        liar.frame(&frame(next_seq(), payload));
    }
    liar.frame(&Frame { checksum: 1, ..frame(next_seq(), &good) });
    liar.frame(&Frame { session: 6, ..frame(next_seq(), &good) });
    liar.frame(&Frame { tlv_count: 2, ..frame(next_seq(), &good) });
    liar.frame(&Frame { body: Body::Parts(&good), ..frame(next_seq(), &good) });
    for rubbish in [&b""[..], b"SHMB", b"SHMB\x09\0\x10\0", &[0; 1000]] {
        liar.send(rubbish.to_vec());
    }
    liar.frame(&frame(next_seq(), &good));
    let frame = client.next(SHORT).unwrap().expect("the one that is right");
    assert_eq!((frame.value(V).unwrap(), origin(&frame).frame_id, frame.frame_id()), (7, 11, 1));
    let c = until("counts", || desk.bridge.status().mirrors.first().map(|m| m.counts).filter(|c| c.published == 1));
    assert_eq!((c.rejected, c.blocked), (10, 0), "{c:?}");
}

#[test]
fn pieces_that_do_not_make_a_frame_are_never_seen() {
    let model = serve(&unique("model"));
    let directory = model.directory().bytes.clone();
    let net = Net::default();
    let region = unique("pieces");
    let liar = Liar::new(&net, &region, &welcome(geometry(&model), &directory));
    let desk = Host::start(&net, imports("desk", "liar/*"));
    let mut client = attach(&format!("liar.{region}"));
    let good = payload(1, 1, &7_u64.to_ne_bytes());
    let len = good.len() as u32;
    let send = |data: Data<'_>| {
        let mut out = Vec::new();
        data.encode(&mut out);
        liar.send(out);
    };
    let begin = |seq, len| send(Data::Begin(Begin { frame: Frame { checksum: 0, ..frame(seq, b"") }, len, own: None }));
    let piece = |seq, at: usize, to: usize| {
        let (checksum, data) = (crc_of(0, &good[..to]), &good[at..to]);
        send(Data::Piece(Piece { seq, at: at as u32, checksum, data }));
    };
    // Nothing but an end; a hole; the same twice; the beginning of the next one; more than there is; a wrong checksum; far
    // too large.
    piece(1, 16, good.len());
    begin(1, len);
    piece(1, 16, good.len());
    begin(2, len);
    piece(2, 0, 16);
    piece(2, 0, 16);
    piece(2, 16, good.len());
    begin(3, len);
    piece(3, 0, 16);
    begin(4, len - 8);
    piece(4, 0, good.len());
    begin(5, len);
    piece(5, 0, 16);
    send(Data::Piece(Piece { seq: 5, at: 16, checksum: 0, data: &good[16..] }));
    begin(6, u32::MAX);
    // And one that is right, with a sign of life in its midst.
    begin(7, len);
    piece(7, 0, 16);
    send(Data::Alive(Alive::default()));
    piece(7, 16, good.len());
    let frame = client.next(SHORT).unwrap().expect("the one that is right");
    assert_eq!((frame.value(V).unwrap(), origin(&frame).frame_id, frame.frame_id()), (7, 7, 1));
    let c = until("counts", || desk.bridge.status().mirrors.first().map(|m| m.counts).filter(|c| c.published == 1));
    assert_eq!((c.lost, c.rejected, c.blocked), (6, 0, 0), "{c:?}");
    assert!(desk.has_told(|e| matches!(e, Event::Trouble { what, .. } if what.contains("did not come whole"))));
}

#[test]
fn a_flood_fills_nothing_and_a_directory_with_a_hole_ends_the_mirror() {
    let model = serve(&unique("model"));
    let directory = model.directory().bytes.clone();
    let net = Net::default();
    let region = unique("flood");
    let liar = Liar::new(&net, &region, &welcome(geometry(&model), &directory));
    let desk = Host::start(&net, imports("desk", "liar/*"));
    let client = attach(&format!("liar.{region}"));
    let good = payload(1, 1, &7_u64.to_ne_bytes());
    for seq in 1..5000 {
        liar.frame(&frame(seq, &good));
    }
    let at = directory.len() as u32 + 16;
    let mut out = Vec::new();
    until("the end", || {
        // Some may be dropped, as everything of a sender that does not keep to its window.
        Data::Directory { seq: 6000, session: 5, addition: Addition { at, bytes: &[0; 16] } }.encode(&mut out);
        liar.send(out.clone());
        client.server_end()
    });
    until("it says so", || {
        desk.has_told(|e| matches!(e, Event::Over { reason, .. } if reason.contains("the directory has"))).then_some(())
    });
}

#[test]
fn regions_that_cannot_be_or_are_too_large_are_not_made() {
    let model = serve(&unique("model"));
    let directory = model.directory().bytes.clone();
    let good = geometry(&model);
    let huge = Geometry { slots: 1 << 19, frame_bytes_cap: 4000, ..good };
    let over = Geometry { frame_bytes_cap: u32::MAX, ..good };
    for (geometry, directory, says) in [
        (huge, &directory[..], "are allowed"),
        (over, &directory[..], "cannot make the region"),
        (Geometry { slots: 0, ..good }, &directory[..], "cannot make the region"),
        (good, &directory[..directory.len() - 20], "cannot make the region"),
    ] {
        let net = Net::default();
        let region = unique("huge");
        let _liar = Liar::new(&net, &region, &welcome(geometry, directory));
        let desk = Host::start(&net, imports("desk", "liar/*"));
        until("it says so", || {
            desk.has_told(|e| matches!(e, Event::Trouble { what, .. } if what.contains(says))).then_some(())
        });
        assert!(Client::open(&format!("liar.{region}")).is_err());
    }
}

#[test]
fn a_directory_of_too_many_streams_makes_no_mirror() {
    let mut builder = Server::builder(unique("streams"));
    for id in 0..4097 {
        builder = builder.stream(shmx::Stream::<u8>::new(id, "s"), 1);
    }
    let model = builder.create().unwrap();
    let directory = model.directory().bytes.clone();
    let net = Net::default();
    let region = unique("many");
    let _liar = Liar::new(&net, &region, &welcome(geometry(&model), &directory));
    let desk = Host::start(&net, imports("desk", "liar/*"));
    let says = |e: &Event| matches!(e, Event::Trouble { what, .. } if what.contains("lists 4097 streams"));
    until("it says so", || desk.has_told(says).then_some(()));
    assert!(Client::open(&format!("liar.{region}")).is_err());
}

/// Who asks need not be a bridge, and may leave out what bridges look at.
#[test]
fn control_messages_that_no_bridge_sends_reach_no_region() {
    let name = unique("forged");
    let server = serve(&name);
    let net = Net::default();
    let export = shmx_bridge::Export {
        regions: shmx_bridge::Patterns::new([&name[..]]),
        control: true,
        ..shmx_bridge::Export::default()
    };
    let robot = Host::start(&net, common::exports_on("robot", export));
    until("an offer", || (!robot.bridge.status().offers.is_empty()).then_some(()));
    let (node, peer) = (net.host(), robot.bridge.peer().clone());
    let ask = ask(&name, server.session_id());
    let answers = node.ask(&peer.attach(), ask.encode(), SHORT).unwrap();
    assert!(matches!(Answer::decode(&answers[0].1), Ok(Answer::Welcome(_))));
    let long = vec![0; server.layout().control_per_reader() as usize + 1];
    let hello = 0x4845_4C4F;
    let all: [(u32, &[u8]); 6] = [
        (hello, b""),
        (shmx_bridge::wire::FROM, b"forged"),
        (1, b""),
        (0x2FFF, b""),
        (0x3001, &long),
        (0x3001, b"good"),
    ];
    for (seq, (ty, body)) in (1..).zip(all) {
        let back = Back::Control { seq, host: "h", reader_id: 1, ty, body };
        node.send(&peer.from(ask.peer, ask.attachment), back.encode(), Urgency::Data).unwrap();
    }
    let mut messages = Vec::new();
    until("the good one", || {
        messages.extend(server.poll_control(16).messages);
        messages.iter().any(|m| m.data == b"good").then_some(())
    });
    let types: Vec<u32> = messages.iter().map(|m| m.ty).collect();
    assert_eq!(types, [shmx_bridge::wire::FROM, 0x3001]);
    assert_eq!(messages[0].data, [&1_u64.to_le_bytes()[..], b"h"].concat());
}

#[test]
fn a_mirror_that_is_offered_all_the_same_is_not_mirrored() {
    let name = unique("mirrored");
    let mut server = serve(&name);
    publish(&mut server, 1);
    let net = Net::default();
    let _robot = Host::start(&net, exports("robot", &name));
    let _desk = Host::start(&net, imports("desk", "robot/*"));
    let mirror = attach(&format!("robot.{name}"));
    let directory = mirror.directory().unwrap().bytes.clone();
    let region = unique("again");
    let _liar = Liar::new(&net, &region, &welcome(geometry(&server), &directory));
    let lab = Host::start(&net, imports("lab", "liar/*"));
    until("it says so", || {
        lab.has_told(|e| matches!(e, Event::Trouble { what, .. } if what.contains("mirrors are not sent on")))
            .then_some(())
    });
    assert!(Client::open(&format!("liar.{region}")).is_err());
}

#[test]
fn rubbish_under_every_key_changes_nothing() {
    let name = unique("rubbish");
    let mut server = serve(&name);
    let net = Net::default();
    let robot = Host::start(&net, exports("robot", &name));
    let desk = Host::start(&net, imports("desk", "robot/*"));
    let mut client = attach(&format!("robot.{name}"));
    let node = net.host();
    let (from, to) = (robot.bridge.peer(), desk.bridge.peer());
    let mut dice = fastrand::Rng::with_seed(7);
    let presences = ["shmx/robot/x/region/a/b", "shmx/robot/0000000000000009/region/%/0000000000000001"];
    let _stands: Vec<_> = presences.iter().map(|key| node.announce(key).unwrap()).collect();
    for round in 0..500_u64 {
        let len = dice.usize(..200);
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(len).collect();
        if dice.bool() && bytes.len() > 8 {
            bytes[..8].copy_from_slice(&[b'S', b'H', b'M', b'B', VERSION as u8, 0, dice.u8(..40), 0]);
        }
        let attachment = dice.u64(..4);
        for key in [from.to(to.id, attachment), from.from(to.id, attachment), format!("shmx/{round}")] {
            node.send(&key, bytes.clone(), Urgency::Data).unwrap();
        }
        let _ = node.ask(&from.attach(), bytes, SHORT).unwrap();
    }
    let id = publish(&mut server, 3);
    let frame = client.next(SHORT).unwrap().unwrap();
    assert_eq!((origin(&frame).frame_id, frame.value(V).unwrap()), (id, 3));
}

#[test]
fn an_error_names_both_sides_versions() {
    let e = AttachError::Versions { oldest: 8, newest: 9 };
    assert_eq!(e.to_string(), "it speaks versions 8 to 9 of the bridge's messages, this one 4 to 4");
}
