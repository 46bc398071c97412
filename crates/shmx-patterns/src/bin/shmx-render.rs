//! A renderer for shmx-sim: attaches, draws at its own pace, and steers the simulation.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};
use clap::Parser;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use shmx::error::{ReadError, SendError};
use shmx::{Client, Frame};
use shmx_patterns::control::Command;
use shmx_patterns::picture::{Camera, Picture};
use shmx_patterns::run::{self, Pace};
use shmx_patterns::streams::{APPLIED, ENERGY, GRAVITY, PAUSED, POSITION, TIME_STEP, VELOCITY};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Draw the stars of shmx-sim in the terminal, or one picture of them into a file.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Keys: space pause, n one step, r reset, g/G less or more gravity, t/T smaller or larger time step, arrows turn, +/- zoom,
m dots or blocks, q quit. It waits for a simulation that is not there yet and follows one that restarts.
NO_COLOR=1 draws dots without colours.

Examples:
  shmx-render
  shmx-render galaxies --fps 60
  shmx-render --png stars.png --size 960x540"
)]
struct Args {
    /// Name of the region.
    #[arg(default_value = "galaxies")]
    name: String,
    /// Pictures per second, whatever the simulation's rate.
    #[arg(long, default_value = "30", value_parser = run::rate)]
    fps: f64,
    /// Write one picture into this file instead.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Size of the picture of --png.
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = size)]
    size: (usize, usize),
    /// With --png: fail when there is no frame within this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    wait: f64,
    /// How close one looks at first.
    #[arg(long, default_value_t = 1.0, value_parser = zoom)]
    zoom: f32,
    /// Turn of the camera in degrees.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    yaw: f32,
}

fn size(s: &str) -> Result<(usize, usize), String> {
    let wrong = || "give a size as 1280x720, up to 8192x8192".to_owned();
    let (w, h) = s.split_once('x').ok_or_else(wrong)?;
    let side = |t: &str| t.parse().ok().filter(|v| (16..=8192).contains(v)).ok_or_else(wrong);
    Ok((side(w)?, side(h)?))
}

fn zoom(s: &str) -> Result<f32, String> {
    s.parse().ok().filter(|v| (0.05..=50.0).contains(v)).ok_or_else(|| "give a number between 0.05 and 50".into())
}

