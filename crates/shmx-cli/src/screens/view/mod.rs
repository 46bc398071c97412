//! `shmx view`: plots of any numeric stream, live or from a recording, with pause, step and scrub.

mod data;
mod frames;
mod image;
mod screen;
mod shown;

use crate::args::parse;
use crate::common::{self, say};
use crate::exit;
use crate::names;
use crate::recording;
use crate::screens::graphics::{self, Bitmap, Images};
use crate::screens::idle;
use crate::screens::svg;
use crate::screens::terminal::{self, in_terminal};
use crate::stop;
use crate::values::Data;
use anyhow::{Context, bail};
use clap::Args;
use frames::{Frames, Live, Recorded};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event};
use screen::Screen;
use shown::Mode;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Plot any numeric stream of a region or a recording; pause, step and scrub.
#[derive(Debug, Args)]
#[command(after_help = "\
A live region is followed read-only, from the oldest frame in its ring on; --history bounds the memory for what has \
been seen since. Images and vectors have plots of their own. The keys are shown on the screen.

Exit codes: 0 done; 1 failed, or a part of the recording could not be read; 2 wrong usage.

Examples:
  shmx view clock
  shmx view clock.mcap --stream tick_sim --at 0.5 --once --size 80x24
  shmx view clock.mcap --json --at 0.5 --limit 3 | jq .frame_id
  shmx view clock.mcap --svg clock.svg")]
pub(crate) struct View {
    /// Name of a region, or files made by `shmx record`.
    #[arg(value_name = "NAME|FILE", required = true)]
    source: Vec<String>,
    /// The stream to begin with, given by name or number. Without it, the first numeric one.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The region to show, if a recording has several.
    #[arg(long, value_name = "NAME|PATTERN", value_parser = names::pattern)]
    region: Option<String>,
    /// How to plot it; the key m changes it. Without it, what suits the stream.
    #[arg(long, value_name = "HOW", value_enum)]
    mode: Option<Mode>,
    /// Begin this long after the start of the recording. Without it, at its start, or with --once, --json and --svg at
    /// its end.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    at: Option<Duration>,
    /// Memory for the frames of a live region to scrub through.
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = parse::size)]
    history: u64,
    /// Print the screen as text, once.
    #[arg(long, conflicts_with = "svg")]
    once: bool,
    /// Write the screen as an SVG picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the frame that would be shown as a JSON object.
    #[arg(long, conflicts_with_all = ["svg", "once"])]
    json: bool,
    #[command(flatten)]
    data: Data,
    /// How to draw images; auto asks the terminal.
    #[arg(long, value_name = "HOW", value_enum, default_value_t, conflicts_with_all = ["once", "svg", "json"])]
    images: Images,
    /// Size of the screen for --once and --svg, in columns and rows.
    #[arg(long, value_name = "WxH", default_value = "100x30", value_parser = screen_size)]
    size: (u16, u16),
    /// With --once, --json and --svg: frames of a region to gather first.
    #[arg(long, value_name = "N", default_value_t = 1)]
    frames: u64,
}

fn screen_size(s: &str) -> Result<(u16, u16), String> {
    let wrong = || "give a size as 100x30, from 40x12 to 500x200".to_owned();
    let (w, h) = s.split_once('x').ok_or_else(wrong)?;
    let w = w.parse().ok().filter(|v| (40..=500).contains(v)).ok_or_else(wrong)?;
    let h = h.parse().ok().filter(|v| (12..=200).contains(v)).ok_or_else(wrong)?;
    Ok((w, h))
}

/// Whether this is meant as a file: regions are no folders, and their names seldom end so.
fn is_path(name: &str) -> bool {
    let file = name.trim_start_matches('/').contains('/') || name.to_ascii_lowercase().ends_with(".mcap");
    file && shmx::Inspector::open(name).is_err()
}

/// Most waiting for the frames of --once, --json and --svg.
const ONCE_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn run(a: &View) -> anyhow::Result<()> {
    let files = a.source.iter().all(|s| Path::new(s).is_file());
    let mut frames: Box<dyn Frames> = if files {
        Box::new(Recorded::open(&a.source, a.region.as_slice())?)
    } else {
        let [name] = a.source.as_slice() else { bail!("give one region, or files; not all of these are files") };
        if is_path(name) {
            bail!("there is no file `{name}`; give a region, or files made by `shmx record`");
        }
        let live = Live::new(name, a.history)?;
        // On a terminal its server may come later.
        if !(a.once || a.json || a.svg.is_some() || terminal::is_there()) {
            shmx::Tap::open(name).with_context(|| common::cannot_open(name))?;
        }
        Box::new(live)
    };
    if stop::requested() {
        return Err(exit::interrupted("the recording was not read to its end"));
    }
    let mut screen = Screen::new(frames.title());
    screen.wish(a.stream.clone(), a.mode);
    if a.once || a.json || a.svg.is_some() {
        return still(a, frames.as_mut(), &mut screen);
    }
    if files {
        screen.begin_at(frames.as_mut(), a.at.unwrap_or_default());
    }
    let instead = "`--once` prints the screen, `--json` the frame, `--svg FILE` writes a picture";
    in_terminal(instead, |terminal| live(terminal, frames.as_mut(), &mut screen, a.images))?;
    recording::judge(frames.problems())
}

