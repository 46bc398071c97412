//! The inspector on arbitrary regions, as a file and as a live object. Both must agree with the slice parsers, and
//! neither may change a byte.

use crate::live::{Live, load};
use crate::region::{flag, split};
use shmx::error::{DirectoryReadError, OpenError};
use shmx::{ChecksumState, Inspector, SlotState};
use shmx_abi::extension::FeatureWord;
use shmx_abi::hash;
use shmx_abi::region::RegionRef;
use std::path::PathBuf;
use std::sync::LazyLock;
use zerocopy::IntoBytes;

/// One file per process, written again for each input.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("shmx-fuzz-{}.dump", std::process::id())));

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let (flags, bytes) = split(data);
    if bytes.is_empty() {
        return;
    }
    std::fs::write(&*FILE, &bytes).expect("a file can be written");
    let from_file = Inspector::open_file(&FILE);
    let _ = std::fs::remove_file(&*FILE);
    look(from_file, &bytes);
    let live = Live::new(&bytes, flags & flag::LOCKED != 0);
    look(Inspector::open(&live.name), &bytes);
    assert_eq!(load(live.bytes()), bytes, "an inspector changes nothing");
}

fn look(opened: Result<Inspector, OpenError>, bytes: &[u8]) {
    let (inspector, region) = match (opened, RegionRef::parse(bytes)) {
        (Ok(i), Ok(r)) => (i, r),
        (Err(OpenError::Layout { source, .. }), Err(e)) => {
            assert_eq!(source, e);
            return;
        }
        (opened, parsed) => panic!("inspector {opened:?}, parser {parsed:?}"),
    };
    assert_eq!(inspector.layout(), region.layout());
    assert_eq!(inspector.header(), *region.header());
    assert_eq!(inspector.dump(), bytes[..region.layout().total_bytes() as usize]);
    directory(&inspector, &region);
    let extended = FeatureWord::of(region.header()).is_extended();
    let slots = inspector.list_slots();
    assert_eq!(slots.len(), region.layout().slots() as usize);
    for slot in &slots {
        let parsed = region.slot(slot.index);
        // By bytes: a time may be no number, which equals nothing.
        assert_eq!(Some(slot.header.as_bytes()), region.slot_header(slot.index).as_ref().map(IntoBytes::as_bytes));
        assert!(extended || slot.leases == 0);
        match &slot.state {
            SlotState::Empty => assert!(matches!(parsed, Ok(None)), "{parsed:?}"),
            // Without stamps a slot that has been handed out again counts as being written.
            SlotState::Writing => assert!(parsed.is_err() || !extended, "{parsed:?}"),
            SlotState::Frame(view) => {
                let parsed = parsed.expect("the parser finds it too").expect("a frame");
                assert_eq!(view.payload(), parsed.payload);
                let right = hash::checksum32(view.payload()) == view.stored_checksum();
                match view.checksum() {
                    ChecksumState::Verified => assert!(right),
                    ChecksumState::Mismatch => assert!(!right),
                    state => assert_eq!(state, ChecksumState::Absent),
                }
                assert_eq!(view.decode().is_ok(), parsed.streams().all(|s| s.is_ok()));
                let _ = (view.age_ns(), view.get::<u64>(1), view.get::<[f32; 3]>(2), view.get::<bool>(3));
            }
            SlotState::Bad(_) => assert!(parsed.is_err(), "{parsed:?}"),
            other => panic!("a state this target does not know: {other:?}"),
        }
    }
    if let Ok(Some(view)) = inspector.latest() {
        assert_eq!(view.slot(), (region.header().write_index - 1) % region.layout().slots());
    }
    let readers = inspector.snapshot_readers();
    assert_eq!(readers.len(), region.layout().reader_slots() as usize);
    for r in readers {
        assert!(r.leased_slots <= region.layout().slots());
        assert_eq!(Some(r.reader_id), region.reader(r.index).map(|s| s.reader_id));
        rings(&inspector, &region, r.index);
    }
    rings(&inspector, &region, region.layout().reader_slots());
}

fn directory(inspector: &Inspector, region: &RegionRef<'_>) {
    let parsed = region.static_bytes();
    match inspector.decode_static_dir() {
        Ok(state) => {
            assert_eq!(Ok(&state.bytes[..]), parsed);
            assert!(region.static_hash_ok());
            assert_eq!(state.streams.len(), region.directory().expect("as above").count());
        }
        Err(DirectoryReadError::Oversize { .. }) => assert!(parsed.is_err()),
        Err(DirectoryReadError::HashMismatch) => assert!(!region.static_hash_ok()),
        Err(DirectoryReadError::Entry(_)) => {
            assert!(region.directory().expect("it was read").any(|e| e.is_err()));
        }
        Err(e) => panic!("nobody writes: {e}"),
    }
}

fn rings(inspector: &Inspector, region: &RegionRef<'_>, index: u32) {
    let expected: Option<Vec<_>> = match region.control(index) {
        None => Some(Vec::new()),
        Some(ring) => ring.map(|m| m.map(|m| (m.ty, m.data.to_vec())).ok()).collect(),
    };
    let found = inspector.peek_control(index).ok();
    let found = found.map(|list| list.into_iter().map(|m| (m.ty, m.data)).collect::<Vec<_>>());
    assert_eq!(found, expected);
}
