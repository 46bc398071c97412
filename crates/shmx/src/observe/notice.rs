//! What a tap does for those that sleep for it: a descriptor, and wait sets.

use super::site::Site;
use super::state::server_state;
use super::tap::{LOOK, Tap};
use crate::error::ReadError;
#[cfg(unix)]
use crate::error::WaitFdError;
use crate::wait::notice::{Armed, Notice, Watched};
use crate::wait::set::{Noticed, Waitable};
use shmx_os::{WaitFdKind, WaitSource, WaitWord};
use shmx_ring::load;
use shmx_ring::sync::AtomicU32;
use shmx_ring::view::Slots;
use shmx_ring::{doorbell, reader};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

impl WaitWord for Site {
    fn word(&self) -> &AtomicU32 {
        &self.region.header().ext_doorbell
    }

    fn source(&self) -> WaitSource<'_> {
        WaitSource::ReadOnly(&self.region.os.0)
    }
}

impl Watched for Site {
    fn counts(&self) -> (u32, u64) {
        (reader::newest(&self.region), reader::published(&self.region))
    }

    fn is_over(&self) -> bool {
        load::count(&self.region.header().session_id) != self.session_id || server_state(&self.region).is_gone()
    }

    fn beat(&self) {}
}

impl Noticed for Tap {
    fn notice(&mut self) -> &mut Notice {
        &mut *self.notice.get_or_insert_default()
    }
}

impl Waitable for Tap {}

impl Tap {
    /// A descriptor for an event loop, as [`Client::wait_fd`](crate::Client::wait_fd): readable until a poll of the tap
    /// has returned `Ok(None)`, and at least every 20 ms, for a look at [`Tap::state`].
    ///
    /// A tap cannot ring for attention. Where the server rings always ([`crate::ServerBuilder::ring_always`]) it is
    /// woken; otherwise the descriptor is readable each [`Tap::pause`].
    ///
    /// # Errors
    ///
    /// [`WaitFdError`] where there is none, as in a forked child.
    #[cfg(unix)]
    pub fn wait_fd(&mut self) -> Result<BorrowedFd<'_>, WaitFdError> {
        Ok(self.notice().fd(None)?.as_fd())
    }

    /// What serves the descriptor of [`Tap::wait_fd`]; `None` before it is made.
    #[must_use]
    pub fn wait_fd_kind(&self) -> Option<WaitFdKind> {
        self.notice.as_ref()?.kind()
    }

    /// What to sleep on until the next poll, before the last look.
    #[cold]
    pub(super) fn prepare(&self) -> Armed {
        let region = self.site.clone();
        // An even value: the server is between its two steps, or does not keep its word. A pause is as good.
        let bell = self.can_sleep().then(|| doorbell::watch(region.word())).filter(|value| value % 2 == 1);
        let within = if bell.is_some() { LOOK } else { self.pause() };
        // A tap's polls do not tell the end of the server, so its owner is woken to ask for it.
        Armed { bell, counts: region.counts(), again: true, within, region }
    }

    /// A poll has found something, or nothing.
    #[cold]
    pub(super) fn tell(&mut self, armed: Option<Armed>) -> Result<(), ReadError> {
        match armed {
            Some(armed) => self.notice().arm(armed),
            None => {
                self.notice().awake();
                Ok(())
            }
        }
    }
}
