//! The drop-in's server.

use super::answers::{header_dict, readers_list};
use super::args::{Name, U32, U64};
use crate::buffer::copy_out;
use crate::draft::Draft;
use crate::wait::{LARGE, detached_if, lock, with_lock_of};
use parking_lot::Mutex;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use shmx::SharedServer;
use shmx::abi::directory::StreamEntry;
use shmx::error::CreateError;
use std::time::Duration;

/// Publishes frames in a region. Without one until `create`.
#[pyclass(frozen, subclass, weakref, module = "pyshmx.compat", name = "Server")]
#[derive(Debug, Default)]
pub(crate) struct Server {
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    server: SharedServer,
    /// That created it. Asking for it is a system call, which is too much for each frame.
    process: u32,
}

/// A frame that was begun.
#[derive(Debug)]
enum Begun {
    /// Nothing is in it yet: it has no slot either, so that one which is never used costs none.
    New(SharedServer),
    Open(Draft),
    /// Published, or its server is gone, or there was no free slot for it.
    Done,
}

impl Begun {
    /// The frame with its slot; none if it is done.
    fn draft(&mut self) -> Option<&mut Draft> {
        let gone = match self {
            Self::New(server) => server.has_ended(),
            Self::Open(draft) => draft.server().has_ended(),
            Self::Done => return None,
        };
        if gone {
            *self = Self::Done;
        } else if matches!(self, Self::New(_))
            && let Self::New(server) = std::mem::replace(self, Self::Done)
        {
            *self = Draft::begin(server).map_or(Self::Done, Self::Open);
        }
        match self {
            Self::Open(draft) => Some(draft),
            _ => None,
        }
    }
}

/// What `begin_frame` gives. It is shown as the original's is; there is nothing to do with it but to pass it on.
#[pyclass(frozen, module = "builtins", name = "PyCapsule")]
#[derive(Debug)]
pub(crate) struct Handle {
    begun: Mutex<Begun>,
    /// That created its server.
    process: u32,
}

impl Handle {
    /// Does something with the frame, without the interpreter's lock if it may take long. None in a forked child whose
    /// parent was just filling it.
    fn with<T: Send>(&self, py: Python<'_>, long: bool, f: impl FnOnce(&mut Begun) -> T + Send) -> Option<T> {
        with_lock_of(py, long, self.process, &self.begun, f)
    }
}

#[pymethods]
impl Handle {
    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<capsule object NULL at {:p}>", slf.as_ptr())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Frames that were begun find that out.
        self.server.end();
    }
}

/// A stream as `create` is given it.
#[derive(Debug)]
struct Entry {
    id: u32,
    dtype_code: u32,
    components: u32,
    layout_code: u32,
    bytes_per_elem: u32,
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl Entry {
    fn of(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = item.py();
        let dict = match item.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            // What is no mapping and no pairs is a TypeError.
            Err(_) => py.get_type::<PyDict>().call1((item,))?.cast_into()?,
        };
        let needed = |key: &'static str| dict.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key));
        let number = |value: Bound<'_, PyAny>| {
            let found = value.extract::<U32>();
            found.map(|n| n.0).map_err(|_| PyRuntimeError::new_err(format!("{value:?} is no number of 32 bits")))
        };
        let id = number(needed("id")?)?;
        let dtype_code = number(needed("dtype_code")?)?;
        let components = number(needed("components")?)?;
        let layout_code = dict.get_item("layout_code")?.map_or(Ok(0), number)?;
        let bytes_per_elem = number(needed("bytes_per_elem")?)?;
        let name = needed("name")?;
        let name = match (name.cast::<PyString>(), name.cast::<PyBytes>()) {
            (Ok(text), _) => text.to_str()?.as_bytes().to_vec(),
            (_, Ok(bytes)) => bytes.as_bytes().to_vec(),
            _ => return Err(PyRuntimeError::new_err(format!("{name:?} is no name"))),
        };
        let extra = match dict.get_item("extra")? {
            None => Vec::new(),
            Some(extra) => match extra.cast::<PyBytes>() {
                Ok(bytes) => bytes.as_bytes().to_vec(),
                Err(_) => {
                    let kind = extra.get_type().name()?;
                    return Err(PyTypeError::new_err(format!("'extra' is bytes, not {kind}")));
                }
            },
        };
        Ok(Self { id, dtype_code, components, layout_code, bytes_per_elem, name, extra })
    }

    fn append_to(&self, directory: &mut Vec<u8>) -> Option<()> {
        let entry = StreamEntry {
            stream_id: self.id,
            element_type_code: self.dtype_code,
            components: self.components,
            layout_code: self.layout_code,
            bytes_per_elem: self.bytes_per_elem,
            name: &self.name,
            extra: &self.extra,
        };
        let start = directory.len();
        directory.resize(start + entry.encoded_len()? as usize, 0);
        entry.encode(&mut directory[start..]).map(|_| ())
    }
}

