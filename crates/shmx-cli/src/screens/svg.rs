//! A screen as an SVG picture: same screen, same bytes.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// Size of a cell; the font's advance is 0.6 of its size.
const WIDTH: f64 = 8.4;
const HEIGHT: u32 = 17;
const FONT: u32 = 14;
const PAPER: &str = "#12161c";
const INK: &str = "#d8dee6";
/// The sixteen colours that terminals name.
const NAMED: [[u8; 3]; 16] = [
    [0x00, 0x00, 0x00],
    [0xbf, 0x61, 0x6a],
    [0xa3, 0xbe, 0x8c],
    [0xeb, 0xcb, 0x8b],
    [0x5e, 0x81, 0xac],
    [0xb4, 0x8e, 0xad],
    [0x88, 0xc0, 0xd0],
    [0xa8, 0xb0, 0xbf],
    [0x6b, 0x73, 0x85],
    [0xe0, 0x8a, 0x8f],
    [0xb9, 0xd3, 0xa3],
    [0xf4, 0xdc, 0xa4],
    [0x81, 0xa1, 0xc1],
    [0xcb, 0xb0, 0xc6],
    [0xa9, 0xdb, 0xe6],
    [0xff, 0xff, 0xff],
];

/// None for the terminal's own colour.
fn colour(c: Color) -> Option<String> {
    let [r, g, b] = match c {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Indexed(n) => match n {
            16..=231 => {
                let step = |v: u8| if v == 0 { 0 } else { 55 + v * 40 };
                [step((n - 16) / 36), step((n - 16) / 6 % 6), step((n - 16) % 6)]
            }
            232..=255 => [8 + (n - 232) * 10; 3],
            _ => NAMED[usize::from(n)],
        },
        named => {
            let all = [
                Color::Black,
                Color::Red,
                Color::Green,
                Color::Yellow,
                Color::Blue,
                Color::Magenta,
                Color::Cyan,
                Color::Gray,
                Color::DarkGray,
                Color::LightRed,
                Color::LightGreen,
                Color::LightYellow,
                Color::LightBlue,
                Color::LightMagenta,
                Color::LightCyan,
                Color::White,
            ];
            NAMED[all.iter().position(|&c| c == named)?]
        }
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}

/// Ink, paper and attributes of a cell.
fn look(c: &Cell) -> (String, Option<String>, String) {
    let mut ink = colour(c.fg).unwrap_or_else(|| INK.into());
    let mut paper = colour(c.bg);
    if c.modifier.contains(Modifier::REVERSED) {
        let under = paper.unwrap_or_else(|| PAPER.into());
        paper = Some(std::mem::replace(&mut ink, under));
    }
    let mut more = String::new();
    if c.modifier.contains(Modifier::BOLD) {
        more.push_str(" font-weight=\"bold\"");
    }
    if c.modifier.contains(Modifier::DIM) {
        more.push_str(" opacity=\"0.6\"");
    }
    (ink, paper, more)
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn is_braille(c: char) -> bool {
    ('\u{2800}'..='\u{28ff}').contains(&c)
}

/// The dots of such letters as squares, which not every font has: a path from this corner on.
fn dots(text: &str, left: f64, top: u32) -> String {
    // Bits of the dots, row after row.
    const BITS: [u32; 8] = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
    let mut path = String::new();
    for (i, c) in text.chars().enumerate().filter(|&(_, c)| is_braille(c)) {
        let bits = u32::from(c) - 0x2800;
        for at in (0..8).filter(|&at| bits & BITS[at as usize] != 0) {
            let x = left + i as f64 * WIDTH + 1.1 + WIDTH / 2.0 * f64::from(at % 2);
            let _ = write!(path, "M{x:.1} {}h2v2h-2z", top + 1 + 4 * (at / 2));
        }
    }
    path
}

/// Browsers of today heed `white-space` of the texts, and `xml:space` of nothing above them.
pub(crate) fn render(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (w, h) = (f64::from(columns) * WIDTH + 16.0, u32::from(rows) * HEIGHT + 16);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h}\" width=\"{w:.0}\" height=\"{h}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <style>text{{white-space:pre}}</style>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"{FONT}\" xml:space=\"preserve\">\n"
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let style = look(&buffer[(x, y)]);
            let start = x;
            let mut text = String::new();
            while x < columns && look(&buffer[(x, y)]) == style {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            let (ink, paper, more) = style;
            let (left, length) = (8.0 + f64::from(start) * WIDTH, f64::from(x - start) * WIDTH);
            let top = 8 + u32::from(y) * HEIGHT;
            if let Some(paper) = paper {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top}\" width=\"{length:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
                );
            }
            let path = dots(&text, left, top);
            if !path.is_empty() {
                let _ = writeln!(svg, "<path d=\"{path}\" fill=\"{ink}\"/>");
            }
            let text = text.replace(is_braille, " ");
            if text.trim().is_empty() {
                continue;
            }
            let base = top + FONT - 1;
            // The length keeps columns in line whatever font is there.
            let _ = writeln!(
                svg,
                "<text x=\"{left:.1}\" y=\"{base}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
                 fill=\"{ink}\"{more}>{}</text>",
                escape(&text)
            );
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}
