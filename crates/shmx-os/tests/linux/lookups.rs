//! Names that cannot be looked up: the kernel fails the calls of one thread, by a filter.

use std::thread;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};
use shmx_os::{Existing, ReadOnlyRegion};

use crate::common::Scratch;
use crate::processes::path;

/// From now on this thread's look-ups of names fail with `error`. False where the kernel (or an emulator) has no filters.
fn fail_lookups(error: i32) -> bool {
    let step = |code: u32, k| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The number of the call is the first word.
        step(BPF_LD | BPF_W | BPF_ABS, 0),
        sock_filter { jf: 1, ..step(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_newfstatat as u32) },
        step(BPF_RET | BPF_K, libc::SECCOMP_RET_ERRNO | error as u32),
        step(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: four plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    // SAFETY: the kernel copies the filter, which outlives the call; it concerns this thread alone.
    unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0 }
}

#[test]
fn a_name_that_cannot_be_looked_up_is_not_taken_for_lost() {
    for error in [libc::ENOMEM, libc::EACCES] {
        let scratch = Scratch::new();
        let region = scratch.create(4096);
        let read_only = ReadOnlyRegion::open(&scratch.0).unwrap();
        let existing = Existing::open(&scratch.0).unwrap();
        let ask = || [region.is_current(), read_only.is_current(), existing.is_current()];
        let under_filter = || {
            if !fail_lookups(error) {
                return None;
            }
            // Who acts on the answer is told.
            let errors = [region.is_named(), region.remove()].map(|r| r.map_err(|e| e.to_string()));
            Some((ask(), errors))
        };
        let Some((current, errors)) = thread::scope(|s| s.spawn(under_filter).join().unwrap()) else { return };
        assert_eq!(current, [true; 3], "error {error}");
        assert!(errors.into_iter().all(|e| e.unwrap_err().contains("look up the name")));
        assert_eq!(ask(), [true; 3]);
        std::fs::remove_file(path(&scratch.0)).unwrap();
        assert_eq!(ask(), [false; 3]);
    }
}
