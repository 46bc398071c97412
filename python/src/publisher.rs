//! A publisher: the producer of a region.

use crate::draft::Draft;
use crate::errors;
use crate::fill::fill;
use crate::observe::ReaderInfo;
use crate::options::no_choice;
use crate::schema::Schema;
use crate::wait::{Deadline, LARGE, detached_if, lock};
use crate::writer::FrameWriter;
use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};
use shmx::error::BeginError;
use shmx::{Checksum, ElementType, Server, SharedServer, StreamSpec};
use std::sync::Arc;

/// Creates a region and publishes frames in it.
///
/// ::
///
///     with pyshmx.Publisher("cam", {"image": pyshmx.image(480, 640, "bgr8"), "tick": "u64"}) as pub:
///         with pub.frame(time=t) as f:
///             f["image"][:] = picture
///             f["tick"] = 7
///
/// `streams` maps names to what `pyshmx.stream` makes, or to short forms of it: a type ("u64", a dtype: one number in
/// each frame), (type, n): a vector of n numbers, (type, shape): an array. Arguments: `slots`, frames in the ring.
/// `readers`, how many can attach. `frame_bytes`, `directory_bytes` and `control_bytes`: sizes other than those that
/// follow from the streams. `checksum`: "auto", "always" or "never". `publish_time`: whether frames tell their age.
/// `mode`: permission bits. `replace`: also take the name of a region that holds no lock. `huge_pages`: ask for them.
///
/// Raises NameTaken, InvalidName, InvalidRegion, NoRoom, AccessDenied. Several threads may publish at once. It cannot
/// be pickled, and does nothing in a forked child.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Publisher {
    name: String,
    server: Mutex<Option<SharedServer>>,
    schema: Mutex<Arc<Schema>>,
}

/// A stream as `pyshmx._streams` describes it: number, name, type, components, elements in a frame, metadata.
type Described<'py> = (u32, String, String, u32, u32, Bound<'py, PyBytes>);

fn spec_of((id, name, element, components, elems, extra): Described<'_>) -> PyResult<(StreamSpec, u32)> {
    let element = ElementType::from_name(&element)
        .ok_or_else(|| PyTypeError::new_err(format!("stream {name}: no element type {element}")))?;
    Ok((StreamSpec::new(id, name, element, components).extra(extra.as_bytes()), elems))
}

impl Publisher {
    fn server(&self, py: Python<'_>) -> PyResult<SharedServer> {
        let server = lock(py, &self.server).clone();
        server.ok_or_else(|| {
            errors::error(py, "Closed", format!("the publisher of `{}` was closed; make another", self.name))
        })
    }

    /// Ends the waits of a publisher that another thread has closed.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.server(py).map(|_| ())
    }
}

#[pymethods]
impl Publisher {
    #[new]
    #[pyo3(signature = (name, streams, *, slots=None, readers=16, frame_bytes=None, directory_bytes=None,
                        control_bytes=4096, checksum="auto", publish_time=true, mode=0o600, replace=false,
                        huge_pages=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords of Python")]
    fn new(
        py: Python<'_>,
        name: String,
        streams: Bound<'_, PyAny>,
        slots: Option<u32>,
        readers: u32,
        frame_bytes: Option<u32>,
        directory_bytes: Option<u32>,
        control_bytes: u32,
        checksum: &str,
        publish_time: bool,
        mode: u32,
        replace: bool,
        huge_pages: bool,
    ) -> PyResult<Self> {
        let checksum = match checksum {
            "auto" => Checksum::Auto,
            "always" => Checksum::Always,
            "never" => Checksum::Never,
            _ => return Err(no_choice("checksum", checksum, "\"auto\", \"always\" or \"never\"")),
        };
        let described = py.import("pyshmx._streams")?.getattr("_describe")?.call1((streams,))?;
        let mut builder = Server::builder(name)
            .reader_slots(readers)
            .control_bytes(control_bytes)
            .checksum(checksum)
            .publish_time(publish_time)
            .mode(mode)
            .replace(replace)
            .huge_pages(huge_pages);
        for described in described.try_iter()? {
            let (spec, elems) = spec_of(described?.extract()?)?;
            builder = builder.stream(spec, elems);
        }
        if let Some(slots) = slots {
            builder = builder.slots(slots);
        }
        if let Some(bytes) = frame_bytes {
            builder = builder.frame_bytes(bytes);
        }
        if let Some(bytes) = directory_bytes {
            builder = builder.directory_bytes(bytes);
        }
        let server = py.detach(|| builder.create()).map_err(|e| errors::create(py, &e))?;
        let schema = Schema::new(py, server.directory())?;
        let name = server.name().to_owned();
        Ok(Self { name, server: Mutex::new(Some(server.into_shared())), schema: Mutex::new(schema) })
    }

