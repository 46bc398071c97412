//! Waits beyond a single futex: descriptors, several words at once, names.

mod fd;
mod many;
mod names;
mod order;
mod sleeper;
mod timer;
// The crate io-uring has bindings for these processors; `Cargo.toml` has the same list.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "loongarch64",
    target_arch = "powerpc64"
))]
mod uring;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "loongarch64",
    target_arch = "powerpc64"
)))]
#[path = "waits/no_uring.rs"]
mod uring;

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::thread::futex::{Wait, WaitFlags, WaitPtr};
use rustix::time::{ClockId, Timespec};

pub(crate) use self::fd::WaitFd;
pub(crate) use self::many::{Interrupter, WaitMany};
pub(crate) use self::names::NameWatch;
use super::fork::Ready;
use super::object::PREPARE;
use crate::error::OsError;

fn ready() -> Result<Ready, OsError> {
    Ready::new().map_err(|error| OsError::os(PREPARE, error))
}

pub(super) fn is_readable(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) if polled[0].revents().contains(PollFlags::NVAL) => return Err(Errno::BADF),
            Ok(_) => return Ok(polled[0].revents().contains(PollFlags::IN)),
        }
    }
}

/// Most words of one `futex_waitv`.
const MOST: usize = 128;

/// Times beyond this are none.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn timespec(time: Duration) -> Timespec {
    // Up to a century fits every type of the field.
    Timespec { tv_sec: time.as_secs().min(FOREVER.as_secs()) as _, tv_nsec: time.subsec_nanos().into() }
}

/// A descriptor that somebody else may have closed, which the standard library's answers by aborting in debug builds.
struct Fd(Option<OwnedFd>);

impl Fd {
    fn new(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(fd) => fd.as_fd(),
            // Only the drop takes it.
            None => unreachable!("the descriptor is there until the drop"),
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if let Some(fd) = self.0.take()
            && rustix::io::fcntl_getfd(&fd) == Err(Errno::BADF)
        {
            let _ = fd.into_raw_fd();
        }
    }
}

/// The steady clock.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    // Neither is negative for this clock.
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// One of several words to sleep on. The kernel only reads there, and only during the call.
fn one_of(word: &AtomicU32, expected: u32, flags: WaitFlags) -> Wait {
    let mut wait = Wait::new();
    wait.val = expected.into();
    wait.uaddr = WaitPtr::new(ptr::from_ref(word).cast_mut().cast());
    wait.flags = WaitFlags::SIZE_U32 | flags;
    wait
}
