//! What can go wrong on the producer's side.

use super::{LookupError, debug_is_text};
use shmx_abi::{ElementType, LayoutError};
use thiserror::Error;

debug_is_text!(
    StreamError,
    CreateError,
    RemoveError,
    BeginError,
    AppendError,
    PublishError,
    StaticError,
    ControlValueError
);

/// A stream description that makes no sense.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The id is taken.
    #[error("stream id {id} is used twice; give every stream an id of its own")]
    DuplicateId {
        /// The id.
        id: u32,
    },
    /// An element without components.
    #[error("stream {id} has 0 components; a scalar has 1")]
    NoComponents {
        /// The stream.
        id: u32,
    },
    /// The element size contradicts type and components.
    #[error("stream {id}: {components} components of {element_type} are {expected} bytes, not {found}")]
    ElementSize {
        /// The stream.
        id: u32,
        /// Component type.
        element_type: ElementType,
        /// Components.
        components: u32,
        /// Bytes they take.
        expected: u64,
        /// Bytes given.
        found: u32,
    },
    /// What `extra` says contradicts the type or the size.
    #[error("stream {id}: {problem}")]
    Meaning {
        /// The stream.
        id: u32,
        /// The contradiction.
        problem: String,
    },
    /// The declared elements are more than a frame can hold.
    #[error("stream {id}: {elems} elements of {bytes_per_elem} bytes are more than a frame can hold (4 GiB in all)")]
    TooLarge {
        /// The stream.
        id: u32,
        /// Elements declared.
        elems: u32,
        /// Bytes of one.
        bytes_per_elem: u32,
    },
    /// The description is longer than the format can say.
    #[error("stream {id}: name and extra data are too long; shorten them")]
    TooLong {
        /// The stream.
        id: u32,
    },
}

/// [`crate::ServerBuilder::create`] failed. Nothing was left behind.
#[derive(Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name is not usable.
    #[error("the region name cannot be used; choose another")]
    Name(#[from] shmx_os::NameError),
    /// The parameters do not make a region.
    #[error("these parameters make no region")]
    Layout(#[from] LayoutError),
    /// A stream description makes no sense.
    #[error("bad stream")]
    Stream(#[from] StreamError),
    /// A ready-made directory is damaged, so that no stream can be added to it.
    #[error("the ready-made directory is damaged; create without further streams, or without it")]
    Directory {
        /// What is wrong.
        #[source]
        source: shmx_abi::directory::DirectoryError,
    },
    /// A ready-made directory ends in bytes that would swallow the streams added to it.
    #[error("the ready-made directory ends in stray bytes; cut them off, or create without further streams")]
    StrayBytes,
    /// Another server lives under this name.
    #[error("region `{name}` is held by a live server{}; stop it or use another name", pid_text(*pid))]
    HeldByLiveServer {
        /// The name.
        name: String,
        /// Its process, if it says so and is seen to use the region.
        pid: Option<u32>,
    },
    /// A region without a liveness lock: made by another implementation, perhaps in use.
    #[error(
        "region `{name}` was made by another SHMX implementation that holds no lock, so nobody can tell whether it is \
         in use; stop its server and remove it, or create with `replace(true)`"
    )]
    ReferenceMade {
        /// The name.
        name: String,
    },
    /// Something else has this name.
    #[error("`{name}` exists and is not an SHMX region; use another name, or create with `replace(true)` to remove it")]
    NotARegion {
        /// The name.
        name: String,
    },
    /// The name leads to a directory, a link or the like, which is never replaced.
    #[error("`{name}` is not a shared-memory object but something else of that name; use another name")]
    NotAnObject {
        /// The name.
        name: String,
    },
    /// Other processes hold the object open that has the name, and the system gives the name back when the last of
    /// them lets go (Windows). Readers of this implementation let go by themselves.
    #[error("`{name}` has no server but is still open in other processes; end these, or use another name")]
    InUse {
        /// The name.
        name: String,
    },
    /// Others kept creating the same name.
    #[error("`{name}` kept being created by others while we tried; use another name")]
    Contended {
        /// The name.
        name: String,
    },
    /// The program did not want the region any more when its memory was reserved ([`crate::ServerBuilder::create_if`]).
    #[error("the region was given up before it had its name; create it again if it is wanted")]
    NotWanted,
    /// Shared memory could not be had.
    #[error("cannot create shared memory")]
    Os(#[from] shmx_os::CreateError),
    /// An existing object could not be looked at.
    #[error("cannot look at the existing object")]
    Existing(#[from] shmx_os::OpenError),
    /// A step of the operating system failed.
    #[error("cannot set the region up; check the rights and limits of this process, and try again")]
    Step(#[from] shmx_os::OsError),
}

impl From<RemoveError> for CreateError {
    fn from(e: RemoveError) -> Self {
        match e {
            RemoveError::Name(e) => Self::Name(e),
            RemoveError::HeldByLiveServer { name, pid } => Self::HeldByLiveServer { name, pid },
            RemoveError::ReferenceMade { name } => Self::ReferenceMade { name },
            RemoveError::NotARegion { name } | RemoveError::Unfinished { name } => Self::NotARegion { name },
            RemoveError::NotAnObject { name } => Self::NotAnObject { name },
            RemoveError::InUse { name } => Self::InUse { name },
            RemoveError::Open(e) => Self::Existing(e),
            RemoveError::Step(e) => Self::Step(e),
        }
    }
}

/// [`crate::remove()`] failed. The name is still there; readers of a dead server's region may have been told.
#[derive(Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The name is not usable.
    #[error("the region name cannot be used; choose another")]
    Name(#[from] shmx_os::NameError),
    /// A live server has the name.
    #[error("region `{name}` is held by a live server{}; stop it, and the region goes with it", pid_text(*pid))]
    HeldByLiveServer {
        /// The name.
        name: String,
        /// Its process, if it says so and is seen to use the region.
        pid: Option<u32>,
    },
    /// A region without a liveness lock: made by another implementation, perhaps in use.
    #[error(
        "region `{name}` was made by another SHMX implementation that holds no lock, so nobody can tell whether it is \
         in use; stop its server, then remove it by force"
    )]
    ReferenceMade {
        /// The name.
        name: String,
    },
    /// Something else has this name.
    #[error("`{name}` is not an SHMX region; remove it by force if you know what it is")]
    NotARegion {
        /// The name.
        name: String,
    },
    /// Other processes hold the object open, and the system gives the name back when the last of them lets go (Windows).
    #[error("`{name}` has no server but is still open in other processes; end these, and the name goes with them")]
    InUse {
        /// The name.
        name: String,
    },
    /// Its creator has not completed it, on a platform that shows objects before.
    #[error("`{name}` is not complete yet; try again in a moment")]
    Unfinished {
        /// The name.
        name: String,
    },
    /// The name leads to a directory, a link or the like.
    #[error("`{name}` is not a shared-memory object but something else of that name; remove it by other means")]
    NotAnObject {
        /// The name.
        name: String,
    },
    /// The object cannot be opened.
    #[error(transparent)]
    Open(#[from] shmx_os::OpenError),
    /// A step of the operating system failed.
    #[error("cannot remove the name; remove it as its owner, or with rights to the shared-memory directory")]
    Step(#[from] shmx_os::OsError),
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map(|p| format!(" (process {p})")).unwrap_or_default()
}

/// A reader that holds slots by lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseHolder {
    /// Index of its reader slot.
    pub index: u32,
    /// Its id; 0 where nobody is attached, so that the leases are nobody's.
    pub reader_id: u64,
    /// Its process, if it says so.
    pub pid: Option<u32>,
    /// Frame slots that it leases.
    pub leased: u32,
}

fn holders_text(holders: &[LeaseHolder]) -> String {
    let texts: Vec<String> =
        holders.iter().map(|h| format!("reader {}{}: {}", h.index, pid_text(h.pid), h.leased)).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join(", ")) }
}

