//! Takes away the mirrors of a bridge that was killed.
//!
//! A region goes with its server, but a server that is killed cannot take its name away. So the bridge has a helper, a
//! process of its own, that hears the names through a pipe: when the pipe ends and the bridge has not said goodbye, the
//! helper removes what is left. It never touches a region whose server lives, nor one that is no mirror.

use crate::stop;
use shmx::Inspector;
use shmx::error::RemoveError;
use shmx_bridge::is_mirror;
use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The helper's command.
pub(crate) const COMMAND: &str = "janitor";
/// In place of a name: the bridge has ended in good order, and its mirrors with it.
const GOODBYE: &str = "";
/// How long the system may take to let go of what a killed process held.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names from which on those are forgotten that lead nowhere any more.
const MANY: usize = 4096;

/// The bridge's end of the pipe.
#[derive(Debug)]
pub(crate) struct Janitor(Mutex<Helper>);

#[derive(Debug)]
struct Helper {
    child: Child,
    names: BTreeSet<String>,
    /// That there is none was said.
    told: bool,
}

/// Starts a helper, in a process group of its own, so that what ends the bridge's does not end it.
fn start() -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

impl Janitor {
    /// Starts the helper.
    pub(crate) fn start() -> std::io::Result<Self> {
        let helper = Helper { child: start()?, names: BTreeSet::new(), told: false };
        helper.wait_for_nothing()?;
        Ok(Self(Mutex::new(helper)))
    }

    fn lock(&self) -> MutexGuard<'_, Helper> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it of a region that is about to be made.
    pub(crate) fn note(&self, name: &str) {
        let mut helper = self.lock();
        if helper.names.len() >= MANY {
            helper.names.retain(|name| Inspector::open(name).is_ok());
            helper.end();
        }
        if helper.names.insert(name.to_owned()) && helper.tell(name).is_err() {
            helper.begin_again();
        }
    }

    /// Starts another helper where somebody has ended it.
    pub(crate) fn keep(&self) {
        let mut helper = self.lock();
        if !matches!(helper.child.try_wait(), Ok(None)) {
            helper.begin_again();
        }
    }
}

impl Helper {
    fn tell(&mut self, name: &str) -> std::io::Result<()> {
        self.child.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?.write_all(&line_of(name))
    }

    /// Starts another one, and tells it all; the next look is another try.
    fn begin_again(&mut self) {
        self.end();
        let begun = start().and_then(|child| {
            self.child = child;
            let names = self.names.clone();
            names.iter().try_for_each(|name| self.tell(name))?;
            self.wait_for_nothing()
        });
        let Err(e) = begun else {
            self.told = false;
            return;
        };
        self.end();
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!("the helper that would remove mirrors is gone, and cannot be started again: {e}");
        }
    }

    /// From now on, one that stands still and hears nothing holds up nobody: another one is told.
    fn wait_for_nothing(&self) -> std::io::Result<()> {
        #[cfg(unix)]
        if let Some(pipe) = &self.child.stdin {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(())
    }

    /// Lets it end in good order, if it has not ended; one that does not has nothing to do any more.
    fn end(&mut self) {
        let _ = self.tell(GOODBYE);
        drop(self.child.stdin.take());
        let end = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// A name on its way to the helper. No name has a byte that is 0, but one may have any other.
fn line_of(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// The names up to the end of the pipe, however it ends; none behind a goodbye. One that was cut off is none.
fn names_in(pipe: impl BufRead) -> BTreeSet<String> {
    let mut pipe = pipe;
    let (mut names, mut line) = (BTreeSet::new(), Vec::new());
    while pipe.read_until(0, &mut line).is_ok() && line.pop() == Some(0) {
        if line == GOODBYE.as_bytes() {
            return BTreeSet::new();
        }
        names.extend(String::from_utf8(std::mem::take(&mut line)));
    }
    names
}

/// The helper: hears names until the pipe ends, and removes those whose server is dead.
pub(crate) fn run() -> anyhow::Result<()> {
    // Only the end of the pipe ends it.
    stop::on_signal(|| {})?;
    let mut names = names_in(std::io::stdin().lock());
    let end = Instant::now() + PATIENCE;
    while !names.is_empty() && Instant::now() < end {
        // Gone in good order, removed now, or somebody else's by now; only a lock that is still held is waited for.
        names.retain(|name| {
            let mirror = Inspector::open(name).is_ok_and(|r| r.directory().is_ok_and(|d| is_mirror(&d)));
            mirror && matches!(shmx::remove(name, false), Err(RemoveError::HeldByLiveServer { .. }))
        });
        if !names.is_empty() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_through_whatever_is_in_them() {
        let names = ["robot.camera", "two\nlines", "\r\n", "é"];
        let mut pipe: Vec<u8> = names.iter().flat_map(|n| line_of(n)).collect();
        pipe.extend_from_slice(b"cut off");
        assert_eq!(names_in(&pipe[..]), names.iter().map(|n| (*n).to_owned()).collect());
        // Who has ended in good order leaves nothing, and what has such a name by then is somebody else's.
        let goodbye = [&line_of("robot.camera")[..], &line_of(GOODBYE)].concat();
        assert!(names_in(&goodbye[..]).is_empty());
    }
}
