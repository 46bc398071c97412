//! Deadlines that count only the time in which this machine lets the parts of chaos run.
//!
//! A machine that stands still, or whose processors are taken by real-time work, makes everybody late, and nobody is
//! stuck. So one thread on each processor beats every ten milliseconds, and time is what the slowest of them has
//! counted. A process that hangs does not stop the beats.
//!
//! A beat takes microseconds, which the scheduler gives to who has slept however busy it is. A part that is started
//! takes milliseconds, and behind many programs of more weight it waits half a minute for them. So a second in which a
//! part wanted a processor all the time and got next to nothing of one does not count either: it is not the part that
//! stands still. Who hangs asleep wants none, and who hangs in a loop gets one.

use crate::chaos::standing;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest that anything alive may take to get on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest that it may take of all time, whatever the machine does: what starves for so long proves nothing.
const LIMIT: Duration = Duration::from_secs(600);
/// How often somebody looks who starves.
const SECOND: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_millis(10);
const MOST: usize = 64;

static BEATS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static COUNT: AtomicU64 = AtomicU64::new(0);
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// Seconds in which a part starved.
static STARVED: AtomicU64 = AtomicU64::new(0);

/// Beats that count.
fn beats() -> u64 {
    let count = COUNT.load(Ordering::Relaxed) as usize;
    let all = BEATS[..count].iter().map(|b| b.load(Ordering::Relaxed)).min().unwrap_or(0);
    all.saturating_sub(STARVED.load(Ordering::Relaxed) * beats_of(SECOND))
}

fn beats_of(time: Duration) -> u64 {
    (time.as_millis() / BEAT.as_millis()) as u64
}

/// Time given to something, from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(u64, Instant);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(beats(), Instant::now())
    }

    pub(crate) fn is_over(self) -> bool {
        beats().saturating_sub(self.0) > beats_of(PATIENCE) || self.1.elapsed() > LIMIT
    }
}

/// Seconds in which a part wanted a processor and got none.
pub(crate) fn starved_s() -> u64 {
    STARVED.load(Ordering::Relaxed)
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
        let done = &stop;
        s.spawn(move || {
            let mut parts = standing::Parts::default();
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(SECOND);
                STARVED.fetch_add(u64::from(parts.look()), Ordering::Relaxed);
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
