//! What a full-screen command does between two pictures: it waits for a key, or for frames.

use ratatui::crossterm::event;
use shmx::Tap;
use std::io;
use std::time::Duration;

/// Waits for a key, for frames of the tap, or until the time is up; whether there is a key.
///
/// Where the server rings for those that only look, the command sleeps until it does. Elsewhere it looks again after the
/// tap's pause.
pub(crate) fn key_or_frame(tap: Option<&mut Tap>, at_most: Duration) -> io::Result<bool> {
    // What was read from the terminal and not yet asked for shows in no descriptor.
    if event::poll(Duration::ZERO)? {
        return Ok(true);
    }
    let Some(tap) = tap else { return event::poll(at_most) };
    let pause = tap.pause();
    if tap.is_better_asleep() && asleep(tap, at_most) {
        return event::poll(Duration::ZERO);
    }
    event::poll(at_most.min(pause))
}

/// Sleeps until a key or a frame comes; false where that cannot be.
#[cfg(unix)]
fn asleep(tap: &mut Tap, at_most: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::IsTerminal;
    let stdin = io::stdin();
    // Elsewhere keys come from a terminal that is opened for them.
    if !stdin.is_terminal() {
        return false;
    }
    let (Ok(news), Ok(limit)) = (tap.wait_fd(), Timespec::try_from(at_most)) else { return false };
    let mut both = [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(news, PollFlags::IN)];
    // A signal ends it early, as a change of the terminal's size does.
    let _ = poll(&mut both, Some(&limit));
    true
}

#[cfg(not(unix))]
fn asleep(_: &mut Tap, _: Duration) -> bool {
    false
}
