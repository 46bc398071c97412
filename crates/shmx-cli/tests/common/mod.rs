//! What the test programs share: names, children that do not outlive their test, and deadlines.

#![allow(dead_code)] // not every test program uses all of it

#[cfg(target_os = "linux")]
pub(crate) mod pty;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A name of its own for each test. When it goes, what a killed server has left under it goes too.
pub(crate) struct Name(pub(crate) String);

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = shmx::remove(self, true);
    }
}

pub(crate) fn unique(tag: &str) -> Name {
    static N: AtomicU32 = AtomicU32::new(0);
    Name(format!("shmx-cli-t-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed)))
}

/// Programs that the tests start hear signals, also where the tests themselves run in the background of a shell that
/// has them ignore some: an ignored signal is inherited, one with a handler is not.
pub(crate) fn hear_signals() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&s| shmx_os::signal::is_ignored(s)) {
                signal_hook::flag::register(signal, std::sync::Arc::default()).unwrap();
            }
        });
    }
}

pub(crate) fn shmx(args: &[&str]) -> Command {
    hear_signals();
    let exe = env!("CARGO_BIN_EXE_shmx");
    // Where the tests run in an emulator, the command needs it too.
    let runner = std::env::var("SHMX_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().chain([exe]);
    let mut c = Command::new(words.next().unwrap());
    c.args(words).args(args).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

/// A child that does not outlive its test.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
        Self { child, lines }
    }

    /// The next line of stderr: how a server says that it is there.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line on stderr in time")
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the command did not end in time");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end while both pipes are drained.
    pub(crate) fn output(mut self) -> Output {
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
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(args: &[&str]) -> Output {
    Running::start(shmx(args)).output()
}

pub(crate) fn words(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// Whether frames were read, be it that the machine was too busy for all of them: exit code 3 says so.
pub(crate) fn was_read(o: &Output) -> bool {
    matches!(o.status.code(), Some(0 | 3))
}

/// The objects on stdout, one a line.
pub(crate) fn lines(o: &Output) -> Vec<serde_json::Value> {
    let all = o.stdout.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    let all: Vec<serde_json::Value> = all.map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert!(all.iter().all(|v| v["schema"] == 1 && v["kind"].is_string()), "{all:?}");
    all
}

pub(crate) fn gone(name: &str) -> bool {
    matches!(shmx::Inspector::open(name), Err(shmx::error::OpenError::Os(_)))
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

/// Whether this machine lacks what a test needs: programs that start by themselves, outside of an emulator, and locks
/// that tell the living from the dead. Says so.
pub(crate) fn cannot_run() -> bool {
    let name = unique("able");
    let server = shmx::Server::builder(&*name).create().unwrap();
    let locks = shmx::abi::extension::Features::of(&server.header()).has(shmx::abi::extension::Features::LOCKS);
    let lacking = std::env::var_os("SHMX_RUNNER").is_some() || !locks;
    if lacking {
        eprintln!("not run: it needs liveness locks and programs outside of an emulator");
    }
    lacking
}

/// A server of `shmx serve` that publishes already.
pub(crate) fn serve(name: &str, more: &[&str]) -> Running {
    let args = [&["serve", name, "--hz", "100"], more].concat();
    let mut serve = Running::start(shmx(&args));
    let first = serve.line();
    assert!(first.contains(name), "{first}");
    until(|| shmx::Inspector::open(name).is_ok_and(|i| i.header().frame_seq > 0));
    serve
}

/// Waits for something to become true.
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

impl Folder {
    pub(crate) fn new(tag: &str) -> Self {
        let path = std::env::temp_dir().join(&*unique(tag));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
