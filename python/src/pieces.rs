//! A stream of a frame that is filled in pieces, which followers read before the frame is published.

use crate::buffer::{View, copy_in_part};
use crate::draft::{Draft, NotCommitted};
use crate::errors;
use crate::fill::{array_of, elements, is_of, mismatch};
use crate::numpy::Numpy;
use crate::schema::{Schema, StreamDesc, shape_text};
use crate::wait::{LARGE, detached_if, lock};
use parking_lot::Mutex;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyTuple};
use std::sync::Arc;

/// A frame under construction, which its writer and those that fill streams of it share.
#[derive(Debug)]
pub(crate) struct Open {
    /// None once published or abandoned.
    pub(crate) draft: Mutex<Option<Arc<Draft>>>,
    pub(crate) schema: Arc<Schema>,
}

impl Open {
    #[inline]
    pub(crate) fn draft(&self, py: Python<'_>) -> PyResult<Arc<Draft>> {
        let draft = lock(py, &self.draft).clone();
        draft.ok_or_else(|| done(py))
    }
}

pub(crate) fn done(py: Python<'_>) -> PyErr {
    errors::error(py, "Closed", "the frame was published or abandoned; begin another")
}

/// A stream that is filled from its first row to its last: `FrameWriter.fill`.
///
/// `fill.rest[:n]` is written in place and handed out by `fill.commit(n)`; `fill.write(rows)` copies and hands out. What
/// was committed is final. Rows are steps of the first dimension: lines of an image, points, numbers of a vector.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct Fill {
    frame: Arc<Open>,
    stream_id: u32,
    /// Of the whole stream.
    dims: Vec<usize>,
    /// Bytes of a row.
    row: usize,
}

impl Fill {
    pub(crate) fn begin(py: Python<'_>, frame: Arc<Open>, stream: &StreamDesc, len: usize) -> PyResult<Self> {
        let Some((dims, row)) = stream.rows(len).filter(|_| !stream.shape.scalar) else {
            let message = format!("stream {} is one number; assign it", stream.name);
            return Err(errors::error(py, "StreamMismatch", message));
        };
        let elems = elements(py, stream, len)?;
        frame.draft(py)?.begin_fill(stream.id, elems).map_err(|e| errors::append(py, &e))?;
        Ok(Self { stream_id: stream.id, frame, dims, row })
    }

    fn len(&self) -> usize {
        self.dims.first().copied().unwrap_or(0)
    }

    fn stream(&self, py: Python<'_>) -> PyResult<&StreamDesc> {
        let found = self.frame.schema.by_id(self.stream_id);
        found.ok_or_else(|| errors::error(py, "Error", "the stream is not in the directory any more"))
    }

    /// Rows committed so far.
    fn done(&self, draft: &Draft) -> usize {
        let (done, _) = draft.filled(self.stream_id).unwrap_or((0, 0));
        // Rows of no bytes are there from the start.
        done.checked_div(self.row).unwrap_or(self.len())
    }

    /// Dimensions of so many rows.
    fn dims_of(&self, rows: usize) -> Vec<usize> {
        let mut dims = self.dims.clone();
        if let Some(first) = dims.first_mut() {
            *first = rows;
        }
        dims
    }

    /// The first `rows` rows of the rest, writable.
    fn room<'py>(&self, py: Python<'py>, draft: &Arc<Draft>, rows: usize) -> PyResult<Bound<'py, PyAny>> {
        let place = |elements| match draft.enter(self.stream_id, true) {
            Some(room) => View::of_draft(room, elements, rows * self.row),
            None => None,
        };
        self.stream(py)?.array_of(py, &self.dims_of(rows), place)
    }

    fn commit_rows(&self, py: Python<'_>, draft: &Draft, rows: usize) -> PyResult<()> {
        let bytes = rows.saturating_mul(self.row);
        // Committing may hash the rows.
        match detached_if(py, bytes > LARGE, || draft.commit(self.stream_id, bytes)) {
            Ok(()) => Ok(()),
            Err(NotCommitted::InUse(users)) => {
                let message = format!(
                    "nothing was committed: {users} arrays of the frame are in use, and could change what is final \
                     afterwards; use `fill.rest[...]` without giving it a name, or `del` it"
                );
                Err(errors::error(py, "ViewsAlive", message))
            }
            Err(NotCommitted::Error(e)) => Err(errors::append(py, &e)),
        }
    }

    /// Not more rows than are left.
    fn check(&self, py: Python<'_>, draft: &Draft, rows: usize) -> PyResult<()> {
        let left = self.len() - self.done(draft);
        if rows <= left {
            return Ok(());
        }
        let message = format!("{rows} rows for stream {}, of which {left} are left", self.stream(py)?.name);
        Err(errors::error(py, "StreamMismatch", message))
    }

    /// Rows that an array of this shape is; one without the first dimension is one row.
    fn rows_of(&self, shape: &[usize]) -> Option<usize> {
        let row = self.dims.get(1..)?;
        match shape.split_first() {
            Some((&rows, rest)) if rest == row => Some(rows),
            _ => (shape == row).then_some(1),
        }
    }
}

