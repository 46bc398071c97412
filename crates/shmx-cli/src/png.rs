//! Pictures as PNG files: what the format has around the compressor, which is that of others.

use miniz_oxide::deflate::compress_to_vec_zlib;
use std::io::{self, Write};

/// How hard it is compressed, of 10: pictures of a terminal have to come at once.
const LEVEL: u8 = 4;

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
    for piece in compress_to_vec_zlib(&filtered(pixels, row, pixel), LEVEL).chunks(1 << 20) {
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
