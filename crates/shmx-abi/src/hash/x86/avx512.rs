//! The kernel for AVX-512 with VBMI, GFNI, VPCLMULQDQ and VNNI.
//!
//! A block is eight lanes of consecutive bytes, one per 64-bit lane of a register, each of `R` words of 64 positions.
//! Within a word the first position has the highest bit: so the bit transposition leaves it. The low half of the
//! carry-less product is then the xor of a position and all later ones. The bit in front of a position is that, xor the
//! bit behind the word.
//!
//! A block is read twice, and another process may change the input in between: a payload lies in shared memory. The
//! result is then a hash of nothing in particular. Nothing but the result may depend on input.

use super::super::scalar;
use super::padded::padded;
use super::powers::pow;
use super::short;
use super::vector::{load, load_words, multiply_add};
use super::weights::{AVX512_WEIGHTS, DIGITS, UNITS};
use core::arch::x86_64::*;

/// Chains side by side, one per 64-bit lane.
const LANES: usize = 8;
/// A plane of a block: `R` words per lane.
type Plane<const R: usize> = [__m512i; R];
/// A block of bytes: eight lanes of `R` words of 64 positions.
type Block<const R: usize> = [[[u8; 64]; R]; LANES];
/// The eight planes of a block.
type Planes<const R: usize> = [Plane<R>; 8];
/// Words per lane of a large and of a small block.
const LARGE: usize = 4;
const SMALL: usize = 1;
/// Shortest input that is not faster byte by byte; measured.
pub(super) const TINY: usize = 64;

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
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

/// Bit `i` is the xor of the bits of the index up to `i`.
static PREFIX: [u8; 256] = {
    let mut table = [0; 256];
    let mut m = 0;
    while m < 256 {
        let mut p = m as u8;
        p ^= p << 1;
        p ^= p << 2;
        p ^= p << 4;
        table[m] = p;
        m += 1;
    }
    table
};

/// The bit planes of word `r` of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn planes<const R: usize>(block: &Block<R>, r: usize) -> [__m512i; 8] {
    let unit = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
    let (even, odd) = (load(&GATHER[0]), load(&GATHER[1]));
    let mut z = [unit; 8];
    for q in 0..LANES {
        z[q] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, load(&block[q][r]));
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

/// The inverse of [`planes`]: the bytes of each lane, in order, for the first or the second four lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn unplanes(p: [__m512i; 8], half: usize) -> [__m512i; 4] {
    let unit = _mm512_set1_epi64(0x0102_0408_1020_4080_u64 as i64);
    let (low, high) = (load(&SCATTER[0]), load(&SCATTER[1]));
    // t[o][i]: planes o, o + 4, o + 2, o + 6 of lanes 2i and 2i + 1 of the four.
    let mut t = [[unit; 2]; 2];
    for o in 0..2 {
        let (a, b) = if half == 0 {
            (_mm512_shuffle_i64x2::<0x44>(p[o], p[o + 4]), _mm512_shuffle_i64x2::<0x44>(p[o + 2], p[o + 6]))
        } else {
            (_mm512_shuffle_i64x2::<0xEE>(p[o], p[o + 4]), _mm512_shuffle_i64x2::<0xEE>(p[o + 2], p[o + 6]))
        };
        t[o][0] = _mm512_shuffle_i64x2::<0x88>(a, b);
        t[o][1] = _mm512_shuffle_i64x2::<0xDD>(a, b);
    }
    let mut out = [unit; 4];
    for i in 0..2 {
        let groups = _mm512_permutex2var_epi8(t[0][i], low, t[1][i]);
        out[2 * i] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, groups);
        let groups = _mm512_permutex2var_epi8(t[0][i], high, t[1][i]);
        out[2 * i + 1] = _mm512_gf2p8affine_epi64_epi8::<0>(unit, groups);
    }
    out
}

