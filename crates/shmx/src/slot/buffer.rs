//! Private memory for copied frames, used again and again.

use parking_lot::Mutex;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Buffers kept for later; more than a reader usually holds at a time would be waste.
const KEPT: usize = 4;
/// The smallest buffer, words of eight bytes: frames that small are copied without one.
const LEAST: usize = 512;

/// Buffers that copied frames have given back.
///
/// Its lock is never waited for: what another thread held at a fork stays locked in the child. Who cannot have it goes
/// to the allocator.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Box<[u64]>>>);

/// A buffer of whole words, so that stream data is 8-byte aligned as in a slot. Goes back to its pool when dropped.
pub(crate) struct Buffer {
    words: Box<[u64]>,
    pool: Arc<Pool>,
}

/// Not what the memory holds.
impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("words", &self.words.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A buffer of at least `words` words with any content.
    pub(crate) fn take(self: &Arc<Self>, words: usize) -> Buffer {
        let found = self.0.try_lock().and_then(|mut kept| {
            let found = kept.iter().position(|b| b.len() >= words);
            // A buffer that is too small makes room for a larger one.
            found.map(|i| kept.swap_remove(i)).or_else(|| (kept.pop(), None).1)
        });
        let words = found.unwrap_or_else(|| {
            let len = words.checked_next_power_of_two().unwrap_or(words).max(LEAST);
            vec![0; len].into_boxed_slice()
        });
        Buffer { words, pool: self.clone() }
    }
}

impl Buffer {
    /// At least `words` words, with any content.
    #[inline]
    pub(crate) fn at_least(&mut self, words: usize) -> &mut [u64] {
        if words > self.words.len() {
            self.grow(words);
        }
        &mut self.words
    }

    #[cold]
    fn grow(&mut self, words: usize) {
        let pool = self.pool.clone();
        *self = pool.take(words);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(mut kept) = self.pool.0.try_lock()
            && kept.len() < KEPT
        {
            kept.push(std::mem::take(&mut self.words));
        }
    }
}

impl Deref for Buffer {
    type Target = [u64];
    fn deref(&self) -> &[u64] {
        &self.words
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_grow() {
        let pool = Arc::new(Pool::default());
        let first = pool.take(600);
        assert_eq!(first.len(), 1024);
        let place = first.as_ptr();
        drop(first);
        let again = pool.take(1000);
        assert_eq!(again.as_ptr(), place, "the same memory serves again");
        let other = pool.take(1);
        assert_eq!(other.len(), LEAST);
        let mut exact = again;
        assert_eq!(exact.at_least(1024).as_ptr(), place, "it is large enough");
        drop((exact, other));
        assert_eq!(pool.0.lock().len(), 2);
        assert_eq!(pool.take(5000).len(), 8192);
        let many: Vec<_> = (0..10).map(|_| pool.take(1)).collect();
        drop(many);
        assert_eq!(pool.0.lock().len(), KEPT);
    }
}