/// Says why a region could not be had, as the original's answers do not.
fn warn(py: Python<'_>, message: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("pyshmx.compat",))?;
    logger.call_method1("warning", ("%s", message)).map(|_| ())
}

impl Server {
    fn server(&self, py: Python<'_>) -> Option<SharedServer> {
        lock(py, &self.state).as_ref().map(|s| s.server.clone())
    }
}

/// The permission bits of the original: all, less those that the process takes away.
fn mode() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|l| l.strip_prefix("Umask:"));
    let umask = umask.and_then(|m| u32::from_str_radix(m.trim(), 8).ok()).unwrap_or(0o022);
    0o666 & !umask
}

#[pymethods]
impl Server {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Creates a region, after dropping what this server has. `streams`: dicts with the keys 'id', 'name', 'dtype_code',
    /// 'components', 'bytes_per_elem' and perhaps 'layout_code' and 'extra'.
    ///
    /// False if the sizes make no region, the system refuses, or a live server has the name; the logger `pyshmx.compat`
    /// says which. Raises KeyError for a missing key, RuntimeError or TypeError for a value of the wrong type.
    #[pyo3(signature = (name, slots=U32(3), reader_slots=U32(16), static_bytes_cap=U32(4096),
                        frame_bytes_cap=U32(65536), control_per_reader=U32(4096), streams=Streams(None)),
           text_signature = "($self, name, slots=3, reader_slots=16, static_bytes_cap=4096, frame_bytes_cap=65536, \
                             control_per_reader=4096, streams=[])")]
    #[expect(clippy::too_many_arguments, reason = "they are the original's")]
    fn create(
        &self,
        py: Python<'_>,
        name: Name,
        slots: U32,
        reader_slots: U32,
        static_bytes_cap: U32,
        frame_bytes_cap: U32,
        control_per_reader: U32,
        streams: Streams<'_>,
    ) -> PyResult<bool> {
        let mut directory = Vec::new();
        for item in streams.0.iter().flatten() {
            if Entry::of(&item)?.append_to(&mut directory).is_none() {
                return Ok(false);
            }
        }
        self.destroy(py);
        let Some(name) = name.0 else { return Ok(false) };
        let builder = shmx::Server::builder(name)
            .slots(slots.0)
            .reader_slots(reader_slots.0)
            .directory_bytes(static_bytes_cap.0)
            .frame_bytes(frame_bytes_cap.0)
            .control_bytes(control_per_reader.0)
            .directory(&directory)
            .mode(mode())
            // The original takes over whatever has the name; a server that lives is spared.
            .replace(true);
        match py.detach(|| builder.create()) {
            Ok(server) => {
                let state = State { server: server.into_shared(), process: std::process::id() };
                let before = lock(py, &self.state).replace(state);
                py.detach(|| drop(before));
                Ok(true)
            }
            Err(e) => {
                // What the original refuses too is told as quietly.
                if !matches!(e, CreateError::Name(_) | CreateError::Layout(_)) {
                    warn(py, &format!("create: {e:?}"))?;
                }
                Ok(false)
            }
        }
    }

    /// Ends the region: readers learn it, and the name is removed.
    fn destroy(&self, py: Python<'_>) {
        let state = lock(py, &self.state).take();
        py.detach(|| drop(state));
    }

    /// The header as it is now; {} without a region.
    fn get_header_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        header_dict(py, self.server(py).map(|s| s.header()))
    }

    /// Begins a frame. It gets its slot with its first stream; without a free one, appending and publishing are False.
    /// Raises RuntimeError without a region.
    fn begin_frame(&self, py: Python<'_>) -> PyResult<Handle> {
        let state = lock(py, &self.state);
        let Some(state) = state.as_ref() else {
            return Err(PyRuntimeError::new_err("no region: call create first"));
        };
        Ok(Handle { begun: Mutex::new(Begun::New(state.server.clone())), process: state.process })
    }

    /// Copies a stream's data, any contiguous buffer, into a frame. False if it does not fit, the frame was published,
    /// or its server is gone.
    fn append_stream(
        &self,
        py: Python<'_>,
        frame_handle: &Bound<'_, Handle>,
        stream_id: U32,
        data: &Bound<'_, PyAny>,
        elem_count: U32,
    ) -> PyResult<bool> {
        let copy;
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.as_bytes(),
            Err(_) => {
                let buffer = PyUntypedBuffer::get(data)?;
                let Some(copied) = copy_out(py, &buffer) else {
                    return Err(PyTypeError::new_err("the data does not lie in one piece; copy it first"));
                };
                copy = copied;
                &copy
            }
        };
        let appended = frame_handle.get().with(py, bytes.len() > LARGE, |begun| {
            begun.draft().is_some_and(|draft| draft.append(stream_id.0, elem_count.0, bytes).is_ok())
        });
        Ok(appended == Some(true))
    }

    /// Publishes a frame. False if it is empty, was published before, or its server is gone.
    fn publish_frame(&self, py: Python<'_>, frame_handle: &Bound<'_, Handle>, sim_time: f64) -> bool {
        let begun = frame_handle.get().with(py, false, |begun| std::mem::replace(begun, Begun::Done));
        let Some(Begun::Open(mut draft)) = begun else { return false };
        if draft.server().has_ended() {
            return false;
        }
        let large = draft.used() as usize > LARGE;
        detached_if(py, large, || draft.publish(sim_time).is_ok())
    }

    /// Messages from the readers, at most `max_messages`.
    #[pyo3(signature = (max_messages=U32(256)), text_signature = "($self, max_messages=256)")]
    fn poll_control<'py>(&self, py: Python<'py>, max_messages: U32) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let Some(server) = self.server(py) else { return Ok(list) };
        let mut batch = py.detach(|| server.poll_control(max_messages.0 as usize));
        batch.messages.sort_by_key(|m| m.reader_index);
        for m in batch.messages {
            let dict = PyDict::new(py);
            dict.set_item("reader_id", m.reader_id)?;
            dict.set_item("type", m.ty)?;
            dict.set_item("data", PyBytes::new(py, &m.data))?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// The reader slots as they are now; [] without a region.
    fn snapshot_readers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        readers_list(py, &self.server(py).map(|s| s.snapshot_readers()).unwrap_or_default())
    }

    /// Frees the slots of readers whose last sign of life is older than `timeout_ticks` nanoseconds at `now_ticks`
    /// (`time.monotonic_ns()`), and of those that died. Readers that hold their lock live, and stay. 1 if any was freed,
    /// else 0.
    fn reap_stale_readers(&self, py: Python<'_>, now_ticks: U64, timeout_ticks: U64) -> u32 {
        let Some(server) = self.server(py) else { return 0 };
        // The library counts from now.
        let real = i128::from(shmx::now_ticks());
        let timeout = (i128::from(timeout_ticks.0) + real - i128::from(now_ticks.0)).max(0);
        let timeout = Duration::from_nanos(u64::try_from(timeout).unwrap_or(u64::MAX));
        py.detach(|| u32::from(!server.reap_stale_readers(timeout).is_empty()))
    }

    /// Appends the first `length` bytes of `data`, whole records, to the directory; False if they are none, or there is
    /// no room.
    fn write_static_append(&self, py: Python<'_>, data: &Bound<'_, PyAny>, length: U32) -> PyResult<bool> {
        let Some(bytes) = copy_out(py, &PyUntypedBuffer::get(data)?) else { return Ok(false) };
        let (Some(server), Some(records)) = (self.server(py), bytes.get(..length.0 as usize)) else {
            return Ok(false);
        };
        Ok(py.detach(|| server.write_static_append(records)).is_ok())
    }
}

/// The streams of `create`: a list, as nothing else is taken.
#[derive(Debug)]
struct Streams<'py>(Option<Bound<'py, PyList>>);

impl<'py> FromPyObject<'_, 'py> for Streams<'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(given.cast::<PyList>()?.to_owned())))
    }
}
