//! What can go wrong on a reader's side.

use super::debug_is_text;
use shmx_abi::LayoutError;
use shmx_abi::frame::FrameError;
use thiserror::Error;

debug_is_text!(Void, OpenError, ReadError, LookupError, ValueError, DirectoryReadError, SendError);

/// How a server's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerEnd {
    /// It left in good order.
    Closed,
    /// Its process died, or was killed.
    Died,
}

impl std::fmt::Display for ServerEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "has left",
            Self::Died => "has died",
        })
    }
}

/// Who has a reader slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderOccupant {
    /// Index of the slot.
    pub index: u32,
    /// Its process, if it says so.
    pub pid: Option<u32>,
}

fn occupants_text(occupants: &[ReaderOccupant]) -> String {
    let pids: Vec<String> = occupants.iter().filter_map(|o| o.pid).map(|p| p.to_string()).collect();
    if pids.is_empty() { String::new() } else { format!(" (processes {})", pids.join(", ")) }
}

/// Opening a region failed. Nothing was changed.
#[derive(Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name is not usable.
    #[error("the region name cannot be used; choose another")]
    Name(#[from] shmx_os::NameError),
    /// The operating system refused.
    #[error(transparent)]
    Os(#[from] shmx_os::OpenError),
    /// What is there is not a region that can be read.
    #[error("`{name}` is not a region that can be read; check the name, or see what is wrong by `HeaderReport`")]
    Layout {
        /// Name or path.
        name: String,
        /// What is wrong.
        #[source]
        cause: LayoutError,
    },
    /// The region's server is gone.
    #[error("the server of `{name}` {end}; start it again, or look at what it left with the inspector")]
    ServerGone {
        /// The name.
        name: String,
        /// How it ended.
        end: ServerEnd,
    },
    /// All reader slots are taken by readers that live.
    #[error(
        "all {} reader slots of `{name}` are taken{}; close a reader, create the region with more `reader_slots`, or \
         open without one by `require_slot(false)`",
        occupants.len(),
        occupants_text(occupants)
    )]
    NoReaderSlot {
        /// The name.
        name: String,
        /// Who has them; empty for a region without reader slots.
        occupants: Vec<ReaderOccupant>,
    },
    /// The lock of a free reader slot could not be taken.
    #[error(
        "the lock of a reader slot of `{name}` cannot be taken; try again, or open without one by \
         `require_slot(false)`"
    )]
    ReaderLock {
        /// The name.
        name: String,
        /// What the system said; none if another process held the lock all the time.
        #[source]
        cause: Option<shmx_os::OsError>,
    },
}

/// Reading a frame failed.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// A new server has initialised the region anew.
    #[error("the region has a new session; call reopen, or open with `reconnect(true)`")]
    SessionChanged,
    /// The server is gone, and there is no frame left to take.
    #[error("the server {end}; call reopen once it is back, or open with `reconnect(true)`")]
    ServerGone {
        /// How it ended.
        end: ServerEnd,
    },
    /// The payload does not have the checksum that the producer wrote.
    #[error(
        "frame {frame_id}: the payload's checksum is {computed:#010x}, the producer wrote {stored:#010x}; something \
         else has written to it, go on with the next frame"
    )]
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
    #[error(
        "the frame belongs to session {found:#x}, not {expected:#x}; it is no frame of this server, go on with the next"
    )]
    ForeignSession {
        /// The frame's session.
        found: u64,
        /// The region's.
        expected: u64,
    },
    /// The producer overwrote every frame while it was being read.
    #[error("the producer overwrote the frame {attempts} times while it was read; create the region with more slots")]
    Lapped {
        /// How often.
        attempts: u32,
    },
    /// The client was opened before a fork and belongs to the parent.
    #[error("this client belongs to the process that forked us; open one of our own")]
    Forked,
    /// The descriptor to wait on cannot be used any more.
    #[error("the descriptor to wait on is of no use any more: {cause}; nobody else may close it; open another client")]
    Descriptor {
        /// What the system said.
        cause: String,
    },
}

impl ReadError {
    /// Whether this client will never get another frame: the server is gone, or the client is another process's.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::SessionChanged | Self::ServerGone { .. } | Self::Forked | Self::Descriptor { .. })
    }
}

/// A frame that was followed came to nothing: what was made of it is no result.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Void {
    /// The producer gave it up.
    #[error("the producer gave the frame up; what was read of it is no frame, follow the next one")]
    Abandoned,
    /// The server left or died before the frame was published.
    #[error("the server {end} before it published the frame; what was read of it is no frame")]
    ServerGone {
        /// How it ended.
        end: ServerEnd,
    },
    /// It is still being written.
    #[error("the frame is still being written and the time is up; `wait` keeps it until it is whole")]
    Unfinished,
    /// It was published with fewer bytes than had been announced, or its slot was overwritten under the lease.
    #[error("the frame is not what was announced of it; a program that ignores the protocol wrote to the region")]
    Damaged,
    /// The frame was published and is none, or there is nothing to read any more.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stream that was asked for cannot be had.
    #[error(transparent)]
    Value(Box<ValueError>),
}

