//! macOS: POSIX shared memory, with what POSIX gives. Compiled, not yet tested.
//!
//! Less than on Linux: the name is visible from creation on; pages are not reserved; there are no liveness locks;
//! objects cannot be listed. The system takes names of at most 30 bytes and gives its objects no inode numbers, so
//! whether a name still leads to the same object is answered as far as the system tells: where all numbers are 0, any
//! object of the same length under the name counts as the same.
//!
//! Length: nothing of this can be run where it is written, so all of it lies in one place, to be read together.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::process::Pid;
use rustix::shm;
use rustix::time::ClockId;

use crate::apple_wait;
use crate::create_options::CreateOptions;
use crate::entry::RegionEntry;
use crate::error::{CreateError, OpenError, OsError, Refusal};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::owner::Owner;
use crate::shared_mapping::SharedMapping;
use crate::space::{MemoryLimit, Space};
use crate::wake::Wake;

pub(crate) use crate::apple_wait::is_supported as can_wait;
pub(crate) use crate::no_shared_word::SharedWord;

const LOCK_STEP: &str = "lock a byte of the object";

#[derive(Clone, Copy, PartialEq, Eq)]
struct ObjectId {
    device: i32,
    inode: u64,
    len: i64,
}

impl ObjectId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino, len: stat.st_size }
    }

    /// What the name leads to now; none if nothing.
    fn named(name: &RegionName) -> Result<Option<Self>, Errno> {
        let stat =
            shm::open(name.posix_name(), shm::OFlags::RDONLY, Mode::empty()).and_then(|fd| rustix::fs::fstat(&fd));
        match stat {
            Ok(stat) => Ok(Some(Self::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the name leads to this object.
    fn is_named(self, name: &RegionName) -> Result<bool, OsError> {
        Self::named(name).map(|found| found == Some(self)).map_err(|e| OsError::os("look up the name", e))
    }

    /// The same. An error tells nothing, and is taken for yes: who asks gives up what it has for a name that is lost,
    /// and asks again otherwise.
    fn is_current(self, name: &RegionName) -> bool {
        self.is_named(name).unwrap_or(true)
    }

    fn remove(self, name: &RegionName) -> Result<bool, OsError> {
        if !self.is_named(name)? {
            return Ok(false);
        }
        match shm::unlink(name.posix_name()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(OsError::os("remove the name", error)),
        }
    }
}

struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; any thread may unmap it.
unsafe impl Send for Mapping {}
// SAFETY: through `&Mapping` only the base and the length are read, which never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `len` is neither 0 nor above `isize::MAX`.
    fn new(fd: &OwnedFd, len: usize, access: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: with a null address the kernel chooses a range that nothing uses.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0) }?;
        match NonNull::new(base.cast()) {
            Some(base) => Ok(Self { base, len }),
            None => Err(Errno::NOMEM),
        }
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: `len` bytes are mapped and readable at `base` until `self` is dropped, which the lifetime prevents;
        // the type allows writes by others.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, unmapped only here, and every reference into it borrows `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

enum View {
    Own(Mapping),
    /// `len` is neither 0 nor above `isize::MAX` nor the mapping's length.
    Shared {
        mapping: SharedMapping,
        len: usize,
    },
}

impl View {
    fn base(&self) -> *mut u8 {
        match self {
            Self::Own(mapping) => mapping.base.as_ptr(),
            Self::Shared { mapping, .. } => mapping.base().as_ptr(),
        }
    }

    fn bytes(&self) -> &[AtomicU8] {
        match self {
            Self::Own(mapping) => mapping.bytes(),
            Self::Shared { mapping, len } => {
                debug_assert!(*len <= mapping.len());
                // SAFETY: at least `len` bytes are mapped at the base for as long as `mapping` lives, which the
                // lifetime ensures; the type allows writes by others.
                unsafe { slice::from_raw_parts(mapping.base().as_ptr().cast_const().cast(), *len) }
            }
        }
    }
}

/// Shared-memory descriptors cannot be read here, so reading goes through a mapping.
fn copy_out(bytes: &[AtomicU8], offset: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
    let count = rest.len().min(buf.len());
    for (to, from) in buf.iter_mut().zip(rest) {
        *to = from.load(Ordering::Relaxed);
    }
    count
}

fn open_object(name: &RegionName, access: shm::OFlags) -> Result<(OwnedFd, Stat), OpenError> {
    let fd = shm::open(name.posix_name(), access, Mode::empty())
        .map_err(|error| OpenError::os(name, "open the object", error))?;
    let stat = rustix::fs::fstat(&fd).map_err(|error| OpenError::os(name, "look at the object", error))?;
    // The system gives these objects no type.
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Unknown => Ok((fd, stat)),
        _ => Err(OpenError::NotSharedMemory { name: name.as_str().to_owned() }),
    }
}

fn mappable_len(name: &RegionName, stat: &Stat) -> Result<usize, OpenError> {
    match usize::try_from(stat.st_size) {
        Ok(0) | Err(_) => Err(OpenError::Empty { name: name.as_str().to_owned() }),
        Ok(len) if isize::try_from(len).is_err() => {
            Err(OpenError::TooLarge { name: name.as_str().to_owned(), len: len as u64, limit: isize::MAX as u64 })
        }
        Ok(len) => Ok(len),
    }
}

pub(crate) struct Pending {
    mapping: Mapping,
    fd: OwnedFd,
    unpublished: Unpublished,
}

/// Removes the name on drop until `process` is 0; never in forked children.
struct Unpublished {
    name: RegionName,
    process: u32,
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = shm::unlink(self.name.posix_name());
        }
    }
}

