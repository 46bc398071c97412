//! The kernels for AVX2, without and with GFNI, VPCLMULQDQ and AVX-VNNI.
//!
//! The same as the one for AVX-512, with four lanes instead of eight. Within a word the first position has the highest
//! bit. Here too the input may change under the hash.
//!
//! A running xor of a word that starts at its lowest bit, the last position, needs half of a carry-less product only.
//! The bit in front of a position is then the bit behind the word, xor that sum.
//!
//! The levels of a block are short steps that wait for each other, the sums of the block before it are plenty of
//! independent work: taking turns, they fill the machine.

use core::arch::x86_64::*;

/// For each start bit and each set of lanes whose bit flips: the bit behind each lane, as masks for the four lanes.
#[repr(align(32))]
struct Masks([[i64; 4]; 32]);

static MASKS: Masks = {
    let mut table = [[0; 4]; 32];
    let mut i = 0;
    while i < 32 {
        let mut bit = i / 16;
        let mut lane = 0;
        while lane < 4 {
            bit ^= i >> lane & 1;
            table[i][lane] = -(bit as i64);
            lane += 1;
        }
        i += 1;
    }
    Masks(table)
};

/// The bits of the low byte in front of the next block, each as an offset into [`MASKS`]: 0 or 16. A block takes and
/// leaves bit `k` at level `k`.
type Low = [u8; 8];

fn spread(state: u64) -> Low {
    core::array::from_fn(|k| (state as u8 >> k & 1) << 4)
}

