//! Draws a model. Nothing here looks at a region, a clock or the terminal.

use super::input;
use super::memory;
use super::model::{Model, Page};
use super::theme::{Theme, glyph};
use crate::look::{
    Facts, FrameFact, Look, ReaderFact, SlotFact, SlotKind, checksum_word, flags, sections, server_word,
};
use crate::ls;
use crate::report::field_value;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{
    Axis, Block, BorderType, Cell, Chart, Clear, Dataset, GraphType, Paragraph, Row, Sparkline, Table, Wrap,
};
use shmx::{ChecksumState, HeaderReport, ServerState};

/// Below this size the screen says so and shows what fits.
pub(crate) const SMALLEST: (u16, u16) = (80, 24);

pub(crate) fn draw(frame: &mut Frame, m: &Model, theme: Theme) {
    let area = frame.area();
    if area.width < 20 || area.height < 5 {
        frame.render_widget(Paragraph::new("too small").wrap(Wrap { trim: true }), area);
        return;
    }
    let [title, tabs, body, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(title_line(m, theme, title.width), title);
    frame.render_widget(tab_line(m, theme, area), tabs);
    frame.render_widget(key_line(m, theme), keys);
    match (&m.target, &m.look) {
        (None, _) => picker(frame, body, m, theme),
        (Some(_), Some(Look::Region(f))) => match m.page {
            Page::Overview => overview(frame, body, m, f, theme),
            Page::Streams => streams(frame, body, m, f, theme),
            Page::Readers => readers_page(frame, body, m, f, theme),
            Page::Slots => slots_page(frame, body, m, f, theme),
            Page::Plot => plot_page(frame, body, m, f, theme),
            Page::Layout => layout_page(frame, body, f, theme),
        },
        (Some(_), Some(Look::Damaged(r))) => damaged(frame, body, m, r, theme),
        (Some(t), Some(Look::Missing(why))) => missing(frame, body, &t.text(), why, m.now, theme),
        (Some(t), None) => missing(frame, body, &t.text(), "looking", m.now, theme),
    }
    if m.help {
        help(frame, body, theme);
    }
}

fn panel<'a>(title: impl Into<Line<'a>>, theme: Theme) -> Block<'a> {
    let title: Line = title.into();
    Block::bordered().border_type(BorderType::Rounded).border_style(theme.border()).title(title.style(theme.title()))
}

/// Splits the width between the ends of a line.
fn ends<'a>(mut left: Line<'a>, right: Line<'a>, width: u16) -> Line<'a> {
    let room = usize::from(width).saturating_sub(left.width());
    if right.width() < room {
        left.push_span(Span::raw(" ".repeat(room - right.width())));
        left.spans.extend(right.spans);
    }
    left
}

fn title_line(m: &Model, theme: Theme, width: u16) -> Line<'static> {
    let mut left = Line::from(Span::styled(" shmx ", theme.title().add_modifier(Modifier::REVERSED)));
    let Some(target) = &m.target else {
        left.push_span(" regions of this machine");
        return left;
    };
    left.push_span(Span::styled(format!(" {} ", target.text()), Style::new().add_modifier(Modifier::BOLD)));
    let mut right = Line::default();
    match &m.look {
        Some(Look::Region(f)) => {
            let (sign, style) = theme.server(f.server);
            let word = if f.file { "dump" } else { server_word(f.server) };
            left.push_span(Span::styled(format!("{sign} {word}"), style));
            if let Some(r) = m.history.rate_now().filter(|_| !f.file) {
                left.push_span(Span::styled(format!("  {}", units::rate(r)), theme.value()));
            }
            if f.features.is_extended() {
                let program = f.program.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
                right.push_span(format!("pid {}{program}  ", f.header.ext_server_pid));
            }
            right.push_span(format!("{} ", units::bytes(f.layout.total_bytes().into())));
        }
        Some(Look::Damaged(_)) => left.push_span(Span::styled("X damaged", theme.bad())),
        _ => left.push_span(Span::styled("○ not there", theme.warning())),
    }
    if m.restarts > 0 {
        left.push_span(Span::styled(format!("  restarted {}x", m.restarts), theme.warning()));
    }
    if m.paused {
        left.push_span(Span::styled("  HELD", theme.warning().add_modifier(Modifier::REVERSED)));
    }
    ends(left, right, width)
}

