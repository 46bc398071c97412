//! What is known of the server behind a region that is only looked at.

use crate::attachment::judge;
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
    let mut lock = LockState::Unsupported;
    let ask = || {
        lock = region.os.0.lock_state(LockByte::Server);
        lock
    };
    match judge(features, ask, || Features::of(&region.header_copy())) {
        Some(ServerEnd::Closed) => ServerState::Closed,
        Some(ServerEnd::Died) => ServerState::Died,
        None if lock == LockState::Held => ServerState::Live,
        None => ServerState::Unknown,
    }
}
