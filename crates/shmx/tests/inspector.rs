//! What the inspector, the listing and the removal say, against what is known to be there.

#![cfg(target_os = "linux")]

use shmx::abi::hash::checksum32;
use shmx::error::{OpenError, ReadError, RemoveError};
use shmx::{
    Checksum, ChecksumState, Client, HeaderReport, Inspector, RegionKind, Removed, Server, ServerState, SharedServer,
    SlotContent, StreamSpec,
};
use std::os::unix::fs::FileExt;

struct Name(String);

impl Name {
    fn new() -> Self {
        Self(shmx_testkit::unique("inspector"))
    }

    fn path(&self) -> std::path::PathBuf {
        std::path::Path::new("/dev/shm").join(&self.0)
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

fn server(name: &Name) -> SharedServer {
    let builder = Server::builder(&name.0)
        .slots(4)
        .frame_bytes(65536)
        .checksum(Checksum::Always)
        .stream(StreamSpec::of::<u64>(1, "tick"), 1);
    builder.stream(StreamSpec::of::<[f32; 3]>(2, "position"), 1000).create().unwrap().into_shared()
}

fn publish(server: &SharedServer, tick: u64) -> u64 {
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &[tick]).unwrap();
    let points: Vec<[f32; 3]> = (0..1000).map(|i| [i as f32, tick as f32, 0.5]).collect();
    frame.append_stream(2, &points).unwrap();
    frame.publish_frame(tick as f64).unwrap()
}

/// What a killed server leaves: the bytes of a live region in an object that nobody holds a lock on.
fn orphan(of: &Name) -> Name {
    let dead = Name::new();
    std::fs::write(dead.path(), of.bytes()).unwrap();
    dead
}

#[test]
fn briefs_outlines_and_checksums_agree_with_what_was_published() {
    let name = Name::new();
    let server = server(&name);
    let inspector = Inspector::open(&name.0).unwrap();
    assert!(inspector.slot_briefs().iter().all(|b| b.content == SlotContent::Empty));
    assert!(inspector.outline(0, |_, n| 0..n).unwrap().is_none() && inspector.checksum_of(0).unwrap().is_none());
    for tick in 0..6 {
        publish(&server, tick);
    }
    let briefs = inspector.slot_briefs();
    let mut ids: Vec<u64> = briefs.iter().map(|b| b.header.frame_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [3, 4, 5, 6]);
    for b in &briefs {
        assert_eq!(b.content, SlotContent::Frame);
        let o = inspector.outline(b.index, |id, n| if id == 2 { 12..36 } else { 0..n }).unwrap().unwrap();
        let tick = b.header.frame_id - 1;
        assert_eq!((o.header.frame_id, o.sim_time(), o.error, o.cut), (tick + 1, tick as f64, None, false));
        assert!(o.age().is_some());
        assert_eq!(o.streams[0].part, tick.to_le_bytes());
        let s = &o.streams[1];
        assert_eq!((s.stream_id, s.elem_count, s.bytes, s.start), (2, 1000, 12_000, 12));
        let expected: Vec<u8> = [1.0_f32, tick as f32, 0.5, 2.0, tick as f32, 0.5].map(f32::to_le_bytes).concat();
        assert_eq!(s.part, expected);
        let (id, sum) = inspector.checksum_of(b.index).unwrap().unwrap();
        assert_eq!((id, sum), (tick + 1, ChecksumState::Verified));
    }
    // A frame that is begun shows as such, and costs its slot's old frame.
    let frame = server.begin_frame().unwrap();
    let b = inspector.slot_brief(frame.slot()).unwrap();
    assert_eq!(b.content, SlotContent::Writing);
    assert!(matches!(inspector.outline(frame.slot(), |_, n| 0..n), Err(ReadError::Lapped { .. })));
    drop(frame);
    // A flipped byte of a payload.
    let newest = inspector.latest().unwrap().unwrap();
    let at = inspector.layout().frame_slot(newest.slot()).unwrap() as u64 + 64 + 500;
    name.write(at, &[newest.payload()[500] ^ 1]);
    assert_eq!(inspector.checksum_of(newest.slot()).unwrap().unwrap().1, ChecksumState::Mismatch);
    // An impossible length and an impossible record.
    let head = inspector.layout().frame_slot(newest.slot()).unwrap() as u64;
    name.write(head + 24, &u32::MAX.to_ne_bytes());
    assert!(matches!(
        inspector.slot_brief(newest.slot()).unwrap().content,
        SlotContent::Bad(ReadError::Oversize { .. })
    ));
    name.write(head + 24, &12_064_u32.to_ne_bytes());
    name.write(head + 64 + 4, &u32::MAX.to_ne_bytes());
    let o = inspector.outline(newest.slot(), |_, n| 0..n).unwrap().unwrap();
    assert!(o.error.is_some() && o.streams.is_empty());
}

#[test]
fn a_long_frame_is_hashed_in_pieces() {
    let name = Name::new();
    let builder = Server::builder(&name.0).frame_bytes(3 << 20);
    let mut server = builder.stream(StreamSpec::of::<u8>(1, "bytes"), 3 << 20).create().unwrap();
    let data: Vec<u8> = (0..(2 << 20) + 777_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(1, &data).unwrap();
    frame.publish_frame(0.0).unwrap();
    let inspector = Inspector::open(&name.0).unwrap();
    let view = inspector.latest().unwrap().unwrap();
    assert_eq!(view.stored_checksum(), Some(checksum32(view.payload())));
    assert_eq!(inspector.checksum_of(view.slot()).unwrap(), Some((1, ChecksumState::Verified)));
    let o = inspector.outline(view.slot(), |_, _| 1_000_001..u32::MAX).unwrap().unwrap();
    assert_eq!(o.streams[0].part, data[1_000_001..1_000_001 + (1 << 20)]);
    let mut copy = vec![0; 1000];
    let total = inspector.layout().total_bytes() as usize;
    assert_eq!(inspector.read_at(total - 10, &mut copy), 10);
    assert_eq!(inspector.read_at(64, &mut copy), 1000);
    assert_eq!(copy, inspector.dump()[64..1064]);
    assert_eq!(inspector.read_at(usize::MAX, &mut copy), 0);
}

#[test]
fn rings_fill_and_readers_show() {
    let name = Name::new();
    let server = server(&name);
    let inspector = Inspector::open(&name.0).unwrap();
    let client = Client::open(&name.0).unwrap();
    let fill = inspector.control_fill(0).unwrap();
    assert_eq!((fill.capacity, fill.waiting, fill.sent), (4080, Some(0), 0));
    client.control_send(0x3000, &[1, 2, 3]).unwrap();
    assert_eq!(inspector.control_fill(0).unwrap().waiting, Some(16));
    server.poll_control(10);
    let fill = inspector.control_fill(0).unwrap();
    assert_eq!((fill.waiting, fill.sent), (Some(0), 16));
    assert!(inspector.control_fill(16).is_none());
    let ring = inspector.layout().control_ring(0).unwrap() as u64;
    name.write(ring + 8, &u64::MAX.to_ne_bytes());
    assert_eq!(inspector.control_fill(0).unwrap().waiting, None);
}

#[test]
fn server_states_and_the_listing() {
    let name = Name::new();
    let server = server(&name);
    publish(&server, 0);
    let dead = orphan(&name);
    let (damaged, foreign, short) = (Name::new(), Name::new(), Name::new());
    std::fs::write(damaged.path(), &name.bytes()[..4096]).unwrap();
    std::fs::write(foreign.path(), b"something else").unwrap();
    std::fs::write(short.path(), &name.bytes()[..20]).unwrap();
    let reference = orphan(&name);
    reference.write(20, &[0; 4]); // without feature word
    let inspector = Inspector::open(&name.0).unwrap();
    assert_eq!(inspector.server_state(), ServerState::Live);
    assert!(inspector.is_whole());

    let all = shmx::list().unwrap();
    let kind = |n: &Name| &all.iter().find(|l| l.object.name.as_str() == n.0).unwrap().kind;
    let state = |n: &Name| match kind(n) {
        RegionKind::Region { server, .. } => *server,
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&name), ServerState::Live);
    assert_eq!(state(&dead), ServerState::Died);
    assert_eq!(state(&reference), ServerState::Reference);
    assert!(matches!(kind(&damaged), RegionKind::Damaged(_)) && matches!(kind(&short), RegionKind::Damaged(_)));
    assert!(matches!(kind(&foreign), RegionKind::Foreign));
    assert!(all.is_sorted_by(|a, b| a.object.name <= b.object.name));

    let report = HeaderReport::of_region(&damaged.0).unwrap();
    let slots = report.fields.iter().find(|f| f.name == "slots").unwrap();
    assert!(slots.problem.as_deref().is_some_and(|p| p.ends_with("the object has 4096")), "{slots:?}");
    assert_eq!(HeaderReport::of_file(&damaged.path()).unwrap(), report);
    assert!(matches!(HeaderReport::of_region("no such region"), Err(OpenError::Os(_))));

    // Cut under the inspector's eyes: it says so before anything is touched.
    let cut = Inspector::open(&dead.0).unwrap();
    std::fs::OpenOptions::new().write(true).open(dead.path()).unwrap().set_len(4096).unwrap();
    assert!(!cut.is_whole());
    drop(server);
    assert_eq!(inspector.server_state(), ServerState::Closed);
}

#[test]
fn only_the_dead_are_removed_unless_forced() {
    let name = Name::new();
    let server = server(&name);
    publish(&server, 0);
    for force in [false, true] {
        let e = shmx::remove(&name.0, force).unwrap_err();
        assert!(matches!(e, RemoveError::HeldByLiveServer { pid: Some(p), .. } if p == std::process::id()), "{e}");
    }
    let dead = orphan(&name);
    let reader = Inspector::open(&dead.0).unwrap();
    assert_eq!(shmx::remove(&dead.0, false).unwrap(), Removed::Dead);
    assert!(!dead.path().exists());
    assert_eq!(reader.server_state(), ServerState::Died, "its readers are told");
    assert!(matches!(shmx::remove(&dead.0, true), Err(RemoveError::Open(shmx_os::OpenError::NotFound { .. }))));

    let reference = orphan(&name);
    reference.write(20, &[0; 4]);
    assert!(matches!(shmx::remove(&reference.0, false), Err(RemoveError::ReferenceMade { .. })));
    assert_eq!(shmx::remove(&reference.0, true).unwrap(), Removed::Unlocked);
    let foreign = Name::new();
    std::fs::write(foreign.path(), b"something else").unwrap();
    assert!(matches!(shmx::remove(&foreign.0, false), Err(RemoveError::NotARegion { .. })));
    assert_eq!(shmx::remove(&foreign.0, true).unwrap(), Removed::Foreign);
    assert!(matches!(shmx::remove("..", false), Err(RemoveError::Name(_))));
    assert!(name.path().exists());
}

/// Everything the inspector can do leaves a quiet region as it is, to the last byte.
#[test]
fn looking_changes_no_byte() {
    let name = Name::new();
    let server = server(&name);
    let mut client = Client::open(&name.0).unwrap();
    for tick in 0..9 {
        publish(&server, tick);
    }
    let control = client.control();
    let held = client.latest().unwrap();
    control.send(0x3000, b"hello").unwrap();
    let before = name.bytes();
    let inspector = Inspector::open(&name.0).unwrap();
    for _ in 0..50 {
        let _ = (inspector.header(), inspector.features(), inspector.server_state(), inspector.is_current());
        let _ = (inspector.directory(), inspector.snapshot_readers(), inspector.latest());
        let _ = (inspector.list_slots(), inspector.slot_briefs(), inspector.dump(), inspector.is_whole());
        for i in 0..16 {
            let _ = (inspector.peek_control(i), inspector.control_fill(i));
            let _ = (inspector.outline(i, |_, n| 0..n), inspector.checksum_of(i));
        }
        let _ = (shmx::list(), HeaderReport::of_region(&name.0));
    }
    assert!(before == name.bytes());
    drop(held);
}
