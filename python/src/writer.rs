//! A frame under construction, as Python has it.

use crate::draft::Draft;
use crate::errors;
use crate::fill::{fill, room};
use crate::pieces::{Fill, Open, done};
use crate::schema::{Schema, StreamDesc};
use crate::wait::{Alone, LARGE, detached_if, lock, take_alone};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A frame under construction, in the slot that it will be read from: `Publisher.frame`.
///
/// `f[name] = values` copies values, whose type and shape must be those of the stream. `f[name]` is a writable array in
/// the slot, which holds whatever an earlier frame left there: write all of it. Arrays must be gone before the frame is
/// published.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct FrameWriter {
    open: Arc<Open>,
    /// Bits of the producer's time.
    time: AtomicU64,
    /// Number of the published frame; 0 before.
    id: AtomicU64,
}

impl FrameWriter {
    pub(crate) fn new(draft: Draft, schema: Arc<Schema>, time: f64) -> Self {
        let time = AtomicU64::new(time.to_bits());
        let open = Arc::new(Open { draft: Mutex::new(Some(Arc::new(draft))), schema });
        Self { open, time, id: AtomicU64::new(0) }
    }
}

/// Bytes of a stream whose open dimension is `n`.
fn bytes_with(py: Python<'_>, stream: &StreamDesc, n: usize) -> PyResult<usize> {
    let dims: Vec<usize> = stream.shape.dims.iter().map(|&d| if d == 0 { n } else { d }).collect();
    let len = stream.shape.bytes_of(&dims);
    len.ok_or_else(|| errors::error(py, "StreamMismatch", format!("{n} is more than a frame can hold")))
}

fn in_use(py: Python<'_>, views: usize) -> PyErr {
    let message = format!(
        "the frame cannot be published: {views} of its arrays are in use, and could change it afterwards; `del` them \
         before the end of the block"
    );
    errors::error(py, "ViewsAlive", message)
}

#[pymethods]
impl FrameWriter {
    /// The producer's own time.
    #[getter]
    fn time(&self) -> f64 {
        f64::from_bits(self.time.load(Ordering::Relaxed))
    }

    #[setter]
    fn set_time(&self, time: f64) {
        self.time.store(time.to_bits(), Ordering::Relaxed);
    }

    /// Number of the published frame; None before.
    #[getter]
    fn id(&self) -> Option<u64> {
        Some(self.id.load(Ordering::Relaxed)).filter(|&id| id > 0)
    }

    /// A writable array in the slot. Raises UnknownStream, StreamMismatch where frames choose the length (`reserve`),
    /// FrameFull, Closed.
    #[inline]
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        room(py, self.open.schema.find(key)?, &self.open.draft(py)?, None)
    }

    /// Copies values. Raises UnknownStream, StreamMismatch for another type or shape, FrameFull, Closed.
    #[inline]
    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        fill(py, self.open.schema.find(key)?, &self.open.draft(py)?, value)
    }

    /// A writable array of a stream whose frames choose a dimension, which is `n` in this one.
    fn reserve<'py>(&self, key: &Bound<'py, PyAny>, n: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let stream = self.open.schema.find(key)?;
        room(py, stream, &self.open.draft(py)?, Some(bytes_with(py, stream, n)?))
    }

    /// Begins a stream that is filled from its first row to its last, and handed out as it is filled: readers that
    /// follow the frame (`Reader.follow`) have rows before it is published. `n` is the dimension that frames choose.
    ///
    /// One stream after the other is filled so, and all of it must be before the frame is published (Unfinished). Streams
    /// that were put in before are handed out with it; they must be complete, and cannot be changed any more. Raises
    /// StreamMismatch, UnknownStream, FrameFull, Unfinished, Closed.
    #[pyo3(signature = (key, n=None))]
    fn fill(&self, key: &Bound<'_, PyAny>, n: Option<usize>) -> PyResult<Fill> {
        let py = key.py();
        let stream = self.open.schema.find(key)?;
        let len = match (n, stream.shape.bytes()) {
            (None, Some(len)) => len,
            (Some(n), _) => bytes_with(py, stream, n)?,
            (None, None) => {
                let message = format!(
                    "stream {} has shape {}: say how much of it this frame has, by `frame.fill({:?}, n)`",
                    stream.name,
                    stream.shape.text(),
                    stream.name
                );
                return Err(errors::error(py, "StreamMismatch", message));
            }
        };
        Fill::begin(py, self.open.clone(), stream, len)
    }

    /// Publishes the frame and returns its number. Raises ViewsAlive (a BufferError), and publishes nothing, while
    /// arrays of it live.
    fn publish(&self, py: Python<'_>) -> PyResult<u64> {
        let found = take_alone(&mut lock(py, &self.open.draft));
        let mut draft = match found {
            Alone::Yes(draft) => draft,
            Alone::No { views } => return Err(in_use(py, views)),
            Alone::Nothing => return Err(done(py)),
        };
        let (time, large) = (self.time(), draft.used() as usize > LARGE);
        let id = detached_if(py, large, || draft.publish(time)).map_err(|e| errors::publish(py, &e))?;
        self.id.store(id, Ordering::Relaxed);
        Ok(id)
    }

    /// Gives the slot back without publishing; once the last array of it is gone.
    fn abandon(&self, py: Python<'_>) {
        lock(py, &self.open.draft).take();
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (kind=None, _value=None, _traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyType>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // Published or abandoned in the block already.
        if lock(py, &self.open.draft).is_none() {
            return Ok(());
        }
        let done = if kind.is_some() { Ok(0) } else { self.publish(py) };
        self.abandon(py);
        done.map(|_| ())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = match (self.id(), lock(py, &self.open.draft).is_some()) {
            (Some(id), _) => format!("published as {id}"),
            (None, true) => "open".to_owned(),
            (None, false) => "abandoned".to_owned(),
        };
        format!("<FrameWriter at {}: {state}>", self.time())
    }
}
