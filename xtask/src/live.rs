//! `shmx live`: its page, its tests in a real browser, its pictures and figures.

mod rerun;

use crate::interop::{self, output};
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "live/Cargo.toml";
const WEB: &str = "live/web";
const BROWSER: &str = "live/browser";
const DIST: &str = "live/web/dist";
const FILES: [&str; 4] = ["index.html", "live.js", "live.css", "licenses.txt"];
const CHROMIUM: &str = "/usr/bin/chromium";

pub(crate) use rerun::test as rerun;

/// `cargo xtask live-page`: makes the page, or compares it with what is committed.
pub(crate) fn page(tally: &mut Tally, check: bool, in_ci: bool) -> Result<()> {
    if let Err(e) = packages(WEB) {
        return step::skip(tally, "the page of shmx live", &format!("{e:#}"), in_ci);
    }
    let node = |args: &[&str]| {
        let mut c = Command::new("node");
        c.current_dir(WEB).args(args);
        c
    };
    step::command(tally, "types of the page", &mut node(&["node_modules/typescript/bin/tsc", "-p", "."]))?;
    if !check {
        return step::command(tally, "the page of shmx live", &mut node(&["build.mjs"]));
    }
    let made = std::path::absolute(tests::target_dir()?.join("live-page"))?;
    step::check(tally, "the page is made of its sources", || {
        output(node(&["build.mjs"]).arg(&made))?;
        for file in FILES {
            let same = std::fs::read(made.join(file))? == std::fs::read(Path::new(DIST).join(file))?;
            ensure!(same, "{DIST}/{file} is not what its sources make; run cargo xtask live-page");
        }
        Ok(())
    })
}

/// `cargo xtask test-live`: the program's tests, and a real browser and a foreign client against it.
pub(crate) fn test(tally: &mut Tally, quick: bool, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "shmx live", "its tests are written for Linux", false);
    }
    step::command(tally, "format of shmx live", &mut cargo(&["fmt", "--manifest-path", MANIFEST, "--check"]))?;
    let mut units = cargo(&["test", "--manifest-path", MANIFEST, "--bins", "--tests"]);
    step::counted(tally, "tests of shmx live", &mut units, |l| l.starts_with("test result:"))?;
    page(tally, true, in_ci)?;
    if quick {
        return Ok(());
    }
    let clippy = ["clippy", "--manifest-path", MANIFEST, "--all-targets", "--", "-D", "warnings"];
    step::command(tally, "clippy of shmx live", &mut cargo(&clippy))?;
    let programs = match prepare(tally, false) {
        Ok(p) => p,
        Err(e) => return step::skip(tally, "shmx live in a browser", &format!("{e:#}"), in_ci),
    };
    step::counted(tally, "shmx live in a browser", &mut programs.node("test.mjs")?, tests::is_totals)
}

/// `cargo xtask live-screens`: the pictures of docs/live.md.
pub(crate) fn screens(tally: &mut Tally) -> Result<()> {
    let programs = prepare(tally, true)?;
    let mut node = programs.node("screens.mjs")?;
    step::command(tally, "pictures of shmx live", node.arg("--out").arg(std::path::absolute("docs/img")?))
}

/// `cargo xtask live-bench`: the figures of docs/live.md; passes and fails nothing.
pub(crate) fn bench(tally: &mut Tally) -> Result<()> {
    let programs = prepare(tally, true)?;
    step::command(tally, "figures of shmx live", &mut programs.node("bench.mjs")?)
}

/// What the scripts start.
struct Programs {
    live: PathBuf,
    scene: PathBuf,
    publish: PathBuf,
    sim: PathBuf,
}

impl Programs {
    fn node(&self, script: &str) -> Result<Command> {
        let mut c = Command::new("node");
        c.current_dir(BROWSER).arg(script).env("CHROMIUM", CHROMIUM);
        let (live, scene) = (("--live", &self.live), ("--scene", &self.scene));
        for (option, path) in [live, scene, ("--publish", &self.publish), ("--sim", &self.sim)] {
            c.arg(option).arg(std::path::absolute(path)?);
        }
        Ok(c)
    }
}

fn prepare(tally: &mut Tally, release: bool) -> Result<Programs> {
    interop::debian(&[CHROMIUM], &["chromium"])?;
    packages(BROWSER)?;
    let profile: &[&str] = if release { &["--release"] } else { &[] };
    let mut live = cargo(&["build", "--manifest-path", MANIFEST, "--bins", "--examples"]);
    step::command(tally, "build shmx live", live.args(profile))?;
    let mut sim = cargo(&["build", "-p", "shmx-patterns", "--bin", "shmx-sim"]);
    step::command(tally, "build the simulation", sim.args(profile))?;
    let (name, target) = (if release { "release" } else { "debug" }, tests::target_dir()?);
    let live = Path::new("live/target").join(name);
    Ok(Programs {
        scene: live.join("examples/scene"),
        publish: live.join("examples/publish"),
        live: live.join("shmx-live"),
        sim: target.join(name).join("shmx-sim"),
    })
}

/// Packages of exactly the versions that are committed, without scripts of theirs.
fn packages(folder: &str) -> Result<()> {
    let (lock, have) = (format!("{folder}/package-lock.json"), format!("{folder}/node_modules/.shmx-lock"));
    let wanted = std::fs::read(&lock).with_context(|| format!("read {lock}"))?;
    if std::fs::read(&have).is_ok_and(|h| h == wanted) {
        return Ok(());
    }
    step::head(format_args!("packages for {folder}"));
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    output(&mut npm)?;
    std::fs::write(have, wanted)?;
    Ok(())
}
