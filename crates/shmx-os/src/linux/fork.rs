//! Descriptors that forked children must not keep.
//!
//! An open-file-description lock lives as long as its description, and a forked child shares its parent's
//! descriptions: a server that dies while a child of it lives on would look alive. So every descriptor that can hold
//! such a lock is listed here, and a `pthread_atfork` handler closes them all in the child, before `fork` returns there.
//!
//! * `prepare` takes the list's lock, so that no descriptor is half made or half closed at the moment of the fork.
//!   Descriptors are *opened and listed*, and *unlisted and closed*, under that lock.
//! * `parent` gives it back.
//! * `child` closes the listed descriptors (`close` is async-signal-safe), empties the list without freeing, counts the
//!   fork and gives the lock back. Objects made before compare that count with theirs and know that they are copies.
//!
//! Consequence: `fork` waits for an `open` or `close` of this crate in another thread, microseconds; and `fork` from
//! within a signal handler may deadlock, as with any library that uses `pthread_atfork` (POSIX no longer calls `fork`
//! async-signal-safe).
//!
//! A child holds the descriptions from its birth until it is first scheduled and runs the handler. Whoever is killed in
//! between is taken for alive that much longer; waiting for the child in `parent` would close that gap, but hang the
//! parent on a child that is stopped.
//!
//! Mappings keep a description alive too, and children inherit mappings. Therefore the descriptor that is locked is
//! never the one that was mapped; see [`super::Pending::create`].

use std::cell::UnsafeCell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::thread::futex;

use crate::error::OsError;

/// Forks between the first descriptor of the oldest ancestor and this process.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static LOCK: ListLock = ListLock(AtomicU32::new(FREE));
static LISTED: Listed = Listed(UnsafeCell::new(Vec::new()));

struct Listed(UnsafeCell<Vec<RawFd>>);

// SAFETY: the cell is reached through `with_list` and the child handler only, and both hold `LOCK` meanwhile.
unsafe impl Sync for Listed {}

/// A lock that one function can take and another give back, and that a forked child can give back. The standard
/// library's cannot.
struct ListLock(AtomicU32);

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const AWAITED: u32 = 2;

impl ListLock {
    fn take(&self) {
        // Acquire: sees what the last holder did, its Release in `give`.
        if self.0.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            // Any outcome, an error included, leads to another try.
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, AWAITED, None);
        }
    }

    fn give(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            let _ = futex::wake(&self.0, futex::Flags::PRIVATE, 1);
        }
    }
}

/// Runs `work` on the list, with forks held off. `work` must not fork.
fn with_list<T>(work: impl FnOnce(&mut Vec<RawFd>) -> T) -> T {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            LOCK.give();
        }
    }
    LOCK.take();
    let _guard = Guard;
    // SAFETY: `LOCK` is held until the guard drops, after `list`'s last use, so no other reference exists: every other
    // one is made here or in `child`, under the same lock.
    let list = unsafe { &mut *LISTED.0.get() };
    work(list)
}

extern "C" fn prepare() {
    LOCK.take();
}

extern "C" fn parent() {
    LOCK.give();
}

extern "C" fn child() {
    // SAFETY: `prepare` took `LOCK` in the thread that forked, which is the only one in this process.
    let list = unsafe { &mut *LISTED.0.get() };
    for &fd in list.iter() {
        // SAFETY: a plain system call. The descriptor is open (listed descriptors are), and its owner will not use or
        // close it, because its generation is not the one set below.
        unsafe { libc::close(fd) };
    }
    // Integers: nothing is dropped or freed, which is not allowed between fork and exec.
    list.clear();
    // Relaxed: there is one thread.
    GENERATION.fetch_add(1, Ordering::Relaxed);
    LOCK.give();
}

/// Proof that the handlers are installed.
#[derive(Clone, Copy)]
pub(super) struct Ready(());

impl Ready {
    /// Installs the handlers, once per process tree. Never under `LOCK`: the C library may hold a lock of its own here
    /// that it also holds while calling `prepare`.
    pub(super) fn new() -> Result<Self, io::Error> {
        static INSTALLED: OnceLock<i32> = OnceLock::new();
        let code = *INSTALLED.get_or_init(|| {
            // SAFETY: the handlers are functions of the right type that live as long as this code; the C library
            // forgets them if the shared object they are in is unloaded.
            unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) }
        });
        match code {
            0 => Ok(Self(())),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// In which process of a family of forks something was made. For what needs no descriptor closed in children.
#[derive(Clone, Copy)]
pub(super) struct Birth(u64);

impl Birth {
    pub(super) fn now(_ready: Ready) -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn is_forked(self) -> bool {
        // Relaxed: it changes in the child handler only, when the process has one thread.
        self.0 != GENERATION.load(Ordering::Relaxed)
    }

    /// An error in a forked child.
    #[inline]
    pub(super) fn check(self, step: &'static str) -> Result<(), OsError> {
        if self.is_forked() { Err(OsError::Forked { step }) } else { Ok(()) }
    }
}

/// A descriptor that is closed in forked children.
pub(super) struct Guarded {
    fd: ManuallyDrop<OwnedFd>,
    generation: u64,
}

impl Guarded {
    /// Opens a descriptor by `open` and lists it, in one step for forks.
    pub(super) fn open<E>(_ready: Ready, open: impl FnOnce() -> Result<OwnedFd, E>) -> Result<Self, E> {
        with_list(|list| {
            let fd = open()?;
            list.push(fd.as_raw_fd());
            Ok(Self { fd: ManuallyDrop::new(fd), generation: GENERATION.load(Ordering::Relaxed) })
        })
    }

    /// Whether this is the copy of a descriptor of the parent's, and closed.
    #[inline]
    pub(super) fn is_forked(&self) -> bool {
        // Relaxed: it changes in the child handler only, when the process has one thread.
        self.generation != GENERATION.load(Ordering::Relaxed)
    }

    /// The descriptor, for as long as `self` is borrowed; an error in a forked child.
    pub(super) fn fd(&self, step: &'static str) -> Result<BorrowedFd<'_>, OsError> {
        if self.is_forked() {
            return Err(OsError::Forked { step });
        }
        Ok(self.fd.as_fd())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.is_forked() {
            // Closed by the handler; the number may be somebody else's by now.
            return;
        }
        with_list(|list| {
            if let Some(index) = list.iter().position(|&fd| fd == self.fd.as_raw_fd()) {
                list.swap_remove(index);
            }
            // SAFETY: `self.fd` is not used after this: `self` is being dropped, and this is the one place that does.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        });
    }
}
