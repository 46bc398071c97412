//! Chaos: producers and readers that are killed and stopped at random points, and a count of what that broke.
//!
//! A conductor plays several regions at once. Each has two producers, of which one serves and the other waits to take
//! over, and readers of every kind. Beside them run drills (`drill.rs`), whose victims do one operation in a tight
//! loop, so that they are caught in the middle of it.

mod actor;
pub(crate) mod board;
pub(crate) mod dice;
mod drill;
pub(crate) mod look;
mod patience;
mod sets;
mod stage;
mod standing;
mod totals;
pub(crate) mod victim;

use crate::common::{PREFIX, objects};
use crate::opts::Opts;
use anyhow::{Result, bail};
use dice::Dice;
use std::time::{Duration, Instant};
use totals::{Totals, close};

pub(crate) use actor::run as part;
pub(crate) use drill::part as drill_part;

/// `chaos [--soak] [--seconds N] [--seed S]`: true if nothing was violated and there was something to violate.
pub(crate) fn run(opts: &Opts) -> Result<bool> {
    let seconds = opts.num("seconds", 60.0_f64)?;
    let seed = match opts.text("seed") {
        Some(_) => opts.num("seed", 0)?,
        None => shmx_os::random_u64() >> 32,
    };
    println!("chaos: seed {seed}, {seconds} s, process {}", std::process::id());
    let soak = opts.has("soak");
    let mut totals = Totals::default();
    for round in 0..ROUNDS {
        play(seed.wrapping_add(round << 16), seconds, soak, &mut totals);
        // What is rare may not have been met on a slow machine.
        if totals.violations() > 0 || totals.idle().is_empty() {
            break;
        }
    }
    Ok(close(totals, seed))
}

/// Runs at most, of the length that was asked for.
const ROUNDS: u64 = 5;

/// One run. A soak has no drills.
fn play(seed: u64, seconds: f64, soak: bool, totals: &mut Totals) {
    // The drills have the machine to themselves for a third of the time.
    let alone = if soak { 0.0 } else { seconds / 3.0 };
    let start = Instant::now() + Duration::from_secs_f64(alone);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let results = patience::count_during(|| {
        std::thread::scope(|s| {
            let mut parts = Vec::new();
            if !soak {
                parts.push(s.spawn(|| drill::all(&mut Dice::new(seed), end)));
            }
            for (i, set) in if soak { sets::SOAK } else { sets::SETS }.iter().enumerate() {
                let mut dice = Dice::new(seed ^ (i as u64 + 1) << 32);
                parts.push(s.spawn(move || stage::play(set, &mut dice, start, end)));
            }
            parts.into_iter().map(|p| p.join().unwrap_or_else(|_| bail!("a conductor panicked"))).collect::<Vec<_>>()
        })
    });
    for result in results {
        match result {
            Ok(t) => totals.merge(t),
            Err(e) => Totals::complain(&mut totals.unexpected, &format!("{e:#}")),
        }
    }
    let left = objects(&format!("{PREFIX}{}-", std::process::id()));
    for name in &left {
        Totals::complain(&mut totals.leaked_objects, &format!("{name} is left in /dev/shm"));
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
}
