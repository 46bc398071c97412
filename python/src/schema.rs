//! Streams as Python has them: element types, shapes, single values.

use crate::buffer::{Elements, View};
use crate::errors;
use crate::numpy::Numpy;
use crate::wait::{LARGE, detached_if};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyMemoryView, PyString, PyTuple};
use shmx::meta::{Encoding, StreamMeta};
use shmx::{Directory, ElementType, bf16, f16};
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;

/// The directory as it was when a frame was taken, or begun.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) directory: Arc<Directory>,
    pub(crate) streams: Vec<StreamDesc>,
    /// Place in `streams` by name.
    by_name: Py<PyDict>,
    /// The same by number.
    by_id: HashMap<u32, usize>,
}

impl Schema {
    pub(crate) fn new(py: Python<'_>, directory: Arc<Directory>) -> PyResult<Arc<Self>> {
        let streams: Vec<_> = directory.streams.iter().map(|s| StreamDesc::new(py, s)).collect::<PyResult<_>>()?;
        let by_name = PyDict::new(py);
        let mut by_id = HashMap::new();
        // Of two with one name or number the first counts, as in Rust.
        for (i, s) in streams.iter().enumerate().rev() {
            by_name.set_item(&s.name, i)?;
            by_id.insert(s.id, i);
        }
        Ok(Arc::new(Self { directory, streams, by_name: by_name.unbind(), by_id }))
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<&StreamDesc> {
        self.by_id.get(&id).and_then(|&i| self.streams.get(i))
    }

    /// A stream by name or number.
    #[inline]
    pub(crate) fn find(&self, key: &Bound<'_, PyAny>) -> PyResult<&StreamDesc> {
        let py = key.py();
        if key.is_instance_of::<PyString>() {
            if let Some(i) = self.by_name.bind(py).get_item(key)? {
                let i: usize = i.extract()?;
                if let Some(s) = self.streams.get(i) {
                    return Ok(s);
                }
            }
        } else if key.is_instance_of::<PyInt>() {
            // What is no u32 is no stream's number either.
            if let Some(s) = key.extract().ok().and_then(|id| self.by_id(id)) {
                return Ok(s);
            }
        } else {
            return Err(PyTypeError::new_err("a stream is named by its name or its number"));
        }
        let known = if self.streams.is_empty() {
            "no streams".to_owned()
        } else {
            self.streams.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        Err(errors::unknown(py, format!("there is no stream {key:?}; the region has {known}"), self.names()))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.streams.iter().map(|s| s.name.clone()).collect()
    }

    pub(crate) fn infos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let infos = PyDict::new(py);
        for (s, info) in self.streams.iter().zip(&self.directory.streams).rev() {
            infos.set_item(&s.name, StreamInfo::new(info, s))?;
        }
        // In the order of the directory.
        let ordered = PyDict::new(py);
        for s in &self.streams {
            ordered.set_item(&s.name, infos.get_item(&s.name)?)?;
        }
        Ok(ordered)
    }
}

/// A stream, and how its bytes are an array.
#[derive(Debug)]
pub(crate) struct StreamDesc {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// None where the type is unknown, or its size is not that of its elements: the data is bytes then.
    pub(crate) element: Option<ElementType>,
    pub(crate) bytes_per_elem: u32,
    /// Of numpy; none without it.
    pub(crate) dtype: Option<Py<PyAny>>,
    /// Whether the components are named fields of the dtype.
    pub(crate) structured: bool,
    pub(crate) shape: Shape,
    /// The shape as a tuple where every frame has the same, and the strides of padded rows.
    fixed: Option<Py<PyTuple>>,
    strides: Option<Py<PyTuple>>,
}

/// Array dimensions of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// At most one is 0, for any.
    pub(crate) dims: Vec<usize>,
    /// Bytes of an array item.
    pub(crate) item: usize,
    /// Bytes from row to row, where rows are padded.
    pub(crate) row: Option<usize>,
    /// What a flat array of elements has as its last dimension.
    components: Option<usize>,
    /// One number in each frame.
    pub(crate) scalar: bool,
}

