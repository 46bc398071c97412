//! What record, play, info and view share.

use crate::common::say;
use crate::escape::safe;
use crate::exit;
use crate::units;
use clap::Args;
use shmx_record::{Problem, Recording};
use std::path::{Path, PathBuf};

/// Files of a recording.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Files made by `shmx record`; those of one rotating recording in order.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn open(&self) -> anyhow::Result<Recording> {
        open(&self.files)
    }
}

/// Opens the files of a recording, and logs what they hold.
pub(crate) fn open<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Recording> {
    let recording = Recording::open(files)?;
    tracing::info!(
        files = files.len(),
        bytes = recording.bytes(),
        regions = %safe(&recording.regions().join(", ")),
        segments = recording.segments().len(),
        problems = recording.problems().len(),
        "recording opened"
    );
    Ok(recording)
}

/// Tells what could not be read; the error makes the exit code 1.
pub(crate) fn judge(problems: &[Problem]) -> anyhow::Result<()> {
    tell(problems).map_or(Ok(()), |places| {
        Err(anyhow::anyhow!("{places} of the recording could not be read; the readable part is shown above"))
    })
}

/// The same of what was copied or exported; the error makes the exit code 3.
pub(crate) fn judge_copy(problems: &[Problem]) -> anyhow::Result<()> {
    tell(problems)
        .map_or(Ok(()), |places| Err(exit::incomplete(format!("{places} could not be read; all else is copied"))))
}

/// Names each, and says how many there are.
fn tell(problems: &[Problem]) -> Option<String> {
    for p in problems {
        say(format_args!("shmx: {p}"));
    }
    (!problems.is_empty()).then(|| units::count(problems.len() as u64, "place"))
}
