//! System calls that fail: each one of an operation in turn, with each error that it may be expected to have.
//!
//! The operation must then succeed all the same, or give an error of its own, leave nothing behind, and succeed when it
//! is tried again.

use crate::common::objects;
use crate::steps::acts::{REFUSED, config};
use crate::steps::kills::{Case, Figures, outcome};
use crate::steps::trace::{Called, call_name};
use crate::steps::watch;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;

const ERRORS: [Errno; 5] = [Errno::ENOSPC, Errno::ENOMEM, Errno::EINTR, Errno::EACCES, Errno::EMFILE];

/// System calls that are left alone, and why.
///
/// A close that is not done leaves a descriptor open whoever wrote the program, and an unmapping that is not done a
/// mapping; the others cannot fail, or are not the library's: memory of the program's own, marks, standard error.
const SPARED: &[i64] = &[
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
];

impl Case {
    /// Every system call of the operation fails once with every error.
    pub(crate) fn errors(&self, stride: usize, figures: &mut Figures) -> Result<()> {
        watch::begin(format!("{}: its system calls", self.operation));
        let calls = {
            let (world, mut victim, _) = self.set(true)?;
            let (calls, _) = victim.go_on_with(None)?;
            let (code, said) = victim.finish()?;
            world.after(outcome(code, &said)?)?;
            calls
        };
        let chosen: Vec<(usize, Called)> = calls
            .into_iter()
            .enumerate()
            .filter(|(_, call)| !SPARED.contains(&call.number) && !call.is_memory)
            .collect();
        figures.calls += chosen.len() as u64;
        for (round, &(index, call)) in chosen.iter().enumerate() {
            for (kind, errno) in ERRORS.into_iter().enumerate() {
                if !(round * ERRORS.len() + kind).is_multiple_of(stride) {
                    continue;
                }
                let case = format!("{}, {} (call {index}) fails with {errno}", self.operation, call_name(call.number));
                watch::begin(case.clone());
                figures.errors += 1;
                match self.with_error(index, call, errno) {
                    Ok(refused) => figures.refused += u64::from(refused),
                    Err(e) => {
                        figures.failed += 1;
                        println!("FAILED {case}: {e:#}");
                        watch::tidy();
                    }
                }
            }
        }
        Ok(())
    }

    /// True if the operation gave an error.
    fn with_error(&self, index: usize, call: Called, errno: Errno) -> Result<bool> {
        let (world, mut victim, name) = self.set(true)?;
        let (calls, hit) = victim.go_on_with(Some((index, errno as i64)))?;
        if !hit || calls.get(index).map(|c| c.number) != Some(call.number) {
            bail!("the victim did not come to that call");
        }
        let (code, said) = victim.finish()?;
        if self.operation == "end" && !objects(&name).is_empty() {
            // A name that could not be removed is the next server's.
            drop(config(&name).create().context("the next server")?);
        }
        world.after(outcome(code, &said)?).with_context(|| format!("after the victim has ended: {said}"))?;
        if code == REFUSED {
            bail!("refused twice: {said}");
        }
        Ok(said.contains("refused: "))
    }
}
