//! Windows: named file mappings on the page file, as the C++ headers of the format make and open them.
//!
//! What differs from Linux, and how it is met:
//!
//! * **The name lives as long as a handle.** A mapping is visible from creation on, and nobody can take its name away
//!   while anybody holds a handle; a *view* keeps only the memory. So the creator of an object keeps its handle, and
//!   whoever opens an object of this backend keeps the view alone: the name ends with its creator, however that ends,
//!   and a successor can have it at once, while the views of the old object stay valid. Objects of other programs are
//!   told apart by their missing [`tail`]; their handles are kept, because their servers expect to find the name again.
//! * **Locks** are words in the object's tail that name a process; they count while that process lives. See [`locks`].
//! * **Sleeping** on a word is sleeping on a named event. See [`bell`].
//! * Lengths of other programs' objects are rounded up to pages.
//! * There is no fork, and no file mode: the default security of the creator's token applies.
//!
//! The crate `shared_memory` is not used here: its `create` attaches to an existing object and reports the length that
//! was asked for, and the file it keeps beside the object lets `open` succeed on stale bytes after a kill.

mod bell;
mod list;
mod locks;
mod tail;

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, HANDLE, INVALID_HANDLE_VALUE,
    WAIT_TIMEOUT, WIN32_ERROR,
};
use windows_sys::Win32::Security::Cryptography::{BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP, FILE_MAP_READ, FILE_MAP_WRITE, MEM_COMMIT, MEMORY_BASIC_INFORMATION,
    MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, OpenFileMappingW, PAGE_READONLY, PAGE_READWRITE, UnmapViewOfFile,
    VirtualProtect, VirtualQuery,
};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject};

use crate::error::{CreateError, OpenError, OsError, Refusal};
use crate::futex::Wake;
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::region::{CreateOptions, Owner, RegionEntry};
use crate::space::{MemoryLimit, Space};
use tail::Tail;

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

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ------------------------------------------------------------------------------------------------------- mapping

/// A view of a whole mapping, and the handle behind it while that is wanted. Dropping it gives up both.
struct View {
    base: NonNull<u8>,
    /// Bytes that belong to the user.
    len: usize,
    /// Bytes mapped: the user's, the tail, and what rounding to pages adds.
    mapped: usize,
    /// What keeps the name.
    handle: Mutex<Option<OwnedHandle>>,
    /// Found at the first look after the creator has written it.
    tail: OnceLock<Tail>,
    /// Whether the handle is not wanted once the tail is found.
    lets_go: AtomicBool,
}

// SAFETY: views and handles belong to the process, not to a thread; any thread may unmap and close them.
unsafe impl Send for View {}
// SAFETY: through `&View` the base and the lengths are read, which never change; the rest is synchronised.
unsafe impl Sync for View {}

impl View {
    /// Maps all of `handle`; how long that is, the system says.
    fn new(handle: OwnedHandle, access: FILE_MAP) -> io::Result<Self> {
        // SAFETY: the handle is an open file mapping, and the system chooses the address; 0 bytes means all of it.
        let address = unsafe { MapViewOfFile(handle.as_raw_handle(), access, 0, 0, 0) };
        let Some(base) = NonNull::new(address.Value.cast::<u8>()) else {
            return Err(io::Error::last_os_error());
        };
        // From here on a failure unmaps.
        let (handle, tail, lets_go) = (Mutex::new(Some(handle)), OnceLock::new(), AtomicBool::new(false));
        let mut view = Self { base, len: 0, mapped: 0, handle, tail, lets_go };
        let mut info = MEMORY_BASIC_INFORMATION::default();
        // SAFETY: `info` is valid for writes of the size that is passed.
        let written =
            unsafe { VirtualQuery(base.as_ptr().cast(), &raw mut info, mem::size_of::<MEMORY_BASIC_INFORMATION>()) };
        if written == 0 {
            return Err(io::Error::last_os_error());
        }
        // Pages that its creator has reserved but not committed would fault.
        if info.State != MEM_COMMIT {
            return Err(io::Error::other("its first pages are not committed"));
        }
        view.mapped = info.RegionSize;
        view.len = view.mapped;
        Ok(view)
    }

    fn open(name: &RegionName, access: FILE_MAP) -> Result<Self, OpenError> {
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

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: at least `len` bytes are mapped and readable at `base` until `self` is dropped, which the lifetime
        // prevents. No allocation exceeds isize::MAX: creation checks it, and user address space ends before it.
        // `AtomicU8` has the layout of `u8`, and writes by others are allowed behind a shared reference to it.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.len) }
    }

    /// The tail, once its creator has written it. Objects of other programs have none.
    fn tail(&self) -> Option<&Tail> {
        if let Some(tail) = self.tail.get() {
            return Some(tail);
        }
        let found = Tail::find(self)?;
        let tail = self.tail.get_or_init(|| found);
        if self.lets_go.load(Ordering::Relaxed) {
            drop(guard(&self.handle).take());
        }
        Some(tail)
    }

    /// Gives up the name's handle, now or when the object turns out to be one of this backend. The memory stays.
    fn let_go(&self) {
        self.lets_go.store(true, Ordering::Relaxed);
        if self.tail().is_some() {
            drop(guard(&self.handle).take());
        }
    }

