//! Takes away the mirrors of a bridge that was killed.
//!
//! A region goes with its server, but a server that is killed cannot take its name away. So the bridge has a helper, a
//! process of its own, that hears the names through a pipe: when the pipe ends and the bridge has not said goodbye, the
//! helper removes what is left. It never touches a region whose server lives, nor one that is no mirror.

use shmx::Inspector;
use shmx::error::RemoveError;
use shmx_bridge::is_mirror;
use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The helper's command.
pub(crate) const COMMAND: &str = "janitor";
/// How long the system may take to let go of what a killed process held.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bridge's end of the pipe.
#[derive(Debug)]
pub(crate) struct Janitor(Mutex<Child>);

impl Janitor {
    /// Starts the helper, in a process group of its own, so that what ends the bridge's does not end it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Self(Mutex::new(command.spawn()?)))
    }

    /// Tells it of a region.
    pub(crate) fn note(&self, name: &str) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut child.stdin
            && let Err(e) = pipe.write_all(&line_of(name))
        {
            tracing::warn!("the helper that would remove mirrors is gone: {e}");
        }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        let child = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.stdin.take());
        let _ = child.wait();
    }
}

/// A name on its way to the helper. No name has a byte that is 0, but one may have any other.
fn line_of(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// The names up to the end of the pipe, however it ends. One that was cut off is none.
fn names_in(pipe: impl BufRead) -> BTreeSet<String> {
    let mut pipe = pipe;
    let (mut names, mut line) = (BTreeSet::new(), Vec::new());
    while pipe.read_until(0, &mut line).is_ok() && line.pop() == Some(0) {
        names.extend(String::from_utf8(std::mem::take(&mut line)));
    }
    names
}

/// The helper: hears names until the pipe ends, and removes those whose server is dead.
pub(crate) fn run() -> anyhow::Result<()> {
    // Only the end of the pipe ends it.
    ctrlc::set_handler(|| {})?;
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
    }
}
