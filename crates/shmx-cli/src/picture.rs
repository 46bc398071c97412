//! An image's pixels as colours of a screen.

use crate::values;
use shmx::ElementType;
use shmx::meta::Encoding;
use shmx_record::ImageInfo;

/// How the bytes of a pixel become a colour.
#[derive(Clone, Copy)]
enum Way {
    /// Components of this type and size: where red, green and blue are, and how many there are.
    Packed { ty: ElementType, rgb: [usize; 3], components: usize },
    /// Brightness in a byte of its own, this far from one to the next; the colours are left out.
    Luma { first: usize, step: usize },
}

/// An image that can be drawn.
pub(crate) struct Picture<'a> {
    data: &'a [u8],
    step: usize,
    width: usize,
    height: usize,
    way: Way,
    /// Lowest and highest value: of numbers that have no natural white, those of the image.
    range: (f64, f64),
}

impl<'a> Picture<'a> {
    /// Or why it cannot be drawn.
    pub(crate) fn of(image: &ImageInfo, data: &'a [u8]) -> Result<Self, String> {
        let e = &image.encoding;
        if e.is_compressed() || !e.is_known() {
            return Err(format!(
                "images of encoding {e} cannot be drawn here; `shmx record` and an MCAP viewer show them"
            ));
        }
        let way = way_of(e).ok_or_else(|| format!("images of encoding {e} cannot be drawn here"))?;
        let (step, width, height) = (image.step as usize, image.width as usize, image.height as usize);
        if data.len() < step.saturating_mul(height) {
            return Err(format!("the frame has {} bytes, fewer than {height} rows of {step}", data.len()));
        }
        let mut picture = Self { data, step, width, height, way, range: (0.0, 255.0) };
        picture.range = picture.natural_range().unwrap_or_else(|| picture.found_range());
        Ok(picture)
    }

    fn natural_range(&self) -> Option<(f64, f64)> {
        match self.way {
            Way::Luma { .. } => Some((0.0, 255.0)),
            Way::Packed { ty: ElementType::U8, .. } => Some((0.0, 255.0)),
            Way::Packed { ty: ElementType::U16, components: 3 | 4, .. } => Some((0.0, 65535.0)),
            Way::Packed { .. } => None,
        }
    }

    /// Depths, temperatures and the like fill any range.
    fn found_range(&self) -> (f64, f64) {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        // Some of a large image are enough.
        let every = (self.width * self.height / 65536).max(1);
        for i in (0..self.width * self.height).step_by(every) {
            for v in self.values(i % self.width, i / self.width).into_iter().filter(|v| v.is_finite()) {
                (low, high) = (low.min(v), high.max(v));
            }
        }
        if low < high { (low, high) } else { (low.min(0.0), high.max(1.0)) }
    }

    /// The numbers of a pixel as they are.
    pub(crate) fn values(&self, x: usize, y: usize) -> [f64; 3] {
        let row = self.data.get(y * self.step..).unwrap_or(&[]);
        match self.way {
            Way::Luma { first, step } => [f64::from(row.get(x * step + first).copied().unwrap_or(0)); 3],
            Way::Packed { ty, rgb, components } => {
                let size = ty.size() as usize;
                let at =
                    |c: usize| row.get((x * components + c) * size..).map_or(f64::NAN, |b| values::number_of(ty, b));
                rgb.map(at)
            }
        }
    }

    /// Red, green and blue of a pixel; black where there is none.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (low, high) = self.range;
        // A value that is no number becomes 0.
        self.values(x.min(self.width - 1), y.min(self.height - 1)).map(|v| ((v - low) / (high - low) * 255.0) as u8)
    }
}

fn way_of(e: &Encoding) -> Option<Way> {
    let (ty, components) = (e.element_type()?, e.components()? as usize);
    let packed = |rgb| Some(Way::Packed { ty, rgb, components });
    match e.name() {
        "uyvy" => Some(Way::Luma { first: 1, step: 2 }),
        "yuyv" => Some(Way::Luma { first: 0, step: 2 }),
        "nv12" | "nv21" | "nv24" => Some(Way::Luma { first: 0, step: 1 }),
        // By their names in OpenCV colours come as blue, green, red.
        name if name.starts_with("bgr") => packed([2, 1, 0]),
        name if name.contains('C') && components >= 3 => packed([2, 1, 0]),
        _ if components >= 3 => packed([0, 1, 2]),
        // Two components are no colour; the first is shown. A raw sensor shows its pattern.
        _ => packed([0, 0, 0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::{StreamInfo, StreamSpec};

    fn image(ty: ElementType, components: u32, encoding: &str) -> ImageInfo {
        let extra = format!(r#"{{"shape":[2,2],"encoding":"{encoding}"}}"#);
        let info: StreamInfo = (&StreamSpec::new(1, "s", ty, components).extra(extra)).into();
        ImageInfo::of(&info).unwrap()
    }

    #[test]
    fn numbers_of_every_size_are_seen_as_what_they_are() {
        let floats: Vec<u8> = [1.0_f32, 2.0, 3.0, f32::NAN].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let depth = image(ElementType::F32, 1, "32FC1");
        let p = Picture::of(&depth, &floats).unwrap();
        assert_eq!([p.pixel(0, 0), p.pixel(1, 0), p.pixel(0, 1), p.pixel(1, 1)], [[0; 3], [127; 3], [255; 3], [0; 3]]);
        let wide: Vec<u8> = [0_u16, 500, 1000, 250].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let p = Picture::of(&image(ElementType::U16, 1, "mono16"), &wide).map(|p| [p.pixel(1, 0), p.pixel(0, 1)]);
        assert_eq!(p.ok(), Some([[127; 3], [255; 3]]), "dark numbers are stretched");
        let colours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let first = |e: &str| Picture::of(&image(ElementType::U8, 3, e), &colours).map(|p| p.pixel(1, 0)).ok();
        assert_eq!([first("rgb8"), first("bgr8"), first("8UC3")], [Some([4, 5, 6]), Some([6, 5, 4]), Some([6, 5, 4])]);
        let p = Picture::of(&image(ElementType::U8, 2, "yuyv"), &[10, 0, 20, 0, 30, 0, 40, 0]).map(|p| p.pixel(1, 1));
        assert_eq!(p.ok(), Some([40; 3]));
        assert!(Picture::of(&image(ElementType::U8, 1, "jpeg"), &[0; 4]).is_err_and(|e| e.contains("jpeg")));
        assert!(Picture::of(&depth, &floats[..12]).is_err_and(|e| e.contains("fewer")));
    }
}
