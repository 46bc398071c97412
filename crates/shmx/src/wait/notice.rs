//! What a reader's polls in vain tell those that sleep for it: a descriptor, and wait sets.

use crate::error::ReadError;
#[cfg(unix)]
use crate::error::WaitFdError;
use crate::lock::ProcessLock;
use shmx_os::{OsError, WaitFd, WaitFdKind, WaitWord};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A region as those see it that sleep for one of its readers.
pub(crate) trait Watched: WaitWord {
    /// Sequence number of the newest frame, and frames published; which of the two moves first depends on the server.
    fn counts(&self) -> (u32, u64);
    /// Whether the server is gone, or another one has the region. May be a system call.
    fn is_over(&self) -> bool;
    /// A sign of life to the server, where the reader can give one.
    fn beat(&self);
}

/// What there was at a poll that found nothing. Anything newer is news.
#[derive(Clone)]
pub(crate) struct Armed {
    pub(crate) region: Arc<dyn Watched>,
    /// Value of the doorbell before the last look; none where it is not rung.
    pub(crate) bell: Option<u32>,
    /// [`Watched::counts`] before that look.
    pub(crate) counts: (u32, u64),
    /// Longest time until the next poll. The server's life is looked at then, and a frame that was counted but could
    /// not be read yet.
    pub(crate) within: Duration,
    /// Whether the next poll must come after that time in any case.
    pub(crate) again: bool,
}

impl Armed {
    /// Whether there may be news.
    pub(crate) fn is_rung(&self) -> bool {
        // Relaxed: only the value decides, and the poll looks with its own ordering.
        match self.bell {
            Some(value) => self.region.word().load(std::sync::atomic::Ordering::Relaxed) != value,
            None => self.region.counts() != self.counts,
        }
    }
}

/// Says which member of a [`WaitSet`](crate::WaitSet) is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

/// As a number, for programs in other languages and for `epoll`'s data.
impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.0
    }
}

/// The token with this number. One that no set gave belongs to nobody.
impl From<u64> for Token {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// A reader's place in a wait set.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) token: Token,
    state: ProcessLock<State>,
}

enum State {
    /// There may be news.
    Ready,
    Armed(Armed),
    /// Reported once; nobody asks for more until the next poll in vain.
    Quiet,
    /// The reader is gone, or was taken out of the set.
    Gone,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready => "Ready",
            Self::Armed(_) => "Armed",
            Self::Quiet => "Quiet",
            Self::Gone => "Gone",
        })
    }
}

/// What a member is to its set.
pub(crate) enum Status {
    Ready,
    Asleep(Armed),
    Quiet,
    Gone,
}

impl Member {
    /// Reported at once, or not before a poll was in vain.
    pub(crate) fn new(token: Token, ready: bool) -> Self {
        Self { token, state: ProcessLock::new(if ready { State::Ready } else { State::Quiet }) }
    }

    /// What it is now; `look` says whether it is time to look at the server's life. What is ready is `quiet` from then
    /// on, if that is asked for.
    pub(crate) fn status(&self, look: bool, quiet: bool) -> Status {
        // In a forked child: a poll tells of the fork.
        let Some(mut state) = self.state.write() else { return Status::Ready };
        if let State::Armed(armed) = &*state {
            if look {
                armed.region.beat();
            }
            if !(armed.is_rung() || look && (armed.again || armed.region.is_over())) {
                return Status::Asleep(armed.clone());
            }
            *state = State::Ready;
        }
        match &*state {
            State::Ready => {
                if quiet {
                    *state = State::Quiet;
                }
                Status::Ready
            }
            State::Quiet => Status::Quiet,
            State::Gone | State::Armed(_) => Status::Gone,
        }
    }

    fn arm(&self, armed: &Armed) {
        self.change(State::Armed(armed.clone()));
    }

