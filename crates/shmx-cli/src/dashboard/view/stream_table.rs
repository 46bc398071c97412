//! The streams of a region as a table.

use crate::dashboard::model::Model;
use crate::dashboard::theme::Theme;
use crate::look::Facts;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Cell, Row, Table};

/// The streams with as many values as the width has room for, the selected one in view.
pub(super) fn stream_table<'a>(m: &Model, f: &Facts, area: Rect, theme: Theme) -> Table<'a> {
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
