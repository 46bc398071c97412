//! `cargo xtask dist`: the command with completions and manual pages, and on Linux the C package, as archives.

use super::{host, versions};
use crate::interop::{output, strip};
use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The command, stripped.
const MOST_BYTES: u64 = 10_000_000;
const SHELLS: [(&str, &str); 4] =
    [("bash", "shmx.bash"), ("zsh", "_shmx"), ("fish", "shmx.fish"), ("powershell", "_shmx.ps1")];

pub(crate) fn make(tally: &mut Tally) -> Result<()> {
    let (version, host) = (versions::current()?, host()?);
    let release = target_dir()?.join("release");
    let dist = target_dir()?.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    step::command(tally, "build the command", &mut cargo(&["build", "--release", "--locked", "-p", "shmx-cli"]))?;
    let name = format!("shmx-{version}-{host}");
    let program = format!("shmx{}", std::env::consts::EXE_SUFFIX);
    step::check(tally, "archive of the command", || {
        let stage = dist.join(&name);
        fs::create_dir_all(stage.join("completions"))?;
        let command = stage.join(&program);
        fs::copy(release.join(&program), &command)?;
        if cfg!(unix) {
            strip(&command)?;
        }
        let bytes = fs::metadata(&command)?.len();
        ensure!(bytes < MOST_BYTES, "the command has {bytes} bytes, more than {MOST_BYTES}");
        output(Command::new(&command).args(["man", "--dir"]).arg(stage.join("man")))?;
        for (shell, file) in SHELLS {
            let script = output(Command::new(&command).args(["completions", shell]))?;
            fs::write(stage.join("completions").join(file), script)?;
        }
        for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
            fs::copy(file, stage.join(file))?;
        }
        let archive = pack(&dist, &name)?;
        println!("   {}, the command {} KB", archive.display(), bytes / 1000);
        try_out(&dist, &archive, &Path::new(&name).join(&program), &version)
    })?;
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "archive of the C package", "`install` is written for Linux", false);
    }
    step::check(tally, "archive of the C package", || {
        let name = format!("libshmx-{version}-{host}");
        let stage = dist.join("stage");
        crate::capi::install_below(Path::new("/usr/local"), &stage)?;
        fs::rename(stage.join("usr/local"), dist.join(&name))?;
        fs::remove_dir_all(&stage)?;
        let archive = pack(&dist, &name)?;
        println!("   {}, to be unpacked under a prefix", archive.display());
        try_out(&dist, &archive, &Path::new(&name).join("bin/shmx"), &version)
    })
}

/// Packs a folder of `dist`, and removes it.
fn pack(dist: &Path, folder: &str) -> Result<PathBuf> {
    // Windows' `tar` makes archives of that kind, too.
    let (ending, flags) = if cfg!(windows) { ("zip", "-acf") } else { ("tar.gz", "-czf") };
    let archive = dist.join(format!("{folder}.{ending}"));
    output(Command::new("tar").current_dir(dist).arg(flags).arg(&archive).arg(folder)).context("pack")?;
    fs::remove_dir_all(dist.join(folder))?;
    Ok(archive)
}

/// The command runs from where the archive was unpacked.
fn try_out(dist: &Path, archive: &Path, program: &Path, version: &str) -> Result<()> {
    let dir = dist.join("unpacked");
    fs::create_dir_all(&dir)?;
    output(Command::new("tar").current_dir(&dir).arg("-xf").arg(archive)).context("unpack")?;
    let said = output(Command::new(dir.join(program)).arg("--version"))?;
    ensure!(said.trim() == format!("shmx {version}"), "the command says {said}");
    fs::remove_dir_all(&dir)?;
    Ok(())
}
