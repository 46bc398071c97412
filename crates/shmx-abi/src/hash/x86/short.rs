//! The kernel for at most 256 bytes, with the instructions of AVX-512 on registers of 128 bits.
//!
//! What counts here is how long one step waits for the one before it. A register holds one plane of 128 positions, as
//! two words of 64; within a word the first position has the highest bit. With the notation of the module above
//! (`3 * x = s`, its carries `c`, and `d` the carries of `s + 16 * s`), the change of bit `k + 1` along the positions is
//!
//! ```text
//! change[k + 1] = input[k + 1] ^ x[k] ^ c[k] ^ s[k - 3] ^ d[k]          (s from k = 3 on, d from k = 4 on)
//!          c[k] = x[k] & e ^ f                  with e = x[k - 1] ^ c[k - 1] and f = x[k - 1] & c[k - 1]
//!          d[k] = x[k] & g ^ h'                 with g = s[k - 4] ^ d[k - 1] and h' = e & g ^ s[k - 4] & d[k - 1]
//! ```
//!
//! so it is `x[k] & mask ^ rest`, where mask and rest depend on lower bits only and are ready before `x[k]` is. From one
//! change to the next there are then: the carry-less product, the move of its halves, and one instruction with three
//! operands.

use super::powers::{inverse_pow, pow};
use super::vector::{load, load_words, multiply_add};
use super::weights::{AVX512_WEIGHTS, DIGITS, UNITS};
use core::arch::x86_64::*;

/// Planes of `128 * R` positions.
type Plane<const R: usize> = [__m128i; R];

/// Truth tables for three operands, made of those of the operands.
const A: i32 = 0xF0;
const B: i32 = 0xCC;
const C: i32 = 0xAA;
const XOR3: i32 = A ^ B ^ C;
/// `a & b ^ c`
const AND_XOR: i32 = A & B ^ C;
/// `a & !b ^ c`
const AND_NOT_XOR: i32 = A & !B & 0xFF ^ C;
/// `a & (b ^ c)`
const XOR_AND: i32 = A & (B ^ C);
/// `!(a ^ b)`, whatever `c`
const XNOR: i32 = !(A ^ B) & 0xFF;

/// Byte indices that bring the groups of two registers, one byte per plane, into four plane registers, time reversed.
const fn to_planes(first: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (plane, word, byte) = (first + i / 16, i / 8 % 2, i % 8);
        index[i] = (word * 64 + (7 - byte) * 8 + plane) as u8;
        i += 1;
    }
    index
}

/// Byte indices that bring two times four plane registers back into the groups of a word.
const fn to_groups(word: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (group, plane) = (i / 8, 7 - i % 8);
        index[i] = (plane / 4 * 64 + plane % 4 * 16 + word * 8 + (7 - group)) as u8;
        i += 1;
    }
    index
}

static TO_PLANES: [[u8; 64]; 2] = [to_planes(0), to_planes(4)];
static TO_GROUPS: [[u8; 64]; 2] = [to_groups(0), to_groups(1)];

/// The planes between two levels.
struct Levels<const R: usize> {
    /// Planes of the input.
    input: [Plane<R>; 8],
    /// Planes of the low byte in front of each position, as far as they are known.
    low: [Plane<R>; 8],
    /// Planes of `s`, as far as they are known and needed.
    triple: [Plane<R>; 4],
    /// The change of the next plane from each position to the next.
    change: Plane<R>,
    e: Plane<R>,
    f: Plane<R>,
    g: Plane<R>,
    /// `h'`
    h: Plane<R>,
}