fn camera(a: &Args) -> Camera {
    let usual = Camera::default();
    Camera { yaw: a.yaw.to_radians(), extent: usual.extent / a.zoom, ..usual }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let run = |a: &Args| match &a.png {
        Some(path) => still(a, path),
        None => live(a),
    };
    match run::install().and_then(|()| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shmx-render: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// How long a picture waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What is drawn of a frame; kept when the simulation is gone.
#[derive(Default)]
struct Scene {
    positions: Vec<[f32; 3]>,
    velocities: Vec<[f32; 3]>,
    frame_id: u64,
    sim_time: f64,
    age_ms: Option<f64>,
    gravity: f64,
    dt: f64,
    paused: bool,
    applied: u64,
    energy: f64,
}

impl Scene {
    /// Streams are found by name, so any region with positions can be drawn.
    fn take(&mut self, f: &Frame<'_>) {
        self.positions = f.to_vec(POSITION).unwrap_or_default();
        self.velocities = f.to_vec(VELOCITY).unwrap_or_default();
        self.frame_id = f.frame_id();
        self.sim_time = f.sim_time();
        self.age_ms = f.age().map(|age| age.as_secs_f64() * 1e3);
        self.gravity = f.value(GRAVITY).unwrap_or(f64::NAN);
        self.dt = f.value(TIME_STEP).unwrap_or(f64::NAN);
        self.energy = f.value(ENERGY).unwrap_or(f64::NAN);
        self.paused = f.value(PAUSED).unwrap_or(false);
        self.applied = f.value(APPLIED).unwrap_or(0);
    }

    fn brightness(&self, pixels: usize) -> f32 {
        // About the same light for many stars on few pixels as for few on many.
        (pixels as f32 / self.positions.len().max(1) as f32 / 20.0).sqrt().clamp(0.05, 2.5)
    }
}

fn still(a: &Args, path: &std::path::Path) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs_f64(a.wait.clamp(0.0, 1e9));
    let late = || Instant::now() >= end || run::stopped();
    let missing = || format!("no frame of `{}` within {} s; start shmx-sim", a.name, a.wait);
    let mut client = loop {
        match Client::options().reconnect(true).open_within(&a.name, LOOK) {
            Ok(client) => break client,
            Err(e) if late() => return Err(e).with_context(missing),
            Err(_) => {}
        }
    };
    client.stream(POSITION).with_context(|| format!("`{}` is no simulation; give the name of one", a.name))?;
    let mut scene = Scene::default();
    while scene.positions.is_empty() {
        match client.wait(LOOK) {
            Ok(Some(f)) => scene.take(&f),
            Err(e) if e.is_final() => return Err(e.into()),
            Ok(None) | Err(_) if late() => bail!(missing()),
            Ok(None) | Err(_) => {}
        }
    }
    let (width, height) = a.size;
    let mut picture = Picture::new(width, height);
    picture.stars(camera(a), &scene.positions, &scene.velocities, scene.brightness(width * height));
    picture.bloom((width.min(height) / 200).max(1));
    picture.write_png(path).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("frame {} at {:.2}, {} stars, {}", scene.frame_id, scene.sim_time, scene.positions.len(), path.display());
    Ok(())
}

/// The way to the simulation. Once it was there, the client itself goes over to the next one of its name.
struct Link {
    name: String,
    client: Option<Client>,
    next_try: Instant,
    sent: u64,
    note: String,
}

impl Link {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), client: None, next_try: Instant::now(), sent: 0, note: String::new() }
    }

    fn missed(&self) -> u64 {
        self.client.as_ref().map_or(0, |c| c.stats().missed)
    }

    fn is_up(&self) -> bool {
        self.client.as_ref().is_some_and(|c| c.server_end().is_none())
    }

    /// Takes the newest frame if there is one that was not drawn yet.
    fn look(&mut self, scene: &mut Scene) {
        if self.client.is_none() && Instant::now() >= self.next_try {
            self.next_try = Instant::now() + Duration::from_millis(100);
            match Client::options().reconnect(true).open(&self.name) {
                Ok(client) => {
                    self.client = Some(client);
                    self.note.clear();
                }
                Err(e) => self.note = e.to_string(),
            }
        }
        let Some(client) = self.client.as_mut() else { return };
        let reconnects = client.reconnects();
        match client.wait(Duration::ZERO) {
            Ok(Some(f)) => scene.take(&f),
            Ok(None) | Err(ReadError::Lapped { .. }) => {}
            Err(e) => self.note = e.to_string(),
        }
        if client.reconnects() != reconnects {
            self.note.clear();
        }
    }

    fn send(&mut self, c: Command) {
        let Some(client) = self.client.as_mut() else { return };
        match client.control_send(c.ty(), &c.body()) {
            Ok(()) => self.sent += 1,
            Err(SendError::Full) => self.note = "the simulation does not take messages".into(),
            Err(e) => self.note = e.to_string(),
        }
    }
}

fn live(a: &Args) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init().context("cannot use the terminal; with --png no terminal is needed")?;
    let result = draw_on(a, &mut terminal);
    ratatui::restore();
    result
}

