//! A screen as an SVG picture.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

const CELL: (u32, u32) = (8, 17);
const INK: &str = "#d8dee9";
const PAPER: &str = "#12151c";

fn colour(c: Color, plain: &str) -> String {
    let named = match c {
        Color::Black => "#000000",
        Color::Red => "#bf616a",
        Color::Green => "#a3be8c",
        Color::Yellow => "#ebcb8b",
        Color::Blue => "#5e81ac",
        Color::Magenta => "#b48ead",
        Color::Cyan => "#88c0d0",
        Color::Gray => "#a8b0bf",
        Color::DarkGray => "#6b7385",
        Color::LightRed => "#e08a8f",
        Color::LightGreen => "#b9d3a3",
        Color::LightYellow => "#f4dca4",
        Color::LightBlue => "#81a1c1",
        Color::LightMagenta => "#cbb0c6",
        Color::LightCyan => "#a9dbe6",
        Color::White => "#ffffff",
        Color::Rgb(r, g, b) => return format!("#{r:02x}{g:02x}{b:02x}"),
        _ => plain,
    };
    named.to_owned()
}

fn is_braille(c: char) -> bool {
    ('\u{2800}'..='\u{28ff}').contains(&c)
}

/// Dots as squares: not every viewer has letters for them.
fn braille(cells: &[ratatui::buffer::Cell], x: u32, y: u32) -> String {
    // Bits of the dots, row after row.
    const BITS: [(u32, u32, u32); 8] = [
        (0x01, 0, 0),
        (0x08, 1, 0),
        (0x02, 0, 1),
        (0x10, 1, 1),
        (0x04, 0, 2),
        (0x20, 1, 2),
        (0x40, 0, 3),
        (0x80, 1, 3),
    ];
    let mut path = String::new();
    for (i, cell) in cells.iter().enumerate() {
        let bits = cell.symbol().chars().next().filter(|&c| is_braille(c)).map_or(0, |c| u32::from(c) - 0x2800);
        for (_, dx, dy) in BITS.iter().filter(|b| bits & b.0 != 0) {
            let (px, py) = (x + i as u32 * CELL.0 + 1 + 4 * dx, y + 2 + 4 * dy);
            let _ = write!(path, "M{px},{py}h2v2h-2z");
        }
    }
    path
}

/// Cells of one look in a row become one text.
pub(super) fn picture(buffer: &Buffer) -> String {
    let (w, h) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (cw, ch) = CELL;
    let mut s = String::new();
    let _ = writeln!(
        s,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="monospace" font-size="13">"#,
        w * cw + 16,
        h * ch + 16
    );
    let _ = writeln!(s, r#"<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>"#);
    for (y, row) in buffer.content().chunks(w as usize).enumerate() {
        let mut x = 0;
        while x < row.len() {
            let look = |i: usize| {
                let c = &row[i];
                let (mut fg, mut bg) = (c.fg, c.bg);
                if c.modifier.contains(Modifier::REVERSED) {
                    (fg, bg) = (if bg == Color::Reset { Color::Black } else { bg }, fg);
                    bg = if bg == Color::Reset { Color::Gray } else { bg };
                }
                (fg, bg, c.modifier & (Modifier::BOLD | Modifier::DIM))
            };
            let (fg, bg, modifier) = look(x);
            let end = (x..row.len()).find(|&i| look(i) != (fg, bg, modifier)).unwrap_or(row.len());
            let text: String = row[x..end].iter().map(|c| c.symbol()).collect();
            let (px, py) = (8 + x as u32 * cw, 8 + y as u32 * ch);
            let len = (end - x) as u32 * cw;
            if bg != Color::Reset {
                let fill = colour(bg, PAPER);
                let _ = writeln!(s, r#"<rect x="{px}" y="{py}" width="{len}" height="{ch}" fill="{fill}"/>"#);
            }
            let dots = braille(&row[x..end], px, py);
            if !dots.is_empty() {
                let fill = colour(fg, INK);
                let _ = writeln!(s, r#"<path d="{dots}" fill="{fill}"/>"#);
            }
            let text = text.replace(is_braille, " ");
            if !text.trim().is_empty() {
                let fill = colour(fg, INK);
                let weight = if modifier.contains(Modifier::BOLD) { r#" font-weight="bold""# } else { "" };
                let dim = if modifier.contains(Modifier::DIM) { r#" opacity="0.6""# } else { "" };
                let text = text.trim_end().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let shown = text.chars().count() as u32 * cw;
                let base = py + 13;
                let _ = writeln!(
                    s,
                    r#"<text x="{px}" y="{base}" textLength="{shown}" fill="{fill}"{weight}{dim} xml:space="preserve">{text}</text>"#
                );
            }
            x = end;
        }
    }
    s.push_str("</svg>\n");
    s
}