/// A stream is not in the directory, or not as it was asked for.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// The directory has no such stream.
    #[error("there is no {asked}; the region has {}", list_text(known))]
    Unknown {
        /// How it was named.
        asked: String,
        /// What the directory has.
        known: Vec<String>,
    },
    /// The stream has elements of another type.
    #[error("stream {id} `{name}` has elements of {found}, not {asked}; ask for what it has")]
    Type {
        /// The stream.
        id: u32,
        /// Its name.
        name: String,
        /// Type and components in the directory.
        found: String,
        /// Type and components asked for.
        asked: String,
    },
    /// The number belongs to a stream of another name.
    #[error("stream {id} is `{found}`, not `{asked}`; use the constant that the region was created with")]
    Name {
        /// The stream.
        id: u32,
        /// Its name.
        found: String,
        /// The name asked for.
        asked: String,
    },
    /// The directory cannot be read.
    #[error("the stream directory cannot be read; try again, or take a stream's bytes by its number with `stream`")]
    Directory(#[from] DirectoryReadError),
}

fn list_text(known: &[String]) -> String {
    if known.is_empty() { "no streams".to_owned() } else { known.join(", ") }
}

/// The values of a stream cannot be had from a frame.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The directory has no such stream, or one of another type.
    #[error(transparent)]
    Stream(#[from] LookupError),
    /// This frame does not carry the stream.
    #[error("frame {frame_id} does not carry stream {id}; a frame need not, so ask `has` first")]
    Absent {
        /// The stream.
        id: u32,
        /// The frame.
        frame_id: u64,
    },
    /// The bytes are not whole elements, or not valid values of the type (a bool of 2).
    #[error("stream {id}: {bytes} bytes are not values of {ty}; take them as they are with `stream`")]
    Cast {
        /// The stream.
        id: u32,
        /// Bytes of the stream.
        bytes: usize,
        /// The Rust type.
        ty: &'static str,
    },
    /// One value was asked for, and the stream's one element has several.
    #[error(
        "stream {id} has one element of {components} values of {ty}, not one value; ask for an array, or use `get`"
    )]
    Components {
        /// The stream.
        id: u32,
        /// Values in the element.
        components: usize,
        /// The Rust type.
        ty: &'static str,
    },
    /// One value was asked for.
    #[error("stream {id} has {elems} elements in this frame, not one; use `get` or `to_vec`")]
    NotOne {
        /// The stream.
        id: u32,
        /// Elements in the frame.
        elems: usize,
    },
    /// The payload is damaged.
    #[error("the frame's payload is damaged; go on with the next frame")]
    Payload(#[from] FrameError),
}

/// Reading the directory failed.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryReadError {
    /// Nobody has read it.
    #[error("the directory was not read; ask the reader for it")]
    NotRead,
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
    /// The reader was opened before a fork, and a thread of the parent was reading the directory at that moment.
    #[error("the directory was being read when this process was forked; open a reader of our own")]
    Forked,
    /// An entry is damaged.
    #[error("an entry of the directory is damaged")]
    Entry(#[from] shmx_abi::directory::DirectoryError),
    /// The region has a new session.
    #[error("the region has a new session; call reopen")]
    SessionChanged,
}

/// Sending a control message failed; nothing was sent.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The client has no reader slot.
    #[error("this client has no reader slot, so it has no control ring; {}", no_slot_text(*reader_slots))]
    NoReaderSlot {
        /// Reader slots of the region.
        reader_slots: u32,
    },
    /// The region was made without control rings.
    #[error("the region has no control rings; its server must create them with `control_bytes`")]
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
    /// Nobody will read the message.
    #[error("the server {end}, and nobody reads the message; call reopen once it is back, and send again")]
    ServerGone {
        /// How it ended.
        end: ServerEnd,
    },
    /// The region has a new session.
    #[error("the region has a new session; call reopen")]
    SessionChanged,
    /// The client was opened before a fork and belongs to the parent.
    #[error("this client belongs to the process that forked us; open one of our own")]
    Forked,
}

fn no_slot_text(reader_slots: u32) -> String {
    match reader_slots {
        0 => "the region has none, so its server must create it with `reader_slots`".to_owned(),
        n => format!("the region's {n} were taken when it was opened, so open it again when a reader has left"),
    }
}
