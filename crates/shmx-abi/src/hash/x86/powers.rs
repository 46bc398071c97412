//! Powers of the prime, and of its inverse.

use super::super::scalar::PRIME;

/// `PRIME` to the power of `n`.
pub(super) const fn pow(mut n: u32) -> u64 {
    let (mut result, mut square) = (1_u64, PRIME);
    while n != 0 {
        if n & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        n >>= 1;
    }
    result
}

/// Inverse of `PRIME` to the power of `n`.
pub(super) const fn inverse_pow(mut n: u32) -> u64 {
    // Newton's iteration doubles the number of right bits, from 5.
    const INVERSE: u64 = {
        let mut x = PRIME.wrapping_mul(3) ^ 2;
        let mut i = 0;
        while i < 4 {
            x = x.wrapping_mul(2_u64.wrapping_sub(PRIME.wrapping_mul(x)));
            i += 1;
        }
        assert!(PRIME.wrapping_mul(x) == 1);
        x
    };
    let (mut result, mut square) = (1_u64, INVERSE);
    while n != 0 {
        if n & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        n >>= 1;
    }
    result
}
