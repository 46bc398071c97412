//! A stream of images as picture files, or as a raw video.

use super::options::Rec;
use super::select::Chosen;
use crate::common::say;
use crate::escape::safe;
use crate::picture::Picture;
use crate::png::{self, Colour};
use crate::target;
use anyhow::{Context, bail};
use shmx::ElementType;
use shmx_record::{Cursor, ImageInfo};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

fn info(chosen: &Chosen) -> anyhow::Result<ImageInfo> {
    let name = chosen.info.name_lossy();
    ImageInfo::of(&chosen.info).with_context(|| {
        format!("stream `{}` does not say that it is an image of which size and encoding", safe(&name))
    })
}

/// All images as rgb24, one after the other, and how ffmpeg reads them.
pub(super) fn rgb(cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write, to: &str) -> anyhow::Result<u64> {
    let image = info(chosen)?;
    let (mut first, mut last) = (0, 0);
    let (mut row, (w, h)) = (Vec::new(), (image.width, image.height));
    let frames = chosen.each(cursor, |at, data| {
        if at.number == 0 {
            first = at.time;
        }
        last = at.time;
        let picture = Picture::of(&image, data).map_err(anyhow::Error::msg)?;
        for y in 0..h as usize {
            row.clear();
            (0..w as usize).for_each(|x| row.extend_from_slice(&picture.pixel(x, y)));
            out.write_all(&row)?;
        }
        Ok(())
    })?;
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    let rate = if seconds > 0.0 { frames.saturating_sub(1) as f64 / seconds } else { 30.0 };
    say(format_args!(
        "to play it: ffplay -f rawvideo -pixel_format rgb24 -video_size {w}x{h} -framerate {rate:.2} {to}"
    ));
    Ok(frames)
}

/// Each image in a file of its own: `name-000001.png` and so on for `name.png`. Images that are compressed already are
/// written as they are.
pub(super) fn files(a: &Rec, cursor: &mut Cursor, chosen: &Chosen, mode: u32) -> anyhow::Result<u64> {
    let image = info(chosen)?;
    let extension = a.output.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let own = match image.encoding.name() {
        "jpeg" => "jpg",
        other => other,
    };
    let compressed = image.encoding.is_compressed();
    let fits = if compressed { extension == own || extension == image.encoding.name() } else { extension == "png" };
    if !fits {
        let ending = if compressed { own } else { "png" };
        bail!("these images have the encoding {}; give an output that ends in .{ending}", image.encoding);
    }
    let stem = a.output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = |n: u64| -> PathBuf { a.output.with_file_name(format!("{stem}-{n:06}.{extension}")) };
    chosen.each(cursor, |at, data| {
        let path = path(at.number + 1);
        a.may_write(&path)?;
        target::write(&path, mode, |file| {
            let mut out = BufWriter::new(file);
            if compressed {
                out.write_all(data)?
            } else {
                png_of(&image, chosen, data, &mut out)?
            }
            Ok(out.flush()?)
        })
    })
}

/// Gray and colours of 16 bits keep them; what has no natural white is stretched to 8 bits.
fn png_of(image: &ImageInfo, chosen: &Chosen, data: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    let picture = Picture::of(image, data).map_err(anyhow::Error::msg)?;
    let gray = image.encoding.components() == Some(1);
    let wide = chosen.ty == ElementType::U16 && image.encoding.name() != "16SC1";
    let (w, h) = (image.width as usize, image.height as usize);
    let mut pixels = Vec::with_capacity(w * h * 3);
    for y in 0..h {
        for x in 0..w {
            let used = if gray { 1 } else { 3 };
            if wide {
                picture.values(x, y)[..used].iter().for_each(|v| pixels.extend_from_slice(&(*v as u16).to_be_bytes()));
            } else {
                pixels.extend_from_slice(&picture.pixel(x, y)[..used]);
            }
        }
    }
    let colour = if gray { Colour::Gray } else { Colour::Rgb };
    Ok(png::write(out, (image.width, image.height), colour, wide, &pixels)?)
}