fn tab_line(m: &Model, theme: Theme, area: Rect) -> Line<'static> {
    let mut line = Line::from(" ");
    if m.target.is_none() {
        return line;
    }
    for (i, page) in Page::ALL.into_iter().enumerate() {
        let style = if page == m.page { theme.selected() } else { theme.dim() };
        line.push_span(Span::styled(format!(" {} {} ", i + 1, page.title()), style));
    }
    let mut right = Line::default();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        right.push_span(Span::styled("small screen ", theme.warning()));
    }
    if let Some(f) = m.facts()
        && !f.named
    {
        let text = if f.server == ServerState::Closed { "waiting for a new server " } else { "its name is gone " };
        right = Line::from(Span::styled(text, theme.warning()));
    }
    ends(line, right, area.width)
}

fn key_line(m: &Model, theme: Theme) -> Line<'static> {
    let keys: &[(&str, &str)] = if m.target.is_none() {
        &[("↑↓", "choose"), ("Enter", "watch"), ("?", "help"), ("q", "quit")]
    } else {
        &[
            ("1-6", "pages"),
            ("↑↓", "stream"),
            ("←→", "element"),
            ("c", "comp"),
            ("p", "hold"),
            ("o", "regions"),
            ("?", "help"),
            ("q", "quit"),
        ]
    };
    let mut line = Line::from(" ");
    for (key, what) in keys {
        line.push_span(Span::styled(*key, theme.key()));
        line.push_span(Span::styled(format!(" {what}  "), theme.dim()));
    }
    line
}

// ------------------------------------------------------------------------------------------------------- overview

fn overview(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
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
fn bar_width(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4))
}

fn memory_height(f: &Facts, area: Rect, tall: bool, theme: Theme) -> u16 {
    let width = bar_width(area);
    let legend = memory::legend(f, width, theme).len() as u16;
    4 + legend + u16::from(tall || memory::is_squeezed(f, width))
}

/// The bar; where there is room, a second row, which shows the slots alone if they are narrow in the first.
fn memory_panel(frame: &mut Frame, area: Rect, f: &Facts, tall: bool, theme: Theme) {
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

fn rates_panel(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
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

fn frame_lines(m: &Model, f: &Facts, theme: Theme) -> Vec<Line<'static>> {
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
            if let Some(d) = &n.damage {
                lines.push(Line::styled(d.clone(), theme.bad()));
            }
            lines
        }
    }
}

/// The producer's own time; nobody knows its unit.
fn units_time(t: f64) -> String {
    if t.abs() < 1e9 && t.fract().abs() > 0.0 { format!("{t:.3}") } else { t.to_string() }
}

fn records(n: &FrameFact) -> String {
    units::count(n.tlvs.into(), "record")
}

fn checksum_style(c: Option<ChecksumState>, theme: Theme) -> Style {
    match c {
        Some(ChecksumState::Verified) => theme.good(),
        Some(ChecksumState::Mismatch) => theme.bad(),
        _ => theme.dim(),
    }
}

