//! Values on their way into a frame: numbers, buffers, arrays, lists.

use crate::buffer::{View, copy_in, put_in};
use crate::draft::Draft;
use crate::errors;
use crate::numpy::Numpy;
use crate::schema::{StreamDesc, shape_text};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyException, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};
use shmx::{ElementType, bf16, f16};
use std::ffi::CStr;
use std::sync::Arc;

/// Copies a value into the stream's room in a draft. Type and shape must be those of the stream; numbers and lists are
/// converted.
pub(crate) fn fill(py: Python<'_>, stream: &StreamDesc, draft: &Arc<Draft>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(element) = stream.element.filter(|_| stream.shape.scalar)
        && let Some(bytes) = number(element, value)?
    {
        let room = reserve(py, stream, draft, stream.shape.item)?;
        return if put_in(&bytes[..room], draft, stream.id) { Ok(()) } else { Err(again(py, stream)) };
    }
    if value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>() {
        return raw(py, stream, draft, value);
    }
    let listed = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    if !listed
        && !stream.structured
        && let Ok(buffer) = PyUntypedBuffer::get(value)
    {
        let len = check(py, stream, buffer.format(), buffer.item_size(), buffer.shape())?;
        if buffer.is_c_contiguous() && stream.shape.row.is_none() {
            reserve(py, stream, draft, len)?;
            return copied(py, stream, draft, &buffer);
        }
    }
    match (Numpy::get(py)?, &stream.dtype) {
        (Some(np), Some(dtype)) => by_numpy(stream, draft, value, np, dtype.bind(py)),
        _ if listed => by_list(py, stream, draft, value),
        _ => Err(mismatch(py, stream, &format!("a {}", value.get_type().name()?))),
    }
}

/// Room for `len` bytes; their number again.
fn reserve(py: Python<'_>, stream: &StreamDesc, draft: &Draft, len: usize) -> PyResult<usize> {
    let elems = elements(py, stream, len)?;
    draft.reserve(stream.id, elems).map_err(|e| errors::append(py, &e))?;
    Ok(len)
}

/// How many elements of the stream so many bytes are.
pub(crate) fn elements(py: Python<'_>, stream: &StreamDesc, len: usize) -> PyResult<u32> {
    let per = stream.bytes_per_elem as usize;
    let elems = len.checked_div(per).filter(|n| n * per == len).and_then(|n| u32::try_from(n).ok());
    elems.ok_or_else(|| mismatch(py, stream, &format!("{len} bytes, which are no whole elements")))
}

/// Room in a draft as a writable array: that which was reserved, or as much as every frame has.
pub(crate) fn room<'py>(
    py: Python<'py>,
    stream: &StreamDesc,
    draft: &Arc<Draft>,
    len: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let len = match (draft.reserved(stream.id), len.or(stream.shape.bytes())) {
        (Some(reserved), None) => reserved,
        (Some(reserved), Some(len)) if reserved == len => len,
        (Some(_), Some(_)) => return Err(again(py, stream)),
        (None, Some(len)) => reserve(py, stream, draft, len)?,
        (None, None) => {
            let message = format!(
                "stream {} has shape {}: say how much of it this frame has, by `frame.reserve({:?}, n)`",
                stream.name,
                stream.shape.text(),
                stream.name
            );
            return Err(errors::error(py, "StreamMismatch", message));
        }
    };
    stream.array(py, len, |elements| View::of_draft(draft.enter(stream.id, false)?, elements, len))
}

fn again(py: Python<'_>, stream: &StreamDesc) -> PyErr {
    let message = format!("stream {} is in this frame already, with another length", stream.name);
    errors::error(py, "StreamMismatch", message)
}

pub(crate) fn mismatch(py: Python<'_>, stream: &StreamDesc, found: &str) -> PyErr {
    let message = format!("stream {} takes {}, not {found}", stream.name, stream.text());
    errors::error(py, "StreamMismatch", message)
}

/// The bytes of a number, if it is one: of Python, or one of numpy and the like, whatever its type.
fn number(element: ElementType, value: &Bound<'_, PyAny>) -> PyResult<Option<[u8; 8]>> {
    let plain = value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>();
    if plain {
        return convert(element, value);
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Ok(None);
    }
    if value.hasattr("dtype")? {
        let single = value.getattr("shape")?.len()? == 0;
        return if single { convert(element, &value.call_method0("item")?) } else { Ok(None) };
    }
    if value.hasattr("__len__")? { Ok(None) } else { convert(element, value) }
}

