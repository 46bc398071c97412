//! Ends the program when one case does not get on: whoever hangs is found.
//!
//! Time is counted in beats, each of which needs the processor for a while, so that it passes as slowly for the watch as
//! for whom it watches, however many others want the processor.

use crate::common::{PREFIX, objects};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::thread::ClockId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Beats that one case may take: many times what one with a time of grace takes.
const LONGEST: u64 = 120;
const REST: Duration = Duration::from_millis(980);
const WORK: Duration = Duration::from_millis(20);

static BEATS: AtomicU64 = AtomicU64::new(0);
static CASE: Mutex<Option<(String, u64)>> = Mutex::new(None);

/// A case begins.
pub(crate) fn begin(case: String) {
    if let Ok(mut now) = CASE.lock() {
        *now = Some((case, BEATS.load(Ordering::Relaxed)));
    }
}

/// Time for one thing to come by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(u64);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(BEATS.load(Ordering::Relaxed))
    }

    /// Many times the time of grace of half a reader.
    pub(crate) fn is_over(self) -> bool {
        BEATS.load(Ordering::Relaxed) - self.0 > LONGEST / 6
    }
}

/// Watches from now on.
pub(crate) fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(REST);
            let end = used() + WORK;
            while used() < end {
                std::hint::spin_loop();
            }
            let beats = BEATS.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(now) = CASE.lock()
                && let Some((case, since)) = now.as_ref()
                && beats - since > LONGEST
            {
                println!("FAILED {case}: it hangs");
                end_children();
                tidy();
                std::process::exit(1);
            }
        }
    });
}

/// Time that this thread has had the processor.
fn used() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

/// Victims and helpers, whoever has started them.
fn end_children() {
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }
}

/// Removes what is left in shared memory of this process's cases.
pub(crate) fn tidy() {
    for name in objects(&mine()) {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
}

/// How the names of this process's cases begin: of a length that is always the same, as they are on the victims'
/// stacks.
pub(crate) fn mine() -> String {
    format!("{PREFIX}steps-{:07}-", std::process::id())
}
