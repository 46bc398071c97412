//! A frame in the reader's hands.

use crate::buffer::View;
use crate::errors;
use crate::schema::{Schema, StreamDesc};
use crate::wait::{Alone, lock, take_alone};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView, PyType};
use shmx::{ChecksumState, ElementType, OwnedFrame};
use std::sync::Arc;

/// One frame: a mapping from stream names to their data.
///
/// Arrays rest on the frame's slot in shared memory and keep it, also after the frame and its reader are gone; each slot
/// so kept is one less for the producer. Small frames, and frames that would leave the producer too little room, are
/// private copies.
#[pyclass(frozen, weakref, mapping, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Frame {
    /// None once released.
    held: Mutex<Option<Arc<OwnedFrame>>>,
    schema: Arc<Schema>,
    facts: Facts,
}

/// What stays known after the frame is released.
#[derive(Debug)]
struct Facts {
    id: u64,
    time: f64,
    session: u64,
    slot: u32,
    missed: u64,
    nbytes: usize,
    leased: bool,
    checksum: ChecksumState,
    published: Option<shmx::abi::extension::PublishTime>,
}

impl Frame {
    pub(crate) fn new(frame: OwnedFrame, schema: Arc<Schema>) -> Self {
        Self::of(Arc::new(frame), schema)
    }

    /// A frame of which arrays may be in use.
    pub(crate) fn of(frame: Arc<OwnedFrame>, schema: Arc<Schema>) -> Self {
        let facts = Facts {
            id: frame.frame_id(),
            time: frame.sim_time(),
            session: frame.session_id(),
            slot: frame.slot(),
            missed: frame.missed_before(),
            nbytes: frame.payload().len(),
            leased: frame.is_leased(),
            checksum: frame.checksum(),
            published: frame.publish_time(),
        };
        Self { held: Mutex::new(Some(frame)), schema, facts }
    }

    #[inline]
    fn frame(&self, py: Python<'_>) -> PyResult<Arc<OwnedFrame>> {
        let held = lock(py, &self.held).clone();
        held.ok_or_else(|| {
            errors::error(py, "Closed", format!("frame {} was released; take its arrays before", self.facts.id))
        })
    }

    fn carried<'f>(&self, py: Python<'_>, frame: &'f OwnedFrame, stream: &StreamDesc) -> PyResult<&'f [u8]> {
        match frame.stream(stream.id) {
            Ok(Some(found)) => Ok(found.data),
            Ok(None) => {
                let known = self.names(frame);
                let message = format!(
                    "frame {} does not carry stream {}; it has {}",
                    self.facts.id,
                    stream.name,
                    known.join(", ")
                );
                Err(errors::unknown(py, message, known))
            }
            Err(e) => Err(damaged(py, &e)),
        }
    }

    fn names(&self, frame: &OwnedFrame) -> Vec<String> {
        let named = |id| self.schema.by_id(id).map(|s| s.name.clone());
        frame.streams().map_while(Result::ok).filter_map(|s| named(s.stream_id)).collect()
    }
}

fn damaged(py: Python<'_>, e: &shmx::abi::frame::FrameError) -> PyErr {
    errors::error(py, "InvalidData", format!("the frame's payload is damaged: {e}"))
}

#[pymethods]
impl Frame {
    /// The frame's number: 1 for the first one published, one more for each.
    #[getter]
    fn id(&self) -> u64 {
        self.facts.id
    }

    /// The producer's own time.
    #[getter]
    fn time(&self) -> f64 {
        self.facts.time
    }

    /// Seconds since the frame was published; None if its producer gives no time.
    #[getter]
    fn age(&self) -> Option<f64> {
        Some(self.facts.published?.age_ns(shmx::now_ticks())? as f64 * 1e-9)
    }

    /// Frames that the reader missed between the one that it took before and this one.
    #[getter]
    fn missed(&self) -> u64 {
        self.facts.missed
    }

    /// Session of the server that wrote it.
    #[getter]
    fn session(&self) -> u64 {
        self.facts.session
    }

    /// Slot that it lies or lay in.
    #[getter]
    fn slot(&self) -> u32 {
        self.facts.slot
    }

    /// Bytes of its payload, descriptions of the streams included.
    #[getter]
    fn nbytes(&self) -> usize {
        self.facts.nbytes
    }

    /// Whether it lies in shared memory, and so keeps a slot from the producer; otherwise it is a private copy.
    #[getter]
    fn leased(&self) -> bool {
        self.facts.leased
    }

