//! Memory that Python sees. The one file of the package with `unsafe`, but for two calls in `interpreter`.
//!
//! | class | memory | kept by | written by |
//! |---|---|---|---|
//! | [`View`] of a frame | a payload under lease, or a private copy | the frame | nobody |
//! | [`View`] of a part | what a frame's producer has committed, under lease | what was kept of it | nobody |
//! | [`View`] of a draft | a claimed slot | the draft: claim and mapping | Python, until it is committed or published |
//! | [`Block`] | a vector | the block | Python |
//!
//! An object holds what it shows for as long as it lives, not only while a buffer of it is exported: numpy keeps a
//! reference to the object and gives the buffer back at once.
//!
//! A draft is published by who owns it alone ([`std::sync::Arc::try_unwrap`]), and every view of it holds a share: so no
//! view is left that could write to a published frame. Parts of a draft are committed, which makes them final, once
//! nobody uses them ([`Use`]).
#![allow(unsafe_code)]

use crate::draft::{Draft, Place, Use};
use crate::wait::{LARGE, detached_if};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use shmx::{KeptPart, OwnedFrame};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;

/// What keeps a view's memory.
#[derive(Debug)]
enum Keeper {
    Frame(#[expect(dead_code, reason = "held, not read")] Arc<OwnedFrame>),
    Part(#[expect(dead_code, reason = "held, not read")] Arc<KeptPart>),
    Draft(#[expect(dead_code, reason = "held, not read")] Use),
}

/// How a view's bytes are elements; without, they are bytes.
#[derive(Clone, Debug)]
pub(crate) struct Elements {
    pub(crate) format: &'static CStr,
    pub(crate) size: usize,
    pub(crate) shape: Box<[isize]>,
    pub(crate) strides: Box<[isize]>,
    /// Whether the last index moves fastest and nothing lies between.
    pub(crate) contiguous: bool,
}

impl Elements {
    /// Where the element furthest out ends, which is the last one; 0 if there are none.
    fn end(&self) -> Option<isize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let size = isize::try_from(self.size).ok()?;
        self.shape.iter().zip(&self.strides).try_fold(size, |end, (&n, &stride)| {
            let room = (n - 1).checked_mul(stride).filter(|&far| far >= 0)?;
            end.checked_add(room)
        })
    }

    /// Whether a buffer that is asked for with these flags is one of the elements as they lie.
    fn fits(&self, has: impl Fn(c_int) -> bool) -> bool {
        let first_moves_fastest = self.contiguous && self.shape.iter().filter(|&&n| n != 1).count() <= 1;
        if has(ffi::PyBUF_F_CONTIGUOUS) && !first_moves_fastest {
            return false;
        }
        let any_order = has(ffi::PyBUF_STRIDES) && !has(ffi::PyBUF_C_CONTIGUOUS) && !has(ffi::PyBUF_ANY_CONTIGUOUS);
        self.contiguous || any_order
    }
}

/// The data of one stream in a frame: what the arrays that frames give rest on. It has the buffer protocol, and keeps
/// the frame's slot, or its private memory, for as long as it lives.
#[pyclass(frozen, weakref, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct View {
    /// Exposed; not dereferenced in Rust but by [`copy_in`].
    address: usize,
    /// Bytes, as the buffer protocol has its lengths.
    shape: [isize; 1],
    elements: Option<Elements>,
    writable: bool,
    _keeper: Keeper,
}

impl View {
    /// A part of a frame's payload. `None` if it lies elsewhere.
    pub(crate) fn of_frame(frame: &Arc<OwnedFrame>, data: &[u8], elements: Option<Elements>) -> Option<Self> {
        let payload = frame.payload().as_ptr_range();
        let part = data.as_ptr_range();
        if part.start < payload.start || part.end > payload.end {
            return None;
        }
        // The bytes neither move nor change as long as the frame lives: they are under its lease in the mapping that it
        // holds, or in memory of its own; it lies in an `Arc` itself, and nobody has it otherwise.
        let (address, len) = (part.start.expose_provenance(), data.len());
        Some(Self::new(address, len, elements, false, Keeper::Frame(frame.clone())))
    }

