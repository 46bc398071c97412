//! Statuses, the text of the last error, and the border that no panic crosses.

use shmx::error::{
    AlignError, AppendError, BeginError, CreateError, DirectoryReadError, LookupError, OpenError, PublishError,
    ReadError, RemoveError, SendError, StaticError, Void, WaitFdError, os,
};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        const NAMES: &[(i32, &CStr)] = &[$(($number, $text)),*];
    };
}

/// What became of a call. Numbers are never used again for anything else; more may come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_status {
    /// It was done.
    Ok = 0,
    /// Nothing there: no frame yet, the time is up, no such stream in the frame. Not an error, and has no text.
    Nothing = 1,
    /// A pointer is null that must not be.
    Null = 2,
    /// An argument has a value that it cannot have.
    BadArgument = 3,
    /// A struct's `size` is none of any version, or it sets fields that the library does not know.
    BadSize = 4,
    /// The handle was closed.
    Closed = 5,
    /// The server is of one thread, and a frame is under construction; a stream of the frame is being filled; another
    /// thread uses the wait set.
    Busy = 6,
    /// A fault of the library, stopped at its border. Please report it with the text.
    Panic = 7,
    /// The library is older than the header that the program was compiled with. Only `shmx.hpp` gives it.
    OldLibrary = 8,
    /// The name cannot be a region's.
    Name = 16,
    /// There is no region of that name.
    NotFound = 17,
    /// The system's permissions forbid it.
    Permission = 18,
    /// The system refused; the text has its reason.
    System = 19,
    /// There is something of that name, and it is no region that can be used.
    NotARegion = 20,
    /// The server has left or died.
    ServerGone = 21,
    /// All reader slots are taken.
    NoReaderSlot = 22,
    /// A live server has the name.
    Held = 23,
    /// Something else has the name that is not replaced unasked.
    Exists = 24,
    /// The parameters make no region: too large, say.
    Layout = 25,
    /// The description of a stream makes no sense.
    Stream = 26,
    /// There is no memory left for the region.
    NoSpace = 27,
    /// Every slot is leased by readers or being written.
    NoFreeSlot = 32,
    /// The region has another session: another server has begun in it.
    Session = 33,
    /// The handle belongs to the process that forked this one.
    Forked = 34,
    /// The region has no such stream.
    UnknownStream = 35,
    /// The stream has another type, or its number another name.
    WrongType = 36,
    /// The frame has the stream already.
    Duplicate = 37,
    /// The bytes are not whole elements.
    Length = 38,
    /// It does not fit: into the frame, the directory, the control ring, or what is left of a stream.
    Full = 39,
    /// The message can never fit into the control ring.
    TooLong = 40,
    /// The region has no control rings, or the client has no reader slot.
    NoControl = 41,
    /// The frame has no stream.
    Empty = 42,
    /// A checksum is wrong.
    Checksum = 43,
    /// Bytes in the region make no sense: a frame, the directory, a control ring.
    Damaged = 44,
    /// The producer overwrote the frame at every attempt to read it.
    Lapped = 45,
    /// This system cannot do it.
    Unsupported = 46,
    /// Readers that want every frame have not taken in time what had to be taken; the text names them.
    NotTaken = 47,
    /// The server's name was taken away, or leads to another object.
    NameLost = 48,
    /// A stream of the frame was begun in pieces and lacks some.
    Unfinished = 49,
    /// A frame that was followed was given up by its producer: what was read of it is no frame.
    Abandoned = 50,
}

