//! The drop-in's client.

use super::answers::{decoded, header_dict, streams_list};
use super::args::{Name, U32};
use crate::buffer::Block;
use crate::wait::{LARGE, lock, with_lock_of};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyString};
use shmx::abi::wire::GlobalHeader;
use shmx::error::{OpenError, SendError};
use shmx::{Client as Inner, Directory, Frame, Tap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Reads a region: the newest frame, as private copies. Closed until `open`.
#[pyclass(frozen, subclass, weakref, module = "pyshmx.compat", name = "Client")]
#[derive(Debug)]
pub(crate) struct Client {
    source: Mutex<Option<Source>>,
    /// That opened it last.
    process: AtomicU32,
    /// The directory as of the last `refresh_static`; kept after `close`.
    known: Mutex<Arc<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    directory: Option<Arc<Directory>>,
    /// Keys of frames by stream number.
    keys: Vec<(u32, Py<PyString>)>,
}

#[derive(Debug)]
enum Source {
    Live(Box<Inner>),
    /// What a dead server has left.
    Left(Box<Tap>),
}

impl Source {
    fn open(name: &str) -> Result<Self, OpenError> {
        // As the original: without a reader slot frames are read all the same.
        match Inner::options().require_slot(false).open(name) {
            Ok(client) => Ok(Self::Live(Box::new(client))),
            Err(e @ OpenError::ServerGone { .. }) => {
                Tap::open(name).map(|tap| Self::Left(Box::new(tap))).map_err(|_| e)
            }
            Err(e) => Err(e),
        }
    }

    fn header(&self) -> GlobalHeader {
        match self {
            Self::Live(client) => client.header(),
            Self::Left(tap) => tap.header(),
        }
    }

    fn directory(&self) -> Option<Arc<Directory>> {
        match self {
            Self::Live(client) => client.directory().ok(),
            Self::Left(tap) => tap.directory().ok(),
        }
    }

    fn is_large(&self) -> bool {
        let layout = match self {
            Self::Live(client) => client.layout(),
            Self::Left(tap) => tap.layout(),
        };
        layout.frame_bytes_cap() as usize > LARGE
    }

    /// A copy of the newest frame; none if there is none, or it is damaged.
    fn latest(&mut self) -> Option<Copied> {
        match self {
            Self::Live(client) => client.latest().ok().flatten().and_then(Copied::of),
            Self::Left(tap) => tap.latest().ok().flatten().and_then(Copied::of),
        }
    }
}

/// A frame's data in memory of its own.
struct Copied {
    frame_id: u64,
    sim_time: f64,
    payload_bytes: usize,
    tlv_count: u32,
    streams: Vec<(u32, u32, Box<[u8]>)>,
}

impl Copied {
    #[expect(clippy::needless_pass_by_value, reason = "its lease ends here")]
    fn of(frame: Frame<'_>) -> Option<Self> {
        let copied = |s: shmx::abi::frame::StreamData<'_>| (s.stream_id, s.elem_count, s.data.into());
        let streams = frame.streams().map(|s| s.map(copied)).collect::<Result<_, _>>().ok()?;
        Some(Self {
            frame_id: frame.frame_id(),
            sim_time: frame.sim_time(),
            payload_bytes: frame.payload().len(),
            tlv_count: frame.tlv_count(),
            streams,
        })
    }
}

impl Known {
    fn new(py: Python<'_>, directory: Arc<Directory>) -> Self {
        let mut keys: Vec<(u32, Py<PyString>)> = Vec::new();
        for s in &directory.streams {
            // The first entry of a number counts. A key ends at a NUL; one that is no UTF-8 is decoded where it is used.
            let name = s.name.split(|&b| b == 0).next().unwrap_or_default();
            if keys.iter().all(|(id, _)| *id != s.id)
                && let Ok(name) = std::str::from_utf8(name)
            {
                keys.push((s.id, PyString::intern(py, name).unbind()));
            }
        }
        Self { directory: Some(directory), keys }
    }

    fn key<'py>(&self, py: Python<'py>, id: u32) -> PyResult<Bound<'py, PyString>> {
        if let Some((_, key)) = self.keys.iter().find(|(known, _)| *known == id) {
            return Ok(key.bind(py).clone());
        }
        match self.directory.as_ref().and_then(|d| d.stream(id)) {
            Some(s) => decoded(py, &s.name),
            None => Ok(PyString::new(py, &format!("stream_{id}"))),
        }
    }
}

#[pymethods]
impl Client {
    #[new]
    fn new() -> Self {
        let process = AtomicU32::new(std::process::id());
        Self { source: Mutex::default(), process, known: Mutex::default() }
    }

