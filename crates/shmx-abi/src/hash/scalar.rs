//! One byte after the other: what the hash is, and what every other kernel is checked against.

use super::PRIME;

#[inline]
pub(super) fn update(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &b| (h ^ u64::from(b)).wrapping_mul(PRIME))
}
