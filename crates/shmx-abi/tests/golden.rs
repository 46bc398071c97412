//! The golden regions, written by the original implementation, read with this crate alone.
//!
//! Every `NAME.bin` is a whole region and `NAME.json` what the original's inspector says of it.

use serde_json::{Value, json};
use shmx_abi::control::ControlRing;
use shmx_abi::directory::Directory;
use shmx_abi::extension::Features;
use shmx_abi::frame::{PayloadCursor, stream_len};
use shmx_abi::region::{RegionError, RegionRef, SlotRef};
use shmx_abi::tlv::Tlvs;
use shmx_abi::{GlobalHeader, RegionLayout, RegionParams, TLV_STATIC_DIR, hash};

struct Golden {
    name: &'static str,
    bytes: &'static [u8],
    json: &'static str,
}

macro_rules! golden {
    ($($name:literal),* $(,)?) => {
        [$(Golden {
            name: $name,
            bytes: include_bytes!(concat!("golden/", $name, ".bin")),
            json: include_str!(concat!("golden/", $name, ".json")),
        }),*]
    };
}

const GOLDEN: [Golden; 5] = golden!["appended", "control_wrap", "demo", "minimal", "types"];

/// More records than any of these regions has: a walk without end fails.
const MOST: usize = 1000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn header(h: &GlobalHeader) -> Value {
    json!({
        "magic": h.magic,
        "ver_major": h.ver_major,
        "ver_minor": h.ver_minor,
        "endianness": h.endianness,
        "session_id": h.session_id,
        "static_gen": h.static_gen,
        "static_hash": h.static_hash,
        "static_offset": h.static_offset,
        "static_bytes_cap": h.static_bytes_cap,
        "static_bytes_used": h.static_bytes_used,
        "slots": h.slots,
        "slot_stride": h.slot_stride,
        "slots_offset": h.slots_offset,
        "frame_bytes_cap": h.frame_bytes_cap,
        "reader_slots": h.reader_slots,
        "reader_slot_stride": h.reader_slot_stride,
        "readers_offset": h.readers_offset,
        "control_offset": h.control_offset,
        "control_per_reader": h.control_per_reader,
        "control_stride": h.control_stride,
        "frame_seq": h.frame_seq,
        "write_index": h.write_index,
        "readers_connected": h.readers_connected,
        "reserve_index": h.reserve_index,
    })
}

fn directory(entries: Directory<'_>) -> Value {
    let entry = |e: shmx_abi::directory::StreamEntry<'_>| {
        json!({
            "stream_id": e.stream_id,
            "element_type": e.element_type_code,
            "components": e.components,
            "layout": e.layout_code,
            "bytes_per_elem": e.bytes_per_elem,
            "name_utf8_hex": hex(e.name),
            "extra_hex": hex(e.extra),
        })
    };
    entries.take(MOST).map(|e| entry(e.expect("a golden entry is well formed"))).collect()
}

fn reader(region: &RegionRef<'_>, index: u32) -> Value {
    let r = region.reader(index).expect("within reader_slots");
    json!({
        "index": index,
        "reader_id": r.reader_id,
        "heartbeat": r.heartbeat,
        "last_frame_seen": r.last_frame_seen,
        "in_use": r.in_use != 0,
    })
}

fn slot(slot: &SlotRef<'_>) -> Value {
    let stream = |s: shmx_abi::frame::StreamData<'_>| json!({"stream_id": s.stream_id, "elem_count": s.elem_count, "bytes_hex": hex(s.data)});
    let streams: Value =
        slot.streams().take(MOST).map(|s| stream(s.expect("a golden stream is well formed"))).collect();
    json!({
        "index": slot.index,
        "frame_id": slot.header.frame_id,
        "sim_time_bits": format!("{:016x}", slot.header.sim_time.to_bits()),
        "payload_bytes": slot.header.payload_bytes,
        "tlv_count": slot.header.tlv_count,
        "checksum": slot.header.checksum,
        "checksum_ok": slot.checksum_ok(),
        "streams": streams,
    })
}

fn control(ring: Option<ControlRing<'_>>) -> Value {
    let message = |m: shmx_abi::control::ControlMessage<'_>| json!({"type": m.ty, "data_hex": hex(m.data)});
    ring.into_iter().flatten().take(MOST).map(|m| message(m.expect("a golden ring is sound"))).collect()
}

fn slots<'a>(region: &RegionRef<'a>) -> Vec<SlotRef<'a>> {
    (0..region.layout().slots()).filter_map(|i| region.slot(i).expect("a golden slot is sound")).collect()
}

