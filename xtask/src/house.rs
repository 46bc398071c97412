//! The house rules: no circle of imports among the files of a crate, no long file without a reason, one version and one
//! licence everywhere, links that lead somewhere, workflows that cannot pass on nothing, a table of examples that names them all.

mod circles;
mod lexer;
mod links;
mod module;
mod workflows;

use crate::{examples, release};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a Rust file that gives no reason to be longer.
const LONG: usize = 500;
/// The reason stands within so many lines from the top, behind these words.
const HEAD: usize = 15;
const REASON: &str = "//! Length:";

/// Where Rust files lie.
const FOLDERS: [&str; 7] = ["crates", "xtask", "fuzz", "bench", "bridges", "python", "live"];

pub(crate) fn check() -> Result<()> {
    release::check_versions()?;
    release::check_licences()?;
    workflows::check()?;
    examples::check()?;
    let mut broken = Vec::new();
    for krate in entries(Path::new("crates"))?.into_iter().chain(["python", "live", "bridges/zenoh"].map(PathBuf::from))
    {
        broken.extend(left_out(&krate)?);
        for root in roots(&krate.join("src"))? {
            broken.extend(circles::circles(&root, &|path| fs::read_to_string(path).ok()));
        }
    }
    for folder in FOLDERS {
        for file in files(Path::new(folder), "rs")? {
            let source = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            broken.extend(too_long(&source).map(|lines| {
                format!("{}: {lines} lines; split it, or say why not in a line `{REASON} ...`", file.display())
            }));
        }
    }
    let mut documents = entries(Path::new("."))?;
    documents.retain(|f| f.extension().is_some_and(|e| e == "md"));
    for folder in FOLDERS.iter().chain(&["docs", "examples", ".github"]) {
        documents.extend(files(Path::new(folder), "md")?);
    }
    broken.extend(links::broken(&documents)?);
    if !broken.is_empty() {
        bail!("{} house rules are broken:\n{}", broken.len(), broken.join("\n"));
    }
    Ok(())
}

/// Tests that are not compiled: where one program has all files, it names them, or they are programs of their own.
fn left_out(krate: &Path) -> Result<Vec<String>> {
    let Ok(main) = fs::read_to_string(krate.join("tests/main.rs")) else { return Ok(Vec::new()) };
    let manifest = fs::read_to_string(krate.join("Cargo.toml"))?;
    let is_program = |f: &Path| manifest.contains(&format!("[[test]]\nname = {:?}", f.file_stem().unwrap_or_default()));
    let mut files = entries(&krate.join("tests"))?;
    files.retain(|f| !is_program(f));
    files.retain(|f| f.extension().is_some_and(|e| e == "rs") && !f.ends_with("main.rs"));
    files.retain(|f| !main.lines().any(|l| l.strip_prefix("mod ").is_some_and(|m| f.ends_with(m.replace(';', ".rs")))));
    Ok(files.iter().map(|f| format!("{}: tests/main.rs does not name it", f.display())).collect())
}

/// The lines of a file that has too many, and no reason.
fn too_long(source: &str) -> Option<usize> {
    let lines = source.lines().count();
    let reason = |line: &str| line.strip_prefix(REASON).is_some_and(|why| !why.trim().is_empty());
    (lines > LONG && !source.lines().take(HEAD).any(reason)).then_some(lines)
}

/// First files of the crates in a `src` folder: the library, and each program.
fn roots(src: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        ["lib.rs", "main.rs"].map(|f| src.join(f)).into_iter().filter(|f| f.exists()).collect();
    let programs = src.join("bin");
    if programs.exists() {
        for entry in entries(&programs)? {
            found.push(if entry.is_dir() { entry.join("main.rs") } else { entry });
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = read.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

/// All files below a folder whose name ends so, build outputs aside.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        if entry.is_dir() {
            if entry.file_name().is_some_and(|n| n != "target" && n != "node_modules") {
                found.extend(files(&entry, extension)?);
            }
        } else if entry.extension().is_some_and(|e| e == extension) {
            found.push(entry);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{LONG, too_long};

    #[test]
    fn a_long_file_needs_a_reason_in_its_head() {
        let body = "fn f() {}\n".repeat(LONG - 1);
        assert_eq!(too_long(&format!("//! What.\n{body}")), None);
        assert_eq!(too_long(&format!("//! What.\n\n{body}")), Some(LONG + 1));
        assert_eq!(too_long(&format!("//! What.\n//! Length: one table.\n{body}")), None);
        assert_eq!(too_long(&format!("//! What.\n//! Length: \n{body}")), Some(LONG + 1));
        assert_eq!(too_long(&format!("{}//! Length: too late.\n{body}", "//\n".repeat(15))), Some(LONG + 15));
    }
}
