//! The kinds of descriptors to wait with.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::order::{ARM, DISARM, Order};
use super::sleeper::Sleeper;
use super::timer::Timer;
use super::uring::one::Ring;
use super::{is_readable, ready};
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::wait_fd_kind::WaitFdKind;
use crate::wait_word::WaitWord;

const POLL: &str = "poll the descriptor";

pub(crate) struct WaitFd {
    way: Way,
    birth: Birth,
}

enum Way {
    Ring(Box<Ring>),
    Thread(Sleeper),
    Timer(Timer),
}

impl WaitFd {
    pub(crate) fn new() -> Result<Self, OsError> {
        Self::with_kind(WaitFdKind::IoUring).or_else(|_| Self::with_kind(WaitFdKind::Thread))
    }

    pub(crate) fn with_kind(kind: WaitFdKind) -> Result<Self, OsError> {
        let birth = Birth::now(ready()?);
        let way = match kind {
            WaitFdKind::IoUring => Way::Ring(Box::new(Ring::open(birth)?)),
            WaitFdKind::Thread => Way::Thread(Sleeper::start(birth, true)?),
            WaitFdKind::Timer => Way::Timer(Timer::new()?),
        };
        Ok(Self { way, birth })
    }

    pub(crate) fn kind(&self) -> WaitFdKind {
        match self.way {
            Way::Ring(_) => WaitFdKind::IoUring,
            Way::Thread(_) => WaitFdKind::Thread,
            Way::Timer(_) => WaitFdKind::Timer,
        }
    }

    pub(crate) fn arm(
        &mut self,
        word: Option<Arc<dyn WaitWord>>,
        expected: u32,
        within: Duration,
    ) -> Result<(), OsError> {
        self.birth.check(ARM)?;
        // Relaxed: only the value decides.
        let over = word.as_ref().is_some_and(|word| word.word().load(Ordering::Relaxed) != expected);
        let order = Order { word, expected, within: if over { Duration::ZERO } else { within } };
        match &mut self.way {
            Way::Ring(ring) => ring.arm(order),
            Way::Thread(sleeper) => sleeper.arm(order),
            Way::Timer(timer) => timer.arm(&order),
        }
    }

    pub(crate) fn disarm(&mut self) -> Result<(), OsError> {
        self.birth.check(DISARM)?;
        match &mut self.way {
            Way::Ring(ring) => ring.disarm(),
            Way::Thread(sleeper) => sleeper.disarm(),
            Way::Timer(timer) => timer.disarm(),
        }
    }

    pub(crate) fn is_readable(&self) -> Result<bool, OsError> {
        self.birth.check(POLL)?;
        is_readable(self.as_fd()).map_err(|error| OsError::os(POLL, error))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Ring(ring) => ring.as_fd(),
            Way::Thread(sleeper) => sleeper.as_fd(),
            Way::Timer(timer) => timer.as_fd(),
        }
    }
}