fn describe(region: &RegionRef<'_>) -> Value {
    let readers = 0..region.layout().reader_slots();
    json!({
        "header": header(region.header()),
        "directory": directory(region.directory().expect("a golden directory fits")),
        "readers": readers.clone().map(|i| reader(region, i)).collect::<Value>(),
        "slots": slots(region).iter().map(slot).collect::<Value>(),
        "control": readers.map(|i| control(region.control(i))).collect::<Value>(),
    })
}

/// Runs `test` on each golden region, naming it when the test fails.
fn each(test: impl Fn(&RegionRef<'_>, &Golden)) {
    for golden in &GOLDEN {
        println!("golden region: {}", golden.name);
        test(&RegionRef::parse(golden.bytes).expect("a golden region parses"), golden);
    }
}

#[test]
fn regions_decode_to_what_the_original_says() {
    each(|region, golden| {
        let expected: Value = serde_json::from_str(golden.json).expect("golden JSON");
        assert_eq!(describe(region), expected);
        assert!(region.static_hash_ok());
        assert!(!region.features().is_extended());
    });
}

#[test]
fn alignment_of_the_bytes_does_not_matter() {
    each(|region, golden| {
        let mut shifted = vec![0_u8; golden.bytes.len() + 1];
        shifted[1..].copy_from_slice(golden.bytes);
        assert_eq!(describe(&RegionRef::parse(&shifted[1..]).unwrap()), describe(region));
    });
}

#[test]
fn every_truncation_is_refused() {
    each(|_, golden| {
        for len in 0..golden.bytes.len() {
            assert!(RegionRef::parse(&golden.bytes[..len]).is_err(), "{len} bytes");
        }
    });
}

#[test]
fn layouts_are_computed_as_the_original_does() {
    each(|region, golden| {
        let h = region.header();
        // 0 asks for "what the directory needs" and is what two of the regions were made with; both ways must agree.
        for static_bytes_cap in [h.static_bytes_cap, 0] {
            if static_bytes_cap == 0 && h.static_bytes_cap != h.static_bytes_used.next_multiple_of(64) {
                continue;
            }
            let params = RegionParams {
                slots: h.slots,
                reader_slots: h.reader_slots,
                static_bytes_cap,
                frame_bytes_cap: h.frame_bytes_cap,
                control_per_reader: h.control_per_reader,
            };
            let layout = RegionLayout::for_params(&params, h.static_bytes_used).expect("a golden layout");
            assert_eq!(layout, *region.layout());
            assert_eq!(layout.total_bytes() as usize, golden.bytes.len());
            let mut rebuilt = *h;
            RegionLayout::for_params(&RegionParams { slots: 9, ..params }, 0).unwrap().fill_header(&mut rebuilt);
            layout.fill_header(&mut rebuilt);
            assert_eq!(rebuilt, *h);
        }
    });
}

#[test]
fn directories_encode_to_the_same_bytes_but_for_padding() {
    each(|region, _| {
        let used = region.static_bytes().unwrap();
        let mut out = used.to_vec();
        let mut entries = region.directory().unwrap();
        // One region has a record of a foreign type between its entries; the original keeps it, readers skip it.
        for tlv in Tlvs::new(used).take(MOST).map(Result::unwrap).filter(|t| t.ty == TLV_STATIC_DIR) {
            let entry = entries.next().unwrap().unwrap();
            let record = &mut out[tlv.offset..][..entry.encoded_len().unwrap() as usize];
            record.fill(0xEE);
            assert_eq!(entry.encode(record), Some(record.len() as u32));
            // The original pads with whatever its buffer held before (the name of a longer entry); ours is zero.
            let padding = &mut record[8 + tlv.body.len()..];
            assert!(padding.iter().all(|&b| b == 0));
            let padding_at = tlv.offset + 8 + tlv.body.len();
            padding.copy_from_slice(&used[padding_at..padding_at + padding.len()]);
        }
        assert_eq!(entries.next(), None);
        assert_eq!(out, used);
        assert!(out.is_empty() || hash::fnv1a64(&out) == region.header().static_hash);
    });
}

#[test]
fn payloads_rebuild_to_the_same_bytes() {
    each(|region, _| {
        for slot in slots(region) {
            let mut buf = vec![0xEE; region.layout().frame_bytes_cap() as usize];
            let mut cursor = PayloadCursor::new();
            // The original leaves padding as it was in the slot, where ours is zero.
            let mut padding_is_zero = true;
            for stream in slot.streams().take(MOST) {
                let s = stream.unwrap();
                let (start, end) =
                    (cursor.used() as usize + 24 + s.data.len(), cursor.used() + stream_len(s.data.len()).unwrap());
                padding_is_zero &= slot.payload[start..end as usize].iter().all(|&b| b == 0);
                cursor.append(&mut buf, s.stream_id, s.elem_count, s.data).expect("fits");
            }
            assert_eq!(cursor.used(), slot.header.payload_bytes);
            assert_eq!(cursor.tlv_count(), slot.header.tlv_count);
            assert!(padding_is_zero, "the golden regions have no stale padding");
            assert_eq!(buf[..cursor.used() as usize], *slot.payload);
            assert_eq!(hash::checksum32(&buf[..cursor.used() as usize]), slot.header.checksum);
        }
    });
}

#[test]
fn latest_is_the_slot_of_the_write_index() {
    each(|region, _| {
        let latest = region.latest().unwrap();
        assert_eq!(latest.map_or(0, |s| s.header.frame_id), region.header().frame_seq);
    });
}

#[test]
fn hashes_match_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("golden/checksum.json")).unwrap();
    for v in vectors.as_array().unwrap() {
        let mut x = u32::try_from(v["xorshift32_seed"].as_u64().unwrap()).unwrap();
        let bytes: Vec<u8> = (0..v["len"].as_u64().unwrap())
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                (x >> 24) as u8
            })
            .collect();
        assert_eq!(format!("{:016x}", hash::fnv1a64(&bytes)), v["fnv1a64"].as_str().unwrap(), "{} bytes", v["len"]);
        assert_eq!(
            format!("{:08x}", hash::checksum32(&bytes)),
            v["checksum32"].as_str().unwrap(),
            "{} bytes",
            v["len"]
        );
    }
}

