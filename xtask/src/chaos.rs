//! `cargo xtask chaos`: producers and readers that are killed and stopped at random.

use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Result, bail};
use std::process::Command;

pub(crate) fn run(tally: &mut Tally, args: &[&str]) -> Result<()> {
    let numbers = args.chunks(2).all(|a| matches!(a, ["--seconds" | "--seed", n] if n.parse::<f64>().is_ok()));
    if !numbers {
        bail!("unknown arguments {args:?}; see cargo xtask help");
    }
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "chaos", "its signals are those of Linux", false);
    }
    step::command(tally, "build the peer", &mut cargo(&["build", "--release", "-p", "shmx-ipc-tests"]))?;
    let mut peer = Command::new(target_dir()?.join("release/shmx-ipc-peer"));
    // Its last line has the totals; the seed in it makes the same dice fall again.
    step::command(tally, "chaos", peer.arg("chaos").args(args))
}
