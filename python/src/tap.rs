//! A tap: follows a region without being noticed.

use crate::errors;
use crate::frame::Frame;
use crate::options::{start_of, verify_of};
use crate::schema::Schema;
use crate::stats::Stats;
use crate::wait::{Deadline, lock, lock_of};
use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use shmx::error::ReadError;
use shmx::{Frame as Borrowed, OwnedFrame, Tap as Inner};
use std::sync::Arc;

/// Follows every frame of a region through a read-only mapping: `pyshmx.tap(name)`.
///
/// It takes no reader slot and changes nothing, so neither the server nor its readers can tell that it is there. Frames
/// are private copies. It waits by polling, and outlives the server: what it has left is read to the end. It begins with
/// the oldest frame in the ring, or the newest (`start`).
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Tap {
    name: String,
    inner: Mutex<Option<Inner>>,
    /// That made it.
    process: u32,
    schema: Mutex<Arc<Schema>>,
}

impl Tap {
    fn with<T: Send>(&self, py: Python<'_>, f: impl FnOnce(&mut Inner) -> Result<T, ReadError> + Send) -> PyResult<T> {
        let done = py.detach(|| match lock_of(self.process, &self.inner) {
            Some(mut inner) => {
                let done = inner.as_mut().map(f);
                // As in a reader.
                MutexGuard::unlock_fair(inner);
                done
            }
            None => Some(Err(ReadError::Forked)),
        });
        match done {
            Some(done) => done.map_err(|e| errors::read(py, &e)),
            None => Err(errors::closed(py, &self.name)),
        }
    }

    fn frame(&self, py: Python<'_>, frame: OwnedFrame) -> PyResult<Frame> {
        let directory = self.with(py, |tap| Ok(tap.directory().ok())).ok().flatten();
        let known = lock(py, &self.schema).clone();
        let schema = match directory {
            Some(now) if !Arc::ptr_eq(&now, &known.directory) && *now != *known.directory => {
                let new = Schema::new(py, now)?;
                *lock(py, &self.schema) = new.clone();
                new
            }
            _ => known,
        };
        Ok(Frame::new(frame, schema))
    }

    fn take(&self, py: Python<'_>, every: bool, timeout: Option<f64>) -> PyResult<Option<Frame>> {
        let deadline = Deadline::new(timeout)?;
        loop {
            let slice = deadline.slice();
            let found = self.with(py, |tap| {
                let found = if every { tap.next(slice)? } else { tap.wait(slice)? };
                Ok(found.map(Borrowed::keep))
            })?;
            if let Some(found) = found {
                return Ok(Some(self.frame(py, found)?));
            }
            if deadline.is_over() {
                return Ok(None);
            }
            py.check_signals()?;
        }
    }
}

#[pymethods]
impl Tap {
    #[new]
    #[pyo3(signature = (name, *, start="oldest", verify="auto"))]
    fn new(py: Python<'_>, name: &str, start: &str, verify: &str) -> PyResult<Self> {
        let options = Inner::options().start(start_of(start)?).verify(verify_of(verify)?);
        let inner = py.detach(|| options.open(name)).map_err(|e| errors::open(py, &e))?;
        let directory = inner.directory().map_err(|e| errors::directory(py, &e))?;
        let name = inner.name().to_owned();
        let (inner, process) = (Mutex::new(Some(inner)), std::process::id());
        Ok(Self { name, inner, process, schema: Mutex::new(Schema::new(py, directory)?) })
    }

    /// Name of the region.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The oldest frame that was not taken yet, else None. Never waits.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let found = self.with(py, |tap| Ok(tap.try_next()?.map(Borrowed::keep)))?;
        found.map(|f| self.frame(py, f)).transpose()
    }

    /// The newest frame if it was not taken yet, else None. Never waits.
    fn try_wait(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let found = self.with(py, |tap| Ok(tap.try_wait()?.map(Borrowed::keep)))?;
        found.map(|f| self.frame(py, f)).transpose()
    }

    /// The newest frame, taken before or not; None while there is none. Never waits.
    fn latest(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let found = self.with(py, |tap| Ok(tap.latest()?.map(Borrowed::keep)))?;
        found.map(|f| self.frame(py, f)).transpose()
    }

    /// Waits `timeout` seconds (None: for ever) for the next frame in order. Raises Timeout, ServerGone, FrameRejected.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Frame> {
        self.take(py, true, timeout)?.ok_or_else(|| errors::timed_out(py, &self.name))
    }

    /// The same for a frame newer than the last one taken: the newest.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Frame> {
        self.take(py, false, timeout)?.ok_or_else(|| errors::timed_out(py, &self.name))
    }

    /// Every frame in order, until the server is gone and none is left.
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        match self.take(py, true, None) {
            Err(e) if e.is_instance_of::<pyo3::exceptions::PyEOFError>(py) => Ok(None),
            other => other,
        }
    }

    /// Counts since the region was opened.
    #[getter]
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        self.with(py, |tap| {
            let stats = tap.stats();
            let (delivered, missed, rejected) = (stats.delivered, stats.missed, stats.rejected);
            Ok(Stats { delivered, missed, rejected, ..Stats::default() })
        })
    }

    /// Frames published and not yet taken, those lost among them.
    #[getter]
    fn behind(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |tap| Ok(tap.behind()))
    }

    /// The streams of the region by name.
    #[getter]
    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock(py, &self.schema).clone().infos(py)
    }

    /// What is known of the server: "live", "closed", "died", "reference" (it holds no lock) or "unknown".
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with(py, |tap| Ok(crate::observe::state_name(tap.state())))
    }

    /// Lets the region go.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock_of(self.process, &self.inner).and_then(|mut inner| inner.take())));
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (_kind=None, _value=None, _traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: Option<&Bound<'_, PyType>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        format!("<Tap of {:?}>", self.name)
    }
}
