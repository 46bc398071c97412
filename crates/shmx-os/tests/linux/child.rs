//! What this program does as a child of a test.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::Ordering;

use shmx_os::{
    CreateError, CreateOptions, Existing, LockByte, LockState, OpenError, OsError, Pending, ReadOnlyRegion, Region,
    RegionName,
};

use crate::common::{Shared, options};
use crate::processes::{ACTION, NAME, fork_and, fork_sleeper, path, sleep_until_killed};

/// What the helper does. Not a test where no action is asked for.
#[test]
fn child_entry() {
    let Ok(action) = std::env::var(ACTION) else { return };
    // SAFETY: a plain system call. Nothing of this outlives a minute.
    unsafe { libc::alarm(60) };
    let name = RegionName::new(&std::env::var(NAME).unwrap()).unwrap();
    let done = match action.as_str() {
        "pending" => {
            let pending = Pending::create(&name, &options(1 << 20)).unwrap();
            eprintln!("ready");
            let _pending = pending;
            sleep_until_killed();
        }
        "create-lock" => {
            let pending = Pending::create(&name, &options(4096)).unwrap();
            assert!(pending.try_lock(LockByte::Server).unwrap());
            let _region = pending.publish().unwrap();
            eprintln!("ready");
            sleep_until_killed();
        }
        "open-lock" => {
            let region = Region::open(&name).unwrap();
            assert!(region.try_lock(LockByte::Reader(3)).unwrap());
            eprintln!("ready");
            sleep_until_killed();
        }
        // The created mapping, an opened one, and one that is not mapped yet, all with locks, all inherited.
        "fork-with-locks" => {
            let created = Pending::create(&name, &options(4096)).unwrap().publish().unwrap();
            let opened = Region::open(&name).unwrap();
            let unmapped = Existing::open(&name).unwrap();
            assert!(created.try_lock(LockByte::Server).unwrap());
            assert!(opened.try_lock(LockByte::Reader(0)).unwrap());
            assert!(unmapped.try_lock(LockByte::Reader(1)).unwrap());
            eprintln!("ready {}", fork_sleeper());
            sleep_until_killed();
        }
        "umask" => {
            // SAFETY: a plain system call.
            unsafe { libc::umask(0o077) };
            for mode in [0o666, 0o640, 0o600, 0o400, 0o000, 0o777] {
                let options = CreateOptions { mode, ..options(4096) };
                let region = Pending::create(&name, &options).unwrap().publish().unwrap();
                assert_eq!(path(&name).metadata().unwrap().permissions().mode() & 0o7777, mode);
                assert!(region.try_lock(LockByte::Server).unwrap());
                assert!(region.remove().unwrap());
            }
            true
        }
        "file-size-limit" => {
            let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
            // SAFETY: valid for reads.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
            Pending::create(&name, &options(1 << 20)).unwrap();
            // Without the check this would be a signal.
            let error = Pending::create(&name, &options((1 << 20) + 1)).unwrap_err();
            assert!(matches!(error, CreateError::FileSizeLimit { needed: 1_048_577, limit: 1_048_576 }), "{error:?}");
            true
        }
        "other-user" => {
            // SAFETY: an empty list.
            assert_eq!(unsafe { libc::setgroups(0, std::ptr::null()) }, 0);
            // SAFETY: a plain system call.
            assert_eq!(unsafe { libc::setgid(65534) }, 0);
            // SAFETY: a plain system call.
            assert_eq!(unsafe { libc::setuid(65534) }, 0);
            assert!(matches!(Existing::open(&name), Err(OpenError::PermissionDenied { .. })));
            assert!(matches!(Region::open(&name), Err(OpenError::PermissionDenied { .. })));
            // Mode 0o604: readable, and the locks can be seen.
            let reader = ReadOnlyRegion::open(&name).unwrap();
            assert_eq!(reader.lock_state(LockByte::Server), LockState::Held);
            // A process that dropped its rights creates like any other.
            let own = RegionName::new(&format!("{name}-u")).unwrap();
            let region = Pending::create(&own, &options(64)).unwrap().publish().unwrap();
            assert_eq!(path(&own).metadata().unwrap().uid(), 65534);
            assert!(region.remove().unwrap());
            // And cannot take away what is not its own.
            let shared = RegionName::new(&format!("{name}-s")).unwrap();
            let region = Region::open(&shared).unwrap();
            let error = region.remove().unwrap_err();
            assert!(matches!(error, OsError::Os { step: "remove the name", .. }), "{error:?}");
            assert!(region.is_current());
            true
        }
        "small-filesystem" => {
            private_mounts() && mount_tmpfs("/dev/shm", "size=1m") && {
                small_filesystem(&name);
                true
            }
        }
        "huge-pages" => {
            private_mounts() && mount_tmpfs("/dev/shm", "size=64m,huge=advise") && {
                huge_pages(&name);
                true
            }
        }
        "no-proc" => {
            private_mounts() && mount_tmpfs("/dev/shm", "size=8m") && mount_tmpfs("/proc", "size=64k") && {
                no_proc(&name);
                true
            }
        }
        other => panic!("unknown action {other}"),
    };
    eprintln!("verdict {}", if done { "done" } else { "skipped" });
}

