//! What the published crates rest on, and what rests on them: licences, advisories, oldest versions, interfaces.

use crate::interop::{self, output};
use crate::orderings::copy_tree;
use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use crate::{nightly, release};
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DENY: &str = "0.20.2";
const SEMVER: &str = "0.51.0";
/// Workspaces whose dependencies are given to others.
const WORKSPACES: [&str; 4] = ["Cargo.toml", "python/Cargo.toml", "live/Cargo.toml", "bridges/zenoh/Cargo.toml"];

/// `cargo xtask deny`.
pub(crate) fn deny(tally: &mut Tally, in_ci: bool) -> Result<()> {
    let tool = match tool("cargo-deny", DENY) {
        Ok(tool) => tool,
        Err(e) => return step::skip(tally, "licences and sources", &format!("{e:#}"), in_ci),
    };
    let run = |manifest: &str, what: &[&str]| {
        let mut c = Command::new(&tool);
        c.args([
            "--manifest-path",
            manifest,
            "--all-features",
            "--log-level",
            "error",
            "--config",
            "deny.toml",
            "check",
        ]);
        c.args(what);
        c
    };
    let there = WORKSPACES.into_iter().filter(|w| Path::new(w).exists());
    for manifest in there.clone() {
        let name = format!("licences and sources, {manifest}");
        step::command(tally, &name, &mut run(manifest, &["bans", "licenses", "sources"]))?;
    }
    let fetch = ["--config", "deny.toml", "fetch", "db"];
    if let Err(e) = output(Command::new(&tool).args(fetch)) {
        return step::skip(tally, "advisories", &format!("their database cannot be had: {e:#}"), in_ci);
    }
    for manifest in there {
        step::command(tally, &format!("advisories, {manifest}"), &mut run(manifest, &["advisories"]))?;
    }
    Ok(())
}

/// `cargo xtask semver`: against the release before.
pub(crate) fn semver(tally: &mut Tally, in_ci: bool) -> Result<()> {
    let Some(last) = release_before(Path::new("."))? else {
        // Nothing to compare with is no failure, and nothing that passed.
        return step::skip(tally, "interfaces", "there is no release yet to compare with", false);
    };
    let tool = match tool("cargo-semver-checks", SEMVER) {
        Ok(tool) => tool,
        Err(e) => return step::skip(tally, "interfaces", &format!("{e:#}"), in_ci),
    };
    let mut c = Command::new(tool);
    c.args(["semver-checks", "check-release", "--workspace", "--baseline-rev", &last]);
    step::command(tally, &format!("interfaces since {last}"), &mut c)
}

/// The newest tag of a release that is not this one: a release is made at its own tag, and equals itself.
fn release_before(folder: &Path) -> Result<Option<String>> {
    let newest_first = ["tag", "--list", "v*", "--no-contains", "HEAD", "--sort=-version:refname"];
    let tags = output(Command::new("git").current_dir(folder).args(newest_first))?;
    Ok(tags.lines().next().map(str::to_owned))
}

/// `cargo xtask minimal-versions`: in a copy, because it writes another lock file.
pub(crate) fn minimal_versions(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !nightly::is_installed() {
        return step::skip(tally, "oldest versions of dependencies", nightly::MISSING, in_ci);
    }
    let dir = target_dir()?.join("minimal");
    let tree = dir.join("tree");
    step::check(tally, "oldest versions of dependencies", || {
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        for folder in ["crates", "xtask"] {
            copy_tree(Path::new(folder), &tree.join(folder))?;
        }
        for file in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
            fs::copy(file, tree.join(file))?;
        }
        output(nightly::cargo(&["update", "--quiet", "-Zdirect-minimal-versions"]).current_dir(&tree)).map(|_| ())
    })?;
    for (name, features) in [("default features", &[][..]), ("all features", &["--all-features"][..])] {
        let mut check = cargo(&["check", "--lib", "--bins", "--quiet", "--target-dir"]);
        check.arg(dir.join("build")).args(features).current_dir(&tree);
        for package in release::published()? {
            check.args(["-p", &package]);
        }
        step::command(tally, &format!("built with them, {name}"), &mut check)?;
    }
    Ok(())
}

/// The tool on the path if it has the version, else our own build of it.
pub(crate) fn tool(name: &str, version: &str) -> Result<PathBuf> {
    if interop::is_version(Path::new(name), name, version) {
        return Ok(name.into());
    }
    let tool = interop::cargo_tool(&target_dir()?, name, version)?;
    ensure!(tool.exists(), "{} is not there", tool.display());
    Ok(tool)
}

#[cfg(test)]
mod tests {
    use super::release_before;
    use crate::interop::output;
    use std::process::Command;

    #[test]
    fn a_release_is_compared_with_the_one_before_and_not_with_itself() {
        let folder = std::env::temp_dir().join(format!("shmx-xtask-tags-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let git = |args: &[&str]| {
            let who = [
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "-c",
                "commit.gpgsign=false",
                "-c",
                "tag.gpgsign=false",
            ];
            output(Command::new("git").current_dir(&folder).args(who).args(args)).unwrap();
        };
        let commit = |tag: &str| {
            git(&["commit", "--quiet", "--allow-empty", "--message", tag]);
            git(&["tag", tag]);
        };
        let before = || release_before(&folder).unwrap();
        git(&["init", "--quiet"]);
        commit("v0.9.0");
        assert_eq!(before(), None);
        commit("v0.10.0");
        assert_eq!(before().as_deref(), Some("v0.9.0"));
        git(&["commit", "--quiet", "--allow-empty", "--message", "on"]);
        assert_eq!(before().as_deref(), Some("v0.10.0"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
