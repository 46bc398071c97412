//! Process identity and random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::sys;

/// A random number from the operating system, never 0.
///
/// Meant for ids that must not repeat. Where the system's generator fails (it does not in practice), the number comes
/// from the standard library's hash seed, the clock and the process id, so that there is always an answer.
#[must_use]
pub fn random_u64() -> u64 {
    // A fair generator gives 0 once in 2^64 draws; three zeros mean it is broken.
    (0..3).filter_map(|_| sys::random_u64()).find(|&number| number != 0).unwrap_or_else(|| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(sys::ticks());
        hasher.write_u32(process_id());
        hasher.finish().max(1)
    })
}

/// The id of this process.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// Whether a process with this id exists, as far as this process may see.
///
/// A weak sign: ids are re-used, a zombie counts as existing, and another pid namespace numbers its processes
/// differently. Use [`LockByte`](crate::LockByte) to know whether a peer lives.
#[must_use]
pub fn process_alive(pid: u32) -> bool {
    sys::process_alive(pid)
}

/// The name of a process's program, cut by the system to a few bytes; for display only.
///
/// None where the process does not exist, may not be looked at, or the platform has no simple way (Windows, macOS). Ids
/// are re-used: the name may be another process's than the one that wrote the id down.
#[must_use]
pub fn process_name(pid: u32) -> Option<String> {
    sys::process_name(pid)
}

/// Whether the process is stopped (by a signal, or by a debugger); `None` where it does not exist, may not be looked at,
/// or the platform has no simple way (Windows, macOS).
///
/// A sign for messages only: ids are re-used, and another pid namespace numbers its processes differently.
///
/// ```
/// # #[cfg(target_os = "linux")]
/// assert_eq!(shmx_os::process_is_stopped(shmx_os::process_id()), Some(false));
/// ```
#[must_use]
pub fn process_is_stopped(pid: u32) -> Option<bool> {
    sys::process_is_stopped(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_differ_and_are_not_zero() {
        let (a, b) = (random_u64(), random_u64());
        assert_ne!(a, 0);
        assert_ne!(b, 0);
        assert_ne!(a, b);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_name_and_impossible_ids_have_none() {
        assert!(process_name(process_id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(process_name(u32::MAX), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_stopped_process_is_stopped() {
        assert_eq!(process_is_stopped(process_id()), Some(false));
        assert_eq!(process_is_stopped(u32::MAX), None);
    }

    #[cfg(any(unix, windows))]
    #[test]
    fn this_process_is_alive_and_impossible_ids_are_not() {
        assert!(process_alive(process_id()));
        assert!(!process_alive(0));
        assert!(!process_alive(u32::MAX));
        assert!(!process_alive(0x8000_0000));
    }
}
