//! The first page: memory, rates, the newest frame, readers.

use super::memory_panel::{memory_height, memory_panel};
use super::parts::{checksum_style, units_time};
use super::readers::readers_panel;
use super::slots::{slots_table, slots_title};
use super::stream_table::stream_table;
use super::streams::plot;
use crate::look::{Facts, FrameFact, acquired_text, checksum_word};
use crate::screens::inspect::model::Model;
use crate::screens::parts::panel;
use crate::screens::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

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

pub(super) fn records(n: &FrameFact) -> String {
    units::count(n.tlvs.into(), "record")
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
