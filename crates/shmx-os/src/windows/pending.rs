//! Creation: visible at once, complete when the tail is written.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_INVALID_HANDLE, ERROR_NO_SYSTEM_RESOURCES,
    ERROR_NOT_ENOUGH_MEMORY, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::Memory::{CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, PAGE_READWRITE};

use super::handle::{last_error, own, wide};
use super::mapping::PAGE;
use super::object::Object;
use super::region::Region;
use super::tail::{self, Tail};
use super::view::View;
use crate::create_options::CreateOptions;
use crate::error::{CreateError, OsError, Refusal};
use crate::lock::LockByte;
use crate::name::RegionName;

pub(crate) struct Pending {
    object: Object,
}

impl Pending {
    pub(crate) fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let invalid = || CreateError::InvalidLength { len: options.len, limit: isize::MAX as u64 };
        let len = usize::try_from(options.len).map_err(|_| invalid())?;
        let lock_count = options.reader_locks as usize + 1;
        let total = tail::total_len(len, lock_count).ok_or_else(invalid)?;
        let wide_name = wide(name.as_str());
        let [high, low] = [total as u64 >> 32, total as u64 & 0xffff_ffff].map(|half| half as u32);
        // Committed, which is the default: the system promises the memory now or fails.
        // SAFETY: INVALID_HANDLE_VALUE means the page file, null attributes the default security and no inheritance;
        // `wide_name` ends with a NUL and outlives the call.
        let handle = unsafe {
            CreateFileMappingW(INVALID_HANDLE_VALUE, ptr::null(), PAGE_READWRITE, high, low, wide_name.as_ptr())
        };
        let (code, error) = last_error();
        // SAFETY: null or just opened.
        let handle = match unsafe { own(handle) } {
            // The existing object's handle is closed here; its length and contents are not looked at.
            Some(_) if code == ERROR_ALREADY_EXISTS => {
                return Err(CreateError::Exists { name: name.clone() });
            }
            Some(handle) => handle,
            None => {
                return Err(match code {
                    // Another kind of object has the name.
                    ERROR_INVALID_HANDLE => CreateError::Exists { name: name.clone() },
                    ERROR_COMMITMENT_LIMIT | ERROR_NOT_ENOUGH_MEMORY | ERROR_NO_SYSTEM_RESOURCES | ERROR_DISK_FULL => {
                        CreateError::NoSpace { needed: options.len, available: 0 }
                    }
                    _ => CreateError::os("create the file mapping", error),
                });
            }
        };
        let map_failed = |error| CreateError::os("map the new object", error);
        let mut view = View::new(handle, FILE_MAP_READ | FILE_MAP_WRITE).map_err(map_failed)?;
        if view.mapping.len < total {
            return Err(map_failed(io::Error::other("the view is shorter than the object")));
        }
        view.len = len;
        let tail = Tail::write(&view.mapping, len, lock_count).ok_or_else(invalid)?;
        // It cannot be set yet: nobody else knows the view.
        let _ = view.tail.set(tail);
        if options.prefault {
            for byte in view.bytes().iter().step_by(PAGE) {
                // A write that changes nothing. Relaxed: it orders nothing.
                byte.fetch_or(0, Ordering::Relaxed);
            }
        }
        Ok(Self { object: Object::new(view) })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.object.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.object.try_lock(lock)
    }

    /// Creation has made it visible. The result has the other platforms' type.
    pub(crate) fn publish(self, _name: &RegionName) -> Result<Region, Refusal<Self>> {
        Ok(Region { object: self.object })
    }
}
