//! The kernel for AVX-512 with VBMI, GFNI, VPCLMULQDQ and VNNI.

use super::super::scalar;
use super::weights::{CHAIN, DIGITS, WEIGHTS};
use super::{SHORT_REST, padded, pow};
use core::arch::x86_64::*;

/// Chains side by side, one per 64-bit lane.
const LANES: usize = 8;
/// A plane of a block: `R` words per lane.
type Plane<const R: usize> = [__m512i; R];

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes read, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_words(words: &[i16; 32]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes read, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn majority(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0xE8>(a, b, c)
}

/// Byte indices that bring the bytes of two registers of eight-position groups into plane words, time reversed.
const fn gather_planes(odd: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (word, byte) = (i / 8, i % 8);
        let plane = word / 2 * 2 + odd;
        index[i] = (word % 2 * 64 + (7 - byte) * 8 + plane) as u8;
        i += 1;
    }
    index
}

/// Byte indices that bring plane words (0 4 2 6 and 1 5 3 7, two lanes each) into groups for the bit transposition.
const fn scatter_planes(lane: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (group, plane) = (i / 8, 7 - i % 8);
        let place = [0, 2, 1, 3][plane / 2];
        index[i] = (plane % 2 * 64 + (place * 2 + lane) * 8 + (7 - group)) as u8;
        i += 1;
    }
    index
}

static GATHER: [[u8; 64]; 2] = [gather_planes(0), gather_planes(1)];
static SCATTER: [[u8; 64]; 2] = [scatter_planes(0), scatter_planes(1)];

/// Bit `i` is the xor of the bits of the index below `i`.
static PREFIX: [u8; 256] = {
    let mut table = [0; 256];
    let mut m = 0;
    while m < 256 {
        let mut p = (m as u8) << 1;
        p ^= p << 1;
        p ^= p << 2;
        p ^= p << 4;
        table[m] = p;
        m += 1;
    }
    table
};

/// The 64 bytes at word `r` of lane `q`.
#[inline(always)]
fn piece<const R: usize>(block: &[u8], q: usize, r: usize) -> &[u8; 64] {
    let at = (q * R + r) * 64;
    // Cannot fail: blocks have LANES * R * 64 bytes, and the check vanishes once R is known.
    block[at..at + 64].first_chunk().unwrap_or(&[0; 64])
}

/// The bit planes of word `r` of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn planes<const R: usize>(block: &[u8], r: usize) -> [__m512i; 8] {
    let unit = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
    let (even, odd) = (load(&GATHER[0]), load(&GATHER[1]));
    let mut z = [unit; 8];
    for q in 0..LANES {
        z[q] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, load(piece::<R>(block, q, r)));
    }
    let mut t = [[unit; 4]; 2];
    for i in 0..4 {
        t[0][i] = _mm512_permutex2var_epi8(z[2 * i], even, z[2 * i + 1]);
        t[1][i] = _mm512_permutex2var_epi8(z[2 * i], odd, z[2 * i + 1]);
    }
    let mut out = [unit; 8];
    for o in 0..2 {
        let t = t[o];
        let a = [_mm512_shuffle_i64x2::<0x88>(t[0], t[1]), _mm512_shuffle_i64x2::<0xDD>(t[0], t[1])];
        let b = [_mm512_shuffle_i64x2::<0x88>(t[2], t[3]), _mm512_shuffle_i64x2::<0xDD>(t[2], t[3])];
        for i in 0..2 {
            out[2 * i + o] = _mm512_shuffle_i64x2::<0x88>(a[i], b[i]);
            out[2 * i + o + 4] = _mm512_shuffle_i64x2::<0xDD>(a[i], b[i]);
        }
    }
    out
}

