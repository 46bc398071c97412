//! One version for everything that is published: crates, wheels, C library.

use crate::step::{self, Tally, cargo};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

const CHANGELOG: &str = "CHANGELOG.md";
/// Of packages that are never published.
const PRIVATE: &str = "0.0.0";

/// `cargo xtask version [X.Y.Z]`.
pub(crate) fn command(tally: &mut Tally, new: Option<&str>) -> Result<()> {
    let old = current()?;
    let Some(new) = new else {
        return step::check(tally, "versions", || {
            check()?;
            println!("   {old} everywhere");
            Ok(())
        });
    };
    step::check(tally, &format!("version {old} becomes {new}"), || {
        ensure!(is_version(new), "`{new}` is no version like 1.2.3");
        check()?;
        for file in manifests(Path::new("."))? {
            let text = fs::read_to_string(&file)?;
            let changed = set(&text, &old, new);
            if changed != text {
                fs::write(&file, changed)?;
                println!("   {}", file.display());
            }
        }
        for lock in lock_files(Path::new("."))? {
            let manifest = lock.with_file_name("Cargo.toml");
            let mut update = cargo(&["update", "--workspace", "--offline", "--quiet", "--manifest-path"]);
            crate::interop::output(update.arg(&manifest))?;
        }
        check()
    })
}

/// That a tag is the version with a `v`, and the changelog tells of it.
pub(crate) fn check_tag(tag: &str) -> Result<()> {
    check()?;
    let version = current()?;
    ensure!(tag.strip_prefix('v') == Some(&version), "the tag `{tag}` is not `v{version}`, which Cargo.toml has");
    let changes = fs::read_to_string(CHANGELOG)?;
    ensure!(has_section(&changes, &version), "{CHANGELOG} has no section `## {version} - YYYY-MM-DD`");
    Ok(())
}

/// That every manifest has the version of the workspace, and the toolchain is the oldest that they allow.
pub(crate) fn check() -> Result<()> {
    let version = current()?;
    let mut odd = Vec::new();
    for file in manifests(Path::new("."))? {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        odd.extend(others(&text, &version).into_iter().map(|line| format!("{}: {line}", file.display())));
    }
    ensure!(
        odd.is_empty(),
        "not version {version}, which `cargo xtask version {version}` would make it:\n{}",
        odd.join("\n")
    );
    let toolchain = field(&fs::read_to_string("rust-toolchain.toml")?, "channel = ")?;
    let oldest = field(&fs::read_to_string("Cargo.toml")?, "rust-version = ")?;
    // Every test runs on the oldest compiler that the packages promise to work with.
    ensure!(
        toolchain.strip_prefix(&oldest).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        "rust-version is {oldest}, but the toolchain that tests it is {toolchain}"
    );
    Ok(())
}

pub(super) fn current() -> Result<String> {
    field(&fs::read_to_string("Cargo.toml")?, "version = ")
}

fn field(text: &str, key: &str) -> Result<String> {
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    Ok(line.with_context(|| format!("no `{key}`"))?.trim_matches('"').to_owned())
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|p| p.parse::<u32>().is_ok_and(|n| n.to_string() == *p))
}

fn has_section(changes: &str, version: &str) -> bool {
    let rest = changes.lines().filter_map(|l| l.strip_prefix("## ")?.strip_prefix(version));
    rest.into_iter().any(|rest| rest.strip_prefix(" - ").is_some_and(|day| day.len() == "2026-01-01".len()))
}

/// What stands before a version of ours in a line of a manifest, if the line has one.
fn before_version(line: &str) -> Option<&'static str> {
    if line.starts_with("version = \"") || (line.contains("path = \"") && line.contains("version = \"")) {
        Some("version = \"")
    } else if line.contains("\"pyshmx==") {
        Some("\"pyshmx==")
    } else {
        None
    }
}

fn set(text: &str, from: &str, to: &str) -> String {
    let line = |line: &str| match before_version(line) {
        Some(key) => line.replace(&format!("{key}{from}\""), &format!("{key}{to}\"")),
        None => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Lines with another version of ours.
fn others(text: &str, version: &str) -> Vec<String> {
    let is_other = |line: &&str| {
        let Some(rest) = before_version(line).and_then(|key| line.split(key).nth(1)) else { return false };
        let found = rest.split('"').next().unwrap_or_default();
        found != version && found != PRIVATE
    };
    text.lines().filter(is_other).map(str::to_owned).collect()
}

fn manifests(folder: &Path) -> Result<Vec<PathBuf>> {
    find(folder, &["Cargo.toml", "pyproject.toml"])
}

fn lock_files(folder: &Path) -> Result<Vec<PathBuf>> {
    find(folder, &["Cargo.lock"])
}

/// Files of these names, build outputs and hidden folders aside.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { bail!("an odd name: {}", path.display()) };
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "build", "shared"].contains(&name) {
                found.extend(find(&path, names)?);
            }
        } else if names.contains(&name) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace.package]\nversion = \"0.1.0\"\nrust-version = \"0.1.0\"\n\
                            [workspace.dependencies]\nours = { path = \"crates/ours\", version = \"0.1.0\" }\n\
                            theirs = \"0.1.0\"\nclap = { version = \"0.1.0\" }\ndependencies = [\"pyshmx==0.1.0\"]\n";

    #[test]
    fn versions_of_ours_are_set_and_no_others() {
        let new = set(MANIFEST, "0.1.0", "0.2.0");
        assert_eq!(new.matches("0.2.0").count(), 3, "{new}");
        assert!(new.contains("rust-version = \"0.1.0\"") && new.contains("theirs = \"0.1.0\""), "{new}");
        assert_eq!(others(&new, "0.2.0"), [""; 0]);
        assert_eq!(others(&new, "0.1.0").len(), 3);
        assert_eq!(set(&new, "0.2.0", "0.1.0"), MANIFEST);
        assert_eq!(others("version = \"0.0.0\"\n", "0.1.0"), [""; 0]);
    }

    #[test]
    fn a_section_needs_a_version_and_a_day() {
        assert!(has_section("# Changes\n\n## 1.2.3 - 2026-11-30\n", "1.2.3"));
        assert!(!has_section("## 1.2.3\n", "1.2.3"));
        assert!(!has_section("## 1.2.30 - 2026-11-30\n", "1.2.3"));
    }

    #[test]
    fn versions_are_three_numbers() {
        assert!(is_version("1.20.3"));
        assert!(["1.2", "v1.2.3", "1.2.3-rc", "1.02.3", ""].iter().all(|v| !is_version(v)));
    }
}
