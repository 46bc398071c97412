//! Streams, their values, and a plot.

use super::stream_table::stream_table;
use crate::look::{Facts, problems};
use crate::screens::chart::{self, Plot, X};
use crate::screens::inspect::model::Model;
use crate::screens::parts::panel;
use crate::screens::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{GraphType, Paragraph};

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
            let now = m.plot.back().map(|p| format!(" = {}", units::number(p.1))).unwrap_or_default();
            format!(" {}{at}{component}{now} ", s.name())
        }
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
    let sets = [points];
    let x = X { ends: Some([-span, 0.0]), name: "", label: |v| format!("{v:.0} s") };
    chart::draw(frame, area, Plot { block, sets: &sets, graph: GraphType::Line, x }, theme);
}

pub(super) fn plot_page(frame: &mut Frame, area: Rect, m: &Model, f: &Facts, theme: Theme) {
    let rows = (m.streams().len() as u16 + 3).clamp(4, (area.height / 3).max(4));
    let [up, down] = Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    plot(frame, up, m, theme);
    let block = panel(" streams ", theme);
    frame.render_widget(stream_table(m, f, block.inner(down), theme).block(block), down);
}
