//! Frames that are read while they are written.
//!
//! While it follows a frame a reader is lent to it, as in Rust. It comes back once the frame is whole, void or left.
//!
//! Length: one state and the class that shows it; the methods of a class of Python are one block.

use crate::buffer::View;
use crate::errors;
use crate::frame::Frame;
use crate::schema::{Schema, StreamDesc, value};
use crate::seat::Seat;
use crate::wait::{Deadline, lock_of};
use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use pyo3::types::PyType;
use self_cell::{MutBorrow, self_cell};
use shmx::abi::frame::StreamPrefix;
use shmx::error::{ReadError, Void};
use shmx::{Client, Following, KeptPart, Order, OwnedFrame, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// None once it is whole or void.
#[derive(Debug)]
struct Coming<'c>(Option<Following<'c>>);

self_cell!(
    /// A frame that is followed, and the client that follows it.
    struct Cell {
        owner: MutBorrow<Client>,
        #[covariant]
        dependent: Coming,
    }
);

/// What a look at a client for a frame to follow brings: the cell keeps the client.
pub(crate) enum Found {
    Frame(Followed),
    Nothing(Client),
    Error(Client, ReadError),
}

/// A frame that is followed, with its client.
pub(crate) struct Followed(Cell);

/// Looks, or waits, for a frame to follow.
pub(crate) fn find(client: Client, order: Order, timeout: Duration) -> Found {
    let found = Cell::try_new_or_recover(MutBorrow::new(client), |client| {
        let client = client.borrow_mut();
        let found = match order {
            Order::Every => client.follow_next(timeout),
            _ => client.follow(timeout),
        };
        match found {
            Ok(Some(following)) => Ok(Coming(Some(following))),
            Ok(None) => Err(None),
            Err(e) => Err(Some(e)),
        }
    });
    match found {
        Ok(cell) => Found::Frame(Followed(cell)),
        Err((client, None)) => Found::Nothing(client.into_inner()),
        Err((client, Some(e))) => Found::Error(client.into_inner(), e),
    }
}

/// A frame that is read while it is written: `Reader.follow`.
///
/// ::
///
///     with cam.follow() as growing:
///         for rows in growing.parts("image"):    # as they come, read-only
///             draw(rows)
///         with growing.finish() as frame:        # only now there is a frame; FrameVoid if there is none
///             ...
///
/// What it hands out is final and does not change, but the frame is not published yet and may never be: what is made of
/// its parts is a result only once `finish` has given the frame. Where frames cannot be followed (a server of the
/// original, a reader without leases) it is whole from the start.
///
/// While it is open its reader does nothing else (InUse). Arrays keep the slot, also those of a frame that came to
/// nothing.
#[pyclass(frozen, weakref, module = "pyshmx")]
pub(crate) struct Growing {
    seat: Arc<Seat>,
    schema: Arc<Schema>,
    state: Mutex<State>,
    /// How often there was more: a look of one thread takes it from the wait of another.
    news: AtomicUsize,
}

enum State {
    Open(Cell),
    /// The reader has it as a frame.
    Whole {
        frame: Arc<OwnedFrame>,
        /// A lease of its own, so that arrays of the parts are none of the frame's.
        part: Option<Arc<KeptPart>>,
    },
    Void(Void),
    /// Given or left.
    Over,
}

/// Why there is nothing to be had.
enum Not {
    Forked,
    Void(Void),
    Over,
}

/// What there is of a frame.
enum There {
    Part(Arc<KeptPart>),
    Frame(Arc<OwnedFrame>),
}

impl There {
    /// The bytes of a stream so far, and how many there will be. None before it is begun.
    fn stream(&self, id: u32) -> Result<Option<(&[u8], usize)>, shmx::abi::frame::FrameError> {
        match self {
            Self::Part(part) => {
                for prefix in part.streams() {
                    let StreamPrefix { stream, bytes } = prefix?;
                    if stream.stream_id == id {
                        return Ok(Some((stream.data, bytes as usize)));
                    }
                }
                Ok(None)
            }
            Self::Frame(frame) => Ok(frame.stream(id)?.map(|s| (s.data, s.data.len()))),
        }
    }

    fn ids(&self) -> Vec<u32> {
        match self {
            Self::Part(part) => part.streams().map_while(Result::ok).map(|s| s.stream.stream_id).collect(),
            Self::Frame(frame) => frame.streams().map_while(Result::ok).map(|s| s.stream_id).collect(),
        }
    }