/// Adds to `sums` what the positions of word `r` of four lanes contribute: low byte xor input, minus low byte, times a
/// power of the prime. Digit by digit, since the powers are cut up so.
///
/// A macro because it must be inlined where it fills the waits of levels.
macro_rules! add_word {
    ($r_count:ident, $block:expr, $planes:expr, $r:expr, $half:expr, $sums:expr) => {{
        let plus_minus = _mm512_set1_epi16(i16::from_le_bytes([1, 0xFF]));
        let mut word = [plus_minus; 8];
        for k in 0..8 {
            word[k] = $planes[k][$r];
        }
        let word = unplanes(word, $half);
        for i in 0..4 {
            let q = $half * 4 + i;
            let before = word[i];
            let after = _mm512_xor_si512(before, load(&$block[q][$r]));
            let weights = &AVX512_WEIGHTS.0[UNITS - LANES * $r_count + q * $r_count + $r];
            let low = _mm512_maddubs_epi16(_mm512_unpacklo_epi8(after, before), plus_minus);
            let high = _mm512_maddubs_epi16(_mm512_unpackhi_epi8(after, before), plus_minus);
            for digit in 0..DIGITS {
                $sums[digit] = multiply_add($sums[digit], low, load_words(&weights[0][digit]));
                $sums[digit] = multiply_add($sums[digit], high, load_words(&weights[1][digit]));
            }
        }
    }};
}

/// Adds up what a whole block contributes.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn add_block<const R: usize>(block: &Block<R>, planes: &Planes<R>) -> [__m512i; DIGITS] {
    let mut sums = [_mm512_setzero_si512(); DIGITS];
    for r in 0..R {
        add_word!(R, block, planes, r, 0, sums);
        add_word!(R, block, planes, r, 1, sums);
    }
    sums
}

/// The total of digit sums. Each 32-bit lane holds at most 128 products of at most 255 * 2^15 and thus has not wrapped.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn total(sums: [__m512i; DIGITS]) -> u64 {
    let mut total = _mm512_setzero_si512();
    for sum in sums.into_iter().rev() {
        let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum));
        let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(sum));
        total = _mm512_add_epi64(_mm512_slli_epi64::<16>(total), _mm512_add_epi64(low, high));
    }
    _mm512_reduce_add_epi64(total) as u64
}

/// A block whose low bytes are being found, bit by bit from the lowest.
///
/// With x the low byte xor the input, the low byte behind a position is 179 * x, and
/// 179 * x = 3 * x + 16 * (3 * x) + 128 * x. So bit `k` behind the position is bit `k` of x, xor bits and carries that
/// depend on lower bits of x only.
struct Work<const R: usize> {
    /// Planes of the input; from the lowest on replaced by planes of the low byte in front of each position.
    planes: Planes<R>,
    /// The newest plane of x.
    x: Plane<R>,
    /// Carry of x + 2 * x into the next plane.
    carry: Plane<R>,
    /// Carry of 3 * x + 16 * (3 * x) into the next plane.
    carry16: Plane<R>,
    /// Planes 0 to 3 of 3 * x; the first is that of x as well.
    triple: [Plane<R>; 4],
}

impl<const R: usize> Work<R> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
    fn new() -> Self {
        let none = [_mm512_setzero_si512(); R];
        Self { planes: [none; 8], x: none, carry: none, carry16: none, triple: [none; 4] }
    }
}

/// First half of a level: integrates the changes of bit `K` from one position to the next within each lane. Returns
/// the result, and in which lanes the bit behind the last position differs from the one in front of the first.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn integrate<const K: usize, const R: usize>(work: &Work<R>) -> (Plane<R>, u8) {
    let ones = _mm512_set1_epi64(-1);
    let mut w = [ones; R];
    let mut flip = _mm512_setzero_si512();
    for r in (0..R).rev() {
        let mut change = work.planes[K][r];
        if K == 1 {
            change = _mm512_xor_si512(change, work.x[r]);
        } else if K > 1 {
            change = xor3(change, work.x[r], work.carry[r]);
        }
        if K == 4 {
            change = _mm512_xor_si512(change, work.triple[0][r]);
        } else if K > 4 {
            change = xor3(change, work.triple[K - 4][r], work.carry16[r]);
        }
        if K == 7 {
            change = _mm512_xor_si512(change, work.triple[0][r]);
        }
        let a = _mm512_clmulepi64_epi128::<0x00>(change, ones);
        let b = _mm512_clmulepi64_epi128::<0x01>(change, ones);
        // Low halves: the xor of this and all later positions, since the latest has the lowest bit; on top that of all.
        let behind = _mm512_unpacklo_epi64(a, b);
        if r + 1 == R {
            (w[r], flip) = (behind, behind);
        } else {
            w[r] = _mm512_xor_si512(behind, _mm512_srai_epi64::<63>(flip));
            flip = _mm512_xor_si512(flip, behind);
        }
    }
    (w, _mm512_movepi64_mask(flip))
}