impl Shape {
    fn of(element: ElementType, components: usize, structured: bool, meta: &StreamMeta) -> Self {
        let size = element.size() as usize;
        let item = if structured { size * components } else { size };
        let last = (components > 1 && !structured).then_some(components);
        if !structured && let Some(image) = Self::of_image(element, components, meta) {
            return Self { components: last, ..image };
        }
        let declared: Vec<usize> = match &meta.shape {
            Some(shape) if shape.iter().filter(|&&d| d == 0).count() <= 1 => {
                shape.iter().map(|&d| d as usize).collect()
            }
            _ => vec![0],
        };
        let scalar = declared.is_empty() && last.is_none() && !structured;
        // An image of single components may have them in its shape.
        let dims = declared.into_iter().chain(last).collect();
        Self { dims, item, row: None, components: last, scalar }
    }

    fn of_image(element: ElementType, components: usize, meta: &StreamMeta) -> Option<Self> {
        let size = element.size() as usize;
        let encoding: Encoding = meta.image_encoding(element, u32::try_from(components).ok()?)?;
        let flat = |dims: Vec<usize>, row| Self { dims, item: size, row, components: None, scalar: false };
        if encoding.is_compressed() {
            return (size == 1 && components == 1).then(|| flat(vec![0], None));
        }
        let &[height, width, ..] = meta.shape.as_deref()? else { return None };
        if width == 0 {
            return None;
        }
        let tight = usize::try_from(encoding.row_bytes(width)?).ok()?;
        let row = meta.row_step.map_or(tight, |r| r as usize);
        let rows = usize::try_from(encoding.rows(height)).ok()?;
        let pixel = encoding.bytes_per_pixel().map_or(1, |b| b as usize);
        if row < tight || !pixel.is_multiple_of(size) || !row.is_multiple_of(size * components) {
            return None;
        }
        let per = pixel / size;
        let dims = [rows, width as usize].into_iter().chain((per > 1).then_some(per)).collect();
        Some(flat(dims, (row != tight).then_some(row)))
    }

    fn open(&self) -> Option<usize> {
        self.dims.iter().position(|&d| d == 0)
    }

    /// Bytes of what one step of the open dimension takes, or all of it without one. None if no memory has as many.
    fn unit(&self) -> Option<usize> {
        let bytes = match self.row {
            Some(row) => row.checked_mul(self.dims.first().copied().unwrap_or(1).max(1)),
            None => self.dims.iter().filter(|&&d| d > 0).try_fold(self.item, |n, &d| n.checked_mul(d)),
        };
        bytes.filter(|&n| isize::try_from(n).is_ok())
    }

    /// Bytes of every frame, where they are the same.
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.unit().filter(|_| self.open().is_none())
    }

    /// The dimensions of `len` bytes: as declared, or flat, or none where they are no whole elements.
    fn resolve(&self, len: usize) -> Option<Vec<usize>> {
        match (self.open(), self.unit()) {
            (None, Some(unit)) if len == unit => return Some(self.dims.clone()),
            (Some(open), Some(unit)) if unit > 0 && len.is_multiple_of(unit) => {
                let mut dims = self.dims.clone();
                dims[open] = len / unit;
                return Some(dims);
            }
            _ => {}
        }
        let element = self.item * self.components.unwrap_or(1);
        (element > 0 && len.is_multiple_of(element))
            .then(|| [len / element].into_iter().chain(self.components).collect())
    }

    /// Bytes that an array of this shape takes in the stream; none if it does not fit.
    pub(crate) fn bytes_of(&self, shape: &[usize]) -> Option<usize> {
        if self.scalar {
            return shape.iter().all(|&d| d == 1).then_some(self.item);
        }
        let fits = shape.len() == self.dims.len() && shape.iter().zip(&self.dims).all(|(s, d)| *d == 0 || s == d);
        if !fits {
            return None;
        }
        match self.row {
            Some(row) => shape.first().copied().unwrap_or(0).checked_mul(row),
            None => shape.iter().try_fold(self.item, |n, &d| n.checked_mul(d)),
        }
    }

    /// Bytes from index to index. None of them is more than what `resolve` or `bytes` say.
    fn strides_of(&self, dims: &[usize]) -> Vec<isize> {
        let mut strides = vec![self.item as isize; dims.len()];
        for i in (1..dims.len()).rev() {
            strides[i - 1] = strides[i] * dims[i] as isize;
        }
        if let (Some(row), Some(first)) = (self.row, strides.first_mut()) {
            *first = row as isize;
        }
        strides
    }

    /// As text: `(480, 640, 3)`, with `n` for any.
    pub(crate) fn text(&self) -> String {
        shape_text(&self.dims)
    }
}

