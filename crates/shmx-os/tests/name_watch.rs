//! Learning of names that come and go.

#![cfg(any(target_os = "linux", windows))]

use std::time::{Duration, Instant};

use crate::common::Scratch;
use shmx_os::{NameChanges, NameWatch, NameWatchKind, RegionName};

const DEADLINE: Duration = Duration::from_secs(60);

fn watches() -> [NameWatch; 2] {
    [NameWatch::new().unwrap(), NameWatch::polling().unwrap()]
}

/// Waits for a change of this name. Other programs make and remove names of their own.
fn await_change(watch: &mut NameWatch, name: &RegionName) {
    let end = Instant::now() + DEADLINE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{watch:?}: nothing was told of {name}");
        if watch.next(left).unwrap().is_some_and(|changes| changes.touch(name)) {
            return;
        }
    }
}

#[test]
fn the_kind_is_told() {
    let [new, polling] = watches();
    let best = if cfg!(target_os = "linux") { NameWatchKind::Events } else { NameWatchKind::Polling };
    assert!(new.kind() == best || new.kind() == NameWatchKind::Polling);
    assert_eq!(polling.kind(), NameWatchKind::Polling);
    assert_eq!(format!("{polling:?}"), "NameWatch { kind: Polling, .. }");
}

/// Takes what is there, so that the next answer is of what comes.
fn forget(watch: &mut NameWatch) {
    let end = Instant::now() + DEADLINE;
    while watch.next(Duration::ZERO).unwrap().is_some() {
        assert!(Instant::now() < end, "others make and remove names without a pause");
    }
}

#[test]
fn names_that_appear_and_go_are_told() {
    for mut watch in watches() {
        let scratch = Scratch::new();
        for _ in 0..20 {
            forget(&mut watch);
            let region = scratch.create(64);
            await_change(&mut watch, &scratch.0);
            forget(&mut watch);
            region.remove().unwrap();
            drop(region);
            await_change(&mut watch, &scratch.0);
        }
    }
}

#[test]
fn a_name_that_was_there_for_a_moment_is_told_where_the_kernel_tells() {
    let mut watch = NameWatch::new().unwrap();
    if watch.kind() == NameWatchKind::Events {
        let scratch = Scratch::new();
        scratch.create(64).remove().unwrap();
        await_change(&mut watch, &scratch.0);
    }
}

#[test]
fn a_name_that_leads_to_another_object_is_told() {
    for mut watch in watches() {
        let scratch = Scratch::new();
        let first = scratch.create(4096);
        await_change(&mut watch, &scratch.0);
        forget(&mut watch);
        first.remove().unwrap();
        drop(first);
        // Of another length: Windows tells them apart by nothing else.
        let _second = scratch.create(3 * 4096);
        await_change(&mut watch, &scratch.0);
    }
}

#[test]
fn without_a_change_of_a_name_nothing_is_told_of_it() {
    for mut watch in watches() {
        let scratch = Scratch::new();
        // What others do is told; this name is not.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            for timeout in [Duration::ZERO, Duration::from_millis(5)] {
                let told = watch.next(timeout).unwrap();
                assert!(!matches!(told, Some(NameChanges::Names(names)) if names.contains(&scratch.0)));
            }
        }
    }
}

#[test]
fn a_change_ends_a_wait_without_end() {
    for mut watch in watches() {
        let scratch = Scratch::new();
        let _region = std::thread::scope(|scope| {
            let maker = scope.spawn(|| scratch.create(64));
            while !watch.next(Duration::MAX).unwrap().is_some_and(|changes| changes.touch(&scratch.0)) {}
            maker.join().unwrap()
        });
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, AsRawFd};
    use std::path::PathBuf;

    use super::*;

    fn path(name: &RegionName) -> PathBuf {
        PathBuf::from("/dev/shm").join(name.as_str())
    }

    fn await_readable(watch: &NameWatch) {
        let mut entry = libc::pollfd { fd: watch.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for writes.
        assert_eq!(unsafe { libc::poll(&raw mut entry, 1, DEADLINE.as_millis() as i32) }, 1);
    }

    #[test]
    fn the_descriptor_is_readable_when_there_is_news() {
        for mut watch in watches() {
            let scratch = Scratch::new();
            let _region = scratch.create(64);
            let end = Instant::now() + DEADLINE;
            loop {
                await_readable(&watch);
                if watch.next(Duration::ZERO).unwrap().is_some_and(|changes| changes.touch(&scratch.0)) {
                    break;
                }
                assert!(Instant::now() < end);
            }
        }
    }

    #[test]
    fn renames_and_the_end_of_writing_are_told() {
        let mut watch = NameWatch::new().unwrap();
        if watch.kind() != NameWatchKind::Events {
            eprintln!("skipped: no inotify");
            return;
        }
        let (scratch, renamed) = (Scratch::new(), Scratch::new());
        let file = std::fs::File::create_new(path(&scratch.0)).unwrap();
        await_change(&mut watch, &scratch.0);
        drop(file);
        await_change(&mut watch, &scratch.0);
        std::fs::rename(path(&scratch.0), path(&renamed.0)).unwrap();
        // The new name is told with the old one, or right after it.
        await_change(&mut watch, &renamed.0);
    }

    #[test]
    fn too_many_changes_may_be_of_any_name() {
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        let mut watch = NameWatch::new().unwrap();
        if watch.kind() != NameWatchKind::Events || limit > 100_000 {
            eprintln!("skipped: no inotify, or a queue of {limit}");
            return;
        }
        let (scratch, last) = (Scratch::new(), Scratch::new());
        for _ in 0..limit / 2 + 100 {
            std::fs::File::create_new(path(&scratch.0)).unwrap();
            std::fs::remove_file(path(&scratch.0)).unwrap();
        }
        drop(last.create(64));
        // Its own change did not fit, and yet is told.
        await_change(&mut watch, &last.0);
    }

    #[test]
    fn hidden_names_of_objects_that_are_being_made_are_not_told() {
        for mut watch in watches() {
            let scratch = Scratch::new();
            let hidden = RegionName::new(&format!(".shmx-pending-test-{}", std::process::id())).unwrap();
            drop(std::fs::File::create(path(&hidden)).unwrap());
            let _region = scratch.create(64);
            let end = Instant::now() + DEADLINE;
            loop {
                let told = watch.next(DEADLINE).unwrap();
                let Some(NameChanges::Names(names)) = told else { break };
                assert!(!names.contains(&hidden) && Instant::now() < end);
                if names.contains(&scratch.0) {
                    break;
                }
            }
            std::fs::remove_file(path(&hidden)).unwrap();
        }
    }
}
