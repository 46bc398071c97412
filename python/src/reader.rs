//! A reader: the newest frames, or each in order.
//!
//! Length: the methods of a class of Python are one block.

use crate::buffer::body;
use crate::errors;
use crate::frame::Frame;
use crate::growing::{self, Found, Growing};
use crate::options::Settings;
use crate::schema::Schema;
use crate::seat::Seat;
use crate::stats::Stats;
use crate::wait::{Deadline, LARGE, lock};
use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use shmx::error::ReadError;
use shmx::{Client, ControlSender, Frame as Borrowed, Order, OwnedFrame, WaitSet};
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Reads a region: the newest frame each time, or every frame in order.
///
/// ::
///
///     with pyshmx.Reader("cam", wait=5) as cam:
///         for frame in cam:
///             with frame:
///                 show(frame["image"])
///
/// Arguments: `wait`, seconds to wait for a server (None: not at all). `copy`: True takes private copies, False leases
/// in any case, None leases where that leaves the producer enough slots. `start`: "newest" or "oldest". `verify`: when
/// checksums are compared, "auto", "always" or "never". `reconnect`: go over to a successor of the server. `every_frame`:
/// ask the publisher to overwrite nothing that this reader has not taken (`Publisher.frame(wait=...)`). `require_slot`:
/// fail where all reader slots are taken; without one frames are copied and nothing can be sent. `spin`: seconds to poll
/// before sleeping. `prefault`: map the whole region now. `huge_pages`: map with huge pages what the server has so.
///
/// Raises NotFound, ServerGone, NotARegion, AccessDenied, NoReaderSlot, InvalidName.
///
/// Several threads may use a reader; each frame goes to one of them. In another process it opens the region again
/// when it is unpickled. A forked child must open its own.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Reader {
    seat: Arc<Seat>,
    control: ControlSender,
    schema: Mutex<Arc<Schema>>,
    /// A frame that was taken ahead by [`Reader::await_news`].
    ahead: Mutex<Option<OwnedFrame>>,
    /// Whether no frame is large.
    small: bool,
    settings: Settings,
}

/// Why there is no frame.
enum Nothing {
    /// Or it is lent to a frame that is followed.
    Closed,
    Error(ReadError),
}

impl From<ReadError> for Nothing {
    fn from(e: ReadError) -> Self {
        Self::Error(e)
    }
}

