//! Waits amid forks, other processes, sandboxes, and those who close what is not theirs.
//!
//! Length: one subject, whose tests share their setting.

#![cfg(target_os = "linux")]

mod common;
#[path = "common/word.rs"]
mod word;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::Scratch;
use shmx_os::{
    ManyWake, NameWatch, NameWatchKind, OsError, Region, RegionName, WaitFd, WaitFdKind, WaitMany, WaitWord,
};
use word::Word;

const FOREVER: Duration = Duration::MAX;
const DEADLINE: Duration = Duration::from_secs(60);

fn kinds() -> Vec<WaitFdKind> {
    let all = [WaitFdKind::Thread, WaitFdKind::IoUring];
    all.into_iter().filter(|kind| WaitFd::with_kind(*kind).is_ok()).collect()
}

fn pair(scratch: &Scratch) -> (Arc<Region>, Arc<Word>) {
    let region = Arc::new(scratch.create(4096));
    let word = Word::of(&region, 1);
    (region, word)
}

fn await_readable(wait: &WaitFd) {
    let mut entry = libc::pollfd { fd: wait.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let end = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < end, "{wait:?} does not become readable");
        // SAFETY: one entry, valid for writes. Interrupted or not, it is asked again.
        if unsafe { libc::poll(&raw mut entry, 1, 1000) } == 1 {
            assert_eq!(entry.revents, libc::POLLIN);
            return;
        }
    }
}

fn entries(words: &[Arc<Word>], value: u32) -> Vec<(Arc<dyn WaitWord>, u32)> {
    words.iter().map(|word| (word.clone() as Arc<dyn WaitWord>, value)).collect()
}

// ------------------------------------------------------------------------------------------------- child processes

const ACTION: &str = "SHMX_OS_TEST_ACTION";
const NAME: &str = "SHMX_OS_TEST_NAME";

/// This program again, doing `child_entry` alone. Killed when dropped.
struct Helper(Child);

