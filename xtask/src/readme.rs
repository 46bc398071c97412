//! The README's programs in Rust, run. A test of `shmx` says that they are the examples, letter by letter.

use crate::step::{self, Tally, cargo};
use crate::tests::target_dir;
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

/// What the producer publishes.
const FRAMES: u64 = 1000;
const POSITIONS: &str = "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]";

/// With the features that the tests were built with, so that nothing is compiled again.
pub(crate) fn run(tally: &mut Tally, features: &str) -> Result<()> {
    let mut build =
        cargo(&["build", "--workspace", "--features", features, "--example", "producer", "--example", "reader"]);
    step::command(tally, "build the programs of the README", &mut build)?;
    let folder = target_dir()?.join("debug/examples");
    step::check(tally, "programs of the README", || {
        let program = |name: &str| Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
        let mut producer = program("producer").spawn().context("start the producer")?;
        let reader = program("reader").stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        let status = producer.wait()?;
        ensure!(status.success(), "the producer ended with {status}");
        let said = String::from_utf8_lossy(&reader.stdout);
        let ids: Option<Vec<u64>> = said.lines().map(frame_id).collect();
        let ids = ids.with_context(|| format!("the reader printed something else: {said}"))?;
        ensure!(ids.is_sorted_by(|a, b| a < b), "the frames go back: {ids:?}");
        ensure!(ids.last() == Some(&FRAMES), "the last frame is {:?}", ids.last());
        // It ends with the producer.
        let end = String::from_utf8_lossy(&reader.stderr);
        ensure!(reader.status.success() && end.is_empty(), "{}, {end}", reader.status);
        Ok(())
    })
}

fn frame_id(line: &str) -> Option<u64> {
    let (id, rest) = line.strip_prefix("frame ")?.split_once(" at ")?;
    rest.ends_with(&format!(": {POSITIONS}")).then(|| id.parse().ok())?
}
