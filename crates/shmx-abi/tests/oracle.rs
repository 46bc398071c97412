//! The arithmetic against second readings of the format's document, in 128 bits and byte by byte.

use proptest::collection::vec;
use proptest::prelude::*;
use shmx_abi::control::{Place, PlaceError, Record, RingGeometry};
use shmx_abi::directory::{Directory, DirectoryError, StreamEntry};
use shmx_abi::extension::{Features, FrameMarks, PublishTime, ReaderExtension, SERVER_WAITS};
use shmx_abi::frame::{FrameError, Streams};
use shmx_abi::tlv::{Tlvs, step};
use shmx_abi::wire::TlvHeader;
use shmx_abi::{ENDIAN_TAG, GlobalHeader, MAGIC, ReaderSlot, RegionLayout, RegionParams};
use zerocopy::IntoBytes;

/// Small numbers, and numbers near powers of two.
fn edgy() -> impl Strategy<Value = u32> {
    prop_oneof![
        5 => 0..300_u32,
        2 => (0..33_u32, -70..70_i64).prop_map(|(shift, d)| ((1_i64 << shift) + d).clamp(0, u32::MAX.into()) as u32),
        1 => any::<u32>(),
    ]
}

fn up(x: u32) -> u128 {
    u128::from(x).div_ceil(64) * 64
}

/// The values of section 4, in the order of its listing.
fn section_4(p: &RegionParams, directory: u32) -> Option<[u128; 8]> {
    let cap = if p.static_bytes_cap == 0 { directory } else { p.static_bytes_cap };
    if p.slots < 1 || p.frame_bytes_cap < 1 || directory > cap {
        return None;
    }
    let readers_offset = 128 + up(cap);
    let control_offset = readers_offset + u128::from(p.reader_slots) * 64;
    let control_stride = up(p.control_per_reader);
    let slots_offset = control_offset + u128::from(p.reader_slots) * control_stride;
    let slot_stride = 64 + up(p.frame_bytes_cap);
    let total = slots_offset + u128::from(p.slots) * slot_stride;
    let all = [128, up(cap), readers_offset, control_offset, control_stride, slots_offset, slot_stride, total];
    all.iter().all(|v| *v <= u128::from(u32::MAX)).then_some(all)
}

/// Point 2 of section 14, but for magic, byte order and version.
fn section_14(h: &GlobalHeader, available: u64) -> bool {
    let w = |x: u32| u128::from(x);
    let (readers, slots) = (w(h.reader_slots), w(h.slots));
    let aligned = [
        h.static_offset,
        h.readers_offset,
        h.reader_slot_stride,
        h.control_offset,
        h.control_stride,
        h.slots_offset,
        h.slot_stride,
    ];
    let sections = [
        (w(h.static_offset), w(h.static_bytes_cap)),
        (w(h.readers_offset), readers * w(h.reader_slot_stride)),
        (w(h.control_offset), readers * w(h.control_stride)),
        (w(h.slots_offset), slots * w(h.slot_stride)),
    ];
    let end = sections[3].0 + sections[3].1;
    h.slots >= 1
        && h.frame_bytes_cap >= 1
        && aligned.iter().all(|v| v % 64 == 0)
        && w(h.slot_stride) >= 64 + w(h.frame_bytes_cap)
        && (h.reader_slots == 0 || h.reader_slot_stride >= 64 && h.control_stride >= h.control_per_reader)
        && sections[0].0 >= 128
        && sections.windows(2).all(|s| s[0].0 + s[0].1 <= s[1].0)
        && end < 1 << 32
        && end <= u128::from(available)
}

/// A record, now and then damaged: type, body, and what is added to its length.
type Piece = (u32, Vec<u8>, u32);

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let ty = prop_oneof![Just(0x1000_u32), Just(0x2000), Just(0), any::<u32>()];
    let more = prop_oneof![12 => Just(0_u32), 1 => edgy()];
    // Bodies that begin with the fixed parts of either kind, with lengths that fit, nearly fit, or do not.
    let body = (vec(edgy(), 0..9), vec(any::<u8>(), 0..30)).prop_map(|(words, tail)| {
        let mut body: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        body.extend(tail);
        body
    });
    vec((ty, body, more), 0..8)
}

