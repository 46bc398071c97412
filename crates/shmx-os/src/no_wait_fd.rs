//! Platforms without descriptors to wait with.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::error::OsError;
use crate::wait_fd_kind::WaitFdKind;
use crate::wait_word::WaitWord;

/// No value of it exists.
pub(crate) struct WaitFd(Infallible);

impl WaitFd {
    pub(crate) fn new() -> Result<Self, OsError> {
        Err(OsError::Unsupported { step: "wait by a descriptor" })
    }

    pub(crate) fn with_kind(_kind: WaitFdKind) -> Result<Self, OsError> {
        Self::new()
    }

    pub(crate) fn kind(&self) -> WaitFdKind {
        match self.0 {}
    }

    pub(crate) fn arm(
        &mut self,
        _: Option<Arc<dyn WaitWord>>,
        _expected: u32,
        _within: Duration,
    ) -> Result<(), OsError> {
        match self.0 {}
    }

    pub(crate) fn disarm(&mut self) -> Result<(), OsError> {
        match self.0 {}
    }

    pub(crate) fn is_readable(&self) -> Result<bool, OsError> {
        match self.0 {}
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.0 {}
    }
}
