//! `shmx bridge`: its tests, on a network in memory, on zenoh, and between hosts of their own.

use crate::interop;
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::Result;

const MANIFEST: &str = "bridges/zenoh/Cargo.toml";
/// What the scenarios between hosts call.
const TOOLS: [&str; 4] = ["/usr/sbin/ip", "/usr/sbin/tc", "/usr/sbin/nft", "/usr/bin/openssl"];

/// `cargo xtask test-bridge`. The quick form leaves out what `cargo xtask test` has, and the lints, which would look at
/// all of zenoh once more.
pub(crate) fn test(tally: &mut Tally, quick: bool, in_ci: bool) -> Result<()> {
    if !quick {
        let mut library = cargo(&["test", "-p", "shmx-bridge"]);
        step::counted(tally, "tests of the bridge without a network", &mut library, |l| l.starts_with("test result:"))?;
    }
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "the bridge on zenoh", "its tests are written for Linux", false);
    }
    step::command(tally, "format of the bridge", &mut cargo(&["fmt", "--manifest-path", MANIFEST, "--check"]))?;
    if !quick {
        let clippy = ["clippy", "--manifest-path", MANIFEST, "--locked", "--all-targets", "--", "-D", "warnings"];
        step::command(tally, "clippy of the bridge", &mut cargo(&clippy))?;
    }
    // A machine without these rights and tools has the rest of the scenarios; the workflow's own job must have all.
    let must = in_ci && !quick;
    if let Err(e) = interop::debian(&TOOLS, &["iproute2", "nftables", "openssl"]) {
        step::skip(tally, "tools for networks", &format!("{e:#}"), must)?;
    }
    let mut units = cargo(&["test", "--manifest-path", MANIFEST, "--locked", "--bins"]);
    step::counted(tally, "units of the bridge on zenoh", &mut units, |l| l.starts_with("test result:"))?;
    let mut hosts = cargo(&["test", "--manifest-path", MANIFEST, "--locked", "--test", "hosts"]);
    let before = tally.skipped;
    step::counted(tally, "bridges between hosts", &mut hosts, tests::is_totals)?;
    let left_out = tally.skipped - before;
    if must && left_out > 0 {
        return step::skip(tally, "bridges between hosts", &format!("{left_out} scenarios were left out"), must);
    }
    Ok(())
}

/// `cargo xtask bench-bridge`: the figures of docs/bridge.md; passes and fails nothing.
pub(crate) fn bench(tally: &mut Tally) -> Result<()> {
    let mut hosts = cargo(&["test", "--release", "--manifest-path", MANIFEST, "--locked", "--test", "hosts"]);
    step::command(tally, "figures of the bridge", hosts.args(["--", "--figures"]))
}
