//! What the Linux backend does beyond the conformance suite, tried with real processes.

#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Scratch, Shared, options};
use shmx_os::{
    CreateError, CreateOptions, Existing, LockByte, LockState, OpenError, OsError, Pending, ReadOnlyRegion, Region,
    RegionName, clock,
};

fn path(name: &RegionName) -> PathBuf {
    PathBuf::from("/dev/shm").join(name.as_str())
}

// ------------------------------------------------------------------------------------------------- child processes

const ACTION: &str = "SHMX_OS_TEST_ACTION";
const NAME: &str = "SHMX_OS_TEST_NAME";
/// How long a parent waits for what a forked child does, which ends by its alarm before that unless it hangs early on.
const PATIENCE: Duration = Duration::from_secs(120);

/// This program, behind the words of an emulator where the tests run in one.
fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let Ok(runner) = std::env::var("SHMX_RUNNER") else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}

/// This program again, doing `child_entry` alone. Killed when dropped.
struct Helper {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Helper {
    fn start(action: &str, name: &RegionName) -> Self {
        let mut child = this_program()
            .args(["child_entry", "--exact", "--nocapture", "--test-threads=1"])
            .env(ACTION, action)
            .env(NAME, name.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// The next line that begins with `word`, without it. The child's alarm makes an end of waiting.
    fn expect(&mut self, word: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "no `{word}` from the child but:\n{seen}");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
            seen += &line;
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end; false if the child had to skip.
    fn finish(mut self) -> bool {
        let verdict = self.expect("verdict ");
        assert!(self.child.wait().unwrap().success());
        verdict == "done"
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of ours that is not our child. Killed when dropped.
struct Orphan(i32);

impl Drop for Orphan {
    fn drop(&mut self) {
        // SAFETY: a plain system call.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

/// Forks a child that does nothing until it is killed, or for a minute. It has run its fork handlers when this returns.
fn fork_sleeper() -> i32 {
    let (mut running, mut signal) = std::io::pipe().unwrap();
    // SAFETY: the child makes only async-signal-safe calls.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        let _ = signal.write(&[1]);
        sleep_until_killed();
    }
    if !is_heard(&running) {
        put_down(pid);
        panic!("the forked child does not run");
    }
    running.read_exact(&mut [0]).unwrap();
    pid
}

/// Whether there is something to read from a forked child in time.
fn is_heard(pipe: &std::io::PipeReader) -> bool {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        // SAFETY: one entry, valid for writes. Interrupted or not, it is asked again.
        if unsafe { libc::poll(&raw mut poll, 1, 1000) } == 1 {
            return true;
        }
    }
    false
}

fn sleep_until_killed() -> ! {
    // SAFETY: async-signal-safe; pending alarms are not inherited, so the child sets its own.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: async-signal-safe.
        unsafe { libc::pause() };
    }
}

/// Forks a child that does `work` and ends with its result. Returns the wait status.
fn fork_and(work: impl FnOnce() -> u8) -> std::process::ExitStatus {
    // SAFETY: `work` makes calls that are safe in the child of a process with threads: system calls, and glibc's
    // allocator, which survives a fork.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        // SAFETY: async-signal-safe.
        unsafe { libc::alarm(60) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: ends the child without running the test harness's handlers.
        unsafe { libc::_exit(code.into()) };
    }
    wait(pid)
}

fn wait(pid: i32) -> std::process::ExitStatus {
    let end = Instant::now() + PATIENCE;
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writes.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } {
            0 => std::thread::sleep(Duration::from_micros(200)),
            found => {
                assert_eq!(found, pid);
                return std::process::ExitStatus::from_raw(status);
            }
        }
        if Instant::now() > end {
            put_down(pid);
            panic!("the forked child does not end");
        }
    }
}

/// Kills a child that should have ended by itself.
fn put_down(pid: i32) {
    // SAFETY: plain system calls, for a child that was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

fn kill(pid: i32) {
    // SAFETY: a plain system call, for a child that was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait(pid);
}

fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

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

// ---------------------------------------------------------------------------------------------------------- creation

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

/// Whether an emulator stands between these tests and the pages of the kernel. Says so.
fn emulated() -> bool {
    let emulated = std::env::var_os("SHMX_RUNNER").is_some();
    if emulated {
        println!("not run: an emulator has pages of its own");
    }
    emulated
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

// ----------------------------------------------------------------------------------------------------------- opening

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

// ---------------------------------------------------------------------------------------------------- locks and forks

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

#[test]
fn the_room_for_shared_memory_is_told() {
    let space = shmx_os::space().unwrap();
    assert_eq!(space.directory, "/dev/shm");
    assert!(space.total.is_none_or(|total| total >= space.available.unwrap_or(0)));
    assert!(space.nameless_objects);
    assert!(shmx_os::page_size().is_power_of_two());
}
