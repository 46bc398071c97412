//! Every hash kernel against the byte-by-byte definition.

use proptest::prelude::*;
use shmx_abi::hash::{self, Kernel};

fn definition(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

/// The kernels of this machine; says which ones are not tested.
fn kernels() -> Vec<Kernel> {
    let (run, skipped): (Vec<_>, Vec<_>) = Kernel::ALL.into_iter().partition(|k| k.is_supported());
    for kernel in skipped {
        assert_eq!(kernel.update(1, b"abc"), None);
        eprintln!("SKIPPED: this machine cannot run the {} kernel", kernel.name());
    }
    run
}

fn noise(len: usize, mut x: u64) -> Vec<u8> {
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The benchmarks print these names.
#[test]
fn kernels_have_names() {
    assert_eq!(Kernel::ALL.map(Kernel::name), ["scalar", "avx2", "avx2+gfni", "avx512"]);
    assert!(Kernel::Scalar.is_supported() && Kernel::best().is_supported());
}

#[test]
fn every_length_up_to_several_blocks() {
    let bytes = noise(2048 + 64, 0x1234_5678_9ABC_DEF1);
    for kernel in kernels() {
        let mut state = hash::SEED;
        for len in 0..=2048 {
            let part = &bytes[len % 64..][..len];
            let expected = definition(state, part);
            assert_eq!(kernel.update(state, part), Some(expected), "{} on {len} bytes", kernel.name());
            assert_eq!(hash::update(state, part), expected);
            state = expected;
        }
    }
}

#[test]
fn plain_patterns() {
    for kernel in kernels() {
        for fill in [0_u8, 1, 0x7F, 0x80, 0xFF] {
            for len in [255, 256, 511, 512, 513, 4095, 4096, 4097, 20_000] {
                let bytes = vec![fill; len];
                for state in [0, 1, 0xFF, u64::MAX, hash::SEED] {
                    let expected = definition(state, &bytes);
                    assert_eq!(kernel.update(state, &bytes), Some(expected), "{} on {len} x {fill}", kernel.name());
                }
            }
        }
    }
}

/// The byte that makes the state's low byte `low` behind it: inputs made of these drive every multiplication to its
/// extremes.
#[test]
fn extreme_differences() {
    for kernel in kernels() {
        for (even, odd) in [(0xFF, 0), (0, 0xFF), (0xFF, 0xFF), (0x80, 0x7F)] {
            let mut state = hash::SEED;
            let bytes: Vec<u8> = (0..12_345)
                .map(|i| {
                    let byte = state as u8 ^ if i % 2 == 0 { even } else { odd };
                    state = definition(state, &[byte]);
                    byte
                })
                .collect();
            assert_eq!(kernel.update(hash::SEED, &bytes), Some(state), "{}", kernel.name());
        }
    }
}

#[test]
fn large_inputs() {
    let bytes = noise((1 << 20) + 777, 99);
    let expected = definition(hash::SEED, &bytes);
    for kernel in kernels() {
        assert_eq!(kernel.update(hash::SEED, &bytes), Some(expected), "{}", kernel.name());
    }
    assert_eq!(hash::fnv1a64(&bytes), expected);
}

proptest! {
    #[test]
    fn any_input(state in any::<u64>(), seed in 1..u64::MAX, len in 0..40_000_usize, skip in 0..64_usize) {
        let bytes = noise(len + skip, seed);
        let expected = definition(state, &bytes[skip..]);
        for kernel in Kernel::ALL.into_iter().filter(|k| k.is_supported()) {
            prop_assert_eq!(kernel.update(state, &bytes[skip..]), Some(expected), "{}", kernel.name());
        }
        prop_assert_eq!(hash::update(state, &bytes[skip..]), expected);
        let (a, b) = bytes[skip..].split_at(len / 3);
        prop_assert_eq!(hash::update(hash::update(state, a), b), expected);
    }

    /// Wherever an input is cut, each kernel goes on where it stopped.
    #[test]
    fn any_split(
        state in any::<u64>(),
        seed in 1..u64::MAX,
        lens in prop::collection::vec(0..=2048_usize, 1..8),
    ) {
        let bytes = noise(lens.iter().sum(), seed);
        let expected = definition(state, &bytes);
        for kernel in Kernel::ALL.into_iter().filter(|k| k.is_supported()) {
            let (mut hash, mut rest) = (Some(state), &bytes[..]);
            for &len in &lens {
                let (part, behind) = rest.split_at(len);
                (hash, rest) = (hash.and_then(|hash| kernel.update(hash, part)), behind);
            }
            prop_assert_eq!(hash, Some(expected), "{} in pieces of {:?}", kernel.name(), &lens);
        }
    }

    #[test]
    fn copies_are_hashed(state in any::<u64>(), seed in 1..u64::MAX, len in 0..40_000_usize, skip in 0..64_usize) {
        let bytes = noise(len, seed);
        let mut copy = vec![0xEE; len + skip + 64];
        let expected = definition(state, &bytes);
        prop_assert_eq!(hash::copy_and_update(state, &bytes, &mut copy[skip..skip + len]), expected);
        prop_assert_eq!(&copy[skip..skip + len], &bytes[..]);
        prop_assert!(copy[..skip].iter().chain(&copy[skip + len..]).all(|&b| b == 0xEE));
    }
}