    fn view(&self, data: &[u8], elements: Option<crate::buffer::Elements>) -> Option<View> {
        match self {
            Self::Part(part) => View::of_part(part, data, elements),
            Self::Frame(frame) => View::of_frame(frame, data, elements),
        }
    }
}

/// How much of a stream there is.
struct Measured<'t> {
    data: &'t [u8],
    /// Of the whole stream.
    dims: Vec<usize>,
    /// Bytes of a row.
    row: usize,
    /// Rows that there are, and will be.
    now: usize,
    all: usize,
}

impl Growing {
    pub(crate) fn open(seat: Arc<Seat>, schema: Arc<Schema>, Followed(cell): Followed) -> Self {
        Self { seat, schema, state: Mutex::new(State::Open(cell)), news: AtomicUsize::new(0) }
    }

    /// A frame that was taken already.
    pub(crate) fn of_whole(seat: Arc<Seat>, schema: Arc<Schema>, frame: OwnedFrame) -> Self {
        let whole = State::Whole { frame: Arc::new(frame), part: None };
        Self { seat, schema, state: Mutex::new(whole), news: AtomicUsize::new(0) }
    }

    /// Does something with the state: at once, or in a thread without the interpreter's lock, as `long` has it.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        long: bool,
        f: impl FnOnce(&mut State) -> Result<T, Not> + Send,
    ) -> PyResult<T> {
        let process = self.seat.process();
        let ours = || if std::process::id() == process { Ok(()) } else { Err(Not::Forked) };
        let done = match if long { None } else { self.state.try_lock() } {
            Some(mut state) => ours().and_then(|()| f(&mut state)),
            None => py.detach(|| {
                let mut state = lock_of(process, &self.state).ok_or(Not::Forked)?;
                let done = ours().and_then(|()| f(&mut state));
                MutexGuard::unlock_fair(state);
                done
            }),
        };
        done.map_err(|why| match why {
            Not::Forked => errors::read(py, &ReadError::Forked),
            Not::Void(void) => errors::void(py, &void),
            Not::Over => errors::error(py, "Closed", "the frame is not followed any more; follow the next one"),
        })
    }

    /// One look at the frame, or a wait for more of it.
    fn step(&self, py: Python<'_>, timeout: Duration) -> PyResult<Step> {
        let step = self.with(py, !timeout.is_zero(), |state| advance(state, &self.seat, timeout))?;
        if step == Step::More {
            self.news.fetch_add(1, Ordering::Relaxed);
        }
        Ok(step)
    }

    /// Waits for more than there was at `known`; the time being up is `Waiting`.
    fn await_more(&self, py: Python<'_>, known: usize, deadline: Deadline) -> PyResult<Step> {
        loop {
            match self.step(py, deadline.slice())? {
                Step::Waiting if self.news.load(Ordering::Relaxed) != known => return Ok(Step::More),
                Step::Waiting => {}
                step => return Ok(step),
            }
            py.check_signals()?;
            if self.seat.is_closed() {
                return Err(errors::closed(py, self.seat.name()));
            }
            if deadline.is_over() {
                return Ok(Step::Waiting);
            }
        }
    }

    fn known(&self) -> usize {
        self.news.load(Ordering::Relaxed)
    }

    fn late(&self, py: Python<'_>) -> PyErr {
        let name = self.seat.name();
        errors::error(py, "Timeout", format!("nothing more of the frame of `{name}` came in that time"))
    }

    /// What there is now.
    fn there(&self, py: Python<'_>) -> PyResult<There> {
        self.with(py, false, |state| {
            match state {
                State::Open(cell) => {
                    let kept = cell.with_dependent_mut(|_, coming| coming.0.as_mut().and_then(Following::keep));
                    // It is leased while it is open.
                    kept.map(|part| There::Part(Arc::new(part))).ok_or(Not::Over)
                }
                State::Whole { part: Some(part), .. } => Ok(There::Part(part.clone())),
                State::Whole { frame, part: None } => Ok(There::Frame(frame.clone())),
                State::Void(void) => Err(Not::Void(void.clone())),
                State::Over => Err(Not::Over),
            }
        })
    }

    fn unbegun(&self, py: Python<'_>, stream: &StreamDesc, there: &There) -> PyErr {
        let named = |id| self.schema.by_id(id).map(|s| s.name.clone());
        let known: Vec<String> = there.ids().into_iter().filter_map(named).collect();
        let message = format!("there is nothing of stream {} yet; the frame has [{}]", stream.name, known.join(", "));
        errors::unknown(py, message, known)
    }

    /// How much of a stream there is. None before it is begun.
    fn measure<'t>(&self, py: Python<'_>, there: &'t There, stream: &StreamDesc) -> PyResult<Option<Measured<'t>>> {
        let Some((data, total)) = there.stream(stream.id).map_err(|_| damaged(py, stream))? else { return Ok(None) };
        let Some((dims, row)) = stream.rows(total) else {
            let message = format!("stream {} has no whole rows; take it from the frame", stream.name);
            return Err(errors::error(py, "InvalidData", message));
        };
        let all = dims.first().copied().unwrap_or(0);
        // Rows of no bytes are there once the stream is begun.
        let now = data.len().checked_div(row).map_or(all, |rows| rows.min(all));
        Ok(Some(Measured { data, dims, row, now, all }))
    }

    /// The rows of a stream from `from` on.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        there: &There,
        stream: &StreamDesc,
        measured: Measured<'_>,
        from: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Measured { data, mut dims, row, now, .. } = measured;
        if let Some(first) = dims.first_mut() {
            *first = now - from;
        }
        let part = data.get(from * row..now * row).ok_or_else(|| damaged(py, stream))?;
        stream.check_bools(py, part)?;
        stream.array_of(py, &dims, |elements| there.view(part, elements))
    }
}

