//! The screen of a view: streams, a plot, a place in time.

use super::frames::{COLUMNS, Frames};
use super::image;
use super::shown::{Mode, Shown, fitting, summary, unpack};
use crate::escape::safe;
use crate::screens::chart::{self, Plot, X};
use crate::screens::graphics::{Bitmap, Images};
use crate::screens::keys::{Press, press};
use crate::screens::parts::{Key, help, key_line, panel};
use crate::screens::theme::Theme;
use crate::units;
use crate::values;
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{GraphType, Paragraph};
use std::time::{Duration, Instant};

/// Points of a plot; more would be drawn upon each other.
const MOST_DRAWN: usize = 4096;

/// The keys on the last line, and all of them.
const KEYS: [Key; 7] = [
    ("Space", "pause"),
    ("←→", "step"),
    ("PgUp PgDn", "scrub"),
    ("↑↓", "stream"),
    ("m", "plot"),
    ("?", "help"),
    ("q", "quit"),
];
const HELP: [Key; 9] = [
    ("p, Space", "pause, and go on"),
    ("← →, h l, , .", "a frame back, a frame on"),
    ("PgUp PgDn", "a tenth of all frames"),
    ("Home End", "first and newest frame"),
    ("↑ ↓, k j", "stream"),
    ("m", "kind of plot"),
    ("+ -", "longer and shorter plot over time"),
    ("?", "this help"),
    ("q, Esc, Ctrl-C", "quit"),
];

pub(crate) struct Screen {
    title: String,
    /// Which frame is shown, counted from the first that ever was.
    at: u64,
    /// Whether it follows the newest frame, or plays.
    running: bool,
    /// When playing began, and at which time of the recording.
    since: Option<(Instant, u64)>,
    stream: Option<u32>,
    wish: Option<String>,
    mode: Option<Mode>,
    /// Frames on a plot over time.
    window: u64,
    theme: Theme,
    help: bool,
    /// How images are drawn, and the one that is to be drawn over the screen.
    images: Images,
    bitmap: Option<Bitmap>,
    cache: Option<(u64, u64, Vec<Shown>)>,
    /// The streams that the frame's region has, if it lacks the one that was wished for.
    lacking: Option<String>,
}

impl Screen {
    pub(crate) fn new(title: String) -> Self {
        Self {
            title,
            at: 0,
            running: true,
            since: None,
            stream: None,
            wish: None,
            mode: None,
            window: 256,
            theme: Theme::from_environment(),
            help: false,
            images: Images::Blocks,
            bitmap: None,
            cache: None,
            lacking: None,
        }
    }

    /// Draws without colours: for text.
    pub(crate) const fn without_colours(&mut self) {
        self.theme = Theme::new(false);
    }

    /// Leaves images to a protocol of the terminal.
    pub(crate) const fn draw_images_by(&mut self, how: Images) {
        self.images = how;
    }

    /// Whether an image is shown, in colours.
    pub(crate) fn shows_image(&self) -> bool {
        self.theme.has_colours() && self.chosen().is_some_and(|s| self.mode_of(s) == Mode::Image)
    }

    /// What is to be drawn over the screen by a protocol of the terminal.
    pub(crate) const fn bitmap(&self) -> Option<&Bitmap> {
        self.bitmap.as_ref()
    }

    /// Whether the stream that was wished for is one of the region's, as far as frames were seen.
    pub(crate) fn granted(&mut self, frames: &mut dyn Frames) -> anyhow::Result<()> {
        self.load(frames);
        match (&self.wish, &self.lacking) {
            (Some(wish), Some(has)) => Err(anyhow::anyhow!("{} has no stream `{wish}`; it has: {has}", self.title)),
            _ => Ok(()),
        }
    }

    pub(crate) fn wish(&mut self, stream: Option<String>, mode: Option<Mode>) {
        (self.wish, self.mode) = (stream, mode);
    }

    fn range(frames: &dyn Frames) -> (u64, u64) {
        let first = frames.forgotten();
        (first, first + (frames.len() as u64).saturating_sub(1))
    }

    /// The place of the frame that is shown, among all that there have been.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// Goes to the newest frame.
    pub(crate) fn follow(&mut self, frames: &dyn Frames) {
        self.at = Self::range(frames).1;
    }

