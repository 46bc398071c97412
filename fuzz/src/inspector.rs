//! The inspector on arbitrary regions, as a file and as a live object. Both must agree with the slice parsers, and
//! neither may change a byte.

use crate::live::{Live, load};
use crate::region::{flag, split};
use shmx::error::{DirectoryReadError, OpenError};
use shmx::{ChecksumState, FrameOutline, HeaderReport, Inspector, SlotContent, SlotState, SlotView};
use shmx_abi::extension::Features;
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
    report(bytes);
    let (inspector, region) = match (opened, RegionRef::parse(bytes)) {
        (Ok(i), Ok(r)) => (i, r),
        (Err(OpenError::Layout { cause: source, .. }), Err(e)) => {
            assert_eq!(source, e);
            return;
        }
        (opened, parsed) => panic!("inspector {opened:?}, parser {parsed:?}"),
    };
    assert_eq!(inspector.layout(), region.layout());
    assert_eq!(inspector.header(), *region.header());
    assert_eq!(inspector.dump(), bytes[..region.layout().total_bytes() as usize]);
    directory(&inspector, &region);
    let extended = Features::of(region.header()).is_extended();
    let slots = inspector.list_slots();
    assert_eq!(slots.len(), region.layout().slots() as usize);
    for slot in &slots {
        brief(&inspector, slot);
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
                let right = Some(hash::checksum32(view.payload())) == view.stored_checksum();
                match view.checksum() {
                    ChecksumState::Verified => assert!(right),
                    ChecksumState::Mismatch => assert!(!right),
                    state => assert_eq!(state, ChecksumState::Absent),
                }
                assert_eq!(view.decode().is_ok(), parsed.streams().all(|s| s.is_ok()));
                let _ = (view.age(), view.get::<u64>(1), view.get::<[f32; 3]>(2), view.to_vec::<bool>(3));
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

/// The report on a header agrees with the check, and finds fault with whatever that refuses.
fn report(bytes: &[u8]) {
    let report = HeaderReport::of_bytes(&bytes[..bytes.len().min(128)], bytes.len() as u64);
    match RegionRef::parse(bytes) {
        Ok(region) => assert_eq!(report.layout.as_ref(), Ok(region.layout())),
        Err(e) => {
            assert_eq!(report.layout, Err(e));
            assert!(report.fields.iter().any(|f| f.problem.is_some()), "{e}");
        }
    }
}

/// The ways of looking that copy no whole frame agree with the one that does.
fn brief(inspector: &Inspector, slot: &SlotView) {
    let brief = inspector.slot_brief(slot.index).expect("a slot");
    match (&slot.state, &brief.content) {
        (SlotState::Empty, c) => assert_eq!(*c, SlotContent::Empty),
        (SlotState::Bad(e), c) => assert_eq!(*c, SlotContent::Bad(e.clone())),
        (SlotState::Frame(_), c) => assert_eq!(*c, SlotContent::Frame),
        _ => {}
    }
    let outline = inspector.outline(slot.index, |_, n| 0..n);
    let sum = inspector.checksum_of(slot.index);
    let SlotState::Frame(view) = &slot.state else {
        assert!(!matches!(outline, Ok(Some(_))) && !matches!(sum, Ok(Some(_))), "{outline:?}, {sum:?}");
        return;
    };
    assert_eq!(sum, Ok(Some((view.frame_id(), view.checksum()))));
    let outline = outline.expect("a frame").expect("a frame");
    assert_eq!(outline.header.frame_id, view.frame_id());
    assert_eq!(brief.header.frame_id, view.frame_id());
    for (part, whole) in outline.streams.iter().zip(view.streams().flatten()) {
        let data = &whole.data[..whole.data.len().min(FrameOutline::MOST_BYTES as usize)];
        assert_eq!((part.stream_id, part.elem_count, part.start), (whole.stream_id, whole.elem_count, 0));
        assert_eq!((part.bytes as usize, part.part.as_slice()), (whole.data.len(), data));
    }
    if !outline.cut {
        assert_eq!(outline.streams.len(), view.streams().flatten().count());
        assert_eq!(outline.error, view.streams().find_map(Result::err));
    }
}

fn directory(inspector: &Inspector, region: &RegionRef<'_>) {
    let parsed = region.static_bytes();
    match inspector.directory() {
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
