//! What all screens draw: frames around panels, the line of keys, the list of all keys.

use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

/// A key and what it does.
pub(crate) type Key = (&'static str, &'static str);

pub(crate) fn panel<'a>(title: impl Into<Line<'a>>, theme: Theme) -> Block<'a> {
    let title: Line = title.into();
    Block::bordered().border_type(BorderType::Rounded).border_style(theme.border()).title(title.style(theme.title()))
}

/// A place of this size in the middle of another.
pub(crate) fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// The keys that matter most, on the last line of a screen.
pub(crate) fn key_line(keys: &[Key], width: u16, theme: Theme) -> Line<'static> {
    let mut line = Line::from(" ");
    for (i, (key, what)) in keys.iter().enumerate() {
        // The last one needs no room behind it, the others at least that of an ellipsis.
        let more = if i + 1 < keys.len() { 4 } else { 1 };
        if line.width() + key.chars().count() + what.len() + more > width.into() {
            line.push_span(Span::styled("…", theme.dim()));
            break;
        }
        line.push_span(Span::styled(*key, theme.key()));
        line.push_span(Span::styled(format!(" {what}  "), theme.dim()));
    }
    line
}

/// All keys and some words, over what is there.
pub(crate) fn help(frame: &mut Frame, area: Rect, keys: &[Key], notes: &[&'static str], theme: Theme) {
    let area = middle(area, 62, (keys.len() + notes.len()) as u16 + 4);
    let key = |(key, what): &Key| Line::from(vec![Span::styled(format!("  {key:<18}"), theme.key()), Span::raw(*what)]);
    let mut lines: Vec<Line> = keys.iter().map(key).collect();
    lines.push(Line::default());
    lines.extend(notes.iter().map(|note| Line::styled(format!("  {note}"), theme.dim())));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(panel(" keys ", theme)), area);
}
