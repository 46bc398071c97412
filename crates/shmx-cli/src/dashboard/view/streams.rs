//! Streams, their values, and a plot.

use super::parts::panel;
use super::stream_table::stream_table;
use crate::dashboard::model::Model;
use crate::dashboard::theme::Theme;
use crate::look::{Facts, problems};
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph};

pub(super) fn streams(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
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
    // What is wrong with what the stream says of itself, above its values.
    let problems = s.info.as_ref().map(problems).unwrap_or_default();
    let notes = problems.into_iter().map(|p| Line::styled(format!("note: {p}"), theme.warning()));
    let lines: Vec<Line> = if s.bytes == 0 {
        notes.chain([Line::styled("not in this frame", theme.dim())]).collect()
    } else {
        notes.chain(lines).collect()
    };
    frame.render_widget(Paragraph::new(lines).block(block), down);
}

pub(super) fn plot_title(m: &Model) -> String {
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

pub(super) fn plain(v: f64) -> String {
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

pub(super) fn plot(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
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

pub(super) fn plot_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let rows = (m.streams().len() as u16 + 3).clamp(4, (area.height / 3).max(4));
    let [up, down] = Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    plot(frame, up, m, theme);
    let block = panel(" streams ", theme);
    frame.render_widget(stream_table(m, f, block.inner(down), theme).block(block), down);
}