    /// Name of the region.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Begins a frame; `time` is the producer's own. A block (`with`) publishes it at its end, and abandons it if it
    /// ends by an exception.
    ///
    /// Never waits: raises NoFreeSlot, which says who holds the slots, when readers hold all of them.
    ///
    /// With `wait`, seconds, nothing is lost: it waits until the readers with `every_frame=True` have taken what would be
    /// overwritten, and for a free slot. Raises NotTaken (a TimeoutError), which names the readers, when the time is up.
    #[pyo3(signature = (time=0.0, *, wait=None))]
    fn frame(&self, py: Python<'_>, time: f64, wait: Option<f64>) -> PyResult<FrameWriter> {
        let server = self.server(py)?;
        let schema = lock(py, &self.schema).clone();
        let Some(wait) = wait else {
            let draft = Draft::begin(server).map_err(|e| errors::begin(py, &e))?;
            return Ok(FrameWriter::new(draft, schema, time));
        };
        let deadline = Deadline::new(Some(wait))?;
        loop {
            let slice = deadline.slice();
            match py.detach(|| Draft::begin_when_taken(server.clone(), slice)) {
                Ok(draft) => return Ok(FrameWriter::new(draft, schema, time)),
                Err(BeginError::NotTaken { .. } | BeginError::NoFreeSlot { .. }) if !deadline.is_over() => {}
                Err(e) => return Err(errors::begin(py, &e)),
            }
            py.check_signals()?;
            self.check_open(py)?;
        }
    }

    /// Waits until each reader with `every_frame=True` has taken this frame and those before it. Raises NotTaken.
    #[pyo3(signature = (id, timeout=None))]
    fn wait_taken(&self, py: Python<'_>, id: u64, timeout: Option<f64>) -> PyResult<()> {
        let server = self.server(py)?;
        let deadline = Deadline::new(timeout)?;
        loop {
            let slice = deadline.slice();
            match py.detach(|| server.wait_taken(id, slice)) {
                Ok(()) => return Ok(()),
                Err(BeginError::NotTaken { .. }) if !deadline.is_over() => {}
                Err(e) => return Err(errors::begin(py, &e)),
            }
            py.check_signals()?;
            self.check_open(py)?;
        }
    }

    /// Publishes a frame of these values, by stream, and returns its number: as `frame` with one assignment for each.
    #[pyo3(signature = (values, time=0.0))]
    fn publish(&self, py: Python<'_>, values: &Bound<'_, PyDict>, time: f64) -> PyResult<u64> {
        let server = self.server(py)?;
        let schema = lock(py, &self.schema).clone();
        let draft = Arc::new(Draft::begin(server).map_err(|e| errors::begin(py, &e))?);
        // A copy: what converts values is code of others, and may change the dict.
        for (key, value) in values.copy()? {
            fill(py, schema.find(&key)?, &draft, &value)?;
        }
        let mut draft = Arc::try_unwrap(draft).map_err(|_| errors::error(py, "ViewsAlive", "the frame is in use"))?;
        let large = draft.used() as usize > LARGE;
        detached_if(py, large, || draft.publish(time)).map_err(|e| errors::publish(py, &e))
    }