fn damaged(py: Python<'_>, stream: &StreamDesc) -> PyErr {
    errors::error(py, "InvalidData", format!("the data of stream {} is damaged", stream.name))
}

/// One look at the frame, or a wait for more of it. The reader gets its client back once it is whole or void.
fn advance(state: &mut State, seat: &Seat, timeout: Duration) -> Result<Step, Not> {
    let cell = match state {
        State::Open(cell) => cell,
        State::Whole { .. } => return Ok(Step::Whole),
        State::Void(void) => return Err(Not::Void(void.clone())),
        State::Over => return Err(Not::Over),
    };
    let looked = cell.with_dependent_mut(|_, coming| {
        let Some(following) = &mut coming.0 else { return Err(Void::Damaged) };
        match following.wait(timeout)? {
            Step::Whole => {}
            step => return Ok((step, None)),
        }
        let part = following.keep().map(Arc::new);
        let Some(following) = coming.0.take() else { return Err(Void::Damaged) };
        let frame = Arc::new(following.finish(Duration::ZERO)?.keep());
        Ok((Step::Whole, Some((frame, part))))
    });
    let (step, new) = match looked {
        Ok((step, None)) => return Ok(step),
        Ok((step, Some((frame, part)))) => (Ok(step), State::Whole { frame, part }),
        Err(void) => (Err(Not::Void(void.clone())), State::Void(void)),
    };
    give_back(std::mem::replace(state, new), seat);
    step
}

/// Gives the client back to its reader.
fn give_back(state: State, seat: &Seat) {
    if let State::Open(cell) = state {
        seat.give_back(cell.into_owner().into_inner());
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        let state = std::mem::replace(self.state.get_mut(), State::Over);
        give_back(state, &self.seat);
    }
}

