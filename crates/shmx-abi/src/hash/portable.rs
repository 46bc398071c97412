//! Machines without vector kernels.

use super::kernel::Kernel;
use super::scalar;

pub(super) const fn is_supported(kernel: Kernel) -> bool {
    matches!(kernel, Kernel::Scalar)
}

pub(super) const fn best() -> Kernel {
    Kernel::Scalar
}

pub(super) fn update(kernel: Kernel, state: u64, bytes: &[u8]) -> Option<u64> {
    is_supported(kernel).then(|| scalar::update(state, bytes))
}

/// Hashes a short input.
#[inline]
pub(super) fn short(state: u64, bytes: &[u8]) -> u64 {
    scalar::update(state, bytes)
}