/// The inverse of [`planes`]: the bytes of each lane, in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn unplanes(p: [__m512i; 8]) -> [__m512i; 8] {
    let unit = _mm512_set1_epi64(0x0102_0408_1020_4080_u64 as i64);
    let (low, high) = (load(&SCATTER[0]), load(&SCATTER[1]));
    // t[o][i]: planes o, o + 4, o + 2, o + 6 of lanes 2i and 2i + 1.
    let mut t = [[unit; 4]; 2];
    for o in 0..2 {
        let a = [_mm512_shuffle_i64x2::<0x44>(p[o], p[o + 4]), _mm512_shuffle_i64x2::<0xEE>(p[o], p[o + 4])];
        let b = [_mm512_shuffle_i64x2::<0x44>(p[o + 2], p[o + 6]), _mm512_shuffle_i64x2::<0xEE>(p[o + 2], p[o + 6])];
        for i in 0..2 {
            t[o][2 * i] = _mm512_shuffle_i64x2::<0x88>(a[i], b[i]);
            t[o][2 * i + 1] = _mm512_shuffle_i64x2::<0xDD>(a[i], b[i]);
        }
    }
    let mut out = [unit; 8];
    for i in 0..4 {
        let groups = _mm512_permutex2var_epi8(t[0][i], low, t[1][i]);
        out[2 * i] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, groups);
        let groups = _mm512_permutex2var_epi8(t[0][i], high, t[1][i]);
        out[2 * i + 1] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, groups);
    }
    out
}

/// Replaces `w`, the changes of a bit from one position to the next, by the bit itself. `start` is the bit at the
/// first position; returns the bit behind the last.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,vpclmulqdq")]
fn integrate<const R: usize>(w: &mut Plane<R>, start: u8) -> u8 {
    let ones = _mm512_set1_epi64(-1);
    let mut carry = _mm512_setzero_si512();
    let mut before = [carry; R];
    for r in 0..R {
        let a = _mm512_clmulepi64_epi128::<0x00>(w[r], ones);
        let b = _mm512_clmulepi64_epi128::<0x01>(w[r], ones);
        // High halves: the xor of all earlier positions, since the earliest has the highest bit. Low halves: their
        // top bit is the xor of all.
        w[r] = _mm512_unpackhi_epi64(a, b);
        before[r] = carry;
        carry = _mm512_xor_si512(carry, _mm512_srai_epi64::<63>(_mm512_unpacklo_epi64(a, b)));
    }
    let flips = _mm512_movepi64_mask(carry);
    let lanes = PREFIX[usize::from(flips)] ^ 0_u8.wrapping_sub(start);
    let lanes = _mm512_movm_epi64(lanes);
    for r in 0..R {
        w[r] = xor3(w[r], before[r], lanes);
    }
    start ^ (flips.count_ones() as u8 & 1)
}

/// Replaces the bit planes of a block by those of the state's low byte in front of each position.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,vpclmulqdq")]
fn low_bytes<const R: usize>(planes: &mut [Plane<R>; 8], low: u8) -> u8 {
    let zero = _mm512_setzero_si512();
    let mut next = 0;
    // x[k]: bit k of the low byte xor the input. Bit k behind the position is bit k of 179 * x, where
    // 179 * x = 3 * x + 16 * (3 * x) + 128 * x; `carry` and `carry16` are the carries of the two first sums.
    let mut x = [[zero; R]; 8];
    let mut triple = [[zero; R]; 8];
    let mut carry = [zero; R];
    let mut carry16 = [zero; R];
    for k in 0..8 {
        let mut w = planes[k];
        for r in 0..R {
            if k >= 1 {
                w[r] = xor3(w[r], x[k - 1][r], carry[r]);
            }
            if k >= 4 {
                w[r] = xor3(w[r], triple[k - 4][r], carry16[r]);
            }
            if k == 7 {
                w[r] = _mm512_xor_si512(w[r], x[0][r]);
            }
        }
        next |= integrate(&mut w, low >> k & 1) << k;
        for r in 0..R {
            let here = _mm512_xor_si512(w[r], planes[k][r]);
            x[k][r] = here;
            let below = if k >= 1 { x[k - 1][r] } else { zero };
            triple[k][r] = xor3(here, below, carry[r]);
            if k >= 4 {
                carry16[r] = majority(triple[k][r], triple[k - 4][r], carry16[r]);
            }
            carry[r] = majority(here, below, carry[r]);
        }
        planes[k] = w;
    }
    next
}

