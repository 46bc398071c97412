//! A descriptor for those who have nothing to sleep on: it becomes readable when its time has passed.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::order::{ARM, DISARM, Order};
use super::{FOREVER, Fd, timespec};
use crate::error::OsError;

pub(super) struct Timer(Fd);

const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Timer {
    pub(super) fn new() -> Result<Self, OsError> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags);
        Ok(Self(Fd::new(fd.map_err(|error| OsError::os("make a timer", error))?)))
    }

    pub(super) fn arm(&mut self, order: &Order) -> Result<(), OsError> {
        // 0 would be never.
        let time = || timespec(order.within.max(Duration::from_nanos(1)));
        self.set(if order.within < FOREVER { time() } else { NEVER }, ARM)
    }

    pub(super) fn disarm(&mut self) -> Result<(), OsError> {
        self.set(NEVER, DISARM)
    }

    /// Also makes it unreadable.
    fn set(&self, time: Timespec, step: &'static str) -> Result<(), OsError> {
        let spec = Itimerspec { it_interval: NEVER, it_value: time };
        match timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec) {
            Ok(_) => Ok(()),
            Err(error) => Err(OsError::os(step, error)),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
