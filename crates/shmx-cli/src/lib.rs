//! The `shmx` command: look at regions, measure them, talk to them, feed them. No library for others: apart from `main`
//! it is compiled while what it depends on still is.
#![forbid(unsafe_code)]

mod acquired;
mod args;
mod cat;
mod colour;
mod common;
mod complete;
mod completions;
mod demo;
mod doctor;
mod dump;
mod escape;
mod exit;
mod hz;
mod info;
mod inspect;
mod job;
mod json;
mod keys;
mod look;
mod ls;
mod names;
mod outside;
mod picture;
mod play;
mod png;
mod progress;
mod publish;
mod read;
mod rec;
mod record;
mod recording;
mod report;
mod rm;
#[cfg(all(test, target_os = "linux"))]
mod scratch;
mod screens;
mod seen;
mod send;
mod serve;
mod source;
mod stop;
mod target;
mod units;
mod values;
mod wait;

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use std::io::Write;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// The command.
pub fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let matches = Cli::command().color(args::colour_of_help()).try_get_matches();
    let cli = match matches.and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        // Help and the version.
        Err(e) if !e.use_stderr() => return ended(show(&e)),
        Err(e) if e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => e.exit(),
        Err(e) => {
            common::complain(format_args!("shmx: {}", args::usage_line(&e)));
            return exit::wrong_usage();
        }
    };
    colour::choose(cli.color);
    common::set_quiet(cli.quiet);
    log(&cli);
    ended(stop::install().and_then(|()| run(&cli.command)))
}

fn show(help: &clap::Error) -> anyhow::Result<()> {
    help.print()?;
    Ok(std::io::stdout().flush()?)
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if common::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            common::complain(format_args!("shmx: {}", common::one_line(&e)));
            exit::code(&e)
        }
    }
}

/// What the library says of itself, on stderr: by the options, or by RUST_LOG as `LEVEL` or `TARGET=LEVEL,...`.
fn log(cli: &Cli) {
    let level = match cli.verbose {
        0 if cli.quiet => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let filter =
        asked.and_then(|text| text.parse::<Targets>().ok()).unwrap_or_else(|| Targets::new().with_default(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(common::log_writer).with_ansi(colour::on_stderr());
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Ls(a) => ls::run(a),
        Command::Top(a) => screens::top::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Read(a) => read::run(a),
        Command::Cat(a) => cat::run(a),
        Command::Hz(a) => hz::run(a),
        Command::Wait(a) => wait::run(a),
        Command::Send(a) => send::run(a),
        Command::Dump(a) => dump::run(a),
        Command::Rm(a) => rm::run(a),
        Command::Prune(a) => rm::prune(a),
        Command::Doctor(a) => doctor::run(a),
        Command::Demo(a) => demo::run(a),
        Command::Serve(a) => serve::run(a),
        Command::Publish(a) => publish::run(a),
        Command::Completions(a) => completions::run(a),
        Command::Man(a) => completions::man(a, Cli::command()),
        Command::Record(a) => record::run(a),
        Command::Play(a) => play::run(a),
        Command::Info(a) => info::run(a),
        Command::Rec(a) => rec::run(a),
        Command::View(a) => screens::view::run(a),
        Command::Live(a) => outside::live(a),
        Command::Bridge(a) => outside::bridge(a),
        Command::DemoReader(a) => demo::reader(a),
    }
}