statuses! {
    Ok = 0 c"ok", Nothing = 1 c"nothing", Null = 2 c"null", BadArgument = 3 c"bad argument", BadSize = 4 c"bad size",
    Closed = 5 c"closed", Busy = 6 c"busy", Panic = 7 c"panic", OldLibrary = 8 c"old library",
    Name = 16 c"name", NotFound = 17 c"not found", Permission = 18 c"permission", System = 19 c"system",
    NotARegion = 20 c"not a region", ServerGone = 21 c"server gone", NoReaderSlot = 22 c"no reader slot",
    Held = 23 c"held", Exists = 24 c"exists", Layout = 25 c"layout", Stream = 26 c"stream", NoSpace = 27 c"no space",
    NoFreeSlot = 32 c"no free slot", Session = 33 c"session", Forked = 34 c"forked",
    UnknownStream = 35 c"unknown stream", WrongType = 36 c"wrong type", Duplicate = 37 c"duplicate",
    Length = 38 c"length", Full = 39 c"full", TooLong = 40 c"too long", NoControl = 41 c"no control",
    Empty = 42 c"empty", Checksum = 43 c"checksum", Damaged = 44 c"damaged", Lapped = 45 c"lapped",
    Unsupported = 46 c"unsupported", NotTaken = 47 c"not taken", NameLost = 48 c"name lost",
    Unfinished = 49 c"unfinished", Abandoned = 50 c"abandoned",
}

/// An error on its way out. One word: a result that is larger goes through memory, also where all is well.
#[derive(Debug)]
pub(crate) struct Fault(Box<(shmx_status, String)>);

impl Fault {
    #[cold]
    pub(crate) fn new(status: shmx_status, text: impl Into<String>) -> Self {
        Self(Box::new((status, text.into())))
    }

    #[cfg(test)]
    pub(crate) const fn status(&self) -> shmx_status {
        self.0.0
    }

    #[cold]
    pub(crate) fn null(argument: &'static str) -> Self {
        Self::new(shmx_status::Null, format!("`{argument}` is null; pass a pointer to it"))
    }

    #[cold]
    pub(crate) fn bad(argument: &'static str, problem: &str, remedy: &str) -> Self {
        Self::new(shmx_status::BadArgument, format!("`{argument}` {problem}; {remedy}"))
    }

    #[cold]
    pub(crate) fn closed(argument: &'static str) -> Self {
        Self::new(shmx_status::Closed, format!("`{argument}` was closed; free it and open another one"))
    }
}

/// The facade's errors print as text with their causes.
fn fault(status: shmx_status, error: &dyn Debug) -> Fault {
    Fault::new(status, format!("{error:?}"))
}

macro_rules! faults {
    ($($ty:ty: |$e:ident| $status:expr;)*) => { $(
        impl From<$ty> for Fault {
            #[cold]
            fn from(error: $ty) -> Self {
                let $e = &error;
                let status: shmx_status = $status;
                fault(status, &error)
            }
        }
    )* };
}

use shmx_status as S;

