//! What the test programs share.

#![allow(dead_code, unused_imports)] // not every test program uses all of it

#[cfg(target_os = "linux")]
pub(crate) mod pty;

pub(crate) use shmx_testkit::{Folder, PATIENCE as DEADLINE, Running};
use std::process::{Child, Command, Output, Stdio};

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
    Name(shmx_testkit::unique(tag))
}

pub(crate) fn shmx(args: &[&str]) -> Command {
    let mut c = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx"));
    c.args(args).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
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
    shmx_testkit::signal(child.id(), name);
}

/// Signals a command until it has ended: a signal that comes while its handler is being set up is lost.
#[cfg(unix)]
pub(crate) fn end_by(mut command: Running, how: &str) -> Output {
    until(|| {
        let ended = command.child.try_wait().unwrap().is_some();
        if !ended {
            signal(&command.child, how);
        }
        ended
    });
    command.output()
}

/// Whether this machine lacks what a test needs: programs that start by themselves, outside of an emulator, and locks
/// that tell the living from the dead. Says so.
pub(crate) fn cannot_run() -> bool {
    let name = unique("able");
    let server = shmx::Server::builder(&*name).create().unwrap();
    let locks = shmx::abi::extension::Features::of(&server.header()).has(shmx::abi::extension::Features::LOCKS);
    let lacking = shmx_testkit::emulated() || !locks;
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
#[track_caller]
pub(crate) fn until(done: impl FnMut() -> bool) {
    shmx_testkit::until("what the test waits for", done);
}
