//! The nightly toolchain, where it is installed. Nothing here installs it.

use anyhow::{Context, Result, ensure};
use std::process::Command;

pub(crate) const MISSING: &str =
    "the nightly toolchain is not installed; `rustup toolchain install nightly-2026-05-20` brings it";

/// The toolchain that CI installs. Any other is taken where this one is not installed.
const PINNED: &str = "nightly-2026-05-20";

pub(crate) fn is_installed() -> bool {
    installed().is_some()
}

fn installed() -> Option<&'static str> {
    let out = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    choose(&String::from_utf8_lossy(&out.stdout))
}

/// Of what `rustup toolchain list` says: `nightly-TRIPLE`, or with a date in between.
fn choose(list: &str) -> Option<&'static str> {
    let has = |wanted: &str| {
        let rest = list.lines().filter_map(|l| l.strip_prefix(wanted)?.strip_prefix('-'));
        rest.into_iter().any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    [PINNED, "nightly"].into_iter().find(|name| has(name))
}

/// A program of the nightly toolchain, free of what cargo has set for the pinned one.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", installed().unwrap_or(PINNED), name]);
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

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_pinned_toolchain_comes_first_and_one_of_another_date_is_not_taken() {
        let list = |names: &[&str]| names.iter().map(|n| format!("{n}-x86_64-unknown-linux-gnu\n")).collect::<String>();
        assert_eq!(choose(&list(&["stable", "nightly", "nightly-2026-05-20"])), Some("nightly-2026-05-20"));
        assert_eq!(choose(&list(&["1.95.0", "nightly"])), Some("nightly"));
        assert_eq!(choose(&list(&["nightly-2025-01-01", "stable"])), None);
    }
}