/// [`crate::Server::begin_frame`] failed.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginError {
    /// Every slot is leased by a reader or being written by another thread.
    #[error(
        "no free slot: {leased} leased{}, {writing} being written; skip this frame, and if it happens often let the \
         readers drop frames sooner or create the region with more slots",
        holders_text(holders)
    )]
    NoFreeSlot {
        /// Slots held by leases.
        leased: u32,
        /// Slots held by other frames of this server.
        writing: u32,
        /// The readers that hold the leases, by reader slot.
        holders: Vec<LeaseHolder>,
    },
    /// Another server has re-initialised the region in place.
    #[error("another server has taken the region over (session {found:#x} instead of {expected:#x}); create a new one")]
    SessionLost {
        /// Session now in the header.
        found: u64,
        /// Our session.
        expected: u64,
    },
    /// The server was created before a fork and belongs to the parent.
    #[error("this server belongs to the process that forked us; create one of our own")]
    Forked,
    /// The name was taken away, and the server ends then ([`crate::NameLoss`]).
    #[error(
        "the name `{name}` was removed or leads to another object, so that readers cannot find this server; {then}",
        then = "create it again, or call `come_back`"
    )]
    NameLost {
        /// The name.
        name: String,
    },
    /// Readers that want every frame have not taken in time what had to be taken.
    #[error("{}", not_taken_text(*frame_id, laggards))]
    NotTaken {
        /// The frame that was waited for: the oldest that is still needed where a slot is wanted.
        frame_id: u64,
        /// Who has not taken it.
        laggards: Vec<Laggard>,
    },
}

/// A reader that has not taken a frame that it was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Laggard {
    /// Index of its reader slot.
    pub index: u32,
    /// Its id.
    pub reader_id: u64,
    /// Its process, if it says so.
    pub pid: Option<u32>,
    /// The last frame that it has taken.
    pub last_taken: u64,
    /// What is known of its process.
    pub state: ReaderState,
}

