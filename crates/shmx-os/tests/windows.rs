//! What the Windows backend does beyond the conformance suite, tried with real processes and against plain calls of
//! the system, as a program in C makes them.

#![cfg(windows)]

use std::io::{BufRead, BufReader, Write};
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Scratch, Shared, options};
use shmx_os::{
    CreateError, CreateOptions, Existing, LockByte, LockState, OpenError, OsError, Pending, ReadOnlyRegion, Region,
    RegionName, clock, futex,
};
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MapViewOfFile, OpenFileMappingW, PAGE_READWRITE, SEC_RESERVE,
};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::CreateMutexW;

const DEADLINE: Duration = Duration::from_secs(60);

// ------------------------------------------------------------------------------------------------- child processes

const ACTION: &str = "SHMX_OS_TEST_ACTION";
const NAME: &str = "SHMX_OS_TEST_NAME";

/// This program again, doing `child_entry` alone. Killed when dropped.
struct Helper {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Helper {
    fn start(action: &str, name: &RegionName) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["windows::child_entry", "--exact", "--nocapture", "--test-threads=1"])
            .env(ACTION, action)
            .env(NAME, name.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut helper = Self { child, stdin, stdout };
        helper.expect("READY");
        helper
    }

    /// Waits for a line that ends with `word`; the harness may write before it.
    fn expect(&mut self, word: &str) {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "no `{word}` from the child but:\n{seen}");
            if line.trim_end().ends_with(word) {
                return;
            }
            seen.push_str(&line);
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
        self.stdin.flush().unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing unless a [`Helper`] started it.
#[test]
fn child_entry() {
    let (Ok(action), Ok(name)) = (std::env::var(ACTION), std::env::var(NAME)) else { return };
    let name = RegionName::new(&name).unwrap();
    let say = |word: &str| println!("{word}");
    let line = || {
        let mut line = String::new();
        // 0 bytes: the parent is gone.
        assert_ne!(std::io::stdin().read_line(&mut line).unwrap(), 0);
    };
    match action.as_str() {
        "serve" => {
            let pending = Pending::create(&name, &options(10_000)).unwrap();
            assert!(pending.try_lock(LockByte::Server).unwrap());
            let _region = pending.publish().unwrap();
            say("READY");
            line();
        }
        "half-made" => {
            let _pending = Pending::create(&name, &options(10_000)).unwrap();
            say("READY");
            line();
        }
        "lock" => {
            let region = Region::open(&name).unwrap();
            assert!(region.try_lock(LockByte::Reader(3)).unwrap());
            say("READY");
            line();
            region.unlock(LockByte::Reader(3));
            say("UNLOCKED");
            line();
        }
        "sleep" => {
            let region = Region::open(&name).unwrap();
            say("READY");
            while word(&region).load(Ordering::Acquire) < 1000 {
                let value = word(&region).load(Ordering::Acquire);
                if value % 2 == 1 {
                    word(&region).store(value + 1, Ordering::Release);
                    region.wake_all(word(&region), value);
                } else {
                    assert_ne!(region.wait(word(&region), value, DEADLINE), futex::Wake::TimedOut);
                }
            }
            say("DONE");
        }
        other => panic!("unknown action {other}"),
    }
}

fn word(region: &Region) -> &AtomicU32 {
    let bytes = region.shared().first_chunk::<4>().unwrap();
    // SAFETY: four bytes at a page boundary, of a type with the layout of plain bytes that others may write; borrowed
    // from the region for as long.
    unsafe { &*bytes.as_ptr().cast::<AtomicU32>() }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A mapping as a foreign program makes it.
fn foreign(name: &str, len: u32, flags: u32) -> OwnedHandle {
    let name = wide(name);
    // SAFETY: no file, default attributes, and a name that ends with a NUL and outlives the call.
    let handle =
        unsafe { CreateFileMappingW(INVALID_HANDLE_VALUE, ptr::null(), PAGE_READWRITE | flags, 0, len, name.as_ptr()) };
    assert!(!handle.is_null());
    // SAFETY: just opened.
    unsafe { OwnedHandle::from_raw_handle(handle) }
}

fn free(name: &RegionName) -> bool {
    matches!(Existing::open(name), Err(OpenError::NotFound { .. }))
}

// ------------------------------------------------------------------------------------------------------------ tests

#[test]
fn a_foreign_program_finds_ours_by_its_plain_name() {
    let scratch = Scratch::new();
    let region = scratch.create(5000);
    region.shared()[4999].store(7, Ordering::Relaxed);
    let name = wide(scratch.0.as_str());
    // SAFETY: the name ends with a NUL and outlives the call.
    let handle = unsafe { OpenFileMappingW(FILE_MAP_READ | FILE_MAP_WRITE, 0, name.as_ptr()) };
    assert!(!handle.is_null());
    // SAFETY: just opened.
    let _handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: an open mapping of at least 5000 bytes. The view is left to the end of the process.
    let view = unsafe { MapViewOfFile(handle, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 5000) };
    assert!(!view.Value.is_null());
    // SAFETY: 5000 bytes are mapped there.
    let last = unsafe { view.Value.cast::<u8>().add(4999) };
    // SAFETY: as above, and nobody writes it now.
    assert_eq!(unsafe { last.read_volatile() }, 7);
    // SAFETY: as above.
    unsafe { last.write_volatile(8) };
    assert_eq!(region.shared()[4999].load(Ordering::Relaxed), 8);
}

#[test]
fn ours_finds_what_a_foreign_program_made() {
    let scratch = Scratch::new();
    let _handle = foreign(scratch.0.as_str(), 5000, 0);
    let region = Region::open(&scratch.0).unwrap();
    // Its true length, in whole pages.
    assert_eq!(region.len(), 8192);
    assert!(region.is_current());
    // It has no room for locks, and nobody can say whether its maker lives.
    assert!(matches!(region.try_lock(LockByte::Server), Err(OsError::Unsupported { .. })));
    assert_eq!(region.lock_state(LockByte::Server), LockState::Unsupported);
    // Waiting is a short sleep.
    assert_eq!(region.wait(word(&region), 0, Duration::from_secs(60)), futex::Wake::TimedOut);
    region.wake_all(word(&region), 0);
    let observer = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Unsupported);
    assert!(observer.is_current());
}

#[test]
fn a_name_with_a_foreign_section_is_taken_whatever_its_length() {
    for len in [16, 5000, 1 << 20] {
        let scratch = Scratch::new();
        let _handle = foreign(scratch.0.as_str(), len, 0);
        let error = Pending::create(&scratch.0, &options(100_000)).unwrap_err();
        assert!(matches!(error, CreateError::Exists { ref name } if *name == scratch.0), "{error:?}");
    }
}

#[test]
fn another_kind_of_object_is_told_apart() {
    let scratch = Scratch::new();
    let name = wide(scratch.0.as_str());
    // SAFETY: default attributes; the name ends with a NUL and outlives the call.
    let mutex = unsafe { CreateMutexW(ptr::null(), 0, name.as_ptr()) };
    assert!(!mutex.is_null());
    // SAFETY: just opened.
    let _mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
    assert!(matches!(Existing::open(&scratch.0), Err(OpenError::NotSharedMemory { .. })));
    assert!(matches!(Pending::create(&scratch.0, &options(64)), Err(CreateError::Exists { .. })));
}

#[test]
fn reserved_pages_are_an_error_and_no_fault() {
    let scratch = Scratch::new();
    let _handle = foreign(scratch.0.as_str(), 1 << 20, SEC_RESERVE);
    assert!(matches!(Region::open(&scratch.0), Err(OpenError::Os { .. })));
    assert!(matches!(ReadOnlyRegion::open(&scratch.0), Err(OpenError::Os { .. })));
}

#[test]
fn the_name_ends_with_its_creator_and_views_outlive_it() {
    let scratch = Scratch::new();
    let server = Helper::start("serve", &scratch.0);
    let old = Region::open(&scratch.0).unwrap();
    let observer = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert_eq!(old.len(), 10_000);
    assert!(old.is_current() && observer.is_current());
    assert_eq!(old.lock_state(LockByte::Server), LockState::Held);
    assert!(!old.try_lock(LockByte::Server).unwrap());
    old.shared()[9_999].store(3, Ordering::Relaxed);
    server.kill();
    // At once, although two views of it are left.
    assert!(free(&scratch.0));
    assert!(!old.is_current() && !observer.is_current());
    assert_eq!(old.lock_state(LockByte::Server), LockState::Free);
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Free);
    // A successor gets zeros, and the old views keep what they had.
    let next = scratch.create(10_000);
    assert!(next.shared().iter().all(|byte| byte.load(Ordering::Relaxed) == 0));
    assert_eq!(old.shared()[9_999].load(Ordering::Relaxed), 3);
    assert!(!old.is_current() && next.is_current());
    // Their locks are two.
    assert!(next.try_lock(LockByte::Server).unwrap());
    assert_eq!(old.lock_state(LockByte::Server), LockState::Free);
    assert!(!old.remove().unwrap());
    assert!(next.remove().unwrap());
    assert!(free(&scratch.0) && !next.is_current());
    assert!(!next.remove().unwrap());
}

