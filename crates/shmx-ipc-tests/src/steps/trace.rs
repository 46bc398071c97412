//! A child of which each instruction is known that changes what others see, and that can be stopped behind one of these
//! again.
//!
//! Length: one type, the victim, whose stops and registers nothing else may touch.
//!
//! What others see of a process are the bytes of its shared mappings and what it asks of the kernel; what it sees of
//! others are these bytes. So each instruction that touches a mapping of `/dev/shm` and each system call is a [`Point`].
//! A kill anywhere else is the same to everybody as one behind the last point that changed something, and what others
//! do between two points is the same as behind the first of them. A point is found again by a breakpoint: the address
//! of its instruction and how often it was come by, which needs no clock and no luck.

use crate::steps::{clock, inject};
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{Signal as RawSignal, set_parent_process_death_signal};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{IoSliceMut, Read};
use std::process::{ChildStderr, Command, Stdio};

/// An instruction that touched what others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Address of the instruction, and of the one that came next.
    pub(crate) at: u64,
    next: u64,
    /// The how manieth time that the child came by it, from 1, and how often it then repeats itself (`rep movs`).
    nth: u32,
    repeats: u32,
    pub(crate) what: What,
}

/// What an instruction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The first byte that changed, and of which mapping.
    Store { mapping: usize, byte: usize },
    /// It touched a shared mapping, and changed nothing.
    Load,
    /// A system call, by its number.
    Call(i64),
}

impl Point {
    /// Whether the two are the same but for how often the instruction was come by.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.at, self.next, self.what) == (other.at, other.next, other.what)
    }

    /// Whether others can tell it from the point before.
    pub(crate) fn is_change(&self) -> bool {
        self.what != What::Load
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Store { mapping: 0, byte } => write!(f, "store to byte {byte}")?,
            What::Store { mapping, byte } => write!(f, "store to byte {byte} of mapping {mapping}")?,
            What::Load => f.write_str("load")?,
            What::Call(number) => write!(f, "system call {}", call_name(number))?,
        }
        write!(f, " ({:#x}, time {})", self.at, self.nth)
    }
}

/// System calls that change the mappings, or what may be done with them.
const MAPPING: &[i64] = &[libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect];

/// System calls that change nothing that others see: a kill behind one is a kill before it.
const QUIET: &[i64] = &[
    libc::SYS_read,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_brk,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_getrandom,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_prlimit64,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_access,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
];

pub(crate) fn call_name(number: i64) -> String {
    let known = match number {
        libc::SYS_open | libc::SYS_openat => "open",
        libc::SYS_close => "close",
        libc::SYS_mmap => "mmap",
        libc::SYS_munmap => "munmap",
        libc::SYS_mprotect => "mprotect",
        libc::SYS_madvise => "madvise",
        libc::SYS_fcntl => "fcntl",
        libc::SYS_futex => "futex",
        libc::SYS_fallocate => "fallocate",
        libc::SYS_ftruncate => "ftruncate",
        libc::SYS_fchmod => "fchmod",
        libc::SYS_fstat => "fstat",
        libc::SYS_fstatfs => "fstatfs",
        libc::SYS_newfstatat => "lstat",
        libc::SYS_statx => "statx",
        libc::SYS_linkat => "link",
        libc::SYS_unlink | libc::SYS_unlinkat => "unlink",
        libc::SYS_read => "read",
        libc::SYS_pread64 => "pread",
        libc::SYS_write => "write",
        libc::SYS_pwrite64 => "pwrite",
        libc::SYS_getrandom => "getrandom",
        libc::SYS_prlimit64 => "getrlimit",
        other => return other.to_string(),
    };
    known.to_owned()
}

/// A system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called {
    pub(crate) number: i64,
    /// Memory of the program's own: without it, it ends.
    pub(crate) is_memory: bool,
}

/// One shared mapping of the child.
struct Seen {
    at: usize,
    rights: u64,
    bytes: Vec<u8>,
    now: Vec<u8>,
}

/// What was seen of a victim so far.
struct Recording {
    seen: Vec<Seen>,
    points: Vec<Point>,
    came_by: HashMap<u64, u32>,
}

/// The instruction that stops a victim.
const TRAP: i64 = 0xcc;

/// Why a child stands still.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Mark,
    Trap,
    Fault,
    Call,
    Ended(i32),
}

/// A child under ptrace. Killed when dropped.
pub(crate) struct Tracee {
    pid: Pid,
    stderr: ChildStderr,
    ended: bool,
    /// Where it has an instruction for system calls.
    call_at: u64,
}