impl Helper {
    fn start(action: &str, name: &RegionName) -> Self {
        let mut command = shmx_testkit::this_program();
        command.args(["child_entry", "--exact", "--nocapture", "--test-threads=1"]);
        let command = command.env(ACTION, action).env(NAME, name.as_str()).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits for its end, which its alarm makes sure of.
    fn finish(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a child process does.
#[test]
fn child_entry() {
    let Ok(action) = std::env::var(ACTION) else { return };
    // SAFETY: ends this process if it hangs.
    unsafe { libc::alarm(DEADLINE.as_secs() as u32 * 2) };
    let name = RegionName::new(&std::env::var(NAME).unwrap()).unwrap();
    match action.as_str() {
        "answer" => answer(&name),
        "close" => closed_by_others(),
        "leave" => leaves_nothing(),
        "no-io-uring" => without_io_uring(),
        "nothing" => without_anything(),
        other => panic!("unknown action {other}"),
    }
}

/// Forks a child that does `work`. Returns how it ended.
fn fork_and(work: impl FnOnce()) -> ExitStatus {
    // SAFETY: `work` makes calls that are safe in the child of a process with threads: system calls, and glibc's
    // allocator, which survives a fork.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        // SAFETY: ends the child if it hangs.
        unsafe { libc::alarm(60) };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends the child without running the test harness's handlers.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes. The child ends by its alarm at the latest.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {}
    ExitStatus::from_raw(status)
}

// ---------------------------------------------------------------------------------------------------------- forks

/// Whether an emulator runs the tests. It may end or hang where a process with threads is forked, or a forked one makes
/// some.
fn emulated() -> bool {
    let emulated = shmx_testkit::emulated();
    if emulated {
        println!("skipped: forks and threads in an emulator");
    }
    emulated
}

#[test]
fn a_forked_child_leaves_the_descriptor_to_its_parent() {
    if emulated() {
        return;
    }
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        for drops in [false, true] {
            let value = word.word().load(Ordering::Relaxed);
            wait.arm(Some(word.clone()), value, FOREVER).unwrap();
            let mut child = Some(&mut wait);
            let on = word.clone();
            let status = fork_and(|| {
                let wait = child.take().unwrap();
                assert!(matches!(wait.arm(Some(on), value, Duration::ZERO), Err(OsError::Forked { .. })));
                assert!(matches!(wait.disarm(), Err(OsError::Forked { .. })));
                assert!(matches!(wait.is_readable(), Err(OsError::Forked { .. })));
                // SAFETY: a plain system call: the descriptor is open.
                assert_ne!(unsafe { libc::fcntl(wait.as_raw_fd(), libc::F_GETFD) }, -1);
                if drops {
                    // SAFETY: this process ends without using it again.
                    drop(unsafe { std::ptr::read(wait) });
                }
            });
            assert!(status.success(), "{kind:?}: {status}");
            assert!(!wait.is_readable().unwrap());
            if kind == WaitFdKind::Timer {
                wait.arm(None, 0, Duration::from_millis(1)).unwrap();
            } else {
                word.ring(value + 1);
            }
            await_readable(&wait);
        }
    }
}

#[test]
fn a_forked_child_waits_with_things_of_its_own() {
    if emulated() {
        return;
    }
    for count in [1, 127, 200] {
        let scratch = Scratch::new();
        let region = Arc::new(scratch.create(4096));
        let words: Vec<_> = (0..count).map(|index| Word::of(&region, index)).collect();
        let entries = entries(&words, 0);
        let mut many = WaitMany::new().unwrap();
        assert_eq!(many.wait(&entries, Duration::from_millis(1)), ManyWake::TimedOut);
        let status = fork_and(|| {
            for kind in kinds() {
                let mut wait = WaitFd::with_kind(kind).unwrap();
                wait.arm(Some(words[0].clone()), 0, FOREVER).unwrap();
                words[0].ring(1);
                await_readable(&wait);
                words[0].ring(0);
            }
            let mut many = many;
            assert_eq!(many.wait(&entries, Duration::from_millis(1)), ManyWake::TimedOut);
            words[count - 1].ring(1);
            assert_eq!(many.wait(&entries, FOREVER), ManyWake::Ready(count - 1));
        });
        assert!(status.success(), "{count} words: {status}");
        let mut many = WaitMany::new().unwrap();
        assert_eq!(many.wait(&entries, FOREVER), ManyWake::Ready(count - 1));
    }
}

#[test]
fn a_forked_child_leaves_the_events_to_its_parent() {
    for mut watch in [NameWatch::new().unwrap(), NameWatch::polling().unwrap()] {
        let scratch = Scratch::new();
        let _region = scratch.create(64);
        let child = &mut watch;
        let status = fork_and(|| {
            assert!(matches!(child.next(Duration::ZERO), Err(OsError::Forked { .. })));
            // SAFETY: this process ends without using it again.
            drop(unsafe { std::ptr::read(child) });
        });
        assert!(status.success(), "{status}");
        let end = Instant::now() + DEADLINE;
        while !watch.next(DEADLINE).unwrap().is_some_and(|changes| changes.touch(&scratch.0)) {
            assert!(Instant::now() < end);
        }
    }
}

// ------------------------------------------------------------------------------------------------ other processes

const ROUNDS: u32 = 5000;

/// Asks, in word 1, and waits for the answers, in word 2.
fn answer(name: &RegionName) {
    let region = Arc::new(Region::open(name).unwrap());
    let (ask, answer) = (Word::of(&region, 1), Word::of(&region, 2));
    let first = ask.word().load(Ordering::Acquire);
    for round in first + 1..=first + ROUNDS {
        ask.ring(round);
        let end = Instant::now() + DEADLINE;
        while answer.word().load(Ordering::Acquire) != round {
            assert!(Instant::now() < end, "no answer to {round}");
            let _ = region.wait(answer.word(), round - 1, DEADLINE);
        }
    }
}

#[test]
fn woken_by_another_process() {
    let scratch = Scratch::new();
    let (region, ask) = pair(&scratch);
    let answer = Word::of(&region, 2);
    for kind in kinds() {
        let mut wait = WaitFd::with_kind(kind).unwrap();
        let first = ask.word().load(Ordering::Acquire);
        let helper = Helper::start("answer", &scratch.0);
        for round in first + 1..=first + ROUNDS {
            while ask.word().load(Ordering::Acquire) != round {
                wait.arm(Some(ask.clone()), round - 1, FOREVER).unwrap();
                await_readable(&wait);
            }
            answer.ring(round);
        }
        helper.finish();
    }
    let mut many = WaitMany::new().unwrap();
    for count in [2, 150] {
        let words: Vec<_> = (0..count).map(|index| Word::of(&region, 8 + index)).collect();
        let mut entries = entries(&words, 0);
        entries.push((ask.clone(), 0));
        let first = ask.word().load(Ordering::Acquire);
        let helper = Helper::start("answer", &scratch.0);
        for round in first + 1..=first + ROUNDS {
            entries[count].1 = round - 1;
            while ask.word().load(Ordering::Acquire) != round {
                assert_eq!(many.wait(&entries, DEADLINE), ManyWake::Ready(count));
            }
            answer.ring(round);
        }
        helper.finish();
    }
}

/// A child that is killed while it wakes leaves a wait that its time ends.
#[test]
fn the_waker_is_killed() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (_region, ask) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        let mut helper = Helper::start("answer", &scratch.0);
        while ask.word().load(Ordering::Acquire) == 0 {
            wait.arm(Some(ask.clone()), 0, FOREVER).unwrap();
            await_readable(&wait);
        }
        helper.0.kill().unwrap();
        helper.0.wait().unwrap();
        wait.arm(Some(ask.clone()), 1, Duration::from_millis(20)).unwrap();
        await_readable(&wait);
        assert_eq!(ask.word().load(Ordering::Relaxed), 1);
    }
}

