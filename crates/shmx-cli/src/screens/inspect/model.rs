//! What the dashboard knows: the last look, the past, and where the user is. No terminal, no region, no clock in here.

use crate::look::{Facts, Focus, Look, StreamFact, Target};
use crate::ls::Row;
use crate::seen::Seen;
use std::collections::VecDeque;

/// Time over which rates are taken, nanoseconds.
const WINDOW: u64 = 2_000_000_000;
/// Time between two points of a sparkline, nanoseconds.
const BIN: u64 = 250_000_000;
/// Points of a sparkline that are kept: enough for a wide screen.
const BINS: usize = 400;
/// Points of the plot that are kept.
const POINTS: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Overview,
    Streams,
    Readers,
    Slots,
    Plot,
    Layout,
}

impl Page {
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Streams, Self::Readers, Self::Slots, Self::Plot, Self::Layout];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Streams => "streams",
            Self::Readers => "readers",
            Self::Slots => "slots",
            Self::Plot => "plot",
            Self::Layout => "layout",
        }
    }
}

/// Rates over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Frames of the last [`WINDOW`].
    recent: VecDeque<Seen>,
    /// When how many frames had been published.
    counted: VecDeque<(u64, u64)>,
    next_bin: u64,
    /// Frames per second, one value per [`BIN`].
    pub(crate) rate: VecDeque<f64>,
    /// Standard deviation of the intervals between frames, nanoseconds.
    pub(crate) jitter: VecDeque<f64>,
    /// Payload bytes per second.
    pub(crate) bandwidth: VecDeque<f64>,
    /// Frames that came and went before they were taken.
    pub(crate) missed: u64,
}

impl History {
    /// Takes in what a poll has brought. `total` counts the frames published by now.
    pub(crate) fn note(&mut self, now: u64, frames: &[Seen], total: u64, missed: u64) {
        self.missed = missed;
        self.recent.extend(frames);
        let old = now.saturating_sub(WINDOW);
        while self.recent.front().is_some_and(|f| f.time() < old) {
            self.recent.pop_front();
        }
        if self.counted.back().is_none_or(|c| now.saturating_sub(c.0) >= BIN / 5) {
            self.counted.push_back((now, total));
        }
        // One older than the window stays, to measure against.
        while self.counted.get(1).is_some_and(|c| c.0 < old) {
            self.counted.pop_front();
        }
        if self.next_bin == 0 {
            self.next_bin = now + BIN;
        }
        while now >= self.next_bin {
            self.next_bin += BIN;
            let values = [self.rate_now(), self.jitter_now(), self.bandwidth_now()].map(|v| v.unwrap_or(0.0));
            for (list, v) in [&mut self.rate, &mut self.jitter, &mut self.bandwidth].into_iter().zip(values) {
                list.push_back(v);
                if list.len() > BINS {
                    list.pop_front();
                }
            }
            // After a long pause of ours the past is unknown; do not make it up.
            if now.saturating_sub(self.next_bin) > 8 * BIN {
                self.next_bin = now + BIN;
            }
        }
    }

    pub(crate) fn rate_now(&self) -> Option<f64> {
        let (a, b) = (self.counted.front()?, self.counted.back()?);
        let time = b.0.saturating_sub(a.0);
        (time >= BIN / 2).then(|| b.1.saturating_sub(a.1) as f64 * 1e9 / time as f64)
    }