    /// "verified", "unverified" (wholeness was proven otherwise), "absent" or, from an inspector, "mismatch".
    #[getter]
    fn checksum(&self) -> &'static str {
        match self.facts.checksum {
            ChecksumState::Verified => "verified",
            ChecksumState::Mismatch => "mismatch",
            ChecksumState::Absent => "absent",
            _ => "unverified",
        }
    }

    /// Whether it was released.
    #[getter]
    fn released(&self, py: Python<'_>) -> bool {
        lock(py, &self.held).is_none()
    }

    /// The data of a stream, by its name or number: a read-only array without a copy, or a number where every frame has
    /// one. Without numpy a memoryview.
    ///
    /// Raises UnknownStream (a KeyError) if there is no such stream or the frame does not carry it, InvalidData if it is
    /// not what the directory says, Closed if the frame was released.
    #[inline]
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let frame = self.frame(py)?;
        let stream = self.schema.find(key)?;
        let data = self.carried(py, &frame, stream)?;
        stream.read(py, data, |elements| View::of_frame(&frame, data, elements))
    }

    /// The data of a stream, or `default` if the frame does not carry it.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.__getitem__(key) {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.is_instance_of::<pyo3::exceptions::PyKeyError>(key.py()) => Ok(default),
            Err(e) => Err(e),
        }
    }

    /// The bytes of a stream as they are, read-only and without a copy.
    fn bytes<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyMemoryView>> {
        let py = key.py();
        let frame = self.frame(py)?;
        let data = self.carried(py, &frame, self.schema.find(key)?)?;
        let view = View::of_frame(&frame, data, None)
            .ok_or_else(|| errors::error(py, "InvalidData", "the frame's payload is damaged"))?;
        PyMemoryView::from(Bound::new(py, view)?.as_any())
    }

    /// The data of a stream as a tensor of torch, which knows no read-only tensors: so always a copy. Raises ViewsAlive
    /// (a BufferError) for `copy=False`.
    #[pyo3(signature = (key, copy=true))]
    fn torch<'py>(&self, key: &Bound<'py, PyAny>, copy: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        if !copy {
            return Err(errors::error(
                py,
                "ViewsAlive",
                "a tensor would be writable, and a frame is not; take it with copy=True",
            ));
        }
        let array = self.__getitem__(key)?;
        py.import("pyshmx._streams")?
            .getattr("_torch")?
            .call1((array, self.schema.find(key)?.element.map(ElementType::name)))
    }

    /// Names of the streams that the frame carries, in its order.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.names(&*self.frame(py)?))
    }

    /// The data of all streams by name.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let frame = self.frame(py)?;
        let carried = frame.streams().map_while(Result::ok);
        carried
            .filter_map(|found| {
                let stream = self.schema.by_id(found.stream_id)?;
                let data = stream.read(py, found.data, |elements| View::of_frame(&frame, found.data, elements));
                Some(data.map(|data| (stream.name.clone(), data)))
            })
            .collect()
    }

    /// Private copies of all arrays, by name: for keeping, without keeping the slot.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        let copy = py.import("pyshmx._streams")?.getattr("_copy")?;
        for (name, data) in self.items(py)? {
            all.set_item(name, copy.call1((data,))?)?;
        }
        Ok(all)
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let frame = self.frame(key.py())?;
        let Ok(stream) = self.schema.find(key) else { return Ok(false) };
        Ok(frame.stream(stream.id).is_ok_and(|found| found.is_some()))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.keys(py)?.into_pyobject(py)?.try_iter()?.into_any())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.keys(py)?.len())
    }

    /// Gives the slot back. Raises ViewsAlive (a BufferError), and releases nothing, while arrays of the frame live.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let found = take_alone(&mut lock(py, &self.held));
        match found {
            Alone::No { views } => {
                let message = format!(
                    "frame {} cannot be released: {views} of its arrays are in use; `del` them, or take copies",
                    self.facts.id
                );
                Err(errors::error(py, "ViewsAlive", message))
            }
            Alone::Yes(_) | Alone::Nothing => Ok(()),
        }
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
        match self.release(py) {
            // The traceback of an error holds the block's variables: the slot goes back with it.
            Err(_) if kind.is_some() => {
                lock(py, &self.held).take();
                Ok(())
            }
            other => other,
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message =
            "a frame cannot be pickled; send its name and let the other process open a Reader, or send a copy";
        Err(pyo3::exceptions::PyTypeError::new_err(message))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let Facts { id, time, nbytes, leased, .. } = &self.facts;
        let state = match (self.released(py), leased) {
            (true, _) => "released",
            (false, true) => "leased",
            (false, false) => "copy",
        };
        format!("<Frame {id} at {time}: {nbytes} bytes, {state}>")
    }
}
