//! Mutation testing of the two crates that everything rests on: each function is broken in turn, and a test must notice.

use crate::step::{self, Tally};
use crate::supply::tool;
use crate::tests::target_dir;
use anyhow::Result;
use std::process::Command;

const VERSION: &str = "27.1.0";
/// Cases of each property test: what a mutant breaks shows in few.
const CASES: &str = "64";
/// Packages, and their tests that take seconds. Loom and herd7 look after the orderings; see `orderings` and `litmus`.
const PACKAGES: [(&str, &[&str]); 2] =
    [("shmx-abi", &["--lib", "--tests"]), ("shmx-ring", &["--lib", "--test", "oracle"])];

/// `cargo xtask mutants`; `shard` is `k/n`.
pub(crate) fn run(tally: &mut Tally, package: Option<&str>, shard: Option<&str>, in_ci: bool) -> Result<()> {
    let mutants = match tool("cargo-mutants", VERSION) {
        Ok(tool) => tool,
        Err(e) => return step::skip(tally, "mutants", &format!("{e:#}"), in_ci),
    };
    let target = target_dir()?.join("mutants");
    std::fs::create_dir_all(&target)?;
    for (name, tests) in PACKAGES.iter().filter(|(name, _)| package.is_none_or(|p| p == *name)) {
        let mut c = Command::new(&mutants);
        c.args(["mutants", "--package", *name, "--baseline", "skip", "--timeout", "60", "--no-shuffle", "--output"]);
        c.arg(target.join(name)).env("PROPTEST_CASES", CASES).env("TMPDIR", &target);
        if let Some(shard) = shard {
            c.args(["--shard", shard]);
        }
        // Survivors are its exit code 2; which they are, it prints.
        step::command(tally, &format!("mutants of {name}"), c.arg("--").args(*tests))?;
    }
    Ok(())
}
