//! Windows: named file mappings on the page file. Compiled, not yet tested.
//!
//! What differs from Linux:
//!
//! * A mapping is visible from creation on, and its name goes with its last handle. So a taken name is an error of
//!   creation, publishing and removing do nothing, and a name always leads to the object that is open.
//! * A liveness lock is a named kernel object (a mutex that nobody ever acquires) whose *existence* means "held". The
//!   system closes a dead process's handles, so the object goes with its holder. Asking for a lock's state opens the
//!   object for a moment; a lock that is released in that moment looks held until the asker is done.
//! * Lengths of objects that were opened are rounded up to pages.
//! * There is no futex for memory shared between processes; waiting polls.
//! * There is no fork.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, HANDLE, INVALID_HANDLE_VALUE,
    WAIT_TIMEOUT, WIN32_ERROR,
};
use windows_sys::Win32::Security::Cryptography::{BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_BASIC_INFORMATION, MEMORY_MAPPED_VIEW_ADDRESS,
    MapViewOfFile, OpenFileMappingW, PAGE_READONLY, PAGE_READWRITE, UnmapViewOfFile, VirtualProtect, VirtualQuery,
};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::{
    CreateMutexW, OpenMutexW, OpenProcess, PROCESS_SYNCHRONIZE, SYNCHRONIZATION_SYNCHRONIZE, WaitForSingleObject,
};

use crate::error::{CreateError, OpenError, OsError, Refusal};
use crate::futex::Wake;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::region::{CreateOptions, RegionEntry};
use crate::space::Space;

const LOCK_STEP: &str = "make the lock's kernel object";

/// The smallest page of every Windows architecture. Touching or aligning by less than the true page does no harm, and
/// protecting works on the true ones, see `protect_read_only`.
const PAGE: usize = 4096;

/// UTF-16 with the NUL at the end.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The calling thread's last error.
fn last_error() -> (WIN32_ERROR, io::Error) {
    let error = io::Error::last_os_error();
    (error.raw_os_error().unwrap_or(0).cast_unsigned(), error)
}

/// Takes over a handle that a call returned: null means that it failed.
///
/// # Safety
///
/// `handle` is null, or an open handle that nobody else closes.
unsafe fn own(handle: HANDLE) -> Option<OwnedHandle> {
    // SAFETY: not null here, so by this function's contract it is open and ours.
    (!handle.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(handle) })
}

// ------------------------------------------------------------------------------------------------------- mapping

/// A view of a whole mapping. Dropping it unmaps the view and closes the handle.
struct View {
    base: NonNull<u8>,
    len: usize,
    /// Keeps the name. (The view alone keeps the memory but, once the last handle is closed, not the name.)
    _handle: OwnedHandle,
}

// SAFETY: views and handles belong to the process, not to a thread; any thread may unmap and close them.
unsafe impl Send for View {}
// SAFETY: through `&View` only the base and the length are read, which never change.
unsafe impl Sync for View {}

impl View {
    /// Maps all of `handle`. Its length is `len`, or where that is none, what the system says: whole pages.
    fn new(handle: OwnedHandle, access: FILE_MAP, len: Option<usize>) -> io::Result<Self> {
        // SAFETY: the handle is an open file mapping, and the system chooses the address; 0 bytes means all of it.
        let address = unsafe { MapViewOfFile(handle.as_raw_handle(), access, 0, 0, 0) };
        let Some(base) = NonNull::new(address.Value.cast::<u8>()) else {
            return Err(io::Error::last_os_error());
        };
        // From here on a failure unmaps.
        let mut view = Self { base, len: len.unwrap_or(0), _handle: handle };
        if len.is_none() {
            let mut info = MEMORY_BASIC_INFORMATION::default();
            // SAFETY: `info` is valid for writes of the size that is passed.
            let written = unsafe {
                VirtualQuery(base.as_ptr().cast(), &raw mut info, mem::size_of::<MEMORY_BASIC_INFORMATION>())
            };
            if written == 0 {
                return Err(io::Error::last_os_error());
            }
            view.len = info.RegionSize;
        }
        Ok(view)
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: `len` bytes are mapped and readable at `base` until `self` is dropped, which the lifetime prevents.
        // No allocation exceeds isize::MAX: creation checks it, and user address space ends before it. `AtomicU8` has
        // the layout of `u8`, and writes by others are allowed behind a shared reference to it.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.len) }
    }

