//! A word of a mapping that keeps the mapping.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::view::Mapping;

pub(crate) struct SharedWord {
    mapping: Arc<Mapping>,
    offset: usize,
}

impl SharedWord {
    /// `None` if the word does not lie in the mapping.
    pub(super) fn new(mapping: Arc<Mapping>, word: &AtomicU32) -> Option<Self> {
        let bytes = mapping.bytes();
        let offset = std::ptr::from_ref(word).addr().checked_sub(bytes.as_ptr().addr())?;
        // A reference is aligned, and so is every other one to the same place.
        (offset.checked_add(size_of::<AtomicU32>())? <= bytes.len()).then_some(Self { mapping, offset })
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        let place = self.mapping.bytes().as_ptr().wrapping_add(self.offset).cast::<AtomicU32>();
        // SAFETY: `new` has checked that the four bytes lie in the mapping, which stays as long as `self`, and took the
        // offset from an aligned word. They are only seen as atomics, and waits only load them.
        unsafe { &*place }
    }
}
