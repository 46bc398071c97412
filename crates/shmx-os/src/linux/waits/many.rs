//! Sleeping on many words: by `futex_waitv` as far as that goes, by io_uring beyond, else by looking again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Wait, WaitFlags, WaitvFlags};
use rustix::time::ClockId;

use super::uring::many::Rings;
use super::{FOREVER, MOST, now, one_of, ready, timespec};
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::many_wake::{ManyWake, changed};
use crate::wait_word::WaitWord;

/// Between two looks where some or all words cannot be slept on.
const POLL: Duration = Duration::from_millis(1);

pub(crate) struct WaitMany {
    interrupter: Interrupter,
    /// Interruptions that were told.
    seen: u32,
    /// Whether `futex_waitv` is there.
    waitv: bool,
    rings: Ring,
}

enum Ring {
    Untried,
    Open(Box<Rings>),
    Refused,
}

/// Counts interruptions in a word that waits sleep on as well.
#[derive(Clone, Default)]
pub(crate) struct Interrupter(Arc<AtomicU32>);

impl Interrupter {
    pub(crate) fn interrupt(&self) {
        // Release: what was done before is seen by the thread whose wait ends.
        self.0.fetch_add(1, Ordering::Release);
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, i32::MAX as u32);
    }
}

impl WaitMany {
    pub(crate) fn new() -> Result<Self, OsError> {
        Ok(Self { interrupter: Interrupter::default(), seen: 0, waitv: true, rings: Ring::Untried })
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    pub(crate) fn sleeps(&mut self, count: usize) -> bool {
        if count < MOST { self.waitv } else { self.rings().is_some() }
    }

    pub(crate) fn wait(&mut self, entries: &[(Arc<dyn WaitWord>, u32)], timeout: Duration) -> ManyWake {
        let deadline = if timeout < FOREVER { now() + timeout } else { Duration::MAX };
        // Where only a part of the words can be slept on at once: its beginning.
        let mut start = 0;
        loop {
            // Acquire: see `Interrupter`.
            let count = self.interrupter.0.load(Ordering::Acquire);
            if std::mem::replace(&mut self.seen, count) != count {
                return ManyWake::Interrupted;
            }
            if let Some(index) = changed(entries) {
                return ManyWake::Ready(index);
            }
            let left = if deadline == Duration::MAX { deadline } else { deadline.saturating_sub(now()) };
            if left.is_zero() {
                return ManyWake::TimedOut;
            }
            let slept = if entries.len() < MOST {
                self.sleep(entries, 0, deadline)
            } else if let Some(slept) = self.sleep_by_rings(entries, left) {
                slept
            } else {
                start = if start < entries.len() { start } else { 0 };
                let part = &entries[start..entries.len().min(start + MOST - 1)];
                let until = deadline.min(now() + POLL);
                let slept = self.sleep(part, start, until);
                start += part.len();
                slept
            };
            match slept {
                Ok(index) if index < entries.len() => return ManyWake::Ready(index),
                Err(Errno::INTR) => return ManyWake::Signal,
                // Time is up, a word has changed, or it was refused: look again.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl WaitMany {
    /// Sleeps on `part`, whose first entry has this index, and on interruptions. The index of what was woken; for an
    /// interruption one that no entry has.
    fn sleep(&mut self, part: &[(Arc<dyn WaitWord>, u32)], first: usize, deadline: Duration) -> Result<usize, Errno> {
        let interruptions = &self.interrupter.0;
        if !self.waitv {
            let time = timespec(deadline.saturating_sub(now()).min(POLL));
            return match futex::wait(interruptions, futex::Flags::PRIVATE, self.seen, Some(&time)) {
                Ok(()) | Err(Errno::AGAIN | Errno::TIMEDOUT) => Err(Errno::TIMEDOUT),
                Err(Errno::INTR) => Err(Errno::INTR),
                Err(_) => {
                    std::thread::sleep(POLL);
                    Err(Errno::TIMEDOUT)
                }
            };
        }
        let mut list: Vec<Wait> = Vec::with_capacity(part.len() + 1);
        // Shared: a word is looked up by its object, so that all processes' mappings of it meet.
        list.extend(part.iter().map(|(word, value)| one_of(word.word(), *value, WaitFlags::empty())));
        list.push(one_of(interruptions, self.seen, WaitFlags::PRIVATE));
        let until = (deadline != Duration::MAX).then(|| timespec(deadline));
        let slept = futex::waitv(&list, WaitvFlags::empty(), until.as_ref(), ClockId::Monotonic);
        match slept {
            Ok(index) if index < part.len() => Ok(first + index),
            Ok(_) => Ok(usize::MAX),
            Err(error @ (Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR)) => Err(error),
            // An old kernel or a sandbox.
            Err(error) => {
                self.waitv = false;
                Err(error)
            }
        }
    }

    /// `None` where there is no io_uring to sleep by.
    fn sleep_by_rings(&mut self, entries: &[(Arc<dyn WaitWord>, u32)], time: Duration) -> Option<Result<usize, Errno>> {
        let (seen, interruptions) = (self.seen, Arc::clone(&self.interrupter.0));
        let slept = self.rings()?.sleep(entries, (&interruptions, seen), time);
        if !matches!(slept, Ok(_) | Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR)) {
            self.rings = Ring::Refused;
        }
        Some(slept)
    }

    /// Where the kernel and the sandbox allow it.
    fn rings(&mut self) -> Option<&mut Rings> {
        if matches!(&self.rings, Ring::Open(rings) if rings.is_forked()) {
            self.rings = Ring::Untried;
        }
        if let Ring::Untried = self.rings {
            let opened = ready().and_then(|ready| Rings::open(Birth::now(ready)));
            self.rings = opened.map_or(Ring::Refused, |rings| Ring::Open(Box::new(rings)));
        }
        match &mut self.rings {
            Ring::Open(rings) => Some(rings),
            _ => None,
        }
    }
}