pub(crate) fn shape_text(dims: &[usize]) -> String {
    let of = |&d: &usize| if d == 0 { "n".to_owned() } else { d.to_string() };
    match dims {
        [one] => format!("({},)", of(one)),
        many => format!("({})", many.iter().map(of).collect::<Vec<_>>().join(", ")),
    }
}

fn format_of(element: ElementType) -> &'static CStr {
    match element {
        ElementType::Bool => c"?",
        ElementType::I8 => c"b",
        ElementType::I16 => c"h",
        ElementType::U16 | ElementType::Bf16 => c"H",
        ElementType::I32 => c"i",
        ElementType::U32 => c"I",
        ElementType::I64 => c"q",
        ElementType::U64 => c"Q",
        ElementType::F16 => c"e",
        ElementType::F32 => c"f",
        ElementType::F64 => c"d",
        _ => c"B",
    }
}

impl StreamDesc {
    fn new(py: Python<'_>, info: &shmx::StreamInfo) -> PyResult<Self> {
        let name = info.name_lossy().into_owned();
        let whole = |e: &ElementType| {
            info.components > 0 && u64::from(e.size()) * u64::from(info.components) == u64::from(info.bytes_per_elem)
        };
        let element = info.element_type().filter(whole);
        let mut shape = Shape { dims: vec![0], item: 1, row: None, components: None, scalar: false };
        let (mut dtype, mut structured) = (None, false);
        let numpy = Numpy::get(py)?.is_some();
        let streams = py.import("pyshmx._streams")?;
        if let Some(element) = element {
            if numpy {
                let extra = PyBytes::new(py, &info.extra);
                let found = streams.getattr("_dtype")?.call1((element.name(), info.components, extra))?;
                let (of, named): (Bound<'_, PyAny>, bool) = found.extract()?;
                (dtype, structured) = (Some(of.unbind()), named);
            }
            shape = Shape::of(element, info.components as usize, structured, &StreamMeta::parse(&info.extra).0);
        } else if numpy {
            let of = streams.getattr("_dtype")?.call1(("u8", 1, PyBytes::new(py, b"")))?.get_item(0)?;
            dtype = Some(of.unbind());
        }
        let fixed = shape.bytes().map(|_| PyTuple::new(py, &shape.dims).map(Bound::unbind)).transpose()?;
        let strides = shape.row.map(|_| PyTuple::new(py, shape.strides_of(&shape.dims)).map(Bound::unbind));
        let strides = strides.transpose()?;
        let (id, bytes_per_elem) = (info.id, info.bytes_per_elem);
        Ok(Self { id, name, element, bytes_per_elem, dtype, structured, shape, fixed, strides })
    }

    /// Type and shape as text: `u8 (480, 640, 3)`.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.element.map_or("bytes", ElementType::name), self.shape.text())
    }

