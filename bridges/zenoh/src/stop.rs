//! Signals that ask for the end.

/// What is said of a bus error: memory of a region is gone while it is in use.
const CUT_SHORT: &str = "shmx-bridge: another process cut a region short while it was in use; start the bridge again\n";

/// From now on, does this for each signal that would end the process, and a region that is cut short ends it with a line
/// of text. Signals that were ignored when the process was started stay ignored: that is how `nohup` keeps programs alive.
#[cfg(unix)]
pub(crate) fn on_signal(mut heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    shmx_os::signal::explain_bus_errors(CUT_SHORT);
    let all = [SIGHUP, SIGINT, SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(all.iter().filter(|&&s| !shmx_os::signal::is_ignored(s)))?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            heard();
        }
    })?;
    Ok(())
}

/// From now on, does this for Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn on_signal(heard: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(heard)?)
}
