//! A screen as SVG, for the documents: same screen, same bytes.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// Size of a cell; the font's advance is 0.6 of its size.
const WIDTH: f64 = 8.4;
const HEIGHT: u32 = 17;
const FONT: u32 = 14;
const PAPER: &str = "#12161c";
const INK: &str = "#d8dee6";

fn hex(c: Color) -> Option<String> {
    let Color::Indexed(n) = c else { return None };
    let [r, g, b] = match n {
        16..=231 => {
            let step = |v: u8| if v == 0 { 0 } else { 55 + v * 40 };
            [step((n - 16) / 36), step((n - 16) / 6 % 6), step((n - 16) % 6)]
        }
        232..=255 => [8 + (n - 232) * 10; 3],
        _ => [0xd8, 0xde, 0xe6],
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}

/// Ink, paper and attributes of a cell.
fn look(c: &Cell) -> (String, Option<String>, String) {
    let mut ink = hex(c.fg).unwrap_or_else(|| INK.into());
    let mut paper = hex(c.bg);
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