/// Second half of a level: carries `start`, the bit in front of the first position, through the lanes, replaces plane
/// `K` and prepares the next level. Leaves the bit behind the last position in `start`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn settle<const K: usize, const R: usize>(work: &mut Work<R>, (w, flips): (Plane<R>, u8), start: &mut u8) {
    let lanes = _mm512_movm_epi64(PREFIX[usize::from(flips)] ^ *start);
    *start ^= 0_u8.wrapping_sub(flips.count_ones() as u8 & 1);
    for r in 0..R {
        let bit = _mm512_xor_si512(w[r], lanes);
        let x = xor3(w[r], lanes, work.planes[K][r]);
        work.planes[K][r] = bit;
        if K == 0 {
            work.triple[0][r] = x;
        } else {
            let (lower, carry) = (work.x[r], work.carry[r]);
            let triple = if K == 1 { _mm512_xor_si512(x, lower) } else { xor3(x, lower, carry) };
            if K < 4 {
                work.triple[K][r] = triple;
            } else if K == 4 {
                work.carry16[r] = _mm512_and_si512(triple, work.triple[0][r]);
            } else if K < 7 {
                work.carry16[r] = majority(triple, work.triple[K - 4][r], work.carry16[r]);
            }
            if K < 7 {
                work.carry[r] = if K == 1 { _mm512_and_si512(x, lower) } else { majority(x, lower, carry) };
            }
        }
        if K < 7 {
            work.x[r] = x;
        }
    }
}

/// The bits of the low byte in front of the next block, each repeated eight times. A block takes and leaves bit `k` at
/// level `k`, so blocks can be at different levels at a time.
type Low = [u8; 8];

fn spread(state: u64) -> Low {
    core::array::from_fn(|k| 0_u8.wrapping_sub(state as u8 >> k & 1))
}

/// Takes in a block.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn begin<const R: usize>(block: &Block<R>, work: &mut Work<R>) {
    for r in 0..R {
        let word = planes::<R>(block, r);
        for k in 0..8 {
            work.planes[k][r] = word[k];
        }
    }
}

/// Levels 0 to 3 of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn lower_levels<const R: usize>(work: &mut Work<R>, low: &mut Low) {
    settle::<0, R>(work, integrate::<0, R>(work), &mut low[0]);
    settle::<1, R>(work, integrate::<1, R>(work), &mut low[1]);
    settle::<2, R>(work, integrate::<2, R>(work), &mut low[2]);
    settle::<3, R>(work, integrate::<3, R>(work), &mut low[3]);
}

/// Levels 4 to 7 of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn upper_levels<const R: usize>(work: &mut Work<R>, low: &mut Low) {
    settle::<4, R>(work, integrate::<4, R>(work), &mut low[4]);
    settle::<5, R>(work, integrate::<5, R>(work), &mut low[5]);
    settle::<6, R>(work, integrate::<6, R>(work), &mut low[6]);
    settle::<7, R>(work, integrate::<7, R>(work), &mut low[7]);
}

/// Keeps the compiler from moving work past this point, in either direction.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn pin(a: &mut u8, b: &mut u8, sums: &mut [__m512i; DIGITS]) {
    let (mut a32, mut b32) = (u32::from(*a), u32::from(*b));
    let [s0, s1, s2, s3] = sums;
    // SAFETY: there is no instruction.
    unsafe {
        core::arch::asm!("/* {0:e} {1:e} {2} {3} {4} {5} */", inout(reg) a32, inout(reg) b32, inout(zmm_reg) *s0,
            inout(zmm_reg) *s1, inout(zmm_reg) *s2, inout(zmm_reg) *s3, options(nomem, nostack, preserves_flags));
    }
    (*a, *b) = (a32 as u8, b32 as u8);
}

