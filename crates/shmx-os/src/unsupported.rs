//! Stub for platforms without a backend: everything compiles, nothing opens.

use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::{Duration, Instant};

use crate::create_options::CreateOptions;
use crate::entry::RegionEntry;
use crate::error::{CreateError, OpenError, OsError, Refusal};
use crate::lock::{LockByte, LockState};
use crate::name::RegionName;
use crate::owner::Owner;
use crate::space::{MemoryLimit, Space};
use crate::wake::Wake;

pub(crate) use crate::no_shared_word::SharedWord;

fn unsupported(name: &RegionName) -> OpenError {
    OpenError::Os { name: name.as_str().to_owned(), source: OsError::Unsupported { step: "open shared memory" } }
}

/// No value of any of these exists.
macro_rules! uninhabited {
    ($($name:ident),*) => {$(
        pub(crate) struct $name(Infallible);
    )*};
}

uninhabited!(Pending, Existing, Region, ReadOnly);

impl Pending {
    pub(crate) fn create(_name: &RegionName, _options: &CreateOptions) -> Result<Self, CreateError> {
        Err(CreateError::Unsupported)
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        match self.0 {}
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn publish(self, _name: &RegionName) -> Result<Region, Refusal<Self>> {
        match self.0 {}
    }
}

impl Existing {
    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        Err(unsupported(name))
    }

    pub(crate) fn len(&self) -> Result<u64, OsError> {
        match self.0 {}
    }

    pub(crate) fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn lock_state(&self, _lock: LockByte) -> LockState {
        match self.0 {}
    }

    pub(crate) fn is_current(&self, _name: &RegionName) -> bool {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _name: &RegionName) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn again(&self, _name: &RegionName) -> Result<Self, OpenError> {
        match self.0 {}
    }

    pub(crate) fn map(self, _name: &RegionName) -> Result<Region, OpenError> {
        match self.0 {}
    }
}

impl Region {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        match self.0 {}
    }

    pub(crate) fn try_lock(&self, _lock: LockByte) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn unlock(&self, _lock: LockByte) {
        match self.0 {}
    }

    pub(crate) fn lock_state(&self, _lock: LockByte) -> LockState {
        match self.0 {}
    }

    pub(crate) fn is_named(&self, _name: &RegionName) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _name: &RegionName) -> Result<bool, OsError> {
        match self.0 {}
    }

    pub(crate) fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// # Safety
    ///
    /// None: it cannot be called.
    pub(crate) unsafe fn protect_read_only(&self, _range: Range<usize>) -> Result<(), OsError> {
        match self.0 {}
    }

    pub(crate) fn prefault(&self, _huge_pages: bool) {
        match self.0 {}
    }

    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        match self.0 {}
    }

    pub(crate) fn wait(&self, _name: &RegionName, _word: &AtomicU32, _expected: u32, _timeout: Duration) -> Wake {
        match self.0 {}
    }

    /// No wait here outlasts a borrow.
    pub(crate) fn shared_word(&self, _word: &AtomicU32) -> Option<SharedWord> {
        None
    }

    pub(crate) fn wake_all(&self, _name: &RegionName, _word: &AtomicU32, _slept_on: u32) {
        match self.0 {}
    }

    pub(crate) fn is_forked(&self) -> bool {
        match self.0 {}
    }
}

impl ReadOnly {
    pub(crate) fn open(name: &RegionName) -> Result<Self, OpenError> {
        Err(unsupported(name))
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        match self.0 {}
    }

    pub(crate) fn lock_state(&self, _name: &RegionName, _lock: LockByte) -> LockState {
        match self.0 {}
    }

    pub(crate) fn is_current(&self, _name: &RegionName) -> bool {
        match self.0 {}
    }

    pub(crate) fn wait(&self, _name: &RegionName, _word: &AtomicU32, _expected: u32, _timeout: Duration) -> Wake {
        match self.0 {}
    }

    /// Lengths of objects are not known here after mapping.
    pub(crate) fn owner(&self) -> Option<Owner> {
        None
    }

    pub(crate) fn is_used_by(&self, _pid: u32) -> Option<bool> {
        None
    }

    pub(crate) fn len_now(&self) -> Option<u64> {
        match self.0 {}
    }
}

pub(crate) fn peek(name: &RegionName, _buf: &mut [u8]) -> Result<(usize, u64), OpenError> {
    Err(unsupported(name))
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
    4096
}

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    Err(OsError::Unsupported { step: "list shared-memory objects" })
}

pub(crate) const fn can_wait() -> bool {
    false
}

/// From the first call on: no other process can compare.
pub(crate) fn ticks() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn random_u64() -> Option<u64> {
    None
}

pub(crate) fn process_alive(_pid: u32) -> bool {
    false
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