/// What is known of a reader's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReaderState {
    /// It runs, or waits for something: it is slow.
    Live,
    /// It is stopped, by a signal or a debugger, and goes on when it is told to.
    Stopped,
    /// Nothing: the reader does not give its process, or the platform does not tell.
    Unknown,
}

fn not_taken_text(frame_id: u64, laggards: &[Laggard]) -> String {
    let (who, them) = match laggards.len() {
        1 => ("1 reader wants every frame and has".to_owned(), "it"),
        n => (format!("{n} readers want every frame and have"), "them"),
    };
    let each = laggards_text(laggards);
    format!("{who} not taken frame {frame_id}{each}; wait longer, give the region more slots, or end {them}")
}

fn laggards_text(laggards: &[Laggard]) -> String {
    let text = |l: &Laggard| {
        let stopped = if l.state == ReaderState::Stopped { ", stopped" } else { "" };
        format!("reader {}{}: frame {}{stopped}", l.index, pid_text(l.pid), l.last_taken)
    };
    let texts: Vec<String> = laggards.iter().map(text).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
}

/// Appending a stream to a frame failed. The frame is as it was before.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The directory has no such stream, or one of another type.
    #[error(transparent)]
    Stream(#[from] LookupError),
    /// The frame was begun before a fork and belongs to the parent.
    #[error("this frame belongs to the process that forked us; create a server of our own")]
    Forked,
    /// The frame has this stream already.
    #[error("stream {id} is in this frame already; a frame carries each stream once")]
    DuplicateStream {
        /// The id.
        id: u32,
    },
    /// The data is not a whole number of elements.
    #[error("stream {id}: {bytes} bytes are not {elem_count} elements of {bytes_per_elem} bytes")]
    Length {
        /// The stream.
        id: u32,
        /// Bytes given.
        bytes: u64,
        /// Elements given.
        elem_count: u32,
        /// Bytes of one element.
        bytes_per_elem: u32,
    },
    /// The frame is full.
    #[error("stream {id} does not fit: {full}; declare more elements for it, or more `frame_bytes`")]
    Full {
        /// The stream.
        id: u32,
        /// How much is missing.
        full: shmx_abi::frame::PayloadFull,
    },
    /// Records taken from elsewhere stand before the stream and end where no record can begin.
    #[error("stream {id} cannot follow {used} bytes of records; records end at a multiple of 16, or come last")]
    Unaligned {
        /// The stream.
        id: u32,
        /// Bytes of the payload used so far.
        used: u32,
    },
    /// More was committed than the stream has left.
    #[error("stream {id}: {asked} were committed and {left} are left; commit what was written")]
    Commit {
        /// The stream.
        id: u32,
        /// Elements committed, or bytes of a [`crate::Filling`].
        asked: usize,
        /// Elements or bytes left.
        left: usize,
    },
    /// Another stream of the frame is being filled in pieces.
    #[error("stream {id} is not filled yet; commit all of it before another stream is filled in pieces")]
    Unfinished {
        /// The one that is being filled.
        id: u32,
    },
    /// Records taken from elsewhere do not fit.
    #[error("the records do not fit: {full}; create the region with more `frame_bytes`")]
    Records {
        /// How much is missing.
        full: shmx_abi::frame::PayloadFull,
    },
}

/// [`crate::FrameWriter::publish_frame`] failed. The slot was given back, nothing became visible.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// A frame needs at least one stream.
    #[error("the frame is empty; append at least one stream")]
    Empty,
    /// A stream that was begun in pieces lacks some.
    #[error("stream {id} was begun with `fill_stream` and not filled; commit all of it, or begin the frame anew")]
    Unfinished {
        /// The stream.
        id: u32,
    },
    /// The region is no longer ours.
    #[error(transparent)]
    Region(#[from] BeginError),
}

/// Adding to the directory failed. The directory is as it was before.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaticError {
    /// No room.
    #[error("{needed} bytes do not fit: {used} of {capacity} are used; create the region with more `directory_bytes`")]
    Full {
        /// Bytes to add.
        needed: u64,
        /// Bytes used.
        used: u32,
        /// Bytes there are.
        capacity: u32,
    },
    /// Bad description.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Raw bytes that are not whole records would hide everything appended later, and so do damaged ones that are in
    /// the directory already.
    #[error("the bytes are not whole TLV records padded to 16 bytes, or the directory is damaged already")]
    Malformed,
    /// The region is no longer ours.
    #[error(transparent)]
    Region(#[from] BeginError),
}

/// The body of a control message is not a value of the type asked for.
#[derive(Error, Clone, PartialEq, Eq)]
#[error("the body of message {message_type:#x} has {found} bytes, and {ty} has {expected}")]
#[non_exhaustive]
pub struct ControlValueError {
    /// Type of the message.
    pub message_type: u32,
    /// Bytes of the body.
    pub found: usize,
    /// Bytes of the type.
    pub expected: usize,
    /// The type.
    pub ty: &'static str,
}
