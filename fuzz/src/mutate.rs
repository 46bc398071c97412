//! A mutator that knows where a region's words lie.
//!
//! Blind mutations of a region of kilobytes mostly hit payload. This one picks a word of the header, of a frame
//! header, of a reader slot or of a ring, and gives it a value that matters there.

use crate::region::PREFIX;
use shmx_abi::GlobalHeader;
use shmx_abi::region::RegionRef;
use shmx_abi::wire::read_at;

/// A small generator; libFuzzer gives the seed.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

/// Mutates an input of `size` bytes in place and returns its new size. `blind` is libFuzzer's own mutator.
///
/// `before` bytes stand between the flags and the region.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    before: usize,
    blind: impl Fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut random = Random(seed | 1);
    let start = PREFIX + before;
    if size < start + size_of::<GlobalHeader>() || random.below(3) == 0 {
        return blind(data, size, max_size);
    }
    if before > 0 && random.below(2) == 0 {
        // Another sequence of operations over the same region.
        let at = PREFIX + random.below(before);
        data[at] = random.next() as u8;
        return size;
    }
    if random.below(8) == 0 {
        data[random.below(PREFIX)] ^= 1 << random.below(8);
        return size;
    }
    let region = &mut data[start..size];
    for _ in 0..=random.below(3) {
        let at = place(region, &mut random);
        let old: u32 = read_at(region, at).unwrap_or(0);
        let value = value(region, old, &mut random);
        if let Some(word) = region.get_mut(at..at + 4) {
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }
    size
}

/// Offset of a word worth changing.
fn place(region: &[u8], random: &mut Random) -> usize {
    let word = random.below(32) * 4;
    let Ok(parsed) = RegionRef::parse(region) else { return word };
    let layout = parsed.layout();
    let pick = |n: u32, random: &mut Random| random.below(n as usize) as u32;
    match random.below(8) {
        0 | 1 => word,
        2 => layout.reader_slot(pick(layout.reader_slots(), random)).map_or(word, |at| at + word % 64),
        3 => layout.control_ring(pick(layout.reader_slots(), random)).map_or(word, |at| at + word % 16),
        4 => layout.control_ring(pick(layout.reader_slots(), random)).map_or(word, |at| {
            at + 16 + random.below(layout.control_per_reader() as usize / 16) * 16 + random.below(2) * 4
        }),
        5 => layout.static_offset() as usize + random.below(layout.static_bytes_cap() as usize / 4) * 4,
        6 => layout.frame_slot(pick(layout.slots(), random)).map_or(word, |at| at + word % 64),
        _ => layout.frame_slot(pick(layout.slots(), random)).map_or(word, |at| at + 64 + word % 96),
    }
}

fn value(region: &[u8], old: u32, random: &mut Random) -> u32 {
    let step = [1, 8, 16, 64, 4096][random.below(5)];
    match random.below(10) {
        0 => 0,
        1 => 1,
        2 => u32::MAX,
        3 => old.wrapping_add(step),
        4 => old.wrapping_sub(step),
        5 => (region.len() as u32).wrapping_sub(step),
        6 => region.len() as u32 & !63,
        7 => random.next() % 512,
        8 => old ^ 1 << random.below(32),
        _ => random.next(),
    }
}
