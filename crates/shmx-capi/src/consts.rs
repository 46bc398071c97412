//! Constants, versions, and the clock.

use crate::status::guard_value;
use std::ffi::c_char;

/// Version of the interface that this header describes. It grows with every addition; what a version has, later ones
/// have.
pub const SHMX_ABI_VERSION: u32 = 4;

/// In a field whose zero means the default: none at all.
pub const SHMX_NONE: u32 = 0xFFFF_FFFF;

/// In a field of nanoseconds whose zero means the default: none at all; as a timeout: no limit.
pub const SHMX_FOREVER: u64 = 0xFFFF_FFFF_FFFF_FFFF;

/// First type of control message that is the application's.
pub const SHMX_CONTROL_USER: u32 = 0x3000;

/// Version of the interface that the library has: at least SHMX_ABI_VERSION of the header, if it is not older.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_abi_version() -> u32 {
    SHMX_ABI_VERSION
}

/// Version of the library as text, `1.2.3`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Nanoseconds of the machine's steady clock: the one of publish times and heartbeats.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_now() -> u64 {
    guard_value("shmx_now", 0, shmx::now_ticks)
}

/// A duration out of nanoseconds; [`SHMX_FOREVER`] is as long as the facade can wait.
pub(crate) const fn duration(ns: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(ns)
}
