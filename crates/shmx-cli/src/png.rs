//! Pictures as PNG files. The compressor is a small one of our own: it halves what is drawn and does little for what is
//! photographed, but the crates that do better would lengthen the first build of the command by a tenth.

use std::io::{self, Write};

/// What a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Gray,
    Rgb,
}

/// Writes a picture: rows from above, of 8 or 16 bits for each part of a pixel, the latter in big-endian.
pub(crate) fn write(
    out: &mut impl Write,
    (width, height): (u32, u32),
    colour: Colour,
    wide: bool,
    pixels: &[u8],
) -> io::Result<()> {
    let pixel = if colour == Colour::Gray { 1 } else { 3 } << u32::from(wide);
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "the picture has no such size");
    let row = (width as usize).checked_mul(pixel).filter(|&row| row > 0 && height > 0).ok_or_else(wrong)?;
    if row.checked_mul(height as usize) != Some(pixels.len()) {
        return Err(wrong());
    }
    let mut head = [0; 13];
    head[..4].copy_from_slice(&width.to_be_bytes());
    head[4..8].copy_from_slice(&height.to_be_bytes());
    head[8] = if wide { 16 } else { 8 };
    head[9] = if colour == Colour::Gray { 0 } else { 2 };
    out.write_all(b"\x89PNG\r\n\x1a\n")?;
    chunk(out, b"IHDR", &head)?;
    for piece in zlib(&filtered(pixels, row, pixel)).chunks(1 << 20) {
        chunk(out, b"IDAT", piece)?;
    }
    chunk(out, b"IEND", &[])
}

fn chunk(out: &mut impl Write, kind: &[u8; 4], data: &[u8]) -> io::Result<()> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind);
    crc.update(data);
    out.write_all(&(data.len() as u32).to_be_bytes())?;
    out.write_all(kind)?;
    out.write_all(data)?;
    out.write_all(&crc.finalize().to_be_bytes())
}

