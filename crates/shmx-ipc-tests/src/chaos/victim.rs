//! A child process that is stopped and killed.

use crate::chaos::standing;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, set_parent_process_death_signal, waitid};
use std::process::{Child, Stdio};

/// Ends this process with the thread that started it, so that a killed conductor leaves nobody behind.
pub(crate) fn die_with_parent() -> Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// A child of ours. Killed when dropped, whatever state it is in.
pub(crate) struct Victim {
    child: Child,
    pid: Pid,
}

impl Victim {
    /// Starts this program in another part.
    pub(crate) fn start(args: &[String]) -> Result<Self> {
        let mut command = shmx_testkit::program(&std::env::current_exe()?);
        let child = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start a part")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("process id")?;
        standing::living().insert(child.id());
        Ok(Self { child, pid })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and returns once it stands still.
    pub(crate) fn stop(&self) -> Result<()> {
        kill_process(self.pid, Signal::STOP)?;
        // Left to be waited for: `std` still owns the child's end.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid), options)?.context("no status")?;
        ensure!(status.stopped(), "it ended by itself");
        Ok(())
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// SIGKILL, and the end of it: its locks are free when this returns.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        standing::living().remove(&self.child.id());
        // Only this child; fails harmlessly if it has been waited for. SIGKILL ends stopped processes too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
