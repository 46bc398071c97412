//! What every mapping backend must do.

#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use crate::common::{Scratch, Shared, options};
use shmx_os::{
    CreateError, CreateOptions, Existing, LockByte, LockState, OpenError, OsError, Pending, PublishError,
    ReadOnlyRegion, Region, clock, futex,
};

/// Whether creation makes the name visible, so that a taken name is known then.
const VISIBLE_AT_ONCE: bool = cfg!(not(target_os = "linux"));
const LOCKS: bool = cfg!(not(target_os = "macos"));

fn fill(region: &Region) {
    for (index, byte) in region.shared().iter().enumerate() {
        byte.store((index % 251) as u8, Ordering::Relaxed);
    }
}

#[test]
fn objects_are_shareable_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Pending>();
    check::<Existing>();
    check::<Region>();
    check::<ReadOnlyRegion>();
    check::<CreateError>();
    check::<PublishError>();
    check::<OpenError>();
    check::<OsError>();
}

#[test]
fn create_write_publish_open() {
    let scratch = Scratch::new();
    let pending = scratch.pending(10_000);
    assert_eq!(pending.shared().len(), 10_000);
    assert_eq!(pending.shared().as_ptr().addr() % 4096, 0);
    assert!(pending.shared().iter().all(|byte| byte.load(Ordering::Relaxed) == 0));
    pending.shared()[9_999].store(42, Ordering::Relaxed);
    if !VISIBLE_AT_ONCE {
        assert!(matches!(Region::open(&scratch.0), Err(OpenError::NotFound { .. })));
    }
    let region = pending.publish().unwrap();
    assert_eq!(region.len(), 10_000);
    assert_eq!(region.name(), &scratch.0);
    assert!(!region.is_forked());
    assert!(region.is_current());

    let other = Region::open(&scratch.0).unwrap();
    assert_eq!(other.len(), 10_000);
    assert_ne!(other.shared().as_ptr(), region.shared().as_ptr());
    assert_eq!(other.shared()[9_999].load(Ordering::Relaxed), 42);
    other.shared()[0].store(9, Ordering::Relaxed);
    assert_eq!(region.shared()[0].load(Ordering::Relaxed), 9);
}

#[test]
fn lengths_and_modes_are_checked() {
    let scratch = Scratch::new();
    for len in [0, u64::MAX, 1 << 63] {
        let error = Pending::create(&scratch.0, &options(len)).unwrap_err();
        assert!(matches!(error, CreateError::InvalidLength { .. }), "{error:?}");
    }
    let odd = CreateOptions { mode: 0o4755, ..options(1) };
    assert!(matches!(Pending::create(&scratch.0, &odd), Err(CreateError::InvalidMode { mode: 0o4755 })));
}

#[test]
fn every_combination_of_options_works() {
    for prefault in [false, true] {
        for huge_pages in [false, true] {
            for len in [1, 4095, 4096, 4097, 5 << 20] {
                let scratch = Scratch::new();
                let options = CreateOptions { prefault, huge_pages, ..options(len) };
                let region = Pending::create(&scratch.0, &options).unwrap().publish().unwrap();
                assert_eq!(region.len() as u64, len);
                fill(&region);
                let mut last = [0];
                assert_eq!(region.read_at(len - 1, &mut last).unwrap(), 1);
                assert_eq!(u64::from(last[0]), (len - 1) % 251);
            }
        }
    }
}

#[test]
fn far_too_much_is_an_error() {
    let scratch = Scratch::new();
    let error = Pending::create(&scratch.0, &options(1 << 60)).unwrap_err();
    if cfg!(target_pointer_width = "32") {
        assert!(matches!(error, CreateError::InvalidLength { len: 0x1000_0000_0000_0000, .. }), "{error:?}");
    } else if cfg!(target_os = "linux") {
        let CreateError::NoSpace { needed, available } = error else { panic!("{error:?}") };
        assert_eq!(needed, 1 << 60);
        assert!(available < needed);
    }
    assert!(matches!(Existing::open(&scratch.0), Err(OpenError::NotFound { .. })));
}

#[test]
fn an_existing_object_is_never_replaced() {
    let scratch = Scratch::new();
    let first = scratch.create(4096);
    first.shared()[0].store(1, Ordering::Relaxed);
    if VISIBLE_AT_ONCE {
        let error = Pending::create(&scratch.0, &options(64)).unwrap_err();
        assert!(matches!(error, CreateError::Exists { ref name } if *name == scratch.0));
    } else {
        let second = scratch.pending(8192);
        second.shared()[0].store(2, Ordering::Relaxed);
        let error = second.publish().unwrap_err();
        assert!(matches!(error, PublishError::Exists { ref name, .. } if *name == scratch.0));
        let second = error.into_pending();
        assert_eq!(Region::open(&scratch.0).unwrap().shared()[0].load(Ordering::Relaxed), 1);
        // The obstacle goes, and the same object is published.
        assert!(first.remove().unwrap());
        let second = second.publish().unwrap();
        assert_eq!(second.shared()[0].load(Ordering::Relaxed), 2);
        assert_eq!(Region::open(&scratch.0).unwrap().len(), 8192);
    }
}