// Enums of the facade may grow; what is new there is a fault of the system until it gets a number here.
faults! {
    OpenError: |e| match e {
        OpenError::Name(_) => S::Name,
        OpenError::Os(e) => os_open(e),
        OpenError::Layout { .. } => S::NotARegion,
        OpenError::ServerGone { .. } => S::ServerGone,
        OpenError::NoReaderSlot { .. } | OpenError::ReaderLock { .. } => S::NoReaderSlot,
        _ => S::System,
    };
    CreateError: |e| match e {
        CreateError::Name(_) => S::Name,
        CreateError::Layout(_) => S::Layout,
        CreateError::Stream(_) => S::Stream,
        CreateError::Directory { .. } | CreateError::StrayBytes => S::Damaged,
        CreateError::HeldByLiveServer { .. } => S::Held,
        CreateError::ReferenceMade { .. }
        | CreateError::NotARegion { .. }
        | CreateError::NotAnObject { .. }
        | CreateError::InUse { .. }
        | CreateError::Contended { .. } => S::Exists,
        CreateError::Os(e) => os_create(e),
        CreateError::Existing(e) => os_open(e),
        _ => S::System,
    };
    RemoveError: |e| match e {
        RemoveError::Name(_) => S::Name,
        RemoveError::HeldByLiveServer { .. } => S::Held,
        RemoveError::ReferenceMade { .. }
        | RemoveError::NotARegion { .. }
        | RemoveError::InUse { .. }
        | RemoveError::Unfinished { .. }
        | RemoveError::NotAnObject { .. } => S::Exists,
        RemoveError::Open(e) => os_open(e),
        _ => S::System,
    };
    BeginError: |e| begin(e);
    AppendError: |e| match e {
        AppendError::Stream(e) => lookup(e),
        AppendError::Forked => S::Forked,
        AppendError::DuplicateStream { .. } => S::Duplicate,
        AppendError::Length { .. } => S::Length,
        AppendError::Full { .. } | AppendError::Records { .. } | AppendError::Commit { .. } => S::Full,
        _ => S::BadArgument,
    };
    PublishError: |e| match e {
        PublishError::Empty => S::Empty,
        PublishError::Unfinished { .. } => S::Unfinished,
        PublishError::Region(e) => begin(e),
        _ => S::System,
    };
    StaticError: |e| match e {
        StaticError::Full { .. } => S::Full,
        StaticError::Stream(_) => S::Stream,
        StaticError::Malformed => S::BadArgument,
        StaticError::Region(e) => begin(e),
        _ => S::System,
    };
    ReadError: |e| read(e);
    Void: |e| match e {
        Void::Abandoned => S::Abandoned,
        Void::ServerGone { .. } => S::ServerGone,
        Void::Unfinished => S::Unfinished,
        Void::Damaged => S::Damaged,
        Void::Read(e) => read(e),
        _ => S::System,
    };
    LookupError: |e| lookup(e);
    DirectoryReadError: |e| directory(e);
    SendError: |e| match e {
        SendError::NoReaderSlot { .. } | SendError::NoControlRing => S::NoControl,
        SendError::TooLong { .. } => S::TooLong,
        SendError::Full => S::Full,
        SendError::Corrupt => S::Damaged,
        SendError::ReservedType => S::BadArgument,
        SendError::ServerGone { .. } => S::ServerGone,
        SendError::SessionChanged => S::Session,
        SendError::Forked => S::Forked,
        _ => S::System,
    };
    os::OsError: |e| os_step(e);
    WaitFdError: |e| os_step(&e.source);
    AlignError: |e| match e {
        AlignError::Ended { .. } => S::ServerGone,
        AlignError::Read { cause, .. } => read(cause),
        AlignError::Wait(e) => os_step(&e.source),
        _ => S::System,
    };
    shmx::abi::frame::FrameError: |_e| S::Damaged;
    shmx::abi::control::ControlCorrupt: |_e| S::Damaged;
}

fn begin(e: &BeginError) -> S {
    match e {
        BeginError::NoFreeSlot { .. } => S::NoFreeSlot,
        BeginError::SessionLost { .. } => S::Session,
        BeginError::Forked => S::Forked,
        BeginError::NotTaken { .. } => S::NotTaken,
        BeginError::NameLost { .. } => S::NameLost,
        _ => S::System,
    }
}

fn read(e: &ReadError) -> S {
    match e {
        ReadError::SessionChanged => S::Session,
        ReadError::ServerGone { .. } => S::ServerGone,
        ReadError::Checksum { .. } => S::Checksum,
        ReadError::Oversize { .. } | ReadError::ForeignSession { .. } => S::Damaged,
        ReadError::Lapped { .. } => S::Lapped,
        ReadError::Forked => S::Forked,
        _ => S::System,
    }
}

fn lookup(e: &LookupError) -> S {
    match e {
        LookupError::Unknown { .. } => S::UnknownStream,
        LookupError::Type { .. } | LookupError::Name { .. } => S::WrongType,
        LookupError::Directory(e) => directory(e),
        _ => S::System,
    }
}

fn directory(e: &DirectoryReadError) -> S {
    match e {
        DirectoryReadError::SessionChanged => S::Session,
        _ => S::Damaged,
    }
}

