//! The first page: memory, rates, the newest frame, readers.

use super::panel;
use super::readers::readers_panel;
use super::slots::{slots_table, slots_title};
use super::streams::plot;
use crate::dashboard::memory;
use crate::dashboard::model::Model;
use crate::dashboard::theme::Theme;
use crate::look::{Facts, FrameFact, acquired_text, checksum_word};
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Sparkline, Table};
use shmx::ChecksumState;

pub(super) fn overview(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let wide = area.width >= 120;
    let tall = area.height >= 34;
    let bar_height = memory_height(f, area, tall, theme);
    let rates_height = if tall { 8 } else { 5 };
    let plot_height = if tall { (area.height - bar_height - rates_height) / 3 } else { 0 };
    let [bar, rates, rest, below] = Layout::vertical([
        Constraint::Length(bar_height),
        Constraint::Length(rates_height),
        Constraint::Min(0),
        Constraint::Length(plot_height),
    ])
    .areas(area);
    memory_panel(frame, bar, f, tall, theme);
    rates_panel(frame, rates, m, theme);
    let [left, right] = if wide {
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(rest)
    } else {
        Layout::horizontal([Constraint::Percentage(54), Constraint::Percentage(46)]).areas(rest)
    };
    newest_panel(frame, left, m, f, theme);
    if wide && right.height >= 14 {
        let taken = f.readers.iter().filter(|r| r.in_use).count() as u16;
        let slots_height = (f.slots.len() as u16 + 3).min(right.height - (taken + 3).clamp(4, right.height / 2));
        let [up, down] = Layout::vertical([Constraint::Min(0), Constraint::Length(slots_height)]).areas(right);
        readers_panel(frame, up, f, theme);
        let block = panel(slots_title(f), theme);
        frame.render_widget(slots_table(f, 0, down, theme).block(block), down);
    } else {
        readers_panel(frame, right, f, theme);
    }
    if plot_height >= 6 {
        plot(frame, below, m, theme);
    }
}

/// Width of the memory bar in a panel of this width.
pub(super) fn bar_width(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4))
}

pub(super) fn memory_height(f: &Facts, area: Rect, tall: bool, theme: Theme) -> u16 {
    let width = bar_width(area);
    let legend = memory::legend(f, width, theme).len() as u16;
    4 + legend + u16::from(tall || memory::is_squeezed(f, width))
}

/// The bar; where there is room, a second row, which shows the slots alone if they are narrow in the first.
pub(super) fn memory_panel(frame: &mut Frame, area: Rect, f: &Facts, tall: bool, theme: Theme) {
    let (n, total) = (f.slots.len() as u64, units::bytes(f.layout.total_bytes().into()));
    let each = units::bytes(f.layout.slot_stride().into());
    let squeezed = memory::is_squeezed(f, bar_width(area));
    let zoomed = if squeezed { ", enlarged below" } else { "" };
    let title = format!(" memory: {total}, {} of {each}{zoomed} ", units::count(n, "slot"));
    let block = panel(title, theme);
    let width = bar_width(area);
    let indent = |mut l: Line<'static>| {
        l.spans.insert(0, Span::raw(" "));
        l
    };
    let bar = memory::bar(f, width);
    let mut lines = vec![indent(memory::line(&bar, theme))];
    if squeezed {
        lines.push(indent(memory::line(&memory::zoom(f, width), theme)));
    } else if tall {
        lines.push(indent(memory::line(&bar, theme)));
    }
    lines.push(indent(memory::labels(f, width, theme)));
    lines.extend(memory::legend(f, width, theme).into_iter().map(indent));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

pub(super) fn rates_panel(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
    let h = &m.history;
    let dash = || "-".to_owned();
    let jitter = h.jitter_now().map_or_else(dash, |v| units::ns(v as u64));
    let parts = [
        ("rate", h.rate_now().map_or_else(dash, units::rate), &h.rate, units::rate as fn(f64) -> String),
        ("jitter", jitter, &h.jitter, (|v| units::ns(v as u64)) as fn(f64) -> String),
        ("bandwidth", h.bandwidth_now().map_or_else(dash, units::bandwidth), &h.bandwidth, units::bandwidth),
    ];
    let areas: [Rect; 3] = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas(area);
    for (i, ((name, now, list, format), area)) in parts.into_iter().zip(areas).enumerate() {
        let title = Line::from(vec![
            Span::styled(format!(" {name} "), theme.title()),
            Span::styled(format!("{now} "), theme.value()),
        ]);
        let mut block = panel(title, theme);
        let width = usize::from(block.inner(area).width);
        let shown: Vec<f64> = list.iter().rev().take(width).rev().copied().collect();
        let top = shown.iter().copied().fold(0.0, f64::max);
        if top > 0.0 {
            let text = format!(" max {} ", format(top));
            // The title goes first where both do not fit.
            if usize::from(area.width) > name.len() + now.chars().count() + text.chars().count() + 5 {
                block = block.title(Line::styled(text, theme.dim()).alignment(Alignment::Right));
            }
        }
        let inner = block.inner(area);
        frame.render_widget(block, area);
        // The newest at the right edge.
        let used = (shown.len() as u16).min(inner.width);
        let inner = Rect { x: inner.right() - used, width: used, ..inner };
        let scaled: Vec<u64> = shown.iter().map(|v| if top > 0.0 { (v / top * 10_000.0) as u64 } else { 0 }).collect();
        frame.render_widget(Sparkline::default().data(scaled).max(10_000).style(theme.series(i)), inner);
    }
}

