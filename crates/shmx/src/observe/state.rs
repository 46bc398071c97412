//! What is known of the server behind a region that is only looked at.

use crate::attachment::end_of;
use crate::error::ServerEnd;
use crate::region::{Mapped, ReadOnly};
use shmx_abi::extension::Features;
use shmx_os::{LockByte, LockState};

/// What is known about a region's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerState {
    /// It holds its lock.
    Live,
    /// It left in good order.
    Closed,
    /// Its process died.
    Died,
    /// The region was made by an implementation without locks; nobody can tell.
    Reference,
    /// It cannot be known: a dump, or a platform without locks.
    Unknown,
}

impl ServerState {
    /// Whether it is known that no frame will come any more.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Closed | Self::Died)
    }
}

/// By the feature words and the lock as they are now.
pub(super) fn server_state(region: &Mapped<ReadOnly>) -> ServerState {
    let features = Features::of(&region.header_copy());
    if !features.is_extended() {
        return ServerState::Reference;
    }
    if let Some(end) = end_of(features) {
        return state_of(end);
    }
    match region.os.0.lock_state(LockByte::Server) {
        LockState::Held if features.has(Features::LOCKS) => ServerState::Live,
        // It lets its lock go after it has said that it leaves.
        LockState::Free if features.has(Features::LOCKS) => {
            state_of(end_of(Features::of(&region.header_copy())).unwrap_or(ServerEnd::Died))
        }
        _ => ServerState::Unknown,
    }
}

const fn state_of(end: ServerEnd) -> ServerState {
    match end {
        ServerEnd::Closed => ServerState::Closed,
        ServerEnd::Died => ServerState::Died,
    }
}
