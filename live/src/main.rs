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
mod page;
mod pattern;
mod pixels;
mod protocol;
mod regions;
mod server;
mod session;
mod state;

use args::Args;
use clap::Parser;
use std::process::ExitCode;

const FAILED: u8 = 1;

fn main() -> ExitCode {
    // Wrong usage ends with 2 here, as everywhere in `shmx`.
    let args = Args::parse();
    let level = if args.quiet { "error" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    shmx_os::signal::explain_bus_errors(
        "shmx-live: another process cut a region short while it was in use; end its server and start it again\n",
    );
    match server::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shmx-live: {}", format!("{e:#}").replace('\n', " "));
            ExitCode::from(FAILED)
        }
    }
}
