//! Waiting for frames: polling, sleeping on the doorbell, and going over to a successor of the server.

use super::open::is_not_there;
use super::state::Client;
use crate::attachment::Detached;
use crate::error::{OpenError, ReadError};
use crate::wait::SLICE;
use shmx_abi::extension::Features;
use shmx_os::futex;
use shmx_ring::doorbell;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use std::time::{Duration, Instant};

/// Which frames a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// The newest frame each time; what was published in between is passed over and counted as missed. As
    /// [`Client::wait`].
    Newest,
    /// Every frame still in the ring, in order; what was overwritten is counted as missed. As [`Client::next`].
    Every,
}

/// A frame that was found: under a lease, or copied.
pub(super) type Found = Option<Detached>;

/// Polls between two readings of the clock.
const PROBES: u32 = 64;
/// Bounds of the pauses of a reader that cannot sleep on a doorbell, and of one that looks for a successor.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(1);
const REOPEN_EVERY: Duration = Duration::from_millis(10);

impl Client {
    #[inline]
    pub(super) fn find_in(&mut self, order: Order) -> Result<Found, ReadError> {
        match order {
            Order::Newest => self.find(|cursor, hand| cursor.try_wait(hand)),
            Order::Every => self.find(|cursor, hand| cursor.try_next(hand)),
        }
    }

    /// Goes over to a successor, if there is one. True means that there may be frames now.
    #[cold]
    fn try_reconnect(&mut self) -> bool {
        let before = self.session_id();
        if let Err(error) = self.reopen() {
            self.note_no_successor(error);
            return false;
        }
        self.reopen_error = None;
        if self.session_id() != before {
            self.reconnects += 1;
            tracing::info!(name = self.name(), session_id = self.session_id(), "reading from another server");
        }
        true
    }

    /// Says so, once for each error, unless there just is none yet.
    fn note_no_successor(&mut self, error: OpenError) {
        if is_not_there(&error) {
            tracing::trace!(%error, "no successor yet");
            self.reopen_error = None;
            return;
        }
        let text = format!("{error:?}");
        if self.reopen_error.as_ref().is_none_or(|known| format!("{known:?}") != text) {
            tracing::warn!(name = self.name(), error = text, "the successor of the server cannot be read");
        }
        self.reopen_error = Some(error);
    }

    /// Whether an error is one that a successor of the server may mend.
    fn may_reconnect(&self, error: &ReadError) -> bool {
        self.options.reconnect && matches!(error, ReadError::ServerGone { .. } | ReadError::SessionChanged)
    }
}

/// One look for a frame; says when the server is gone.
#[inline(always)]
pub(super) fn poll(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    poll_and(client, order, |_, found| Ok(found))
}

/// The same, and what is to be done with what it brings, unless that is nothing and nobody has to know.
#[inline(always)]
pub(super) fn poll_and(
    client: &mut Client,
    order: Order,
    then: impl FnOnce(&mut Client, Found) -> Result<Found, ReadError>,
) -> Result<Found, ReadError> {
    if client.shared.check_session().is_err() {
        let found = poll_elsewhere(client, order)?;
        return then(client, found);
    }
    // Most polls are in vain, and told here: two words of one line say so.
    let Some(number) = client.cursor.news(&client.shared.region) else {
        // Not where somebody sleeps for the client, who would have to be told.
        if client.is_quiet() {
            return Ok(None);
        }
        let found = poll_after_idle(client, order)?;
        return then(client, found);
    };
    let none = |client: &mut Client| poll_after_no_frame(client, order);
    let found = match order {
        Order::Newest => client.find_or(|cursor, hand| cursor.newest_of_news(hand, number), none),
        Order::Every => client.find_or(|cursor, hand| cursor.next_of_news(hand), none),
    }?;
    then(client, found)
}

/// There are no news, and it is time to look at the server's life.
#[cold]
fn poll_after_idle(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    match client.look_for_end() {
        None => Ok(None),
        Some(_) => poll_after_end(client, order),
    }
}

/// There are news, and no frame that can be had: late, being rewritten, or left half made by a server that is gone.
#[cold]
fn poll_after_no_frame(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    match client.end_after_idle() {
        None => Ok(None),
        Some(_) => poll_after_end(client, order),
    }
}

/// The region has a new session, or the client is another process's.
#[cold]
fn poll_elsewhere(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    match client.shared.check_session() {
        Err(e) if !client.may_reconnect(&e) => Err(e),
        _ => poll_successor(client, order),
    }
}

/// The server is gone: takes what it published last.
#[cold]
fn poll_after_end(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    let Some(end) = client.server_end() else { return Ok(None) };
    // Looked at before this, so that a frame published just before the end is taken.
    if let Some(found) = client.find_in(order)? {
        return Ok(Some(found));
    }
    if client.options.reconnect { poll_successor(client, order) } else { Err(ReadError::ServerGone { end }) }
}

#[cold]
fn poll_successor(client: &mut Client, order: Order) -> Result<Found, ReadError> {
    if client.sought.elapsed() < REOPEN_EVERY {
        return Ok(None);
    }
    client.sought = Instant::now();
    if client.try_reconnect() { client.find_in(order) } else { Ok(None) }
}

