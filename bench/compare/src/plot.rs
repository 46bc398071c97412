//! Line plots with logarithmic axes, as SVG.

use std::fmt::Write;

/// One line.
pub(crate) struct Series {
    pub(crate) name: String,
    /// Abscissa and ordinate, both above 0.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) style: Style,
}

#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) colour: &'static str,
    /// Lengths of dashes and gaps; empty for a solid line.
    pub(crate) dashes: &'static str,
    pub(crate) width: f64,
}

pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) y_label: String,
    /// Abscissas with their names.
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// How a tick on the ordinate is written.
    pub(crate) y_tick: fn(f64) -> String,
    pub(crate) series: Vec<Series>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 46.0;
const LEGEND_LINE: f64 = 19.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Plot {
    /// The whole file. The same input gives the same bytes.
    pub(crate) fn svg(&self) -> String {
        let ys = || self.series.iter().flat_map(|s| s.points.iter().map(|p| p.1));
        let low = ys().fold(f64::INFINITY, f64::min).log10().floor();
        let high = ys().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
        let (x0, x1) = (self.x_ticks.first().map_or(1.0, |t| t.0), self.x_ticks.last().map_or(2.0, |t| t.0));
        let (plot_width, plot_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let x = |v: f64| LEFT + plot_width * (v / x0).log10() / (x1 / x0).log10();
        let y = |v: f64| TOP + plot_height * (1.0 - (v.log10() - low) / (high - low));

        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
        ));
        line(format!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##));
        line(format!(
            r##"<text x="{LEFT}" y="26" font-size="15" font-weight="bold" fill="#222222">{}</text>"##,
            escape(&self.title)
        ));
        for (value, name) in &self.x_ticks {
            let at = x(*value);
            line(format!(
                r##"<line x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{:.1}" stroke="#e4e4e4"/>"##,
                HEIGHT - BOTTOM
            ));
            line(format!(
                r##"<text x="{at:.1}" y="{:.1}" text-anchor="middle" fill="#444444">{}</text>"##,
                HEIGHT - BOTTOM + 18.0,
                escape(name)
            ));
        }
        for power in low as i32..=high as i32 {
            let at = y(10_f64.powi(power));
            line(format!(
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}" stroke="#cccccc"/>"##,
                WIDTH - RIGHT
            ));
            let text = (self.y_tick)(10_f64.powi(power));
            line(format!(
                r##"<text x="{:.1}" y="{:.1}" text-anchor="end" fill="#444444">{}</text>"##,
                LEFT - 8.0,
                at + 4.0,
                escape(&text)
            ));
        }
        line(format!(
            r##"<text x="16" y="{0:.1}" text-anchor="middle" fill="#444444" transform="rotate(-90 16 {0:.1})">{1}</text>"##,
            TOP + plot_height / 2.0,
            escape(&self.y_label)
        ));
        for (i, series) in self.series.iter().enumerate() {
            let Style { colour, dashes, width } = series.style;
            let mut points = String::new();
            for (px, py) in &series.points {
                let _ = write!(points, "{:.1},{:.1} ", x(*px), y(*py));
            }
            let look = format!(r#"stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}""#);
            line(format!(r#"<polyline points="{}" fill="none" {look}/>"#, points.trim_end()));
            for (px, py) in &series.points {
                line(format!(r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#, x(*px), y(*py)));
            }
            let (left, at) = (WIDTH - RIGHT + 14.0, TOP + 8.0 + LEGEND_LINE * i as f64);
            line(format!(r#"<line x1="{left}" y1="{at:.1}" x2="{}" y2="{at:.1}" {look}/>"#, left + 26.0));
            line(format!(
                r##"<text x="{}" y="{:.1}" fill="#222222">{}</text>"##,
                left + 33.0,
                at + 4.0,
                escape(&series.name)
            ));
        }
        line("</svg>".to_owned());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{Plot, Series, Style};

    #[test]
    fn points_lie_inside_and_the_file_is_the_same_each_time() {
        let plot = || Plot {
            title: "a < b".to_owned(),
            y_label: "time".to_owned(),
            x_ticks: vec![(64.0, "64 B".to_owned()), (4096.0, "4 KiB".to_owned())],
            y_tick: |v| format!("{v}"),
            series: vec![Series {
                name: "one".to_owned(),
                points: vec![(64.0, 3.0), (4096.0, 900.0)],
                style: Style { colour: "#000000", dashes: "", width: 2.0 },
            }],
        };
        let svg = plot().svg();
        assert_eq!(svg, plot().svg());
        assert!(svg.contains("a &lt; b"));
        for circle in svg.lines().filter(|l| l.starts_with("<circle")) {
            let number = |name: &str| {
                let (_, rest) = circle.split_once(&format!("{name}=\"")).expect("an attribute");
                rest.split('"').next().expect("a value").parse::<f64>().expect("a number")
            };
            assert!((0.0..860.0).contains(&number("cx")) && (0.0..460.0).contains(&number("cy")), "{circle}");
        }
    }
}
