//! Whether a region's server lives, and how it ended.

use crate::error::ServerEnd;
use shmx_abi::extension::Features;
use shmx_os::{LockByte, LockState, Region};

/// How a server ended, by its feature word and its lock; `again` loads the word once more.
pub(crate) fn server_end(os: &Region, word: u32, session_id: u64, again: impl FnOnce() -> u32) -> Option<ServerEnd> {
    let of = |word| Features::from_wire(word, 0, session_id);
    judge(of(word), || os.lock_state(LockByte::Server), || of(again()))
}

/// How a server ended. The lock is asked between two loads of the feature word: a server lets its lock go after it has
/// said that it leaves, and who takes a dead one's lock has said before that it died.
pub(crate) fn judge(
    before: Features,
    lock: impl FnOnce() -> LockState,
    again: impl FnOnce() -> Features,
) -> Option<ServerEnd> {
    if let Some(end) = end_of(before) {
        return Some(end);
    }
    if !before.has(Features::LOCKS) {
        return None;
    }
    match lock() {
        LockState::Free => Some(end_of(again()).unwrap_or(ServerEnd::Died)),
        LockState::Held => end_of(again()),
        LockState::Unsupported => None,
    }
}

/// How a server ended, by its own word or that of who found it dead.
pub(crate) const fn end_of(features: Features) -> Option<ServerEnd> {
    if features.has(Features::CLOSED | Features::DIED) {
        Some(ServerEnd::Died)
    } else if features.has(Features::CLOSED) {
        Some(ServerEnd::Closed)
    } else {
        None
    }
}
