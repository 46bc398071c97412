//! A header field by field, with what is wrong with each: for regions that cannot be opened.

use crate::error::OpenError;
use shmx_abi::extension::Features;
use shmx_abi::wire::{self, GlobalHeader};
use shmx_abi::{
    ENDIAN_TAG, FRAME_HEADER_LEN, GLOBAL_HEADER_LEN, LayoutError, MAGIC, READER_SLOT_LEN, RegionLayout, SECTION_ALIGN,
    VERSION_MAJOR, VERSION_MINOR,
};
use shmx_os::RegionName;
use std::io::Read;
use std::mem::offset_of;
use std::path::Path;

/// One field of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderField {
    /// Its name in the wire format.
    pub name: &'static str,
    /// Where it lies, in bytes from the start of the region.
    pub offset: usize,
    /// Its value; none if the bytes end before it does.
    pub value: Option<u64>,
    /// What is wrong with it, if anything, and what it should be.
    pub problem: Option<String>,
}

/// What the first bytes of an object say, whether or not they are those of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderReport {
    /// Length of the object in bytes.
    pub available: u64,
    /// Every field in the order in which they lie.
    pub fields: Vec<HeaderField>,
    /// Whether a region can be opened by this header.
    pub layout: Result<RegionLayout, LayoutError>,
}

impl HeaderReport {
    /// Looks at the first bytes of a shared-memory object, without mapping it where the platform allows that.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is no object or it cannot be read. Whatever it contains is no error.
    pub fn of_region(name: &str) -> Result<Self, OpenError> {
        let mut bytes = [0; size_of::<GlobalHeader>()];
        let (have, len) = shmx_os::peek(&RegionName::new(name)?, &mut bytes)?;
        Ok(Self::of_bytes(bytes.get(..have).unwrap_or(&bytes), len))
    }

    /// Looks at the first bytes of a dump.
    ///
    /// # Errors
    ///
    /// The system's, if the file cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.take(u64::from(GLOBAL_HEADER_LEN)).read_to_end(&mut bytes)?;
        Ok(Self::of_bytes(&bytes, len))
    }

    /// Looks at the first bytes of a region of `available` bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8], available: u64) -> Self {
        let mut whole = [0; size_of::<GlobalHeader>()];
        let have = bytes.len().min(whole.len());
        whole[..have].copy_from_slice(&bytes[..have]);
        // Never none: the array has the struct's size.
        let h: GlobalHeader = wire::read_at(&whole, 0).unwrap_or_default();
        let layout = if have < whole.len() {
            Err(LayoutError::ShorterThanHeader { available: have as u64 })
        } else {
            RegionLayout::from_header(&h, available)
        };
        let mut fields = fields(&h);
        for f in &mut fields {
            if f.offset + f.size > have {
                f.value = None;
                f.problem = Some(format!("missing: the object ends at byte {have}"));
            } else {
                f.problem = problem(f.name, &h, available);
            }
        }
        let fields = fields
            .into_iter()
            .map(|f| HeaderField { name: f.name, offset: f.offset, value: f.value, problem: f.problem })
            .collect();
        Self { available, fields, layout }
    }
}

struct Field {
    name: &'static str,
    offset: usize,
    size: usize,
    value: Option<u64>,
    problem: Option<String>,
}

fn fields(h: &GlobalHeader) -> Vec<Field> {
    macro_rules! list {
        ($($name:ident),* $(,)?) => { vec![$( Field {
            name: stringify!($name),
            offset: offset_of!(GlobalHeader, $name),
            size: size_of_val(&h.$name),
            value: Some(u64::from(h.$name)),
            problem: None,
        } ),*] };
    }
    list![
        magic,
        ver_major,
        ver_minor,
        endianness,
        ext_features,
        session_id,
        static_gen,
        ext_server_pid,
        static_hash,
        static_offset,
        static_bytes_cap,
        static_bytes_used,
        slots,
        slot_stride,
        slots_offset,
        frame_bytes_cap,
        reader_slots,
        reader_slot_stride,
        readers_offset,
        control_offset,
        control_per_reader,
        control_stride,
        ext_more,
        frame_seq,
        write_index,
        readers_connected,
        reserve_index,
        ext_doorbell,
    ]
}

