//! Threads under ThreadSanitizer, and a replay of weakened orderings that it must notice.
//!
//! Needs the nightly toolchain and the source of its standard library, because the prebuilt library is not
//! instrumented and gives false alarms. Where the toolchain does not bring the source, Debian's package of the same
//! version is unpacked under the target directory; nothing is installed.

use crate::orderings::copy_ring;
use crate::sid::Sid;
use crate::step::{self, Tally};
use crate::tests::target_dir;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each run meets other interleavings.
const ROUNDS: usize = 4;

/// What runs: threads of one process that share one mapping, or what the facade guards by locks. Package, program, and
/// which of its tests.
const SUITES: &[(&str, &str, &[&str])] = &[
    THREADS,
    ("shmx", "all", &["threads::", "facade::", "leases::", "--skip=hostile_threads::"]),
    ("shmx-os", "all", &["conformance::"]),
];
const THREADS: (&str, &str, &[&str]) = ("shmx-ring", "threads", &[]);

/// Orderings of `shmx-ring` that order plain data around them: file, what stands there, and the weaker form.
const WEAKENED: &[(&str, &str, &str)] = &[
    ("control", "write.store(placement.next, Ordering::Release)", "write.store(placement.next, Ordering::Relaxed)"),
    ("control", "head.write.load(Ordering::Acquire)", "head.write.load(Ordering::Relaxed)"),
    ("control", "head.read.store(self.read, Ordering::Release)", "head.read.store(self.read, Ordering::Relaxed)"),
    ("control", "head.read.load(Ordering::Acquire)", "head.read.load(Ordering::Relaxed)"),
    (
        "writer",
        "(stamp, odd, Ordering::SeqCst, Ordering::Relaxed)",
        "(stamp, odd, Ordering::Relaxed, Ordering::Relaxed)",
    ),
    (
        "writer",
        "store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Release)",
        "store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Relaxed)",
    ),
    ("writer", "store(self.next_stamp(), Ordering::Release)", "store(self.next_stamp(), Ordering::Relaxed)"),
    ("reader", "ext_stamp.load(Ordering::SeqCst) != stamp", "ext_stamp.load(Ordering::Relaxed) != stamp"),
    ("reader", "fetch_and(!bit, Ordering::Release);\n    }\n}", "fetch_and(!bit, Ordering::Relaxed);\n    }\n}"),
    ("readers", "(0, 1, Ordering::AcqRel, Ordering::Relaxed)", "(0, 1, Ordering::Relaxed, Ordering::Relaxed)"),
    ("readers", "slot.in_use.store(0, Ordering::Release)", "slot.in_use.store(0, Ordering::Relaxed)"),
];

/// `cargo xtask tsan [--quick]`. The quick form is one round, without the weakened orderings.
pub(crate) fn run(tally: &mut Tally, quick: bool) -> Result<()> {
    let rounds = if quick { 1 } else { ROUNDS };
    let folder = target_dir()?.join("tsan");
    let library = match library(&folder) {
        Ok(library) => library,
        // Also in CI: it is a second look at what loom models and the tests cover.
        Err(e) => return step::skip(tally, "tsan", &format!("{e:#}"), false),
    };
    for round in 1..=rounds {
        for suite in SUITES {
            let mut c = test(&library, &folder, Path::new("."), suite)?;
            step::counted(tally, &format!("{} {}, round {round} of {rounds}", suite.0, suite.1), &mut c, |l| {
                l.starts_with("test result:")
            })?;
        }
    }
    if quick { Ok(()) } else { weakened(tally, &library, &folder) }
}

fn test(
    library: &Source,
    folder: &Path,
    place: &Path,
    &(package, suite, which): &(&str, &str, &[&str]),
) -> Result<Command> {
    let triple = crate::nightly::host()?;
    let mut c = crate::nightly::cargo(&["test", "-Zbuild-std", "--target", &triple, "-p", package, "--test", suite]);
    c.arg("--")
        .args(which)
        .current_dir(place)
        .env("RUSTFLAGS", "-Zsanitizer=thread --cfg shmx_no_asm")
        .env("CARGO_TARGET_DIR", folder.join("build"));
    // Nothing is suppressed: one report fails the run.
    c.env("TSAN_OPTIONS", "halt_on_error=0 second_deadlock_stack=1");
    if let Source::Unpacked(path) = library {
        c.env("__CARGO_TESTS_ONLY_SRC_ROOT", path);
    }
    Ok(c)
}

/// Weakens one ordering at a time in a copy; ThreadSanitizer must report it.
fn weakened(tally: &mut Tally, library: &Source, folder: &Path) -> Result<()> {
    let copy = folder.join("tree");
    copy_ring(&copy)?;
    let mut missed = Vec::new();
    for (file, from, to) in WEAKENED {
        let path = copy.join(format!("crates/shmx-ring/src/{file}.rs"));
        let source = fs::read_to_string(&path)?;
        ensure!(source.matches(from).count() == 1, "{file}: `{from}` is not there once");
        fs::write(&path, source.replacen(from, to, 1))?;
        let mut reported = false;
        for _ in 0..ROUNDS {
            let out = test(library, folder, &copy, &THREADS)?.output().context("start cargo")?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
            ensure!(!text.contains("could not compile"), "{file}: the weakened copy does not build\n{text}");
            reported = text.contains("WARNING: ThreadSanitizer: data race");
            if reported {
                break;
            }
        }
        fs::write(&path, source)?;
        let line = from.lines().next().unwrap_or_default();
        println!("{} {file}: {line}", if reported { "noticed " } else { "SURVIVED" });
        if reported {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            missed.push(line);
        }
    }
    ensure!(missed.is_empty(), "ThreadSanitizer does not notice: {}", missed.join(", "));
    Ok(())
}

/// Where the standard library's source is.
enum Source {
    /// In the toolchain, where cargo finds it.
    Toolchain,
    /// In this folder.
    Unpacked(PathBuf),
}

fn library(folder: &Path) -> Result<Source> {
    ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "it is set up for Linux on x86-64 only");
    ensure!(crate::nightly::is_installed(), crate::nightly::MISSING);
    let out = crate::nightly::program("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    if sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").exists() {
        return Ok(Source::Toolchain);
    }
    debian(folder).map(Source::Unpacked).context(
        "the nightly toolchain has no rust-src (`rustup component add --toolchain nightly rust-src` brings it), and \
         Debian's cannot be had",
    )
}

/// Debian's rust-src of the nightly's version, unpacked.
fn debian(folder: &Path) -> Result<PathBuf> {
    let release = crate::nightly::rustc_says("release:")?;
    let version = release.split('-').next().and_then(|v| v.rsplit_once('.')).context("an odd version")?.0.to_owned();
    let unpacked = folder.join("src");
    let found = || {
        let entries = fs::read_dir(unpacked.join("usr/src")).into_iter().flatten().flatten();
        let mut paths = entries.map(|e| e.path().join("library"));
        paths.find(|p| p.to_string_lossy().contains(&format!("rustc-{version}.")) && p.join("Cargo.lock").exists())
    };
    if let Some(library) = found() {
        return Ok(library);
    }
    let sid = Sid::lists(folder)?;
    let wanted = sid.version("rust-src", &format!("{version}."))?;
    sid.unpack(&[&format!("rust-src={wanted}")], &unpacked)?;
    found().context("the package holds no library")
}