#[test]
fn a_half_made_object_goes_with_its_creator() {
    let scratch = Scratch::new();
    let creator = Helper::start("half-made", &scratch.0);
    assert!(matches!(Pending::create(&scratch.0, &options(64)), Err(CreateError::Exists { .. })));
    let existing = Existing::open(&scratch.0).unwrap();
    // Nobody has locked it yet; its maker shows by the name, which stays while we hold it.
    assert_eq!(existing.lock_state(LockByte::Server), LockState::Free);
    creator.kill();
    assert!(existing.is_current());
    assert!(existing.remove().unwrap());
    assert!(free(&scratch.0));
}

#[test]
fn a_foreign_handle_keeps_the_name() {
    let scratch = Scratch::new();
    let server = scratch.create(4096);
    let name = wide(scratch.0.as_str());
    // SAFETY: the name ends with a NUL and outlives the call.
    let handle = unsafe { OpenFileMappingW(FILE_MAP_READ, 0, name.as_ptr()) };
    assert!(!handle.is_null());
    // SAFETY: just opened.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    assert!(!server.remove().unwrap());
    assert!(!free(&scratch.0));
    assert!(server.is_current());
    drop(handle);
    assert!(free(&scratch.0));
}

#[test]
fn a_killed_holder_loses_its_lock_at_once() {
    let scratch = Scratch::new();
    let region = scratch.create(64);
    let lock = LockByte::Reader(3);
    for round in 0..10 {
        let mut helper = Helper::start("lock", &scratch.0);
        assert_eq!(region.lock_state(lock), LockState::Held);
        assert!(!region.try_lock(lock).unwrap());
        if round == 0 {
            helper.tell("unlock");
            helper.expect("UNLOCKED");
            assert_eq!(region.lock_state(lock), LockState::Free);
            assert!(region.try_lock(lock).unwrap());
            region.unlock(lock);
        }
        helper.kill();
        // By the very next look.
        assert_eq!(region.lock_state(lock), LockState::Free);
        assert!(region.try_lock(lock).unwrap());
        region.unlock(lock);
    }
}

