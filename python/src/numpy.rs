//! The little that is asked of numpy, when it is there.

use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

#[derive(Debug)]
pub(crate) struct Numpy {
    pub(crate) ndarray: Py<PyAny>,
    pub(crate) asarray: Py<PyAny>,
    pub(crate) copyto: Py<PyAny>,
}

impl Numpy {
    /// `None` where it is not installed. One that cannot be loaded is an error.
    pub(crate) fn get(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        static NUMPY: PyOnceLock<Option<Numpy>> = PyOnceLock::new();
        let found = NUMPY.get_or_try_init(py, || match py.import("numpy") {
            Ok(np) => {
                let of = |name| np.getattr(name).map(Bound::unbind);
                Ok(Some(Self { ndarray: of("ndarray")?, asarray: of("asarray")?, copyto: of("copyto")? }))
            }
            Err(e) if e.is_instance_of::<PyModuleNotFoundError>(py) => Ok(None),
            Err(e) => Err(e),
        })?;
        Ok(found.as_ref())
    }

    /// An array over a buffer.
    #[inline]
    pub(crate) fn array<'py>(
        &self,
        shape: &Bound<'py, PyTuple>,
        dtype: &Bound<'py, PyAny>,
        buffer: Bound<'py, PyAny>,
        strides: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ndarray = self.ndarray.bind(shape.py());
        match strides {
            None => ndarray.call1((shape, dtype, buffer)),
            Some(strides) => ndarray.call1((shape, dtype, buffer, 0, strides)),
        }
    }

    /// Copies values of exactly the same type.
    pub(crate) fn copy(&self, to: &Bound<'_, PyAny>, from: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = to.py();
        let casting = PyDict::new(py);
        casting.set_item("casting", "no")?;
        self.copyto.bind(py).call((to, from), Some(&casting))?;
        Ok(())
    }
}