impl Reader {
    /// Does something with the client, in a thread without the interpreter's lock if it may take long.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        long: bool,
        f: impl FnOnce(&mut Client) -> Result<T, ReadError> + Send,
    ) -> PyResult<T> {
        let on = |client: &mut Option<Client>| Ok(f(client.as_mut().ok_or(Nothing::Closed)?)?);
        let done: Result<T, Nothing> = match if long { None } else { self.seat.try_lock() } {
            Some(mut client) => on(&mut client),
            None => py.detach(|| {
                let mut client = self.seat.lock().ok_or(ReadError::Forked)?;
                let done = on(&mut client);
                // A thread in a wait locks again at once, and would keep the others out for long.
                MutexGuard::unlock_fair(client);
                done
            }),
        };
        done.map_err(|e| self.nothing(py, e))
    }

    fn nothing(&self, py: Python<'_>, e: Nothing) -> PyErr {
        match e {
            Nothing::Closed => self.seat.gone(py),
            Nothing::Error(e) => errors::read(py, &e),
        }
    }

    /// The streams as the region has them now.
    fn schema(&self, py: Python<'_>) -> PyResult<Arc<Schema>> {
        let known = lock(py, &self.schema).clone();
        let ask = |client: Option<&Client>| client.map(Client::directory);
        // As in `with`.
        let directory = match self.seat.try_lock() {
            Some(client) => ask(client.as_ref()),
            None => py.detach(|| self.seat.lock().and_then(|client| ask(client.as_ref()))),
        };
        let Some(directory) = directory else { return Ok(known) };
        match directory {
            Ok(now) if Arc::ptr_eq(&now, &known.directory) || *now == *known.directory => Ok(known),
            Ok(now) => {
                let new = Schema::new(py, now)?;
                *lock(py, &self.schema) = new.clone();
                Ok(new)
            }
            // A frame may be read by what is known.
            Err(_) => Ok(known),
        }
    }

    fn frame(&self, py: Python<'_>, frame: OwnedFrame) -> PyResult<Frame> {
        Ok(Frame::new(frame, self.schema(py)?))
    }

    /// Waits for a frame to follow.
    fn follow_in(slf: &Bound<'_, Self>, order: Order, deadline: Deadline) -> PyResult<Growing> {
        let (py, this) = (slf.py(), slf.get());
        loop {
            if let Some(ahead) = lock(py, &this.ahead).take() {
                return Ok(Growing::of_whole(this.seat.clone(), this.schema(py)?, ahead));
            }
            let slice = deadline.slice();
            let found = py.detach(|| {
                let mut place = this.seat.lock().ok_or(ReadError::Forked)?;
                let client = place.take().ok_or(Nothing::Closed)?;
                let found = match growing::find(client, order, slice) {
                    Found::Frame(followed) => Ok(Some(followed)),
                    Found::Nothing(client) => {
                        *place = Some(client);
                        Ok(None)
                    }
                    Found::Error(client, e) => {
                        *place = Some(client);
                        Err(Nothing::Error(e))
                    }
                };
                MutexGuard::unlock_fair(place);
                found
            });
            if let Some(followed) = found.map_err(|e| this.nothing(py, e))? {
                let schema = lock(py, &this.schema).clone();
                return Ok(Growing::open(this.seat.clone(), schema, followed));
            }
            py.check_signals()?;
            if this.seat.is_closed() {
                return Err(errors::closed(py, this.seat.name()));
            }
            if deadline.is_over() {
                return Err(errors::timed_out(py, this.seat.name()));
            }
        }
    }

    /// Takes a frame that is there; none if there is none.
    fn poll(&self, py: Python<'_>, order: Order, copy: bool) -> PyResult<Option<Frame>> {
        let ahead = lock(py, &self.ahead).take();
        if order == Order::Every
            && let Some(ahead) = ahead
        {
            return Ok(Some(self.frame(py, ahead)?));
        }
        let found = self.with(py, !self.small, |client| {
            Ok(match order {
                Order::Every => client.try_next()?,
                _ => client.try_wait()?,
            }
            .map(|f| owned(f, copy)))
        });
        match (found, ahead) {
            (Ok(Some(found)), _) => Ok(Some(self.frame(py, found)?)),
            (_, Some(ahead)) => Ok(Some(self.frame(py, ahead)?)),
            (Ok(None), None) => Ok(None),
            (Err(e), None) => Err(e),
        }
    }

    /// Takes a frame, or waits for one; none when the time is up.
    fn take(&self, py: Python<'_>, order: Order, deadline: Deadline, copy: bool) -> PyResult<Option<Frame>> {
        // What is there is taken at once, without a look at the clock.
        if (self.small || lock(py, &self.ahead).is_some())
            && let Some(frame) = self.poll(py, order, copy)?
        {
            return Ok(Some(frame));
        }
        loop {
            let slice = deadline.slice();
            let found = self.with(py, true, |client| {
                Ok(match order {
                    Order::Every => client.next(slice)?,
                    _ => client.wait(slice)?,
                }
                .map(|f| owned(f, copy)))
            })?;
            if let Some(found) = found {
                return Ok(Some(self.frame(py, found)?));
            }
            py.check_signals()?;
            if self.seat.is_closed() {
                return Err(errors::closed(py, self.seat.name()));
            }
            if deadline.is_over() {
                return Ok(None);
            }
        }
    }
}

#[inline]
fn owned(frame: Borrowed<'_>, copy: bool) -> OwnedFrame {
    if copy { frame.copy() } else { frame.keep() }
}