    /// A part of what was kept of a frame that is being written. `None` if it lies elsewhere.
    pub(crate) fn of_part(part: &Arc<KeptPart>, data: &[u8], elements: Option<Elements>) -> Option<Self> {
        let payload = part.payload().as_ptr_range();
        let range = data.as_ptr_range();
        if range.start < payload.start || range.end > payload.end {
            return None;
        }
        // As above: they are final, and under a lease that `part` holds.
        let (address, len) = (range.start.expose_provenance(), data.len());
        Some(Self::new(address, len, elements, false, Keeper::Part(part.clone())))
    }

    /// The room of a stream in a draft, or its first bytes.
    pub(crate) fn of_draft(used: Use, elements: Option<Elements>, bytes: usize) -> Option<Self> {
        let Place { address, len } = used.place;
        (bytes <= len).then(|| Self::new(address, bytes, elements, true, Keeper::Draft(used)))
    }

    fn new(address: usize, len: usize, elements: Option<Elements>, writable: bool, keeper: Keeper) -> Self {
        // No slice is longer than that.
        let shape = [isize::try_from(len).unwrap_or(isize::MAX)];
        let elements = elements.filter(|e| e.end().is_some_and(|end| end <= shape[0]));
        Self { address, shape, elements, writable, _keeper: keeper }
    }
}

/// One byte.
const BYTE: &CStr = c"B";

#[pymethods]
impl View {
    /// Bytes of the data.
    #[getter]
    fn nbytes(&self) -> usize {
        self.shape[0].unsigned_abs()
    }

    fn __len__(&self) -> usize {
        self.nbytes()
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let has = |flag: c_int| flags & flag == flag;
        let refused = match &this.elements {
            _ if has(ffi::PyBUF_WRITABLE) && !this.writable => {
                Some("the data of a frame is read-only; copy it to change it")
            }
            Some(e) if !e.fits(has) => Some("the data does not lie in that order in one piece; ask for strides"),
            _ => None,
        };
        let mut filled = ffi::Py_buffer {
            buf: ptr::with_exposed_provenance_mut(this.address),
            obj: ptr::null_mut(),
            len: this.shape[0],
            itemsize: 1,
            readonly: c_int::from(!this.writable),
            ndim: 1,
            format: if has(ffi::PyBUF_FORMAT) { BYTE.as_ptr().cast_mut() } else { ptr::null_mut() },
            shape: if has(ffi::PyBUF_ND) { this.shape.as_ptr().cast_mut() } else { ptr::null_mut() },
            strides: ptr::null_mut(),
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
        };
        match &this.elements {
            Some(e) if has(ffi::PyBUF_ND) => {
                // Bytes of the elements, padding between rows left out.
                filled.len = e.shape.iter().product::<isize>() * e.size as isize;
                filled.itemsize = e.size as isize;
                filled.ndim = e.shape.len() as c_int;
                filled.shape = e.shape.as_ptr().cast_mut();
                if has(ffi::PyBUF_STRIDES) {
                    filled.strides = e.strides.as_ptr().cast_mut();
                }
                if has(ffi::PyBUF_FORMAT) {
                    filled.format = e.format.as_ptr().cast_mut();
                }
            }
            None if has(ffi::PyBUF_STRIDES) => filled.strides = &raw const ONE as *mut isize,
            _ => {}
        }
        if refused.is_none() {
            // The consumer's reference: as long as it has the buffer, `this` and all that the pointers lead to stay.
            filled.obj = slf.into_any().into_ptr();
        }
        // SAFETY: the interpreter passes a buffer to be filled, in which `obj` is null where there is none. What is
        // promised to the consumer: `len` bytes from `buf` on are readable, and writable unless `readonly`, as long as
        // the object lives (see the table above); `shape`, `strides` and `format` belong to the object or are static,
        // and are not written to by consumers.
        unsafe { view.write(filled) };
        refused.map_or(Ok(()), |why| Err(PyBufferError::new_err(why)))
    }
}

/// The stride of bytes.
static ONE: isize = 1;

/// Private memory that a program may write to: the `data` of the drop-in's frames.
#[pyclass(frozen, module = "pyshmx.compat", name = "_Block")]
pub(crate) struct Block {
    bytes: Box<[UnsafeCell<u8>]>,
    shape: [isize; 1],
}

// SAFETY: Rust never looks at the bytes again; who writes to them is Python's affair, as with a `bytearray`.
unsafe impl Sync for Block {}

impl Block {
    pub(crate) fn new(bytes: Box<[u8]>) -> Self {
        let shape = [bytes.len() as isize];
        let cells = Box::into_raw(bytes) as *mut [UnsafeCell<u8>];
        // SAFETY: it comes from a box of as many bytes, and a cell is laid out as what is in it.
        let bytes = unsafe { Box::from_raw(cells) };
        Self { bytes, shape }
    }
}

#[pymethods]
impl Block {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let has = |flag: c_int| flags & flag == flag;
        let filled = ffi::Py_buffer {
            // Cells may be written to through a shared reference.
            buf: this.bytes.as_ptr().cast_mut().cast(),
            len: this.shape[0],
            itemsize: 1,
            readonly: 0,
            ndim: 1,
            format: if has(ffi::PyBUF_FORMAT) { BYTE.as_ptr().cast_mut() } else { ptr::null_mut() },
            shape: if has(ffi::PyBUF_ND) { this.shape.as_ptr().cast_mut() } else { ptr::null_mut() },
            strides: if has(ffi::PyBUF_STRIDES) { &raw const ONE as *mut isize } else { ptr::null_mut() },
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
            obj: slf.into_any().into_ptr(),
        };
        // SAFETY: as for `View`: the bytes, the shape and the static strings stay as long as the object, of which the
        // consumer has a reference.
        unsafe { view.write(filled) };
        Ok(())
    }
}

