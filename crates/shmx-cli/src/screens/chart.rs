//! A plot with its axes.

use super::theme::Theme;
use crate::units;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType};

pub(crate) struct Plot<'a> {
    pub(crate) block: Block<'a>,
    /// Finite points, one set for each component.
    pub(crate) sets: &'a [Vec<(f64, f64)>],
    pub(crate) graph: GraphType,
    pub(crate) x: X,
}

/// The axis along which the points go.
pub(crate) struct X {
    /// Its ends; without, those of the points.
    pub(crate) ends: Option<[f64; 2]>,
    pub(crate) name: &'static str,
    pub(crate) label: fn(f64) -> String,
}

/// The smallest and the largest, if there is a point.
fn ends(sets: &[Vec<(f64, f64)>], of: fn(&(f64, f64)) -> f64) -> Option<[f64; 2]> {
    let all = || sets.iter().flatten().map(of);
    let [low, high] = [all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)];
    (low <= high).then_some([low, high])
}

/// With room around what would lie on the edge; a constant gets some, too.
fn padded([low, high]: [f64; 2], share: f64) -> [f64; 2] {
    let room = match high {
        _ if high > low => (high - low) * share,
        0.0 => 1.0,
        _ => high.abs() * 0.01,
    };
    [low - room, high + room]
}

pub(crate) fn draw(frame: &mut Frame, area: Rect, plot: Plot<'_>, theme: Theme) {
    let xs = plot.x.ends.or_else(|| ends(plot.sets, |p| p.0)).unwrap_or([0.0, 1.0]);
    let xs = if xs[0] < xs[1] { xs } else { padded(xs, 0.0) };
    let ys = padded(ends(plot.sets, |p| p.1).unwrap_or([0.0, 1.0]), 0.05);
    let graph = if plot.sets.iter().all(|s| s.len() <= 1) { GraphType::Scatter } else { plot.graph };
    let datasets = plot.sets.iter().enumerate().map(|(n, points)| {
        let set = Dataset::default().marker(Marker::Braille).graph_type(graph).style(theme.series(n)).data(points);
        match plot.sets.len() {
            1 => set,
            2..=4 => set.name(["x", "y", "z", "w"][n]),
            _ => set.name(format!("[{n}]")),
        }
    });
    // Next to nothing, beside what the axis spans, is nothing.
    let value = |v: f64| units::number(if v.abs() < (ys[1] - ys[0]) * 1e-4 { 0.0 } else { v });
    let three = |[low, high]: [f64; 2]| [low, low + (high - low) / 2.0, high];
    let axis = |bounds| Axis::default().style(theme.border()).bounds(bounds);
    let x = axis(xs).labels(three(xs).map(|v| Line::styled((plot.x.label)(v), theme.dim())));
    let chart = Chart::new(datasets.collect())
        // Many components have a long legend; what belongs to which line must be seen all the same.
        .hidden_legend_constraints((Constraint::Ratio(1, 2), Constraint::Ratio(1, 1)))
        .block(plot.block)
        .x_axis(if plot.x.name.is_empty() { x } else { x.title(Line::styled(plot.x.name, theme.dim())) })
        .y_axis(axis(ys).labels(three(ys).map(|v| Line::styled(value(v), theme.dim()))));
    frame.render_widget(chart, area);
}