impl Pending {
    pub(crate) fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let limit = isize::MAX as u64;
        let len = usize::try_from(options.len).map_err(|_| CreateError::InvalidLength { len: options.len, limit })?;
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let fd = match shm::open(name.posix_name(), flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => return Err(CreateError::Exists { name: name.clone() }),
            Err(error) => return Err(CreateError::os("create the object", error)),
        };
        // On an error below this drops, and removes the name.
        let unpublished = Unpublished { name: name.clone(), process: std::process::id() };
        let mapping = Self::fill(&fd, len, options)?;
        Ok(Self { mapping, fd, unpublished })
    }

    fn fill(fd: &OwnedFd, len: usize, options: &CreateOptions) -> Result<Mapping, CreateError> {
        rustix::fs::ftruncate(fd, options.len).map_err(|error| match error {
            Errno::NOSPC | Errno::NOMEM | Errno::FBIG => CreateError::NoSpace { needed: options.len, available: 0 },
            error => CreateError::os("set the length", error),
        })?;
        let mapping = Mapping::new(fd, len, ProtFlags::READ | ProtFlags::WRITE)
            .map_err(|error| CreateError::os("map the new object", error))?;
        // `mode_t` has 16 bits, and the caller has checked that there are nine.
        let mode = options.mode.try_into().unwrap_or(0o600);
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
            .map_err(|error| CreateError::os("set the file mode", error))?;
        if options.prefault {
            for byte in mapping.bytes().iter().step_by(rustix::param::page_size()) {
                byte.fetch_or(0, Ordering::Relaxed);
            }
        }
        Ok(mapping)
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes()
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        Err(OsError::Unsupported { step: LOCK_STEP })
    }

    pub(crate) fn publish(mut self, _name: &RegionName) -> Result<Region, Refusal<Self>> {
        const STEP: &str = "give the object its name";
        if self.unpublished.process != std::process::id() {
            return Err(Box::new((self, Some(OsError::Forked { step: STEP }))));
        }
        let stat = match rustix::fs::fstat(&self.fd) {
            Ok(stat) => stat,
            Err(error) => return Err(Box::new((self, Some(OsError::os(STEP, error))))),
        };
        // From here on the name stays.
        self.unpublished.process = 0;
        Ok(Region { view: View::Own(self.mapping), id: ObjectId::of(&stat), process: std::process::id() })
    }
}

pub(crate) struct Existing {
    fd: OwnedFd,
    id: ObjectId,
    process: u32,
}

impl Existing {
    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let (fd, stat) = open_object(name, shm::OFlags::RDWR)?;
        Ok(Self { fd, id: ObjectId::of(&stat), process: std::process::id() })
    }

    fn stat(&self) -> Result<Stat, OsError> {
        rustix::fs::fstat(&self.fd).map_err(|error| OsError::os("look at the object", error))
    }

    pub(crate) fn len(&self) -> Result<u64, OsError> {
        Ok(u64::try_from(self.stat()?.st_size).unwrap_or(0))
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let stat = rustix::fs::fstat(&self.fd)?;
        let len = usize::try_from(stat.st_size).unwrap_or(0);
        if len == 0 || isize::try_from(len).is_err() {
            return Ok(0);
        }
        let mapping = Mapping::new(&self.fd, len, ProtFlags::READ)?;
        Ok(copy_out(mapping.bytes(), offset, buf))
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        Err(OsError::Unsupported { step: LOCK_STEP })
    }

    pub(crate) fn lock_state(&self, _lock: LockByte) -> LockState {
        LockState::Unsupported
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.id.is_current(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        if self.process != std::process::id() {
            return Err(OsError::Forked { step: "remove the name" });
        }
        self.id.remove(name)
    }

    pub(crate) fn again(&self, name: &RegionName) -> Result<Self, OpenError> {
        let fd = self.fd.try_clone().map_err(|error| OpenError::os(name, "map the object", error))?;
        Ok(Self { fd, id: self.id, process: self.process })
    }

    /// The mapping library opens the name once more; that it got this object the numbers say, as far as the system
    /// gives any.
    pub(crate) fn map(self, name: &RegionName) -> Result<Region, OpenError> {
        let replaced = || OpenError::Replaced { name: name.as_str().to_owned() };
        let stat = self.stat().map_err(|source| OpenError::Os { name: name.as_str().to_owned(), source })?;
        let len = mappable_len(name, &stat)?;
        let id = ObjectId::of(&stat);
        // Here an error is no: nothing else proves that the library opened this object.
        let is_named = || id.is_named(name).unwrap_or(false);
        if !is_named() {
            return Err(replaced());
        }
        let mapping = SharedMapping::open(name).map_err(|error| OpenError::os(name, "map the object", error))?;
        if !is_named() || mapping.len() < len {
            return Err(replaced());
        }
        Ok(Region { view: View::Shared { mapping, len }, id, process: self.process })
    }
}

