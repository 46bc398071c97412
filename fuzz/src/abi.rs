//! The slice parsers over arbitrary regions. Each answer is compared with a walk written from the format's document.

use crate::region::split;
use shmx_abi::control::ControlRing;
use shmx_abi::directory::Directory;
use shmx_abi::frame::{PayloadCursor, Streams};
use shmx_abi::region::RegionRef;
use shmx_abi::tlv::Tlvs;
use shmx_abi::{GlobalHeader, RegionLayout, hash};

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let (_, bytes) = split(data);
    records(&bytes);
    ring(&bytes);
    rebuild(&bytes);
    let Ok(region) = RegionRef::parse(&bytes) else { return };
    layout(region.layout(), region.header(), bytes.len());
    let hash_ok = region.static_hash_ok();
    if let Ok(used) = region.static_bytes() {
        assert_eq!(hash_ok, used.is_empty() || hash::fnv1a64(used) == region.header().static_hash);
        directory(used);
    } else {
        assert!(!hash_ok);
    }
    for i in 0..region.layout().reader_slots() {
        assert!(region.reader(i).is_some());
        assert_eq!(region.control(i).is_some(), region.layout().control_per_reader() > 16);
        if let Some(at) = region.layout().control_ring(i) {
            ring(&bytes[at..at + region.layout().control_per_reader() as usize]);
        }
    }
    assert!(region.reader(region.layout().reader_slots()).is_none());
    for i in 0..region.layout().slots() {
        let header = region.slot_header(i).expect("every slot has a header");
        if let Ok(Some(slot)) = region.slot(i) {
            assert_eq!(slot.payload.len(), header.payload_bytes as usize);
            assert!(header.payload_bytes <= region.layout().frame_bytes_cap());
            assert_eq!(header.session_id_copy, region.header().session_id);
            assert_eq!(slot.checksum_ok(), hash::checksum32(slot.payload) == header.checksum);
            streams(slot.payload);
        }
    }
    assert!(region.slot(region.layout().slots()).is_err());
    if let Ok(Some(newest)) = region.latest() {
        assert_eq!(newest.index, (region.header().write_index - 1) % region.layout().slots());
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Records as section 5.1 of the format has them: type, body, and whether the walk ended well.
fn walk(bytes: &[u8]) -> (Vec<(u32, &[u8])>, bool) {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() && bytes.len() - at >= 8 {
        let (Some(ty), Some(len)) = (u32_at(bytes, at), u32_at(bytes, at + 4)) else { break };
        let left = bytes.len() - at - 8;
        if len as usize > left {
            return (found, false);
        }
        found.push((ty, &bytes[at + 8..at + 8 + len as usize]));
        at += (8 + len as usize).div_ceil(16) * 16;
    }
    (found, true)
}

fn records(bytes: &[u8]) {
    let (expected, whole) = walk(bytes);
    let found: Vec<_> = Tlvs::new(bytes).collect();
    assert_eq!(found.iter().flatten().map(|t| (t.ty, t.body)).collect::<Vec<_>>(), expected);
    assert_eq!(found.iter().all(Result::is_ok), whole);
    directory(bytes);
    streams(bytes);
}

fn directory(bytes: &[u8]) {
    let mut entries = Directory::new(bytes);
    for (_, body) in walk(bytes).0.iter().filter(|r| r.0 == 0x1000) {
        let entry = entries.next().expect("one item for each record");
        let lengths = u32_at(body, 24).zip(u32_at(body, 28));
        let good = lengths.is_some_and(|(n, x)| 32 + u64::from(n) + u64::from(x) <= body.len() as u64);
        match entry {
            Ok(e) => {
                assert!(good);
                assert_eq!(Some(e.stream_id), u32_at(body, 0));
                assert_eq!(Some(e.bytes_per_elem), u32_at(body, 16));
                let both = [e.name, e.extra].concat();
                assert_eq!(both, &body[32..32 + both.len()]);
                let _ = e.name_str();
            }
            Err(_) => {
                assert!(!good);
                assert!(entries.next().is_none(), "the walk ends at the first error");
                return;
            }
        }
    }
    assert_eq!(entries.next().is_some(), !walk(bytes).1);
}

fn streams(bytes: &[u8]) {
    let mut found = Streams::new(bytes);
    for (_, body) in walk(bytes).0.iter().filter(|r| r.0 == 0x2000) {
        let good =
            u32_at(body, 8).is_some_and(|n| u32_at(body, 12).is_some() && 16 + u64::from(n) <= body.len() as u64);
        match found.next().expect("one item for each record") {
            Ok(s) => {
                assert!(good);
                assert_eq!(Some(s.stream_id), u32_at(body, 0));
                assert_eq!(Some(s.elem_count), u32_at(body, 4));
                assert_eq!(s.data, &body[16..16 + s.data.len()]);
            }
            Err(_) => {
                assert!(!good);
                assert!(found.next().is_none(), "the walk ends at the first error");
                return;
            }
        }
    }
    assert_eq!(found.next().is_some(), !walk(bytes).1);
}

/// What section 9 says of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingModel {
    /// The messages in order.
    pub messages: Vec<(u32, Vec<u8>)>,
    /// Whether it is damaged behind them.
    pub damaged: bool,
    /// Where the receiver stands afterwards.
    pub read: u64,
}

