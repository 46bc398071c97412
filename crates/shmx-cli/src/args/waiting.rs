//! Options of commands that wait for a region and its frames.

use super::parse::time;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct WaitServer {
    /// Wait up to this long for the region to appear.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
}

/// How many frames are taken, and how long each may take.
#[derive(Debug, Args)]
pub(crate) struct Taking {
    /// End after this many frames. Without it, go on until interrupted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest wait for a frame.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) server: WaitServer,
    /// Take a reader slot.
    #[arg(long)]
    pub(crate) attach: bool,
}
