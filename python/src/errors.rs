//! Errors of the library as exceptions of `pyshmx._errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use shmx::error::{
    AppendError, BeginError, CreateError, DirectoryReadError, OpenError, PublishError, ReadError, ReaderState,
    RemoveError, SendError, ServerEnd, StaticError, Void, WaitFdError, os,
};
use std::fmt::Debug;
use std::io;

/// An exception of this class, with a message and fields.
pub(crate) fn error(py: Python<'_>, class: &str, message: impl Into<String>) -> PyErr {
    with(py, class, message, |_| Ok(()))
}

fn with(
    py: Python<'_>,
    class: &str,
    message: impl Into<String>,
    fields: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
) -> PyErr {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let make = || {
        let module = ERRORS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("pyshmx._errors")?.unbind()))?;
        let value = module.bind(py).getattr(class)?.call1((message.into(),))?;
        fields(&value)?;
        Ok(PyErr::from_value(value))
    };
    make().unwrap_or_else(|e| e)
}

/// A library error, which is text with its causes.
fn plain(py: Python<'_>, class: &str, e: &impl Debug) -> PyErr {
    error(py, class, text(e))
}

fn text(e: &impl Debug) -> String {
    format!("{e:?}")
}

/// `Debug` of these does not list the causes.
fn chain(e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

fn end_name(end: ServerEnd) -> &'static str {
    match end {
        ServerEnd::Closed => "closed",
        _ => "died",
    }
}

/// How a server ended, as Python has it.
pub(crate) fn end(end: Option<ServerEnd>) -> Option<&'static str> {
    end.map(end_name)
}

fn gone(py: Python<'_>, message: String, end: ServerEnd) -> PyErr {
    with(py, "ServerGone", message, |e| e.setattr("end", end_name(end)))
}

fn taken(py: Python<'_>, message: String, name: &str, pid: Option<u32>) -> PyErr {
    with(py, "NameTaken", message, |e| {
        e.setattr("errno", 17)?;
        e.setattr("name", name)?;
        e.setattr("pid", pid)
    })
}

fn io_error(py: Python<'_>, message: String, source: &io::Error) -> PyErr {
    let class = if source.kind() == io::ErrorKind::PermissionDenied { "AccessDenied" } else { "SystemFailure" };
    with(py, class, message, |e| e.setattr("errno", source.raw_os_error()))
}

pub(crate) fn step(py: Python<'_>, e: &os::OsError) -> PyErr {
    match e {
        os::OsError::Os { source, .. } => io_error(py, chain(e), source),
        os::OsError::Forked { .. } => error(py, "Forked", chain(e)),
        os::OsError::Unsupported { .. } => error(py, "Unsupported", chain(e)),
        _ => error(py, "SystemFailure", chain(e)),
    }
}

fn os_open(py: Python<'_>, e: &os::OpenError) -> PyErr {
    use os::OpenError as E;
    match e {
        E::NotFound { name } => with(py, "NotFound", chain(e), |e| {
            e.setattr("errno", 2)?;
            e.setattr("name", name)
        }),
        E::PermissionDenied { source, .. } => io_error(py, chain(e), source),
        E::Os { source, .. } => step(py, source),
        _ => error(py, "NotARegion", chain(e)),
    }
}

pub(crate) fn open(py: Python<'_>, e: &OpenError) -> PyErr {
    match e {
        OpenError::Name(_) => plain(py, "InvalidName", e),
        OpenError::Os(e) => os_open(py, e),
        OpenError::Layout { .. } => plain(py, "NotARegion", e),
        OpenError::ServerGone { end, .. } => gone(py, text(e), *end),
        OpenError::NoReaderSlot { occupants, .. } => {
            // The message names an option of the Rust library; here it is an argument.
            let message = text(e).replace("`require_slot(false)`", "`require_slot=False`");
            let pids: Vec<u32> = occupants.iter().filter_map(|o| o.pid).collect();
            with(py, "NoReaderSlot", message, |e| e.setattr("pids", pids))
        }
        OpenError::ReaderLock { .. } => {
            let message = text(e).replace("`require_slot(false)`", "`require_slot=False`");
            with(py, "NoReaderSlot", message, |e| e.setattr("pids", Vec::<u32>::new()))
        }
        _ => plain(py, "Error", e),
    }
}