/// Receives at most `limit` messages from a ring, beginning at `read`. `None` for less than a ring.
#[must_use]
pub fn ring_model(bytes: &[u8], read: u64, limit: usize) -> Option<RingModel> {
    let usable = u64::try_from(bytes.len()).ok()?.checked_sub(16).filter(|&u| u > 0)?;
    let write = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    let mut m = RingModel { messages: Vec::new(), damaged: false, read };
    while m.read != write {
        let waiting = write.wrapping_sub(m.read);
        let left = usable - m.read % usable;
        m.damaged = waiting > usable;
        if m.damaged {
            break;
        }
        if left < 8 {
            m.read = m.read.wrapping_add(left);
            continue;
        }
        let at = 16 + (m.read % usable) as usize;
        let (ty, len) = (u32_at(bytes, at)?, u32_at(bytes, at + 4)?);
        let step = (8 + u64::from(len)).div_ceil(16) * 16;
        if ty == 0 {
            m.read = m.read.wrapping_add(step.min(left));
            continue;
        }
        m.damaged = step > left || step > waiting;
        if m.damaged || m.messages.len() == limit {
            break;
        }
        m.messages.push((ty, bytes[at + 8..at + 8 + len as usize].to_vec()));
        m.read = m.read.wrapping_add(step);
    }
    if m.damaged {
        m.read = write;
    }
    Some(m)
}

fn ring(bytes: &[u8]) {
    let read = bytes.get(..8).map_or(0, |b| u64::from_ne_bytes(b.try_into().expect("eight bytes")));
    let (Some(ring), Some(expected)) = (ControlRing::new(bytes), ring_model(bytes, read, usize::MAX)) else {
        assert!(bytes.len() <= 16);
        return;
    };
    let found: Vec<_> = ring.collect();
    assert_eq!(found.iter().flatten().map(|m| (m.ty, m.data.to_vec())).collect::<Vec<_>>(), expected.messages);
    assert_eq!(found.iter().any(Result::is_err), expected.damaged);
}

/// Sections lie one behind the other and within the region.
fn layout(layout: &RegionLayout, header: &GlobalHeader, available: usize) {
    assert!(layout.total_bytes() as usize <= available);
    let mut end = 128_usize;
    let mut section = |at: usize, len: usize| {
        assert!(at.is_multiple_of(64) && at >= end && at + len <= layout.total_bytes() as usize);
        end = at + len;
    };
    section(layout.static_offset() as usize, layout.static_bytes_cap() as usize);
    for i in 0..layout.reader_slots() {
        section(layout.reader_slot(i).expect("in range"), 64);
    }
    if layout.control_per_reader() > 16 {
        for i in 0..layout.reader_slots() {
            section(layout.control_ring(i).expect("in range"), layout.control_per_reader() as usize);
        }
    }
    for i in 0..layout.slots() {
        section(layout.frame_slot(i).expect("in range"), 64 + layout.frame_bytes_cap() as usize);
    }
    assert_eq!(layout.frame_slot(layout.slots()), None);
    assert_eq!(layout.reader_slot(layout.reader_slots()), None);
    let mut again = *header;
    layout.fill_header(&mut again);
    assert_eq!(again, *header, "a layout is what its header said");
    assert_eq!(RegionLayout::from_header(&again, available as u64), Ok(*layout));
}

/// Streams found in the bytes are appended to a payload again and read back.
fn rebuild(bytes: &[u8]) {
    let mut payload = vec![0xEE; bytes.len() / 2];
    let mut cursor = PayloadCursor::new();
    let mut kept = Vec::new();
    for s in Streams::new(bytes).flatten().take(16) {
        let room = payload.len() - cursor.used() as usize;
        let fits = (24 + s.data.len()).next_multiple_of(16) <= room;
        assert_eq!(cursor.append(&mut payload, s.stream_id, s.elem_count, s.data).is_ok(), fits);
        if fits {
            kept.push(s);
        }
    }
    let read: Vec<_> =
        Streams::new(&payload[..cursor.used() as usize]).collect::<Result<_, _>>().expect("just written");
    assert_eq!(read, kept);
}
