//! Images with fewer pixels, for windows that could not show more.

use shmx_record::ImageInfo;

/// An image with every n-th pixel of every n-th row, or with all of them; rows are not padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reduced {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// n; 1: all pixels.
    pub(crate) every: u32,
}

/// What an image of this kind is reduced to, so that a row still has `wanted` pixels but less than twice as many; 0: all.
/// Only whole pixels can be left out: where neighbours share colour, or planes follow each other, all remain.
pub(crate) fn reduced(image: &ImageInfo, wanted: u32) -> Reduced {
    let name = image.encoding.name();
    let shared = name.starts_with("bayer") || matches!(name, "yuyv" | "uyvy");
    let whole = image.encoding.bytes_per_pixel().is_some() && !shared;
    let every = if wanted == 0 || !whole { 1 } else { (image.width / wanted).max(1) };
    Reduced { width: image.width.div_ceil(every), height: image.height.div_ceil(every), every }
}

/// Bytes that `copy` appends; `None` for formats whose rows cannot be told.
pub(crate) fn len(image: &ImageInfo, to: Reduced) -> Option<u64> {
    let row = image.encoding.row_bytes(to.width)?;
    let rows = if to.every == 1 { image.encoding.rows(to.height) } else { u64::from(to.height) };
    row.checked_mul(rows)
}

/// Appends the pixels; false if the data is too short, and then nothing is appended.
pub(crate) fn copy(image: &ImageInfo, to: Reduced, data: &[u8], out: &mut Vec<u8>) -> bool {
    let (Some(row), Some(step)) = (image.encoding.row_bytes(image.width), usize::try_from(image.step).ok()) else {
        return false;
    };
    let Ok(row) = usize::try_from(row) else { return false };
    let rows = image.encoding.rows(image.height);
    // The last row need not be padded.
    let needed = rows.checked_sub(1).map(|n| u128::from(n) * step as u128 + row as u128);
    if row == 0 || step < row || needed.is_none_or(|n| n > data.len() as u128) {
        return false;
    }
    if to.every == 1 {
        data.chunks(step).take(rows as usize).for_each(|r| out.extend_from_slice(&r[..row]));
        return true;
    }
    let Some(pixel) = image.encoding.bytes_per_pixel().map(|b| b as usize) else { return false };
    let every = to.every as usize;
    for r in data.chunks(step).step_by(every).take(to.height as usize) {
        let r = &r[..row];
        // Of a size that the compiler knows, a pixel is copied by one instruction or two.
        match pixel {
            1 => out.extend(r.iter().step_by(every)),
            2 => pick::<2>(r, every, out),
            3 => pick::<3>(r, every, out),
            4 => pick::<4>(r, every, out),
            _ => r.chunks_exact(pixel).step_by(every).for_each(|p| out.extend_from_slice(p)),
        }
    }
    true
}

fn pick<const N: usize>(row: &[u8], every: usize, out: &mut Vec<u8>) {
    out.extend(row.as_chunks::<N>().0.iter().step_by(every).flatten());
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::{ElementType, StreamSpec};

    fn image(ty: ElementType, components: u32, extra: &str) -> ImageInfo {
        ImageInfo::of(&(&StreamSpec::new(1, "s", ty, components).extra(extra)).into()).unwrap()
    }

    fn taken(image: &ImageInfo, max: u32, data: &[u8]) -> Option<Vec<u8>> {
        let (to, mut out) = (reduced(image, max), Vec::new());
        let good = copy(image, to, data, &mut out);
        assert!(!good || Some(out.len() as u64) == len(image, to));
        good.then_some(out)
    }

    #[test]
    fn every_nth_pixel_of_every_nth_row() {
        let rgb = image(ElementType::U8, 3, r#"{"role":"image","shape":[3,4]}"#);
        let data: Vec<u8> = (0..36).collect();
        assert_eq!(taken(&rgb, 0, &data).unwrap(), data);
        assert_eq!(taken(&rgb, 3, &data).unwrap(), data);
        assert_eq!(taken(&rgb, 2, &data).unwrap(), [0, 1, 2, 6, 7, 8, 24, 25, 26, 30, 31, 32]);
        assert_eq!(taken(&rgb, 1, &data).unwrap(), [0, 1, 2]);
        assert_eq!(taken(&rgb, 0, &data[..35]), None);
    }

    #[test]
    fn padding_is_left_out_and_need_not_end_the_last_row() {
        let padded = image(ElementType::U8, 1, r#"{"shape":[2,2],"encoding":"mono8","row_step":4}"#);
        assert_eq!(taken(&padded, 0, &[1, 2, 0, 0, 3, 4]).unwrap(), [1, 2, 3, 4]);
        assert_eq!(taken(&padded, 1, &[1, 2, 0, 0, 3, 4]).unwrap(), [1]);
        assert_eq!(taken(&padded, 0, &[1, 2, 0, 0, 3]), None);
        let short = image(ElementType::U8, 1, r#"{"shape":[2,2],"encoding":"mono8","row_step":1}"#);
        assert_eq!(taken(&short, 0, &[1, 2, 3, 4]), None, "rows that overlap");
    }

    #[test]
    fn planes_and_shared_colours_stay_whole() {
        let nv12 = image(ElementType::U8, 1, r#"{"shape":[2,4],"encoding":"nv12"}"#);
        let data: Vec<u8> = (0..12).collect();
        assert_eq!(taken(&nv12, 1, &data).unwrap(), data);
        let bayer = image(ElementType::U8, 1, r#"{"shape":[2,4],"encoding":"bayer_rggb8"}"#);
        assert_eq!(taken(&bayer, 1, &data[..8]).unwrap(), &data[..8]);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let huge = image(ElementType::U8, 1, r#"{"shape":[4294967295,4294967295],"encoding":"mono8"}"#);
        assert_eq!(taken(&huge, 0, &[0; 100]), None);
        assert_eq!(taken(&huge, 1, &[0; 100]), None);
    }
}