/// Each row as it is, as differences to the left, or to the row above: whichever has the smallest numbers.
fn filtered(pixels: &[u8], row: usize, pixel: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(pixels.len() + pixels.len() / row);
    let mut above = vec![0; row];
    for line in pixels.chunks_exact(row) {
        let left = |i: usize| i.checked_sub(pixel).map_or(0, |at| line[at]);
        let by: [Vec<u8>; 3] = [
            line.to_vec(),
            line.iter().enumerate().map(|(i, v)| v.wrapping_sub(left(i))).collect(),
            line.iter().zip(&above).map(|(v, a)| v.wrapping_sub(*a)).collect(),
        ];
        let weight = |bytes: &[u8]| bytes.iter().map(|&b| u64::from(b.cast_signed().unsigned_abs())).sum::<u64>();
        let best = (0..by.len()).min_by_key(|&f| weight(&by[f])).unwrap_or(0);
        all.push(best as u8);
        all.extend_from_slice(&by[best]);
        above.copy_from_slice(line);
    }
    all
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut bits = Bits { out: vec![0x78, 0x01], acc: 0, count: 0 };
    deflate(data, &mut bits);
    let mut out = bits.finish();
    let (mut a, mut b) = (1_u32, 0_u32);
    // As many as the sums can take before they are reduced.
    for piece in data.chunks(5552) {
        for &byte in piece {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

/// Bits, the lowest of a byte first.
struct Bits {
    out: Vec<u8>,
    acc: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, len: u32) {
        self.acc |= u64::from(value) << self.count;
        self.count += len;
        while self.count >= 8 {
            self.out.push(self.acc as u8);
            self.acc >>= 8;
            self.count -= 8;
        }
    }

    /// A code, whose highest bit comes first.
    fn code(&mut self, code: u32, len: u32) {
        self.put(code.reverse_bits() >> (32 - len), len);
    }

    /// A symbol of the fixed code for literals and lengths.
    fn symbol(&mut self, n: u32) {
        match n {
            0..144 => self.code(0x30 + n, 8),
            144..256 => self.code(0x190 + n - 144, 9),
            256..280 => self.code(n - 256, 7),
            _ => self.code(0xC0 + n - 280, 8),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.out
    }
}

const WINDOW: usize = 32768;
const LONGEST: usize = 258;
/// Of what is looked for, which is also what a hash covers.
const SHORTEST: usize = 4;

/// One block with the fixed codes. Of the places with the same hash only the last is tried.
fn deflate(data: &[u8], bits: &mut Bits) {
    const NONE: usize = usize::MAX;
    let mut last = vec![NONE; 1 << 15];
    bits.put(0b011, 3);
    let mut at = 0;
    while at < data.len() {
        let mut len = 0;
        if let Some(four) = data[at..].first_chunk::<SHORTEST>() {
            let hash = (u32::from_le_bytes(*four).wrapping_mul(0x9E37_79B1) >> 17) as usize;
            let before = std::mem::replace(&mut last[hash], at);
            if before != NONE && at - before <= WINDOW {
                let same = data[before..].iter().zip(&data[at..]).take(LONGEST).take_while(|(a, b)| a == b).count();
                if same >= SHORTEST {
                    len = same;
                    repeat(bits, len as u32, (at - before) as u32);
                }
            }
        }
        if len == 0 {
            bits.symbol(data[at].into());
            len = 1;
        }
        at += len;
    }
    bits.symbol(256);
}

/// Codes of lengths and distances grow like a floating-point number: an exponent, and a few bits of mantissa.
fn repeat(bits: &mut Bits, len: u32, distance: u32) {
    if len as usize == LONGEST {
        bits.symbol(285);
    } else {
        let n = len - 3;
        let more = (n | 7).ilog2() - 2;
        bits.symbol(257 + 4 * more + (n >> more));
        bits.put(n & ((1 << more) - 1), more);
    }
    let n = distance - 1;
    let more = (n | 3).ilog2() - 1;
    bits.code(2 * more + (n >> more), 5);
    bits.put(n & ((1 << more) - 1), more);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another implementation gets back what was written.
    #[cfg(target_os = "linux")]
    #[test]
    fn pictures_are_read_by_others() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        for (w, h) in [(1_u32, 1_u32), (3, 2), (640, 1), (1, 300), (200, 111)] {
            for (colour, wide, part) in
                [(Colour::Gray, false, 1), (Colour::Rgb, false, 3), (Colour::Gray, true, 2), (Colour::Rgb, true, 6)]
            {
                let len = w as usize * h as usize * part;
                let smooth: Vec<u8> = (0..len).map(|i| (i / part / 7) as u8).collect();
                let mixed: Vec<u8> = (0..len).map(|i| if i % 90 < 40 { 3 } else { noise() & 15 }).collect();
                let noisy: Vec<u8> = (0..len).map(|_| noise()).collect();
                for pixels in [vec![0; len], vec![255; len], smooth, mixed, noisy] {
                    let mut file = Vec::new();
                    write(&mut file, (w, h), colour, wide, &pixels).unwrap();
                    let mut reader = ::png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
                    let mut back = vec![0; reader.output_buffer_size().unwrap()];
                    let info = reader.next_frame(&mut back).unwrap();
                    reader.finish().unwrap();
                    assert_eq!((info.width, info.height), (w, h));
                    assert!(back == pixels, "{w}x{h} {colour:?} {wide}");
                }
            }
        }
    }

    #[test]
    fn what_is_drawn_becomes_small_and_noise_hardly_grows() {
        let mut file = Vec::new();
        write(&mut file, (640, 480), Colour::Rgb, false, &vec![7; 640 * 480 * 3]).unwrap();
        assert!(file.len() < 12_000, "{}", file.len());
        let mut seed = 1_u64;
        let noise: Vec<u8> = (0..30_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        file.clear();
        write(&mut file, (100, 100), Colour::Rgb, false, &noise).unwrap();
        assert!(file.len() < 33_000, "{}", file.len());
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        for (size, len) in [((2, 2), 11), ((0, 2), 0), ((2, 0), 0), ((u32::MAX, u32::MAX), 12)] {
            assert!(write(&mut Vec::new(), size, Colour::Rgb, false, &vec![0; len]).is_err());
        }
    }
}
