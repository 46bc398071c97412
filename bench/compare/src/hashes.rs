//! The hash by itself: each kernel of this machine, interleaved.

use crate::report::HashRow;
use crate::stats::median;
use quanta::Clock;
use shmx::abi::hash::{Kernel, SEED};
use std::hint::black_box;

const SIZES: [usize; 6] = [64, 256, 4 << 10, 64 << 10, 1 << 20, 8 << 20];

/// Every kernel at every size.
pub(crate) fn measure(clock: &Clock, quick: bool) -> Vec<HashRow> {
    let kernels: Vec<Kernel> = Kernel::ALL.into_iter().filter(|k| k.is_supported()).collect();
    let mut rows = Vec::new();
    for bytes in SIZES {
        let input: Vec<u8> = (0..bytes).map(|i| ((i * 7919) >> 3) as u8).collect();
        // Short intervals, so that most of them are not interrupted.
        let repeats = ((64 << 10) / bytes).max(1);
        let rounds = match (bytes > 1 << 20, quick) {
            (true, true) => 5,
            (true, false) => 15,
            (false, true) => 31,
            (false, false) => 101,
        };
        let mut times = vec![Vec::new(); kernels.len()];
        for _ in 0..rounds {
            for (kernel, times) in kernels.iter().zip(&mut times) {
                let before = clock.raw();
                for _ in 0..repeats {
                    black_box(kernel.update(SEED, black_box(&input)));
                }
                times.push(clock.delta_as_nanos(before, clock.raw()) as f64 / repeats as f64);
            }
        }
        for (kernel, own) in kernels.iter().zip(&times) {
            let ratios = times[0].iter().zip(own).map(|(scalar, own)| scalar / own).collect();
            rows.push(HashRow {
                kernel: kernel.name().to_owned(),
                bytes,
                gb_per_s: bytes as f64 / median(own.clone()),
                over_scalar: median(ratios),
            });
        }
    }
    rows
}