    /// The data of the stream in a frame: a number, or an array over a view.
    pub(crate) fn read<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        view: impl FnOnce(Option<Elements>) -> Option<View>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_bools(py, data)?;
        match self.element {
            Some(element) if self.shape.scalar && data.len() == self.shape.item => value(py, element, data),
            _ => self.array(py, data.len(), view),
        }
    }

    /// Any byte but 0 and 1 would be a bool that is neither.
    pub(crate) fn check_bools(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if self.element == Some(ElementType::Bool)
            && detached_if(py, data.len() > LARGE, || data.iter().any(|&b| b > 1))
        {
            let message = format!("stream {} has bytes that are no bools; take them by `frame.bytes`", self.name);
            return Err(errors::error(py, "InvalidData", message));
        }
        Ok(())
    }

    /// The dimensions of `len` bytes, and the bytes of one step of the first: a row of an image, an element of a vector.
    /// None for single numbers, and where they are no whole elements.
    pub(crate) fn rows(&self, len: usize) -> Option<(Vec<usize>, usize)> {
        let dims = self.shape.resolve(len)?;
        let row = len.checked_div(*dims.first()?).unwrap_or(0);
        Some((dims, row))
    }

    /// An array of `len` bytes over a view.
    pub(crate) fn array<'py>(
        &self,
        py: Python<'py>,
        len: usize,
        view: impl FnOnce(Option<Elements>) -> Option<View>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outside = || errors::error(py, "InvalidData", format!("the data of stream {} is damaged", self.name));
        let numpy = Numpy::get(py)?;
        if let (Some(np), Some(dtype)) = (numpy, &self.dtype) {
            if let Some(shape) = self.fixed.as_ref().filter(|_| self.shape.bytes() == Some(len)) {
                let view = Bound::new(py, view(None).ok_or_else(outside)?)?.into_any();
                return np.array(shape.bind(py), dtype.bind(py), view, self.strides.as_ref().map(|s| s.bind(py)));
            }
            let Some(dims) = self.shape.resolve(len) else {
                let view = Bound::new(py, view(None).ok_or_else(outside)?)?;
                return py.import("pyshmx._streams")?.getattr("_bytes")?.call1((view,));
            };
            return self.array_of(py, &dims, view);
        }
        match self.shape.resolve(len) {
            Some(dims) => self.array_of(py, &dims, view),
            None => memoryview(py, view(None).ok_or_else(outside)?),
        }
    }

    /// An array of these dimensions over a view, which is long enough.
    pub(crate) fn array_of<'py>(
        &self,
        py: Python<'py>,
        dims: &[usize],
        view: impl FnOnce(Option<Elements>) -> Option<View>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outside = || errors::error(py, "InvalidData", format!("the data of stream {} is damaged", self.name));
        let padded = self.shape.row.is_some() && dims.len() == self.shape.dims.len();
        if let (Some(np), Some(dtype)) = (Numpy::get(py)?, &self.dtype) {
            let view = Bound::new(py, view(None).ok_or_else(outside)?)?.into_any();
            let strides = padded.then(|| PyTuple::new(py, self.shape.strides_of(dims))).transpose()?;
            return np.array(&PyTuple::new(py, dims)?, dtype.bind(py), view, strides.as_ref());
        }
        let elements = self.element.map(|element| {
            let (format, size) = (format_of(element), element.size() as usize);
            let (shape, strides) = (dims.iter().map(|&d| d as isize).collect(), self.shape.strides_of(dims));
            Elements { format, size, shape, strides: strides.into_boxed_slice(), contiguous: !padded }
        });
        memoryview(py, view(elements).ok_or_else(outside)?)
    }
}

fn memoryview(py: Python<'_>, view: View) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyMemoryView::from(Bound::new(py, view)?.as_any())?.into_any())
}

/// A number of this type.
pub(crate) fn value<'py>(py: Python<'py>, element: ElementType, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! number {
        ($ty:ty) => {
            <$ty>::from_ne_bytes(data.try_into().unwrap_or_default())
        };
    }
    match element {
        ElementType::Bool => (data.first() == Some(&1)).into_bound_py_any(py),
        ElementType::I8 => number!(i8).into_bound_py_any(py),
        ElementType::U8 => number!(u8).into_bound_py_any(py),
        ElementType::I16 => number!(i16).into_bound_py_any(py),
        ElementType::U16 => number!(u16).into_bound_py_any(py),
        ElementType::I32 => number!(i32).into_bound_py_any(py),
        ElementType::U32 => number!(u32).into_bound_py_any(py),
        ElementType::I64 => number!(i64).into_bound_py_any(py),
        ElementType::U64 => number!(u64).into_bound_py_any(py),
        ElementType::F16 => f16::from_ne_bytes(data.try_into().unwrap_or_default()).to_f64().into_bound_py_any(py),
        ElementType::Bf16 => bf16::from_ne_bytes(data.try_into().unwrap_or_default()).to_f64().into_bound_py_any(py),
        ElementType::F32 => f64::from(number!(f32)).into_bound_py_any(py),
        ElementType::F64 => number!(f64).into_bound_py_any(py),
        _ => PyBytes::new(py, data).into_bound_py_any(py),
    }
}

