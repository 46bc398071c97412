//! The bar that shows where everything lies in a region.

use crate::look::Facts;
use crate::screens::inspect::memory;
use crate::screens::parts::panel;
use crate::screens::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Width of the memory bar in a panel of this width.
pub(super) fn bar_width(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4))
}

pub(super) fn memory_height(f: &Facts, area: Rect, tall: bool, theme: Theme) -> u16 {
    let width = bar_width(area);
    let legend = memory::legend(f, width, theme).len() as u16;
    4 + legend + u16::from(tall || memory::is_squeezed(f, width))
}

/// The bar; where there is room, a second row, which shows the slots alone if they are narrow in the first.
pub(super) fn memory_panel(frame: &mut Frame, area: Rect, f: &Facts, tall: bool, theme: Theme) {
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