// ------------------------------------------------------------------------------------------------ closed by others

#[test]
fn descriptors_that_others_closed_are_errors() {
    // In a process of its own: here other tests would open the number anew.
    Helper::start("close", &Scratch::new().0).finish();
}

fn closed_by_others() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        for armed in [false, true] {
            let scratch = Scratch::new();
            let (_region, word) = pair(&scratch);
            let mut wait = WaitFd::with_kind(kind).unwrap();
            if armed {
                wait.arm(Some(word.clone()), 0, FOREVER).unwrap();
            }
            // SAFETY: what this test is about; no other thread opens anything.
            assert_eq!(unsafe { libc::close(wait.as_raw_fd()) }, 0);
            assert!(matches!(wait.is_readable(), Err(OsError::Os { .. })), "{kind:?}");
            // A thread learns of it when it has something to tell.
            let end = Instant::now() + DEADLINE;
            while wait.arm(Some(word.clone()), 0, FOREVER).is_ok() {
                word.ring(1);
                assert!(Instant::now() < end, "{kind:?}: no error");
                word.ring(0);
            }
            let _ = wait.disarm();
            drop(wait);
            assert_eq!(Arc::strong_count(&word), 1);
        }
    }
    for mut watch in [NameWatch::new().unwrap(), NameWatch::polling().unwrap()] {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::close(watch.as_fd().as_raw_fd()) }, 0);
        assert!(matches!(watch.next(Duration::ZERO), Err(OsError::Os { .. })), "{watch:?}");
        assert!(matches!(watch.next(FOREVER), Err(OsError::Os { .. })), "{watch:?}");
    }
}

#[test]
fn nothing_is_left_open() {
    // In a process of its own: here other tests open and close meanwhile.
    Helper::start("leave", &Scratch::new().0).finish();
}

