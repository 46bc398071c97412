//! The lifecycle of regions and readers in models for Spin, with crashes as transitions.
//!
//! Each model must hold as it stands, liveness included, and fail with any one of its seeded faults. The trail of a
//! fault can be replayed.

use crate::interop;
use crate::step::{self, Tally};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORY: &str = "crates/shmx/spin";

struct Model {
    name: &'static str,
    /// Bounds of the state space.
    bounds: &'static [&'static str],
    faults: &'static [&'static str],
}

const MODELS: &[Model] = &[
    Model {
        name: "doorbell",
        bounds: &["FRAMES=1", "KILLS=1"],
        faults: &[
            "A_FLAG_INSTEAD_OF_A_COUNTER",
            "RING_BEFORE_PUBLISHING",
            "LEAVE_WITHOUT_RINGING",
            "NO_SECOND_LOOK",
            "NEVER_LOOK_WHETHER_THE_SERVER_LIVES",
        ],
    },
    Model {
        name: "server-bell",
        bounds: &["KILLS=1"],
        faults: &["SLEEP_WITHOUT_BOUND", "NO_SECOND_LOOK", "CLEAR_THE_FLAG_ONLY"],
    },
    Model {
        name: "names",
        bounds: &["KILLS=1"],
        faults: &["TELL_AFTER_LOCK", "UNLINK_WITHOUT_LOCK", "LINK_BEFORE_LOCK", "NO_LOOK_AT_THE_NAME"],
    },
    Model {
        name: "readers",
        bounds: &["KILLS=1"],
        faults: &[
            "LEAVE_LEASES",
            "TAG_FIRST",
            "NO_SECOND_LOOK_AT_THE_STAMP",
            "NO_LOOK_AT_LEASES",
            "REAP_WITHOUT_LOCK",
            "COUNT_IS_NOT_MENDED",
        ],
    },
];

/// `cargo xtask model [--quick] [--only MODEL]`. Quick: the first fault of each.
pub(crate) fn run(tally: &mut Tally, target: &Path, quick: bool, only: Option<&str>) -> Result<()> {
    if Command::new("spin").arg("-V").output().is_err()
        && let Err(e) = interop::debian(&["/usr/bin/spin"], &["spin"])
    {
        return step::skip(tally, "models", &format!("no spin: {e:#}"), false);
    }
    for model in MODELS.iter().filter(|m| only.is_none_or(|only| m.name == only)) {
        step::check(tally, &format!("model {} holds", model.name), || {
            let verdict = check(&scratch(target, model, None)?, model, None)?;
            ensure!(verdict.errors == 0, "it does not hold; `cargo xtask model --replay {}`", model.name);
            println!("   {} states, {} s", verdict.states, verdict.seconds);
            Ok(())
        })?;
        for fault in &model.faults[..if quick { 1 } else { model.faults.len() }] {
            step::check(tally, &format!("model {} notices {fault}", model.name), || {
                let verdict = check(&scratch(target, model, Some(fault))?, model, Some(fault))?;
                ensure!(verdict.errors > 0, "it makes no difference");
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// `cargo xtask model --replay MODEL[:FAULT]`: the steps that lead to what is wrong.
pub(crate) fn replay(target: &Path, what: &str) -> Result<()> {
    let (name, fault) = what.split_once(':').map_or((what, None), |(name, fault)| (name, Some(fault)));
    let model = MODELS.iter().find(|m| m.name == name).with_context(|| format!("no model {name}"))?;
    if let Some(fault) = fault {
        ensure!(model.faults.contains(&fault), "faults of {name}: {}", model.faults.join(", "));
    }
    let folder = scratch(target, model, fault)?;
    if check(&folder, model, fault)?.errors == 0 {
        bail!("it holds; there is nothing to replay");
    }
    let mut spin = spin(&folder, model, fault);
    let status = spin.args(["-t", "-p", "-g", "model.pml"]).status()?;
    ensure!(status.success(), "spin: {status}");
    Ok(())
}

struct Verdict {
    errors: u64,
    states: String,
    seconds: String,
}

fn scratch(target: &Path, model: &Model, fault: Option<&str>) -> Result<PathBuf> {
    let folder = target.join("spin").join(format!("{}-{}", model.name, fault.unwrap_or("right")));
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(Path::new(DIRECTORY).join(format!("{}.pml", model.name)), folder.join("model.pml"))?;
    Ok(folder)
}

fn spin(folder: &Path, model: &Model, fault: Option<&str>) -> Command {
    let mut spin = Command::new("spin");
    spin.current_dir(folder).args(model.bounds.iter().map(|bound| format!("-D{bound}")));
    spin.args(fault.map(|fault| format!("-DFAULT_{fault}")));
    spin
}

/// Goes through all states, twice: whatever ends ends well, no assertion fails, nobody waits for ever; and no run goes
/// in a circle. Together: what must come comes, whoever is how slow.
fn check(folder: &Path, model: &Model, fault: Option<&str>) -> Result<Verdict> {
    let made = spin(folder, model, fault).args(["-a", "model.pml"]).output().context("start spin")?;
    ensure!(made.status.success(), "spin: {}", String::from_utf8_lossy(&made.stdout));
    let ends = search(folder, &["-DSAFETY"], &[])?;
    if ends.errors > 0 {
        return Ok(ends);
    }
    let circles = search(folder, &["-DNP"], &["-l"])?;
    Ok(Verdict { errors: circles.errors, seconds: circles.seconds, ..ends })
}

fn search(folder: &Path, built_with: &[&str], options: &[&str]) -> Result<Verdict> {
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-w", "-DCOLLAPSE", "-DMEMLIM=3000", "-o", "pan", "pan.c"]).args(built_with);
    let built = cc.current_dir(folder).output().context("start cc")?;
    ensure!(built.status.success(), "cc: {}", String::from_utf8_lossy(&built.stderr));
    let out = Command::new(folder.join("pan")).args(options).args(["-n", "-m1000000"]).current_dir(folder).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    let before = |text: &str| {
        let line = said.lines().find(|l| l.contains(text))?;
        line.split(text).next()?.split_whitespace().last().map(str::to_owned)
    };
    let after = |text: &str| Some(said.split(text).nth(1)?.split_whitespace().next()?.to_owned());
    let errors =
        after("errors:").and_then(|n| n.parse().ok()).with_context(|| format!("pan gave no verdict: {said}"))?;
    let whole = !said.contains("Search not completed") && !said.contains("max search depth too small");
    ensure!(errors > 0 || whole, "pan did not go through all states: {said}");
    Ok(Verdict {
        errors,
        states: before(" states, stored").unwrap_or_default(),
        seconds: after("elapsed time").unwrap_or_default(),
    })
}
