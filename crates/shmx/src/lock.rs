//! A lock that forked children do not wait for.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A lock that knows the process that made it: what another thread held at a fork stays locked in the child.
#[derive(Debug)]
pub(crate) struct ProcessLock<T> {
    process: u32,
    lock: RwLock<T>,
}

impl<T> ProcessLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: shmx_os::process_id(), lock: RwLock::new(value) }
    }

    /// A system call, so asked only where the lock is not free.
    #[cold]
    fn is_inherited(&self) -> bool {
        shmx_os::process_id() != self.process
    }

    /// None in a forked child, if a thread of the parent had the lock.
    #[inline]
    pub(crate) fn read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.lock.try_read() {
            None if !self.is_inherited() => Some(self.lock.read()),
            at_once => at_once,
        }
    }

    /// The same.
    pub(crate) fn write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        match self.lock.try_write() {
            None if !self.is_inherited() => Some(self.lock.write()),
            at_once => at_once,
        }
    }

    /// As a forked child has it whose parent was writing.
    #[cfg(test)]
    pub(crate) fn inherit_locked(&mut self) {
        self.process = 0; // nobody's
        std::mem::forget(self.lock.write());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_elsewhere_is_not_waited_for() {
        let mut lock = ProcessLock::new(1);
        *lock.write().unwrap() += 1;
        assert_eq!(lock.read().map(|v| *v), Some(2));
        lock.inherit_locked();
        assert!(lock.read().is_none() && lock.write().is_none());
    }
}
