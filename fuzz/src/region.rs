//! Inputs that are regions: a prefix of flags, then the region's bytes, repaired as the flags say.
//!
//! Without repairs a fuzzer never gets past the magic, the digest of the session id or a checksum. With them each of
//! these gates is open in half of the inputs, and shut in the others.

use shmx_abi::extension::Features;
use shmx_abi::region::RegionRef;
use shmx_abi::wire::read_at;
use shmx_abi::{ENDIAN_TAG, FrameHeader, GlobalHeader, MAGIC, RegionLayout, RegionParams, hash};
use zerocopy::IntoBytes;

/// Bytes of the flags.
pub const PREFIX: usize = 2;
/// Most bytes of a region. Longer inputs are cut: they reach nothing new and cost time.
pub const LONGEST: usize = 16 << 10;

/// How far repaired lengths may still go beyond what is there: the check itself must stay within reach.
const BEYOND: u32 = 16;

/// Repairs, as bits of the flags.
pub mod flag {
    /// Magic, byte order and version.
    pub const MAGIC: u16 = 1;
    /// The feature word's digest.
    pub const DIGEST: u16 = 1 << 1;
    /// Offsets and strides, laid out anew for small counts taken from the header.
    pub const GEOMETRY: u16 = 1 << 2;
    /// The directory's length and hash.
    pub const DIRECTORY: u16 = 1 << 3;
    /// Lengths, session, checksums and stamps of frames.
    pub const FRAMES: u16 = 1 << 4;
    /// Distances of the control rings' positions.
    pub const RINGS: u16 = 1 << 5;
    /// Lease bits are cleared.
    pub const LEASES: u16 = 1 << 6;
    /// The number of frames covers every frame id.
    pub const COUNT: u16 = 1 << 7;
    /// Not closed.
    pub const OPEN: u16 = 1 << 8;
    /// Somebody holds the server's lock.
    pub const LOCKED: u16 = 1 << 9;
    /// Stamps and leases are announced.
    pub const EXTENDED: u16 = 1 << 10;
    /// Reader slots are free.
    pub const FREE: u16 = 1 << 11;
    /// Clients verify checksums.
    pub const VERIFY: u16 = 1 << 12;
    /// Clients lease.
    pub const LEASE: u16 = 1 << 13;
    /// Clients copy small frames although they lease.
    pub const COPY_SMALL: u16 = 1 << 14;
}

fn put<T: IntoBytes + zerocopy::Immutable>(bytes: &mut [u8], at: usize, value: &T) {
    if let Some(place) = bytes.get_mut(at..at + size_of::<T>()) {
        place.copy_from_slice(value.as_bytes());
    }
}

/// The flags and the region of an input.
#[must_use]
pub fn split(data: &[u8]) -> (u16, Vec<u8>) {
    let Some((flags, bytes)) = data.split_at_checked(PREFIX) else { return (0, Vec::new()) };
    let flags = u16::from_le_bytes([flags[0], flags[1]]);
    (flags, repaired(flags, bytes.get(..LONGEST.min(bytes.len())).unwrap_or(&[]).to_vec()))
}

/// Makes the repairs that `flags` asks for.
#[must_use]
pub fn repaired(flags: u16, mut bytes: Vec<u8>) -> Vec<u8> {
    let on = |f: u16| flags & f != 0;
    if on(flag::GEOMETRY) && bytes.len() < size_of::<GlobalHeader>() {
        bytes.resize(size_of::<GlobalHeader>(), 0);
    }
    let Some(mut header) = read_at::<GlobalHeader>(&bytes, 0) else { return bytes };
    if on(flag::MAGIC) {
        (header.magic, header.endianness, header.ver_major, header.ver_minor) = (MAGIC, ENDIAN_TAG, 2, 0);
    }
    if on(flag::DIGEST) {
        let mut bits = header.ext_features;
        if on(flag::EXTENDED) {
            bits |= Features::STAMPS as u32;
        }
        if on(flag::OPEN) {
            bits &= !(Features::CLOSED as u32);
        }
        (header.ext_features, header.ext_more) = Features::new(header.session_id, u64::from(bits)).to_wire();
    }
    if on(flag::GEOMETRY) {
        let params = RegionParams {
            slots: header.slots % 6 + 1,
            reader_slots: header.reader_slots % 5,
            static_bytes_cap: header.static_bytes_cap % 700 + 1,
            frame_bytes_cap: header.frame_bytes_cap % 600 + 1,
            control_per_reader: header.control_per_reader % 300,
        };
        if let Ok(layout) = RegionLayout::for_params(&params, 0) {
            layout.fill_header(&mut header);
            if bytes.len() < layout.total_bytes() as usize {
                bytes.resize(layout.total_bytes() as usize, 0);
            }
        }
    }
    put(&mut bytes, 0, &header);
    let Ok(layout) = RegionRef::parse(&bytes).map(|r| *r.layout()) else { return bytes };
    inner(&mut header, &layout, flags, &mut bytes);
    bytes
}

fn inner(header: &mut GlobalHeader, layout: &RegionLayout, flags: u16, bytes: &mut [u8]) {
    let on = |f: u16| flags & f != 0;
    if on(flag::DIRECTORY) {
        header.static_bytes_used %= layout.static_bytes_cap() + 1 + BEYOND;
        let at = layout.static_offset() as usize;
        let used = header.static_bytes_used.min(layout.static_bytes_cap()) as usize;
        header.static_hash = hash::fnv1a64(&bytes[at..at + used]);
    }
    for at in (0..layout.slots()).filter_map(|i| layout.frame_slot(i)) {
        let Some(mut frame) = read_at::<FrameHeader>(bytes, at) else { continue };
        if on(flag::FRAMES) {
            frame.session_id_copy = header.session_id;
            frame.payload_bytes %= layout.frame_bytes_cap() + 1 + BEYOND;
            frame.ext_stamp &= !1;
            let payload = at + size_of::<FrameHeader>();
            let len = frame.payload_bytes.min(layout.frame_bytes_cap()) as usize;
            frame.checksum = hash::checksum32(&bytes[payload..payload + len]);
        }
        if on(flag::LEASES) {
            (frame.ext_lease_lo, frame.ext_lease_hi) = (0, 0);
        }
        if on(flag::COUNT) {
            header.frame_seq = header.frame_seq.max(frame.frame_id);
        }
        put(bytes, at, &frame);
    }
    for i in 0..layout.reader_slots() {
        if on(flag::FREE)
            && let Some(at) = layout.reader_slot(i)
        {
            put(bytes, at + 24, &0_u32);
        }
        if on(flag::RINGS)
            && let Some(at) = layout.control_ring(i)
        {
            let usable = u64::from(layout.control_per_reader()) - 16;
            let (read, write) = (read_at::<u64>(bytes, at), read_at::<u64>(bytes, at + 8));
            let (Some(read), Some(write)) = (read, write) else { continue };
            put(bytes, at + 8, &read.wrapping_add(write.wrapping_sub(read) % (usable + 2)));
        }
    }
    put(bytes, 0, header);
}
