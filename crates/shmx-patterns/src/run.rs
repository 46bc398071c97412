//! Running until a signal, at a steady pace.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static MAIN: OnceLock<Thread> = OnceLock::new();

/// Hears SIGINT, SIGTERM and SIGHUP (Windows: the console's events) from now on. Call it on the main thread.
///
/// A signal that was ignored when the program was started stays ignored, as `nohup` and shells without job control
/// want it.
///
/// # Errors
///
/// When the system refuses the handler.
pub fn install() -> anyhow::Result<()> {
    let _ = MAIN.set(std::thread::current());
    listen()
}

fn end() {
    STOP.store(true, Ordering::Release);
    if let Some(t) = MAIN.get() {
        t.unpark();
    }
}

#[cfg(unix)]
fn listen() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let heard: Vec<i32> = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&s| !shmx_os::signal::is_ignored(s)).collect();
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(|_| end()))?;
    Ok(())
}

#[cfg(not(unix))]
fn listen() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(end)?)
}

/// Whether to end.
#[must_use]
pub fn stopped() -> bool {
    STOP.load(Ordering::Acquire)
}

/// Sleeps until then; false if the program is to end.
#[must_use]
pub fn sleep_until(at: Instant) -> bool {
    loop {
        if stopped() {
            return false;
        }
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(left);
    }
}

/// Steady pace: the n-th tick is due at start + n / hz. Behind by more than a second it starts anew.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    hz: f64,
    ticks: u64,
}

impl Pace {
    /// A pace of `hz` ticks a second.
    #[must_use]
    pub fn new(hz: f64) -> Self {
        Self { start: Instant::now(), hz, ticks: 0 }
    }

    /// When the next tick is due.
    pub fn due(&mut self) -> Instant {
        let due = self.start + Duration::from_secs_f64(self.ticks as f64 / self.hz);
        self.ticks += 1;
        if due.elapsed() > Duration::from_secs(1) {
            (self.start, self.ticks) = (Instant::now(), 1);
            return self.start;
        }
        due
    }
}

/// Frames per second on a command line.
///
/// # Errors
///
/// What is wrong with the text.
pub fn rate(s: &str) -> Result<f64, String> {
    let v: f64 = s.parse().map_err(|_| "give a rate per second".to_owned())?;
    if (0.01..=100_000.0).contains(&v) { Ok(v) } else { Err("give between 0.01 and 100000 per second".into()) }
}