macro_rules! kernel {
    (
        $features:literal, $name:ident, $strided:literal,
        $multiply_add:item, $to_planes:item, $to_bytes:item, $running_xor:item
    ) => {
        pub(super) mod $name {
            use crate::hash::scalar;
            use crate::hash::machine::weights::{Avx2Weights, DIGITS, avx2_weights};
            use crate::hash::machine::padded::{SHORT_REST, padded};
            use crate::hash::machine::powers::pow;
            use crate::hash::machine::avx2::{Low, MASKS, spread};
            use core::arch::x86_64::*;

            const LANES: usize = 4;
            type Block<const R: usize> = [[[[u8; 16]; 4]; R]; LANES];
            type Plane<const R: usize> = [__m256i; R];

            /// Words per lane of a large and of a small block.
            const LARGE: usize = 4;
            const SMALL: usize = 1;
            static LARGE_WEIGHTS: Avx2Weights<LARGE> = avx2_weights($strided);
            static SMALL_WEIGHTS: Avx2Weights<SMALL> = avx2_weights($strided);

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

            /// `sum` plus products of neighbouring words.
            #[inline]
            #[target_feature(enable = $features)]
            $multiply_add

            /// The planes of eight registers of input, and the input in the order in which `to_bytes` gives bytes.
            #[inline]
            #[target_feature(enable = $features)]
            $to_planes

            /// The bytes of eight planes.
            #[inline]
            #[target_feature(enable = $features)]
            $to_bytes

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

            /// A block whose low bytes are being found, bit by bit from the lowest.
            ///
            /// With `3 * x = s`, its carries `c`, and `d` the carries of `s + 16 * s`, plane `k + 1` of the low byte
            /// changes by `input ^ e ^ g`, where `e = x[k] ^ c[k + 1]` and `g = s[k - 3] ^ d[k + 1]`.
            struct Work<const R: usize> {
                /// The bytes of the input, for the sums.
                bytes: [[__m256i; 8]; R],
                /// Planes of the input; from the lowest on replaced by those of the low byte in front of each position.
                planes: [Plane<R>; 8],
                e: Plane<R>,
                /// What of the next carry does not depend on the next plane: `x[k] & c[k + 1]`.
                f: Plane<R>,
                g: Plane<R>,
                /// The same for the other sum: `s[k - 3] & d[k + 1]`.
                h: Plane<R>,
                /// Planes 0 to 3 of `s`; the first is that of `x` as well.
                triple: [Plane<R>; 4],
            }

            impl<const R: usize> Work<R> {
                #[inline]
                #[target_feature(enable = $features)]
                fn new() -> Self {
                    let none = [_mm256_setzero_si256(); R];
                    let bytes = [[none[0]; 8]; R];
                    Self { bytes, planes: [none; 8], e: none, f: none, g: none, h: none, triple: [none; 4] }
                }

                /// Takes in a block.
                #[inline]
                #[target_feature(enable = $features)]
                fn begin(&mut self, block: &Block<R>) {
                    for r in 0..R {
                        let (planes, bytes) = to_planes(core::array::from_fn(|v| load(block, r, v)));
                        self.bytes[r] = bytes;
                        for k in 0..8 {
                            self.planes[k][r] = planes[k];
                        }
                    }
                }

                /// Replaces plane `K` of the input by plane `K` of the low byte in front of each position.
                #[inline]
                #[target_feature(enable = $features)]
                fn level<const K: usize>(&mut self, low: &mut Low) {
                    let zero = _mm256_setzero_si256();
                    let mut w = [zero; R];
                    let mut flip = zero;
                    for r in (0..R).rev() {
                        let mut change = self.planes[K][r];
                        if K > 0 {
                            change = _mm256_xor_si256(change, self.e[r]);
                        }
                        if K > 3 {
                            change = _mm256_xor_si256(change, self.g[r]);
                        }
                        if K == 7 {
                            change = _mm256_xor_si256(change, self.triple[0][r]);
                        }
                        // The top bit is the xor of the whole word.
                        let behind = running_xor(change);
                        w[r] = behind;
                        if r + 1 < R {
                            w[r] = _mm256_xor_si256(w[r], _mm256_cmpgt_epi64(zero, flip));
                        }
                        flip = _mm256_xor_si256(flip, behind);
                    }
                    let flips = _mm256_movemask_pd(_mm256_castsi256_pd(flip)) as u8 & 15;
                    let lanes = load_mask(&MASKS.0[usize::from((flips | low[K]) & 31)]);
                    // The parity of the flips, from a table of one word.
                    low[K] ^= ((0x6996_u32 >> flips) as u8 & 1) << 4;
                    for r in 0..R {
                        let bit = _mm256_xor_si256(w[r], lanes);
                        let x = _mm256_xor_si256(bit, self.planes[K][r]);
                        self.planes[K][r] = bit;
                        if K == 0 {
                            (self.triple[0][r], self.e[r]) = (x, x);
                            continue;
                        }
                        if K == 7 {
                            continue;
                        }
                        let e = self.e[r];
                        let triple = _mm256_xor_si256(x, e);
                        let mut carry = _mm256_and_si256(x, e);
                        if K > 1 {
                            carry = _mm256_xor_si256(carry, self.f[r]);
                        }
                        self.e[r] = _mm256_xor_si256(x, carry);
                        self.f[r] = _mm256_and_si256(x, carry);
                        if K < 4 {
                            self.triple[K][r] = triple;
                        }
                        if K == 3 {
                            self.g[r] = self.triple[0][r];
                        } else if K > 3 {
                            let mut carry = _mm256_and_si256(triple, self.g[r]);
                            if K > 4 {
                                carry = _mm256_xor_si256(carry, self.h[r]);
                            }
                            let next = self.triple[K - 3][r];
                            self.g[r] = _mm256_xor_si256(next, carry);
                            self.h[r] = _mm256_and_si256(next, carry);
                        }
                    }
                }

                /// Adds to `sums` what the positions of word `r` contribute: low byte xor input, minus low byte, times
                /// a power of the prime. Digit by digit, since the powers are cut up so.
                #[inline]
                #[target_feature(enable = $features)]
                fn add_word(&self, r: usize, weights: &Avx2Weights<R>, sums: &mut [__m256i; DIGITS]) {
                    let plus_minus = _mm256_set1_epi16(i16::from_le_bytes([1, 0xFF]));
                    let bytes = to_bytes(core::array::from_fn(|k| self.planes[k][r]));
                    // Half a word by itself, so that products do not wait for those of the other half.
                    for half in 0..2 {
                        let mut part = [_mm256_setzero_si256(); DIGITS];
                        for v in 4 * half..4 * half + 4 {
                            let before = bytes[v];
                            let after = _mm256_xor_si256(before, self.bytes[r][v]);
                            let low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(after, before), plus_minus);
                            let high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(after, before), plus_minus);
                            let weights = &weights.0[r][v];
                            for digit in 0..DIGITS {
                                part[digit] = if v % 4 == 0 {
                                    _mm256_madd_epi16(low, load_words(&weights[0][digit]))
                                } else {
                                    multiply_add(part[digit], low, load_words(&weights[0][digit]))
                                };
                                part[digit] = multiply_add(part[digit], high, load_words(&weights[1][digit]));
                            }
                        }
                        for digit in 0..DIGITS {
                            sums[digit] = _mm256_add_epi32(sums[digit], part[digit]);
                        }
                    }
                }
            }

            /// `state` behind a block with these sums.
            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const R: usize>(state: u64, sums: [__m256i; DIGITS]) -> u64 {
                // Each 32-bit lane holds at most 128 products of at most 255 * 2^15 and thus has not wrapped.
                let mut total = _mm256_setzero_si256();
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
                let Some((block, blocks)) = blocks.split_first() else {
                    return state;
                };
                let none = [_mm256_setzero_si256(); DIGITS];
                // Kept apart from `state`, which lags behind.
                let mut low = spread(state);
                let (mut a, mut b) = (Work::new(), Work::new());
                let (mut a, mut b) = (&mut a, &mut b);
                all_levels(a, block, &mut low);
                for block in blocks {
                    core::mem::swap(&mut a, &mut b);
                    let mut sums = none;
                    a.begin(block);
                    a.level::<0>(&mut low);
                    a.level::<1>(&mut low);
                    b.add_word(0, &LARGE_WEIGHTS, &mut sums);
                    a.level::<2>(&mut low);
                    a.level::<3>(&mut low);
                    b.add_word(1, &LARGE_WEIGHTS, &mut sums);
                    a.level::<4>(&mut low);
                    a.level::<5>(&mut low);
                    b.add_word(2, &LARGE_WEIGHTS, &mut sums);
                    a.level::<6>(&mut low);
                    a.level::<7>(&mut low);
                    b.add_word(3, &LARGE_WEIGHTS, &mut sums);
                    state = finish::<LARGE>(state, sums);
                }
                let mut sums = none;
                for r in 0..LARGE {
                    a.add_word(r, &LARGE_WEIGHTS, &mut sums);
                }
                finish::<LARGE>(state, sums)
            }

            /// Finds the low bytes of a block.
            #[inline]
            #[target_feature(enable = $features)]
            fn all_levels<const R: usize>(work: &mut Work<R>, block: &Block<R>, low: &mut Low) {
                work.begin(block);
                work.level::<0>(low);
                work.level::<1>(low);
                work.level::<2>(low);
                work.level::<3>(low);
                work.level::<4>(low);
                work.level::<5>(low);
                work.level::<6>(low);
                work.level::<7>(low);
            }

            #[target_feature(enable = $features)]
            fn small(mut state: u64, blocks: &[Block<SMALL>]) -> u64 {
                let mut low = spread(state);
                for block in blocks {
                    let mut work = Work::new();
                    let mut sums = [_mm256_setzero_si256(); DIGITS];
                    all_levels(&mut work, block, &mut low);
                    work.add_word(0, &SMALL_WEIGHTS, &mut sums);
                    state = finish::<SMALL>(state, sums);
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
    true,
    fn multiply_add(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
    },
    fn to_planes(input: [__m256i; 8]) -> ([__m256i; 8], [__m256i; 8]) {
        // The bits of eight registers are transposed, so register `i` has to hold every eighth byte, from 7 - i on.
        let pairs = _mm256_broadcastsi128_si256(_mm_setr_epi8(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0));
        // The first positions go to the top.
        let bytes = transpose_words(core::array::from_fn(|v| _mm256_shuffle_epi8(input[v ^ 3], pairs)));
        (crate::hash::machine::avx2::transpose_bits(bytes), bytes)
    },
    fn to_bytes(planes: [__m256i; 8]) -> [__m256i; 8] {
        crate::hash::machine::avx2::transpose_bits(planes)
    },
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

/// Exchanges bit `i` of a byte of register `j` with bit `j` of the same byte of register `i`.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_bits(mut v: [__m256i; 8]) -> [__m256i; 8] {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn exchange<const SHIFT: i32>(v: &mut [__m256i; 8], i: usize, mask: i8) {
        let j = i + SHIFT as usize;
        let t = _mm256_xor_si256(_mm256_srli_epi64::<SHIFT>(v[i]), v[j]);
        let t = _mm256_and_si256(t, _mm256_set1_epi8(mask));
        v[j] = _mm256_xor_si256(v[j], t);
        v[i] = _mm256_xor_si256(v[i], _mm256_slli_epi64::<SHIFT>(t));
    }
    for i in [0, 1, 2, 3] {
        exchange::<4>(&mut v, i, 0x0F);
    }
    for i in [0, 1, 4, 5] {
        exchange::<2>(&mut v, i, 0x33);
    }
    for i in [0, 2, 4, 6] {
        exchange::<1>(&mut v, i, 0x55);
    }
    v
}

kernel!(
    "avx2,gfni,vpclmulqdq,avxvnni",
    gfni,
    false,
    fn multiply_add(mut sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // The compiler takes the intrinsic apart into two instructions.
        // SAFETY: the instruction reads and writes the operands only, and this function enables it.
        unsafe {
            core::arch::asm!("{{vex}} vpdpwssd {}, {}, {}", inout(ymm_reg) sum, in(ymm_reg) a, in(ymm_reg) b,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    },
    fn to_planes(input: [__m256i; 8]) -> ([__m256i; 8], [__m256i; 8]) {
        let unit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let pairs = _mm256_broadcastsi128_si256(_mm_setr_epi8(8, 0, 9, 1, 10, 2, 11, 3, 12, 4, 13, 5, 14, 6, 15, 7));
        // The instruction gives the first position the highest bit of a byte; so go the bytes of a word.
        let groups = |v: usize| _mm256_shuffle_epi8(_mm256_gf2p8affine_epi64_epi8::<0>(unit, input[v ^ 3]), pairs);
        (transpose_words(core::array::from_fn(groups)), input)
    },
    fn to_bytes(planes: [__m256i; 8]) -> [__m256i; 8] {
        let unit = _mm256_set1_epi64x(0x0102_0408_1020_4080_u64 as i64);
        let groups = _mm256_broadcastsi128_si256(_mm_setr_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0));
        let words = transpose_words(planes);
        let bytes = |v: usize| _mm256_gf2p8affine_epi64_epi8::<0>(unit, _mm256_shuffle_epi8(words[v ^ 3], groups));
        core::array::from_fn(bytes)
    },
    /// The xor of each bit and all lower ones, in each 64 bits.
    fn running_xor(w: __m256i) -> __m256i {
        let ones = _mm256_set1_epi64x(-1);
        let even = _mm256_clmulepi64_epi128::<0x00>(w, ones);
        let odd = _mm256_clmulepi64_epi128::<0x01>(w, ones);
        _mm256_unpacklo_epi64(even, odd)
    }
);
