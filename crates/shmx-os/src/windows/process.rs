//! Clock, random numbers, processes.

use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, WAIT_TIMEOUT};
use windows_sys::Win32::Security::Cryptography::{BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject};

use super::handle::{last_error, own};

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

pub(crate) fn process_name(_pid: u32) -> Option<String> {
    None
}

/// A dead process keeps its id while somebody has a handle to it; its handle is then signalled.
pub(super) fn still_runs(process: &OwnedHandle) -> bool {
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
