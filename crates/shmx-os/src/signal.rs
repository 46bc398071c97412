//! Signals, as far as command-line tools need them: which were ignored from the start, and words for a bus error.

use crate::sys;

/// Whether this process ignores the signal with this number now.
///
/// Asked before any handler is installed, it says what the parent wants: `nohup` and shells without job control start
/// programs with some signals ignored, and installing a handler there would undo it. Always false where the platform
/// has no such thing.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    sys::signal_is_ignored(signal)
}

/// From now on, touching memory of an object that another process has cut short ends this process with `words` on
/// stderr and exit code 1, instead of a signal that explains nothing. Does nothing where the platform has no such
/// signal.
///
/// # Examples
///
/// ```
/// shmx_os::signal::explain_bus_errors("tool: a region was cut short\n");
/// ```
pub fn explain_bus_errors(words: &'static str) {
    sys::explain_bus_errors(words);
}

/// Notes the terminal's mode and what puts its screen back, for [`explain_bus_errors`]; none: the terminal is as it was.
///
/// Call it with the terminal in its usual mode, before that is changed.
pub fn restore_terminal_on_bus_error(screen: Option<&'static str>) {
    sys::restore_terminal_on_bus_error(screen);
}
