//! The only place atomics come from, so that loom's can stand in under `--cfg loom`.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Stands between two `SeqCst` accesses whose order matters. Loom takes such accesses for mere acquire and release ones
/// and needs a fence to see what the language promises; elsewhere this is nothing.
///
/// As the fence also hides what the accesses do as acquire and release ones, `cargo xtask orderings` looks at those
/// with `--cfg loom_weak_sc`, which leaves it out.
#[inline]
pub fn sc_access_fence() {
    #[cfg(all(loom, not(loom_weak_sc)))]
    fence(Ordering::SeqCst);
}
