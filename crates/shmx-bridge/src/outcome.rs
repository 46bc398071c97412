//! What becomes of frames that come, and of their mirror.

use crate::body::BodyError;
use crate::check::Unsound;
use serde::Serialize;
use shmx::error::{CreateError, StaticError};
use shmx_record::PutError;
use thiserror::Error;

/// Streams of a mirror, besides its mark: each frame is compared with all of them.
pub(crate) const STREAMS_MAX: usize = 4096;

/// A mirror could not be made, or cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// What is offered is a mirror itself.
    #[error("it is a mirror of `{region}` on {host} itself, and mirrors are not sent on")]
    Mirror {
        /// Of this host.
        host: String,
        /// Of this region.
        region: String,
    },
    /// It would be too large.
    #[error("the mirror would take {bytes} bytes and {most} are allowed; raise `mirror_bytes`, or do not import it")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most there may be.
        most: u64,
    },
    /// Its measures or its directory make no region, or its name is taken.
    #[error("cannot make the region `{name}`: {}", why(source))]
    Create {
        /// The name.
        name: String,
        /// Why.
        source: Box<CreateError>,
    },
    /// The directory cannot be added to.
    #[error("cannot add to the directory: {0}")]
    Directory(#[from] StaticError),
    /// A part of the directory never came.
    #[error("the directory has {have} bytes and byte {at} came next")]
    Gap {
        /// What there is.
        have: usize,
        /// What came.
        at: usize,
    },
    /// It lists too many streams.
    #[error("its directory lists {streams} streams, and a mirror has at most {STREAMS_MAX}")]
    Streams {
        /// As many.
        streams: usize,
    },
    /// Its measures are others than before.
    #[error("its bridge tells other measures of the same session than before")]
    Geometry,
    /// The server failed.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// What the library advises is for programs; a mirror has a name by its rule.
fn why(e: &CreateError) -> String {
    let what = match e {
        CreateError::HeldByLiveServer { pid: Some(pid), .. } => format!("a live server has that name, process {pid}"),
        CreateError::HeldByLiveServer { .. } => "a live server has that name".to_owned(),
        CreateError::ReferenceMade { .. } => "another SHMX implementation made one of that name".to_owned(),
        CreateError::NotARegion { .. } | CreateError::NotAnObject { .. } => "something else has that name".to_owned(),
        other => return format!("{other:?}"),
    };
    format!("{what}; see what it is and remove it, or give the mirror another `name` under `import`")
}

/// A frame was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RejectedFrame {
    /// The data is not what was sent.
    #[error("the checksum is wrong")]
    Checksum,
    /// It is of another session.
    #[error("it is of session {0:016x}")]
    Session(u64),
    /// It does not fit the directory.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// It cannot be unpacked.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It contradicts its region.
    #[error("it does not fit into a frame of its region")]
    Misfit,
}

/// Counts of a mirror, over all links to its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MirrorCounts {
    /// Frames published in the mirror.
    pub published: u64,
    /// Frames of the origin that did not come, by their ids: left out by the sender for newer ones, or lost.
    pub missed: u64,
    /// Messages that did not come, or not whole, by their numbers; frames among them are in `missed`.
    pub lost: u64,
    /// Frames that came and were not published because something was wrong with them.
    pub rejected: u64,
    /// Frames that came and were not published because readers held every slot.
    pub blocked: u64,
    /// Bytes of the data of frames, as they came.
    pub bytes: u64,
}

/// What became of a frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is published, under this id.
    Published(u64),
    /// It is not newer than one that was published.
    Old,
    /// Readers hold every slot.
    Blocked,
}