/// Levels 0 to 3 of block `a`, 4 to 7 of the block `b` before it, and the sums of the block `c` before that.
///
/// Levels are chains of short steps with long waits, sums are plenty of independent work: taking turns, they fill the
/// machine.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn three_at_once(
    a: &mut Work<LARGE>,
    b: &mut Work<LARGE>,
    c: (&Block<LARGE>, &Work<LARGE>),
    low: &mut Low,
) -> [__m512i; DIGITS] {
    let mut sums = [_mm512_setzero_si512(); DIGITS];
    macro_rules! step {
        ($lower:literal, $upper:literal) => {
            let mut lower = integrate::<$lower, LARGE>(a);
            let mut upper = integrate::<$upper, LARGE>(b);
            pin(&mut lower.1, &mut upper.1, &mut sums);
            add_word!(LARGE, c.0, c.1.planes, $lower, 0, sums);
            pin(&mut lower.1, &mut upper.1, &mut sums);
            settle::<$lower, LARGE>(a, lower, &mut low[$lower]);
            settle::<$upper, LARGE>(b, upper, &mut low[$upper]);
            add_word!(LARGE, c.0, c.1.planes, $lower, 1, sums);
        };
    }
    step!(0, 4);
    step!(1, 5);
    step!(2, 6);
    step!(3, 7);
    sums
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn large(mut state: u64, blocks: &[Block<LARGE>]) -> u64 {
    const FACTOR: u64 = pow(512 * LARGE as u32);
    let Some((mut second, blocks)) = blocks.split_first() else {
        return state;
    };
    // Kept apart from `state`, which lags behind.
    let mut low = spread(state);
    let (mut a, mut b, mut c) = (Work::new(), Work::new(), Work::new());
    let (mut a, mut b, mut c) = (&mut a, &mut b, &mut c);
    begin(second, b);
    lower_levels(b, &mut low);
    if let Some((next, blocks)) = blocks.split_first() {
        upper_levels(b, &mut low);
        let mut third = second;
        second = next;
        core::mem::swap(&mut b, &mut c);
        begin(second, b);
        lower_levels(b, &mut low);
        for first in blocks {
            begin(first, a);
            let sums = three_at_once(a, b, (third, c), &mut low);
            state = state.wrapping_mul(FACTOR).wrapping_add(total(sums));
            (a, b, c) = (c, a, b);
            (second, third) = (first, second);
        }
        state = state.wrapping_mul(FACTOR).wrapping_add(total(add_block(third, &c.planes)));
    }
    upper_levels(b, &mut low);
    state = state.wrapping_mul(FACTOR).wrapping_add(total(add_block(second, &b.planes)));
    state
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
fn small(state: u64, block: &Block<SMALL>) -> u64 {
    let mut work = Work::new();
    let mut low = spread(state);
    begin(block, &mut work);
    lower_levels(&mut work, &mut low);
    upper_levels(&mut work, &mut low);
    let sums = add_block(block, &work.planes);
    state.wrapping_mul(const { pow(512 * SMALL as u32) }).wrapping_add(total(sums))
}

/// The hash of any number of bytes.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn update(mut state: u64, bytes: &[u8]) -> u64 {
    let (large_blocks, rest) = bytes.as_chunks::<{ LARGE * 512 }>();
    state = large(state, large_blocks.as_flattened().as_chunks::<64>().0.as_chunks().0.as_chunks().0);
    let (small_blocks, rest) = rest.as_chunks::<{ SMALL * 512 }>();
    for block in small_blocks.as_flattened().as_chunks::<64>().0.as_chunks().0.as_chunks().0 {
        state = small(state, block);
    }
    tail(state, rest)
}

/// The hash of fewer than 512 bytes.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,vpclmulqdq")]
pub(super) fn tail(state: u64, rest: &[u8]) -> u64 {
    match rest.len() {
        0..TINY => scalar::update(state, rest),
        TINY..=128 => short::hash::<1>(state, rest),
        129..=256 => short::hash::<2>(state, rest),
        _ => padded(state, rest, |state, block: &[u8; SMALL * 512]| {
            let block = block.as_chunks::<64>().0.as_chunks().0.as_chunks().0;
            block.iter().fold(state, |state, block| small(state, block))
        }),
    }
}
