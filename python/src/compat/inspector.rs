//! The drop-in's inspector.

use super::answers::{header_dict, readers_list, streams_list};
use super::args::Name;
use crate::wait::lock;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::Arc;

/// Looks at a region without changing anything in it. Closed until `open`.
#[pyclass(frozen, subclass, weakref, module = "pyshmx.compat", name = "Inspector")]
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    inner: Mutex<Option<Arc<shmx::Inspector>>>,
}

impl Inspector {
    fn inner(&self, py: Python<'_>) -> Option<Arc<shmx::Inspector>> {
        lock(py, &self.inner).clone()
    }
}

#[pymethods]
impl Inspector {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Opens a region, after closing what is open; False if that fails.
    fn open(&self, py: Python<'_>, name: Name) -> bool {
        self.close(py);
        let Some(name) = name.0 else { return false };
        let Ok(inner) = py.detach(|| shmx::Inspector::open(&name)) else { return false };
        *lock(py, &self.inner) = Some(Arc::new(inner));
        true
    }

    /// Lets the region go.
    fn close(&self, py: Python<'_>) {
        let inner = lock(py, &self.inner).take();
        py.detach(|| drop(inner));
    }

    /// The header as it is now; {} when closed.
    fn get_header_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        header_dict(py, self.inner(py).map(|i| i.header()))
    }

    /// The streams as they are now; [] when closed.
    fn get_streams_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let directory = self.inner(py).and_then(|i| i.directory().ok());
        streams_list(py, directory.as_deref())
    }

    /// The reader slots as they are now; [] when closed.
    fn get_readers_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        readers_list(py, &self.inner(py).map(|i| i.snapshot_readers()).unwrap_or_default())
    }

    /// Counts, streams and readers at once; {} when closed.
    fn inspect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let Some(inner) = self.inner(py) else { return Ok(dict) };
        let h = inner.header();
        dict.set_item("session_id", h.session_id)?;
        dict.set_item("static_gen", h.static_gen)?;
        dict.set_item("frame_seq", h.frame_seq)?;
        dict.set_item("readers_connected", h.readers_connected)?;
        dict.set_item("streams", streams_list(py, inner.directory().ok().as_deref())?)?;
        dict.set_item("readers", readers_list(py, &inner.snapshot_readers())?)?;
        Ok(dict)
    }
}
