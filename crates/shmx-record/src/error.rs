//! What can go wrong, with the remedy.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A pattern of names that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{pattern}` is not a pattern of names: {why}; write a regular expression, as in re:robot-[0-9]+")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// Recording failed. What had been written to finished chunks is kept and readable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file could not be created.
    #[error("cannot create {path}: {source}; choose another place, or remove what is there", path = path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is a file already.
    #[error("{path} exists; choose another name, or replace it (`--overwrite`; programs: `WriterOptions::overwrite`)", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What has the name cannot hold a recording.
    #[error("{path} is not a regular file, and a recording needs one; choose another name", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is one of those that are read.
    #[error("{path} is one of the files that are read; write to another one", path = path.display())]
    Input {
        /// The file.
        path: PathBuf,
    },
    /// Two recordings have a region at the same time, and in a recording it lives once at a time.
    #[error(
        "{one} and {other} have the region `{region}` at the same time; cut one of them first (`shmx rec --to`), or \
         choose other regions (`--region`)",
        one = one.display(), other = other.display()
    )]
    Overlap {
        /// The region.
        region: String,
        /// A file of the recording in which it lives first.
        one: PathBuf,
        /// A file of the other one.
        other: PathBuf,
    },
    /// Another recorder is writing the file.
    #[error("{path} is being written by another recorder; choose another name, or end that one", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Somebody has changed the file under the recorder.
    #[error("{path} {what} while it was written; nothing more is recorded", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What became of it.
        what: &'static str,
    },
    /// A write failed, for instance because the disk is full.
    #[error(
        "cannot write to {path}: {source}; the first {kept} bytes are kept and readable, up to the last finished chunk",
        path = path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Bytes of the file that are kept.
        kept: u64,
        /// The system's error.
        source: io::Error,
    },
    /// A message could not be put into the file.
    #[error("cannot write to {path}: {source}; the first {kept} bytes are kept and readable", path = path.display())]
    Mcap {
        /// The file.
        path: PathBuf,
        /// Bytes of the file that are kept.
        kept: u64,
        /// The writer's error.
        source: Box<mcap::McapError>,
    },
    /// The file system has less room than it was to keep.
    #[error(
        "{path}: only {left} bytes are free and {wanted} were to be; make room, or give less to `min_free` \
         (--min-free); what was recorded is complete",
        path = path.display()
    )]
    Room {
        /// The file.
        path: PathBuf,
        /// Bytes that are free.
        left: u64,
        /// Bytes that were to be.
        wanted: u64,
    },
    /// An old file of a rotating recording could not be removed.
    #[error("cannot remove {path} to stay within the total size: {source}", path = path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The compression is not built in.
    #[error("this program was built without {name}; build it with the feature `{name}`, or choose another compression")]
    Compression {
        /// The compression.
        name: &'static str,
    },
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// A region's name is impossible.
    #[error(transparent)]
    Name(#[from] shmx_os::NameError),
    /// A thread of the recorder died.
    #[error("a thread of the recorder died; what it had written is kept")]
    Thread,
}

/// A recording could not be opened at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenRecordingError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not MCAP.
    #[error("{path} is not an MCAP file; give a file made by `shmx record`", path = path.display())]
    NotMcap {
        /// The file.
        path: PathBuf,
    },
    /// An MCAP file without any recorded region.
    #[error(
        "{path} is an MCAP file without SHMX regions{what}; give a file made by `shmx record`",
        path = path.display(),
        what = if profile.is_empty() { String::new() } else { format!(" (its profile is `{profile}`)") }
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The profile its header names.
        profile: String,
    },
    /// No files were given.
    #[error("no file to read; give at least one")]
    NoFiles,
    /// A later version of the format.
    #[error("{path} has version {found} of the recording format and this program knows {known}; get a newer one",
        path = path.display(), known = crate::format::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
}

/// Replaying failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlayError {
    /// The recording could not be read.
    #[error(transparent)]
    Open(#[from] OpenRecordingError),
    /// A region could not be created.
    #[error("cannot rebuild region `{name}`: {source}")]
    Create {
        /// Its name.
        name: String,
        /// Why.
        source: Box<shmx::error::CreateError>,
    },
    /// The directory could not be added to.
    #[error("cannot add to the directory of `{name}`: {source}")]
    Directory {
        /// The region.
        name: String,
        /// Why.
        source: shmx::error::StaticError,
    },
    /// A frame could not be published.
    #[error("cannot publish frame {frame_id} of `{name}`: {source}")]
    Frame {
        /// The region.
        name: String,
        /// The recorded frame's id.
        frame_id: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No region of the recording was chosen.
    #[error("the recording has no region `{wanted}`; it has: {has}")]
    NoSuchRegion {
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// A region was given another name, and is not one of those that were chosen.
    #[error("`{region}` was given another name, but is not to be replayed; choose it, too")]
    NotChosen {
        /// The region.
        region: String,
    },
    /// Two regions were given one name.
    #[error("two regions would be replayed as `{name}`; give each a name of its own")]
    SameName {
        /// The name.
        name: String,
    },
    /// No stream of the recording was chosen.
    #[error("the recording has no stream `{wanted}`; it has: {has}")]
    NoSuchStream {
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// There is no frame to play.
    #[error("there are no frames between the given times; the recording lasts {seconds:.3} s")]
    Nothing {
        /// Length of the recording.
        seconds: f64,
    },
}