#[test]
fn dropping_a_pending_object_leaves_nothing() {
    let scratch = Scratch::new();
    drop(scratch.pending(4096));
    assert!(matches!(Existing::open(&scratch.0), Err(OpenError::NotFound { .. })));
}

#[test]
fn removing_is_for_the_named_object_only() {
    // There a name lasts as long as anybody's handle; tests/windows.rs says how that goes.
    if cfg!(windows) {
        return;
    }
    let scratch = Scratch::new();
    let old = scratch.create(4096);
    let old_unmapped = Existing::open(&scratch.0).unwrap();
    let old_reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert!(old_unmapped.is_current() && old_reader.is_current());
    assert!(old.remove().unwrap());
    assert!(!old.is_current() && !old_unmapped.is_current() && !old_reader.is_current());
    assert!(!old.remove().unwrap());
    assert!(matches!(Region::open(&scratch.0), Err(OpenError::NotFound { .. })));
    // Another length, because some systems know objects by little else.
    let new = scratch.create(8192);
    assert!(new.is_current());
    assert!(!old.is_current() && !old_unmapped.is_current() && !old_reader.is_current());
    assert!(!old.remove().unwrap());
    assert!(new.is_current());
    // The old memory is still there for those who have it.
    old.shared()[5].store(5, Ordering::Relaxed);
    // SAFETY: a relaxed load.
    assert_eq!(unsafe { old_reader.bytes() }[5].load(Ordering::Relaxed), 5);
    if cfg!(target_os = "linux") {
        // What was opened is mapped, not what has the name now.
        let again = old_unmapped.map_again().unwrap();
        let mapped = old_unmapped.map().unwrap();
        for region in [&again, &mapped] {
            assert_eq!((region.len(), region.shared()[5].load(Ordering::Relaxed)), (4096, 5));
            assert!(!region.is_current());
        }
    } else {
        assert!(matches!(old_unmapped.map(), Err(OpenError::Replaced { .. })));
    }
    assert!(Existing::open(&scratch.0).unwrap().remove().unwrap());
    assert!(!new.is_current());
}

#[test]
fn reading_without_a_mapping() {
    let scratch = Scratch::new();
    let region = scratch.create(5000);
    fill(&region);
    let existing = Existing::open(&scratch.0).unwrap();
    let len = existing.len().unwrap();
    assert_eq!(len, 5000);
    let mut buf = [0xff; 8];
    assert_eq!(existing.read_at(300, &mut buf).unwrap(), 8);
    assert_eq!(buf, [49, 50, 51, 52, 53, 54, 55, 56]);
    assert_eq!(existing.read_at(4998, &mut buf).unwrap(), 2);
    for offset in [len, len + 1, i64::MAX as u64, 1 << 63, u64::MAX] {
        assert_eq!(existing.read_at(offset, &mut buf).unwrap(), 0, "{offset}");
        assert_eq!(region.read_at(offset, &mut buf).unwrap(), 0, "{offset}");
    }
    assert_eq!(existing.read_at(0, &mut []).unwrap(), 0);
    assert_eq!(existing.map().unwrap().shared()[250].load(Ordering::Relaxed), 250);
}

#[test]
fn a_read_only_mapping_sees_writes() {
    let scratch = Scratch::new();
    let region = scratch.create(4096);
    let reader = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert_eq!(reader.name(), Some(&scratch.0));
    assert_eq!(reader.len(), 4096);
    // SAFETY: only relaxed loads are made through it.
    let bytes = unsafe { reader.bytes() };
    assert_eq!(bytes[7].load(Ordering::Relaxed), 0);
    region.shared()[7].store(77, Ordering::Release);
    assert_eq!(bytes[7].load(Ordering::Relaxed), 77);
    fence(Ordering::Acquire);
}

