//! `shmx-bridge`: regions of other hosts here, and some of this host's there. The project's `docs/bridge.md` has the rest.

mod codecs;
mod config;
mod janitor;
mod list;
mod looks;
mod network;
mod say;
mod stop;
mod threads;

use anstream::{AutoStream, ColorChoice};
use clap::{Args, Parser, Subcommand};
use codecs::BuiltIn;
use config::{Config, EXAMPLE, Place};
use janitor::Janitor;
use looks::Looks;
use network::Network;
use say::{line, print, say};

use shmx_bridge::{Bridge, Event, Export, Import, Patterns, one_line, remove_stale, safe};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// How often the bridge is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Mirror regions between hosts, over zenoh.
///
/// A mirror is a region like any other: all programs and commands work on it. Only regions that you name leave this
/// host, and only this host can connect unless you say otherwise.
#[derive(Debug, Parser)]
#[command(
    name = "shmx-bridge",
    bin_name = "shmx bridge",
    version,
    max_term_width = 110,
    after_help = "\
Exit codes: 0 done, or ended by a signal; 1 failed; 2 wrong usage or configuration.

Examples:
  shmx bridge run --host robot --export 'camera*' --listen tcp/0.0.0.0:7447
  shmx bridge run --import 'robot/*' --connect tcp/robot:7447
  shmx bridge ls --connect tcp/robot:7447"
)]
struct Line {
    /// Print errors, but no other messages
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Log what is done to stderr, zenoh's part too; more of it with -vv and -vvv. RUST_LOG chooses by module
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    color: colorchoice_clap::Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export and import regions until a signal ends it
    Run(Run),
    /// List the regions that other bridges offer
    Ls(list::Ls),
    /// Print a configuration file with all defaults and comments
    #[command(after_help = "\
Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx bridge config >bridge.json5
  shmx bridge run --config bridge.json5")]
    Config,
    /// Remove mirrors that a killed bridge has left behind
    #[command(after_help = "\
Prints the names of the mirrors that it removes. Mirrors of a running bridge stay.

Exit codes: 0 done; 1 failed, or a mirror could not be removed; 2 wrong usage.

Examples:
  shmx bridge tidy")]
    Tidy,
    /// Used by the bridge itself
    #[command(name = janitor::COMMAND, hide = true)]
    Janitor,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --listen, --connect and such endpoints in the file, it listens on tcp/127.0.0.1:7447. TCP endpoints are neither \
encrypted nor authenticated; `shmx bridge config` shows how to use TLS.

Exit codes: 0 ended by a signal; 1 failed; 2 wrong usage or configuration, or no region to export or import.

Examples:
  shmx bridge run --host robot --export 'camera*' --export lidar --listen tcp/0.0.0.0:7447
  shmx bridge run --import 'robot/*' --connect tcp/robot:7447 --status 10s
  shmx bridge run --config bridge.json5")]
struct Run {
    #[command(flatten)]
    place: Place,
    /// Offer the regions with this name or pattern to others, in addition to the file's
    #[arg(long, value_name = "NAME|PATTERN")]
    export: Vec<String>,
    /// Mirror these regions of other hosts, given as HOST/NAME or a pattern, in addition to the file's
    #[arg(long, value_name = "HOST/NAME|PATTERN")]
    import: Vec<String>,
    /// Print what is sent and mirrored at this interval, as lines of JSON
    #[arg(long, value_name = "TIME", value_parser = time)]
    status: Option<Duration>,
}

/// A time that is not nothing.
fn time(text: &str) -> Result<Duration, String> {
    let time = shmx_bridge::duration::parse(text).map_err(|e| e.to_string())?;
    if time.is_zero() { Err("give more than 0 seconds".to_owned()) } else { Ok(time) }
}

fn main() -> ExitCode {
    let begun = stop::begin();
    // Wrong usage ends with 2 here, as everywhere in `shmx`.
    let line = Line::parse();
    // What zenoh says of itself is for those who look for it (RUST_LOG).
    let level = match line.verbose {
        0 if line.quiet => "error",
        0 => "error,shmx=warn,shmx_bridge=info",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    line.color.write_global();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let colours = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    // Where a line cannot be written, saying so cannot either.
    let log = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    log.with_writer(std::io::stderr).with_ansi(colours).init();
    let done = begun.and_then(|()| match &line.command {
        Command::Run(run) => work(run, line.quiet),
        Command::Ls(ls) => list::run(ls, line.quiet),
        Command::Config => print(EXAMPLE),
        Command::Tidy => tidy(),
        Command::Janitor => janitor::run(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(false, format_args!("shmx-bridge: {}", one_line(e.chain().map(ToString::to_string))));
            let usage = e.is::<config::Wrong>() || e.is::<shmx_bridge::OptionsError>();
            ExitCode::from(if usage { USAGE } else { FAILED })
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
    network::enough_files()?;
    let mut config = Config::read(&run.place)?.or_loopback();
    if !run.export.is_empty() {
        config.options.export.push(Export { regions: Patterns::new(run.export.clone()), ..Export::default() });
    }
    if !run.import.is_empty() {
        config.options.import.push(Import { regions: Patterns::new(run.import.clone()), ..Import::default() });
    }
    config.options.check()?;
    if config.options.export.is_empty() && threads::hardly_sends(&config.zenoh) {
        // SAFETY: this thread is the only one as yet: the first other is that of the signals, below.
        #[expect(unsafe_code, reason = "zenoh takes it from the environment alone")]
        unsafe {
            threads::watch_by_reading();
        }
    }
    let (send, ends) = mpsc::channel();
    stop::on_signal(move || {
        let _ = send.send(());
        stop::end_in_time();
    })?;
    let stale = remove_stale()?;
    for name in &stale.removed {
        say(quiet, format_args!("`{}` was left by a bridge that was killed, and is removed", safe(name)));
    }
    for (name, why) in &stale.failed {
        say(false, format_args!("`{}` was left by a bridge that was killed, and stays: {why}", safe(name)));
    }
    let janitor = Janitor::start()?;
    let network = Network::open(&config.zenoh)?;
    let janitor = Arc::new(janitor);
    let noted = janitor.clone();
    let tell = move |event: Event| match &event {
        Event::Making { mirror } => noted.note(mirror),
        _ => say(quiet && !event.is_error(), format_args!("{event}")),
    };
    let bridge = Bridge::start(network.clone(), Arc::new(BuiltIn), config.options, Arc::new(tell))?;
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
    let status_after = |now: Instant| run.status.and_then(|every| now.checked_add(every));
    let (mut looks, mut look, mut due) = (Looks::new(), Instant::now(), status_after(Instant::now()));
    loop {
        let next = due.map_or(look, |due| due.min(look));
        if ends.recv_timeout(next.saturating_duration_since(Instant::now())) != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
        let now = Instant::now();
        if due.is_some_and(|due| now >= due) {
            due = status_after(now);
            print(&line("bridge", serde_json::to_value(bridge.status())?))?;
        }
        if now >= look {
            look = now + LOOK;
            janitor.keep();
            looks.look(&network, &bridge, &config.zenoh);
        }
    }
    drop(bridge);
    network.close();
    Ok(())
}