fn os_step(e: &os::OsError) -> S {
    match e {
        os::OsError::Unsupported { .. } => S::Unsupported,
        os::OsError::Forked { .. } => S::Forked,
        _ => S::System,
    }
}

fn os_open(e: &os::OpenError) -> S {
    match e {
        os::OpenError::NotFound { .. } => S::NotFound,
        os::OpenError::PermissionDenied { .. } => S::Permission,
        os::OpenError::NotSharedMemory { .. } | os::OpenError::Empty { .. } => S::NotARegion,
        _ => S::System,
    }
}

fn os_create(e: &os::CreateError) -> S {
    match e {
        os::CreateError::InvalidLength { .. } => S::Layout,
        os::CreateError::InvalidMode { .. } => S::BadArgument,
        os::CreateError::NoSpace { .. } | os::CreateError::FileSizeLimit { .. } => S::NoSpace,
        os::CreateError::PermissionDenied { .. } => S::Permission,
        os::CreateError::Exists { .. } => S::Exists,
        os::CreateError::Unsupported => S::Unsupported,
        _ => S::System,
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

#[cold]
fn failed(function: &str, fault: Fault) -> shmx_status {
    let Fault(inner) = fault;
    let (status, text) = *inner;
    let text = format!("{function}: {text}").replace('\0', "\u{fffd}");
    // A thread that is ending keeps no text.
    let _ = LAST.try_with(|last| *last.borrow_mut() = CString::new(text).unwrap_or_default());
    status
}

/// Runs the body of an exported function. No panic passes it.
#[inline(always)]
pub(crate) fn guard(function: &'static str, body: impl FnOnce() -> Result<shmx_status, Fault>) -> shmx_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status,
        Ok(Err(fault)) => failed(function, fault),
        Err(payload) => panicked(function, payload),
    }
}

/// The same for functions that return a plain value.
pub(crate) fn guard_value<T>(function: &'static str, otherwise: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            panicked(function, payload);
            otherwise
        }
    }
}

#[cold]
fn panicked(function: &str, payload: Box<dyn std::any::Any + Send>) -> shmx_status {
    let said = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let said = said.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    // Dropping a payload can panic as well.
    std::mem::forget(payload);
    let text = format!("a fault of the library ({said}); report it, and close what the call was about");
    failed(function, Fault::new(shmx_status::Panic, text))
}

/// The text of the last error of this thread: function, argument or cause, and remedy. Empty before the first one. Valid
/// until the thread's next call that fails.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_last_error() -> *const c_char {
    guard_value("shmx_last_error", c"".as_ptr(), || {
        LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
    })
}

/// A short name of a status, for logs. `unknown` for a number that this library does not give.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_status_name(status: i32) -> *const c_char {
    guard_value("shmx_status_name", c"unknown".as_ptr(), || {
        NAMES.iter().find(|(number, _)| *number == status).map_or(c"unknown", |(_, name)| name).as_ptr()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the library's own text, which nobody changes meanwhile.
        unsafe { CStr::from_ptr(shmx_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard("shmx_x", || panic!("on {}", "purpose")), S::Panic);
        assert!(last().starts_with("shmx_x: a fault of the library (on purpose)"), "{}", last());
        assert_eq!(guard_value("shmx_y", 7, || panic!("again")), 7);
        assert_eq!(guard("shmx_z", || Err(Fault::null("name"))), S::Null);
        assert_eq!(last(), "shmx_z: `name` is null; pass a pointer to it");
        std::thread::spawn(|| assert_eq!(last(), "", "texts are a thread's own")).join().unwrap();
    }

    #[test]
    fn every_status_has_its_name() {
        for (number, name) in NAMES {
            // SAFETY: a constant.
            let found = unsafe { CStr::from_ptr(shmx_status_name(*number)) };
            assert_eq!(found, *name);
        }
        assert_eq!(NAMES.last().map(|n| n.0), Some(S::Abandoned as i32));
    }
}
