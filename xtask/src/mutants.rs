//! Mutation testing of what everything rests on: each function is broken in turn, and a test must notice.

mod explained;

use crate::orderings::copy_crates;
use crate::step::{self, Tally};
use crate::supply::tool;
use crate::tests::target_dir;
use anyhow::{Context, Result, ensure};
use explained::EXPLAINED;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "27.1.0";
/// Longest that the tests of a mutant may take, seconds: who hangs is noticed, too.
const PATIENCE: &str = "60";

/// What is broken, and the tests that must notice.
struct Part {
    package: &'static str,
    /// Only files whose paths have this in them; a file belongs to the first part that takes it.
    files: &'static str,
    /// Those that take seconds. Loom and herd7 look after the orderings; see `orderings` and `litmus`.
    tests: &'static [&'static str],
    /// Which of their tests; all if there is nothing.
    only: &'static [&'static str],
    /// Cases of each property test: what a mutant breaks shows in few, where each of them is a long one.
    cases: &'static str,
}

const PARTS: &[Part] = &[
    Part {
        package: "shmx",
        files: "src/slot/",
        tests: &["--lib", "--test", "all"],
        // The first are the library's own.
        only: &["tests::", "facade::", "reading::", "checksums::", "portable::", "leases::", "hostile::"],
        cases: "64",
    },
    Part { package: "shmx-ring", files: "src/", tests: &["--lib", "--test", "oracle"], only: &[], cases: "64" },
    Part {
        package: "shmx-abi",
        files: "src/hash/",
        tests: &["--lib", "--test", "all"],
        only: &["tests::", "messages::", "golden::", "hash_kernels::", "property::"],
        cases: "64",
    },
    Part {
        package: "shmx-abi",
        files: "src/",
        tests: &["--lib", "--test", "all"],
        only: &["tests::", "messages::", "golden::", "oracle::", "property::"],
        cases: "1500",
    },
];

const CRATES: &[&str] = &["shmx-abi", "shmx-ring", "shmx-os", "shmx"];

/// What came of the mutants of some files.
#[derive(Default)]
struct Found {
    caught: usize,
    timeout: usize,
    unviable: usize,
    missed: Vec<String>,
}

/// `cargo xtask mutants`: of files whose paths have `only` in them; `shard` is `k/n`.
pub(crate) fn run(tally: &mut Tally, only: Option<&str>, shard: Option<&str>, in_ci: bool) -> Result<()> {
    let mutants = match tool("cargo-mutants", VERSION) {
        Ok(tool) => tool,
        Err(e) => return step::skip(tally, "mutants", &format!("{e:#}"), in_ci),
    };
    let place = target_dir()?.join("mutants");
    let tree = place.join("tree");
    // Its own folder for what is built stays, so that every file after the first begins at once.
    copy_crates(&tree, CRATES)?;
    let mut all = Found::default();
    let mut done = BTreeSet::new();
    for part in PARTS {
        let mut files = Vec::new();
        rust_files(&Path::new("crates").join(part.package).join("src"), &mut files)?;
        let chosen = |f: &&String| f.contains(part.files) && only.is_none_or(|only| f.contains(only));
        for file in files.iter().filter(chosen) {
            if !done.insert(file.clone()) {
                continue;
            }
            let out = place.join("out").join(file.replace('/', "-"));
            fs::create_dir_all(&out)?;
            let mut c = Command::new(&mutants);
            c.args(["mutants", "--in-place", "--package", part.package, "--file", file, "--baseline", "skip"]);
            c.args(["--timeout", PATIENCE, "--no-shuffle", "--colors", "never", "--output"]).arg(&out);
            if let Some(shard) = shard {
                c.args(["--shard", shard]);
            }
            // What people read in a debugger is nobody's business but theirs.
            c.args(["--exclude-re", "impl (std|core)::fmt::Debug for"]);
            // Of the build, too: it would build every test otherwise.
            c.args(part.tests.iter().map(|test| format!("--cargo-arg={test}"))).current_dir(&tree);
            c.args(["--", "--"]).args(part.only);
            // Nobody reads what a mutant fails on, so that it need not be a small case.
            c.env("PROPTEST_CASES", part.cases)
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .env("CARGO_TARGET_DIR", place.join("build"))
                .env("CARGO_PROFILE_DEV_DEBUG", "0");
            step::head(format_args!("mutants of {file}"));
            let status = c.status().context("start cargo-mutants")?;
            // Survivors and time-outs are 2 and 3.
            ensure!(matches!(status.code(), Some(0 | 2 | 3)), "{status}: {c:?}");
            let found = Found::read(&out.join("mutants.out"))?;
            println!("   {}", found.line());
            all.add(found);
        }
    }
    judge(tally, &all)
}

/// Survivors without an explanation fail the task; explanations of what does not survive any more are told.
fn judge(tally: &mut Tally, found: &Found) -> Result<()> {
    let mut open: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (file, mutation, _) in EXPLAINED {
        *open.entry((file, mutation)).or_default() += 1;
    }
    let mut unexplained = Vec::new();
    for line in &found.missed {
        let known = key(line).and_then(|key| open.get_mut(&key)).filter(|left| **left > 0);
        match known {
            Some(left) => *left -= 1,
            None => unexplained.push(line.as_str()),
        }
    }
    let explained = found.missed.len() - unexplained.len();
    println!("   in all {}, {explained} of the missed explained", found.line());
    tally.passed += (found.caught + found.timeout + explained) as u64;
    tally.failed += unexplained.len() as u64;
    ensure!(unexplained.is_empty(), "no test notices:\n{}", unexplained.join("\n"));
    Ok(())
}

/// File and mutation of a line such as `crates/a/src/b.rs:12:5: replace + with - in f`; places move, these do not.
fn key(line: &str) -> Option<(&str, &str)> {
    let (place, mutation) = line.split_once(": ")?;
    Some((place.split(':').next()?, mutation))
}

fn rust_files(folder: &Path, files: &mut Vec<String>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path.to_str().context("a path that is no text")?.to_owned());
        }
    }
    Ok(())
}

impl Found {
    fn read(folder: &Path) -> Result<Self> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = folder.join(name);
            if !path.exists() {
                return Ok(Vec::new());
            }
            Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
        };
        let count = |name: &str| lines(name).map(|l| l.len());
        let (caught, timeout, unviable) = (count("caught.txt")?, count("timeout.txt")?, count("unviable.txt")?);
        Ok(Self { caught, timeout, unviable, missed: lines("missed.txt")? })
    }

    fn add(&mut self, other: Self) {
        self.caught += other.caught;
        self.timeout += other.timeout;
        self.unviable += other.unviable;
        self.missed.extend(other.missed);
    }

    fn line(&self) -> String {
        let Self { caught, timeout, unviable, missed } = self;
        format!("{caught} caught, {timeout} by hanging, {} missed, {unviable} that do not build", missed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn places_are_left_out() {
        let line = "crates/a/src/b.rs:12:5: replace f -> Option<u8> with None: at once";
        assert_eq!(key(line), Some(("crates/a/src/b.rs", "replace f -> Option<u8> with None: at once")));
        assert_eq!(key("nothing"), None);
    }
}