    /// Goes to a time from the beginning, and stops there.
    pub(crate) fn begin_at(&mut self, frames: &dyn Frames, at: Duration) {
        let start = frames.point(0).map_or(0, |p| p.time);
        let want = start.saturating_add(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        self.at = frames.forgotten() + index_of_time(frames, want) as u64;
        self.running = !frames.is_recording();
    }

    /// Moves on with the time.
    pub(crate) fn advance(&mut self, frames: &dyn Frames) {
        let (first, last) = Self::range(frames);
        if self.running && !frames.is_recording() {
            self.at = last;
        } else if self.running {
            let point = |i: u64| usize::try_from(i - first).ok().and_then(|i| frames.point(i));
            let now = point(self.at.clamp(first, last)).map_or(0, |p| p.time);
            let (since, time) = *self.since.get_or_insert((Instant::now(), now));
            let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.at = first + index_of_time(frames, time.saturating_add(elapsed)) as u64;
            if self.at >= last {
                (self.running, self.since) = (false, None);
            }
        }
        self.at = self.at.clamp(first, last);
    }

    /// Does what a key means; false to end.
    pub(crate) fn press(&mut self, key: &KeyEvent, frames: &dyn Frames) -> bool {
        let (first, last) = Self::range(frames);
        let page = ((last - first) / 10).max(1);
        let at = self.at;
        let mut go = |to: u64| {
            (self.running, self.since) = (false, None);
            self.at = to.clamp(first, last);
        };
        match press(key) {
            Some(Press::Quit) => return false,
            Some(Press::Back) if !self.help => return false,
            Some(Press::Back) => self.help = false,
            Some(Press::Help) => self.help = !self.help,
            Some(Press::Pause) => {
                let restart = frames.is_recording() && !self.running && self.at >= last;
                self.at = if restart { first } else { self.at };
                (self.running, self.since) = (!self.running, None);
            }
            Some(Press::Right | Press::Own(KeyCode::Char('.'))) => go(at + 1),
            Some(Press::Left | Press::Own(KeyCode::Char(','))) => go(at.saturating_sub(1)),
            Some(Press::PageDown) => go(at + page),
            Some(Press::PageUp) => go(at.saturating_sub(page)),
            Some(Press::First) => go(first),
            Some(Press::Last) => {
                go(last);
                self.running = !frames.is_recording();
            }
            Some(Press::Down) => self.choose(1),
            Some(Press::Up) => self.choose(-1),
            Some(Press::Own(KeyCode::Char('m'))) => self.next_mode(),
            Some(Press::Longer) => self.window = (self.window * 2).min(1 << 20),
            Some(Press::Shorter) => self.window = (self.window / 2).max(8),
            Some(Press::Own(_)) | None => {}
        }
        true
    }

    fn choose(&mut self, by: i32) {
        let Some((_, _, shown)) = &self.cache else { return };
        let now = shown.iter().position(|s| Some(s.info.id) == self.stream).unwrap_or(0);
        let next = now.saturating_add_signed(by as isize).min(shown.len().saturating_sub(1));
        self.stream = shown.get(next).map(|s| s.info.id);
        self.mode = None;
    }

    fn next_mode(&mut self) {
        let Some(shown) = self.chosen() else { return };
        let (fit, now) = (fitting(shown), self.mode_of(shown));
        let at = fit.iter().position(|&m| m == now).unwrap_or(0);
        self.mode = fit.get((at + 1) % fit.len().max(1)).copied();
    }

    fn chosen(&self) -> Option<&Shown> {
        self.cache.as_ref()?.2.iter().find(|s| Some(s.info.id) == self.stream)
    }

    fn mode_of(&self, s: &Shown) -> Mode {
        let fit = fitting(s);
        self.mode.filter(|m| fit.contains(m)).or_else(|| fit.first().copied()).unwrap_or(Mode::Index)
    }

    /// Unpacks the frame that is shown, once.
    fn load(&mut self, frames: &mut dyn Frames) {
        let i = usize::try_from(self.at - frames.forgotten()).unwrap_or(0);
        let Some(id) = frames.point(i).map(|p| p.id) else { return };
        if self.cache.as_ref().is_some_and(|(at, seen, _)| (*at, *seen) == (self.at, id)) {
            return;
        }
        let full = frames.full(i);
        let shown = full.as_ref().map_or(Vec::new(), unpack);
        if let (Some(wish), Some(full)) = (self.wish.as_ref(), full.as_ref()) {
            // A stream of the region may be missing in this frame and come with a later one.
            let all = &full.directory.streams;
            let known = all.iter().any(|s| s.name_lossy() == wish.as_str() || s.id.to_string() == *wish);
            let names = || all.iter().map(|s| safe(&s.name_lossy()).into_owned()).collect::<Vec<_>>().join(", ");
            self.lacking = (!known).then(names);
            let found = shown.iter().find(|s| s.name == *wish || s.info.id.to_string() == *wish);
            if let Some(s) = found {
                (self.stream, self.wish) = (Some(s.info.id), None);
            }
        }
        if !shown.is_empty() && !shown.iter().any(|s| Some(s.info.id) == self.stream) {
            let first = shown.iter().find(|s| s.ty.is_some()).or(shown.first());
            self.stream = self.stream.or(first.map(|s| s.info.id));
        }
        self.cache = Some((self.at, id, shown));
    }

    pub(crate) fn draw(&mut self, f: &mut Frame<'_>, frames: &mut dyn Frames) {
        let [head, middle, bar, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(2),
            Constraint::Length(1),
        ])
        .areas(f.area());
        f.render_widget(Paragraph::new(key_line(&KEYS, foot.width, self.theme)), foot);
        self.bitmap = None;
        if frames.is_empty() {
            f.render_widget(Paragraph::new(format!("{}: {}", self.title, frames.state())), head);
            return;
        }
        self.load(frames);
        let i = usize::try_from(self.at - frames.forgotten()).unwrap_or(0);
        if let Some(p) = frames.point(i) {
            let state = if !self.running {
                "paused"
            } else if frames.is_recording() {
                "playing"
            } else {
                "following"
            };
            let segment = if p.segment > 1 { format!("  segment {}", p.segment) } else { String::new() };
            let text =
                format!("{}  {state}  frame {}  sim time {}{segment}  ", self.title, p.id, units::number(p.sim_time));
            let width = usize::from(head.width);
            let text = units::cut(&text, width);
            let state = units::cut(&frames.state(), width - text.chars().count());
            let line = Line::from(vec![Span::styled(text, self.theme.title()), Span::from(state)]);
            f.render_widget(Paragraph::new(line), head);
        }
        let wide = middle.width >= 70;
        let list_width = if wide { 30 } else { 22 };
        let [list, plot] = Layout::horizontal([Constraint::Length(list_width), Constraint::Fill(1)]).areas(middle);
        self.draw_list(f, list);
        self.bitmap = self.draw_plot(f, plot, frames, i);
        self.draw_bar(f, bar, frames, i);
        if self.help {
            // A picture of the terminal's would lie over it.
            self.bitmap = None;
            let note = "Frames are read only: nothing here changes the region or the recording.";
            help(f, middle, &HELP, &[note], self.theme);
        }
    }