fn assemble(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (ty, body, more) in pieces {
        let length = (body.len() as u32).wrapping_add(*more);
        bytes.extend_from_slice(TlvHeader { ty: *ty, length }.as_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(16), 0xEE);
    }
    bytes
}

fn word(bytes: &[u8], at: usize) -> u128 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()).into()
}

/// Offset, type and body of a record.
type Found<'a> = (usize, u128, &'a [u8]);

/// Section 5.1: each record, and whether the walk ended well.
fn section_5(bytes: &[u8]) -> (Vec<Found<'_>>, bool) {
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 8 <= bytes.len() {
        let (ty, len) = (word(bytes, at), word(bytes, at + 4));
        if at as u128 + 8 + len > bytes.len() as u128 {
            return (found, false);
        }
        let end = at + 8 + len as usize;
        found.push((at, ty, &bytes[at + 8..end]));
        at += (end - at).div_ceil(16) * 16;
    }
    (found, true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn layouts_are_those_of_the_document(
        slots in edgy(), reader_slots in edgy(), static_bytes_cap in edgy(), frame_bytes_cap in edgy(),
        control_per_reader in edgy(), directory in edgy(),
    ) {
        let params = RegionParams { slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader };
        let found = RegionLayout::for_params(&params, directory).ok();
        let values = found.map(|l| [
            l.static_offset(), l.static_bytes_cap(), l.readers_offset(), l.control_offset(), l.control_stride(),
            l.slots_offset(), l.slot_stride(), l.total_bytes(),
        ].map(u128::from));
        prop_assert_eq!(values, section_4(&params, directory));
        if let Some(l) = found {
            prop_assert_eq!(
                (l.slots(), l.reader_slots(), l.frame_bytes_cap(), l.control_per_reader(), l.reader_slot_stride()),
                (slots, reader_slots, frame_bytes_cap, control_per_reader, 64)
            );
            let i = slots - 1;
            let at = u128::from(l.slots_offset()) + u128::from(i) * u128::from(l.slot_stride());
            prop_assert_eq!(l.frame_slot(i).map(|a| a as u128), Some(at));
            prop_assert_eq!(l.slot_of_sequence(slots), Some(i));
        }
    }

    #[test]
    fn headers_are_taken_exactly_when_the_document_says_so(
        slots in 1..5_u32, reader_slots in 0..4_u32, static_bytes_cap in 0..300_u32, frame_bytes_cap in 1..300_u32,
        control_per_reader in 0..100_u32,
        changes in vec((12..25_usize, edgy(), 0..4_u8), 0..5), room in prop_oneof![Just(0_i64), -130..130_i64],
    ) {
        let params = RegionParams { slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader };
        let layout = RegionLayout::for_params(&params, 0).unwrap();
        let mut h = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..Default::default() };
        layout.fill_header(&mut h);
        for (at, value, how) in changes {
            let old = word(h.as_bytes(), at * 4) as u32;
            let value = match how {
                0 => value,
                1 => value & !63,
                2 => old.wrapping_add(64),
                _ => old.wrapping_sub(64),
            };
            h.as_mut_bytes()[at * 4..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        let end = u64::from(h.slots_offset) + u64::from(h.slots) * u64::from(h.slot_stride);
        for available in [end.saturating_add_signed(room), u64::from(layout.total_bytes()), u64::MAX] {
            let found = RegionLayout::from_header(&h, available);
            prop_assert_eq!(found.is_ok(), section_14(&h, available), "{:?}", found);
        }
    }

    #[test]
    fn records_are_found_where_the_document_says(pieces in pieces(), cut in 0..40_usize) {
        let mut bytes = assemble(&pieces);
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(16)));
        let (expected, whole) = section_5(&bytes);
        let found: Vec<_> = Tlvs::new(&bytes).take(bytes.len() + 1).collect();
        let good: Vec<_> = found.iter().flatten().map(|t| (t.offset, u128::from(t.ty), t.body)).collect();
        prop_assert_eq!(&good, &expected);
        prop_assert_eq!(found.iter().all(Result::is_ok), whole);
        prop_assert_eq!(found.len(), expected.len() + usize::from(!whole));

        // Section 5.2.
        let mut entries = Directory::new(&bytes);
        let mut ended = false;
        for (offset, _, body) in expected.iter().filter(|r| r.1 == 0x1000) {
            let fits = body.len() >= 32 && 32 + word(body, 24) + word(body, 28) <= body.len() as u128;
            let entry = entries.next().unwrap();
            if !fits {
                prop_assert_eq!(entry, Err(DirectoryError::BadEntry { offset: *offset, length: body.len() }));
                ended = true;
                break;
            }
            let (name, extra) = body[32..].split_at(word(body, 24) as usize);
            let at = |i: usize| word(body, i * 4) as u32;
            prop_assert_eq!(entry, Ok(StreamEntry {
                stream_id: at(0), element_type_code: at(1), components: at(2), layout_code: at(3),
                bytes_per_elem: at(4), name, extra: &extra[..word(body, 28) as usize],
            }));
        }
        prop_assert_eq!(entries.next().is_some(), !whole && !ended);
        prop_assert!(entries.next().is_none());

        // Section 5.3.
        let mut streams = Streams::new(&bytes);
        let mut ended = false;
        for (offset, _, body) in expected.iter().filter(|r| r.1 == 0x2000) {
            let fits = body.len() >= 16 && 16 + word(body, 8) <= body.len() as u128;
            let stream = streams.next().unwrap();
            if !fits {
                prop_assert_eq!(stream, Err(FrameError::BadStream { offset: *offset, length: body.len() }));
                ended = true;
                break;
            }
            let stream = stream.unwrap();
            let numbers = (u128::from(stream.stream_id), u128::from(stream.elem_count));
            prop_assert_eq!(numbers, (word(body, 0), word(body, 4)));
            prop_assert_eq!(stream.data, &body[16..16 + word(body, 8) as usize]);
        }
        prop_assert_eq!(streams.next().is_some(), !whole && !ended);
    }

    #[test]
    fn steps_are_whole_records(length in edgy()) {
        let step = u128::from(step(length));
        let need = 8 + u128::from(length);
        prop_assert!(step >= need && step < need + 16 && step.is_multiple_of(16));
    }

    /// Section 9, in 128 bits, from positions anywhere, those near 2^64 included.
    #[test]
    fn ring_placement_is_that_of_the_document(
        cap in prop_oneof![17..300_u32, edgy()], write in prop_oneof![any::<u64>(), Just(u64::MAX), 0..600_u64],
        waiting in any::<prop::sample::Index>(), off in 0..40_usize, near in any::<bool>(),
        len in any::<prop::sample::Index>(), ty in 0..2_u32, length in edgy(),
    ) {
        let Some(ring) = RingGeometry::new(cap) else {
            prop_assert!(cap <= 16);
            return Ok(());
        };
        let usable = u128::from(cap) - 16;
        let somewhere = waiting.index(usable as usize + 1) as u128;
        let waiting = if near { usable.saturating_sub(off as u128) } else { somewhere };
        let len = if near { (usable as usize).saturating_sub(off) } else { len.index(usable as usize + 9) };
        let read = write.wrapping_sub(waiting as u64);
        let (left, free) = (usable - u128::from(write) % usable, usable - waiting);
        let need = (8 + len as u128).div_ceil(16) * 16;
        let got = ring.send(read, write, len);
        if need > usable {
            prop_assert_eq!(got, Err(PlaceError::TooLong));
        } else if need > free || need > left && left > free {
            prop_assert_eq!(got, Err(PlaceError::Full));
        } else {
            let p = got.unwrap();
            let skipped = if need > left { left } else { 0 };
            prop_assert_eq!(p.wrap.map(|w| w.position), (skipped > 0).then(|| write.wrapping_add(skipped as u64)));
            prop_assert_eq!(p.wrap.is_some_and(|w| w.pad.is_some()), skipped >= 8);
            prop_assert_eq!(p.next, write.wrapping_add(skipped as u64).wrapping_add(need as u64));
            let at = if skipped > 0 { 16 } else { 16 + u128::from(write) % usable };
            prop_assert_eq!(p.offset.map(|o| o as u128), (need <= free - skipped).then_some(at));
            prop_assert!(p.offset.is_none_or(|o| o as u128 + 8 + len as u128 <= u128::from(cap)));
        }
        prop_assert_eq!(ring.send(write.wrapping_sub(usable as u64 + 1), write, 0).err(),
            Some(if usable < 16 { PlaceError::TooLong } else { PlaceError::Corrupt }));

        // The receiver at the same place.
        let read_left = usable - u128::from(read) % usable;
        let expected = if read_left < 8 {
            Place::Skip(read.wrapping_add(read_left as u64))
        } else {
            Place::Header(16 + (u128::from(read) % usable) as usize)
        };
        prop_assert_eq!(ring.place(read), expected);
        let step = (8 + u128::from(length)).div_ceil(16) * 16;
        let next = |n: u128| read.wrapping_add(n as u64);
        match (ring.record(read, TlvHeader { ty, length }), ty == 0, step > read_left) {
            (Record::Skip(to), true, long) => prop_assert_eq!(to, next(if long { read_left } else { step })),
            (Record::Corrupt, false, true) => {}
            (Record::Message { ty: t, offset, len, next: to }, false, false) => {
                let at = 24 + u128::from(read) % usable;
                prop_assert_eq!((t, offset as u128, len as u128, to), (ty, at, u128::from(length), next(step)));
                prop_assert!(at + u128::from(length) <= u128::from(cap));
            }
            (got, ..) => prop_assert!(false, "{:?}", got),
        }
    }

    #[test]
    fn feature_words_are_believed_in_their_session_only(
        session in any::<u64>(), other in any::<u64>(), flags in 1..256_u64, more in any::<u16>(), count in any::<u16>(),
    ) {
        let digest = |s: u64| ((u128::from(s) * 0x9E37_79B9_7F4A_7C15 % (1 << 64)) >> 40) as u64;
        let more = more & !(SERVER_WAITS as u16); // which is no promise
        let flags = if more == 0 { flags } else { flags | Features::MORE >> 24 };
        let features = Features::new(session, flags << 24 | u64::from(more) << 32);
        let (word, second) = features.to_wire();
        prop_assert_eq!(u64::from(word), flags << 24 | digest(session));
        prop_assert_eq!(second, u32::from(more));
        let counted = second | u32::from(count) << 16;
        prop_assert_eq!(Features::from_wire(word, counted, session), features);
        let believed = Features::from_wire(word, counted, other).to_wire().0 != 0;
        prop_assert_eq!(believed, digest(session) == digest(other));
        for bit in 24..32 {
            prop_assert_eq!(features.has(1 << bit), flags >> (bit - 24) & 1 == 1);
        }
    }

    #[test]
    fn ages_are_right_for_years(
        anywhere in any::<u64>(), lap in 0..1_u64 << 17, near in 0..4096_u64, at_lap in any::<bool>(),
        age in 0..(1_u64 << 56) - 4096,
    ) {
        // Where the 32 bits of the wire come round to 0, and anywhere.
        let published = if at_lap { (lap << 42) + near } else { anywhere % (u64::MAX - (1 << 57)) };
        let time = PublishTime::from_ticks(published);
        prop_assert_ne!(time.to_wire(), 0);
        prop_assert_eq!(PublishTime::from_wire(time.to_wire(), FrameMarks::new(at_lap, Some(time))), Some(time));
        let found = i128::from(time.age_ns(published + age).expect("not in the future"));
        // Two roundings, and the unit that a time of 0 is moved by.
        prop_assert!((found - i128::from(age)).abs() <= 2048, "{} instead of {}", found, age);
    }

    #[test]
    fn reader_extensions_are_believed_by_their_tag(
        reader_id in 0..3_u64, tag in 0..3_u64, in_use in 0..2_u32, word in any::<u64>(), count in any::<u64>(),
    ) {
        let slot = ReaderSlot {
            reader_id, in_use, ext_tag: tag, ext_rejected_flags: word, ext_delivered: count, ext_missed: !count,
            ext_pid: count as u32, ..Default::default()
        };
        let expected = in_use != 0 && reader_id != 0 && tag == reader_id;
        let found = ReaderExtension::of(&slot);
        prop_assert_eq!(found.is_some(), expected);
        if let Some(e) = found {
            prop_assert_eq!(e.rejected, word % (1 << 48));
            prop_assert_eq!((e.waiting, e.verifies), (word >> 63 == 1, word >> 62 & 1 == 1));
            prop_assert_eq!((e.every_frame, e.follows), (word >> 61 & 1 == 1, word >> 60 & 1 == 1));
            prop_assert_eq!((e.delivered, e.missed, e.pid), (count, !count, count as u32));
        }
    }
}
