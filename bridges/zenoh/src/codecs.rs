//! LZ4, Zstandard and JPEG.

use jpeg_encoder::{ColorType, Encoder};
use shmx_bridge::{Codec, CodecError, Codecs, Picture};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Quality of JPEG unless a rule says otherwise.
const QUALITY: u32 = 80;
/// Level of Zstandard unless a rule says otherwise.
const LEVEL: i32 = 1;

/// All that is built in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltIn;

fn fail(codec: Codec) -> impl Fn(&dyn std::fmt::Display) -> CodecError {
    move |what| CodecError { codec, what: what.to_string() }
}

impl Codecs for BuiltIn {
    fn known(&self) -> u32 {
        [Codec::None, Codec::Lz4, Codec::Zstd, Codec::Jpeg].iter().fold(0, |bits, c| bits | c.bit())
    }

    fn compress(
        &self,
        codec: Codec,
        level: u32,
        picture: Option<&Picture>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let fail = fail(codec);
        match codec {
            Codec::None => out.extend_from_slice(data),
            Codec::Lz4 => {
                let start = out.len();
                out.resize(start + lz4_flex::block::get_maximum_output_size(data.len()), 0);
                let len = lz4_flex::block::compress_into(data, &mut out[start..]).map_err(|e| fail(&e))?;
                out.truncate(start + len);
            }
            Codec::Zstd => {
                let level = if level == 0 { LEVEL } else { level.min(22) as i32 };
                out.append(&mut zstd::bulk::compress(data, level).map_err(|e| fail(&e))?);
            }
            Codec::Jpeg => {
                let p = picture.ok_or_else(|| fail(&"it is no image"))?;
                let (Ok(width), Ok(height)) = (u16::try_from(p.width), u16::try_from(p.height)) else {
                    return Err(fail(&"the image is larger than 65535 pixels"));
                };
                if p.len() != data.len() as u64 {
                    return Err(fail(&"the image has another size than its stream says"));
                }
                let color = match (p.channels, p.bgr) {
                    (1, _) => ColorType::Luma,
                    (_, false) => ColorType::Rgb,
                    (_, true) => ColorType::Bgr,
                };
                let quality = if level == 0 { QUALITY } else { level.min(100) };
                let encoder = Encoder::new(out, quality as u8);
                encoder.encode(data, width, height, color).map_err(|e| fail(&e))?;
            }
        }
        Ok(())
    }

    fn restore(&self, codec: Codec, picture: Option<&Picture>, data: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
        // The data comes from elsewhere, and a decoder that has a fault must not end the bridge.
        let restore = std::panic::AssertUnwindSafe(|| unpack(codec, picture, data, out));
        std::panic::catch_unwind(restore).unwrap_or_else(|_| Err(fail(codec)(&"the decoder has failed")))
    }
}

fn unpack(codec: Codec, picture: Option<&Picture>, data: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
    let fail = fail(codec);
    let len = match codec {
        Codec::None => {
            let same = data.len() == out.len();
            if same {
                out.copy_from_slice(data);
            }
            return if same { Ok(()) } else { Err(fail(&"another length")) };
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(data, out).map_err(|e| fail(&e))?,
        Codec::Zstd => zstd::bulk::decompress_to_buffer(data, &mut *out).map_err(|e| fail(&e))?,
        Codec::Jpeg => {
            let p = picture.ok_or_else(|| fail(&"it is no image"))?;
            let color = if p.channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
            let (width, height) = (p.width as usize, p.height as usize);
            // Before anything is decoded: what the data claims is what the directory says.
            let options = DecoderOptions::default().set_max_width(width).set_max_height(height);
            let options = options.jpeg_set_out_colorspace(color).set_strict_mode(true);
            let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
            decoder.decode_headers().map_err(|e| fail(&format_args!("{e:?}")))?;
            if decoder.dimensions() != Some((width, height)) || decoder.output_buffer_size() != Some(out.len()) {
                return Err(fail(&"the image has another size than its stream"));
            }
            decoder.decode_into(out).map_err(|e| fail(&format_args!("{e:?}")))?;
            if p.bgr {
                out.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
            }
            out.len()
        }
    };
    if len == out.len() { Ok(()) } else { Err(fail(&"another length")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Picture = Picture { height: 16, width: 24, channels: 3, bgr: true };

    fn gradient() -> Vec<u8> {
        (0..16 * 24 * 3_u32).map(|i| (i / 9) as u8).collect()
    }

    #[test]
    fn lossless_ones_give_back_what_they_got() {
        let data = gradient();
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let (mut packed, mut back) = (vec![1, 2], vec![0; data.len()]);
            BuiltIn.compress(codec, 0, None, &data, &mut packed).unwrap();
            BuiltIn.restore(codec, None, &packed[2..], &mut back).unwrap();
            assert_eq!(back, data, "{codec}");
            let mut other = vec![0; data.len() + 1];
            assert!(BuiltIn.restore(codec, None, &packed[2..], &mut other).is_err(), "{codec}");
            let mut short = vec![0; data.len() - 1];
            assert!(BuiltIn.restore(codec, None, &packed[2..], &mut short).is_err(), "{codec}");
        }
    }

    #[test]
    fn an_image_is_nearly_the_same() {
        let data = gradient();
        for picture in [PICTURE, Picture { bgr: false, ..PICTURE }, Picture { width: 72, channels: 1, ..PICTURE }] {
            let (mut packed, mut back) = (Vec::new(), vec![0; data.len()]);
            BuiltIn.compress(Codec::Jpeg, 95, Some(&picture), &data, &mut packed).unwrap();
            BuiltIn.restore(Codec::Jpeg, Some(&picture), &packed, &mut back).unwrap();
            let worst = data.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst < Some(40), "{picture:?} {worst:?}");
            let other = Picture { height: 8, ..picture };
            let mut half = vec![0; data.len() / 2];
            assert!(BuiltIn.restore(Codec::Jpeg, Some(&other), &packed, &mut half).is_err());
        }
        assert!(BuiltIn.compress(Codec::Jpeg, 0, None, &data, &mut Vec::new()).is_err());
        assert!(BuiltIn.compress(Codec::Jpeg, 0, Some(&PICTURE), &data[1..], &mut Vec::new()).is_err());
    }

    #[test]
    fn damaged_data_is_an_error_and_no_more() {
        let data = gradient();
        for codec in [Codec::Lz4, Codec::Zstd, Codec::Jpeg] {
            let mut packed = Vec::new();
            BuiltIn.compress(codec, 0, Some(&PICTURE), &data, &mut packed).unwrap();
            let mut out = vec![0; data.len()];
            for cut in 0..packed.len() {
                let _ = BuiltIn.restore(codec, Some(&PICTURE), &packed[..cut], &mut out);
            }
            for _ in 0..2000 {
                let mut bad = packed.clone();
                for _ in 0..3 {
                    let at = fastrand::usize(..bad.len());
                    bad[at] = fastrand::u8(..);
                }
                // Whatever it brings, it is as long as the stream, or an error.
                let _ = BuiltIn.restore(codec, Some(&PICTURE), &bad, &mut out);
            }
        }
    }
}
