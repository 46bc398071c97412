//! Copies between shared and private memory, and the two plain views that the protocol proves exclusive.

use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// Copies the first `dst.len()` bytes out of shared words. Relaxed: the caller validates the stamp afterwards.
///
/// # Panics
///
/// Never; bytes beyond the words stay as they are.
#[inline]
pub fn copy_out(src: &[AtomicU64], dst: &mut [u8]) {
    let (chunks, tail) = dst.as_chunks_mut::<8>();
    for (d, s) in chunks.iter_mut().zip(src) {
        *d = s.load(Ordering::Relaxed).to_ne_bytes();
    }
    if let Some(s) = src.get(chunks.len()) {
        let last = s.load(Ordering::Relaxed).to_ne_bytes();
        let n = tail.len();
        tail.copy_from_slice(&last[..n]);
    }
}

/// Copies bytes out of shared bytes, as many as the shorter side has. Relaxed.
pub fn load_bytes(src: &[AtomicU8], dst: &mut [u8]) {
    for (d, s) in dst.iter_mut().zip(src) {
        *d = s.load(Ordering::Relaxed);
    }
}

/// Copies bytes into shared bytes, as many as the shorter side has. Relaxed.
pub fn store_bytes(src: &[u8], dst: &[AtomicU8]) {
    for (s, d) in src.iter().zip(dst) {
        d.store(*s, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod plain {
    use crate::sync::AtomicU64;

    /// Shared words as plain bytes.
    ///
    /// # Safety
    ///
    /// Nobody may write the words while the slice lives: the caller holds a lease on their slot (lib.rs, R2 to R6).
    #[must_use]
    #[inline]
    pub unsafe fn leased(words: &[AtomicU64], len: usize) -> &[u8] {
        let len = len.min(size_of_val(words));
        // SAFETY: `len` bytes lie within the words, u8 has no alignment or invalid values, and the caller promises
        // that nobody writes them.
        unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), len) }
    }

    /// Shared words as writable plain bytes.
    ///
    /// # Safety
    ///
    /// The caller owns the slot (lib.rs, W1 to W5) and makes no other plain slice of it while this one lives.
    /// Readers without a lease may still load the words; they discard what they got when they see the stamp.
    #[allow(clippy::mut_from_ref)]
    #[must_use]
    #[inline]
    pub unsafe fn claimed(words: &[AtomicU64], len: usize) -> &mut [u8] {
        let len = len.min(size_of_val(words));
        let ptr = words.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: `len` bytes lie within the words, which are interior-mutable, so writing through the pointer is
        // allowed; the caller promises exclusiveness.
        unsafe { core::slice::from_raw_parts_mut(ptr, len) }
    }
}
#[cfg(not(loom))]
pub use plain::{claimed, leased};
