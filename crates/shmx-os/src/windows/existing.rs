//! An object that is open.

use std::io;

use windows_sys::Win32::System::Memory::{FILE_MAP_READ, FILE_MAP_WRITE};

use super::handle::guard;
use super::object::Object;
use super::region::Region;
use super::view::View;
use crate::error::{OpenError, OsError};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;

/// Objects cannot be read without a view, so this has one already. It keeps the handle, and so the name.
pub(crate) struct Existing {
    object: Object,
}

impl Existing {
    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { object: Object::new(View::open(name, FILE_MAP_READ | FILE_MAP_WRITE)?) })
    }

    pub(crate) fn len(&self) -> Result<u64, OsError> {
        Ok(self.object.view.len as u64)
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.object.view.copy_out(offset, buf))
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.object.try_lock(lock)
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.object.state(lock)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.object.view.is_current(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        Ok(self.object.remove(name))
    }

    /// Another view of the same mapping, by a handle of its own.
    pub(crate) fn again(&self, name: &RegionName) -> Result<Self, OpenError> {
        let fail = |error| OpenError::os(name, "map a view of the object", error);
        let gone = || OpenError::Replaced { name: name.as_str().to_owned() };
        let handle = guard(&self.object.view.handle).as_ref().ok_or_else(gone)?.try_clone().map_err(fail)?;
        let mut view = View::new(handle, FILE_MAP_READ | FILE_MAP_WRITE).map_err(fail)?;
        view.len = self.object.view.len;
        Ok(Self { object: Object::new(view) })
    }

    pub(crate) fn map(self, _name: &RegionName) -> Result<Region, OpenError> {
        self.object.view.let_go();
        Ok(Region { object: self.object })
    }
}
