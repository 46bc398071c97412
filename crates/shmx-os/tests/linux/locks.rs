//! Liveness locks, deaths and forks.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shmx_os::{Existing, LockByte, LockState, OpenError, OsError, ReadOnlyRegion, Region};

use crate::common::{Scratch, Shared};
use crate::processes::{Helper, Orphan, fork_and, fork_sleeper, kill};

#[test]
fn a_killed_holder_releases_its_locks() {
    let scratch = Scratch::new();
    let mut server = Helper::start("create-lock", &scratch.0);
    server.expect("ready");
    let region = Region::open(&scratch.0).unwrap();
    let reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert_eq!(region.lock_state(LockByte::Server), LockState::Held);
    assert!(!region.try_lock(LockByte::Server).unwrap());
    let mut client = Helper::start("open-lock", &scratch.0);
    client.expect("ready");
    assert_eq!(reader.lock_state(LockByte::Reader(3)), LockState::Held);
    client.kill();
    assert_eq!(reader.lock_state(LockByte::Reader(3)), LockState::Free);
    assert_eq!(reader.lock_state(LockByte::Server), LockState::Held);
    server.kill();
    assert_eq!(region.lock_state(LockByte::Server), LockState::Free);
    assert!(region.try_lock(LockByte::Server).unwrap());
}

/// The child of a dead server keeps the server's mappings, but not its locks.
#[test]
fn a_surviving_child_does_not_keep_its_dead_parents_locks() {
    let scratch = Scratch::new();
    let mut server = Helper::start("fork-with-locks", &scratch.0);
    let orphan = Orphan(server.expect("ready").parse().unwrap());
    let reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    let locks = [LockByte::Server, LockByte::Reader(0), LockByte::Reader(1)];
    assert_eq!(locks.map(|lock| reader.lock_state(lock)), [LockState::Held; 3]);
    server.kill();
    assert!(shmx_os::process_alive(orphan.0.cast_unsigned()));
    assert_eq!(locks.map(|lock| reader.lock_state(lock)), [LockState::Free; 3]);
}

#[test]
fn a_dropped_region_is_free_while_a_forked_child_lives() {
    let scratch = Scratch::new();
    let region = scratch.create(4096);
    assert!(region.try_lock(LockByte::Server).unwrap());
    let reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    let child = fork_sleeper();
    assert_eq!(reader.lock_state(LockByte::Server), LockState::Held);
    drop(region);
    assert_eq!(reader.lock_state(LockByte::Server), LockState::Free);
    kill(child);
}

#[test]
fn a_forked_child_can_use_the_memory_and_nothing_else() {
    let scratch = Scratch::new();
    let pending = Scratch::new();
    let mut region = Some(scratch.create(4096));
    let mut unpublished = Some(pending.pending(4096));
    let mut existing = Some(Existing::open(&scratch.0).unwrap());
    assert!(region.as_ref().unwrap().try_lock(LockByte::Server).unwrap());
    let status = fork_and(|| {
        let check = |number, good| if good { Ok(()) } else { Err(number) };
        let mut work = || -> Result<(), u8> {
            let copy = region.take().ok_or(1)?;
            check(2, copy.is_forked())?;
            check(3, matches!(copy.try_lock(LockByte::Reader(0)), Err(OsError::Forked { .. })))?;
            check(4, matches!(copy.remove(), Err(OsError::Forked { .. })))?;
            check(5, copy.lock_state(LockByte::Server) == LockState::Unsupported)?;
            check(6, copy.read_at(0, &mut [0; 4]).is_err())?;
            check(7, copy.is_current())?;
            copy.unlock(LockByte::Server);
            copy.shared()[8].store(88, Ordering::Relaxed);
            drop(copy);
            let copy = existing.take().ok_or(8)?;
            check(9, matches!(copy.len(), Err(OsError::Forked { .. })))?;
            check(10, matches!(copy.map(), Err(OpenError::Os { source: OsError::Forked { .. }, .. })))?;
            let copy = unpublished.take().ok_or(11)?;
            check(12, matches!(copy.publish(), Err(shmx_os::PublishError::Os { source: OsError::Forked { .. }, .. })))?;
            // Its own objects are its own, also towards its children.
            let own = Region::open(&scratch.0).map_err(|_| 13)?;
            check(14, !own.is_forked())?;
            check(15, own.lock_state(LockByte::Server) == LockState::Held)?;
            check(16, own.try_lock(LockByte::Reader(5)).unwrap_or(false))?;
            check(17, fork_and(|| u8::from(!own.is_forked())).success())?;
            check(18, own.lock_state(LockByte::Reader(5)) == LockState::Held)
        };
        work().err().unwrap_or(0)
    });
    assert_eq!(status.code(), Some(0), "{status:?}");
    let region = region.unwrap();
    assert!(!region.is_forked());
    assert!(region.is_current());
    assert_eq!(region.shared()[8].load(Ordering::Relaxed), 88);
    let observer = Existing::open(&scratch.0).unwrap();
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Held);
    assert_eq!(observer.lock_state(LockByte::Reader(5)), LockState::Free);
    assert!(unpublished.unwrap().publish().is_ok());
}

