//! Deadlines that count only the time in which this machine lets ordinary threads run.
//!
//! A machine that stands still, or whose processors are taken by real-time work, makes everybody late, and nobody is
//! stuck. So one thread on each processor beats every ten milliseconds, and time is what the slowest of them has
//! counted. A process that hangs does not stop the beats.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest that anything alive may take to get on.
const PATIENCE: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_millis(10);
const MOST: usize = 64;

static BEATS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static COUNT: AtomicU64 = AtomicU64::new(0);
static LONGEST: AtomicU64 = AtomicU64::new(0);

fn beats() -> u64 {
    let count = COUNT.load(Ordering::Relaxed) as usize;
    BEATS[..count].iter().map(|b| b.load(Ordering::Relaxed)).min().unwrap_or(0)
}

/// Time given to something, from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(u64);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(beats())
    }

    pub(crate) fn is_over(self) -> bool {
        beats() - self.0 > (PATIENCE.as_millis() / BEAT.as_millis()) as u64
    }
}

/// Longest time between two beats of one processor, milliseconds.
pub(crate) fn longest_standstill_ms() -> u64 {
    LONGEST.load(Ordering::Relaxed)
}

/// Runs `work` while the beats are counted.
pub(crate) fn count_during<T>(work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    let cpus: Vec<usize> = sched_getaffinity(None)
        .map(|set| (0..CpuSet::MAX_CPU).filter(|&c| set.is_set(c)).collect())
        .unwrap_or_default();
    // Without the list one thread that goes anywhere must do.
    let cpus: Vec<Option<usize>> = if cpus.is_empty() { vec![None] } else { cpus.into_iter().map(Some).collect() };
    let cpus = &cpus[..cpus.len().min(MOST)];
    COUNT.store(cpus.len() as u64, Ordering::Relaxed);
    std::thread::scope(|s| {
        for (beat, cpu) in BEATS.iter().zip(cpus) {
            let stop = &stop;
            s.spawn(move || {
                if let Some(cpu) = *cpu {
                    let mut only = CpuSet::new();
                    only.set(cpu);
                    let _ = sched_setaffinity(None, &only);
                }
                while !stop.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    std::thread::sleep(BEAT);
                    LONGEST.fetch_max(before.elapsed().as_millis() as u64, Ordering::Relaxed);
                    beat.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
