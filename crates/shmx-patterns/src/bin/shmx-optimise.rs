//! An algorithm worth watching: CMA-ES on a test function, one frame a generation.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, ValueEnum};
use shmx::error::BeginError;
use shmx::{ElementType, Server, Stream, StreamSpec};
use shmx_patterns::cmaes::{CmaEs, Problem};
use shmx_patterns::control::Command;
use shmx_patterns::run::{self, Pace};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Streams of vectors, as long as there are variables.
const POPULATION: u32 = 1;
const MEAN: u32 = 3;
const BEST: u32 = 4;
const VALUES: Stream<f64> = Stream::new(2, "values");
const BEST_VALUE: Stream<f64> = Stream::new(5, "log10_best");
const SIGMA: Stream<f64> = Stream::new(6, "log10_sigma");
const AXES: Stream<f64> = Stream::new(7, "log10_axes");
const GENERATION: Stream<u64> = Stream::new(8, "generation");
const EVALUATIONS: Stream<u64> = Stream::new(9, "evaluations");
const PAUSED: Stream<bool> = Stream::new(10, "paused");

/// Readers of other implementations hold no lock: after so long without a sign of life their slots are free again.
const SILENCE: Duration = Duration::from_secs(5);

/// Minimise a test function with CMA-ES and publish each generation.
///
/// Streams: `population` (one vector a sample, best first), `values`, `mean`, `best`, `log10_best`, `log10_sigma`,
/// `log10_axes`, `generation`, `evaluations`, `paused`. Control messages as of shmx-sim: pause, step, reset.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
When the search has converged it begins again from another place, unless --once.

Examples:
  shmx-optimise
  shmx-optimise --problem rastrigin --dimensions 4 --population 200
  shmx view search                    plot it, in another terminal
  shmx record search -o search.mcap   and scrub through it later"
)]
struct Args {
    /// Name of the region.
    #[arg(default_value = "search")]
    name: String,
    /// What to minimise.
    #[arg(long, value_enum, default_value = "rosenbrock")]
    problem: Function,
    /// Variables.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=64))]
    dimensions: u32,
    /// Samples in a generation.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    population: u32,
    /// Generations per second.
    #[arg(long, default_value = "10", value_parser = run::rate)]
    hz: f64,
    /// Frame slots: how far one can scrub back in the ring.
    #[arg(long, default_value_t = 64)]
    slots: u32,
    /// Where the search begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End when the search has converged.
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Function {
    Rosenbrock,
    Rastrigin,
    Himmelblau,
}

fn main() -> ExitCode {
    match run::install().and_then(|()| search(&Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shmx-optimise: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn search(a: &Args) -> anyhow::Result<()> {
    let problem = match a.problem {
        Function::Rosenbrock => Problem::Rosenbrock,
        Function::Rastrigin => Problem::Rastrigin,
        Function::Himmelblau => Problem::Himmelblau,
    };
    let vector = |id, name| StreamSpec::new(id, name, ElementType::F64, a.dimensions);
    let mut server = Server::builder(&a.name)
        .slots(a.slots)
        .stream(vector(POPULATION, "population"), a.population)
        .stream(VALUES, a.population)
        .stream(vector(MEAN, "mean"), 1)
        .stream(vector(BEST, "best"), 1)
        .stream(BEST_VALUE, 1)
        .stream(SIGMA, 1)
        .stream(AXES, a.dimensions)
        .stream(GENERATION, 1)
        .stream(EVALUATIONS, 1)
        .stream(PAUSED, 1)
        .create()
        .with_context(|| format!("cannot create region `{}`", a.name))?;
    eprintln!("minimising {} in `{}`; look at it with `shmx view {1}`", problem.name(), a.name);
    let mut seed = a.seed;
    let begin = |seed| CmaEs::new(problem, a.dimensions as usize, a.population as usize, seed);
    let mut es = begin(seed);
    let (mut paused, mut single) = (false, false);
    let mut pace = Pace::new(a.hz);
    let mut attended = Instant::now();
    let mut total = 0_u64;
    loop {
        if !run::sleep_until(pace.due()) {
            break;
        }
        for m in server.poll_control(1000).messages {
            match Command::read(m.ty, &m.data) {
                Some(Command::Pause(on)) => paused = on,
                Some(Command::Step) => (paused, single) = (true, true),
                Some(Command::Reset) => es = begin(seed),
                _ => {}
            }
        }
        if attended.elapsed() > Duration::from_millis(500) {
            attended = Instant::now();
            server.reap_stale_readers(SILENCE);
        }
        if !paused || std::mem::take(&mut single) {
            if es.converged() {
                if a.once {
                    break;
                }
                seed = seed.wrapping_add(1);
                es = begin(seed);
            }
            es.step();
            total += 1;
        }
        match publish(&mut server, &es, paused, total) {
            Ok(()) => {}
            Err(e) if matches!(e.downcast_ref(), Some(BeginError::NoFreeSlot { .. })) => {}
            Err(e) => return Err(e.context("cannot publish on")),
        }
    }
    eprintln!("{} generations published; best {:.3e}", server.frames_published(), es.best().0);
    Ok(())
}

fn publish(server: &mut Server, es: &CmaEs, paused: bool, total: u64) -> anyhow::Result<()> {
    let log = |v: f64| v.max(1e-30).log10();
    let samples: Vec<f64> = es.samples().collect();
    let values: Vec<f64> = es.values().collect();
    let axes: Vec<f64> = es.axes().map(log).collect();
    let mut f = server.begin_frame()?;
    f.append_stream(POPULATION, &samples)?;
    f.append_stream(VALUES, &values)?;
    f.append_stream(MEAN, es.mean())?;
    f.append_stream(BEST, es.best().1)?;
    f.append_value(BEST_VALUE, log(es.best().0))?;
    f.append_value(SIGMA, log(es.sigma()))?;
    f.append_stream(AXES, &axes)?;
    f.append_value(GENERATION, es.generation())?;
    f.append_value(EVALUATIONS, es.evaluations())?;
    f.append_value(PAUSED, paused)?;
    f.publish_frame(total as f64)?;
    Ok(())
}
