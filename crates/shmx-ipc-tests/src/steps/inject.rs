//! System calls that a victim is made to do.

use anyhow::{Result, ensure};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Where a victim that stands right behind a system call has the instruction for one.
pub(crate) fn instruction(pid: Pid) -> Result<u64> {
    let at = ptrace::getregs(pid)?.rip - 2;
    let found = ptrace::read(pid, at as ptrace::AddressType)? & 0xffff;
    ensure!(found == 0x050f, "the victim does not stand behind a system call");
    Ok(at)
}

/// Does a system call by the instruction at `at`, and leaves the victim where it was.
pub(crate) fn call(pid: Pid, at: u64, number: i64, arguments: [u64; 6]) -> Result<u64> {
    let saved = ptrace::getregs(pid)?;
    let mut regs = saved;
    (regs.rip, regs.rax) = (at, number.cast_unsigned());
    // None, so that the kernel does not take it for one to be begun again.
    regs.orig_rax = u64::MAX;
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = arguments;
    ptrace::setregs(pid, regs)?;
    ptrace::step(pid, None)?;
    let stop = waitpid(pid, None)?;
    ensure!(matches!(stop, WaitStatus::Stopped(_, Signal::SIGTRAP)), "{stop:?} during a system call of ours");
    let result = ptrace::getregs(pid)?.rax;
    ensure!(result < u64::MAX - 4095, "a system call of ours fails with {}", result.wrapping_neg());
    ptrace::setregs(pid, saved)?;
    Ok(result)
}
