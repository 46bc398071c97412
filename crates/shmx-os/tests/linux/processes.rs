//! Children of the tests, by `exec` and by `fork`: started, waited for, and put down.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use shmx_os::RegionName;
pub(crate) use shmx_testkit::this_program;

pub(crate) fn path(name: &RegionName) -> PathBuf {
    PathBuf::from("/dev/shm").join(name.as_str())
}

pub(crate) const ACTION: &str = "SHMX_OS_TEST_ACTION";

pub(crate) const NAME: &str = "SHMX_OS_TEST_NAME";

/// How long a parent waits for what a forked child does, which ends by its alarm before that unless it hangs early on.
const PATIENCE: Duration = Duration::from_secs(120);

/// This program again, doing `child_entry` alone. Killed when dropped.
pub(crate) struct Helper {
    pub(crate) child: Child,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Helper {
    pub(crate) fn start(action: &str, name: &RegionName) -> Self {
        let mut child = this_program()
            .args(["child::child_entry", "--exact", "--nocapture", "--test-threads=1"])
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
    pub(crate) fn expect(&mut self, word: &str) -> String {
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

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end; false if the child had to skip.
    pub(crate) fn finish(mut self) -> bool {
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
pub(crate) struct Orphan(pub(crate) i32);

impl Drop for Orphan {
    fn drop(&mut self) {
        // SAFETY: a plain system call.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

/// Forks a child that does nothing until it is killed, or for a minute. It has run its fork handlers when this returns.
pub(crate) fn fork_sleeper() -> i32 {
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
pub(crate) fn is_heard(pipe: &std::io::PipeReader) -> bool {
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

pub(crate) fn sleep_until_killed() -> ! {
    // SAFETY: async-signal-safe; pending alarms are not inherited, so the child sets its own.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: async-signal-safe.
        unsafe { libc::pause() };
    }
}

/// Forks a child that does `work` and ends with its result. Returns the wait status.
pub(crate) fn fork_and(work: impl FnOnce() -> u8) -> std::process::ExitStatus {
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

pub(crate) fn wait(pid: i32) -> std::process::ExitStatus {
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
pub(crate) fn put_down(pid: i32) {
    // SAFETY: plain system calls, for a child that was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: a plain system call, for a child that was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait(pid);
}

pub(crate) fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

/// Whether an emulator stands between these tests and the pages of the kernel. Says so.
pub(crate) fn emulated() -> bool {
    let emulated = shmx_testkit::emulated();
    if emulated {
        println!("not run: an emulator has pages of its own");
    }
    emulated
}
