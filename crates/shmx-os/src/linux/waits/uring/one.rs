//! A ring of io_uring whose own descriptor is waited with: it is readable while there are completions in the ring.
//!
//! An order is a `FUTEX_WAIT`, linked with a timeout; each ends with one completion, and the end of either ends both.
//! Completions carry the number of their order, so that a late one of an earlier order is known. It makes the
//! descriptor readable for no reason, which is allowed, and goes when the next order drains the ring.
//!
//! # What the kernel touches
//!
//! * The word: read once, during the system call that submits the wait, while the order holds the word's `Arc`. From
//!   then on the kernel knows the word by its object and offset, and touches no memory of this process for it: a
//!   pending wait outlives an unmapping without harm. (Should a kernel put the submission off to a worker, the `Arc`
//!   is still held until the completion or the cancellation.)
//! * The timeout: copied during that system call. A submission that fails makes the ring unusable, so that an entry with
//!   an old address is never submitted later.
//! * The ring's own memory, which io-uring maps and the kernel keeps for as long as it writes there.
//!
//! Closing the ring cancels what is pending.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{opcode, squeue};
use rustix::io::Errno;
use rustix::thread::futex::WaitFlags;

use super::Owned;
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::linux::waits::FOREVER;
use crate::linux::waits::order::{ARM, DISARM, Order};

/// An order takes up to two entries: the wait and its timeout.
const ENTRIES: u32 = 2;
/// Any waker will do.
const ANY: u64 = u32::MAX as u64;
/// How long a disarming waits for the completions of what it cancels. They come at once, unless the thread that armed is
/// stuck in the kernel; later ones are known as old.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a completion belongs to: the number of its order, and one of these.
const WAIT: u64 = 0;
const TIMEOUT: u64 = 1;
const CANCEL: u64 = 2;
const ROLES: u64 = 4;

pub(in crate::linux::waits) struct Ring {
    ring: Owned,
    /// Number of the last order.
    number: u64,
    pending: Option<Pending>,
    /// Completions that are still to come.
    awaited: usize,
    unusable: Option<Errno>,
}

/// An order whose wait has not ended.
struct Pending {
    order: Order,
    /// None: never.
    deadline: Option<Instant>,
}

impl Ring {
    pub(in crate::linux::waits) fn open(birth: Birth) -> Result<Self, OsError> {
        let ring = Owned::open(birth, ENTRIES, &[opcode::FutexWait::CODE, opcode::LinkTimeout::CODE])?;
        Ok(Self { ring, number: 0, pending: None, awaited: 0, unusable: None })
    }

    pub(in crate::linux::waits) fn arm(&mut self, order: Order) -> Result<(), OsError> {
        self.drain(ARM)?;
        let deadline = if order.within < FOREVER { Instant::now().checked_add(order.within) } else { None };
        if self.pending.as_ref().is_some_and(|former| former.serves(&order, deadline)) {
            return Ok(());
        }
        if self.pending.is_some() {
            // Apart from the new order, because the completions of a cancellation make the descriptor readable.
            self.disarm()?;
        }
        self.number += 1;
        let tag = self.number * ROLES;
        let time = Timespec::from(order.within);
        match &order.word {
            _ if order.within.is_zero() => self.push(opcode::Nop::new().build().user_data(tag + WAIT)),
            Some(word) => {
                let size = WaitFlags::SIZE_U32.bits();
                let wait = opcode::FutexWait::new(word.word().as_ptr(), order.expected.into(), ANY, size).build();
                let wait = wait.user_data(tag + WAIT);
                if deadline.is_some() {
                    self.push(wait.flags(squeue::Flags::IO_LINK));
                    self.push(opcode::LinkTimeout::new(&raw const time).build().user_data(tag + TIMEOUT));
                } else {
                    self.push(wait);
                }
            }
            None if deadline.is_some() => {
                self.push(opcode::Timeout::new(&raw const time).build().user_data(tag + WAIT));
            }
            // Nothing will ever happen.
            None => return Ok(()),
        }
        // `time` and the word live until the kernel has read what it reads of them.
        self.pending = Some(Pending { order, deadline });
        self.submit(ARM)
    }

    pub(in crate::linux::waits) fn disarm(&mut self) -> Result<(), OsError> {
        self.drain(DISARM)?;
        if self.pending.is_some() {
            let tag = self.number * ROLES;
            self.push(opcode::AsyncCancel::new(tag + WAIT).build().user_data(tag + CANCEL));
            self.submit(DISARM)?;
            self.drain(DISARM)?;
        }
        let end = Instant::now() + PATIENCE;
        while self.awaited > 0 {
            let time = Timespec::from(end.saturating_duration_since(Instant::now()));
            let waited = self.ring.get().submitter().submit_with_args(self.awaited, &SubmitArgs::new().timespec(&time));
            self.drain(DISARM)?;
            match waited.as_ref().err().and_then(Errno::from_io_error) {
                None | Some(Errno::INTR) => {}
                Some(Errno::TIME) => break,
                Some(error) => return Err(OsError::os(DISARM, error)),
            }
        }
        self.pending = None;
        Ok(())
    }

    pub(in crate::linux::waits) fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Takes completions out of the ring, which makes the descriptor unreadable.
    fn drain(&mut self, step: &'static str) -> Result<(), OsError> {
        if let Some(error) = self.unusable {
            return Err(OsError::os(step, error));
        }
        let current = self.number * ROLES + WAIT;
        let mut failed = None;
        for completion in self.ring.get().completion() {
            self.awaited = self.awaited.saturating_sub(1);
            if completion.user_data() != current {
                continue;
            }
            self.pending = None;
            let code = -completion.result();
            let usual = [Errno::AGAIN, Errno::CANCELED, Errno::TIME, Errno::INTR];
            if code > 0 && !usual.iter().any(|errno| errno.raw_os_error() == code) {
                failed = Some(Errno::from_raw_os_error(code));
            }
        }
        failed.map_or(Ok(()), |error| Err(OsError::os(step, error)))
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what the entry points to (the word that its order holds, the time on the caller's stack) is valid until
        // `submit`, which every caller calls next. The kernel reads it there and keeps no address, see above; if the
        // submission fails, it is never tried again.
        let pushed = unsafe { self.ring.get().submission().push(&entry) };
        // The ring is empty before an order, which has fewer entries than fit.
        debug_assert!(pushed.is_ok());
        self.awaited += 1;
    }

    fn submit(&mut self, step: &'static str) -> Result<(), OsError> {
        loop {
            let error = match self.ring.get().submit() {
                Ok(_) if self.ring.get().submission().is_empty() => return Ok(()),
                // It stops behind an entry that it refuses, and goes on in the next call.
                Ok(1..) => continue,
                Ok(_) => Errno::IO,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => continue,
                    error => error.unwrap_or(Errno::IO),
                },
            };
            self.unusable = Some(error);
            return Err(OsError::os(step, error));
        }
    }
}

impl Pending {
    /// Whether it makes the descriptor readable when `order` would, or earlier.
    fn serves(&self, order: &Order, deadline: Option<Instant>) -> bool {
        let no_later = match (self.deadline, deadline) {
            (Some(here), Some(there)) => here <= there,
            (here, there) => here.is_some() || there.is_none(),
        };
        !order.within.is_zero() && no_later && self.order.same_word(order) && self.order.expected == order.expected
    }
}
