//! Sleeping on a word of a mapping, and waking.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

use crate::wake::{Wake, poll};

pub(crate) const fn can_wait() -> bool {
    true
}

pub(super) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    let timespec = futex::Timespec {
        // 136 years; the kernel adds this to its clock.
        tv_sec: timeout.as_secs().min(u64::from(u32::MAX)) as _,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // No PRIVATE flag: the word is looked up by its object, so that all processes' mappings of it meet.
    match futex::wait(word, futex::Flags::empty(), expected, Some(&timespec)) {
        Ok(()) => Wake::Woken,
        Err(Errno::AGAIN) => Wake::ValueChanged,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::INTR) => Wake::Interrupted,
        // Refused, by a sandbox say.
        Err(_) => poll(word, expected, timeout),
    }
}

pub(super) fn wake_all(word: &AtomicU32) {
    // Fails only for an address that is not mapped.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}
