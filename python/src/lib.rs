//! The compiled part of the Python package `pyshmx`.
//!
//! | file | |
//! |---|---|
//! | `buffer` | memory that Python sees: the one file with `unsafe` beside `interpreter` |
//! | `interpreter` | no subinterpreters |
//! | `draft` | a frame under construction, which keeps its server |
//! | `errors` | errors as exceptions of `pyshmx._errors` |
//! | `wait` | locks and waits without the interpreter's lock |
//! | `schema` | streams as arrays: types, shapes, values |
//! | `numpy` | the little that is asked of numpy, when it is there |
//! | `options`, `stats` | how regions are opened; counts |
//! | `frame`, `reader`, `tap`, `observe` | reading |
//! | `seat` | a reader's client |
//! | `growing` | reading frames while they are written |
//! | `publisher`, `writer`, `fill` | publishing |
//! | `pieces` | streams that are handed out while they are filled |
//! | `compat` | the drop-in for the package `shmx` |
//!
//! Rules of the files: no lock is waited for while the interpreter's lock is held (`wait::lock`), and no Python object
//! is used while it is not.
#![deny(unsafe_code)]

mod buffer;
mod compat;
mod draft;
mod errors;
mod fill;
mod frame;
mod growing;
mod interpreter;
mod numpy;
mod observe;
mod options;
mod pieces;
mod publisher;
mod reader;
mod schema;
mod seat;
mod stats;
mod tap;
mod wait;
mod writer;

use pyo3::prelude::*;

/// The compiled part of `pyshmx`. Use the package, not this module.
#[pymodule(gil_used = false)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    interpreter::refuse_subinterpreters(m.py())?;
    m.add_class::<buffer::View>()?;
    m.add_class::<frame::Frame>()?;
    m.add_class::<reader::Reader>()?;
    m.add_class::<reader::Frames>()?;
    m.add_class::<growing::Growing>()?;
    m.add_class::<growing::Parts>()?;
    m.add_class::<reader::Follows>()?;
    m.add_class::<stats::Stats>()?;
    m.add_class::<tap::Tap>()?;
    m.add_class::<publisher::Publisher>()?;
    m.add_class::<publisher::Message>()?;
    m.add_class::<writer::FrameWriter>()?;
    m.add_class::<pieces::Fill>()?;
    m.add_class::<schema::StreamInfo>()?;
    m.add_class::<observe::Inspector>()?;
    m.add_class::<observe::RegionInfo>()?;
    m.add_class::<observe::ReaderInfo>()?;
    m.add_function(wrap_pyfunction!(observe::list, m)?)?;
    m.add_function(wrap_pyfunction!(observe::remove, m)?)?;
    m.add_function(wrap_pyfunction!(observe::now_ticks, m)?)?;
    m.add_function(wrap_pyfunction!(schema::image_layout, m)?)?;
    m.add_function(wrap_pyfunction!(reader::wait_any, m)?)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    compat::add_to(m)
}
