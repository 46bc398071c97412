//! `shmx inspect`: the live dashboard.
//!
//! `model` knows, `view` draws, `input` reads keys; here is the loop that feeds them. Regions are read
//! through read-only mappings only.

mod input;
mod memory;
mod model;
#[cfg(all(test, target_os = "linux"))]
mod scenes;
mod view;

use crate::look::{Look, Lookout, Target};
use crate::ls;
use crate::names::Only;
use crate::screens::idle;
use crate::screens::terminal::in_terminal;
use crate::screens::theme::Theme;
use crate::seen::Seen;
use crate::stop;
use crate::values;
use anyhow::Context;
use model::{Effect, Model};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use shmx::{Start, StreamInfo, Tap, Verify};
use std::time::{Duration, Instant};

/// Longest wait for a key, so that signals are heard.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time between two listings for the picker.
const LISTING: Duration = Duration::from_secs(1);
/// Frames taken before keys get their turn.
const TURN: usize = 64;

pub(crate) fn run(target: Option<Target>, interval: Duration) -> anyhow::Result<()> {
    in_terminal("`--once` prints the screen, `--json` what it shows", |terminal| {
        Dashboard::new(target, interval).run(terminal)
    })
}

struct Dashboard {
    model: Model,
    theme: Theme,
    interval: Duration,
    lookout: Option<Lookout>,
    /// Follows the frames of the session that the lookout has open.
    tap: Option<Tap>,
    listed: Option<Instant>,
}

impl Dashboard {
    fn new(target: Option<Target>, interval: Duration) -> Self {
        Self {
            lookout: target.clone().map(Lookout::new),
            model: Model::new(target),
            theme: Theme::from_environment(),
            interval,
            tap: None,
            listed: None,
        }
    }

    fn run(&mut self, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        let mut next_draw = Instant::now();
        while !stop::requested() {
            let now = Instant::now();
            if now >= next_draw {
                self.refresh();
                terminal.draw(|f| view::draw(f, &self.model, self.theme)).context("cannot draw")?;
                next_draw = now + self.interval;
            }
            self.poll();
            let wait = PATIENCE.min(next_draw.saturating_duration_since(Instant::now()));
            if !idle::key_or_frame(self.tap.as_mut(), wait).context("cannot read keys")? {
                continue;
            }
            // All that have come, then one picture.
            while event::poll(Duration::ZERO).context("cannot read keys")? {
                if let Event::Key(key) = event::read().context("cannot read keys")?
                    && let Some(action) = input::action(&key)
                    && self.act(action)
                {
                    return Ok(());
                }
            }
            next_draw = Instant::now();
        }
        Ok(())
    }

    /// True to end.
    fn act(&mut self, action: model::Action) -> bool {
        match self.model.apply(action) {
            Effect::Nothing => {}
            Effect::Quit => return true,
            Effect::Pick => {
                self.model.watch(None);
                (self.lookout, self.tap, self.listed) = (None, None, None);
            }
            Effect::Open(name) => {
                let target = Target::Region(name);
                self.lookout = Some(Lookout::new(target.clone()));
                self.tap = None;
                self.model.watch(Some(target));
            }
        }
        false
    }

    /// Looks anew, at the region or at the list of regions.
    fn refresh(&mut self) {
        let Some(lookout) = &mut self.lookout else {
            if self.listed.is_none_or(|at| at.elapsed() >= LISTING) {
                // The rates come from publish times; waiting here would hold up the keys.
                let rows = ls::rows(&Only::default(), || {}).map(|mut rows| {
                    rows.retain(|r| r.state != ls::State::Foreign);
                    rows
                });
                self.model.picker.rows = Some(rows.map_err(|e| e.to_string()));
                self.listed = Some(Instant::now());
                self.model.apply(model::Action::Up(0));
            }
            return;
        };
        if self.model.paused {
            return;
        }
        let look = lookout.look(self.model.focus(), false);
        self.model.see(look, shmx_os::clock::ticks());
    }

    /// Takes the frames that have come since the last time.
    fn poll(&mut self) {
        let Some(lookout) = &self.lookout else { return };
        let Some(i) = lookout.inspector() else { return };
        // In a dump nothing comes.
        let Target::Region(name) = &lookout.target else { return };
        if !i.is_whole() {
            return;
        }
        let session = i.header().session_id;
        if self.tap.as_ref().is_none_or(|t| t.session_id() != session) {
            let options = Tap::options().start(Start::Newest).verify(Verify::Never);
            // The name may lead to a successor already; the lookout follows soon.
            self.tap = options.open(name).ok().filter(|t| t.session_id() == session && t.is_whole());
        }
        let Some(tap) = &mut self.tap else { return };
        let focus = in_focus(&self.model);
        let (element, component) = (self.model.element, self.model.component);
        let (mut frames, mut points) = (Vec::new(), Vec::new());
        for _ in 0..TURN {
            match tap.try_next() {
                Ok(Some(frame)) => {
                    let seen = Seen::of(&frame, shmx_os::clock::ticks());
                    let number = |info: &StreamInfo| {
                        let s = frame.stream(info.id).ok()??;
                        values::number(info, s.data, 0, element, component)
                    };
                    points.extend(focus.as_ref().and_then(number).map(|v| (seen.time(), v)));
                    frames.push(seen);
                }
                Ok(None) => break,
                // The next refresh finds who has the region now.
                Err(e) if e.is_final() => break,
                // Counted as rejected.
                Err(_) => {}
            }
        }
        let stats = tap.stats();
        self.model.history.note(shmx_os::clock::ticks(), &frames, i.header().frame_seq, stats.missed);
        if !self.model.paused {
            points.into_iter().for_each(|(at, v)| self.model.plot_point(at, v));
        }
    }
}

/// The stream in focus.
fn in_focus(m: &Model) -> Option<StreamInfo> {
    let Some(Look::Region(facts)) = &m.look else { return None };
    facts.directory.as_ref().ok()?.stream(m.focus().stream?).cloned()
}