#[test]
fn locks_conflict_between_objects_and_not_within_one() {
    if !LOCKS {
        return;
    }
    let scratch = Scratch::new();
    let pending = scratch.pending(64);
    assert!(pending.try_lock(LockByte::Server).unwrap());
    let server = pending.publish().unwrap();
    // Kept across publishing, and idempotent for its holder.
    assert!(server.try_lock(LockByte::Server).unwrap());
    assert_eq!(server.lock_state(LockByte::Server), LockState::Held);

    let client = Existing::open(&scratch.0).unwrap();
    let observer = ReadOnlyRegion::open(&scratch.0).unwrap();
    assert!(!client.try_lock(LockByte::Server).unwrap());
    assert_eq!(client.lock_state(LockByte::Server), LockState::Held);
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Held);
    let far = if cfg!(windows) { 126 } else { u32::MAX };
    for index in [0, 127, far] {
        let lock = LockByte::Reader(index);
        assert_eq!(observer.lock_state(lock), LockState::Free);
        assert!(client.try_lock(lock).unwrap());
        assert!(!server.try_lock(lock).unwrap());
        assert_eq!(client.lock_state(lock), LockState::Held);
        assert_eq!(server.lock_state(lock), LockState::Held);
        assert_eq!(observer.lock_state(lock), LockState::Held);
    }
    // Kept across mapping.
    let client = client.map().unwrap();
    assert_eq!(observer.lock_state(LockByte::Reader(0)), LockState::Held);
    // Somebody else's lock cannot be released.
    server.unlock(LockByte::Reader(0));
    client.unlock(LockByte::Reader(0));
    client.unlock(LockByte::Reader(0));
    assert_eq!(observer.lock_state(LockByte::Reader(0)), LockState::Free);
    assert_eq!(observer.lock_state(LockByte::Reader(127)), LockState::Held);
    drop(client);
    assert_eq!(observer.lock_state(LockByte::Reader(127)), LockState::Free);
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Held);
    drop(server);
    assert_eq!(observer.lock_state(LockByte::Server), LockState::Free);
}

#[test]
fn write_protection_takes_whole_pages_only() {
    let scratch = Scratch::new();
    // Pages of up to 16 KiB.
    let page = 16384;
    let region = scratch.create(4 * page as u64);
    fill(&region);
    let protect = |range| {
        // SAFETY: no store is made to these bytes below.
        unsafe { region.protect_read_only(range) }.unwrap();
    };
    protect(0..0);
    protect(1..100);
    protect(100..4 * page - 4 * page);
    protect(usize::MAX..usize::MAX);
    protect(10 * page..20 * page);
    protect(page + 1..page + 4095);
    region.shared()[page + 2].store(1, Ordering::Relaxed);
    protect(page..2 * page);
    assert_eq!(region.shared()[page + 3].load(Ordering::Relaxed), ((page + 3) % 251) as u8);
    region.shared()[page - 1].store(1, Ordering::Relaxed);
    region.shared()[2 * page].store(1, Ordering::Relaxed);
    protect(2 * page..usize::MAX);
    assert_eq!(region.shared()[2 * page].load(Ordering::Relaxed), 1);
    // Another mapping is not affected.
    let other = Region::open(&scratch.0).unwrap();
    other.shared()[page].store(200, Ordering::Relaxed);
    assert_eq!(region.shared()[page].load(Ordering::Relaxed), 200);
}

#[test]
fn dump_files_are_read_into_aligned_memory() {
    let path = std::env::temp_dir().join(format!("shmx-os-dump-{}", shmx_os::process_id()));
    let remove = |path: &std::path::Path| std::fs::remove_file(path).unwrap();
    let contents: Vec<u8> = (0..200_001_u32).map(|index| (index % 251) as u8).collect();
    std::fs::write(&path, &contents).unwrap();
    let dump = ReadOnlyRegion::from_file(&path).unwrap();
    // Truncation afterwards is harmless.
    std::fs::write(&path, b"").unwrap();
    assert_eq!(dump.len(), contents.len());
    // SAFETY: only relaxed loads are made through it.
    let bytes = unsafe { dump.bytes() };
    assert_eq!(bytes.as_ptr().addr() % 64, 0);
    assert!(bytes.iter().zip(&contents).all(|(a, &b)| a.load(Ordering::Relaxed) == b));
    assert_eq!(dump.name(), None);
    assert!(dump.is_current());
    assert_eq!(dump.lock_state(LockByte::Server), LockState::Unsupported);

    assert!(matches!(ReadOnlyRegion::from_file(&path), Err(OpenError::Empty { .. })));
    let sparse = std::fs::File::create(&path).unwrap();
    if sparse.set_len((1 << 32) + 1).is_ok() {
        let error = ReadOnlyRegion::from_file(&path).unwrap_err();
        assert!(matches!(error, OpenError::TooLarge { len: 0x1_0000_0001, .. }), "{error:?}");
    }
    drop(sparse);
    remove(&path);
    assert!(matches!(ReadOnlyRegion::from_file(&path), Err(OpenError::NotFound { .. })));
    let directory = std::env::temp_dir();
    assert!(matches!(ReadOnlyRegion::from_file(&directory), Err(OpenError::NotSharedMemory { .. })));
}