#[pymethods]
impl Reader {
    #[new]
    #[pyo3(signature = (name, *, wait=None, copy=None, start="newest", verify="auto", reconnect=false,
                        every_frame=false, require_slot=true, spin=0.0, prefault=true, huge_pages=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords of Python")]
    fn new(
        py: Python<'_>,
        name: String,
        wait: Option<f64>,
        copy: Option<bool>,
        start: &str,
        verify: &str,
        reconnect: bool,
        every_frame: bool,
        require_slot: bool,
        spin: f64,
        prefault: bool,
        huge_pages: bool,
    ) -> PyResult<Self> {
        let (start, verify) = (start.to_owned(), verify.to_owned());
        let settings =
            Settings { copy, start, verify, reconnect, every_frame, require_slot, spin, prefault, huge_pages };
        let options = settings.options()?;
        let deadline = Deadline::new(Some(wait.unwrap_or(0.0)))?;
        let client = loop {
            match py.detach(|| options.open(&name)) {
                Ok(client) => break client,
                Err(e) if !errors::may_pass(&e) || deadline.is_over() => return Err(errors::open(py, &e)),
                Err(_) => {
                    let pause = deadline.slice().min(Duration::from_millis(5));
                    py.detach(|| std::thread::sleep(pause));
                    py.check_signals()?;
                }
            }
        };
        let directory = client.directory().map_err(|e| errors::directory(py, &e))?;
        Ok(Self {
            control: client.control(),
            schema: Mutex::new(Schema::new(py, directory)?),
            ahead: Mutex::new(None),
            small: client.layout().frame_bytes_cap() as usize <= LARGE,
            seat: Arc::new(Seat::new(client)),
            settings,
        })
    }

    /// Name of the region.
    #[getter]
    fn name(&self) -> &str {
        self.seat.name()
    }

    /// The newest frame, seen before or not; None while there is none. Never waits.
    #[pyo3(signature = (*, copy=false))]
    fn latest(&self, py: Python<'_>, copy: bool) -> PyResult<Option<Frame>> {
        let found = self.with(py, !self.small, |client| Ok(client.latest()?.map(|f| owned(f, copy))))?;
        found.map(|f| self.frame(py, f)).transpose()
    }

    /// The newest frame if it is newer than the last one taken, else None. Never waits. Raises ServerGone.
    #[pyo3(signature = (*, copy=false))]
    fn try_wait(&self, py: Python<'_>, copy: bool) -> PyResult<Option<Frame>> {
        self.poll(py, Order::Newest, copy)
    }

    /// The oldest frame that is newer than the last one taken, else None. Never waits. Raises ServerGone.
    #[pyo3(signature = (*, copy=false))]
    fn try_next(&self, py: Python<'_>, copy: bool) -> PyResult<Option<Frame>> {
        self.poll(py, Order::Every, copy)
    }