/// The race of an opener with a creator that has just made the object: the opener learns late whose it is.
#[test]
fn an_early_opener_lets_go_of_the_name_too() {
    let scratch = Scratch::new();
    let start = Instant::now();
    let stop = AtomicU32::new(0);
    let late = || stop.load(Ordering::Relaxed) == 1 || start.elapsed() > DEADLINE;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut kept = Vec::new();
                while !late() {
                    let Ok(region) = Region::open(&scratch.0) else { continue };
                    while region.lock_state(LockByte::Server) == LockState::Unsupported && !late() {}
                    kept.push(region);
                    kept.truncate(100);
                }
            });
        }
        for _ in 0..200 {
            // Openers hold the name for a moment each.
            while !late() && Pending::create(&scratch.0, &options(64)).is_err() {}
        }
        assert!(!late());
        stop.store(1, Ordering::Relaxed);
    });
    assert!(free(&scratch.0));
}

#[test]
fn locks_beyond_those_asked_for_are_refused() {
    let scratch = Scratch::new();
    let some = CreateOptions { reader_locks: 2, ..options(64) };
    let region = Pending::create(&scratch.0, &some).unwrap().publish().unwrap();
    assert!(region.try_lock(LockByte::Reader(1)).unwrap());
    assert!(matches!(region.try_lock(LockByte::Reader(2)), Err(OsError::Unsupported { .. })));
    assert_eq!(region.lock_state(LockByte::Reader(u32::MAX)), LockState::Unsupported);
}

