//! `cargo xtask kill-steps`: processes that are killed behind every instruction that others can notice.

use crate::step::{self, Tally, cargo};
use crate::tests::{is_totals, target_dir};
use anyhow::Result;
use std::process::Command;

pub(crate) fn run(tally: &mut Tally, quick: bool, only: Option<&str>) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return step::skip(tally, "kill-steps", "it is written for Linux on x86-64", false);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let mut peer = Command::new(target_dir()?.join("release/shmx-ipc-peer"));
    peer.arg("steps");
    if quick {
        peer.arg("--quick");
    }
    if let Some(only) = only {
        peer.args(["--only", only]);
    }
    step::counted(tally, "kill-steps", &mut peer, is_totals)
}
