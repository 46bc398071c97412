//! Prints how fast each hash kernel is on this machine, by input size.
//!
//! ```text
//! cargo run --release -p shmx-abi --example hash_speed
//! ```
//!
//! Figures are medians of interleaved runs, in GB/s (10^9 bytes per second); `copy` is `copy_and_update`, `memcpy` a
//! plain copy for comparison. Every kernel sees the same warm buffer in turn. `wait` is how long one `update` of a short
//! input takes, in ns, when the next one needs its result.

use shmx_abi::hash::{self, Kernel};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SIZES: [usize; 15] =
    [16, 40, 64, 96, 128, 255, 256, 512, 1024, 4096, 16 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20];

fn time(repeats: usize, mut what: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        what();
    }
    start.elapsed()
}

fn main() {
    let kernels: Vec<_> = Kernel::ALL.into_iter().filter(|k| k.is_supported()).collect();
    let names: Vec<_> = kernels.iter().map(|k| k.name()).chain(["update", "copy", "memcpy", "wait"]).collect();
    println!("best kernel: {}; GB/s, medians of interleaved runs", Kernel::best().name());
    println!("{:>9} {}", "bytes", names.iter().map(|n| format!("{n:>10}")).collect::<String>());
    for size in SIZES {
        let src: Vec<u8> = (0..size).map(|i| ((i * 7919) >> 3) as u8).collect();
        let mut dst = vec![0; size];
        // Short intervals, so that on a busy machine most of them are not interrupted.
        let repeats = ((256 << 10) / size).clamp(1, 2000);
        let runs = if size <= 1 << 20 { 101 } else { 9 };
        let mut times = vec![Vec::new(); names.len() - 1];
        for _ in 0..runs {
            let mut column = times.iter_mut();
            let mut note = |t: Duration| {
                if let Some(c) = column.next() {
                    c.push(t.as_secs_f64());
                }
            };
            for kernel in &kernels {
                note(time(repeats, || _ = black_box(kernel.update(hash::SEED, black_box(&src)))));
            }
            note(time(repeats, || _ = black_box(hash::update(hash::SEED, black_box(&src)))));
            note(time(repeats, || _ = black_box(hash::copy_and_update(hash::SEED, black_box(&src), &mut dst))));
            note(time(repeats, || black_box(&mut dst).copy_from_slice(black_box(&src))));
        }
        let rate = |seconds: &mut Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            format!("{:>10.2}", (size * repeats) as f64 / seconds[runs / 2] / 1e9)
        };
        let rates: String = times.iter_mut().map(rate).collect();
        let wait = if size < 512 { format!("{:>10.1}", latency(size)) } else { String::new() };
        println!("{size:>9} {rates}{wait}");
    }
}

/// Nanoseconds from an input's address to its hash.
fn latency(size: usize) -> f64 {
    let bytes: Vec<u8> = (0..=size).map(|i| ((i * 7919) >> 3) as u8).collect();
    let repeats = 2000;
    let mut hash = 0;
    let mut runs: Vec<f64> = (0..101)
        .map(|_| {
            let took = time(repeats, || hash = hash::fnv1a64(&bytes[(hash & 1) as usize..][..size]));
            took.as_secs_f64() * 1e9 / repeats as f64
        })
        .collect();
    black_box(hash);
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
