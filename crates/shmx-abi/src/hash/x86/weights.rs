//! Powers of the prime, cut into digits for multiply-and-add instructions.

use super::super::PRIME;

/// Positions of one chain: the bytes between two reductions.
pub(super) const CHAIN: usize = 512;

/// Digits of a power: 16 bits each, signed, the lowest first.
pub(super) const DIGITS: usize = 4;

/// Weights of 32 of 64 consecutive positions: those that come first, or last, of every 16.
pub(super) type Row = [i16; 32];

/// `PRIME` to the power of `512 - i` for each position `i` of a chain.
///
/// Indexed by `i / 64`, then by which eight of every 16 positions, then by digit. A chain of fewer than 512 positions
/// uses the end of the table.
#[repr(align(64))]
pub(super) struct Weights(pub(super) [[[Row; DIGITS]; 2]; CHAIN / 64]);

pub(super) static WEIGHTS: Weights = Weights(weights());

const fn weights() -> [[[Row; DIGITS]; 2]; CHAIN / 64] {
    let mut table = [[[[0; 32]; DIGITS]; 2]; CHAIN / 64];
    let mut power = 1_u64;
    let mut i = CHAIN;
    while i > 0 {
        i -= 1;
        power = power.wrapping_mul(PRIME);
        let (block, within) = (i / 64, i % 64);
        let word = within / 16 * 8 + within % 8;
        let mut rest = power;
        let mut digit = 0;
        while digit < DIGITS {
            let value = rest as i16;
            table[block][within / 8 % 2][digit][word] = value;
            rest = rest.wrapping_sub(value as i64 as u64) >> 16;
            digit += 1;
        }
    }
    table
}
