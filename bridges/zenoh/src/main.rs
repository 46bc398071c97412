//! `shmx-bridge`: regions of other hosts here, and some of this host's there. The project's `docs/bridge.md` has the rest.

mod codecs;
mod config;
mod janitor;
mod list;
mod network;
mod say;

use clap::{Args, Parser, Subcommand};
use codecs::BuiltIn;
use config::{Config, EXAMPLE, Place};
use janitor::Janitor;
use network::Network;
use say::{print, say};

use shmx_bridge::{Bridge, Event, Export, Import, Patterns, remove_stale, safe};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const FAILED: u8 = 1;

/// Carries regions to other hosts, and theirs to this one, over zenoh.
///
/// Nothing leaves this host that is not named, and nothing listens beyond the loopback address unless it is told to.
/// Exit codes: 0 ended by a signal, or done; 1 failed; 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "shmx-bridge", bin_name = "shmx bridge", version, max_term_width = 110)]
struct Line {
    /// Only errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work until a signal ends it
    Run(Run),
    /// Show what other bridges offer
    Ls(list::Ls),
    /// Print the configuration with all its defaults
    Config,
    /// Remove mirrors that a killed bridge has left
    Tidy,
    /// Used by the bridge itself
    #[command(name = janitor::COMMAND, hide = true)]
    Janitor,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    /// Let others have regions with this name or pattern, besides what the file says.
    #[arg(long, value_name = "REGION")]
    export: Vec<String>,
    /// Mirror regions of other hosts, as HOST/REGION or a pattern, besides what the file says.
    #[arg(long, value_name = "HOST/REGION")]
    import: Vec<String>,
    /// Print what is sent and mirrored every so many seconds, as lines of JSON.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    status: Option<Duration>,
}

/// A time that is not nothing.
fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    time.filter(|t| !t.is_zero()).ok_or_else(|| "not a number of seconds above 0".to_owned())
}

fn main() -> ExitCode {
    // Wrong usage ends with 2 here, as everywhere in `shmx`.
    let line = Line::parse();
    // What zenoh says of itself is for those who look for it (RUST_LOG).
    let level = if line.quiet { "error" } else { "error,shmx=warn,shmx_bridge=info" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    // Where a line cannot be written, saying so cannot either.
    let log = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    log.with_writer(std::io::stderr).init();
    let done = match &line.command {
        Command::Run(run) => work(run, line.quiet),
        Command::Ls(ls) => list::run(ls),
        Command::Config => print(EXAMPLE),
        Command::Tidy => tidy(),
        Command::Janitor => janitor::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(false, format_args!("shmx-bridge: {}", format!("{e:#}").replace('\n', " ")));
            ExitCode::from(FAILED)
        }
    }
}

/// Removes what killed bridges have left, and prints its names.
fn tidy() -> anyhow::Result<()> {
    let stale = remove_stale()?;
    print(&stale.removed.iter().fold(String::new(), |all, name| all + &safe(name) + "\n"))?;
    let left: Vec<_> = stale.failed.iter().map(|(name, why)| format!("`{}`: {why}", safe(name))).collect();
    anyhow::ensure!(left.is_empty(), "not removed: {}", left.join("; "));
    Ok(())
}

fn work(run: &Run, quiet: bool) -> anyhow::Result<()> {
    let mut config = Config::read(&run.place)?.or_loopback();
    if !run.export.is_empty() {
        config.options.export.push(Export { regions: Patterns::new(run.export.clone()), ..Export::default() });
    }
    if !run.import.is_empty() {
        config.options.import.push(Import { regions: Patterns::new(run.import.clone()), ..Import::default() });
    }
    config.options.check()?;
    let (send, stop) = mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = send.send(());
    })?;
    let stale = remove_stale()?;
    for name in &stale.removed {
        say(quiet, format_args!("`{}` was left by a bridge that was killed, and is removed", safe(name)));
    }
    for (name, why) in &stale.failed {
        say(quiet, format_args!("`{}` was left by a bridge that was killed, and stays: {why}", safe(name)));
    }
    let janitor = Janitor::start()?;
    let network = Network::open(&config.zenoh)?;
    let janitor = Arc::new(janitor);
    let noted = janitor.clone();
    let tell = move |event: Event| match &event {
        Event::Making { mirror } => noted.note(mirror),
        _ => say(quiet, format_args!("{event}")),
    };
    let bridge = Bridge::start(network, Arc::new(BuiltIn), config.options, Arc::new(tell))?;
    let endpoints = |what: &str| config.zenoh[what]["endpoints"].to_string();
    say(
        quiet,
        format_args!(
            "{} ({:016x}) listens on {} and connects to {}",
            bridge.peer().host,
            bridge.peer().id,
            endpoints("listen"),
            endpoints("connect"),
        ),
    );
    let every = run.status.unwrap_or(Duration::from_secs(3600));
    while stop.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
        if run.status.is_some() {
            print(&format!("{}\n", serde_json::to_string(&bridge.status())?))?;
        }
    }
    drop(bridge);
    Ok(())
}
