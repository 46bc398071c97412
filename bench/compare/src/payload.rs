//! What is written into frames and how it is read back: the same two functions for every contender.

/// Words of a payload of `bytes` bytes.
pub(crate) const fn words(bytes: usize) -> usize {
    bytes / size_of::<u64>()
}

/// First word of frame number `frame`.
const fn seed(frame: u64) -> u64 {
    frame.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Writes every byte; each word depends on the frame and on its place.
// Never inlined: no contender's surroundings may change what the compiler makes of it.
#[inline(never)]
pub(crate) fn fill(payload: &mut [u64], frame: u64) {
    let seed = seed(frame);
    for (i, word) in payload.iter_mut().enumerate() {
        *word = seed.wrapping_add(i as u64);
    }
}

/// Reads every byte; whether the sum is that of frame number `frame`.
#[inline(never)]
pub(crate) fn check(payload: &[u64], frame: u64) -> bool {
    let sum = payload.iter().fold(0_u64, |sum, &word| sum.wrapping_add(word));
    let n = payload.len() as u64;
    let expected = seed(frame).wrapping_mul(n).wrapping_add(n.wrapping_mul(n.wrapping_sub(1)) / 2);
    std::hint::black_box(sum) == expected
}

#[cfg(test)]
mod tests {
    use super::{check, fill};

    #[test]
    fn one_wrong_byte_is_noticed() {
        let mut payload = [0; 512];
        fill(&mut payload, 7);
        assert!(check(&payload, 7));
        assert!(!check(&payload, 8));
        payload[511] ^= 1;
        assert!(!check(&payload, 7));
    }
}
