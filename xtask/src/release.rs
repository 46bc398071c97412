//! What a release is made of: versions, packages, archives.

mod archives;
mod versions;

use crate::interop::output;
use crate::step::{self, Tally, cargo};
use crate::tests::metadata;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

pub(crate) use archives::make as dist;
pub(crate) use versions::{check as check_versions, check_tag, command as version, find};

/// What every package holds, beside its sources.
const IN_EVERY_PACKAGE: [&str; 3] = ["Cargo.toml", "LICENSE", "README.md"];

/// Packages of Python.
const PYTHON: [&str; 2] = ["python/pyproject.toml", "python/compat/pyproject.toml"];

/// The packages as they would be published. `cargo` knows their order, and builds each from its own files and the
/// packages before it.
pub(crate) fn package(tally: &mut Tally, build: bool) -> Result<()> {
    let published = published()?;
    let mut package = cargo(&["package", "--allow-dirty", "--quiet"]);
    if !build {
        package.arg("--no-verify");
    }
    for name in &published {
        package.args(["-p", name]);
    }
    step::command(tally, "packages", &mut package)?;
    for name in &published {
        step::check(tally, &format!("files of {name}"), || files(name))?;
    }
    Ok(())
}

/// Names of the packages of the workspace that are published.
pub(crate) fn published() -> Result<Vec<String>> {
    Ok(manifests()?.into_iter().map(|(name, _)| name).collect())
}

/// The same, with their manifests.
fn manifests() -> Result<Vec<(String, PathBuf)>> {
    let m = metadata()?;
    let packages = m["packages"].as_array().context("no packages")?.iter();
    let published = packages.filter(|p| p["publish"] != Value::Array(Vec::new()));
    published
        .map(|p| {
            let field = |key: &str| p[key].as_str().with_context(|| format!("a package without {key}"));
            Ok((field("name")?.to_owned(), field("manifest_path")?.into()))
        })
        .collect()
}

fn files(package: &str) -> Result<()> {
    let list = output(&mut cargo(&["package", "--list", "--allow-dirty", "-p", package]))?;
    for file in IN_EVERY_PACKAGE {
        ensure!(list.lines().any(|l| l == file), "it has no {file}");
    }
    Ok(())
}

/// The triple of this machine, as its compiler says it.
fn host() -> Result<String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    Ok(text.lines().find_map(|l| l.strip_prefix("host: ")).context("rustc names no host")?.to_owned())
}

/// The licence lies in every package, because each is published alone.
pub(crate) fn check_licences() -> Result<()> {
    let text = std::fs::read("LICENSE")?;
    let folders = manifests()?.into_iter().map(|(_, manifest)| manifest).chain(PYTHON.map(PathBuf::from));
    for manifest in folders {
        let copy = manifest.with_file_name("LICENSE");
        ensure!(std::fs::read(&copy).is_ok_and(|c| c == text), "{} is not LICENSE, letter by letter", copy.display());
    }
    Ok(())
}
