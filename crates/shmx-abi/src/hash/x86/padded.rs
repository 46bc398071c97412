//! Rests of less than a block, by means of a kernel for a whole one.

use super::powers::inverse_pow;

/// Shortest rest that is worth a padded block; measured, and not critical.
pub(super) const SHORT_REST: usize = 144;

/// Hashes fewer than `N` bytes by means of a kernel for exactly `N`.
///
/// A zero byte multiplies the state by `PRIME` and does nothing else, so zeros behind the rest are taken back by
/// multiplying with the inverse.
#[inline]
pub(super) fn padded<const N: usize>(state: u64, rest: &[u8], kernel: impl FnOnce(u64, &[u8; N]) -> u64) -> u64 {
    let mut block = [0; N];
    let zeros = (N - rest.len()) as u32;
    block[..rest.len()].copy_from_slice(rest);
    kernel(state, &block).wrapping_mul(inverse_pow(zeros))
}
