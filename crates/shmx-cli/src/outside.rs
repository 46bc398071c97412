//! Commands that are programs of their own, because few need them and all would have to build them: `shmx live` runs
//! `shmx-live`, `shmx bridge` runs `shmx-bridge`.

use crate::args::Outside;
use crate::common;
use crate::exit;
use anyhow::{Context, anyhow};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the program, which a clone has in `folder`, in place of this one where the system can do that.
pub(crate) fn run(name: &str, folder: &str, a: &Outside) -> anyhow::Result<()> {
    let program = format!("shmx-{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(beside().map_or_else(|| PathBuf::from(&program), |folder| find(&folder, &program)));
    if common::is_quiet() {
        command.arg("--quiet");
    }
    command.args(&a.args);
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
