//! `shmx-live`: regions live in the browser and in Foxglove. The project's `docs/live.md` has the rest.
#![forbid(unsafe_code)]

mod app;
mod args;
mod clock;
mod control;
mod encode;
mod feed;
mod foxglove;
mod gate;
#[cfg(target_os = "linux")]
mod keeper;
mod listen;
mod page;
mod pattern;
mod pixels;
mod protocol;
mod regions;
mod say;
mod server;
mod session;
mod signals;
mod state;
mod topics;

use anstream::{AutoStream, ColorChoice};
use args::Args;
use clap::Parser;
use std::process::ExitCode;

const FAILED: u8 = 1;

fn main() -> ExitCode {
    // Wrong usage ends with 2 here, as everywhere in `shmx`.
    let args = Args::parse();
    args.color.write_global();
    let level = match args.verbose {
        0 if args.quiet => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let colours = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // It would panic where it cannot say that it cannot write.
    log.log_internal_errors(false).init();
    #[cfg(target_os = "linux")]
    if let Some(keeper) = args.worker {
        return keeper::work(&args, keeper);
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say::complain(&e);
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(target_os = "linux")]
fn run(args: &Args) -> anyhow::Result<()> {
    keeper::keep(args)
}

#[cfg(not(target_os = "linux"))]
fn run(args: &Args) -> anyhow::Result<()> {
    let sockets = server::Sockets::bind(args)?;
    let token = args.token().map_err(anyhow::Error::msg)?.unwrap_or_else(gate::Token::random);
    server::announce(args, &sockets, &token)?;
    server::run(args, sockets, token)
}
