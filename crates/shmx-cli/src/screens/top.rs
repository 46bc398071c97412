//! `shmx top`: all regions at once, sorted, live.

use crate::args::parse::interval;
use crate::common::say;
use crate::escape::safe;
use crate::json;
use crate::ls::{self, Row, Samples, State};
use crate::names::Only;
use crate::screens::keys::{Press, press};
use crate::screens::parts::{Key, help, key_line};
use crate::screens::terminal::in_terminal;
use crate::screens::theme::Theme;
use crate::stop;
use crate::units;
use anyhow::Context;
use clap::{Args, ValueEnum};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent};
use ratatui::layout::{Constraint, Layout};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::cmp::Reverse;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Watch all regions at once, the busiest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Rates are counted from one update to the next. FRAME is the payload of a frame, averaged over the ring. LAG is how \
many frames the slowest reader is behind. With --once or --json, or where stdout is not a terminal, it prints the \
table and takes no keys. Read-only.

Exit codes: 0 done; 1 failed (this platform cannot list); 2 wrong usage.

Examples:
  shmx top
  shmx top --sort rate --once
  shmx top --json --once --interval 0.2s | jq -r .name")]
pub(crate) struct Top {
    #[command(flatten)]
    only: Only,
    /// What to sort by; the key s changes it.
    #[arg(long, value_name = "BY", value_enum, default_value_t)]
    sort: Sort,
    /// Smallest first; the key r changes it.
    #[arg(long, short)]
    reverse: bool,
    /// Time between updates, 0.02 to 10 seconds.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval, allow_negative_numbers = true)]
    interval: Duration,
    /// Print the table once, after one interval.
    #[arg(long)]
    once: bool,
    /// Print a JSON object for each region, after each interval.
    #[arg(long)]
    json: bool,
}

/// Which regions come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Bytes per second.
    #[default]
    Bandwidth,
    /// Frames per second.
    Rate,
    /// Number of readers, then how far they are behind.
    Readers,
    /// Memory.
    Size,
    /// Name, from A to Z.
    Name,
}

impl Sort {
    /// As the option is written.
    fn word(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    fn next(self) -> Self {
        let all = Self::value_variants();
        let at = all.iter().position(|&s| s == self).unwrap_or(0);
        all[(at + 1) % all.len()]
    }

    /// The largest first; equal ones by name.
    fn sort(self, rows: &mut [Row]) {
        let whole = |v: Option<f64>| v.map(|v| (v * 1000.0) as u64);
        rows.sort_by(|a, b| {
            let key = |r: &Row| match self {
                Self::Bandwidth => (whole(r.bandwidth()), None),
                Self::Rate => (whole(r.rate), None),
                Self::Readers => (r.readers.map(|r| u64::from(r.0)), r.lag),
                Self::Size => (Some(r.size), None),
                Self::Name => (None, None),
            };
            Reverse(key(a)).cmp(&Reverse(key(b))).then_with(|| a.name.cmp(&b.name))
        });
    }
}

const HEADINGS: [&str; 9] = ["NAME", "STATE", "RATE", "BANDWIDTH", "FRAME", "READERS", "LAG", "SIZE", "PRODUCER"];

fn cells(r: &Row) -> [String; 9] {
    let dash = || "-".to_owned();
    let producer = match (r.pid, &r.program) {
        (Some(pid), Some(program)) => format!("{pid} {program}"),
        (Some(pid), None) => pid.to_string(),
        _ => r.note.as_ref().map_or_else(dash, |note| safe(note).into_owned()),
    };
    [
        safe(&r.name).into_owned(),
        r.state.word().to_owned(),
        r.rate.map_or_else(dash, units::rate),
        r.bandwidth().map_or_else(dash, units::bandwidth),
        r.frame_bytes.map_or_else(dash, units::bytes),
        r.readers.map_or_else(dash, |(n, of)| format!("{n}/{of}")),
        r.lag.map_or_else(dash, |n| n.to_string()),
        units::bytes(r.size),
        producer,
    ]
}

/// The keys on the last line, and all of them.
const KEYS: [Key; 4] = [("s", "sort"), ("r", "reverse"), ("?", "help"), ("q", "quit")];
const HELP: [Key; 6] = [
    ("s", "sort by the next column"),
    ("r", "the other way round"),
    ("↑ ↓, k j, PgUp PgDn", "lines"),
    ("Home End", "first and last line"),
    ("?", "this help"),
    ("q, Esc, Ctrl-C", "quit"),
];

/// All regions and what they do together.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    sort: Sort,
    reverse: bool,
    scroll: usize,
    only: Only,
    help: bool,
}

