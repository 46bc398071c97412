//! The checks of `cargo xtask test` and `cargo xtask ci`.

use crate::step::{self, Tally, cargo};
use crate::{
    chaos, cross, fuzz, house, instructions, interop, kill_steps, layers, lint_workflows, litmus, model, orderings,
    python, readme, release, tsan,
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

const BARE: &str = "x86_64-unknown-none";

/// What a contributor runs before every commit: minutes on two cores, from nothing.
///
/// All features at once, so that nothing is compiled a second time; `rest` looks at the defaults.
pub(crate) fn before_commit(tally: &mut Tally) -> Result<()> {
    let before = objects();
    format(tally)?;
    clippy(tally, "clippy", &["--workspace", "--features", FEATURES])?;
    step::check(tally, "layers", layers::check)?;
    step::check(tally, "house rules", house::check)?;
    // Examples are parts of the tests, or are built further down: as programs of their own each would be linked, too.
    let mut tests = cargo(&["test", "--workspace", "--features", FEATURES, "--tests"]);
    // Most wait for other processes.
    if std::env::var_os("RUST_TEST_THREADS").is_none() && thread::available_parallelism().is_ok_and(|n| n.get() < 4) {
        tests.env("RUST_TEST_THREADS", "4");
    }
    step::counted(tally, "tests", &mut tests, |l| l.starts_with("test result:"))?;
    let mut docs = cargo(&["test", "--workspace", "--features", FEATURES, "--doc"]);
    step::counted(tally, "tests of the documentation", &mut docs, |l| l.starts_with("test result:"))?;
    crate::capi::core(tally)?;
    readme::run(tally, FEATURES)?;
    nothing_left(tally, &before)
}

/// Every other check of this machine, in order, ending at the first that fails.
pub(crate) fn rest(tally: &mut Tally, in_ci: bool) -> Result<()> {
    let before = objects();
    clippy(tally, "clippy with default features", &["-p", "shmx"])?;
    no_std(tally)?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--features", FEATURES]);
    step::command(tally, "documentation", doc.env("RUSTDOCFLAGS", "-Dwarnings"))?;
    lint_workflows::run(tally, in_ci)?;
    let target = target_dir()?;
    loom(tally)?;
    step::tidy(&target.join("loom"));
    orderings::replay(tally, &target, true, "")?;
    step::tidy(&target.join("orderings"));
    litmus::run(tally, &target)?;
    step::tidy(&target.join("litmus"));
    model::run(tally, &target, true, None)?;
    tsan::run(tally, true)?;
    step::tidy(&target.join("tsan"));
    fuzz::replay(tally)?;
    fuzz::bounded(tally)?;
    step::tidy(&target.join("fuzz"));
    ipc(tally, false, None, in_ci)?;
    chaos::run(tally, 25.0, None)?;
    kill_steps::run(tally, true, None)?;
    video(tally, in_ci)?;
    crate::record::test(tally, in_ci)?;
    crate::capi::test(tally, false, in_ci)?;
    python::test(tally, true, in_ci)?;
    crate::live::test(tally, true, in_ci)?;
    step::tidy(Path::new("live/target"));
    crate::bridge::test(tally, true, in_ci)?;
    step::tidy(Path::new("bridges/zenoh/target"));
    instructions::check(tally, &target, false, in_ci)?;
    release::package(tally, false)?;
    nothing_left(tally, &before)
}

/// Of `shmx`: `tokio` brings `async`.
const FEATURES: &str = "shmx/tokio";

fn format(tally: &mut Tally) -> Result<()> {
    step::command(tally, "format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let mut bench = cargo(&["fmt", "--manifest-path", "bench/Cargo.toml", "--all", "--check"]);
    step::command(tally, "format of the benchmarks", &mut bench)
}

fn clippy(tally: &mut Tally, name: &str, what: &[&str]) -> Result<()> {
    let mut c = cargo(&["clippy"]);
    step::command(tally, name, c.args(what).args(["--all-targets", "--", "-D", "warnings"]))
}

fn nothing_left(tally: &mut Tally, before: &BTreeSet<String>) -> Result<()> {
    step::check(tally, "nothing left in shared memory", || {
        let left: Vec<String> =
            objects().difference(before).filter(|name| !belongs_to_another(name)).cloned().collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

fn no_std(tally: &mut Tally) -> Result<()> {
    let core = ["shmx-abi", "shmx-ring"];
    step::check(tally, "no_std attributes", || {
        for name in core {
            let source = std::fs::read_to_string(format!("crates/{name}/src/lib.rs"))?;
            ensure!(source.lines().any(|l| l == "#![no_std]"), "{name} is not #![no_std]");
        }
        Ok(())
    })?;
    let mut args = vec!["build", "-p", core[0], "-p", core[1], "--no-default-features"];
    let bare = has_std_of(BARE);
    if bare {
        args.extend(["--target", BARE]);
    }
    let name = if bare { format!("no_std build for {BARE}") } else { "no_std build for the host".to_owned() };
    step::command(tally, &name, &mut cargo(&args))
}

/// Whether the toolchain can build for `target`.
fn has_std_of(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = std::process::Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    out.is_ok_and(|o| o.status.success() && Path::new(String::from_utf8_lossy(&o.stdout).trim()).exists())
}

fn loom(tally: &mut Tally) -> Result<()> {
    if !Path::new("crates/shmx-ring/tests/loom.rs").exists() {
        return step::skip(tally, "loom models", "there are none", false);
    }
    let target = target_dir()?.join("loom");
    let mut c = cargo(&["test", "--release", "-p", "shmx-ring", "--test", "loom", "--target-dir"]);
    c.arg(target).env("RUSTFLAGS", "--cfg loom");
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        c.env("LOOM_MAX_PREEMPTIONS", "3");
    }
    step::counted(tally, "loom models", &mut c, |l| l.starts_with("test result:"))
}

pub(crate) fn ipc(tally: &mut Tally, quick: bool, only: Option<&str>, in_ci: bool) -> Result<()> {
    if !cfg!(any(target_os = "linux", windows)) {
        // Without liveness locks most of it says nothing.
        return step::skip(tally, "test-ipc", "this system has no liveness locks", false);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let target = target_dir()?;
    let mut peer = std::process::Command::new(target.join("release/shmx-ipc-peer"));
    peer.arg("run");
    if quick {
        peer.arg("--quick");
    }
    if let Some(text) = only {
        peer.args(["--only", text]);
    }
    let (compiler, flags): (_, &[&str]) = if cfg!(windows) { ("gcc", &[]) } else { ("cc", &["-pthread"]) };
    match cross::build_foreign(&target.join(format!("foreign{}", std::env::consts::EXE_SUFFIX)), compiler, flags) {
        Ok(foreign) => {
            peer.arg("--foreign").arg(foreign);
        }
        Err(e) => step::skip(tally, "peer in C", &format!("{e:#}"), in_ci)?,
    }
    if cfg!(windows) {
        step::skip(tally, "reference environment", "those pairings are written for Linux", false)?;
    } else {
        match interop::python(&target) {
            Ok(python) => {
                peer.arg("--python").arg(python);
            }
            Err(e) => step::skip(tally, "reference environment", &format!("{e:#}"), in_ci)?,
        }
    }
    step::counted(tally, "test-ipc", &mut peer, is_totals)
}

/// The last line of the peer.
pub(crate) fn is_totals(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit()) && line.ends_with(" skipped")
}

pub(crate) fn video(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "video", "it is written for Linux", false);
    }
    let target = target_dir()?;
    let raw = match crate::video::decode(&target) {
        Ok(raw) => raw,
        Err(e) => return step::skip(tally, "video", &format!("{e:#}"), in_ci),
    };
    step::command(tally, "build the command", &mut cargo(&["build", "--release", "-p", "shmx-cli"]))?;
    step::check(tally, "video", || {
        println!("   {}", crate::video::round_trip(&target, &raw)?);
        Ok(())
    })
}

pub(crate) fn metadata() -> Result<Value> {
    let out = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    ensure!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    Ok(serde_json::from_slice(&out.stdout)?)
}

pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(metadata()?["target_directory"].as_str().context("no target directory")?.into())
}

/// Shared-memory objects that may be ours.
fn objects() -> BTreeSet<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| n.starts_with("shmx-") || n.starts_with("shmxt-")).collect()
}

/// Whether the process that an object is named after lives and is not this one: it may be at work beside this run.
fn belongs_to_another(name: &str) -> bool {
    named_after(name).is_some_and(|pid| pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists())
}

/// The process id in a name: its first part that is a number. What follows counts the names of that process.
fn named_after(name: &str) -> Option<u32> {
    name.split('-').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod names {
    use super::{belongs_to_another, named_after};

    #[test]
    fn names_tell_their_process() {
        assert_eq!(named_after("shmx-cli-t-ls-4711-3"), Some(4711));
        assert_eq!(named_after("shmxt-4711-0"), Some(4711));
        assert_eq!(named_after("shmx-demo-4711-00000012"), Some(4711));
        assert_eq!(named_after("shmx-left"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_living_others_may_keep_their_objects() {
        assert!(belongs_to_another("shmx-ipc-1-0"));
        assert!(!belongs_to_another(&format!("shmx-ipc-{}-1", std::process::id())));
        // Above any process id.
        assert!(!belongs_to_another("shmx-ipc-4294967295-1"));
        assert!(!belongs_to_another("shmx-left"));
    }
}
