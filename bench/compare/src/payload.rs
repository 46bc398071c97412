//! What is written into frames and how it is read back: the same two functions for every contender.

/// Words of a payload of `bytes` bytes.
pub(crate) const fn words(bytes: usize) -> usize {
    bytes / size_of::<u64>()
}

/// First word of frame number `frame`.
const fn seed(frame: u64) -> u64 {
    frame.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Writes every byte of what begins with word `at`; each word depends on the frame and on its place.
// Never inlined: no contender's surroundings may change what the compiler makes of it.
#[inline(never)]
pub(crate) fn fill(at: usize, payload: &mut [u64], frame: u64) {
    let seed = seed(frame).wrapping_add(at as u64);
    for (i, word) in payload.iter_mut().enumerate() {
        *word = seed.wrapping_add(i as u64);
    }
}

/// Reads every byte.
#[inline(never)]
pub(crate) fn sum(payload: &[u64]) -> u64 {
    std::hint::black_box(payload.iter().fold(0_u64, |sum, &word| sum.wrapping_add(word)))
}

/// Whether this is the sum of frame number `frame`, of so many words.
pub(crate) const fn is_sum(sum: u64, words: usize, frame: u64) -> bool {
    let n = words as u64;
    sum == seed(frame).wrapping_mul(n).wrapping_add(n.wrapping_mul(n.wrapping_sub(1)) / 2)
}

#[cfg(test)]
mod tests {
    use super::{fill, is_sum, sum};

    #[test]
    fn one_wrong_byte_is_noticed() {
        let mut payload = [0; 512];
        fill(0, &mut payload[..100], 7);
        fill(100, &mut payload[100..], 7);
        assert!(is_sum(sum(&payload), 512, 7));
        assert!(!is_sum(sum(&payload), 512, 8));
        payload[511] ^= 1;
        assert!(!is_sum(sum(&payload), 512, 7));
    }
}