fn draw_on(a: &Args, terminal: &mut ratatui::DefaultTerminal) -> anyhow::Result<()> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let mut dots = no_colour;
    let mut camera = camera(a);
    let mut scene = Scene::default();
    let mut picture = Picture::new(0, 0);
    let mut link = Link::new(&a.name);
    let mut pace = Pace::new(a.fps);
    let (mut drawn, since) = (0_u64, Instant::now());
    loop {
        let due = pace.due();
        // Keys are heard while waiting.
        while event::poll(due.saturating_duration_since(Instant::now())).context("cannot read keys")? {
            let Event::Key(key) = event::read().context("cannot read keys")? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Char(' ' | 'p') => link.send(Command::Pause(!scene.paused)),
                KeyCode::Char('n') => link.send(Command::Step),
                KeyCode::Char('r') => link.send(Command::Reset),
                KeyCode::Char('g') => link.send(Command::Gravity(scene.gravity * 0.8)),
                KeyCode::Char('G') => link.send(Command::Gravity((scene.gravity * 1.25).min(100.0))),
                KeyCode::Char('t') => link.send(Command::TimeStep((scene.dt * 0.8).max(1e-6))),
                KeyCode::Char('T') => link.send(Command::TimeStep((scene.dt * 1.25).min(0.1))),
                KeyCode::Char('m') => dots = !dots || no_colour,
                KeyCode::Char('+' | '=') => camera.extent = (camera.extent / 1.2).max(0.1),
                KeyCode::Char('-') => camera.extent = (camera.extent * 1.2).min(50.0),
                KeyCode::Left => camera.yaw -= 0.1,
                KeyCode::Right => camera.yaw += 0.1,
                KeyCode::Up => camera.pitch += 0.1,
                KeyCode::Down => camera.pitch -= 0.1,
                _ => {}
            }
        }
        if run::stopped() {
            return Ok(());
        }
        link.look(&mut scene);
        drawn += 1;
        let fps = drawn as f64 / since.elapsed().as_secs_f64().max(1e-3);
        terminal.draw(|f| draw(f, &scene, &link, camera, dots, no_colour, &mut picture, fps)).context("cannot draw")?;
    }
}

#[expect(clippy::too_many_arguments, reason = "all that is on the screen")]
fn draw(
    f: &mut ratatui::Frame<'_>,
    scene: &Scene,
    link: &Link,
    camera: Camera,
    dots: bool,
    no_colour: bool,
    picture: &mut Picture,
    fps: f64,
) {
    let [head, sky, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]).areas(f.area());
    let (sx, sy) = if dots { (2, 4) } else { (1, 2) };
    picture.clear(sky.width as usize * sx, sky.height as usize * sy);
    let pixels = sky.width as usize * sx * sky.height as usize * sy;
    picture.stars(camera, &scene.positions, &scene.velocities, scene.brightness(pixels));
    if dots {
        picture.show_dots(sky, f.buffer_mut())
    } else {
        picture.show(sky, f.buffer_mut())
    }
    let bold = if no_colour { Style::new().bold() } else { Style::new().light_cyan() };
    let (first, second) = if link.is_up() {
        let state = if scene.paused { "paused" } else { "running" };
        let age = scene.age_ms.map_or(String::new(), |a| format!(", {a:.1} ms old"));
        let (id, missed) = (scene.frame_id, link.missed());
        (
            format!("`{}` {state}  frame {id}{age}  drawn {fps:.0}/s, missed {missed}", link.name),
            format!(
                "t {:.2}  gravity {:.2}  time step {:.4}  applied {} (sent {})  energy {:.4}",
                scene.sim_time, scene.gravity, scene.dt, scene.applied, link.sent, scene.energy
            ),
        )
    } else {
        (format!("`{}` is not there; waiting, {} frames missed before", link.name, link.missed()), link.note.clone())
    };
    f.render_widget(Paragraph::new(vec![Line::styled(first, bold), Line::from(second)]), head);
    let keys = if link.is_up() && !link.note.is_empty() {
        link.note.clone()
    } else {
        "space pause  n step  r reset  g/G gravity  t/T time step  arrows turn  +/- zoom  m mode  q quit".into()
    };
    f.render_widget(Paragraph::new(Line::from(keys).dim()), foot);
}
