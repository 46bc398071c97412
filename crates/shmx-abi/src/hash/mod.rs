//! The hash of the format: FNV-1a with 64 bits of state and a starting value of its own (wire-format.md, section 1).

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

/// The starting value. It is not the offset basis of the published FNV-1a, and it must not be "corrected".
pub const SEED: u64 = 1_469_598_103_934_665_603;
/// The 64-bit FNV prime, 2^40 + 0x1B3.
pub const PRIME: u64 = 1_099_511_628_211;

/// Inputs shorter than this are hashed byte by byte: setting up anything else would take longer.
const SHORT: usize = 256;
/// Bytes hashed at a time while copying; a block stays in a fast cache in between.
const COPY_BLOCK: usize = 32 * 1024;

/// A way to compute the hash. All of them give the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// One byte after the other, on any machine.
    Scalar,
    /// 256-bit vectors.
    Avx2,
    /// 256-bit vectors with Galois-field and carry-less-multiplication instructions.
    Avx2Gfni,
    /// 512-bit vectors with Galois-field, carry-less-multiplication and dot-product instructions.
    Avx512,
}

impl Kernel {
    /// All kernels, the slowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx2Gfni, Self::Avx512];

    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx2Gfni => "avx2+gfni",
            Self::Avx512 => "avx512",
        }
    }

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
        return scalar::update(state, bytes);
    }
    // `best` is always supported, so the fallback only keeps this function free of panics.
    Kernel::best().update(state, bytes).unwrap_or_else(|| scalar::update(state, bytes))
}

/// Copies `src` to `dst` and continues a hash with it, block by block, so that large inputs come from memory once.
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
