//! Loads and sums that both kernels of AVX-512 use.

use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes read, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn load_words(words: &[i16; 32]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes read, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// `sum` plus products of neighbouring words.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn multiply_add(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // The compiler takes the intrinsic apart into two instructions, and large inputs then take a fifth longer (measured).
    // SAFETY: the instruction reads and writes the operands only, and this function enables it.
    unsafe {
        core::arch::asm!("vpdpwssd {}, {}, {}", inout(zmm_reg) sum, in(zmm_reg) a, in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}
