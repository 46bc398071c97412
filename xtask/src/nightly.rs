//! The nightly toolchain, where it is installed. Nothing here installs it.

use anyhow::{Context, Result, ensure};
use std::process::Command;

pub(crate) const MISSING: &str = "the nightly toolchain is not installed; `rustup toolchain install nightly` brings it";

pub(crate) fn is_installed() -> bool {
    let out = Command::new("rustup").args(["toolchain", "list"]).output();
    // `nightly-TRIPLE`; one with a date in between is another toolchain.
    let current =
        |l: &str| l.strip_prefix("nightly-").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    out.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).lines().any(current))
}

/// A program of the nightly toolchain, free of what cargo has set for the pinned one.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", name]);
    for set in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(set);
    }
    command
}

pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = program("cargo");
    command.args(args);
    command
}

/// What `rustc -vV` says behind `key`.
pub(crate) fn rustc_says(key: &str) -> Result<String> {
    let out = program("rustc").arg("-vV").output().context("start rustc")?;
    ensure!(out.status.success(), "rustc -vV: {}", out.status);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).with_context(|| format!("rustc says no `{key}`"))?;
    Ok(line.trim().to_owned())
}

pub(crate) fn host() -> Result<String> {
    rustc_says("host:")
}
