//! Answers as the original gives them: the same keys in the same order.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use shmx::abi::wire::GlobalHeader;
use shmx::{Directory, ElementLayout, ElementType};

pub(super) fn dtype_name(code: u32) -> &'static str {
    match ElementType::from_wire(code) {
        Some(ElementType::Bool) => "bool",
        Some(ElementType::I8) => "int8",
        Some(ElementType::U8) => "uint8",
        Some(ElementType::I16) => "int16",
        Some(ElementType::U16) => "uint16",
        Some(ElementType::I32) => "int32",
        Some(ElementType::U32) => "uint32",
        Some(ElementType::I64) => "int64",
        Some(ElementType::U64) => "uint64",
        Some(ElementType::F16) => "float16",
        Some(ElementType::Bf16) => "bfloat16",
        Some(ElementType::F32) => "float32",
        Some(ElementType::F64) => "float64",
        _ => "unknown",
    }
}

pub(super) fn layout_name(code: u32) -> &'static str {
    match ElementLayout::from_wire(code) {
        Some(ElementLayout::SoaScalar) => "scalar",
        Some(ElementLayout::AosVector) => "vector",
        _ => "unknown",
    }
}

/// The header as the classes give it.
pub(super) fn header_dict<'py>(py: Python<'py>, h: Option<GlobalHeader>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let Some(h) = h else { return Ok(dict) };
    dict.set_item("magic", h.magic)?;
    dict.set_item("version_major", h.ver_major)?;
    dict.set_item("version_minor", h.ver_minor)?;
    dict.set_item("session_id", h.session_id)?;
    dict.set_item("slots", h.slots)?;
    dict.set_item("frame_bytes_cap", h.frame_bytes_cap)?;
    dict.set_item("reader_slots", h.reader_slots)?;
    dict.set_item("control_per_reader", h.control_per_reader)?;
    dict.set_item("frame_seq", h.frame_seq)?;
    dict.set_item("readers_connected", h.readers_connected)?;
    Ok(dict)
}

/// The streams as the classes give them. Raises UnicodeDecodeError for a name that is no UTF-8.
pub(super) fn streams_list<'py>(py: Python<'py>, directory: Option<&Directory>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for s in directory.map_or(&[][..], |d| &d.streams) {
        let dict = PyDict::new(py);
        dict.set_item("id", s.id)?;
        dict.set_item("name", decoded(py, &s.name)?)?;
        dict.set_item("dtype", dtype_name(s.element_type_code))?;
        dict.set_item("dtype_code", s.element_type_code)?;
        dict.set_item("components", s.components)?;
        dict.set_item("layout", layout_name(s.layout_code))?;
        dict.set_item("bytes_per_elem", s.bytes_per_elem)?;
        if !s.extra.is_empty() {
            dict.set_item("extra", PyBytes::new(py, &s.extra))?;
        }
        list.append(dict)?;
    }
    Ok(list)
}

pub(super) fn decoded<'py>(py: Python<'py>, name: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(name) {
        Ok(name) => Ok(PyString::new(py, name)),
        Err(e) => Err(pyo3::exceptions::PyUnicodeDecodeError::new_utf8(py, name, e)?.into_py_err()),
    }
}

trait IntoPyErr {
    fn into_py_err(self) -> PyErr;
}

impl<T> IntoPyErr for Bound<'_, T> {
    fn into_py_err(self) -> PyErr {
        PyErr::from_value(self.into_any())
    }
}

/// Reader slots as the classes give them.
pub(super) fn readers_list<'py>(py: Python<'py>, readers: &[shmx::ReaderInfo]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for r in readers {
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "reader_id"), r.reader_id)?;
        dict.set_item("heartbeat", r.heartbeat)?;
        dict.set_item("last_frame_seen", r.last_frame_seen)?;
        dict.set_item("in_use", r.in_use)?;
        list.append(dict)?;
    }
    Ok(list)
}
