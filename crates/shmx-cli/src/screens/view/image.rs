//! An image in a terminal: in cells, or for a protocol of the terminal.

use super::shown::Shown;
use crate::picture::Picture;
use crate::screens::graphics::{Bitmap, Images};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::widgets::{Paragraph, Wrap};
use shmx_record::ImageInfo;

/// Draws an image, or gives what a protocol of the terminal is to draw over these cells.
pub(super) fn draw(f: &mut Frame<'_>, inner: Rect, s: &Shown, colours: bool, how: Images) -> Option<Bitmap> {
    let image = ImageInfo::of(&s.info)?;
    let picture = match Picture::of(&image, &s.data) {
        Ok(picture) => picture,
        Err(why) => {
            f.render_widget(Paragraph::new(why).wrap(Wrap { trim: true }), inner);
            return None;
        }
    };
    let (w, h) = (image.width as usize, image.height as usize);
    // Two pixels in each cell, one above the other; the picture keeps its shape.
    let (cols, rows) = (inner.width as usize, 2 * inner.height as usize);
    let scale = (w as f64 / cols.max(1) as f64).max(h as f64 / rows.max(1) as f64);
    let (cols, rows) = (((w as f64 / scale) as usize).min(cols), ((h as f64 / scale) as usize).min(rows));
    if colours && how != Images::Blocks {
        return Some(bitmap(&picture, (w, h), Rect { width: cols as u16, height: (rows / 2) as u16, ..inner }));
    }
    let pixel = |x: usize, y: usize| picture.pixel((x as f64 * scale) as usize, (y as f64 * scale) as usize);
    for row in 0..rows / 2 {
        for column in 0..cols {
            let Some(cell) = f.buffer_mut().cell_mut((inner.x + column as u16, inner.y + row as u16)) else {
                continue;
            };
            let (upper, lower) = (pixel(column, 2 * row), pixel(column, 2 * row + 1));
            if colours {
                let colour = |[r, g, b]: [u8; 3]| Color::Rgb(r, g, b);
                cell.set_symbol("▀").set_fg(colour(upper)).set_bg(colour(lower));
            } else {
                cell.set_symbol(shade(upper, lower));
            }
        }
    }
    None
}

/// A picture for these cells, with no more pixels than they have and than a terminal takes quickly.
fn bitmap(picture: &Picture<'_>, (w, h): (usize, usize), cells: Rect) -> Bitmap {
    const MOST: f64 = 400_000.0;
    let size = ratatui::crossterm::terminal::window_size().ok();
    let size = size.filter(|s| s.columns > 0 && s.rows > 0 && s.width >= s.columns && s.height >= s.rows);
    let cell = size.map_or((10, 20), |s| (s.width / s.columns, s.height / s.rows));
    let room = (usize::from(cells.width) * usize::from(cell.0), usize::from(cells.height) * usize::from(cell.1));
    let (width, height) = (w.min(room.0).max(1), h.min(room.1).max(1));
    let shrink = (MOST / (width * height) as f64).sqrt().min(1.0);
    let (width, height) = (((width as f64 * shrink) as usize).max(1), ((height as f64 * shrink) as usize).max(1));
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        (0..width).for_each(|x| rgb.extend_from_slice(&picture.pixel(x * w / width, y * h / height)));
    }
    Bitmap { width, height, rgb, cells: (cells.width, cells.height), at: (cells.x, cells.y) }
}

/// Two pixels as one character of about their brightness.
fn shade(upper: [u8; 3], lower: [u8; 3]) -> &'static str {
    const RAMP: [&str; 10] = [" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"];
    let luma = |[r, g, b]: [u8; 3]| (u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114) / 1000;
    RAMP[((luma(upper) + luma(lower)) / 2 * 10 / 256) as usize]
}
