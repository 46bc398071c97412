//! Processors that the crate io-uring has no bindings for: nothing opens.

const STEP: &str = "wait by io_uring";

pub(super) mod one {
    use std::convert::Infallible;
    use std::os::fd::BorrowedFd;

    use crate::error::OsError;
    use crate::linux::fork::Birth;
    use crate::linux::waits::order::Order;

    /// No value of it exists.
    pub(in crate::linux::waits) struct Ring(Infallible);

    impl Ring {
        pub(in crate::linux::waits) fn open(_birth: Birth) -> Result<Self, OsError> {
            Err(OsError::Unsupported { step: super::STEP })
        }

        pub(in crate::linux::waits) fn arm(&mut self, _order: Order) -> Result<(), OsError> {
            match self.0 {}
        }

        pub(in crate::linux::waits) fn disarm(&mut self) -> Result<(), OsError> {
            match self.0 {}
        }

        pub(in crate::linux::waits) fn as_fd(&self) -> BorrowedFd<'_> {
            match self.0 {}
        }
    }
}

pub(super) mod many {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use rustix::io::Errno;

    use crate::error::OsError;
    use crate::linux::fork::Birth;
    use crate::wait_word::WaitWord;

    /// No value of it exists.
    pub(in crate::linux::waits) struct Rings(Infallible);

    impl Rings {
        pub(in crate::linux::waits) fn open(_birth: Birth) -> Result<Self, OsError> {
            Err(OsError::Unsupported { step: super::STEP })
        }

        pub(in crate::linux::waits) fn is_forked(&self) -> bool {
            match self.0 {}
        }

        pub(in crate::linux::waits) fn sleep(
            &mut self,
            _entries: &[(Arc<dyn WaitWord>, u32)],
            _private: (&AtomicU32, u32),
            _time: Duration,
        ) -> Result<usize, Errno> {
            match self.0 {}
        }
    }
}