/// [`Client::latest`] of a client that reconnects.
pub(super) fn latest_of_any(client: &mut Client) -> Result<Found, ReadError> {
    let gone = match client.find(|cursor, hand| cursor.latest(hand)) {
        // The same frame again is what a poll in vain is elsewhere.
        Ok(found) => {
            let gone = client.end_after_idle().is_some();
            if !gone {
                return Ok(found);
            }
            if let Some(detached) = found {
                drop(detached.attach(&client.shared));
            }
            gone
        }
        Err(e) if client.may_reconnect(&e) => true,
        Err(e) => return Err(e),
    };
    if gone && client.sought.elapsed() >= REOPEN_EVERY {
        client.sought = Instant::now();
        client.try_reconnect();
    }
    match client.find(|cursor, hand| cursor.latest(hand)) {
        Err(e) if client.may_reconnect(&e) => Ok(None),
        other => other,
    }
}

/// Takes a frame, or waits for one.
#[inline]
pub(super) fn wait(client: &mut Client, order: Order, timeout: Duration) -> Result<Found, ReadError> {
    if timeout.is_zero() {
        return poll(client, order);
    }
    match client.find_in(order) {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => wait_for_frame(client, order, timeout, None),
        Err(e) => wait_for_frame(client, order, timeout, Some(e)),
    }
}

#[cold]
fn wait_for_frame(
    client: &mut Client,
    order: Order,
    timeout: Duration,
    failed: Option<ReadError>,
) -> Result<Found, ReadError> {
    wait_longer(client, timeout, failed, |client, start| {
        spin(client, start, timeout)?;
        wait_here(client, start, timeout, |client| client.find_in(order))
    })
}

/// Waits for what `look` finds, in this region or in a successor's. It is called again and again.
pub(super) fn wait_for<R>(
    client: &mut Client,
    timeout: Duration,
    mut look: impl FnMut(&mut Client) -> Result<Option<R>, ReadError>,
) -> Result<Option<R>, ReadError> {
    wait_longer(client, timeout, None, |client, start| {
        let limit = client.options.spin.min(timeout);
        loop {
            for _ in 0..PROBES {
                if let Some(found) = look(client)? {
                    return Ok(Some(found));
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= limit {
                return wait_here(client, start, timeout, &mut look);
            }
        }
    })
}

/// Waits as `here` does, which is given when that began, and goes over to successors of the server.
#[cold]
fn wait_longer<R>(
    client: &mut Client,
    timeout: Duration,
    failed: Option<ReadError>,
    mut here: impl FnMut(&mut Client, Instant) -> Result<Option<R>, ReadError>,
) -> Result<Option<R>, ReadError> {
    let start = Instant::now();
    let mut result = match failed {
        Some(e) => Err(e),
        None => here(client, start),
    };
    loop {
        match result {
            Err(e) if client.may_reconnect(&e) => {}
            other => return other,
        }
        while !client.try_reconnect() {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(left.min(REOPEN_EVERY));
        }
        result = here(client, start);
    }
}

/// Sleeps until `look` finds something in the region that is open.
fn wait_here<R>(
    client: &mut Client,
    start: Instant,
    timeout: Duration,
    mut look: impl FnMut(&mut Client) -> Result<Option<R>, ReadError>,
) -> Result<Option<R>, ReadError> {
    let bell = client.shared.features.has(Features::DOORBELL) && futex::is_supported();
    let mut pause = SHORTEST_PAUSE;
    // A frame since the last question is as good an answer, and asking is a system call.
    let mut ask = std::mem::replace(&mut client.lived, client.cursor.last_id) == client.cursor.last_id;
    loop {
        if let Some(found) = look(client)? {
            return Ok(Some(found));
        }
        let left = timeout.saturating_sub(start.elapsed());
        let a = client.shared.clone();
        let word = &a.region.header().ext_doorbell;
        let expected = if bell && !left.is_zero() { doorbell::prepare_to_sleep(word) } else { 0 };
        // Looked at before the last look for a frame, so that a frame published just before the end is taken, and
        // after `prepare_to_sleep`, so that an end in between wakes us.
        let end = if ask || left.is_zero() || a.says_closed() { a.server_end() } else { None };
        ask = true;
        if let Some(found) = look(client)? {
            return Ok(Some(found));
        }
        if let Some(end) = end {
            return Err(ReadError::ServerGone { end });
        }
        client.show_life();
        if left.is_zero() {
            return Ok(None);
        }
        if bell {
            client.set_waiting(true);
            let _ = a.region.os.wait(word, expected, left.min(SLICE));
            client.set_waiting(false);
        } else {
            std::thread::sleep(left.min(pause));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Polls the header until it tells of a frame, the time for that is up, or the server is gone.
fn spin(client: &Client, start: Instant, timeout: Duration) -> Result<(), ReadError> {
    let limit = client.options.spin.min(timeout);
    if limit.is_zero() {
        return Ok(());
    }
    let a = &client.shared;
    let header = a.region.header();
    let mut looked = Duration::ZERO;
    loop {
        for _ in 0..PROBES {
            // Relaxed: only a hint, whoever takes the frame looks properly.
            if header.write_index.load(Ordering::Relaxed) != client.cursor.seen {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let spent = start.elapsed();
        if header.frame_seq.load(Ordering::Relaxed) > client.cursor.last_id || spent >= limit {
            return Ok(());
        }
        a.check_session()?;
        let due = spent.saturating_sub(looked) >= SLICE;
        if (due || a.says_closed()) && a.server_end().is_some() {
            return Ok(());
        }
        if due {
            looked = spent;
            a.beat();
        }
    }
}