fn newest_panel(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let block = panel(" newest frame ", theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines = frame_lines(m, f, theme);
    let [up, down] = Layout::vertical([Constraint::Length(lines.len() as u16), Constraint::Min(0)]).areas(inner);
    frame.render_widget(Paragraph::new(lines), up);
    frame.render_widget(stream_table(m, f, down, theme), down);
}

/// The streams with as many values as the width has room for, the selected one in view.
fn stream_table<'a>(m: &Model, f: &Facts, area: Rect, theme: Theme) -> Table<'a> {
    let all = m.streams();
    if let Err(e) = &f.directory {
        let row = Row::new([Cell::from(Text::styled(format!("directory unreadable: {e}"), theme.bad()))]);
        return Table::new([row], [Constraint::Min(0)]);
    }
    let wide = area.width >= 70;
    let rows_of_room = usize::from(area.height.saturating_sub(u16::from(area.height > 4)));
    let first = m.stream.saturating_sub(rows_of_room.saturating_sub(1));
    let name_width = all.iter().map(|s| s.name().chars().count()).max().unwrap_or(4).clamp(4, 20) as u16;
    let rows = all.iter().enumerate().skip(first).map(|(i, s)| {
        let selected = i == m.stream;
        let values = if s.bytes == 0 {
            "not in this frame".to_owned()
        } else {
            let (first, shown) = (s.first_element(), s.elements(24));
            let skipped = if first > 0 { ".. " } else { "" };
            let more = if (first as usize + shown.len()) < s.elem_count as usize { " .." } else { "" };
            format!("{skipped}{}{more}", shown.join(" "))
        };
        let mark = if selected { ">" } else { " " };
        let style = if selected { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        let mut cells = vec![Cell::from(mark)];
        if wide {
            cells.push(Cell::from(s.id.to_string()));
        }
        cells.push(Cell::from(s.name()));
        cells.push(Cell::from(Span::styled(s.type_text(), theme.dim())));
        cells.push(Cell::from(Span::styled(s.shape(), theme.dim())));
        cells.push(Cell::from(Span::styled(values, if s.bytes == 0 { theme.dim() } else { theme.value() })));
        Row::new(cells).style(style)
    });
    let mut widths = vec![Constraint::Length(1)];
    let mut head = vec![""];
    if wide {
        widths.push(Constraint::Length(6));
        head.push("id");
    }
    let shape = all.iter().map(|s| s.shape().chars().count()).max().unwrap_or(1).clamp(5, 14) as u16;
    let ty = all.iter().map(|s| s.type_text().chars().count()).max().unwrap_or(1).clamp(4, 10) as u16;
    widths.extend([
        Constraint::Length(name_width),
        Constraint::Length(ty),
        Constraint::Length(shape),
        Constraint::Min(4),
    ]);
    head.extend(["name", "type", "shape", "values"]);
    let table = Table::new(rows.collect::<Vec<_>>(), widths).column_spacing(1);
    if area.height > 4 { table.header(Row::new(head).style(theme.dim())) } else { table }
}

// -------------------------------------------------------------------------------------------------------- readers

fn readers_title(f: &Facts) -> String {
    let taken = f.readers.iter().filter(|r| r.in_use).count();
    format!(" readers: {taken} of {} ", f.readers.len())
}

/// In a word, and whether it is a bad one.
fn reader_state(r: &ReaderFact, f: &Facts) -> (&'static str, bool) {
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

fn reader_name(r: &ReaderFact) -> String {
    match (&r.own, &r.program) {
        (Some(e), Some(p)) => format!("{} {p}", e.pid),
        (Some(e), None) => e.pid.to_string(),
        _ => format!("{:08x}", r.id as u32),
    }
}

fn ago_cell(n: Option<u64>) -> String {
    n.map_or_else(|| "-".to_owned(), units::ns)
}

/// A lag that will lose frames, or has.
fn lag_style(r: &ReaderFact, f: &Facts, theme: Theme) -> Style {
    let slots = f.slots.len() as u64;
    if r.lag >= slots {
        theme.bad()
    } else if r.lag * 2 > slots {
        theme.warning()
    } else {
        Style::new()
    }
}

fn readers_panel(frame: &mut Frame, area: Rect, f: &Facts, theme: Theme) {
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

fn heading<'a>(names: &[&'a str], right: std::ops::Range<usize>, theme: Theme) -> Row<'a> {
    let cell = |(i, name): (usize, &&'a str)| {
        let text = Text::from(*name);
        Cell::from(if right.contains(&i) { text.alignment(Alignment::Right) } else { text })
    };
    Row::new(names.iter().enumerate().map(cell).collect::<Vec<_>>()).style(theme.dim())
}

/// How full a control ring is: a gauge of `width` cells and a number.
fn ring_text(r: &ReaderFact, width: usize, theme: Theme) -> Line<'static> {
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

fn readers_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
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

// ---------------------------------------------------------------------------------------------------------- slots

fn slots_title(f: &Facts) -> String {
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
enum Room {
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

fn slot_row(s: &SlotFact, room: Room, theme: Theme) -> Row<'static> {
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

fn slots_table<'a>(f: &Facts, skip: usize, area: Rect, theme: Theme) -> Table<'a> {
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

fn slots_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
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

// ------------------------------------------------------------------------------------------------ streams and plot

fn streams(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let count = m.streams().len();
    let [up, down] = Layout::vertical([
        Constraint::Length((count as u16 + 3).clamp(5, (area.height / 2).max(5))),
        Constraint::Min(0),
    ])
    .areas(area);
    let block = panel(format!(" {} ", units::count(count as u64, "stream")), theme);
    frame.render_widget(stream_table(m, f, block.inner(up), theme).block(block), up);
    let Some(s) = m.streams().into_iter().nth(m.stream) else {
        frame.render_widget(Paragraph::new("the directory is empty").block(panel(" values ", theme)), down);
        return;
    };
    let extra = s.info.as_ref().map_or(0, |i| i.extra.len());
    let extra = if extra > 0 { format!(", {extra} bytes of application data") } else { String::new() };
    let title = format!(
        " {}: stream {}, {} [{}], {} in this frame{extra} ",
        s.name(),
        s.id,
        s.type_text(),
        s.shape(),
        units::bytes(s.bytes.into())
    );
    let block = panel(title, theme);
    let inner = block.inner(down);
    let first = s.first_element();
    let lines = s.elements(usize::from(inner.height)).into_iter().enumerate().map(|(i, text)| {
        let at = first + i as u32;
        let here = at == m.element;
        let style = if here { theme.selected() } else { Style::new() };
        Line::from(vec![
            Span::styled(format!("{:>9} ", format!("[{at}]")), theme.dim()),
            Span::styled(text, if here { style } else { theme.value() }),
        ])
    });
    let lines: Vec<Line> =
        if s.bytes == 0 { vec![Line::styled("not in this frame", theme.dim())] } else { lines.collect() };
    frame.render_widget(Paragraph::new(lines).block(block), down);
}

fn plot_title(m: &Model) -> String {
    match m.streams().get(m.stream) {
        None => " plot ".into(),
        Some(s) => {
            let component = if s.components() > 1 { format!(".{}", m.component) } else { String::new() };
            let at = if s.elem_count > 1 { format!("[{}]", m.element) } else { String::new() };
            let now = m.plot.back().map(|p| format!(" = {}", plain(p.1))).unwrap_or_default();
            format!(" {}{at}{component}{now} ", s.name())
        }
    }
}

fn plain(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 || !v.is_finite() {
        v.to_string()
    } else if !(1e-3..1e8).contains(&size) {
        format!("{v:.3e}")
    } else if v.fract() == 0.0 {
        format!("{v:.0}")
    } else if size < 1.0 {
        format!("{v:.4}")
    } else if size < 1000.0 {
        format!("{v:.2}")
    } else {
        format!("{v:.1}")
    }
}

fn plot(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
    let span = m.span as f64;
    let block = panel(plot_title(m), theme)
        .title(Line::styled(format!(" last {} s ", m.span), theme.dim()).alignment(Alignment::Right));
    let all = m.streams();
    let stream = all.get(m.stream);
    if stream.is_none_or(|s| !s.is_numeric()) {
        let text = if stream.is_some() { "not a numeric stream" } else { "no streams" };
        frame.render_widget(Paragraph::new(Line::styled(text, theme.dim())).block(block), area);
        return;
    }
    // Infinities and the like have no place on the screen.
    let points: Vec<(f64, f64)> = (m.plot.iter())
        .map(|&(at, v)| (-(m.now.saturating_sub(at) as f64) / 1e9, v))
        .filter(|p| p.0 >= -span && p.1.is_finite())
        .collect();
    if points.is_empty() {
        let text = Line::styled("nothing new yet; each new frame adds a point", theme.dim());
        frame.render_widget(Paragraph::new(text).block(block), area);
        return;
    }
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.1), high.max(p.1)));
    // A constant gets some room around it.
    let pad = if high > low { (high - low) * 0.05 } else { (high.abs() * 0.01).max(1e-9) };
    let (bottom, top) = (low - pad, high + pad);
    // Next to nothing, beside what the axis spans, is nothing.
    let label = |v: f64| Line::styled(plain(if v.abs() < (top - bottom) * 1e-4 { 0.0 } else { v }), theme.dim());
    let data = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(if points.len() > 1 { GraphType::Line } else { GraphType::Scatter })
        .style(theme.series(0))
        .data(&points);
    let middle = bottom + (top - bottom) / 2.0;
    let time = |v: f64| Line::styled(format!("{v:.0} s"), theme.dim());
    let chart = Chart::new(vec![data])
        .block(block)
        .x_axis(
            Axis::default()
                .bounds([-span, 0.0])
                .labels([time(-span), time(-span / 2.0), time(0.0)])
                .style(theme.border()),
        )
        .y_axis(
            Axis::default()
                .bounds([bottom, top])
                .labels([label(bottom), label(middle), label(top)])
                .style(theme.border()),
        );
    frame.render_widget(chart, area);
}

fn plot_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let rows = (m.streams().len() as u16 + 3).clamp(4, (area.height / 3).max(4));
    let [up, down] = Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    plot(frame, up, m, theme);
    let block = panel(" streams ", theme);
    frame.render_widget(stream_table(m, f, block.inner(down), theme).block(block), down);
}

