//! The stream directory.

use crate::args::{Array, Bytes, Fill, Give, Out, Versioned, put};
use crate::frame::one_asked;
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::stream::shmx_stream;
use shmx::{Directory, StreamInfo};
use std::sync::Arc;

/// The stream directory of a region at one moment.
#[derive(Debug)]
pub struct shmx_directory {
    directory: Arc<Directory>,
}

impl shmx_directory {
    pub(crate) const fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }
}

/// One stream as the directory has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_stream_info {
    /// sizeof(shmx_stream_info).
    pub size: usize,
    /// The stream's number.
    pub stream_id: u32,
    /// Code of the component type: a `shmx_element`, or a number that this version does not know.
    pub element_type: u32,
    /// Components of an element.
    pub components: u32,
    /// Code of the layout in the wire format: 0 scalars, 1 vectors.
    pub layout_code: u32,
    /// Bytes of an element.
    pub bytes_per_elem: u32,
    /// 0.
    pub reserved: u32,
    /// The name as found, without a zero byte at its end. UTF-8 is promised but not enforced. Valid as long as the
    /// directory's handle, as `extra` is.
    pub name: Bytes,
    /// Bytes of it.
    pub name_bytes: usize,
    /// Application data.
    pub extra: Bytes,
    /// Bytes of it.
    pub extra_bytes: usize,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_stream_info {
    const FIRST: usize = size_of::<Self>();
}

impl From<&StreamInfo> for shmx_stream_info {
    fn from(s: &StreamInfo) -> Self {
        Self {
            size: size_of::<Self>(),
            stream_id: s.id,
            element_type: s.element_type_code,
            components: s.components,
            layout_code: s.layout_code,
            bytes_per_elem: s.bytes_per_elem,
            reserved: 0,
            name: Bytes::of(&s.name),
            name_bytes: s.name.len(),
            extra: Bytes::of(&s.extra),
            extra_bytes: s.extra.len(),
        }
    }
}

fn get(directory: Option<&shmx_directory>) -> Result<&Directory, Fault> {
    Ok(&directory.ok_or_else(|| Fault::null("directory"))?.directory)
}

/// How many streams there are; 0 for null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_count(directory: Option<&shmx_directory>) -> usize {
    guard_value("shmx_directory_count", 0, || directory.map_or(0, |d| d.directory.streams.len()))
}

/// Session, generation, and the bytes of the directory as they lie in the region, which are valid as long as the
/// handle. Each may be null.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_raw(
    directory: Option<&shmx_directory>,
    session_id: Out<u64>,
    generation: Out<u32>,
    data: Out<Bytes>,
    bytes: Out<usize>,
) -> shmx_status {
    guard("shmx_directory_raw", || {
        let d = get(directory)?;
        crate::args::put_if_wanted(session_id, d.session_id);
        crate::args::put_if_wanted(generation, d.generation);
        crate::args::put_if_wanted(data, Bytes::of(&d.bytes));
        crate::args::put_if_wanted(bytes, d.bytes.len());
        Ok(shmx_status::Ok)
    })
}

/// Stream number `index` in the order of the directory; SHMX_STATUS_NOTHING past the last one.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_at(
    directory: Option<&shmx_directory>,
    index: usize,
    out: Fill<shmx_stream_info>,
) -> shmx_status {
    guard("shmx_directory_at", || {
        let (directory, place) = (get(directory)?, out.check("out")?);
        let Some(stream) = directory.streams.get(index) else { return Ok(shmx_status::Nothing) };
        place.fill(stream.into());
        Ok(shmx_status::Ok)
    })
}

/// The stream with this name or, without a name, with this number, once its type was compared.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_find(
    directory: Option<&shmx_directory>,
    stream: Array<shmx_stream>,
    out: Fill<shmx_stream_info>,
) -> shmx_status {
    guard("shmx_directory_find", || {
        let (directory, place) = (get(directory)?, out.check("out")?);
        place.fill(directory.lookup(one_asked(&stream)?.asked("stream")?)?.into());
        Ok(shmx_status::Ok)
    })
}

/// Number of a stream by its name alone; SHMX_STATUS_NOTHING if there is none.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_id(
    directory: Option<&shmx_directory>,
    name: crate::args::Text,
    stream_id: Out<u32>,
) -> shmx_status {
    guard("shmx_directory_id", || {
        let directory = get(directory)?;
        let Some(stream) = directory.by_name(name.get("name")?) else { return Ok(shmx_status::Nothing) };
        put(stream_id, "stream_id", stream.id)?;
        Ok(shmx_status::Ok)
    })
}

/// Frees a directory. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_directory_free(directory: Give<shmx_directory>) {
    guard_value("shmx_directory_free", (), || drop(directory.take()));
}
