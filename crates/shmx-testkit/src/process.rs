//! Other processes.

use crate::{PATIENCE, until_some, within};
use std::borrow::BorrowMut;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The words of an emulator that the tests, and so their programs, run in.
const RUNNER: &str = "SHMX_RUNNER";

/// Whether the tests run in an emulator: slower, and with threads of its own.
#[must_use]
pub fn emulated() -> bool {
    std::env::var_os(RUNNER).is_some()
}

/// Programs that the tests start hear signals, also where the tests themselves run in the background of a shell, or
/// under `nohup`, that has them ignore some: an ignored signal is inherited, one with a handler is not. On Linux.
pub fn hear_signals() {
    #[cfg(target_os = "linux")]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
            let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
            for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|s| mask >> (s - 1) & 1 == 1) {
                // One that cannot be had stays ignored.
                let _ = signal_hook::flag::register(signal, std::sync::Arc::default());
            }
        });
    }
}

/// A program, behind the words of an emulator where the tests run in one. It hears signals ([`hear_signals`]).
#[must_use]
pub fn program(path: impl AsRef<OsStr>) -> Command {
    hear_signals();
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(path) };
    let mut command = Command::new(emulator);
    command.args(words).arg(path);
    command
}

/// This program again.
///
/// # Panics
///
/// If the machine does not say where it is.
#[must_use]
pub fn this_program() -> Command {
    program(std::env::current_exe().unwrap())
}

/// Makes a program out of a script or of the bytes of another. On Unix.
///
/// A process that another thread starts just then has the files of this one open until it has become its program, and
/// what is open for writing cannot be run (ETXTBSY). So another process writes it.
///
/// # Panics
///
/// If it cannot be written.
pub fn place_program(to: &Path, bytes: impl AsRef<[u8]>) {
    let script = "cat > \"$0\" && chmod 755 \"$0\"";
    let mut shell = Command::new("sh").args(["-c", script]).arg(to).stdin(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(bytes.as_ref()).unwrap();
    assert!(shell.wait().unwrap().success(), "cannot write {}", to.display());
}

/// Sends a signal, given by its name: `INT`.
///
/// # Panics
///
/// If there is no such process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.unwrap().success(), "no signal {name} for process {pid}");
}

/// A child that does not outlive its test: it is killed when this goes.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    /// Lines of its stderr.
    pub lines: Receiver<String>,
    polite: bool,
}

impl Running {
    /// Starts it. Lines of its stderr can be had by [`Self::line`] if that is a pipe.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(mut command: impl BorrowMut<Command>) -> Self {
        let command = command.borrow_mut();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (send, lines) = channel();
        if let Some(pipe) = child.stderr.take() {
            let pipe = BufReader::new(pipe);
            std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
        }
        Self { child, lines, polite: false }
    }

    /// Asks it to end first, by TERM, when this goes: a server removes its region then.
    #[must_use]
    pub const fn politely(mut self) -> Self {
        self.polite = true;
        self
    }

    /// The next line of its stderr.
    ///
    /// # Panics
    ///
    /// If none comes within [`PATIENCE`].
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line on stderr in time")
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        until_some("the process ends", || self.child.try_wait().unwrap())
    }

    /// Waits for its end, and gives what it has written to pipes meanwhile and [`Self::line`] has not given yet.
    ///
    /// # Panics
    ///
    /// As [`Self::wait`].
    #[must_use]
    pub fn output(mut self) -> Output {
        let stdout = self.child.stdout.take();
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = stdout {
                pipe.read_to_end(&mut bytes).unwrap();
            }
            bytes
        });
        let status = self.wait();
        let stderr: String = self.lines.iter().map(|l| l + "\n").collect();
        Output { status, stdout: out.join().unwrap(), stderr: stderr.into_bytes() }
    }

    /// Sends it a signal, given by its name.
    ///
    /// # Panics
    ///
    /// If it has ended and was waited for.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.polite && self.child.try_wait().is_ok_and(|s| s.is_none()) {
            let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
            let _ = within(PATIENCE / 3, || !self.child.try_wait().is_ok_and(|s| s.is_none()));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
