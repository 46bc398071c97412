//! The `shmx` command: a demo, a test producer and reader, an inspector, and raw bytes in and out of a region.
#![forbid(unsafe_code)]

mod args;
mod cat;
mod common;
mod demo;
mod inspect;
mod publish;
mod read;
mod serve;
mod stop;
mod values;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = stop::install().and_then(|()| match &cli.command {
        Command::Demo(a) => demo::run(a),
        Command::Serve(a) => serve::run(a),
        Command::Read(a) => read::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Publish(a) => publish::run(a),
        Command::Cat(a) => cat::run(a),
        Command::DemoReader(a) => demo::reader(a),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if common::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            common::say(format_args!("shmx: {}", common::one_line(&e)));
            ExitCode::FAILURE
        }
    }
}