/// Whether the same call may succeed a little later, without anybody having to do anything about it.
pub(crate) fn may_pass(e: &OpenError) -> bool {
    use os::OpenError as E;
    match e {
        OpenError::Os(e) => matches!(e, E::NotFound { .. } | E::Replaced { .. } | E::Empty { .. }),
        OpenError::ServerGone { .. }
        | OpenError::NoReaderSlot { .. }
        | OpenError::ReaderLock { .. }
        | OpenError::Layout { .. } => true,
        _ => false,
    }
}

pub(crate) fn read(py: Python<'_>, e: &ReadError) -> PyErr {
    match e {
        ReadError::SessionChanged => {
            with(py, "SessionChanged", "the region has a new session; open it again", |e| e.setattr("end", "closed"))
        }
        ReadError::ServerGone { end } => gone(
            py,
            format!("the server {end}; open the region again once it is back, or open it with `reconnect=True`"),
            *end,
        ),
        ReadError::Checksum { frame_id, .. } => {
            with(py, "FrameRejected", text(e), |e| e.setattr("frame_id", *frame_id))
        }
        ReadError::Oversize { .. } | ReadError::ForeignSession { .. } => {
            with(py, "FrameRejected", text(e), |e| e.setattr("frame_id", None::<u64>))
        }
        ReadError::Lapped { .. } => plain(py, "Overtaken", e),
        ReadError::Forked => {
            error(py, "Forked", "this reader belongs to the process that forked this one; open another")
        }
        _ => plain(py, "Error", e),
    }
}

pub(crate) fn directory(py: Python<'_>, e: &DirectoryReadError) -> PyErr {
    match e {
        DirectoryReadError::SessionChanged => read(py, &ReadError::SessionChanged),
        DirectoryReadError::Forked => read(py, &ReadError::Forked),
        _ => plain(py, "NotARegion", e),
    }
}

pub(crate) fn send(py: Python<'_>, e: &SendError) -> PyErr {
    match e {
        SendError::Full => with(py, "RingFull", text(e), |e| e.setattr("errno", 11)),
        SendError::ServerGone { end } => gone(py, text(e), *end),
        SendError::SessionChanged => read(py, &ReadError::SessionChanged),
        SendError::Forked => read(py, &ReadError::Forked),
        _ => plain(py, "SendFailed", e),
    }
}

pub(crate) fn create(py: Python<'_>, e: &CreateError) -> PyErr {
    use os::CreateError as E;
    // What is an option of the Rust library is an argument here.
    let message = || text(e).replace("`replace(true)`", "`replace=True`");
    match e {
        CreateError::Name(_) => plain(py, "InvalidName", e),
        CreateError::HeldByLiveServer { name, pid } => taken(py, message(), name, *pid),
        CreateError::ReferenceMade { name }
        | CreateError::NotARegion { name }
        | CreateError::NotAnObject { name }
        | CreateError::InUse { name }
        | CreateError::Contended { name } => taken(py, message(), name, None),
        CreateError::Layout(_) | CreateError::Stream(_) | CreateError::Directory { .. } | CreateError::StrayBytes => {
            plain(py, "InvalidRegion", e)
        }
        CreateError::Os(E::NoSpace { needed, available }) => with(py, "NoRoom", text(e), |e| {
            e.setattr("needed", *needed)?;
            e.setattr("available", *available)
        }),
        CreateError::Os(E::FileSizeLimit { needed, limit }) => with(py, "NoRoom", text(e), |e| {
            e.setattr("needed", *needed)?;
            e.setattr("available", *limit)
        }),
        CreateError::Os(E::PermissionDenied { source, .. } | E::Os { source, .. }) => io_error(py, text(e), source),
        CreateError::Os(E::Unsupported) => plain(py, "Unsupported", e),
        CreateError::Os(_) => plain(py, "InvalidRegion", e),
        CreateError::Existing(e) => os_open(py, e),
        CreateError::Step(e) => step(py, e),
        _ => plain(py, "Error", e),
    }
}

pub(crate) fn remove(py: Python<'_>, e: &RemoveError) -> PyErr {
    // What is a parameter of the Rust library is one here.
    match e {
        RemoveError::Name(_) => plain(py, "InvalidName", e),
        RemoveError::HeldByLiveServer { name, pid } => taken(py, text(e), name, *pid),
        RemoveError::ReferenceMade { name }
        | RemoveError::NotARegion { name }
        | RemoveError::NotAnObject { name }
        | RemoveError::InUse { name }
        | RemoveError::Unfinished { name } => taken(py, text(e), name, None),
        RemoveError::Open(e) => os_open(py, e),
        RemoveError::Step(e) => step(py, e),
        _ => plain(py, "Error", e),
    }
}

