//! Properties that hold for every input, hostile ones included.

use proptest::collection::vec;
use proptest::prelude::*;
use shmx_abi::control::{ControlRing, Place, PlaceError, Record, RingGeometry};
use shmx_abi::directory::{Directory, StreamEntry};
use shmx_abi::frame::{PayloadCursor, StreamData, Streams, stream_len};
use shmx_abi::region::RegionRef;
use shmx_abi::tlv::{self, Tlvs};
use shmx_abi::wire::{TlvHeader, read_at};
use shmx_abi::{ENDIAN_TAG, GlobalHeader, LayoutError, MAGIC, RegionLayout, RegionParams, hash};
use std::collections::VecDeque;
use zerocopy::{FromBytes, IntoBytes};

/// Mostly small numbers and numbers near powers of two, where arithmetic goes wrong.
fn edgy_u32() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..300_u32,
        2 => (0..33_u32, -70..70_i64).prop_map(|(shift, d)| ((1_i64 << shift) + d).clamp(0, u32::MAX.into()) as u32),
        1 => any::<u32>(),
    ]
}

fn params() -> impl Strategy<Value = RegionParams> {
    (edgy_u32(), edgy_u32(), edgy_u32(), edgy_u32(), edgy_u32()).prop_map(
        |(slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader)| RegionParams {
            slots,
            reader_slots,
            static_bytes_cap,
            frame_bytes_cap,
            control_per_reader,
        },
    )
}

fn small_params() -> impl Strategy<Value = RegionParams> {
    (1..4_u32, 0..4_u32, 0..300_u32, 1..300_u32, 0..100_u32).prop_map(
        |(slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader)| RegionParams {
            slots,
            reader_slots,
            static_bytes_cap,
            frame_bytes_cap,
            control_per_reader,
        },
    )
}

/// Every offset that a layout hands out lies within its total, in the order of the format.
fn check_layout(layout: &RegionLayout, available: u64) {
    assert!(u64::from(layout.total_bytes()) <= available);
    let total = u64::from(layout.total_bytes());
    let static_end = u64::from(layout.static_offset()) + u64::from(layout.static_bytes_cap());
    assert!((128..=total).contains(&static_end));
    let ends = |n: u32| [0, 1, n / 2, n.saturating_sub(1), n, n.saturating_add(1), u32::MAX];
    for i in ends(layout.reader_slots()) {
        let at = layout.reader_slot(i);
        assert_eq!(at.is_some(), i < layout.reader_slots());
        assert!(at.is_none_or(|at| at % 64 == 0 && at as u64 >= static_end && at as u64 + 64 <= total));
        let at = layout.control_ring(i);
        assert_eq!(at.is_some(), i < layout.reader_slots() && layout.control_per_reader() > 16);
        let len = u64::from(layout.control_per_reader());
        assert!(at.is_none_or(|at| at % 64 == 0 && at as u64 >= static_end && at as u64 + len <= total));
    }
    for i in ends(layout.slots()) {
        let at = layout.frame_slot(i);
        assert_eq!(at.is_some(), i < layout.slots());
        let len = 64 + u64::from(layout.frame_bytes_cap());
        assert!(at.is_none_or(|at| at % 64 == 0 && at as u64 >= static_end && at as u64 + len <= total));
        assert!(layout.slot_of_sequence(i).is_none_or(|slot| slot < layout.slots()));
    }
    assert_eq!(layout.slot_of_sequence(0), None);
}

/// Whether a walk ends after so many items.
fn at_most(most: usize, walk: impl Iterator) -> bool {
    walk.take(most + 1).count() <= most
}

/// Looks at everything a region offers; panics only if this crate does, or if an iterator goes on for too long.
fn look_everywhere(bytes: &[u8]) {
    let Ok(region) = RegionRef::parse(bytes) else { return };
    check_layout(region.layout(), bytes.len() as u64);
    let _ = region.static_hash_ok();
    if let Ok(directory) = region.directory() {
        let most = region.static_bytes().unwrap().len() / 16 + 2;
        assert!(at_most(most, directory));
    }
    // Counts are as good as the layout: each step is at least 64 bytes of the region, unless there are no rings.
    for i in 0..region.layout().reader_slots() {
        assert!(region.reader(i).is_some());
        if let Some(ring) = region.control(i) {
            let most = ring.waiting().unwrap_or(0) / 16 + 2;
            assert!(at_most(most as usize, ring));
        }
    }
    for i in 0..region.layout().slots() {
        assert!(region.slot_header(i).is_some());
        if let Ok(Some(slot)) = region.slot(i) {
            assert!(slot.payload.len() <= region.layout().frame_bytes_cap() as usize);
            assert!(at_most(slot.payload.len() / 16 + 2, slot.streams()));
            let _ = slot.checksum_ok();
        }
    }
    assert!(region.slot(region.layout().slots()).is_err());
    let _ = (region.latest(), region.features());
}