/// Children begin at the same addresses each time from now on.
pub(crate) fn keep_addresses() -> Result<()> {
    let now = personality::get()?;
    personality::set(now | Persona::ADDR_NO_RANDOMIZE).context("addresses cannot be made the same for every child")?;
    Ok(())
}

/// In the child: lets the parent trace it, and give it a clock of its own.
pub(crate) fn be_traced() -> Result<()> {
    set_parent_process_death_signal(Some(RawSignal::KILL))?;
    ptrace::traceme()?;
    mark()
}

/// In the child: stands still until the parent lets it go on.
pub(crate) fn mark() -> Result<()> {
    Ok(nix::sys::signal::raise(Signal::SIGSTOP)?)
}

impl Tracee {
    /// Starts this program with these arguments, up to its first mark.
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        // An empty environment: its size would move the stack.
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start a victim")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut tracee = Self { pid: Pid::from_raw(i32::try_from(child.id())?), stderr, ended: false, call_at: 0 };
        match tracee.wait()? {
            Stop::Mark => {}
            other => bail!("{other:?} instead of the first mark: {}", tracee.said()),
        }
        ptrace::setoptions(tracee.pid, ptrace::Options::PTRACE_O_EXITKILL | ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
        tracee.call_at = inject::instruction(tracee.pid)?;
        clock::install(tracee.pid, tracee.call_at)?;
        tracee.go_on()?;
        Ok(tracee)
    }

