//! Processes that are started and waited for, and recordings that are waited for.

use crate::interop::output;
use crate::step::{self, Tally, cargo};
use crate::tests;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything. What takes as long does not end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that ends with its value.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(c: &mut Command) -> Result<Self> {
        Ok(Self(c.spawn().with_context(|| format!("start {c:?}"))?))
    }

    pub(crate) fn wait(&mut self, what: &str) -> Result<()> {
        self.wait_for(what, &[0])
    }

    /// Waits for a recorder, which may have missed frames on a busy machine.
    pub(crate) fn wait_recorder(&mut self) -> Result<()> {
        self.wait_for("shmx record", &[0, 3])
    }

    fn wait_for(&mut self, what: &str, codes: &[i32]) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(s) = self.0.try_wait()? {
                ensure!(s.code().is_some_and(|c| codes.contains(&c)), "{what}: {s}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{what} does not end")
    }

    /// Asks it to end, and waits.
    pub(crate) fn end(&mut self, what: &str) -> Result<()> {
        output(Command::new("kill").args(["-TERM", &self.0.id().to_string()]))?;
        self.wait(what)
    }

    /// Its input, where that is a pipe.
    pub(crate) fn stdin(&mut self) -> Result<ChildStdin> {
        self.0.stdin.take().context("no stdin")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, and the folder for its files.
pub(crate) struct Setting {
    pub(crate) realtime: bool,
    pub(crate) shmx: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Setting {
    pub(crate) fn new(tally: &mut Tally) -> Result<Self> {
        step::command(tally, "build the command", &mut cargo(&["build", "--release", "-p", "shmx-cli"]))?;
        let target = tests::target_dir()?;
        let dir = target.join("record");
        fs::create_dir_all(&dir)?;
        Ok(Self { realtime: false, shmx: target.join("release/shmx"), dir })
    }

    pub(crate) fn shmx(&self, args: &[&str]) -> Command {
        let mut c = self.program(&self.shmx);
        c.args(args).stdin(Stdio::null());
        c
    }

    pub(crate) fn program(&self, path: &Path) -> Command {
        if !self.realtime {
            return Command::new(path);
        }
        let mut c = Command::new("chrt");
        c.args(["-f", "10"]).arg(path);
        c
    }

    pub(crate) fn file(&self, name: &str) -> Result<(PathBuf, String)> {
        let path = self.dir.join(name);
        let text = path.to_str().context("the target directory is not UTF-8")?.to_owned();
        let _ = fs::remove_file(&path);
        Ok((path, text))
    }

    /// Waits until a recorder has created its file: it is then looking for its region.
    pub(crate) fn recorder(&self, args: &[&str], file: &Path) -> Result<Running> {
        let r = Running::start(self.shmx(args).stdout(Stdio::null()).stderr(Stdio::null()))?;
        let end = Instant::now() + PATIENCE;
        while fs::metadata(file).map_or(0, |m| m.len()) == 0 {
            ensure!(Instant::now() < end, "the recorder does not begin");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(r)
    }

    pub(crate) fn info(&self, file: &str) -> Result<Value> {
        let out = self.shmx(&["info", file, "--json"]).output()?;
        ensure!(out.status.success(), "shmx info {file}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_slice(&out.stdout)?)
    }
    /// Waits until a recording that is being written holds so many frames. Nothing else tells when a recorder has taken
    /// them, however long it needs.
    pub(crate) fn until_recorded(&self, file: &str, frames: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            // What is not finished yet is a problem to `info`, which says so by its code as well.
            let out = self.shmx(&["info", file, "--json"]).stderr(Stdio::null()).output()?;
            let info: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
            let (read, missed) = (&info["regions"][0]["frames_read"], &info["regions"][0]["missed"]);
            ensure!(missed.as_u64().unwrap_or(0) == 0, "frames were missed: {info}");
            if read.as_u64() == Some(frames as u64) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{frames} frames are not recorded within {PATIENCE:?}: {info}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