/// A region of ours with two frames, two streams and a message waiting in the first ring.
fn sample_region(params: &RegionParams) -> Option<Vec<u8>> {
    let layout = RegionLayout::for_params(&RegionParams { static_bytes_cap: 256, ..*params }, 0).ok()?;
    let mut bytes = vec![0_u8; layout.total_bytes() as usize];
    let at = layout.static_offset() as usize;
    let mut used = 0;
    for (stream_id, name) in [(1, &b"one"[..]), (2, b"two")] {
        let entry = StreamEntry {
            stream_id,
            element_type_code: 3,
            components: 1,
            layout_code: 0,
            bytes_per_elem: 1,
            name,
            extra: b"",
        };
        used += entry.encode(&mut bytes[at + used..])? as usize;
    }
    let mut header = GlobalHeader {
        magic: MAGIC,
        ver_major: 2,
        endianness: ENDIAN_TAG,
        session_id: 77,
        static_gen: 1,
        static_hash: hash::fnv1a64(&bytes[at..at + used]),
        static_bytes_used: used as u32,
        write_index: 2,
        ..Default::default()
    };
    layout.fill_header(&mut header);
    bytes[..128].copy_from_slice(header.as_bytes());
    for slot in 0..layout.slots().min(2) {
        let at = layout.frame_slot(slot)?;
        let payload = &mut bytes[at + 64..][..layout.frame_bytes_cap() as usize];
        let mut cursor = PayloadCursor::new();
        let _ = cursor.append(payload, 1, 3, b"abc");
        let _ = cursor.append(payload, 2, 5, b"defgh");
        let frame = shmx_abi::FrameHeader {
            session_id_copy: 77,
            frame_id: u64::from(slot) + 1,
            payload_bytes: cursor.used(),
            tlv_count: cursor.tlv_count(),
            checksum: hash::checksum32(&payload[..cursor.used() as usize]),
            ..Default::default()
        };
        bytes[at..at + 64].copy_from_slice(frame.as_bytes());
    }
    if let Some(at) = layout.control_ring(0).filter(|_| layout.control_per_reader() >= 64) {
        bytes[at + 8..at + 16].copy_from_slice(&32_u64.to_ne_bytes());
        bytes[at + 16..at + 24].copy_from_slice(TlvHeader { ty: 0x3000, length: 12 }.as_bytes());
    }
    Some(bytes)
}

