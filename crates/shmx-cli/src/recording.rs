//! What record, play, info and view share.

use crate::common::say;
use crate::escape::safe;
use crate::exit;
use crate::units;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use shmx_record::{Problem, Recording, Selection};
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

/// The regions of a recording that are given by names and patterns; all if none is given.
pub(crate) fn choose<'a>(recording: &'a Recording, given: &[String]) -> anyhow::Result<Vec<&'a str>> {
    let all = recording.regions();
    Selection::choose(given, all).map_err(|wanted| no_region(recording, wanted))
}

pub(crate) fn no_region(recording: &Recording, wanted: &str) -> anyhow::Error {
    let has = recording.regions().join(", ");
    anyhow!("the recording has no region `{}`; it has: {}", safe(wanted), safe(&has))
}

/// The one region of a recording that is given, or that it has; its place among all of them.
pub(crate) fn one(recording: &Recording, given: &[String]) -> anyhow::Result<usize> {
    let chosen = choose(recording, given)?;
    let [one] = chosen[..] else {
        bail!("this is for one region; choose it by --region: {}", safe(&chosen.join(", ")));
    };
    recording.regions().iter().position(|n| n == one).context("the region is not there")
}

/// In which files something is, for a line that says so.
pub(crate) fn place(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        [one] => format!(" in `{one}`"),
        [first, .., last] => format!(" in {} files, `{first}` to `{last}`", paths.len()),
    }
}

/// That control messages are missing which came when there was no frame.
pub(crate) fn dropped(messages: u64) -> anyhow::Error {
    let messages = units::were(messages, "control message");
    exit::incomplete(format!("{messages} given up: too many came before the first frame"))
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
