//! One error enum per operation. Every message says what is wrong and what to do about it.

use shmx_abi::{ElementType, LayoutError};
use thiserror::Error;

/// A stream description that makes no sense.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
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
    /// The description is longer than the format can say.
    #[error("stream {id}: name and extra data are too long")]
    TooLong {
        /// The stream.
        id: u32,
    },
}

/// [`crate::Server::create`] failed. Nothing was left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name is not usable.
    #[error("bad region name")]
    Name(#[from] shmx_os::NameError),
    /// The parameters do not make a region.
    #[error("bad configuration: {0}")]
    Layout(#[from] LayoutError),
    /// A stream description makes no sense.
    #[error("bad stream")]
    Stream(#[from] StreamError),
    /// Another server lives under this name.
    #[error("region `{name}` is held by a live server{}; stop it or use another name", pid_text(*pid))]
    HeldByLiveServer {
        /// The name.
        name: String,
        /// Its process, if it says so.
        pid: Option<u32>,
    },
    /// A region without a liveness lock: made by another implementation, perhaps in use.
    #[error(
        "region `{name}` was made by another SHMX implementation that holds no lock, so nobody can tell whether it is \
         in use; stop its server and remove it, or set Config::replace"
    )]
    ReferenceMade {
        /// The name.
        name: String,
    },
    /// Something else has this name.
    #[error("`{name}` exists and is not an SHMX region; use another name, or set Config::replace to remove it")]
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
    /// Shared memory could not be had.
    #[error("cannot create shared memory")]
    Os(#[from] shmx_os::CreateError),
    /// An existing object could not be looked at.
    #[error("cannot look at the existing object")]
    Existing(#[from] shmx_os::OpenError),
    /// A step of the operating system failed.
    #[error("cannot set the region up")]
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
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The name is not usable.
    #[error("bad region name")]
    Name(#[from] shmx_os::NameError),
    /// A live server has the name.
    #[error("region `{name}` is held by a live server{}; stop it, and the region goes with it", pid_text(*pid))]
    HeldByLiveServer {
        /// The name.
        name: String,
        /// Its process, if it says so.
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
    #[error("cannot remove the name")]
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
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginError {
    /// Every slot is leased by a reader or being written by another thread.
    #[error(
        "no free slot: {leased} leased{}, {writing} being written; let the readers drop frames sooner, or configure \
         more slots",
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
}

/// Appending a stream to a frame failed. The frame is as it was before.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The directory has no such stream.
    #[error("stream {id} is not in the directory; add it with Server::add_stream")]
    UnknownStream {
        /// The id.
        id: u32,
    },
    /// The frame was begun before a fork and belongs to the parent.
    #[error("this frame belongs to the process that forked us; create a server of our own")]
    Forked,
    /// The frame has this stream already.
    #[error("stream {id} is in this frame already; a frame carries each stream once")]
    DuplicateStream {
        /// The id.
        id: u32,
    },
    /// The Rust type does not match the directory.
    #[error("stream {id} has elements of {expected}x{expected_components}, not {found}x{found_components}")]
    TypeMismatch {
        /// The stream.
        id: u32,
        /// Component type in the directory.
        expected: ElementType,
        /// Components in the directory.
        expected_components: u32,
        /// Component type given.
        found: ElementType,
        /// Components given.
        found_components: u32,
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
    #[error("stream {id} does not fit: {full}; raise frame_bytes_cap")]
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
    /// Records taken from elsewhere do not fit.
    #[error("the records do not fit: {full}; raise frame_bytes_cap")]
    Records {
        /// How much is missing.
        full: shmx_abi::frame::PayloadFull,
    },
}

/// [`crate::Frame::publish_frame`] failed. The slot was given back, nothing became visible.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// A frame needs at least one stream.
    #[error("the frame is empty; append at least one stream")]
    Empty,
    /// The region is no longer ours.
    #[error(transparent)]
    Region(#[from] BeginError),
}

/// Adding to the directory failed. The directory is as it was before.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaticError {
    /// No room.
    #[error(
        "{needed} bytes do not fit: {used} of {capacity} are used; create the region with a larger static_bytes_cap"
    )]
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

/// Opening a region failed. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name is not usable.
    #[error("bad region name")]
    Name(#[from] shmx_os::NameError),
    /// The operating system refused.
    #[error(transparent)]
    Os(#[from] shmx_os::OpenError),
    /// What is there is not a region we can read.
    #[error("`{name}`: {source}")]
    Layout {
        /// Name or path.
        name: String,
        /// What is wrong.
        source: LayoutError,
    },
    /// The region's server has died or left.
    #[error("the server of `{name}` is gone; start it again, or look at what it left with the inspector")]
    ServerGone {
        /// The name.
        name: String,
    },
}

/// Reading a frame failed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// A new server has re-initialised the region.
    #[error("the region has a new session; call reopen")]
    SessionChanged,
    /// The server has died or left.
    #[error("the server is gone; call reopen once it is back")]
    ServerGone,
    /// The payload does not have the checksum that the producer wrote.
    #[error("frame {frame_id}: the payload's checksum is {computed:#010x}, the producer wrote {stored:#010x}")]
    Checksum {
        /// The frame.
        frame_id: u64,
        /// As the producer wrote it.
        stored: u32,
        /// As we computed it.
        computed: u32,
    },
    /// The frame claims more bytes than a frame can have.
    #[error("the frame claims {payload_bytes} bytes and a frame has at most {capacity}; its header is damaged")]
    Oversize {
        /// Bytes it claims.
        payload_bytes: u32,
        /// Bytes it can have.
        capacity: u32,
    },
    /// The frame belongs to another session.
    #[error("the frame belongs to session {found:#x}, not {expected:#x}")]
    ForeignSession {
        /// The frame's session.
        found: u64,
        /// The region's.
        expected: u64,
    },
    /// The producer overwrote every frame while it was being read.
    #[error("the producer overwrote the frame {attempts} times while it was read; configure more slots")]
    Lapped {
        /// How often.
        attempts: u32,
    },
    /// The client was opened before a fork and belongs to the parent.
    #[error("this client belongs to the process that forked us; open one of our own")]
    Forked,
    /// A frame's payload is damaged although its checksum is right.
    #[error(transparent)]
    Payload(#[from] shmx_abi::frame::FrameError),
}

/// A stream of a frame cannot be seen as the type asked for.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypedError {
    /// The frame has no such stream.
    #[error("the frame has no stream {id}")]
    NoSuchStream {
        /// The id.
        id: u32,
    },
    /// The bytes are not whole elements, not aligned, or not valid values of the type.
    #[error("stream {id} of {bytes} bytes is not a slice of {ty}")]
    Cast {
        /// The id.
        id: u32,
        /// Bytes of the stream.
        bytes: usize,
        /// The Rust type.
        ty: &'static str,
    },
    /// The payload is damaged.
    #[error(transparent)]
    Payload(#[from] shmx_abi::frame::FrameError),
}

/// Reading the directory failed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryReadError {
    /// It kept changing.
    #[error("the directory kept changing while it was read; try again")]
    Unstable,
    /// Its bytes do not have the hash in the header.
    #[error("the directory's bytes do not have the hash that the header gives; it is damaged")]
    HashMismatch,
    /// It claims more bytes than its area has.
    #[error("the directory claims {used} bytes and its area has {capacity}; the header is damaged")]
    Oversize {
        /// Bytes it claims.
        used: u32,
        /// Bytes there are.
        capacity: u32,
    },
    /// An entry is damaged.
    #[error(transparent)]
    Entry(#[from] shmx_abi::directory::DirectoryError),
    /// The region has a new session.
    #[error("the region has a new session; call reopen")]
    SessionChanged,
}

/// Sending a control message failed; nothing was sent.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No reader slot was free when the client opened the region.
    #[error("this client has no reader slot, so it has no control ring; the region's {reader_slots} are taken")]
    NoReaderSlot {
        /// Reader slots of the region.
        reader_slots: u32,
    },
    /// The region was made without control rings.
    #[error("the region has no control rings; its server must set control_per_reader")]
    NoControlRing,
    /// The message can never fit.
    #[error("a message of {len} bytes does not fit; the longest is {longest}")]
    TooLong {
        /// Bytes of the message.
        len: usize,
        /// Bytes that fit.
        longest: u32,
    },
    /// The ring is full.
    #[error("the control ring is full; the server has not polled it yet, try again later")]
    Full,
    /// The ring's positions are impossible.
    #[error("the control ring is damaged; the server gives up what waits in it at its next poll")]
    Corrupt,
    /// Type 0 marks padding.
    #[error("message type 0 means padding; use TLV_CONTROL_USER and above")]
    ReservedType,
    /// The region has a new session.
    #[error("the region has a new session; call reopen")]
    SessionChanged,
    /// The client was opened before a fork and belongs to the parent.
    #[error("this client belongs to the process that forked us; open one of our own")]
    Forked,
}
