//! Where no wait outlasts a borrow of the region.

use std::sync::atomic::AtomicU32;

/// There is none.
pub(crate) enum SharedWord {}

impl SharedWord {
    pub(crate) fn word(&self) -> &AtomicU32 {
        match *self {}
    }
}