/// What is wrong with one field, whatever the others are.
fn problem(name: &str, h: &GlobalHeader, available: u64) -> Option<String> {
    let aligned =
        |value: u32| (!value.is_multiple_of(SECTION_ALIGN)).then(|| format!("not a multiple of {SECTION_ALIGN}"));
    let after = |start: u32, end: u64, what: &str| {
        (u64::from(start) < end).then(|| format!("inside the {what}, which end at {end}"))
    };
    let at_least = |value: u32, least: u64| (u64::from(value) < least).then(|| format!("at least {least} needed"));
    let end = |start: u32, count: u32, each: u32| u64::from(start) + u64::from(count) * u64::from(each);
    let reader_len = if h.reader_slots == 0 { 0 } else { u64::from(READER_SLOT_LEN) };
    let ring_len = if h.reader_slots == 0 { 0 } else { u64::from(h.control_per_reader) };
    match name {
        "magic" => (h.magic != MAGIC).then(|| format!("a region starts with {MAGIC:#018x}")),
        "ver_major" => (h.ver_major != VERSION_MAJOR).then(|| format!("only version {VERSION_MAJOR} can be read")),
        "ver_minor" => {
            (h.ver_minor != VERSION_MINOR).then(|| format!("only {VERSION_MAJOR}.{VERSION_MINOR} can be read"))
        }
        "endianness" => {
            (h.endianness != ENDIAN_TAG).then(|| format!("{ENDIAN_TAG:#010x} expected: another byte order, or damage"))
        }
        "ext_features" => (h.ext_features != 0 && Features::of(h).to_wire().0 == 0)
            .then(|| "of another session: not believed".to_owned()),
        "static_offset" => {
            aligned(h.static_offset).or_else(|| after(h.static_offset, u64::from(GLOBAL_HEADER_LEN), "header's bytes"))
        }
        "static_bytes_used" => (h.static_bytes_used > h.static_bytes_cap)
            .then(|| format!("more than the capacity of {}", h.static_bytes_cap)),
        "slots" => at_least(h.slots, 1).or_else(|| {
            let total = end(h.slots_offset, h.slots, h.slot_stride);
            if total > u64::from(u32::MAX) {
                Some(format!("with this stride the region would end at byte {total}; the format ends below 4 GiB"))
            } else if total > available {
                Some(format!("they end at {total}, the object has {available}"))
            } else {
                None
            }
        }),
        "slot_stride" => aligned(h.slot_stride)
            .or_else(|| at_least(h.slot_stride, u64::from(FRAME_HEADER_LEN) + u64::from(h.frame_bytes_cap))),
        "slots_offset" => aligned(h.slots_offset).or_else(|| {
            after(h.slots_offset, end(h.control_offset, h.reader_slots, h.control_stride), "control rings")
        }),
        "frame_bytes_cap" => at_least(h.frame_bytes_cap, 1),
        "reader_slot_stride" => aligned(h.reader_slot_stride).or_else(|| at_least(h.reader_slot_stride, reader_len)),
        "readers_offset" => aligned(h.readers_offset)
            .or_else(|| after(h.readers_offset, end(h.static_offset, 1, h.static_bytes_cap), "directory's bytes")),
        "control_offset" => aligned(h.control_offset).or_else(|| {
            after(h.control_offset, end(h.readers_offset, h.reader_slots, h.reader_slot_stride), "reader slots")
        }),
        "control_stride" => aligned(h.control_stride).or_else(|| at_least(h.control_stride, ring_len)),
        "readers_connected" => {
            (h.readers_connected > h.reader_slots).then(|| format!("more than the {} reader slots", h.reader_slots))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::bytes_of;
    use proptest::prelude::*;

    fn good() -> (GlobalHeader, u64) {
        let params = shmx_abi::RegionParams {
            slots: 3,
            reader_slots: 2,
            static_bytes_cap: 64,
            frame_bytes_cap: 100,
            control_per_reader: 64,
        };
        let layout = RegionLayout::for_params(&params, 0).unwrap();
        let mut h = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..GlobalHeader::default() };
        layout.fill_header(&mut h);
        (h, layout.total_bytes().into())
    }

    #[test]
    fn a_good_header_has_no_problems_and_a_bad_one_names_the_field() {
        let (mut h, len) = good();
        let report = HeaderReport::of_bytes(bytes_of(&h), len);
        assert!(report.layout.is_ok() && report.fields.iter().all(|f| f.problem.is_none()), "{report:?}");
        h.slot_stride += 1;
        h.endianness = 7;
        let report = HeaderReport::of_bytes(bytes_of(&h), len);
        let wrong: Vec<_> = report.fields.iter().filter(|f| f.problem.is_some()).map(|f| f.name).collect();
        // The longer stride also moves the end of the region.
        assert_eq!(wrong, ["endianness", "slots", "slot_stride"]);
        assert!(report.layout.is_err());
        let report = HeaderReport::of_bytes(&bytes_of(&h)[..20], 20);
        assert_eq!(report.fields[3].value, Some(7));
        assert!(report.fields[4].problem.as_deref().is_some_and(|p| p.contains("ends at byte 20")));
        assert_eq!(report.layout, Err(LayoutError::ShorterThanHeader { available: 20 }));
    }

    #[test]
    fn every_byte_of_the_header_is_a_fields() {
        let fields = fields(&good().0);
        let ends = fields.iter().map(|f| f.offset + f.size);
        assert!(fields.iter().map(|f| f.offset).skip(1).eq(ends.take(fields.len() - 1)), "one after the other");
        assert_eq!(fields.iter().map(|f| f.size).sum::<usize>(), GLOBAL_HEADER_LEN as usize);
    }

    proptest! {
        /// The report finds fault with every header that the layout check refuses.
        #[test]
        fn whatever_is_refused_has_a_field_with_a_problem(
            changes in prop::collection::vec((0_usize..32, any::<u32>()), 0..4),
            available in 0_u64..1 << 33,
        ) {
            let (h, _) = good();
            let mut bytes = bytes_of(&h).to_vec();
            for (word, value) in changes {
                bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_ne_bytes());
            }
            let report = HeaderReport::of_bytes(&bytes, available);
            if report.layout.is_err() {
                prop_assert!(report.fields.iter().any(|f| f.problem.is_some()), "{:?}", report.layout);
            }
        }
    }
}