    /// Waits `timeout` seconds (None: for ever) for a frame newer than the last one taken, and takes the newest.
    ///
    /// Raises Timeout; ServerGone when there is no frame and the server is gone; FrameRejected for a damaged frame.
    #[pyo3(signature = (timeout=None, *, copy=false))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>, copy: bool) -> PyResult<Frame> {
        self.take(py, Order::Newest, Deadline::new(timeout)?, copy)?
            .ok_or_else(|| errors::timed_out(py, self.seat.name()))
    }

    /// The same for the next frame in order: every frame that is still in the ring, one after the other.
    #[pyo3(signature = (timeout=None, *, copy=false))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>, copy: bool) -> PyResult<Frame> {
        self.take(py, Order::Every, Deadline::new(timeout)?, copy)?
            .ok_or_else(|| errors::timed_out(py, self.seat.name()))
    }

    /// Waits `timeout` seconds (None: for ever) for a frame to read while it is written: as soon as its producer has
    /// begun to hand it out, or whole. One that is being written goes before one that was published and not taken yet.
    ///
    /// The first call tells the publisher that there is somebody who follows. Raises Timeout, ServerGone, FrameRejected;
    /// InUse while another frame is followed by this reader.
    #[pyo3(signature = (timeout=None))]
    fn follow(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Growing> {
        Self::follow_in(&slf, Order::Newest, Deadline::new(timeout)?)
    }

    /// The same in order: each frame that was published since the last one, then the one that is being written.
    #[pyo3(signature = (timeout=None))]
    fn follow_next(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Growing> {
        Self::follow_in(&slf, Order::Every, Deadline::new(timeout)?)
    }

    /// Frames to read while they are written, one after the other until the server is gone: by `follow`, or with `every`
    /// by `follow_next`. Finish or leave each (`with`) before the next.
    #[pyo3(signature = (*, every=false, timeout=None))]
    fn following(slf: Bound<'_, Self>, every: bool, timeout: Option<f64>) -> PyResult<Follows> {
        Deadline::new(timeout)?;
        Ok(Follows { reader: slf.unbind(), order: if every { Order::Every } else { Order::Newest }, timeout })
    }

    /// The frame with this number, None if it is not in the ring any more.
    #[pyo3(signature = (id, *, copy=false))]
    fn read_id(&self, py: Python<'_>, id: u64, copy: bool) -> PyResult<Option<Frame>> {
        let found = self.with(py, !self.small, |client| Ok(client.read_id(id)?.map(|f| owned(f, copy))))?;
        found.map(|f| self.frame(py, f)).transpose()
    }

    /// The newest frame each time, until the server is gone; for `for` and for `async for`. With a `timeout` in seconds,
    /// Timeout is raised when no frame comes for so long.
    #[pyo3(signature = (*, timeout=None, copy=false))]
    fn newest(slf: Bound<'_, Self>, timeout: Option<f64>, copy: bool) -> PyResult<Frames> {
        Frames::new(slf.unbind(), Order::Newest, timeout, copy)
    }

    /// Every frame in order, until the server is gone and none is left; as [`newest`].
    #[pyo3(signature = (*, timeout=None, copy=false))]
    fn every(slf: Bound<'_, Self>, timeout: Option<f64>, copy: bool) -> PyResult<Frames> {
        Frames::new(slf.unbind(), Order::Every, timeout, copy)
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Frames> {
        Self::newest(slf, None, false)
    }

    /// Waits in a thread of its own until there is a frame, which the next call that takes one gets, or the server is
    /// gone, which it says; false when the time is up. For asyncio.
    #[pyo3(name = "_await_news")]
    fn await_news(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let deadline = Deadline::new(Some(timeout))?;
        while lock(py, &self.ahead).is_none() {
            // In order: a call that wants the newest passes it over for one that is newer.
            let slice = deadline.slice();
            let found = py.detach(|| {
                let mut client = self.seat.lock().ok_or(ReadError::Forked)?;
                let found = match client.as_mut() {
                    Some(client) => client.next(slice).map(|f| f.map(Borrowed::keep)),
                    None => Err(ReadError::Forked),
                };
                MutexGuard::unlock_fair(client);
                found
            });
            match found {
                Ok(Some(found)) => *lock(py, &self.ahead) = Some(found),
                Ok(None) if deadline.is_over() => return Ok(false),
                Ok(None) => {}
                Err(_) => return Ok(true),
            }
        }
        Ok(true)
    }

    /// Sends a message to the server. Types from 0x3000 on are the application's. Raises SendFailed, RingFull when the
    /// server has not polled for long, ServerGone.
    #[pyo3(signature = (r#type, data=None))]
    fn send(&self, py: Python<'_>, r#type: u32, data: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if self.seat.is_closed() {
            return Err(errors::closed(py, self.seat.name()));
        }
        let body = body(data)?;
        py.detach(|| self.control.send(r#type, &body)).map_err(|e| errors::send(py, &e))
    }

    /// A descriptor for event loops, readable when there may be news: take frames by `try_wait` or `try_next` until there
    /// are no more. Do not read from it. It stays the same until `close`. Raises SystemFailure where there is none.
    #[cfg(unix)]
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let found = self.with(py, false, |client| Ok(client.wait_fd().map(|fd| fd.as_raw_fd())))?;
        found.map_err(|e| errors::wait_fd(py, &e))
    }

    /// Tells the server that the reader is alive. Reading and waiting do it by themselves.
    fn heartbeat(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, false, |client| {
            client.heartbeat();
            Ok(())
        })
    }

    /// Counts since the reader was opened.
    #[getter]
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        self.with(py, false, |client| {
            let stats = client.stats();
            Ok(Stats {
                delivered: stats.delivered,
                missed: stats.missed,
                rejected: stats.rejected,
                copied_for_room: client.copied_for_room(),
                reconnects: client.reconnects(),
            })
        })
    }

    /// The streams of the region by name, as its directory has them now.
    #[getter]
    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.schema(py)?.infos(py)
    }

    /// How the server ended: "closed" or "died"; None while it lives, or is one that holds no lock.
    #[getter]
    fn server_end(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.with(py, false, |client| Ok(errors::end(client.server_end())))
    }

    /// Session of the server.
    #[getter]
    fn session(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, false, |client| Ok(client.session_id()))
    }

    /// The reader's slot in the region, None without one.
    #[getter]
    fn index(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        self.with(py, false, |client| Ok(client.reader_index()))
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.seat.is_closed()
    }

    /// Leaves the region. Frames and arrays that are in use stay valid, and keep the reader's slot until they go.
    fn close(&self, py: Python<'_>) {
        let ahead = lock(py, &self.ahead).take();
        py.detach(|| drop((ahead, self.seat.close())));
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

    fn __aenter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyshmx._aio")?.getattr("enter")?.call1((slf,))
    }

    #[pyo3(signature = (_kind=None, _value=None, _traceback=None))]
    fn __aexit__<'py>(
        slf: Bound<'py, Self>,
        _kind: Option<&Bound<'py, PyType>>,
        _value: Option<&Bound<'py, PyAny>>,
        _traceback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyshmx._aio")?.getattr("leave")?.call1((slf,))
    }

    fn __reduce__<'py>(slf: Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let this = slf.get();
        let again = py.import("pyshmx._streams")?.getattr("_open_again")?;
        Ok((again, (slf.get_type(), this.seat.name(), this.settings.clone()).into_pyobject(py)?))
    }

    fn __repr__(&self) -> String {
        format!("<Reader of {:?}{}>", self.seat.name(), if self.closed() { ", closed" } else { "" })
    }
}

