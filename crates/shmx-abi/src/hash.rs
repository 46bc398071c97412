//! The hash of the format: FNV-1a with 64 bits of state and a starting value of its own (wire-format.md, section 1).

/// The starting value. It is not the offset basis of the published FNV-1a, and it must not be "corrected".
pub const SEED: u64 = 1_469_598_103_934_665_603;
/// The 64-bit FNV prime, 2^40 + 0x1B3.
pub const PRIME: u64 = 1_099_511_628_211;

/// The 64-bit hash of `bytes`; `static_hash` of the header is this over the used directory bytes.
#[must_use]
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    update(SEED, bytes)
}

/// Continues a hash: `update(update(SEED, a), b)` is the hash of `a` followed by `b`.
#[must_use]
pub fn update(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &b| (h ^ u64::from(b)).wrapping_mul(PRIME))
}

/// Folds the 64-bit hash to a frame's 32-bit checksum.
#[must_use]
pub const fn fold32(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

/// The checksum of a frame's payload.
#[must_use]
pub fn checksum32(payload: &[u8]) -> u32 {
    fold32(fnv1a64(payload))
}
