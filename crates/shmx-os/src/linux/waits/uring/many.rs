//! Sleeping on more words than one `futex_waitv` takes: as many such waits as it needs, in one ring.
//!
//! Nothing is pending when a sleep returns: what was not woken is cancelled, and every completion is awaited.
//!
//! What the kernel touches: the list and the words, during the system call that submits the waits; see
//! [`super::one`]. The list is kept until the end of the sleep.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, FutexWaitV, SubmitArgs, Timespec};
use io_uring::{opcode, squeue};
use rustix::io::Errno;
use rustix::thread::futex::WaitFlags;

use super::Owned;
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::linux::waits::{FOREVER, MOST};
use crate::wait_word::WaitWord;

/// Entries of a ring, each a wait on [`MOST`] words. More are submitted in turn.
const ENTRIES: u32 = 64;
/// How long completions of cancelled waits are awaited. They come at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the completion of the cancellation belongs to, instead of the number of a wait.
const CANCEL: u64 = u64::MAX;

pub(in crate::linux::waits) struct Rings {
    ring: Owned,
    list: Vec<FutexWaitV>,
    /// Completions that are still to come.
    awaited: usize,
    found: Found,
}

/// What completions told.
#[derive(Default)]
struct Found {
    woken: Option<usize>,
    changed: bool,
    failed: Option<Errno>,
}

impl Rings {
    pub(in crate::linux::waits) fn open(birth: Birth) -> Result<Self, OsError> {
        let ring = Owned::open(birth, ENTRIES, &[opcode::FutexWaitV::CODE, opcode::AsyncCancel2::CODE])?;
        Ok(Self { ring, list: Vec::new(), awaited: 0, found: Found::default() })
    }

    pub(in crate::linux::waits) fn is_forked(&self) -> bool {
        self.ring.is_forked()
    }

    /// Sleeps until one of the words, or the private one, is woken: the index of it, the private one's being the number
    /// of entries. `AGAIN`: one of them does not hold its value.
    pub(in crate::linux::waits) fn sleep(
        &mut self,
        entries: &[(Arc<dyn WaitWord>, u32)],
        (private, value): (&AtomicU32, u32),
        time: Duration,
    ) -> Result<usize, Errno> {
        let one = |word: &AtomicU32, value: u32, flags: WaitFlags| {
            let address = word.as_ptr().expose_provenance() as u64;
            FutexWaitV::new().val(value.into()).uaddr(address).flags((WaitFlags::SIZE_U32 | flags).bits())
        };
        self.list.clear();
        self.list.extend(entries.iter().map(|(word, value)| one(word.word(), *value, WaitFlags::empty())));
        self.list.push(one(private, value, WaitFlags::PRIVATE));
        self.found = Found::default();

        let slept = self.submit_all().and_then(|()| {
            if self.found.over() {
                return Ok(());
            }
            let time = (time < FOREVER).then(|| Timespec::from(time));
            self.enter(1, time.as_ref())
        });
        self.drain();
        self.cancel()?;
        self.list.clear();
        match (self.found.woken, slept) {
            (Some(index), _) => Ok(index),
            _ if self.found.changed => Err(Errno::AGAIN),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(self.found.failed.unwrap_or(Errno::AGAIN)),
        }
    }

    fn submit_all(&mut self) -> Result<(), Errno> {
        for number in 0..self.list.len().div_ceil(MOST) {
            let part = &self.list[number * MOST..];
            let part = &part[..part.len().min(MOST)];
            let wait = opcode::FutexWaitV::new(part.as_ptr(), part.len() as u32).build();
            self.push(wait.user_data(number as u64))?;
        }
        self.enter(0, None)?;
        self.drain();
        Ok(())
    }

    /// Ends what is pending, and waits for all completions.
    fn cancel(&mut self) -> Result<(), Errno> {
        if self.awaited == 0 {
            return Ok(());
        }
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(cancel.user_data(CANCEL))?;
        let end = Instant::now() + PATIENCE;
        while self.awaited > 0 {
            let time = Timespec::from(end.saturating_duration_since(Instant::now()));
            match self.enter(self.awaited, Some(&time)) {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::TIMEDOUT) => return Err(Errno::IO),
                Err(error) => return Err(error),
            }
            self.drain();
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> Result<(), Errno> {
        if self.ring.get().submission().is_full() {
            self.enter(0, None)?;
            self.drain();
        }
        // SAFETY: a wait points to a part of the list, and that to words that the caller's entries hold. The kernel reads
        // them when the wait is submitted, and the list and the entries stay until `sleep` returns; where the submission
        // fails, the ring is never used again.
        unsafe { self.ring.get().submission().push(&entry) }.map_err(|_| Errno::IO)?;
        self.awaited += 1;
        Ok(())
    }

    /// Submits, and waits for so many completions.
    fn enter(&mut self, want: usize, time: Option<&Timespec>) -> Result<(), Errno> {
        loop {
            let ring = self.ring.get();
            let entered = match time {
                Some(time) => ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(time)),
                None => ring.submitter().submit_and_wait(want),
            };
            return match entered.as_ref().map_err(Errno::from_io_error) {
                Ok(0) if !ring.submission().is_empty() => Err(Errno::IO),
                Ok(_) if !ring.submission().is_empty() => continue,
                Ok(_) => Ok(()),
                Err(Some(Errno::TIME)) => Err(Errno::TIMEDOUT),
                Err(error) => Err(error.unwrap_or(Errno::IO)),
            };
        }
    }

    fn drain(&mut self) {
        for completion in self.ring.get().completion() {
            self.awaited = self.awaited.saturating_sub(1);
            if completion.user_data() == CANCEL {
                continue;
            }
            // Numbers are of this sleep's list.
            let first = completion.user_data() as usize * MOST;
            match completion.result() {
                index @ 0.. => self.found.woken = Some(first + index as usize),
                code if code == -Errno::AGAIN.raw_os_error() => self.found.changed = true,
                code if code == -Errno::CANCELED.raw_os_error() => {}
                code => self.found.failed = Some(Errno::from_raw_os_error(-code)),
            }
        }
    }
}

impl Found {
    fn over(&self) -> bool {
        self.woken.is_some() || self.changed || self.failed.is_some()
    }
}
