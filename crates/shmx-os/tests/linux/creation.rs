//! Creation: modes, limits, pages, and what a killed creator leaves.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use shmx_os::{CreateOptions, Pending, Region};

use crate::common::{Scratch, Shared, options};
use crate::processes::{Helper, emulated, path};

#[test]
fn the_mode_is_exact_under_any_umask() {
    let scratch = Scratch::new();
    assert!(Helper::start("umask", &scratch.0).finish());
}

#[test]
fn the_file_size_limit_is_an_error_and_not_a_signal() {
    let scratch = Scratch::new();
    assert!(Helper::start("file-size-limit", &scratch.0).finish());
}

#[test]
fn a_full_filesystem_is_an_error_and_not_a_signal() {
    let scratch = Scratch::new();
    if !Helper::start("small-filesystem", &scratch.0).finish() {
        println!("skipped: no right to mount");
    }
}

#[test]
fn huge_pages_are_had_where_the_filesystem_has_them() {
    if emulated() {
        return;
    }
    let scratch = Scratch::new();
    if !Helper::start("huge-pages", &scratch.0).finish() {
        println!("skipped: no right to mount, or no huge pages");
    }
}

#[test]
fn prefaulting_enters_every_page() {
    if emulated() {
        return;
    }
    let scratch = Scratch::new();
    let len = 4 << 20;
    let region = Pending::create(&scratch.0, &options(len)).unwrap().publish().unwrap();
    for byte in region.shared() {
        byte.store(1, Ordering::Relaxed);
    }
    // Other tests of this process fork, and each fork makes the stack and the heap fault anew, so the best of a few
    // mappings counts, beside the best of a few without prefaulting.
    let fewest = |prefault: bool| {
        let faults = (0..5).map(|_| {
            let other = Region::open(&scratch.0).unwrap();
            if prefault {
                other.prefault(false);
            }
            let before = minor_faults();
            let sum: u64 = other.shared().iter().map(|b| u64::from(b.load(Ordering::Relaxed))).sum();
            assert_eq!(sum, len);
            minor_faults() - before
        });
        faults.min().unwrap()
    };
    let (with, without) = (fewest(true), fewest(false));
    assert!(with * 2 < without, "{with} page faults with prefaulting, {without} without, over {} pages", len / 4096);
}

/// Page faults of this thread without input from a disk.
fn minor_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // After the name in parentheses, which may hold anything, comes field 3.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}

#[test]
fn creation_works_without_proc() {
    let scratch = Scratch::new();
    if !Helper::start("no-proc", &scratch.0).finish() {
        println!("skipped: no right to mount");
    }
}

#[test]
fn a_killed_creator_leaves_nothing() {
    let scratch = Scratch::new();
    let mut helper = Helper::start("pending", &scratch.0);
    helper.expect("ready");
    helper.kill();
    assert!(!path(&scratch.0).exists());
    let left = shmx_os::list().unwrap();
    assert!(left.iter().all(|entry| !entry.name.as_str().starts_with(".shmx-pending-")), "{left:?}");
}

#[test]
fn pages_are_reserved() {
    let scratch = Scratch::new();
    let options = CreateOptions { prefault: false, ..options(3 << 20) };
    let _region = Pending::create(&scratch.0, &options).unwrap().publish().unwrap();
    let metadata = path(&scratch.0).metadata().unwrap();
    assert_eq!(metadata.len(), 3 << 20);
    assert!(metadata.blocks() * 512 >= 3 << 20);
}

#[test]
fn one_of_many_publishers_wins() {
    let scratch = Scratch::new();
    let winners: Vec<Region> = std::thread::scope(|scope| {
        let publish = || scratch.pending(4096).publish().ok();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(publish)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(winners.len(), 1);
    assert!(winners[0].is_current());
}