/// Not Ctrl-C and the like, which may come amid a conversion too.
fn is_about_the_value(py: Python<'_>, e: &PyErr) -> bool {
    e.is_instance_of::<PyException>(py)
}

fn convert(element: ElementType, value: &Bound<'_, PyAny>) -> PyResult<Option<[u8; 8]>> {
    use ElementType as E;
    let py = value.py();
    let mut bytes = [0; 8];
    macro_rules! put {
        ($number:expr) => {{
            let number = $number.to_ne_bytes();
            bytes[..number.len()].copy_from_slice(&number);
        }};
    }
    if matches!(element, E::F16 | E::Bf16 | E::F32 | E::F64) {
        let number: f64 = match value.extract() {
            Ok(number) => number,
            Err(e) if is_about_the_value(py, &e) => return Ok(None),
            Err(e) => return Err(e),
        };
        match element {
            E::F16 => put!(f16::from_f64(number)),
            E::Bf16 => put!(bf16::from_f64(number)),
            E::F32 => put!((number as f32)),
            _ => put!(number),
        }
        return Ok(Some(bytes));
    }
    let number: i128 = match value.extract() {
        Ok(number) => number,
        // Wider than any of them.
        Err(e) if e.is_instance_of::<PyOverflowError>(py) => i128::MAX,
        Err(e) if is_about_the_value(py, &e) => return Ok(None),
        Err(e) => return Err(e),
    };
    macro_rules! put_as {
        ($ty:ty) => {
            match <$ty>::try_from(number) {
                Ok(number) => put!(number),
                Err(_) => return Err(errors::error(py, "StreamMismatch", format!("{value} is no {element}"))),
            }
        };
    }
    match element {
        E::Bool if (0..2).contains(&number) => bytes[0] = number as u8,
        E::Bool => return Err(errors::error(py, "StreamMismatch", format!("{value} is no bool"))),
        E::I8 => put_as!(i8),
        E::U8 => put_as!(u8),
        E::I16 => put_as!(i16),
        E::U16 => put_as!(u16),
        E::I32 => put_as!(i32),
        E::U32 => put_as!(u32),
        E::I64 => put_as!(i64),
        _ => put_as!(u64),
    }
    Ok(Some(bytes))
}

/// Plain bytes are taken as they are, if they are as many as the stream has.
fn raw(py: Python<'_>, stream: &StreamDesc, draft: &Arc<Draft>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let buffer = PyUntypedBuffer::get(value)?;
    let len = buffer.len_bytes();
    if stream.shape.bytes().is_some_and(|n| n != len) {
        return Err(mismatch(py, stream, &format!("{len} bytes")));
    }
    reserve(py, stream, draft, len)?;
    copied(py, stream, draft, &buffer)
}

fn copied(py: Python<'_>, stream: &StreamDesc, draft: &Arc<Draft>, from: &PyUntypedBuffer) -> PyResult<()> {
    let done = draft.enter(stream.id, false).is_some_and(|room| copy_in(py, from, &room));
    if done { Ok(()) } else { Err(again(py, stream)) }
}

/// Whether items of this format are those of the stream.
pub(crate) fn is_of(stream: &StreamDesc, format: &CStr, size: usize) -> bool {
    match stream.element {
        Some(e) => kind_of(format.to_bytes()) == Some(expected_kind(e)) && size == e.size() as usize,
        None => size == 1,
    }
}

/// Bytes that the stream gets from a buffer of this format and shape.
fn check(py: Python<'_>, stream: &StreamDesc, format: &CStr, size: usize, shape: &[usize]) -> PyResult<usize> {
    let kind = kind_of(format.to_bytes());
    match stream.shape.bytes_of(shape).filter(|_| is_of(stream, format, size)) {
        Some(len) => Ok(len),
        None => {
            let name = kind.map_or("items".to_owned(), |k| format!("{k}{}", size * 8));
            Err(mismatch(py, stream, &format!("{name} {}", shape_text(shape))))
        }
    }
}