    fn draw_list(&self, f: &mut Frame<'_>, area: Rect) {
        let block = panel(" streams ", self.theme);
        let inner = block.inner(area);
        f.render_widget(block, area);
        let Some((_, _, shown)) = &self.cache else { return };
        if shown.is_empty() {
            f.render_widget(
                Paragraph::new("this frame was not kept in full").wrap(ratatui::widgets::Wrap { trim: true }),
                inner,
            );
            return;
        }
        let chosen = shown.iter().position(|s| Some(s.info.id) == self.stream).unwrap_or(0);
        let rows = inner.height as usize;
        let from = chosen.saturating_sub(rows.saturating_sub(1));
        let lines = shown.iter().enumerate().skip(from).take(rows).map(|(i, s)| {
            let room = (inner.width as usize).saturating_sub(1);
            let value = summary(s);
            let name: String = s.name.chars().take(room.saturating_sub(value.chars().count() + 1).max(6)).collect();
            let gap = room.saturating_sub(name.chars().count() + value.chars().count()).max(1);
            let line = Line::from(format!("{name}{}{value}", " ".repeat(gap)));
            if i == chosen { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
        });
        f.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
    }

    fn draw_plot(&self, f: &mut Frame<'_>, area: Rect, frames: &dyn Frames, i: usize) -> Option<Bitmap> {
        let Some(s) = self.chosen() else {
            f.render_widget(panel("", self.theme), area);
            return None;
        };
        let mode = self.mode_of(s);
        let shape = s.ty.map_or_else(|| "unknown type".to_owned(), |t| t.name().to_owned());
        let times = if s.info.components > 1 { format!("x{}", s.info.components) } else { String::new() };
        let elements = units::count(s.elements.into(), "element");
        let title = format!(" {} ({shape}{times}, {elements}) {} ", s.name, mode.name());
        let title = units::cut(&title, usize::from(area.width).saturating_sub(2));
        let Some(ty) = s.ty else {
            let words = Paragraph::new("this stream has no numbers that are known").block(panel(title, self.theme));
            f.render_widget(words, area);
            return None;
        };
        match mode {
            Mode::Image => {
                let block = panel(title, self.theme);
                let inner = block.inner(area);
                f.render_widget(block, area);
                return image::draw(f, inner, s, self.theme.has_colours(), self.images);
            }
            Mode::Time => {
                let columns = frames.columns().of(s.info.id);
                let from = i.saturating_sub(usize::try_from(self.window).unwrap_or(usize::MAX) - 1);
                let step = (i + 1 - from).div_ceil(MOST_DRAWN);
                let sets: Vec<Vec<(f64, f64)>> = columns
                    .map(|c| {
                        let value = |n: usize| Some((frames.point(n)?.id as f64, *frames.point(n)?.values.get(c)?));
                        (from..=i).step_by(step).filter_map(value).filter(|p| p.1.is_finite()).collect()
                    })
                    .collect();
                self.plot(f, area, title, &sets, GraphType::Line, "frame");
            }
            Mode::Index => {
                let n = s.info.components as usize;
                let shown = n.min(COLUMNS);
                let all: Vec<f64> = s.data.chunks_exact(ty.size() as usize).map(|b| values::number_of(ty, b)).collect();
                let elements = all.len() / n.max(1);
                let step = elements.div_ceil(MOST_DRAWN).max(1);
                let sets: Vec<Vec<(f64, f64)>> = (0..shown)
                    .map(|c| {
                        let value = |e: usize| (e as f64, all[e * n + c]);
                        (0..elements).step_by(step).map(value).filter(|p| p.1.is_finite()).collect()
                    })
                    .collect();
                self.plot(f, area, title, &sets, GraphType::Line, "index");
            }
            Mode::Xy => {
                let (n, size) = (s.info.components as usize, ty.size() as usize);
                let elements = s.data.len() / (n * size).max(1);
                let step = elements.div_ceil(4 * MOST_DRAWN).max(1);
                let pair = |e: usize| {
                    let at = |c: usize| s.data.get((e * n + c) * size..).map_or(f64::NAN, |b| values::number_of(ty, b));
                    (at(0), at(1))
                };
                let points: Vec<_> =
                    (0..elements).step_by(step).map(pair).filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
                self.plot(f, area, title, &[points], GraphType::Scatter, "x");
            }
        }
        None
    }

    fn plot(
        &self,
        f: &mut Frame<'_>,
        area: Rect,
        title: String,
        sets: &[Vec<(f64, f64)>],
        graph: GraphType,
        name: &'static str,
    ) {
        let x = X { ends: None, name, label: units::number };
        chart::draw(f, area, Plot { block: panel(title, self.theme), sets, graph, x }, self.theme);
    }

    /// Where in all frames this one is, and where some were missed or a segment began.
    fn draw_bar(&self, f: &mut Frame<'_>, area: Rect, frames: &dyn Frames, i: usize) {
        let n = frames.len();
        let width = area.width as usize;
        if n == 0 || width < 3 {
            return;
        }
        let mut cells = vec!['─'; width];
        let per = n.div_ceil(width).max(1);
        for (c, cell) in cells.iter_mut().enumerate() {
            // A few frames of each cell are enough for a million of them.
            let from = c * n / width;
            let to = ((c + 1) * n / width).max(from + 1).min(n);
            for k in (from..to).step_by(per.div_ceil(64)) {
                let Some(p) = frames.point(k) else { break };
                let begins = k > 0 && frames.point(k - 1).is_some_and(|q| q.segment != p.segment);
                *cell = match *cell {
                    _ if begins => '┃',
                    '─' if p.missed > 0 => '·',
                    other => other,
                };
            }
        }
        let at = (i * (width - 1) / (n - 1).max(1)).min(width - 1);
        let (before, after): (String, String) = (cells[..at].iter().collect(), cells[at + 1..].iter().collect());
        let line = Line::from(vec![
            Span::styled(before, self.theme.series(0)),
            Span::styled("█", self.theme.title()),
            Span::from(after).dim(),
        ]);
        let time = |k: usize| frames.point(k).map_or(0, |p| p.time);
        let seconds = |a: u64, b: u64| b.saturating_sub(a) as f64 / 1e9;
        let what = format!(
            "{} of {}, {:.3} of {:.3} s   · missed  ┃ restart",
            i + 1,
            units::count(n as u64, "frame"),
            seconds(time(0), time(i)),
            seconds(time(0), time(n - 1))
        );
        f.render_widget(Paragraph::new(vec![line, Line::from(units::cut(&what, width)).dim()]), area);
    }
}

/// The last frame at or before a time.
fn index_of_time(frames: &dyn Frames, time: u64) -> usize {
    let (mut lo, mut hi) = (0, frames.len());
    while lo < hi {
        let mid = (lo + hi) / 2;
        if frames.point(mid).is_some_and(|p| p.time <= time) { lo = mid + 1 } else { hi = mid }
    }
    lo.saturating_sub(1)
}
