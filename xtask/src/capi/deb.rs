//! `cargo xtask deb`: what `cargo xtask install` installs, as a Debian package, by cargo-deb.

use super::cmake::pkg_config;
use super::install::{MANIFEST, Prefix};
use super::version;
use crate::interop::{cargo_tool, output};
use crate::step::{self, Tally};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "3.8.0";
/// Where `crates/shmx-capi/Cargo.toml` says that the files lie.
const STAGE: &str = "target/deb";

/// Makes the package, and looks into it.
pub(super) fn test(tally: &mut Tally, target: &Path, in_ci: bool) -> Result<()> {
    let tool = match cargo_tool(target, "cargo-deb", VERSION) {
        Ok(tool) => tool,
        // It comes from the registry.
        Err(e) => return step::skip(tally, "Debian package", &format!("{e:#}"), in_ci),
    };
    let package = target.join(format!("debian/shmx_{}_{}.deb", version()?, architecture()));
    step::check(tally, "Debian package", || make(&tool, target, &package))?;
    if let Err(e) = output(Command::new("dpkg-deb").arg("--version")) {
        return step::skip(tally, "what is in the Debian package", &format!("no dpkg-deb: {e:#}"), in_ci);
    }
    step::check(tally, "what is in the Debian package", || unpacked(&package, &target.join("capi/deb")))
}

/// In Debian's words. It is part of the name, because a release has packages of several.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}

fn make(tool: &Path, target: &Path, package: &Path) -> Result<()> {
    let stage = Path::new(STAGE);
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    Prefix::at(Path::new("/usr"), Some(stage))?.install(target, &version()?)?;
    fs::create_dir_all(package.parent().context("no folder for the package")?)?;
    let mut c = Command::new(tool);
    c.args(["--package", "shmx-capi", "--no-build", "--no-strip", "--fast", "--quiet", "--output"]).arg(package);
    output(&mut c)?;
    println!("   {}, {} KB", package.display(), fs::metadata(package)?.len() / 1000);
    Ok(())
}

/// Everything that is installed is in the package, and works from where it was unpacked.
fn unpacked(package: &Path, dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let root = dir.join("root");
    let field = |name: &str| output(Command::new("dpkg-deb").arg("--field").arg(package).arg(name));
    ensure!(field("Package")?.trim() == "shmx", "it has another name");
    ensure!(field("Version")?.starts_with(&version()?), "it has another version: {}", field("Version")?);
    ensure!(field("Architecture")?.trim() == architecture(), "it is for {}", field("Architecture")?);
    ensure!(field("Depends")?.contains("libc6 (>= "), "it needs {}", field("Depends")?);
    let triggers = output(Command::new("dpkg-deb").arg("--info").arg(package).arg("triggers"))?;
    ensure!(triggers.contains("ldconfig"), "the loader would not be told: {triggers}");
    output(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
    let staged = Path::new(STAGE).join("usr");
    for file in fs::read_to_string(staged.join(MANIFEST))?.lines().map(|f| f.trim_start_matches('/')) {
        // The package manager has a list of its own, and the licence its own name.
        if file.ends_with(MANIFEST) || file.ends_with("LICENSE") {
            continue;
        }
        // Debian's zsh looks in another folder, and manual pages are compressed.
        let file = file.replace("zsh/site-functions", "zsh/vendor-completions");
        let found = [file.clone(), format!("{file}.gz")].into_iter().map(|f| root.join(f));
        ensure!(found.into_iter().any(|f| f.symlink_metadata().is_ok()), "it has no {file}");
    }
    ensure!(root.join("usr/share/doc/shmx/copyright").exists(), "it has no licence");
    let prefix: PathBuf = root.join("usr");
    ensure!(prefix.join("lib/libshmx.so").is_symlink(), "libshmx.so is no link");
    let said = output(Command::new(prefix.join("bin/shmx")).arg("--version"))?;
    ensure!(said.contains(&version()?), "the command says {said}");
    pkg_config(&prefix, &dir.join("by-pkg-config"))
}
