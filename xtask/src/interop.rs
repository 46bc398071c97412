//! Tools of others: a private Python environment with the reference package, programs from crates.io.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const REFERENCE: &str = "shmx==1.0.1";
/// What its build needs, and what these need.
const BUILD_TOOLS: &[&str] =
    &["pybind11==3.1.0", "cmake==4.4.5", "setuptools==80.9.0", "wheel==0.48.0", "packaging==26.4"];

/// The interpreter of the environment, made on first use and kept under the target directory.
pub(crate) fn python(target: &Path) -> Result<PathBuf> {
    let venv = target.join("interop-venv");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let marker = venv.join("ready");
    let made_of = format!("{REFERENCE} {}", BUILD_TOOLS.join(" "));
    if std::fs::read_to_string(&marker).is_ok_and(|have| have == made_of) && python.exists() {
        return Ok(python);
    }
    crate::step::head(format_args!("setting up {}", venv.display()));
    if venv.exists() {
        std::fs::remove_dir_all(&venv)?;
    }
    let host = if cfg!(windows) { "python" } else { "python3" };
    output(Command::new(host).args(["-m", "venv"]).arg(&venv))?;
    install(&python, BUILD_TOOLS)?;
    let cmake_dir = output(Command::new(&python).args(["-m", "pybind11", "--cmakedir"]))?;
    let scripts = python.parent().context("no directory of scripts")?;
    // The package's build calls the `cmake` on the path.
    let mut path = vec![scripts.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    output(
        pip(&python)
            .args(["--no-build-isolation", REFERENCE])
            .env("CMAKE_PREFIX_PATH", cmake_dir.trim())
            .env("PATH", std::env::join_paths(path)?),
    )?;
    output(Command::new(&python).args(["-c", "import shmx"]))?;
    std::fs::write(&marker, made_of)?;
    Ok(python)
}

/// Installs packages of exact versions, and nothing that they ask for: that is to be listed as well, or is not needed.
pub(crate) fn install(python: &Path, packages: &[&str]) -> Result<()> {
    ensure!(packages.iter().all(|p| p.contains("==")), "a package without version: {packages:?}");
    output(pip(python).args(packages))?;
    Ok(())
}

fn pip(python: &Path) -> Command {
    let mut c = Command::new(python);
    c.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]);
    c
}

/// Packages of npm of exact versions in a folder, made on first use.
pub(crate) fn npm(folder: &Path, packages: &[&str]) -> Result<()> {
    let marker = folder.join("ready");
    let made_of = packages.join(" ");
    if !std::fs::read_to_string(&marker).is_ok_and(|have| have == made_of) {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("package.json"), "{\"private\":true}")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact"]).args(packages);
        output(npm.current_dir(folder))?;
        std::fs::write(&marker, made_of)?;
    }
    Ok(())
}

/// A tool of an exact version from crates.io, built on first use and kept under the target directory.
pub(crate) fn cargo_tool(target: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let root = target.join("tools");
    let program = root.join(format!("bin/{name}{}", std::env::consts::EXE_SUFFIX));
    if is_version(&program, name, version) {
        return Ok(program);
    }
    crate::step::head(format_args!("building {name} {version}"));
    let mut install = crate::step::cargo(&["install", name, "--version", version, "--locked", "--debug", "--quiet"]);
    // The project's own flags are not for it.
    install.arg("--root").arg(&root).env_remove("RUSTFLAGS");
    output(&mut install).with_context(|| format!("build {name}"))?;
    Ok(program)
}

/// Whether a program is there and of this version. Some of cargo's tools want their own name first, as cargo gives it.
pub(crate) fn is_version(program: &Path, name: &str, version: &str) -> bool {
    let says = |args: &[&str]| output(Command::new(program).args(args)).unwrap_or_default();
    let is = |text: String| text.split_whitespace().last() == Some(version);
    is(says(&["--version"])) || is(says(&[name.trim_start_matches("cargo-"), "--version"]))
}

/// Packages of Debian, installed where one of these files of theirs is missing.
pub(crate) fn debian(files: &[&str], packages: &[&str]) -> Result<()> {
    let missing = || files.iter().any(|f| !Path::new(f).exists());
    if !missing() {
        return Ok(());
    }
    let names = packages.join(" ");
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    // Elsewhere a password that nobody asks for is no leave to change the machine.
    let may = root
        || std::env::var("CI").is_ok_and(|v| v == "true")
            && output(Command::new("sudo").args(["--non-interactive", "true"])).is_ok();
    ensure!(may, "packages are missing: apt-get install --no-install-recommends {names}");
    crate::step::head(format_args!("installing {names}"));
    let apt = || {
        let before: &[&str] = if root { &[] } else { &["sudo", "--non-interactive"] };
        let words = [before, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]].concat();
        let mut c = Command::new(words[0]);
        c.args(&words[1..]);
        c
    };
    output(apt().arg("update"))?;
    output(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    ensure!(!missing(), "{names} are installed, but not all of {files:?} are there");
    Ok(())
}

pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("start {command:?}"))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = stderr.lines().rev().take(3).collect();
        bail!("{}: {command:?}: {}", out.status, last.into_iter().rev().collect::<Vec<_>>().join(" | "));
    }
    Ok(String::from_utf8(out.stdout)?)
}
