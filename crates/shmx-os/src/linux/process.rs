//! Clock, random numbers, processes.

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::time::ClockId;

#[inline]
pub(crate) fn ticks() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    // Neither is negative for this clock, and 2^64 ns are 584 years.
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

pub(crate) fn random_u64() -> Option<u64> {
    let mut bytes = [0; 8];
    loop {
        match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => return Some(u64::from_ne_bytes(bytes)),
            // Up to 256 bytes come whole, once the pool is ready.
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

pub(crate) fn group_of_process() -> u32 {
    rustix::process::getegid().as_raw()
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

pub(crate) fn process_is_stopped(pid: u32) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the program's name, which is in parentheses and may hold any of them.
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    Some(matches!(state, 'T' | 't'))
}

pub(crate) fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}
