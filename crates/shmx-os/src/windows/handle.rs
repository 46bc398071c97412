//! Handles, names in UTF-16 and the last error.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{HANDLE, WIN32_ERROR};

/// UTF-16 with the NUL at the end.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The calling thread's last error.
pub(super) fn last_error() -> (WIN32_ERROR, io::Error) {
    let error = io::Error::last_os_error();
    (error.raw_os_error().unwrap_or(0).cast_unsigned(), error)
}

/// Takes over a handle that a call returned: null means that it failed.
///
/// # Safety
///
/// `handle` is null, or an open handle that nobody else closes.
pub(super) unsafe fn own(handle: HANDLE) -> Option<OwnedHandle> {
    // SAFETY: not null here, so by this function's contract it is open and ours.
    (!handle.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