proptest! {
    #[test]
    fn tlvs_read_back(records in vec((any::<u32>(), vec(any::<u8>(), 0..60)), 0..8), cut in 0..16_usize) {
        let mut bytes = Vec::new();
        for (ty, body) in &records {
            let end = bytes.len() + tlv::step(body.len() as u32) as usize;
            bytes.extend_from_slice(TlvHeader { ty: *ty, length: body.len() as u32 }.as_bytes());
            bytes.extend_from_slice(body);
            bytes.resize(end, 0xEE);
        }
        let read: Vec<_> = Tlvs::new(&bytes).take(records.len() + 1).map(|t| t.map(|t| (t.ty, t.body.to_vec()))).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &records);
        // Without the last record's padding nothing changes; without its last byte it is damaged.
        if let Some((_, body)) = records.last() {
            let padding = tlv::step(body.len() as u32) as usize - 8 - body.len();
            let short = bytes.len() - padding.min(cut);
            prop_assert_eq!(Tlvs::new(&bytes[..short]).filter(Result::is_ok).count(), records.len());
            if !body.is_empty() {
                let mut damaged = Tlvs::new(&bytes[..bytes.len() - padding - 1]);
                prop_assert_eq!(damaged.by_ref().filter(Result::is_err).count(), 1);
                prop_assert!(damaged.next().is_none());
            }
        }
    }

    #[test]
    fn directories_read_back(
        streams in vec((any::<[u32; 5]>(), vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40)), 0..6),
        foreign in any::<bool>(),
    ) {
        let entries: Vec<_> = streams
            .iter()
            .map(|(w, name, extra)| StreamEntry {
                stream_id: w[0], element_type_code: w[1], components: w[2], layout_code: w[3], bytes_per_elem: w[4],
                name, extra,
            })
            .collect();
        let mut bytes = Vec::new();
        for entry in &entries {
            if foreign {
                bytes.extend_from_slice(TlvHeader { ty: 0x1234, length: 3 }.as_bytes());
                bytes.extend_from_slice(&[9; 8]);
            }
            let need = entry.encoded_len().unwrap() as usize;
            let mut out = vec![0xEE; need];
            prop_assert_eq!(entry.encode(&mut out[..need - 1]), None);
            prop_assert!(out.iter().all(|&b| b == 0xEE));
            prop_assert_eq!(entry.encode(&mut out), Some(need as u32));
            bytes.extend_from_slice(&out);
        }
        let read: Vec<_> = Directory::new(&bytes).take(entries.len() + 1).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn the_cursor_agrees_with_a_plain_list(
        streams in vec((any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..90)), 0..10),
        cap in 0..600_usize,
    ) {
        let mut buf = vec![0xEE; cap];
        let mut cursor = PayloadCursor::new();
        let mut oracle = Vec::new();
        let mut used = 0_usize;
        for (id, count, data) in &streams {
            let need = (24 + data.len()).next_multiple_of(16);
            prop_assert_eq!(stream_len(data.len()), Some(need as u32));
            let before = buf.clone();
            match cursor.append(&mut buf, *id, *count, data) {
                Ok(()) => {
                    prop_assert!(used + need <= cap);
                    used += need;
                    oracle.push(StreamData { stream_id: *id, elem_count: *count, data });
                }
                Err(e) => {
                    prop_assert!(used + need > cap);
                    prop_assert_eq!((e.needed, e.available), (need as u64, (cap - used) as u64));
                    prop_assert_eq!(&buf, &before);
                }
            }
            prop_assert_eq!((cursor.used() as usize, cursor.tlv_count() as usize), (used, oracle.len()));
        }
        let read: Vec<_> = Streams::new(&buf[..used]).take(oracle.len() + 1).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read, oracle);
        prop_assert!(buf[used..].iter().all(|&b| b == 0xEE));
    }

    #[test]
    fn layouts_survive_a_header(params in params(), directory_bytes in edgy_u32()) {
        let Ok(layout) = RegionLayout::for_params(&params, directory_bytes) else { return Ok(()) };
        let total = u64::from(layout.total_bytes());
        check_layout(&layout, total);
        let mut header = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..Default::default() };
        layout.fill_header(&mut header);
        prop_assert_eq!(RegionLayout::from_header(&header, total), Ok(layout));
        prop_assert_eq!(
            RegionLayout::from_header(&header, total - 1),
            Err(LayoutError::Truncated { total, available: total - 1 })
        );
    }

    #[test]
    fn refused_parameters_are_refused_for_a_reason(params in params(), directory_bytes in edgy_u32()) {
        let up = |x: u32| u128::from(x).next_multiple_of(64);
        let cap = if params.static_bytes_cap == 0 { directory_bytes } else { params.static_bytes_cap };
        let total = 128
            + up(cap)
            + u128::from(params.reader_slots) * (64 + up(params.control_per_reader))
            + u128::from(params.slots) * (64 + up(params.frame_bytes_cap));
        let bad = params.slots == 0
            || params.frame_bytes_cap == 0
            || (params.static_bytes_cap != 0 && directory_bytes > params.static_bytes_cap)
            || total > u128::from(u32::MAX)
            || up(params.control_per_reader) > u128::from(u32::MAX);
        prop_assert_eq!(RegionLayout::for_params(&params, directory_bytes).is_err(), bad);
    }

    #[test]
    fn any_header_is_taken_or_refused(bytes in any::<[[u8; 32]; 4]>(), available in any::<u64>()) {
        let mut header = GlobalHeader::read_from_bytes(bytes.as_bytes()).unwrap();
        prop_assert!(RegionLayout::from_header(&header, available).is_err());
        (header.magic, header.ver_major, header.ver_minor, header.endianness) = (MAGIC, 2, 0, ENDIAN_TAG);
        if let Ok(layout) = RegionLayout::from_header(&header, available) {
            check_layout(&layout, available);
        }
    }

    #[test]
    fn a_header_with_a_few_odd_fields_is_taken_or_refused(
        params in small_params(),
        changes in vec((12..32_usize, edgy_u32(), any::<bool>()), 0..4),
        available in prop_oneof![0..4096_u64, any::<u64>()],
    ) {
        let layout = RegionLayout::for_params(&params, 0);
        prop_assume!(layout.is_ok());
        let mut header = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..Default::default() };
        layout.unwrap().fill_header(&mut header);
        for (word, value, round) in changes {
            let value = if round { value & !63 } else { value };
            header.as_mut_bytes()[word * 4..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        for available in [available, u64::MAX] {
            if let Ok(layout) = RegionLayout::from_header(&header, available) {
                check_layout(&layout, available);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_looked_at_without_harm(bytes in vec(any::<u8>(), 0..400)) {
        look_everywhere(&bytes);
        assert!(at_most(bytes.len() / 16 + 2, Tlvs::new(&bytes)));
        assert!(at_most(bytes.len() / 16 + 2, Directory::new(&bytes)));
        assert!(at_most(bytes.len() / 16 + 2, Streams::new(&bytes)));
        if let Some(ring) = ControlRing::new(&bytes) {
            assert!(at_most(bytes.len() / 16 + 2, ring));
        }
    }

    #[test]
    fn damaged_regions_are_looked_at_without_harm(
        params in small_params(),
        words in vec((any::<prop::sample::Index>(), edgy_u32()), 0..12),
        header_words in vec((5..32_usize, edgy_u32()), 0..3),
        cut in prop_oneof![3 => Just(0_usize), 1 => 0..500_usize],
    ) {
        let Some(mut bytes) = sample_region(&params) else { return Ok(()) };
        look_everywhere(&bytes);
        for (at, value) in words {
            let at = 128 + at.index(bytes.len() / 4 - 32) * 4;
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        look_everywhere(&bytes);
        for (word, value) in header_words {
            bytes[word * 4..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        look_everywhere(&bytes[..bytes.len().saturating_sub(cut)]);
    }

    #[test]
    fn hashes_compose(state in any::<u64>(), a in vec(any::<u8>(), 0..700), b in vec(any::<u8>(), 0..700)) {
        let whole = [&a[..], &b[..]].concat();
        prop_assert_eq!(hash::update(hash::update(state, &a), &b), hash::update(state, &whole));
        let bytewise = whole.iter().fold(hash::SEED, |h, &x| (h ^ u64::from(x)).wrapping_mul(0x100_0000_01B3));
        prop_assert_eq!(hash::fnv1a64(&whole), bytewise);
    }

    #[test]
    fn ring_arithmetic_survives_any_positions(
        cap in edgy_u32(), read in any::<u64>(), write in any::<u64>(), near in 0..300_u64, len in any::<usize>(),
        ty in 0..2_u32, length in edgy_u32(),
    ) {
        let Some(ring) = RingGeometry::new(cap) else {
            prop_assert!(cap <= 16);
            return Ok(());
        };
        for write in [write, read.wrapping_add(near)] {
            for len in [len, near as usize] {
                if let Ok(p) = ring.send(read, write, len) {
                    let end = p.offset.unwrap_or(16) as u64 + 8 + len as u64;
                    prop_assert!(end <= u64::from(cap) || p.offset.is_none());
                    let pad = p.wrap.and_then(|w| w.pad);
                    prop_assert!(pad.is_none_or(|(at, h)| at as u64 + 8 + u64::from(h.length) == u64::from(cap)));
                }
            }
        }
        if let Place::Header(at) = ring.place(read) {
            prop_assert!(at >= 16 && at as u64 + 8 <= u64::from(cap));
        }
        if let Record::Message { offset, len, .. } = ring.record(read, TlvHeader { ty, length }) {
            prop_assert!(offset as u64 + len as u64 <= u64::from(cap));
        }
    }
}

/// A ring in a plain buffer, driven the way both ends drive a shared one.
struct PlainRing {
    geometry: RingGeometry,
    bytes: Vec<u8>,
}

impl PlainRing {
    fn new(cap: u32, start: u64) -> Self {
        let mut ring = Self { geometry: RingGeometry::new(cap).unwrap(), bytes: vec![0xEE; cap as usize] };
        ring.set(0, start);
        ring.set(8, start);
        ring
    }

    fn get(&self, at: usize) -> u64 {
        read_at(&self.bytes, at).unwrap()
    }

    fn set(&mut self, at: usize, position: u64) {
        self.bytes[at..at + 8].copy_from_slice(&position.to_ne_bytes());
    }

    fn send(&mut self, ty: u32, body: &[u8]) -> Result<(), PlaceError> {
        let placement = self.geometry.send(self.get(0), self.get(8), body.len())?;
        if let Some(wrap) = placement.wrap {
            if let Some((at, header)) = wrap.pad {
                self.bytes[at..at + 8].copy_from_slice(header.as_bytes());
            }
            self.set(8, wrap.position);
        }
        let at = placement.offset.ok_or(PlaceError::Full)?;
        self.bytes[at..at + 8].copy_from_slice(TlvHeader { ty, length: body.len() as u32 }.as_bytes());
        self.bytes[at + 8..at + 8 + body.len()].copy_from_slice(body);
        self.set(8, placement.next);
        Ok(())
    }

    fn receive(&mut self) -> Option<(u32, Vec<u8>)> {
        while self.get(0) != self.get(8) {
            let read = self.get(0);
            let next = match self.geometry.place(read) {
                Place::Skip(next) => next,
                Place::Header(at) => match self.geometry.record(read, read_at(&self.bytes, at).unwrap()) {
                    Record::Skip(next) => next,
                    Record::Message { ty, offset, len, next } => {
                        self.set(0, next);
                        return Some((ty, self.bytes[offset..offset + len].to_vec()));
                    }
                    Record::Corrupt => panic!("a ring written by its own rules is corrupt at {read}"),
                },
            };
            assert_ne!(next, read, "a skip goes on");
            self.set(0, next);
        }
        None
    }

    fn peek(&self) -> Vec<(u32, Vec<u8>)> {
        let most = self.bytes.len();
        ControlRing::new(&self.bytes).unwrap().take(most).map(|m| m.unwrap()).map(|m| (m.ty, m.data.to_vec())).collect()
    }
}

/// Random sends and receives against a queue, from every start that could matter.
#[test]
fn rings_agree_with_a_queue() {
    for cap in 17..=128_u32 {
        let usable = u64::from(cap - 16);
        // The last start leaves room for the run. Only where the length divides 2^64 may positions wrap at all.
        let laps_left = 4000;
        let mut starts =
            vec![0, u64::from(u32::MAX) / usable * usable, u64::MAX / usable * usable - laps_left * usable];
        if usable.is_power_of_two() {
            starts.push(u64::MAX - 3 * usable + 1);
        }
        let base = starts.clone();
        starts.extend(base.iter().flat_map(|s| [1, 7, 8, 9, 15, 16].map(|d| s + d % usable)));
        for (n, start) in starts.into_iter().enumerate() {
            let mut ring = PlainRing::new(cap, start);
            let mut oracle = VecDeque::new();
            let mut x = (cap * 64 + n as u32).wrapping_mul(2_654_435_761) | 1;
            for step in 0..300_u32 {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                if x >> 31 == 1 {
                    assert_eq!(ring.receive(), oracle.pop_front(), "cap {cap} start {start} step {step}");
                } else {
                    let len = (x >> 8) as usize % (usable as usize + 8);
                    let len = if x & 1 == 1 { len / 4 } else { len };
                    let message = (x | 1, (0..len).map(|i| i as u8 ^ step as u8).collect::<Vec<_>>());
                    let free = usable - ring.geometry.waiting(ring.get(0), ring.get(8)).unwrap();
                    match ring.send(message.0, &message.1) {
                        Ok(()) => {
                            assert!((8 + len).next_multiple_of(16) as u64 <= free);
                            oracle.push_back(message);
                        }
                        Err(PlaceError::TooLong) => assert!((8 + len).next_multiple_of(16) as u64 > usable),
                        Err(PlaceError::Full) if oracle.is_empty() => {
                            // Nothing waits but padding: once that is skipped, the message must fit.
                            assert_eq!(ring.receive(), None);
                            assert_eq!(ring.send(message.0, &message.1), Ok(()), "cap {cap} start {start} step {step}");
                            oracle.push_back(message);
                        }
                        Err(e) => assert_eq!(e, PlaceError::Full),
                    }
                }
                assert!(ring.peek().iter().eq(oracle.iter()), "cap {cap} start {start} step {step}");
            }
            while let Some(message) = oracle.pop_front() {
                assert_eq!(ring.receive(), Some(message));
            }
            assert_eq!(ring.receive(), None);
        }
    }
}

#[test]
fn a_record_behind_the_write_position_is_not_delivered() {
    let mut ring = PlainRing::new(128, 0);
    ring.send(0x3000, &[1; 20]).unwrap();
    ring.set(8, 16);
    let seen: Vec<_> = ControlRing::new(&ring.bytes).unwrap().take(9).collect();
    assert_eq!(seen, [Err(shmx_abi::control::ControlCorrupt { position: 0 })]);
}
