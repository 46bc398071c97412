//! What this backend keeps behind the user's bytes of an object: an identity, the exact length, and the lock words.
//!
//! ```text
//! [ len bytes of the user | 0.. | lock_count words of 8 bytes | magic | id | len | lock_count | 32 bytes, 0 ]
//! ```
//!
//! The object ends with the page, so an opener finds the last 64 bytes from the length that the system tells. Programs
//! that map only the length which a header gives never see any of it. The words are input like every shared byte.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::mapping::{Mapping, PAGE};
use crate::process::random_u64;

const TRAILER_LEN: usize = 64;
const WORD_LEN: usize = 8;
const MAGIC: u64 = u64::from_le_bytes(*b"SHMXTAIL");

/// A tail that was found and checked against the mapping.
pub(super) struct Tail {
    /// Random; tells objects that had the same name one after the other apart.
    pub(super) id: u64,
    /// Bytes of the user.
    pub(super) len: usize,
    /// Offset of the first lock word.
    locks: usize,
    lock_count: usize,
}

/// Bytes of an object for `len` bytes of the user; `None` if that is beyond what can be addressed.
pub(super) fn total_len(len: usize, lock_count: usize) -> Option<usize> {
    let locks = lock_count.checked_mul(WORD_LEN)?;
    let end = len.checked_next_multiple_of(TRAILER_LEN)?.checked_add(locks)?.checked_add(TRAILER_LEN)?;
    let total = end.checked_next_multiple_of(PAGE)?;
    isize::try_from(total).is_ok().then_some(total)
}

/// The aligned word at `offset` of the mapping.
fn word(mapping: &Mapping, offset: usize) -> Option<&AtomicU64> {
    let fits = offset.is_multiple_of(WORD_LEN) && offset.checked_add(WORD_LEN)? <= mapping.len;
    let address: NonNull<AtomicU64> = fits.then(|| mapping.base.cast::<u8>())?.cast();
    // SAFETY: `offset` lies in the mapping, which is one allocation.
    let address = unsafe { address.byte_add(offset) };
    // SAFETY: eight aligned bytes of the mapping, which lives as long as the borrowed mapping; atomics may be written by
    // others behind a shared reference. Read-only views are only loaded from.
    Some(unsafe { address.as_ref() })
}

impl Tail {
    /// The tail behind a mapping, if its object has one.
    pub(super) fn find(mapping: &Mapping) -> Option<Self> {
        let trailer = mapping.len.checked_sub(TRAILER_LEN)?;
        if word(mapping, trailer)?.load(Ordering::Relaxed) != MAGIC {
            return None;
        }
        // Acquire: whoever sees the magic sees the rest. By a fence, since read-only views permit relaxed loads only.
        fence(Ordering::Acquire);
        let field = |index: usize| Some(word(mapping, trailer + index * WORD_LEN)?.load(Ordering::Relaxed));
        let (id, len, lock_count) = (field(1)?, usize::try_from(field(2)?).ok()?, usize::try_from(field(3)?).ok()?);
        let locks = trailer.checked_sub(lock_count.checked_mul(WORD_LEN)?)?;
        (len > 0 && len <= locks).then_some(Self { id, len, locks, lock_count })
    }

    /// Writes the tail of a new object.
    pub(super) fn write(mapping: &Mapping, len: usize, lock_count: usize) -> Option<Self> {
        let trailer = mapping.len.checked_sub(TRAILER_LEN)?;
        let id = random_u64();
        for (index, value) in [(1, id), (2, len as u64), (3, lock_count as u64)] {
            word(mapping, trailer + index * WORD_LEN)?.store(value, Ordering::Relaxed);
        }
        // Release: see `find`.
        word(mapping, trailer)?.store(MAGIC, Ordering::Release);
        Self::find(mapping)
    }

    /// Lock word `index`.
    pub(super) fn lock<'v>(&self, mapping: &'v Mapping, index: usize) -> Option<&'v AtomicU64> {
        (index < self.lock_count).then(|| word(mapping, self.locks + index * WORD_LEN))?
    }
}