    fn copy_out(&self, offset: u64, buf: &mut [u8]) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.bytes().get(offset..)).unwrap_or(&[]);
        for (to, from) in buf.iter_mut().zip(rest) {
            // Relaxed: the copy as a whole is not atomic anyway.
            *to = from.load(Ordering::Relaxed);
        }
        rest.len().min(buf.len())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let address = MEMORY_MAPPED_VIEW_ADDRESS { Value: self.base.as_ptr().cast() };
        // SAFETY: the view was mapped by `new`, is unmapped only here, and every reference into it borrows `self`.
        unsafe { UnmapViewOfFile(address) };
    }
}

fn open_view(name: &RegionName, access: FILE_MAP) -> Result<View, OpenError> {
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
    View::new(handle, access, None).map_err(|error| OpenError::os(name, "map a view of the object", error))
}

// --------------------------------------------------------------------------------------------------------- locks

/// The kernel object whose existence means that the lock is held. In the region's own namespace; the region's name is
/// hashed, because object names have a limit of their own.
fn lock_name(name: &RegionName, lock: LockByte) -> Vec<u16> {
    let (namespace, bare) = match name.as_str().rsplit_once('\\') {
        Some((namespace, bare)) => (format!("{namespace}\\"), bare),
        None => (String::new(), name.as_str()),
    };
    // FNV-1a, 128 bits: two names that meet would share their locks.
    let hash = bare.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let lock = match lock {
        LockByte::Server => "server".to_owned(),
        LockByte::Reader(index) => format!("reader-{index}"),
    };
    wide(&format!("{namespace}shmx-lock-{hash:032x}-{lock}"))
}

fn query_lock(name: &RegionName, lock: LockByte) -> LockState {
    let name = lock_name(name, lock);
    // SAFETY: `name` ends with a NUL and outlives the call.
    let handle = unsafe { OpenMutexW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr()) };
    let (code, _) = last_error();
    // SAFETY: null or just opened.
    match unsafe { own(handle) } {
        // It exists; our handle is closed here.
        Some(_) => LockState::Held,
        None if code == ERROR_FILE_NOT_FOUND => LockState::Free,
        // It exists, and belongs to somebody whose objects we may not open.
        None if code == ERROR_ACCESS_DENIED => LockState::Held,
        None => LockState::Unsupported,
    }
}

struct Locks {
    name: RegionName,
    held: Mutex<BTreeMap<LockByte, OwnedHandle>>,
}

impl Locks {
    fn new(name: &RegionName) -> Self {
        Self { name: name.clone(), held: Mutex::new(BTreeMap::new()) }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<LockByte, OwnedHandle>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        let mut held = self.held();
        if held.contains_key(&lock) {
            return Ok(true);
        }
        let name = lock_name(&self.name, lock);
        // SAFETY: null attributes mean the default security and no inheritance; `name` ends with a NUL and outlives the
        // call.
        let handle = unsafe { CreateMutexW(ptr::null(), 0, name.as_ptr()) };
        let (code, error) = last_error();
        // SAFETY: null or just opened.
        match unsafe { own(handle) } {
            // Somebody else's; our handle to it is closed here.
            Some(_) if code == ERROR_ALREADY_EXISTS => Ok(false),
            Some(handle) => {
                held.insert(lock, handle);
                Ok(true)
            }
            None if code == ERROR_ACCESS_DENIED => Ok(false),
            None => Err(OsError::os(LOCK_STEP, error)),
        }
    }

    fn unlock(&self, lock: LockByte) {
        self.held().remove(&lock);
    }

    fn state(&self, lock: LockByte) -> LockState {
        let held = self.held();
        if held.contains_key(&lock) { LockState::Held } else { query_lock(&self.name, lock) }
    }
}

// ------------------------------------------------------------------------------------------------------- objects

pub(crate) struct Pending {
    view: View,
    locks: Locks,
}

