//! The clock of the wire format.

use crate::sys;

/// The machine's steady clock in nanoseconds.
///
/// On Linux and macOS it is `CLOCK_MONOTONIC`; on Windows the performance counter scaled to nanoseconds.
/// All processes of one machine (on Linux: of one time namespace) share it. It starts near the boot of the machine,
/// never goes backwards, and stands still while a Linux machine is suspended. Any thread may call it; it makes no
/// system call where the kernel offers the clock in user space.
#[must_use]
#[inline]
pub fn ticks() -> u64 {
    sys::ticks()
}
