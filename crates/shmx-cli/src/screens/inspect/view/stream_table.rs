//! The streams of a region as a table.

use crate::look::{Facts, StreamFact};
use crate::screens::inspect::model::Model;
use crate::screens::theme::Theme;
use crate::units;
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
    // Where not all fit, the last line says how many are hidden.
    let hides = all.len() > rows_of_room;
    let visible = if hides { rows_of_room.saturating_sub(1).max(1) } else { rows_of_room };
    let first = m.stream.saturating_sub(visible.saturating_sub(1));
    let widest = |text: fn(&StreamFact) -> String| all.iter().map(|s| text(s).chars().count()).max().unwrap_or(1);
    let name_width = widest(StreamFact::name).clamp(if hides { 8 } else { 4 }, 20) as u16;
    let shape = widest(StreamFact::shape).clamp(5, 14) as u16;
    let ty = widest(StreamFact::type_text).clamp(4, 10) as u16;
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