/// Frames of a reader, one after the other: for `for` and for `async for`.
#[pyclass(frozen, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Frames {
    reader: Py<Reader>,
    order: Order,
    timeout: Option<f64>,
    copy: bool,
}

impl Frames {
    fn new(reader: Py<Reader>, order: Order, timeout: Option<f64>, copy: bool) -> PyResult<Self> {
        Deadline::new(timeout)?;
        Ok(Self { reader, order, timeout, copy })
    }
}

#[pymethods]
impl Frames {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let reader = self.reader.get();
        match reader.take(py, self.order, Deadline::new(self.timeout)?, self.copy) {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => Err(errors::timed_out(py, reader.seat.name())),
            // It ends with the server. (`ServerGone` is an `EOFError`.)
            Err(e) if e.is_instance_of::<pyo3::exceptions::PyEOFError>(py) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn __aiter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let every = self.order == Order::Every;
        let of = py.import("pyshmx._aio")?.getattr("AsyncFrames")?;
        of.call1((self.reader.bind(py), every, self.timeout, self.copy))
    }
}

/// Frames of a reader that are followed, one after the other: `Reader.following`.
#[pyclass(frozen, module = "pyshmx")]
pub(crate) struct Follows {
    reader: Py<Reader>,
    order: Order,
    timeout: Option<f64>,
}

#[pymethods]
impl Follows {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Growing>> {
        match Reader::follow_in(self.reader.bind(py), self.order, Deadline::new(self.timeout)?) {
            Ok(growing) => Ok(Some(growing)),
            // It ends with the server.
            Err(e) if e.is_instance_of::<pyo3::exceptions::PyEOFError>(py) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Waits until one of several readers has a frame that it has not taken, or its server is gone; those that have.
#[pyfunction(name = "_wait_any")]
pub(crate) fn wait_any(py: Python<'_>, readers: Vec<Py<Reader>>, timeout: Option<f64>) -> PyResult<Vec<Py<Reader>>> {
    let deadline = Deadline::new(timeout)?;
    if readers.is_empty() {
        return Err(PyValueError::new_err("no readers to wait for"));
    }
    let mut set: Option<WaitSet> = None;
    loop {
        let mut ready = Vec::new();
        for reader in &readers {
            if reader.get().await_news(py, 0.0)? {
                ready.push(reader.clone_ref(py));
            }
        }
        if !ready.is_empty() || deadline.is_over() {
            return Ok(ready);
        }
        let slice = deadline.slice();
        match &mut set {
            Some(set) => {
                py.detach(|| set.wait(slice).len());
            }
            None => {
                let mut new = WaitSet::new().map_err(|e| errors::wait_fd(py, &e))?;
                for reader in &readers {
                    reader.get().with(py, false, |client| Ok(new.add(client)))?;
                }
                set = Some(new);
            }
        }
        py.check_signals()?;
    }
}
