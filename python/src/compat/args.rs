//! Arguments as the original takes them: any object with `__index__`, names as text or bytes, TypeError for the rest.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

macro_rules! whole {
    ($name:ident $ty:ty) => {
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $ty);

        impl<'py> FromPyObject<'_, 'py> for $name {
            type Error = PyErr;

            fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
                given.extract::<$ty>().map(Self).map_err(|e| {
                    // Also for a number that is too large or below 0.
                    if e.is_instance_of::<PyOverflowError>(given.py()) {
                        PyTypeError::new_err(format!("{} is no {}", &*given, stringify!($ty)))
                    } else {
                        e
                    }
                })
            }
        }
    };
}

whole!(U32 u32);
whole!(U64 u64);

/// A region's name. None of those that are no UTF-8 can exist.
#[derive(Debug)]
pub(super) struct Name(pub(super) Option<String>);

impl<'py> FromPyObject<'_, 'py> for Name {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = given.cast::<PyString>() {
            return Ok(Self(text.to_str().ok().map(str::to_owned)));
        }
        match given.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self(std::str::from_utf8(bytes.as_bytes()).ok().map(str::to_owned))),
            Err(_) => Err(PyTypeError::new_err("a name is a str or bytes")),
        }
    }
}
