//! Where everything lies.

use super::parts::heading;
use crate::look::{Facts, SlotKind, flags, sections, server_word};
use crate::screens::parts::panel;
use crate::screens::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

pub(super) fn layout_page(frame: &mut Frame, area: Rect, f: &Facts, theme: Theme) {
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
