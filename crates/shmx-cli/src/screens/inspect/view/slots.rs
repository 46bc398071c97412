//! What each slot holds.

use super::memory_panel::{memory_height, memory_panel};
use super::parts::{ago_cell, checksum_style, heading, units_time};
use crate::look::{Facts, SlotFact, SlotKind, checksum_word};
use crate::screens::inspect::model::Model;
use crate::screens::parts::panel;
use crate::screens::theme::{Theme, glyph};
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};

pub(super) fn slots_title(f: &Facts) -> String {
    let n = |k: SlotKind| f.slots.iter().filter(|s| s.kind == k).count();
    let mut title = format!(" slots: {}", f.slots.len());
    for k in [SlotKind::Writing, SlotKind::Leased, SlotKind::Bad] {
        if n(k) > 0 {
            title.push_str(&format!(", {} {}", n(k), k.word()));
        }
    }
    title + " "
}

/// How much a slot table has room for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Small,
    Middle,
    Large,
    /// Also for the reasons of bad slots.
    Huge,
}

impl Room {
    const fn of(width: u16) -> Self {
        match width {
            0..72 => Self::Small,
            72..100 => Self::Middle,
            100..160 => Self::Large,
            _ => Self::Huge,
        }
    }
}

pub(super) fn slot_row(s: &SlotFact, room: Room, theme: Theme) -> Row<'static> {
    let right = |s: String| Text::from(s).alignment(Alignment::Right);
    let state = if s.newest && s.kind != SlotKind::Newest {
        format!("{} {}, newest", glyph(s.kind), s.kind.word())
    } else {
        format!("{} {}", glyph(s.kind), s.kind.word())
    };
    let mut cells = vec![Cell::from(s.index.to_string()), Cell::from(Span::styled(state, theme.slot(s.kind)))];
    let some = |text: String| if s.has_frame() { text } else { String::new() };
    cells.push(Cell::from(right(some(s.frame_id.to_string()))));
    cells.push(Cell::from(right(some(ago_cell(s.age_ns)))));
    if room > Room::Small {
        cells.push(Cell::from(right(some(units_time(s.sim_time)))));
    }
    cells.push(Cell::from(right(some(units::bytes(s.bytes.into())))));
    if room >= Room::Large {
        cells.push(Cell::from(right(some(s.tlvs.to_string()))));
    }
    let sum = if s.has_frame() { checksum_word(s.checksum) } else { "" };
    cells.push(Cell::from(Span::styled(sum, checksum_style(s.checksum, theme))));
    let last = match &s.why {
        Some(why) if room == Room::Huge => Span::styled(why.clone(), theme.bad()),
        _ if s.leased_by.is_empty() => Span::raw(""),
        _ => {
            let who: Vec<String> = s.leased_by.iter().map(ToString::to_string).collect();
            Span::styled(format!("reader {}", who.join(" ")), theme.slot(SlotKind::Leased))
        }
    };
    cells.push(Cell::from(last));
    Row::new(cells)
}

pub(super) fn slots_table<'a>(f: &Facts, skip: usize, area: Rect, theme: Theme) -> Table<'a> {
    let room = Room::of(area.width);
    let rows = f.slots.iter().skip(skip).map(|s| slot_row(s, room, theme));
    let mut head = vec!["#", "state", "frame", "age"];
    let mut widths = [4, 16, 9, 8].map(Constraint::Length).to_vec();
    if room > Room::Small {
        head.push("sim time");
        widths.push(Constraint::Length(10));
    }
    head.push("bytes");
    widths.push(Constraint::Length(9));
    if room >= Room::Large {
        head.push("records");
        widths.push(Constraint::Length(7));
    }
    let right = 2..head.len();
    head.extend(["sum", "leased by"]);
    widths.extend([Constraint::Length(if room >= Room::Large { 11 } else { 5 }), Constraint::Min(8)]);
    Table::new(rows.collect::<Vec<_>>(), widths).header(heading(&head, right, theme))
}

pub(super) fn slots_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let bar_height = memory_height(f, area, false, theme);
    // What is wrong with bad slots goes below the table where it has no room for it.
    let bad: Vec<&SlotFact> = f.slots.iter().filter(|s| s.why.is_some()).collect();
    let notes = if Room::of(area.width) == Room::Huge { 0 } else { bad.len() as u16 };
    let notes = if notes == 0 { 0 } else { (notes * 2 + 2).min(area.height / 3) };
    let [bar, list, below] =
        Layout::vertical([Constraint::Length(bar_height), Constraint::Min(0), Constraint::Length(notes)]).areas(area);
    memory_panel(frame, bar, f, false, theme);
    let table = slots_table(f, m.scroll, list, theme).block(panel(slots_title(f), theme));
    frame.render_widget(table, list);
    if notes > 0 {
        let why = |s: &&SlotFact| Line::from(format!("slot {}: {}", s.index, s.why.as_deref().unwrap_or("")));
        let lines: Vec<Line> = bad.iter().map(why).collect();
        let text = Paragraph::new(lines).style(theme.bad()).wrap(Wrap { trim: true });
        frame.render_widget(text.block(panel(" bad slots ", theme)), below);
    }
}
