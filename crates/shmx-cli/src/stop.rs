//! Ends on a signal: a flag that loops look at, and waits that the signal cuts short.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static MAIN: OnceLock<Thread> = OnceLock::new();
static BEFORE_EXIT: Mutex<Option<fn()>> = Mutex::new(None);

/// A main thread that a signal does not reach, because it writes to a full pipe, gets this long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Hears the signals that end a command (Windows: the console's events) from now on. Call it on the main thread.
///
/// A signal that was ignored when the command was started stays ignored: that is how `nohup` and shells without job
/// control keep programs alive. A file that grows past its limit becomes an error of the write, and a region that is cut
/// short becomes a line of text.
pub(crate) fn install() -> anyhow::Result<()> {
    let _ = MAIN.set(std::thread::current());
    shmx_os::signal::explain_bus_errors(CUT_SHORT);
    listen()
}

/// What the command says when it touches memory that is gone.
const CUT_SHORT: &str =
    "shmx: another process cut a region short while it was in use; end its server and start it again\n";

#[cfg(unix)]
fn listen() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let heard: Vec<i32> = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&s| !shmx_os::signal::is_ignored(s)).collect();
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            end();
        }
    })?;
    if !shmx_os::signal::is_ignored(SIGXFSZ) {
        // With any handler the write fails instead.
        signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default())?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn listen() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(end)?)
}

/// Asks the main thread to end, and ends the process if it does not.
fn end() {
    request();
    std::thread::sleep(PATIENCE);
    if let Some(tidy) = *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) {
        tidy();
    }
    std::process::exit(1);
}

/// What is to be done if a signal ends the process because the main thread does not hear it.
pub(crate) fn before_exit(tidy: fn()) {
    *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(tidy);
}

/// Asks the main thread to end.
pub(crate) fn request() {
    STOP.store(true, Ordering::Release);
    if let Some(t) = MAIN.get() {
        t.unpark();
    }
}

/// Whether to end.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Acquire)
}

/// Sleeps until then; false if the time was cut short because the command is to end.
pub(crate) fn sleep_until(at: Instant) -> bool {
    loop {
        if requested() {
            return false;
        }
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(left);
    }
}

/// Ends this process in order when stdin closes: how the demo ends its children, and how they notice its death.
pub(crate) fn when_stdin_closes() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        request();
    });
}
