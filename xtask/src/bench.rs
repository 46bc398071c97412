//! Benchmarks: `cargo xtask bench`. They live in a workspace of their own, `bench/`, with the peers' dependencies.

use crate::step::{self, Tally, cargo};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Builds the comparison and runs it; the arguments are its own.
pub(crate) fn compare(tally: &mut Tally, target: &Path, args: &[&str]) -> Result<()> {
    let target = target.join("bench");
    let mut build = cargo(&["build", "--release", "--manifest-path", "bench/Cargo.toml", "-p", "shmx-bench"]);
    build.arg("--target-dir").arg(&target);
    if let Ok(features) = std::env::var("SHMX_BENCH_FEATURES") {
        build.args(["--no-default-features", "--features", &features]);
    }
    step::command(tally, "build the comparison", &mut build)?;
    step::command(tally, "comparison", Command::new(target.join("release/shmx-bench")).arg("run").args(args))
}