fn still(a: &View, frames: &mut dyn Frames, screen: &mut Screen) -> anyhow::Result<()> {
    let end = Instant::now() + ONCE_WAIT;
    loop {
        frames.gather();
        let enough = frames.len() as u64 >= a.frames || frames.is_recording();
        if enough && !frames.is_empty() {
            break;
        }
        if Instant::now() >= end {
            bail!("no frame of `{}` within 10 s; start its server, or see `shmx ls`", a.source.join(" "));
        }
        if !stop::sleep_until(Instant::now() + Duration::from_millis(5)) {
            return Err(exit::interrupted("nothing was shown"));
        }
    }
    match a.at {
        Some(at) => screen.begin_at(frames, at),
        None => screen.follow(frames),
    }
    screen.granted(frames)?;
    if a.json {
        let at = usize::try_from(screen.at() - frames.forgotten())?;
        data::print(frames, at, a.stream.as_deref(), a.data.into(), &mut std::io::stdout().lock())?;
        return recording::judge(frames.problems());
    }
    if a.once {
        screen.without_colours();
    }
    let (w, h) = a.size;
    let mut terminal = Terminal::new(TestBackend::new(w, h))?;
    terminal.draw(|f| screen.draw(f, frames))?;
    let buffer = terminal.backend().buffer();
    match &a.svg {
        Some(path) => {
            let picture = svg::render(buffer);
            crate::target::write(path, 0o600, |file| Ok(std::io::Write::write_all(file, picture.as_bytes())?))?;
            say(format_args!("{} written", path.display()));
        }
        None => {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            for row in buffer.content().chunks(w as usize) {
                let line: String = row.iter().map(|c| c.symbol()).collect();
                writeln!(out, "{}", line.trim_end())?;
            }
        }
    }
    recording::judge(frames.problems())
}

/// What the terminal shows beside its cells.
struct Pictures {
    how: Images,
    shown: Option<Bitmap>,
}

impl Pictures {
    /// Draws the screen, and over it what a protocol of the terminal draws.
    fn draw(
        &mut self,
        terminal: &mut ratatui::DefaultTerminal,
        frames: &mut dyn Frames,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        use std::io::Write;
        terminal.draw(|f| screen.draw(f, frames)).context("cannot draw")?;
        if self.how == Images::Auto && screen.shows_image() {
            // Nobody asks a terminal before there is something to show.
            self.how = graphics::ask();
            screen.draw_images_by(self.how);
            terminal.draw(|f| screen.draw(f, frames)).context("cannot draw")?;
        }
        let now = screen.bitmap().cloned();
        if now == self.shown {
            return Ok(());
        }
        let place = |b: &Bitmap| (b.at, b.cells);
        let mut out = std::io::stdout().lock();
        if self.shown.is_some() && self.shown.as_ref().map(place) != now.as_ref().map(place) {
            out.write_all(graphics::removal(self.how).as_bytes())?;
            out.flush()?;
            drop(out);
            // What lies under the picture is blank, and would not be drawn again. `clear` would ask the terminal where its
            // cursor is, and not every one answers.
            let size = terminal.size()?;
            terminal.resize(ratatui::layout::Rect::new(0, 0, size.width, size.height))?;
            terminal.draw(|f| screen.draw(f, frames)).context("cannot draw")?;
            out = std::io::stdout().lock();
        }
        if let Some(bitmap) = &now {
            out.write_all(bitmap.drawn_by(self.how).as_bytes())?;
            out.flush()?;
        }
        self.shown = now;
        Ok(())
    }

    /// Leaves nothing behind.
    fn remove(&self) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        if self.shown.is_some() {
            let _ = out.write_all(graphics::removal(self.how).as_bytes()).and_then(|()| out.flush());
        }
    }
}

fn live(
    terminal: &mut ratatui::DefaultTerminal,
    frames: &mut dyn Frames,
    screen: &mut Screen,
    images: Images,
) -> anyhow::Result<()> {
    let mut pictures = Pictures { how: images, shown: None };
    if images != Images::Auto {
        screen.draw_images_by(images);
    }
    let result = follow(terminal, frames, screen, &mut pictures);
    pictures.remove();
    result
}

fn follow(
    terminal: &mut ratatui::DefaultTerminal,
    frames: &mut dyn Frames,
    screen: &mut Screen,
    pictures: &mut Pictures,
) -> anyhow::Result<()> {
    const PICTURE: Duration = Duration::from_millis(33);
    let mut next = Instant::now();
    loop {
        // Frames are gathered more often than drawn: the ring of a fast producer comes round quickly.
        let most = frames.gather().min(next.saturating_duration_since(Instant::now()));
        if idle::key_or_frame(frames.tap(), most).context("cannot read keys")?
            && let Event::Key(key) = event::read().context("cannot read keys")?
        {
            if !screen.press(&key, frames) {
                return Ok(());
            }
            next = Instant::now();
        }
        if stop::requested() {
            return Ok(());
        }
        if Instant::now() >= next {
            next = Instant::now() + PICTURE;
            screen.advance(frames);
            if !frames.is_empty() {
                screen.granted(frames)?;
            }
            pictures.draw(terminal, frames, screen)?;
        }
    }
}
