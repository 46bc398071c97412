//! macOS: sleeping on a word that several processes map, which the system can do from 14.4 on.
//!
//! The calls are looked up when they are first needed, so that programs start on older systems as well; there waiting
//! polls. Their meaning is that of the system's header `os/os_sync_wait_on_address.h`.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;

use crate::wake::{Wake, poll};

type Wait = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> c_int;
type WakeAll = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;

/// `OS_SYNC_WAIT_ON_ADDRESS_SHARED` and `OS_SYNC_WAKE_BY_ADDRESS_SHARED`: other processes are meant, too.
const SHARED: u32 = 1;
/// `OS_CLOCK_MACH_ABSOLUTE_TIME`
const CLOCK: u32 = 32;
const SIZE: usize = size_of::<AtomicU32>();

#[derive(Clone, Copy)]
struct Calls {
    wait: Wait,
    wake_all: WakeAll,
}

/// `None` where the system has no such calls.
fn calls() -> Option<Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    *CALLS.get_or_init(|| {
        // SAFETY: both names end with a zero.
        let [wait, wake_all] = [c"os_sync_wait_on_address_with_timeout", c"os_sync_wake_by_address_all"]
            .map(|name| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) });
        if wait.is_null() || wake_all.is_null() {
            return None;
        }
        // SAFETY: the system's function of this name has this signature.
        let wait = unsafe { std::mem::transmute::<*mut c_void, Wait>(wait) };
        // SAFETY: likewise.
        let wake_all = unsafe { std::mem::transmute::<*mut c_void, WakeAll>(wake_all) };
        Some(Calls { wait, wake_all })
    })
}

pub(crate) fn is_supported() -> bool {
    calls().is_some()
}

pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    let Some(calls) = calls() else { return poll(word, expected, timeout) };
    // Relaxed: as in `poll`. The system says nothing of a word that had another value from the start.
    if word.load(std::sync::atomic::Ordering::Relaxed) != expected {
        return Wake::ValueChanged;
    }
    if timeout.is_zero() {
        return Wake::TimedOut;
    }
    // Far from where the system's clock would overflow: 146 years.
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 4);
    let address = word.as_ptr().cast();
    // SAFETY: the word is borrowed, so it stays mapped during the call, which only reads it.
    let left = unsafe { (calls.wait)(address, expected.into(), SIZE, SHARED, CLOCK, nanoseconds) };
    if left >= 0 {
        return Wake::Woken;
    }
    match std::io::Error::last_os_error().raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::TIMEDOUT) => Wake::TimedOut,
        Some(Errno::INTR) => Wake::Interrupted,
        // Refused, by a sandbox say.
        _ => poll(word, expected, timeout),
    }
}

pub(crate) fn wake_all(word: &AtomicU32) {
    if let Some(calls) = calls() {
        // Fails where nobody sleeps.
        // SAFETY: the word is borrowed; the call looks its address up and does not touch the memory.
        let _ = unsafe { (calls.wake_all)(word.as_ptr().cast(), SIZE, SHARED) };
    }
}
