//! A picture of glowing points: drawn into memory, shown in a terminal or written as PNG.

use anyhow::Context;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use std::path::Path;

/// Where one looks from.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    /// Turn around the vertical axis, radians.
    pub yaw: f32,
    /// Turn up or down, radians.
    pub pitch: f32,
    /// Half the width of what is seen.
    pub extent: f32,
}

impl Default for Camera {
    fn default() -> Self {
        Self { yaw: 0.0, pitch: 0.5, extent: 2.6 }
    }
}

/// A picture that adds up light.
#[derive(Clone, Debug)]
pub struct Picture {
    width: usize,
    height: usize,
    light: Vec<[f32; 3]>,
}

impl Picture {
    /// A dark picture.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, light: vec![[0.0; 3]; width * height] }
    }

    /// Makes it dark and gives it a size.
    pub fn clear(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.light.clear();
        self.light.resize(width * height, [0.0; 3]);
    }

    /// Adds a light between pixels, spread over the four around it.
    fn glow(&mut self, x: f32, y: f32, colour: [f32; 3]) {
        let (fx, fy) = (x.floor(), y.floor());
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let (px, py) = (fx as i64 + dx, fy as i64 + dy);
            if px < 0 || py < 0 || px >= self.width as i64 || py >= self.height as i64 {
                continue;
            }
            let k = (1.0 - (x - px as f32).abs()) * (1.0 - (y - py as f32).abs());
            let p = &mut self.light[py as usize * self.width + px as usize];
            for (c, v) in p.iter_mut().zip(colour) {
                *c += v * k;
            }
        }
    }

    /// Draws points; their colour follows their speed, from red over white to blue.
    pub fn stars(&mut self, camera: Camera, positions: &[[f32; 3]], velocities: &[[f32; 3]], brightness: f32) {
        let (sy, cy) = camera.yaw.sin_cos();
        let (sp, cp) = camera.pitch.sin_cos();
        let scale = self.width.min(self.height) as f32 / (2.0 * camera.extent);
        let (mx, my) = (self.width as f32 / 2.0, self.height as f32 / 2.0);
        for (i, p) in positions.iter().enumerate() {
            let (x, z) = (p[0] * cy + p[2] * sy, p[2] * cy - p[0] * sy);
            let (y, depth) = (p[1] * cp - z * sp, p[1] * sp + z * cp);
            let near = 1.0 / (1.0 - (depth / 8.0).clamp(-2.0, 0.7));
            let v = velocities.get(i).map_or(0.5, |v| (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt());
            let t = (v / 1.6).clamp(0.0, 1.0);
            let colour = [1.0 - 0.75 * t, 0.45 + 0.2 * (1.0 - (2.0 * t - 1.0).abs()), 0.3 + 0.7 * t];
            self.glow(mx + x * scale * near, my - y * scale * near, colour.map(|c| c * brightness * near));
        }
    }

    /// Lets light spread a little, as in a photograph; `radius` in pixels.
    pub fn bloom(&mut self, radius: usize) {
        let mut soft = self.light.clone();
        let (w, h) = (self.width, self.height);
        let mut line = Vec::new();
        // Twice the mean over a window in each direction is nearly a bell curve.
        for pass in 0..4 {
            let (outer, inner) = if pass % 2 == 0 { (h, w) } else { (w, h) };
            for o in 0..outer {
                let at = |i: usize| if pass % 2 == 0 { o * w + i } else { i * w + o };
                line.clear();
                line.extend((0..inner).map(|i| soft[at(i)]));
                let mut sum = [0.0_f32; 3];
                let wide = (2 * radius + 1) as f32;
                for i in 0..inner + radius {
                    for c in 0..3 {
                        sum[c] += line.get(i).map_or(0.0, |l| l[c]);
                        sum[c] -= i.checked_sub(2 * radius + 1).map_or(0.0, |j| line[j][c]);
                        if i >= radius {
                            soft[at(i - radius)][c] = sum[c] / wide;
                        }
                    }
                }
            }
        }
        for (l, s) in self.light.iter_mut().zip(soft) {
            for (l, s) in l.iter_mut().zip(s) {
                *l += 1.5 * s.max(0.0);
            }
        }
    }

    /// A pixel as it is shown: much light becomes white instead of more.
    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let light = self.light.get(y * self.width + x).copied().unwrap_or_default();
        let peak = light.iter().fold(0.0_f32, |a, &b| a.max(b));
        light.map(|c| {
            let white = (peak - 1.5).max(0.0) * 0.3;
            (255.0 * (1.0 - (-(c + white)).exp()).powf(0.8)) as u8
        })
    }

    /// Draws into cells of a terminal, two pixels in each: upper half blocks in two colours.
    pub fn show(&self, area: Rect, buf: &mut Buffer) {
        for row in 0..area.height {
            for column in 0..area.width {
                let (x, y) = (column as usize, 2 * row as usize);
                if x >= self.width || y + 1 >= self.height {
                    continue;
                }
                let [above, below] = [y, y + 1].map(|y| self.pixel(x, y));
                let Some(cell) = buf.cell_mut((area.x + column, area.y + row)) else { continue };
                let rgb = |[r, g, b]: [u8; 3]| Color::Rgb(r, g, b);
                cell.set_symbol("▀").set_fg(rgb(above)).set_bg(rgb(below));
            }
        }
    }

    /// Draws into cells of a terminal without colours: eight dots in each, where there is light enough.
    pub fn show_dots(&self, area: Rect, buf: &mut Buffer) {
        // Bits of the dots of a braille character, column after column.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        for row in 0..area.height {
            for column in 0..area.width {
                let mut bits = 0;
                for (dx, bits_of) in BITS.iter().enumerate() {
                    for (dy, bit) in bits_of.iter().enumerate() {
                        let (x, y) = (2 * column as usize + dx, 4 * row as usize + dy);
                        let lit = x < self.width
                            && self.light.get(y * self.width + x).is_some_and(|l| l.iter().any(|&c| c > 0.25));
                        bits |= if lit { *bit } else { 0 };
                    }
                }
                let Some(cell) = buf.cell_mut((area.x + column, area.y + row)) else { continue };
                cell.set_char(char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' '));
            }
        }
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_png(&self, path: &Path) -> anyhow::Result<()> {
        let file = std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let pixels: Vec<u8> =
            (0..self.height).flat_map(|y| (0..self.width).flat_map(move |x| self.pixel(x, y))).collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(())
    }
}