fn leaves_nothing() {
    let count = || ["fd", "task"].map(|what| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count());
    let scratch = Scratch::new();
    let region = Arc::new(scratch.create(4096));
    let words: Vec<_> = (0..200).map(|index| Word::of(&region, index)).collect();
    let entries = entries(&words, 0);
    let before = count();
    for round in 0..50 {
        for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
            let mut wait = WaitFd::with_kind(kind).unwrap();
            // SAFETY: a plain system call.
            assert_eq!(unsafe { libc::fcntl(wait.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC, "{kind:?}");
            if round % 2 == 0 {
                wait.arm(Some(words[0].clone()), 0, DEADLINE).unwrap();
            }
        }
        for watch in [NameWatch::new().unwrap(), NameWatch::polling().unwrap()] {
            // SAFETY: a plain system call.
            assert_eq!(unsafe { libc::fcntl(watch.as_fd().as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
        }
        assert_eq!(WaitMany::new().unwrap().wait(&entries, Duration::from_micros(50)), ManyWake::TimedOut);
    }
    // A thread that was joined may be listed for a moment.
    let end = Instant::now() + DEADLINE;
    while count() != before {
        assert!(Instant::now() < end, "descriptors and threads: {:?} instead of {before:?}", count());
    }
}

/// Signals of the program are for its own threads, and faults for its handlers.
#[test]
fn a_thread_takes_no_signals_but_its_own_faults() {
    if shmx_testkit::emulated() {
        eprintln!("skipped: an emulator holds back what it likes");
        return;
    }
    let wait = WaitFd::with_kind(WaitFdKind::Thread).unwrap();
    let of_ours = |task: &std::path::Path| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let status = std::fs::read_to_string(task.join("status")).ok()?;
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned();
        (name.trim() == "shmx-wait").then(|| u64::from_str_radix(&blocked, 16).unwrap())
    };
    let mut found = Vec::new();
    let end = Instant::now() + DEADLINE;
    // It takes its name a little after it was started.
    while found.is_empty() {
        assert!(Instant::now() < end, "no such thread");
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        found = tasks.filter_map(|task| of_ours(&task.ok()?.path())).collect();
    }
    let is_blocked = |blocked: u64, signal: libc::c_int| blocked >> (signal - 1) & 1 == 1;
    for blocked in found {
        assert!([libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD].iter().all(|&s| is_blocked(blocked, s)));
        assert!(![libc::SIGBUS, libc::SIGSEGV].iter().any(|&s| is_blocked(blocked, s)), "{blocked:x}");
    }
    drop(wait);
}

// ------------------------------------------------------------------------------------------------------- sandboxes

/// Makes these system calls fail in this process, as a container does. False where that cannot be done.
fn refuse(calls: &[(libc::c_long, i32)]) -> bool {
    let one = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    // The number of the call is at offset 0.
    let mut filter = vec![one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (number, error) in calls {
        filter.push(one(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, *number as u32));
        filter.push(one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | *error as u32));
    }
    filter.push(one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a plain system call.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    // SAFETY: the program is valid for reads, and copied.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) == 0 }
}

#[test]
fn io_uring_is_refused() {
    Helper::start("no-io-uring", &Scratch::new().0).finish();
}

fn without_io_uring() {
    if !refuse(&[(libc::SYS_io_uring_setup, libc::EPERM)]) {
        eprintln!("skipped: no seccomp");
        return;
    }
    assert!(WaitFd::with_kind(WaitFdKind::IoUring).is_err());
    assert!(!WaitMany::new().unwrap().sleeps(128));
    works_all_the_same();
}

#[test]
fn every_new_system_call_is_refused() {
    Helper::start("nothing", &Scratch::new().0).finish();
}

fn without_anything() {
    let calls = [
        (libc::SYS_io_uring_setup, libc::ENOSYS),
        (libc::SYS_futex_waitv, libc::ENOSYS),
        (libc::SYS_inotify_init1, libc::EMFILE),
    ];
    if !refuse(&calls) {
        eprintln!("skipped: no seccomp");
        return;
    }
    assert_eq!(NameWatch::new().unwrap().kind(), NameWatchKind::Polling);
    works_all_the_same();
    let mut many = WaitMany::new().unwrap();
    let scratch = Scratch::new();
    let (_region, word) = pair(&scratch);
    assert_eq!(many.wait(&entries(&[word], 0), Duration::from_millis(1)), ManyWake::TimedOut);
    assert!(!many.sleeps(1));
}

fn works_all_the_same() {
    let scratch = Scratch::new();
    let (region, ask) = pair(&scratch);
    let answer = Word::of(&region, 2);
    let mut wait = WaitFd::new().unwrap();
    assert_eq!(wait.kind(), WaitFdKind::Thread);
    let ring = |rounds: u32| {
        let (region, ask, answer) = (region.clone(), ask.clone(), answer.clone());
        std::thread::spawn(move || {
            let first = ask.word().load(Ordering::Acquire);
            for round in first + 1..=first + rounds {
                ask.ring(round);
                let end = Instant::now() + DEADLINE;
                while answer.word().load(Ordering::Acquire) != round {
                    assert!(Instant::now() < end, "no answer to {round}");
                    let _ = region.wait(answer.word(), round - 1, DEADLINE);
                }
            }
        })
    };
    let rounds = 100;
    let ringer = ring(rounds);
    for round in 1..=rounds {
        while ask.word().load(Ordering::Acquire) != round {
            wait.arm(Some(ask.clone()), round - 1, FOREVER).unwrap();
            await_readable(&wait);
        }
        answer.ring(round);
    }
    ringer.join().unwrap();
    wait.arm(None, 0, Duration::from_millis(30)).unwrap();
    await_readable(&wait);
    wait.arm(Some(ask.clone()), rounds, Duration::from_millis(1)).unwrap();
    await_readable(&wait);
    wait.arm(Some(ask.clone()), rounds, FOREVER).unwrap();
    wait.disarm().unwrap();
    assert!(!wait.is_readable().unwrap());
    drop(wait);
    assert_eq!(Arc::strong_count(&ask), 1);

    let mut many = WaitMany::new().unwrap();
    for count in [1, 8, 127, 300] {
        let words: Vec<_> = (0..count).map(|index| Word::of(&region, 8 + index)).collect();
        let mut entries = entries(&words, 0);
        entries.push((ask.clone(), 0));
        assert_eq!(many.wait(&entries[..count], Duration::from_millis(3)), ManyWake::TimedOut);
        let interrupter = many.interrupter();
        let interrupts = std::thread::spawn(move || interrupter.interrupt());
        assert_eq!(many.wait(&entries[..count], FOREVER), ManyWake::Interrupted);
        interrupts.join().unwrap();
        let first = ask.word().load(Ordering::Acquire);
        let ringer = ring(rounds);
        for round in first + 1..=first + rounds {
            entries[count].1 = round - 1;
            while ask.word().load(Ordering::Acquire) != round {
                assert_eq!(many.wait(&entries, DEADLINE), ManyWake::Ready(count));
            }
            answer.ring(round);
        }
        ringer.join().unwrap();
    }
}