// --------------------------------------------------------------------------------------------------------- layout

fn layout_page(frame: &mut Frame, area: Rect, f: &Facts, theme: Theme) {
    let [up, down] = Layout::vertical([Constraint::Length(8), Constraint::Min(0)]).areas(area);
    let total = u64::from(f.layout.total_bytes()).max(1);
    let right = |s: String| Cell::from(Text::from(s).alignment(Alignment::Right));
    let rows = sections(f).into_iter().enumerate().map(|(i, (name, offset, size, items))| {
        let style = if i < 4 { theme.section(i) } else { theme.slot(SlotKind::Frame) };
        Row::new([
            Cell::from(Span::styled(name, style)),
            right(offset.to_string()),
            right(size.to_string()),
            right(format!("{:.1} %", size as f64 * 100.0 / total as f64)),
            Cell::from(items),
        ])
    });
    let widths = [Constraint::Length(10), Constraint::Length(11), Constraint::Length(12), Constraint::Length(8)];
    let title = format!(" sections of {} bytes ({}) ", total, units::bytes(total));
    let table = Table::new(rows, widths.into_iter().chain([Constraint::Min(10)]))
        .header(heading(&["section", "offset", "size", "share", "items"], 1..4, theme))
        .block(panel(title, theme));
    frame.render_widget(table, up);

    let h = &f.header;
    let d = Line::from;
    let pair = |name: &str, value: String| {
        Line::from(vec![Span::styled(format!("{name:<18}"), theme.dim()), Span::raw(value)])
    };
    let l = &f.layout;
    let features = flags(f.features);
    let features = if features.is_empty() { "none: reference-made".to_owned() } else { features.join(" ") };
    let mut lines = vec![
        pair("format", format!("SHMX {}.{}", h.ver_major, h.ver_minor)),
        pair("session", format!("{:#018x}", h.session_id)),
        pair("server", format!("{}, pid {}", server_word(f.server), h.ext_server_pid)),
        pair("features", features),
        pair(
            "frames",
            format!("{} published, newest sequence {}, reserved {}", h.frame_seq, h.write_index, h.reserve_index),
        ),
        pair(
            "directory",
            format!("{} of {} bytes used, generation {}", h.static_bytes_used, l.static_bytes_cap(), h.static_gen),
        ),
        pair(
            "reader slots",
            format!(
                "{} of {} bytes each, {} counted as connected",
                l.reader_slots(),
                l.reader_slot_stride(),
                h.readers_connected
            ),
        ),
        pair("control rings", format!("{} bytes each at every {} bytes", l.control_per_reader(), l.control_stride())),
        pair(
            "frame slots",
            format!("{} of up to {} payload bytes at every {} bytes", l.slots(), l.frame_bytes_cap(), l.slot_stride()),
        ),
    ];
    match &f.directory {
        Ok(dir) => {
            lines.push(pair("directory hash", format!("ok, {}", units::count(dir.streams.len() as u64, "stream"))))
        }
        Err(e) => lines.push(d(Span::styled(format!("directory unreadable: {e}"), theme.bad()))),
    }
    frame.render_widget(Paragraph::new(lines).block(panel(" header ", theme)), down);
}

