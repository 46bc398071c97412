//! Who reads, and how far behind.

use super::parts::{ago_cell, heading};
use crate::look::{Facts, ReaderFact};
use crate::screens::inspect::model::Model;
use crate::screens::parts::panel;
use crate::screens::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

pub(super) fn readers_title(f: &Facts) -> String {
    let taken = f.readers.iter().filter(|r| r.in_use).count();
    format!(" readers: {taken} of {} ", f.readers.len())
}

/// In a word, and whether it is a bad one.
pub(super) fn reader_state(r: &ReaderFact, f: &Facts) -> (&'static str, bool) {
    match (r.in_use, r.is_dead(), r.own) {
        (false, ..) => ("free", false),
        (true, true, _) => ("DEAD", true),
        (true, false, Some(_)) if r.last_frame == 0 => ("new", false),
        (true, false, Some(_)) if r.lag >= f.slots.len() as u64 => ("LAPPED", true),
        (true, false, Some(e)) if e.waiting => ("waiting", false),
        (true, false, Some(_)) => ("reading", false),
        (true, false, None) => ("no lock", false),
    }
}

pub(super) fn reader_name(r: &ReaderFact) -> String {
    match (&r.own, &r.program) {
        (Some(e), Some(p)) => format!("{} {p}", e.pid),
        (Some(e), None) => e.pid.to_string(),
        _ => format!("{:08x}", r.id as u32),
    }
}

/// A lag that will lose frames, or has.
pub(super) fn lag_style(r: &ReaderFact, f: &Facts, theme: Theme) -> Style {
    let slots = f.slots.len() as u64;
    if r.lag >= slots {
        theme.bad()
    } else if r.lag * 2 > slots {
        theme.warning()
    } else {
        Style::new()
    }
}

pub(super) fn readers_panel(frame: &mut Frame, area: Rect, f: &Facts, theme: Theme) {
    let block = panel(readers_title(f), theme);
    let taken: Vec<&ReaderFact> = f.readers.iter().filter(|r| r.in_use).collect();
    if taken.is_empty() {
        let text = if f.readers.is_empty() { "the region has no reader slots" } else { "nobody reads" };
        frame.render_widget(Paragraph::new(Line::styled(text, theme.dim())).block(block), area);
        return;
    }
    let wide = area.width >= 72;
    let rows = taken.iter().map(|r| {
        let (state, bad) = reader_state(r, f);
        let style = if bad { theme.bad() } else { Style::new() };
        let mut cells = vec![
            Cell::from(r.index.to_string()),
            Cell::from(reader_name(r)),
            Cell::from(Span::styled(state, style)),
            Cell::from(Text::from(r.lag.to_string()).alignment(Alignment::Right)).style(lag_style(r, f, theme)),
            Cell::from(Text::from(r.leases.to_string()).alignment(Alignment::Right)),
        ];
        if wide {
            cells.push(Cell::from(Text::from(ago_cell(r.heartbeat_age_ns)).alignment(Alignment::Right)));
            let missed = r.own.map_or_else(|| "-".to_owned(), |e| e.missed.to_string());
            cells.push(Cell::from(Text::from(missed).alignment(Alignment::Right)));
            cells.push(Cell::from(ring_text(r, 10, theme)));
        }
        Row::new(cells)
    });
    let mut head = vec!["#", "process", "state", "lag", "L"];
    let mut widths = vec![
        Constraint::Length(3),
        Constraint::Min(8),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(2),
    ];
    if wide {
        head.extend(["heard", "missed", "ring"]);
        widths.extend([Constraint::Length(8), Constraint::Length(8), Constraint::Length(14)]);
    }
    let table = Table::new(rows.collect::<Vec<_>>(), widths).header(heading(&head, 3..7, theme));
    frame.render_widget(table.block(block), area);
}

/// How full a control ring is: a gauge of `width` cells and a number.
pub(super) fn ring_text(r: &ReaderFact, width: usize, theme: Theme) -> Line<'static> {
    let Some(ring) = r.ring else { return Line::styled("none", theme.dim()) };
    let Some(waiting) = ring.waiting else { return Line::styled("DAMAGED", theme.bad()) };
    let capacity = ring.capacity.max(1);
    let full = (waiting * width as u64).div_ceil(capacity) as usize;
    let percent = (waiting * 100).div_ceil(capacity);
    let style = if percent >= 75 { theme.warning() } else { theme.series(2) };
    let mut text = String::new();
    (0..width).for_each(|i| text.push(if i < full { '■' } else { '·' }));
    Line::from(vec![Span::styled(text, style), Span::raw(format!(" {percent}%"))])
}

pub(super) fn readers_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let wide = area.width >= 110;
    let ids = area.width >= 140;
    let block = panel(readers_title(f), theme);
    let right = |s: String| Text::from(s).alignment(Alignment::Right);
    let rows = f.readers.iter().skip(m.scroll).map(|r| {
        if !r.in_use {
            let mut cells = vec![Cell::from(r.index.to_string()), Cell::from("free")];
            cells.resize(9 + 2 * usize::from(wide) + usize::from(ids), Cell::from(""));
            let stale = r.ring.is_some_and(|ring| ring.waiting != Some(0));
            if stale {
                let last = cells.len() - 1;
                cells[last] = Cell::from(ring_text(r, 4, theme));
            }
            return Row::new(cells).style(theme.dim());
        }
        let (state, bad) = reader_state(r, f);
        let own = |pick: fn(shmx::abi::extension::ReaderExtension) -> u64| {
            r.own.map_or_else(|| "-".to_owned(), |e| pick(e).to_string())
        };
        let mut cells = vec![
            Cell::from(r.index.to_string()),
            Cell::from(Span::styled(state, if bad { theme.bad() } else { theme.good() })),
            Cell::from(reader_name(r)),
        ];
        if ids {
            cells.push(Cell::from(format!("{:016x}", r.id)));
        }
        cells.push(Cell::from(right(r.last_frame.to_string())));
        cells.push(Cell::from(right(r.lag.to_string())).style(lag_style(r, f, theme)));
        cells.push(Cell::from(right(ago_cell(r.heartbeat_age_ns))));
        cells.push(Cell::from(right(r.leases.to_string())));
        if wide {
            cells.push(Cell::from(right(own(|e| e.delivered))));
        }
        cells.push(Cell::from(right(own(|e| e.missed))));
        if wide {
            cells.push(Cell::from(right(own(|e| e.rejected))));
        }
        cells.push(Cell::from(ring_text(r, if wide { 12 } else { 4 }, theme)));
        Row::new(cells)
    });
    let mut head = vec!["#", "state", "process"];
    let mut widths = vec![Constraint::Length(3), Constraint::Length(7), Constraint::Min(12)];
    if ids {
        head.push("reader id");
        widths.push(Constraint::Length(16));
    }
    let first = head.len();
    head.extend(["frame", "lag", "heard", "leases"]);
    widths.extend([9, 6, 8, 6].map(Constraint::Length));
    if wide {
        head.push("delivered");
        widths.push(Constraint::Length(10));
    }
    head.push("missed");
    widths.push(Constraint::Length(8));
    if wide {
        head.push("rejected");
        widths.push(Constraint::Length(8));
    }
    let last = head.len();
    head.push("control ring");
    widths.push(Constraint::Length(if wide { 18 } else { 12 }));
    let table = Table::new(rows.collect::<Vec<_>>(), widths).header(heading(&head, first..last, theme)).block(block);
    frame.render_widget(table, area);
}