/// The first word of a region.
fn word(region: &Region) -> &AtomicU32 {
    let bytes = region.shared().first_chunk::<4>().unwrap();
    // SAFETY: four bytes at a page boundary, of a type with the layout of plain bytes that others may write; borrowed
    // from the region for as long.
    unsafe { &*bytes.as_ptr().cast::<AtomicU32>() }
}

#[test]
fn waiting_for_a_word() {
    let scratch = Scratch::new();
    let region = scratch.create(64);
    let wait = |expected, timeout| region.wait(word(&region), expected, timeout);
    assert_eq!(wait(1, Duration::from_secs(60)), futex::Wake::ValueChanged);
    assert_eq!(wait(0, Duration::ZERO), futex::Wake::TimedOut);
    let start = Instant::now();
    assert_eq!(wait(0, Duration::from_millis(20)), futex::Wake::TimedOut);
    if futex::is_supported() {
        // Timers may be a tick early.
        assert!(start.elapsed() >= Duration::from_millis(18));
    }
    // Nobody sleeps.
    region.wake_all(word(&region), 0);
    let elsewhere = AtomicU32::new(0);
    assert_eq!(region.wait(&elsewhere, 0, Duration::from_millis(1)), futex::Wake::TimedOut);
    region.wake_all(&elsewhere, 0);
}

#[test]
fn waking_across_mappings() {
    if !futex::is_supported() {
        return;
    }
    let rounds = 1000;
    let scratch = Scratch::new();
    let ours = scratch.create(64);
    let theirs = Region::open(&scratch.0).unwrap();
    // Waits for the word to leave `value`. The longest timeout there is must not overflow, and is never reached: a lost
    // wake-up shows as a test that hangs.
    let leave = |region: &Region, value: u32| {
        while word(region).load(Ordering::Acquire) == value {
            let wake = region.wait(word(region), value, Duration::MAX);
            assert_ne!(wake, futex::Wake::TimedOut);
        }
    };
    // Two on the same value, in another mapping; the word goes on when both have seen it.
    let seen = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let (seen, theirs, leave) = (&seen, &theirs, &leave);
        for _ in 0..2 {
            scope.spawn(move || {
                for round in 0..rounds {
                    leave(theirs, 2 * round);
                    if seen.fetch_add(1, Ordering::AcqRel) % 2 == 1 {
                        word(theirs).store(2 * round + 2, Ordering::Release);
                        theirs.wake_all(word(theirs), 2 * round + 1);
                    } else {
                        leave(theirs, 2 * round + 1);
                    }
                }
            });
        }
        for round in 0..rounds {
            word(&ours).store(2 * round + 1, Ordering::Release);
            ours.wake_all(word(&ours), 2 * round);
            leave(&ours, 2 * round + 1);
        }
        assert_eq!(word(&ours).load(Ordering::Relaxed), 2 * rounds);
        assert_eq!(seen.load(Ordering::Relaxed), 2 * rounds);
    });
}

#[test]
fn ticks_never_go_back() {
    let mut last = clock::ticks();
    for _ in 0..10_000 {
        let now = clock::ticks();
        assert!(now >= last);
        last = now;
    }
    // Between two spans of the library's clock, one inside and one around it, however long a thread is kept waiting.
    let outer = Instant::now();
    let start = clock::ticks();
    let inner = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    let inner = inner.elapsed();
    let ticks = Duration::from_nanos(clock::ticks() - start);
    let outer = outer.elapsed();
    // Two clocks of one system may be corrected apart.
    let slack = Duration::from_millis(1);
    assert!(inner <= ticks + slack && ticks <= outer + slack, "{inner:?} {ticks:?} {outer:?}");
}

#[test]
fn missing_names_are_not_found() {
    let scratch = Scratch::new();
    assert!(matches!(Existing::open(&scratch.0), Err(OpenError::NotFound { .. })));
    assert!(matches!(Region::open(&scratch.0), Err(OpenError::NotFound { .. })));
    assert!(matches!(ReadOnlyRegion::open(&scratch.0), Err(OpenError::NotFound { .. })));
}

#[test]
fn errors_say_the_remedy_and_keep_the_cause() {
    let scratch = Scratch::new();
    let message = Region::open(&scratch.0).unwrap_err().to_string();
    assert!(message.contains(scratch.0.as_str()) && message.contains("check"), "{message}");
}