#[pymethods]
impl Fill {
    /// A writable array of the rows that are not committed yet; they hold whatever an earlier frame left there.
    #[getter]
    fn rest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let draft = self.frame.draft(py)?;
        self.room(py, &draft, self.len() - self.done(&draft))
    }

    /// Takes the first `n` rows of `rest` as final: whoever follows has them now, and all streams before this one.
    ///
    /// Raises ViewsAlive (a BufferError) while arrays of them live, StreamMismatch if there are not so many, Closed.
    fn commit(&self, py: Python<'_>, n: usize) -> PyResult<()> {
        let draft = self.frame.draft(py)?;
        self.check(py, &draft, n)?;
        self.commit_rows(py, &draft, n)
    }

    /// Copies rows and commits them; an array without the first dimension is one row. Type and shape are compared as for
    /// `frame[name] = values`, and bytes are taken as they are. Raises as `commit`.
    fn write(&self, py: Python<'_>, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let draft = self.frame.draft(py)?;
        let stream = self.stream(py)?;
        let raw = rows.is_instance_of::<PyBytes>() || rows.is_instance_of::<PyByteArray>();
        let listed = rows.is_instance_of::<PyList>() || rows.is_instance_of::<PyTuple>();
        let wrong = |py: Python<'_>, shape: &[usize]| {
            let (of, found) = (shape_text(self.dims.get(1..).unwrap_or(&[])), shape_text(shape));
            let message = format!("stream {} is filled by rows of {} {of}, not by {found}", stream.name, stream.text());
            errors::error(py, "StreamMismatch", message)
        };
        let in_one_piece = raw || (!listed && !stream.structured && stream.shape.row.is_none());
        if in_one_piece
            && let Ok(buffer) = PyUntypedBuffer::get(rows)
            && buffer.is_c_contiguous()
        {
            let whole = buffer.len_bytes().checked_div(self.row).filter(|n| n * self.row == buffer.len_bytes());
            let n = if raw { whole } else { self.rows_of(buffer.shape()) };
            let Some(n) = n else { return Err(wrong(py, buffer.shape())) };
            if !raw && !is_of(stream, buffer.format(), buffer.item_size()) {
                return Err(mismatch(py, stream, "values of another type"));
            }
            self.check(py, &draft, n)?;
            let copied = draft.enter(self.stream_id, true).is_some_and(|room| copy_in_part(py, &buffer, &room));
            return if copied { self.commit_rows(py, &draft, n) } else { Err(wrong(py, buffer.shape())) };
        }
        let (Some(np), Some(dtype)) = (Numpy::get(py)?, &stream.dtype) else {
            return Err(mismatch(py, stream, "this without numpy; give it bytes or a buffer in one piece"));
        };
        let dtype = dtype.bind(py);
        let array = array_of(stream, rows, np, dtype)?;
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        if !array.getattr("dtype")?.eq(dtype)? {
            return Err(mismatch(py, stream, &format!("{}", array.getattr("dtype")?)));
        }
        let Some(n) = self.rows_of(&shape) else { return Err(wrong(py, &shape)) };
        self.check(py, &draft, n)?;
        np.copy(&self.room(py, &draft, n)?, &array)?;
        self.commit_rows(py, &draft, n)
    }

    /// Rows committed so far.
    #[getter]
    fn committed(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.done(&*self.frame.draft(py)?))
    }

    /// Whether all rows are committed; only then can the frame be published.
    #[getter]
    fn filled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.committed(py)? == self.len())
    }

    /// Rows of the stream in this frame.
    fn __len__(&self) -> usize {
        self.len()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let done = self.committed(py).map_or("over".to_owned(), |done| format!("{done} of {}", self.len()));
        format!("<Fill of stream {}: {done}>", self.stream_id)
    }
}