impl Table {
    /// Counts anew.
    fn refresh(&mut self, samples: &mut Samples) -> anyhow::Result<()> {
        self.rows = ls::rows_since(&self.only, samples)?;
        self.order();
        Ok(())
    }

    fn order(&mut self) {
        self.rows.retain(|r| r.state != State::Foreign);
        self.sort.sort(&mut self.rows);
        if self.reverse {
            self.rows.reverse();
        }
        self.scroll = self.scroll.min(self.rows.len().saturating_sub(1));
    }

    fn sum(&self) -> String {
        let live = self.rows.iter().filter(|r| r.state == State::Live).count() as u64;
        // Not `sum`, which is -0 of nothing.
        let all = |of: fn(&Row) -> Option<f64>| self.rows.iter().filter_map(of).fold(0.0, |sum, n| sum + n);
        format!(
            "{}, {live} live, {}, {}, {}",
            units::count(self.rows.len() as u64, "region"),
            units::rate(all(|r| r.rate)),
            units::bandwidth(all(Row::bandwidth)),
            units::bytes(self.rows.iter().map(|r| r.size).sum()),
        )
    }

    fn lines(&self) -> Vec<String> {
        let body: Vec<_> = self.rows.iter().map(cells).collect();
        ls::columns(&HEADINGS, &body, 2..8)
    }

    /// Does what a key means; false to end.
    fn press(&mut self, key: &KeyEvent) -> bool {
        let last = self.rows.len().saturating_sub(1);
        match press(key) {
            Some(Press::Quit) => return false,
            Some(Press::Back) if !self.help => return false,
            Some(Press::Back) => self.help = false,
            Some(Press::Help) => self.help = !self.help,
            Some(Press::Own(KeyCode::Char('s'))) => self.sort = self.sort.next(),
            Some(Press::Own(KeyCode::Char('r'))) => self.reverse = !self.reverse,
            Some(Press::Down) => self.scroll += 1,
            Some(Press::Up) => self.scroll = self.scroll.saturating_sub(1),
            Some(Press::PageDown) => self.scroll += 10,
            Some(Press::PageUp) => self.scroll = self.scroll.saturating_sub(10),
            Some(Press::First) => self.scroll = 0,
            Some(Press::Last) => self.scroll = last,
            _ => {}
        }
        self.order();
        true
    }

    fn draw(&self, frame: &mut Frame, theme: Theme) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
        let sum = Line::from(vec![Span::styled(" shmx ", theme.selected()), Span::raw(format!(" {}", self.sum()))]);
        frame.render_widget(Paragraph::new(sum), head);
        let lines = self.lines();
        let mut lines = lines.into_iter().map(|l| units::cut(&l, body.width.into()));
        let heading = Line::styled(lines.next().unwrap_or_default(), theme.dim());
        let rows = lines.zip(&self.rows).skip(self.scroll).map(|(line, row)| match row.state {
            State::Live | State::Reference | State::Unknown => Line::from(line),
            State::Closed | State::Unfinished => Line::styled(line, theme.warning()),
            _ => Line::styled(line, theme.bad()),
        });
        let more = (self.rows.len() - self.scroll.min(self.rows.len()))
            .saturating_sub(usize::from(body.height.saturating_sub(1)));
        frame.render_widget(Paragraph::new(std::iter::once(heading).chain(rows).collect::<Vec<_>>()), body);
        let order = if self.reverse { "least first" } else { "most first" };
        let more = if more > 0 { format!("  +{more} more") } else { String::new() };
        let mut foot_line = key_line(&KEYS, foot.width, theme);
        foot_line.push_span(Span::raw(format!("sorted by {}, {order}{more}", self.sort.word())));
        frame.render_widget(Paragraph::new(foot_line), foot);
        if self.help {
            help(frame, body, &HELP, &["LAG is in frames; FRAME is the payload of one."], theme);
        }
    }
}

