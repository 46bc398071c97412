//! One byte after the other: what the hash is, and what every other kernel is checked against.

/// The 64-bit FNV prime, 2^40 + 0x1B3.
pub const PRIME: u64 = 1_099_511_628_211;

#[inline]
pub(super) fn update(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &b| (h ^ u64::from(b)).wrapping_mul(PRIME))
}
