//! `cargo xtask chaos`: producers and readers that are killed and stopped at random.

use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::Result;
use std::process::Command;

pub(crate) fn run(tally: &mut Tally, seconds: f64, seed: Option<u64>) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "chaos", "its signals are those of Linux", false);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let mut peer = Command::new(target_dir()?.join("release/shmx-ipc-peer"));
    // Its last line has the totals; the seed in it makes the same dice fall again.
    peer.args(["chaos", "--seconds", &seconds.to_string()]);
    if let Some(seed) = seed {
        peer.args(["--seed", &seed.to_string()]);
    }
    step::command(tally, "chaos", &mut peer)
}
