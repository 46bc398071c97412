//! Signals that ask for the end.

use crate::say::say;
use std::process::exit;
use std::thread::{Builder, sleep, spawn};
use std::time::Duration;

/// Who was asked to end has this time for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said of a bus error: memory of a region is gone while it is in use.
const CUT_SHORT: &str = "shmx-bridge: another process cut a region short while it was in use; run it again\n";

/// From now on a region that is cut short ends the process with a line of text, and a file that has grown to its limit
/// fails the write.
pub(crate) fn begin() -> anyhow::Result<()> {
    shmx_os::signal::explain_bus_errors(CUT_SHORT);
    #[cfg(unix)]
    if !shmx_os::signal::is_ignored(signal_hook::consts::SIGXFSZ) {
        // With any handler.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default())?;
    }
    Ok(())
}

/// From now on, does this for each signal that would end the process. Those that were ignored when it was started stay
/// ignored: that is how `nohup` keeps programs alive.
#[cfg(unix)]
pub(crate) fn on_signal(mut heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let all = [SIGHUP, SIGINT, SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(all.iter().filter(|&&s| !shmx_os::signal::is_ignored(s)))?;
    Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            heard();
        }
    })?;
    Ok(())
}

/// Ends the process if it has not ended by itself in time: something it writes to is full, say.
pub(crate) fn end_in_time() -> ! {
    sleep(PATIENCE);
    // What is full may be that, too.
    let words = || {
        say(false, format_args!("shmx-bridge: it did not end in time, and is ended; its helper removes its mirrors"))
    };
    spawn(words);
    sleep(Duration::from_millis(100));
    exit(1)
}

/// From now on, does this for Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn on_signal(heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(heard)?)
}