pub(super) fn frame_lines(m: &Model, f: &Facts, theme: Theme) -> Vec<Line<'static>> {
    match &f.latest {
        None => vec![Line::styled("no frame yet", theme.dim())],
        Some(Err(e)) => vec![Line::styled(format!("unreadable: {e}"), theme.bad())],
        Some(Ok(n)) => {
            let age = n.age_ns.map(|a| format!(", {} ago", units::ns(a))).unwrap_or_default();
            let mut sum = Line::from(format!("{}, {}, ", units::bytes(n.bytes.into()), records(n)));
            sum.push_span(Span::styled(
                format!("checksum {}", checksum_word(n.checksum)),
                checksum_style(n.checksum, theme),
            ));
            let missed = match m.history.missed {
                0 => String::new(),
                n => format!("  ({n} missed)"),
            };
            let mut lines = vec![
                Line::from(vec![
                    Span::styled(format!("frame {}", n.id), theme.value()),
                    Span::raw(format!(" in slot {}{age}", n.slot)),
                ]),
                Line::from(format!("sim time {}{missed}", units_time(n.sim_time))),
                sum,
            ];
            if n.acquired_ns.is_some() {
                lines.push(Line::from(acquired_text(n.acquired_ns)));
            }
            if let Some(d) = &n.damage {
                lines.push(Line::styled(d.clone(), theme.bad()));
            }
            lines
        }
    }
}

/// The producer's own time; nobody knows its unit.
pub(super) fn units_time(t: f64) -> String {
    if t.abs() < 1e9 && t.fract().abs() > 0.0 { format!("{t:.3}") } else { t.to_string() }
}

pub(super) fn records(n: &FrameFact) -> String {
    units::count(n.tlvs.into(), "record")
}

pub(super) fn checksum_style(c: Option<ChecksumState>, theme: Theme) -> Style {
    match c {
        Some(ChecksumState::Verified) => theme.good(),
        Some(ChecksumState::Mismatch) => theme.bad(),
        _ => theme.dim(),
    }
}

pub(super) fn newest_panel(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let block = panel(" newest frame ", theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines = frame_lines(m, f, theme);
    let [up, down] = Layout::vertical([Constraint::Length(lines.len() as u16), Constraint::Min(0)]).areas(inner);
    frame.render_widget(Paragraph::new(lines), up);
    frame.render_widget(stream_table(m, f, down, theme), down);
}

/// The streams with as many values as the width has room for, the selected one in view.
pub(super) fn stream_table<'a>(m: &Model, f: &Facts, area: Rect, theme: Theme) -> Table<'a> {
    let all = m.streams();
    if let Err(e) = &f.directory {
        let row = Row::new([Cell::from(Text::styled(format!("directory unreadable: {e}"), theme.bad()))]);
        return Table::new([row], [Constraint::Min(0)]);
    }
    let wide = area.width >= 70;
    let rows_of_room = usize::from(area.height.saturating_sub(u16::from(area.height > 4)));
    // Where not all fit, the last line says how many are hidden.
    let hides = all.len() > rows_of_room;
    let visible = if hides { rows_of_room.saturating_sub(1).max(1) } else { rows_of_room };
    let first = m.stream.saturating_sub(visible.saturating_sub(1));
    let name_width =
        all.iter().map(|s| s.name().chars().count()).max().unwrap_or(4).clamp(if hides { 8 } else { 4 }, 20) as u16;
    let shape = all.iter().map(|s| s.shape().chars().count()).max().unwrap_or(1).clamp(5, 14) as u16;
    let ty = all.iter().map(|s| s.type_text().chars().count()).max().unwrap_or(1).clamp(4, 10) as u16;
    // What the other columns and the blanks between them leave.
    let others = 1 + name_width + ty + shape + 4 + if wide { 7 } else { 0 };
    let room = usize::from(area.width.saturating_sub(others)).max(4);
    let rows = all.iter().enumerate().skip(first).take(visible).map(|(i, s)| {
        let selected = i == m.stream;
        let values = if s.bytes == 0 {
            "not in this frame".to_owned()
        } else {
            let (first, shown) = (s.first_element(), s.elements(24));
            let skipped = if first > 0 { ".. " } else { "" };
            let more = (first as usize + shown.len()) < s.elem_count as usize;
            format!("{skipped}{}", units::values_in(&shown, more, room.saturating_sub(skipped.len())))
        };
        let mark = if selected { ">" } else { " " };
        let style = if selected { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        let mut cells = vec![Cell::from(mark)];
        if wide {
            cells.push(Cell::from(s.id.to_string()));
        }
        cells.push(Cell::from(units::cut(&s.name(), usize::from(name_width))));
        cells.push(Cell::from(Span::styled(units::cut(&s.type_text(), usize::from(ty)), theme.dim())));
        cells.push(Cell::from(Span::styled(units::cut(&s.shape(), usize::from(shape)), theme.dim())));
        cells.push(Cell::from(Span::styled(values, if s.bytes == 0 { theme.dim() } else { theme.value() })));
        Row::new(cells).style(style)
    });
    let mut widths = vec![Constraint::Length(1)];
    let mut head = vec![""];
    if wide {
        widths.push(Constraint::Length(6));
        head.push("id");
    }
    widths.extend([
        Constraint::Length(name_width),
        Constraint::Length(ty),
        Constraint::Length(shape),
        Constraint::Min(4),
    ]);
    head.extend(["name", "type", "shape", "values"]);
    let mut rows: Vec<Row> = rows.collect();
    if hides {
        let more = Span::styled(format!("+{} more", all.len() - visible), theme.dim());
        let before = if wide { 2 } else { 1 };
        rows.push(Row::new(std::iter::repeat_n(Cell::from(""), before).chain([Cell::from(more)])));
    }
    let table = Table::new(rows, widths).column_spacing(1);
    if area.height > 4 { table.header(Row::new(head).style(theme.dim())) } else { table }
}