/// A stream of a region, as its directory describes it.
#[pyclass(frozen, get_all, module = "pyshmx")]
#[derive(Debug)]
pub(crate) struct StreamInfo {
    /// Its number.
    id: u32,
    /// Its name.
    name: String,
    /// Type of a component: "f32", "u8", ...; "unknown" for a code that this version does not know.
    dtype: String,
    /// Numbers in one element.
    components: u32,
    /// Bytes of one element.
    bytes_per_element: u32,
    /// Shape of its arrays, None in the place of a dimension that each frame chooses.
    shape: Vec<Option<usize>>,
    /// What it is: "image", "points", "pose", "time", or a word of the application.
    role: Option<String>,
    /// Pixel format of an image.
    encoding: Option<String>,
    /// Unit of the values, as in "m/s".
    unit: Option<String>,
    /// Frame of reference, as in "map".
    frame: Option<String>,
    /// Clock of a stream of times.
    clock: Option<String>,
    /// Metadata as the region has it: JSON (docs/streams.md), or bytes of the application.
    extra: Vec<u8>,
    /// What of the metadata makes no sense.
    problems: Vec<String>,
}

impl StreamInfo {
    fn new(info: &shmx::StreamInfo, desc: &StreamDesc) -> Self {
        let (meta, problems) = info.meta();
        Self {
            id: info.id,
            name: desc.name.clone(),
            dtype: info.element_type().map_or("unknown", ElementType::name).to_owned(),
            components: info.components,
            bytes_per_element: info.bytes_per_elem,
            shape: desc.shape.dims.iter().map(|&d| (d > 0).then_some(d)).collect(),
            role: meta.role.map(|r| r.name().to_owned()),
            encoding: meta.encoding.map(|e| e.name().to_owned()),
            unit: meta.unit,
            frame: meta.frame,
            clock: meta.clock.map(|c| c.name().to_owned()),
            extra: info.extra.clone(),
            problems: problems.iter().map(ToString::to_string).collect(),
        }
    }
}

#[pymethods]
impl StreamInfo {
    fn __repr__(&self) -> String {
        let dims: Vec<usize> = self.shape.iter().map(|d| d.unwrap_or(0)).collect();
        format!("<StreamInfo {} {:?}: {} {}>", self.id, self.name, self.dtype, shape_text(&dims))
    }
}

/// How an image of this size and pixel format is declared: element type, components, elements in a frame (None if the
/// format does not fix them). None for a format that is not known.
#[pyfunction]
#[pyo3(signature = (height, width, encoding, row_step=None))]
pub(crate) fn image_layout(
    height: u32,
    width: u32,
    encoding: &str,
    row_step: Option<u32>,
) -> Option<(&'static str, u32, Option<u64>)> {
    let encoding = Encoding::from(encoding);
    let (element, components) = encoding.element_type().zip(encoding.components())?;
    let mut meta = StreamMeta::image(height, width, encoding.clone());
    if let Some(step) = row_step {
        meta = meta.row_step(step);
    }
    match meta.elements(element, components) {
        // Rows whose padding is no multiple of a pixel need single bytes.
        None if !encoding.is_compressed() => {
            let bytes = meta.elements(ElementType::U8, 1);
            Some((ElementType::U8.name(), 1, bytes))
        }
        elements => Some((element.name(), components, elements)),
    }
}