    fn wait(&mut self) -> Result<Stop> {
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Ok(Stop::Mark),
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Ok(Stop::Trap),
            WaitStatus::Stopped(_, Signal::SIGSEGV) => Ok(Stop::Fault),
            WaitStatus::PtraceSyscall(_) => Ok(Stop::Call),
            WaitStatus::Exited(_, code) => {
                self.ended = true;
                Ok(Stop::Ended(code))
            }
            WaitStatus::Signaled(_, signal, _) => {
                self.ended = true;
                bail!("the victim was ended by {signal}: {}", self.said())
            }
            other => bail!("the victim stands at {other:?}: {}", self.said()),
        }
    }

    /// What the child had to say, once it has ended.
    fn said(&mut self) -> String {
        if !self.ended {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
            self.ended = true;
        }
        let mut said = String::new();
        let _ = self.stderr.read_to_string(&mut said);
        said.trim().to_owned()
    }

    /// Runs to the next mark and tells what others could notice or change. How often the victim came by an instruction
    /// is known only of those that are `watched`.
    ///
    /// The shared mappings are out of the victim's reach meanwhile, so that the processor tells which instructions touch
    /// them; each of these gets them for itself alone.
    pub(crate) fn record(&mut self, watched: &BTreeSet<u64>) -> Result<Vec<Point>> {
        let mut r = Recording { seen: self.mappings()?, points: Vec::new(), came_by: HashMap::new() };
        self.reach(&r.seen, false)?;
        let traps = watched.iter().map(|&at| Ok((at, ptrace::read(self.pid, at as ptrace::AddressType)?)));
        let traps: HashMap<u64, i64> = traps.collect::<Result<_>>()?;
        // Of two that lie close together one must not be read or written with the trap of the other.
        let set = |tracee: &Self, at: u64, byte: i64| -> Result<()> {
            let word = ptrace::read(tracee.pid, at as ptrace::AddressType)?;
            Ok(ptrace::write(tracee.pid, at as ptrace::AddressType, word & !0xff | byte & 0xff)?)
        };
        for &at in traps.keys() {
            set(self, at, TRAP)?;
        }
        let mut resume = None;
        let end = loop {
            ptrace::syscall(self.pid, resume.take())?;
            match self.wait()? {
                Stop::Mark => break Ok(()),
                Stop::Fault => {
                    let at = ptrace::getregs(self.pid)?.rip;
                    if self.instruction(at, &mut r)? {
                        break Ok(());
                    }
                }
                Stop::Trap => {
                    let mut regs = ptrace::getregs(self.pid)?;
                    regs.rip -= 1;
                    let Some(&original) = traps.get(&regs.rip) else {
                        break Err(anyhow!("a trap at {:#x} that nobody has set", regs.rip));
                    };
                    ptrace::setregs(self.pid, regs)?;
                    set(self, regs.rip, original)?;
                    let over = self.instruction(regs.rip, &mut r)?;
                    set(self, regs.rip, TRAP)?;
                    if over {
                        break Ok(());
                    }
                }
                Stop::Call => {
                    let at = self.before_the_call()?;
                    if self.instruction(at, &mut r)? {
                        break Ok(());
                    }
                }
                Stop::Ended(code) => bail!("it ended with {code}: {}", self.said()),
            }
        };
        for (&at, &original) in &traps {
            set(self, at, original)?;
        }
        self.reach(&r.seen, true)?;
        end.map(|()| r.points)
    }

    /// The victim has begun a system call: it stands before the instruction again, as if it had not.
    fn before_the_call(&mut self) -> Result<u64> {
        let begun = ptrace::getregs(self.pid)?;
        let mut regs = begun;
        regs.orig_rax = u64::MAX;
        ptrace::setregs(self.pid, regs)?;
        self.end_of_the_call()?;
        let mut regs = begun;
        (regs.rip, regs.rax, regs.orig_rax) = (begun.rip - 2, begun.orig_rax, u64::MAX);
        ptrace::setregs(self.pid, regs)?;
        Ok(regs.rip)
    }

    /// Lets a system call that has begun come to its end.
    fn end_of_the_call(&mut self) -> Result<()> {
        ptrace::syscall(self.pid, None)?;
        match self.wait()? {
            Stop::Call => Ok(()),
            other => bail!("{other:?} instead of the end of a system call: {}", self.said()),
        }
    }

    /// Lets the victim do the one instruction that it stands before; true if the mark came. One that repeats itself is
    /// done to its end.
    fn instruction(&mut self, at: u64, r: &mut Recording) -> Result<bool> {
        let is_call = ptrace::read(self.pid, at as ptrace::AddressType)? & 0xffff == 0x050f;
        let nth = r.came_by.entry(at).or_insert(0);
        *nth += 1;
        let nth = *nth;
        for repeats in 0.. {
            let number = ptrace::getregs(self.pid)?.rax.cast_signed();
            let mut touches = is_call;
            if is_call {
                self.reach(&r.seen, true)?;
            }
            ptrace::step(self.pid, None)?;
            match self.wait()? {
                Stop::Trap => {}
                Stop::Fault => {
                    touches = true;
                    self.reach(&r.seen, true)?;
                    self.step()?;
                }
                Stop::Mark => return Ok(true),
                other => bail!("{other:?} after a step: {}", self.said()),
            }
            let next = ptrace::getregs(self.pid)?.rip;
            if touches {
                if is_call && MAPPING.contains(&number) {
                    r.seen = self.mappings()?;
                }
                let what = match changed(self.pid, &mut r.seen)? {
                    _ if is_call && !QUIET.contains(&number) => Some(What::Call(number)),
                    None if is_call => None,
                    store => Some(store.unwrap_or(What::Load)),
                };
                r.points.extend(what.map(|what| Point { at, next, nth, repeats, what }));
                // Behind the mark's own call the stop is about to come.
                if !(is_call && number == libc::SYS_tgkill) {
                    self.reach(&r.seen, false)?;
                }
            }
            if next != at {
                break;
            }
        }
        Ok(false)
    }

    /// Gives the victim its shared mappings, or takes them away from it.
    fn reach(&self, seen: &[Seen], can: bool) -> Result<()> {
        for one in seen {
            let rights = if can { one.rights } else { libc::PROT_NONE as u64 };
            let arguments = [one.at as u64, one.bytes.len() as u64, rights, 0, 0, 0];
            inject::call(self.pid, self.call_at, libc::SYS_mprotect, arguments)?;
        }
        Ok(())
    }

    /// Runs on and stands still right behind a point; false if it came to its next mark instead.
    pub(crate) fn go_to(&mut self, point: &Point) -> Result<bool> {
        let address = point.at as ptrace::AddressType;
        let original = ptrace::read(self.pid, address)?;
        for left in (0..point.nth).rev() {
            if ptrace::getregs(self.pid)?.rip != point.at {
                ptrace::write(self.pid, address, original & !0xff | 0xcc)?;
                ptrace::cont(self.pid, None)?;
                let stop = self.wait()?;
                ptrace::write(self.pid, address, original)?;
                match stop {
                    Stop::Trap => {}
                    Stop::Mark => return Ok(false),
                    other => bail!("{other:?} on the way to {point}: {}", self.said()),
                }
                let mut regs = ptrace::getregs(self.pid)?;
                ensure!(regs.rip == point.at + 1, "a trap at {:#x} on the way to {point}", regs.rip);
                regs.rip = point.at;
                ptrace::setregs(self.pid, regs)?;
            }
            if left > 0 {
                while ptrace::getregs(self.pid)?.rip == point.at {
                    self.step()?;
                }
            }
        }
        for _ in 0..=point.repeats {
            self.step()?;
        }
        let now = ptrace::getregs(self.pid)?.rip;
        ensure!(now == point.next, "behind {point} comes {now:#x}, not {:#x}", point.next);
        Ok(true)
    }

    fn step(&mut self) -> Result<()> {
        ptrace::step(self.pid, None)?;
        match self.wait()? {
            Stop::Trap => Ok(()),
            other => bail!("{other:?} after a step: {}", self.said()),
        }
    }

    /// Lets it run to its next mark and tells its system calls. The one with that index is not done but fails with this
    /// error; whether it came by.
    pub(crate) fn go_on_with(&mut self, error: Option<(usize, i64)>) -> Result<(Vec<Called>, bool)> {
        let (mut calls, mut hit) = (Vec::new(), false);
        loop {
            ptrace::syscall(self.pid, None)?;
            match self.wait()? {
                Stop::Mark => return Ok((calls, hit)),
                Stop::Call => {}
                other => bail!("{other:?} instead of a system call: {}", self.said()),
            }
            let mut regs = ptrace::getregs(self.pid)?;
            let number = regs.orig_rax.cast_signed();
            let anonymous = number == libc::SYS_mmap && regs.r10 & libc::MAP_ANONYMOUS as u64 != 0;
            calls.push(Called { number, is_memory: anonymous || number == libc::SYS_mremap });
            let fails = error.filter(|&(index, _)| index + 1 == calls.len());
            if fails.is_some() {
                regs.orig_rax = u64::MAX;
                ptrace::setregs(self.pid, regs)?;
            }
            self.end_of_the_call()?;
            if let Some((_, error)) = fails {
                let mut regs = ptrace::getregs(self.pid)?;
                regs.rax = (-error).cast_unsigned();
                ptrace::setregs(self.pid, regs)?;
                hit = true;
            }
        }
    }

    /// Lets it run to its next mark.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        ptrace::cont(self.pid, None)?;
        match self.wait()? {
            Stop::Mark => Ok(()),
            other => bail!("{other:?} instead of the next mark: {}", self.said()),
        }
    }

    /// Lets it run to its end, and gives its exit code and what it said.
    pub(crate) fn finish(mut self) -> Result<(i32, String)> {
        ptrace::cont(self.pid, None)?;
        match self.wait()? {
            Stop::Ended(code) => Ok((code, self.said())),
            other => bail!("{other:?} instead of its end: {}", self.said()),
        }
    }

    /// SIGKILL, and the end of it: its locks are free when this returns.
    pub(crate) fn kill(mut self) -> Result<()> {
        kill(self.pid, Signal::SIGKILL)?;
        self.ended = true;
        match waitpid(self.pid, None)? {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
            other => bail!("{other:?} after SIGKILL"),
        }
    }

    /// Its shared mappings of `/dev/shm`.
    fn mappings(&self) -> Result<Vec<Seen>> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let mut found = Vec::new();
        for line in maps.lines().filter(|l| l.contains(" /dev/shm/")) {
            let (range, rights) = line.split_once(' ').context("a line of maps")?;
            if !rights.starts_with('r') || rights.as_bytes().get(3) != Some(&b's') {
                continue;
            }
            let (from, to) = range.split_once('-').context("a range of maps")?;
            let (from, to) = (usize::from_str_radix(from, 16)?, usize::from_str_radix(to, 16)?);
            let write = if rights.starts_with("rw") { libc::PROT_WRITE } else { 0 };
            let rights = (libc::PROT_READ | write) as u64;
            found.push(Seen { at: from, rights, bytes: vec![0; to - from], now: vec![0; to - from] });
        }
        changed(self.pid, &mut found)?;
        Ok(found)
    }
}

/// Reads the mappings anew; the first byte that is another one.
fn changed(pid: Pid, seen: &mut [Seen]) -> Result<Option<What>> {
    let mut first = None;
    for (mapping, seen) in seen.iter_mut().enumerate() {
        let remote = [RemoteIoVec { base: seen.at, len: seen.bytes.len() }];
        let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut seen.now)], &remote)?;
        ensure!(read == seen.bytes.len(), "a mapping of the victim cannot be read");
        if seen.now != seen.bytes {
            if first.is_none() {
                let byte = seen.now.iter().zip(&seen.bytes).position(|(now, before)| now != before).unwrap_or(0);
                first = Some(What::Store { mapping, byte });
            }
            std::mem::swap(&mut seen.now, &mut seen.bytes);
        }
    }
    Ok(first)
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if !self.ended {
            // Only this child, which has not been waited for.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