    /// Not once it is gone, nor in a forked child whose parent was at it.
    fn change(&self, to: State) {
        let Some(mut state) = self.state.write() else { return };
        if !matches!(*state, State::Gone) {
            *state = to;
        }
    }

    /// There may be news of another kind than what it is armed for.
    fn stir(&self) {
        self.change(State::Ready);
    }

    /// For ever: nothing of the region is held any more.
    pub(crate) fn leave(&self) {
        self.change(State::Gone);
    }
}

/// Those who sleep for a reader.
#[derive(Debug, Default)]
pub struct Notice {
    fd: Option<WaitFd>,
    members: Vec<Weak<Member>>,
    /// The last poll was in vain.
    armed: bool,
    /// Polls in vain one after the other.
    vain: u32,
}

/// Bounds of the time that a descriptor of a region without doorbell is unreadable.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

impl Notice {
    /// The descriptor, made when it is first asked for: readable until the first poll in vain.
    #[cfg(unix)]
    pub(crate) fn fd(&mut self, kind: Option<WaitFdKind>) -> Result<&WaitFd, WaitFdError> {
        let fd = match self.fd.take() {
            Some(fd) => fd,
            None => {
                let mut fd = match kind {
                    Some(kind) => WaitFd::with_kind(kind)?,
                    None => WaitFd::new()?,
                };
                fd.arm(None, 0, Duration::ZERO)?;
                fd
            }
        };
        Ok(self.fd.insert(fd))
    }

    pub(crate) fn kind(&self) -> Option<WaitFdKind> {
        self.fd.as_ref().map(WaitFd::kind)
    }

    pub(crate) fn join(&mut self, member: &Arc<Member>) {
        // Now and then, so that adding stays cheap.
        if self.members.len() == self.members.capacity() {
            self.members.retain(|m| m.strong_count() > 0);
        }
        self.members.push(Arc::downgrade(member));
    }

    /// Whether the member of this token is among them.
    #[cfg(feature = "async")]
    pub(crate) fn has(&self, token: Token) -> bool {
        self.members.iter().filter_map(Weak::upgrade).any(|m| m.token == token)
    }

    /// A poll has found something. Says whether the one before had not.
    pub(crate) const fn awake(&mut self) -> bool {
        self.vain = 0;
        std::mem::replace(&mut self.armed, false)
    }

    /// The reader has another region: what was armed says nothing of it.
    pub(crate) fn stir(&mut self) {
        for member in self.members.iter().filter_map(Weak::upgrade) {
            member.stir();
        }
        if let Some(fd) = &mut self.fd {
            // An error comes again at the next poll in vain, which can tell it.
            let _ = fd.arm(None, 0, Duration::ZERO);
        }
    }

    /// A poll has found nothing.
    pub(crate) fn arm(&mut self, armed: Armed) -> Result<(), ReadError> {
        self.armed = true;
        self.members.retain(|m| m.upgrade().inspect(|m| m.arm(&armed)).is_some());
        let Some(fd) = &mut self.fd else { return Ok(()) };
        let done = match armed.bell {
            Some(value) => fd.arm(Some(armed.region), value, armed.within),
            None => {
                let pause = SHORTEST_PAUSE.saturating_mul(1 << self.vain.min(10)).min(LONGEST_PAUSE);
                self.vain = self.vain.saturating_add(1);
                fd.arm(None, 0, armed.within.min(pause))
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(OsError::Forked { .. }) => Err(ReadError::Forked),
            Err(e) => Err(ReadError::Descriptor { cause: e.to_string() }),
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        for member in self.members.drain(..).filter_map(|m| m.upgrade()) {
            member.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread of the parent may be looking at a member at the moment of a fork.
    #[test]
    fn a_forked_child_does_not_wait_for_the_set_of_its_parent() {
        let mut member = Member::new(Token(0), false);
        assert!(matches!(member.status(false, false), Status::Quiet));
        member.state.inherit_locked();
        assert!(matches!(member.status(true, false), Status::Ready));
        member.leave();
    }
}