    /// Takes messages from the readers, at most `max` of them. Waits for the first one up to `wait` seconds. A damaged
    /// ring loses what waits in it and harms no other.
    #[pyo3(signature = (max=256, *, wait=0.0))]
    fn messages(&self, py: Python<'_>, max: usize, wait: f64) -> PyResult<Vec<Message>> {
        let server = self.server(py)?;
        if wait == 0.0 {
            let batch = py.detach(|| server.poll_control(max));
            return Ok(batch.messages.into_iter().map(Message::from).collect());
        }
        let deadline = Deadline::new(Some(wait))?;
        loop {
            let slice = deadline.slice();
            let batch = py.detach(|| server.wait_control(max, slice)).map_err(|e| errors::begin(py, &e))?;
            if !batch.messages.is_empty() || deadline.is_over() {
                return Ok(batch.messages.into_iter().map(Message::from).collect());
            }
            py.check_signals()?;
            self.check_open(py)?;
        }
    }

    /// Every reader slot.
    #[getter]
    fn readers(&self, py: Python<'_>) -> PyResult<Vec<ReaderInfo>> {
        let server = self.server(py)?;
        Ok(py.detach(|| server.snapshot_readers()).into_iter().map(ReaderInfo::from).collect())
    }

    /// Adds a stream to the directory. Frames must have room for it (`frame_bytes`). Raises InvalidRegion.
    fn add_stream(&self, py: Python<'_>, name: &str, stream: Bound<'_, PyAny>) -> PyResult<()> {
        let server = self.server(py)?;
        let taken: Vec<u32> = server.directory().streams.iter().map(|s| s.id).collect();
        let described = py.import("pyshmx._streams")?.getattr("_describe_one")?.call1((name, stream, taken))?;
        let (spec, _) = spec_of(described.extract()?)?;
        server.add_stream(spec).map_err(|e| errors::add_stream(py, &e))?;
        *lock(py, &self.schema) = Schema::new(py, server.directory())?;
        Ok(())
    }

    /// Frames published so far.
    #[getter]
    fn published(&self, py: Python<'_>) -> PyResult<u64> {
        let server = self.server(py)?;
        Ok(py.detach(|| server.frames_published()))
    }

    /// Attached readers.
    #[getter]
    fn readers_connected(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.server(py)?.readers_connected())
    }

    /// Session: identifies this publisher's life.
    #[getter]
    fn session(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.server(py)?.session_id())
    }

    /// The streams by name.
    #[getter]
    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        lock(py, &self.schema).clone().infos(py)
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        lock(py, &self.server).is_none()
    }

    /// Ends the region: readers are told, and its name is removed. Arrays of open frames stay valid and reach nobody.
    fn close(&self, py: Python<'_>) {
        let server = lock(py, &self.server).take();
        py.detach(|| {
            if let Some(server) = server {
                server.end();
            }
        });
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

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "the publisher of `{}` cannot be pickled: a region has one producer; make it in the process that publishes, \
             and send its name to the others",
            self.name
        )))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Publisher of {:?}{}>", self.name, if self.closed(py) { ", closed" } else { "" })
    }
}

/// A message from a reader.
#[pyclass(frozen, get_all, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Message {
    /// Id of the reader that has the slot now.
    reader_id: u64,
    /// Index of its slot.
    reader: u32,
    /// Its type; from 0x3000 on the application's.
    r#type: u32,
    /// Its body.
    data: Py<PyBytes>,
}

impl From<shmx::ControlMsg> for Message {
    fn from(m: shmx::ControlMsg) -> Self {
        Python::attach(|py| Self {
            reader_id: m.reader_id,
            reader: m.reader_index,
            r#type: m.ty,
            data: PyBytes::new(py, &m.data).unbind(),
        })
    }
}

#[pymethods]
impl Message {
    fn __repr__(&self, py: Python<'_>) -> String {
        let len = self.data.bind(py).as_bytes().len();
        format!("<Message {:#x} of reader {}: {len} bytes>", self.r#type, self.reader)
    }
}
