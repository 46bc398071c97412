//! What the Linux backend does beyond the conformance suite, tried with real processes.

#![cfg(target_os = "linux")]

mod child;
#[path = "../common/mod.rs"]
mod common;
mod creation;
mod locks;
#[cfg(target_pointer_width = "64")]
mod lookups;
mod opening;
mod processes;

use shmx_os::clock;

#[test]
fn ticks_are_the_monotonic_clock() {
    let monotonic = || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: valid for writes.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
        u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
    };
    let (before, ticks, after) = (monotonic(), clock::ticks(), monotonic());
    assert!(before <= ticks && ticks <= after, "{before} {ticks} {after}");
}

#[test]
fn the_room_for_shared_memory_is_told() {
    let space = shmx_os::space().unwrap();
    assert_eq!(space.directory, "/dev/shm");
    assert!(space.total.is_none_or(|total| total >= space.available.unwrap_or(0)));
    assert!(space.nameless_objects);
    assert!(shmx_os::page_size().is_power_of_two());
}