pub(crate) struct Region {
    view: View,
    id: ObjectId,
    process: u32,
}

impl Region {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.view.bytes()
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        Err(OsError::Unsupported { step: LOCK_STEP })
    }

    pub(crate) fn unlock(&self, _lock: LockByte) {}

    pub(crate) fn lock_state(&self, _lock: LockByte) -> LockState {
        LockState::Unsupported
    }

    pub(crate) fn is_named(&self, name: &RegionName) -> Result<bool, OsError> {
        self.id.is_named(name)
    }

    pub(crate) fn remove(&self, name: &RegionName) -> Result<bool, OsError> {
        if self.is_forked() {
            return Err(OsError::Forked { step: "remove the name" });
        }
        self.id.remove(name)
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(copy_out(self.bytes(), offset, buf))
    }

    /// # Safety
    ///
    /// No store is made to those pages from now on.
    pub(crate) unsafe fn protect_read_only(&self, range: Range<usize>) -> Result<(), OsError> {
        let page = rustix::param::page_size();
        let end = range.end.min(self.bytes().len()) / page * page;
        let Some(start) = range.start.checked_next_multiple_of(page) else {
            return Ok(());
        };
        if start >= end {
            return Ok(());
        }
        let address = self.view.base().wrapping_add(start).cast();
        // SAFETY: `start..end` lies inside the mapping, which is this object's alone, on page boundaries; the pages
        // stay readable, and the caller vouches that nobody writes them.
        let protected = unsafe { rustix::mm::mprotect(address, end - start, MprotectFlags::READ) };
        protected.map_err(|error| OsError::os("write-protect pages", error))
    }

    pub(crate) fn prefault(&self, _huge_pages: bool) {
        crate::pages::touch(self.bytes(), crate::pages::SMALLEST_PAGE);
    }

    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        None
    }

    pub(crate) fn wait(&self, _name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        apple_wait::wait(word, expected, timeout)
    }

    /// No wait here outlasts a borrow.
    pub(crate) fn shared_word(&self, _word: &AtomicU32) -> Option<SharedWord> {
        None
    }

    pub(crate) fn wake_all(&self, _name: &RegionName, word: &AtomicU32, _slept_on: u32) {
        apple_wait::wake_all(word);
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }
}

pub(crate) struct ReadOnly {
    mapping: Mapping,
    id: ObjectId,
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        let (fd, stat) = open_object(name, shm::OFlags::RDONLY)?;
        let len = mappable_len(name, &stat)?;
        let mapping =
            Mapping::new(&fd, len, ProtFlags::READ).map_err(|error| OpenError::os(name, "map the object", error))?;
        Ok(Self { mapping, id: ObjectId::of(&stat) })
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes()
    }

    pub(crate) fn lock_state(&self, _name: &RegionName, _lock: LockByte) -> LockState {
        LockState::Unsupported
    }

    pub(crate) fn is_current(&self, name: &RegionName) -> bool {
        self.id.is_current(name)
    }

    pub(crate) fn wait(&self, _name: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
        apple_wait::wait(word, expected, timeout)
    }

    /// Lengths of objects are not known here after mapping.
    pub(crate) fn owner(&self) -> Option<Owner> {
        None
    }

    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

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

pub(crate) const fn process_is_stopped(_pid: u32) -> Option<bool> {
    None
}

pub(crate) fn process_name(_pid: u32) -> Option<String> {
    None
}

pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    Err(OsError::Unsupported { step: "list shared-memory objects" })
}

pub(crate) fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    // Neither is negative for this clock, and 2^64 ns are 584 years.
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

pub(crate) fn random_u64() -> Option<u64> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

pub(crate) fn process_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    match rustix::process::test_kill_process(pid) {
        // PERM: it exists and is somebody else's.
        Ok(()) | Err(Errno::PERM) => true,
        Err(_) => false,
    }
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
