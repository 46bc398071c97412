//! A descriptor that tells when readers have something for the server.

use super::control::ControlBatch;
use super::state::Server;
use crate::error::WaitFdError;
use shmx_os::{WaitFd, WaitFdKind, WaitWord};
use shmx_ring::control_bell;
use shmx_ring::view::Slots;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

impl Server {
    /// A descriptor for an event loop: readable when readers may have sent messages, come or gone.
    ///
    /// It is readable from then until [`Server::poll_control`] or [`Server::wait_control`] has brought nothing, and at
    /// least every 20 ms, so that the chores of a server are done (each millisecond while a reader of the reference is
    /// attached, which does not ring). Poll until there is nothing more. Do not read from it, and ask for reading only.
    ///
    /// This is a clone of the one that the server keeps and arms: the event loop may own it. It stays the same where the
    /// server comes back under a lost name ([`Server::come_back`]).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(target_os = "linux")] {
    /// use shmx::Server;
    ///
    /// # let name = format!("doc-control-fd-{}", std::process::id());
    /// let server = Server::builder(&name).create()?;
    /// let fd = server.control_fd()?; // for the loop
    /// for message in server.poll_control(16).messages {
    ///     println!("{message:?}");
    /// }
    /// # drop(fd);
    /// # }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WaitFdError`] where there is none: elsewhere than on Linux, or in a forked child.
    pub fn control_fd(&self) -> Result<OwnedFd, WaitFdError> {
        if self.region.os.is_forked() {
            return Err(shmx_os::OsError::Forked { step: "wait for readers" }.into());
        }
        let mut control_fd = self.control_fd.lock();
        let fd = match control_fd.take() {
            Some(fd) => fd,
            None => {
                let mut fd = WaitFd::new()?;
                fd.arm(None, 0, Duration::ZERO)?;
                fd
            }
        };
        let fd = control_fd.insert(fd);
        let cloned = fd.as_fd().try_clone_to_owned();
        Ok(cloned.map_err(|source| shmx_os::OsError::Os { step: "clone the descriptor", source })?)
    }

    /// What serves the descriptor of [`Server::control_fd`]; `None` before it is made.
    #[must_use]
    pub fn control_fd_kind(&self) -> Option<WaitFdKind> {
        self.control_fd.lock().as_ref().map(WaitFd::kind)
    }

    /// Goes on with the descriptor of the server before it, which event loops have: readable until a poll brings nothing.
    pub(super) fn take_control_fd_of(&self, before: &Self) {
        let Some(mut fd) = before.control_fd.lock().take() else { return };
        match fd.arm(None, 0, Duration::ZERO) {
            Ok(()) => *self.control_fd.lock() = Some(fd),
            Err(error) => unusable(&error),
        }
    }

    /// What a poll has brought; where it is nothing and somebody waits on the descriptor, looks once more and arms it.
    pub(super) fn told(&self, batch: ControlBatch, look: impl FnOnce() -> ControlBatch) -> ControlBatch {
        let mut control_fd = self.control_fd.lock();
        let Some(fd) = control_fd.as_mut().filter(|_| batch.is_empty()) else { return batch };
        let more = &self.region.header().ext_more;
        let expected = control_bell::prepare_to_sleep(more);
        let batch = look();
        if batch.is_empty() {
            let word = self.region.os.shared_word(more).map(|word| Arc::new(word) as Arc<dyn WaitWord>);
            if let Err(error) = fd.arm(word, expected, self.longest_sleep()) {
                unusable(&error);
                *control_fd = None;
            }
        }
        batch
    }
}

fn unusable(error: &shmx_os::OsError) {
    tracing::warn!(%error, "the descriptor to wait for readers on is of no use any more");
}