// ------------------------------------------------------------------------------------------ when there is no region

fn damaged(frame: &mut Frame, area: Rect, m: &Model, r: &HeaderReport, theme: Theme) {
    let why = r.layout.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let [up, down] = Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
    let text = vec![
        Line::styled(why, theme.bad()),
        Line::styled("end its server and start it again, or remove the region", theme.dim()),
    ];
    let title = format!(" cannot be opened as a region; its object has {} bytes ", r.available);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }).block(panel(title, theme)), up);
    // Those with a problem first where not all fit.
    let room = usize::from(down.height.saturating_sub(3));
    let mut fields: Vec<_> = r.fields.iter().collect();
    if fields.len() > room {
        fields.sort_by_key(|f| f.problem.is_none());
    }
    let rows = fields.into_iter().skip(m.scroll).map(|f| {
        let value = f.value.map_or_else(|| "-".to_owned(), |v| field_value(f.name, v));
        let style = if f.problem.is_some() { theme.bad() } else { Style::new() };
        Row::new([
            Cell::from(Text::from(f.offset.to_string()).alignment(Alignment::Right)),
            Cell::from(f.name),
            Cell::from(Span::styled(value, theme.value())),
            Cell::from(f.problem.clone().map_or_else(|| "ok".to_owned(), |p| format!("X {p}"))),
        ])
        .style(style)
    });
    let widths = [Constraint::Length(6), Constraint::Length(19), Constraint::Length(20), Constraint::Min(10)];
    let table = Table::new(rows.collect::<Vec<_>>(), widths)
        .header(heading(&["@", "field", "value", "check"], 0..1, theme))
        .block(panel(" header, field by field ", theme));
    frame.render_widget(table, down);
}

fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

fn missing(frame: &mut Frame, area: Rect, name: &str, why: &str, now: u64, theme: Theme) {
    const TURN: [&str; 4] = ["◐", "◓", "◑", "◒"];
    let sign = TURN[(now / 250_000_000 % 4) as usize];
    let text = vec![
        Line::styled(format!("{sign} waiting for `{name}`"), theme.title()),
        Line::default(),
        Line::styled(why.to_owned(), theme.dim()),
        Line::default(),
        Line::from("It is shown as soon as it is there."),
    ];
    let area = middle(area, 70, 9);
    let block = panel("", theme);
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center).wrap(Wrap { trim: true }).block(block), area);
}

fn picker(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
    let say = |frame: &mut Frame, text: String, style: Style| {
        let block = panel(" regions ", theme);
        frame.render_widget(Paragraph::new(Line::styled(text, style)).wrap(Wrap { trim: true }).block(block), area);
    };
    let rows = match &m.picker.rows {
        None => return say(frame, "looking ..".into(), theme.dim()),
        Some(Err(e)) => return say(frame, format!("{e}; give a name: shmx inspect NAME"), theme.warning()),
        Some(Ok(rows)) if rows.is_empty() => {
            return say(
                frame,
                "There are none now. They appear here as soon as a server makes one.".into(),
                theme.dim(),
            );
        }
        Some(Ok(rows)) => rows,
    };
    let wide = area.width >= 110;
    // Producer and sizes go where there is no room.
    let columns: &[usize] = if wide { &[0, 1, 2, 3, 4, 5, 6, 7, 8] } else { &[0, 1, 3, 4, 7, 8] };
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    let first = (m.picker.selected + 1).saturating_sub(room);
    let body = rows.iter().enumerate().skip(first).map(|(i, r)| {
        let cells = ls::cells(r);
        let style = match r.state {
            ls::State::Live => theme.good(),
            ls::State::Dead | ls::State::Unreadable => theme.bad(),
            _ => theme.warning(),
        };
        let list = columns.iter().map(|&c| {
            let text = Text::from(cells[c].clone());
            let text = if (3..=7).contains(&c) { text.alignment(Alignment::Right) } else { text };
            Cell::from(if c == 1 { text.style(style) } else { text })
        });
        let row = Row::new(list.collect::<Vec<_>>());
        if i == m.picker.selected { row.style(theme.selected()) } else { row }
    });
    let longest = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0) as u16;
    let widths = columns.iter().map(|&c| match c {
        0 => Constraint::Length(longest.clamp(10, (area.width * 2 / 5).max(10))),
        1 => Constraint::Length(14),
        2 => Constraint::Length(18),
        8 => Constraint::Min(12),
        3 | 6 | 7 => Constraint::Length(10),
        _ => Constraint::Length(7),
    });
    let names: Vec<String> = columns.iter().map(|&c| ls::HEADINGS[c].to_lowercase()).collect();
    let head = columns.iter().zip(&names).map(|(&c, n)| {
        let text = Text::from(n.clone());
        Cell::from(if (3..=7).contains(&c) { text.alignment(Alignment::Right) } else { text })
    });
    let head = Row::new(head.collect::<Vec<_>>()).style(theme.dim());
    let table = Table::new(body.collect::<Vec<_>>(), widths.collect::<Vec<_>>())
        .header(head)
        .block(panel(format!(" {} ", units::count(rows.len() as u64, "region")), theme));
    frame.render_widget(table, area);
}

fn help(frame: &mut Frame, area: Rect, theme: Theme) {
    let area = middle(area, 62, input::HELP.len() as u16 + 6);
    let mut lines: Vec<Line> = input::HELP
        .iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!("  {key:<18}"), theme.key()), Span::raw(*what)]))
        .collect();
    lines.push(Line::default());
    lines.push(Line::styled("  Nothing here changes the region: the mapping is read-only.", theme.dim()));
    lines.push(Line::styled("  Lag and leases are in frames; heard is the heartbeat's age.", theme.dim()));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(panel(" keys ", theme)), area);
}
