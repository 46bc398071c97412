//! The hash of the format: FNV-1a with 64 bits of state and a starting value of its own (wire-format.md, section 5.4).
//!
//! # How it is computed
//!
//! Byte by byte, each step waits for a xor and a multiplication: four cycles per byte on any recent machine. Inputs of
//! 256 bytes and more, with AVX-512 of 64 bytes and more, take another way, with the same result bit for bit.
//!
//! With state `h`, its low byte `L`, input byte `b` and prime `p`, a step is `h' = (h xor b) * p`. The xor changes the
//! low byte only, so with `x = L xor b` it is an addition: `h' = (h + x - L) * p`. After `n` bytes
//!
//! ```text
//! h[n] = h[0] * p^n + sum of (x[i] - L[i]) * p^(n - i)        modulo 2^64
//! ```
//!
//! which is a dot product with constants, provided that every `L[i]` is known. Those follow from the low byte alone:
//! `L[i + 1] = 0xB3 * x[i]` modulo 256, and as 0xB3 is odd, bit `k` of that is bit `k` of `x[i]`, xor something that
//! depends on lower bits of `x[i]` only. So bit 0 of all `L[i]` is a running xor over bit 0 of the input; given that,
//! bit 1 is a running xor over known bits, and so on. A block of input is transposed into eight bit planes, and on each
//! plane in turn:
//!
//! 1. full adders on whole registers give the carries from the planes below (0xB3 * x = 3x + 16 * 3x + 128x),
//! 2. a carry-less multiplication by all ones, or six shifts and xors, gives the running xor within each 64 positions,
//! 3. the parities of the 64-position words are carried along the block, the last one into the next block.
//!
//! The planes are transposed back to bytes. The differences `x - L` are multiplied by powers of `p` cut into signed
//! 16-bit digits, with 32-bit sums that a block cannot overflow.
//!
//! What they reach: `docs/performance.md`, *The hash alone*.

mod kernel;
mod scalar;
// Interpreters and freestanding targets cannot ask the processor, or must not use its vector registers.
#[cfg_attr(
    all(target_arch = "x86_64", not(any(miri, target_env = "sgx", target_os = "none", target_os = "uefi"))),
    path = "x86/mod.rs"
)]
#[cfg_attr(
    not(all(target_arch = "x86_64", not(any(miri, target_env = "sgx", target_os = "none", target_os = "uefi")))),
    path = "portable.rs"
)]
mod machine;

pub use kernel::Kernel;
pub use scalar::PRIME;

/// The starting value. It is not the offset basis of the published FNV-1a, and it must not be "corrected".
pub const SEED: u64 = 1_469_598_103_934_665_603;

/// Inputs shorter than this are hashed byte by byte where there is no kernel for them: setting up one of the others
/// would take longer.
const SHORT: usize = 256;
/// Bytes hashed at a time while copying; a block stays in a fast cache in between.
const COPY_BLOCK: usize = 32 * 1024;

impl Kernel {
    /// Whether this machine can run it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        machine::is_supported(self)
    }

    /// The kernel that [`update`] uses for inputs of 256 bytes and more.
    #[must_use]
    pub fn best() -> Self {
        machine::best()
    }

    /// [`update`] with this kernel whatever the length; `None` if the machine cannot run it.
    #[must_use]
    pub fn update(self, state: u64, bytes: &[u8]) -> Option<u64> {
        machine::update(self, state, bytes)
    }
}

/// The 64-bit hash of `bytes`; `static_hash` of the header is this over the used directory bytes.
#[must_use]
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    update(SEED, bytes)
}

/// Continues a hash: `update(update(SEED, a), b)` is the hash of `a` followed by `b`.
#[must_use]
pub fn update(state: u64, bytes: &[u8]) -> u64 {
    if bytes.len() < SHORT {
        return machine::short(state, bytes);
    }
    // `best` is always supported, so the fallback only keeps this function free of panics.
    Kernel::best().update(state, bytes).unwrap_or_else(|| scalar::update(state, bytes))
}

/// Copies `src` to `dst` and continues a hash with it, block by block, so that each block comes from memory once.
///
/// Hashing takes most of the time: this is about as fast as [`update`] and a copy after it, not faster, unless memory
/// is the narrow place: from some MiB on.
///
/// # Panics
///
/// If the lengths differ.
pub fn copy_and_update(mut state: u64, src: &[u8], dst: &mut [u8]) -> u64 {
    assert_eq!(src.len(), dst.len(), "source and destination have the same length");
    for (src, dst) in src.chunks(COPY_BLOCK).zip(dst.chunks_mut(COPY_BLOCK)) {
        state = update(state, src);
        dst.copy_from_slice(src);
    }
    state
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
