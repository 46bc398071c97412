//! What a descriptor is armed for.

use std::sync::Arc;
use std::time::Duration;

use crate::wait_word::WaitWord;

pub(super) const ARM: &str = "arm the descriptor";
pub(super) const DISARM: &str = "disarm the descriptor";

pub(super) struct Order {
    pub(super) word: Option<Arc<dyn WaitWord>>,
    pub(super) expected: u32,
    pub(super) within: Duration,
}

impl Order {
    pub(super) fn same_word(&self, other: &Self) -> bool {
        match (&self.word, &other.word) {
            (None, None) => true,
            (Some(here), Some(there)) => std::ptr::addr_eq(Arc::as_ptr(here), Arc::as_ptr(there)),
            _ => false,
        }
    }
}
