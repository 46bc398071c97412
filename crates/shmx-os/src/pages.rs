//! Touching pages ahead of use.

use std::sync::atomic::{AtomicU8, Ordering};

/// A page of the systems that do not say.
#[cfg(not(target_os = "linux"))]
pub(crate) const SMALLEST_PAGE: usize = 4096;

/// Reads a byte of each page, so that the page table has it. It stays what it was.
pub(crate) fn touch(bytes: &[AtomicU8], page: usize) {
    for byte in bytes.iter().step_by(page) {
        // Relaxed: only the access counts.
        std::hint::black_box(byte.load(Ordering::Relaxed));
    }
}
