//! Commands that are programs of their own, because few need them and all would have to build them: `shmx live` runs
//! `shmx-live`, `shmx bridge` runs `shmx-bridge`.

use crate::colour;
use crate::common;
use crate::exit;
use anyhow::{Context, anyhow};
use clap::Args;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracing::level_filters::LevelFilter;

/// Watch regions live in a browser and in Foxglove (runs shmx-live).
#[derive(Debug, Args)]
#[command(after_help = "\
Runs `shmx-live`, which is installed separately (`cargo install --path live` in a clone), and passes all options on; \
`shmx-live --help` lists them. It prints a link that opens the page. Read-only, unless --control lets viewers send \
control messages.

Exit codes: 0 ended by a signal; 1 failed, or `shmx-live` is not installed; 2 wrong usage.

Examples:
  shmx live
  shmx live clock --rate 10")]
pub(crate) struct Live {
    #[command(flatten)]
    passed: Passed,
}

/// Mirror regions between hosts over zenoh (runs shmx-bridge).
#[derive(Debug, Args)]
#[command(after_help = "\
Runs `shmx-bridge`, which is installed separately (`cargo install --path bridges/zenoh` in a clone), and passes all \
options on; `shmx-bridge --help` lists them. Only regions that are exported by name leave a host.

Exit codes: 0 done, or ended by a signal; 1 failed, or `shmx-bridge` is not installed; 2 wrong usage.

Examples:
  shmx bridge run --host robot --export clock --listen tcp/0.0.0.0:7447
  shmx bridge run --import 'robot/*' --connect tcp/robot:7447
  shmx bridge ls --connect tcp/robot:7447")]
pub(crate) struct Bridge {
    #[command(flatten)]
    passed: Passed,
}

#[derive(Debug, Args)]
struct Passed {
    /// Names and options for the program.
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn live(a: &Live) -> anyhow::Result<()> {
    run("live", "live", &a.passed)
}

pub(crate) fn bridge(a: &Bridge) -> anyhow::Result<()> {
    run("bridge", "bridges/zenoh", &a.passed)
}

/// Runs the program, which a clone has in `folder`, in place of this one where the system can do that.
fn run(name: &str, folder: &str, a: &Passed) -> anyhow::Result<()> {
    let program = format!("shmx-{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(beside().map_or_else(|| PathBuf::from(&program), |folder| find(&folder, &program)));
    if common::is_quiet() {
        command.arg("--quiet");
    }
    command.args(&a.args).envs(log_level());
    colour::hand_on(&mut command);
    let e = match replace(&mut command) {
        Ok(code) => exit::as_other(code),
        Err(e) => e,
    };
    if e.kind() == ErrorKind::NotFound {
        return Err(anyhow!(
            "`{program}` is not installed: no such program beside `shmx` or on the PATH; \
             build it in a clone by `cargo install --path {folder}`"
        ));
    }
    Err(e).with_context(|| format!("cannot run `{program}`"))
}

/// What -v asks for, in the variable that goes before it.
fn log_level() -> Option<(&'static str, String)> {
    let set = std::env::var_os("RUST_LOG").is_some_and(|v| !v.is_empty());
    let level = LevelFilter::current();
    (!set && level > LevelFilter::WARN).then(|| ("RUST_LOG", level.to_string()))
}

fn beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

/// The one beside this program, which was installed with it; otherwise the system looks along the PATH.
fn find(folder: &Path, program: &str) -> PathBuf {
    let own = folder.join(program);
    if own.is_file() { own } else { program.into() }
}

#[cfg(unix)]
fn replace(command: &mut Command) -> std::io::Result<i32> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn replace(command: &mut Command) -> std::io::Result<i32> {
    Ok(command.status()?.code().unwrap_or(1))
}