    /// Opens a region, after closing what is open; False if that fails.
    fn open(&self, py: Python<'_>, name: Name) -> bool {
        self.close(py);
        let Some(name) = name.0 else { return false };
        let Ok(source) = py.detach(|| Source::open(&name)) else { return false };
        let directory = source.directory();
        if self.with(py, false, |of| *of = Some(source)).is_none() {
            return false;
        }
        self.process.store(std::process::id(), Ordering::Relaxed);
        if let Some(directory) = directory {
            self.know(py, directory);
        }
        true
    }

    /// Leaves the region. What frames gave stays valid.
    fn close(&self, py: Python<'_>) {
        let source = self.with(py, true, Option::take);
        py.detach(|| drop(source));
    }

    /// Whether a region is open.
    fn is_open(&self, py: Python<'_>) -> bool {
        self.with(py, false, |source| source.is_some()) == Some(true)
    }

    /// The header as it is now; {} when closed.
    fn get_header_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let header = self.with(py, false, |source| source.as_ref().map(Source::header)).flatten();
        header_dict(py, header)
    }

    /// The streams as of the last `open` or `refresh_static`, also after `close`.
    fn get_streams_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let directory = lock(py, &self.known).directory.clone();
        streams_list(py, directory.as_deref())
    }

    /// The newest frame: `{"__metadata__": ..., name: {"data": memoryview, "elem_count": int, "bytes": int}}`; None
    /// without one. `data` is a writable copy of its own.
    fn get_latest_frame<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let large = self.with(py, false, |source| source.as_ref().is_some_and(Source::is_large)) == Some(true);
        let copied = self.with(py, large, |source| source.as_mut().and_then(Source::latest)).flatten();
        let Some(copied) = copied else { return Ok(None) };
        let known = lock(py, &self.known).clone();
        let frame = PyDict::new(py);
        let metadata = PyDict::new(py);
        metadata.set_item(intern!(py, "frame_id"), copied.frame_id)?;
        metadata.set_item(intern!(py, "sim_time"), copied.sim_time)?;
        metadata.set_item(intern!(py, "payload_bytes"), copied.payload_bytes)?;
        metadata.set_item(intern!(py, "tlv_count"), copied.tlv_count)?;
        frame.set_item(intern!(py, "__metadata__"), metadata)?;
        for (id, elem_count, bytes) in copied.streams {
            let key = known.key(py, id)?;
            let stream = PyDict::new(py);
            let len = bytes.len();
            let block = Bound::new(py, Block::new(bytes))?;
            stream.set_item(intern!(py, "data"), PyMemoryView::from(block.as_any())?)?;
            stream.set_item(intern!(py, "elem_count"), elem_count)?;
            stream.set_item(intern!(py, "bytes"), len)?;
            frame.set_item(key, stream)?;
        }
        Ok(Some(frame))
    }

    /// Reads the directory again; False when closed, or where it cannot be read.
    fn refresh_static(&self, py: Python<'_>) -> bool {
        let directory = self.with(py, false, |source| source.as_ref().and_then(Source::directory)).flatten();
        let found = directory.is_some();
        if let Some(directory) = directory {
            self.know(py, directory);
        }
        found
    }

    /// Sends a message to the server; False if it was not sent. Type 0 is taken and never arrives.
    fn send_control(&self, py: Python<'_>, r#type: U32, data: &Bound<'_, PyBytes>) -> bool {
        self.send(py, r#type.0, data.as_bytes())
    }

    /// The same without a body.
    fn send_control_empty(&self, py: Python<'_>, r#type: U32) -> bool {
        self.send(py, r#type.0, &[])
    }
}

impl Client {
    /// Does something with the region, without the interpreter's lock if it may take long. None in a forked child of a
    /// process of which a thread was just doing so.
    fn with<T: Send>(&self, py: Python<'_>, long: bool, f: impl FnOnce(&mut Option<Source>) -> T + Send) -> Option<T> {
        with_lock_of(py, long, self.process.load(Ordering::Relaxed), &self.source, f)
    }

    fn know(&self, py: Python<'_>, directory: Arc<Directory>) {
        let known = Arc::new(Known::new(py, directory));
        let before = std::mem::replace(&mut *lock(py, &self.known), known);
        drop(before);
    }

    fn send(&self, py: Python<'_>, ty: u32, body: &[u8]) -> bool {
        let sent = self.with(py, body.len() > LARGE, |source| {
            let Some(Source::Live(client)) = source.as_mut() else { return false };
            let mut sent = client.control_send(ty, body);
            // A slot may have become free since.
            if matches!(sent, Err(SendError::NoReaderSlot { reader_slots: 1.. }))
                && let Ok(again) = Inner::open(client.name())
                && again.session_id() == client.session_id()
            {
                **client = again;
                sent = client.control_send(ty, body);
            }
            match sent {
                Ok(()) => true,
                Err(SendError::ReservedType) => client.reader_index().is_some(),
                Err(_) => false,
            }
        });
        sent == Some(true)
    }
}