impl Pending {
    pub(crate) fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let len = usize::try_from(options.len)
            .map_err(|_| CreateError::InvalidLength { len: options.len, limit: isize::MAX as u64 })?;
        let wide_name = wide(name.as_str());
        let [high, low] = [options.len >> 32, options.len & 0xffff_ffff].map(|half| half as u32);
        // Committed, which is the default: the system promises the memory now or fails.
        // SAFETY: INVALID_HANDLE_VALUE means the page file, null attributes the default security and no inheritance;
        // `wide_name` ends with a NUL and outlives the call.
        let handle = unsafe {
            CreateFileMappingW(INVALID_HANDLE_VALUE, ptr::null(), PAGE_READWRITE, high, low, wide_name.as_ptr())
        };
        let (code, error) = last_error();
        // SAFETY: null or just opened.
        let handle = match unsafe { own(handle) } {
            // The existing object's handle is closed here.
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
        let view = View::new(handle, FILE_MAP_READ | FILE_MAP_WRITE, Some(len))
            .map_err(|error| CreateError::os("map the new object", error))?;
        if options.prefault {
            for byte in view.bytes().iter().step_by(PAGE) {
                // A write that changes nothing. Relaxed: it orders nothing.
                byte.fetch_or(0, Ordering::Relaxed);
            }
        }
        Ok(Self { view, locks: Locks::new(name) })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.locks.try_lock(lock)
    }

    /// Creation has made it visible. The result has the other platforms' type.
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn publish(self, _name: &RegionName) -> Result<Region, Refusal<Self>> {
        Ok(Region { view: self.view, locks: self.locks })
    }
}

/// Objects cannot be read without a view, so this has one already.
pub(crate) struct Existing {
    view: View,
    locks: Locks,
}

impl Existing {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { view: open_view(name, FILE_MAP_READ | FILE_MAP_WRITE)?, locks: Locks::new(name) })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn len(&self) -> Result<u64, OsError> {
        Ok(self.view.len as u64)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.view.copy_out(offset, buf))
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.locks.try_lock(lock)
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.locks.state(lock)
    }

    /// The handle keeps the name from leading elsewhere.
    pub(crate) fn is_current(&self, _name: &RegionName) -> bool {
        true
    }

    /// The name goes with the last handle, and cannot be removed.
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn remove(&self, _name: &RegionName) -> Result<bool, OsError> {
        Ok(false)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn map(self, _name: &RegionName) -> Result<Region, OpenError> {
        Ok(Region { view: self.view, locks: self.locks })
    }
}

pub(crate) struct Region {
    view: View,
    locks: Locks,
}

impl Region {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.locks.try_lock(lock)
    }

    pub(crate) fn unlock(&self, lock: LockByte) {
        self.locks.unlock(lock);
    }

    pub(crate) fn lock_state(&self, lock: LockByte) -> LockState {
        self.locks.state(lock)
    }

    /// The handle keeps the name from leading elsewhere.
    pub(crate) fn is_current(&self, _name: &RegionName) -> bool {
        true
    }

    /// The name goes with the last handle, and cannot be removed.
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn remove(&self, _name: &RegionName) -> Result<bool, OsError> {
        Ok(false)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.view.copy_out(offset, buf))
    }

    /// # Safety
    ///
    /// No store is made to those pages from now on.
    pub(crate) unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        // The page size of every architecture that this system runs on (x86, x86-64, ARM64).
        let end = range.end.min(self.view.len) / PAGE * PAGE;
        let Some(start) = range.start.checked_next_multiple_of(PAGE) else {
            return Ok(());
        };
        if start >= end {
            return Ok(());
        }
        let address: *const c_void = self.view.base.as_ptr().wrapping_add(start).cast();
        let mut before = 0;
        // SAFETY: `start..end` lies inside the view, which is this object's alone, on page boundaries; the pages stay
        // readable, and the caller vouches that nobody writes them. `before` is valid for writes.
        let done = unsafe { VirtualProtect(address, end - start, PAGE_READONLY, &raw mut before) };
        if done == 0 { Err(OsError::os("write-protect pages", io::Error::last_os_error())) } else { Ok(()) }
    }

    pub(crate) fn prefault(&self, _huge_pages: bool) {
        crate::pages::touch(self.bytes(), crate::pages::SMALLEST_PAGE);
    }

    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        None
    }

    pub(crate) fn is_forked(&self) -> bool {
        false
    }
}

