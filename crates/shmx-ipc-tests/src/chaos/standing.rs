//! Where the parts stand: what each thread of theirs does, and whether the machine lets it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The parts that live.
static LIVING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Less of a processor in a second than this is nothing: a part that is started takes more, and so do a hundred frames.
const NOTHING_NS: u64 = 2_000_000;

pub(crate) fn living() -> MutexGuard<'static, BTreeSet<u32>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread, as the kernel has it.
struct Thread {
    id: u32,
    /// `R` runs or would like to, `S` sleeps, `D` waits for memory or a disk, `T` is stopped.
    state: char,
    /// Time on a processor, and time of waiting for one that is over.
    ran_ns: u64,
    waited_ns: u64,
}

fn threads(pid: u32) -> Vec<Thread> {
    let read = |id: u32, what: &str| fs::read_to_string(format!("/proc/{pid}/task/{id}/{what}")).ok();
    let ids = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    ids.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        // Behind the name, which may hold anything.
        let state = read(id, "stat")?.rsplit_once(") ")?.1.chars().next()?;
        let times = read(id, "schedstat")?;
        let mut times = times.split_ascii_whitespace().map(|t| t.parse().unwrap_or(0));
        Some(Thread { id, state, ran_ns: times.next()?, waited_ns: times.next()? })
    })
    .collect()
}

/// What a part's threads do, for who has to find out why it does not get on.
pub(crate) fn describe(pid: u32) -> String {
    let mut text = format!("process {pid}");
    for t in threads(pid) {
        let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/task/{}/{what}", t.id)).unwrap_or_default();
        let (place, call) = (read("wchan"), read("syscall"));
        let call = call.split_ascii_whitespace().next().unwrap_or("?").to_owned();
        let (ran, waited) = (t.ran_ns as f64 / 1e6, t.waited_ns as f64 / 1e6);
        let _ = write!(
            text,
            "; thread {} {}, system call {call}, at {}, ran {ran:.1} ms, waited {waited:.1} ms for a processor",
            t.id,
            t.state,
            place.trim(),
        );
    }
    text
}

/// The parts as they were a second ago.
#[derive(Default)]
pub(crate) struct Parts(HashMap<(u32, u32), u64>);

impl Parts {
    /// Whether a thread of a part wants a processor (or a page), as it did a second ago, and has got nothing since.
    pub(crate) fn look(&mut self) -> bool {
        let pids: Vec<u32> = living().iter().copied().collect();
        let wanting = pids.into_iter().flat_map(|pid| {
            threads(pid).into_iter().filter(|t| matches!(t.state, 'R' | 'D')).map(move |t| ((pid, t.id), t.ran_ns))
        });
        let now: HashMap<_, _> = wanting.collect();
        let before = std::mem::replace(&mut self.0, now);
        self.0.iter().any(|(who, ran)| before.get(who).is_some_and(|before| ran.saturating_sub(*before) < NOTHING_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn who_wants_a_processor_and_gets_none_starves() {
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let me = std::process::id();
            living().insert(me);
            let said = describe(me);
            let mut parts = Parts::default();
            // Two looks so close together that nobody can have had much between them.
            let starves = (0..1000).any(|_| {
                parts = Parts::default();
                parts.look() || parts.look()
            });
            // As if everybody had got a lot since.
            parts.0.values_mut().for_each(|ran| *ran = ran.saturating_sub(10 * NOTHING_NS));
            parts.0.retain(|_, ran| *ran > 0);
            let fed = !parts.look();
            living().remove(&me);
            stop.store(true, Ordering::Relaxed);
            assert!(said.contains(" ms for a processor"), "{said}");
            assert!(starves && fed, "starves {starves}, fed {fed}");
        });
    }
}