/// The demo region, with one of its words changed.
fn changed(at: usize, word: u32) -> Vec<u8> {
    let mut bytes = GOLDEN[2].bytes.to_vec();
    assert_ne!(bytes[at..at + 4], word.to_ne_bytes());
    bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    bytes
}

#[test]
fn damage_is_found_where_it_is() {
    let region = RegionRef::parse(GOLDEN[2].bytes).unwrap();
    let newest = region.latest().unwrap().unwrap();
    let (index, cap) = (newest.index, region.layout().frame_bytes_cap());
    let start = region.layout().frame_slot(index).unwrap();
    assert_eq!(region.slot_header(index), Some(newest.header));
    assert_eq!(region.slot_header(region.layout().slots()), None);

    // A byte of the payload, and of the directory.
    let bytes = changed(start + 64 + 24, 0xDEAD_BEEF);
    assert!(!RegionRef::parse(&bytes).unwrap().latest().unwrap().unwrap().checksum_ok());
    let bytes = changed(region.layout().static_offset() as usize + 8, 0xDEAD_BEEF);
    assert!(!RegionRef::parse(&bytes).unwrap().static_hash_ok());
    let bytes = changed(56, region.layout().static_bytes_cap() + 1);
    let damaged = RegionRef::parse(&bytes).unwrap();
    assert!(damaged.static_bytes().is_err() && !damaged.static_hash_ok());

    // A frame may be as long as there is room, and no longer.
    let bytes = changed(start + 24, cap);
    assert_eq!(RegionRef::parse(&bytes).unwrap().latest().unwrap().unwrap().payload.len(), cap as usize);
    let bytes = changed(start + 24, cap + 1);
    let oversize = RegionError::Oversize { payload_bytes: cap + 1, frame_bytes_cap: cap };
    assert_eq!(RegionRef::parse(&bytes).unwrap().latest().err(), Some(oversize));
}

#[test]
fn a_slot_that_is_being_written_is_refused_where_stamps_count() {
    let mut bytes = GOLDEN[2].bytes.to_vec();
    let region = RegionRef::parse(GOLDEN[2].bytes).unwrap();
    let (session, index) = (region.header().session_id, region.latest().unwrap().unwrap().index);
    let stamp = region.layout().frame_slot(index).unwrap() + 56;
    let latest = |bytes: &[u8]| RegionRef::parse(bytes).unwrap().latest().map(|slot| slot.is_some());
    let write = |bytes: &mut [u8], count: u64| bytes[stamp..stamp + 8].copy_from_slice(&count.to_ne_bytes());
    write(&mut bytes, 5);
    assert_eq!(latest(&bytes), Ok(true), "the original knows no stamps: the bytes are what they are");
    let (word, _) = Features::new(session, Features::STAMPS).to_wire();
    bytes[20..24].copy_from_slice(&word.to_ne_bytes());
    for count in 0..9 {
        write(&mut bytes, count);
        let expected = if count % 2 == 1 { Err(RegionError::BeingWritten) } else { Ok(true) };
        assert_eq!(latest(&bytes), expected, "stamp {count}");
    }
}