    /// Whether `name` leads to this object: certainly while there is a handle, else if the ids agree.
    fn is_current(&self, name: &RegionName) -> bool {
        if guard(&self.handle).is_some() {
            return true;
        }
        let there = Self::open(name, FILE_MAP_READ).ok();
        let ids = there.as_ref().and_then(View::tail).zip(self.tail()).map(|(there, here)| (there.id, here.id));
        ids.is_some_and(|(there, here)| there == here)
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

// ------------------------------------------------------------------------------------------------------- objects

/// A view and the locks taken through it, which are released with it.
struct Object {
    view: View,
    held: Mutex<BTreeSet<LockByte>>,
    /// The last holder that was looked at.
    peer: locks::Peer,
}

impl Object {
    fn new(view: View) -> Self {
        Self { view, held: Mutex::default(), peer: locks::Peer::default() }
    }

    fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        let mut held = guard(&self.held);
        if held.contains(&lock) {
            return Ok(true);
        }
        let word = locks::word(&self.view, lock).ok_or(OsError::Unsupported { step: locks::STEP })?;
        let done = locks::take(word, &self.peer)?;
        if done {
            held.insert(lock);
        }
        Ok(done)
    }

    fn unlock(&self, lock: LockByte) {
        if guard(&self.held).remove(&lock)
            && let Some(word) = locks::word(&self.view, lock)
        {
            locks::give_back(word);
        }
    }

    fn state(&self, lock: LockByte) -> LockState {
        if guard(&self.held).contains(&lock) { LockState::Held } else { locks::state(&self.view, lock, &self.peer) }
    }

    /// Gives up the name. Whether it is gone: others may hold it too.
    fn remove(&self, name: &RegionName) -> bool {
        if guard(&self.view.handle).take().is_none() {
            return false;
        }
        matches!(View::open(name, FILE_MAP_READ), Err(OpenError::NotFound { .. }))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        for lock in mem::take(&mut *guard(&self.held)) {
            if let Some(word) = locks::word(&self.view, lock) {
                locks::give_back(word);
            }
        }
    }
}

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
        if view.mapped < total {
            return Err(map_failed(io::Error::other("the view is shorter than the object")));
        }
        view.len = len;
        let tail = Tail::write(&view, len, lock_count).ok_or_else(invalid)?;
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

pub(crate) struct Region {
    object: Object,
}

impl Region {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.object.view.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.object.try_lock(lock)
    }

    pub(crate) fn unlock(&self, lock: LockByte) {
        self.object.unlock(lock);
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

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.object.view.copy_out(offset, buf))
    }

    /// # Safety
    ///
    /// No store is made to those pages from now on.
    pub(crate) unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        let view = &self.object.view;
        // The page size of every architecture that this system runs on (x86, x86-64, ARM64).
        let end = range.end.min(view.len) / PAGE * PAGE;
        let Some(start) = range.start.checked_next_multiple_of(PAGE) else {
            return Ok(());
        };
        if start >= end {
            return Ok(());
        }
        let address: *const c_void = view.base.as_ptr().wrapping_add(start).cast();
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

    pub(crate) fn wait(&self, name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        match bell::name(&self.object.view, name, word, expected) {
            Some(event) => bell::wait(&event, word, expected, timeout),
            None => crate::futex::poll(word, expected, timeout),
        }
    }

    pub(crate) fn wake_all(&self, name: &RegionName, word: &AtomicU32, slept_on: u32) {
        if let Some(event) = bell::name(&self.object.view, name, word, slept_on) {
            bell::ring(&event);
        }
    }

    pub(crate) fn is_forked(&self) -> bool {
        false
    }
}

pub(crate) struct ReadOnly {
    view: View,
    peer: locks::Peer,
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let view = View::open(name, FILE_MAP_READ)?;
        view.let_go();
        Ok(Self { view, peer: locks::Peer::default() })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn lock_state(&self, _name: &RegionName, lock: LockByte) -> LockState {
        locks::state(&self.view, lock, &self.peer)
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.view.is_current(name)
    }

    /// Nobody can shrink an object here.
    pub(crate) fn owner(&self) -> Option<Owner> {
        None
    }

    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn len_now(&self) -> Option<u64> {
        Some(self.view.len as u64)
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
    list::objects()
}

// ------------------------------------------------------------------------------------------ clock, processes

pub(crate) const FUTEX_SUPPORTED: bool = true;

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
    still_runs(&process)
}

/// A dead process keeps its id while somebody has a handle to it; its handle is then signalled.
fn still_runs(process: &OwnedHandle) -> bool {
    // SAFETY: the handle is open and has the right to wait; 0 does not wait.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_TIMEOUT }
}

// --------------------------------------------------------------------------------------------------------- signals

pub(crate) const fn owner_of_directory() -> Option<Owner> {
    None
}

pub(crate) const fn owner_of(_name: &RegionName) -> Option<Owner> {
    None
}

pub(crate) const fn memory_limits() -> Vec<MemoryLimit> {
    Vec::new()
}

pub(crate) const fn group_of_process() -> u32 {
    0
}

/// Nothing asks here.
pub(crate) const fn signal_is_ignored(_signal: i32) -> bool {
    false
}

pub(crate) const fn explain_bus_errors(_words: &'static str) {}

pub(crate) const fn restore_terminal_on_bus_error(_screen: Option<&'static str>) {}

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
