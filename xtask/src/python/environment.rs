//! Interpreters of this machine, and private environments for them.

use crate::interop::{install, output};
use crate::tests;
use anyhow::{Context, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const NONE: &str = "there is no Python from 3.11 on";

/// A Python of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interpreter {
    minor: u32,
    pub(crate) free_threaded: bool,
    pub(crate) path: PathBuf,
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Python 3.{}{}", self.minor, if self.free_threaded { "t" } else { "" })
    }
}

/// What an interpreter says of itself.
const ASK: &str = "import sys, sysconfig, venv, ensurepip\n\
                   print(*sys.version_info[:2], int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))), sys.executable)";

/// The interpreters on the path and those of pyenv, one of each version, the oldest first.
pub(crate) fn find() -> Vec<Interpreter> {
    let mut candidates: Vec<PathBuf> =
        ["python3", "python3.11", "python3.12", "python3.13", "python3.14", "python3.14t"]
            .into_iter()
            .map(PathBuf::from)
            .collect();
    let home = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".pyenv")));
    let versions = home.and_then(|home| std::fs::read_dir(home.join("versions")).ok());
    candidates.extend(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3")));
    let mut found: Vec<Interpreter> = candidates.iter().filter_map(|path| ask(path)).collect();
    found.sort_by_key(|i| (i.free_threaded, i.minor));
    found.dedup_by_key(|i| (i.free_threaded, i.minor));
    found
}

fn ask(path: &Path) -> Option<Interpreter> {
    let answer = output(Command::new(path).args(["-c", ASK])).ok()?;
    let mut words = answer.trim().splitn(4, ' ');
    let (major, minor) = (words.next()?.parse::<u32>().ok()?, words.next()?.parse().ok()?);
    let free_threaded = words.next()? == "1";
    let path = PathBuf::from(words.next()?);
    (major == 3 && minor >= 11).then_some(Interpreter { minor, free_threaded, path })
}

/// Whether packages can be had: tried with one that is needed anyway.
pub(crate) fn can_install(target: &Path, interpreter: &Interpreter) -> Result<()> {
    plain(&target.join("python/build"), interpreter, super::BUILD).map(|_| ())
}

/// An environment with packages of exact versions, made where it is not there yet.
pub(crate) fn plain(dir: &Path, interpreter: &Interpreter, packages: &[&str]) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    let marker = dir.join("ready");
    let made_of = format!("{} {}", interpreter.path.display(), packages.join(" "));
    if std::fs::read_to_string(&marker).is_ok_and(|have| have == made_of) && python.exists() {
        return Ok(python);
    }
    crate::step::head(format_args!("setting up {}", dir.display()));
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    output(Command::new(&interpreter.path).args(["-m", "venv"]).arg(dir))?;
    if !packages.is_empty() {
        install(&python, packages)?;
    }
    std::fs::write(&marker, made_of)?;
    Ok(python)
}

/// The same with our packages from their wheels, new each time.
pub(crate) fn with_wheels(interpreter: &Interpreter, packages: &[&str], wheels: &Path) -> Result<PathBuf> {
    let what = packages.first().and_then(|p| p.split('=').next()).unwrap_or_default();
    let dir = format!("python/{interpreter}-{what}-{}", packages.len()).replace(' ', "-");
    let dir = tests::target_dir()?.join(dir);
    let python = plain(&dir, interpreter, packages)?;
    let pip = |args: &[&str]| {
        let mut c = Command::new(&python);
        c.args(["-m", "pip", "--disable-pip-version-check", "--quiet"]).args(args);
        c
    };
    output(&mut pip(&["uninstall", "--yes", "pyshmx", "pyshmx-compat"]))?;
    // From there and nowhere else.
    let mut install = pip(&["install", "--no-deps", "--no-index", "pyshmx", "pyshmx-compat", "--find-links"]);
    output(install.arg(wheels)).context("install the wheels")?;
    std::path::absolute(python).context("a path")
}
