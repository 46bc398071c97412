//! Views of whole objects, and how long each keeps its object's name.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock};

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_INVALID_HANDLE};
use windows_sys::Win32::System::Memory::{FILE_MAP, FILE_MAP_READ, OpenFileMappingW};

use super::handle::{guard, last_error, own, wide};
use super::mapping::Mapping;
use super::tail::Tail;
use crate::error::{OpenError, OsError};
use crate::name::RegionName;

/// A view of a whole mapping, and the handle behind it while that is wanted. Dropping it gives up both.
pub(super) struct View {
    /// First, because the view is given up before the handle.
    pub(super) mapping: Mapping,
    /// Bytes that belong to the user.
    pub(super) len: usize,
    /// What keeps the name.
    pub(super) handle: Mutex<Option<OwnedHandle>>,
    /// Found at the first look after the creator has written it.
    pub(super) tail: OnceLock<Tail>,
    /// Whether the handle is not wanted once the tail is found.
    lets_go: AtomicBool,
}

impl View {
    /// Maps all of `handle`; how long that is, the system says.
    pub(super) fn new(handle: OwnedHandle, access: FILE_MAP) -> io::Result<Self> {
        let mapping = Mapping::new(&handle, access)?;
        let len = mapping.len;
        let (handle, tail, lets_go) = (Mutex::new(Some(handle)), OnceLock::new(), AtomicBool::new(false));
        Ok(Self { mapping, len, handle, tail, lets_go })
    }

    pub(super) fn open(name: &RegionName, access: FILE_MAP) -> Result<Self, OpenError> {
        let wide_name = wide(name.as_str());
        // SAFETY: `wide_name` ends with a NUL and outlives the call.
        let handle = unsafe { OpenFileMappingW(access, 0, wide_name.as_ptr()) };
        let error = last_error();
        // SAFETY: null or just opened.
        let Some(handle) = (unsafe { own(handle) }) else {
            return Err(match error {
                (ERROR_FILE_NOT_FOUND, _) => OpenError::NotFound { name: name.as_str().to_owned() },
                // A mutex, event or the like has that name.
                (ERROR_INVALID_HANDLE, _) => OpenError::NotSharedMemory { name: name.as_str().to_owned() },
                (_, error) => OpenError::os(name, "open the file mapping", error),
            });
        };
        let mut view =
            Self::new(handle, access).map_err(|error| OpenError::os(name, "map a view of the object", error))?;
        if let Some(len) = view.tail().map(|tail| tail.len) {
            view.len = len;
        }
        Ok(view)
    }

    pub(super) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes(self.len)
    }

    /// The tail, once its creator has written it. Objects of other programs have none.
    pub(super) fn tail(&self) -> Option<&Tail> {
        if let Some(tail) = self.tail.get() {
            return Some(tail);
        }
        let found = Tail::find(&self.mapping)?;
        let tail = self.tail.get_or_init(|| found);
        if self.lets_go.load(Ordering::Relaxed) {
            drop(guard(&self.handle).take());
        }
        Some(tail)
    }

    /// Gives up the name's handle, now or when the object turns out to be one of this backend. The memory stays.
    pub(super) fn let_go(&self) {
        self.lets_go.store(true, Ordering::Relaxed);
        if self.tail().is_some() {
            drop(guard(&self.handle).take());
        }
    }

    /// Whether `name` leads to this object: certainly while there is a handle, else if the ids agree.
    pub(super) fn is_named(&self, name: &RegionName) -> Result<bool, OsError> {
        if guard(&self.handle).is_some() {
            return Ok(true);
        }
        let there = match Self::open(name, FILE_MAP_READ) {
            Ok(there) => there,
            Err(OpenError::NotFound { .. } | OpenError::NotSharedMemory { .. }) => return Ok(false),
            Err(OpenError::Os { source, .. }) => return Err(source),
            Err(OpenError::PermissionDenied { source, .. }) => return Err(OsError::os("look up the name", source)),
            Err(_) => return Err(OsError::Unsupported { step: "look up the name" }),
        };
        let ids = there.tail().zip(self.tail()).map(|(there, here)| (there.id, here.id));
        Ok(ids.is_some_and(|(there, here)| there == here))
    }

    /// The same. An error tells nothing, and is taken for yes, as on Linux.
    pub(super) fn is_current(&self, name: &RegionName) -> bool {
        self.is_named(name).unwrap_or(true)
    }

    pub(super) fn copy_out(&self, offset: u64, buf: &mut [u8]) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.bytes().get(offset..)).unwrap_or(&[]);
        for (to, from) in buf.iter_mut().zip(rest) {
            // Relaxed: the copy as a whole is not atomic anyway.
            *to = from.load(Ordering::Relaxed);
        }
        rest.len().min(buf.len())
    }
}