/// Copies the bytes of a buffer to a place in a draft, without the interpreter's lock if they are many. False if there
/// is not room for just so many there, or they do not lie in one piece.
pub(crate) fn copy_in(py: Python<'_>, from: &PyUntypedBuffer, used: &Use) -> bool {
    let Place { address, len } = used.place;
    if from.len_bytes() != len {
        return false;
    }
    copy_in_front(py, from, address, len)
}

/// The same to the start of a place that may be longer.
pub(crate) fn copy_in_part(py: Python<'_>, from: &PyUntypedBuffer, used: &Use) -> bool {
    let Place { address, len } = used.place;
    from.len_bytes() <= len && copy_in_front(py, from, address, from.len_bytes())
}

fn copy_in_front(py: Python<'_>, from: &PyUntypedBuffer, address: usize, len: usize) -> bool {
    if !from.is_c_contiguous() {
        return false;
    }
    let source = from.buf_ptr().expose_provenance();
    let copy = || {
        let (from, to) = (ptr::with_exposed_provenance::<u8>(source), ptr::with_exposed_provenance_mut(address));
        // SAFETY: `from` has `len` bytes in one piece, which its exporter keeps while the buffer is held. `to` has `len`
        // bytes of a claimed slot, which the caller's `Use` keeps, and keeps from becoming final. They may overlap: the
        // source may be a view of the same room. A thread of Python that writes to either meanwhile gets mixed bytes, as
        // with any copy between arrays; no reference to the bytes exists in Rust.
        unsafe { ptr::copy(from, to, len) };
    };
    detached_if(py, len > LARGE, copy);
    true
}

/// Copies bytes into the room of a stream in a draft; false if lengths differ.
pub(crate) fn put_in(bytes: &[u8], draft: &Draft, stream_id: u32) -> bool {
    draft.at_once(stream_id, |Place { address, len }| {
        if bytes.len() != len {
            return false;
        }
        // SAFETY: as in `copy_in_front`, with the draft locked instead of used; `bytes` is Rust's own memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::with_exposed_provenance_mut(address), len) };
        true
    })
}

/// A copy of the bytes of a buffer that lie in one piece.
pub(crate) fn copy_out(py: Python<'_>, from: &PyUntypedBuffer) -> Option<Vec<u8>> {
    if !from.is_c_contiguous() {
        return None;
    }
    let len = from.len_bytes();
    let source = from.buf_ptr().expose_provenance();
    Some(detached_if(py, len > LARGE, || {
        let mut copy = Vec::<u8>::with_capacity(len);
        // SAFETY: as in `copy_in`, and the vector has room for `len` bytes.
        unsafe { ptr::copy_nonoverlapping(ptr::with_exposed_provenance::<u8>(source), copy.as_mut_ptr(), len) };
        // SAFETY: they were written just now.
        unsafe { copy.set_len(len) };
        copy
    }))
}

/// A message's bytes.
pub(crate) fn body(data: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<u8>> {
    let Some(data) = data else { return Ok(Vec::new()) };
    let buffer = PyUntypedBuffer::get(data)?;
    copy_out(data.py(), &buffer)
        .ok_or_else(|| pyo3::exceptions::PyBufferError::new_err("a message is bytes in one piece; copy it first"))
}
