//! Draws a model. Nothing here reads a region, a clock or the terminal.

mod memory_panel;
mod other;
mod overview;
mod parts;
mod readers;
mod sections;
mod slots;
mod stream_table;
mod streams;

use super::input;
use super::model::{Model, Page};
use crate::look::{Look, process_text, server_word};
use crate::screens::parts::{Key, help, key_line};
use crate::screens::theme::Theme;
use crate::units;
use other::{damaged, missing, picker};
use overview::overview;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use readers::readers_page;
use sections::layout_page;
use shmx::ServerState;
use slots::slots_page;
use streams::{plot_page, streams};

/// The keys on the last line: with a list of regions, and with one of them.
const PICKING: [Key; 4] = [("↑↓", "choose"), ("Enter", "watch"), ("?", "help"), ("q", "quit")];
const WATCHING: [Key; 8] = [
    ("1-6", "pages"),
    ("↑↓", "stream"),
    ("←→", "element"),
    ("c", "comp"),
    ("p", "hold"),
    ("o", "regions"),
    ("?", "help"),
    ("q", "quit"),
];

/// Below the keys in the help.
const NOTES: [&str; 2] = [
    "Nothing here changes the region: the mapping is read-only.",
    "Lag and leases are in frames; heard is the heartbeat's age.",
];

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
    let of = if m.target.is_none() { &PICKING[..] } else { &WATCHING };
    frame.render_widget(key_line(of, keys.width, theme), keys);
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
        help(frame, body, &input::HELP, &NOTES, theme);
    }
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
                right.push_span(format!("{}  ", process_text(f)));
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