/// Hashes `LANES * R * 64` bytes: `R` words of 64 positions in each of eight chains. `R` is at most 8.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn block<const R: usize>(state: u64, low: &mut u8, block: &[u8]) -> u64 {
    let zero = _mm512_setzero_si512();
    let mut p = [[zero; R]; 8];
    for r in 0..R {
        let word = planes::<R>(block, r);
        for k in 0..8 {
            p[k][r] = word[k];
        }
    }
    *low = low_bytes(&mut p, *low);

    // What a position adds to the state: low byte xor input, minus low byte, times its power of the prime.
    let mut l = [[zero; LANES]; R];
    for r in 0..R {
        let mut word = [zero; 8];
        for k in 0..8 {
            word[k] = p[k][r];
        }
        l[r] = unplanes(word);
    }
    let plus_minus = _mm512_set1_epi16(i16::from_le_bytes([1, 0xFF]));
    let shifts = _mm512_set_epi64(48, 32, 16, 0, 48, 32, 16, 0);
    let chain = pow(64 * R as u32);
    let mut factor = 1_u64;
    let mut sum = zero;
    for half in (0..2).rev() {
        let mut acc = [[zero; DIGITS]; 4];
        for r in 0..R {
            let weights = &WEIGHTS.0[CHAIN / 64 - R + r];
            let mut d = [[zero; 2]; 4];
            for i in 0..4 {
                let q = half * 4 + i;
                let before = l[r][q];
                let after = _mm512_xor_si512(before, load(piece::<R>(block, q, r)));
                d[i][0] = _mm512_maddubs_epi16(_mm512_unpacklo_epi8(after, before), plus_minus);
                d[i][1] = _mm512_maddubs_epi16(_mm512_unpackhi_epi8(after, before), plus_minus);
            }
            for part in 0..2 {
                for digit in 0..DIGITS {
                    let weight = load_words(&weights[part][digit]);
                    for i in 0..4 {
                        acc[i][digit] = _mm512_dpwssd_epi32(acc[i][digit], d[i][part], weight);
                    }
                }
            }
        }
        for i in (0..4).rev() {
            // Each sum stays below 2^31: 128 products of at most 255 * 2^15 went into it.
            let [a, b, c, d] = acc[i];
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let eight = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
            let wide = _mm512_sllv_epi64(_mm512_cvtepi32_epi64(eight), shifts);
            sum = _mm512_add_epi64(sum, _mm512_mullo_epi64(wide, _mm512_set1_epi64(factor as i64)));
            factor = factor.wrapping_mul(chain);
        }
    }
    state.wrapping_mul(factor).wrapping_add(_mm512_reduce_add_epi64(sum) as u64)
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn large(mut state: u64, blocks: &[[u8; 4096]]) -> u64 {
    // Kept apart from `state`, so that a block need not wait for the sums of the one before.
    let mut low = state as u8;
    for b in blocks {
        state = block::<8>(state, &mut low, b);
        debug_assert_eq!(low, state as u8);
    }
    state
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn small(mut state: u64, b: &[u8; 512]) -> u64 {
    let mut low = state as u8;
    state = block::<1>(state, &mut low, b);
    debug_assert_eq!(low, state as u8);
    state
}

/// The hash of any number of bytes.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn update(mut state: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<4096>();
    state = large(state, blocks);
    let (blocks, rest) = rest.as_chunks::<512>();
    for b in blocks {
        state = small(state, b);
    }
    if rest.len() < SHORT_REST { scalar::update(state, rest) } else { padded(state, rest, |s, b| small(s, b)) }
}