/// Finds plane `K` of the low byte, and the change of the next.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn level<const K: usize, const R: usize>(levels: &mut Levels<R>, state: u64) {
    let none = _mm_setzero_si128();
    let ones = _mm_set1_epi64x(-1);
    let start = _mm_set1_epi64x(-((state >> K & 1) as i64));
    // The xor of all positions in the registers before, in all bits.
    let mut before = none;
    for r in 0..R {
        let (input, change) = (levels.input[K][r], levels.change[r]);
        let (e, f, g, h) = (levels.e[r], levels.f[r], levels.g[r], levels.h[r]);

        // What does not depend on this level.
        let flipped = _mm_xor_si128(input, start);
        let mask = _mm_ternarylogic_epi64::<XNOR>(change, input, none);
        let second = _mm_maskz_ternarylogic_epi64::<XNOR>(0b10, change, input, none);
        let mut rest = none;
        if K < 7 {
            rest = levels.input[K + 1][r];
            if K >= 3 {
                rest = _mm_xor_si128(rest, levels.triple[K - 3][r]);
            }
            if K == 6 {
                rest = _mm_xor_si128(rest, levels.triple[0][r]);
            }
            rest = _mm_ternarylogic_epi64::<XOR3>(rest, h, _mm_ternarylogic_epi64::<AND_XOR>(flipped, mask, f));
        }

        // High halves of the products: the xor of all earlier positions of the word, since the earliest has the highest
        // bit. Both halves of one, added up, have the xor of all positions in every bit.
        let first = _mm_clmulepi64_si128::<0x00>(change, ones);
        let last = _mm_clmulepi64_si128::<0x01>(change, ones);
        let turned = _mm_shuffle_epi32::<0x4E>(first);
        let high = _mm_unpackhi_epi64(first, last);
        if K < 7 {
            let mut next = _mm_ternarylogic_epi64::<AND_XOR>(first, second, rest);
            next = _mm_ternarylogic_epi64::<AND_XOR>(turned, second, next);
            if r > 0 {
                next = _mm_ternarylogic_epi64::<AND_XOR>(before, mask, next);
            }
            levels.change[r] = _mm_ternarylogic_epi64::<AND_XOR>(high, mask, next);
        }

        // What the levels behind need of this one.
        let mut low = _mm_ternarylogic_epi64::<XOR3>(start, high, _mm_maskz_xor_epi64(0b10, first, turned));
        if r > 0 {
            low = _mm_xor_si128(low, before);
        }
        if r + 1 < R {
            let all = _mm_xor_si128(last, _mm_shuffle_epi32::<0x4E>(last));
            before = _mm_ternarylogic_epi64::<XOR3>(before, all, _mm_xor_si128(first, turned));
        }
        levels.low[K][r] = low;
        let x = _mm_xor_si128(low, input);
        if K < 4 {
            levels.triple[K][r] = _mm_xor_si128(x, e);
        }
        if K < 6 {
            levels.e[r] = _mm_ternarylogic_epi64::<AND_NOT_XOR>(x, e, f);
            levels.f[r] = _mm_ternarylogic_epi64::<XOR_AND>(x, e, f);
            let e = levels.e[r];
            if K == 3 {
                levels.g[r] = levels.triple[0][r];
                levels.h[r] = _mm_and_si128(e, levels.triple[0][r]);
            } else if K > 3 {
                let triple = levels.triple[K - 3][r];
                let d = _mm_ternarylogic_epi64::<AND_XOR>(x, g, h);
                levels.g[r] = _mm_xor_si128(triple, d);
                levels.h[r] = _mm_ternarylogic_epi64::<AND_XOR>(e, levels.g[r], _mm_and_si128(triple, d));
            }
        }
    }
}