/// `b` for bool, `i`, `u` and `f` for numbers; none for anything else, and for numbers of the other byte order.
fn kind_of(format: &[u8]) -> Option<char> {
    let native = if cfg!(target_endian = "little") { b'<' } else { b'>' };
    let letter = match format {
        [letter] => *letter,
        [order, letter] if matches!(order, b'@' | b'=') || *order == native => *letter,
        _ => return None,
    };
    match letter {
        b'?' => Some('b'),
        b'b' | b'h' | b'i' | b'l' | b'q' | b'n' => Some('i'),
        b'B' | b'H' | b'I' | b'L' | b'Q' | b'N' | b'c' => Some('u'),
        b'e' | b'f' | b'd' => Some('f'),
        _ => None,
    }
}

fn expected_kind(element: ElementType) -> char {
    use ElementType as E;
    match element {
        E::Bool => 'b',
        E::I8 | E::I16 | E::I32 | E::I64 => 'i',
        E::F16 | E::F32 | E::F64 => 'f',
        // bf16 as its bits: the buffer protocol has no letter for it.
        _ => 'u',
    }
}

fn by_numpy(
    stream: &StreamDesc,
    draft: &Arc<Draft>,
    value: &Bound<'_, PyAny>,
    np: &Numpy,
    dtype: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = value.py();
    let array = array_of(stream, value, np, dtype)?;
    let (shape, found): (Vec<usize>, Bound<'_, PyAny>) = (array.getattr("shape")?.extract()?, array.getattr("dtype")?);
    let same = found.eq(dtype)?;
    let len = stream.shape.bytes_of(&shape).filter(|_| same);
    let Some(len) = len else {
        return Err(mismatch(py, stream, &format!("{found} {}", shape_text(&shape))));
    };
    let to = room(py, stream, draft, Some(len))?;
    let array = if stream.shape.scalar { array.call_method1("reshape", (PyTuple::empty(py),))? } else { array };
    np.copy(&to, &array)
}

/// A value as an array. One that has no type of its own is converted to the stream's.
pub(crate) fn array_of<'py>(
    stream: &StreamDesc,
    value: &Bound<'py, PyAny>,
    np: &Numpy,
    dtype: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let asarray = np.asarray.bind(py);
    let typed = value.hasattr("dtype")? || value.hasattr("__array__")?;
    let listed = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    if typed {
        asarray.call1((value,))
    } else if listed {
        let convert = py.import("pyshmx._streams")?.getattr("_convert")?;
        convert.call1((value, dtype, stream.element.map(ElementType::name))).map_err(|e| {
            let error = mismatch(py, stream, &format!("{}", e.value(py)));
            error.set_cause(py, Some(e));
            error
        })
    } else {
        Err(mismatch(py, stream, &format!("a {}: {value:?}", value.get_type().name()?)))
    }
}

/// Without numpy: the numbers one after the other, of a flat list or of lists in lists.
fn by_list(py: Python<'_>, stream: &StreamDesc, draft: &Arc<Draft>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(element) = stream.element else { return Err(mismatch(py, stream, "a list")) };
    let (mut bytes, mut shape) = (Vec::new(), Vec::new());
    flatten(element, value, 0, &mut shape, &mut bytes)
        .and_then(|whole| if whole { Ok(()) } else { Err(mismatch(py, stream, "lists of different lengths")) })?;
    let Some(len) = stream.shape.bytes_of(&shape).filter(|_| stream.shape.row.is_none()) else {
        return Err(mismatch(py, stream, &format!("a list of shape {}", shape_text(&shape))));
    };
    reserve(py, stream, draft, len)?;
    if put_in(&bytes, draft, stream.id) { Ok(()) } else { Err(again(py, stream)) }
}

/// Deeper than any shape.
const DEEPEST: usize = 16;

fn flatten(
    element: ElementType,
    value: &Bound<'_, PyAny>,
    depth: usize,
    shape: &mut Vec<usize>,
    bytes: &mut Vec<u8>,
) -> PyResult<bool> {
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let len = value.len()?;
        if depth == shape.len() && bytes.is_empty() {
            shape.push(len);
        }
        if depth >= DEEPEST || shape.get(depth) != Some(&len) {
            return Ok(false);
        }
        for item in value.try_iter()? {
            if !flatten(element, &item?, depth + 1, shape, bytes)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let Some(number) = number(element, value)? else { return Ok(false) };
    bytes.extend_from_slice(&number[..element.size() as usize]);
    Ok(depth == shape.len())
}