pub(crate) fn begin(py: Python<'_>, e: &BeginError) -> PyErr {
    match e {
        BeginError::NoFreeSlot { leased, writing, holders } => with(py, "NoFreeSlot", text(e), |e| {
            e.setattr("leased", *leased)?;
            e.setattr("writing", *writing)?;
            let holders = holders.iter().map(|h| {
                let of = PyDict::new(py);
                of.set_item("index", h.index)?;
                of.set_item("reader_id", h.reader_id)?;
                of.set_item("pid", h.pid)?;
                of.set_item("leased", h.leased)?;
                Ok(of)
            });
            e.setattr("holders", holders.collect::<PyResult<Vec<_>>>()?)
        }),
        BeginError::NotTaken { frame_id, laggards } => with(py, "NotTaken", text(e), |e| {
            e.setattr("frame_id", *frame_id)?;
            let laggards = laggards.iter().map(|l| {
                let of = PyDict::new(py);
                of.set_item("index", l.index)?;
                of.set_item("reader_id", l.reader_id)?;
                of.set_item("pid", l.pid)?;
                of.set_item("last_taken", l.last_taken)?;
                of.set_item("stopped", l.state == ReaderState::Stopped)?;
                Ok(of)
            });
            e.setattr("laggards", laggards.collect::<PyResult<Vec<_>>>()?)
        }),
        BeginError::NameLost { name } => {
            let message = format!("the name `{name}` was removed or leads to another region; make another publisher");
            with(py, "NotFound", message, |e| e.setattr("name", name))
        }
        BeginError::SessionLost { .. } => with(py, "SessionChanged", text(e), |e| e.setattr("end", "closed")),
        BeginError::Forked => {
            error(py, "Forked", "this publisher belongs to the process that forked this one; make another")
        }
        _ => plain(py, "Error", e),
    }
}

pub(crate) fn append(py: Python<'_>, e: &AppendError) -> PyErr {
    match e {
        AppendError::Forked => begin(py, &BeginError::Forked),
        AppendError::Unfinished { .. } => plain(py, "Unfinished", e),
        AppendError::Full { .. } | AppendError::Records { .. } => plain(py, "FrameFull", e),
        _ => plain(py, "StreamMismatch", e),
    }
}

pub(crate) fn publish(py: Python<'_>, e: &PublishError) -> PyErr {
    match e {
        PublishError::Region(e) => begin(py, e),
        PublishError::Unfinished { .. } => plain(py, "Unfinished", e),
        PublishError::Empty => error(py, "Error", "the frame is empty; give it at least one stream"),
        _ => plain(py, "Error", e),
    }
}

pub(crate) fn add_stream(py: Python<'_>, e: &StaticError) -> PyErr {
    match e {
        StaticError::Region(e) => begin(py, e),
        _ => plain(py, "InvalidRegion", e),
    }
}

/// The exception for a stream that is not there; `known` are those that are.
pub(crate) fn unknown(py: Python<'_>, message: String, known: Vec<String>) -> PyErr {
    with(py, "UnknownStream", message, |e| e.setattr("known", known))
}

pub(crate) fn wait_fd(py: Python<'_>, e: &WaitFdError) -> PyErr {
    plain(py, "SystemFailure", e)
}

/// A reader was closed.
pub(crate) fn closed(py: Python<'_>, name: &str) -> PyErr {
    error(py, "Closed", format!("the reader of `{name}` was closed; open another"))
}

/// A reader follows a frame.
pub(crate) fn in_use(py: Python<'_>, name: &str) -> PyErr {
    let message = format!("the reader of `{name}` follows a frame; finish or leave that first, or open another reader");
    error(py, "InUse", message)
}

/// A frame that was followed came to nothing.
pub(crate) fn void(py: Python<'_>, e: &Void) -> PyErr {
    let (reason, cause) = match e {
        Void::Abandoned => ("abandoned", None),
        Void::ServerGone { end } | Void::Read(ReadError::ServerGone { end }) => (end_name(*end), None),
        Void::Read(ReadError::Forked) => return read(py, &ReadError::Forked),
        Void::Read(ReadError::SessionChanged) => ("replaced", None),
        Void::Read(e) => ("rejected", Some(read(py, e))),
        _ => ("damaged", None),
    };
    let error = with(py, "FrameVoid", text(e), |e| e.setattr("reason", reason));
    if cause.is_some() {
        error.set_cause(py, cause);
    }
    error
}

/// A wait brought nothing.
pub(crate) fn timed_out(py: Python<'_>, name: &str) -> PyErr {
    error(py, "Timeout", format!("no frame of `{name}` came in that time"))
}
