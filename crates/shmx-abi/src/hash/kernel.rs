//! The ways to compute the hash.

/// A way to compute the hash. All of them give the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// One byte after the other, on any machine.
    Scalar,
    /// 256-bit vectors.
    Avx2,
    /// 256-bit vectors with Galois-field, carry-less-multiplication and dot-product instructions.
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
}
