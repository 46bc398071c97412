//! Other work on the two processors, as on a machine that is not there for one program alone.

use anyhow::{Context, Result};
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// A process on each processor that copies memory all the time, at normal priority, until this is dropped.
pub(crate) struct Load(Vec<Child>);

/// Bytes that are copied at a time: more than fits into a processor's own cache.
const BYTES: usize = 4 << 20;

impl Load {
    pub(crate) fn start(cores: [usize; 2]) -> Result<Self> {
        let mut load = Self(Vec::new());
        for core in cores {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("load").arg("--core").arg(core.to_string()).stdin(Stdio::piped());
            load.0.push(command.spawn().context("start a process that makes load")?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What such a process does, until its input ends.
pub(crate) fn work(core: usize) -> Result<()> {
    crate::peer::stay_on(core)?;
    rustix::process::setpriority_process(None, 0)?;
    std::thread::spawn(|| {
        let (mut from, mut to) = (vec![1_u8; BYTES], vec![0_u8; BYTES]);
        loop {
            to.copy_from_slice(std::hint::black_box(&from));
            std::mem::swap(&mut from, &mut to);
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}
