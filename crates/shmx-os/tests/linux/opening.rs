//! Opening, mapping and listing what is there, whatever it is.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering;

use shmx_os::{CreateOptions, Existing, LockByte, LockState, OpenError, Pending, ReadOnlyRegion, Region, RegionName};

use crate::common::{Scratch, Shared, options};
use crate::processes::{Helper, fork_and, is_root, path};

#[test]
fn other_things_of_that_name_are_refused() {
    let expect_foreign = |name: &RegionName, what: &str| {
        for result in [Existing::open(name).map(drop), ReadOnlyRegion::open(name).map(drop)] {
            let error = result.unwrap_err();
            assert!(matches!(error, OpenError::NotSharedMemory { .. }), "{what}: {error:?}");
        }
    };
    let target = Scratch::new();
    let region = target.create(64);

    let scratch = Scratch::new();
    std::fs::create_dir(path(&scratch.0)).unwrap();
    expect_foreign(&scratch.0, "directory");
    std::fs::remove_dir(path(&scratch.0)).unwrap();

    symlink(path(&target.0), path(&scratch.0)).unwrap();
    expect_foreign(&scratch.0, "link");
    // The link is taken for a name that exists, and not followed.
    assert!(scratch.pending(64).publish().is_err());
    std::fs::remove_file(path(&scratch.0)).unwrap();

    let socket = UnixListener::bind(path(&scratch.0)).unwrap();
    assert!(path(&scratch.0).metadata().unwrap().file_type().is_socket());
    expect_foreign(&scratch.0, "socket");
    drop(socket);
    std::fs::remove_file(path(&scratch.0)).unwrap();

    let fifo = std::ffi::CString::new(path(&scratch.0).to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    expect_foreign(&scratch.0, "pipe");
    std::fs::remove_file(path(&scratch.0)).unwrap();
    assert!(region.is_current());
}

#[test]
fn an_empty_object_opens_but_does_not_map() {
    let scratch = Scratch::new();
    std::fs::write(path(&scratch.0), b"").unwrap();
    let existing = Existing::open(&scratch.0).unwrap();
    assert_eq!(existing.len().unwrap(), 0);
    assert_eq!(existing.read_at(0, &mut [0; 8]).unwrap(), 0);
    assert!(existing.is_current());
    assert!(existing.try_lock(LockByte::Server).unwrap());
    assert!(matches!(existing.map(), Err(OpenError::Empty { .. })));
    assert!(matches!(ReadOnlyRegion::open(&scratch.0), Err(OpenError::Empty { .. })));
    // The failed map released the lock.
    let existing = Existing::open(&scratch.0).unwrap();
    assert_eq!(existing.lock_state(LockByte::Server), LockState::Free);
    assert!(existing.remove().unwrap());
    assert!(!path(&scratch.0).exists());
}

#[test]
fn objects_of_other_programs_open() {
    let scratch = Scratch::new();
    std::fs::write(path(&scratch.0), b"hello").unwrap();
    let region = Region::open(&scratch.0).unwrap();
    assert_eq!(region.len(), 5);
    assert_eq!(region.shared()[4].load(Ordering::Relaxed), b'o');
}

#[test]
fn a_shrunk_object_reads_short() {
    let scratch = Scratch::new();
    let region = scratch.create(1 << 16);
    let file = std::fs::File::options().write(true).open(path(&scratch.0)).unwrap();
    file.set_len(10).unwrap();
    let mut buf = [1; 64];
    assert_eq!(region.read_at(0, &mut buf).unwrap(), 10);
    assert_eq!(region.read_at(4096, &mut buf).unwrap(), 0);
    assert_eq!(region.len(), 1 << 16);
    assert_eq!(Existing::open(&scratch.0).unwrap().len().unwrap(), 10);
}

#[test]
fn rights_of_other_users() {
    if !is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let scratch = Scratch::new();
    let create = |name: &RegionName, mode| {
        let options = CreateOptions { mode, ..options(4096) };
        Pending::create(name, &options).unwrap().publish().unwrap()
    };
    let region = create(&scratch.0, 0o604);
    assert!(region.try_lock(LockByte::Server).unwrap());
    let shared = Scratch(RegionName::new(&format!("{}-s", scratch.0)).unwrap());
    let shared_region = create(&shared.0, 0o666);
    assert!(Helper::start("other-user", &scratch.0).finish());
    assert!(region.is_current() && shared_region.is_current());
}

#[test]
fn objects_are_listed() {
    let scratch = Scratch::new();
    let _region = scratch.create(12345);
    // SAFETY: a plain system call.
    let uid = unsafe { libc::geteuid() };
    let entries = shmx_os::list().unwrap();
    let entry = entries.iter().find(|entry| entry.name == scratch.0).unwrap();
    assert_eq!((entry.len, entry.uid, entry.mode), (12345, uid, 0o600));
    assert!(entry.modified.is_some());
    assert!(entries.is_sorted_by(|a, b| a.name < b.name));
}

#[test]
fn a_store_to_a_protected_page_ends_the_process() {
    let scratch = Scratch::new();
    let region = scratch.create(8192);
    // SAFETY: the only store to the page is made in a child that is meant to die of it.
    unsafe { region.protect_read_only(0..4096) }.unwrap();
    let store = |index: usize| fork_and(|| region.shared()[index].swap(1, Ordering::Relaxed));
    assert_eq!(store(4095).signal(), Some(libc::SIGSEGV));
    assert_eq!(store(4096).code(), Some(0));
}

#[test]
fn peeking_copies_without_mapping_and_tells_the_length() {
    let scratch = Scratch::new();
    let mut buf = [7_u8; 16];
    assert!(matches!(shmx_os::peek(&scratch.0, &mut buf), Err(OpenError::NotFound { .. })));
    let region = scratch.create(10_000);
    region.shared()[3].store(9, Ordering::Relaxed);
    assert_eq!(shmx_os::peek(&scratch.0, &mut buf).unwrap(), (16, 10_000));
    assert_eq!(buf[..5], [0, 0, 0, 9, 0]);
    let mut long = vec![0; 20_000];
    assert_eq!(shmx_os::peek(&scratch.0, &mut long).unwrap(), (10_000, 10_000));
    let read_only = shmx_os::ReadOnlyRegion::open(&scratch.0).unwrap();
    assert_eq!(read_only.len_now(), Some(10_000));
    let file = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{}", scratch.0)).unwrap();
    file.set_len(5).unwrap();
    assert_eq!(shmx_os::peek(&scratch.0, &mut buf).unwrap(), (5, 5));
    assert_eq!(read_only.len_now(), Some(5));
    file.set_len(0).unwrap();
    assert_eq!(shmx_os::peek(&scratch.0, &mut buf).unwrap(), (0, 0));
}