/// Mounts of this thread's own; false without the right to that.
fn private_mounts() -> bool {
    // SAFETY: a plain system call.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return false;
    }
    // SAFETY: NUL-terminated strings, and null where nothing is wanted.
    let done = unsafe {
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    };
    done == 0
}

fn mount_tmpfs(target: &str, option: &str) -> bool {
    let [target, option] = [target, option].map(|text| std::ffi::CString::new(text).unwrap());
    // SAFETY: NUL-terminated strings that outlive the call.
    let done = unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, option.as_ptr().cast()) };
    done == 0
}

/// In a filesystem that has huge pages for who asks.
fn huge_pages(name: &RegionName) {
    const LEN: u64 = 8 << 20;
    let create = |huge_pages| {
        let options = CreateOptions { huge_pages, ..options(LEN) };
        Pending::create(name, &options).unwrap().publish().unwrap()
    };
    let small = create(false);
    assert_eq!(small.huge_page_bytes(), Some(0));
    assert!(small.remove().unwrap());
    let huge = create(true);
    assert_eq!(huge.huge_page_bytes(), Some(LEN));
    let other = Region::open(name).unwrap();
    other.prefault(true);
    assert_eq!(other.huge_page_bytes(), Some(LEN));
    assert!(huge.remove().unwrap());
}

/// In a filesystem of 1 MiB.
fn small_filesystem(name: &RegionName) {
    let is_full = |result| matches!(result, Err(CreateError::NoSpace { .. }));
    for huge_pages in [false, true] {
        let create = |len| Pending::create(name, &CreateOptions { huge_pages, ..options(len) });
        let available = 1 << 20;
        let error = create(available + 1).unwrap_err();
        assert!(matches!(error, CreateError::NoSpace { needed: 1_048_577, available: 1_048_576 }), "{error:?}");
        let all = create(available).unwrap();
        assert!(is_full(create(1)));
        for byte in all.shared() {
            byte.store(1, Ordering::Relaxed);
        }
        drop(all);
        // Failure and drop give everything back.
        drop(create(available).unwrap());
    }
    // Full while reserving: the reservation of a sparse file is found missing only then.
    let all = Pending::create(name, &options(1 << 20)).unwrap().publish().unwrap();
    assert!(is_full(Pending::create(name, &options(4096))));
    assert!(all.remove().unwrap());
    assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0);
}

/// Without /proc, new objects have a hidden name.
fn no_proc(name: &RegionName) {
    let hidden = || {
        let names = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with(".shmx-pending-")).count()
    };
    let pending = Pending::create(name, &options(10_000)).unwrap();
    assert_eq!(hidden(), 1);
    assert!(pending.try_lock(LockByte::Server).unwrap());
    pending.shared()[9_999].store(3, Ordering::Relaxed);
    // A forked child's copy changes nothing.
    let mut held = Some(pending);
    let status = fork_and(|| {
        drop(held.take());
        0
    });
    assert!(status.success());
    assert_eq!(hidden(), 1);
    let region = held.take().unwrap().publish().unwrap();
    assert_eq!(hidden(), 0);
    assert_eq!(Region::open(name).unwrap().shared()[9_999].load(Ordering::Relaxed), 3);
    let second = Pending::create(name, &options(64)).unwrap();
    let error = second.publish().unwrap_err();
    assert!(matches!(error, shmx_os::PublishError::Exists { .. }));
    assert_eq!(hidden(), 1);
    drop(error);
    assert_eq!(hidden(), 0);
    assert!(region.remove().unwrap());
    assert!(matches!(Pending::create(name, &options(9 << 20)), Err(CreateError::NoSpace { .. })));
    assert_eq!(hidden(), 0);
}