#[pymethods]
impl Growing {
    /// Waits up to `timeout` seconds (None: for ever) for more of the frame. True when there is more, False once it is
    /// whole: then `finish` gives it.
    ///
    /// Raises Timeout; FrameVoid when there will be no frame; Closed.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        match self.await_more(py, self.known(), Deadline::new(timeout)?)? {
            Step::More => Ok(true),
            Step::Whole => Ok(false),
            _ => Err(self.late(py)),
        }
    }

    /// Whether the frame is whole and published. Raises FrameVoid, Closed.
    #[getter]
    fn whole(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.step(py, Duration::ZERO)? == Step::Whole)
    }

    /// The rows of a stream that there are, from the first one on: read-only, without a copy. A single number is one once
    /// it is there. Raises UnknownStream (a KeyError) before the stream is begun, FrameVoid, Closed.
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let stream = self.schema.find(key)?;
        self.step(py, Duration::ZERO)?;
        let there = self.there(py)?;
        if stream.shape.scalar
            && let Some(element) = stream.element
        {
            let found = there.stream(stream.id).ok().flatten();
            return match found.filter(|(data, total)| data.len() == *total && *total == stream.shape.item) {
                Some((data, _)) => {
                    stream.check_bools(py, data)?;
                    value(py, element, data)
                }
                None => Err(self.unbegun(py, stream, &there)),
            };
        }
        match self.measure(py, &there, stream)? {
            Some(measured) => self.rows(py, &there, stream, measured, 0),
            None => Err(self.unbegun(py, stream, &there)),
        }
    }

    /// The rows of a stream one after the other as they come, in arrays of as many as there are; ends with the stream's
    /// last row. Raises Timeout when nothing comes for `timeout` seconds, FrameVoid, UnknownStream if the whole frame does
    /// not carry it.
    #[pyo3(signature = (key, *, timeout=None))]
    fn parts(slf: Bound<'_, Self>, key: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<Parts> {
        Deadline::new(timeout)?;
        let stream_id = slf.get().schema.find(key)?.id;
        Ok(Parts { growing: slf.unbind(), stream_id, timeout, done: AtomicUsize::new(0) })
    }

    /// Rows of a stream that there are, and how many there will be: `(there, total)`. None before it is begun.
    fn progress(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<(usize, usize)>> {
        let py = key.py();
        let stream = self.schema.find(key)?;
        self.step(py, Duration::ZERO)?;
        let there = self.there(py)?;
        Ok(self.measure(py, &there, stream)?.map(|measured| (measured.now, measured.all)))
    }

    /// Names of the streams that were begun, in the frame's order.
    fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.step(py, Duration::ZERO)?;
        let named = |id| self.schema.by_id(id).map(|s| s.name.clone());
        Ok(self.there(py)?.ids().into_iter().filter_map(named).collect())
    }

    /// Waits up to `timeout` seconds (None: for ever) for the whole frame, and gives it, once.
    ///
    /// Raises FrameVoid when there is none: what was made of its parts is no result. Timeout; it can be called again.
    #[pyo3(signature = (timeout=None))]
    fn finish(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Frame> {
        let deadline = Deadline::new(timeout)?;
        loop {
            match self.await_more(py, self.known(), deadline)? {
                Step::Whole => break,
                Step::More if !deadline.is_over() => {}
                _ => return Err(self.late(py)),
            }
        }
        let given = self.with(py, false, |state| match std::mem::replace(state, State::Over) {
            State::Whole { frame, part } => Ok((frame, part)),
            // Another thread was faster.
            other => {
                *state = other;
                Err(Not::Over)
            }
        });
        let (frame, _part) = given?;
        Ok(Frame::of(frame, self.schema.clone()))
    }

    /// Stops following; the reader can be used again. Arrays that are in use stay valid. The reader does not come back to
    /// the frame until it is published.
    fn leave(&self, py: Python<'_>) {
        let process = self.seat.process();
        py.detach(|| {
            if let Some(mut state) = lock_of(process, &self.state) {
                give_back(std::mem::replace(&mut *state, State::Over), &self.seat);
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
        self.leave(py);
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message = "a frame that is followed cannot be pickled; let the other process open a Reader and follow it";
        Err(pyo3::exceptions::PyTypeError::new_err(message))
    }

    fn __repr__(&self) -> String {
        let state = match self.state.try_lock().as_deref() {
            None => "in a wait",
            Some(State::Open(_)) => "growing",
            Some(State::Whole { .. }) => "whole",
            Some(State::Void(_)) => "void",
            Some(State::Over) => "over",
        };
        format!("<Growing of {:?}: {state}>", self.seat.name())
    }
}

/// Rows of a stream as they come: `Growing.parts`.
#[pyclass(frozen, module = "pyshmx")]
pub(crate) struct Parts {
    growing: Py<Growing>,
    stream_id: u32,
    timeout: Option<f64>,
    /// Rows given so far.
    done: AtomicUsize,
}

#[pymethods]
impl Parts {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let growing = self.growing.get();
        let Some(stream) = growing.schema.by_id(self.stream_id) else { return Ok(None) };
        let deadline = Deadline::new(self.timeout)?;
        let mut step = growing.step(py, Duration::ZERO)?;
        loop {
            let known = growing.known();
            let there = growing.there(py)?;
            let done = self.done.load(Ordering::Relaxed);
            match growing.measure(py, &there, stream)? {
                Some(measured) if measured.now > done => {
                    self.done.store(measured.now, Ordering::Relaxed);
                    return growing.rows(py, &there, stream, measured, done).map(Some);
                }
                Some(Measured { now, all, .. }) if now == all && now == done => return Ok(None),
                None if step == Step::Whole => return Err(growing.unbegun(py, stream, &there)),
                // Shorter than its producer said.
                Some(Measured { now, .. }) if step == Step::Whole || now < done => {
                    return Err(errors::void(py, &Void::Damaged));
                }
                _ => {}
            }
            drop(there);
            step = growing.await_more(py, known, deadline)?;
            if step == Step::Waiting {
                return Err(growing.late(py));
            }
        }
    }
}
