//! The drop-in for the Python package `shmx` 1.0.1: its classes, arguments and answers, without its crashes.
//!
//! What differs, and why, is listed in docs/python.md; the tests compare the rest with the original.

mod answers;
mod args;
mod client;
mod inspector;
mod server;

use answers::{dtype_name, layout_name};
use args::U32;
use pyo3::prelude::*;

pub(crate) fn add_to(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let compat = PyModule::new(m.py(), "_compat")?;
    compat.add_class::<client::Client>()?;
    compat.add_class::<server::Server>()?;
    compat.add_class::<server::Handle>()?;
    compat.add_class::<inspector::Inspector>()?;
    compat.add_class::<crate::buffer::Block>()?;
    compat.add_function(wrap_pyfunction!(dtype_to_string, &compat)?)?;
    compat.add_function(wrap_pyfunction!(layout_to_string, &compat)?)?;
    m.add("_compat", compat)
}

/// Name of an element type by its code, "unknown" for any other number.
#[pyfunction]
fn dtype_to_string(dtype_code: U32) -> &'static str {
    dtype_name(dtype_code.0)
}

/// Name of a layout by its code, "unknown" for any other number.
#[pyfunction]
fn layout_to_string(layout_code: U32) -> &'static str {
    layout_name(layout_code.0)
}