/// A program that is executed gets no descriptor of ours.
#[test]
fn executed_programs_inherit_nothing() {
    let scratch = Scratch::new();
    let region = scratch.create(4096);
    let _reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    let mut command = Command::new("ls");
    command.args(["-l", "/proc/self/fd"]);
    // SAFETY: does nothing; it makes the library fork by itself instead of by posix_spawn.
    unsafe { command.pre_exec(|| Ok(())) };
    let listing = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(listing.contains("/proc/"), "{listing}");
    assert!(!listing.contains("/dev/shm"), "{listing}");
    drop(region);
}

/// Forks at any moment of the making and dropping of objects in other threads.
/// Ends the threads that watch it, also when their starter panics: the scope waits for them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn forks_amid_opening_and_closing_keep_no_lock() {
    let scratch = Scratch::new();
    let region = scratch.create(4096);
    let stop = AtomicBool::new(false);
    let children: Vec<i32> = std::thread::scope(|scope| {
        for thread in 0..3 {
            let (scratch, stop) = (&scratch, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let existing = Existing::open(&scratch.0).unwrap();
                    assert!(existing.try_lock(LockByte::Reader(thread)).unwrap());
                    let region = existing.map().unwrap();
                    assert_eq!(region.lock_state(LockByte::Reader(thread)), LockState::Held);
                }
            });
        }
        let _stop = StopOnDrop(&stop);
        let end = Instant::now() + Duration::from_millis(500);
        let mut children = Vec::new();
        while Instant::now() < end && children.len() < 100 {
            children.push(fork_sleeper());
        }
        children
    });
    let free = (0..3).all(|thread| region.lock_state(LockByte::Reader(thread)) == LockState::Free);
    // Descriptors that can hold locks, in the living children: writable ones, opened by `Existing`, which is told by
    // its not waiting for pipes. (The mapping library's are inherited, and hold nothing.)
    let mut kept = Vec::new();
    for child in &children {
        for entry in std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten() {
            let info =
                std::fs::read_to_string(format!("/proc/{child}/fdinfo/{}", entry.file_name().display())).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = i32::from_str_radix(flags, 8).unwrap();
            let target = entry.path().read_link().unwrap();
            let lockable = flags & libc::O_ACCMODE == libc::O_RDWR && flags & libc::O_NONBLOCK != 0;
            if lockable && target.starts_with("/dev/shm") || info.contains("lock:") {
                kept.push((target, info));
            }
        }
    }
    for child in children {
        kill(child);
    }
    assert!(free);
    assert!(kept.is_empty(), "{kept:?}");
}
