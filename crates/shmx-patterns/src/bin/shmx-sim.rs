//! A simulation: two galaxies that pass each other, published at a steady rate and steered by its viewers.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use shmx::Server;
use shmx::error::BeginError;
use shmx::meta::{StreamMeta, View};
use shmx_patterns::control::Command;
use shmx_patterns::galaxies::Galaxies;
use shmx_patterns::run::{self, Pace};
use shmx_patterns::streams::{APPLIED, COMPUTE_MS, ENERGY, GRAVITY, ID, PAUSED, POSITION, STEP, TIME_STEP, VELOCITY};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Readers of other implementations hold no lock: after so long without a sign of life their slots are free again.
const SILENCE: Duration = Duration::from_secs(5);

/// Simulate two galaxies and publish them: `position` and `velocity` (f32x3), `id` (u32), and a few scalars.
///
/// Viewers send control messages: gravity (0x3001, f64), pause (0x3002, a byte), reset (0x3003), time step (0x3004,
/// f64), one step (0x3005). What was applied comes back in the streams; `applied` counts the messages.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Ends on SIGINT or SIGTERM, or after --seconds; the region is removed then. It may be killed and started again at any time.

Examples:
  shmx-sim
  shmx-sim --stars 20000 --hz 120
  shmx-render                 look at it, in another terminal"
)]
struct Args {
    /// Name of the region.
    #[arg(default_value = "galaxies")]
    name: String,
    /// Number of stars.
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    stars: u32,
    /// Steps and frames per second.
    #[arg(long, default_value = "60", value_parser = run::rate)]
    hz: f64,
    /// Time between two steps.
    #[arg(long, default_value_t = 0.01)]
    time_step: f64,
    /// Frame slots.
    #[arg(long, default_value_t = 8)]
    slots: u32,
    /// Where the stars are at first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps before the first frame.
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// End after this time.
    #[arg(long)]
    seconds: Option<f64>,
}

fn main() -> ExitCode {
    match run::install().and_then(|()| simulate(&Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shmx-sim: {e:#}");
            ExitCode::FAILURE
        }
    }
}

struct State {
    galaxies: Galaxies,
    dt: f64,
    paused: bool,
    single: bool,
    applied: u64,
}

impl State {
    fn apply(&mut self, c: Command) {
        match c {
            Command::Gravity(v) => self.galaxies.gravity = v,
            Command::Pause(on) => self.paused = on,
            Command::Reset => self.galaxies.reset(),
            Command::TimeStep(v) => self.dt = v,
            Command::Step => (self.paused, self.single) = (true, true),
        }
        self.applied += 1;
    }
}

fn simulate(a: &Args) -> anyhow::Result<()> {
    let ids: Vec<u32> = (0..a.stars).collect();
    let mut server = Server::builder(&a.name)
        .slots(a.slots)
        .stream(POSITION.spec().meta(&StreamMeta::points()), a.stars)
        .stream(VELOCITY.spec().meta(&StreamMeta::new().view(View::Values)), a.stars)
        .stream(ID, a.stars)
        .stream(STEP, 1)
        .stream(GRAVITY, 1)
        .stream(TIME_STEP, 1)
        .stream(PAUSED, 1)
        .stream(ENERGY, 1)
        .stream(APPLIED, 1)
        .stream(COMPUTE_MS, 1)
        .create()
        .with_context(|| format!("cannot create region `{}`", a.name))?;
    eprintln!("simulating {} stars in `{}`, {} steps a second; look at them with shmx-render", a.stars, a.name, a.hz);
    let galaxies = Galaxies::new(a.stars as usize, a.seed);
    let mut s = State { galaxies, dt: a.time_step, paused: false, single: false, applied: 0 };
    for _ in 0..a.skip {
        s.galaxies.step(s.dt);
    }
    let end = a.seconds.map(|s| Instant::now() + Duration::from_secs_f64(s.clamp(0.0, 1e9)));
    let mut pace = Pace::new(a.hz);
    let mut attended = Instant::now();
    let mut skipped = 0_u64;
    loop {
        let due = pace.due();
        if !run::sleep_until(end.map_or(due, |e| due.min(e))) || end.is_some_and(|e| Instant::now() >= e) {
            break;
        }
        for m in server.poll_control(1000).messages {
            if let Some(c) = Command::read(m.ty, &m.data) {
                s.apply(c);
            }
        }
        if attended.elapsed() > Duration::from_millis(500) {
            attended = Instant::now();
            server.reap_stale_readers(SILENCE);
        }
        let start = Instant::now();
        if !s.paused || std::mem::take(&mut s.single) {
            s.galaxies.step(s.dt);
        }
        let compute_ms = start.elapsed().as_secs_f64() * 1e3;
        match publish(&mut server, &s, &ids, compute_ms) {
            Ok(()) => {}
            // Viewers hold every slot: they get the next one.
            Err(e) if matches!(e.downcast_ref(), Some(BeginError::NoFreeSlot { .. })) => skipped += 1,
            Err(e) => return Err(e.context("cannot publish on")),
        }
    }
    eprintln!("{} frames published, {skipped} left out, {} messages applied", server.frames_published(), s.applied);
    Ok(())
}

fn publish(server: &mut Server, s: &State, ids: &[u32], compute_ms: f64) -> anyhow::Result<()> {
    let g = &s.galaxies;
    let mut f = server.begin_frame()?;
    f.append_stream(POSITION, &g.positions)?;
    f.append_stream(VELOCITY, &g.velocities)?;
    f.append_stream(ID, ids)?;
    f.append_value(STEP, g.steps)?;
    f.append_value(GRAVITY, g.gravity)?;
    f.append_value(TIME_STEP, s.dt)?;
    f.append_value(PAUSED, s.paused)?;
    f.append_value(ENERGY, g.energy())?;
    f.append_value(APPLIED, s.applied)?;
    f.append_value(COMPUTE_MS, compute_ms)?;
    f.publish_frame(g.time)?;
    Ok(())
}