#[test]
fn processes_wake_each_other() {
    let scratch = Scratch::new();
    let region = scratch.create(64);
    let mut helper = Helper::start("sleep", &scratch.0);
    let start = Instant::now();
    while word(&region).load(Ordering::Acquire) < 1000 {
        let value = word(&region).load(Ordering::Acquire);
        if value % 2 == 0 {
            word(&region).store(value + 1, Ordering::Release);
            region.wake_all(word(&region), value);
        } else {
            assert_ne!(region.wait(word(&region), value, DEADLINE), futex::Wake::TimedOut);
        }
        assert!(start.elapsed() < DEADLINE);
    }
    helper.expect("DONE");
}

#[test]
fn names_are_taken_as_given() {
    let unique = format!("shmxt-{}-größe-東京", shmx_os::process_id());
    for name in [unique.clone(), format!("Local\\{unique}"), format!("/{unique}"), format!("a/{unique}")] {
        let checked = RegionName::new(&name).unwrap();
        let region = Pending::create(&checked, &options(64)).unwrap().publish().unwrap();
        assert!(region.try_lock(LockByte::Server).unwrap());
        let text = wide(&name);
        // SAFETY: the name ends with a NUL and outlives the call.
        let handle = unsafe { OpenFileMappingW(FILE_MAP_READ, 0, text.as_ptr()) };
        assert!(!handle.is_null(), "{name}");
        // SAFETY: just opened.
        drop(unsafe { OwnedHandle::from_raw_handle(handle) });
        // Names without prefix lie in the session's namespace.
        let same = RegionName::new(name.strip_prefix("Local\\").unwrap_or(&name)).unwrap();
        let other = Region::open(&same).unwrap();
        assert_eq!(other.lock_state(LockByte::Server), LockState::Held);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word(&other).load(Ordering::Acquire) == 0 {
                    assert_ne!(other.wait(word(&other), 0, DEADLINE), futex::Wake::TimedOut);
                }
            });
            word(&region).store(1, Ordering::Release);
            region.wake_all(word(&region), 0);
        });
        let listed = shmx_os::list().unwrap();
        assert!(listed.iter().any(|entry| entry.name == same && entry.len == 64), "{name}: {listed:?}");
    }
}

#[test]
fn ticks_are_the_scaled_performance_counter() {
    let counter = || {
        let (mut frequency, mut counter) = (0, 0);
        // SAFETY: valid for writes.
        unsafe { QueryPerformanceFrequency(&raw mut frequency) };
        // SAFETY: valid for writes.
        unsafe { QueryPerformanceCounter(&raw mut counter) };
        (i128::from(counter) * 1_000_000_000 / i128::from(frequency)) as u64
    };
    let (before, ticks, after) = (counter(), clock::ticks(), counter());
    assert!(before <= ticks && ticks <= after, "{before} {ticks} {after}");
}
