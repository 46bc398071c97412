//! Looking at regions from outside.

use crate::errors;
use crate::frame::Frame;
use crate::schema::Schema;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use shmx::{RegionKind, ServerState};
use std::path::PathBuf;

/// What is known of a server, as Python has it.
pub(crate) fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Live => "live",
        ServerState::Closed => "closed",
        ServerState::Died => "died",
        ServerState::Reference => "reference",
        _ => "unknown",
    }
}

/// A reader slot of a region at one moment.
#[pyclass(frozen, get_all, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct ReaderInfo {
    /// Its place.
    index: u32,
    /// Id of the reader, 0 while free.
    reader_id: u64,
    /// Whether it is taken.
    in_use: bool,
    /// Its process, if it says so.
    pid: Option<u32>,
    /// Steady clock of its last sign of life, nanoseconds; 0 until the first.
    heartbeat: u64,
    /// Number of the last frame it took.
    last_frame_seen: u64,
    /// Frame slots that it keeps from the producer.
    leased: u32,
    /// Frames it took, if it counts them.
    delivered: Option<u64>,
    /// Frames it missed, if it counts them.
    missed: Option<u64>,
}

impl From<shmx::ReaderInfo> for ReaderInfo {
    fn from(r: shmx::ReaderInfo) -> Self {
        Self {
            index: r.index,
            reader_id: r.reader_id,
            in_use: r.in_use,
            pid: r.extension.map(|e| e.pid).filter(|&p| p != 0),
            heartbeat: r.heartbeat,
            last_frame_seen: r.last_frame_seen,
            leased: r.leased_slots,
            delivered: r.extension.map(|e| e.delivered),
            missed: r.extension.map(|e| e.missed),
        }
    }
}

#[pymethods]
impl ReaderInfo {
    fn __repr__(&self) -> String {
        let pid = self.pid.map_or("None".to_owned(), |p| p.to_string());
        format!("<ReaderInfo {}: in_use={}, pid={pid}, leased={}>", self.index, self.in_use, self.leased)
    }
}

/// Looks at a region through a read-only mapping, or at a dump of one (`file`): header, streams, readers, frames. Works
/// on what a dead server has left, too. Nothing it does can change the region.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Inspector {
    inner: shmx::Inspector,
    name: String,
}

impl Inspector {
    fn schema(&self, py: Python<'_>) -> PyResult<std::sync::Arc<Schema>> {
        let directory = py.detach(|| self.inner.directory()).map_err(|e| errors::directory(py, &e))?;
        Schema::new(py, directory)
    }
}

#[pymethods]
impl Inspector {
    #[new]
    #[pyo3(signature = (name=None, *, file=None))]
    fn new(py: Python<'_>, name: Option<String>, file: Option<PathBuf>) -> PyResult<Self> {
        let (inner, name) = match (name, file) {
            (Some(name), None) => (py.detach(|| shmx::Inspector::open(&name)), name),
            (None, Some(file)) => (py.detach(|| shmx::Inspector::open_file(&file)), file.display().to_string()),
            _ => return Err(pyo3::exceptions::PyTypeError::new_err("give a name, or a file")),
        };
        Ok(Self { inner: inner.map_err(|e| errors::open(py, &e))?, name })
    }

    /// Name of the region, or path of the dump.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// What is known of the server: "live", "closed", "died", "reference" (it holds no lock) or "unknown".
    #[getter]
    fn state(&self) -> &'static str {
        state_name(self.inner.server_state())
    }

    /// The header as it is now: sizes, counts, session.
    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (h, layout) = (self.inner.header(), self.inner.layout());
        let header = PyDict::new(py);
        header.set_item("session_id", h.session_id)?;
        header.set_item("server_pid", Some(h.ext_server_pid).filter(|&p| p != 0))?;
        header.set_item("frame_seq", h.frame_seq)?;
        header.set_item("readers_connected", h.readers_connected)?;
        header.set_item("static_gen", h.static_gen)?;
        header.set_item("slots", layout.slots())?;
        header.set_item("frame_bytes_cap", layout.frame_bytes_cap())?;
        header.set_item("reader_slots", layout.reader_slots())?;
        header.set_item("control_per_reader", layout.control_per_reader())?;
        header.set_item("total_bytes", layout.total_bytes())?;
        Ok(header)
    }

    /// The streams of the region by name.
    #[getter]
    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.schema(py)?.infos(py)
    }

    /// Every reader slot.
    #[getter]
    fn readers(&self, py: Python<'_>) -> Vec<ReaderInfo> {
        py.detach(|| self.inner.snapshot_readers()).into_iter().map(ReaderInfo::from).collect()
    }

    /// A copy of the newest frame, None while there is none. Its checksum is compared and shown, not enforced.
    fn latest(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let found = py.detach(|| self.inner.latest()).map_err(|e| errors::read(py, &e))?;
        found.map(|f| Ok(Frame::new(f, self.schema(py)?))).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<Inspector of {:?}, {}>", self.name, self.state())
    }
}

/// A shared-memory object of the machine.
#[pyclass(frozen, get_all, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct RegionInfo {
    /// Its name.
    name: String,
    /// Its bytes.
    nbytes: u64,
    /// The user that owns it.
    uid: u32,
    /// Its permission bits.
    mode: u32,
    /// Of its server: "live", "closed", "died", "reference" or "unknown"; "damaged" or "unreadable" where it cannot be
    /// known.
    state: &'static str,
    /// Why it is damaged or unreadable.
    problem: Option<String>,
}

#[pymethods]
impl RegionInfo {
    fn __repr__(&self) -> String {
        format!("<RegionInfo {:?}: {} bytes, {}>", self.name, self.nbytes, self.state)
    }
}

/// The regions of this machine, sorted by name. Nothing is written or locked. Raises Unsupported where the platform
/// cannot list them.
#[pyfunction]
pub(crate) fn list(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let all = py.detach(shmx::list).map_err(|e| errors::step(py, &e))?;
    let infos = all.into_iter().filter_map(|listed| {
        let (state, problem) = match listed.kind {
            RegionKind::Region { server, .. } => (state_name(server), None),
            RegionKind::Damaged(e) => ("damaged", Some(e.to_string())),
            RegionKind::Unreadable(e) => ("unreadable", Some(format!("{e:?}"))),
            _ => return None,
        };
        let object = listed.object;
        let (name, nbytes) = (object.name.to_string(), object.len);
        Some(RegionInfo { name, nbytes, uid: object.uid, mode: object.mode, state, problem })
    });
    let found: Vec<_> = infos.map(|i| Bound::new(py, i)).collect::<PyResult<_>>()?;
    PyList::new(py, found)
}

/// Removes what a dead server has left under a name. With `force` also what holds no lock: a region of another
/// implementation, perhaps in use, or an object that is no region. True if something was removed.
///
/// Raises NotFound, and NameTaken where it must not be removed.
#[pyfunction]
#[pyo3(signature = (name, *, force=false))]
pub(crate) fn remove(py: Python<'_>, name: &str, force: bool) -> PyResult<bool> {
    let removed = py.detach(|| shmx::remove(name, force)).map_err(|e| errors::remove(py, &e))?;
    Ok(removed != shmx::Removed::Nothing)
}

/// Nanoseconds of the machine's steady clock: the one of publish times and heartbeats.
#[pyfunction]
pub(crate) fn now_ticks() -> u64 {
    shmx::now_ticks()
}
