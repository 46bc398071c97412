//! What several pages draw: headings and cells.

use crate::screens::theme::Theme;
use crate::units;
use ratatui::layout::Alignment;
use ratatui::style::Style;
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row};
use shmx::ChecksumState;

pub(super) fn heading<'a>(names: &[&'a str], right: std::ops::Range<usize>, theme: Theme) -> Row<'a> {
    let cell = |(i, name): (usize, &&'a str)| {
        let text = Text::from(*name);
        Cell::from(if right.contains(&i) { text.alignment(Alignment::Right) } else { text })
    };
    Row::new(names.iter().enumerate().map(cell).collect::<Vec<_>>()).style(theme.dim())
}

pub(super) fn ago_cell(n: Option<u64>) -> String {
    n.map_or_else(|| "-".to_owned(), units::ns)
}

pub(super) fn checksum_style(c: Option<ChecksumState>, theme: Theme) -> Style {
    match c {
        Some(ChecksumState::Verified) => theme.good(),
        Some(ChecksumState::Mismatch) => theme.bad(),
        _ => theme.dim(),
    }
}

/// The producer's own time; nobody knows its unit.
pub(super) fn units_time(t: f64) -> String {
    if t.abs() < 1e9 && t.fract().abs() > 0.0 { format!("{t:.3}") } else { t.to_string() }
}
