//! Powers of the prime, cut into digits for multiply-and-add instructions.

use super::super::scalar::PRIME;

/// Bytes that the table for AVX-512 covers, in units of 64.
pub(super) const UNITS: usize = 32;

/// Digits of a power: 16 bits each, signed, the lowest first.
pub(super) const DIGITS: usize = 4;

const fn digits(mut power: u64) -> [i16; DIGITS] {
    let mut digits = [0; DIGITS];
    let mut i = 0;
    while i < DIGITS {
        digits[i] = power as i16;
        power = power.wrapping_sub(digits[i] as i64 as u64) >> 16;
        i += 1;
    }
    digits
}

/// `PRIME` to the power of `2048 - i` for each position `i` of a block.
///
/// Indexed by `i / 64`, then by which eight of every 16 positions, then by digit. A shorter block uses the end of the
/// table.
#[repr(align(64))]
pub(super) struct Avx512Weights(pub(super) [[[[i16; 32]; DIGITS]; 2]; UNITS]);

pub(super) static AVX512_WEIGHTS: Avx512Weights = {
    let mut table = [[[[0; 32]; DIGITS]; 2]; UNITS];
    let mut power = 1_u64;
    let mut i = UNITS * 64;
    while i > 0 {
        i -= 1;
        power = power.wrapping_mul(PRIME);
        let (unit, within) = (i / 64, i % 64);
        let mut digit = 0;
        while digit < DIGITS {
            table[unit][within / 8 % 2][digit][within / 16 * 8 + within % 8] = digits(power)[digit];
            digit += 1;
        }
    }
    Avx512Weights(table)
};

/// `PRIME` to the power of `n - i` for each position `i` of a block of `n = 256 * R`.
///
/// In the order in which the kernel holds positions: by word, by register of the eight for a word of each lane, by
/// which eight of every 16 positions, by digit. `strided`: by every eighth position instead, both backwards, and by which
/// lane of a pair.
#[repr(align(64))]
pub(super) struct Avx2Weights<const R: usize>(pub(super) [[[[[i16; 16]; DIGITS]; 2]; 8]; R]);

pub(super) const fn avx2_weights<const R: usize>(strided: bool) -> Avx2Weights<R> {
    let mut table = [[[[[0; 16]; DIGITS]; 2]; 8]; R];
    let mut power = 1_u64;
    let mut i = 256 * R;
    while i > 0 {
        i -= 1;
        power = power.wrapping_mul(PRIME);
        let (lane, r, within) = (i / 64 / R, i / 64 % R, i % 64);
        let (register, half, place) = if strided {
            (7 - within % 8, lane % 2, 7 - within / 8)
        } else {
            (lane % 2 * 4 + within / 16, within / 8 % 2, within % 8)
        };
        let mut digit = 0;
        while digit < DIGITS {
            table[r][register][half][digit][lane / 2 * 8 + place] = digits(power)[digit];
            digit += 1;
        }
    }
    Avx2Weights(table)
}
