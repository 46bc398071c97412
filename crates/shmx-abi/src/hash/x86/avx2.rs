//! The kernels for AVX2, without and with GFNI and VPCLMULQDQ.
//!
//! The same as the one for AVX-512, with four lanes instead of eight, positions in natural order within a word, and one
//! block after the other. Here too the input may change under the hash.

/// The exclusive running xor of four bits, and the same bits as masks for four lanes.
static PREFIX: [u8; 16] = {
    let mut table = [0; 16];
    let mut m = 0;
    while m < 16 {
        let mut p = (m as u8) << 1;
        p ^= p << 1;
        p ^= p << 2;
        table[m] = p & 15;
        m += 1;
    }
    table
};

#[repr(align(32))]
struct Masks([[i64; 4]; 16]);

static MASKS: Masks = {
    let mut table = [[0; 4]; 16];
    let mut m = 0;
    while m < 64 {
        table[m / 4][m % 4] = -((((m / 4) >> (m % 4)) & 1) as i64);
        m += 1;
    }
    Masks(table)
};

macro_rules! kernel {
    ($features:literal, $name:ident, $transpose_bits:item, $from_planes:expr, $running_xor:item) => {
        pub(super) mod $name {
            use crate::hash::scalar;
            use crate::hash::machine::weights::{Avx2Weights, DIGITS, avx2_weights};
            use crate::hash::machine::padded::{SHORT_REST, padded};
            use crate::hash::machine::powers::pow;
            use crate::hash::machine::avx2::{MASKS, PREFIX};
            use core::arch::x86_64::*;

            const LANES: usize = 4;
            type Block<const R: usize> = [[[[u8; 16]; 4]; R]; LANES];
            type Plane<const R: usize> = [__m256i; R];

            /// Words per lane of a large and of a small block.
            const LARGE: usize = 4;
            const SMALL: usize = 1;
            static LARGE_WEIGHTS: Avx2Weights<LARGE> = avx2_weights();
            static SMALL_WEIGHTS: Avx2Weights<SMALL> = avx2_weights();

            #[inline]
            #[target_feature(enable = $features)]
            fn load_two(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
                // SAFETY: the reference covers the 16 bytes read, and the instruction needs no alignment.
                let low = unsafe { _mm_loadu_si128(low.as_ptr().cast()) };
                // SAFETY: as above.
                let high = unsafe { _mm_loadu_si128(high.as_ptr().cast()) };
                _mm256_set_m128i(high, low)
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load_words(words: &[i16; 16]) -> __m256i {
                // SAFETY: the reference covers the 32 bytes read, and the instruction needs no alignment.
                unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load_mask(mask: &[i64; 4]) -> __m256i {
                // SAFETY: the reference covers the 32 bytes read, and the instruction needs no alignment.
                unsafe { _mm256_loadu_si256(mask.as_ptr().cast()) }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
                _mm256_xor_si256(_mm256_xor_si256(a, b), c)
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn majority(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
                _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, b)), b)
            }

            #[inline]
            #[target_feature(enable = $features)]
            $transpose_bits

            #[inline]
            #[target_feature(enable = $features)]
            $running_xor

            /// Exchanges word `i` of register `j` with word `j` of register `i`, in both halves.
            #[inline]
            #[target_feature(enable = $features)]
            fn transpose_words(v: [__m256i; 8]) -> [__m256i; 8] {
                let (mut a, mut b, mut c) = (v, v, v);
                for i in 0..4 {
                    a[i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
                    a[i + 4] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
                }
                for i in [0, 1, 4, 5] {
                    let (x, y) = (a[i / 4 * 4 + i % 4 * 2], a[i / 4 * 4 + i % 4 * 2 + 1]);
                    b[i / 4 * 4 + i % 4] = _mm256_unpacklo_epi32(x, y);
                    b[i / 4 * 4 + i % 4 + 2] = _mm256_unpackhi_epi32(x, y);
                }
                for i in 0..4 {
                    c[2 * i] = _mm256_unpacklo_epi64(b[2 * i], b[2 * i + 1]);
                    c[2 * i + 1] = _mm256_unpackhi_epi64(b[2 * i], b[2 * i + 1]);
                }
                c
            }

            /// Bytes of register `v` of the eight that hold word `r` of every lane: a quarter of two words.
            #[inline]
            #[target_feature(enable = $features)]
            fn load<const R: usize>(block: &Block<R>, r: usize, v: usize) -> __m256i {
                load_two(&block[v / 4][r][v % 4], &block[2 + v / 4][r][v % 4])
            }

            /// The bit planes of word `r` of every lane.
            #[inline]
            #[target_feature(enable = $features)]
            fn planes<const R: usize>(block: &Block<R>, r: usize) -> [__m256i; 8] {
                let pairs = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
                let mut out = [pairs; 8];
                for v in 0..8 {
                    out[v] = _mm256_shuffle_epi8(transpose_bits::<true>(load(block, r, v)), pairs);
                }
                transpose_words(out)
            }

            /// Replaces plane `K` of the input by plane `K` of the low byte in front of each position; see `Work`.
            #[inline]
            #[target_feature(enable = $features)]
            fn level<const K: usize, const R: usize>(work: &mut Work<R>, low: u8) -> u8 {
                let zero = _mm256_setzero_si256();
                let mut w = [zero; R];
                let mut flip = zero;
                for r in 0..R {
                    let mut change = work.planes[K][r];
                    if K == 1 {
                        change = _mm256_xor_si256(change, work.x[r]);
                    } else if K > 1 {
                        change = xor3(change, work.x[r], work.carry[r]);
                    }
                    if K == 4 {
                        change = _mm256_xor_si256(change, work.triple[0][r]);
                    } else if K > 4 {
                        change = xor3(change, work.triple[K - 4][r], work.carry16[r]);
                    }
                    if K == 7 {
                        change = _mm256_xor_si256(change, work.triple[0][r]);
                    }
                    // The top bit is the xor of all; without the position itself, the rest is that of all before it.
                    let through = running_xor(change);
                    let before = _mm256_cmpgt_epi64(zero, flip);
                    w[r] = xor3(through, change, before);
                    flip = _mm256_xor_si256(flip, through);
                }
                let flips = _mm256_movemask_pd(_mm256_castsi256_pd(flip)) as u8 & 15;
                let start = 0_u8.wrapping_sub(low >> K & 1);
                let lanes = load_mask(&MASKS.0[usize::from((PREFIX[usize::from(flips)] ^ start) & 15)]);
                for r in 0..R {
                    let bit = _mm256_xor_si256(w[r], lanes);
                    let x = _mm256_xor_si256(bit, work.planes[K][r]);
                    work.planes[K][r] = bit;
                    if K == 0 {
                        work.triple[0][r] = x;
                    } else {
                        let (lower, carry) = (work.x[r], work.carry[r]);
                        let triple = if K == 1 { _mm256_xor_si256(x, lower) } else { xor3(x, lower, carry) };
                        if K < 4 {
                            work.triple[K][r] = triple;
                        } else if K == 4 {
                            work.carry16[r] = _mm256_and_si256(triple, work.triple[0][r]);
                        } else if K < 7 {
                            work.carry16[r] = majority(triple, work.triple[K - 4][r], work.carry16[r]);
                        }
                        if K < 7 {
                            work.carry[r] = if K == 1 { _mm256_and_si256(x, lower) } else { majority(x, lower, carry) };
                        }
                    }
                    if K < 7 {
                        work.x[r] = x;
                    }
                }
                (start ^ 0_u8.wrapping_sub(flips.count_ones() as u8 & 1)) & 1 << K
            }

            /// A block whose low bytes are being found; see the kernel for AVX-512.
            struct Work<const R: usize> {
                planes: [Plane<R>; 8],
                x: Plane<R>,
                carry: Plane<R>,
                carry16: Plane<R>,
                triple: [Plane<R>; 4],
            }

            impl<const R: usize> Work<R> {
                #[inline]
                #[target_feature(enable = $features)]
                fn new() -> Self {
                    let none = [_mm256_setzero_si256(); R];
                    Self { planes: [none; 8], x: none, carry: none, carry16: none, triple: [none; 4] }
                }
            }

            /// Hashes a block. `low` is the low byte of the state, ahead of `state` so that blocks overlap.
            #[inline]
            #[target_feature(enable = $features)]
            fn hash_block<const R: usize>(
                state: u64,
                low: &mut u8,
                block: &Block<R>,
                work: &mut Work<R>,
                weights: &Avx2Weights<R>,
            ) -> u64 {
                for r in 0..R {
                    let word = planes::<R>(block, r);
                    for k in 0..8 {
                        work.planes[k][r] = word[k];
                    }
                }
                *low = level::<0, R>(work, *low)
                    | level::<1, R>(work, *low)
                    | level::<2, R>(work, *low)
                    | level::<3, R>(work, *low)
                    | level::<4, R>(work, *low)
                    | level::<5, R>(work, *low)
                    | level::<6, R>(work, *low)
                    | level::<7, R>(work, *low);
                let zero = _mm256_setzero_si256();
                let from_planes = $from_planes;
                let from_planes = _mm256_broadcastsi128_si256(from_planes);
                let plus_minus = _mm256_set1_epi16(i16::from_le_bytes([1, 0xFF]));
                let mut sums = [zero; DIGITS];
                for r in 0..R {
                    let mut word = [zero; 8];
                    for k in 0..8 {
                        word[k] = work.planes[k][r];
                    }
                    let word = transpose_words(word);
                    for v in 0..8 {
                        let before = transpose_bits::<false>(_mm256_shuffle_epi8(word[v], from_planes));
                        let after = _mm256_xor_si256(before, load(block, r, v));
                        let low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(after, before), plus_minus);
                        let high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(after, before), plus_minus);
                        let weights = &weights.0[r][v];
                        for digit in 0..DIGITS {
                            let a = _mm256_madd_epi16(low, load_words(&weights[0][digit]));
                            let b = _mm256_madd_epi16(high, load_words(&weights[1][digit]));
                            sums[digit] = _mm256_add_epi32(sums[digit], _mm256_add_epi32(a, b));
                        }
                    }
                }
                // Each 32-bit lane holds at most 128 products of at most 255 * 2^15 and thus has not wrapped.
                let mut total = zero;
                for sum in sums.into_iter().rev() {
                    let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum));
                    let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(sum));
                    total = _mm256_add_epi64(_mm256_slli_epi64::<16>(total), _mm256_add_epi64(low, high));
                }
                let total = _mm_add_epi64(_mm256_castsi256_si128(total), _mm256_extracti128_si256::<1>(total));
                let total = _mm_cvtsi128_si64(_mm_add_epi64(total, _mm_unpackhi_epi64(total, total))) as u64;
                state.wrapping_mul(const { pow(LANES as u32 * 64 * R as u32) }).wrapping_add(total)
            }

            #[target_feature(enable = $features)]
            fn large(mut state: u64, blocks: &[Block<LARGE>]) -> u64 {
                let mut low = state as u8;
                let mut work = Work::new();
                for block in blocks {
                    state = hash_block(state, &mut low, block, &mut work, &LARGE_WEIGHTS);
                }
                state
            }

            #[target_feature(enable = $features)]
            fn small(mut state: u64, blocks: &[Block<SMALL>]) -> u64 {
                let mut low = state as u8;
                for block in blocks {
                    state = hash_block(state, &mut low, block, &mut Work::new(), &SMALL_WEIGHTS);
                }
                state
            }

            /// The hash of any number of bytes.
            #[target_feature(enable = $features)]
            pub(in super::super) fn update(mut state: u64, bytes: &[u8]) -> u64 {
                let (blocks, rest) = bytes.as_chunks::<{ LANES * LARGE * 64 }>();
                let pieces = blocks.as_flattened().as_chunks().0.as_chunks().0;
                state = large(state, pieces.as_chunks().0.as_chunks().0);
                let (blocks, rest) = rest.as_chunks::<{ LANES * SMALL * 64 }>();
                let pieces = blocks.as_flattened().as_chunks().0.as_chunks().0;
                state = small(state, pieces.as_chunks().0.as_chunks().0);
                if rest.len() < SHORT_REST {
                    return scalar::update(state, rest);
                }
                padded(state, rest, |state, block: &[u8; LANES * SMALL * 64]| {
                    small(state, block.as_chunks().0.as_chunks().0.as_chunks().0.as_chunks().0)
                })
            }
        }
    };
}