pub(crate) struct ReadOnly {
    view: View,
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        Ok(Self { view: open_view(name, FILE_MAP_READ)? })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn lock_state(&self, name: &RegionName, lock: LockByte) -> LockState {
        query_lock(name, lock)
    }

    /// The handle keeps the name from leading elsewhere.
    pub(crate) fn is_current(&self, _name: &RegionName) -> bool {
        true
    }

    /// Lengths of objects are not known here after mapping.
    pub(crate) fn len_now(&self) -> Option<u64> {
        None
    }
}

/// Through a mapping, because there is no other way.
pub(crate) fn peek(name: &RegionName, buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    let object = ReadOnly::open(name)?;
    let bytes = object.bytes();
    for (to, from) in buf.iter_mut().zip(bytes) {
        // Relaxed: the copy as a whole is not atomic anyway.
        *to = from.load(Ordering::Relaxed);
    }
    Ok((buf.len().min(bytes.len()), bytes.len() as u64))
}

pub(crate) fn space() -> Result<Space, OsError> {
    Err(OsError::Unsupported { step: "tell the room for shared memory" })
}

pub(crate) fn process_name(_pid: u32) -> Option<String> {
    None
}

pub(crate) fn page_size() -> usize {
    PAGE
}

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    Err(OsError::Unsupported { step: "list shared-memory objects" })
}

// ------------------------------------------------------------------------------------------ futex, clock, processes

pub(crate) const FUTEX_SUPPORTED: bool = false;

pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    crate::futex::poll(word, expected, timeout)
}

pub(crate) fn futex_wake_all(_word: &AtomicU32) -> usize {
    0
}

/// `counter` ticks of `frequency` per second as nanoseconds. Whole seconds and the rest apart, as the C++ library does,
/// so that nothing overflows and the numbers are the same.
fn scale(counter: u64, frequency: u64) -> u64 {
    const NANOS: u64 = 1_000_000_000;
    let frequency = frequency.max(1);
    let seconds = (counter / frequency).wrapping_mul(NANOS);
    // The rest is below the frequency, so this quotient is below NANOS.
    let rest = u128::from(counter % frequency) * u128::from(NANOS) / u128::from(frequency);
    seconds.wrapping_add(rest as u64)
}

pub(crate) fn ticks() -> u64 {
    /// Fixed at the start of the system.
    static FREQUENCY: OnceLock<u64> = OnceLock::new();
    let frequency = *FREQUENCY.get_or_init(|| {
        let mut frequency = 0;
        // SAFETY: valid for writes. It does not fail on any system that Rust supports.
        unsafe { QueryPerformanceFrequency(&raw mut frequency) };
        frequency.cast_unsigned()
    });
    let mut counter = 0;
    // SAFETY: as above.
    unsafe { QueryPerformanceCounter(&raw mut counter) };
    scale(counter.cast_unsigned(), frequency)
}

pub(crate) fn random_u64() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: a null algorithm with this flag means the system's generator; the buffer is valid for writes of 8 bytes.
    let status = unsafe { BCryptGenRandom(ptr::null_mut(), bytes.as_mut_ptr(), 8, BCRYPT_USE_SYSTEM_PREFERRED_RNG) };
    (status >= 0).then(|| u64::from_ne_bytes(bytes))
}

pub(crate) fn process_alive(pid: u32) -> bool {
    // 0 is the idle process, which is nobody's peer.
    if pid == 0 {
        return false;
    }
    // SAFETY: a plain call without pointers.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    let (code, _) = last_error();
    // SAFETY: null or just opened.
    let Some(process) = (unsafe { own(handle) }) else {
        // It exists, and belongs to somebody else.
        return code == ERROR_ACCESS_DENIED;
    };
    // A dead process keeps its id while somebody has a handle to it; its handle is then signalled.
    // SAFETY: the handle is open and has the right to wait; 0 does not wait.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn counter_scales_without_overflow() {
        assert_eq!(scale(10_000_000, 10_000_000), 1_000_000_000);
        assert_eq!(scale(3, 10_000_000), 300);
        assert_eq!(scale(u64::MAX / 1000, 3_000_000_000), u64::MAX / 3000);
        assert_eq!(scale(7, 0), 7_000_000_000);
    }
}