    /// Standard deviation of the intervals, nanoseconds.
    pub(crate) fn jitter_now(&self) -> Option<f64> {
        let pairs = self.recent.iter().zip(self.recent.iter().skip(1)).filter(|(a, b)| b.id == a.id + 1);
        let intervals: Vec<f64> = pairs.map(|(a, b)| b.time().saturating_sub(a.time()) as f64).collect();
        if intervals.len() < 2 {
            return None;
        }
        let n = intervals.len() as f64;
        let mean = intervals.iter().sum::<f64>() / n;
        Some((intervals.iter().map(|i| (i - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    pub(crate) fn bandwidth_now(&self) -> Option<f64> {
        let bytes: u64 = self.recent.iter().map(|f| u64::from(f.bytes)).sum();
        let mean = bytes as f64 / self.recent.len().max(1) as f64;
        self.rate_now().map(|r| r * mean)
    }
}

/// The list of regions to pick from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picker {
    /// None until the first listing.
    pub(crate) rows: Option<Result<Vec<Row>, String>>,
    pub(crate) selected: usize,
}

impl Picker {
    pub(crate) fn chosen(&self) -> Option<&Row> {
        self.rows.as_ref()?.as_ref().ok()?.get(self.selected)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// What is watched; none while the picker is open.
    pub(crate) target: Option<Target>,
    pub(crate) picker: Picker,
    pub(crate) look: Option<Look>,
    pub(crate) history: History,
    pub(crate) page: Page,
    /// Row of the stream table.
    pub(crate) stream: usize,
    pub(crate) element: u32,
    pub(crate) component: u32,
    /// When and what the place in focus was.
    pub(crate) plot: VecDeque<(u64, f64)>,
    /// Seconds that the plot shows.
    pub(crate) span: u64,
    /// First line of a long list.
    pub(crate) scroll: usize,
    pub(crate) paused: bool,
    pub(crate) help: bool,
    /// Wire clock of this model.
    pub(crate) now: u64,
    session: Option<u64>,
    pub(crate) restarts: u32,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    Back,
    Regions,
    Page(usize),
    NextPage,
    PreviousPage,
    Up(usize),
    Down(usize),
    Left(u32),
    Right(u32),
    First,
    Last,
    Component,
    Enter,
    Pause,
    Help,
    Wider,
    Narrower,
    Forget,
}

/// What the loop around the model has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Quit,
    Open(String),
    Pick,
}

impl Model {
    pub(crate) fn new(target: Option<Target>) -> Self {
        Self {
            target,
            picker: Picker::default(),
            look: None,
            history: History::default(),
            page: Page::Overview,
            stream: 0,
            element: 0,
            component: 0,
            plot: VecDeque::new(),
            span: 30,
            scroll: 0,
            paused: false,
            help: false,
            now: 0,
            session: None,
            restarts: 0,
        }
    }

    /// Starts to watch something else.
    pub(crate) fn watch(&mut self, target: Option<Target>) {
        let picker = std::mem::take(&mut self.picker);
        *self = Self { picker, page: self.page, span: self.span, ..Self::new(target) };
    }

    /// Takes in a snapshot.
    pub(crate) fn see(&mut self, look: Look, now: u64) {
        self.now = now;
        if let Look::Region(f) = &look {
            let session = f.header.session_id;
            if self.session.is_some_and(|s| s != session) {
                self.restarts += 1;
                self.history = History::default();
                self.plot.clear();
            }
            self.session = Some(session);
        }
        self.look = Some(look);
        self.clamp();
    }

    pub(crate) fn facts(&self) -> Option<&Facts> {
        match &self.look {
            Some(Look::Region(f)) => Some(f),
            _ => None,
        }
    }

    /// Streams to show: those of the newest frame, then what else the directory declares.
    pub(crate) fn streams(&self) -> Vec<StreamFact> {
        let Some(f) = self.facts() else { return Vec::new() };
        let mut all = match &f.latest {
            Some(Ok(frame)) => frame.streams.clone(),
            _ => Vec::new(),
        };
        for s in f.directory.iter().flat_map(|d| &d.streams) {
            if all.iter().all(|a| a.id != s.id) {
                let info = Some(s.clone());
                all.push(StreamFact { id: s.id, info, elem_count: 0, bytes: 0, start: 0, part: Vec::new() });
            }
        }
        all
    }

    pub(crate) fn focus(&self) -> Focus {
        Focus { stream: self.streams().get(self.stream).map(|s| s.id), element: self.element }
    }

    /// Adds a point to the plot.
    pub(crate) fn plot_point(&mut self, at: u64, value: f64) {
        self.plot.push_back((at, value));
        if self.plot.len() > POINTS {
            self.plot.pop_front();
        }
    }

    fn clamp(&mut self) {
        let streams = self.streams();
        self.stream = self.stream.min(streams.len().saturating_sub(1));
        if let Some(s) = streams.get(self.stream) {
            if s.elem_count > 0 {
                self.element = self.element.min(s.elem_count - 1);
            }
            self.component = self.component.min(s.components() - 1);
        }
        let lines = match (self.page, &self.look) {
            (_, Some(Look::Damaged(r))) => r.fields.len(),
            (Page::Readers, Some(Look::Region(f))) => f.readers.len(),
            (Page::Slots, Some(Look::Region(f))) => f.slots.len(),
            _ => 0,
        };
        self.scroll = self.scroll.min(lines.saturating_sub(1));
    }

    fn picker_rows(&self) -> usize {
        self.picker.rows.as_ref().and_then(|r| r.as_ref().ok()).map_or(0, Vec::len)
    }

    fn vertical(&mut self, down: bool, n: usize) {
        let shift = |at: usize| if down { at.saturating_add(n) } else { at.saturating_sub(n) };
        if self.target.is_none() {
            self.picker.selected = shift(self.picker.selected).min(self.picker_rows().saturating_sub(1));
        } else if matches!(self.page, Page::Overview | Page::Streams | Page::Plot)
            && matches!(self.look, Some(Look::Region(_)))
        {
            let before = self.stream;
            self.stream = shift(self.stream);
            self.clamp();
            if self.stream != before {
                (self.element, self.component) = (0, 0);
                self.plot.clear();
            }
        } else {
            self.scroll = shift(self.scroll);
        }
    }

    fn element_to(&mut self, element: u32) {
        let before = self.element;
        self.element = element;
        self.clamp();
        if self.element != before {
            self.plot.clear();
        }
    }

    /// Carries out what a key asks for.
    pub(crate) fn apply(&mut self, action: Action) -> Effect {
        let help = std::mem::take(&mut self.help);
        match action {
            Action::Quit => return Effect::Quit,
            Action::Back if help => {}
            Action::Help => self.help = !help,
            Action::Back if self.target.is_none() => return Effect::Quit,
            Action::Back | Action::Regions => return Effect::Pick,
            Action::Up(n) => self.vertical(false, n),
            Action::Down(n) => self.vertical(true, n),
            Action::Enter if self.target.is_none() => {
                return self.picker.chosen().map_or(Effect::Nothing, |r| Effect::Open(r.name.clone()));
            }
            // The rest is for a region.
            _ if self.target.is_none() => {}
            Action::Page(n) => self.page = Page::ALL.get(n).copied().unwrap_or(self.page),
            Action::NextPage | Action::PreviousPage => {
                let n = Page::ALL.len();
                let at = Page::ALL.iter().position(|&p| p == self.page).unwrap_or(0);
                let step = if action == Action::NextPage { 1 } else { n - 1 };
                self.page = Page::ALL[(at + step) % n];
            }
            Action::Left(n) => self.element_to(self.element.saturating_sub(n)),
            Action::Right(n) => self.element_to(self.element.saturating_add(n)),
            Action::First => self.element_to(0),
            Action::Last => self.element_to(u32::MAX),
            Action::Component => {
                let n = self.streams().get(self.stream).map_or(1, StreamFact::components);
                self.component = (self.component + 1) % n;
                self.plot.clear();
            }
            Action::Enter => self.page = Page::Plot,
            Action::Pause => self.paused = !self.paused,
            Action::Wider => self.span = (self.span * 2).min(480),
            Action::Narrower => self.span = (self.span / 2).max(1),
            Action::Forget => {
                self.history = History::default();
                self.plot.clear();
            }
        }
        self.clamp();
        Effect::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u64, at: u64) -> Seen {
        Seen { id, published: Some(at), seen: at, bytes: 1000 }
    }

    #[test]
    fn rates_come_from_counts_and_jitter_from_publish_times() {
        let mut h = History::default();
        let ms = 1_000_000;
        for i in 0..300_u64 {
            // Intervals of 8 and 12 ms in turn.
            let at = 1_000 * ms + i * 10 * ms + if i % 2 == 1 { 2 * ms } else { 0 };
            h.note(at, &[seen(i + 1, at)], i + 1, 0);
        }
        let close = |v: Option<f64>, to: f64| v.is_some_and(|v| (v / to - 1.0).abs() < 0.02);
        assert!(close(h.rate_now(), 100.0), "{:?}", h.rate_now());
        assert!(close(h.jitter_now(), 2e6), "{:?}", h.jitter_now());
        assert!(close(h.bandwidth_now(), 100_000.0), "{:?}", h.bandwidth_now());
        assert_eq!(h.rate.len(), 11, "one each quarter of a second");
        // It stops: the rate falls to nothing.
        for i in 0..60 {
            h.note(4_010 * ms + i * 50 * ms, &[], 300, 0);
        }
        assert_eq!((h.rate_now(), h.jitter_now()), (Some(0.0), None));
    }

    #[test]
    fn a_gap_is_no_interval() {
        let mut h = History::default();
        h.note(100, &[seen(1, 100), seen(5, 200), seen(6, 300), seen(7, 400)], 7, 3);
        assert_eq!(h.jitter_now(), Some(0.0));
        assert_eq!(h.missed, 3);
    }

    #[test]
    fn keys_on_an_empty_model_do_no_harm() {
        for target in [None, Some(Target::Region("x".into()))] {
            let mut m = Model::new(target);
            for a in [
                Action::Up(1),
                Action::Down(9),
                Action::Left(1),
                Action::Right(100),
                Action::First,
                Action::Last,
                Action::Component,
                Action::Enter,
                Action::NextPage,
                Action::PreviousPage,
                Action::Page(99),
                Action::Pause,
                Action::Wider,
                Action::Narrower,
                Action::Forget,
                Action::Help,
            ] {
                assert_eq!(m.apply(a), Effect::Nothing, "{a:?}");
            }
            assert!(m.help);
            assert_eq!(m.apply(Action::Back), Effect::Nothing, "closes the help");
            assert_eq!(m.apply(Action::Quit), Effect::Quit);
        }
    }
}