kernel!(
    "avx2",
    plain,
    /// Exchanges bit `i` of byte `j` with bit `j` of byte `i` in each 64 bits.
    fn transpose_bits<const REVERSE: bool>(x: __m256i) -> __m256i {
        let m = _mm256_set1_epi64x(0x00AA_00AA_00AA_00AA);
        let t = _mm256_and_si256(_mm256_xor_si256(x, _mm256_srli_epi64::<7>(x)), m);
        let x = xor3(x, t, _mm256_slli_epi64::<7>(t));
        let m = _mm256_set1_epi64x(0x0000_CCCC_0000_CCCC);
        let t = _mm256_and_si256(_mm256_xor_si256(x, _mm256_srli_epi64::<14>(x)), m);
        let x = xor3(x, t, _mm256_slli_epi64::<14>(t));
        let m = _mm256_set1_epi64x(0x0000_0000_F0F0_F0F0);
        let t = _mm256_and_si256(_mm256_xor_si256(x, _mm256_srli_epi64::<28>(x)), m);
        xor3(x, t, _mm256_slli_epi64::<28>(t))
    },
    _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15),
    /// The xor of each bit and all lower ones, in each 64 bits.
    fn running_xor(w: __m256i) -> __m256i {
        let w = _mm256_xor_si256(w, _mm256_slli_epi64::<1>(w));
        let w = _mm256_xor_si256(w, _mm256_slli_epi64::<2>(w));
        let w = _mm256_xor_si256(w, _mm256_slli_epi64::<4>(w));
        let w = _mm256_xor_si256(w, _mm256_slli_epi64::<8>(w));
        let w = _mm256_xor_si256(w, _mm256_slli_epi64::<16>(w));
        _mm256_xor_si256(w, _mm256_slli_epi64::<32>(w))
    }
);

kernel!(
    "avx2,gfni,vpclmulqdq",
    gfni,
    /// Exchanges bit `i` of byte `j` with bit `j` of byte `i` in each 64 bits. The instruction wants the bytes in
    /// reverse; without `REVERSE` they are so already.
    fn transpose_bits<const REVERSE: bool>(x: __m256i) -> __m256i {
        let reverse = _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
        let x = if REVERSE { _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(reverse)) } else { x };
        _mm256_gf2p8affine_epi64_epi8::<0>(_mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64), x)
    },
    _mm_setr_epi8(14, 12, 10, 8, 6, 4, 2, 0, 15, 13, 11, 9, 7, 5, 3, 1),
    /// The xor of each bit and all lower ones, in each 64 bits.
    fn running_xor(w: __m256i) -> __m256i {
        let ones = _mm256_set1_epi64x(-1);
        let even = _mm256_clmulepi64_epi128::<0x00>(w, ones);
        let odd = _mm256_clmulepi64_epi128::<0x01>(w, ones);
        _mm256_unpacklo_epi64(even, odd)
    }
);