/// The hash of at most `128 * R` bytes. `R` is 1 or 2.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn hash<const R: usize>(state: u64, bytes: &[u8]) -> u64 {
    const { assert!(R == 1 || R == 2) };
    debug_assert!(bytes.len() <= 128 * R);
    let unit = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
    let none = [_mm_setzero_si128(); R];
    let mut levels = Levels::<R> {
        input: [none; 8],
        low: [none; 8],
        triple: [none; 4],
        change: none,
        e: none,
        f: none,
        g: none,
        h: none,
    };
    let mut input = [[unit; 2]; R];
    for r in 0..R {
        for word in 0..2 {
            // A place outside of the bytes would be valid too, and slow where it is in no page.
            let part = bytes.get(128 * r + 64 * word..).unwrap_or(&bytes[..0]);
            let mask = if part.len() >= 64 { u64::MAX } else { (1 << part.len()) - 1 };
            // SAFETY: the mask selects bytes of `part` only, and what it does not select is not accessed.
            input[r][word] = unsafe { _mm512_maskz_loadu_epi8(mask, part.as_ptr().cast()) };
        }
        let groups = input[r].map(|bytes| _mm512_gf2p8affine_epi64_epi8::<0>(unit, bytes));
        for half in 0..2 {
            let planes = _mm512_permutex2var_epi8(groups[0], load(&TO_PLANES[half]), groups[1]);
            levels.input[4 * half][r] = _mm512_castsi512_si128(planes);
            levels.input[4 * half + 1][r] = _mm512_extracti64x2_epi64::<1>(planes);
            levels.input[4 * half + 2][r] = _mm512_extracti64x2_epi64::<2>(planes);
            levels.input[4 * half + 3][r] = _mm512_extracti64x2_epi64::<3>(planes);
        }
        levels.change[r] = levels.input[0][r];
    }
    level::<0, R>(&mut levels, state);
    level::<1, R>(&mut levels, state);
    level::<2, R>(&mut levels, state);
    level::<3, R>(&mut levels, state);
    level::<4, R>(&mut levels, state);
    level::<5, R>(&mut levels, state);
    level::<6, R>(&mut levels, state);
    level::<7, R>(&mut levels, state);

    let back = _mm512_set1_epi64(0x0102_0408_1020_4080_u64 as i64);
    let plus_minus = _mm512_set1_epi16(i16::from_le_bytes([1, 0xFF]));
    // Two of each digit, so that fewer additions wait for each other.
    let mut sums = [[_mm512_setzero_si512(); DIGITS]; 2];
    for r in 0..R {
        let mut planes = [unit; 2];
        for half in 0..2 {
            let p = |k: usize| levels.low[4 * half + k][r];
            let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(p(0)), p(1));
            // The last plane, which all wait for, by itself.
            let three = _mm512_inserti64x2::<2>(_mm512_castsi256_si512(low), p(2));
            planes[half] = _mm512_inserti64x2::<3>(three, p(3));
        }
        for word in 0..2 {
            let groups = _mm512_permutex2var_epi8(planes[0], load(&TO_GROUPS[word]), planes[1]);
            let before = _mm512_gf2p8affine_epi64_epi8::<0>(back, groups);
            let after = _mm512_xor_si512(before, input[r][word]);
            let weights = &AVX512_WEIGHTS.0[UNITS - 2 * R + 2 * r + word];
            let low = _mm512_maddubs_epi16(_mm512_unpacklo_epi8(after, before), plus_minus);
            let high = _mm512_maddubs_epi16(_mm512_unpackhi_epi8(after, before), plus_minus);
            for digit in 0..DIGITS {
                sums[word][digit] = multiply_add(sums[word][digit], low, load_words(&weights[0][digit]));
                sums[word][digit] = multiply_add(sums[word][digit], high, load_words(&weights[1][digit]));
            }
        }
    }
    let sums = core::array::from_fn(|digit| _mm512_add_epi32(sums[0][digit], sums[1][digit]));
    let zeros = (128 * R - bytes.len()) as u32;
    state.wrapping_mul(const { pow(128 * R as u32) }).wrapping_add(total(sums)).wrapping_mul(inverse_pow(zeros))
}

/// The total of digit sums. At most 256 products of at most 255 * 2^15 were added up, so 32 bits hold each digit's.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn total([d0, d1, d2, d3]: [__m512i; DIGITS]) -> u64 {
    let low = _mm512_add_epi32(_mm512_unpacklo_epi32(d0, d1), _mm512_unpackhi_epi32(d0, d1));
    let high = _mm512_add_epi32(_mm512_unpacklo_epi32(d2, d3), _mm512_unpackhi_epi32(d2, d3));
    let four = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    let two = _mm256_add_epi32(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64::<1>(four));
    let one = _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256::<1>(two));
    let [low, high] = [_mm_extract_epi64::<0>(one), _mm_extract_epi64::<1>(one)];
    let (d0, d1, d2, d3) = (i64::from(low as i32), low >> 32 << 16, high << 32, high >> 32 << 48);
    d0.wrapping_add(d1).wrapping_add(d2).wrapping_add(d3) as u64
}
