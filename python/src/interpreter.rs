//! Which interpreter of the process this is.
#![allow(unsafe_code)]

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Refuses subinterpreters, also where one of them asks before the main one does. Classes are made once in a process, and
/// belong to the interpreter that made them, whose end they must not outlive.
pub(crate) fn refuse_subinterpreters(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: the token says that this thread is attached to an interpreter, and the call only gives its address.
    let this = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: it is the interpreter that this thread is attached to, which therefore lives.
    let id = unsafe { ffi::PyInterpreterState_GetID(this) };
    // The main one has number 0, and no other ever gets it.
    if id == 0 { Ok(()) } else { Err(PyImportError::new_err("pyshmx does not work in a subinterpreter")) }
}