pub(crate) fn run(a: &Top) -> anyhow::Result<()> {
    let mut samples = Samples::new();
    let mut table = Table { sort: a.sort, reverse: a.reverse, only: a.only.clone(), ..Table::default() };
    // Rates need two counts.
    table.refresh(&mut samples)?;
    if a.once || a.json || !std::io::stdout().is_terminal() {
        return print(a, &mut table, &mut samples);
    }
    let theme = Theme::from_environment();
    in_terminal("`--once` prints the table, `--json` the regions", |terminal| {
        let mut next = Instant::now() + a.interval.min(Duration::from_millis(200));
        while !stop::requested() {
            if Instant::now() >= next {
                table.refresh(&mut samples)?;
                next = Instant::now() + a.interval;
            }
            terminal.draw(|f| table.draw(f, theme)).context("cannot draw")?;
            // In slices, so that signals are heard.
            while Instant::now() < next && !stop::requested() {
                let slice = next.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
                if !event::poll(slice).context("cannot read keys")? {
                    continue;
                }
                if let Event::Key(key) = event::read().context("cannot read keys")?
                    && !table.press(&key)
                {
                    return Ok(());
                }
                break;
            }
        }
        Ok(())
    })
}

/// Prints the table after each interval; with `--once` that is the end.
fn print(a: &Top, table: &mut Table, samples: &mut Samples) -> anyhow::Result<()> {
    loop {
        let waited = stop::sleep_until(Instant::now() + a.interval);
        table.refresh(samples)?;
        let mut out = std::io::stdout().lock();
        if a.json {
            table.rows.iter().try_for_each(|r| json::line(&mut out, "region", ls::as_json(r)))?;
        } else {
            table.lines().iter().try_for_each(|l| writeln!(out, "{l}"))?;
            if !a.once {
                writeln!(out)?;
            }
        }
        out.flush()?;
        drop(out);
        if a.once && !a.json {
            say(format_args!("{}", table.sum()));
        }
        if a.once || !waited {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::crossterm::event::KeyModifiers;

    fn row(name: &str, rate: Option<f64>, frame_bytes: u64, readers: u32) -> Row {
        Row {
            name: name.into(),
            state: State::Live,
            note: None,
            denied: false,
            size: 1 << 20,
            pid: None,
            program: None,
            rate,
            readers: Some((readers, 16)),
            slots: Some(3),
            frames: Some(1),
            age_ns: None,
            frame_bytes: Some(frame_bytes),
            lag: Some(0),
        }
    }

    #[test]
    fn nothing_sums_up_to_nothing() {
        let sum = Table::default().sum();
        assert!(sum.starts_with("0 regions, 0 live, 0") && !sum.contains('-'), "{sum}");
    }

    #[test]
    fn the_most_comes_first_and_what_does_not_fit_is_counted() {
        let rows = vec![row("b", Some(10.0), 10, 1), row("c", None, 5, 3), row("a", Some(2.0), 100, 2)];
        let mut table = Table { rows, ..Table::default() };
        let mut names = |sort, reverse| {
            (table.sort, table.reverse) = (sort, reverse);
            table.order();
            table.rows.iter().map(|r| r.name.as_str()).collect::<String>()
        };
        assert_eq!(names(Sort::Bandwidth, false), "abc");
        assert_eq!(names(Sort::Rate, false), "bac");
        assert_eq!(names(Sort::Readers, false), "cab");
        assert_eq!([names(Sort::Name, false), names(Sort::Size, true)], ["abc", "cba"]);
        let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(80, 4)).unwrap();
        for (w, h) in [(80, 4), (1, 1), (10, 2), (200, 60)] {
            terminal.backend_mut().resize(w, h);
            terminal.draw(|f| table.draw(f, Theme::new(true))).unwrap();
        }
        terminal.backend_mut().resize(80, 4);
        terminal.draw(|f| table.draw(f, Theme::new(false))).unwrap();
        let screen = terminal.backend().to_string();
        assert!(screen.contains("+2 more") && screen.contains("3 regions, 3 live, 12.0/s, 300 B/s"), "{screen}");
        assert!(!table.press(&KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(table.press(&KeyEvent::new(KeyCode::Char('s'), KeyModifiers::NONE)) && table.sort == Sort::Name);
    }
}
