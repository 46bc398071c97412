//! Whose turn the terminal is, in a shell with job control.

/// Whether this process's group has the terminal behind this file; none where there is no such terminal.
#[cfg(unix)]
pub(crate) fn in_foreground(terminal: impl std::os::fd::AsFd) -> Option<bool> {
    rustix::termios::tcgetpgrp(terminal).ok().map(|group| group == rustix::process::getpgrp())
}

#[cfg(not(unix))]
pub(crate) fn in_foreground<T>(_: T) -> Option<bool> {
    Some(true)
}
