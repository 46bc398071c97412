//! What is shown without a region: damage, waiting, the list, the keys.

use super::parts::heading;
use crate::ls;
use crate::report::field_value;
use crate::screens::inspect::model::Model;
use crate::screens::parts::{middle, panel};
use crate::screens::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};
use shmx::HeaderReport;

pub(super) fn damaged(frame: &mut Frame, area: Rect, m: &Model, r: &HeaderReport, theme: Theme) {
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

pub(super) fn missing(frame: &mut Frame, area: Rect, name: &str, why: &str, now: u64, theme: Theme) {
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

pub(super) fn picker(frame: &mut Frame, area: Rect, m: &Model, theme: Theme) {
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
