//! What a client does for those that sleep for it: a descriptor, and wait sets.

use super::state::Client;
use super::wait::{self, Found, Order};
use crate::attachment::Attachment;
use crate::error::ReadError;
#[cfg(unix)]
use crate::error::WaitFdError;
use crate::wait::SLICE;
use crate::wait::notice::{Armed, Notice, Watched};
use crate::wait::set::{Noticed, Waitable};
use shmx_abi::extension::Features;
use shmx_os::{WaitFdKind, WaitSource, WaitWord, futex};
use shmx_ring::sync::{AtomicU32, Ordering};
use shmx_ring::view::Slots;
use shmx_ring::{doorbell, reader};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

impl WaitWord for Attachment {
    fn word(&self) -> &AtomicU32 {
        &self.region.header().ext_doorbell
    }

    fn source(&self) -> WaitSource<'_> {
        WaitSource::Region(&self.region.os)
    }
}

impl Watched for Attachment {
    fn counts(&self) -> (u32, u64) {
        (reader::newest(&self.region), reader::published(&self.region))
    }

    fn is_over(&self) -> bool {
        self.region.header().session_id.load(Ordering::Relaxed) != self.session_id || self.server_end().is_some()
    }

    fn beat(&self) {
        Attachment::beat(self);
    }
}

impl Noticed for Client {
    fn notice(&mut self) -> &mut Notice {
        self.never_quiet();
        &mut *self.notice.get_or_insert_default()
    }
}

impl Waitable for Client {}

impl Client {
    /// A descriptor for an event loop (epoll, `poll`, tokio's `AsyncFd`, asyncio, Qt): readable when there may be news.
    ///
    /// It is readable from when something may have happened (a frame, the end of the server, a successor) until
    /// [`Client::try_wait`], [`Client::try_next`], [`Client::wait`] or [`Client::next`] has returned `Ok(None)`, and at
    /// least every 20 ms, so that a death of the server is noticed. Poll until there is nothing more, or take one frame
    /// each time the loop reports it. Do not read from it, and ask for reading only.
    ///
    /// It stays the same as long as the client lives, over [`Client::reopen`] and successors. To give it to something
    /// that wants to own it, clone it ([`BorrowedFd::try_clone_to_owned`]).
    ///
    /// Costs one descriptor. With io_uring (Linux 6.7, where it is allowed) no thread; otherwise a thread that sleeps in
    /// its place; for a region without a doorbell a timer. [`Client::wait_fd_kind`] says which.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Client, Server, Stream};
    ///
    /// # let name = format!("doc-fd-{}", std::process::id());
    /// let server = Server::builder(&name).stream(Stream::<u64>::new(1, "tick"), 1).create()?;
    /// let mut client = Client::open(&name)?;
    /// let fd = client.wait_fd()?.try_clone_to_owned()?; // for the loop
    /// while let Some(frame) = client.try_wait()? {
    ///     println!("frame {}", frame.frame_id());
    /// }
    /// // Now the descriptor is not readable, until there may be news.
    /// # drop(fd);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WaitFdError`] where there is none, as in a forked child.
    #[cfg(unix)]
    pub fn wait_fd(&mut self) -> Result<BorrowedFd<'_>, WaitFdError> {
        Ok(self.notice().fd(None)?.as_fd())
    }

    /// The same with the kind to use, instead of the best that there is. Has no effect once there is a descriptor.
    ///
    /// # Errors
    ///
    /// [`WaitFdError`] where there is none of this kind.
    #[cfg(unix)]
    pub fn wait_fd_of_kind(&mut self, kind: WaitFdKind) -> Result<BorrowedFd<'_>, WaitFdError> {
        Ok(self.notice().fd(Some(kind))?.as_fd())
    }

    /// What serves the descriptor of [`Client::wait_fd`]; `None` before it is made.
    #[must_use]
    pub fn wait_fd_kind(&self) -> Option<WaitFdKind> {
        self.notice.as_ref()?.kind()
    }
}

/// One look for a frame; says when the server is gone, and tells those who sleep for the client.
#[inline(always)]
pub(super) fn poll(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    wait::poll_and(client, order, |client, found| told(client, order, found))
}

/// What a poll has found; where somebody sleeps for the client, that is told.
#[inline(always)]
pub(super) fn told(client: &mut Client, order: Order, found: Found) -> Result<Found, ReadError> {
    if client.notice.is_some() { tell(client, order, found) } else { Ok(found) }
}

#[cold]
fn tell(client: &mut Client, order: Order, found: Found) -> Result<Found, ReadError> {
    if found.is_none() {
        return arm(client, order);
    }
    if client.notice().awake() {
        client.set_waiting(false);
    }
    Ok(found)
}

/// Prepares the sleep of others, and polls once more.
fn arm(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    let a = client.shared.clone();
    let bell = a.features.has(Features::DOORBELL) && futex::is_supported();
    let bell = bell.then(|| doorbell::prepare_to_sleep(a.word()));
    let counts = a.counts();
    // Looked at before the last poll, so that a frame published just before the end is taken, and after the doorbell
    // was prepared, so that an end in between rings.
    let end = a.server_end();
    if let Some(found) = wait::poll(client, order)? {
        return Ok(Some(found));
    }
    if !Arc::ptr_eq(&a, &client.shared) {
        // It has gone over to a successor meanwhile.
        return arm(client, order);
    }
    if let Some(end) = end
        && !client.options.reconnect
    {
        return Err(ReadError::ServerGone { end });
    }
    client.show_life();
    client.set_waiting(true);
    let last_id = client.cursor.last_id;
    let again = client.options.reconnect || order == Order::Every && counts.1 > last_id;
    client.notice().arm(Armed { bell, counts, again, within: SLICE, region: a })?;
    Ok(None)
}
